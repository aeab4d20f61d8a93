"""What ``console.auditwork`` does: verify a log, make its bundle or a job's evidence pack, from the store alone."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from audit.bundle import LONGEST_LINE, Bundle
from audit.report import Report
from audit.verify import verify
from console.auditreport import packed
from party.auditlog import AuditLog
from party.budget import Clock
from party.cosigning import Cosigning
from party.evidence import Evidence, contracts_of, write_pack
from party.store import Store, require_store
from psi.errors import UsageError

# What goes out at once of a bundle, whose lines are short.
_CHUNK: Final = 256 * 1024


class SignedBefore(Cosigning):
    """The log ``epoch``, the newest, as it was when its first ``size`` entries were signed; without its keys.

    So it can give out that checkpoint, and cannot sign another.
    """

    def __init__(self, store: Store, epoch: int, size: int, clock: Clock) -> None:
        self._store = store
        self.clock = clock
        self.log = AuditLog(store)
        facts = self.log.facts(epoch)
        if facts is None:
            raise UsageError(f"There is no log {epoch} in this home.", code="missing_file")
        self.facts = facts
        self._size = size

    def checkpoint(self) -> tuple[int, bytes]:
        """Return size and signed note. Raises ``UsageError`` if the store has lost it."""
        note = self.log.checkpoint(self.facts.epoch, self._size)
        if note is None:
            raise UsageError(
                f"The log's checkpoint of {self._size:,} entries is no longer in the store.",
                hint="try again; if it stays, restore the store from a backup",
                code="store_unavailable",
            )
        return self._size, note


def made(task: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield what ``task`` asks for: a packed report, or a bundle in pieces; a pack is written to its place.

    Raises ``UsageError`` where the store fails or holds no log, there is nothing to export, or a pack can't be
    written.
    """
    store = _store(task)
    try:
        now = datetime.datetime.fromtimestamp(task["now"], datetime.UTC)
        signed = SignedBefore(store, task["log"], task["size"], lambda: now)
        evidence = Evidence(store, signed, lambda: contracts_of(store), task["epoch"])
        match task["work"]:
            case "verify":
                yield packed(_verified(evidence, task))
            case "bundle":
                yield from _pieces(_sound(evidence.whole(details=task["details"])))
            case "pack":
                out = Path(task["out"])
                write_pack(out, _sound(evidence.pack(task["job"], details=task["details"])))
            case other:
                raise ValueError(f"there is no work called {other}")
    finally:
        store.close()


def _store(task: Mapping[str, Any]) -> Store:
    if task["store"] is not None:
        return Store(task["store"])
    path = Path(task["path"])
    require_store(path)  # it was there a moment ago
    # Not as text, in which a path with a question mark would end there.
    return Store(sa.URL.create("sqlite", database=str(path)))


def _verified(evidence: Evidence, task: Mapping[str, Any]) -> Report:
    """Verify what would be exported, line by line as it is read from the store."""
    # With the details: nobody but the verifier reads them here, and it can compute thresholds anew.
    lines = _cut_where_too_long(_sound(evidence.whole(details=True)))
    return verify([Bundle(task["label"], lines)], identities=[task["identity"]])


def _sound(lines: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from lines
    except ValueError as error:
        raise UsageError(
            f"The store holds something that is no log: {error}.",
            hint="somebody changed the store; restore it from a backup, and tell the partners",
            code="bad_format",
        ) from None


def _cut_where_too_long(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield ``lines`` as they would be read from a file (:func:`audit.bundle.lines_of`)."""
    longest = LONGEST_LINE + 1
    for line in lines:
        for start in range(0, len(line), longest):
            yield line[start : start + longest]


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= _CHUNK:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)
