"""The group holder's preparation: one cell for each person, units of days, small cells, cost, root."""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.ports import OwnCell, Unit
from party.groups import PreparedGroups
from party.jobspec import Job
from party.moments import NO_MOMENT
from party.units import Cell, merge_cells, merge_days, plan_units
from psi.errors import PolicyRefusal, UsageError
from tests.party.sum_jobs import sum_job
from tests.party.sum_sides import phone, points_of, prepared_groups, randomness, sent_points, write_csv

HEADER = ("phone", "exposed_at", "campaign", "creative", "cost")
# 2026-03-01
DAY = 20513


def measure(**changes: Any) -> Job:
    """Return a job over campaign and creative with a window, few persons at least."""
    return sum_job("measure", **({"policy__min_group": 2} | changes))


def placed(prepared: PreparedGroups, people: list[str]) -> dict[str, tuple[tuple[str, ...] | None, int]]:
    """Return everybody's label and nominal day, by the point that is sent; who is not sent is left out."""
    sent = sent_points(prepared, sum(unit.size for unit in prepared.units))
    unit_of = [unit for unit in prepared.units for _ in range(unit.size)]
    place = {point: number for number, point in enumerate(sent)}
    assert len(place) == len(sent)
    return {
        person: (
            prepared.cells[unit_of[place[point]].cell].label,
            prepared.first_day + unit_of[place[point]].day,
        )
        for person, point in zip(people, points_of(people), strict=True)
        if point in place
    }


ROWS = [
    (phone(1), "2026-03-02 10:00", "spring", "video", "0.5"),
    (f"+86{phone(1)}", "2026-03-01 09:00", "card", "video", "0.0001"),
    (phone(2), "2026-03-01", " spring ", "video", ""),
    (phone(2), "2026-03-03", "card", "video", "2"),
    (phone(3), "2026-03-02", "spring", "video", "-0.25"),
    (phone(4), "2026-03-05", "card", "video", "1e1"),
    (phone(5), "2026-03-04", "card", "video", ""),
    (phone(6), "2026-03-04", "", "story", "4"),
    (phone(7), "", "spring", "video", "1"),
    (phone(8), "later", "spring", "video", "1"),
    (phone(9), "2026-03-01", '=HYPERLINK("x")', "video", "1"),
    (phone(9), "2026-03-01", "spring", "video", "1,1"),
    (phone(9), "2026-03-01", "spring", "video", "1e12"),
]
PEOPLE = [phone(number) for number in range(1, 10)]


@pytest.mark.parametrize(
    ("exposure", "cells", "costs"),
    [
        (
            "first",
            {1: "card", 2: "spring", 3: "spring", 4: "card", 5: "card"},
            {"card": 105_001, "spring": 17_500},
        ),
        (
            "last",
            {1: "spring", 2: "card", 3: "spring", 4: "card", 5: "card"},
            {"card": 120_000, "spring": 2_501},
        ),
    ],
)
def test_the_exposure_that_decides_gives_the_cell(
    tmp_path: Path, exposure: str, cells: dict[int, str], costs: dict[str, int]
) -> None:
    data = write_csv(tmp_path / "p.csv", HEADER, ROWS)
    with prepared_groups(measure(window__exposure=exposure), data, tmp_path / "work") as prepared:
        found = placed(prepared, PEOPLE)
        assert {person: label for person, (label, _) in found.items()} == {
            phone(number): (campaign, "video") for number, campaign in cells.items()
        }
        assert {cell.label[0]: cell.cost for cell in prepared.cells if cell.label} == costs
        facts = prepared.facts
        assert (facts.rows, facts.persons, facts.duplicates) == (13, 6, 2)
        assert facts.rejected == {
            "no_time": 1, "bad_time": 1, "bad_label": 1, "bad_value": 1, "value_out_of_range": 1
        }  # fmt: skip
        # One person alone in (no campaign, story) is not sent.
        assert (facts.small_cells, facts.dropped) == (1, 1)
        assert [cell.persons for cell in prepared.small] == [1]
        assert prepared.small[0].label == ("", "story")
        assert prepared.dropped == {"": 1}


