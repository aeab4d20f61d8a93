"""``veiljoin bench``: the project's own benchmarks, as a command."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.match import MatchFigures, bench_match
from cli.display import open_display
from party.spool import disk_error
from psi.errors import UsageError

if TYPE_CHECKING:
    from bench.console import ConsoleFigures
    from bench.nodes import NodeFigures
    from bench.sums import MeasureFigures

# What the extra `console` brings, as it is imported.
CONSOLE_PACKAGES: Final = frozenset({"argon2", "babel", "fastapi", "jinja2", "starlette", "uvicorn"})
SMALLEST_SUM: Final = 1_000
# Option of `bench measure` -> its least value.
_SMALLEST_MEASURE: Final = {
    "rows": 2, "converters": 2, "values": 0, "groups": 1, "exposure-days": 1, "window": 0,
}  # fmt: skip


def match(arguments: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    if arguments.rows < 1:
        raise UsageError(f"--rows {arguments.rows} is out of range.", hint="use 1 or more")
    with (
        tempfile.TemporaryDirectory(prefix="veiljoin-bench-") as scratch,
        open_display(arguments.json, arguments.lang) as display,
    ):
        folder: Path = arguments.out or Path(scratch)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, folder) from None
        figures = bench_match(
            arguments.rows,
            folder,
            suite=arguments.suite,
            identifier=arguments.identifier,
            messy=arguments.messy,
            engine=arguments.engine,
            threads=arguments.threads,
            observe=display.show,
        )
    if arguments.json:
        print(json.dumps(figures.as_data()))
    else:
        _tell(figures)
    return 0


def paillier(arguments: argparse.Namespace) -> int:
    """Run ``veiljoin bench sum``; returns the exit status."""
    # Here, so that the benchmark of matching does not load the libraries of the sums.
    try:
        from bench.paillier import bench_paillier
    except ModuleNotFoundError as error:
        if error.name != "phe":
            raise
        raise UsageError(
            "veiljoin bench sum compares with the package phe, which is not installed.",
            hint="install it beside Veiljoin: pip install phe (it is GPL-3 and nothing else here needs it)",
            code="missing_package",
        ) from None
    if arguments.rows < SMALLEST_SUM:
        raise UsageError(f"--rows {arguments.rows} is out of range.", hint=f"use {SMALLEST_SUM} or more")
    if arguments.threads is not None and arguments.threads < 1:
        raise UsageError(f"--threads {arguments.threads} is out of range.", hint="use 1 or more")
    figures = bench_paillier(arguments.rows, bits=arguments.bits, threads=arguments.threads)
    if arguments.json:
        print(json.dumps(figures.as_data()))
        return 0
    print(f"Paillier, {figures.bits} bits, {figures.threads} processes, {figures.rows:,} numbers")
    print(f"{'':<12}{'per second':>12}{'phe':>12}{'ratio':>8}{'bar':>6}")
    for name, row in figures.as_data()["operations"].items():
        print(
            f"{name:<12}{row['per_second']:>12,}{row['phe_per_second']:>12,}{row['ratio']:>8.2f}{row['bar']:>6}"
        )
    return 0


def resume(arguments: argparse.Namespace) -> int:
    """Run ``veiljoin bench resume``; returns the exit status."""
    from bench.resume import bench_resume

    for option, least in (("rows", 2), ("cuts", 0)):
        if getattr(arguments, option) < least:
            raise UsageError(
                f"--{option} {getattr(arguments, option)} is out of range.", hint=f"use {least} or more"
            )
    with (
        tempfile.TemporaryDirectory(prefix="veiljoin-bench-") as scratch,
        open_display(arguments.json, arguments.lang) as display,
    ):
        figures = bench_resume(
            arguments.rows,
            arguments.cuts,
            Path(scratch),
            suite=arguments.suite,
            engine=arguments.engine,
            threads=arguments.threads,
            observe=display.show,
        )
    if arguments.json:
        print(json.dumps(figures.as_data()))
        return 0
    told = figures.as_data()
    print(
        f"{figures.rows:,} x {figures.rows:,} rows, cut {len(figures.cuts)} times: {', '.join(figures.cuts)}"
    )
    print(
        f"masks computed        {figures.masks:12,d}, uncut {figures.masks_uncut:,}: {told['more_masks']:+.1%}"
    )
    print(f"end to end            {figures.seconds:10.1f} s, uncut {figures.seconds_uncut:.1f} s")
    print(f"matched               {figures.matched:12,d}, uncut {figures.matched_uncut:,}")
    return 0


def measure(arguments: argparse.Namespace) -> int:
    """Run ``veiljoin bench measure``; returns the exit status."""
    from bench.sums import MeasureScale, bench_measure

    for option, least in _SMALLEST_MEASURE.items():
        if getattr(arguments, option.replace("-", "_")) < least:
            raise UsageError(
                f"--{option} {getattr(arguments, option.replace('-', '_'))} is out of range.",
                hint=f"use {least} or more",
            )
    scale = MeasureScale(
        rows=arguments.rows,
        converters=arguments.converters,
        values=arguments.values,
        groups=arguments.groups,
        exposure_days=arguments.exposure_days,
        window=arguments.window,
        key_bits=arguments.bits,
    )
    with (
        tempfile.TemporaryDirectory(prefix="veiljoin-bench-") as scratch,
        open_display(arguments.json, arguments.lang) as display,
    ):
        folder: Path = arguments.out or Path(scratch)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, folder) from None
        figures = bench_measure(
            scale, folder, engine=arguments.engine, threads=arguments.threads, observe=display.show
        )
    if arguments.json:
        print(json.dumps(figures.as_data()))
    else:
        _tell_measure(figures)
    return 0


def nodes(arguments: argparse.Namespace) -> int:
    """Run ``veiljoin bench nodes``; returns the exit status."""
    from bench.nodes import LEAST_ROWS, bench_nodes

    least = {"partners": 1, "jobs": max(1, arguments.partners), "rows": LEAST_ROWS, "alone": 1, "running": 1}
    for option, smallest in least.items():
        if getattr(arguments, option) < smallest:
            raise UsageError(
                f"--{option} {getattr(arguments, option)} is out of range.", hint=f"use {smallest} or more"
            )
    with tempfile.TemporaryDirectory(prefix="veiljoin-bench-") as scratch:
        folder: Path = arguments.out or Path(scratch)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, folder) from None
        figures = bench_nodes(
            arguments.jobs,
            arguments.partners,
            arguments.rows,
            folder.absolute(),
            running=arguments.running,
            alone=arguments.alone,
            observe=lambda text: print(text, file=sys.stderr, flush=True),
        )
    if arguments.json:
        print(json.dumps(figures.as_data()))
    else:
        _tell_nodes(figures)
    return 0


def audit(arguments: argparse.Namespace) -> int:
    """Run ``veiljoin bench audit``; returns the exit status."""
    from bench.audit import SMALLEST, bench_audit

    for option, least in (("entries", SMALLEST), ("jobs", 0)):
        if getattr(arguments, option) < least:
            raise UsageError(
                f"--{option} {getattr(arguments, option)} is out of range.", hint=f"use {least} or more"
            )
    with tempfile.TemporaryDirectory(prefix="veiljoin-bench-") as scratch:
        figures = bench_audit(arguments.entries, arguments.jobs, Path(scratch))
    told = figures.as_data()
    if arguments.json:
        print(json.dumps(told))
        return 0
    print(
        f"{figures.entries:,} entries, {figures.jobs:,} jobs and {figures.checkpoints:,} checkpoints among them, "
        f"{figures.bytes / 1e6:,.0f} MB"
    )
    print(
        f"verified in           {figures.seconds:8.1f} s, {figures.processor_seconds:.1f} s of one processor"
    )
    print(f"entries per second    {told['entries_per_second']:8,}")
    print(f"peak memory           {figures.peak_memory_mb:8.0f} MB")
    return 0


def console(arguments: argparse.Namespace) -> int:
    """Run ``veiljoin bench console``; returns the exit status."""
    try:
        from bench.console import SMALLEST_GROUPS, SMALLEST_JOBS, bench_console
    except ModuleNotFoundError as error:
        if error.name not in CONSOLE_PACKAGES:
            raise
        raise UsageError(
            f"veiljoin bench console needs the package {error.name}, which is not installed.",
            hint="install the console: pip install 'veiljoin[node,console]'",
            code="missing_package",
        ) from None
    for option, least in (("jobs", SMALLEST_JOBS), ("groups", SMALLEST_GROUPS)):
        if getattr(arguments, option) < least:
            raise UsageError(
                f"--{option} {getattr(arguments, option)} is out of range.", hint=f"use {least} or more"
            )
    with tempfile.TemporaryDirectory(prefix="veiljoin-bench-") as scratch:
        figures = bench_console(
            arguments.jobs,
            arguments.groups,
            Path(scratch),
            observe=lambda text: print(text, file=sys.stderr, flush=True),
        )
    if arguments.json:
        print(json.dumps(figures.as_data()))
    else:
        _tell_console(figures)
    return 0


def _tell_console(figures: ConsoleFigures) -> None:
    told = figures.as_data()
    print(f"{figures.jobs:,} jobs, a result of {figures.groups:,} groups; milliseconds at the server")
    print(f"{'first':>8}{'median':>8}{'worst':>8}{'to login':>10}{'kB':>8}  page")
    for page in told["pages"]:
        print(
            f"{page['first_ms']:8.1f}{page['median_ms']:8.1f}{page['worst_ms']:8.1f}{page['ratio']:10.1f}"
            f"{page['bytes'] / 1000:8.1f}  {page['address']}"
        )
    print(f"slowest answer        {told['slowest_ms']:8.1f} ms (at most {told['bar_ms']:.0f})")
    if told["first_paint_ms"] is None:
        print("first paint            not measured: there is no Playwright, or no Chromium that starts")
    for address, painted in (told["first_paint_ms"] or {}).items():
        print(f"first paint           {painted:8.0f} ms (at most {told['paint_bar_ms']:.0f})  {address}")
    print(
        f"a few pages while the log of {figures.entries:,} entries is worked on; milliseconds at the client"
    )
    print(f"{'median':>8}{'99 %':>8}{'worst':>8}  beside")
    for each in told["beside"]:
        print(f"{each['median_ms']:8.1f}{each['p99_ms']:8.1f}{each['worst_ms']:8.1f}  {each['beside']}")


def _tell_nodes(figures: NodeFigures) -> None:
    told = figures.as_data()
    print(
        f"{told['jobs']} jobs with {told['partners']} partners, {figures.rows:,} rows per side, "
        f"{figures.running} under way at once"
    )
    print(
        f"one job alone         {figures.mean_alone:8.2f} s from start to end, "
        f"{figures.mean_alone_wall:.2f} s from approval to both results ({len(figures.alone)} jobs)"
    )
    print(f"all, one by one       {told['seconds_alone']:8.1f} s, without gaps")
    print(f"all at once           {figures.wall:8.1f} s, {told['attempts']} attempts")
    print(f"ratio                 {figures.ratio:8.2f} (at most {told['bar']})")
    print(f"spread of waiting     {figures.spread:8.2f}, the longest mean by the shortest")
    for partner, seconds in figures.mean_until_done.items():
        half = figures.done_at_half[partner]
        print(f"{partner:<20}  {seconds:8.1f} s until done on average; {half} done when half of all were")
    if figures.processor_alone is not None and figures.processor_together is not None:
        print(
            f"processor per job     {figures.processor_alone:8.1f} s alone, "
            f"{figures.processor_together:.1f} s together, both sides"
        )
    if figures.peak_memory_mb is not None:
        print(f"bank's node, peak     {figures.peak_memory_mb:8.0f} MB")


def _tell_measure(figures: MeasureFigures) -> None:
    scale = figures.scale
    print(
        f"{scale.rows:,} persons in {scale.groups:,} groups over {scale.exposure_days} exposure days, "
        f"{scale.converters:,} converters, {scale.values} values, window {scale.window} days, {scale.key_bits} bits"
    )
    print(f"end to end            {figures.seconds:8.1f} s, with the start of both processes")
    print(
        f"ciphertexts per row   {figures.ciphertexts_per_row:8d}, {figures.days_per_ciphertext} days in each"
    )
    print(f"ciphertexts           {figures.ciphertexts:8,d}")
    print(f"matched               {figures.matched:8,d} in {figures.released_groups:,} released groups")
    for side, peak in figures.peak_memory_mb.items():
        phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in figures.phases[side].items())
        sent = figures.bytes_sent[side] / 1e6
        print(f"{side:<9} peak {peak:5.0f} MB; sent {sent:,.0f} MB; seconds: {phases}")


def _tell(figures: MatchFigures) -> None:
    print(f"{figures.rows:,} x {figures.rows:,} rows, {figures.suite}, matched {figures.matched:,}")
    print(f"end to end            {figures.seconds:8.1f} s, with the start of both processes")
    print(f"{figures.engine:<12} alone    {figures.masks_per_second:8,.0f} masks/s on all processors")
    print(f"floor                 {figures.floor_seconds:8.1f} s for 4 masks per row pair")
    print(f"ratio to the floor    {figures.ratio:8.2f}")
    print(f"bytes per pair        {figures.bytes_per_pair:8.2f}")
    for side, peak in figures.peak_memory_mb.items():
        phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in figures.phases[side].items())
        print(f"{side:<9} peak {peak:5.0f} MB; seconds: {phases}")
