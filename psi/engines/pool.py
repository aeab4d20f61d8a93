"""The engine around a kernel: batches cut into slices, one worker process per thread of work.

Processes rather than threads for every kernel. Two of the kernels hold the GIL; the third gives it up for 54 us
at a time and must win it back after each, which next to one busy Python thread costs it 98 % of its speed.
The worker's side is :mod:`psi.engines.worker`, the process itself :mod:`psi.engines.process`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from psi.engines import wire
from psi.engines.process import WorkerProcess
from psi.errors import UsageError
from psi.hash_to_curve import hash_to_group
from psi.points import check_masked
from psi.secret import Scalar
from psi.suites import Suite

_SIZE: Final = 32

# points (n x 32 bytes) and scalar (32 bytes) to n x 32 bytes, all-zero where there is no valid product
Kernel = Callable[[bytes, bytes], bytes]


def slices(count: int, parts: int, smallest: int) -> list[tuple[int, int]]:
    """Cut ``range(count)`` into at most ``parts`` half-open ranges, in order, that together cover it.

    No range is shorter than ``smallest`` unless it is the only one; none is empty; 0 gives no range.
    """
    parts = max(1, min(parts, count // smallest))
    step = -(-count // parts)
    return [(start, min(start + step, count)) for start in range(0, count, step)] if count else []


class PooledEngine:
    """See :class:`psi.engines.Engine`.

    Batches below ``smallest`` elements run in the calling process, because waking a worker would take longer.
    Workers start with the first batch that is larger.
    """

    def __init__(self, suite: Suite, name: str, kernel: Kernel, threads: int, smallest: int) -> None:
        self.name = name
        self.threads = threads
        self._suite = suite
        self._kernel = kernel
        self._smallest = smallest
        self._workers: list[WorkerProcess] = []
        self._lock = threading.Lock()

    def mask(self, points: bytes, scalar: Scalar) -> bytes:
        """Multiply each element by ``scalar``."""
        count, rest = divmod(len(points), _SIZE)
        if rest:
            raise ValueError(f"{len(points)} bytes are not a whole number of {_SIZE}-byte elements")
        secret = _secret(scalar)
        if count < self._smallest:
            result = self._kernel(points, secret)
        else:
            parts = slices(count, self.threads, self._smallest)
            requests = [wire.MaskRequest(points[a * _SIZE : b * _SIZE], secret) for a, b in parts]
            result = self._ask(requests, [b - a for a, b in parts])
        check_masked(self._suite, result)
        return result

    def hash_and_mask(self, tag: bytes, identifiers: Sequence[bytes], scalar: Scalar) -> bytes:
        """Hash each identifier to the group under the domain separation tag, then multiply by ``scalar``."""
        whole = wire.HashRequest(tag, identifiers, _secret(scalar))
        if len(identifiers) < self._smallest:
            result = self._kernel(hash_to_group(self._suite, tag, identifiers), whole.secret)
        else:
            parts = slices(len(identifiers), self.threads, self._smallest)
            requests = [replace(whole, identifiers=identifiers[a:b]) for a, b in parts]
            result = self._ask(requests, [b - a for a, b in parts])
        check_masked(self._suite, result)
        return result

    @property
    def processes(self) -> tuple[int, ...]:
        """Process ids of the workers that run now."""
        return tuple(worker.pid for worker in self._workers)

    def close(self) -> None:
        """End the workers; a later large batch would start new ones."""
        with self._lock:
            self._end_workers()

    def _ask(self, requests: Sequence[wire.Request], counts: Sequence[int]) -> bytes:
        with self._lock:
            try:
                while len(self._workers) < len(requests):
                    self._workers.append(WorkerProcess("psi.engines.worker", self._suite.id, self.name))
                workers = self._workers[: len(requests)]
                for worker, request in zip(workers, requests, strict=True):
                    wire.write_request(worker.requests, request)
                parts = [
                    wire.read_exactly(worker.answers, count * _SIZE)
                    for worker, count in zip(workers, counts, strict=True)
                ]
            except (OSError, EOFError):
                self._end_workers()
                raise UsageError(
                    f"A worker process of the masking engine {self.name!r} did not start, or ended too soon.",
                    hint="Check the machine's free memory, then start the job again.",
                    code="engine_unavailable",
                ) from None
            except BaseException:
                # Interrupted between request and answer: a later batch would read this one's answer.
                self._end_workers()
                raise
        return b"".join(parts)

    def _end_workers(self) -> None:
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.close_streams()
        for worker in workers:
            worker.wait()


def _secret(scalar: Scalar) -> bytes:
    secret = scalar.reveal()
    if len(secret) != _SIZE:
        raise ValueError(f"a scalar is {_SIZE} bytes, not {len(secret)}")
    return secret
