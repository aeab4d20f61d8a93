"""The offline verifier on a large made-up bundle: entries per second and memory, on one processor.

Entries cost hashing and reading; a checkpoint costs two signatures, and a job's contract two more, which take as
long as a good many entries. So the figures say how many of each there were.
"""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from audit.bundle import Bundle, lines_of
from audit.verify import verify
from bench.synthetic_logs import KINDS, Pair
from party.measure import peak_memory_mb

# Jobs that run at once share their checkpoints.
_AT_ONCE: Final = 20
SMALLEST: Final = 100


@dataclass(frozen=True, slots=True)
class AuditFigures:
    """One verification: its size and its cost. ``peak_memory_mb`` is that of a process which did nothing else."""

    entries: int
    jobs: int
    checkpoints: int
    bytes: int
    seconds: float
    processor_seconds: float
    peak_memory_mb: float

    def as_data(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return {
            "entries": self.entries,
            "jobs": self.jobs,
            "checkpoints": self.checkpoints,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 2),
            "processor_seconds": round(self.processor_seconds, 2),
            "entries_per_second": round(self.entries / self.seconds),
            "peak_memory_mb": round(self.peak_memory_mb),
        }


def bench_audit(entries: int, jobs: int, folder: Path) -> AuditFigures:
    """Write a bank's bundle of ``entries`` entries with ``jobs`` jobs in it into ``folder``, and verify it.

    Raises ``RuntimeError`` if it does not pass: the figures would be of something else.
    """
    path = folder / "bank.veiljoin-log"
    checkpoints = _write(path, entries, jobs)
    # A process of its own: this one holds the log that was made.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        read, seconds, processor, peak = pool.submit(_verify, path).result()
    return AuditFigures(read, jobs, checkpoints, path.stat().st_size, seconds, processor, peak)


def _write(path: Path, entries: int, jobs: int) -> int:
    pair = Pair("bench")
    for first in range(0, jobs, _AT_ONCE):
        pair.jobs([KINDS[number % len(KINDS)] for number in range(first, min(jobs, first + _AT_ONCE))])
    pair.fill("bank", entries)
    with path.open("wb") as file:
        file.writelines(pair.bank.bundle(pair.platform, details=False))
    return len(pair.bank.checkpoints)


def _verify(path: Path) -> tuple[int, float, float, float]:
    started, before = time.perf_counter(), time.process_time()
    with path.open("rb") as file:
        report = verify([Bundle(path.name, lines_of(file))])
    seconds, processor = time.perf_counter() - started, time.process_time() - before
    if report.first is not None:
        raise RuntimeError(f"the made-up bundle does not pass: {report.first.text()}")
    counts = {check.id: check.counts for section in report.sections for check in section.checks}
    return counts["entries"]["entries"], seconds, processor, peak_memory_mb()
