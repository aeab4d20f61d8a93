"""Dirty pairs of files for grouped sums, with the job that is asked over them; everything follows from the seed.

Fifty seeds together go through every kind, both directions, windows or none, first and last exposure, both bases
and all readers. The dirt is what such files have: several spellings of a number, people in several rows on both
sides, cells that are empty or unreadable, refunds, amounts beyond their bounds, outcomes before and after the window.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

KINDS: Final = ("measure", "lift", "funnel", "profile")
FIRST_DAY: Final = datetime(2026, 2, 20)  # noqa: DTZ001 - local in whatever zone a job has
EXPOSURE_DAYS: Final = 12
_JUNK_IDENTIFIERS: Final = ("", "-", "12345", "unknown", "#REF!", "00000000000")
_JUNK_TIMES: Final = ("soon", "2026-13-01", "2026-02-30 10:00:00", "99")
_JUNK_AMOUNTS: Final = ("n/a", "12,5,0", "1.2.3", "--5")
_YES: Final = ("1", "true", "Yes", "TRUE")
_NO: Final = ("0", "", "no", "false")
_CAMPAIGNS: Final = ("spring", "card", "新客", "spring ", "")
_CREATIVES: Final = ("video", "banner", "story")
_TAGS: Final = {
    "city": ("beijing", "shanghai", "成都", ""),
    "life_stage": ("student", "parent", "retired"),
}

Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """One job over two files: ``table`` is the parsed job file, paths are those of the two data files."""

    seed: int
    table: dict[str, Any]
    bank: Path
    platform: Path

    @property
    def kind(self) -> str:
        """The job's kind."""
        return str(self.table["kind"])

    @property
    def value_holder(self) -> str:
        """The side that holds the values."""
        return str(self.table["value_holder"])

    @property
    def group_holder(self) -> str:
        """The side that holds the groups."""
        return "platform" if self.value_holder == "bank" else "bank"


def phone(person: int) -> str:
    """The mobile number of a person, another one for each."""
    return f"1{3 + person % 7}{(person * 7_919 + 104_729) % 10**9:09d}"


def spelt(number: str, draw: random.Random) -> str:
    """A mobile number as somebody may have typed it."""
    return draw.choice(
        (
            number, number, number, f" {number} ", f"+86{number}", f"0086 {number}",
            f"{number[:3]}-{number[3:7]}-{number[7:]}", f"86{number}", f"{number}.0",
        )
    )  # fmt: skip


def written(moment: datetime, zone: str, draw: random.Random) -> str:
    """A local time of ``zone`` in one of the spellings that files have."""
    aware = moment.replace(tzinfo=ZoneInfo(zone))
    match draw.randrange(10):
        case 0:
            return f"{moment:%Y-%m-%dT%H:%M:%S}"
        case 1:
            return f"{moment:%Y-%m-%d %H:%M:%S}.250"
        case 2:
            return f"{aware.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"
        case 3:
            return aware.isoformat()
        case 4:
            return f"{moment:%Y/%m/%d %H:%M:%S}"
        case 5:
            return f"{moment:%Y%m%d%H%M%S}"
        case 6:
            return str(int(aware.timestamp()))
        case 7:
            return str(int(aware.timestamp()) * 1_000)
        case _:
            return f"{moment:%Y-%m-%d %H:%M:%S}"


def amount(low: int, high: int, scale: int, draw: random.Random) -> str:
    """An amount in the column's unit: mostly within ``low`` and ``high`` (in that unit), sometimes beyond."""
    if draw.random() < 0.06:
        units = draw.choice((high * scale + draw.randrange(1, 500), low * scale - draw.randrange(1, 500)))
    else:
        units = draw.randint(low * scale, high * scale)
    sign, whole, part = "-" if units < 0 else "", *divmod(abs(units), scale)
    digits = len(str(scale)) - 1
    return f"{sign}{whole}.{part:0{digits}d}" if digits else f"{sign}{whole}"


