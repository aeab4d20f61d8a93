"""Recurring jobs: approved as a whole by a second person, drafted once per due time, paused when anything differs."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa

from party.drafting import Draft, draft_with
from party.jobfile import parse_job
from party.jobrecords import Actor, partner, person
from party.jobs import Jobs
from party.jobstates import ActorKind, JobState
from party.partners import partners
from party.schedulerecords import SCHEDULE_TRANSITIONS, Outcome, ScheduleRecord, ScheduleState, ScheduleStep
from party.schedules import Schedules
from party.scheduleterms import Terms, new_timetable, parse_terms
from party.scheduling import Scheduler
from party.store import Store
from party.tables import jobs, schedule_approvals, schedule_runs, schedules
from psi.errors import PolicyRefusal, UsageError
from tests.party.joblife import ANN, BEN, CUI, Clock, contract, table
from tests.party.standing_pair import TABLE, Pair

UTC = datetime.UTC
DAY = datetime.timedelta(days=1)
EVERY = "daily at 06:00"


def refusal(code: str, act: Callable[[], object]) -> str:
    """Return what a step that must not succeed says."""
    with pytest.raises((UsageError, PolicyRefusal)) as caught:
        act()
    assert caught.value.code.name == code
    assert caught.value.hint
    return caught.value.message


# The store alone, on both databases


class Desk:
    """The schedules of one bank's store, and a clock; contracts come from nowhere."""

    def __init__(self, store: Store) -> None:
        self.clock = Clock()
        self.schedules = Schedules(store, self.clock)
        self.jobs = Jobs(store, "bank", self.clock)

    def drafted(self) -> Draft:
        """A draft as a node would make it now."""
        signed = contract(self.clock)
        return Draft(parse_job(table(), "JOB.toml"), table(), signed, "cards", "users", (), self.clock())

    def terms(self, every: str = EVERY, until: str = "2027-06-30", runs: int | None = None) -> Terms:
        """Terms over that draft."""
        timetable = new_timetable(every, "Asia/Shanghai", until, runs, 7, self.clock())
        return Terms.of(self.drafted(), "shop", timetable)

    def active(self, **changes: Any) -> ScheduleRecord:
        """A schedule that Ann drafted and Ben approved."""
        record = self.schedules.draft(self.terms(**changes), "kind = ...", ANN)
        return self.schedules.approve(record.id, BEN, record.digest)

    def due(self, record: ScheduleRecord) -> ScheduleRecord:
        """Let the time pass until the schedule is due; returns it as it is then."""
        assert record.next_due is not None
        self.clock.now = max(self.clock.now, record.next_due)
        return next(each for each in self.schedules.due() if each.id == record.id)

    def run(self, record: ScheduleRecord) -> str:
        """Draft the job of a schedule that is due; returns its id."""
        record = self.due(record)
        assert record.next_due is not None
        job = self.schedules.take(record, record.next_due, 0, self.drafted(), self.jobs, "one")
        assert job is not None
        return job.id

    def end(self, job: str, how: str) -> None:
        """Let a job end."""
        if how == "cancelled":
            self.jobs.cancel(job, ANN)
            return
        record = self.jobs.propose(job, ANN, b"s" * 64)
        if how == "refused":
            self.jobs.refuse(job, partner("shop"), "policy")
        elif how == "expired":
            assert record.expires is not None
            self.clock.now = max(self.clock.now, record.expires)
            self.jobs.expire(job, "one")
        else:
            self.jobs.accept(job, partner("shop"), record.digest, b"s" * 64)
            self.jobs.start(job, "one")
            self.jobs.finish(job, "one", DAY) if how == "done" else self.jobs.fail(job, "one", how)

    def now(self, record: ScheduleRecord) -> ScheduleRecord:
        """The schedule as it is now."""
        return self.schedules.find(record.id)


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


