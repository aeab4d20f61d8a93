"""How engines cut a batch into one contiguous slice per thread or process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def slices(count: int, parts: int, unit: int, smallest: int) -> list[tuple[int, int]]:
    """Cut ``range(count)`` into at most ``parts`` half-open ranges, in order, that together cover it.

    All but the last are multiples of ``unit``; ``count`` below twice ``smallest`` stays whole, since waking
    another thread or process costs more than it saves. No range is empty; 0 gives no range.
    """
    parts = max(1, min(parts, count // smallest))
    step = -(-count // (parts * unit)) * unit
    return [(start, min(start + step, count)) for start in range(0, count, step)] if count else []


class Threads:
    """A thread pool that is started by the first batch that needs it; for work that gives up the GIL."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = None

    def run(self, task: Callable[[int, int], None], ranges: list[tuple[int, int]]) -> None:
        """Call ``task(start, stop)`` for all ranges at the same time, then raise the first error, if any."""
        if len(ranges) <= 1 or self.threads == 1:
            for start, stop in ranges:
                task(start, stop)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="veiljoin-mask")
        # The caller's own thread takes the last range: one thread less to wake.
        futures = [self._pool.submit(task, start, stop) for start, stop in ranges[:-1]]
        try:
            task(*ranges[-1])
        finally:
            # Wait for all before anything is raised: they still write to buffers that the caller owns.
            errors = [future.exception() for future in futures]
        for error in errors:
            if error is not None:
                raise error

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
