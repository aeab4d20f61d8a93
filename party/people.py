"""The people of this party who use its console: accounts in the store, their roles, and their passwords.

Whoever logs in is told one sentence, whether the name or the password is wrong or there were too many tries
(``party.throttle``), after the same work. Every change of an account is in the party's log, in its own transaction.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from audit.entry import Draft
from party import throttle
from party.address import check_person, same_person, spelling
from party.auditlog import note
from party.budget import Clock, local_clock
from party.jobrecords import person as named
from party.passwords import COST, Hasher, check_new, normal, turn
from party.refusals import STRANGER, attempt, note_refusal
from party.store import Store
from party.tables import api_tokens, people, sessions
from psi.errors import PolicyRefusal, UsageError

LANGUAGES: Final = ("en", "zh")
# How long somebody who logs in waits while others do, in seconds.
_PATIENCE: Final = 5.0
_LONGEST_NAME: Final = 64


class Role(StrEnum):
    """What a person is here; the same words at bank and platform."""

    ANALYST = "analyst"
    APPROVER = "approver"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"


@dataclass(frozen=True, slots=True)
class Person:
    """One account. ``language`` is ``None`` where they chose none; ``must_change``: the password was handed over."""

    id: int
    name: str
    roles: frozenset[Role]
    language: str | None
    disabled: bool
    must_change: bool
    created: datetime.datetime
    changed: datetime.datetime


class People:
    """The accounts in ``store``; ``cost`` is argon2id's (passes, memory in KiB, lanes).

    ``actor`` is who makes a change, as ``ann`` or ``person:ann``. All methods raise ``UsageError`` where the store
    fails.
    """

    def __init__(
        self, store: Store, clock: Clock = local_clock, *, cost: tuple[int, int, int] = COST
    ) -> None:
        self._store = store
        self._clock = clock
        self._hasher = Hasher(cost)

    def all(self) -> list[Person]:
        """Return the accounts by name."""
        with self._store.reading() as connection:
            rows = connection.execute(sa.select(people).order_by(people.c.spelling)).all()
        return [person_of(row) for row in rows]

    def find(self, name: str) -> Person | None:
        """Return the account ``name``, in whatever spelling; ``None`` where there is none."""
        with self._store.reading() as connection:
            row = _row(connection, name)
        return None if row is None else person_of(row)

    def get(self, name: str) -> Person:
        """Return the account ``name``, in whatever spelling. Raises ``UsageError``."""
        with self._store.reading() as connection:
            return person_of(_needed(connection, name))

    def by_id(self, id: int) -> Person | None:
        """Return the account with this number; ``None`` where there is none."""
        with self._store.reading() as connection:
            row = connection.execute(sa.select(people).where(people.c.id == id)).first()
        return None if row is None else person_of(row)

    # -- changes

    def add(
        self, name: str, password: str, roles: Iterable[Role], actor: str, must_change: bool = True
    ) -> Person:
        """Make an account. Raises ``UsageError`` for a name, password or roles that can't be, or that is there."""
        name, roles, actor = named(check_person(name)).name, check_roles(roles), logged(actor)
        encoded, now = self._hashed(check_new(password, name)), self._now()
        with self._store.transaction() as connection:
            if (there := _row(connection, name)) is not None:
                raise UsageError(
                    f"There is a person {there.name} already.",
                    hint="names differ in more than case and spaces",
                )
            values = {
                "name": name,
                "spelling": spelling(name),
                "roles": _stored(roles),
                "password": encoded,
                "language": None,
                "disabled": False,
                "must_change": must_change,
                "created": now,
                "changed": now,
            }
            connection.execute(people.insert().values(values))
            _note(connection, "person_added", actor, now, person=name, roles=_word(roles))
            return person_of(_needed(connection, name))

    def set_roles(self, name: str, roles: Iterable[Role], actor: str) -> Person:
        """Give the person ``roles`` instead of those they have; they hold from their next request on.

        Raises ``PolicyRefusal`` (``not_allowed``) for one's own, ``UsageError`` for roles that don't go together and
        if nobody were left who is an administrator.
        """
        roles, actor, now = check_roles(roles), logged(actor), self._now()
        with attempt(self._store, self._clock, actor, "roles") as connection:
            row = _needed(connection, name)
            if same_person(row.name, actor):
                raise PolicyRefusal(
                    f"{row.name} cannot change their own roles.",
                    hint="another administrator can",
                    code="not_allowed",
                )
            if Role.ADMINISTRATOR not in roles:
                _keep_one(connection, row)
            if _read(row.roles) != roles:
                _change(connection, row.id, now, roles=_stored(roles))
                _note(connection, "person_changed", actor, now, person=row.name, roles=_word(roles))
            return person_of(_needed(connection, name))

    def set_password(
        self, name: str, password: str, actor: str, must_change: bool = False, keep: str | None = None
    ) -> None:
        """Set a password and end the person's sessions, but the one with the id ``keep``.

        Raises ``UsageError`` for one that can't be, or that they have already.
        """
        actor, person = logged(actor), self.get(name)
        plain = check_new(password, person.name)
        with turn():
            if self._hasher.matches(self._encoded(person.id), plain):
                raise UsageError(
                    "This is the password that it was before.", hint="choose one that was not used here"
                )
        encoded, now = self._hashed(plain), self._now()
        with self._store.transaction() as connection:
            _change(connection, person.id, now, password=encoded, must_change=must_change)
            _end_sessions(connection, person.id, keep)
            if must_change:
                # Handed over by somebody else: what was made under the one before may not be the person's own.
                _end_tokens(connection, person.id, person.name, actor, now)
            _note(connection, "password_changed", actor, now, person=person.name)

    def set_language(self, name: str, language: str | None) -> None:
        """Set in which language the person reads; ``None`` as their browser asks. Raises ``UsageError``."""
        if language is not None and language not in LANGUAGES:
            raise UsageError("There is no such language here.", hint=f"there are {' and '.join(LANGUAGES)}")
        with self._store.transaction() as connection:
            _change(connection, _needed(connection, name).id, self._now(), language=language)

    def disable(self, name: str, actor: str) -> None:
        """Keep the person out: sessions end now, tokens are not taken any more.

        Raises ``UsageError`` if nobody were left who is an administrator.
        """
        actor, now = logged(actor), self._now()
        with self._store.transaction() as connection:
            row = _needed(connection, name)
            _keep_one(connection, row)
            if not row.disabled:
                _change(connection, row.id, now, disabled=True)
                _end_sessions(connection, row.id, None)
                _end_tokens(connection, row.id, row.name, actor, now)
                _note(connection, "person_disabled", actor, now, person=row.name)

    def enable(self, name: str, actor: str) -> None:
        """Let the person log in again. Raises ``PolicyRefusal`` (``not_allowed``) for oneself."""
        actor, now = logged(actor), self._now()
        with attempt(self._store, self._clock, actor, "enable") as connection:
            row = _needed(connection, name)
            if same_person(row.name, actor):
                raise PolicyRefusal(
                    f"{row.name} cannot let themselves in again.",
                    hint="another administrator can",
                    code="not_allowed",
                )
            if row.disabled:
                _change(connection, row.id, now, disabled=False)
                _note(connection, "person_enabled", actor, now, person=row.name)

    # -- passwords that are shown

    def check(self, name: str, password: str, source: str) -> Person:
        """Return who logs in with ``name`` and ``password`` from the address ``source``.

        Raises ``PolicyRefusal`` (``not_allowed``) with one sentence for every reason there is.
        """
        now = self._now()
        with self._store.reading() as connection:
            row = _row(connection, name)
            # Of what is too long for a name its beginning does.
            typed, id = spelling(name[:_LONGEST_NAME]), None if row is None else row.id
            keys = throttle.keys_of(connection, typed, id, source, now)
        actor = STRANGER if row is None else str(row.name)
        known = self._tried(keys, row, password, actor, "login_refused")
        with self._store.transaction() as connection:
            found = _standing(connection, known)
            throttle.take_back(connection, keys)
            throttle.remember(connection, found.id, source, now)
            _note(connection, "login", actor, now, code=None)
        return found

    def prove(self, person: Person, password: str, source: str) -> None:
        """Check the password of ``person``, who is logged in, once more, before something that can't be taken back.

        Raises ``PolicyRefusal`` (``not_allowed``) with one sentence, wrong or tried too often.
        """
        keys = (throttle.proof_key(person.id, source),)
        with self._store.reading() as connection:
            row = connection.execute(sa.select(people).where(people.c.id == person.id)).first()
        known = self._tried(keys, row, password, person.name, "attempt_refused")
        with self._store.transaction() as connection:
            _standing(connection, known)
            throttle.take_back(connection, keys)

    def _tried(
        self, keys: tuple[str, ...], row: Any, password: str, actor: str, noted: str
    ) -> tuple[int, str]:
        """Check one try against throttle and account ``row``; returns id and hash. Raises ``PolicyRefusal``."""
        with self._store.reading() as connection:
            halted = throttle.paused(connection, keys, self._now())
        if not halted:
            with turn(_PATIENCE) as has_turn:
                if not has_turn:
                    raise refusal()
                with self._store.transaction() as connection:
                    halted = not throttle.count(connection, keys, self._now())
                encoded = None if halted else self._right(row, password)
            if encoded is not None:
                return int(row.id), encoded
        if halted:
            reason = "too_many_tries"
        elif row is None:
            reason = "unknown_person"
        else:
            reason = "disabled" if row.disabled else "wrong_password"
        facts = {"code": reason} if noted == "login_refused" else {"step": "proof", "code": reason}
        note_refusal(self._store, Draft(noted, actor, None, facts), self._now())
        raise refusal()

    def _right(self, row: Any, password: str) -> str | None:
        """Return the hash that ``password`` fits, made anew where its parameters changed; ``None`` if it doesn't."""
        plain = normal(password)
        matches = self._hasher.matches(None if row is None else row.password, plain)
        if plain is None or not matches or row.disabled:
            return None
        if not self._hasher.outdated(row.password):
            return str(row.password)
        encoded = self._hasher.hash(plain)
        with self._store.transaction() as connection:
            # Not over a password that was set meanwhile.
            same = sa.and_(people.c.id == row.id, people.c.password == row.password)
            connection.execute(people.update().where(same).values(password=encoded))
        return encoded

    def _hashed(self, plain: bytes) -> str:
        with turn():
            return self._hasher.hash(plain)

    def _encoded(self, id: int) -> str:
        with self._store.reading() as connection:
            return str(connection.execute(sa.select(people.c.password).where(people.c.id == id)).scalar_one())

    def _now(self) -> float:
        return self._clock().timestamp()