def test_a_schedule_from_draft_to_its_last_job(desk: Desk) -> None:
    record = desk.schedules.draft(desk.terms(runs=2), "kind = ...", ANN)
    assert (record.state, record.next_due, record.drafter) == (ScheduleState.DRAFT, None, "ann")
    assert desk.schedules.due() == ()
    record = desk.schedules.approve(record.id, BEN, record.digest)
    assert record.next_due == datetime.datetime(2026, 11, 22, 22, tzinfo=UTC)  # 06:00 in Shanghai
    first = desk.run(record)
    job = desk.jobs.get(first)
    assert (job.state, job.drafter, job.partner) == (JobState.APPROVED, f"schedule:{record.id}", "shop")
    assert [(each.actor, each.role) for each in desk.jobs.approvals(first)] == [
        (f"schedule:{record.id}", "schedule")
    ]
    assert [(each.actor, each.step) for each in desk.jobs.events(first)] == [
        (f"schedule:{record.id}", "draft"),
        (f"schedule:{record.id}", "approve"),
    ]
    assert desk.schedules.due() == ()
    desk.end(first, "done")
    assert [run.outcome for run, _ in desk.schedules.settle("one")] == [Outcome.DONE]
    assert desk.schedules.settle("one") == ()
    second = desk.run(desk.now(record))
    assert second != first
    assert (desk.now(record).state, desk.now(record).next_due) == (ScheduleState.ENDED, None)
    assert [run.job for run in desk.schedules.runs(record.id)] == [second, first]
    assert desk.schedules.of_job(second) == desk.now(record)
    assert [(each.actor, each.step.value) for each in desk.schedules.events(record.id)] == [
        ("ann", "draft"),
        ("ben", "approve"),
        ("node:one", "end"),
    ]


@pytest.mark.parametrize("name", ["ann", "ANN", " Ann ", "ａｎｎ", "CUI"])
def test_who_wrote_a_schedule_does_not_approve_it(desk: Desk, name: str) -> None:
    record = desk.schedules.draft(desk.terms(), "", ANN)
    record = desk.schedules.edit(record.id, desk.terms("weekly on mon"), "", CUI)
    # Back to what it was: whoever edited last answers for it all the same.
    record = desk.schedules.edit(record.id, desk.terms(), "", CUI)
    assert "may not approve" in refusal(
        "not_allowed",
        lambda: desk.schedules.approve(record.id, Actor(ActorKind.PERSON, name), record.digest),
    )
    desk.schedules.approve(record.id, BEN, record.digest)


@pytest.mark.parametrize(
    "actor", [partner("shop"), Actor(ActorKind.NODE, "one"), Actor(ActorKind.SCHEDULE, "a")]
)
def test_only_people_decide_on_schedules(desk: Desk, actor: Actor) -> None:
    terms = desk.terms()
    refusal("not_allowed", lambda: desk.schedules.draft(terms, "", actor))
    record = desk.schedules.draft(terms, "", ANN)
    for act in (
        lambda: desk.schedules.approve(record.id, actor, record.digest),
        lambda: desk.schedules.edit(record.id, terms, "", actor),
        lambda: desk.schedules.refuse(record.id, actor),
        lambda: desk.schedules.remove(record.id, actor),
    ):
        refusal("not_allowed", act)
    # Nor does a schedule approve or draft by itself what it was not due for.
    refusal("not_allowed", lambda: desk.jobs.approve("0" * 32, Actor(ActorKind.SCHEDULE, record.id), ""))
    refusal(
        "not_allowed",
        lambda: desk.jobs.draft(
            table(), "", Actor(ActorKind.SCHEDULE, record.id), partner="shop", dataset="cards"
        ),
    )
    assert desk.now(record).state is ScheduleState.DRAFT


def test_an_edit_voids_the_approval_even_if_nothing_changed(desk: Desk) -> None:
    record = desk.active()
    edited = desk.schedules.edit(record.id, desk.terms(), "", CUI)
    assert edited.digest == record.digest
    assert (edited.state, edited.next_due) == (ScheduleState.DRAFT, None)
    assert [each.voided is not None for each in desk.schedules.approvals(record.id)] == [True]
    desk.clock.now += 3 * DAY
    assert desk.schedules.due() == ()
    other = desk.schedules.edit(record.id, desk.terms(until="2027-07-01"), "", CUI)
    assert other.digest != record.digest
    refusal("wrong_state", lambda: desk.schedules.approve(record.id, BEN, record.digest))
    desk.schedules.approve(record.id, BEN, other.digest)
    assert [each.voided is not None for each in desk.schedules.approvals(record.id)] == [True, False]


def test_terms_are_read_as_they_were_written(desk: Desk) -> None:
    terms = desk.terms("monthly on 1, last at 05:30", runs=3)
    assert parse_terms(terms.canonical()) == terms
    assert terms.differs(parse_terms(terms.canonical())) is None
    assert "13800" not in repr(terms)
    with pytest.raises(UsageError, match="of version 2"):
        parse_terms(json.dumps(json.loads(terms.canonical()) | {"version": 2}))


