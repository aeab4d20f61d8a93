"""One party's process for one job, in a rehearsal or under a standing node: reads its configuration from a pipe,
runs its side, reports by lines.

    python -m cli.node < configuration

Standard output carries one JSON event per line and nothing else. When standard input ends, whoever started this
process is gone; like SIGTERM that stops the job, tells the partner and cleans up. Lines before that answer the events
that ask for something (:class:`GatePipe`).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import resource
import shutil
import signal
import sys
import threading
import traceback
import weakref
from collections.abc import Sequence
from typing import Any

from audit.entry import Draft
from client.dialer import dial
from party.passing import INHERITED, inherited
from party.runner import REHEARSAL_LOGS, SideConfig, SideRun
from party.transport import Link
from psi.errors import CODES, LinkLost, VeiljoinError
from server.listener import Listener

_output = threading.Lock()


class GatePipe:
    """Asks whoever started this process to note something in the party's log and, where asked, to have it cosigned.

    The question is an event on standard output, the answer a line on standard input with the same number.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0

    async def __call__(self, drafts: Sequence[Draft], cosigned: bool) -> None:
        """Return once it is done. Raises ``VeiljoinError`` with the code of what went wrong."""
        self._number += 1
        number = self._number
        self._waiting[number] = asyncio.get_running_loop().create_future()
        told = [dataclasses.asdict(draft) for draft in drafts]
        emit({"event": "gate", "number": number, "drafts": told, "cosigned": cosigned})
        try:
            answer = await self._waiting[number]
        finally:
            del self._waiting[number]
        if "code" in answer:
            raise VeiljoinError(answer["message"], hint=answer["hint"], code=answer["code"])

    def answer(self, line: bytes) -> None:
        """Take a line that was read on standard input."""
        told = json.loads(line)
        waiting = self._waiting.get(told["gate"])
        if waiting is not None and not waiting.done():
            waiting.set_result(told)


