"""Keys of programs: one request is carried out once, and answered as often as it is sent."""

from __future__ import annotations

import datetime
import threading
from contextlib import closing

import pytest
import sqlalchemy as sa

from party.idempotency import LARGEST_BODY, Idempotency, StoredAnswer
from party.store import Store
from party.tables import api_answers as table
from psi.errors import UsageError
from tests.party.accounts import accounts
from tests.party.joblife import Clock

ONE, TWO = "a" * 64, "b" * 64


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept(store: Store, clock: Clock) -> Idempotency:
    accounts(store, clock)
    return Idempotency(store, clock)


def test_an_answer_is_given_again(kept: Idempotency) -> None:
    assert kept.begin(1, "key", ONE) is None
    kept.finish(1, "key", 201, b'{"id": 1}')
    assert kept.begin(1, "key", ONE) == StoredAnswer(201, b'{"id": 1}')
    assert kept.begin(2, "key", TWO) is None
    assert kept.begin(1, "another", ONE) is None
    assert "id" not in repr(kept.begin(1, "key", ONE))


def test_a_key_is_of_one_request(kept: Idempotency) -> None:
    kept.begin(1, "key", ONE)
    for _ in range(2):
        with pytest.raises(UsageError, match="used for another request") as caught:
            kept.begin(1, "key", TWO)
        assert caught.value.code.http == 409
        kept.finish(1, "key", 200, b"")


def test_a_request_that_has_no_answer_yet(kept: Idempotency) -> None:
    kept.begin(1, "key", ONE)
    with pytest.raises(UsageError, match="has no answer yet") as caught:
        kept.begin(1, "key", ONE)
    assert caught.value.code.http == 409


def test_a_key_that_changed_nothing_is_free_again(kept: Idempotency) -> None:
    kept.begin(1, "key", ONE)
    kept.drop(1, "key")
    assert kept.begin(1, "key", TWO) is None
    kept.finish(1, "key", 200, b"done")
    kept.drop(1, "key")
    assert kept.begin(1, "key", TWO) == StoredAnswer(200, b"done")


def test_a_long_answer_is_not_kept_nor_one_with_a_secret(kept: Idempotency) -> None:
    kept.begin(1, "key", ONE)
    kept.finish(1, "key", 200, bytes(LARGEST_BODY + 1))
    with pytest.raises(UsageError, match="its answer is not kept"):
        kept.begin(1, "key", ONE)
    kept.begin(1, "secret", ONE)
    kept.finish(1, "secret", 200, None)
    with pytest.raises(UsageError, match="its answer is not kept"):
        kept.begin(1, "secret", ONE)
    kept.begin(1, "other", ONE)
    kept.finish(1, "other", 200, bytes(LARGEST_BODY))
    assert kept.begin(1, "other", ONE) == StoredAnswer(200, bytes(LARGEST_BODY))


def test_answers_are_kept_for_a_day(kept: Idempotency, clock: Clock) -> None:
    kept.begin(1, "key", ONE)
    kept.finish(1, "key", 200, b"")
    clock.now += datetime.timedelta(hours=24)
    assert kept.begin(1, "key", TWO) is None


def test_answers_are_bounded(
    kept: Idempotency, clock: Clock, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("party.idempotency._MOST", 3)
    kept.begin(2, "of another", ONE)
    for number in range(6):
        clock.now += datetime.timedelta(seconds=1)
        kept.begin(1, f"key {number}", ONE)
        kept.finish(1, f"key {number}", 200, b"")
    with store.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 4
    assert kept.begin(1, "key 3", ONE) is not None
    assert kept.begin(1, "key 2", ONE) is None


def test_what_is_no_key(kept: Idempotency) -> None:
    for key in ["", "x" * 129, "a\nb", "ключ", "\udc80"]:
        with pytest.raises(UsageError, match="idempotency key cannot be used"):
            kept.begin(1, key, ONE)


def test_of_two_at_once_one_is_carried_out(kept: Idempotency, store_url: str, clock: Clock) -> None:
    gate, carried, told = threading.Barrier(4), [], []

    def send() -> None:
        with closing(Store(store_url)) as own:
            gate.wait(30)
            try:
                assert Idempotency(own, clock).begin(1, "key", ONE) is None
                carried.append(True)
            except UsageError as error:
                told.append(error.code.http)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (carried, told) == ([True], [409] * 3)
