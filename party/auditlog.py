"""The party's own log in its store: entries, tree, checkpoints. What happens and its entry are one transaction.

Whoever takes a step that an auditor asks about calls :func:`note` with the connection that the step is written with:
there is no step without its entry, nor an entry without its step. A store without a log, that of a home which only
rehearses, notes nothing. Formats are in audit/SPEC.md.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from audit import canonical, merkle
from audit.checkpoint import Checkpoint
from audit.commitment import commit
from audit.entry import SALT_BYTES, Draft, build
from party.store import Store
from party.tables import (
    audit_checkpoints,
    audit_details,
    audit_entries,
    audit_logs,
    audit_nodes,
    audit_policies,
)

_LEVEL_BITS: Final = 48
_SALT: Final = 32
# Rows of a statement; SQLite takes no more than 32,766 values in one.
_ROWS: Final = 2_000
_FETCH: Final = 10_000


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What a log says of itself: its keys as C2SP verifier keys, certified by the party's identity (``proof``)."""

    epoch: int
    origin: str
    role: str
    name: str
    identity: bytes
    log_key: str
    witness_key: str
    proof: bytes


def note(connection: sa.Connection, draft: Draft, at: float) -> int | None:
    """Append ``draft`` within the caller's transaction; returns its sequence number.

    ``at`` is in seconds since 1970 UTC. ``None`` where the store has no log, or has noted the draft's key before.
    """
    noted = notes(connection, (draft,), at)
    return noted[0] if noted else None


def notes(connection: sa.Connection, drafts: Sequence[Draft], at: float) -> list[int]:
    """Append ``drafts``, without those whose key was noted before; returns the sequence numbers of the others."""
    log = connection.execute(sa.select(audit_logs).order_by(audit_logs.c.epoch.desc()).limit(1)).first()
    if log is None:
        return []
    new = _new(connection, log.epoch, drafts)
    if not new:
        return []
    # Never back, whatever the machine's clock does: an auditor reads the order from the times as well.
    time = max(int(at * 1000), log.last_time)
    entries, leaves, kept = [], [], []
    policy = log.policy
    for sequence, draft in enumerate(new, start=log.size):
        commitment = None
        if draft.details is not None:
            salt, details = secrets.token_bytes(_SALT), canonical.encode(dict(draft.details))
            commitment = commit(salt, draft.details)
            kept.append({"epoch": log.epoch, "sequence": sequence, "salt": salt, "details": details})
        if draft.type == "policy_set":
            policy = draft.facts["digest"]
        data = build(
            draft,
            log=log.origin,
            role=log.role,
            sequence=sequence,
            time=time,
            policy=policy,
            commit=commitment,
            salt=secrets.token_bytes(SALT_BYTES),
        )
        leaves.append(merkle.leaf_hash(data))
        entries.append(
            {
                "epoch": log.epoch,
                "sequence": sequence,
                "type": draft.type,
                "job": draft.job,
                "mark": draft.key,
                "entry": data,
            }
        )
    nodes = merkle.grown(log.size, leaves, _reader(connection, log.epoch))
    for table, rows in (
        (audit_entries, entries),
        (audit_details, kept),
        (
            audit_nodes,
            [{"epoch": log.epoch, "node": _number(node), "hash": digest} for node, digest in nodes],
        ),
    ):
        for start in range(0, len(rows), _ROWS):
            connection.execute(table.insert(), rows[start : start + _ROWS])
    connection.execute(
        audit_logs.update()
        .where(audit_logs.c.epoch == log.epoch)
        .values(size=log.size + len(new), last_time=time, policy=policy)
    )
    return [row["sequence"] for row in entries]


