"""Results as this party keeps them: whether there is one to read, its figures, its files. Who reads is noted first.

A job's folder has the files of an allow-list and nothing else is ever opened. Figures are parsed once per file and
kept for the next page, a few results at a time.
"""

from __future__ import annotations

import json
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Final

from audit.entry import Draft
from console.place import Place
from party.auditlog import AuditLog
from party.cosigning import trouble
from party.jobrecords import JobRecord
from party.jobstates import JobState
from party.refusals import once_a_minute
from party.report import ARMS_FILE, GROUPS_FILE, REPORT
from party.results import FILES, HOLDOUT, MATCHES, REJECTS, RESULT
from psi.errors import UsageError

# In the order of reading. The key of `result_read` entries is a file's name with an underscore.
NAMES: Final = tuple(dict.fromkeys((REPORT, GROUPS_FILE, ARMS_FILE, RESULT, *FILES)))
# Rows of persons: the original cells of the party's own file.
_PERSONAL: Final = tuple(Path(name).stem for name in (MATCHES, HOLDOUT, REJECTS))
_TYPES: Final = {
    ".csv": "text/csv; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
}
_CHUNK: Final = 256 * 1024
_KEPT: Final = 8
_NOT_COSIGNED: Final = "cosign_refused"


class Missing(StrEnum):
    """Why there is no result to read."""

    NOT_YET = "not_yet"
    RUNNING = "running"
    WAITS = "waits"  # for the partner's cosignature
    CLOSED = "closed"  # the partner withheld it
    UNPUBLISHED = "unpublished"
    REMOVED = "removed"
    NONE = "none"  # the job ended without one


