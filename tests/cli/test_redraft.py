"""``veiljoin job edit`` and ``retry`` over the homes of standing nodes that don't run."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from party.redrafting import changes
from tests.cli.test_joint import Command, command, job_file, new, pair
from tests.e2e.command import toml
from tests.party.standing_pair import TABLE, Pair

__all__ = ["command", "job_file", "pair"]


def write(path: Path, **keys: Any) -> Path:
    """Write the plain job with other keys; a section takes the place of the whole one."""
    path.write_text(toml(copy.deepcopy(TABLE) | keys))
    return path


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("What changed:", "not set -> 80", "approvals that are void: 1", "was edited by cid")),
        ("zh", ("改动：", "未设置 -> 80", "失效的批准：1", "已由 cid 修改")),
    ],
)
def test_an_edit_says_what_it_changed(
    command: Command, job_file: Path, language: str, words: tuple[str, ...]
) -> None:
    job = new(command, job_file)
    command("job", "approve", job, "--as", "bob")
    write(job_file, output="unmatched", policy={"min_group": 80}, purpose="test  it")
    shown = command("job", "edit", job, job_file, "--as", "cid", "--lang", language)
    for each in (*words, "output: ", '"unmatched"', 'purpose: "test" -> "test  it"', f"approve {job[:8]}"):
        assert each in shown
    assert "identifier:" not in shown
    assert "SHA-256" in shown  # the new card is there, to be read


def test_an_edit_that_changes_nothing_says_so(command: Command, job_file: Path) -> None:
    job = new(command, job_file)
    assert "No setting changed" in command("job", "edit", job, job_file, "--as", "cid")
    told = json.loads(command("job", "edit", job, job_file, "--as", "cid", "--days", "20", "--json"))
    assert [each["setting"] for each in told["changed"]] == ["until"]
    assert told["job"] == job
    assert told["void_approvals"] == 0


def test_an_edit_that_cannot_be_changes_nothing(
    pair: Pair, command: Command, job_file: Path, tmp_path: Path
) -> None:
    job = new(command, job_file)
    command("job", "approve", job, "--as", "bob")
    wrong = write(tmp_path / "wrong.toml", bank={"identifier": "mobbile"})
    assert "has no column 'mobbile'" in command("job", "edit", job, wrong, status=2)
    wrong.write_text("kind =")
    assert "is not valid TOML" in command("job", "edit", job, wrong, status=2)
    assert "is the home of a platform" in command(
        "job", "edit", job, job_file, home=pair.platform.folder, status=2
    )
    assert pair.bank.state(job) == "approved"
    pair.talk()
    told = command("job", "edit", job, job_file, status=2)
    assert "is accepted, and can't be edited any more" in told
    assert "cancel the job" in told
    command("job", "cancel", job)
    assert "draft another" in command("job", "edit", job, job_file, status=2)


@pytest.mark.parametrize("how", ["failed", "refused", "cancelled", "expired"])
def test_a_job_that_came_to_nothing_is_drafted_again(
    pair: Pair, command: Command, job_file: Path, how: str
) -> None:
    job = new(command, job_file)
    match how:
        case "failed":
            command("job", "approve", job, "--as", "bob")
            pair.talk()
            pair.bank.jobs.fail(job, "bank", "link_lost")
        case "expired":
            pair.clock.forward(days=8)
            pair.bank.jobs.expire(job, "bank")
        case "refused":
            command("job", "refuse", job, "--as", "bob")
        case "cancelled":
            command("job", "cancel", job)
    shown = command("job", "retry", job, "--as", "bob")
    assert f"This repeats job {job[:8]} ({how})" in shown
    again = pair.bank.jobs.list().jobs[0]
    assert (again.state, again.drafter, again.table) == ("draft", "bob", pair.bank.jobs.get(job).table)
    assert again.id != job
    assert again.source == job_file.read_text()
    assert pair.bank.state(job) == how
    assert f"draft (repeats {job[:8]}) -> draft" in command("job", "show", again.id)
    assert f"重复任务 {job[:8]}" in command("job", "show", again.id, "--lang", "zh")
    # It is bob's draft now, and needs somebody else.
    assert "may not approve" in command("job", "approve", again.id, "--as", "bob", status=3)
    command("job", "approve", again.id, "--as", "ann")
    if how != "expired":
        pair.talk()
        assert pair.states(again.id) == ("accepted", "accepted")


def test_a_job_that_goes_on_or_is_done_is_not_repeated(pair: Pair, command: Command, job_file: Path) -> None:
    job = new(command, job_file)
    assert "is draft, and is not repeated" in command("job", "retry", job, status=2)
    command("job", "approve", job, "--as", "bob")
    pair.talk()
    pair.bank.jobs.start(job, "one")
    assert "is running, and is not repeated" in command("job", "retry", job, status=2)
    pair.bank.jobs.finish(job, "one")
    assert "is done, and is not repeated" in command("job", "retry", job, status=2)
    assert len(pair.bank.jobs.list().jobs) == 1


def test_settings_are_compared_one_by_one() -> None:
    old = {"a": 1, "b": {"c": ["x"], "d": True}, "e": "1"}
    new_one = {"a": 1, "b": {"c": ["x", "y"]}, "e": 1, "f": {"g": 0.5}}
    assert list(changes(old, new_one)) == [
        ("b.c", '["x"]', '["x", "y"]'),
        ("b.d", "true", None),
        ("e", '"1"', "1"),
        ("f.g", None, "0.5"),
    ]


def test_a_result_that_has_expired_is_said_to_be_gone(pair: Pair, command: Command, job_file: Path) -> None:
    job = new(command, job_file)
    command("job", "approve", job, "--as", "bob")
    pair.talk()
    for side in (pair.bank, pair.platform):
        side.jobs.start(job, "one")
        side.jobs.finish(job, "one", keep=pair.clock() - pair.clock())
        side.jobs.expire(job, "one")
        told = command("job", "result", job, home=side.folder, status=2)
        assert f"Job {job[:8]} is expired and has no result here." in told
        assert "result_days" in told
