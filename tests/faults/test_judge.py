"""The judge finds what it is there to find: each of these ends has one thing wrong with it."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from party.jobrecords import JobRecord
from party.jobstates import JobState
from tests.faults.judge import Account, judge
from tests.faults.questions import Question
from tests.faults.schedule import Fault, Moment, Schedule

NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
AT = Moment("bank", "read", 0.0, False)
KILLED = Schedule(1, "audience", "sqlite", False, (Fault("kill", "bank", "job", AT, 0.0),))
CANCELLED = Schedule(2, "audience", "sqlite", False, (Fault("cancel", "bank", "person", AT, 0.0),))


def record(state: JobState, **changes: Any) -> JobRecord:
    """A job in ``state``."""
    facts: dict[str, Any] = dict.fromkeys(JobRecord.__dataclass_fields__)
    facts |= {"id": "a" * 32, "attempts": 1, "created": NOW, "changed": NOW, "state": state}
    return JobRecord(**facts | changes)


@pytest.fixture
def question(tmp_path: Path) -> Question:
    """A question whose answer is 42."""

    def compare(_: Question, results: dict[str, Path], contract: bytes) -> None:
        assert contract == b"contract"
        for folder in results.values():
            assert json.loads((folder / "result.json").read_text())["answer"] == 42

    return Question("answer", {}, tmp_path / "bank.csv", tmp_path / "platform.csv", compare)


@pytest.fixture
def ended(tmp_path: Path) -> dict[str, Account | None]:
    """Both sides after a job that went well."""
    accounts: dict[str, Account | None] = {}
    for side in ("bank", "platform"):
        folder = tmp_path / side
        folder.mkdir()
        content = {"answer": 42, "parties": {side: {"files": []}}}
        (folder / "result.json").write_text(json.dumps(content))
        accounts[side] = Account(
            record=record(JobState.DONE),
            steps=["receive", "accept", "start", "finish"],
            notes=[],
            spent=1,
            reserved=0,
            released=1,
            unreleased=0,
            seen=1,
            secrets=[],
            folder=folder,
        )
    return accounts


def changed(accounts: dict[str, Account | None], **changes: Any) -> dict[str, Account | None]:
    """The accounts with something changed at the platform."""
    platform = accounts["platform"]
    assert platform is not None
    return accounts | {"platform": replace(platform, **changes)}


def test_a_good_end_is_good(question: Question, ended: dict[str, Account | None]) -> None:
    assert judge(KILLED, question, ended, b"contract") == []


WRONGS: dict[str, tuple[dict[str, Any], str]] = {
    "the states differ": ({"record": record(JobState.RUNNING)}, "the sides differ"),
    "a failure without a lasting fault": ({"record": record(JobState.FAILED, code="link_lost")}, "link_lost"),
    "two ends": ({"steps": ["finish", "finish"]}, "finished 2 times"),
    "no result": ({"folder": None}, "there is no result"),
    "something left": ({"left": ["work/x"]}, "left behind"),
    "a lease": ({"record": record(JobState.DONE, holder="node")}, "still held"),
    "a reservation": ({"reserved": 1}, "reservations"),
    "an open entry": ({"unreleased": 1}, "entries of the ledger"),
    "a budget spent twice": ({"spent": 2}, "budget: 2"),
    "a budget not spent": ({"spent": 0}, "budget: 0"),
    "two entries": ({"released": 2}, "ledger: 2"),
    "two rows of history": ({"seen": 2}, "history: 2"),
    "a seed that stayed": ({"secrets": ["job/a/seed"]}, "secrets are left"),
}


@pytest.mark.parametrize(("changes", "told"), WRONGS.values(), ids=WRONGS)
def test_a_bad_end_is_told(
    question: Question, ended: dict[str, Account | None], changes: dict[str, Any], told: str
) -> None:
    problems = judge(KILLED, question, changed(ended, **changes), b"contract")
    assert any(told in problem for problem in problems), problems


def test_a_wrong_answer_is_told(question: Question, ended: dict[str, Account | None], tmp_path: Path) -> None:
    content = {"answer": 43, "parties": {"bank": {"files": []}}}
    (tmp_path / "bank" / "result.json").write_text(json.dumps(content))
    (problem,) = judge(KILLED, question, ended, b"contract")
    assert problem.startswith("the result is wrong")


def test_a_file_that_no_result_names_is_told(
    question: Question, ended: dict[str, Account | None], tmp_path: Path
) -> None:
    (tmp_path / "bank" / "matches.csv").touch()
    (problem,) = judge(KILLED, question, ended, b"contract")
    assert problem.startswith("the result is wrong")


def test_only_a_person_may_cancel(question: Question, ended: dict[str, Account | None]) -> None:
    gone = {
        side: replace(
            account,
            record=record(JobState.CANCELLED),
            folder=None,
            steps=["cancel"],
            spent=0,
            released=0,
            seen=0,
        )
        for side, account in ended.items()
        if account is not None
    }
    accounts: dict[str, Account | None] = {**gone}
    assert judge(CANCELLED, question, accounts, b"contract") == []
    assert len(judge(KILLED, question, accounts, b"contract")) == 2
    # Taken back before it was proposed.
    assert judge(CANCELLED, question, accounts | {"platform": None}, b"contract") == []
    with_result = accounts | {"bank": replace(gone["bank"], folder=Path("somewhere"))}
    assert judge(CANCELLED, question, with_result, b"contract") == [
        "bank: there is a result, though the job is not done"
    ]
