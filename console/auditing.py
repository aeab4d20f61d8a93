"""The audit of this party by itself: its log for people, and its verification here and now.

Verifying takes a second and more per hundred thousand entries (``veiljoin bench audit``), so it happens in a process
of its own (``console.auditprocess``), one at a time for each node, and its report is kept in memory until the next
one. What is verified is what would be exported.
"""

from __future__ import annotations

import datetime
import re
import threading
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from weakref import WeakKeyDictionary

from audit.events import EVENTS
from audit.report import Report, fingerprint_of
from audit.words import actor as actor_words
from audit.words import moment, sentence
from console.auditprocess import AuditProcesses
from console.auditreport import unpacked
from console.place import Place
from party.evidence import SUFFIX
from party.identity import public_identity
from party.logview import LogEntry, LogPage, LogState, LogView, Wanted
from psi.errors import UsageError, VeiljoinError

_SHORTEST_JOB: Final = 4
_JOB: Final = 32
_HEX: Final = re.compile("[0-9a-f]+")
_DAY: Final = datetime.timedelta(days=1)


# -- the log


@dataclass(frozen=True, slots=True)
class Line:
    """An entry as people read it. ``time`` is UTC, ``actor`` as the log calls it and ``who`` in words."""

    sequence: int
    time: str
    job: str | None
    type: str
    actor: str
    who: str
    text: str


def line_of(entry: LogEntry, language: str) -> Line | None:
    """Return ``entry`` in ``language``; ``None`` for bytes that are no entry."""
    said = entry.said
    if said is None:
        return None
    return Line(
        entry.sequence,
        moment(said["time"]).removesuffix(" UTC"),
        said["job"],
        said["type"],
        said["actor"],
        actor_words(said["actor"], language),
        sentence(said, language),
    )


def log_state(place: Place, epoch: int | None = None) -> LogState:
    """Return the state of the newest log, or of log ``epoch``. Raises ``UsageError`` if there is none."""
    return LogView(place.node.home.store).state(epoch)


def log_page(
    place: Place, epoch: int, wanted: Wanted, *, before: int | None = None, limit: int = 50
) -> LogPage:
    """Return a page of the log ``epoch``."""
    return LogView(place.node.home.store).page(epoch, wanted, before=before, limit=limit)


def log_entry(place: Place, epoch: int, sequence: int) -> tuple[LogEntry, bytes]:
    """Return an entry and its leaf hash. Raises ``UsageError`` (``unknown_job``) where there is none."""
    found = LogView(place.node.home.store).entry(epoch, sequence)
    if found is None:
        raise UsageError(
            f"The log has no entry {sequence:,}.", hint="entries are numbered from 0", code="unknown_job"
        )
    return found


def wanted(
    place: Place,
    *,
    job: str = "",
    type: str = "",
    actor: str = "",
    since: datetime.date | datetime.datetime | None = None,
    until: datetime.date | datetime.datetime | None = None,
) -> Wanted:
    """Return what is asked for; of empty texts nothing. Days are whole days of UTC, both included.

    ``job`` is an id or its beginning. Raises ``UsageError`` that names what cannot be meant.
    """
    if type and type not in EVENTS:
        raise UsageError("There is no such type of entry.", hint="choose one of the list")
    start = job.strip().lower()
    if start and (not _SHORTEST_JOB <= len(start) <= _JOB or not _HEX.fullmatch(start)):
        raise UsageError(
            "The job is not the beginning of a job's id.",
            hint=f"write {_SHORTEST_JOB} or more of its hexadecimal digits",
            code="unknown_job",
        )
    if start and len(start) < _JOB:
        start = LogView(place.node.home.store).job_like(start)
    # A day that is included ends where the next one begins, and the calendar's last one never.
    end = until if isinstance(until, datetime.datetime) else _following(until)
    return Wanted(
        start or None, type or None, actor.strip() or None, _milliseconds(since), _milliseconds(end)
    )


def fingerprint(place: Place) -> str:
    """Return what the party reads out to an auditor of its identity."""
    return fingerprint_of(public_identity(place.node.credentials.identity()).hex())


def _following(day: datetime.date | None) -> datetime.date | None:
    return None if day is None or day == datetime.date.max else day + _DAY


