"""Accounts for tests: a clock, cheap hashing, and a few people."""

from __future__ import annotations

from collections.abc import Callable

from party.people import People, Person, Role
from party.store import Store
from psi.errors import VeiljoinError
from tests.party.joblife import Clock

# argon2id's least: one pass over 8 KiB.
CHEAP = (1, 8, 1)
PASSWORD = "correct horse battery"  # noqa: S105 - of people that tests make up
OTHER = "staple of another kind"
HERE = "192.0.2.7"
THERE = "198.51.100.9"


def accounts(store: Store, clock: Clock) -> People:
    """Return the accounts of ``store``, with an administrator, an analyst and an approver."""
    people = People(store, clock, cost=CHEAP)
    for name, role in (("adam", Role.ADMINISTRATOR), ("ann", Role.ANALYST), ("bob", Role.APPROVER)):
        people.add(name, PASSWORD, {role}, "root", must_change=False)
    return people


def refused(step: Callable[[], object]) -> str | None:
    """Return the message with which ``step`` is refused; ``None`` where it is not."""
    try:
        step()
    except VeiljoinError as error:
        return error.message
    return None


def tries(people: People, name: str, source: str, count: int) -> None:
    """Let somebody fail ``count`` times."""
    for _ in range(count):
        assert refused(lambda: people.check(name, "not the password", source)) is not None


def person(people: People, name: str) -> Person:
    """Return an account that is there."""
    found = people.find(name)
    assert found is not None
    return found
