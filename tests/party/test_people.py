"""Accounts: who is there, in what roles, with what password, and how often passwords are tried."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from party import passwords, throttle
from party.address import same_person, spelling
from party.people import People, Person, Role
from party.store import Store
from party.tables import login_places, login_tries
from party.tables import people as table
from psi.errors import PolicyRefusal, UsageError, VeiljoinError
from tests.party.accounts import CHEAP, HERE, OTHER, PASSWORD, THERE, accounts, refused, tries
from tests.party.joblife import Clock
from tests.party.logs import begin, entries, told

SAID = "Name or password is wrong, or there were too many tries."
MINUTE = datetime.timedelta(minutes=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def people(store: Store, clock: Clock) -> People:
    begin(store)
    return accounts(store, clock)


def let_in(people: People, name: str, password: str = PASSWORD, source: str = HERE) -> bool:
    """Return whether somebody is let in; whoever is not is told the one sentence."""
    said = refused(lambda: people.check(name, password, source))
    assert said in (None, SAID)
    return said is None


def counted(real: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    """Return ``real``, with every call of it in ``calls``."""

    def call(*arguments: Any) -> Any:
        calls.append(real.__name__)
        return real(*arguments)

    return call


# -- accounts


def test_an_account_is_kept(people: People, clock: Clock) -> None:
    made = people.add("Zoé Wang", PASSWORD, {Role.ANALYST, Role.APPROVER}, "person:adam")
    assert made == Person(
        4, "Zoé Wang", frozenset({Role.ANALYST, Role.APPROVER}), None, False, True, clock.now, clock.now
    )
    assert people.get("Zoé Wang") == people.by_id(4) == people.find("zoéwang") == made
    assert [each.name for each in people.all()] == ["adam", "ann", "bob", "Zoé Wang"]
    assert people.find("nobody") is people.by_id(99) is None
    with pytest.raises(UsageError, match="no person of this name"):
        people.get("nobody")


@pytest.mark.parametrize("name", ["ANN", " a n n ", "ａｎｎ"])
def test_nobody_is_there_in_two_spellings(people: People, name: str) -> None:
    with pytest.raises(UsageError, match="There is a person ann already"):
        people.add(name, PASSWORD, {Role.APPROVER}, "adam")


def test_what_is_no_name(people: People) -> None:
    for name in ("", " ", "a\nb", "a" * 65, "node:bank", "a\x00", "\udc80"):
        with pytest.raises(UsageError):
            people.add(name, PASSWORD, {Role.ANALYST}, "adam")
        assert people.find(name) is None
    for name in ("", "a\x00", "\udc80", "x" * 100_000):
        assert not let_in(people, name)


@given(st.text(max_size=12), st.text(max_size=12))
def test_spellings_are_compared_as_everywhere(one: str, other: str) -> None:
    assert same_person(one, other) == (spelling(one) == spelling(other))
    assert same_person(one, one.upper()) == (spelling(one) == spelling(one.upper()))


@pytest.mark.parametrize(
    "roles",
    [set(), {Role.ADMINISTRATOR, Role.ANALYST}, {Role.ADMINISTRATOR, Role.APPROVER, Role.AUDITOR}],
)
def test_roles_that_nobody_has_together(people: People, roles: set[Role]) -> None:
    with pytest.raises(UsageError):
        people.add("cui", PASSWORD, roles, "adam")
    with pytest.raises(UsageError):
        people.set_roles("ann", roles, "adam")


def test_an_administrator_may_be_an_auditor(people: People) -> None:
    both = {Role.ADMINISTRATOR, Role.AUDITOR}
    assert people.set_roles("bob", both, "adam").roles == both


def test_nobody_changes_their_own_roles(people: People, store: Store) -> None:
    for actor in ("adam", "person:adam", "ADAM"):
        with pytest.raises(PolicyRefusal, match="cannot change their own roles") as caught:
            people.set_roles("adam", {Role.ADMINISTRATOR, Role.AUDITOR}, actor)
        assert caught.value.code.name == "not_allowed"
    facts = {"step": "roles", "code": "not_allowed"}
    assert ("attempt_refused", "adam", facts) in told(store, "attempt_refused")


def test_an_administrator_is_left(people: People) -> None:
    for step in (
        lambda: people.disable("adam", "bob"),
        lambda: people.set_roles("adam", {Role.AUDITOR}, "bob"),
    ):
        with pytest.raises(UsageError, match="adam is the last administrator") as caught:
            step()
        assert caught.value.code.name == "wrong_state"
    people.set_roles("bob", {Role.ADMINISTRATOR}, "adam")
    people.disable("adam", "bob")
    with pytest.raises(UsageError, match="bob is the last administrator"):
        people.disable("bob", "adam")
    with pytest.raises(PolicyRefusal, match="cannot let themselves in again"):
        people.enable("adam", "adam")
    people.enable("adam", "bob")
    people.disable("bob", "adam")


def test_who_is_disabled_is_kept_out(people: People) -> None:
    assert let_in(people, "ann")
    people.disable("ann", "adam")
    assert not let_in(people, "ann")
    people.enable("ann", "adam")
    assert let_in(people, "ann")


def test_a_language_is_chosen(people: People) -> None:
    people.set_language("ann", "zh")
    assert people.get("ann").language == "zh"
    people.set_language("ann", None)
    assert people.get("ann").language is None
    with pytest.raises(UsageError, match="no such language"):
        people.set_language("ann", "xx")


def test_changes_are_in_the_log(people: People, store: Store) -> None:
    people.set_roles("ann", {Role.AUDITOR, Role.ANALYST}, "person:adam")
    people.set_roles("ann", {Role.AUDITOR, Role.ANALYST}, "person:adam")
    people.disable("ann", "adam")
    people.disable("ann", "adam")
    people.enable("ann", "adam")
    people.set_password("ann", OTHER, "adam", must_change=True)
    assert told(store)[3:] == [
        ("person_changed", "adam", {"person": "ann", "roles": "analyst_auditor"}),
        ("person_disabled", "adam", {"person": "ann"}),
        ("person_enabled", "adam", {"person": "ann"}),
        ("password_changed", "adam", {"person": "ann"}),
    ]
    assert told(store)[0] == ("person_added", "root", {"person": "adam", "roles": "administrator"})


# -- passwords


def test_a_password_that_cannot_be_is_refused(people: People) -> None:
    with pytest.raises(UsageError, match="12 to 256 characters"):
        people.set_password("ann", "elevenchars", "ann")
    with pytest.raises(UsageError, match="among the first that others would try"):
        people.add("Constantinople", "Constantinople", {Role.ANALYST}, "adam")


def test_a_password_means_its_normal_form(people: People) -> None:
    people.set_password("ann", "pâté ﬁve caviar", "ann")
    assert let_in(people, "ann", "pa\u0302te\u0301 five caviar")


def test_one_time_passwords_are_fit_and_differ(people: People) -> None:
    made = {passwords.one_time() for _ in range(50)}
    assert len(made) == 50
    for each in list(made)[:3]:
        people.set_password("ann", each, "adam", must_change=True)
    assert people.get("ann").must_change


def test_a_new_password_is_new(people: People) -> None:
    with pytest.raises(UsageError, match="the password that it was before"):
        people.set_password("ann", PASSWORD, "ann")
    people.set_password("ann", OTHER, "ann")
    assert not let_in(people, "ann")
    assert let_in(people, "ann", OTHER)


def test_argon2id_as_the_rfc_recommends(store: Store, clock: Clock) -> None:
    people = People(store, clock)
    people.add("cui", PASSWORD, {Role.ANALYST}, "adam")
    with store.reading() as connection:
        kept = connection.execute(sa.select(table.c.password)).scalar_one()
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert PASSWORD not in kept


def test_a_hash_of_other_parameters_is_made_anew(people: People, store: Store, clock: Clock) -> None:
    def kept() -> str:
        with store.reading() as connection:
            return str(
                connection.execute(sa.select(table.c.password).where(table.c.name == "ann")).scalar_one()
            )

    before = kept()
    assert let_in(people, "ann")
    assert kept() == before
    dearer = People(store, clock, cost=(2, 16, 1))
    assert let_in(dearer, "ann")
    assert kept().startswith("$argon2id$v=19$m=16,t=2,p=1$")
    assert let_in(people, "ann")


def test_a_password_that_changes_while_it_is_checked(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one begins no session after all sessions were ended, however long its hash takes."""
    real = passwords.Hasher.matches
    changes: list[Callable[[], object]] = []

    def meanwhile(self: passwords.Hasher, encoded: str | None, plain: bytes | None) -> bool:
        found = real(self, encoded, plain)
        while changes:
            changes.pop()()
        return found

    monkeypatch.setattr(passwords.Hasher, "matches", meanwhile)
    changes.append(lambda: people.set_password("ann", OTHER, "adam"))
    assert not let_in(people, "ann")
    assert let_in(people, "ann", OTHER)
    changes.append(lambda: people.disable("bob", "adam"))
    assert not let_in(people, "bob")


