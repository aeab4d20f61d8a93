"""The pool around a kernel: the same bytes over every boundary, and workers that never outlive their use."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psi.engines import Engine, kernel_of, open_engine, pyca, wire
from psi.engines.pool import PooledEngine, slices
from psi.errors import UsageError
from psi.hash_to_curve import derive_scalar, hash_to_group
from psi.secret import Scalar
from psi.suites import RISTRETTO255, X25519_ELL2, Suite

ROOT = Path(__file__).resolve().parents[2]
TAG = b"test tag of the pool"
SMALLEST = 8  # far below the real one, so that few points are enough to reach the workers
PORTABLE = [
    pytest.param(X25519_ELL2, "cryptography", id="cryptography"),
    pytest.param(RISTRETTO255, "sodium", id="sodium"),
]
linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")


def pool(suite: Suite, name: str, threads: int, smallest: int = SMALLEST) -> PooledEngine:
    return PooledEngine(suite, name, kernel_of(name), threads, smallest)


@pytest.fixture(scope="module")
def pools() -> Iterator[dict[str, PooledEngine]]:
    """One pool of three workers per portable engine, shared: a worker takes a while to start."""
    table = {
        name: pool(suite, name, 3)
        for suite, name in ((X25519_ELL2, "cryptography"), (RISTRETTO255, "sodium"))
    }
    yield table
    for each in table.values():
        each.close()


@pytest.fixture
def engine() -> Iterator[PooledEngine]:
    """A pool of two workers that the test may harm."""
    opened = pool(X25519_ELL2, "cryptography", 2)
    yield opened
    opened.close()


def scalar_of(suite: Suite, seed: int) -> Scalar:
    return derive_scalar(suite, random.Random(seed).randbytes(64))


def identifiers_of(count: int) -> list[bytes]:
    return [b"%d" % i for i in range(count)]


# Slices ----------------------------------------------------------------------------------------------------


@given(st.integers(0, 5000), st.integers(1, 9), st.integers(1, 300))
def test_slices_cover_everything_once(count: int, parts: int, smallest: int) -> None:
    ranges = slices(count, parts, smallest)
    assert [i for start, stop in ranges for i in range(start, stop)] == list(range(count))
    assert len(ranges) <= parts
    assert all(start < stop for start, stop in ranges)
    assert len(ranges) <= 1 or count >= len(ranges) * smallest


@given(st.integers(1, 5000), st.integers(1, 9), st.integers(1, 300))
def test_slices_are_nearly_equal(count: int, parts: int, smallest: int) -> None:
    lengths = [stop - start for start, stop in slices(count, parts, smallest)]
    assert len(set(lengths[:-1])) <= 1
    assert lengths[-1] <= lengths[0]


# The same bytes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suite", "name"), PORTABLE)
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 50, 101])
def test_hash_and_mask_is_hashing_then_masking(
    pools: dict[str, PooledEngine], suite: Suite, name: str, count: int
) -> None:
    # Around one, two and three times the smallest slice: in this process, then on one, two, three workers.
    identifiers, scalar = identifiers_of(count), scalar_of(suite, count)
    plain = kernel_of(name)(hash_to_group(suite, TAG, identifiers), scalar.reveal())
    assert pools[name].hash_and_mask(TAG, identifiers, scalar) == plain
    assert pools[name].mask(hash_to_group(suite, TAG, identifiers), scalar) == plain


@pytest.mark.parametrize(("suite", "name"), PORTABLE)
def test_identifiers_of_any_length_reach_the_workers_whole(
    pools: dict[str, PooledEngine], suite: Suite, name: str
) -> None:
    lengths = [0, 1, 127, 128, 129, 255, 256, 257, 1024, 65_534, wire.MAX_IDENTIFIER, 3] * 3
    identifiers = [random.Random(i).randbytes(length) for i, length in enumerate(lengths)]
    scalar = scalar_of(suite, 1)
    plain = kernel_of(name)(hash_to_group(suite, TAG, identifiers), scalar.reveal())
    assert pools[name].hash_and_mask(TAG, identifiers, scalar) == plain


@pytest.mark.parametrize("count", [1, SMALLEST - 1, SMALLEST, 40])
def test_an_identifier_that_is_too_long_is_refused_for_every_batch_size(
    pools: dict[str, PooledEngine], count: int
) -> None:
    # Were its length to wrap, the worker would hash its first bytes: another person's match.
    shared, scalar = pools["cryptography"], scalar_of(X25519_ELL2, 2)
    shared.mask(hash_to_group(X25519_ELL2, TAG, identifiers_of(40)), scalar)
    before = shared.processes
    identifiers = [*identifiers_of(count - 1), b"\xa5" * (wire.MAX_IDENTIFIER + 3)]
    with pytest.raises(ValueError, match="an identifier has 65538 bytes") as caught:
        shared.hash_and_mask(TAG, identifiers, scalar)
    assert "a5" not in str(caught.value)
    with pytest.raises(ValueError, match="tag is 1 to 255 bytes"):
        shared.hash_and_mask(bytes(256), identifiers_of(count), scalar)
    assert shared.processes == before
    assert len(shared.hash_and_mask(TAG, identifiers_of(40), scalar)) == 32 * 40


def test_callers_on_several_threads_each_get_their_own_answer(
    engine: PooledEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    scalar = scalar_of(X25519_ELL2, 3)
    batches = [[b"%d of %d" % (i, caller) for i in range(40)] for caller in range(6)]
    answers: dict[int, bytes] = {}
    # The first to ask is slow to read: whoever were let in meanwhile would read its answer.
    real, slow = wire.read_exactly, iter([0.3])

    def read(stream: BinaryIO, size: int) -> bytes:
        time.sleep(next(slow, 0.0))
        return real(stream, size)

    monkeypatch.setattr(wire, "read_exactly", read)

    def call(caller: int) -> None:
        answers[caller] = engine.hash_and_mask(TAG, batches[caller], scalar)

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [pyca.multiply(hash_to_group(X25519_ELL2, TAG, batch), scalar.reveal()) for batch in batches]
    assert [answers[caller] for caller in range(6)] == expected


# The life of workers ---------------------------------------------------------------------------------------


def large(engine: Engine, seed: int = 1) -> bytes:
    """One batch that takes both workers."""
    return engine.hash_and_mask(TAG, identifiers_of(2 * SMALLEST), scalar_of(X25519_ELL2, seed))


def test_small_batches_start_no_worker(engine: PooledEngine) -> None:
    engine.hash_and_mask(TAG, identifiers_of(SMALLEST - 1), scalar_of(X25519_ELL2, 1))
    assert engine.processes == ()


def test_workers_start_as_they_are_needed_and_stay(engine: PooledEngine) -> None:
    engine.hash_and_mask(TAG, identifiers_of(2 * SMALLEST - 1), scalar_of(X25519_ELL2, 1))
    (first,) = engine.processes
    large(engine)
    assert len(engine.processes) == 2
    assert engine.processes[0] == first
    both = engine.processes
    large(engine)
    assert engine.processes == both


def test_workers_end_with_close_and_start_again(engine: PooledEngine) -> None:
    first = large(engine)
    processes = [worker._process for worker in engine._workers]
    engine.close()
    assert [process.returncode for process in processes] == [0, 0]
    assert engine.processes == ()
    engine.close()
    assert large(engine) == first
    assert not set(engine.processes) & {process.pid for process in processes}


def test_a_killed_worker_is_one_clear_error_and_the_engine_recovers(engine: PooledEngine) -> None:
    first = large(engine)
    before = engine.processes
    os.kill(before[1], signal.SIGKILL)
    with pytest.raises(UsageError, match="'cryptography' did not start, or ended too soon") as caught:
        large(engine)
    assert caught.value.code.name == "engine_unavailable"
    assert scalar_of(X25519_ELL2, 1).reveal().hex() not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert not any(alive(pid) for pid in before)
    assert large(engine) == first


def test_a_worker_that_cannot_start_is_the_same_error(
    engine: PooledEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(ROOT / "no such interpreter"))
    with pytest.raises(UsageError, match="did not start, or ended too soon"):
        large(engine)
    assert engine.processes == ()


def test_an_interrupt_between_request_and_answer_leaves_no_old_answer(
    engine: PooledEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = large(engine, 1), large(engine, 2)
    real, calls = wire.read_exactly, iter([True])

    def interrupted(*arguments: object) -> bytes:
        if next(calls, False):
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(wire, "read_exactly", interrupted)
    with pytest.raises(KeyboardInterrupt):
        large(engine, 1)
    assert engine.processes == ()
    assert large(engine, 2) == other != first


def test_ctrl_c_in_the_terminal_does_not_end_a_worker(engine: PooledEngine) -> None:
    first, before = large(engine), engine.processes
    for pid in before:
        os.kill(pid, signal.SIGINT)
    assert large(engine) == first
    assert engine.processes == before


@linux
def test_the_scalar_is_neither_among_the_arguments_nor_in_the_environment_of_a_worker(
    engine: PooledEngine,
) -> None:
    large(engine)
    secret = scalar_of(X25519_ELL2, 1).reveal()
    for pid in engine.processes:
        for name in ("cmdline", "environ"):
            content = Path(f"/proc/{pid}/{name}").read_bytes()
            assert secret not in content
            assert secret.hex().encode() not in content.lower()


def test_a_module_in_the_working_folder_is_not_imported(tmp_path: Path) -> None:
    # Data folders are where partners' files land; a file there must not become code.
    (tmp_path / "gmpy2.py").write_text("raise SystemExit('imported from the working folder')\n")
    program = (
        "from psi.engines import open_engine\n"
        "from psi.secret import Scalar\n"
        "from psi.suites import X25519_ELL2\n"
        "engine = open_engine(X25519_ELL2, 'cryptography', 2)\n"
        "masks = engine.hash_and_mask(b'tag', [b'%d' % i for i in range(4200)], Scalar(bytes(range(32))))\n"
        "print(len(masks), len(engine.processes))\n"
        "engine.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (f"{32 * 4200} 2\n", "")


PARENT = """
import sys, time
from psi.engines import open_engine
from psi.secret import Scalar
from psi.suites import X25519_ELL2
engine = open_engine(X25519_ELL2, "cryptography", 2)
engine.mask((bytes([9]) + bytes(31)) * 4200, Scalar(bytes(range(32))))
print(*engine.processes, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_workers_do_not_outlive_a_killed_parent() -> None:
    # No `if __name__ == "__main__"` in the parent: workers must not import it again.
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as parent:
        assert parent.stdout is not None
        workers = [int(word) for word in parent.stdout.readline().split()]
        assert len(workers) == 2
        assert all(map(alive, workers))
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, workers))


def test_the_real_engine_takes_workers_from_its_own_size_on() -> None:
    real = open_engine(X25519_ELL2, "cryptography", 2)
    try:
        scalar = scalar_of(X25519_ELL2, 5)
        real.hash_and_mask(TAG, identifiers_of(pyca.SMALLEST - 1), scalar)
        assert real.processes == ()
        real.hash_and_mask(TAG, identifiers_of(pyca.SMALLEST), scalar)
        assert len(real.processes) == 1
    finally:
        real.close()


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but was not waited for counts as ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