# English sentence and hint; the catalogue has the Chinese ones.
SENTENCES: Final[Mapping[Missing, tuple[str, str]]] = {
    Missing.NOT_YET: ("There is no result yet: the job has not begun.", "its page shows what it waits for"),
    Missing.RUNNING: ("There is no result yet: the job is running.", "its page shows how far it is"),
    Missing.WAITS: (
        "The result stays closed for now: the partner does not cosign this party's log.",
        "ask the partner to look at its node; the job goes on by itself once it cosigns again",
    ),
    Missing.CLOSED: (
        "The result stays closed: the partner did not cosign this party's log, so nothing was released.",
        "ask the partner why, then draft the job again",
    ),
    Missing.UNPUBLISHED: (
        "The job is done, but its result is not in its place yet.",
        "the node puts it there, at the latest when it starts again",
    ),
    Missing.REMOVED: (
        "The result was removed: it was kept as long as the policy says.",
        "run the job again if its figures are needed; result_days of the policy says how long results are kept",
    ),
    Missing.NONE: ("The job ended without a result.", "its page says why"),
}


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file that may be downloaded; ``size`` in bytes. ``personal`` ones hold rows of persons."""

    name: str
    size: int
    personal: bool


def missing(place: Place, record: JobRecord) -> Missing | None:
    """Return why the job has no result to read here; ``None`` where it has one."""
    store = place.node.home.store
    if (place.room.result(record.id) / RESULT).is_file():
        return None if AuditLog(store).released(record.id) else Missing.UNPUBLISHED
    match record.state:
        case JobState.ACCEPTED | JobState.RUNNING:
            if trouble(store, record.partner) is not None:
                return Missing.WAITS
            return Missing.RUNNING if record.attempts else Missing.NOT_YET
        case JobState.DRAFT | JobState.APPROVED | JobState.PROPOSED:
            return Missing.NOT_YET
        case JobState.DONE:
            closed = AuditLog(store).last(record.id, "result_closed") is not None
            return Missing.CLOSED if closed else Missing.UNPUBLISHED
        case JobState.FAILED if record.code == _NOT_COSIGNED:
            return Missing.CLOSED
        case JobState.EXPIRED:
            finished = any(event.after is JobState.DONE for event in place.jobs.events(record.id))
            return Missing.REMOVED if finished else Missing.NONE
    return Missing.NONE


def require(place: Place, record: JobRecord) -> None:
    """Raise ``UsageError`` (``wrong_state``) that says why, unless the job has a result to read."""
    why = missing(place, record)
    if why is not None:
        sentence, hint = SENTENCES[why]
        raise UsageError(sentence, hint=hint, code="wrong_state")


def note_read(place: Place, actor: str, job: str, part: str, *, each: bool = True) -> None:
    """Note in the log that ``actor`` reads ``part`` (a word) of the result of ``job``, before it is shown.

    Without ``each`` only the first time within a minute: who turns the pages of a table reads one result.
    Raises ``UsageError`` where it can't be noted, and then nothing may be shown.
    """
    now = place.node.clock().timestamp()
    read = Draft("result_read", actor, job, {"part": part})
    AuditLog(place.node.home.store).append((read if each else once_a_minute(read, now),), now)


def part_of(name: str) -> str:
    """Return the word for the file ``name`` in the log."""
    return name.replace(".", "_")


# -- figures


class Figures:
    """Parsed results by path, for as long as the file is the same; the few that were asked for last."""

    def __init__(self, most: int = _KEPT) -> None:
        self._most = most
        self._turn = threading.Lock()
        self._kept: OrderedDict[Path, tuple[tuple[int, int], Mapping[str, Any]]] = OrderedDict()

    def read(self, path: Path) -> Mapping[str, Any]:
        """Return what result.json at ``path`` says; nobody may change it. Raises ``UsageError``."""
        try:
            status = path.stat()
            mark = status.st_mtime_ns, status.st_size
            with self._turn:
                kept = self._kept.get(path)
                if kept is not None and kept[0] == mark:
                    self._kept.move_to_end(path)
                    return kept[1]
            parsed = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            parsed = None
        if not isinstance(parsed, dict):
            raise UsageError(
                f"The figures of job {path.parent.name[:8]} cannot be read.",
                hint="check the permissions of the node's home, and its disk",
                code="unreadable_file",
            )
        with self._turn:
            self._kept[path] = mark, parsed
            self._kept.move_to_end(path)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return parsed


_FIGURES: Final = Figures()


def figures(place: Place, record: JobRecord) -> Mapping[str, Any]:
    """Return the figures of a job that has a result; nobody may change them. Raises ``UsageError``."""
    return _FIGURES.read(place.room.result(record.id) / RESULT)


# -- files


def files(place: Place, record: JobRecord) -> tuple[ResultFile, ...]:
    """Return the files of a result, in the order of reading."""
    folder, found = place.room.result(record.id), []
    for name in NAMES:
        try:
            status = (folder / name).lstat()
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            found.append(ResultFile(name, status.st_size, is_personal(name)))
    return tuple(found)


def is_personal(name: str) -> bool:
    """Return whether a file holds rows of persons."""
    return Path(name).stem in _PERSONAL


def media_type(name: str) -> str:
    """Return the media type of a file."""
    return _TYPES[Path(name).suffix]


def open_file(place: Place, record: JobRecord, name: str) -> tuple[BinaryIO, int] | None:
    """Open a file of a result: it and its size; ``None`` for a name that is not one of :data:`NAMES`, or not there.

    Raises ``UsageError`` where it is there and can't be read.
    """
    if name not in NAMES:
        return None
    path = place.room.result(record.id) / name
    try:
        # A link in its place would lead elsewhere.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(
            f"The file {name} of the result cannot be read: {error.strerror}.",
            hint="check the permissions of the node's home",
            code="unreadable_file",
        ) from None
    file = os.fdopen(handle, "rb")
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        file.close()
        return None
    return file, status.st_size


def pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield ``size`` bytes of ``file`` and close it."""
    with file:
        while size > 0 and (piece := file.read(min(size, _CHUNK))):
            size -= len(piece)
            yield piece
