"""The examples run as their page says, and the lift that was planted lies in the interval that is reported."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.campaign import QUESTIONS
from party import campaign_data
from party.campaign_data import make_campaign
from tests.e2e.command import ROOT, Sandbox
from tests.e2e.sum_check import check
from tests.e2e.sum_oracle import SumOracle

EXAMPLES = ROOT / "examples"
KINDS = ("measure", "lift", "funnel", "profile")


# The lift takes the documented size, so that its interval is as narrow as the page says; the others need less.
PERSONS = {"lift": 20_000, "measure": 4_000, "funnel": 4_000, "profile": 4_000}


def make_data(folder: Path, persons: int) -> None:
    """Write both files with the script, as anybody would run it."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "make_data.py", "--out", folder, "--persons", str(persons)],
        cwd=folder.parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{persons:,} persons each, {persons * 7 // 10:,} of them in both" in done.stdout


def rehearsed(sandbox: Sandbox, data: Path, kind: str) -> dict[str, Any]:
    """The combined result of one example."""
    job = EXAMPLES / kind / "JOB.toml"
    sandbox.rehearse(job, data / "bank.csv", data / "platform.csv").require_done()
    content: dict[str, Any] = json.loads((sandbox.out / "result.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def data_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The data of a kind, made once for each number of persons."""
    folder = tmp_path_factory.mktemp("examples")

    def made(kind: str) -> Path:
        data = folder / "new" / str(PERSONS[kind])
        if not data.exists():
            make_data(data, PERSONS[kind])
        return data

    return made


@pytest.mark.parametrize("kind", KINDS)
def test_the_examples_give_what_the_oracle_gives(
    sandbox: Sandbox, data_of: Callable[[str], Path], kind: str
) -> None:
    data = data_of(kind)
    result = rehearsed(sandbox, data, kind)
    table = tomllib.loads((EXAMPLES / kind / "JOB.toml").read_text(encoding="utf-8"))
    table.setdefault("value_holder", "bank")
    table.setdefault("policy", {})
    check(result, SumOracle(table, data / "bank.csv", data / "platform.csv"))
    if kind == "lift":
        the_planted_lift_is_found(result)
    if kind == "profile":
        travel = {
            row["group"]["segment"]: row["share"]["value"]
            for row in result["groups"]
            if row["group"]["interest"] == "travel"
        }
        assert travel["mass"] < travel["affluent"] < travel["private"]


def the_planted_lift_is_found(result: dict[str, Any]) -> None:
    """Rates, lift and cost hold what :mod:`party.campaign_data` planted; the seed is fixed, so no chance is left."""
    lift = result["lift"]["converters"]
    assert lift["relative_low"] < campaign_data.LIFT < lift["relative_high"]
    added = campaign_data.CONTROL_RATE * campaign_data.LIFT
    assert lift["low"] < added < lift["high"]
    assert lift["p_value"] < 0.001
    arms = {arm["arm"]: arm for arm in result["arms"]}
    control = arms["control"]["rate"]
    assert control["low"] < campaign_data.CONTROL_RATE < control["high"]
    # All cost is of the test arm: nobody in control is shown anything.
    assert float(arms["control"]["cost"]) == 0
    assert result["evaluation"]["sample_ratio"]["passed"]
    assert result["evaluation"]["enough_conversions"]
    incremental = result["evaluation"]["incremental"]
    assert incremental["low"] < added * arms["test"]["persons"] < incremental["high"]
    amount = result["lift"]["amount"]
    assert amount["low"] < added * campaign_data.MEAN_AMOUNT < amount["high"]


def test_the_demo_asks_the_same_questions() -> None:
    for question in QUESTIONS:
        example = tomllib.loads((EXAMPLES / question.kind / "JOB.toml").read_text(encoding="utf-8"))
        assert tomllib.loads(f'kind = "{question.kind}"\n{question.job}') == example
    assert sorted(question.kind for question in QUESTIONS) == sorted(KINDS)


def test_the_page_names_what_is_planted() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    mean = sum(campaign_data.CREATIVE_LIFT.values()) / len(campaign_data.CREATIVE_LIFT)
    assert mean == pytest.approx(campaign_data.LIFT)
    test_rate = campaign_data.CONTROL_RATE * (1 + campaign_data.LIFT)
    for figure in (
        f"{campaign_data.OVERLAP:.0%} are customers".replace("%", " %"),
        f"+{campaign_data.LIFT:.0%}: {test_rate:.1%} of all assigned".replace("%", " %"),
        ", ".join(f"+{lift:.0%}".replace("%", " %") for lift in campaign_data.CREATIVE_LIFT.values()),
        f"mean {campaign_data.MEAN_AMOUNT:.0f}, at most {campaign_data.MOST_AMOUNT:,.0f}",
        f"{campaign_data.COST_SHOWN:.2f} for each showing, {campaign_data.COST_CLICKED:.2f} more for a click",
    ):
        assert figure in page


def test_the_data_follows_from_the_seed(tmp_path: Path) -> None:
    contents = []
    for name, seed in (("one", 5), ("two", 5), ("three", 6)):
        folder = tmp_path / name
        folder.mkdir()
        campaign = make_campaign(folder, 2_000, seed=seed)
        contents.append((campaign.bank.read_bytes(), campaign.platform.read_bytes()))
    assert contents[0] == contents[1] != contents[2]


def test_too_few_persons_are_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "make_data.py", "--out", tmp_path / "data", "--persons", "10"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--persons 10 is too few" in done.stderr
    assert not (tmp_path / "data").exists()