def _milliseconds(when: datetime.date | datetime.datetime | None) -> int | None:
    if when is None:
        return None
    if not isinstance(when, datetime.datetime):
        when = datetime.datetime.combine(when, datetime.time(), datetime.UTC)
    return max(0, int(when.timestamp() * 1000))


def bundle_file(place: Place, epoch: int | None) -> str:
    """Return the name of the file of a bundle; logs from before a restore have their number in it."""
    return f"{place.node.file.name}{'' if epoch is None else f'-{epoch}'}{SUFFIX}"


def task(place: Place, work: str, *, epoch: int | None = None, **more: Any) -> dict[str, Any]:
    """Return a task for a process of the audit: ``work`` on the newest log, or on log ``epoch``, as they are now.

    The newest log's checkpoint is signed here if need be, so that the process needs no key.
    """
    node = place.node
    cosigning, path = node.log.cosigning(), node.home.store.path
    ended = epoch not in (None, cosigning.facts.epoch)
    return {
        "work": work,
        # An address may hold a password, and goes to the process by a pipe as all of this does.
        "store": node.file.store if path is None else None,
        "path": None if path is None else str(path),
        "log": cosigning.facts.epoch,
        "size": 0 if ended else cosigning.checkpoint()[0],
        "epoch": epoch,
        "now": node.clock().timestamp(),
        **more,
    }


# -- verifying

State = Literal["running", "passed", "failed", "broken"]


@dataclass(frozen=True, slots=True)
class Verification:
    """One verification of the own log, of ``entries``. ``report`` or ``error`` once it has ended, at ``ended``."""

    by: str
    begun: datetime.datetime
    entries: int
    ended: datetime.datetime | None = None
    report: Report | None = None
    error: VeiljoinError | None = None

    @property
    def state(self) -> State:
        """Return running, passed, failed (the log is wrong) or broken (it could not be verified)."""
        if self.ended is None:
            return "running"
        if self.report is None:
            return "broken"
        return "passed" if self.report.passed else "failed"


class Verifier:
    """Verifies the log of one node, once at a time; ``processes`` has the one that is at it."""

    def __init__(self) -> None:
        self.processes = AuditProcesses(1)
        self._turn = threading.Lock()
        self._latest: Verification | None = None

    @property
    def latest(self) -> Verification | None:
        """Return the one under way, or else the last one since the console was started."""
        return self._latest

    def begin(self, place: Place, by: str) -> Verification:
        """Begin to verify. Raises ``UsageError`` (``wrong_state``) while one is under way."""
        with self._turn:
            if self._latest is not None and self._latest.ended is None:
                raise UsageError(
                    "The log is being verified already.", hint="wait for its report", code="wrong_state"
                )
            begun = Verification(by, place.node.clock(), log_state(place).size)
            self._latest = begun
        threading.Thread(target=self._run, args=(place, begun), name="verify", daemon=True).start()
        return begun

    def _run(self, place: Place, begun: Verification) -> None:
        report: Report | None = None
        error: VeiljoinError | None = VeiljoinError(
            "A fault in this program kept the log from being verified."
        )
        try:
            report, error = _verified(place), None
        except VeiljoinError as known:
            error = known
        finally:
            # Also after a fault that nobody foresaw: the next one must be able to begin.
            self._latest = replace(begun, ended=place.node.clock(), report=report, error=error)


_VERIFIERS: Final[WeakKeyDictionary[Place, Verifier]] = WeakKeyDictionary()
_VERIFIERS_LOCK: Final = threading.Lock()


def verifier(place: Place) -> Verifier:
    """Return the verifier of the node of ``place``."""
    with _VERIFIERS_LOCK:
        return _VERIFIERS.setdefault(place, Verifier())


def _verified(place: Place) -> Report:
    identity = public_identity(place.node.credentials.identity()).hex()

    def wanted() -> dict[str, Any]:
        return task(place, "verify", label=bundle_file(place, None), identity=identity)

    with verifier(place).processes.start(wanted) as process:
        return unpacked(b"".join(process.pieces()))


def commands(place: Place) -> tuple[str, ...]:
    """Return the commands that verify the logs of both parties together."""
    own = bundle_file(place, None)
    return f"veiljoin audit export --home HOME --out {own}", f"veiljoin audit verify {own} PARTNER{SUFFIX}"
