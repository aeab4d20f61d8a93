"""Grouped sums give exactly what plain SQL gives: 50 seeds through the roles, some through the real command."""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest

from party.campaign_data import make_campaign
from tests.e2e.command import ROOT, Sandbox, toml
from tests.e2e.sum_check import check
from tests.e2e.sum_data import Case, make_case
from tests.e2e.sum_oracle import SumOracle
from tests.e2e.sum_roles import run_in_process

SEEDS: Final = range(50)
# Every kind in both directions, every reader, both bases, windows, and both ways with what is out of bounds.
THROUGH_THE_COMMAND: Final = (1, 2, 3, 4, 5, 7, 24, 30)


def name_of(seed: int) -> str:
    """The name of a seed in pytest's output."""
    return f"seed{seed}"


@pytest.mark.parametrize("seed", SEEDS, ids=name_of)
def test_the_roles_give_what_the_oracle_gives(tmp_path: Path, seed: int) -> None:
    case = make_case(tmp_path, seed)
    run = run_in_process(case.table, {"bank": case.bank, "platform": case.platform}, tmp_path)
    oracle = SumOracle(case.table, case.bank, case.platform)
    check(run.result, oracle)
    values, groups = run.prepared[case.value_holder].facts, run.prepared[case.group_holder].facts
    assert values.rows - sum(values.rejected.values()) == oracle.value_rows
    assert groups.rows - sum(groups.rejected.values()) == oracle.group_rows
    assert groups.persons == oracle.group_persons


@pytest.mark.parametrize("seed", THROUGH_THE_COMMAND, ids=name_of)
def test_the_command_gives_what_the_oracle_gives(sandbox: Sandbox, seed: int) -> None:
    case = make_case(sandbox.folder, seed)
    result = rehearsed(sandbox, case)
    oracle = SumOracle(case.table, case.bank, case.platform)
    check(result, oracle)
    parties = result["parties"]
    for side, rows in ((case.value_holder, oracle.value_rows), (case.group_holder, oracle.group_rows)):
        assert parties[side]["rows_read"] - sum(parties[side]["rejected"].values()) == rows
    assert parties["bank"]["bytes_sent"] == parties["platform"]["bytes_received"]
    assert parties["platform"]["bytes_sent"] == parties["bank"]["bytes_received"]
    assert sandbox.leftovers() == []


def rehearsed(sandbox: Sandbox, case: Case) -> dict[str, Any]:
    """The combined result of ``veiljoin rehearse``."""
    job = sandbox.folder / "JOB.toml"
    job.write_text(toml(case.table), encoding="utf-8")
    sandbox.rehearse(job, case.bank, case.platform).require_done()
    content: dict[str, Any] = json.loads((sandbox.out / "result.json").read_text(encoding="utf-8"))
    return content


def test_a_side_that_does_not_read_is_told_no_figure(sandbox: Sandbox) -> None:
    case = next(
        case for seed in SEEDS if (case := make_case(sandbox.folder, seed)).table["receiver"] == "platform"
    )
    rehearsed(sandbox, case)
    own = json.loads((sandbox.out / "bank" / "result.json").read_text(encoding="utf-8"))
    assert own["totals"]["matched"] is None
    assert all(row["matched"] is None for row in own["groups"])
    assert "not_told_by_contract" in {each["reason"] for each in own["withheld"]}


@pytest.mark.parametrize("seed", [0, 1, 2, 3], ids=name_of)
def test_the_check_notices_every_wrong_figure(tmp_path: Path, seed: int) -> None:
    case = make_case(tmp_path, seed)
    result = run_in_process(case.table, {"bank": case.bank, "platform": case.platform}, tmp_path).result
    oracle = SumOracle(case.table, case.bank, case.platform)
    places = [
        *places_of_figures(result["totals"], ("totals",)),
        *places_of_figures(result["groups"], ("groups",)),
        *places_of_figures(result.get("arms", []), ("arms",)),
    ]
    assert len(places) >= 8
    for place in places:
        wrong = copy.deepcopy(result)
        spoil(wrong, place)
        with pytest.raises((AssertionError, KeyError)):
            check(wrong, oracle)


