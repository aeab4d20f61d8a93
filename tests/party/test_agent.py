"""What two standing nodes say to each other of their jobs: in memory, with lost connections and repeated messages."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from party.agent import Answer, Do, Order
from party.consent import approve
from party.jobrecords import person
from party.run import Stage
from psi.errors import PeerViolation, PolicyRefusal, UsageError
from tests.party.standing_pair import TABLE, Pair
from veiljoin.control_messages import Accept, Cancel, JobProgress, JobState, Propose, Start

RULE = '[[standing]]\nname = "usual"\nkinds = ["audience"]\ndatasets = ["users"]\n'


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two nodes on the line; the platform has no standing rule."""
    both = Pair(tmp_path)
    both.connect()
    yield both
    both.close()


@pytest.fixture
def ruled(tmp_path: Path) -> Iterator[Pair]:
    """Two nodes on the line; the platform accepts audiences by a rule."""
    both = Pair(tmp_path, RULE)
    both.connect()
    yield both
    both.close()


def accepted(pair: Pair) -> str:
    """A job that both sides have accepted."""
    job = pair.draft().id
    pair.talk()
    record = pair.platform.jobs.get(job)
    if record.state == "proposed":
        approve(pair.platform.node, pair.platform.jobs, record, "carol")
    pair.talk()
    assert pair.states(job) == ("accepted", "accepted")
    return job


@pytest.mark.parametrize("times", [1, 3])
def test_a_job_waits_for_a_person_without_a_rule(pair: Pair, times: int) -> None:
    job = pair.draft().id
    pair.talk(times)
    assert pair.states(job) == ("proposed", "proposed")
    approve(pair.platform.node, pair.platform.jobs, pair.platform.jobs.get(job), "carol")
    pair.talk(times)
    assert pair.states(job) == ("accepted", "accepted")
    bank, platform = pair.bank.jobs.get(job), pair.platform.jobs.get(job)
    assert bank.contract == platform.contract
    assert (bank.bank_signature, bank.platform_signature) == (
        platform.bank_signature,
        platform.platform_signature,
    )
    assert [each.actor for each in pair.platform.jobs.approvals(job)] == ["carol"]


def test_a_rule_accepts_at_once_and_only_what_it_covers(ruled: Pair) -> None:
    job, other = ruled.draft().id, ruled.draft(kind="overlap", receiver="bank").id
    ruled.talk()
    assert ruled.states(job) == ("accepted", "accepted")
    assert ruled.states(other) == ("proposed", "proposed")
    assert [each.actor for each in ruled.platform.jobs.approvals(job)] == ["rule:usual"]


def test_what_happens_while_the_line_is_down_is_said_when_it_is_up(pair: Pair) -> None:
    job, taken_back = pair.draft().id, pair.draft().id
    pair.talk()
    pair.platform.jobs.refuse(job, person("carol"), "purpose")
    pair.bank.jobs.cancel(taken_back, person("ann"))
    # Both nodes start anew: nothing that an agent remembered is left.
    pair.connect()
    assert pair.states(job) == ("refused", "refused")
    assert pair.bank.jobs.get(job).code == "purpose"
    assert pair.states(taken_back) == ("cancelled", "cancelled")


def test_the_contract_is_drafted_within_both_policies(tmp_path: Path) -> None:
    pair = Pair(tmp_path, "[limits]\nmin_group = 80\nmax_set = 1000\n")
    pair.connect()
    record = pair.draft()
    assert (record.table["policy"]["min_group"], record.table["policy"]["max_set"]) == (80, 1000)
    pair.close()


