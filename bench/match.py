"""A whole private match, two processes over mutual TLS, held against the masking engine's own speed.

The floor is 4 masks per row pair (each side masks its own set and its partner's) at the engine's rate on all
processors, measured in the same run just before and just after. The better of the two counts: machines are shared
and noisy, and a disturbed measurement would flatter the match.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from party.jobfile import parse_job
from party.rehearsal import plan, run
from party.synthetic import clean_csv, make_pair
from psi.engines import open_engine
from psi.hash_to_curve import derive_scalar, hash_to_group
from psi.suites import Suite, domain_separation_tag

MASKS_PER_PAIR: Final = 4
# Enough work per measurement for a steady figure, little against the match itself.
_PROBE_SECONDS: Final = 2.0
_PROBE_ELEMENTS: Final = 65_536


@dataclass(frozen=True, slots=True)
class MatchFigures:
    """One run: ``seconds`` end to end with process start, ``masks_per_second`` of the engine alone."""

    rows: int
    suite: str
    engine: str
    seconds: float
    masks_per_second: float
    bytes_per_pair: float
    peak_memory_mb: Mapping[str, float]
    phases: Mapping[str, Mapping[str, float]]
    matched: int

    @property
    def floor_seconds(self) -> float:
        """Seconds of masking alone."""
        return MASKS_PER_PAIR * self.rows / self.masks_per_second

    @property
    def ratio(self) -> float:
        """End to end over the floor."""
        return self.seconds / self.floor_seconds

    def as_data(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return {
            "rows": self.rows,
            "suite": self.suite,
            "engine": self.engine,
            "seconds": round(self.seconds, 2),
            "masks_per_second": round(self.masks_per_second),
            "floor_seconds": round(self.floor_seconds, 2),
            "ratio": round(self.ratio, 3),
            "bytes_per_pair": round(self.bytes_per_pair, 2),
            "peak_memory_mb": self.peak_memory_mb,
            "phases": self.phases,
            "matched": self.matched,
        }


def engine_rate(suite: Suite, engine: str | None, threads: int | None) -> tuple[str, float]:
    """Return the engine's name and its masks per second on ``threads`` (default: all) processors."""
    opened = open_engine(suite, engine, threads)
    try:
        identifiers = [secrets.token_bytes(16) for _ in range(_PROBE_ELEMENTS)]
        points = hash_to_group(suite, domain_separation_tag(suite, secrets.token_bytes(32)), identifiers)
        scalar = derive_scalar(suite, secrets.token_bytes(64))
        opened.mask(points, scalar)  # starts the workers
        done, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < _PROBE_SECONDS:
            opened.mask(points, scalar)
            done += _PROBE_ELEMENTS
        return opened.name, done / elapsed
    finally:
        opened.close()


def bench_match(
    rows: int,
    folder: Path,
    *,
    suite: str,
    identifier: str = "phone",
    messy: bool = False,
    engine: str | None = None,
    threads: int | None = None,
    observe: Callable[[str, dict[str, Any]], None],
) -> MatchFigures:
    """Write data for ``rows`` persons per side into ``folder``, half of them common, and match them."""
    columns = ("id", "id")
    data = {side: folder / f"{side}.csv" for side in ("bank", "platform")}
    if messy:
        pair = make_pair(folder, identifier, rows, seed=rows, tiers=None)
        data = {"bank": pair.bank, "platform": pair.platform}
        columns = (pair.bank_column, pair.platform_column)
    else:
        clean_csv(data["bank"], rows, identifier=identifier)
        clean_csv(data["platform"], rows, identifier=identifier, first_person=rows // 2)
    table = {
        "kind": "audience",
        "purpose": "benchmark",
        "identifier": identifier,
        "suite": suite,
        "receiver": "platform",
        "bank": {"identifier": columns[0]},
        "platform": {"identifier": columns[1]},
        "policy": {"min_group": 1, "max_set": 1 << 40},
    }
    job = parse_job(table, "the benchmark's job")
    name, before = engine_rate(job.suite, engine, threads)
    started = time.perf_counter()
    outcome = run(plan(job, table, data, folder / "out", engine=engine, threads=threads), observe=observe)
    seconds = time.perf_counter() - started
    _, after = engine_rate(job.suite, engine, threads)
    parties = outcome.result["parties"]
    return MatchFigures(
        rows=rows,
        suite=suite,
        engine=name,
        seconds=seconds,
        masks_per_second=max(before, after),
        bytes_per_pair=sum(party["bytes_sent"] for party in parties.values()) / rows,
        peak_memory_mb={side: party["peak_memory_mb"] for side, party in parties.items()},
        phases={side: party["seconds"] for side, party in parties.items()},
        matched=outcome.result["totals"]["matched"],
    )
