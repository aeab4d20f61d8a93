"""Engine ``cryptography``: X25519 of the package ``cryptography``, which runs everywhere.

It holds the GIL, so threads gain nothing; processes do. Each worker is a fresh interpreter
(:mod:`psi.engines.worker`) and never a fork: gRPC's threads live in the parent and do not survive one. It
talks over its standard streams, so that it ends by itself when the parent goes, even by SIGKILL, and it does
not import the caller's main module again, as a process pool would.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import BinaryIO, Final, cast

from psi.engines import worker
from psi.engines.slices import slices
from psi.errors import UsageError
from psi.points import check_masked
from psi.secret import Scalar
from psi.suites import X25519_ELL2

_SIZE: Final = 32
_SMALLEST_SLICE: Final = 2048  # points: about 75 ms of work, as a worker takes about as long to start
_EXIT_SECONDS: Final = 5.0  # how long close() lets a worker finish by itself


class Pyca:
    """See :class:`psi.engines.Engine`. Workers start with the first batch that is large enough."""

    name = "cryptography"

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._workers: list[_Worker] = []
        self._lock = threading.Lock()

    def mask(self, points: bytes, scalar: Scalar) -> bytes:
        count, rest = divmod(len(points), _SIZE)
        if rest:
            raise ValueError(f"{len(points)} bytes are not a whole number of {_SIZE}-byte elements")
        secret = scalar.reveal()
        if len(secret) != _SIZE:
            raise ValueError(f"a scalar is {_SIZE} bytes, not {len(secret)}")
        ranges = slices(count, self.threads, 1, _SMALLEST_SLICE)
        if len(ranges) <= 1:
            result = worker.multiply(points, secret)
        else:
            chunks = [points[start * _SIZE : stop * _SIZE] for start, stop in ranges]
            with self._lock:
                result = self._multiply_in_workers(chunks, secret)
        check_masked(X25519_ELL2, result)
        return result

    def close(self) -> None:
        with self._lock:
            self._end_workers()

    def _multiply_in_workers(self, chunks: list[bytes], secret: bytes) -> bytes:
        # The caller's own process takes the last chunk: one worker less to start.
        *others, own = chunks
        try:
            while len(self._workers) < len(others):
                self._workers.append(_Worker())
            workers = self._workers[: len(others)]
            for process, chunk in zip(workers, others, strict=True):
                worker.send_request(process.requests, chunk, secret)
            last = worker.multiply(own, secret)
            parts = [
                worker.read_exactly(process.answers, len(chunk))
                for process, chunk in zip(workers, others, strict=True)
            ]
        except (OSError, EOFError):
            self._end_workers()
            raise UsageError(
                "A worker process of the masking engine 'cryptography' did not start, or ended too soon.",
                hint="Check the machine's free memory, then resume the job.",
                code="engine_unavailable",
            ) from None
        except BaseException:
            # Interrupted between request and answer: a later batch would read this one's answer.
            self._end_workers()
            raise
        return b"".join([*parts, last])

    def _end_workers(self) -> None:
        workers, self._workers = self._workers, []
        for process in workers:
            process.close_streams()
        for process in workers:
            process.wait()


class _Worker:
    """One worker process and the two ends of its pipes."""

    def __init__(self) -> None:
        # The same interpreter and import path as here, as far as this process's path names folders.
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(dict.fromkeys([root, *(entry for entry in sys.path if entry)]))
        self._process = subprocess.Popen(
            # -P: the working folder is not searched for modules.
            [sys.executable, "-P", "-m", "psi.engines.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        self.requests = cast(BinaryIO, self._process.stdin)
        self.answers = cast(BinaryIO, self._process.stdout)

    @property
    def pid(self) -> int:
        return self._process.pid

    def close_streams(self) -> None:
        """Close both pipes, at which the worker ends by itself."""
        self.answers.close()
        # A request half written to a worker that is gone can no longer be flushed, and need not be.
        with contextlib.suppress(OSError):
            self.requests.close()

    def wait(self) -> None:
        """Wait for the process to end; kill it if it does not."""
        try:
            self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def reason_unusable() -> str | None:
    """Return one sentence that says why this engine cannot run here, or None when it can."""
    if importlib.util.find_spec("cryptography") is None:
        return "the package cryptography is not installed."
    return None


def create(threads: int) -> Pyca:
    """Open the engine on ``threads`` processes, the calling one among them."""
    return Pyca(threads)
