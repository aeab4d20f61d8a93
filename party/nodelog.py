"""The log of a standing node: which fields of its events are written, and where to.

Each event has an allow-list of fields, and each field a form that its value must have, so that what is logged is
decided here and not where something happens. The sentences of errors are made without data (``psi.errors``); should
one hold some all the same, what looks like an identifier or a hash is taken out. That is a net and not the rule.

Writing happens in a thread of its own: a terminal that was paused, a full pipe or a slow disk costs lines of the log,
which are counted, and never the leases of jobs.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import queue
import re
import threading
from collections.abc import Callable, Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

from party.spool import disk_error

DEBUG, INFO, WARNING, ERROR = "debug", "info", "warning", "error"
# Two of these sizes together keep months of a quiet node and a day of a very unquiet one.
FILE_BYTES: Final = 10 * 1024 * 1024
OLD_FILES: Final = 5
_WAITING_LINES: Final = 10_000
_CLOSING_SECONDS: Final = 2.0
_SHORT: Final = 8
_LONGEST_TEXT: Final = 1_000

_WORD: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_ID: Final = re.compile(r"[0-9a-f]{32}")
_SHORT_ID: Final = re.compile(r"[0-9a-f]{8}")
_ADDRESS: Final = re.compile(r"[\w.:\[\]-]{1,300}")
# Telephone, identity and device numbers; hashes and keys as hex; keys as base64; e-mail addresses; UUIDs.
_IDENTIFYING: Final = re.compile(
    r"\d{10,}|\b[0-9A-Fa-f]{32,}\b|\b[A-Za-z0-9_-]{43,}={0,2}|[^\s@'\"]+@[^\s@'\"]+\.\w+"
    r"|\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b"
)
_TAKEN_OUT: Final = "[...]"


def _matching(form: re.Pattern[str]) -> Callable[[Any], Any]:
    return lambda value: value if isinstance(value, str) and form.fullmatch(value) else None


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: Any) -> Any:
    if not isinstance(value, str) or not value:
        return None
    plain = "".join(each if each.isprintable() else " " for each in value[:_LONGEST_TEXT])
    return _IDENTIFYING.sub(_TAKEN_OUT, plain)


def _path(value: Any) -> Any:
    # The home's own folder and a job's id: chosen by this side, and what somebody who reads the log looks for.
    return value if isinstance(value, str) and value.isprintable() else None


_FIELDS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "job": _matching(_ID),
    "schedule": _matching(_SHORT_ID),
    "partner": _matching(_NAME),
    "attempt": _number,
    "state": _matching(_WORD),
    "code": _matching(_WORD),
    "pid": _number,
    "running": _number,
    "address": _matching(_ADDRESS),
    "enrol": _matching(_ADDRESS),
    "kind": _matching(_WORD),
    "folder": _path,
    "home": _path,
    "text": _text,
    "hint": _text,
}
_SAID: Final = ("job", "partner", "attempt", "code", "text", "hint")
# event -> level and fields. An event that is not here is written with the fields that every trouble has.
EVENTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "tick": (DEBUG, ()),
    "listening": (INFO, ("address", "enrol")),
    "started": (INFO, ()),
    "metrics": (INFO, ("address",)),
    "online": (INFO, ("partner",)),
    "offline": (INFO, ("partner",)),
    "unreached": (WARNING, ("partner", "code", "text", "hint")),
    "certificate": (INFO, ()),
    "job": (INFO, ("job", "partner", "state", "code", "attempt")),
    "process": (INFO, ("job", "attempt", "pid")),
    "result": (INFO, ("job", "folder")),
    "ended": (WARNING, _SAID),
    "not_started": (WARNING, _SAID),
    "passed_over": (WARNING, _SAID),
    "not_shown": (WARNING, _SAID),
    "not_kept": (ERROR, _SAID),
    "not_published": (ERROR, _SAID),
    "not_removed": (ERROR, _SAID),
    "not_noted": (ERROR, _SAID),
    "not_cosigned": (ERROR, ("partner", "text", "hint")),
    "cosigned": (INFO, ("partner",)),
    "fault": (ERROR, ("code", "text", "hint")),
    "waits": (INFO, ("job", "kind", "partner", "home")),
    "schedule": (INFO, ("schedule", "state", "job", "code", "text")),
    "stopping": (INFO, ("running",)),
    "stopped": (INFO, ()),
}
_UNKNOWN: Final = (WARNING, _SAID)


def entry(
    event: Mapping[str, Any], now: datetime.datetime, *, whole_ids: bool = False
) -> dict[str, Any] | None:
    """Return what is written of ``event``, or ``None`` if that is nothing.

    ``time`` (RFC 3339, UTC), ``level``, ``event`` and those allowed fields that have the form they should have. Job
    ids are shortened to what tells them apart, unless ``whole_ids``.
    """
    name = event.get("event")
    if not isinstance(name, str) or not _WORD.fullmatch(name):
        return None
    level, allowed = EVENTS.get(name, _UNKNOWN)
    if level == DEBUG:
        return None
    if name == "job" and event.get("state") == "failed":
        level = WARNING
    utc = now.astimezone(datetime.UTC).isoformat(timespec="milliseconds")
    line: dict[str, Any] = {"time": utc.replace("+00:00", "Z"), "level": level, "event": name}
    job = _FIELDS["job"](event.get("job"))
    for field in allowed:
        value = event.get(field)
        if isinstance(value, str) and job and field in ("text", "hint"):
            value = value.replace(job, job[:_SHORT])
        value = _FIELDS[field](value)
        if value is not None:
            line[field] = value
    if job and "job" in line and not whole_ids:
        line["job"] = job[:_SHORT]
    return line


class Writer:
    """Hands lines to ``write`` in a thread of its own, in order. ``lost`` counts those that could not be written."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._lines: queue.Queue[str | None] = queue.Queue(_WAITING_LINES)
        self.lost = 0
        self._thread = threading.Thread(target=self._run, name="node log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Write ``line`` when its turn comes; never waits."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Write what waits, for as long as two seconds."""
        try:
            self._lines.put(None, timeout=_CLOSING_SECONDS)
        except queue.Full:
            return
        self._thread.join(_CLOSING_SECONDS)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._write(line)
            except OSError:
                # A log that nobody reads any more, or a full disk, is no reason to stop.
                self.lost += 1


class LogFile(RotatingFileHandler):
    """The file ``path``, mode 0600, renamed to ``path.1`` and so on once it is long.

    Raises ``UsageError`` that names the folder if the file can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self._fault: OSError | None = None
        try:
            super().__init__(path, maxBytes=FILE_BYTES, backupCount=OLD_FILES, encoding="utf-8")
        except OSError as error:
            raise disk_error(error, path.parent) from None

    def _open(self) -> Any:
        return open(self.baseFilename, self.mode, encoding=self.encoding, opener=_private)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        """Remember the fault; the base class would print a traceback with the line in it."""
        self._fault = OSError("the log's file cannot be written")

    def close(self) -> None:
        """Close the file, written to the end or not."""
        with contextlib.suppress(OSError):
            super().close()

    def line(self, text: str) -> None:
        """Write one line. Raises ``OSError`` if it can't be."""
        self._fault = None
        self.emit(logging.makeLogRecord({"msg": text}))
        if self._fault is not None:
            raise self._fault


def _private(path: str, flags: int) -> int:
    handle = os.open(path, flags | os.O_CLOEXEC, 0o600)
    # One that was there may have been made for everybody.
    os.fchmod(handle, 0o600)
    return handle
