"""Tokens of programs: what they may be used for, and what ends them."""

from __future__ import annotations

import datetime

import pytest
import sqlalchemy as sa

from party.apitokens import SCOPES, ApiTokens
from party.people import People
from party.store import Store
from party.tables import api_tokens as table
from psi.errors import UsageError
from tests.party.accounts import accounts
from tests.party.joblife import Clock
from tests.party.logs import begin, entries, told

DAY = datetime.timedelta(days=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def people(store: Store, clock: Clock) -> People:
    begin(store)
    return accounts(store, clock)


@pytest.fixture
def tokens(store: Store, clock: Clock, people: People) -> ApiTokens:
    return ApiTokens(store, clock)


def test_a_token_is_found_by_its_secret(
    tokens: ApiTokens, people: People, clock: Clock, store: Store
) -> None:
    ann = people.get("ann")
    secret = tokens.make(ann, " nightly ", {"see", "draft"}, 30, "person:ann")
    assert secret.reveal().startswith("vjt_")
    assert len(secret.reveal()) == 47
    assert secret.reveal() not in repr(secret) + str(secret) + str(entries(store))
    found = tokens.find(secret.reveal())
    assert found is not None
    assert (found.person, found.name, found.scopes) == (ann, "nightly", frozenset({"see", "draft"}))
    assert (found.made, found.expires, found.used) == (clock.now, clock.now + 30 * DAY, None)
    with store.reading() as connection:
        assert secret.reveal() not in str(connection.execute(sa.select(table)).all())
    assert told(store, "token_created") == [
        (
            "token_created",
            "ann",
            {
                "person": "ann",
                "token": found.id,
                "scopes": "draft, see",
                "until": int((clock.now + 30 * DAY).timestamp() * 1000),
            },
        )
    ]


def test_what_is_no_token(tokens: ApiTokens) -> None:
    for shown in ["", "vjt_", "vjt_" + "x" * 43, "x" * 47, "vjt_" + "é" * 43, "\udc80"]:
        assert tokens.find(shown) is None


def test_a_token_ends(tokens: ApiTokens, people: People, clock: Clock) -> None:
    secret = tokens.make(people.get("ann"), "one", {"see"}, 1, "ann").reveal()
    clock.now += DAY - datetime.timedelta(seconds=1)
    assert tokens.find(secret) is not None
    clock.now += datetime.timedelta(seconds=1)
    assert tokens.find(secret) is None
    assert [each.name for each in tokens.list()] == ["one"]


def test_a_token_is_revoked(tokens: ApiTokens, people: People, clock: Clock, store: Store) -> None:
    ann, bob = people.get("ann"), people.get("bob")
    secret = tokens.make(ann, "one", SCOPES, 365, "ann").reveal()
    (token,) = tokens.list(ann)
    with pytest.raises(UsageError, match="no such token"):
        tokens.revoke(token.id, "bob", owner=bob)
    with pytest.raises(UsageError, match="no such token"):
        tokens.revoke(99, "adam")
    assert tokens.find(secret) is not None
    tokens.revoke(token.id, "ann", owner=ann)
    tokens.revoke(token.id, "adam")
    assert tokens.find(secret) is None
    assert [each.revoked for each in tokens.list(ann)] == [clock.now]
    assert told(store, "token_revoked") == [("token_revoked", "ann", {"person": "ann", "token": token.id})]


def test_tokens_end_with_who_is_disabled(tokens: ApiTokens, people: People, store: Store) -> None:
    begin(store)
    secret = tokens.make(people.get("ann"), "one", {"see"}, 1, "ann").reveal()
    people.disable("ann", "adam")
    assert tokens.find(secret) is None
    people.enable("ann", "adam")
    assert tokens.find(secret) is None
    assert told(store, "token_revoked") == [("token_revoked", "adam", {"person": "ann", "token": 1})]


def test_tokens_end_with_a_password_that_is_handed_over(tokens: ApiTokens, people: People) -> None:
    secrets = [tokens.make(people.get(name), "one", {"see"}, 1, name).reveal() for name in ("ann", "bob")]
    people.set_password("ann", "one that she chose herself", "ann")
    assert tokens.find(secrets[0]) is not None
    people.set_password("ann", "one that was handed over", "adam", must_change=True)
    assert tokens.find(secrets[0]) is None
    assert tokens.find(secrets[1]) is not None


def test_tokens_are_listed_by_person(tokens: ApiTokens, people: People) -> None:
    for name in ("ann", "bob", "ann"):
        tokens.make(people.get(name), f"of {name}", {"see"}, 1, name)
    assert [each.id for each in tokens.list()] == [3, 2, 1]
    assert [each.id for each in tokens.list(people.get("ann"))] == [3, 1]


def test_use_is_noted_once_a_minute(tokens: ApiTokens, people: People, clock: Clock) -> None:
    secret, begun = tokens.make(people.get("ann"), "one", {"see"}, 1, "ann").reveal(), clock.now
    for _ in range(7):
        tokens.find(secret)
        clock.now += datetime.timedelta(seconds=20)
    assert [each.used for each in tokens.list()] == [begun + datetime.timedelta(minutes=2)]


def test_tokens_that_cannot_be(tokens: ApiTokens, people: People) -> None:
    cases: tuple[tuple[str, set[str], int, str], ...] = (
        ("", {"see"}, 1, "name of a token"),
        ("a\nb", {"see"}, 1, "name of a token"),
        ("x" * 65, {"see"}, 1, "name of a token"),
        ("one", set(), 1, "scopes of a token"),
        ("one", {"see", "own"}, 1, "scopes of a token"),
        ("one", {"see"}, 0, "1 to 365 days"),
        ("one", {"see"}, 366, "1 to 365 days"),
    )
    for name, scopes, days, said in cases:
        with pytest.raises(UsageError, match=said):
            tokens.make(people.get("ann"), name, scopes, days, "ann")
    assert tokens.list() == []


def test_tokens_are_bounded(tokens: ApiTokens, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("party.apitokens._MOST", 3)
    ann = people.get("ann")
    for number in range(3):
        tokens.make(ann, f"{number}", {"see"}, 1, "ann")
    with pytest.raises(UsageError, match="ann has 3 tokens"):
        tokens.make(ann, "more", {"see"}, 1, "ann")
    tokens.revoke(tokens.list(ann)[0].id, "ann")
    tokens.make(ann, "more", {"see"}, 1, "ann")
    tokens.make(people.get("bob"), "more", {"see"}, 1, "bob")
