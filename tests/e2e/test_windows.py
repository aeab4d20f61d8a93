"""Days at the edges of a window, across clock changes and month ends, in both directions.

One cell per lag, with a handful of persons, no thresholds, and outcomes a second to either side of midnight on the
contract's calendar: whoever counted hours instead of days, or days of another zone, would miss or add some.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from tests.e2e.sum_data import Row, phone, write_rows
from tests.e2e.sum_oracle import SumOracle
from tests.e2e.sum_roles import run_in_process

ZONE: Final = "America/New_York"
DAYS: Final = 7
LAGS: Final = (-1, 0, DAYS, DAYS + 1)
PERSONS: Final = 3
MIDNIGHT, LAST_SECOND = datetime.time(0, 0, 0), datetime.time(23, 59, 59)


@dataclass(frozen=True, slots=True)
class Season:
    """A first exposure day with what lies in the window after it."""

    name: str
    exposed: datetime.date


# Clocks go forward on 8 March and back on 1 November 2026; February has 28 days.
SEASONS: Final = (
    Season("spring, at the change", datetime.date(2026, 3, 1)),
    Season("spring, over the month's end", datetime.date(2026, 2, 26)),
    Season("spring, on the day after the change", datetime.date(2026, 3, 9)),
    Season("autumn, over the change", datetime.date(2026, 10, 28)),
    Season("autumn, on the day of the change", datetime.date(2026, 11, 1)),
)


def local(day: datetime.date, time: datetime.time, spelling: int) -> str:
    """A local time of the zone, written with another offset, as an instant or plainly."""
    moment = datetime.datetime.combine(day, time, ZoneInfo(ZONE))
    match spelling % 4:
        case 0:
            return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case 1:
            return moment.astimezone(ZoneInfo("Asia/Shanghai")).isoformat()
        case 2:
            return str(int(moment.timestamp()))
        case _:
            return f"{moment:%Y-%m-%d %H:%M:%S}"


def make_files(folder: Path, exposure: str, value_holder: str) -> dict[str, Path]:
    """Per season and lag a cell of three persons; each was exposed twice, and has one outcome at midnight's edge."""
    values: list[Row] = []
    groups: list[Row] = []
    person = 0
    for season in SEASONS:
        again = season.exposed + datetime.timedelta(days=3)
        counted = season.exposed if exposure == "first" else again
        for lag in LAGS:
            for _ in range(PERSONS):
                person += 1
                outcome = counted + datetime.timedelta(days=lag)
                edge = LAST_SECOND if lag in (-1, DAYS) else MIDNIGHT
                label = f"{season.name}, {lag}"
                # On the day itself the outcome may come before the exposure: days count, not hours.
                for day, time in ((season.exposed, LAST_SECOND), (again, MIDNIGHT)):
                    row = {"phone": phone(person), "cell": label, "exposed_at": local(day, time, person)}
                    groups.append(row)
                amount = f"{person}.{lag % 10}0"
                row = {"mobile": phone(person), "at": local(outcome, edge, person + 1), "amount": amount}
                values.append(row)
    group_holder = "platform" if value_holder == "bank" else "bank"
    groups.reverse()
    return {
        value_holder: write_rows(folder / f"{value_holder}.csv", values),
        group_holder: write_rows(folder / f"{group_holder}.csv", groups),
    }


def job(exposure: str, value_holder: str) -> dict[str, Any]:
    """The job: no thresholds, so that three persons show."""
    group_holder = "platform" if value_holder == "bank" else "bank"
    return {
        "kind": "measure",
        "purpose": "test",
        "identifier": "phone",
        "value_holder": value_holder,
        value_holder: {
            "identifier": "mobile",
            "time": "at",
            "values": {"amount": {"max": 1_000, "scale": 100}},
        },
        group_holder: {"identifier": "phone", "time": "exposed_at", "groups": ["cell"]},
        "window": {"days": DAYS, "exposure": exposure, "timezone": ZONE},
        "policy": {"min_group": 1, "min_converters": 1, "dominance": 0},
    }


@pytest.mark.parametrize("value_holder", ["bank", "platform"])
@pytest.mark.parametrize("exposure", ["first", "last"])
def test_days_count_by_the_calendar_of_the_contract(tmp_path: Path, exposure: str, value_holder: str) -> None:
    data = make_files(tmp_path, exposure, value_holder)
    table = job(exposure, value_holder)
    result = run_in_process(table, data, tmp_path).result
    told = {row["group"]["cell"]: row for row in result["groups"]}
    assert len(told) == len(SEASONS) * len(LAGS)
    first = 1
    for season in SEASONS:
        for lag in LAGS:
            row = told[f"{season.name}, {lag}"]
            assert row["persons"] == PERSONS
            if 0 <= lag <= DAYS:
                amounts = 100 * sum(range(first, first + PERSONS)) + 10 * PERSONS * (lag % 10)
                assert (row["matched"], row["converters"], row["conversions"]) == (PERSONS,) * 3
                assert row["sums"]["amount"] == f"{amounts // 100}.{amounts % 100:02d}"
            else:
                # No converter at all: the threshold of one withholds the cell.
                assert row["withheld"] == "below_min_converters"
                assert row["converters"] is None
            first += PERSONS
    oracle = SumOracle(table, data["bank"], data["platform"])
    converters = {cell.label: cell.figures["converters"] for cell in oracle.cells}
    for season in SEASONS:
        for lag in LAGS:
            assert converters[(f"{season.name}, {lag}",)] == (PERSONS if 0 <= lag <= DAYS else 0)
