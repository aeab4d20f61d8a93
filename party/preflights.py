"""The preflights of a party in its store: each run with both sides' words, wishes of people, and what follows.

A preflight counts for one contract (``digest``) over what was tried (``facts``); see docs/preflight.md.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from audit.entry import Draft
from party.auditlog import note
from party.budget import Clock, local_clock
from party.logged import own_actor
from party.store import Store
from party.tables import preflights
from psi.errors import UsageError
from veiljoin.control_messages import PREFLIGHT_PASSED

# Runs that a partner gets in an hour; a bank asks for fewer, so that it is not refused.
PER_JOB: Final = 8
PER_PARTNER: Final = 60
ASKED_PER_JOB: Final = 6
_HOUR: Final = 3_600.0
# Between two runs for one job.
_PAUSE: Final = 20.0
# No contract holds for longer.
_KEPT: Final = 32 * 86_400.0
# Words that say nothing of the job: the run is to be made again.
_NO_RUN: Final = frozenset({"limited", "failed"})
_AGAIN, _WITHOUT = "again", "without"
_TAKEN_BACK: Final = "taken_back"


class PreflightState(StrEnum):
    """What is known of a job's preflight."""

    NOT_RUN = "not_run"
    PASSED = "passed"
    FAILED = "failed"
    WITHOUT = "without"  # a person went without


@dataclass(frozen=True, slots=True)
class Preflight:
    """How the preflight of a job stands.

    ``code`` says why it failed, ``own`` whether at this side (``None``: the canaries of both did not meet),
    ``detail`` and ``hint`` more of it where it is this side's. ``at`` is when, ``actor`` who went without.
    """

    state: PreflightState
    code: str = ""
    own: bool | None = None
    at: datetime.datetime | None = None
    actor: str = ""
    detail: str = ""
    hint: str = ""

    @property
    def clear(self) -> bool:
        """Whether the job may go on."""
        return self.state in (PreflightState.PASSED, PreflightState.WITHOUT)