class AuditLog:
    """The newest log of ``store``. Raises ``UsageError`` where the store fails."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, facts: LogFacts, software: str, at: float) -> None:
        """Begin a log, unless one of its name is there; entries go to it from now on. ``facts.epoch`` is not used."""
        with self._store.transaction() as connection:
            of = sa.select(audit_logs.c.epoch).where(audit_logs.c.origin == facts.origin)
            if connection.execute(of).first() is not None:
                return
            connection.execute(
                audit_logs.insert().values(
                    origin=facts.origin,
                    role=facts.role,
                    name=facts.name,
                    identity=facts.identity.hex(),
                    log_key=facts.log_key,
                    witness_key=facts.witness_key,
                    proof=facts.proof.hex(),
                    size=0,
                    last_time=0,
                    at=at,
                )
            )
            opened = {
                "identity": facts.identity.hex(),
                "log_key": facts.log_key,
                "witness_key": facts.witness_key,
                "proof": facts.proof.hex(),
                "software": software,
            }
            note(connection, Draft("log_opened", f"node:{facts.role}", facts=opened), at)

    def facts(self, epoch: int | None = None) -> LogFacts | None:
        """Return what the newest log, or that of ``epoch``, says of itself; ``None`` where there is none."""
        query = sa.select(audit_logs).order_by(audit_logs.c.epoch.desc()).limit(1)
        if epoch is not None:
            query = query.where(audit_logs.c.epoch == epoch)
        with self._store.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        identity, proof = bytes.fromhex(row.identity), bytes.fromhex(row.proof)
        return LogFacts(
            row.epoch, row.origin, row.role, row.name, identity, row.log_key, row.witness_key, proof
        )

    def epochs(self) -> tuple[int, ...]:
        """Return the numbers of all logs of this store, the oldest first."""
        with self._store.reading() as connection:
            return tuple(
                connection.execute(sa.select(audit_logs.c.epoch).order_by(audit_logs.c.epoch)).scalars()
            )

    def append(self, drafts: Sequence[Draft], at: float) -> int:
        """Append ``drafts`` in a transaction of their own; returns the log's size after it."""
        with self._store.transaction() as connection:
            notes(connection, drafts, at)
            return self._size(connection)

    def size(self) -> int:
        """Return how many entries the newest log has; 0 where there is none."""
        with self._store.reading() as connection:
            return self._size(connection)

    def head(self) -> Checkpoint | None:
        """Return size and root of the newest log as they are now; ``None`` where there is none."""
        with self._store.reading() as connection:
            row = connection.execute(
                sa.select(audit_logs).order_by(audit_logs.c.epoch.desc()).limit(1)
            ).first()
            if row is None:
                return None
            root = merkle.root(row.size, _reader(connection, row.epoch))
        return Checkpoint(row.origin, row.size, root)

    def consistency(self, epoch: int, old: int, new: int) -> list[bytes]:
        """Return the proof that the tree of ``old`` entries is the beginning of that of ``new`` (RFC 6962, 2.1.2)."""
        with self._store.reading() as connection:
            return merkle.consistency_proof(old, new, _reader(connection, epoch))

    def inclusion(self, epoch: int, sequence: int, size: int) -> list[bytes]:
        """Return the proof that entry ``sequence`` is in the tree of ``size`` entries (RFC 6962, 2.1.1)."""
        with self._store.reading() as connection:
            return merkle.inclusion_proof(sequence, size, _reader(connection, epoch))

    def entries(
        self, epoch: int, start: int = 0, stop: int | None = None, *, job: str | None = None
    ) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield (sequence, leaf hash, canonical bytes) of the entries from ``start`` on, all or those of ``job``."""
        nodes = audit_nodes.alias()
        last = start - 1
        while True:
            query = (
                sa.select(audit_entries.c.sequence, nodes.c.hash, audit_entries.c.entry)
                .join(
                    nodes,
                    sa.and_(nodes.c.epoch == audit_entries.c.epoch, nodes.c.node == audit_entries.c.sequence),
                )
                .where(audit_entries.c.epoch == epoch, audit_entries.c.sequence > last)
                .order_by(audit_entries.c.sequence)
                .limit(_FETCH)
            )
            if stop is not None:
                query = query.where(audit_entries.c.sequence < stop)
            if job is not None:
                query = query.where(audit_entries.c.job == job)
            with self._store.reading() as connection:
                rows = connection.execute(query).all()
            if not rows:
                return
            for sequence, leaf, entry in rows:
                yield sequence, bytes(leaf), bytes(entry)
            last = rows[-1][0]

    def last(self, job: str, kind: str) -> dict[str, Any] | None:
        """Return the newest entry of type ``kind`` about ``job``; ``None`` if there is none."""
        query = (
            sa.select(audit_entries.c.entry)
            .where(audit_entries.c.job == job, audit_entries.c.type == kind)
            .order_by(audit_entries.c.epoch.desc(), audit_entries.c.sequence.desc())
            .limit(1)
        )
        with self._store.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else canonical.decode(bytes(row.entry))

    def released(self, job: str) -> bool:
        """Return whether the node has noted that the result lies there; it does so a moment after it put it there.

        A result that somebody opens before is one that was never released, to an auditor. Of a job that ran before
        there was a log, nothing was noted at all.
        """
        return self.last(job, "result_released") is not None or self.last(job, "decision") is None

    def details(self, epoch: int, *, job: str | None = None) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield (sequence, salt, canonical details) of what entries commit to and was not erased."""
        query = (
            sa.select(audit_details.c.sequence, audit_details.c.salt, audit_details.c.details)
            .where(audit_details.c.epoch == epoch)
            .order_by(audit_details.c.sequence)
        )
        if job is not None:
            of_job = sa.select(audit_entries.c.sequence).where(
                audit_entries.c.epoch == epoch, audit_entries.c.job == job
            )
            query = query.where(audit_details.c.sequence.in_(of_job))
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        for sequence, salt, details in rows:
            yield sequence, bytes(salt), bytes(details)

    def checkpoint(self, epoch: int, size: int) -> bytes | None:
        """Return the signed note of the tree of ``size`` entries, with what it was cosigned by."""
        query = sa.select(audit_checkpoints.c.note).where(
            audit_checkpoints.c.epoch == epoch, audit_checkpoints.c.size == size
        )
        with self._store.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else bytes(row.note)

    def checkpoints(self, epoch: int) -> Iterator[tuple[int, bytes]]:
        """Yield (size, signed note with its cosignatures) of all checkpoints, the smallest first."""
        query = (
            sa.select(audit_checkpoints.c.size, audit_checkpoints.c.note)
            .where(audit_checkpoints.c.epoch == epoch)
            .order_by(audit_checkpoints.c.size)
        )
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        for size, signed in rows:
            yield size, bytes(signed)

    def keep_checkpoint(self, epoch: int, size: int, signed: bytes, at: float) -> bytes:
        """Keep the signed note of ``size`` unless there is one; returns the one that is kept."""
        with self._store.transaction() as connection:
            known = connection.execute(
                sa.select(audit_checkpoints.c.note).where(
                    audit_checkpoints.c.epoch == epoch, audit_checkpoints.c.size == size
                )
            ).first()
            if known is not None:
                return bytes(known.note)
            connection.execute(audit_checkpoints.insert().values(epoch=epoch, size=size, note=signed, at=at))
        return signed

    def keep_policy(self, connection: sa.Connection, digest: str, policy: bytes) -> None:
        """Keep the canonical bytes of a policy by their digest, within the caller's transaction."""
        known = connection.execute(sa.select(audit_policies).where(audit_policies.c.digest == digest)).first()
        if known is None:
            connection.execute(audit_policies.insert().values(digest=digest, policy=policy))

    def policies(self) -> Iterator[tuple[str, bytes]]:
        """Yield (digest, canonical bytes) of every policy that was in force."""
        with self._store.reading() as connection:
            rows = connection.execute(sa.select(audit_policies).order_by(audit_policies.c.digest)).all()
        for digest, policy in rows:
            yield digest, bytes(policy)

    def _size(self, connection: sa.Connection) -> int:
        query = sa.select(audit_logs.c.size).order_by(audit_logs.c.epoch.desc()).limit(1)
        return int(connection.execute(query).scalar() or 0)


