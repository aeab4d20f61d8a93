"""Edits void approvals, nobody approves what is their own, and what no rule covers waits: on both databases.

At the level of the store, and by the command over homes whose nodes don't run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from party.jobrecords import Actor, JobRecord, node, partner
from party.jobs import Jobs
from party.jobstates import ActorKind, JobState
from party.nodefile import write_node
from party.store import Store
from psi.errors import PolicyRefusal, UsageError
from tests.e2e.command import toml
from tests.party.joblife import ANN, BEN, CUI, DAY, SIGNATURE, SOURCE, Clock, contract, table
from tests.party.postgres import PostgresServer
from tests.party.standing_pair import TABLE, Pair
from tests.party.test_agent import RULE

Command = Callable[..., str]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bank(store: Store, clock: Clock) -> Jobs:
    return Jobs(store, "bank", clock)


def drafted(bank: Jobs, clock: Clock) -> JobRecord:
    """A draft of Ann's."""
    return bank.draft(table(), SOURCE, ANN, partner="shop", dataset="cards", contract=contract(clock))


def edited(bank: Jobs, clock: Clock, job: str, actor: Actor, **changes: Any) -> JobRecord:
    """The job after an edit, with a contract of its own."""
    return bank.edit(job, table(**changes), SOURCE, actor, contract=contract(clock, job, **changes))


def said(code: str, act: Callable[[], object]) -> str:
    """What a step that must not succeed says."""
    with pytest.raises((UsageError, PolicyRefusal)) as caught:
        act()
    assert caught.value.code.name == code
    return caught.value.message


# The store


def test_an_edit_voids_approvals_and_keeps_them_as_evidence(bank: Jobs, clock: Clock) -> None:
    record = drafted(bank, clock)
    approved = bank.approve(record.id, BEN, record.digest)
    changed = edited(bank, clock, record.id, ANN, purpose="another one")
    assert (changed.state, changed.purpose) == (JobState.DRAFT, "another one")
    assert changed.digest != approved.digest
    (void,) = bank.approvals(record.id)
    assert (void.actor, void.digest, void.voided) == ("ben", approved.digest, clock())
    # What was approved is not what would be proposed.
    said("wrong_state", lambda: bank.propose(record.id, node("one"), SIGNATURE))
    said("wrong_state", lambda: bank.approve(record.id, BEN, approved.digest))
    again = bank.approve(record.id, BEN, changed.digest)
    assert again.state is JobState.APPROVED
    assert [each.voided is None for each in bank.approvals(record.id)] == [False, True]


def test_editing_back_to_the_same_text_gives_no_approval_back(bank: Jobs, clock: Clock) -> None:
    record = drafted(bank, clock)
    bank.approve(record.id, BEN, record.digest)
    edited(bank, clock, record.id, CUI, purpose="another one")
    back = edited(bank, clock, record.id, CUI)
    # The very same contract even, since the clock stood still.
    assert back.digest == record.digest
    assert back.state is JobState.DRAFT
    assert all(each.voided is not None for each in bank.approvals(record.id))
    said("wrong_state", lambda: bank.propose(record.id, node("one"), SIGNATURE))
    # Nor is it anybody's but the editor's because the words are those of before.
    assert "cui, who may not approve it" in said(
        "not_allowed", lambda: bank.approve(record.id, CUI, back.digest)
    )
    said("not_allowed", lambda: bank.approve(record.id, ANN, back.digest))
    bank.approve(record.id, BEN, back.digest)


@pytest.mark.parametrize("name", ["ann", "ANN", " ann\t", "Ａｎｎ", "cui", "CUI"])
def test_in_another_spelling_a_name_is_no_second_person(bank: Jobs, clock: Clock, name: str) -> None:
    record = drafted(bank, clock)
    digest = edited(bank, clock, record.id, CUI).digest
    said("not_allowed", lambda: bank.approve(record.id, Actor(ActorKind.PERSON, name), digest))
    assert bank.approvals(record.id) == ()


@pytest.mark.parametrize(
    ("drafter", "approver"),
    [("Ｚhang.Wei", "zhang.wei"), ("Straße", "STRASSE"), ("ﬁona", "Fiona"), ("a  b", "A b"), ("Å", "å")],
)
def test_names_are_compared_as_people_read_them(
    bank: Jobs, clock: Clock, drafter: str, approver: str
) -> None:
    record = bank.draft(
        *(table(), SOURCE, Actor(ActorKind.PERSON, drafter)),
        partner="shop",
        dataset="cards",
        contract=contract(clock),
    )
    said("not_allowed", lambda: bank.approve(record.id, Actor(ActorKind.PERSON, approver), record.digest))


