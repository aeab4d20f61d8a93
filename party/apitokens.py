"""Tokens of programs, which act as the person who made them, in what the token is for and that person still may."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from audit.entry import Draft
from party.auditlog import note
from party.bearer import BearerSecret, digest_of
from party.budget import Clock, local_clock
from party.people import Person, logged, person_of
from party.store import Store
from party.tables import api_tokens, people
from psi.errors import UsageError

# What a token may be used for: the rights of the console, without that to one's own account.
SCOPES: Final = frozenset(
    ("see", "draft", "decide", "cancel", "datasets", "results", "partners", "people", "audit")
)
LONGEST_DAYS: Final = 365
_PREFIX: Final = "vjt_"
_SECRET_BYTES: Final = 32
_TOKEN: Final = re.compile("vjt_[A-Za-z0-9_-]{43}")
_LONGEST_NAME: Final = 64
# Of one person, those that can be used.
_MOST: Final = 50
# A token that is used is noted so at most once in this many seconds.
_TOUCH: Final = 60.0


class TokenSecret(BearerSecret):
    """What a program shows: ``vjt_`` and 256 random bits. ``number`` is the token's."""

    __slots__ = ("number",)
    number: int


@dataclass(frozen=True, slots=True)
class ApiToken:
    """One token. ``used`` is when it was last seen, to the minute; ``revoked`` and ``expires`` end it."""

    id: int
    person: Person
    name: str
    scopes: frozenset[str]
    made: datetime.datetime
    expires: datetime.datetime
    used: datetime.datetime | None
    revoked: datetime.datetime | None


class ApiTokens:
    """The tokens in ``store``. All methods raise ``UsageError`` where the store fails."""

    def __init__(self, store: Store, clock: Clock = local_clock) -> None:
        self._store = store
        self._clock = clock

    def make(self, person: Person, name: str, scopes: Iterable[str], days: int, actor: str) -> TokenSecret:
        """Make a token of ``person``, called ``name``, for ``days`` (1 to 365); its secret is not shown again.

        Raises ``UsageError`` for a name, scopes or days that can't be, and for the 51st token.
        """
        actor, wanted = logged(actor), frozenset(scopes)
        label = name.strip()
        if not 0 < len(label) <= _LONGEST_NAME or not label.isprintable():
            raise UsageError(
                "This cannot be the name of a token.",
                hint=f"use 1 to {_LONGEST_NAME} characters that say who uses it",
            )
        if not wanted or not wanted <= SCOPES:
            raise UsageError(
                "These cannot be the scopes of a token.", hint=f"choose among {', '.join(sorted(SCOPES))}"
            )
        if not 1 <= days <= LONGEST_DAYS:
            raise UsageError(
                f"A token is good for 1 to {LONGEST_DAYS} days.", hint="make another when it has ended"
            )
        secret, now = TokenSecret.new(_SECRET_BYTES, _PREFIX), self._now()
        expires = now + days * 86_400.0
        with self._store.transaction() as connection:
            mine = sa.select(sa.func.count()).where(api_tokens.c.person == person.id, *_usable(now))
            if connection.execute(mine).scalar_one() >= _MOST:
                raise UsageError(f"{person.name} has {_MOST} tokens.", hint="revoke those that nobody uses")
            values = {
                "person": person.id,
                "name": label,
                "digest": secret.digest(),
                "scopes": " ".join(sorted(wanted)),
                "made": now,
                "expires": expires,
            }
            number = connection.execute(
                api_tokens.insert().values(values).returning(api_tokens.c.id)
            ).scalar_one()
            secret.number = number
            facts = {
                "person": person.name,
                "token": number,
                "scopes": ", ".join(sorted(wanted)),
                "until": int(expires * 1000),
            }
            note(connection, Draft("token_created", actor, None, facts), now)
        return secret

    def find(self, text: str) -> ApiToken | None:
        """Return the token that a program shows, and note that it was used; ``None`` if it is none or has ended."""
        if _TOKEN.fullmatch(text) is None:
            return None
        now = self._now()
        query = _all().where(
            api_tokens.c.digest == digest_of(text), people.c.disabled.is_(False), *_usable(now)
        )
        with self._store.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        if row.used is None or now - row.used >= _TOUCH:
            with self._store.transaction() as connection:
                connection.execute(api_tokens.update().where(api_tokens.c.id == row.token).values(used=now))
        return _token(row)

    def list(self, person: Person | None = None) -> list[ApiToken]:
        """Return the tokens of ``person``, or of all, the newest first; those that have ended among them."""
        query = _all().order_by(api_tokens.c.id.desc())
        if person is not None:
            query = query.where(api_tokens.c.person == person.id)
        with self._store.reading() as connection:
            return [_token(row) for row in connection.execute(query)]

    def revoke(self, id: int, actor: str, owner: Person | None = None) -> None:
        """End a token now; with ``owner`` only one of theirs is there.

        Raises ``UsageError`` if there is none of this number.
        """
        actor, now = logged(actor), self._now()
        with self._store.transaction() as connection:
            row = connection.execute(_all().where(api_tokens.c.id == id)).first()
            if row is None or (owner is not None and row.id != owner.id):
                raise UsageError("There is no such token.", hint="the list of tokens has their numbers")
            if row.revoked is None:
                connection.execute(api_tokens.update().where(api_tokens.c.id == id).values(revoked=now))
                facts = {"person": row.name, "token": id}
                note(connection, Draft("token_revoked", actor, None, facts), now)

    def _now(self) -> float:
        return self._clock().timestamp()


def _usable(now: float) -> tuple[sa.ColumnElement[bool], ...]:
    return (api_tokens.c.revoked.is_(None), api_tokens.c.expires > now)


def _all() -> sa.Select[Any]:
    ours = (
        api_tokens.c.id.label("token"),
        api_tokens.c.name.label("label"),
        api_tokens.c.scopes,
        api_tokens.c.made,
        api_tokens.c.expires,
        api_tokens.c.used,
        api_tokens.c.revoked,
    )
    return sa.select(*ours, people).join(people, people.c.id == api_tokens.c.person)


def _token(row: Any) -> ApiToken:
    return ApiToken(
        row.token,
        person_of(row),
        row.label,
        frozenset(row.scopes.split()),
        _moment(row.made),
        _moment(row.expires),
        None if row.used is None else _moment(row.used),
        None if row.revoked is None else _moment(row.revoked),
    )


def _moment(seconds: Any) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
