"""Worker processes for the engine. They hold keys in memory only, and end when this process does.

A child started with ``python -m`` ends by itself when the parent goes, even by SIGKILL, and it does not import
the caller's main module again.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final, cast

from federated import wire
from psi.errors import UsageError, VeiljoinError

_EXIT_SECONDS: Final = 5.0  # how long close() lets a worker finish by itself


class Pool:
    """At most ``threads`` workers, started when first asked."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._workers: list[_Worker] = []
        self._lock = threading.Lock()

    @property
    def processes(self) -> tuple[int, ...]:
        """Process ids of the workers that run now."""
        return tuple(worker.pid for worker in self._workers)

    def ask(self, operation: bytes, requests: Sequence[Sequence[bytes]]) -> list[bytes]:
        """Return the answers to at most ``threads`` requests, one per worker, in order.

        Raises :class:`~psi.errors.UsageError` (``engine_unavailable``) when a worker was lost, and the error that a
        worker met.
        """
        with self._lock:
            try:
                while len(self._workers) < len(requests):
                    self._workers.append(_Worker())
                workers = self._workers[: len(requests)]
                for worker, fields in zip(workers, requests, strict=True):
                    wire.write(worker.requests, operation, fields)
                answers = [wire.read(worker.answers) for worker in workers]
            except (OSError, EOFError):
                self._end_workers()
                raise UsageError(
                    "A worker process of the Paillier engine did not start, or ended too soon.",
                    hint="Check the machine's free memory, then start the job again.",
                    code="engine_unavailable",
                ) from None
            except BaseException:
                # Interrupted between request and answer: a later batch would read this one's answer.
                self._end_workers()
                raise
        for status, fields in answers:
            if status == wire.FAILED:
                message, hint, code = (field.decode() for field in fields)
                # What a person can mend is a setting; everything else is a fault of program or machine.
                kind = UsageError if code == UsageError.default_code else VeiljoinError
                raise kind(message, hint=hint, code=code)
        return [fields[0] for _, fields in answers]

    def close(self) -> None:
        """End the workers; a later request would start new ones."""
        with self._lock:
            self._end_workers()

    def _end_workers(self) -> None:
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.close_streams()
        for worker in workers:
            worker.wait()


class _Worker:
    """One worker process and the two ends of its pipes."""

    def __init__(self) -> None:
        # The same interpreter and import path as here, as far as this process's path names folders.
        root = str(Path(__file__).resolve().parents[1])
        path = os.pathsep.join(dict.fromkeys([root, *(entry for entry in sys.path if entry)]))
        self._process = subprocess.Popen(
            # This interpreter and our own module, no shell. -P: the working folder is not searched for modules.
            [sys.executable, "-P", "-m", "federated.worker"],
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
