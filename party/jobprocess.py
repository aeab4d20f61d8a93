"""The process of one attempt of one job, under a standing node: started, configured through a pipe, followed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from party.runner import SideConfig
from psi.errors import CODES

# Both sides drop what the run had reached.
BEGUN_ANEW: Final = "begun_anew"
# A result event holds the figures of every group.
_LONGEST_LINE: Final = 64 * 1024 * 1024
# How long a process that was told to end may take to clean up.
GRACE: Final = 5.0
# The disk or the store is out of reach: the job waits until that is mended, however long it takes.
PAUSES: Final = frozenset({"no_space", "unwritable", "store_unavailable"})
# What ends an attempt but not the job: the link, a process or the disk went away, which comes back.
_CUTS: Final = PAUSES | {"link_lost", "peer_absent", "cancelled", "engine_unavailable", BEGUN_ANEW}
# The same, in the words of the partner's process.
_PASSING: Final = frozenset({"link_lost", "cancelled", "paused", BEGUN_ANEW})
# Of these the own process is the cause, so that another attempt may well meet the same.
_DIED: Final = frozenset({"process_died", "engine_unavailable", BEGUN_ANEW})


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended: with ``done``, or with the ``code`` of an error and its sentence and hint.

    ``cut`` says that another attempt may go on, ``anew`` that it has to begin with a new seed, ``refused`` that the
    other side did not take our certificate.
    """

    done: bool
    code: str = ""
    message: str = ""
    hint: str = ""
    cut: bool = False
    anew: bool = False
    refused: bool = False

    @property
    def died(self) -> bool:
        """Whether the process itself was the cause."""
        return self.code in _DIED


class JobProcess:
    """One process; made by :meth:`start`."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, config: SideConfig, end: socket.socket | None = None) -> JobProcess:
        """Start a process for ``config``; it inherits the socket ``end``, which is closed here."""
        # The working directory and an inherited PYTHONPATH must not decide which code runs.
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
        environment["PYTHONSAFEPATH"] = "1"
        environment.setdefault("GRPC_VERBOSITY", "NONE")
        environment.setdefault("MALLOC_ARENA_MAX", "2")
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "cli.node",
                stdin=PIPE,
                stdout=PIPE,
                env=environment,
                limit=_LONGEST_LINE,
                pass_fds=() if end is None else (end.fileno(),),
                start_new_session=True,
            )
        finally:
            if end is not None:
                end.close()
        if process.stdin is not None:
            with contextlib.suppress(OSError):  # it has died, which its ending tells
                process.stdin.write(config.to_json().encode() + b"\n")
                await process.stdin.drain()
        return cls(process)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def follow(self, tell: Callable[[Mapping[str, Any]], None]) -> Ending:
        """Tell every event that is neither the result nor an error, and return how the process ended."""
        ending: Ending | None = None
        if self._process.stdout is not None:
            async for line in self._process.stdout:
                event = _event(line)
                match event.get("event"):
                    case "result":
                        ending = Ending(True)
                    case "error":
                        ending = _error(event)
                    case _:
                        tell(event)
        status = await self._process.wait()
        if ending is not None and (status == 0 or not ending.done):
            return ending
        how = f"was killed ({_signal(-status)})" if status < 0 else f"ended with status {status}"
        hint = (
            "it is started again and goes on; if that happens again and again, look at the machine's memory"
        )
        return Ending(False, "process_died", f"The job's process {how}.", hint, cut=True)

    async def answer(self, line: Mapping[str, Any]) -> None:
        """Answer an event that asked for something."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it has died meanwhile, which its ending tells
                self._process.stdin.write(json.dumps(line).encode() + b"\n")
                await self._process.stdin.drain()

    async def stop(self) -> None:
        """End the process: first by asking, then for good."""
        for ask in (self._process.terminate, self._process.kill):
            if self._process.returncode is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                ask()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE):
                    await self._process.wait()


def _event(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _error(event: Mapping[str, Any]) -> Ending:
    code = event["code"] if event.get("code") in CODES else "internal"
    # The partner's process says these words when its own link, disk or node went away.
    word = event.get("word") if code == "peer_aborted" else None
    cut = code in _CUTS or word in _PASSING
    anew = BEGUN_ANEW in (code, word)
    refused = code == "peer_identity" or word == "identity_refused"
    return Ending(False, code, str(event.get("message")), str(event.get("hint")), cut, anew, refused)


def _signal(number: int) -> str:
    return signal.Signals(number).name if number in list(signal.Signals) else str(number)
