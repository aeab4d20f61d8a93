"""When recurring jobs are due: month ends, leap years, clocks that skip an hour, have one twice, or lose a day."""

from __future__ import annotations

import datetime
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from party.recurrence import Recurrence, Rhythm, parse_recurrence
from psi.errors import UsageError

UTC = datetime.UTC
SHANGHAI = "Asia/Shanghai"


def times(text: str, zone: str, after: str, count: int) -> list[str]:
    """The first due times after the wall time ``after``, as wall times of the zone with their offset."""
    recurrence = parse_recurrence(text, zone)
    moment = datetime.datetime.fromisoformat(after).replace(tzinfo=recurrence.zone)
    found = []
    for _ in range(count):
        moment = recurrence.following(moment)
        found.append(f"{moment.astimezone(recurrence.zone):%Y-%m-%d %H:%M %z}")
    return found


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("monthly on 1 at 06:00", "monthly on 1 at 06:00"),
        ("Monthly on 15, 1", "monthly on 1, 15 at 06:00"),
        ("monthly on 1 and 15 at 7:05", "monthly on 1, 15 at 07:05"),
        ("monthly on last at 23:59", "monthly on last at 23:59"),
        ("monthly on 31", "monthly on last at 06:00"),
        ("weekly on mon", "weekly on mon at 06:00"),
        ("weekly on  Thursday , mon,mon at 18:00", "weekly on mon, thu at 18:00"),
        ("weekly on tues wed sat sun fri", "weekly on tue, wed, fri, sat, sun at 06:00"),
        ("daily", "daily at 06:00"),
        ("daily at 00:00", "daily at 00:00"),
        ("every 4 hours", "every 4 hours"),
        ("6 hours", "every 6 hours"),
        ("1 hour", "every hour"),
        ("hourly", "every hour"),
    ],
)
def test_what_is_written_is_read_and_shown_in_the_same_words(text: str, plain: str) -> None:
    found = parse_recurrence(text, SHANGHAI)
    assert str(found) == plain
    assert parse_recurrence(plain, SHANGHAI) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "can't be read"),
        ("monthly", "does not say on which day"),
        ("weekly at 06:00", "does not say on which day"),
        ("monthly on 0", "names a day"),
        ("monthly on 32", "names a day"),
        ("monthly on mon", "names a day"),
        ("weekly on 1", "names a day"),
        ("weekly on mo", "names a day"),
        ("weekly on monkey", "names a day"),
        ("daily on mon", "can't be read"),
        ("daily at 24:00", "no time of the day"),
        ("daily at 12:60", "no time of the day"),
        ("daily at noon", "can't be read"),
        ("every 0 hours", "every 0 hours"),
        ("every 169 hours", "every 169 hours"),
        ("every 5 minutes", "can't be read"),
        ("0 6 1 * *", "can't be read"),
        ("daily\x00", "can't be read"),
    ],
)
def test_what_cannot_be_read_is_said_with_examples(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        parse_recurrence(text, SHANGHAI)
    assert caught.value.hint
    assert "\x00" not in caught.value.message


@pytest.mark.parametrize("zone", ["Asia/Shangai", "", "../etc/passwd", "Mars/\nOlympus", "x" * 500])
def test_a_zone_that_is_not_there_is_named(zone: str) -> None:
    with pytest.raises(UsageError, match="no time zone") as caught:
        parse_recurrence("daily", zone)
    assert "\n" not in caught.value.message
    assert "Asia/Shanghai" in caught.value.hint


def test_a_month_without_the_day_has_its_last() -> None:
    assert [each[:10] for each in times("monthly on 30, 31", SHANGHAI, "2028-01-01", 6)] == [
        *("2028-01-30", "2028-01-31", "2028-02-29", "2028-03-30", "2028-03-31", "2028-04-30"),
    ]
    assert [each[:10] for each in times("monthly on 29", SHANGHAI, "2027-02-01", 2)] == [
        *("2027-02-28", "2027-03-29"),
    ]
    assert [each[:10] for each in times("monthly on 15, last", SHANGHAI, "2027-02-14", 3)] == [
        *("2027-02-15", "2027-02-28", "2027-03-15"),
    ]


def test_weeks_go_over_the_ends_of_years() -> None:
    assert [each[:10] for each in times("weekly on mon, fri", SHANGHAI, "2026-12-27", 4)] == [
        *("2026-12-28", "2027-01-01", "2027-01-04", "2027-01-08"),
    ]


def test_a_due_time_itself_is_not_after_itself() -> None:
    assert times("daily at 06:00", SHANGHAI, "2027-01-01 06:00", 1) == ["2027-01-02 06:00 +0800"]
    assert times("daily at 06:00", SHANGHAI, "2027-01-01 05:59:59", 1) == ["2027-01-01 06:00 +0800"]


def test_a_time_that_the_clock_skips_is_as_much_later() -> None:
    # 28 March 2027: from 02:00 to 03:00.
    assert times("daily at 02:30", "Europe/Berlin", "2027-03-26 12:00", 3) == [
        *("2027-03-27 02:30 +0100", "2027-03-28 03:30 +0200", "2027-03-29 02:30 +0200"),
    ]
    # Around midnight, and by half an hour.
    assert times("daily at 00:00", "America/Havana", "2027-03-13 12:00", 2) == [
        *("2027-03-14 01:00 -0400", "2027-03-15 00:00 -0400"),
    ]
    assert times("daily at 02:15", "Australia/Lord_Howe", "2027-10-02 12:00", 2) == [
        *("2027-10-03 02:45 +1100", "2027-10-04 02:15 +1100"),
    ]


def test_a_time_that_comes_twice_is_due_once() -> None:
    # 31 October 2027: 02:30 is there at +0200 and at +0100.
    assert times("daily at 02:30", "Europe/Berlin", "2027-10-30 12:00", 2) == [
        *("2027-10-31 02:30 +0200", "2027-11-01 02:30 +0100"),
    ]
    between = datetime.datetime(2027, 10, 31, 0, 45, tzinfo=UTC)
    assert parse_recurrence("daily at 02:30", "Europe/Berlin").following(between).day == 1


def test_a_day_that_is_not_there_is_not_due_twice() -> None:
    # Samoa went over the date line and had no 30 December 2011.
    assert times("daily at 06:00", "Pacific/Apia", "2011-12-29 00:00", 4) == [
        *(
            "2011-12-29 06:00 -1000",
            "2011-12-31 06:00 +1400",
            "2012-01-01 06:00 +1400",
            "2012-01-02 06:00 +1400",
        ),
    ]


def test_hours_stay_as_far_apart_where_the_clock_changes() -> None:
    assert times("every 6 hours", SHANGHAI, "2027-01-01 05:00", 3) == [
        *("2027-01-01 06:00 +0800", "2027-01-01 12:00 +0800", "2027-01-01 18:00 +0800"),
    ]
    assert times("every 12 hours", "Europe/Berlin", "2027-03-27 12:00", 3) == [
        *("2027-03-28 00:00 +0100", "2027-03-28 13:00 +0200", "2027-03-29 01:00 +0200"),
    ]
    assert times("every 168 hours", SHANGHAI, "2027-01-01", 1)[0].startswith("2027-01-04 00:00")  # a Monday


recurrences = st.builds(
    lambda rhythm, zone, days, at, hours: Recurrence(
        rhythm,
        zone,
        {"weekly": tuple(sorted({day % 7 for day in days})), "monthly": tuple(sorted(days))}.get(rhythm, ()),
        datetime.time(6) if rhythm == "hours" else at,
        hours if rhythm == "hours" else 0,
    ),
    st.sampled_from(Rhythm),
    st.sampled_from(sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})),
    st.sets(st.integers(1, 31), min_size=1, max_size=4),
    st.builds(datetime.time, st.integers(0, 23), st.integers(0, 59)),
    st.integers(1, 168),
)
moments = st.integers(631_152_000, 2_840_140_800).map(lambda at: datetime.datetime.fromtimestamp(at, UTC))
LONGEST = {
    Rhythm.HOURS: datetime.timedelta(hours=168),
    # A clock that goes back may put a day between two times of following days.
    Rhythm.DAILY: datetime.timedelta(days=2, hours=2),
    Rhythm.WEEKLY: datetime.timedelta(days=8),
    Rhythm.MONTHLY: datetime.timedelta(days=32),
}


@given(recurrences, moments)
def test_the_next_time_is_later_near_and_the_only_one_in_between(
    recurrence: Recurrence, moment: datetime.datetime
) -> None:
    due = recurrence.following(moment)
    assert due > moment
    assert due - moment <= LONGEST[recurrence.rhythm]
    # From any moment before it, it is the same.
    assert recurrence.following(moment + (due - moment) / 2) == due
    assert recurrence.following(due - datetime.timedelta(microseconds=1)) == due
    assert parse_recurrence(str(recurrence), recurrence.timezone) == recurrence
