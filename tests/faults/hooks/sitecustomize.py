"""Loaded by Python at start in every process of a trial: small chunks, a clock to turn, places to be met at.

``VEILJOIN_FAULTS`` is a folder. ``trace`` in it gets a line ``PID SIDE PHASE`` when a job's process begins a phase
(``start`` before all) or has kept so many messages of its partner (``kept-4``), and the process waits there as long
as ``gate.SIDE.PHASE`` exists. ``clock.ROLE`` holds the seconds by which the node's clock is ahead
(``VEILJOIN_FAULTS_ROLE``). ``VEILJOIN_FAULTS_PORTABLE`` hides the accelerator.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_FOLDER = Path(os.environ["VEILJOIN_FAULTS"])
_KEPT = (1, 4, 16)
_HIDDEN = ("ipp-crypto", "intel-cmplr-lib-rt")


def _turn_clock() -> None:
    import datetime

    from party import budget

    class Shifted(datetime.datetime):
        """The real time, and what the file says."""

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
            try:
                ahead = float((_FOLDER / f"clock.{os.environ['VEILJOIN_FAULTS_ROLE']}").read_text())
            except (FileNotFoundError, ValueError):
                ahead = 0.0
            return datetime.datetime.now(tz) + datetime.timedelta(seconds=ahead)

    # Everything but the expiry of a running contract and TLS itself goes by this one function. In place of the
    # module `datetime`, where it looks the time up:
    stand_in = SimpleNamespace(datetime=Shifted, timedelta=datetime.timedelta)
    budget.local_clock.__globals__["datetime"] = stand_in


def _meet() -> None:
    from party import journal, progress, runner

    sides: list[str] = []
    read_config, run_phase = runner.SideConfig.from_json, progress.Progress.phase
    add_message = journal.DiskJournal.add

    def meet(place: str) -> None:
        with open(_FOLDER / "trace", "a") as file:
            file.write(f"{os.getpid()} {sides[0]} {place}\n")
        while (_FOLDER / f"gate.{sides[0]}.{place}").exists():
            time.sleep(0.005)

    def from_json(line: str) -> runner.SideConfig:
        config = read_config(line)
        sides.append(config.side)
        meet("start")
        return config

    @contextmanager
    def phase(self: progress.Progress, name: str, total: int | None = None) -> Iterator[None]:
        with run_phase(self, name, total):
            meet(name)
            yield

    def add(self: journal.DiskJournal, entry: Any) -> None:
        add_message(self, entry)
        if len(self) in _KEPT:
            meet(f"kept-{len(self)}")

    journal.DiskJournal.add = add  # type: ignore[method-assign]
    runner.SideConfig.from_json = from_json  # type: ignore[method-assign]
    progress.Progress.phase = phase  # type: ignore[method-assign]


def _hide_accelerator() -> None:
    from importlib import metadata

    from_name = metadata.Distribution.from_name

    def hidden(name: str) -> metadata.Distribution:
        if name in _HIDDEN:
            raise metadata.PackageNotFoundError(name)
        return from_name(name)

    metadata.Distribution.from_name = staticmethod(hidden)  # type: ignore[method-assign]


if any(module in sys.orig_argv for module in ("cli.node", "cli.main")):
    from tests.faults import chunks  # noqa: F401 - makes chunks small

    if os.environ.get("VEILJOIN_FAULTS_PORTABLE"):
        _hide_accelerator()
    _turn_clock()
    if "cli.node" in sys.orig_argv:
        _meet()
