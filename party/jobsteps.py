"""How a joint job takes a step: in one transaction that checks the state and writes what happened.

So a process may be killed between any two statements: a step was taken whole, with its event and its entry in the
party's log, or not at all. Steps and who may take them are the tables of ``party.jobstates``.

Notes and codes are single words of a fixed alphabet: no text that could carry data is kept with a step.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import Any, Final

import sqlalchemy as sa

from party.auditlog import notes
from party.budget import Clock, local_clock
from party.jobentries import of_step
from party.jobrecords import Actor, JobList, JobRecord, record_of, row_of, unknown_job
from party.jobstates import TRANSITIONS, ActorKind, JobState, Step, actors_for, states_for
from party.refusals import attempt
from party.store import Store
from party.tables import events, jobs
from psi.errors import PolicyRefusal, UsageError

# Attempts in a row that died without bringing the job any further; cuts by the link or the partner don't count.
MAX_ATTEMPTS: Final = 5
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
# Steps that make no sense once the contract has run out.
_IN_FORCE: Final = frozenset({Step.APPROVE, Step.PROPOSE, Step.ACCEPT, Step.START})


class JobSteps(JobList):
    """The jobs of ``side`` in ``store``, and the one way to change their state; see ``party.jobs.Jobs``."""

    def __init__(
        self, store: Store, side: str, clock: Clock = local_clock, *, attempts: int = MAX_ATTEMPTS
    ) -> None:
        super().__init__(store, clock().tzinfo)
        self._side = side
        self._clock = clock
        self._attempts = attempts

    def _attempt(
        self, step: Step, actor: Actor, job: str | None = None
    ) -> AbstractContextManager[sa.Connection]:
        """Give the transaction of ``step``; that ``actor`` may not take it is in the log, where it may not.

        Not of the own node's processes, which try what another one may have made impossible meanwhile.
        """
        if actor.kind is ActorKind.NODE:
            return self._store.transaction()
        hidden = actor.kind is ActorKind.PARTNER
        return attempt(self._store, self._clock, str(actor), step.value, job, hidden=hidden)

    def _take(self, job: str, step: Step, actor: Actor, code: str, **values: Any) -> JobRecord:
        with self._attempt(step, actor, job) as connection:
            after = self._step(connection, row_of(connection, job), step, actor, code, **values)
        return self._record(after)

    def _step(
        self,
        connection: sa.Connection,
        row: sa.Row[Any],
        step: Step,
        actor: Actor,
        code: str | None = None,
        **values: Any,
    ) -> sa.Row[Any]:
        """Take ``step`` or raise; returns the row after it. ``code`` becomes the job's and the event's."""
        if actor.kind is ActorKind.PARTNER and actor.name != row.partner:
            # Nor is a partner told that there is such a job.
            raise unknown_job(row.id)
        state = JobState(row.state)
        after = TRANSITIONS.get((state, step))
        if after is None:
            raise _wrong_state(row, step)
        self._check_actor(step, actor, state)
        now = self._clock()
        if step in _IN_FORCE and row.expires is not None and row.expires <= now.timestamp():
            raise UsageError(
                f"The contract of job {row.id} has expired.", hint="draft the job again", code="bad_contract"
            )
        if code is not None:
            if not _CODE.fullmatch(code):
                raise ValueError("a code is one word of lower-case letters, digits and underscores")
            values["code"] = code
        elif after is JobState.DONE:
            values["code"] = None  # why an earlier attempt was cut is in the history
        # The write lock keeps others out; the revision holds even where somebody wrote without it.
        changed = connection.execute(
            jobs.update()
            .where(jobs.c.number == row.number, jobs.c.revision == row.revision)
            .values(state=after.value, revision=row.revision + 1, changed=now.timestamp(), **values)
        )
        if changed.rowcount != 1:
            raise RuntimeError("a job changed in the middle of a transaction")
        changed_row = row_of(connection, row.id)
        self._event(connection, changed_row, now.timestamp(), actor, step, state, after, code)
        return changed_row

    def _event(
        self,
        connection: sa.Connection,
        row: sa.Row[Any],
        at: float,
        actor: Actor,
        step: Step,
        before: JobState | None,
        after: JobState,
        note: str | None,
    ) -> None:
        """Write that ``step`` led to ``row``: the event that people are shown, and the entry in the log."""
        connection.execute(
            events.insert().values(
                job=row.id,
                at=at,
                actor=str(actor),
                step=step.value,
                before=None if before is None else before.value,
                after=after.value,
                note=note,
            )
        )
        notes(connection, of_step(row, self._side, step, actor, before, note), at)

    def _record(self, row: sa.Row[Any]) -> JobRecord:
        return record_of(row, self._zone)

    def _check_actor(self, step: Step, actor: Actor, state: JobState | None) -> None:
        allowed = actors_for(self._side, step, state)
        if actor.kind not in allowed:
            whose = " or ".join(sorted(f"a {kind}" for kind in allowed)) or "the other party"
            raise PolicyRefusal(
                f"{actor} may not {step} a job at the {self._side}.",
                hint=f"here {whose} does that",
                code="not_allowed",
            )


def _wrong_state(row: sa.Row[Any], step: Step) -> UsageError:
    possible = ", ".join(states_for(step))
    return UsageError(
        f"Job {row.id} is {row.state}, where {step} is not possible.",
        hint=f"{step} is for jobs that are {possible}; look at it again, somebody else may have been faster",
        code="wrong_state",
    )
