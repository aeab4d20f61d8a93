"""Time cells, against Python's own reading of them and against calendars with daylight saving."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from party.moments import NO_MOMENT, Clock, Moments

SHANGHAI, NEW_YORK = "Asia/Shanghai", "America/New_York"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(zone: str, *cells: str | None) -> Moments:
    """Read cells in a zone."""
    return Clock(zone)(pa.array(cells, pa.string()))


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def days(year: int, month: int, day: int) -> int:
    """Days since 1970."""
    return (date(year, month, day) - date(1970, 1, 1)).days


@pytest.mark.parametrize(
    ("cell", "wall"),
    [
        ("2026-03-31", "2026-03-31T00:00:00"),
        ("2026/03/31", "2026-03-31T00:00:00"),
        ("20260331", "2026-03-31T00:00:00"),
        ("20260331235959", "2026-03-31T23:59:59"),
        ("2026-03-31 23:59", "2026-03-31T23:59:00"),
        ("2026-03-31T23:59:58", "2026-03-31T23:59:58"),
        ("2026/03/31 23:59:58", "2026-03-31T23:59:58"),
        ("2026-03-31 23:59:58.5", "2026-03-31T23:59:58.500000"),
        ("2026-03-31 23:59:58.123456789", "2026-03-31T23:59:58.123456"),
        ("2026/3/1 9:05", "2026-03-01T09:05:00"),
        ("2026-3-1", "2026-03-01T00:00:00"),
        ("2026-03-31 23:59:58,25", "2026-03-31T23:59:58.250000"),
        ("20260331.0", "2026-03-31T00:00:00"),
        ("　２０２６-03-31 10:00 ", "2026-03-31T10:00:00"),
        ("2024-02-29", "2024-02-29T00:00:00"),
    ],
)
@pytest.mark.parametrize("zone", [SHANGHAI, NEW_YORK])
def test_a_time_without_an_offset_is_local(cell: str, wall: str, zone: str) -> None:
    moments = read(zone, cell)
    assert not moments.unreadable[0]
    local = datetime.fromisoformat(wall).replace(tzinfo=ZoneInfo(zone))
    assert moments.day[0] == days(local.year, local.month, local.day)
    assert moments.instant[0] == micros(local)


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("2026-03-31T23:59:58Z", datetime(2026, 3, 31, 23, 59, 58, tzinfo=UTC)),
        ("2026-03-31 23:59:58.25z", datetime(2026, 3, 31, 23, 59, 58, 250_000, tzinfo=UTC)),
        ("2026-03-31T23:59+08:00", datetime(2026, 3, 31, 15, 59, tzinfo=UTC)),
        ("2026-03-31T00:10:00-0330", datetime(2026, 3, 31, 3, 40, tzinfo=UTC)),
        ("2026-03-31 00:10:00 +08", datetime(2026, 3, 30, 16, 10, tzinfo=UTC)),
        ("1772940000", datetime.fromtimestamp(1_772_940_000, UTC)),
        ("1772940000125", datetime.fromtimestamp(1_772_940_000, UTC) + timedelta(milliseconds=125)),
        ("1772940000.0", datetime.fromtimestamp(1_772_940_000, UTC)),
    ],
)
@pytest.mark.parametrize("zone", [SHANGHAI, NEW_YORK])
def test_a_time_with_an_offset_comes_to_the_zone(cell: str, moment: datetime, zone: str) -> None:
    moments = read(zone, cell)
    assert moments.instant[0] == micros(moment)
    local = moment.astimezone(ZoneInfo(zone))
    assert moments.day[0] == days(local.year, local.month, local.day)


def test_the_day_is_the_contracts_at_month_ends_and_new_year() -> None:
    cells = ["2025-12-31T16:00:00Z", "2025-12-31T15:59:59Z", "2026-02-28T20:00:00Z", "2026-01-01T04:59:59Z"]
    assert read(SHANGHAI, *cells).day.tolist() == [
        days(2026, 1, 1), days(2025, 12, 31), days(2026, 3, 1), days(2026, 1, 1)
    ]  # fmt: skip
    assert read(NEW_YORK, *cells).day.tolist() == [
        days(2025, 12, 31), days(2025, 12, 31), days(2026, 2, 28), days(2025, 12, 31)
    ]  # fmt: skip


def test_days_around_both_changes_of_the_clock() -> None:
    # 2026-03-08 has 23 hours in New York, 2026-11-01 has 25.
    spring = ["2026-03-08T04:59:59Z", "2026-03-08T05:00:00Z", "2026-03-09T03:59:59Z", "2026-03-09T04:00:00Z"]
    assert (read(NEW_YORK, *spring).day - days(2026, 3, 8)).tolist() == [-1, 0, 0, 1]
    autumn = ["2026-11-01T03:59:59Z", "2026-11-01T04:00:00Z", "2026-11-02T04:59:59Z", "2026-11-02T05:00:00Z"]
    assert (read(NEW_YORK, *autumn).day - days(2026, 11, 1)).tolist() == [-1, 0, 0, 1]


def test_an_hour_that_a_clock_shows_twice_or_not_at_all() -> None:
    twice, skipped = read(NEW_YORK, "2026-11-01 01:30:00", "2026-03-08 02:30:00").instant.tolist()
    assert twice == micros(datetime(2026, 11, 1, 5, 30, tzinfo=UTC))
    assert skipped == micros(datetime(2026, 3, 8, 7, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    "cell",
    [
        "soon", "99", "2026-02-29", "2026-13-01", "2026-00-10", "2026-01-00", "2026-01-01 24:00:00",
        "2026-01-01 10:60:00", "2026-01-01 10:00:61", "2026-01-01T10:00:00+24:00", "2026-01-01T10:00:00+08:60",
        "0000-01-01", "2026-01/01", "2026-01-01T", "01/02/2026", "20261301", "20260101246000", "2026-01-01 10",
        "17729400001", "-1772940000", "2026-01-01 10:00:00 CST", "1772940000.5", "2026-01-01T10:00:00.",
    ],
)  # fmt: skip
def test_what_is_no_time(cell: str) -> None:
    moments = read(SHANGHAI, cell)
    assert moments.filled[0]
    assert moments.unreadable[0]
    assert (moments.instant[0], moments.day[0]) == (NO_MOMENT, 0)


def test_an_empty_cell_is_not_unreadable() -> None:
    moments = read(SHANGHAI, None, "", "   ", "2026-01-01")
    assert moments.filled.tolist() == [False, False, False, True]
    assert not moments.unreadable.any()
    assert moments.instant[:3].tolist() == [NO_MOMENT] * 3
    assert len(read(SHANGHAI).day) == 0


@pytest.mark.parametrize("zone", [SHANGHAI, NEW_YORK, "Asia/Kathmandu", "Pacific/Kiritimati"])
def test_the_ends_of_the_calendar_are_read(zone: str) -> None:
    moments = read(
        zone, "0001-01-01", "9999-12-31 23:59:59", "0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-12:00"
    )
    assert not moments.unreadable.any()
    assert moments.day[:2].tolist() == [days(1, 1, 1), days(9999, 12, 31)]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.datetimes(datetime.fromisoformat("1990-01-01"), datetime.fromisoformat("2100-01-01")),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from([SHANGHAI, NEW_YORK, "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    st.integers(-14 * 60, 14 * 60),
)
def test_mixed_spellings_are_read_as_python_reads_them(
    walls: list[datetime], zone: str, minutes: int
) -> None:
    away = timezone(timedelta(minutes=minutes))
    cells, moments = [], []
    for number, wall in enumerate(walls):
        aware = wall.replace(tzinfo=away if number % 2 else ZoneInfo(zone))
        cells.append(aware.isoformat() if number % 2 else wall.isoformat(sep=" "))
        moments.append(aware.astimezone(UTC))
    found = read(zone, *cells)
    assert found.instant.tolist() == [micros(moment) for moment in moments]
    skipped = [
        # A wall time that the zone skips stays on the day that it names.
        days(wall.year, wall.month, wall.day)
        for wall in walls
    ]
    local = [moment.astimezone(ZoneInfo(zone)) for moment in moments]
    expected = [
        days(each.year, each.month, each.day) if number % 2 else skipped[number]
        for number, each in enumerate(local)
    ]
    assert found.day.tolist() == expected


def test_a_repr_shows_no_time() -> None:
    moments = read(SHANGHAI, "2026-01-01", "x")
    assert repr(moments) == "Moments(2 rows, 1 unreadable)"
    assert np.array_equal(moments.unreadable, [False, True])
