"""How a schedule takes a step: in one transaction that checks the state and writes what happened.

Notes and codes are single words: no text that could carry data is kept with a step.
"""

from __future__ import annotations

import datetime
from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa

from party.address import same_person
from party.auditlog import note
from party.jobentries import actor_of, of_schedule
from party.jobrecords import Actor
from party.jobstates import ActorKind
from party.nodefile import BANK
from party.refusals import attempt
from party.schedulerecords import (
    SCHEDULE_TRANSITIONS,
    ScheduleList,
    ScheduleRecord,
    ScheduleState,
    ScheduleStep,
    unknown_schedule,
)
from party.scheduleterms import digest_of, parse_terms
from party.tables import schedule_approvals, schedule_events, schedule_runs, schedules
from psi.errors import PolicyRefusal, UsageError


class ScheduleSteps(ScheduleList):
    """The schedules of a store, and the one way to change their state; see ``party.schedules.Schedules``."""

    def _first(self, connection: sa.Connection, row: sa.Row[Any]) -> float:
        """Return the first time that is due from now on and was not seen to, should the clock have gone back."""
        table = schedule_runs
        last = connection.execute(
            sa.select(sa.func.max(table.c.due)).where(table.c.schedule == row.id)
        ).scalar()
        timetable = parse_terms(row.terms).timetable
        seen = datetime.datetime.fromtimestamp(last or 0.0, datetime.UTC)
        due = timetable.following(max(self._clock(), seen))
        if due is None or (timetable.runs is not None and row.drafted >= timetable.runs):
            raise UsageError(
                f"Schedule {row.id} has no time left until {timetable.until}.",
                hint="edit it with a later last day or more runs; a second person approves it again",
                code="wrong_state",
            )
        return due.timestamp()

    def _agreed(self, connection: sa.Connection, row: sa.Row[Any]) -> bool:
        table = schedule_approvals
        valid = connection.execute(
            sa.select(table.c.actor, table.c.digest).where(
                table.c.schedule == row.id, table.c.voided.is_(None)
            )
        ).all()
        return any(
            each.digest == digest_of(row.terms)
            and not any(same_person(each.actor, writer) for writer in self._writers(connection, row))
            for each in valid
        )

    def _writers(self, connection: sa.Connection, row: sa.Row[Any]) -> set[str]:
        """Return who has had a hand in the schedule: its drafter and all of its editors."""
        steps = (ScheduleStep.DRAFT.value, ScheduleStep.EDIT.value)
        written = sa.select(schedule_events.c.actor).where(
            schedule_events.c.schedule == row.id, schedule_events.c.step.in_(steps)
        )
        return {row.drafter, row.editor, *connection.execute(written).scalars()}

    def _unchanged(self, connection: sa.Connection, record: ScheduleRecord) -> sa.Row[Any] | None:
        row = self._row(connection, record.id)
        same = row.revision == record.revision and row.state == ScheduleState.ACTIVE
        return row if same else None

    def _take(
        self, schedule: str, step: ScheduleStep, actor: Actor, code: str | None, **values: Any
    ) -> ScheduleRecord:
        with self._attempt(step, actor) as connection:
            row = self._step(connection, self._row(connection, schedule), step, actor, code, **values)
        return self._record(row)

    def _attempt(self, step: ScheduleStep, actor: Actor) -> AbstractContextManager[sa.Connection]:
        """Give the transaction of ``step``; that ``actor`` may not take it is in the log, where it may not."""
        return attempt(self._store, self._clock, actor_of(actor, BANK), f"schedule_{step.value}")

    def _check(self, row: sa.Row[Any], step: ScheduleStep, actor: Actor) -> ScheduleState:
        """Return the state after ``step``, or raise."""
        after = SCHEDULE_TRANSITIONS.get((ScheduleState(row.state), step))
        if after is None:
            possible = ", ".join(state for state, each in SCHEDULE_TRANSITIONS if each is step)
            raise UsageError(
                f"Schedule {row.id} is {row.state}, where {step} is not possible.",
                hint=f"{step} is for schedules that are {possible}",
                code="wrong_state",
            )
        if actor.kind is not ActorKind.NODE or step not in (ScheduleStep.PAUSE, ScheduleStep.END):
            by_person(actor, step)
        return after

    def _step(
        self,
        connection: sa.Connection,
        row: sa.Row[Any],
        step: ScheduleStep,
        actor: Actor,
        code: str | None,
        **values: Any,
    ) -> sa.Row[Any]:
        """Take ``step`` or raise; returns the row after it."""
        after = self._check(row, step, actor)
        changed = self._write(connection, row, state=after.value, code=code, changed=self._now(), **values)
        self._event(connection, changed, actor, step, after, code)
        return changed

    def _write(self, connection: sa.Connection, row: sa.Row[Any], **values: Any) -> sa.Row[Any]:
        # The write lock keeps others out; the revision holds even where somebody wrote without it.
        changed = connection.execute(
            schedules.update()
            .where(schedules.c.number == row.number, schedules.c.revision == row.revision)
            .values(revision=row.revision + 1, **values)
        )
        if changed.rowcount != 1:
            raise RuntimeError("a schedule changed in the middle of a transaction")
        return self._row(connection, row.id)

    def _event(
        self,
        connection: sa.Connection,
        row: sa.Row[Any],
        actor: Actor,
        step: ScheduleStep,
        after: ScheduleState,
        code: str | None,
    ) -> None:
        """Write that ``step`` led to ``row``: the event that people are shown, and the entry in the log."""
        now = self._now()
        connection.execute(
            schedule_events.insert().values(
                schedule=row.id,
                at=now,
                actor=str(actor),
                step=step.value,
                after=after.value,
                note=code,
            )
        )
        note(connection, of_schedule(row, BANK, actor, step.value, code), now)

    def _row(self, connection: sa.Connection, schedule: str) -> sa.Row[Any]:
        row = connection.execute(sa.select(schedules).where(schedules.c.id == schedule)).first()
        if row is None:
            raise unknown_schedule(schedule)
        return row

    def _now(self) -> float:
        return self._clock().timestamp()


def by_person(actor: Actor, step: ScheduleStep) -> None:
    """Refuse ``step`` to whoever is no person."""
    if actor.kind is not ActorKind.PERSON:
        raise PolicyRefusal(
            f"{actor} may not {step} a schedule.", hint="a person of the bank does that", code="not_allowed"
        )