def test_what_is_no_hash_matches_nothing(people: People, store: Store) -> None:
    with store.transaction() as connection:
        connection.execute(table.update().where(table.c.name == "ann").values({"password": "!"}))
    assert not let_in(people, "ann")


def test_who_is_not_there_costs_as_much(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    for name in ("hash", "verify"):
        monkeypatch.setattr(PasswordHasher, name, counted(getattr(PasswordHasher, name), hashed))
    people.disable("bob", "adam")
    for name in ("ann", "nobody", "bob", "\udc80"):
        hashed.clear()
        assert not let_in(people, name, "not the password")
        assert len(hashed) == 1


def test_every_hash_takes_a_turn(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are two places, and while somebody's password is hashed one of them is left."""
    left: list[tuple[bool, bool]] = []
    for name in ("hash", "matches"):
        real = getattr(passwords.Hasher, name)

        def seen(*arguments: Any, real: Callable[..., Any] = real) -> Any:
            with passwords.turn(0.01) as second, passwords.turn(0.01) as third:
                left.append((second, third))
            return real(*arguments)

        monkeypatch.setattr(passwords.Hasher, name, seen)
    assert let_in(people, "ann")
    assert not let_in(people, "nobody")
    people.prove(people.get("ann"), PASSWORD, HERE)
    people.set_password("ann", OTHER, "ann")
    people.add("cui", PASSWORD, {Role.ANALYST}, "adam")
    assert left == [(True, False)] * 6


def test_who_finds_no_turn_is_refused_without_a_failure(
    people: People, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("party.people._PATIENCE", 0.01)
    with passwords.turn(), passwords.turn():
        assert not let_in(people, "ann")
    with store.reading() as connection:
        assert connection.execute(sa.select(login_tries)).all() == []


def test_logins_are_in_the_log_without_what_was_typed(people: People, store: Store) -> None:
    secret = "typed into the wrong field"  # noqa: S105 - what must not get into the log
    people.disable("bob", "adam")
    assert let_in(people, "ann")
    assert not let_in(people, "ann", "not the password")
    assert not let_in(people, secret, secret)
    assert not let_in(people, "bob")
    assert told(store, "login", "login_refused") == [
        ("login", "ann", {"code": None}),
        ("login_refused", "ann", {"code": "wrong_password"}),
        ("login_refused", "stranger:unknown", {"code": "unknown_person"}),
        ("login_refused", "bob", {"code": "disabled"}),
    ]
    tries(people, "bob", THERE, 20)
    assert len(told(store, "login_refused")) <= 6
    assert secret not in str(entries(store))
    with store.reading() as connection:
        assert secret not in str(connection.execute(sa.select(login_tries)).all())


def test_nothing_prints_a_password(people: People) -> None:
    with pytest.raises(VeiljoinError) as caught:
        people.set_password("ann", "short secret"[:8], "ann")
    assert "short se" not in str(caught.value)
    assert PASSWORD not in repr(people.get("ann"))


# -- proof


def test_the_password_is_proved_again(people: People, store: Store) -> None:
    ann = people.get("ann")
    people.prove(ann, PASSWORD, HERE)
    with pytest.raises(PolicyRefusal, match="Name or password is wrong"):
        people.prove(ann, "not the password", HERE)
    assert told(store, "attempt_refused") == [
        ("attempt_refused", "ann", {"step": "proof", "code": "wrong_password"})
    ]
    assert told(store, "login") == []
    people.disable("ann", "adam")
    assert refused(lambda: people.prove(ann, PASSWORD, HERE)) == SAID


def test_proofs_are_throttled_by_themselves(people: People, clock: Clock) -> None:
    ann = people.get("ann")
    for _ in range(5):
        assert refused(lambda: people.prove(ann, "not the password", HERE)) == SAID
    assert refused(lambda: people.prove(ann, PASSWORD, HERE)) == SAID
    # Whoever fails at the login keeps nobody from what they do inside, nor the other way round.
    assert let_in(people, "ann")
    tries(people, "bob", HERE, 6)
    people.prove(people.get("bob"), PASSWORD, HERE)
    clock.now += MINUTE
    people.prove(ann, PASSWORD, HERE)


# -- throttling


@pytest.mark.parametrize("name", ["ann", "nobody"])
def test_pauses_double(people: People, clock: Clock, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    monkeypatch.setattr(passwords.Hasher, "matches", counted(passwords.Hasher.matches, checked))
    tries(people, name, HERE, 5)
    assert len(checked) == 5
    for minutes in (1, 2, 4, 8, 15, 15):
        clock.now += MINUTE * minutes - datetime.timedelta(seconds=1)
        checked.clear()
        # The right password is not even looked at.
        assert not let_in(people, name)
        assert not checked
        clock.now += datetime.timedelta(seconds=1)
        tries(people, name, HERE, 1)
        assert checked


def test_after_the_pause_the_right_password_counts(people: People, clock: Clock) -> None:
    tries(people, "ann", HERE, 5)
    assert not let_in(people, "ann")
    clock.now += MINUTE
    assert let_in(people, "ann")
    tries(people, "ann", HERE, 4)
    assert let_in(people, "ann")


def test_failures_are_forgotten(people: People, clock: Clock) -> None:
    for _ in range(3):
        tries(people, "ann", HERE, 4)
        clock.now += datetime.timedelta(minutes=16)
    tries(people, "ann", HERE, 4)
    assert let_in(people, "ann")


def test_a_name_is_counted_over_all_addresses_and_spellings(people: People) -> None:
    for number, name in enumerate(("ann", "ANN", "a n n", "ａｎｎ", "Ann")):
        tries(people, name, f"192.0.2.{number}", 1)
    assert not let_in(people, "ann", source=THERE)


def test_an_address_is_counted_over_all_names(people: People) -> None:
    for name in ("one", "two", "three", "four", "five"):
        tries(people, name, HERE, 1)
    assert not let_in(people, "ann")
    assert let_in(people, "ann", source=THERE)


def test_an_ipv6_network_is_one_address(people: People) -> None:
    for number in range(5):
        tries(people, f"name {number}", f"2001:db8::{number:x}", 1)
    assert not let_in(people, "ann", source="2001:db8::ffff")
    assert let_in(people, "ann", source="2001:db8:0:1::1")
    assert throttle.place_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert throttle.place_of("testclient") == "testclient"


def test_a_known_place_stays_open(people: People, clock: Clock) -> None:
    """Whoever fails from one address, for ever, keeps nobody out who has logged in there before."""
    assert let_in(people, "ann")
    for number in range(20):
        let_in(people, f"name {number}")
        let_in(people, "ann", "not the password", THERE)
        clock.now += MINUTE
    assert let_in(people, "ann")
    # But there, too, nobody may try as often as they like.
    tries(people, "ann", HERE, 5)
    assert not let_in(people, "ann")
    # It is forgotten in a month.
    clock.now += datetime.timedelta(days=31)
    tries(people, "ann", THERE, 5)
    assert not let_in(people, "ann")


def test_of_places_the_newest_are_remembered(people: People, store: Store, clock: Clock) -> None:
    for number in range(25):
        clock.now += MINUTE
        assert let_in(people, "ann", source=f"192.0.2.{number}")
    with store.reading() as connection:
        assert len(connection.execute(sa.select(login_places)).all()) == 20


def test_a_shared_address_keeps_what_others_failed(people: People) -> None:
    tries(people, "one", HERE, 4)
    assert let_in(people, "ann")
    tries(people, "two", HERE, 1)
    assert not let_in(people, "bob")


def test_the_counters_are_bounded(
    people: People, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows() -> int:
        with store.reading() as connection:
            return len(connection.execute(sa.select(login_tries)).all())

    monkeypatch.setattr(throttle, "MAX_ROWS", 10)
    tries(people, "ann", "203.0.113.1", 5)
    for number in range(15):
        tries(people, f"name {number}", f"192.0.2.{number}", 1)
        assert rows() <= 10
    # What halts somebody is the last to go.
    assert not let_in(people, "ann", source=THERE)
    clock.now += datetime.timedelta(hours=1)
    tries(people, "another", THERE, 1)
    assert rows() == 2


def test_the_count_holds_over_restarts(people: People, store_url: str, clock: Clock) -> None:
    tries(people, "ann", HERE, 5)
    with closing(Store(store_url)) as again:
        assert not let_in(People(again, clock, cost=CHEAP), "ann")


def test_of_many_tries_at_once_no_more_are_checked(
    store_url: str, store: Store, clock: Clock, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes' worth of tries: each with a store of its own, all before the first has failed."""
    checked: list[str] = []
    real = passwords.Hasher.matches
    monkeypatch.setattr(passwords, "_TURNS", threading.BoundedSemaphore(12))

    def slow(self: passwords.Hasher, encoded: str | None, plain: bytes | None) -> bool:
        time.sleep(0.05)
        checked.append("one")
        return real(self, encoded, plain)

    monkeypatch.setattr(passwords.Hasher, "matches", slow)
    gate = threading.Barrier(12)

    def storm(own: Store) -> None:
        gate.wait(30)
        let_in(People(own, clock, cost=CHEAP), "ann", "not the password")

    with closing(Store(store_url)) as second:
        threads = [
            threading.Thread(target=storm, args=((store, second)[number % 2],)) for number in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(checked) == 5