def write_rows(path: Path, rows: Sequence[Row]) -> Path:
    """Write rows of text as CSV or Parquet, by the name's end."""
    names = list(rows[0])
    if path.suffix == ".parquet":
        pq.write_table(
            pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in names}), path
        )
        return path
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def make_case(folder: Path, seed: int) -> Case:
    """Draw a job from ``seed`` and write its two files into ``folder``, which exists."""
    draw = random.Random(seed)
    table = _job(seed, draw)
    zone = table.get("window", {}).get("timezone", "Asia/Shanghai")
    value_holder = table["value_holder"]
    group_holder = "platform" if value_holder == "bank" else "bank"
    size = draw.randint(500, 800)
    common = int(size * draw.uniform(0.5, 0.8))
    value_persons = range(size)
    group_persons = range(size - common, 2 * size - common)
    extension = draw.choice(("csv", "csv", "parquet"))
    rows = {
        value_holder: value_rows(table[value_holder], table["kind"], value_persons, zone, draw),
        group_holder: group_rows(table[group_holder], table["kind"], group_persons, zone, draw),
    }
    paths = {side: write_rows(folder / f"{side}.{extension}", rows[side]) for side in rows}
    return Case(seed, table, paths["bank"], paths["platform"])


def _job(seed: int, draw: random.Random) -> dict[str, Any]:
    """The job of a seed: kind and direction in turn, the rest drawn."""
    kind = KINDS[seed % 4]
    value_holder = ("bank", "platform")[seed // 4 % 2]
    group_holder = ("bank", "platform")[value_holder == "bank"]
    table: dict[str, Any] = {
        "kind": kind,
        "purpose": "test",
        "identifier": "phone",
        "receiver": ("bank", "platform", "both")[seed % 3],
        "value_holder": value_holder,
    }
    values: dict[str, Any] = {"identifier": "mobile"}
    groups: dict[str, Any] = {"identifier": "phone", "keep": draw.choice(("first", "last"))}
    policy: dict[str, Any] = {"min_group": draw.choice((12, 20, 30)), "dominance": draw.choice((3, 10))}
    if draw.random() < 0.8:
        groups["groups"] = draw.choice((["campaign"], ["creative"], ["campaign", "creative"]))
    if kind == "profile":
        values |= {
            "tags": draw.choice((["city"], ["city", "life_stage"])),
            "keep": draw.choice(("first", "last")),
        }
    else:
        table["base"] = ("converters", "customers")[seed // 8 % 2]
        policy |= {"min_converters": draw.choice((3, 5)), "max_rows": draw.choice((2, 3, 100))}
        if kind != "funnel" or draw.random() < 0.5:
            values["values"] = _values(draw)
            policy["outside"] = draw.choice(("clip", "reject"))
        if draw.random() < 0.8:
            groups["cost"] = "cost"
        if kind == "funnel":
            values["stages"] = ["bound", "activated", "drawn"][: draw.randint(1, 3)]
            groups["stages"] = ["exposed", "clicked"]
        if draw.random() < 0.65:
            values["time"], groups["time"] = "converted_at", "exposed_at"
            table["window"] = {
                "days": draw.choice((0, 4, 7, 12)),
                "exposure": draw.choice(("first", "last")),
                "timezone": draw.choice(("Asia/Shanghai", "America/New_York")),
            }
            if kind == "funnel" and draw.random() < 0.6:
                table["window"]["retention_days"] = draw.choice((2, 5))
        else:
            if draw.random() < 0.5:
                values["time"] = "converted_at"
            if draw.random() < 0.5:
                groups["time"] = "exposed_at"
        if kind == "lift":
            table["arms"] = {"column": "arm", "control": "control", "control_share": 0.5}
    return table | {value_holder: values, group_holder: groups, "policy": policy}


def _values(draw: random.Random) -> dict[str, Any]:
    """Up to three value columns: an amount with refunds, points without decimals, a fee."""
    chosen = {
        "amount": {"min": -200, "max": 900, "scale": 100},
        "points": {"max": 50, "scale": 1},
        "fee": {"max": 20, "scale": 1_000},
    }
    return dict(list(chosen.items())[: draw.randint(1, 3)])


def value_rows(side: dict[str, Any], kind: str, persons: range, zone: str, draw: random.Random) -> list[Row]:
    """The value holder's rows: nobody, one or several outcomes for each person, in random order."""
    rows = []
    for person in persons:
        for _ in range(draw.choices((1, 2, 3, 5), (70, 15, 10, 5))[0]):
            rows.append(_value_row(side, kind, person, zone, draw))
    draw.shuffle(rows)
    return rows


def _value_row(side: dict[str, Any], kind: str, person: int, zone: str, draw: random.Random) -> Row:
    identifier = spelt(phone(person), draw) if draw.random() > 0.02 else draw.choice(_JUNK_IDENTIFIERS)
    row = {side["identifier"]: identifier, "note": 'a "quoted", cell'}
    if kind == "profile":
        return row | {name: draw.choice(values) for name, values in _TAGS.items()}
    converts = draw.random() < 0.55
    moment = FIRST_DAY + timedelta(days=draw.randrange(-3, EXPOSURE_DAYS + 6), seconds=draw.randrange(86_400))
    row["converted_at"] = _dirty(written(moment, zone, draw), _JUNK_TIMES, converts, draw)
    for name, bounds in side.get("values", {}).items():
        cell = amount(bounds.get("min", 0), bounds["max"], bounds["scale"], draw)
        row[name] = _dirty(cell, _JUNK_AMOUNTS, converts, draw)
    reached = draw.randint(0, 3) if converts else 0
    for place, name in enumerate(("bound", "activated", "drawn"), start=1):
        # Files skip stages: a person who drew down has reached what comes before, whatever its cell says.
        flag = reached >= place and draw.random() < 0.9
        row[name] = draw.choice(_YES if flag else _NO) if draw.random() > 0.01 else "maybe"
    return row


def _dirty(cell: str, junk: Sequence[str], filled: bool, draw: random.Random) -> str:
    """A cell that is empty where it should be, and now and then where it should not; some are junk."""
    if not filled or draw.random() < 0.05:
        return ""
    if draw.random() < 0.02:
        return draw.choice(junk)
    return f" {cell} " if draw.random() < 0.05 else cell


def group_rows(side: dict[str, Any], kind: str, persons: range, zone: str, draw: random.Random) -> list[Row]:
    """The group holder's rows: one or several exposures for each person, in random order."""
    rows = []
    for person in persons:
        for _ in range(draw.choices((1, 2, 4), (75, 15, 10))[0]):
            rows.append(_group_row(side, person, zone, draw))
    draw.shuffle(rows)
    return rows


def _group_row(side: dict[str, Any], person: int, zone: str, draw: random.Random) -> Row:
    identifier = spelt(phone(person), draw) if draw.random() > 0.02 else draw.choice(_JUNK_IDENTIFIERS)
    # Early days are frequent and late ones rare, so that days have to be merged.
    day = min(draw.randrange(EXPOSURE_DAYS), draw.randrange(EXPOSURE_DAYS))
    moment = FIRST_DAY + timedelta(days=day, seconds=draw.randrange(86_400))
    time = written(moment, zone, draw) if draw.random() > 0.03 else draw.choice(("", *_JUNK_TIMES))
    stage = draw.choices((0, 1, 2), (30, 40, 30))[0]
    label = draw.choices(_CAMPAIGNS, (50, 30, 10, 5, 2))[0] if draw.random() > 0.01 else '=HYPERLINK("x")'
    return {
        side["identifier"]: identifier,
        "exposed_at": time,
        "arm": draw.choice(("control", "test")),
        "campaign": label,
        "creative": draw.choices(_CREATIVES, (60, 35, 5))[0],
        "exposed": draw.choice(_YES if stage >= 1 and draw.random() < 0.9 else _NO),
        "clicked": draw.choice(_YES if stage == 2 else _NO),
        "cost": draw.choice(("0.05", "1.25", "0", "", "0.1234")),
    }