def check_roles(roles: Iterable[Role]) -> frozenset[Role]:
    """Return ``roles`` if one person may have them together. Raises ``UsageError``."""
    found = frozenset(roles)
    if not found:
        raise UsageError("A person has at least one role.", hint=f"the roles are {', '.join(sorted(Role))}")
    if Role.ADMINISTRATOR in found and not found <= {Role.ADMINISTRATOR, Role.AUDITOR}:
        raise UsageError(
            "An administrator can be an auditor besides, and nothing else.",
            hint="whoever says who may approve drafts and approves nothing; take another person for that",
        )
    return found


def refusal() -> PolicyRefusal:
    """Return what is said of a password that is not taken, whatever the reason."""
    return PolicyRefusal(
        "Name or password is wrong, or there were too many tries.",
        hint="wait a few minutes after several tries; an administrator can set a new password",
        code="not_allowed",
    )


def logged(actor: str) -> str:
    """Return ``actor`` as the log has people: the bare name. Raises ``UsageError``."""
    return named(check_person(actor.removeprefix("person:"))).name


def person_of(row: Any) -> Person:
    """Return the account in a row of ``people``."""
    return Person(
        row.id,
        row.name,
        _read(row.roles),
        row.language,
        row.disabled,
        row.must_change,
        datetime.datetime.fromtimestamp(row.created, datetime.UTC),
        datetime.datetime.fromtimestamp(row.changed, datetime.UTC),
    )