def test_a_paused_schedule_goes_on_with_the_next_time(desk: Desk) -> None:
    record = desk.active()
    record = desk.schedules.pause(record.id, CUI)
    assert (record.state, record.code, record.next_due) == (ScheduleState.PAUSED, "person", None)
    desk.clock.now += 10 * DAY
    assert desk.schedules.due() == ()
    refusal("wrong_state", lambda: desk.schedules.pause(record.id, CUI))
    resumed = desk.schedules.resume(record.id, ANN)
    assert resumed.next_due == datetime.datetime(2026, 12, 2, 22, tzinfo=UTC)
    refusal("wrong_state", lambda: desk.schedules.resume(record.id, ANN))
    removed = desk.schedules.remove(record.id, ANN)
    assert removed.state is ScheduleState.REMOVED
    refusal("wrong_state", lambda: desk.schedules.resume(record.id, ANN))
    assert desk.schedules.list() == ()
    assert [each.id for each in desk.schedules.list(tuple(ScheduleState))] == [record.id]


def test_a_schedule_whose_time_is_over_is_not_resumed(desk: Desk) -> None:
    record = desk.active(until="2026-11-30")
    desk.schedules.pause(record.id, CUI)
    desk.clock.now += 30 * DAY
    assert "no time left" in refusal("wrong_state", lambda: desk.schedules.resume(record.id, ANN))


def test_a_clock_that_went_back_makes_no_due_time_twice(desk: Desk) -> None:
    record = desk.active()
    desk.end(desk.run(record), "done")
    desk.clock.now -= 20 * DAY
    desk.schedules.pause(record.id, CUI)
    again = desk.schedules.resume(record.id, CUI)
    assert again.next_due == datetime.datetime(2026, 11, 23, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"until": "soon"}, "is no date"),
        ({"until": "2026-11-22"}, "not due once"),
        ({"until": "2030-01-01"}, "would go on until"),
        ({"runs": 0}, "number of runs"),
        ({"every": "now and then"}, "can't be read"),
    ],
)
def test_a_timetable_that_cannot_be_is_refused(desk: Desk, changes: dict[str, Any], said: str) -> None:
    assert said in refusal("bad_setting", lambda: desk.terms(**changes))


def test_three_failures_in_a_row_pause(desk: Desk) -> None:
    record = desk.active()
    for how, failures in (
        *(("link_lost", 1), ("done", 0), ("internal", 1), ("over_budget", 1), ("refused", 1)),
        *(("cancelled", 1), ("expired", 2)),
    ):
        desk.end(desk.run(desk.now(record)), how)
        desk.schedules.settle("one")
        assert (desk.now(record).failures, desk.now(record).state) == (failures, ScheduleState.ACTIVE), how
    desk.end(desk.run(desk.now(record)), "peer_aborted")
    assert [(run.outcome, run.code) for run, _ in desk.schedules.settle("one")] == [
        (Outcome.FAILED, "peer_aborted")
    ]
    paused = desk.now(record)
    assert (paused.state, paused.code, paused.next_due) == (ScheduleState.PAUSED, "failures", None)
    outcomes = [run.outcome.value for run in desk.schedules.runs(record.id)]
    assert outcomes == ["failed", "expired", "cancelled", "refused", "refused", "failed", "done", "failed"]
    assert desk.schedules.resume(record.id, ANN).failures == 0


def test_a_result_that_has_expired_was_a_result(desk: Desk) -> None:
    record = desk.active()
    job = desk.run(record)
    desk.end(job, "done")
    desk.clock.now += 2 * DAY
    desk.jobs.expire(job, "one")
    assert [run.outcome for run, _ in desk.schedules.settle("one")] == [Outcome.DONE]


def test_a_stale_process_takes_nothing(desk: Desk) -> None:
    record = desk.due(desk.active())
    assert record.next_due is not None
    desk.schedules.pause(record.id, CUI)
    assert desk.schedules.take(record, record.next_due, 0, desk.drafted(), desk.jobs, "one") is None
    assert not desk.schedules.pass_over(record, record.next_due, 0, Outcome.SKIPPED, "previous", "one")
    assert desk.jobs.list().jobs == ()
    assert desk.schedules.runs(record.id) == ()


