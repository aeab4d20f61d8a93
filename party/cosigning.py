"""Both logs, as two parties vouch for each other's: offers to the partner, and cosignatures of what it offers.

No network and no waiting (``party.notary`` has those): each call reads and writes the store. What is cosigned is
stored first, in one transaction with the judgement, so that no two processes cosign two trees. audit/SPEC 4 and 6.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from audit.checkpoint import Cosigner, check_cosignature, open_checkpoint, sign_checkpoint, with_cosignature
from audit.entry import Draft
from audit.keys import REHEARSAL, KeysError, LogKeys, certify, check, origin_of, role_of
from audit.note import NoteError, Signer, join, parse_line, parse_verifier, split
from audit.witness import FORK, Accept, Conflict, Known, Offer, judge
from party.auditlog import AuditLog, LogFacts, note
from party.budget import Clock
from party.identity import public_identity
from party.store import Store
from party.tables import audit_checkpoints, audit_cosigned, audit_logs, audit_partner_logs, audit_witnessed
from psi.errors import PeerViolation
from psi.secret import SigningSeed
from veiljoin import log_messages as wire

UNKNOWN_LOG: Final = "unknown_log"
# The partner has cosigned more of our log than this store has of it.
SHORTER: Final = "shorter"
# It did not answer in time.
WITHHELD: Final = "withheld"
# What no cosignature ends: who showed two logs is believed again under a new identity only, and a store that went
# back needs a new log (`veiljoin restore`).
_LASTING: Final = frozenset({FORK, SHORTER})
# A party has one log, and one more for each time that its store was put back.
_MOST_LOGS: Final = 16
# How far a cosignature's time may be from ours: clocks are off at times.
_MOST_SKEW: Final = 2 * 86_400


@dataclass(frozen=True, slots=True)
class LogSecrets:
    """The private halves of a log's two keys."""

    log: SigningSeed
    witness: SigningSeed


@dataclass(frozen=True, slots=True)
class PartnerLog:
    """A partner's log as it is known here: its keys, and size and root that were cosigned last."""

    partner: str
    origin: str
    identity: bytes
    log_key: str
    witness_key: str
    proof: bytes
    size: int
    root: bytes


def begin_log(
    log: AuditLog, secrets: LogSecrets, identity: SigningSeed, role: str, name: str, software: str, at: float
) -> None:
    """Begin a log under ``secrets``, certified by ``identity``; where it was begun already, nothing happens."""
    own = public_identity(identity)
    origin = origin_of(role, name, own)
    key, witness = public_identity(secrets.log), public_identity(secrets.witness)
    proof = certify(identity, origin, key, witness)
    keys = LogKeys(origin, key, witness, proof)
    log.begin(
        LogFacts(0, origin, role, name, own, keys.log_verifier, keys.witness_verifier, proof), software, at
    )


