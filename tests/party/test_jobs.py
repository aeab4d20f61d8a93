"""The joint jobs of a party: legal steps only, four eyes, one lease, and a history that misses nothing."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa

from party.agreement import AgreedJobs
from party.jobrecords import Actor, JobRecord, node, partner, person, rule
from party.jobs import LAPSED, LEASE, Jobs
from party.jobstates import BEGINNINGS, TRANSITIONS, JobState, Step, actors_for, diagram
from party.store import Store
from party.tables import approvals, events, jobs
from psi.errors import PolicyRefusal, UsageError
from tests.party.joblife import ANN, BEN, CUI, DAY, MINUTE, SIGNATURE, SOURCE, Clock, contract, table

SHOP = partner("shop")
LINK_LOST = "link_lost"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bank(store: Store, clock: Clock) -> Jobs:
    return Jobs(store, "bank", clock)


@pytest.fixture
def platform(store: Store, clock: Clock) -> Jobs:
    return Jobs(store, "platform", clock)


def drafted(bank: Jobs, clock: Clock, actor: Actor = ANN, **changes: Any) -> JobRecord:
    """Return a draft that has its contract."""
    signed = contract(clock, **changes)
    return bank.draft(table(**changes), SOURCE, actor, partner="shop", dataset="cards", contract=signed)


def accepted(bank: Jobs, clock: Clock) -> JobRecord:
    """Return a job that both sides agreed to."""
    record = drafted(bank, clock)
    bank.approve(record.id, BEN, record.digest)
    bank.propose(record.id, node("one"), SIGNATURE)
    return bank.accept(record.id, SHOP, record.digest, SIGNATURE)


def refusal(code: str, act: Callable[[], object]) -> str:
    """Return what a step that must not succeed says."""
    with pytest.raises((UsageError, PolicyRefusal)) as caught:
        act()
    assert caught.value.code.name == code
    assert caught.value.hint
    return caught.value.message


def test_the_life_of_a_job_at_the_bank(bank: Jobs, clock: Clock) -> None:
    record = drafted(bank, clock)
    assert (record.state, record.kind, record.partner) == (JobState.DRAFT, "audience", "shop")
    assert record.table == table()
    assert record.source == SOURCE
    assert record.expires == clock() + DAY
    clock.now += MINUTE
    assert bank.approve(record.id, BEN, record.digest).state is JobState.APPROVED
    assert bank.propose(record.id, node("one"), SIGNATURE).bank_signature == SIGNATURE
    assert bank.accept(record.id, SHOP, record.digest, SIGNATURE).platform_signature == SIGNATURE
    running = bank.start(record.id, "one")
    assert (running.state, running.attempts, running.holder) == (JobState.RUNNING, 1, "one")
    assert running.held_until == clock() + LEASE
    assert running.changed == clock()
    assert running.created == clock() - MINUTE
    done = bank.finish(record.id, "one", keep=30 * DAY)
    assert (done.state, done.holder, done.expires) == (JobState.DONE, None, clock() + 30 * DAY)
    assert bank.get(record.id) == done
    told = [(event.actor, str(event.step), event.before, event.after) for event in bank.events(record.id)]
    assert told == [
        ("ann", "draft", None, "draft"),
        ("ben", "approve", "draft", "approved"),
        ("node:one", "propose", "approved", "proposed"),
        ("partner:shop", "accept", "proposed", "accepted"),
        ("node:one", "start", "accepted", "running"),
        ("node:one", "finish", "running", "done"),
    ]
    assert [(each.actor, each.role, each.digest, each.voided) for each in bank.approvals(record.id)] == [
        ("ben", "approver", record.digest, None),
        ("partner:shop", "partner", record.digest, None),
    ]


def test_the_life_of_a_job_at_the_platform(platform: Jobs, clock: Clock) -> None:
    signed = contract(clock)
    record = platform.receive(
        table(), SOURCE, partner("bank"), dataset="users", contract=signed, signature=SIGNATURE
    )
    assert (record.id, record.state, record.partner) == (signed.job, JobState.PROPOSED, "bank")
    assert record.digest == signed.hash.hex()
    # The proposal comes again after a lost link.
    again = platform.receive(
        table(), SOURCE, partner("bank"), dataset="users", contract=signed, signature=SIGNATURE
    )
    assert again == record
    assert len(platform.events(record.id)) == 1
    accepted = platform.accept(record.id, rule("audiences"), record.digest, SIGNATURE)
    assert accepted.state is JobState.ACCEPTED
    assert [(each.actor, each.role) for each in platform.approvals(record.id)] == [
        ("rule:audiences", "standing_rule")
    ]
    platform.start(record.id, "one")
    assert platform.fail(record.id, "one", LINK_LOST).code == LINK_LOST


def test_an_id_is_used_for_one_contract(platform: Jobs, clock: Clock) -> None:
    signed = contract(clock)
    bank = partner("bank")
    platform.receive(table(), SOURCE, bank, dataset="users", contract=signed, signature=SIGNATURE)
    other = contract(clock, signed.job, purpose="another")
    told = refusal(
        "bad_contract",
        lambda: platform.receive(
            table(purpose="another"), SOURCE, bank, dataset="users", contract=other, signature=SIGNATURE
        ),
    )
    assert "another contract" in told
    # Nor does another partner take it over.
    refusal(
        "bad_contract",
        lambda: platform.receive(
            table(), SOURCE, partner("thief"), dataset="users", contract=signed, signature=SIGNATURE
        ),
    )


def test_a_contract_says_what_the_job_says(bank: Jobs, clock: Clock) -> None:
    other = contract(clock, purpose="another", policy__min_group=60)
    told = refusal(
        "bad_contract",
        lambda: bank.draft(table(), SOURCE, ANN, partner="shop", dataset="cards", contract=other),
    )
    assert "differs from the job in purpose, policy, card" in told
    assert bank.list().jobs == ()


def test_a_contract_may_come_with_the_proposal(bank: Jobs, clock: Clock) -> None:
    record = bank.draft(table(), SOURCE, ANN, partner="shop", dataset="cards")
    assert record.contract is None
    bank.approve(record.id, BEN, record.digest)
    assert "no contract yet" in refusal("bad_contract", lambda: bank.propose(record.id, ANN, SIGNATURE))
    of_another = contract(clock)
    told = refusal("bad_contract", lambda: bank.propose(record.id, ANN, SIGNATURE, contract=of_another))
    assert told.endswith("differs from the job in job.")
    stricter = contract(clock, record.id, policy__min_group=60)
    refusal("bad_contract", lambda: bank.propose(record.id, ANN, SIGNATURE, contract=stricter))
    signed = contract(clock, record.id)
    proposed = bank.propose(record.id, ANN, SIGNATURE, contract=signed)
    assert proposed.digest == signed.hash.hex()
    assert proposed.contract == signed.canonical


# Four eyes


def test_nobody_approves_what_they_wrote(bank: Jobs, clock: Clock) -> None:
    record = drafted(bank, clock)
    for name in ("ann", "Ann", " ann ", "\uff41nn"):
        told = refusal("not_allowed", lambda name=name: bank.approve(record.id, person(name), record.digest))
        assert "may not approve it" in told
    edited = bank.edit(
        record.id, table(purpose="new"), SOURCE, BEN, contract=contract(clock, record.id, purpose="new")
    )
    for author in (ANN, BEN):
        refusal("not_allowed", lambda author=author: bank.approve(record.id, author, edited.digest))
    assert bank.approve(record.id, CUI, edited.digest).state is JobState.APPROVED


def test_an_edit_voids_the_approvals(bank: Jobs, clock: Clock) -> None:
    record = drafted(bank, clock)
    bank.approve(record.id, BEN, record.digest)
    clock.now += MINUTE
    changed = table(policy__min_group=80)
    edited = bank.edit(
        record.id, changed, SOURCE, ANN, contract=contract(clock, record.id, policy__min_group=80)
    )
    assert edited.state is JobState.DRAFT
    assert edited.table == changed
    assert edited.digest != record.digest
    (old,) = bank.approvals(record.id)
    assert (old.digest, old.voided) == (record.digest, clock())
    refusal("wrong_state", lambda: bank.propose(record.id, ANN, SIGNATURE))


def test_an_approval_is_of_what_was_shown(bank: Jobs, clock: Clock) -> None:
    shown = drafted(bank, clock)
    bank.edit(shown.id, table(purpose="new"), SOURCE, ANN, contract=contract(clock, shown.id, purpose="new"))
    told = refusal("wrong_state", lambda: bank.approve(shown.id, BEN, shown.digest))
    assert "changed since it was shown" in told
    assert bank.approvals(shown.id) == ()


def test_each_step_has_its_side_and_its_actors(bank: Jobs, platform: Jobs, clock: Clock) -> None:
    record = drafted(bank, clock)
    refusal("not_allowed", lambda: bank.approve(record.id, rule("any"), record.digest))
    refusal("not_allowed", lambda: bank.refuse(record.id, SHOP, "no"))
    bank.approve(record.id, BEN, record.digest)
    bank.propose(record.id, ANN, SIGNATURE)
    # The bank can't accept for its partner, nor refuse.
    refusal("not_allowed", lambda: bank.accept(record.id, BEN, record.digest, SIGNATURE))
    told = refusal("not_allowed", lambda: bank.refuse(record.id, BEN, "no"))
    assert told == "ben may not refuse a job at the bank."
    assert bank.refuse(record.id, SHOP, "policy").state is JobState.REFUSED
    told = refusal(
        "not_allowed", lambda: platform.draft(table(), SOURCE, ANN, partner="bank", dataset="users")
    )
    assert told == "ann may not draft a job at the platform."


def test_a_partner_reaches_its_own_jobs_only(bank: Jobs, clock: Clock) -> None:
    record = drafted(bank, clock)
    bank.approve(record.id, BEN, record.digest)
    proposed = bank.propose(record.id, ANN, SIGNATURE)
    mall = partner("mall")
    for act in (
        lambda: bank.accept(record.id, mall, record.digest, SIGNATURE),
        lambda: bank.refuse(record.id, mall, "no"),
        lambda: bank.cancel(record.id, mall),
    ):
        # In the words for a job that isn't there.
        assert refusal("unknown_job", act) == f"There is no job {record.id}."
    assert bank.get(record.id) == proposed


@pytest.mark.parametrize("name", ["", "  ", "node:one", "a\nb", "x" * 65])
def test_a_person_has_a_plain_name(name: str) -> None:
    with pytest.raises(UsageError, match="not one that the history can hold"):
        person(name)


# Leases


def test_a_lease_is_held_by_one(bank: Jobs, clock: Clock) -> None:
    record = accepted(bank, clock)
    bank.start(record.id, "one")
    told = refusal("wrong_state", lambda: bank.start(record.id, "two"))
    assert told == f"Job {record.id} is running, where start is not possible."
    for act in (bank.finish, bank.renew):
        assert "another process" in refusal("wrong_state", lambda act=act: act(record.id, "two"))
    for act in (bank.fail, bank.retry):
        refusal("wrong_state", lambda act=act: act(record.id, "two", LINK_LOST))
    clock.now += LEASE
    # Late, but nobody else was there.
    assert bank.renew(record.id, "one").held_until == clock() + LEASE
    refusal("wrong_state", lambda: bank.start(record.id, "two"))


def test_an_expired_lease_is_taken_over(bank: Jobs, clock: Clock) -> None:
    record = accepted(bank, clock)
    bank.start(record.id, "one")
    clock.now += LEASE
    taken = bank.start(record.id, "two")
    assert (taken.holder, taken.attempts) == ("two", 2)
    # Who lost it can't publish.
    for act in (bank.finish, bank.renew):
        refusal("wrong_state", lambda act=act: act(record.id, "one"))
    assert bank.finish(record.id, "two").state is JobState.DONE
    steps = [(event.actor, str(event.step), event.note) for event in bank.events(record.id)]
    assert steps[-3:] == [
        ("node:two", "retry", LAPSED),
        ("node:two", "start", None),
        ("node:two", "finish", None),
    ]


def test_attempts_are_bounded(store: Store, clock: Clock) -> None:
    bank = Jobs(store, "bank", clock, attempts=2)
    record = accepted(bank, clock)
    bank.start(record.id, "one")
    again = bank.retry(record.id, "one", LINK_LOST)
    assert (again.state, again.code, again.holder) == (JobState.ACCEPTED, LINK_LOST, None)
    assert bank.start(record.id, "one").attempts == 2
    assert bank.retry(record.id, "one", LINK_LOST).state is JobState.FAILED


def test_leases_of_others_lapse(store: Store, clock: Clock) -> None:
    bank = Jobs(store, "bank", clock, attempts=2)
    fresh, worn, own, alive = (accepted(bank, clock) for _ in range(4))
    bank.start(worn.id, "dead")
    bank.retry(worn.id, "dead", LINK_LOST)
    for each, holder in ((fresh, "dead"), (worn, "dead"), (own, "me")):
        bank.start(each.id, holder)
    clock.now += LEASE
    bank.start(alive.id, "other")
    assert [(each.id, each.state) for each in bank.lapse("me")] == [
        (fresh.id, JobState.ACCEPTED),
        (worn.id, JobState.FAILED),
    ]
    assert bank.lapse("me") == ()
    assert bank.get(own.id).state is JobState.RUNNING
    assert bank.get(alive.id).state is JobState.RUNNING
    refusal("wrong_state", lambda: bank.finish(fresh.id, "dead"))


def test_a_cancelled_job_has_no_result(bank: Jobs, clock: Clock) -> None:
    record = accepted(bank, clock)
    bank.start(record.id, "one")
    assert bank.cancel(record.id, ANN).state is JobState.CANCELLED
    assert "no longer runs" in refusal("wrong_state", lambda: bank.renew(record.id, "one"))
    assert "no longer runs" in refusal("wrong_state", lambda: bank.finish(record.id, "one"))


def take(url: str, job: str, instance: str, ready: Any, outcome: Any) -> None:
    """Another process: take the lease as soon as both are ready."""
    with closing(Store(url)) as store:
        bank = Jobs(store, "bank", Clock())
        ready.wait(60)
        try:
            bank.start(job, instance)
            outcome.put("got it")
        except UsageError as error:
            outcome.put(error.code.name)


def test_of_two_processes_exactly_one_gets_the_lease(store_url: str, bank: Jobs, clock: Clock) -> None:
    record = accepted(bank, clock)
    context = multiprocessing.get_context("spawn")
    ready, outcome = context.Barrier(2), context.Queue()
    racers = [
        context.Process(target=take, args=(store_url, record.id, name, ready, outcome)) for name in ("a", "b")
    ]
    for racer in racers:
        racer.start()
    assert sorted(outcome.get(timeout=60) for _ in racers) == ["got it", "wrong_state"]
    for racer in racers:
        racer.join(60)
    assert bank.get(record.id).attempts == 1


# Expiry


def test_a_contract_that_ran_out_is_not_agreed_to(bank: Jobs, clock: Clock) -> None:
    record = drafted(bank, clock)
    assert bank.due() == ()
    clock.now += DAY
    told = refusal("bad_contract", lambda: bank.approve(record.id, BEN, record.digest))
    assert "has expired" in told
    # So far nobody has noted it, and an edit gives it a new contract.
    assert [each.id for each in bank.due()] == [record.id]
    bank.edit(record.id, table(), SOURCE, ANN, contract=contract(clock, record.id))
    record = bank.approve(record.id, BEN, bank.get(record.id).digest)
    refusal("wrong_state", lambda: bank.expire(record.id, "one"))
    clock.now += DAY
    assert [each.id for each in bank.due()] == [record.id]
    refusal("bad_contract", lambda: bank.propose(record.id, ANN, SIGNATURE))
    assert bank.expire(record.id, "one").state is JobState.EXPIRED


def test_a_running_job_does_not_expire_but_its_result_does(bank: Jobs, clock: Clock) -> None:
    record = accepted(bank, clock)
    bank.start(record.id, "one")
    clock.now += DAY
    assert bank.due() == ()
    refusal("wrong_state", lambda: bank.expire(record.id, "one"))
    bank.finish(record.id, "one", keep=2 * DAY)
    clock.now += 2 * DAY
    assert [each.id for each in bank.due()] == [record.id]
    assert bank.expire(record.id, "one").state is JobState.EXPIRED
    kept = accepted(bank, clock)
    bank.start(kept.id, "one")
    bank.finish(kept.id, "one")
    clock.now += 1000 * DAY
    assert bank.due() == ()


# Reading


def test_lists_by_page_and_filter(bank: Jobs, clock: Clock) -> None:
    ids = [drafted(bank, clock).id for _ in range(5)]
    other = bank.draft(table(kind="overlap"), SOURCE, ANN, partner="mall", dataset="cards")
    bank.cancel(ids[0], ANN)
    first = bank.list(limit=4)
    assert [job.id for job in first.jobs] == [other.id, *ids[:1:-1]]
    second = bank.list(limit=4, before=first.following)
    assert [job.id for job in second.jobs] == [ids[1], ids[0]]
    assert second.following is None
    assert bank.list(limit=6).following is None
    assert [job.id for job in bank.list(states=[JobState.CANCELLED]).jobs] == [ids[0]]
    assert [job.id for job in bank.list(partner="mall").jobs] == [other.id]
    assert [job.id for job in bank.list(kind="overlap", states=list(JobState)).jobs] == [other.id]
    assert bank.list(partner="nobody").jobs == ()


def test_events_are_followed_across_jobs(bank: Jobs, clock: Clock) -> None:
    first = drafted(bank, clock)
    seen = bank.events()[-1].id
    second = drafted(bank, clock)
    bank.cancel(first.id, BEN, "mistake")
    assert [(event.job, str(event.step), event.note) for event in bank.events(after=seen)] == [
        (second.id, "draft", None),
        (first.id, "cancel", "mistake"),
    ]
    assert len(bank.events(after=seen, limit=1)) == 1


def test_a_job_is_found_by_the_start_of_its_id(bank: Jobs, clock: Clock) -> None:
    record = drafted(bank, clock)
    assert bank.find(record.id[:8].upper()) == record
    for text in (record.id[:3], "nothing", "%%%%", "ffff" + record.id):
        refusal("unknown_job", lambda text=text: bank.find(text))
    refusal("unknown_job", lambda: bank.get("0" * 32))
    refusal("unknown_job", lambda: bank.cancel("0" * 32, ANN))


def test_more_than_one_job_with_that_start(bank: Jobs, clock: Clock) -> None:
    for last in "12":
        bank.draft(
            table(),
            SOURCE,
            ANN,
            partner="shop",
            dataset="cards",
            contract=contract(clock, "ab" * 15 + "c" + last),
        )
    assert "More than one" in refusal("unknown_job", lambda: bank.find("abab"))
    assert bank.find("ab" * 15 + "c1").id.endswith("c1")


def test_codes_are_words(bank: Jobs, clock: Clock) -> None:
    record = drafted(bank, clock)
    for text in ("+8613800000000", "no thanks", "", "x" * 41):
        with pytest.raises(ValueError, match="one word"):
            bank.cancel(record.id, ANN, text)
    assert bank.get(record.id).state is JobState.DRAFT


def test_a_repr_has_no_file_and_no_contract(bank: Jobs, clock: Clock) -> None:
    shown = repr(drafted(bank, clock))
    assert SOURCE not in shown
    assert "consent" not in shown
    assert "identity" not in shown


# Whole or not at all


def test_a_step_that_is_cut_leaves_nothing(
    store: Store, bank: Jobs, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = drafted(bank, clock)

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(AgreedJobs, "_approval", cut)
        with pytest.raises(KeyboardInterrupt):
            bank.approve(record.id, BEN, record.digest)
        patched.setattr(Jobs, "_event", cut)
        with pytest.raises(KeyboardInterrupt):
            bank.cancel(record.id, ANN)
        with pytest.raises(KeyboardInterrupt):
            drafted(bank, clock)
    assert bank.get(record.id) == record
    with store.reading() as connection:
        counts = [
            connection.execute(sa.select(sa.func.count()).select_from(each)).scalar()
            for each in (jobs, events, approvals)
        ]
    assert counts == [1, 1, 0]


def work(url: str, ready: Any) -> None:
    """Another process: take jobs through their life until it is killed."""
    clock = Clock()
    with closing(Store(url)) as store:
        bank = Jobs(store, "bank", clock)
        ready.set()
        while True:
            record = accepted(bank, clock)
            bank.start(record.id, "victim")
            bank.renew(record.id, "victim")
            bank.finish(record.id, "victim")


def test_a_killed_process_leaves_whole_steps(store: Store, store_url: str, bank: Jobs) -> None:
    context = multiprocessing.get_context("spawn")
    for patience in (0.0, 0.05, 0.13):
        ready = context.Event()
        victim = context.Process(target=work, args=(store_url, ready))
        victim.start()
        assert ready.wait(60)
        time.sleep(patience)
        victim.kill()
        victim.join(60)
        for record in bank.list(limit=200).jobs:
            steps = bank.events(record.id)
            assert [step.before for step in steps[1:]] == [step.after for step in steps[:-1]]
            assert (record.state, record.revision) == (steps[-1].after, len(steps))
            agreed = [step for step in steps if step.step in (Step.APPROVE, Step.ACCEPT)]
            assert len(bank.approvals(record.id)) == len(agreed)
    assert bank.list().jobs
    # Nobody holds the lock.
    accepted(bank, Clock())


# The tables of states


def test_every_state_is_reached_and_every_step_used() -> None:
    assert set(TRANSITIONS.values()) | set(BEGINNINGS.values()) == set(JobState)
    assert {step for _, step in TRANSITIONS} | set(BEGINNINGS) == set(Step)
    for state, step in TRANSITIONS:
        assert any(actors_for(side, step, state) for side in ("bank", "platform"))
        if state.ended:
            assert step is Step.EXPIRE
    assert "    running --> done: finish" in diagram()
