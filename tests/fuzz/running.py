"""Runs a target over many inputs and measures: with coverage as the guide (atheris, libFuzzer) or by chance alone.

A fault does not end a run: it is kept with its input and counted once for each place in our code, so that one run
finds more than one.
"""

from __future__ import annotations

import hashlib
import os
import random
import resource
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from tests.fuzz.target import Target, run_one

ROOT: Final = Path(__file__).resolve().parents[2]
# What a process may grow by between the tenth part of a run and its end: libFuzzer's own corpus and tables among it.
MAX_GROWTH_MB: Final = 64.0
_POOL: Final = 256
# How often a guided mutation begins with a sound input again.
_AFRESH: Final = 0.25


@dataclass
class Fault:
    """One thing that should not have come out, with the shortest input that made it."""

    where: str
    data: bytes
    text: str
    times: int = 1


@dataclass
class Run:
    """One run of ``target`` over ``runs`` inputs; memory in MB, at the tenth part of it and at its end."""

    target: Target
    runs: int
    executed: int = 0
    accepted: int = 0
    slowest: float = 0.0
    memory: tuple[float, float] = (0.0, 0.0)
    started: float = field(default_factory=time.perf_counter)
    faults: dict[str, Fault] = field(default_factory=dict)

    def one(self, data: bytes) -> bool:
        """Feed one input; returns whether it was accepted."""
        before = time.perf_counter()
        accepted = False
        try:
            accepted = run_one(self.target, data)
        except BaseException as error:
            # Whatever comes out that is not documented is what we look for.
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            self._keep(error, data)
        self.slowest = max(self.slowest, time.perf_counter() - before)
        self.executed += 1
        self.accepted += accepted
        if self.executed == max(1, self.runs // 10):
            self.memory = (resident(), 0.0)
        return accepted

    def finished(self) -> bool:
        """Whether all inputs were fed."""
        return self.executed >= self.runs

    def close(self) -> None:
        """Take the last measure."""
        self.memory = (self.memory[0], resident())

    @property
    def grown(self) -> float:
        """By how much the process grew, in MB; 0 where it was stopped before the first measure."""
        return self.memory[1] - self.memory[0] if self.memory[0] else 0.0

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.faults and self.grown <= MAX_GROWTH_MB

    def row(self) -> str:
        """Return one row of the table that a person reads."""
        rate = self.executed / max(1e-9, time.perf_counter() - self.started)
        return (
            f"{self.target.name:<12}{rate:>10,.0f}{self.executed:>12,}{self.accepted / max(1, self.executed):>10.1%}"
            f"{len(self.faults):>8}{self.memory[0]:>9.1f}{self.memory[1]:>9.1f}{self.slowest * 1000:>9.0f}"
        )

    def _keep(self, error: BaseException, data: bytes) -> None:
        where = place_of(error)
        known = self.faults.get(where)
        if known is not None:
            known.times += 1
            if len(data) < len(known.data):
                known.data = data
            return
        self.faults[where] = Fault(where, data, "".join(traceback.format_exception(error)))


HEADER: Final = (
    f"{'target':<12}{'inputs/s':>10}{'executed':>12}{'accepted':>10}{'faults':>8}"
    f"{'MB 10%':>9}{'MB end':>9}{'ms max':>9}"
)


def place_of(error: BaseException) -> str:
    """Return the kind of ``error`` and the last line of ours that it came through."""
    ours = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(ROOT) and "fuzz" not in Path(frame.filename).parts[-2:]
    ]
    at = f"{Path(ours[-1].filename).relative_to(ROOT)}:{ours[-1].lineno}" if ours else "the target itself"
    return f"{type(error).__name__} at {at}"


def resident() -> float:
    """Return the memory of this process in MB: what it has now or, where no /proc says that, the most it had."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def by_chance(run: Run, seed: int) -> None:
    """Feed seeds and mutations of them; what was accepted is mutated again."""
    target, rng = run.target, random.Random(seed)
    pool = list(target.seeds)
    for data in target.seeds:
        if not run.finished():
            run.one(data)
    while not run.finished():
        at = rng.randrange(len(pool))
        data = pool[at]
        for _ in range(rng.choice((1, 1, 2))):
            data = target.mutate(data, rng, target.longest)
        if run.one(data):
            if len(pool) < _POOL:
                pool.append(data)
            elif at >= len(target.seeds):
                pool[at] = data
    run.close()


def by_coverage(run: Run, seed: int, corpus: Path, finish: Callable[[Run], NoReturn]) -> None:
    """Feed what libFuzzer makes of the seeds with our mutators; ``finish`` ends the process."""
    import atheris

    for data in run.target.seeds:
        (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    target = run.target

    def mutate(data: bytes, limit: int, number: int) -> bytes:
        rng = random.Random(number)
        if rng.random() < 0.25:
            return bytes(atheris.Mutate(data, limit))
        if rng.random() < _AFRESH:
            # What libFuzzer keeps drifts towards the many ways to be refused early.
            data = rng.choice(target.seeds)
        return target.mutate(data, rng, limit)

    def one(data: bytes) -> None:
        run.one(data)
        if run.finished():
            run.close()
            finish(run)

    settings = [f"-runs={run.runs + 1_000_000}", f"-seed={seed}", f"-max_len={target.longest}", "-timeout=30"]
    settings += ["-rss_limit_mb=2048", "-verbosity=0", "-len_control=0", "-handle_int=0", "-handle_term=0"]
    atheris.Setup(
        [sys.argv[0], *settings, f"-artifact_prefix={corpus}/", str(corpus)], one, custom_mutator=mutate
    )
    atheris.Fuzz()