def test_neighbouring_days_are_merged_until_a_unit_is_large_enough(tmp_path: Path) -> None:
    days = {1: 3, 2: 1, 4: 1, 5: 2, 9: 1}
    numbers = iter(range(100))
    rows = [
        (phone(next(numbers)), f"2026-03-{day:02d}", "a", "b", "")
        for day, n in days.items()
        for _ in range(n)
    ]
    data = write_csv(tmp_path / "p.csv", HEADER, rows)
    with prepared_groups(measure(), data, tmp_path / "work") as prepared:
        assert prepared.units == (Unit(0, 0, 3), Unit(0, 3, 2), Unit(0, 8, 3))
        assert (prepared.first_day, prepared.days) == (DAY, 9)
        assert prepared.facts.moved == {2: 1, 4: 2}
        found = placed(prepared, [row[0] for row in rows])
    assert [day - DAY for _, day in found.values()] == [0, 0, 0, 3, 3, 8, 8, 8]


def test_days_are_those_of_the_contracts_zone(tmp_path: Path) -> None:
    rows = [(phone(number), "2026-03-01T20:00:00Z", "a", "b", "") for number in range(3)]
    data = write_csv(tmp_path / "p.csv", HEADER, rows)
    for zone, day in (("Asia/Shanghai", DAY + 1), ("America/New_York", DAY)):
        with prepared_groups(measure(window__timezone=zone), data, tmp_path / "work") as prepared:
            assert (prepared.first_day, prepared.days) == (day, 1)


def test_without_a_window_there_is_one_unit_for_each_cell(tmp_path: Path) -> None:
    job = measure(window=None, bank__time=None, platform__time=None, platform__groups=["campaign"])
    data = write_csv(tmp_path / "p.csv", HEADER, ROWS[:8])
    with prepared_groups(job, data, tmp_path / "work") as prepared:
        assert (prepared.first_day, prepared.days) == (0, 1)
        assert {cell.label: cell.persons for cell in prepared.cells} == {("spring",): 3, ("card",): 2}
        assert [unit.size for unit in prepared.units] == [cell.persons for cell in prepared.cells]
        assert prepared.facts.moved == {}


@pytest.mark.parametrize(("keep", "label"), [("first", "b"), ("last", "d")])
def test_by_time_where_there_is_one_and_rows_without_come_last(tmp_path: Path, keep: str, label: str) -> None:
    rows = [
        (phone(number), time, campaign, "x", "")
        for number in range(2)
        for time, campaign in (
            ("", "a"),
            ("2026-03-02", "c"),
            ("2026-03-01", "b"),
            ("2026-03-03", "d"),
            ("", "e"),
        )
    ]
    job = measure(window=None, bank__time=None, platform__keep=keep)
    with prepared_groups(job, write_csv(tmp_path / "p.csv", HEADER, rows), tmp_path / "work") as prepared:
        assert [cell.label for cell in prepared.cells] == [(label, "x")]


@pytest.mark.parametrize(("keep", "label"), [("first", "a"), ("last", "c")])
def test_ties_go_by_the_order_of_the_file(tmp_path: Path, keep: str, label: str) -> None:
    rows = [(phone(number), "2026-03-01", campaign, "x", "") for number in range(2) for campaign in "abc"]
    data = write_csv(tmp_path / "p.csv", HEADER, rows)
    for job in (
        measure(window__exposure=keep),
        measure(window=None, bank__time=None, platform__time=None, platform__keep=keep),
    ):
        with prepared_groups(job, data, tmp_path / "work") as prepared:
            assert [cell.label for cell in prepared.cells] == [(label, "x")]


def test_without_groups_there_is_one_cell(tmp_path: Path) -> None:
    job = measure(platform__groups=None, platform__cost=None)
    data = write_csv(tmp_path / "p.csv", HEADER, ROWS[:6])
    with prepared_groups(job, data, tmp_path / "work") as prepared:
        assert prepared.cells == (OwnCell((), 4, ""),)


