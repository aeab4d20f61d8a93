"""A synthetic campaign with a known effect: two files for trying out measure, lift, funnel and profile.

Everything follows from the seed. What is planted is named by the constants below, so that a report can be held
against the truth; nobody's number is used on purpose.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

# Of all persons of the platform, the share that the bank knows too.
OVERLAP: Final = 0.7
CONTROL_SHARE: Final = 0.5
# Share of the control arm's persons who bind a card in the window, and what each creative adds to it.
CONTROL_RATE: Final = 0.04
CREATIVE_LIFT: Final = {"video": 0.6, "banner": 0.4, "story": 0.2}
LIFT: Final = 0.4
# Of those who bind: who activates, who draws down after that, and who is active again later.
ACTIVATE_SHARE: Final = 0.6
DRAW_SHARE: Final = 0.5
RETURN_SHARE: Final = 0.35
# Of the test arm: who sees the offer, and who of these clicks it. A showing costs, a click costs more.
EXPOSED_SHARE: Final = 0.8
CLICK_SHARE: Final = 0.15
COST_SHOWN: Final = 0.5
COST_CLICKED: Final = 2.0
# Amounts are lognormal with this mean and sigma, cut at the most.
MEAN_AMOUNT: Final = 300.0
SIGMA_AMOUNT: Final = 0.6
MOST_AMOUNT: Final = 5_000.0
EXPOSURE_DAYS: Final = 14
WINDOW_DAYS: Final = 7

_FIRST_DAY: Final = np.datetime64("2026-03-01T00:00:00", "s")
_DAY: Final = 86_400
_SEGMENTS: Final = ("mass", "affluent", "private")
_INTERESTS: Final = ("travel", "games", "cooking", "fitness")
_CITIES: Final = ("beijing", "shanghai", "chengdu", "xian")
# How much more often the bank's better segments like to travel than others: what the profile shows.
_TRAVEL: Final = (0.2, 0.4, 0.6)
_NUMBERS: Final = 7 * 10**9  # 1[3-9] and nine digits
_STRIDE: Final = 4_294_967_311  # a prime that _NUMBERS has not, so that distinct persons get distinct numbers

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Campaign:
    """The two files, and how many persons each has."""

    bank: Path
    platform: Path
    bank_persons: int
    platform_persons: int
    common_persons: int


@dataclass(frozen=True, slots=True)
class _People:
    """The platform's persons, one entry each: who they are and what happened to them."""

    person: Ints
    test: Bools
    creative: Ints
    day: Ints
    exposed: Bools
    clicked: Bools
    common: Bools
    converts: Bools
    segment: Ints
    interest: Ints


def make_campaign(folder: Path, persons: int = 20_000, *, seed: int = 1) -> Campaign:
    """Write ``bank.csv`` and ``platform.csv`` into an existing folder; ``persons`` is the number of persons per side.

    Columns of the bank: ``mobile``, ``segment``, ``converted_at``, ``amount``, ``bound``, ``activated``,
    ``drawn``; one row per outcome, one without outcome for everybody else. Columns of the platform: ``phone``,
    ``arm``, ``creative``, ``exposed_at`` (in both arms the time of assignment), ``exposed``, ``clicked``, ``cost``,
    ``interest``, ``city``; some persons have a second row, days later.
    """
    random = np.random.default_rng(seed)
    people = _people(persons, random)
    common = int(people.common.sum())
    bank, platform = folder / "bank.csv", folder / "platform.csv"
    # Customers of the bank alone, so that both sides have equally many.
    others = np.arange(persons, 2 * persons - common, dtype=np.int64)
    _write(
        bank,
        ("mobile", "segment", "converted_at", "amount", "bound", "activated", "drawn"),
        [*_bank_rows(people, seed, random), *_other_rows(others, seed, random)],
        random,
    )
    _write(
        platform,
        ("phone", "arm", "creative", "exposed_at", "exposed", "clicked", "cost", "interest", "city"),
        list(_platform_rows(people, seed, random)),
        random,
    )
    return Campaign(bank, platform, persons, persons, common)


def _people(persons: int, random: np.random.Generator) -> _People:
    """Draw everybody's part in the campaign. Only customers of the bank can convert."""
    test = random.random(persons) >= CONTROL_SHARE
    creative = random.integers(0, len(CREATIVE_LIFT), persons)
    common = random.permutation(persons) < round(persons * OVERLAP)
    lift = np.where(test, np.array(list(CREATIVE_LIFT.values()))[creative], 0.0)
    exposed = test & (random.random(persons) < EXPOSED_SHARE)
    segment = random.choice(3, persons, p=(0.6, 0.3, 0.1))
    travels = random.random(persons) < np.array(_TRAVEL)[segment]
    return _People(
        person=np.arange(persons, dtype=np.int64),
        test=test,
        creative=creative,
        day=random.integers(0, EXPOSURE_DAYS, persons),
        exposed=exposed,
        clicked=exposed & (random.random(persons) < CLICK_SHARE),
        common=common,
        converts=common & (random.random(persons) < CONTROL_RATE / OVERLAP * (1.0 + lift)),
        segment=segment,
        interest=np.where(travels, 0, random.integers(1, len(_INTERESTS), persons)),
    )


