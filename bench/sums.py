"""A whole private grouped sum with windows: two processes over mutual TLS on synthetic data, figures by phase.

The bank holds the outcomes, each converter with one row; half of them are persons of the platform. Every group and
every exposure day is equally likely, so no group is too small and every unit of shuffling is one day of one group.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from party.jobfile import parse_job
from party.rehearsal import plan, run
from party.synthetic import canonical

_SEED: Final = 1
_DAY: Final = 86_400
_FIRST_DAY: Final = np.datetime64("2026-03-01T00:00:00", "s")
_MOST_CENTS: Final = 500_000
_SLICE: Final = 1 << 18

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MeasureScale:
    """The size of a run: persons at the platform, converters at the bank, and what is asked."""

    rows: int = 1_000_000
    converters: int = 100_000
    values: int = 3
    groups: int = 200
    exposure_days: int = 14
    window: int = 14
    key_bits: int = 2048


@dataclass(frozen=True, slots=True)
class MeasureFigures:
    """One run: ``seconds`` end to end with process start, ``phases`` and ``bytes_sent`` per party.

    ``ciphertexts_per_row`` are those that one converter takes, ``days_per_ciphertext`` the exposure days in each.
    """

    scale: MeasureScale
    engine: str
    seconds: float
    ciphertexts_per_row: int
    days_per_ciphertext: int
    bytes_sent: Mapping[str, int]
    peak_memory_mb: Mapping[str, float]
    phases: Mapping[str, Mapping[str, float]]
    matched: int
    released_groups: int

    @property
    def ciphertexts(self) -> int:
        """Ciphertexts that the bank sends."""
        return self.scale.converters * self.ciphertexts_per_row

    def as_data(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        scale = self.scale
        return {
            "rows": scale.rows,
            "converters": scale.converters,
            "values": scale.values,
            "groups": scale.groups,
            "exposure_days": scale.exposure_days,
            "window": scale.window,
            "key_bits": scale.key_bits,
            "engine": self.engine,
            "seconds": round(self.seconds, 2),
            "ciphertexts_per_row": self.ciphertexts_per_row,
            "days_per_ciphertext": self.days_per_ciphertext,
            "ciphertexts": self.ciphertexts,
            "bytes_sent": self.bytes_sent,
            "peak_memory_mb": self.peak_memory_mb,
            "phases": self.phases,
            "matched": self.matched,
            "released_groups": self.released_groups,
        }


def write_outcomes(path: Path, scale: MeasureScale) -> None:
    """Write the bank's file: one outcome with all value columns for each converter."""

    def columns(persons: Ints, random: np.random.Generator) -> dict[str, pa.Array]:
        days = scale.exposure_days + scale.window
        amounts = {
            f"value{number}": pc.divide(
                pa.array(random.integers(1, _MOST_CENTS, len(persons))).cast(pa.float64()), 100.0
            )
            for number in range(scale.values)
        }
        return {"converted_at": _times(days, len(persons), random), **amounts}

    first = scale.rows - scale.converters // 2
    _write(path, "mobile", np.arange(first, first + scale.converters, dtype=np.int64), columns)


def write_exposures(path: Path, scale: MeasureScale) -> None:
    """Write the platform's file: one exposure in one group for each person."""

    def columns(persons: Ints, random: np.random.Generator) -> dict[str, pa.Array]:
        group = pa.array(random.integers(0, scale.groups, len(persons))).cast(pa.string())
        return {
            "creative": pc.binary_join_element_wise("creative ", group, ""),
            "exposed_at": _times(scale.exposure_days, len(persons), random),
        }

    _write(path, "phone", np.arange(scale.rows, dtype=np.int64), columns)


def bench_measure(
    scale: MeasureScale,
    folder: Path,
    *,
    engine: str | None = None,
    threads: int | None = None,
    observe: Callable[[str, dict[str, Any]], None],
) -> MeasureFigures:
    """Write data of this size into ``folder`` and run the job. Raises ``UsageError`` for a size that cannot run."""
    data = {side: folder / f"{side}.csv" for side in ("bank", "platform")}
    job = parse_job(_table(scale), "the benchmark's job")
    write_outcomes(data["bank"], scale)
    write_exposures(data["platform"], scale)
    started = time.perf_counter()
    drafted = plan(job, _table(scale), data, folder / "out", engine=engine, threads=threads)
    result = run(drafted, observe=observe).result
    seconds = time.perf_counter() - started
    parties = result["parties"]
    return MeasureFigures(
        scale=scale,
        engine=parties["bank"]["engine"],
        seconds=seconds,
        ciphertexts_per_row=parties["bank"]["ciphertexts_per_row"],
        days_per_ciphertext=parties["bank"]["days_per_ciphertext"],
        bytes_sent={side: party["bytes_sent"] for side, party in parties.items()},
        peak_memory_mb={side: party["peak_memory_mb"] for side, party in parties.items()},
        phases={side: party["seconds"] for side, party in parties.items()},
        matched=result["totals"]["matched"],
        released_groups=len(result["groups"]) - sum("withheld" in group for group in result["groups"]),
    )


def _table(scale: MeasureScale) -> dict[str, Any]:
    """The job file, parsed."""
    bounds = {"max": _MOST_CENTS / 100, "scale": 100}
    values = {f"value{number}": bounds for number in range(scale.values)}
    return {
        "kind": "measure",
        "purpose": "benchmark",
        "identifier": "phone",
        "key_bits": scale.key_bits,
        "bank": {"identifier": "mobile", "time": "converted_at"} | ({"values": values} if values else {}),
        "platform": {"identifier": "phone", "time": "exposed_at", "groups": ["creative"]},
        "window": {"days": scale.window},
        "policy": {"max_set": max(scale.rows, scale.converters), "max_rows": 1},
    }


def _times(days: int, size: int, random: np.random.Generator) -> pa.Array:
    seconds = random.integers(0, days * _DAY, size)
    return pa.array(_FIRST_DAY + seconds.astype("timedelta64[s]"), pa.timestamp("s")).cast(pa.string())


def _write(
    path: Path,
    column: str,
    persons: Ints,
    columns: Callable[[Ints, np.random.Generator], dict[str, pa.Array]],
) -> None:
    """Write the rows of ``persons`` in slices, so that memory stays flat."""
    random = np.random.default_rng(_SEED)
    shuffled = random.permutation(persons)
    options = pacsv.WriteOptions(quoting_style="needed")

    def part(start: int) -> pa.Table:
        some = shuffled[start : start + _SLICE]
        return pa.table({column: canonical("phone", some, _SEED)} | columns(some, random))

    first = part(0)
    with pacsv.CSVWriter(path, first.schema, write_options=options) as writer:
        writer.write_table(first)
        for start in range(_SLICE, len(shuffled), _SLICE):
            writer.write_table(part(start))
