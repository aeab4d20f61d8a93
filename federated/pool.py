"""Worker processes for the engine. They hold keys in memory only, and end when this process does."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from federated import wire
from psi.engines.process import WorkerProcess
from psi.errors import UsageError, VeiljoinError


class Pool:
    """At most ``threads`` workers, started when first asked."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._workers: list[WorkerProcess] = []
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
                    self._workers.append(WorkerProcess("federated.worker"))
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