def test_a_policy_that_has_become_stricter_refuses(pair: Pair) -> None:
    record = pair.draft()
    home = pair.platform.node.home
    limits = dataclasses.replace(home.policy.limits, min_group=90)
    home.policy = dataclasses.replace(home.policy, limits=limits)
    pair.talk()
    assert pair.states(record.id) == ("refused", "refused")
    assert pair.bank.jobs.get(record.id).code == "policy"
    # Nor can a person accept over it what waited before.
    waiting = pair.draft(policy={"min_group": 95}).id
    pair.talk()
    home.policy = dataclasses.replace(home.policy, limits=dataclasses.replace(limits, min_group=100))
    with pytest.raises(PolicyRefusal, match="min_group = 95"):
        approve(pair.platform.node, pair.platform.jobs, pair.platform.jobs.get(waiting), "carol")


def test_columns_that_changed_refuse(pair: Pair) -> None:
    record = pair.draft(untried=True)
    pair.platform.add("users", "phone", "town")
    pair.talk()
    assert pair.bank.jobs.get(record.id).code == "contract"
    record = pair.draft(untried=True)
    pair.platform.add("users", "mobile")
    pair.talk()
    assert pair.bank.jobs.get(record.id).code == "columns"


def test_a_proposal_that_the_bank_did_not_sign_is_a_violation(pair: Pair) -> None:
    pair.draft(untried=True)
    (proposal,) = (each for each in pair.bank.agent.news("acme") if isinstance(each, Propose))
    for forged in (
        dataclasses.replace(proposal, signature=bytes(64)),
        dataclasses.replace(proposal, job="f" * 32),
        dataclasses.replace(proposal, card=bytes(32)),
    ):
        with pytest.raises(PeerViolation):
            pair.platform.agent.receive("bank", forged)
    assert pair.platform.jobs.list().jobs == ()
    unreadable = dataclasses.replace(proposal, contract=b"{}")
    assert pair.platform.agent.receive("bank", unreadable).messages[0].reason == "contract"  # type: ignore[union-attr]
    # Another job table than the contract's is found before anything is kept, too.
    other = dataclasses.replace(proposal, table=proposal.table.replace(b'"test"', b'"else"'))
    with pytest.raises(UsageError, match="purpose"):
        pair.platform.agent.receive("bank", other)


def test_an_acceptance_needs_the_platforms_signature(pair: Pair) -> None:
    record = pair.draft()
    pair.talk()
    forged = Accept(record.id, bytes.fromhex(record.digest), bytes(64))
    with pytest.raises(PeerViolation):
        pair.bank.agent.receive("acme", forged)
    assert pair.bank.state(record.id) == "proposed"


def test_another_partner_has_no_say_and_learns_nothing(pair: Pair) -> None:
    job, unknown = accepted(pair), "0" * 32
    digest = bytes.fromhex(pair.bank.jobs.get(job).digest)
    for message in (
        lambda each: Accept(each, digest, bytes(64)),
        lambda each: JobState(each, "done", attempt=1),
        lambda each: JobState(each, "failed", "failed"),
        lambda each: JobProgress(each, 1, "read", 5),
        lambda each: Cancel(each),
    ):
        told = [pair.bank.agent.receive("other", message(each)) for each in (job, unknown)]
        assert [each.orders for each in told] == [(), ()]
        assert [str(each.messages).replace(job, unknown) for each in told] == [str(told[1].messages)] * 2
    assert pair.bank.agent.news("other") == []
    assert pair.bank.state(job) == "accepted"


def test_an_attempt_from_start_to_result(pair: Pair) -> None:
    job = accepted(pair)
    pair.bank.run(job, 1)
    pair.talk(2)
    assert pair.platform.orders == [Order(Do.BEGIN, job, 1)] * 2
    run = pair.platform.run(job, 1, Stage.WORKING)
    pair.bank.runs[job].stage = Stage.WORKING
    pair.talk()
    run.stage = Stage.COMPLETE
    pair.talk()
    assert pair.bank.orders == [Order(Do.PARTNER_COMPLETE, job, 1)]
    pair.platform.orders.clear()
    pair.bank.jobs.finish(job, "bank")
    del pair.bank.runs[job]
    pair.talk()
    assert pair.platform.orders == [Order(Do.SETTLE, job, 1)]
    # The word was lost: the platform asks again by what it says when it is back, and is told again.
    pair.platform.orders.clear()
    pair.connect()
    assert Order(Do.SETTLE, job, 1) in pair.platform.orders


