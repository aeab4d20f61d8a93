"""Reach, conversions, spend and return of campaigns, from the results of finished jobs that lie at this side.

A campaign is the jobs of one purpose with one partner. Its runs cover the same people again, so their figures are
never added up: the newest job that measured counts, without one the newest match. A figure that is withheld is that,
and never 0.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import orjson

from party.figures import NOT_TOLD
from party.jobrecords import JobRecord
from party.jobspec import JobKind
from party.results import RESULT
from party.workroom import Workroom

# A result of ten thousand groups has a few megabytes.
_LONGEST: Final = 64 * 1024 * 1024
# What one look may take for files that it has not read before; the next look goes on from there.
_PATIENCE_SECONDS: Final = 0.04
_KEPT: Final = 2_000


class Known(StrEnum):
    """What is known of a figure."""

    TOLD = "told"
    WITHHELD = "withheld"
    UNTOLD = "untold"  # by the contract it is the other side's
    NONE = "none"  # such a job has no such figure


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; ``low`` and ``high`` where it is an estimate, the interval of 95 %."""

    known: Known
    value: Decimal | None = None
    low: float | None = None
    high: float | None = None


NO_FIGURE: Final = Figure(Known.NONE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one job came to: ``reach`` and ``converters`` in persons, ``spend`` and ``sums`` in their columns' units.

    ``returned`` is per value column what came back for one unit of spend: of a lift what the campaign added, with its
    interval, otherwise all that was attributed. ``whole`` is false where withheld groups are missing from it.
    """

    reach: Figure
    converters: Figure
    conversions: Figure
    spend: Figure
    sums: Mapping[str, Figure]
    returned: Mapping[str, Figure]
    added: bool
    whole: bool


@dataclass(frozen=True, slots=True)
class Campaign:
    """The newest job of a campaign that says most, what it came to, and how many of its jobs are done."""

    record: JobRecord
    outcome: Outcome
    finished: int


@dataclass(frozen=True, slots=True)
class Campaigns:
    """The campaigns, the latest first; ``unread`` results were not looked at yet."""

    campaigns: tuple[Campaign, ...]
    unread: int


class Outcomes:
    """Results that were read, by path and time of change; a few thousand at most. Threads may share it."""

    def __init__(self, patience: float = _PATIENCE_SECONDS) -> None:
        self._patience = patience
        self._turn = threading.Lock()
        self._read: OrderedDict[Path, tuple[int, Outcome | None]] = OrderedDict()

    def of(self, room: Workroom, records: Sequence[JobRecord]) -> tuple[dict[str, Outcome], int]:
        """Return the outcomes by job, and how many results are left for the next look."""
        deadline = time.monotonic() + self._patience
        found: dict[str, Outcome] = {}
        unread = 0
        with self._turn:
            for record in records:
                path = room.result(record.id) / RESULT
                try:
                    status = path.stat()
                except OSError:
                    continue  # it has expired, or was not published yet
                known = self._read.get(path)
                if known is None or known[0] != status.st_mtime_ns:
                    if time.monotonic() >= deadline:
                        unread += 1
                        continue
                    known = (status.st_mtime_ns, _read(path, status.st_size))
                    self._read[path] = known
                self._read.move_to_end(path)
                if known[1] is not None:
                    found[record.id] = known[1]
            while len(self._read) > _KEPT:
                self._read.popitem(last=False)
        return found, unread


def campaigns(outcomes: Mapping[str, Outcome], records: Iterable[JobRecord], unread: int) -> Campaigns:
    """Put the ``outcomes`` of ``records``, the newest first, together by campaign."""
    of: OrderedDict[tuple[str, str], list[JobRecord]] = OrderedDict()
    for record in records:
        of.setdefault((record.purpose, record.partner), []).append(record)
    found = []
    for jobs in of.values():
        read = [record for record in jobs if record.id in outcomes]
        if read:
            best = next((record for record in read if JobKind(record.kind).is_sum), read[0])
            found.append(Campaign(best, outcomes[best.id], len(jobs)))
    return Campaigns(tuple(found), unread)


def outcome_of(result: Mapping[str, Any]) -> Outcome:
    """Return what a result.json says of its campaign."""
    kind, totals = result.get("kind"), result["totals"]
    reasons = {entry.get("figure"): entry.get("reason") for entry in result.get("withheld", ())}
    if kind in (JobKind.OVERLAP, JobKind.AUDIENCE):
        name = "unmatched" if "unmatched" in totals else "matched"
        untold = NOT_TOLD in reasons.values()
        reach = _figure(totals, name, untold=untold)
        return Outcome(
            reach, NO_FIGURE, NO_FIGURE, NO_FIGURE, {}, {}, added=False, whole="totals.matched" not in reasons
        )
    untold = reasons.get("totals") == NOT_TOLD
    reach = _figure(totals, "matched" if kind == JobKind.PROFILE else "persons", untold=untold)
    spend = _figure(totals, "cost", untold=untold)
    columns = totals.get("sums") or {}
    sums = {column: _figure(columns, column, untold=untold) for column in columns}
    evaluation = result.get("evaluation")
    added = kind == JobKind.LIFT
    if added:
        returned = _added(evaluation or {}, sums)
    else:
        returned = {column: _ratio(figure, spend) for column, figure in sums.items()}
    return Outcome(
        reach,
        _figure(totals, "converters", untold=untold),
        _figure(totals, "conversions", untold=untold),
        spend,
        sums,
        returned,
        added=added,
        whole=totals.get("complete") is not False or untold,
    )


def _read(path: Path, size: int) -> Outcome | None:
    if size > _LONGEST:
        return None
    try:
        return outcome_of(orjson.loads(path.read_bytes()))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None  # of another version, or gone just now: the job's own page says what is the matter


def _figure(totals: Mapping[str, Any], name: str, *, untold: bool) -> Figure:
    if name not in totals:
        return NO_FIGURE
    if totals[name] is None:
        return Figure(Known.UNTOLD if untold else Known.WITHHELD)
    return Figure(Known.TOLD, _decimal(totals[name]))


def _decimal(value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise ValueError("a figure is a number") from None


def _ratio(figure: Figure, spend: Figure) -> Figure:
    """Return what was attributed for each unit of spend."""
    if Known.NONE in (figure.known, spend.known):
        return NO_FIGURE
    if figure.value is None or spend.value is None:
        return Figure(figure.known if figure.value is None else spend.known)
    return NO_FIGURE if spend.value <= 0 else Figure(Known.TOLD, figure.value / spend.value)


def _added(evaluation: Mapping[str, Any], sums: Mapping[str, Figure]) -> dict[str, Figure]:
    """Return the incremental return per column of a lift, as its evaluation has it."""
    returned = evaluation.get("return_on_spend") or {}
    found = {}
    for column, figure in sums.items():
        told = returned.get(column)
        if told is not None and told["value"] is not None:
            value = _decimal(told["value"])
            found[column] = Figure(Known.TOLD, value, told["low"], told["high"])
        else:
            # Without a spend there is no return; what is withheld of the sum is withheld of it as well.
            found[column] = NO_FIGURE if figure.known is Known.TOLD else figure
    return found
