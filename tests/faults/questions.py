"""The jobs that trials run, each with its two files and its right answer by plain SQL."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from party.combine import combine
from party.contract import parse_contract
from party.jobfile import parse_job
from party.synthetic import clean_csv, make_pair
from tests.e2e.oracle import File, Oracle, read_list
from tests.e2e.sum_check import check as check_sums
from tests.e2e.sum_data import group_rows, value_rows, write_rows
from tests.e2e.sum_oracle import SumOracle
from tests.e2e.traces import Search, cells, phone_forms

# What a job's folder has beside the files that the result names.
_FIGURES: Final = frozenset({"result.json", "report.html"})
TIERS: Final = ("gold", "silver", "basic")
_ZONE: Final = "Asia/Shanghai"
# What each side published: its folder's files and its own result.
Results = dict[str, Path]


@dataclass(eq=False)
class Question:
    """A job: ``table`` is its job file, ``bank`` and ``platform`` the data, ``compare`` holds both results to it."""

    name: str
    table: dict[str, Any]
    bank: Path
    platform: Path
    compare: Callable[[Question, Results, bytes], None] = field(repr=False)

    @property
    def kind(self) -> str:
        """The job's kind."""
        return str(self.table["kind"])

    @cached_property
    def oracle(self) -> Oracle:
        """Answers about the two files of a match."""
        tiers = {side: TIERS if "tier" in self.table[side] else () for side in ("bank", "platform")}
        return Oracle(
            "phone",
            File(self.bank, "mobile", tiers["bank"]),
            File(self.platform, "phone", tiers["platform"]),
        )

    @cached_property
    def sums(self) -> SumOracle:
        """Answers about the two files of a grouped sum."""
        return SumOracle(self.table, self.bank, self.platform)

    @cached_property
    def search(self) -> Search:
        """Finds any form of any identifier of the two files."""
        named = [*cells(self.bank, "mobile"), *cells(self.platform, "phone")]
        return Search({form for cell in named for form in phone_forms(cell)})

    def check(self, results: Results, contract: bytes) -> None:
        """Assert that both sides published the right answer, each what it may read, and every file they name."""
        for side, folder in results.items():
            told = result(folder)["parties"][side]["files"]
            lists = [name for name in told if name in ("matches.csv", "holdout.csv")]
            told = {*told, *(name.replace(".csv", ".parquet") for name in lists)} - _FIGURES
            found = {path.name for path in folder.iterdir()} - _FIGURES
            assert found == told, f"{side} has {sorted(found)}, not {sorted(told)}"
        self.compare(self, results, contract)


def result(folder: Path) -> dict[str, Any]:
    """One side's own result."""
    content: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return content


def _lists(question: Question, results: Results, contract: bytes) -> None:
    receiver = question.table["receiver"]
    for side, folder in results.items():
        path = folder / "matches.csv"
        if receiver not in (side, "both"):
            assert not path.exists(), f"{side} has a list that it may not have"
            assert result(folder)["totals"]["matched"] is None
            continue
        wanted = question.oracle.list_of(side)
        assert read_list(path)[1] == wanted, f"the list of {side} is not that of the oracle"
        assert result(folder)["totals"]["matched"] == len(wanted)


def _counts(question: Question, results: Results, contract: bytes) -> None:
    told = result(results["bank"])
    truth = {tier: count for (tier, _), count in question.oracle.overlap(True, False).items()}
    assert {row["group"]["tier"]: row["matched"] for row in told["groups"]} == truth
    assert told["totals"]["matched"] == sum(truth.values())
    assert result(results["platform"])["totals"]["matched"] is None


def _figures(question: Question, results: Results, contract: bytes) -> None:
    own = {side: result(folder) for side, folder in results.items()}
    released = {
        side: {tuple(row["group"].values()): row for row in content["groups"] if "withheld" not in row}
        for side, content in own.items()
    }
    assert released["bank"].keys() == released["platform"].keys() != set()
    for label, row in released["bank"].items():
        other = released["platform"][label]
        assert all(row[key] == other[key] for key in row.keys() & other.keys()), (
            "the two sides read other figures"
        )
    reports = {side: content | {"party": content["parties"][side]} for side, content in own.items()}
    job = parse_job(question.table, "JOB.toml")
    check_sums(combine(job, parse_contract(contract), reports), question.sums)


def _match(kind: str, receiver: str, *, tiers: bool) -> dict[str, Any]:
    bank = {"identifier": "mobile"} | ({"tier": "tier"} if tiers else {})
    return {
        "kind": kind,
        "purpose": "trial",
        "identifier": "phone",
        "receiver": receiver,
        "bank": bank,
        "platform": {"identifier": "phone"},
    }


def _sum(kind: str, **keys: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "purpose": "trial",
        "identifier": "phone",
        "receiver": "both",
        "value_holder": "bank",
        "base": "converters",
        "bank": {
            "identifier": "mobile",
            "time": "converted_at",
            "values": {"amount": {"min": -200, "max": 900, "scale": 100}},
        },
        "platform": {
            "identifier": "phone",
            "keep": "first",
            "groups": ["campaign", "creative"],
            "time": "exposed_at",
            "cost": "cost",
        },
        "window": {"days": 4, "exposure": "first", "timezone": _ZONE},
        "policy": {
            "min_group": 50,
            "dominance": 10,
            "min_converters": 10,
            "max_rows": 100,
            "outside": "clip",
        },
        **keys,
    }


def _pair(folder: Path, rows: int, seed: int) -> tuple[Path, Path]:
    pair = make_pair(folder, "phone", rows, seed=seed, tiers=TIERS)
    return pair.bank, pair.platform


def _clean(folder: Path, rows: int) -> tuple[Path, Path]:
    clean_csv(folder / "bank.csv", rows, column="mobile")
    clean_csv(folder / "platform.csv", rows, column="phone", first_person=rows // 2)
    return folder / "bank.csv", folder / "platform.csv"


def _campaign(folder: Path, table: dict[str, Any], persons: int, seed: int) -> tuple[Path, Path]:
    draw, kind = random.Random(seed), table["kind"]
    bank = value_rows(table["bank"], kind, range(persons), _ZONE, draw)
    platform = group_rows(table["platform"], kind, range(persons // 4, persons + persons // 4), _ZONE, draw)
    return write_rows(folder / "bank.csv", bank), write_rows(folder / "platform.csv", platform)


def make_questions(folder: Path) -> dict[str, Question]:
    """Write the files of every question into ``folder`` and return them by name."""
    arms = {"column": "arm", "control": "control", "control_share": 0.5}
    matches = {
        "overlap": (_match("overlap", "bank", tiers=True), 20_000, _counts),
        "audience": (_match("audience", "platform", tiers=True), 6_000, _lists),
        "both": (_match("audience", "both", tiers=True), 12_000, _lists),
        "large": (_match("audience", "platform", tiers=False), 60_000, _lists),
    }
    sums = {
        "measure": _sum("measure"),
        "lift": _sum("lift", arms=arms, base="customers"),
    }
    questions = {}
    for number, (name, (table, rows, compare)) in enumerate(matches.items()):
        place = folder / name
        place.mkdir(parents=True)
        tiers = "tier" in table["bank"]
        bank, platform = _pair(place, rows, number) if tiers else _clean(place, rows)
        questions[name] = Question(name, table, bank, platform, compare)
    for number, (name, table) in enumerate(sums.items()):
        place = folder / name
        place.mkdir(parents=True)
        bank, platform = _campaign(place, table, 2_000, number)
        questions[name] = Question(name, table, bank, platform, _figures)
    return questions
