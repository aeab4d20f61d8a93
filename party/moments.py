"""Time cells as instants and as calendar days of the contract's zone.

What is read: ISO 8601 dates and times (``2026-03-08``, ``2026-03-08T09:30``, ``2026-03-08 09:30:15.250+08:00``,
``...Z``), the same with slashes, ``20260308`` and ``20260308093015``, Unix time in seconds (10 digits) and
milliseconds (13). A time with an offset is converted to the zone; one without is the zone's own local time; a bare
date is the beginning of that day.

Common spellings are compared and computed over whole columns; what is left (``2026/3/8 9:30``) is rewritten to one of
them, cell by cell.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from party.identifiers.cells import Cells, cells_of, tidy

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# In place of the instant that a row does not have: the least 64-bit integer.
NO_MOMENT: Final = -(1 << 63)
_SECOND: Final = 1_000_000
_DAY: Final = 86_400 * _SECOND
# Zones change their offset at whole quarters of an hour.
_QUARTER: Final = 900
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
# Quarters that a zone is asked about; the calendar ends a day later, so an offset cannot lead out of it.
_LAST_QUARTER: Final = (datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC) - _EPOCH).days * 96
_FIRST_QUARTER: Final = (datetime.datetime(1, 1, 2, tzinfo=datetime.UTC) - _EPOCH).days * 96

# In a template each letter but T and Z stands for a digit of one number: Year, Month, Day, hour, minute (i), second,
# fraction, offset (hours a, minutes b), Unix seconds (u) and their thousandths (k). + is either sign.
_DATES: Final = ("YYYY-MM-DD", "YYYY/MM/DD")
_CLOCKS: Final = ("hh:ii:ss", "hh:ii")
_OFFSETS: Final = ("", "Z", "+aa:bb", "+aabb", "+aa")
_PLAIN: Final = ("YYYYMMDD", "uuuuuuuuuu", "uuuuuuuuuukkk", "YYYYMMDDhhiiss", *_DATES)
_FRACTION: Final = 9
_LITERALS: Final = frozenset("TZ-/:. ")

# Single digits in dates and hours, blanks before an offset, a decimal comma, more digits than a clock has.
_LOOSE: Final = re.compile(
    r"(\d{4})([-/])(\d{1,2})\2(\d{1,2})"
    r"(?:[Tt ]+(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d+))?)? *([Zz]|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
# A whole number that passed through a column of floats.
_FLOATED: Final = re.compile(r"(\d{8}|\d{10}|\d{13}|\d{14})\.0+", re.ASCII)


@dataclass(frozen=True, slots=True, repr=False)
class Moments:
    """Times of n rows, each of shape (n,).

    ``instant`` is in microseconds since 1970-01-01 UTC (``NO_MOMENT``: none), ``day`` in calendar days of the zone
    since 1970-01-01 (0 where there is no instant). A cell that is ``filled`` may be ``unreadable``.
    """

    instant: Ints
    day: Ints
    filled: Mask
    unreadable: Mask

    def __repr__(self) -> str:
        return f"Moments({len(self.day)} rows, {int(self.unreadable.sum())} unreadable)"


class Clock:
    """Reads the time cells of one column in one zone (IANA name)."""

    def __init__(self, timezone: str) -> None:
        self._zone = ZoneInfo(timezone)

    def __call__(self, cells: pa.Array) -> Moments:
        """Read one batch of text cells; a null or blank one is empty."""
        texts = tidy(pc.utf8_trim_whitespace(cells))
        filled = texts.lengths > 0
        wall = _Wall(texts)
        loose = np.flatnonzero(filled & ~wall.read)
        if len(loose):
            rest = texts.to_arrow().take(pa.array(loose)).to_pylist()
            wall.take(loose, _Wall(cells_of(pa.array(list(map(_rewritten, rest)), pa.string()))))
        read, zoned = wall.read, wall.zoned
        # With an offset the instant is known and the local time follows; without one it is the other way round.
        instant = np.where(zoned, wall.time - wall.offset, wall.time)
        own = read & ~zoned
        instant[own] -= self._offsets(instant[own], self._at_wall)
        local = wall.time
        local[zoned] = instant[zoned] + self._offsets(instant[zoned], self._at_instant)
        return Moments(
            instant=np.where(read, instant, NO_MOMENT),
            day=np.where(read, local // _DAY, 0),
            filled=filled,
            unreadable=filled & ~read,
        )

    def _offsets(self, times: Ints, at: Callable[[datetime.datetime], datetime.timedelta | None]) -> Ints:
        """Return the zone's offset at each time in microseconds, looked up once for each quarter of an hour."""
        quarters = np.clip(times // (_QUARTER * _SECOND), _FIRST_QUARTER, _LAST_QUARTER)
        each, places = np.unique(quarters, return_inverse=True)
        found = [at(_EPOCH + datetime.timedelta(seconds=quarter * _QUARTER)) for quarter in each.tolist()]
        seconds = [round(offset.total_seconds()) if offset else 0 for offset in found]
        return np.array(seconds, dtype=np.int64)[places] * _SECOND

    def _at_wall(self, time: datetime.datetime) -> datetime.timedelta | None:
        # Of two equal times of a clock that is put back, the first; a skipped one as if the clock had not changed.
        return time.replace(tzinfo=self._zone).utcoffset()

    def _at_instant(self, time: datetime.datetime) -> datetime.timedelta | None:
        return time.astimezone(self._zone).utcoffset()


class _Wall:
    """What clocks and offsets of some cells say: microseconds, shape (n,); ``zoned`` where there is an offset."""

    def __init__(self, cells: Cells) -> None:
        size = len(cells)
        self.time = np.zeros(size, dtype=np.int64)
        self.offset = np.zeros(size, dtype=np.int64)
        self.zoned = np.zeros(size, dtype=np.bool_)
        self.read = np.zeros(size, dtype=np.bool_)
        lengths = cells.lengths
        for length in np.unique(lengths).tolist():
            rows = np.flatnonzero(lengths == length)
            for template in _templates(length):
                if not len(rows):
                    break
                text = cells.matrix(rows, length)
                fits = _fits(text, template)
                self._read(rows[fits], text[fits], template)
                rows = rows[~fits]

    def take(self, rows: Ints, other: _Wall) -> None:
        """Take over what ``other`` read of these rows."""
        self.time[rows], self.offset[rows] = other.time, other.offset
        self.zoned[rows], self.read[rows] = other.zoned, other.read

    def _read(self, rows: Ints, text: npt.NDArray[np.uint8], template: str) -> None:
        def number(letter: str) -> Ints:
            total = np.zeros(len(rows), dtype=np.int64)
            for place, mark in enumerate(template):
                if mark == letter:
                    total = 10 * total + text[:, place] - ord("0")
            return total

        if template.startswith("u"):
            self.time[rows] = number("u") * _SECOND + number("k") * 1_000
            self.zoned[rows] = self.read[rows] = True
            return
        hour, minute, second = number("h"), number("i"), number("s")
        digits = template.count("f")
        fraction = number("f") * 10 ** (6 - digits) if digits <= 6 else number("f") // 10 ** (digits - 6)
        day, valid = _days(number("Y"), number("M"), number("D"))
        away = (number("a") * 60 + number("b")) * 60 * _SECOND
        if "+" in template:
            away = np.where(text[:, template.index("+")] == ord("-"), -away, away)
        self.time[rows] = day * _DAY + ((hour * 60 + minute) * 60 + second) * _SECOND + fraction
        self.offset[rows] = away
        self.zoned[rows] = "Z" in template or "+" in template
        valid &= (hour < 24) & (minute < 60) & (second < 60) & (number("a") < 24) & (number("b") < 60)
        self.read[rows] = valid
        self.zoned[rows[~valid]] = False


@lru_cache(maxsize=64)
def _templates(length: int) -> tuple[str, ...]:
    """Return the spellings that have ``length`` characters."""
    fractions = ["." + "f" * digits for digits in range(1, _FRACTION + 1)]
    clocks = [*_CLOCKS, *(_CLOCKS[0] + fraction for fraction in fractions)]
    times = (
        f"{date}{between}{clock}{offset}"
        for clock in clocks
        for offset in _OFFSETS
        for date in _DATES
        for between in " T"
        if len(date) + 1 + len(clock) + len(offset) == length
    )
    return (*(plain for plain in _PLAIN if len(plain) == length), *times)


def _fits(text: npt.NDArray[np.uint8], template: str) -> Mask:
    fits = np.ones(len(text), dtype=np.bool_)
    for place, mark in enumerate(template):
        column = text[:, place]
        if mark == "+":
            fits &= (column == ord("+")) | (column == ord("-"))
        elif mark in _LITERALS:
            fits &= column == ord(mark)
        else:
            fits &= (column >= ord("0")) & (column <= ord("9"))
    return fits


def _days(year: Ints, month: Ints, day: Ints) -> tuple[Ints, Mask]:
    """Return days since 1970-01-01, and which dates exist (years 1 to 9999)."""
    valid = (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    first = ((year - 1970) * 12 + np.where(valid, month, 1) - 1).astype("datetime64[M]")
    days = first.astype("datetime64[D]").astype(np.int64)
    length = (first + 1).astype("datetime64[D]").astype(np.int64) - days
    return days + day - 1, valid & (day <= length)


def _rewritten(text: str) -> str:
    """Return a looser spelling as one that a template has, or an empty text."""
    if floated := _FLOATED.fullmatch(text):
        return floated[1]
    loose = _LOOSE.fullmatch(text)
    if loose is None:
        return ""
    year, _, month, day, hour, minute, second, fraction, offset = loose.groups()
    fraction = "." + fraction[:_FRACTION] if fraction else ""
    clock = f"T{hour:0>2}:{minute}:{second or '00'}{fraction}{(offset or '').upper()}" if hour else ""
    return f"{year}-{month:0>2}-{day:0>2}{clock}"