class Cosigning:
    """The cosigning of one party, whose newest log is in ``store``; ``secrets`` are that log's keys.

    Raises ``UsageError`` where the store fails.
    """

    def __init__(self, store: Store, secrets: LogSecrets, clock: Clock) -> None:
        self._store = store
        self.clock = clock
        self.log = AuditLog(store)
        facts = self.log.facts()
        if facts is None:
            raise RuntimeError("the log is begun first")
        self.facts = facts
        self._signer = Signer(facts.origin, secrets.log)
        self._cosigner = Cosigner(f"{facts.origin}/witness", secrets.witness)

    # -- the own log

    def keys(self) -> wire.LogKeys:
        """Return what the partner needs to know of the own log."""
        facts = self.facts
        return wire.LogKeys(facts.origin, facts.log_key, facts.witness_key, facts.proof)

    def checkpoint(self) -> tuple[int, bytes]:
        """Return size and signed note of the log as it is now; one that is there already is not signed again."""
        head = self.log.head()
        if head is None:
            raise RuntimeError("the log is begun first")
        known = self.log.checkpoint(self.facts.epoch, head.size)
        if known is not None:
            return head.size, known
        signed = sign_checkpoint(head, self._signer)
        return head.size, self.log.keep_checkpoint(self.facts.epoch, head.size, signed, self._now())

    def offer(self, partner: str, old: int | None = None) -> wire.LogOffer | None:
        """Return what asks ``partner`` to cosign the log as it is now, from ``old`` on; ``None`` if it has."""
        if self.trouble(partner) == SHORTER:
            return None  # whatever was signed now would be another state of the same log
        cosigned = self.cosigned_size(partner) if old is None else old
        if old and self.log.checkpoint(self.facts.epoch, old) is None:
            # The partner has a checkpoint that this store does not: it was put back by other means than a restore.
            self.note_refusal(partner, self.log.size(), SHORTER)
            return None
        size, signed = self.checkpoint()
        if cosigned >= size and old is None:
            return None
        proof = self.log.consistency(self.facts.epoch, cosigned, size)
        text, lines = split(signed)
        # The partner needs our signature alone.
        return wire.LogOffer(join(text, lines[:1]), cosigned, tuple(proof))

    def cosigned_size(self, partner: str) -> int:
        """Return how many entries of the own log ``partner`` has cosigned."""
        row = self._cosigned(partner)
        return 0 if row is None else int(row.size)

    def trouble(self, partner: str) -> str | None:
        """Return why ``partner`` does not cosign: a code; ``None`` where all is well."""
        row = self._cosigned(partner)
        return None if row is None else row.code

    def take(self, partner: str, message: wire.LogCosigned) -> bool:
        """Keep a cosignature of the own log. Raises ``PeerViolation`` for one that is not right.

        Returns whether it was refused or missing before, so that jobs with the partner can go on now.
        """
        signed = self.log.checkpoint(self.facts.epoch, message.size)
        theirs = self.partner_log(partner)
        if signed is None or theirs is None:
            raise PeerViolation(f"{partner} cosigned a checkpoint of our log that there is not.")
        try:
            seconds = check_cosignature(split(signed)[0], message.line, theirs.witness_key)
            if abs(seconds - self._now()) > _MOST_SKEW:
                raise NoteError("the time of a cosignature is another day's")
        except NoteError:
            raise PeerViolation(f"{partner} sent a cosignature of our log that does not hold.") from None
        epoch = self.facts.epoch
        with self._store.transaction() as connection:
            of = sa.and_(audit_checkpoints.c.epoch == epoch, audit_checkpoints.c.size == message.size)
            kept = connection.execute(sa.select(audit_checkpoints.c.note).where(of)).scalar_one()
            connection.execute(
                audit_checkpoints.update().where(of).values(note=with_cosignature(bytes(kept), message.line))
            )
            row = self._row(connection, partner)
            if row is not None and message.size <= row.size:
                return False  # said before: it ends nothing that was noted since
            resumed = row is not None and row.code is not None and row.code not in _LASTING
            self._put(connection, partner, row, message.size, None)
            if resumed:
                facts = {"partner": partner, "size": message.size}
                note(connection, Draft("cosign_resumed", f"partner:{partner}", facts=facts), self._now())
        return resumed

    def note_refusal(self, partner: str, size: int, code: str) -> None:
        """Note that ``partner`` did not cosign the own log at ``size``; said once until it cosigns again."""
        with self._store.transaction() as connection:
            row = self._row(connection, partner)
            if row is not None and row.code == code:
                return
            self._put(connection, partner, row, 0 if row is None else row.size, code)
            facts = {"partner": partner, "size": size, "code": code}
            note(connection, Draft("cosign_refused", f"partner:{partner}", facts=facts), self._now())

    # -- the partner's log

    def learn(self, partner: str, identity: bytes, keys: wire.LogKeys) -> None:
        """Remember the partner's log. Raises ``PeerViolation`` unless the partner's ``identity`` vouches for it."""
        try:
            log, witness = (parse_verifier(each) for each in (keys.log_key, keys.witness_key))
            told = LogKeys(keys.origin, log.public, witness.public, keys.proof)
            check(told, identity)
            right = (told.log_verifier, told.witness_verifier) == (keys.log_key, keys.witness_key)
            right = right and self._is_counterpart(keys.origin)
        except (KeysError, NoteError):
            right = False
        if not right:
            raise PeerViolation(
                f"{partner} named a log that is not certified by its identity.",
                hint="check that it runs the node that was enrolled",
            )
        with self._store.transaction() as connection:
            known = connection.execute(
                sa.select(audit_partner_logs).where(audit_partner_logs.c.origin == keys.origin)
            ).first()
            if known is None:
                self._make_room(connection, partner, identity)
                facts = {"partner": partner, "log": keys.origin}
                note(connection, Draft("log_learned", f"partner:{partner}", facts=facts), self._now())
                connection.execute(
                    audit_partner_logs.insert().values(
                        partner=partner,
                        origin=keys.origin,
                        identity=identity.hex(),
                        log_key=keys.log_key,
                        witness_key=keys.witness_key,
                        proof=keys.proof.hex(),
                        size=0,
                        root=b"",
                        at=self._now(),
                    )
                )
            elif known.partner != partner or (known.log_key, known.witness_key) != (
                keys.log_key,
                keys.witness_key,
            ):
                raise PeerViolation(
                    f"{partner} changed the keys of its log, or named the log of another partner.",
                    hint="compare both parties' bundles; a node that was set up anew is invited again",
                )

    def _make_room(self, connection: sa.Connection, partner: str, identity: bytes) -> None:
        """Check that a partner may name one more log; one that comes with a new identity is believed again."""
        query = sa.select(audit_partner_logs.c.identity).where(audit_partner_logs.c.partner == partner)
        identities = list(connection.execute(query).scalars())
        if len(identities) >= _MOST_LOGS:
            raise PeerViolation(
                f"{partner} named more than {_MOST_LOGS} logs.",
                hint="ask it what happened to its store; invite it anew under another name",
            )
        row = self._row(connection, partner)
        if row is not None and row.code == FORK and identity.hex() not in identities:
            connection.execute(
                audit_cosigned.update()
                .where(audit_cosigned.c.epoch == self.facts.epoch, audit_cosigned.c.partner == partner)
                .values(code=None)
            )

    def _is_counterpart(self, origin: str) -> bool:
        """Return whether a log of this name can be a partner's: of the other role, and a rehearsal's if ours is."""
        rehearsed = [each.split("/")[2] == REHEARSAL for each in (origin, self.facts.origin)]
        return role_of(origin) != self.facts.role and rehearsed[0] == rehearsed[1]

    def partner_log(self, partner: str) -> PartnerLog | None:
        """Return the newest log of ``partner`` that it has named."""
        return next(iter(reversed(self.partner_logs(partner))), None)

    def partner_logs(self, partner: str | None = None) -> list[PartnerLog]:
        """Return the logs of ``partner``, or of all partners, the oldest first."""
        query = sa.select(audit_partner_logs).order_by(audit_partner_logs.c.id)
        if partner is not None:
            query = query.where(audit_partner_logs.c.partner == partner)
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return [_partner_log(row) for row in rows]

    def judge(
        self, partner: str, offer: wire.LogOffer
    ) -> wire.LogCosigned | wire.LogConflict | wire.LogRefused:
        """Return the answer to an offer of ``partner``: a cosignature, if its log has only grown."""
        with self._store.transaction() as connection:
            row = connection.execute(
                sa.select(audit_partner_logs)
                .where(audit_partner_logs.c.partner == partner)
                .order_by(audit_partner_logs.c.id.desc())
                .limit(1)
            ).first()
            if row is None:
                return wire.LogRefused(0, UNKNOWN_LOG)
            known = Known(row.size, bytes(row.root)) if row.size else None
            verdict = judge(Offer(offer.note, offer.old_size, offer.proof), known, row.log_key)
            match verdict:
                case Conflict(size):
                    return wire.LogConflict(size)
                case Accept(checkpoint):
                    told = self._told_before(connection, row, checkpoint.size)
                    if told is not None:
                        return told
                    now = self._now()
                    # Nothing else that stands in the note is ours to keep.
                    signed = join(split(offer.note)[0], [_own_line(offer.note, row.log_key)])
                    line = self._cosigner.cosign(signed, int(now))
                    connection.execute(
                        audit_partner_logs.update()
                        .where(audit_partner_logs.c.id == row.id)
                        .values(size=checkpoint.size, root=checkpoint.root)
                    )
                    connection.execute(
                        audit_witnessed.insert().values(
                            origin=row.origin,
                            size=checkpoint.size,
                            note=with_cosignature(signed, line),
                            at=now,
                        )
                    )
                    return wire.LogCosigned(checkpoint.size, line)
            if verdict.code == FORK:
                self._keep_fork(connection, partner, row, offer)
            return wire.LogRefused(row.size, verdict.code)

    def _told_before(self, connection: sa.Connection, row: sa.Row[Any], size: int) -> wire.LogCosigned | None:
        """Return the cosignature that the tree of ``size`` entries was given, if it was the last."""
        if size != row.size:
            return None
        kept = connection.execute(
            sa.select(audit_witnessed.c.note)
            .where(
                audit_witnessed.c.origin == row.origin,
                audit_witnessed.c.size == size,
                audit_witnessed.c.reason.is_(None),
            )
            .order_by(audit_witnessed.c.id.desc())
            .limit(1)
        ).first()
        if kept is None:
            return None
        lines = [line for line in split(bytes(kept.note))[1] if _is_of(line, self._cosigner.verifier)]
        return wire.LogCosigned(size, lines[0]) if lines else None

    def _keep_fork(
        self, connection: sa.Connection, partner: str, row: sa.Row[Any], offer: wire.LogOffer
    ) -> None:
        """Keep an offer that contradicts what was cosigned: its signature convicts the log."""
        signed = join(split(offer.note)[0], [_own_line(offer.note, row.log_key)])
        evidence = hashlib.sha256(signed).hexdigest()
        kept = sa.select(audit_witnessed.c.id).where(
            audit_witnessed.c.origin == row.origin, audit_witnessed.c.reason == FORK
        )
        if connection.execute(kept).first() is not None:
            return  # one convicts it; more would only fill our store
        size = open_checkpoint(offer.note, row.log_key).size
        now = self._now()
        connection.execute(
            audit_witnessed.insert().values(origin=row.origin, size=size, note=signed, reason=FORK, at=now)
        )
        facts = {"partner": partner, "size": size, "evidence": evidence}
        note(connection, Draft("fork_seen", f"partner:{partner}", facts=facts), now)
        cosigned = self._row(connection, partner)
        self._put(connection, partner, cosigned, 0 if cosigned is None else cosigned.size, FORK)

    # -- rows

    def _cosigned(self, partner: str) -> sa.Row[Any] | None:
        with self._store.reading() as connection:
            return self._row(connection, partner)

    def _row(self, connection: sa.Connection, partner: str) -> sa.Row[Any] | None:
        return connection.execute(
            sa.select(audit_cosigned).where(
                audit_cosigned.c.epoch == self.facts.epoch, audit_cosigned.c.partner == partner
            )
        ).first()

    def _put(
        self, connection: sa.Connection, partner: str, row: sa.Row[Any] | None, size: int, code: str | None
    ) -> None:
        if row is None:
            connection.execute(
                audit_cosigned.insert().values(epoch=self.facts.epoch, partner=partner, size=size, code=code)
            )
            return
        if row.code in _LASTING and code != FORK:
            code = row.code
        connection.execute(
            audit_cosigned.update()
            .where(audit_cosigned.c.epoch == self.facts.epoch, audit_cosigned.c.partner == partner)
            .values(size=size, code=code)
        )

    def _now(self) -> float:
        return self.clock().timestamp()


def trouble(store: Store, partner: str) -> str | None:
    """Return why ``partner`` does not cosign the newest log in ``store``, as a code; ``None`` where all is well."""
    newest = sa.select(sa.func.max(audit_logs.c.epoch)).scalar_subquery()
    query = sa.select(audit_cosigned.c.code).where(
        audit_cosigned.c.partner == partner, audit_cosigned.c.epoch == newest
    )
    with store.reading() as connection:
        return connection.execute(query).scalar()


def _partner_log(row: sa.Row[Any]) -> PartnerLog:
    return PartnerLog(
        row.partner,
        row.origin,
        bytes.fromhex(row.identity),
        row.log_key,
        row.witness_key,
        bytes.fromhex(row.proof),
        row.size,
        bytes(row.root),
    )


def _is_of(line: bytes, vkey: str) -> bool:
    verifier, parsed = parse_verifier(vkey), parse_line(line)
    return (parsed.name, parsed.key_id) == (verifier.name, verifier.key_id)


def _own_line(note: bytes, log_key: str) -> bytes:
    """Return the line of the log's own key, which was checked."""
    return next(line for line in split(note)[1] if _is_of(line, log_key))
