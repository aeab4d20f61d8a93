"""Paillier's batch engine beside `phe`, in one run: encryptions, additions and decryptions a second.

Both sides use the same number of processes, the same key length and numbers of the same size. Rounds alternate, so
that a machine that others use as well slows both alike; each figure is the median of its rounds.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Final

from federated.engine import PaillierEngine
from federated.fixed_base import DEFAULT_WINDOW
from federated.keys import DEFAULT_BITS, PaillierPrivateKey, generate_key
from federated.reference import to_phe_private, to_phe_public
from federated.stream import StreamKey
from psi.engines import usable_processors

ROUNDS: Final = 5
# phe's share of a round per process: enough for a steady figure, little against ours.
_PHE_ENCRYPTIONS: Final = 60
_PHE_DECRYPTIONS: Final = 120
_PHE_ADDITIONS: Final = 20_000
_PHE_CIPHERTEXTS: Final = 16
_ADDED: Final = 100_000
_VALUE_BITS: Final = 64

BARS: Final[Mapping[str, float]] = {"encryptions": 15.0, "additions": 2.0, "decryptions": 3.0}


@dataclass(frozen=True, slots=True)
class PaillierFigures:
    """Operations a second on all processors; ``ours`` and ``phe`` by the names in :data:`BARS`."""

    rows: int
    bits: int
    threads: int
    window: int
    ours: Mapping[str, float]
    phe: Mapping[str, float]

    def ratio(self, operation: str) -> float:
        """Return how many times phe's figure ours is."""
        return self.ours[operation] / self.phe[operation]

    def as_data(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return {
            "rows": self.rows,
            "bits": self.bits,
            "threads": self.threads,
            "window": self.window,
            "operations": {
                name: {
                    "per_second": round(self.ours[name]),
                    "phe_per_second": round(self.phe[name]),
                    "ratio": round(self.ratio(name), 2),
                    "bar": bar,
                }
                for name, bar in BARS.items()
            },
        }


def bench_paillier(
    rows: int, *, bits: int = DEFAULT_BITS, threads: int | None = None, window: int = DEFAULT_WINDOW
) -> PaillierFigures:
    """Encrypt ``rows`` numbers, add and decrypt them, in ``ROUNDS`` rounds, each beside phe's on as many processes.

    Tables and processes are made before the clock starts. Every result is checked.
    """
    threads = threads or usable_processors()
    private = generate_key(bits)
    ours: dict[str, list[float]] = {name: [] for name in BARS}
    theirs: dict[str, list[float]] = {name: [] for name in BARS}
    engine = PaillierEngine(threads, window)
    # Not forked: the engine's pipes must not be inherited.
    p, q = map(int, private.primes)
    pool = ProcessPoolExecutor(threads, get_context("spawn"), initializer=_prepare, initargs=(p, q))
    try:
        list(pool.map(_phe_encrypt, [None] * threads))  # starts the processes
        share = max(1, rows // ROUNDS)
        key = StreamKey(secrets.token_bytes(32))
        engine.encrypt(private, range(threads * 256), key, 0)  # starts the workers, builds their tables
        for number in range(ROUNDS):
            _own_round(engine, private, key, (number + 1) * rows, share, ours)
            for name, work in _PHE.items():
                started = time.perf_counter()
                done = sum(pool.map(work, [None] * threads))
                theirs[name].append(done / (time.perf_counter() - started))
    finally:
        engine.close()
        pool.shutdown()
    return PaillierFigures(rows, bits, threads, window, _medians(ours), _medians(theirs))


def _own_round(
    engine: PaillierEngine,
    private: PaillierPrivateKey,
    key: StreamKey,
    start: int,
    share: int,
    figures: dict[str, list[float]],
) -> None:
    public = private.public
    numbers = [secrets.randbits(_VALUE_BITS) for _ in range(share)]
    started = time.perf_counter()
    batch = engine.encrypt(private, numbers, key, start)
    figures["encryptions"].append(share / (time.perf_counter() - started))
    repeated = -(-_ADDED // share)
    many = batch * repeated
    started = time.perf_counter()
    total = engine.add(public, [many])
    figures["additions"].append(share * repeated / (time.perf_counter() - started))
    started = time.perf_counter()
    opened = engine.decrypt(private, batch)
    figures["decryptions"].append(share / (time.perf_counter() - started))
    if opened != numbers or engine.decrypt(private, total) != [repeated * sum(numbers)]:
        raise AssertionError("the engine decrypted to other numbers than it encrypted")


def _medians(figures: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in figures.items()}


# -- phe, in processes of their own; each keeps its key and some ciphertexts

_state: dict[str, Any] = {}


def _prepare(p: int, q: int) -> None:
    private = PaillierPrivateKey.of(p, q)
    _state["public"] = to_phe_public(private.public)
    _state["private"] = to_phe_private(private)
    _state["batch"] = [_state["public"].encrypt(number) for number in range(_PHE_CIPHERTEXTS)]


def _phe_encrypt(_: None) -> int:
    encrypt = _state["public"].encrypt
    for _index in range(_PHE_ENCRYPTIONS):
        encrypt(secrets.randbits(_VALUE_BITS))
    return _PHE_ENCRYPTIONS


def _phe_add(_: None) -> int:
    batch = _state["batch"]
    total = batch[0]
    for index in range(_PHE_ADDITIONS):
        total = total + batch[index % _PHE_CIPHERTEXTS]
    return _PHE_ADDITIONS


def _phe_decrypt(_: None) -> int:
    decrypt, batch = _state["private"].decrypt, _state["batch"]
    for index in range(_PHE_DECRYPTIONS):
        decrypt(batch[index % _PHE_CIPHERTEXTS])
    return _PHE_DECRYPTIONS


_PHE: Final[Mapping[str, Callable[[None], int]]] = {
    "encryptions": _phe_encrypt,
    "additions": _phe_add,
    "decryptions": _phe_decrypt,
}
