"""How a job goes on while somebody watches: the phases of both sides, and of this one rows, pace and time left.

A node keeps the last word of its job's process and what its partner last said of its own (``party.workroom``): a
phase and the share of it that is done, never a count of rows.
"""

from __future__ import annotations

import datetime
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from console.jobs import waits_for
from console.jobwords import Waits
from console.place import Place
from console.presence import heard
from party.jobrecords import JobRecord
from party.jobspec import JobKind
from party.jobstates import JobState
from party.preflight import standing_of
from party.preflights import Preflight, PreflightState
from party.progress import PHASES, remaining

# What the phases of a standing node's job are, by its part: in a match both sides mask, in a sum one side encrypts.
_BEFORE: Final = ("agree", "read", "order")
_AFTER: Final = ("write",)
# Within this time a node that lives has moved a result to its place.
_PUBLISHING: Final = datetime.timedelta(seconds=30)
# Looks over which the pace is taken: a minute, so that one slow chunk does not make the time left jump.
_LOOKS: Final = 60


class There(StrEnum):
    """What is known of the partner's side."""

    UNTOLD = "untold"  # it was told nothing, or of a trial alone
    ASKED = "asked"
    ASKS = "asks"
    AGREED = "agreed"
    BEGINS = "begins"
    WORKS = "works"
    WRITTEN = "written"
    ENDED = "ended"


THERE: Final[Mapping[There, str]] = {
    There.UNTOLD: "It has not been asked yet.",
    There.ASKED: "It has the contract and has not answered.",
    There.ASKS: "It waits for the answer of this side.",
    There.AGREED: "It has signed the contract.",
    There.BEGINS: "The attempt has begun here; its side has not told where it is.",
    There.WORKS: "It is at work; in which phase it does not say.",
    There.WRITTEN: "Its part is complete.",
    There.ENDED: "The job has ended there as well, once it was told.",
}


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a side: ``place`` is done, current or ahead."""

    name: str
    place: str


@dataclass(frozen=True, slots=True)
class Far:
    """Where the partner says that its part is; ``percent`` of the current phase, 0 also where it cannot know."""

    phases: tuple[Phase, ...]
    phase: str
    percent: int


@dataclass(frozen=True, slots=True)
class Live:
    """Where a job is. ``done`` and ``total`` are rows of the current phase, ``rate`` rows a second, ``left`` seconds.

    What nobody knows is ``None``. ``far`` is what the partner told of this attempt, ``heard`` when there was a sign
    of it last. ``published``: the result lies in its place. ``over``: nothing more is to come, for a job is done some
    moments before that.
    """

    record: JobRecord
    waits: Waits
    phases: tuple[Phase, ...]
    phase: str | None
    done: int | None
    total: int | None
    rate: float | None
    left: float | None
    there: There
    far: Far | None
    heard: datetime.datetime | None
    published: bool
    over: bool

    @property
    def share(self) -> float | None:
        """What part of the current phase is done, between 0 and 1."""
        if self.done is None or not self.total:
            return None
        return min(1.0, self.done / self.total)


class Pace:
    """Remembers what was seen of one job's current phase, for its pace. ``clock`` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of: tuple[int, str] | None = None
        self._total: int | None = None
        self._seen: deque[tuple[float, int]] = deque(maxlen=_LOOKS)

    def look(self, attempt: int, event: Mapping[str, Any]) -> tuple[int, int | None, float | None]:
        """Take the last word of an attempt; returns rows done, of how many, and how many a second."""
        of = (attempt, str(event.get("phase", "")))
        if of != self._of:
            self._of, self._total = of, None
            self._seen.clear()
        total = event.get("total")
        if isinstance(total, int):
            self._total = total
        done = event.get("done")
        done = done if isinstance(done, int) else 0
        now = self._clock()
        self._seen.append((now, done))
        start, before = self._seen[0]
        rate = (done - before) / (now - start) if now > start and done > before else None
        return done, self._total, rate


def live_of(place: Place, record: JobRecord, pace: Pace) -> Live:
    """Return where the job of ``record`` is now, with the pace that ``pace`` has seen."""
    phase, done, total, rate, left, told = None, None, None, None, None, None
    if record.state is JobState.RUNNING:
        event = place.room.progress(record.id)
        if event is not None and event.get("phase") in PHASES:
            phase = str(event["phase"])
            done, total, rate = pace.look(record.attempts, event)
            if rate is not None:
                left = remaining(done, total, done / rate)
        told = place.room.partner(record.id)
    published = record.state is JobState.DONE and place.room.result(record.id).is_dir()
    return Live(
        record,
        waits_for(record, _preflight(place, record), place.role),
        _phases(_names(place, record), phase, record.state),
        phase,
        done,
        total,
        rate,
        left,
        _there(place, record, told),
        _far(place, record, told),
        heard(place.node, record.partner),
        published,
        published or (record.state.ended and not _to_publish(place, record)),
    )


def _to_publish(place: Place, record: JobRecord) -> bool:
    """Return whether a node that lives is about to publish the result."""
    return record.state is JobState.DONE and place.node.clock() - record.changed < _PUBLISHING


def _preflight(place: Place, record: JobRecord) -> Preflight:
    """Return how the preflight stands where a job waits for it; it takes more than a look every second should."""
    if record.state is JobState.APPROVED:
        return standing_of(place.node, record)
    return Preflight(PreflightState.NOT_RUN)


def _phases(names: tuple[str, ...], current: str | None, state: JobState) -> tuple[Phase, ...]:
    if state is JobState.DONE:
        return tuple(Phase(name, "done") for name in names)
    if current is None or current not in names:
        return tuple(Phase(name, "ahead") for name in names)
    at = names.index(current)
    return tuple(
        Phase(name, "done" if number < at else "current" if number == at else "ahead")
        for number, name in enumerate(names)
    )


def _names(place: Place, record: JobRecord, *, partner: bool = False) -> tuple[str, ...]:
    """Return the phases of one side's part; in the long one the messages go back and forth."""
    if not JobKind(record.kind).is_sum:
        return (*_BEFORE, "exchange", *_AFTER)
    encrypts = (record.table.get("value_holder", "bank") == place.role) is not partner
    return (*_BEFORE, "encrypt" if encrypts else "collect", *_AFTER)


def _far(place: Place, record: JobRecord, told: tuple[str, int] | None) -> Far | None:
    if told is None or told[0] not in PHASES:
        return None
    phase, percent = told
    return Far(_phases(_names(place, record, partner=True), phase, record.state), phase, percent)


def _there(place: Place, record: JobRecord, told: tuple[str, int] | None) -> There:
    match record.state:
        case JobState.DRAFT | JobState.APPROVED:
            return There.UNTOLD
        case JobState.PROPOSED:
            return There.ASKED if place.is_bank else There.ASKS
        case JobState.ACCEPTED:
            return There.AGREED
        case JobState.RUNNING:
            return There.BEGINS if told is None else There.WORKS
        case JobState.DONE:
            return There.WRITTEN
    return There.ENDED
