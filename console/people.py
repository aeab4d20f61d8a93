"""The people who use this console, as an administrator sees and changes them.

Every change asks for the administrator's own password first: whoever finds an open browser makes nobody anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from console.access import Visitor
from console.place import Place
from party.apitokens import ApiToken
from party.passwords import one_time
from party.people import Person, Role
from psi.errors import UsageError

# What the roles are called, and what whoever has them may do.
ROLES: Final[Mapping[Role, tuple[str, str]]] = {
    Role.ANALYST: ("analyst", "drafts jobs, registers datasets, reads results"),
    Role.APPROVER: ("approver", "approves or refuses what others drafted, reads results"),
    Role.AUDITOR: ("auditor", "reads, verifies and exports the log; no results"),
    Role.ADMINISTRATOR: ("administrator", "people and partners; no drafts, approvals or results"),
}


@dataclass(frozen=True, slots=True)
class PersonFacts:
    """One account, with how many sessions it has and its tokens that can be used."""

    person: Person
    sessions: int
    tokens: tuple[ApiToken, ...]


@dataclass(frozen=True, slots=True)
class Handed:
    """A password that was made for ``person``, to be handed over and changed at the first login."""

    person: Person
    password: str = field(repr=False)


def all_people(place: Place) -> list[PersonFacts]:
    """Return the accounts by name."""
    sessions, tokens = place.sessions.counts(), place.tokens.list()
    return [
        PersonFacts(each, sessions.get(each.id, 0), _usable(place, tokens, each))
        for each in place.people.all()
    ]


def one_person(place: Place, id: int) -> PersonFacts | None:
    """Return the account with this number; ``None`` where there is none."""
    person = place.people.by_id(id)
    if person is None:
        return None
    tokens = _usable(place, place.tokens.list(person), person)
    return PersonFacts(person, len(place.sessions.list(person)), tokens)


def add(visitor: Visitor, name: str, roles: Iterable[str], password: str) -> Handed:
    """Make an account; ``password`` is the visitor's own.

    Raises ``PolicyRefusal`` where that is wrong, ``UsageError`` for a name or roles that can't be.
    """
    visitor.prove(password)
    secret = one_time()
    return Handed(visitor.place.people.add(name, secret, roles_of(roles), visitor.person.name), secret)


def change_roles(visitor: Visitor, person: Person, roles: Iterable[str], password: str) -> Person:
    """Give ``person`` other roles. Raises what :meth:`People.set_roles` does, and for a wrong ``password``."""
    visitor.prove(password)
    return visitor.place.people.set_roles(person.name, roles_of(roles), visitor.person.name)


def reset_password(visitor: Visitor, person: Person, password: str) -> Handed:
    """Make a new password for ``person``, whose sessions end.

    Raises ``PolicyRefusal`` where the visitor's own ``password`` is wrong, ``UsageError`` for oneself.
    """
    visitor.prove(password)
    if person.id == visitor.person.id:
        raise UsageError(
            "Nobody hands a password over to themselves.", hint="change your own under your name, above"
        )
    secret = one_time()
    visitor.place.people.set_password(person.name, secret, visitor.person.name, must_change=True)
    return Handed(person, secret)


def keep_out(visitor: Visitor, person: Person, password: str) -> None:
    """Disable ``person``. Raises what :meth:`People.disable` does, and for a wrong ``password``."""
    visitor.prove(password)
    visitor.place.people.disable(person.name, visitor.person.name)


def let_in(visitor: Visitor, person: Person, password: str) -> None:
    """Enable ``person``. Raises what :meth:`People.enable` does, and for a wrong ``password``."""
    visitor.prove(password)
    visitor.place.people.enable(person.name, visitor.person.name)


def revoke_token(visitor: Visitor, person: Person, id: int) -> None:
    """Revoke a token of ``person``. Raises ``UsageError`` if they have none of this number."""
    visitor.place.tokens.revoke(id, visitor.person.name, owner=person)


def roles_of(names: Iterable[str]) -> frozenset[Role]:
    """Return the roles that are called so. Raises ``UsageError``."""
    wanted = frozenset(names)
    if not wanted <= frozenset(Role):
        raise UsageError("There is no such role.", hint=f"the roles are {', '.join(sorted(Role))}")
    return frozenset(Role(each) for each in wanted)


def _usable(place: Place, tokens: Iterable[ApiToken], person: Person) -> tuple[ApiToken, ...]:
    now = place.node.clock()
    return tuple(
        each for each in tokens if each.person.id == person.id and each.revoked is None and each.expires > now
    )