def test_small_cells_of_an_arm_are_merged_into_its_remainder(tmp_path: Path) -> None:
    header = ("phone", "assigned_at", "arm", "creative", "cost")
    sizes = {("test", "a"): 6, ("test", "b"): 2, ("test", "c"): 3, ("control", "a"): 7, ("control", "b"): 2}
    numbers = iter(range(100))
    rows = [(phone(next(numbers)), "2026-03-01", *key, "1") for key, n in sizes.items() for _ in range(n)]
    job = sum_job("lift", policy__min_group=4)
    with prepared_groups(job, write_csv(tmp_path / "p.csv", header, rows), tmp_path / "work") as prepared:
        assert set(prepared.cells) == {
            OwnCell(("test", "a"), 6, "test", 60_000),
            OwnCell(None, 5, "test", 50_000),
            OwnCell(("control", "a"), 7, "control", 70_000),
        }
        assert (prepared.facts.small_cells, prepared.facts.dropped) == (3, 2)
        assert prepared.dropped == {"control": 1}
        assert {cell.label for cell in prepared.small} == {("test", "b"), ("test", "c"), ("control", "b")}
        assert sum(unit.size for unit in prepared.units) == 18


def test_a_funnels_cell_is_the_highest_stage_over_all_rows(tmp_path: Path) -> None:
    header = ("phone", "at", "exposed", "clicked", "creative")
    rows = [
        (phone(1), "2026-03-01", "1", "0", "a"), (phone(1), "2026-03-09", "1", "1", "b"),
        (phone(2), "2026-03-01", "no", "TRUE", "a"), (phone(3), "2026-03-01", "", "", "a"),
        (phone(4), "2026-03-01", "0", "false", "a"), (phone(5), "2026-03-01", "yes", "?", "a"),
    ]  # fmt: skip
    job = sum_job("funnel", policy__min_group=2)
    with prepared_groups(job, write_csv(tmp_path / "p.csv", header, rows), tmp_path / "work") as prepared:
        assert {cell.label: cell.persons for cell in prepared.cells} == {
            ("clicked", "a"): 2,
            ("none", "a"): 2,
        }
        assert prepared.facts.rejected == {"bad_flag": 1}


# -- order


def test_the_order_is_secret_within_units_and_of_cells(tmp_path: Path) -> None:
    rows = [
        (phone(number), f"2026-03-{1 + number % 3:02d}", f"c{number % 5}", "x", "") for number in range(300)
    ]
    data = write_csv(tmp_path / "p.csv", HEADER, rows)
    orders = []
    for seed in (1, 1, 2):
        with prepared_groups(measure(), data, tmp_path / "work", seed) as prepared:
            ranks = randomness(seed).ranks("veiljoin/v1/psi/order", 0, 300)
            start = 0
            for unit in prepared.units:
                own = prepared.origin[start : start + unit.size].tolist()
                assert own == sorted(own, key=lambda row: int(ranks[row]))
                start += unit.size
            places = [(unit.cell, unit.day) for unit in prepared.units]
            assert places == sorted(set(places))
            by_rank = np.argsort(randomness(seed).ranks("veiljoin/v1/sum/cell-order", 0, 5))
            assert [cell.label for cell in prepared.cells] == [(f"c{number}", "x") for number in by_rank]
            orders.append((prepared.cells, prepared.origin.tolist(), prepared.input_commitment))
    assert orders[0] == orders[1] != orders[2]


# -- refusals


