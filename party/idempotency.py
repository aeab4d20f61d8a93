"""Answers to programs by a key of their own, so that a request which is sent again is not carried out again.

As in draft-ietf-httpapi-idempotency-key-header: the key belongs to one request of one person. It is held before the
request is carried out; one that never came to an answer stays held, since nobody knows how far it got.
"""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from party.budget import Clock, local_clock
from party.store import Store
from party.tables import api_answers
from psi.errors import UsageError

KEPT: Final = datetime.timedelta(hours=24)
LONGEST_KEY: Final = 128
LARGEST_BODY: Final = 64 * 1024
# Of one person within a day; the oldest go first.
_MOST: Final = 1_000


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What was answered: the HTTP status and the body as it was sent."""

    status: int
    body: bytes = field(repr=False)


class Idempotency:
    """The answers in ``store``. All methods raise ``UsageError`` where the store fails."""

    def __init__(self, store: Store, clock: Clock = local_clock) -> None:
        self._store = store
        self._clock = clock

    def begin(self, person: int, key: str, request: str) -> StoredAnswer | None:
        """Hold ``key`` for the request with the digest ``request``; returns the answer if it was given before.

        Raises ``UsageError`` for a key that can't be one; ``wrong_state`` if it was used for another request, if the
        first is still being carried out or was cut, and if its answer is not kept.
        """
        if not 0 < len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable():
            raise UsageError(
                "The idempotency key cannot be used.",
                hint=f"send 1 to {LONGEST_KEY} characters of ASCII, such as a UUID",
            )
        now, ours = self._clock().timestamp(), _ours(person, key)
        with self._store.transaction() as connection:
            connection.execute(api_answers.delete().where(api_answers.c.at <= now - KEPT.total_seconds()))
            row = connection.execute(sa.select(api_answers).where(ours)).first()
            if row is None:
                _make_room(connection, person)
                connection.execute(
                    api_answers.insert().values(person=person, key=_digest(key), request=request, at=now)
                )
                return None
        if row.request != request:
            raise _conflict(
                "This idempotency key was used for another request.", "take a new key for each request"
            )
        if row.status is None:
            raise _conflict(
                "The request with this idempotency key has no answer yet.",
                "look whether it was carried out before you send it under a new key",
            )
        if row.body is None:
            raise _conflict(
                "The request with this idempotency key was answered, and its answer is not kept.",
                "look at what it made; send it under a new key to have it carried out again",
            )
        return StoredAnswer(row.status, bytes(row.body))

    def finish(self, person: int, key: str, status: int, body: bytes | None) -> None:
        """Keep the answer; of one beyond 64 KiB, or with a secret (``None``), only that it was given."""
        kept = body is not None and len(body) <= LARGEST_BODY
        values = {"status": status, "body": body if kept else None}
        with self._store.transaction() as connection:
            connection.execute(api_answers.update().where(_ours(person, key)).values(**values))

    def drop(self, person: int, key: str) -> None:
        """Let the key be used again: its request was refused before it changed anything."""
        with self._store.transaction() as connection:
            connection.execute(api_answers.delete().where(_ours(person, key), api_answers.c.status.is_(None)))


def _make_room(connection: sa.Connection, person: int) -> None:
    mine = sa.select(api_answers.c.key).where(api_answers.c.person == person)
    older = mine.order_by(api_answers.c.at.desc(), api_answers.c.key).offset(_MOST - 1)
    keys = connection.execute(older).scalars().all()
    connection.execute(
        api_answers.delete().where(api_answers.c.person == person, api_answers.c.key.in_(keys))
    )


def _ours(person: int, key: str) -> sa.ColumnElement[bool]:
    return sa.and_(api_answers.c.person == person, api_answers.c.key == _digest(key))


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("ascii", "backslashreplace")).hexdigest()


def _conflict(sentence: str, hint: str) -> UsageError:
    return UsageError(sentence, hint=hint, code="wrong_state")
