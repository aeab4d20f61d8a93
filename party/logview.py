"""The party's log for people who read it: its state, and its entries by page, the newest first.

A log of a million entries is read as quickly as one of a hundred: what is asked for by job or by type is found by an
index, a time by halving, for times never go back in a log. Only who acted is found by looking, and no page looks
further than :data:`MOST_LOOKED` entries. Nothing here changes anything, and nothing is verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from audit import canonical
from audit.entry import parse
from party.auditlog import AuditLog, LogFacts
from party.store import Store
from party.tables import audit_checkpoints, audit_cosigned, audit_entries, audit_logs, audit_nodes
from psi.errors import UsageError

MAX_PAGE: Final = 200
# Entries that one page goes through, where there is no index for what is asked.
MOST_LOOKED: Final = 100_000
_END: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Witness:
    """A partner: how many entries of the own log it has cosigned, and why it does not cosign more (a code)."""

    partner: str
    size: int
    trouble: str | None


@dataclass(frozen=True, slots=True)
class LogState:
    """A log as a whole. ``last_time`` is in milliseconds since 1970 UTC, ``checkpoint_at`` in seconds.

    ``policy`` is the digest of the policy in force; ``checkpoint`` is the size of the newest signed checkpoint.
    ``newest`` tells whether entries still go to this log.
    """

    facts: LogFacts
    newest: bool
    size: int
    last_time: int
    policy: str | None
    checkpoint: int | None
    checkpoint_at: float | None
    witnesses: tuple[Witness, ...]


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry: its canonical bytes, and what they say; ``said`` is ``None`` for bytes that are no entry."""

    sequence: int
    data: bytes = field(repr=False)
    said: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class LogPage:
    """Entries, the newest first; ``following`` is the ``before`` of the next page, ``None`` on the last.

    ``looked_to`` is the entry down to which this page looked before it gave up finding more, else ``None``.
    """

    entries: tuple[LogEntry, ...]
    following: int | None
    looked_to: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries: of a ``job`` (its whole id), of a ``type``, by an ``actor`` as the log calls it.

    ``since`` (included) and ``until`` (not included) are in milliseconds since 1970 UTC.
    """

    job: str | None = None
    type: str | None = None
    actor: str | None = None
    since: int | None = None
    until: int | None = None


class LogView:
    """The logs in ``store``, to be read. Raises ``UsageError`` where the store fails."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._log = AuditLog(store)

    def state(self, epoch: int | None = None) -> LogState:
        """Return the state of the newest log, or of that of ``epoch``. Raises ``UsageError`` if there is none."""
        facts = self._log.facts(epoch)
        if facts is None:
            known = ", ".join(map(str, self._log.epochs())) or "none yet"
            raise UsageError(
                f"There is no log {epoch or 1} in this home.", hint=f"there is {known}", code="missing_file"
            )
        newest, signed, given = sa.func.max(audit_logs.c.epoch), audit_checkpoints, audit_cosigned
        with self._store.reading() as connection:
            row = connection.execute(sa.select(audit_logs).where(audit_logs.c.epoch == facts.epoch)).one()
            last = connection.execute(sa.select(newest)).scalar_one()
            checkpoint = connection.execute(
                sa.select(signed.c.size, signed.c.at)
                .where(signed.c.epoch == facts.epoch)
                .order_by(signed.c.size.desc())
                .limit(1)
            ).first()
            witnesses = connection.execute(
                sa.select(given.c.partner, given.c.size, given.c.code)
                .where(given.c.epoch == facts.epoch)
                .order_by(given.c.partner)
            ).all()
        return LogState(
            facts,
            facts.epoch == last,
            row.size,
            row.last_time,
            row.policy,
            None if checkpoint is None else checkpoint.size,
            None if checkpoint is None else checkpoint.at,
            tuple(Witness(*each) for each in witnesses),
        )

    def page(self, epoch: int, wanted: Wanted, *, before: int | None = None, limit: int = 50) -> LogPage:
        """Return at most ``limit`` (1 to 200) entries below the number ``before`` that are ``wanted``."""
        limit = max(1, min(limit, MAX_PAGE))
        table = audit_entries
        query = sa.select(table.c.sequence, table.c.entry).where(table.c.epoch == epoch)
        if wanted.job is not None:
            query = query.where(table.c.job == wanted.job)
        if wanted.type is not None:
            # Of a job there are few, to be looked at one by one; by type would be another index, the wrong one.
            column = table.c.type if wanted.job is None else sa.func.coalesce(table.c.type, "")
            query = query.where(column == wanted.type)
        with self._store.reading() as connection:
            first = 0 if wanted.since is None else _from(connection, epoch, wanted.since)
            top = _END if wanted.until is None else _from(connection, epoch, wanted.until)
            top = top if before is None else min(top, before)
            rest = query.where(table.c.sequence >= first, table.c.sequence < top)
            rest, looked_to = rest.order_by(table.c.sequence.desc()), None
            if wanted.actor is not None:
                last = rest.with_only_columns(table.c.sequence).offset(MOST_LOOKED - 1).limit(1)
                looked_to = connection.execute(last).scalar()
                rest = rest.where(table.c.sequence >= (looked_to or first), _acted(wanted.actor))
            rows = connection.execute(rest.limit(limit + 1)).all()
        found = [LogEntry(row.sequence, bytes(row.entry), _said(bytes(row.entry))) for row in rows[:limit]]
        if len(rows) > limit:
            return LogPage(tuple(found), found[-1].sequence)
        return LogPage(tuple(found), looked_to, looked_to)

    def entry(self, epoch: int, sequence: int) -> tuple[LogEntry, bytes] | None:
        """Return an entry and its leaf hash in the tree; ``None`` where there is none of that number."""
        table, nodes = audit_entries, audit_nodes
        # The leaves of the tree are its nodes at level 0, numbered as the entries are.
        query = (
            sa.select(table.c.entry, nodes.c.hash)
            .join(nodes, sa.and_(nodes.c.epoch == table.c.epoch, nodes.c.node == table.c.sequence))
            .where(table.c.epoch == epoch, table.c.sequence == sequence)
        )
        with self._store.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        data = bytes(row.entry)
        return LogEntry(sequence, data, _said(data)), bytes(row.hash)

    def job_like(self, start: str) -> str:
        """Return the whole id of the job of the log that begins with ``start``, lower-case hexadecimal digits.

        Raises ``UsageError`` (``unknown_job``) unless it is exactly one.
        """
        column = audit_entries.c.job
        # "g" is behind all digits; a range is found by the index, a pattern is not.
        query = sa.select(column).where(column >= start, column < start + "g").distinct().limit(2)
        with self._store.reading() as connection:
            found = list(connection.execute(query).scalars())
        if len(found) == 1:
            return str(found[0])
        many = "More than one job" if found else "No job"
        hint = (
            "write more of the id"
            if found
            else "jobs without an entry, such as those before the log, have none"
        )
        raise UsageError(
            f"{many} of the log has an id that begins with {start}.", hint=hint, code="unknown_job"
        )


def _acted(actor: str) -> sa.ColumnElement[bool]:
    """Return the condition that an entry is by ``actor``, the first key of what is canonical JSON."""
    beginning = canonical.encode({"actor": actor})[:-1] + b","
    return sa.func.substr(audit_entries.c.entry, 1, len(beginning)) == beginning


def _from(connection: sa.Connection, epoch: int, time: int) -> int:
    """Return the number of the first entry at or after ``time``, by halving."""
    low, high = (
        0,
        int(connection.execute(sa.select(audit_logs.c.size).where(audit_logs.c.epoch == epoch)).scalar_one()),
    )
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(
            sa.select(audit_entries.c.entry).where(
                audit_entries.c.epoch == epoch, audit_entries.c.sequence == middle
            )
        ).first()
        said = None if row is None else _said(bytes(row.entry))
        if said is None:
            raise UsageError(
                f"Entry {middle:,} of the log cannot be read, so times in it cannot be found.",
                hint="look without times, and verify the log",
                code="bad_format",
            )
        low, high = (middle + 1, high) if said["time"] < time else (low, middle)
    return low


def _said(data: bytes) -> dict[str, Any] | None:
    try:
        return parse(data)
    except ValueError:
        return None
