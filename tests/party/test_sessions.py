"""Sessions: what a browser shows, how long it counts, and what ends it."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import pickle
from contextlib import AbstractContextManager

import pytest
import sqlalchemy as sa

from party.people import People
from party.sessions import Sessions, csrf_of, same_token
from party.store import Store
from party.tables import sessions as table
from psi.errors import PolicyRefusal
from tests.party.accounts import HERE, OTHER, PASSWORD, THERE, accounts
from tests.party.joblife import Clock
from tests.party.logs import begin, entries, told

MINUTE = datetime.timedelta(minutes=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def people(store: Store, clock: Clock) -> People:
    begin(store)
    return accounts(store, clock)


@pytest.fixture
def sessions(store: Store, clock: Clock, people: People) -> Sessions:
    return Sessions(store, clock)


def test_a_session_is_found_by_its_secret(sessions: Sessions, people: People, clock: Clock) -> None:
    secret = sessions.begin(people.get("ann"), HERE)
    found = sessions.find(secret.reveal())
    assert found is not None
    assert (found.person, found.begun, found.used) == (people.get("ann"), clock.now, clock.now)
    assert found.csrf == hmac.new(secret.reveal().encode(), b"veiljoin csrf", hashlib.sha256).hexdigest()
    assert same_token(found.csrf, csrf_of(secret.reveal()))
    assert not same_token(found.csrf, "\udc80")


def test_what_is_no_secret(sessions: Sessions) -> None:
    for shown in ["", "x", "x" * 43, "x" * 10_000, "é" * 43, "\udc80" * 43, "x" * 42 + "\n"]:
        assert sessions.find(shown) is None


def test_secrets_differ_and_are_not_kept(sessions: Sessions, people: People, store: Store) -> None:
    ann = people.get("ann")
    made = [sessions.begin(ann, HERE) for _ in range(3)]
    assert len({each.reveal() for each in made}) == 3
    with store.reading() as connection:
        rows = str(connection.execute(sa.select(table)).all())
    for secret in made:
        assert len(secret.reveal()) == 43
        assert secret.reveal() not in rows + str(secret) + repr(secret) + f"{secret}" + str(entries(store))
        with pytest.raises(TypeError):
            pickle.dumps(secret)
        found = sessions.find(secret.reveal())
        assert found is not None
        assert found.csrf not in rows + repr(found)


def test_a_session_ends_when_it_is_idle(sessions: Sessions, people: People, clock: Clock) -> None:
    secret = sessions.begin(people.get("ann"), HERE).reveal()
    for _ in range(4):
        clock.now += 29 * MINUTE
        assert sessions.find(secret) is not None
    clock.now += 30 * MINUTE
    assert sessions.find(secret) is None


def test_a_session_ends_in_any_case(sessions: Sessions, people: People, clock: Clock) -> None:
    secret = sessions.begin(people.get("ann"), HERE).reveal()
    for _ in range(36):
        assert sessions.find(secret) is not None
        clock.now += 20 * MINUTE
    assert sessions.find(secret) is None


def test_use_is_noted_once_a_minute(
    sessions: Sessions, people: People, clock: Clock, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = people.get("ann")
    secret, begun = sessions.begin(ann, HERE).reveal(), clock.now
    real, written = store.transaction, list[datetime.datetime]()

    def transaction() -> AbstractContextManager[sa.Connection]:
        written.append(clock.now)
        return real()

    monkeypatch.setattr(store, "transaction", transaction)
    for _ in range(9):
        clock.now += MINUTE / 4
        sessions.find(secret)
    assert written == [begun + MINUTE, begun + 2 * MINUTE]
    assert [each.used for each in sessions.list(ann)] == [begun + 2 * MINUTE]


def test_who_is_disabled_has_no_session(sessions: Sessions, people: People) -> None:
    ann = people.get("ann")
    secret = sessions.begin(ann, HERE).reveal()
    people.disable("ann", "adam")
    assert sessions.find(secret) is None
    with pytest.raises(PolicyRefusal):
        sessions.begin(ann, HERE)
    people.enable("ann", "adam")
    assert sessions.find(secret) is None


def test_roles_hold_from_the_next_request_on(sessions: Sessions, people: People) -> None:
    secret = sessions.begin(people.get("ann"), HERE).reveal()
    changed = people.set_roles("ann", people.get("bob").roles, "adam")
    found = sessions.find(secret)
    assert found is not None
    assert found.person.roles == changed.roles == people.get("bob").roles


def test_sessions_end_as_their_person_wishes(sessions: Sessions, people: People, store: Store) -> None:
    ann = people.get("ann")
    secrets = [sessions.begin(ann, source).reveal() for source in (HERE, THERE, THERE)]
    bob = sessions.begin(people.get("bob"), HERE).reveal()
    first = sessions.find(secrets[0])
    assert first is not None
    assert {(each.source) for each in sessions.list(ann)} == {HERE, THERE}
    assert sessions.counts() == {ann.id: 3, people.get("bob").id: 1}
    assert sessions.end_all(ann, but=first) == 2
    assert [sessions.find(each) is not None for each in (*secrets, bob)] == [True, False, False, True]
    assert sessions.end_all(ann, but=first) == 0
    sessions.end(first)
    sessions.end(first)
    assert sessions.list(ann) == []
    assert sessions.end_all(people.get("bob")) == 1
    assert told(store, "logout") == [
        ("logout", "ann", {"code": "elsewhere"}),
        ("logout", "ann", {"code": None}),
        ("logout", "bob", {"code": "everywhere"}),
    ]


def test_a_new_password_ends_the_others(sessions: Sessions, people: People) -> None:
    ann = people.get("ann")
    mine, other = sessions.begin(ann, HERE).reveal(), sessions.begin(ann, THERE).reveal()
    found = sessions.find(mine)
    assert found is not None
    people.set_password("ann", OTHER, "ann", keep=found.id)
    assert (sessions.find(mine) is None, sessions.find(other) is None) == (False, True)
    people.set_password("ann", PASSWORD, "adam", must_change=True)
    assert sessions.find(mine) is None


def test_sessions_are_bounded(sessions: Sessions, people: People, store: Store, clock: Clock) -> None:
    ann = people.get("ann")
    oldest = sessions.begin(ann, HERE).reveal()
    bob = sessions.begin(people.get("bob"), HERE).reveal()
    for _ in range(20):
        clock.now += MINUTE / 60
        sessions.begin(ann, "x" * 200)
    assert len(sessions.list(ann)) == 20
    assert {len(each.source) for each in sessions.list(ann)} == {64}
    assert (sessions.find(oldest) is None, sessions.find(bob) is None) == (True, False)
    clock.now += datetime.timedelta(hours=1)
    sessions.purge()
    with store.reading() as connection:
        assert connection.execute(sa.select(table)).all() == []
