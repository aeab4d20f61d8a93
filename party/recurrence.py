"""When a recurring job is due: written in a few words, worked out in the calendar of one time zone.

    monthly on 1 at 06:00        monthly on 1, 15        monthly on last at 23:30
    weekly on mon at 06:00       weekly on mon, thu
    daily at 06:00               every 4 hours

Without ``at`` it is 06:00. The zone's own rules hold: a time that the clock skips in spring is due as much later as
the clock skips (02:30 becomes 03:30), one that comes twice in autumn is due the first time only, and a month that has
no such day has its last day instead. Hours are hours that pass, counted from a midnight, so that they stay the same
number apart where the clock changes.

This is arithmetic of ``datetime`` and ``zoneinfo`` alone: what libraries of recurrence rules would take off our hands
is the calendar's easy part, and a day that isn't there or an hour that comes twice they leave to their caller.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from psi.errors import UsageError

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LAST: Final = "last"
MAX_HOURS: Final = 168
DEFAULT_AT: Final = datetime.time(6)
_LAST_DAY: Final = 31
# Hours are counted from midnight at the start of this day, a Monday: 168 hours are then weekly.
_ORIGIN: Final = datetime.date(2024, 1, 1)
_DAY: Final = datetime.timedelta(days=1)
# Two due times of a calendar rule are never further apart than this: from 31 January to 28 February and one to spare,
# and a zone that changes sides of the date line.
_HORIZON: Final = 40
_EXAMPLES: Final = '"monthly on 1 at 06:00", "weekly on mon", "daily at 06:00" or "every 4 hours"'
_CALENDAR: Final = re.compile(
    r"(?P<rhythm>daily|weekly|monthly)"
    r"(?: on (?P<days>[a-z0-9]+(?:(?: ?, ?| and | )[a-z0-9]+)*?))?"
    r"(?: at (?P<hour>\d{1,2}):(?P<minute>\d\d))?"
)
_HOURS: Final = re.compile(r"(?:every )?(?P<hours>\d{1,4}) ?(?:hours?|h)|(?P<hourly>hourly|every hour)")


class Rhythm(StrEnum):
    """How often."""

    HOURS = "hours"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


@dataclass(frozen=True, slots=True)
class Recurrence:
    """When something is due, in the zone ``timezone`` (IANA name).

    ``days`` are those of the week from 0 (Monday) to 6, or of the month from 1 to 31, where 31 is every month's last.
    ``hours`` is how many pass between two times, for ``Rhythm.HOURS``; the other rhythms are due ``at`` a time.
    """

    rhythm: Rhythm
    timezone: str
    days: tuple[int, ...] = ()
    at: datetime.time = DEFAULT_AT
    hours: int = 0

    @property
    def zone(self) -> ZoneInfo:
        """The time zone. Raises ``UsageError`` if this machine knows none of that name."""
        return zone_of(self.timezone)

    def __str__(self) -> str:
        """Return it as :func:`parse_recurrence` reads it, always in the same words."""
        if self.rhythm is Rhythm.HOURS:
            return f"every {self.hours} hours" if self.hours > 1 else "every hour"
        match self.rhythm:
            case Rhythm.WEEKLY:
                days = " on " + ", ".join(WEEKDAYS[day] for day in self.days)
            case Rhythm.MONTHLY:
                days = " on " + ", ".join(LAST if day == _LAST_DAY else str(day) for day in self.days)
            case _:
                days = ""
        return f"{self.rhythm}{days} at {self.at:%H:%M}"

    def following(self, after: datetime.datetime) -> datetime.datetime:
        """Return the first due time later than ``after`` (timezone-aware), in UTC."""
        if self.rhythm is Rhythm.HOURS:
            return self._after_hours(after)
        return next(due for due in self._from(after) if due > after)

    def _after_hours(self, after: datetime.datetime) -> datetime.datetime:
        origin = _instant(_ORIGIN, datetime.time(0), self.zone)
        step = datetime.timedelta(hours=self.hours)
        return origin + ((after - origin) // step + 1) * step

    def _from(self, after: datetime.datetime) -> Iterator[datetime.datetime]:
        zone = self.zone
        # A day earlier, because a time that the clock skips may be due on the day after its own.
        day = after.astimezone(zone).date() - _DAY
        for _ in range(_HORIZON):
            if self._on(day):
                yield _instant(day, self.at, zone)
            day += _DAY

    def _on(self, day: datetime.date) -> bool:
        match self.rhythm:
            case Rhythm.WEEKLY:
                return day.weekday() in self.days
            case Rhythm.MONTHLY:
                # On its last day a month makes up for the days that it doesn't have.
                last = (day + _DAY).day == 1
                return day.day in self.days or (last and max(self.days) > day.day)
        return True


def parse_recurrence(text: str, timezone: str) -> Recurrence:
    """Read ``text``, as in the examples above, in ``timezone``. Raises ``UsageError`` for what can't be read."""
    zone_of(timezone)
    plain = " ".join(text.lower().split())
    hours = _HOURS.fullmatch(plain)
    if hours is not None:
        count = 1 if hours["hourly"] else int(hours["hours"])
        if not 1 <= count <= MAX_HOURS:
            raise UsageError(
                f"A job can't be due every {count} hours.", hint=f"use 1 to {MAX_HOURS} hours, or {_EXAMPLES}"
            )
        return Recurrence(Rhythm.HOURS, timezone, hours=count)
    found = _CALENDAR.fullmatch(plain)
    if found is None:
        raise _unreadable(text)
    rhythm = Rhythm(found["rhythm"])
    names = [] if found["days"] is None else re.split(r"(?: and |[ ,])+", found["days"])
    at = DEFAULT_AT
    if found["hour"] is not None:
        if int(found["hour"]) > 23 or int(found["minute"]) > 59:
            raise UsageError(
                f"{found['hour']}:{found['minute']} is no time of the day.", hint="use 00:00 to 23:59"
            )
        at = datetime.time(int(found["hour"]), int(found["minute"]))
    return Recurrence(rhythm, timezone, _days(rhythm, names, text), at)


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone ``name``. Raises ``UsageError`` if there is none of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        shown = repr(name) if name.isprintable() and len(name) <= 40 else "of that name"
        raise UsageError(
            f"There is no time zone {shown}.", hint="use an IANA name such as Asia/Shanghai"
        ) from None


