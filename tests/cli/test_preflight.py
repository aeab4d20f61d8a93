"""What the commands say of a preflight, and how an approval is held to it."""

from __future__ import annotations

import json
from pathlib import Path

from party.preflights import Preflights
from tests.cli.test_joint import Command, command, job_file, new, pair
from tests.party.standing_pair import Pair

__all__ = ["command", "job_file", "pair"]


def break_platform(pair: Pair) -> None:
    """Put hashes into the platform's file, as many as it has rows."""
    path = pair.platform.folder / "users.csv"
    path.write_text(f"phone,city\n{'a1' * 32},x\n")


def test_a_failed_preflight_stands_against_an_approval(pair: Pair, command: Command, job_file: Path) -> None:
    break_platform(pair)
    job = new(command, job_file)
    assert "preflight: not run yet; the job is proposed once it has passed" in command("job", "show", job)
    assert "untried" in command("job", "list")
    pair.talk()
    shown = command("job", "show", job)
    assert "(content)\n  At acme the column does not look like the form that it is registered as." in shown
    assert "预检" in command("job", "show", job, "--lang", "zh")
    assert "misfit" in command("job", "list")
    told = json.loads(command("job", "show", job, "--json"))["preflight"]
    assert (told["state"], told["code"], told["side"]) == ("failed", "content", "partner")
    refused = command("job", "approve", job, "--as", "bob", status=2)
    assert f"The preflight of job {job[:8]} failed (content)." in refused
    assert "--without-preflight" in refused
    assert pair.bank.state(job) == "draft"
    # What is wrong is known in full on the side where it is.
    (row,) = Preflights(pair.platform.node.home.store).rows([job])[job]
    assert "Column 'phone' of " in row.detail
    # It is mended, and tried again at a person's word.
    (pair.platform.folder / "users.csv").write_text("phone,city\n13800138000,x\n")
    assert "runs again" in command("job", "preflight", job)
    pair.talk()
    assert "preflight: passed at" in command("job", "approve", job, "--as", "bob")
    pair.talk()
    assert pair.states(job) == ("accepted", "accepted")
    refused = command("job", "preflight", job, status=2)
    assert "where a preflight is of no use" in refused


def test_a_person_may_go_without_on_either_side(pair: Pair, command: Command, job_file: Path) -> None:
    break_platform(pair)
    job = new(command, job_file)
    pair.talk()
    # Four eyes hold all the same, and leave no trace of going without.
    without = ("job", "approve", job, "--without-preflight")
    assert "may not approve it" in command(*without, "--as", "ann", status=3)
    assert "misfit" in command("job", "list")
    command(*without, "--as", "bob")
    pair.talk()
    # The platform's rule doesn't take it, and its person has to say so, too.
    assert pair.states(job) == ("proposed", "proposed")
    assert "preflight: bob went without" in command("job", "show", job)
    there = pair.platform.folder
    assert "failed (content)" in command("job", "approve", job, "--as", "carol", home=there, status=2)
    assert "dataset check" in command("job", "show", job, home=there)
    command(*without, "--as", "carol", home=there)
    pair.talk()
    assert pair.states(job) == ("accepted", "accepted")
    assert "preflight: carol went without" in command("job", "show", job, home=there)


def test_a_job_that_was_approved_before_ends_when_its_preflight_fails(
    pair: Pair, command: Command, job_file: Path
) -> None:
    break_platform(pair)
    job = new(command, job_file)
    approved = command("job", "approve", job, "--as", "bob")
    assert "proposed once it has passed" in approved
    pair.talk()
    shown = command("job", "show", job)
    assert "reason: canary" in shown
    assert "At acme the column" in shown
    assert pair.states(job) == ("refused", "unknown")
