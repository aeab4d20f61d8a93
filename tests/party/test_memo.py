"""What a run remembers of its own work: never wrong, and lost without harm."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from party import memo as module
from party.memo import Memo, RememberedEngine, RememberedPaillier
from psi.engines import Engine
from psi.errors import UsageError
from psi.secret import Scalar, SecretBytes
from tests.federated.keys_for_tests import STREAM_KEY, private_key

KEY = SecretBytes(b"k" * 32)


class Counting:
    """An engine that counts what it is asked."""

    name = "counting"
    threads = 3
    processes = (1, 2)

    def __init__(self) -> None:
        self.asked = 0
        self.closed = False

    def mask(self, points: bytes, scalar: Scalar) -> bytes:
        self.asked += 1
        return points[::-1]

    def hash_and_mask(self, tag: bytes, identifiers: Any, scalar: Scalar) -> bytes:
        self.asked += 1
        return b"".join(identifiers).ljust(32 * len(identifiers))

    def close(self) -> None:
        self.closed = True


def never() -> bytes:
    """Compute what is known already."""
    raise AssertionError("it was known")


def test_what_was_computed_is_known_to_the_next_process(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "memo", KEY)
    assert memo.get((b"a", b"b"), 5, lambda: b"made") == b"made"
    assert Memo(tmp_path / "memo", KEY).get((b"a", b"b"), 5, never) == b"made"
    assert (memo.computed, Memo(tmp_path / "memo", KEY).computed) == (5, 5)


def test_inputs_are_told_apart_by_their_parts_and_key(tmp_path: Path) -> None:
    memo = Memo(tmp_path, KEY)
    made = [
        memo.get(inputs, 1, lambda n=n: b"%d" % n)
        for n, inputs in enumerate([(b"ab",), (b"a", b"b"), (b"", b"ab")])
    ]
    assert made == [b"0", b"1", b"2"]
    assert Memo(tmp_path, SecretBytes(b"o" * 32)).get((b"ab",), 1, lambda: b"other") == b"other"


def test_names_tell_nothing_without_the_key(tmp_path: Path) -> None:
    one, two = Memo(tmp_path / "1", KEY), Memo(tmp_path / "2", SecretBytes(b"o" * 32))
    for memo in (one, two):
        memo.get((b"+8613800138000",), 1, lambda: b"made")
    names = [{path.name for path in (tmp_path / folder).iterdir()} - {"computed"} for folder in "12"]
    assert names[0].isdisjoint(names[1])


@pytest.mark.parametrize("torn", [b"", b"short", bytes(80)])
def test_a_file_that_is_not_whole_costs_its_work_alone(tmp_path: Path, torn: bytes) -> None:
    memo = Memo(tmp_path, KEY)
    memo.get((b"a",), 1, lambda: b"x" * 48)
    (path,) = (path for path in tmp_path.iterdir() if path.name != "computed")
    path.write_bytes(torn)
    assert Memo(tmp_path, KEY).get((b"a",), 1, lambda: b"x" * 48) == b"x" * 48
    assert Memo(tmp_path, KEY).get((b"a",), 1, never) == b"x" * 48


@pytest.mark.parametrize("torn", ["", "many"])
def test_a_count_that_is_not_whole_begins_anew(tmp_path: Path, torn: str) -> None:
    Memo(tmp_path, KEY).get((b"a",), 7, lambda: b"x")
    (tmp_path / "computed").write_text(torn)
    assert Memo(tmp_path, KEY).computed == 0


def test_what_fails_is_not_remembered(tmp_path: Path) -> None:
    memo = Memo(tmp_path, KEY)
    with pytest.raises(AssertionError):
        memo.get((b"a",), 1, never)
    assert memo.get((b"a",), 1, lambda: b"made") == b"made"
    assert memo.computed == 2  # what was begun is counted


def test_forgetting_keeps_the_count(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "memo", KEY)
    memo.get((b"a",), 3, lambda: b"x")
    memo.forget()
    assert [path.name for path in (tmp_path / "memo").iterdir()] == ["computed"]
    memo.get((b"a",), 3, lambda: b"x")
    assert Memo(tmp_path / "memo", KEY).computed == 6
    memo.remove()
    assert not (tmp_path / "memo").exists()


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, "no_space"), (errno.EIO, "unwritable")])
def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str) -> None:
    memo = Memo(tmp_path, KEY)

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module.os, "replace", fail)
    with pytest.raises(UsageError) as raised:
        memo.get((b"a",), 1, lambda: b"x")
    assert raised.value.code.name == code


def test_both_threads_of_a_run_may_ask_at_once(tmp_path: Path) -> None:
    memo = Memo(tmp_path, KEY)

    def ask(start: int) -> None:
        for number in range(start, start + 40):
            assert memo.get((b"%d" % number,), 1, lambda n=number: b"made %d" % n) == b"made %d" % number

    threads = [threading.Thread(target=ask, args=(start,)) for start in (0, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memo.computed == 80
    assert Memo(tmp_path, KEY).computed == 80


def test_an_engine_is_asked_once(tmp_path: Path) -> None:
    inner = Counting()
    sets, points = Memo(tmp_path / "sets", KEY), Memo(tmp_path / "points", KEY)
    engine: Engine = RememberedEngine(inner, sets, points)
    scalar = Scalar(bytes(32))
    for _ in range(2):
        assert engine.mask(b"ab" * 32, scalar) == b"ba" * 32
        assert engine.hash_and_mask(b"tag", [b"one", b"two"], scalar) == b"onetwo".ljust(64)
    assert inner.asked == 2
    assert (sets.computed, points.computed) == (2, 2)
    engine.hash_and_mask(b"other", [b"one", b"two"], scalar)
    assert inner.asked == 3
    assert (engine.name, engine.threads, engine.processes) == ("counting", 3, (1, 2))
    engine.close()
    assert inner.closed


def test_ciphertexts_are_made_once_and_are_the_engines(tmp_path: Path) -> None:
    key = private_key()
    memo = Memo(tmp_path, KEY)
    engine = RememberedPaillier(memo, 1)
    try:
        made = [engine.encrypt(key, [1, 2, 3], STREAM_KEY, start) for start in (0, 3, 0)]
        assert made[0] == made[2] != made[1]
        assert memo.computed == 6
        assert engine.decrypt(key, made[0] + made[1]) == [1, 2, 3, 1, 2, 3]
    finally:
        engine.close()


def test_a_memo_that_keeps_nothing_counts_all_the_same(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "masks", KEY, keep=False)
    made = iter((b"one", b"two"))
    assert [memo.get((b"a",), 7, lambda: next(made)) for _ in range(2)] == [b"one", b"two"]
    assert memo.computed == 14
    assert list(memo.parts(100_000)) == [0]
    memo.forget()
    assert list(tmp_path.iterdir()) == []
