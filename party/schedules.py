"""Recurring jobs of a bank: one person drafts a schedule, a second approves it as a whole, the node does the rest.

Every step is one transaction that checks the state and writes what happened. A due time is taken in the transaction
that drafts its job, and its row is the only one that there can be; so of two processes, or before and after a crash,
one alone drafts it, once.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from party.address import same_person
from party.agreement import AgreedJobs
from party.auditlog import note
from party.drafting import Draft
from party.jobentries import of_schedule
from party.jobrecords import Actor, JobRecord, node
from party.jobstates import ActorKind, JobState, Step
from party.nodefile import BANK
from party.schedulerecords import Outcome, ScheduledRun, ScheduleRecord, ScheduleState, ScheduleStep
from party.schedulesteps import ScheduleSteps, by_person
from party.scheduleterms import Terms, digest_of, parse_terms
from party.tables import events, jobs, schedule_approvals, schedule_runs, schedules
from psi.errors import PolicyRefusal, UsageError

MAX_FAILURES: Final = 3
# Codes of a job that failed because a policy or a budget of this side forbade it, which is no fault.
_BY_POLICY: Final = frozenset({"over_budget", "over_limit", "too_small", "not_allowed"})
_OUTCOMES: Final[Mapping[JobState, Outcome]] = {
    JobState.DONE: Outcome.DONE,
    JobState.FAILED: Outcome.FAILED,
    JobState.REFUSED: Outcome.REFUSED,
    JobState.CANCELLED: Outcome.CANCELLED,
    JobState.EXPIRED: Outcome.EXPIRED,
}


class Schedules(ScheduleSteps):
    """The schedules in a bank's ``store``; ``clock`` gives timezone-aware times.

    Steps return the schedule after it. They raise ``UsageError``: ``unknown_job``; ``wrong_state`` that names the
    state; and ``PolicyRefusal`` (``not_allowed``) for who may not take it. Nothing has changed then.
    """

    # What people do

    def draft(self, terms: Terms, source: str, actor: Actor, schedule: str | None = None) -> ScheduleRecord:
        """Enter a draft with the text ``source`` of its job file; ``schedule`` is what its id shall be.

        A request that comes twice drafts one: with the id of a schedule that ``actor`` drafted, that one is returned.
        """
        now, named = self._now(), schedule or uuid.uuid4().hex
        row = {
            "id": named,
            "state": ScheduleState.DRAFT.value,
            "revision": 1,
            "drafter": str(actor),
            "editor": str(actor),
            "created": now,
            "changed": now,
            "drafted": 0,
            "failures": 0,
            **_content(terms, source),
        }
        with self._attempt(ScheduleStep.DRAFT, actor) as connection:
            by_person(actor, ScheduleStep.DRAFT)
            known = connection.execute(sa.select(schedules).where(schedules.c.id == named)).first()
            if known is not None and known.drafter == str(actor):
                return self._record(known)
            if known is not None:
                raise UsageError(
                    f"Schedule {named} was drafted by somebody else.",
                    hint="begin a new one",
                    code="wrong_state",
                )
            connection.execute(schedules.insert().values(**row))
            entered = self._row(connection, named)
            self._event(connection, entered, actor, ScheduleStep.DRAFT, ScheduleState.DRAFT, None)
        return self._record(entered)

    def edit(self, schedule: str, terms: Terms, source: str, actor: Actor) -> ScheduleRecord:
        """Put other terms in place of the old; it is a draft again, and approvals are void."""
        with self._attempt(ScheduleStep.EDIT, actor) as connection:
            row = self._row(connection, schedule)
            values = _content(terms, source) | {"editor": str(actor), "next_due": None, "failures": 0}
            row = self._step(connection, row, ScheduleStep.EDIT, actor, None, **values)
            connection.execute(
                schedule_approvals.update()
                .where(schedule_approvals.c.schedule == schedule, schedule_approvals.c.voided.is_(None))
                .values(voided=self._now())
            )
        return self._record(row)

    def approve(self, schedule: str, actor: Actor, digest: str) -> ScheduleRecord:
        """Approve the schedule whose digest the approver was shown as ``digest``; four eyes."""
        with self._attempt(ScheduleStep.APPROVE, actor) as connection:
            row = self._row(connection, schedule)
            if any(same_person(str(actor), writer) for writer in self._writers(connection, row)):
                raise PolicyRefusal(
                    f"Schedule {row.id} was written by {actor}, who may not approve it.",
                    hint="a second person approves it (four eyes)",
                    code="not_allowed",
                )
            if digest != row.digest or digest != digest_of(row.terms):
                raise UsageError(
                    f"Schedule {row.id} was changed since it was shown.",
                    hint="read it again, then decide",
                    code="wrong_state",
                )
            due = self._first(connection, row)
            row = self._step(connection, row, ScheduleStep.APPROVE, actor, None, next_due=due)
            connection.execute(
                schedule_approvals.insert().values(
                    schedule=schedule, actor=str(actor), digest=digest, at=self._now()
                )
            )
        return self._record(row)

    def refuse(self, schedule: str, actor: Actor) -> ScheduleRecord:
        """Refuse a draft."""
        return self._take(schedule, ScheduleStep.REFUSE, actor, None)

    def pause(self, schedule: str, actor: Actor) -> ScheduleRecord:
        """Let no more jobs be drafted until somebody resumes it; those that are there go on."""
        return self._take(schedule, ScheduleStep.PAUSE, actor, "person", next_due=None)

    def resume(self, schedule: str, actor: Actor) -> ScheduleRecord:
        """Go on with the first time that is due from now on; what passed meanwhile is not made up for."""
        with self._attempt(ScheduleStep.RESUME, actor) as connection:
            row = self._row(connection, schedule)
            # The state first: of a schedule that isn't paused nothing else matters.
            self._check(row, ScheduleStep.RESUME, actor)
            due = self._first(connection, row)
            row = self._step(connection, row, ScheduleStep.RESUME, actor, None, next_due=due, failures=0)
        return self._record(row)

    def remove(self, schedule: str, actor: Actor) -> ScheduleRecord:
        """Let no more jobs be drafted, for good; jobs and history stay."""
        return self._take(schedule, ScheduleStep.REMOVE, actor, None, next_due=None)

    # What the node does

    def due(self) -> tuple[ScheduleRecord, ...]:
        """Return the schedules that are due now, that which waits longest first."""
        query = (
            sa.select(schedules)
            .where(schedules.c.state == ScheduleState.ACTIVE.value, schedules.c.next_due <= self._now())
            .order_by(schedules.c.next_due, schedules.c.number)
        )
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return tuple(self._record(row) for row in rows)

    def open_job(self, schedule: str) -> str | None:
        """Return the id of a job of the schedule that has not ended."""
        table = schedule_runs
        query = sa.select(table.c.job).where(
            table.c.schedule == schedule, table.c.outcome == Outcome.DRAFTED.value
        )
        with self._store.reading() as connection:
            return connection.execute(query.order_by(table.c.id.desc())).scalars().first()

    def agreed(self, record: ScheduleRecord) -> bool:
        """Return whether a second person agreed to exactly these terms: four eyes, at the time of run."""
        with self._store.reading() as connection:
            return self._agreed(connection, self._row(connection, record.id))

    def take(
        self,
        record: ScheduleRecord,
        due: datetime.datetime,
        missed: int,
        drafted: Draft,
        own_jobs: AgreedJobs,
        instance: str,
    ) -> JobRecord | None:
        """Enter the job of the due time ``due``, approved under the schedule's approval.

        Returns ``None``, with nothing changed, where the schedule is not what ``record`` says any more: somebody has
        paused it, or another process was faster.
        """
        with self._store.transaction() as connection:
            row = self._unchanged(connection, record)
            if row is None or not self._agreed(connection, row):
                return None
            job = own_jobs.draft_scheduled(
                connection,
                drafted.table,
                record.source,
                Actor(ActorKind.SCHEDULE, record.id),
                partner=record.partner,
                dataset=drafted.dataset,
                contract=drafted.contract,
            )
            self._turn(connection, row, due, missed, Outcome.DRAFTED, None, instance, job=job.id)
        return job

    def pass_over(
        self,
        record: ScheduleRecord,
        due: datetime.datetime,
        missed: int,
        outcome: Outcome,
        code: str,
        instance: str,
    ) -> bool:
        """Note that nothing was drafted for ``due``, and why; ``Outcome.PAUSED`` pauses the schedule.

        Returns whether it was this process that noted it.
        """
        with self._store.transaction() as connection:
            row = self._unchanged(connection, record)
            if row is None:
                return False
            self._turn(connection, row, due, missed, outcome, code, instance)
        return True

    def settle(self, instance: str) -> tuple[tuple[ScheduledRun, ScheduleRecord], ...]:
        """Note how the schedules' jobs ended, and pause what failed too often; returns what was noted."""
        table = schedule_runs
        query = (
            sa.select(table.c.id, table.c.schedule, jobs.c.id.label("job"), jobs.c.state, jobs.c.code)
            .join(jobs, jobs.c.id == table.c.job)
            .where(
                table.c.outcome == Outcome.DRAFTED.value,
                jobs.c.state.in_([state.value for state in _OUTCOMES]),
            )
            .order_by(table.c.due)
        )
        with self._store.reading() as connection:
            if connection.execute(query.limit(1)).first() is None:
                return ()
        noted = []
        with self._store.transaction() as connection:
            for ended in connection.execute(query).all():
                outcome = _outcome(connection, ended)
                code = None if outcome is Outcome.DONE else ended.code
                connection.execute(
                    table.update().where(table.c.id == ended.id).values(outcome=outcome.value, code=code)
                )
                row = self._row(connection, ended.schedule)
                self._note_outcome(connection, row, instance, outcome, code, ended.job)
                row = self._count(connection, row, outcome, instance)
                run = connection.execute(sa.select(table).where(table.c.id == ended.id)).one()
                noted.append((self._run(run), self._record(row)))
        return tuple(noted)

    def _turn(
        self,
        connection: sa.Connection,
        row: sa.Row[Any],
        due: datetime.datetime,
        missed: int,
        outcome: Outcome,
        code: str | None,
        instance: str,
        *,
        job: str | None = None,
    ) -> None:
        """Write the row of a due time, and when the next one is."""
        connection.execute(
            schedule_runs.insert().values(
                schedule=row.id,
                due=due.timestamp(),
                at=self._now(),
                outcome=outcome.value,
                code=code,
                missed=missed,
                job=job,
            )
        )
        self._note_outcome(connection, row, instance, outcome, code, job)
        timetable = parse_terms(row.terms).timetable
        drafted = row.drafted + (job is not None)
        following = timetable.following(max(due, self._clock()))
        if timetable.runs is not None and drafted >= timetable.runs:
            following = None
        next_due = None if following is None else following.timestamp()
        if outcome is Outcome.PAUSED:
            self._step(connection, row, ScheduleStep.PAUSE, node(instance), code, next_due=None)
        elif next_due is None:
            self._step(
                connection, row, ScheduleStep.END, node(instance), None, drafted=drafted, next_due=None
            )
        else:
            self._write(connection, row, drafted=drafted, next_due=next_due)

    def _note_outcome(
        self,
        connection: sa.Connection,
        row: sa.Row[Any],
        instance: str,
        outcome: Outcome,
        code: str | None,
        job: str | None,
    ) -> None:
        note(connection, of_schedule(row, BANK, node(instance), outcome.value, code, job), self._now())

    def _count(
        self, connection: sa.Connection, row: sa.Row[Any], outcome: Outcome, instance: str
    ) -> sa.Row[Any]:
        """Count failures in a row. What a policy, a person or the partner refused is none, nor does it end a row."""
        if outcome is Outcome.DONE:
            return self._write(connection, row, failures=0) if row.failures else row
        if outcome not in (Outcome.FAILED, Outcome.EXPIRED):
            return row
        failures = row.failures + 1
        if failures >= MAX_FAILURES and row.state == ScheduleState.ACTIVE:
            return self._step(
                connection,
                row,
                ScheduleStep.PAUSE,
                node(instance),
                "failures",
                failures=failures,
                next_due=None,
            )
        return self._write(connection, row, failures=failures)


def _content(terms: Terms, source: str) -> dict[str, Any]:
    """Return the columns that a draft and an edit write."""
    text = terms.canonical()
    return {
        "partner": terms.partner,
        "kind": terms.table["kind"],
        "purpose": terms.table["purpose"],
        "source": source,
        "terms": text,
        "digest": digest_of(text),
    }


def _outcome(connection: sa.Connection, ended: Any) -> Outcome:
    """Return what a job came to; its result may have expired since, and that it was done counts."""
    if ended.state == JobState.FAILED and ended.code in _BY_POLICY:
        return Outcome.REFUSED
    if ended.state == JobState.EXPIRED:
        finished = sa.select(events.c.id).where(events.c.job == ended.job, events.c.step == Step.FINISH.value)
        if connection.execute(finished.limit(1)).first() is not None:
            return Outcome.DONE
    return _OUTCOMES[JobState(ended.state)]
