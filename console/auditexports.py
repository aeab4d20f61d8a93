"""What is handed to an auditor by the console: the bundle of a log as it is made, or the evidence pack of a job.

Each is made by a process of its own (``console.auditprocess``). A bundle is sent as it comes, so that it takes no
room here, however large; its process waits for a slow reader, and ends with one who goes away.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

from fastapi.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from console.access import Visitor
from console.auditing import bundle_file, log_state, task, verifier
from console.auditprocess import AuditProcess, AuditProcesses
from console.place import Place
from party.evidence import Evidence, contracts_of
from party.logview import LogView, Wanted
from party.spool import disk_error
from psi.errors import VeiljoinError

# Each takes a processor and a hundred megabytes for as long as somebody reads.
MOST_EXPORTS: Final = 4
# Who takes not one piece of a bundle in so many seconds has gone away without a word.
LONGEST_PAUSE: Final = 120.0
LOG: Final = logging.getLogger("veiljoin.console")

_EXPORTS: Final[WeakKeyDictionary[Place, AuditProcesses]] = WeakKeyDictionary()
_EXPORTS_LOCK: Final = threading.Lock()


def exports(place: Place) -> AuditProcesses:
    """Return the exports of the node of ``place`` that are under way."""
    with _EXPORTS_LOCK:
        return _EXPORTS.setdefault(place, AuditProcesses(MOST_EXPORTS))


def stop_work(place: Place) -> None:
    """End what verifies or exports the log of ``place``: the console stops."""
    verifier(place).processes.stop()
    exports(place).stop()


def pack_file(job: str) -> str:
    """Return the name of the archive of an evidence pack."""
    return f"evidence-{job[:8]}.zip"


def bundle_answer(visitor: Visitor, *, details: bool, epoch: int | None = None) -> Response:
    """Note that the visitor exports the whole log, and return the bundle as a download that is being made.

    Raises ``UsageError`` where there is no such log, and if it can't be noted or made.
    """
    place = visitor.place

    def wanted() -> dict[str, Any]:
        _evidence(place, epoch).note(str(visitor.actor), "whole_log_with_details" if details else "whole_log")
        return task(place, "bundle", epoch=epoch, details=details)

    with ExitStack() as undo:
        process = undo.enter_context(exports(place).start(wanted))
        pieces = process.pieces()
        # What keeps it from being made is mostly found with the first piece, before anybody is promised a file. One
        # that is cut later lacks its last line, and is no bundle to who reads it.
        whole = chain([next(pieces)], pieces)
        answer = _Made(process, whole, bundle_file(place, epoch))
        undo.pop_all()
    return answer


def pack_answer(visitor: Visitor, job: str, *, details: bool) -> Response:
    """Note that the visitor exports the evidence pack of ``job``, and return its archive (zip) as a download.

    Raises ``UsageError`` (``unknown_job``) where the log has nothing of the job, and if it can't be noted or made.
    """
    place, folder = visitor.place, visitor.place.node.home.folder
    newest = log_state(place).facts.epoch

    try:
        # Made and removed here: a process that is killed removes nothing.
        with tempfile.TemporaryDirectory(prefix=".evidence-", dir=folder) as work:
            out = Path(work) / pack_file(job)

            def wanted() -> dict[str, Any]:
                if LogView(place.node.home.store).page(newest, Wanted(job=job), limit=1).entries:
                    what = "evidence_pack_with_details" if details else "evidence_pack"
                    _evidence(place).note(str(visitor.actor), what)
                return task(place, "pack", job=job, details=details, out=str(out))

            with exports(place).start(wanted) as process:
                list(process.pieces())  # there are none: it writes the file, and says when it is done
            content = out.read_bytes()
    except OSError as error:
        raise disk_error(error, folder) from None
    return Response(content, headers=_named(pack_file(job)), media_type="application/zip")


class _Made(StreamingResponse):
    """A download whose ``process`` ends with the answer, however that ends."""

    def __init__(self, process: AuditProcess, pieces: Iterable[bytes], name: str) -> None:
        super().__init__(pieces, headers=_named(name), media_type="application/octet-stream")
        self._process = process

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""

        async def taken(message: Message) -> None:
            async with asyncio.timeout(LONGEST_PAUSE):
                await send(message)

        try:
            await super().__call__(scope, receive, taken)
        except (VeiljoinError, TimeoutError) as error:
            # The connection is cut, which is all that whoever downloads sees.
            why = error.message if isinstance(error, VeiljoinError) else "nobody took it any more"
            LOG.error("an export was cut: %s", why)
            raise
        finally:
            self._process.kill()
            # Elsewhere, and not waited for: everybody's answers come from this thread.
            asyncio.get_running_loop().run_in_executor(None, self._process.end)


def _named(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}


def _evidence(place: Place, epoch: int | None = None) -> Evidence:
    store = place.node.home.store
    return Evidence(store, place.node.log.cosigning(), lambda: contracts_of(store), epoch)