@pytest.mark.parametrize("how", ["terms", "approver", "approval"])
def test_what_was_changed_behind_the_steps_runs_nothing(desk: Desk, store: Store, how: str) -> None:
    record = desk.active()
    with store.transaction() as connection:
        if how == "terms":
            text = record.text.replace('"runs":null', '"runs":999')
            connection.execute(schedules.update().values(terms=text))
        elif how == "approver":
            connection.execute(schedule_approvals.update().values(actor="ANN"))
        else:
            connection.execute(schedule_approvals.delete())
    record = desk.due(desk.now(record))
    assert record.next_due is not None
    assert not desk.schedules.agreed(record)
    assert desk.schedules.take(record, record.next_due, 0, desk.drafted(), desk.jobs, "one") is None
    assert desk.jobs.list().jobs == ()


def test_a_crash_in_the_middle_leaves_the_due_time_as_it_was(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = desk.due(desk.active())
    assert record.next_due is not None
    drafted = desk.drafted()

    def die(*_arguments: object, **_more: object) -> None:
        raise KeyboardInterrupt

    # After the job was entered, before the due time is noted.
    monkeypatch.setattr(desk.schedules, "_turn", die)
    with pytest.raises(KeyboardInterrupt):
        desk.schedules.take(record, record.next_due, 0, drafted, desk.jobs, "one")
    assert desk.jobs.list().jobs == ()
    monkeypatch.undo()
    assert desk.schedules.take(record, record.next_due, 0, drafted, desk.jobs, "one") is not None
    assert len(desk.jobs.list().jobs) == 1


def race(url: str, record: ScheduleRecord, now: datetime.datetime, ready: Barrier) -> bool:
    """Try to take a due time that others try to take, over a store of one's own."""
    with closing(Store(url)) as store:
        desk = Desk(store)
        desk.clock.now = now
        drafted = desk.drafted()
        ready.wait(60)
        assert record.next_due is not None
        return desk.schedules.take(record, record.next_due, 0, drafted, desk.jobs, "one") is not None


def test_of_those_who_race_one_drafts_the_job(desk: Desk, store: Store, store_url: str) -> None:
    record = desk.due(desk.active())
    ready = Barrier(3)
    with ThreadPoolExecutor(3) as pool:
        racers = [pool.submit(race, store_url, record, desk.clock.now, ready) for _ in range(3)]
        assert sorted(racer.result(60) for racer in racers) == [False, False, True]
    with store.reading() as connection:
        assert len(connection.execute(sa.select(jobs)).all()) == 1
        assert len(connection.execute(sa.select(schedule_runs)).all()) == 1


def test_the_table_of_states_leaves_nothing_out() -> None:
    reached = {ScheduleState.DRAFT, *SCHEDULE_TRANSITIONS.values()}
    assert reached == set(ScheduleState)
    assert {step for _, step in SCHEDULE_TRANSITIONS} | {ScheduleStep.DRAFT} == set(ScheduleStep)


# Two nodes: what is checked when a schedule is due


class Office:
    """A pair of nodes, and a schedule of the bank that is approved."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.pair = Pair(folder)
        self.pair.clock.time = datetime.datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
        self.pair.connect()
        self.bank = self.pair.bank
        self.schedules = Schedules(self.bank.node.home.store, self.pair.clock)
        self.scheduler = Scheduler(self.bank.node, self.bank.jobs, "bank")
        now = self.pair.clock()
        timetable = new_timetable(
            *(changes.get("every", EVERY), "Asia/Shanghai", changes.get("until", "2027-06-30")), None, 7, now
        )
        drafted = draft_with(self.bank.node, parse_job(TABLE, "JOB.toml"), TABLE, "acme")
        record = self.schedules.draft(Terms.of(drafted, "acme", timetable), "", person("ann"))
        self.id = self.schedules.approve(record.id, person("bob"), record.digest).id

    def tick(self, *, days: float = 0) -> list[tuple[str, str | None]]:
        """Let the time pass and the node look; returns what it said."""
        self.pair.clock.forward(days=days)
        return [(event["state"], event.get("code")) for event in self.scheduler.tick()]

    @property
    def record(self) -> ScheduleRecord:
        return self.schedules.find(self.id)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.pair.close()


def test_a_due_job_is_proposed_like_any_other(office: Office) -> None:
    assert office.tick() == []
    assert office.tick(days=1) == [("drafted", None)]
    assert office.tick() == []
    (record,) = office.bank.jobs.list().jobs
    contract = json.loads(record.contract or b"")
    assert contract["job"] == record.id
    assert record.expires is not None
    assert abs(record.expires - office.pair.clock() - 7 * DAY) < datetime.timedelta(seconds=1)
    office.pair.talk()
    # Without a standing rule a person of the platform decides.
    assert office.pair.states(record.id) == ("proposed", "proposed")
    assert office.tick(days=1) == [("skipped", "previous")]
    office.pair.platform.jobs.refuse(record.id, person("carol"), "person")
    office.pair.talk()
    assert office.tick() == [("refused", "person")]
    assert office.tick(days=1) == [("drafted", None)]
    assert [run.outcome.value for run in office.schedules.runs(office.id)] == [
        "drafted",
        "skipped",
        "refused",
    ]


def test_two_jobs_of_a_schedule_share_neither_id_nor_contract(office: Office) -> None:
    bodies = []
    for _ in range(2):
        office.tick(days=1)
        record = office.bank.jobs.list().jobs[0]
        bodies.append(json.loads(record.contract or b""))
        office.bank.jobs.cancel(record.id, person("ann"))
        office.tick()
    assert {key for key in bodies[0] if bodies[0][key] != bodies[1][key]} == {"job", "expires"}


def test_of_what_passed_while_the_node_was_down_one_is_made_up_for(office: Office) -> None:
    assert office.tick(days=30.2) == [("drafted", None)]
    (run,) = office.schedules.runs(office.id)
    assert run.missed == 29
    assert run.due == datetime.datetime(2026, 12, 21, 22, tzinfo=UTC)
    assert office.record.next_due == datetime.datetime(2026, 12, 22, 22, tzinfo=UTC)


def test_after_the_last_day_nothing_is_made_up_for(tmp_path: Path) -> None:
    office = Office(tmp_path, until="2026-11-30")
    assert office.tick(days=30) == [("missed", "until")]
    assert office.record.state is ScheduleState.ENDED
    assert office.bank.jobs.list().jobs == ()
    assert office.schedules.runs(office.id)[0].missed == 7
    office.pair.close()


def _own_file(office: Office) -> None:
    (office.bank.folder / "customers.csv").unlink()


def _own_columns(office: Office) -> None:
    office.bank.add("customers", "mobile", "more")


def _their_columns(office: Office) -> None:
    office.pair.platform.add("users", "phone", "town")
    office.pair.connect()


def _their_policy(office: Office) -> None:
    _told(office, min_group=80)


def _told(office: Office, **limits: Any) -> None:
    """Let the platform's node greet with other limits."""
    hello = office.pair.platform.agent.hello()
    assert hello.limits is not None
    limited = dataclasses.replace(hello.limits, **limits)
    office.bank.agent.receive("acme", dataclasses.replace(hello, limits=limited))


def _revoked(office: Office) -> None:
    _partner(office, state="revoked")


def _other_identity(office: Office) -> None:
    _partner(office, identity=b"\7" * 32)


def _partner(office: Office, **values: Any) -> None:
    with office.bank.node.home.store.transaction() as connection:
        connection.execute(partners.update().where(partners.c.name == "acme").values(**values))


def _approver_is_drafter(office: Office) -> None:
    with office.bank.node.home.store.transaction() as connection:
        connection.execute(schedule_approvals.update().values(actor="Ann"))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_own_file, "dataset"),
        (_own_columns, "dataset"),
        (_their_columns, "partner_dataset"),
        (_their_policy, "terms"),
        (_revoked, "partner"),
        (_other_identity, "partner"),
        (_approver_is_drafter, "approver"),
    ],
)
def test_a_job_that_would_be_another_pauses_the_schedule(office: Office, change: Any, code: str) -> None:
    change(office)
    assert office.tick(days=1) == [("paused", code)]
    assert (office.record.state, office.record.code) == (ScheduleState.PAUSED, code)
    assert office.bank.jobs.list().jobs == ()
    assert office.tick(days=5) == []
    assert [run.outcome for run in office.schedules.runs(office.id)] == [Outcome.PAUSED]


def test_a_store_that_is_away_pauses_nothing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_arguments: object) -> None:
        raise UsageError("The store is away.", hint="wait", code="store_unavailable")

    monkeypatch.setattr(office.scheduler._catalogue, "told", away)
    with pytest.raises(UsageError, match="is away"):
        office.tick(days=1)
    monkeypatch.undo()
    assert office.tick() == [("drafted", None)]


def test_policies_that_leave_no_such_job_are_noted_and_it_goes_on(office: Office) -> None:
    _told(office, max_set=40)
    assert office.tick(days=1) == [("refused", "policy")]
    assert (office.record.state, office.record.failures) == (ScheduleState.ACTIVE, 0)
    office.pair.connect()
    assert office.tick(days=1) == [("drafted", None)]