def test_what_the_partner_has_seen_is_not_edited(bank: Jobs, clock: Clock) -> None:
    record = drafted(bank, clock)
    bank.approve(record.id, BEN, record.digest)
    bank.propose(record.id, node("one"), SIGNATURE)
    said("wrong_state", lambda: edited(bank, clock, record.id, ANN))
    bank.accept(record.id, partner("shop"), record.digest, SIGNATURE)
    said("wrong_state", lambda: edited(bank, clock, record.id, ANN))
    assert [each.voided for each in bank.approvals(record.id)] == [None, None]


@pytest.mark.parametrize("state", ["draft", "approved", "proposed", "accepted"])
def test_a_job_expires_with_its_contract(bank: Jobs, clock: Clock, state: str) -> None:
    record = drafted(bank, clock)
    steps: dict[str, Callable[[], JobRecord]] = {
        "approved": lambda: bank.approve(record.id, BEN, record.digest),
        "proposed": lambda: bank.propose(record.id, node("one"), SIGNATURE),
        "accepted": lambda: bank.accept(record.id, partner("shop"), record.digest, SIGNATURE),
    }
    for name, step in steps.items():
        if bank.get(record.id).state != state:
            assert step().state == name
    assert bank.due() == ()
    # However long nobody was there.
    clock.now += 400 * DAY
    assert [each.id for each in bank.due()] == [record.id]
    assert bank.expire(record.id, "one").state is JobState.EXPIRED


# The command


@pytest.fixture
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """Two nodes that greeted; the platform accepts audiences over ``users`` by a rule."""
    stores: tuple[str | None, str | None] = (None, None)
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        stores = server.schema(), server.schema()
    both = Pair(tmp_path, RULE, stores)
    for side in (both.bank, both.platform):
        write_node(side.folder, side.node.file)
    both.connect()
    yield both
    both.close()


@pytest.fixture
def command(pair: Pair, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in the bank's home, or the one that is given; returns what it printed."""

    def run(*arguments: str | Path, home: Path | None = None, status: int = 0) -> str:
        told = main([*map(str, arguments), "--home", str(home or pair.bank.folder)])
        out = capsys.readouterr()
        assert told == status, out.out + out.err
        return out.out + out.err

    return run


databases = pytest.mark.parametrize("pair", ["sqlite", "postgresql"], indirect=True)


@databases
def test_by_the_command_an_edit_voids_and_nobody_approves_their_own(
    pair: Pair, command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "job.toml"
    file.write_text(toml(TABLE))
    job = json.loads(command("job", "new", file, "--partner", "acme", "--as", "ann", "--json"))["job"]
    for name in ("ann", "ANN", "ａｎｎ"):
        assert "may not approve" in command("job", "approve", job, "--as", name, status=3)
    command("job", "approve", job, "--as", "bob")
    command("job", "edit", job, file, "--as", "cid")
    shown = json.loads(command("job", "show", job, "--json"))
    assert (shown["state"], [each["void"] for each in shown["approvals"]]) == ("draft", [True])
    for name in ("ann", "cid", "Cid"):
        assert "may not approve" in command("job", "approve", job, "--as", name, status=3)
    pair.talk()
    assert pair.states(job) == ("draft", "unknown")
    command("job", "approve", job, "--as", "bob")
    pair.talk()
    assert pair.states(job)[1] == "accepted"
    assert "can't be edited any more" in command("job", "edit", job, file, "--as", "cid", status=2)


@databases
def test_by_the_command_a_job_outside_the_rules_waits_for_a_person(
    pair: Pair, command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "job.toml"
    file.write_text(toml(TABLE | {"kind": "overlap"}))
    job = json.loads(command("job", "new", file, "--partner", "acme", "--as", "ann", "--json"))["job"]
    command("job", "approve", job, "--as", "bob")
    for _ in range(3):
        pair.connect()
    assert pair.states(job) == ("proposed", "proposed")
    home = pair.platform.folder
    command("job", "approve", job, "--without-preflight", "--as", "carol", home=home)
    pair.talk()
    assert pair.states(job) == ("accepted", "accepted")
    shown = json.loads(command("job", "show", job, "--json", home=home))
    assert [(each["actor"], each["role"]) for each in shown["approvals"]] == [("carol", "approver")]
