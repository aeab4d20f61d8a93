"""The two processes of a job started by the test itself, in any order, or one of them alone."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from party.jobfile import load_job
from party.rehearsal import Plan, plan
from party.runner import SideConfig
from tests.e2e.command import Running, Sandbox


def drafted(sandbox: Sandbox, job: Path, bank: Path, platform: Path) -> Plan:
    """A job that is drafted and not yet running."""
    parsed, table = load_job(job)
    return plan(parsed, table, {"bank": bank, "platform": platform}, sandbox.out)


def configuration(sandbox: Sandbox, drafted: Plan, side: str, address: str, **changes: Any) -> SideConfig:
    """What one party's process is told."""
    return replace(drafted.configs[side](sandbox.folder / "run", address), **changes)


@contextmanager
def node(sandbox: Sandbox, config: SideConfig) -> Iterator[Running]:
    """One party's process; its standard input stays open, because its end tells it to stop."""
    with sandbox.start(module="cli.node", stdin=subprocess.PIPE) as running:
        pipe = running.process.stdin
        assert pipe is not None
        pipe.write(config.to_json().encode() + b"\n")
        pipe.flush()
        threading.Thread(target=_open_gates, args=(running, pipe), daemon=True).start()
        yield running


def _open_gates(running: Running, pipe: IO[bytes]) -> None:
    """Say of everything that the process would have cosigned that it is: nobody keeps a log here."""
    # It ends: then nobody has anything to ask any more.
    with contextlib.suppress(AssertionError, OSError, ValueError):
        for number in itertools.count(1):
            running.wait_for(
                lambda event, number=number: event["event"] == "gate" and event["number"] == number  # type: ignore[misc]
            )
            pipe.write(json.dumps({"gate": number}).encode() + b"\n")
            pipe.flush()