def test_each_side_says_how_far_it_is_once_and_anew_on_a_new_connection(pair: Pair) -> None:
    job = accepted(pair)
    own = pair.bank.run(job, 1, Stage.WORKING)
    pair.talk()
    own.at = ("read", 40)
    # Before its own attempt has begun, the platform has nothing to show it with.
    pair.talk()
    assert pair.platform.orders == []
    theirs = pair.platform.run(job, 1, Stage.WORKING)
    own.at, theirs.at = ("read", 41), ("agree", 0)
    pair.talk()
    assert pair.platform.orders == [Order(Do.SHOW, job, 1, ("read", 41))]
    assert pair.bank.orders == [Order(Do.SHOW, job, 1, ("agree", 0))]
    pair.talk()
    assert (len(pair.platform.orders), len(pair.bank.orders)) == (1, 1)
    pair.connect()
    assert pair.platform.orders[1:] == [Order(Do.SHOW, job, 1, ("read", 41))]
    # A job that has ended shows nothing, and that is no reason to answer.
    pair.bank.jobs.cancel(job, person("ann"))
    assert pair.bank.agent.receive("acme", JobProgress(job, 1, "read", 50)) == Answer()


def test_a_part_that_was_cut_cuts_the_other_and_only_of_its_own_attempt(pair: Pair) -> None:
    job = accepted(pair)
    pair.bank.run(job, 2, Stage.WORKING)
    pair.platform.run(job, 2, Stage.WORKING)
    pair.talk()
    pair.platform.jobs.retry(job, "platform", "link_lost")
    del pair.platform.runs[job]
    pair.talk()
    assert pair.bank.orders == [Order(Do.CUT, job)]
    pair.bank.orders.clear()
    pair.hear(pair.bank, JobState(job, "accepted", attempt=1))
    assert pair.bank.orders == []
    # The bank's next attempt ends the platform's part of the one before, if that still runs.
    pair.platform.run(job, 2, Stage.WORKING)
    pair.platform.orders.clear()
    pair.hear(pair.platform, Start(job, 3))
    assert pair.platform.orders == [Order(Do.CUT, job), Order(Do.BEGIN, job, 3)]


def test_a_failure_and_a_cancellation_end_the_other_side_too(pair: Pair) -> None:
    failed, cancelled = accepted(pair), accepted(pair)
    pair.platform.jobs.fail(failed, "platform", "too_small")
    pair.platform.jobs.cancel(cancelled, person("carol"))
    pair.talk()
    assert set(pair.bank.orders) == {Order(Do.FAIL, failed), Order(Do.DROP, cancelled)}
    assert pair.bank.state(cancelled) == "cancelled"
    # The partner hears a word of a fixed list, not what was too small.
    (told,) = pair.platform.agent._about(pair.platform.jobs.get(failed), Start(failed, 1)).messages
    assert told == JobState(failed, "failed", "policy_refused")


def test_a_contract_that_ran_out_ends_the_job_on_both_sides(pair: Pair) -> None:
    job = pair.draft().id
    pair.talk()
    pair.clock.forward(days=8)
    pair.platform.jobs.expire(job, "platform")
    pair.talk()
    assert pair.states(job) == ("cancelled", "expired")
    assert pair.bank.jobs.get(job).code == "expired"


def test_drafting_names_what_does_not_fit(pair: Pair) -> None:
    with pytest.raises(UsageError, match="There is no dataset at acme with the columns"):
        pair.draft(platform={"identifier": "msisdn"})
    pair.platform.add("more-users", "phone")
    pair.connect()
    with pytest.raises(UsageError, match="more than one dataset"):
        pair.draft()
    assert TABLE["platform"] == {"identifier": "phone"}