class Preflights:
    """The table in ``store``; ``clock`` gives timezone-aware times."""

    def __init__(self, store: Store, clock: Clock = local_clock) -> None:
        self._store = store
        self._clock = clock

    # -- runs

    def begin(
        self, run: bytes, job: str, digest: str, facts: str, partner: str, per_job: int = PER_JOB
    ) -> bool:
        """Enter a run; ``False``, and nothing is entered, if there were too many within an hour."""
        now = self._now()
        lately = sa.select(preflights.c.job).where(
            preflights.c.partner == partner, preflights.c.at > now - _HOUR, preflights.c.run.is_not(None)
        )
        with self._store.transaction() as connection:
            connection.execute(preflights.delete().where(preflights.c.at < now - _KEPT))
            made = [row.job for row in connection.execute(lately)]
            if made.count(job) >= per_job or len(made) >= PER_PARTNER:
                return False
            row = {"job": job, "digest": digest, "facts": facts, "partner": partner, "at": now}
            connection.execute(preflights.insert().values(run=run.hex(), **row))
        return True

    def known(self, run: bytes) -> bool:
        """Return whether a run was entered."""
        with self._store.reading() as connection:
            one = sa.select(preflights.c.id).where(preflights.c.run == run.hex())
            return connection.execute(one).first() is not None

    def say_own(self, run: bytes, word: str, detail: str = "", hint: str = "") -> None:
        """Note this side's word of a run, and what is wrong here."""
        with self._store.transaction() as connection:
            mine = preflights.update().where(preflights.c.run == run.hex())
            connection.execute(mine.values(own=word, detail=detail or None, hint=hint or None))
            self._note(connection, preflights.c.run == run.hex())

    def say_peer(self, run: bytes, partner: str, word: str) -> None:
        """Note the word of ``partner`` of a run with it; the first one counts."""
        theirs = (
            preflights.update()
            .where(preflights.c.run == run.hex(), preflights.c.partner == partner)
            .where(preflights.c.peer.is_(None))
        )
        with self._store.transaction() as connection:
            if connection.execute(theirs.values(peer=word)).rowcount:
                self._note(connection, preflights.c.run == run.hex(), f"partner:{partner}")

    # -- wishes

    def again(self, job: str, digest: str, partner: str, actor: str) -> None:
        """Note that a person wants another run."""
        self._wish(job, digest, partner, actor, _AGAIN)

    def go_without(self, job: str, digest: str, partner: str, actor: str) -> int:
        """Note that a person goes on without a preflight; returns the note's number."""
        return self._wish(job, digest, partner, actor, _WITHOUT)

    def take_back(self, note: int) -> None:
        """Take back the note ``note`` of :meth:`go_without`."""
        with self._store.transaction() as connection:
            self._note(connection, preflights.c.id == note, word=_TAKEN_BACK)
            connection.execute(preflights.delete().where(preflights.c.id == note))

    def _wish(self, job: str, digest: str, partner: str, actor: str, wish: str) -> int:
        row = {"job": job, "digest": digest, "facts": "", "partner": partner, "at": self._now()}
        with self._store.transaction() as connection:
            inserted = connection.execute(preflights.insert().values(wish=wish, actor=actor, **row))
            number = int(inserted.inserted_primary_key[0])  # type: ignore[index]
            self._note(connection, preflights.c.id == number, actor, word=wish)
        return number

    def _note(
        self,
        connection: sa.Connection,
        which: sa.ColumnElement[bool],
        actor: str | None = None,
        *,
        word: str | None = None,
    ) -> None:
        """Note in the party's log the words of a run, or of a wish the ``word`` that says what it is.

        ``actor`` ``None``: who wished, or the own node.
        """
        row = connection.execute(sa.select(preflights).where(which)).first()
        who = own_actor(connection)
        if row is None or who is None:
            return
        facts = {"digest": row.digest, "own": word or row.own, "peer": None if word else row.peer}
        draft = Draft("preflight", actor or row.actor or who, row.job, facts)
        note(connection, draft, self._now())

    # -- what follows

    def rows(self, jobs: Collection[str]) -> dict[str, list[sa.Row[Any]]]:
        """Return all there is of these jobs, the oldest first."""
        found: dict[str, list[sa.Row[Any]]] = {job: [] for job in jobs}
        with self._store.reading() as connection:
            query = sa.select(preflights).where(preflights.c.job.in_(found)).order_by(preflights.c.id)
            for row in connection.execute(query):
                found[row.job].append(row)
        return found

    def standing(self, rows: Sequence[sa.Row[Any]], digest: str, facts: str) -> Preflight:
        """Return how the preflight stands of a job with these ``rows``, for ``digest`` over ``facts``."""
        for row in reversed(rows):
            if row.digest != digest:
                continue
            at = datetime.datetime.fromtimestamp(row.at, self._clock().tzinfo)
            if row.wish == _WITHOUT:
                return Preflight(PreflightState.WITHOUT, at=at, actor=row.actor)
            if row.wish == _AGAIN:
                break
            if row.facts != facts:
                continue
            if row.own == row.peer == PREFLIGHT_PASSED:
                return Preflight(PreflightState.PASSED, at=at)
            for word, own in ((row.own, True), (row.peer, False)):
                if word is not None and word != PREFLIGHT_PASSED and word not in _NO_RUN:
                    side = None if word == "mismatch" else own
                    more = (row.detail or "", row.hint or "") if own or side is None else ("", "")
                    return Preflight(PreflightState.FAILED, word, side, at, "", *more)
        return Preflight(PreflightState.NOT_RUN)

    def due(self, rows: Sequence[sa.Row[Any]]) -> bool:
        """Return whether the bank may try a job again: not at once, and not too often."""
        now = self._now()
        lately = [row.at for row in rows if row.run is not None and row.at > now - _HOUR]
        if len(lately) >= ASKED_PER_JOB:
            return False
        return self.wished(rows) or not any(at > now - _PAUSE for at in lately)

    def wished(self, rows: Sequence[sa.Row[Any]]) -> bool:
        """Return whether a person asked for the next run."""
        return bool(rows) and rows[-1].wish == _AGAIN

    def require(self, found: Preflight, job: str, *, must_have_run: bool) -> None:
        """Raise ``UsageError`` (``form_mismatch``) if the preflight stands against an approval."""
        if found.state is PreflightState.FAILED:
            raise UsageError(
                f"The preflight of job {job} failed ({found.code}).",
                hint="`veiljoin job show` says what is wrong, and `veiljoin job preflight` tries again; "
                "--without-preflight goes on all the same",
                code="form_mismatch",
            )
        if must_have_run and not found.clear:
            raise UsageError(
                f"Job {job} has no preflight over the datasets as they are now.",
                hint="ask the bank to try it again, or go on with --without-preflight",
                code="form_mismatch",
            )

    def _now(self) -> float:
        return self._clock().timestamp()