def _bank_rows(people: _People, seed: int, random: np.random.Generator) -> Iterator[Row]:
    """Everybody whom both sides know: conversions in the window, some before it, and returns after it."""
    for place in np.flatnonzero(people.common).tolist():
        mobile = _number(int(people.person[place]), seed)
        segment, day = _SEGMENTS[people.segment[place]], int(people.day[place])
        if random.random() < 0.01:
            # A conversion from before the campaign, which no window may count.
            yield (mobile, segment, *_outcome(day - int(random.integers(1, 6)), random))
        if not people.converts[place]:
            yield mobile, segment, "", "", 0, 0, 0
            continue
        converted = day + int(random.integers(0, WINDOW_DAYS + 1))
        yield (mobile, segment, *_outcome(converted, random))
        if random.random() < RETURN_SHARE:
            yield (mobile, segment, *_outcome(converted + int(random.integers(10, 20)), random))


def _other_rows(others: Ints, seed: int, random: np.random.Generator) -> Iterator[Row]:
    """The bank's customers who are not on the platform; they convert as often as control persons do."""
    for person in others.tolist():
        mobile, segment = _number(person, seed), _SEGMENTS[random.choice(3, p=(0.6, 0.3, 0.1))]
        if random.random() < CONTROL_RATE:
            yield (mobile, segment, *_outcome(int(random.integers(0, EXPOSURE_DAYS)), random))
        else:
            yield mobile, segment, "", "", 0, 0, 0


def _outcome(day: int, random: np.random.Generator) -> Row:
    """One conversion on ``day`` of the campaign: time, amount, stages."""
    drawn = np.exp(random.normal(np.log(MEAN_AMOUNT) - SIGMA_AMOUNT**2 / 2, SIGMA_AMOUNT))
    activated = random.random() < ACTIVATE_SHARE
    return (
        # In the last hour, so that a conversion on the day of the exposure comes after it.
        _time(day, int(random.integers(82_800, _DAY))),
        f"{min(drawn, MOST_AMOUNT):.2f}",
        1,
        int(activated),
        int(activated and random.random() < DRAW_SHARE),
    )


def _platform_rows(people: _People, seed: int, random: np.random.Generator) -> Iterator[Row]:
    creatives = tuple(CREATIVE_LIFT)
    for place, person in enumerate(people.person.tolist()):
        exposed, clicked = bool(people.exposed[place]), bool(people.clicked[place])
        fixed = ("test" if people.test[place] else "control", creatives[people.creative[place]])
        about = (_INTERESTS[people.interest[place]], _CITIES[person % len(_CITIES)])
        phone, day = _number(person, seed), int(people.day[place])
        cost = COST_SHOWN * exposed + COST_CLICKED * clicked
        yield (
            _spelt(phone, random), *fixed, _time(day, int(random.integers(0, 82_800))),
            int(exposed), int(clicked), f"{cost:.2f}", *about,
        )  # fmt: skip
        if random.random() < 0.1:
            # Shown again: the first exposure decides, the cost adds up.
            again = _time(day + int(random.integers(1, 4)), int(random.integers(0, _DAY)))
            cost = COST_SHOWN * exposed
            yield _spelt(phone, random), *fixed, again, int(exposed), 0, f"{cost:.2f}", *about


def _number(person: int, seed: int) -> str:
    """The mobile number of a person of this seed."""
    return str(13 * 10**9 + (person * _STRIDE + seed * 15_485_863) % _NUMBERS)


def _spelt(phone: str, random: np.random.Generator) -> str:
    """The number as one of several systems of the platform would write it."""
    match random.integers(0, 6):
        case 0:
            return f"+86 {phone[:3]} {phone[3:7]} {phone[7:]}"
        case 1:
            return f"86{phone}"
        case _:
            return phone


def _time(day: int, second: int) -> str:
    return str(_FIRST_DAY + np.timedelta64(day * _DAY + second, "s")).replace("T", " ")


def _write(path: Path, header: tuple[str, ...], rows: list[Row], random: np.random.Generator) -> None:
    with open(path, "w", encoding="utf-8", newline="", opener=_private) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows[place] for place in random.permutation(len(rows)).tolist())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