def emit(event: dict[str, Any]) -> None:
    """Write one event line; it goes nowhere once whoever started this process has died, and nobody reads."""
    with _output:
        try:
            sys.stdout.write(json.dumps(event) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            # The watcher of the other pipe stops the job; what is still buffered would complain once more at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def run_bank(config: SideConfig, run: SideRun) -> dict[str, Any]:
    """Listen, serve the one partner of this job, stop."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    appeared = asyncio.Event()

    async def serve(link: Link) -> None:
        if appeared.is_set():
            return  # one job, one stream
        appeared.set()
        try:
            await run.over(link)
        except asyncio.CancelledError:
            # gRPC cancels the handler when the call has ended under it.
            _settle(ended, link.lost())
            raise
        except Exception as error:  # noqa: BLE001 - not swallowed: run_bank raises it
            _settle(ended, error)
        else:
            ended.set_result(None)

    if config.tls is None:
        raise ValueError("a process that listens itself needs a certificate")
    listener = Listener(config.tls, {config.partner_san: "platform"}, serve)
    port = await listener.start(config.address)
    emit({"event": "listening", "port": port})
    try:
        with run.progress.phase("connect"):
            try:
                async with asyncio.timeout(config.patience):
                    await appeared.wait()
            except TimeoutError:
                raise LinkLost(
                    f"The platform did not connect to {config.address} within {config.patience:g} seconds.",
                    hint="ask the platform whether its node runs and which address it dials",
                    code="peer_absent",
                ) from None
        await ended
    finally:
        await listener.stop()
    return await run.conclude()


def _settle(ended: asyncio.Future[None], error: Exception) -> None:
    if not ended.done():
        ended.set_exception(error)


async def run_platform(config: SideConfig, run: SideRun) -> dict[str, Any]:
    """Dial the bank and run this side over the link."""
    if config.tls is None:
        raise ValueError("a process that dials needs a certificate")
    async with dial(
        config.address, config.tls, patience=config.patience, bank=config.partner or "bank"
    ) as link:
        await run.over(link)
    return await run.conclude()


async def run_passed_on(config: SideConfig, run: SideRun) -> dict[str, Any]:
    """Run the bank's side over a stream that its node accepted and passes on."""
    async with inherited(config.address, config.partner or "platform") as link:
        await run.over(link)
    return await run.conclude()


async def run_side(config: SideConfig) -> dict[str, Any]:
    """Run one side until it is done, fails, or is told to stop."""
    gate = GatePipe()
    with SideRun(config, emit, gate) as run:
        return await _run_until_told(config, run, gate)


async def _run_until_told(config: SideConfig, run: SideRun, gate: GatePipe) -> dict[str, Any]:
    side = run_bank if config.side == "bank" else run_platform
    if config.address.startswith(INHERITED):
        side = run_passed_on
    task = asyncio.create_task(side(config, run))
    loop = asyncio.get_running_loop()
    # The watching thread lives to the end of the process. It must not keep alive what the task's error holds:
    # DuckDB's binding prints a page of complaints if one of its objects is still there at exit.
    progress, weakly = run.progress, weakref.ref(task)

    def stop() -> None:
        progress.stop()
        running = weakly()
        if running is not None:
            running.cancel()

    loop.add_signal_handler(signal.SIGTERM, stop)
    threading.Thread(target=_watch_parent, args=(loop, stop, gate), daemon=True).start()
    try:
        return await task
    except asyncio.CancelledError:
        raise VeiljoinError("The job was stopped.", code="cancelled") from None


def _watch_parent(loop: asyncio.AbstractEventLoop, stop: Any, gate: GatePipe) -> None:
    rest = b""
    while part := os.read(0, 65_536):
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            if not loop.is_closed():
                loop.call_soon_threadsafe(gate.answer, line)
    if not loop.is_closed():
        loop.call_soon_threadsafe(stop)


def main() -> int:
    """Run one side; returns the exit status."""
    os.umask(0o077)
    # A core file would hold keys and identifiers; the workers inherit this.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    line = _first_line()
    if not line:
        return CODES["cancelled"].exit  # whoever started this process went away before it had anything to do
    config = SideConfig.from_json(line)
    try:
        report = asyncio.run(run_side(config))
    except VeiljoinError as error:
        _clear(config)
        emit(
            {
                "event": "error",
                "code": error.code.name,
                "message": error.message,
                "hint": error.hint,
                # What the partner gave as its reason, where it ended the job.
                "word": getattr(error, "peer_code", ""),
            }
        )
        return error.code.exit
    except Exception as error:  # noqa: BLE001 - the last stop: told without values, never swallowed
        # The message of a foreign exception may quote data, so only its kind and where it was raised are told.
        _clear(config)
        where = traceback.extract_tb(error.__traceback__)[-1]
        emit(
            {
                "event": "error",
                "code": "internal",
                "message": f"A fault in this program ended the job: {type(error).__name__} at "
                f"{os.path.basename(where.filename)}:{where.lineno}.",
                "hint": "please report it with this line",
            }
        )
        return 1
    emit({"event": "result", "report": report})
    return 0


def _clear(config: SideConfig) -> None:
    """Remove this party's folder of a failed run, and the run's own if the other party's is gone too.

    The coordinator does the same, but it may have been killed.
    """
    own = config.staging.parent
    shutil.rmtree(own, ignore_errors=True)
    with contextlib.suppress(OSError):  # the other party's folder is still there
        if os.listdir(own.parent) == [REHEARSAL_LOGS]:
            shutil.rmtree(own.parent / REHEARSAL_LOGS, ignore_errors=True)
        own.parent.rmdir()


def _first_line() -> str:
    """Read the configuration, unbuffered, so that the watcher can read the same pipe afterwards."""
    line = bytearray()
    while not line.endswith(b"\n") and (part := os.read(0, 65_536)):
        line += part
    return line.decode()


if __name__ == "__main__":
    sys.exit(main())
