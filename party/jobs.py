"""The joint jobs of one party, and their running: one process at a time, under a lease.

The process that holds the lease renews it while it works; once it has run out another may take the job over. Whoever
lost the lease can't finish, so a job has one result at most, however many processes believe that they run it.
Leases go by the clock of the machine: one that jumps ahead ends them early, which costs an attempt and no more.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from party.agreement import AgreedJobs
from party.jobrecords import Actor, JobRecord, node, row_of
from party.jobstates import JobState, Step, states_for
from party.tables import job_progress, jobs
from psi.errors import UsageError

LEASE: Final = datetime.timedelta(seconds=60)
LAPSED: Final = "lease_lapsed"
_NO_LEASE: Final[Mapping[str, Any]] = {"holder": None, "held_until": None}


class Jobs(AgreedJobs):
    """The jobs of ``side`` (bank | platform) in ``store``; ``clock`` gives timezone-aware times.

    An attempt that was cut is made again, until ``attempts`` in a row have died without bringing the job any further.
    Steps return the job after it. They raise
    ``UsageError``: ``unknown_job``; ``wrong_state`` that names the state; and ``PolicyRefusal`` (``not_allowed``) for
    who may not take it. Nothing has changed then.
    """

    def start(self, job: str, instance: str, lease: datetime.timedelta = LEASE) -> JobRecord:
        """Take the lease for process ``instance`` and start an attempt; of several processes exactly one gets it.

        An attempt whose lease has run out counts as cut, and the next one starts.
        """
        now = self._clock()
        with self._store.transaction() as connection:
            row = row_of(connection, job)
            if row.state == JobState.RUNNING and row.held_until <= now.timestamp() and row.holder != instance:
                self._note_cut(connection, row.id, 0, counts=True)
                row = self._step(connection, row, Step.RETRY, node(instance), LAPSED, **_NO_LEASE)
            if row.state == JobState.ACCEPTED and self._idle(connection, row.id) >= self._attempts:
                raise UsageError(
                    f"Job {row.id} has used its {self._attempts} attempts.",
                    hint="draft it again once its history shows why they were cut",
                    code="wrong_state",
                )
            after = self._step(
                connection,
                row,
                Step.START,
                node(instance),
                attempts=row.attempts + 1,
                holder=instance,
                held_until=(now + lease).timestamp(),
            )
        return self._record(after)

    def renew(self, job: str, instance: str, lease: datetime.timedelta = LEASE) -> JobRecord:
        """Keep the lease. Raises ``UsageError`` (``wrong_state``) once the job was cancelled or taken over."""
        with self._store.transaction() as connection:
            row = self._held(connection, job, instance)
            until = (self._clock() + lease).timestamp()
            connection.execute(jobs.update().where(jobs.c.number == row.number).values(held_until=until))
            row = row_of(connection, job)
        return self._record(row)

    def retry(
        self, job: str, instance: str, code: str, *, reached: int = 0, counts: bool = True
    ) -> JobRecord:
        """End an attempt that was cut: the job is accepted again, or failed once all attempts are used.

        ``reached`` grows with what of the job is durable, ``counts`` says whether the attempt ended by itself.
        """
        with self._store.transaction() as connection:
            row = self._held(connection, job, instance)
            after = self._cut(connection, row, node(instance), code, reached, counts=counts)
        return self._record(after)

    def lapse(self, instance: str) -> tuple[JobRecord, ...]:
        """End the attempts of other processes whose lease has run out, as :meth:`retry` does; returns their jobs."""
        now = self._clock().timestamp()
        over = sa.and_(jobs.c.state == JobState.RUNNING, jobs.c.held_until <= now, jobs.c.holder != instance)
        with self._store.reading() as connection:
            if connection.execute(sa.select(jobs.c.id).where(over).limit(1)).first() is None:
                return ()
        with self._store.transaction() as connection:
            rows = connection.execute(sa.select(jobs).where(over).order_by(jobs.c.number)).all()
            cut = [self._cut(connection, row, node(instance), LAPSED) for row in rows]
        return tuple(self._record(row) for row in cut)

    def finish(self, job: str, instance: str, keep: datetime.timedelta | None = None) -> JobRecord:
        """End the job with its result, which is kept for ``keep`` (``None``: until somebody removes it).

        Publish a result only after this returned: who lost the lease gets ``wrong_state`` here.
        """
        expires = None if keep is None else (self._clock() + keep).timestamp()
        with self._store.transaction() as connection:
            row = self._held(connection, job, instance)
            after = self._step(connection, row, Step.FINISH, node(instance), expires=expires, **_NO_LEASE)
        return self._record(after)

    def fail(self, job: str, instance: str, code: str) -> JobRecord:
        """End the job without a result, while this process runs it or before anybody does."""
        with self._store.transaction() as connection:
            row = row_of(connection, job)
            if row.state == JobState.RUNNING:
                row = self._held(connection, job, instance)
            after = self._step(connection, row, Step.FAIL, node(instance), code, **_NO_LEASE)
        return self._record(after)

    # Expiry

    def due(self) -> tuple[JobRecord, ...]:
        """Return the jobs whose contract or result has run out: remove the result first, then :meth:`expire`."""
        possible = [state.value for state in states_for(Step.EXPIRE)]
        query = (
            sa.select(jobs)
            .where(jobs.c.state.in_(possible), jobs.c.expires <= self._clock().timestamp())
            .order_by(jobs.c.number)
        )
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return tuple(self._record(row) for row in rows)

    def expire(self, job: str, instance: str) -> JobRecord:
        """Note that the contract or the result has run out. Raises ``UsageError`` (``wrong_state``) before that."""
        with self._store.transaction() as connection:
            row = row_of(connection, job)
            if row.expires is None or row.expires > self._clock().timestamp():
                raise UsageError(
                    f"Job {row.id} has not expired.",
                    hint="cancel it, if it shall end now",
                    code="wrong_state",
                )
            after = self._step(connection, row, Step.EXPIRE, node(instance))
        return self._record(after)

    def _cut(
        self,
        connection: sa.Connection,
        row: sa.Row[Any],
        actor: Actor,
        code: str,
        reached: int = 0,
        *,
        counts: bool = True,
    ) -> sa.Row[Any]:
        idle = self._note_cut(connection, row.id, reached, counts=counts)
        step = Step.FAIL if idle >= self._attempts else Step.RETRY
        return self._step(connection, row, step, actor, code, **_NO_LEASE)

    def _note_cut(self, connection: sa.Connection, job: str, reached: int, *, counts: bool) -> int:
        """Note how far the job is; returns how many attempts in a row have died without adding to that."""
        table = job_progress
        row = connection.execute(sa.select(table).where(table.c.job == job)).first()
        before, idle = (0, 0) if row is None else (row.reached, row.idle)
        idle = 0 if reached > before else idle + counts
        values = {"reached": max(reached, before), "idle": idle}
        if row is None:
            connection.execute(table.insert().values(job=job, **values))
        else:
            connection.execute(table.update().where(table.c.job == job).values(**values))
        return idle

    def _idle(self, connection: sa.Connection, job: str) -> int:
        query = sa.select(job_progress.c.idle).where(job_progress.c.job == job)
        return connection.execute(query).scalar() or 0

    def _held(self, connection: sa.Connection, job: str, instance: str) -> sa.Row[Any]:
        """Return the row of a job that ``instance`` runs."""
        row = row_of(connection, job)
        if row.state != JobState.RUNNING:
            raise UsageError(
                f"Job {row.id} is {row.state} and no longer runs.",
                hint="end the attempt; its result does not count",
                code="wrong_state",
            )
        if row.holder != instance:
            raise UsageError(
                f"Job {row.id} is run by another process of this node.",
                hint="end the attempt; its result does not count",
                code="wrong_state",
            )
        return row