@pytest.mark.parametrize(
    ("rows", "changes", "message", "code"),
    [
        (ROWS[:1], {}, "has 1 persons, fewer than min_group = 2", "too_small"),
        (ROWS[:6], {"policy__max_set": 3}, "4 persons; the job allows max_set = 3", "over_limit"),
        (
            [(phone(number), "2026-03-01", f"c{number}", "x", "") for number in range(4)],
            {"policy__min_group": 5, "policy__max_set": 5},
            "has 4 persons",
            "too_small",
        ),
        (
            [(phone(number), "2026-03-01", "ab"[number // 3], "x", "") for number in range(4)],
            {"policy__min_group": 4},
            "",
            "",
        ),
        (
            [*ROWS[:6], (phone(77), "2025-02-27", "spring", "video", "")],
            {},
            "column 'exposed_at' of .* holds exposure days over",
            "bad_setting",
        ),
        (ROWS[8:9], {}, "column 'exposed_at' holds .no_time", "all_rejected"),
        (ROWS[10:11], {}, "column 'campaign', 'creative' holds .bad_label", "all_rejected"),
        (ROWS[11:12], {}, "column 'cost' holds .bad_value", "all_rejected"),
    ],
)
def test_what_cannot_be_prepared_names_file_and_column(
    tmp_path: Path, rows: list[tuple[str, ...]], changes: dict[str, Any], message: str, code: str
) -> None:
    data = write_csv(tmp_path / "p.csv", HEADER, rows)
    if not message:
        # Small cells that are large enough together are one remainder.
        with prepared_groups(measure(**changes), data, tmp_path / "work") as prepared:
            assert prepared.cells == (OwnCell(None, 4, "", 0),)
        return
    with (
        pytest.raises((UsageError, PolicyRefusal), match=f"(?i){message}") as raised,
        prepared_groups(measure(**changes), data, tmp_path / "work"),
    ):
        pass
    assert raised.value.code.name == code
    assert "p.csv" in raised.value.message
    assert "1380" not in str(raised.value)


def test_groups_without_enough_persons_are_refused(tmp_path: Path) -> None:
    rows = [(phone(0), "2026-03-01", "a", "x", "")]
    rows += [(phone(number), "2026-03-01", "b", "x", "") for number in range(1, 3)]
    header = ("phone", "assigned_at", "arm", "creative", "cost")
    rows = [
        (row[0], row[1], arm, "x", "") for row, arm in zip(rows, ("control", "test", "test"), strict=True)
    ]
    with (
        pytest.raises(
            PolicyRefusal, match=r"No group of .*p.csv, column 'arm', 'creative', has min_group = 3"
        ),
        prepared_groups(
            sum_job("lift", policy__min_group=3),
            write_csv(tmp_path / "p.csv", header, rows),
            tmp_path / "work",
        ),
    ):
        pass


def test_a_control_arm_that_nobody_is_in_is_named(tmp_path: Path) -> None:
    header = ("phone", "assigned_at", "arm", "creative", "cost")
    rows = [(phone(number), "2026-03-01", "Control", "x", "") for number in range(3)]
    with (
        pytest.raises(UsageError, match=r"""No row of .*p.csv has control = "control" in column 'arm'"""),
        prepared_groups(
            sum_job("lift", policy__min_group=2),
            write_csv(tmp_path / "p.csv", header, rows),
            tmp_path / "work",
        ),
    ):
        pass


def test_a_column_of_identifiers_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("party.columns.MAX_TEXTS", 20)
    rows = [(phone(number), "2026-03-01", f"order {number}", "x", "") for number in range(21)]
    data = write_csv(tmp_path / "p.csv", HEADER, rows)
    with (
        pytest.raises(
            UsageError, match=r"Column 'campaign' of .*p.csv has more than 20 different values"
        ) as raised,
        prepared_groups(measure(), data, tmp_path / "work"),
    ):
        pass
    assert "order" not in str(raised.value)
    monkeypatch.undo()
    monkeypatch.setattr("party.groups.MAX_TEXTS", 20)
    with (
        pytest.raises(
            UsageError, match=r"groups of .*p.csv, column 'campaign', 'creative', have more than 20 comb"
        ),
        prepared_groups(measure(), data, tmp_path / "work"),
    ):
        pass


def test_more_cells_than_a_job_can_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_csv(tmp_path / "p.csv", HEADER, ROWS[:8])
    monkeypatch.setattr("party.groups.MAX_CELLS", 1)
    with (
        pytest.raises(UsageError, match=r"column 'campaign', 'creative', make 2 cells; a job can have 1"),
        prepared_groups(measure(), data, tmp_path / "work"),
    ):
        pass
    monkeypatch.undo()
    monkeypatch.setattr("party.groups.MAX_UNITS", 1)
    with (
        pytest.raises(UsageError, match=r"days of column 'exposed_at' make 2 units"),
        prepared_groups(measure(), data, tmp_path / "work"),
    ):
        pass


# -- the root, and what is kept


def test_the_root_binds_what_the_rows_say(tmp_path: Path) -> None:
    rows = [
        (phone(1), "2026-03-01T00:00:00Z", "b", "x", "0.5"), ("1", "", "c", "", ""), (phone(2), "", "a", "", "")
    ]  # fmt: skip
    job = measure(window=None, bank__time=None)
    data = write_csv(tmp_path / "p.csv", HEADER, [*rows, (phone(3), "", "b", "x", "")])
    with prepared_groups(job, data, tmp_path / "work") as prepared:
        commitment = prepared.input_commitment
    columns = [[b"b", b"a"], [b"x"]]
    named = [hashlib.sha256(b"".join(hashlib.sha256(text).digest() for text in texts)) for texts in columns]
    parts = [
        np.array([0, 2, 3], "<u8").tobytes(),
        np.array([14] * 3, "<u4").tobytes(),
        b"".join(f"+86{phone(number)}".encode() for number in (1, 2, 3)),
        bytes(3),
        hashlib.sha256(b"").digest(),
        np.array([1_772_323_200_000_000, NO_MOMENT, NO_MOMENT], "<i8").tobytes(),
        bytes(3),
        np.array([5000, 0, 0], "<i8").tobytes(),
        np.array([1, 1, 2, 0, 1, 1], "<u4").tobytes(),
        b"".join(column.digest() for column in named),
    ]
    root = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
    assert commitment == randomness().input_commitment(root)


# -- units, without files


def brute(sizes: dict[int, int], least: int) -> list[int]:
    """Return the sizes of units, one day after the other."""
    units = [0]
    for day in sorted(sizes):
        units[-1] += sizes[day]
        if units[-1] >= least:
            units.append(0)
    rest = units.pop()
    if units:
        units[-1] += rest
    else:
        units.append(rest)
    return units


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.integers(-50, 50), st.integers(1, 9), min_size=1), st.integers(1, 25))
def test_units_have_enough_persons_and_the_latest_day(sizes: dict[int, int], least: int) -> None:
    nominal = merge_days(sizes, least)
    assert set(nominal) == set(sizes)
    found: Counter[int] = Counter()
    for day, late in nominal.items():
        assert day <= late
        assert nominal[late] == late
        found[late] += sizes[day]
    assert [found[day] for day in sorted(found)] == brute(sizes, least)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_everybody_is_in_one_place_or_dropped(seed: int, least: int) -> None:
    draw = random.Random(seed)
    cells = [
        Cell((f"{n}",), draw.choice("ab"), [(0, n)], Counter({draw.randrange(9): draw.randint(1, 9)}), n)
        for n in range(draw.randint(1, 12))
    ]
    merged = merge_cells(cells, least)
    sent, small = sum(cell.persons for cell in merged.cells), sum(cell.persons for cell in merged.small)
    large = sum(cell.persons for cell in cells if cell.persons >= least)
    remainders = [cell for cell in merged.cells if cell.label is None]
    assert sent == large + sum(cell.persons for cell in remainders)
    assert large + small == sum(cell.persons for cell in cells)
    assert all(cell.persons >= least for cell in merged.cells)
    assert all(len(cell.keys) >= 2 for cell in remainders)
    dropped: dict[str, int] = defaultdict(int)
    for cell in merged.small:
        if cell.scope not in {remainder.scope for remainder in remainders}:
            dropped[cell.scope] += 1
    assert merged.dropped == dropped
    if merged.cells:
        plan = plan_units(merged.cells, least)
        assert sum(unit.size for unit in plan.units) == sent
        assert all(unit.size >= least for unit in plan.units)
        assert min(unit.day for unit in plan.units) == 0
        assert len({place[:3] for place in plan.places}) == len(plan.places)
        assert sum(plan.moved.values()) <= sent
