"""Loaded by Python at start: lets a test hold a party at the beginning of a phase, and make its memory small.

A phase may last a millisecond, and a test that must kill a process in just that phase cannot be quick enough.
``VEILJOIN_TEST_HOLD`` names parties and phases (``bank:order platform:write``); the party says ``held`` when it is
there and goes on once the file of that phase in the folder ``VEILJOIN_TEST_GATES`` is gone.
``VEILJOIN_TEST_MEMORY`` is DuckDB's memory limit.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def _install() -> None:
    from party import progress, runner, workspace

    held = os.environ.get("VEILJOIN_TEST_HOLD", "").split()
    gates = os.environ.get("VEILJOIN_TEST_GATES", "")
    workspace.MEMORY_LIMIT = os.environ.get("VEILJOIN_TEST_MEMORY", workspace.MEMORY_LIMIT)  # type: ignore[misc]
    sides: list[str] = []
    read_config, run_phase = runner.SideConfig.from_json, progress.Progress.phase

    def from_json(line: str) -> runner.SideConfig:
        config = read_config(line)
        sides.append(config.side)
        return config

    @contextmanager
    def phase(self: progress.Progress, name: str, total: int | None = None) -> Iterator[None]:
        with run_phase(self, name, total):
            if f"{sides[0]}:{name}" in held:
                self._emit({"event": "held", "phase": name})
                while os.path.exists(os.path.join(gates, name)):
                    self.check()
                    time.sleep(0.005)
            yield

    runner.SideConfig.from_json = from_json  # type: ignore[method-assign]
    progress.Progress.phase = phase  # type: ignore[method-assign]


if "cli.node" in sys.orig_argv:
    _install()
