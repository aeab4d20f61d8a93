"""What a store says of its jobs: records, their approvals and history, lists by page. Nothing here changes any."""

from __future__ import annotations

import datetime
import json
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from party.jobstates import ActorKind, JobState, Step
from party.store import Store
from party.tables import approvals, events, jobs
from psi.errors import UsageError

MAX_ACTOR: Final = 64
MAX_PAGE: Final = 200
_SHORTEST_PREFIX: Final = 4
_HEX: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who takes a step. As text a person is the name alone, anybody else ``kind:name``."""

    kind: ActorKind
    name: str

    def __str__(self) -> str:
        return self.name if self.kind is ActorKind.PERSON else f"{self.kind}:{self.name}"


def person(name: str) -> Actor:
    """Return the person ``name``. Raises ``UsageError`` for what is no name or would pass for a machine's."""
    plain = unicodedata.normalize("NFKC", name).strip()
    if not 0 < len(plain) <= MAX_ACTOR or not plain.isprintable() or ":" in plain:
        raise UsageError(
            "The name of who does this is not one that the history can hold.",
            hint=f"give 1 to {MAX_ACTOR} plain characters without a colon, as in --as zhang.wei",
        )
    return Actor(ActorKind.PERSON, plain)


def node(instance: str) -> Actor:
    """Return the process ``instance`` of this node."""
    return Actor(ActorKind.NODE, instance)


def partner(name: str) -> Actor:
    """Return the partner ``name``."""
    return Actor(ActorKind.PARTNER, name)


