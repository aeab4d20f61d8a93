"""Sessions of browsers, kept at the server: what a browser holds is a random number that means nothing elsewhere.

A session ends after a time without a request, after a longer time whatever happens, when its person is disabled or
changes the password, or when the person says so. Its CSRF token is derived from the secret, so none is stored.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from audit.entry import Draft
from party.auditlog import note
from party.bearer import BearerSecret, digest_of
from party.budget import Clock, local_clock
from party.people import Person, person_of, refusal
from party.store import Store
from party.tables import people, sessions

IDLE: Final = datetime.timedelta(minutes=30)
ABSOLUTE: Final = datetime.timedelta(hours=12)
_SECRET_BYTES: Final = 32
_SECRET: Final = re.compile("[A-Za-z0-9_-]{43}")
_CSRF: Final = b"veiljoin csrf"
# A session that is used is noted so at most once in this many seconds: pages shall not wait for the store's lock.
_TOUCH: Final = 60.0
# Of one person; a new one ends the oldest.
_MOST: Final = 20
_LONGEST_SOURCE: Final = 64


class SessionSecret(BearerSecret):
    """What a browser shows: 256 random bits."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session as its person sees it in a list: ``source`` is the address that it was begun from."""

    id: str
    source: str
    begun: datetime.datetime
    used: datetime.datetime


@dataclass(frozen=True, slots=True)
class Session:
    """The session of a request. ``csrf`` is what its forms carry."""

    id: str
    person: Person
    begun: datetime.datetime
    used: datetime.datetime
    csrf: str = field(repr=False)


class Sessions:
    """The sessions in ``store``. All methods raise ``UsageError`` where the store fails."""

    def __init__(
        self,
        store: Store,
        clock: Clock = local_clock,
        idle: datetime.timedelta = IDLE,
        absolute: datetime.timedelta = ABSOLUTE,
    ) -> None:
        self._store = store
        self._clock = clock
        self._idle = idle.total_seconds()
        self._absolute = absolute.total_seconds()

    def begin(self, person: Person, source: str) -> SessionSecret:
        """Begin a session of ``person`` from the address ``source``. Raises ``PolicyRefusal`` for a disabled one."""
        secret, now = SessionSecret.new(_SECRET_BYTES), self._now()
        with self._store.transaction() as connection:
            enabled = sa.select(people.c.id).where(people.c.id == person.id, people.c.disabled.is_(False))
            if connection.execute(enabled).first() is None:
                raise refusal()
            self._purge(connection, now)
            mine = sa.select(sessions.c.id).where(sessions.c.person == person.id)
            oldest = mine.order_by(sessions.c.used.desc()).offset(_MOST - 1)
            connection.execute(
                sessions.delete().where(sessions.c.id.in_(connection.execute(oldest).scalars().all()))
            )
            connection.execute(
                sessions.insert().values(
                    id=secrets.token_hex(16),
                    person=person.id,
                    digest=secret.digest(),
                    source=source[:_LONGEST_SOURCE],
                    begun=now,
                    used=now,
                )
            )
        return secret

    def find(self, secret: str) -> Session | None:
        """Return the session whose secret a browser shows, and note its use; ``None`` if it is none or over."""
        if _SECRET.fullmatch(secret) is None:
            return None
        now = self._now()
        query = (
            sa.select(sessions.c.id.label("session"), sessions.c.begun, sessions.c.used, people)
            .join(people, people.c.id == sessions.c.person)
            .where(sessions.c.digest == digest_of(secret), people.c.disabled.is_(False), *self._living(now))
        )
        with self._store.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        if now - row.used >= _TOUCH:
            with self._store.transaction() as connection:
                connection.execute(sessions.update().where(sessions.c.id == row.session).values(used=now))
        return Session(row.session, person_of(row), _moment(row.begun), _moment(row.used), csrf_of(secret))

    def list(self, person: Person) -> list[OpenSession]:
        """Return the person's sessions, the last used first."""
        query = (
            sa.select(sessions)
            .where(sessions.c.person == person.id, *self._living(self._now()))
            .order_by(sessions.c.used.desc(), sessions.c.id)
        )
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return [OpenSession(row.id, row.source, _moment(row.begun), _moment(row.used)) for row in rows]

    def counts(self) -> dict[int, int]:
        """Return how many sessions each person has, by the person's number; of those who have any."""
        query = (
            sa.select(sessions.c.person, sa.func.count())
            .where(*self._living(self._now()))
            .group_by(sessions.c.person)
        )
        with self._store.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def end(self, session: Session) -> None:
        """End one session, as its person wishes."""
        with self._store.transaction() as connection:
            gone = connection.execute(sessions.delete().where(sessions.c.id == session.id))
            if gone.rowcount:
                note(connection, Draft("logout", session.person.name, None, {"code": None}), self._now())

    def end_all(self, person: Person, but: Session | None = None) -> int:
        """End all sessions of ``person``, or all others than ``but``; returns how many."""
        mine = sa.and_(sessions.c.person == person.id, sessions.c.id != ("" if but is None else but.id))
        with self._store.transaction() as connection:
            count = connection.execute(sessions.delete().where(mine)).rowcount
            if count:
                code = "everywhere" if but is None else "elsewhere"
                note(connection, Draft("logout", person.name, None, {"code": code}), self._now())
        return count

    def purge(self) -> None:
        """Remove what is over."""
        with self._store.transaction() as connection:
            self._purge(connection, self._now())

    def _living(self, now: float) -> tuple[sa.ColumnElement[bool], ...]:
        return (sessions.c.used > now - self._idle, sessions.c.begun > now - self._absolute)

    def _purge(self, connection: sa.Connection, now: float) -> None:
        connection.execute(sessions.delete().where(sa.not_(sa.and_(*self._living(now)))))

    def _now(self) -> float:
        return self._clock().timestamp()


def csrf_of(secret: str) -> str:
    """Return the CSRF token of the session with this secret, in hexadecimal."""
    return hmac.new(secret.encode("ascii"), _CSRF, hashlib.sha256).hexdigest()


def same_token(one: str, other: str) -> bool:
    """Return whether two CSRF tokens are equal, in a time that doesn't depend on where they differ."""
    return hmac.compare_digest(
        one.encode("utf-8", "backslashreplace"), other.encode("utf-8", "backslashreplace")
    )


def _moment(seconds: Any) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