def _row(connection: sa.Connection, name: str) -> Any:
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        # No name; some of it a database would not even be asked.
        return None
    return connection.execute(sa.select(people).where(people.c.spelling == spelling(name))).first()


def _needed(connection: sa.Connection, name: str) -> Any:
    row = _row(connection, name)
    if row is None:
        raise UsageError(
            "There is no person of this name here.", hint="`veiljoin console person list` shows who there is"
        )
    return row


def _standing(connection: sa.Connection, known: tuple[int, str]) -> Person:
    """Return the account of this id and hash. Raises ``PolicyRefusal`` if it changed or was disabled meanwhile."""
    id, encoded = known
    query = sa.select(people).where(
        people.c.id == id, people.c.password == encoded, people.c.disabled.is_(False)
    )
    row = connection.execute(query).first()
    if row is None:
        raise refusal()
    return person_of(row)


def _keep_one(connection: sa.Connection, row: Any) -> None:
    """Raise unless somebody is left who is an administrator, once ``row`` is none any more."""
    rows = connection.execute(sa.select(people).where(people.c.disabled.is_(False))).all()
    left = {each.id for each in rows if Role.ADMINISTRATOR in _read(each.roles)}
    if left == {row.id}:
        raise UsageError(
            f"{row.name} is the last administrator.",
            hint="make another person administrator first",
            code="wrong_state",
        )


def _change(connection: sa.Connection, id: int, now: float, **values: object) -> None:
    connection.execute(people.update().where(people.c.id == id).values(changed=now, **values))


def _end_sessions(connection: sa.Connection, id: int, keep: str | None) -> None:
    connection.execute(sessions.delete().where(sessions.c.person == id, sessions.c.id != (keep or "")))


def _end_tokens(connection: sa.Connection, id: int, name: str, actor: str, now: float) -> None:
    living = sa.and_(api_tokens.c.person == id, api_tokens.c.revoked.is_(None), api_tokens.c.expires > now)
    tokens = (
        connection.execute(sa.select(api_tokens.c.id).where(living).order_by(api_tokens.c.id)).scalars().all()
    )
    connection.execute(api_tokens.update().where(living).values(revoked=now))
    for token in tokens:
        _note(connection, "token_revoked", actor, now, person=name, token=token)


def _note(connection: sa.Connection, kind: str, actor: str, now: float, **facts: object) -> None:
    note(connection, Draft(kind, actor, None, facts), now)


def _read(roles: str) -> frozenset[Role]:
    return frozenset(Role(each) for each in roles.split())


def _stored(roles: frozenset[Role]) -> str:
    return " ".join(sorted(roles))


def _word(roles: frozenset[Role]) -> str:
    return "_".join(sorted(roles))