def rule(name: str) -> Actor:
    """Return the standing rule ``name`` of the policy."""
    return Actor(ActorKind.RULE, name)


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job as the store has it. Times are timezone-aware.

    ``table`` is the parsed job file and ``source`` its text, ``digest`` the hex SHA-256 of what an approval is of:
    the contract, or before there is one the table. ``expires`` is the contract's end, after the job's end the
    result's. ``code`` says why a job was refused, cancelled, cut or failed. ``holder`` runs it until ``held_until``.
    """

    id: str
    number: int
    partner: str
    dataset: str
    kind: str
    purpose: str
    state: JobState
    code: str | None
    revision: int
    drafter: str
    editor: str
    created: datetime.datetime
    changed: datetime.datetime
    expires: datetime.datetime | None
    attempts: int
    holder: str | None
    held_until: datetime.datetime | None
    digest: str
    table: Mapping[str, Any] = field(repr=False)
    source: str = field(repr=False)
    contract: bytes | None = field(repr=False)
    bank_signature: bytes | None = field(repr=False)
    platform_signature: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Approval:
    """Who agreed to the job whose digest was ``digest``; ``voided`` is when an edit took it back."""

    actor: str
    role: str
    digest: str
    at: datetime.datetime
    voided: datetime.datetime | None


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One step of one job; ``id`` grows from step to step of the whole store."""

    id: int
    job: str
    at: datetime.datetime
    actor: str
    step: Step
    before: JobState | None
    after: JobState
    note: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs, the newest first; ``following`` is the ``before`` of the next page, ``None`` on the last."""

    jobs: tuple[JobRecord, ...]
    following: int | None


class JobList:
    """The jobs of ``store``, to be read."""

    def __init__(self, store: Store, zone: datetime.tzinfo | None = datetime.UTC) -> None:
        self._store = store
        self._zone = zone

    def get(self, job: str) -> JobRecord:
        """Return the job with this id. Raises ``UsageError`` (``unknown_job``)."""
        with self._store.reading() as connection:
            return record_of(row_of(connection, job), self._zone)

    def find(self, text: str) -> JobRecord:
        """Return the job whose id starts with ``text``. Raises ``UsageError`` unless it is exactly one."""
        start = text.strip().lower()
        if len(start) < _SHORTEST_PREFIX or not set(start) <= _HEX:
            raise unknown_job(text)
        with self._store.reading() as connection:
            rows = connection.execute(sa.select(jobs).where(jobs.c.id.startswith(start)).limit(2)).all()
        if not rows:
            raise unknown_job(text)
        if len(rows) > 1:
            raise UsageError(
                f"More than one job has an id that starts with {start}.",
                hint="write more of the id",
                code="unknown_job",
            )
        return record_of(rows[0], self._zone)

    def list(
        self,
        *,
        states: Collection[JobState] = (),
        partner: str | None = None,
        kind: str | None = None,
        others_than: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Page:
        """Return at most ``limit`` (1 to 200) jobs in ``states`` (none: any), with ``partner``, of ``kind``.

        ``others_than`` leaves out those that this person drafted, or was the last to edit.
        """
        limit = max(1, min(limit, MAX_PAGE))
        query = sa.select(jobs).order_by(jobs.c.number.desc()).limit(limit + 1)
        if states:
            query = query.where(jobs.c.state.in_([state.value for state in states]))
        for column, value in ((jobs.c.partner, partner), (jobs.c.kind, kind)):
            if value is not None:
                query = query.where(column == value)
        if others_than is not None:
            query = query.where(jobs.c.drafter != others_than, jobs.c.editor != others_than)
        if before is not None:
            query = query.where(jobs.c.number < before)
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        found = tuple(record_of(row, self._zone) for row in rows[:limit])
        return Page(found, found[-1].number if len(rows) > limit else None)

    def counts(self) -> dict[JobState, int]:
        """Return how many jobs are in each state."""
        query = sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state)
        with self._store.reading() as connection:
            found = {str(state): int(count) for state, count in connection.execute(query)}
        return {state: found.get(state.value, 0) for state in JobState}

    def count_since(self, state: JobState, since: datetime.datetime) -> int:
        """Return how many jobs are in ``state`` that came there at ``since`` or later."""
        query = sa.select(sa.func.count()).where(
            jobs.c.state == state.value, jobs.c.changed >= since.timestamp()
        )
        with self._store.reading() as connection:
            return int(connection.scalar(query) or 0)

    def longest(self, states: Collection[JobState]) -> dict[str, datetime.datetime]:
        """Return by partner since when the job is in one of ``states`` that is there for the longest."""
        query = (
            sa.select(jobs.c.partner, sa.func.min(jobs.c.changed))
            .where(jobs.c.state.in_([state.value for state in states]))
            .group_by(jobs.c.partner)
        )
        with self._store.reading() as connection:
            return {str(partner): self._time(at) for partner, at in connection.execute(query)}

    def approvals(self, job: str) -> tuple[Approval, ...]:
        """Return the approvals of a job, voided ones among them, the oldest first."""
        query = sa.select(approvals).where(approvals.c.job == job).order_by(approvals.c.id)
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return tuple(
            Approval(row.actor, row.role, row.digest, self._time(row.at), self._when(row.voided))
            for row in rows
        )

    def events(self, job: str | None = None, *, after: int = 0, limit: int = 1000) -> tuple[JobEvent, ...]:
        """Return at most ``limit`` steps of ``job``, or of all jobs, with ids above ``after``, the oldest first."""
        query = sa.select(events).where(events.c.id > after).order_by(events.c.id).limit(limit)
        if job is not None:
            query = query.where(events.c.job == job)
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return tuple(
            JobEvent(
                id=row.id,
                job=row.job,
                at=self._time(row.at),
                actor=row.actor,
                step=Step(row.step),
                before=None if row.before is None else JobState(row.before),
                after=JobState(row.after),
                note=row.note,
            )
            for row in rows
        )

    def _time(self, at: float) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(at, self._zone).astimezone(self._zone)

    def _when(self, at: float | None) -> datetime.datetime | None:
        return None if at is None else self._time(at)


def row_of(connection: sa.Connection, job: str) -> sa.Row[Any]:
    """Return the row of the job with this id. Raises ``UsageError`` (``unknown_job``)."""
    row = connection.execute(sa.select(jobs).where(jobs.c.id == job)).first()
    if row is None:
        raise unknown_job(job)
    return row


def unknown_job(text: str) -> UsageError:
    """Return the error for a job that isn't there."""
    shown = text if text.isprintable() and len(text) <= MAX_ACTOR else "of that name"
    return UsageError(
        f"There is no job {shown}.",
        hint=f"`veiljoin job list` shows the jobs; {_SHORTEST_PREFIX} or more first characters of an id do",
        code="unknown_job",
    )


def record_of(row: sa.Row[Any], zone: datetime.tzinfo | None) -> JobRecord:
    """Return a row of the table ``jobs`` as a record, its times in ``zone`` (``None``: the machine's)."""
    values = dict(row._mapping)
    for name in ("created", "changed", "expires", "held_until"):
        at = values[name]
        values[name] = (
            None if at is None else datetime.datetime.fromtimestamp(at, datetime.UTC).astimezone(zone)
        )
    values["state"] = JobState(values["state"])
    values["table"] = json.loads(values.pop("job_table"))
    return JobRecord(**values)
