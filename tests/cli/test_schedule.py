"""``veiljoin job schedule`` over the homes of standing nodes that don't run."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from cli import schedule
from party.schedulerecords import REASONS, Outcome, ScheduleState
from party.schedules import Schedules
from party.scheduling import Scheduler
from tests.cli.test_joint import Command, command, job_file, pair
from tests.e2e.command import toml
from tests.party.standing_pair import TABLE, Pair

__all__ = ["command", "job_file", "pair"]
UNTIL = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=300)).date().isoformat()
NEW = ("--partner", "acme", "--every", "Weekly on mon, thu at 7:30", "--until", UNTIL)


def new(command: Command, job_file: Path, *more: str) -> str:
    """Draft a schedule; returns its id."""
    told = command("job", "schedule", "new", job_file, *NEW, "--as", "ann", "--json", *more)
    return str(json.loads(told)["schedule"])


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("weekly on mon, thu at 07:30, Asia/Shanghai", "at most 5 times", "If it is approved now")),
        ("zh", ("时区 Asia/Shanghai", "最多 5 次", "若现在批准")),
    ],
)
def test_a_schedule_from_draft_to_its_jobs(
    pair: Pair, command: Command, job_file: Path, language: str, words: tuple[str, ...]
) -> None:
    lang = ("--lang", language)
    drafted = command("job", "schedule", "new", job_file, *NEW, "--runs", "5", "--as", "ann", *lang)
    schedules = Schedules(pair.bank.node.home.store, pair.clock)
    (record,) = schedules.list()
    short = record.id[:8]
    for each in (*words, f"job schedule approve {short} --home {pair.bank.folder}", record.digest):
        assert each in drafted
    assert drafted.count(" 07:30 CST") == 3
    assert "may not approve" in command("job", "schedule", "approve", short, "--as", "Ann", status=3)
    approved = command("job", "schedule", "approve", short, "--as", "bob", *lang)
    assert " 07:30 CST" in approved.splitlines()[-1]
    assert short in command("job", "schedule", "list", *lang)
    pair.clock.forward(days=8)
    assert [event["state"] for event in Scheduler(pair.bank.node, pair.bank.jobs, "one").tick()] == [
        "drafted"
    ]
    pair.talk()
    (job,) = pair.bank.jobs.list().jobs
    assert pair.states(job.id) == ("accepted", "accepted")
    shown = command("job", "schedule", "show", short, *lang)
    assert job.id[:8] in shown
    assert "bob" in shown
    told = command("job", "show", job.id, *lang)
    assert f"schedule:{record.id} (schedule)" in told
    assert "bob" in told
    facts = json.loads(command("job", "show", job.id, "--json"))["schedule"]
    assert facts == {"schedule": record.id, "drafter": "ann", "approvers": ["bob"]}


def test_a_schedule_is_paused_resumed_and_removed(command: Command, job_file: Path) -> None:
    one = new(command, job_file)
    assert "is draft, where pause is not possible" in command("job", "schedule", "pause", one, status=2)
    command("job", "schedule", "approve", one, "--as", "bob")
    assert "was paused by cid" in command("job", "schedule", "pause", one, "--as", "cid")
    assert "paused: a person paused it" in command("job", "schedule", "list")
    assert "已暂停：由人员暂停" in command("job", "schedule", "show", one, "--lang", "zh")
    assert "it is due next at" in command("job", "schedule", "resume", one)
    assert "was removed" in command("job", "schedule", "remove", one)
    assert "There are no schedules." in command("job", "schedule", "list")
    assert one[:8] in command("job", "schedule", "list", "--all")
    other = new(command, job_file)
    assert "was refused" in command("job", "schedule", "refuse", other, "--as", "bob")
    assert "is refused, where approve is not possible" in command(
        "job", "schedule", "approve", other, "--as", "bob", status=2
    )


def test_an_edit_says_what_it_changed_and_needs_a_new_approval(command: Command, job_file: Path) -> None:
    one = new(command, job_file)
    command("job", "schedule", "approve", one, "--as", "bob")
    job_file.write_text(toml(TABLE | {"purpose": "another"}))
    shown = command("job", "schedule", "edit", one, job_file, "--every", "daily", "--as", "cid")
    assert 'every: "weekly on mon, thu at 07:30" -> "daily at 06:00"' in shown
    assert 'job.purpose: "test" -> "another"' in shown
    assert "timezone:" not in shown
    facts = json.loads(command("job", "schedule", "show", one, "--json"))
    assert (facts["state"], facts["every"], facts["until"]) == ("draft", "daily at 06:00", UNTIL)
    assert [each["void"] for each in facts["approvals"]] == [True]
    assert "may not approve" in command("job", "schedule", "approve", one, "--as", "cid", status=3)
    command("job", "schedule", "approve", one, "--as", "bob")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--every", "now and then"), "can't be read"),
        (("--timezone", "Asia/Shangai"), "There is no time zone 'Asia/Shangai'."),
        (("--until", "soon"), "is no date"),
        (("--until", "2020-01-01"), "is not due once until 2020-01-01"),
        (("--dataset", "none"), "There is no dataset 'none' at this node"),
        (("--days", "31"), "lifetime is out of range"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_at_once(
    command: Command, job_file: Path, options: tuple[str, ...], said: str
) -> None:
    told = command("job", "schedule", "new", job_file, *NEW, *options, status=2)
    assert said in told
    assert "Hint:" in told
    assert "There are no schedules." in command("job", "schedule", "list")


def test_what_is_not_there_is_said(pair: Pair, command: Command, job_file: Path) -> None:
    assert "There is no schedule beef0000" in command("job", "schedule", "show", "beef0000", status=2)
    told = command("job", "schedule", "list", home=pair.platform.folder, status=2)
    assert "is the home of a platform" in told


def test_every_state_outcome_and_reason_has_its_words() -> None:
    for language in ("en", "zh"):
        assert set(ScheduleState) <= set(schedule._STATES[language])
        assert set(Outcome) <= set(schedule._OUTCOMES[language])
    assert all(en and zh for en, zh in REASONS.values())