def places_of_figures(part: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Where the counts and amounts of a part of a result stand; estimates and labels are left out."""
    if isinstance(part, list):
        for number, each in enumerate(part):
            yield from places_of_figures(each, (*path, number))
    elif isinstance(part, dict):
        for name, each in part.items():
            if name not in ("group", "rate", "mean", "share", "arm", "complete", "withheld"):
                yield from places_of_figures(each, (*path, name))
    elif part is not None:
        yield path


def spoil(result: Any, path: tuple[str | int, ...]) -> None:
    """Make one figure too large by one unit, or by one in its last decimal."""
    *way, last = path
    for step in way:
        result = result[step]
    figure = result[last]
    if isinstance(figure, str):
        amount = Decimal(figure)
        result[last] = str(amount + Decimal(1).scaleb(int(amount.as_tuple().exponent)))
    else:
        result[last] = figure + 1


@pytest.mark.parametrize("shape", ["typed parquet", "json lines"])
def test_typed_columns_say_the_same_as_text(tmp_path: Path, shape: str) -> None:
    """Times, decimals and whole numbers in a file's own types, against the same as text in CSV."""
    campaign = make_campaign(tmp_path, 1_500, seed=3)
    text = {"bank": campaign.bank, "platform": campaign.platform}
    ending = "parquet" if shape == "typed parquet" else "jsonl"
    typed = {side: tmp_path / f"{side}.{ending}" for side in text}
    for side, path in text.items():
        columns = "* REPLACE (CAST(amount AS DECIMAL(18, 2)) AS amount)" if side == "bank" else "*"
        form = "PARQUET" if ending == "parquet" else "JSON"
        duckdb.sql(f"COPY (SELECT {columns} FROM read_csv('{path}')) TO '{typed[side]}' (FORMAT {form})")
    results = []
    for name, data in (("text", text), ("typed", typed)):
        (tmp_path / name).mkdir()
        table = tomllib.loads((ROOT / "examples" / "lift" / "JOB.toml").read_text(encoding="utf-8"))
        results.append(run_in_process(table, data, tmp_path / name).result)
    for each in results:
        each["groups"].sort(key=lambda row: list(row["group"].values()))
    told = ("totals", "groups", "arms", "lift", "evaluation", "suppressed_by", "moved")
    assert [results[0][key] for key in told] == [results[1][key] for key in told]
    assert results[0]["totals"]["converters"] > 0


def test_the_seeds_go_through_everything(tmp_path: Path) -> None:
    tables = [make_case(tmp_path, seed).table for seed in SEEDS]
    assert {(table["kind"], table["value_holder"]) for table in tables} == {
        (kind, side) for kind in ("measure", "lift", "funnel", "profile") for side in ("bank", "platform")
    }
    assert {table["receiver"] for table in tables} == {"bank", "platform", "both"}
    assert {(table["base"], "window" in table) for table in tables if "base" in table} == {
        (base, window) for base in ("converters", "customers") for window in (False, True)
    }
    windows = [table["window"] for table in tables if "window" in table]
    assert {window["exposure"] for window in windows} == {"first", "last"}
    assert {window["days"] for window in windows} == {0, 4, 7, 12}
    assert any("retention_days" in window for window in windows)
    assert {table["policy"].get("outside") for table in tables} == {None, "clip", "reject"}
    through = [table for seed, table in zip(SEEDS, tables, strict=True) if seed in THROUGH_THE_COMMAND]
    assert {(table["kind"], table["value_holder"]) for table in through} == {
        (table["kind"], table["value_holder"]) for table in tables
    }
    assert {table["receiver"] for table in through} == {"bank", "platform", "both"}
    assert {(table["base"], "window" in table) for table in through if "base" in table} == {
        ("converters", False), ("converters", True), ("customers", False), ("customers", True)
    }  # fmt: skip


def test_a_job_file_of_the_tests_is_what_was_meant(tmp_path: Path) -> None:
    for seed in SEEDS:
        table = make_case(tmp_path, seed).table
        assert tomllib.loads(toml(table)) == table