def _days(rhythm: Rhythm, names: Sequence[str], text: str) -> tuple[int, ...]:
    if rhythm is Rhythm.DAILY:
        if names:
            raise _unreadable(text)
        return ()
    if not names:
        example = "weekly on mon" if rhythm is Rhythm.WEEKLY else "monthly on 1"
        raise UsageError(f"The schedule {text!r} does not say on which day.", hint=f'write it as "{example}"')
    if rhythm is Rhythm.WEEKLY:
        days = [next((at for at, day in enumerate(WEEKDAYS) if _is_day(name, day)), None) for name in names]
    else:
        days = [_LAST_DAY if name == LAST else int(name) if name.isdecimal() else None for name in names]
        days = [day if day is not None and 1 <= day <= _LAST_DAY else None for day in days]
    if None in days:
        known = ", ".join(WEEKDAYS) if rhythm is Rhythm.WEEKLY else "1 to 31, or last"
        raise UsageError(f"The schedule {text!r} names a day that there is not.", hint=f"use {known}")
    return tuple(sorted({day for day in days if day is not None}))


def _is_day(name: str, day: str) -> bool:
    full = {"tue": "tuesday", "wed": "wednesday", "thu": "thursday", "sat": "saturday"}.get(day, f"{day}day")
    return len(name) >= len(day) and full.startswith(name)


def _unreadable(text: str) -> UsageError:
    shown = repr(text) if text.isprintable() and len(text) <= 60 else "that was given"
    return UsageError(f"The schedule {shown} can't be read.", hint=f"write it as {_EXAMPLES}")


def _instant(day: datetime.date, at: datetime.time, zone: ZoneInfo) -> datetime.datetime:
    """Return in UTC when ``zone``'s clock shows ``at`` on ``day``.

    With ``fold`` 0, which a plain time has, a time that comes twice is the first one, and one that is skipped counts
    by the offset from before the skip (PEP 495), as RFC 5545, section 3.3.5, has it.
    """
    return datetime.datetime.combine(day, at, zone).astimezone(datetime.UTC)