def _new(connection: sa.Connection, epoch: int, drafts: Sequence[Draft]) -> list[Draft]:
    """Return the drafts whose key was not noted before, nor is that of an earlier one of them."""
    marks = [draft.key for draft in drafts if draft.key is not None]
    if not marks:
        return list(drafts)
    query = sa.select(audit_entries.c.mark).where(
        audit_entries.c.epoch == epoch, audit_entries.c.mark.in_(marks)
    )
    known = set(connection.execute(query).scalars())
    new = []
    for draft in drafts:
        if draft.key is not None:
            if draft.key in known:
                continue
            known.add(draft.key)
        new.append(draft)
    return new


def _number(node: merkle.Node) -> int:
    level, index = node
    return level << _LEVEL_BITS | index


def _reader(connection: sa.Connection, epoch: int) -> merkle.Read:
    def read(wanted: Sequence[merkle.Node]) -> Mapping[merkle.Node, bytes]:
        numbers = {_number(node): node for node in wanted}
        query = sa.select(audit_nodes.c.node, audit_nodes.c.hash).where(
            audit_nodes.c.epoch == epoch, audit_nodes.c.node.in_(numbers)
        )
        rows: Sequence[Any] = connection.execute(query).all() if numbers else ()
        return {numbers[row.node]: bytes(row.hash) for row in rows}

    return read
