"""The value holder's preparation: rows that add up, rows that are refused, order, tags, root."""

from __future__ import annotations

import csv
import hashlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from federated.memory import Event, MemoryValueSet
from party.intake import InputRoot
from party.jobspec import Job
from party.moments import NO_MOMENT
from party.values import PreparedValues
from psi.engines import open_engine
from psi.errors import PolicyRefusal, UsageError
from psi.suites import X25519_ELL2
from tests.party.sum_jobs import sum_job
from tests.party.sum_sides import (
    phone,
    points_of,
    prepared_values,
    randomness,
    sent_points,
    terms_of,
    write_csv,
)

HEADER = ("mobile", "converted_at", "amount", "points")
# 2026-03-01
DAY = 20513


def measure(**changes: Any) -> Job:
    """Return a job over amounts and points with a window of 7 days, few persons at least."""
    return sum_job("measure", **({"policy__min_group": 2} | changes))


def by_person(prepared: PreparedValues, people: Sequence[str], day: int, days: int) -> list[list[list[int]]]:
    """Return everybody's outcomes in the order of ``people``, checking that points say the same."""
    sent = sent_points(prepared, prepared.size)
    places = [sent.index(point) for point in points_of(people)]
    # In pieces that do not end where chunks do.
    pieces = [
        prepared.outcomes(start, min(start + 7, prepared.size), day, days)
        for start in range(0, prepared.size, 7)
    ]
    found: list[list[list[int]]] = np.concatenate(pieces)[places].tolist()
    return found


def rejects(folder: Path) -> list[list[str]]:
    """Return the rows of the rejects file."""
    with open(folder / "rejects.csv", encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def test_rows_of_a_person_add_up_in_the_window(tmp_path: Path) -> None:
    rows = [
        (phone(1), "2026-03-01 10:00:00", "10.50", "2"),
        (f"+86 {phone(1)}", "2026-03-05T08:00:00+08:00", "-3.00", ""),
        (phone(1), "2026-03-20", "100", "1"),
        (phone(2), "2026-03-03", "", "3"),
        (phone(3), "", "", ""),
    ]
    job = measure(
        bank__values={"amount": {"min": -50, "max": 500}, "points": {"min": -3, "max": 10, "scale": 1}}
    )
    with prepared_values(job, write_csv(tmp_path / "bank.csv", HEADER, rows), tmp_path / "work") as prepared:
        # Without an outcome row of any day nobody is sent.
        assert prepared.size == 2
        first, second = by_person(prepared, [phone(1), phone(2)], DAY - 3, 12)
        assert (prepared.facts.rows, prepared.facts.persons, prepared.facts.duplicates) == (5, 3, 2)
        assert (prepared.facts.outcomes, prepared.facts.clipped) == (4, 0)
        assert sorted(prepared.origin.tolist()) == [0, 3]
    # matched, converters, conversions, amount, points; exposures from 2026-02-26 on.
    assert first[3] == [1, 1, 2, 750, 2]
    assert first[4] == [1, 1, 1, -300, 0]
    assert first[7] == [1, 1, 1, -300, 0]
    assert first[8] == [1, 0, 0, 0, 0]
    assert [day[2] for day in second] == [1] * 6 + [0] * 6
    assert first[0] == [1, 1, 2, 750, 2]


def test_customers_are_sent_without_an_outcome(tmp_path: Path) -> None:
    rows = [(phone(1), "2026-03-01", "1", ""), (phone(2), "", "", ""), (phone(3), "", "", "")]
    data = write_csv(tmp_path / "bank.csv", HEADER, rows)
    with prepared_values(measure(base="customers"), data, tmp_path / "work") as prepared:
        found = by_person(prepared, [phone(1), phone(2), phone(3)], DAY, 1)
    assert found == [[[1, 1, 1, 100, 0]], [[1, 0, 0, 0, 0]], [[1, 0, 0, 0, 0]]]


def test_rows_that_cannot_be_read_are_refused_with_their_reason(tmp_path: Path) -> None:
    rows = [
        (phone(1), "2026-03-01", "1", "1"),
        (phone(2), "2026-03-01", "1", "1"),
        ("12345", "soon", "1", "1"),
        (phone(3), "soon", "x", "1"),
        (phone(3), "2026-03-01", "1,5", "1"),
        (phone(3), "", "0", ""),
        (phone(4), "2026-03-01", "", ""),
    ]
    data = write_csv(tmp_path / "bank.csv", HEADER, rows)
    with prepared_values(measure(), data, tmp_path / "work") as prepared:
        # Somebody with a time and no amount has an outcome of 0.
        assert by_person(prepared, [phone(4)], DAY, 1) == [[[1, 1, 1, 0, 0]]]
        assert prepared.facts.rejected == {"bad_length": 1, "bad_time": 1, "bad_value": 1}
        # An amount without a time is in no window; it is counted, not refused.
        assert prepared.facts.untimed == 1
    assert [(row[0], row[1]) for row in rejects(tmp_path)] == [
        ("3", "bad_length"), ("4", "bad_time"), ("5", "bad_value")
    ]  # fmt: skip


@pytest.mark.parametrize("outside", ["clip", "reject"])
def test_amounts_beyond_their_bounds(tmp_path: Path, outside: str) -> None:
    rows = [
        (phone(1), "2026-03-01", "50000.01", "-4"),
        (phone(1), "2026-03-01", "1", "11"),
        (phone(2), "2026-03-01", "-1e40", ""),
        (phone(3), "2026-03-01", "50000", "-3"),
        (phone(4), "2026-03-01", "0", "10"),
    ]
    data = write_csv(tmp_path / "bank.csv", HEADER, rows)
    with prepared_values(measure(policy__outside=outside), data, tmp_path / "work") as prepared:
        exact = by_person(prepared, [phone(3), phone(4)], DAY, 1)
        if outside == "clip":
            assert by_person(prepared, [phone(1), phone(2)], DAY, 1) == [
                [[1, 1, 2, 5_000_100, 7]],
                [[1, 1, 1, 0, 0]],
            ]
            assert (prepared.facts.clipped, prepared.facts.rejected) == (3, {})
        else:
            assert prepared.size == 2
            assert prepared.facts.rejected == {"value_out_of_range": 3}
    assert exact == [[[1, 1, 1, 5_000_000, -3]], [[1, 1, 1, 0, 10]]]


def test_the_earliest_rows_of_a_person_count(tmp_path: Path) -> None:
    rows = [(phone(1), f"2026-03-{day:02d}", str(day), "") for day in (9, 2, 5, 1)]
    rows += [(phone(2), "2026-03-01", "1", "")]
    data = write_csv(tmp_path / "bank.csv", HEADER, rows)
    with prepared_values(measure(policy__max_rows=2), data, tmp_path / "work") as prepared:
        assert by_person(prepared, [phone(1)], DAY, 2)[0] == [[1, 1, 2, 300, 0], [1, 1, 1, 200, 0]]
        assert (prepared.facts.clipped, prepared.facts.outcomes) == (2, 3)


def test_without_a_window_rows_without_a_time_come_last(tmp_path: Path) -> None:
    rows = [(phone(1), "", "1", ""), (phone(1), "2026-03-05", "2", ""), (phone(1), "2026-03-04", "4", "")]
    rows += [(phone(2), "", "8", "")]
    data = write_csv(tmp_path / "bank.csv", HEADER, rows)
    job = measure(window=None, policy__max_rows=2)
    with prepared_values(job, data, tmp_path / "work") as prepared:
        assert by_person(prepared, [phone(1), phone(2)], 0, 1) == [[[1, 1, 2, 600, 0]], [[1, 1, 1, 800, 0]]]


def test_stages_alone_make_outcomes(tmp_path: Path) -> None:
    header = ("mobile", "bound", "activated")
    rows = [
        (phone(1), "1", "0"), (phone(1), "no", "TRUE"), (phone(2), "yes", ""), (phone(3), "0", "false"),
        (phone(4), "maybe", "1"), (phone(5), "1.0", "0.0"),
    ]  # fmt: skip
    job = sum_job("funnel", bank__time=None, window=None, policy__min_group=2)
    data = write_csv(tmp_path / "bank.csv", header, rows)
    with prepared_values(job, data, tmp_path / "work") as prepared:
        assert prepared.size == 3
        found = by_person(prepared, [phone(1), phone(2), phone(5)], 0, 1)
        assert prepared.facts.rejected == {"bad_flag": 1}
    # matched, converters, conversions, bound, activated
    assert found == [[[1, 1, 2, 1, 1]], [[1, 1, 1, 1, 0]], [[1, 1, 1, 1, 0]]]


def test_a_stage_beside_amounts_is_no_conversion(tmp_path: Path) -> None:
    header = ("mobile", "bound", "activated", "amount")
    rows = [(phone(1), "1", "0", ""), (phone(2), "0", "1", "3"), (phone(3), "0", "0", "")]
    job = sum_job(
        "funnel", bank__time=None, window=None, bank__values={"amount": {"max": 10}}, policy__min_group=2
    )
    with prepared_values(job, write_csv(tmp_path / "b.csv", header, rows), tmp_path / "work") as prepared:
        assert by_person(prepared, [phone(1), phone(2)], 0, 1) == [
            [[1, 0, 0, 1, 0, 0]],
            [[1, 1, 1, 1, 1, 300]],
        ]
        assert prepared.facts.outcomes == 1


def profile(**changes: Any) -> Job:
    """Return a job over the platform's tags."""
    return sum_job("profile", **({"policy__min_group": 2} | changes))


TAGGED = [
    (phone(1), " young ", "cars"), (phone(1), "old", "sport"), (phone(2), "", "cars"), (phone(2), "old", ""),
    (phone(3), "old", ""), (phone(4), "young", "sport"), (phone(5), "", ""), (phone(6), "=1+1", "cars"),
    (phone(7), "unique", "cars"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("keep", "held", "tags"),
    [
        (
            "first",
            ["young cars", "old cars", "old", "young", "", "cars"],
            ["age:old", "age:young", "interest:cars"],
        ),
        (
            "last",
            ["old sport", "old cars", "old", "sport", "", "cars"],
            ["age:old", "interest:cars", "interest:sport"],
        ),
    ],
)
def test_a_person_has_one_tag_per_column(tmp_path: Path, keep: str, held: list[str], tags: list[str]) -> None:
    data = write_csv(tmp_path / "p.csv", ("phone", "age", "interest"), TAGGED)
    people = [phone(number) for number in (1, 2, 3, 4, 5, 7)]
    with prepared_values(profile(platform__keep=keep), data, tmp_path / "work") as prepared:
        assert [f"{tag.column}:{tag.value}" for tag in prepared.tags] == tags
        sent = sent_points(prepared, prepared.size)
        places = [sent.index(point) for point in points_of(people)]
        slots = np.concatenate([prepared.tag_slots(0, 2), prepared.tag_slots(2, prepared.size)])[places]
        assert [" ".join(prepared.tags[slot].value for slot in np.flatnonzero(row)) for row in slots] == held
        assert prepared.facts.rejected == {"bad_label": 1}
        # Two values that one person has are told to nobody.
        assert prepared.facts.small_tags == 2
        assert prepared.outcomes(0, prepared.size, 0, 1)[:, 0, :2].tolist() == [[1, 1]] * 6


def test_tags_that_nobody_shares_are_refused(tmp_path: Path) -> None:
    rows = [(phone(number), f"tag {number}", "") for number in range(30)]
    data = write_csv(tmp_path / "p.csv", ("phone", "age", "interest"), rows)
    with (
        pytest.raises(
            PolicyRefusal, match=r"No value of the tags of .*p.csv, column 'age', 'interest'"
        ) as raised,
        prepared_values(profile(), data, tmp_path / "work"),
    ):
        pass
    assert raised.value.code.name == "too_small"


def test_more_tags_than_slots_are_refused(tmp_path: Path) -> None:
    rows = [(phone(number), f"tag {number // 2}", "") for number in range(2 * 129)]
    data = write_csv(tmp_path / "p.csv", ("phone", "age", "interest"), rows)
    with (
        pytest.raises(UsageError, match="129 different values, more than 128"),
        prepared_values(profile(), data, tmp_path / "work"),
    ):
        pass


@pytest.mark.parametrize(
    ("rows", "changes", "message", "code"),
    [
        (
            [(phone(1), "2026-03-01", "1", "")],
            {},
            "1 persons with an outcome, fewer than min_group = 2",
            "too_small",
        ),
        ([(phone(1), "", "", "")], {}, "0 persons with an outcome", "too_small"),
        ([(phone(1), "", "", "")], {"base": "customers"}, "has 1 persons, fewer than", "too_small"),
        (
            [(phone(number), "2026-03-01", "1", "") for number in range(5)],
            {"policy__max_set": 4},
            "5 persons; the job allows max_set = 4",
            "over_limit",
        ),
        ([(phone(1), "someday", "1", "")], {}, "column 'converted_at' holds .bad_time", "all_rejected"),
        ([(phone(1), "", "1", "")], {}, "0 persons with an outcome", "too_small"),
        (
            [(phone(1), "2026-03-01", "1", "x")],
            {},
            "column 'amount', 'points' holds .bad_value",
            "all_rejected",
        ),
        ([("nobody", "2026-03-01", "1", "1")], {}, "column 'mobile' holds no valid phone", "all_rejected"),
    ],
)
def test_what_cannot_be_prepared_names_the_file(
    tmp_path: Path, rows: list[tuple[str, ...]], changes: dict[str, Any], message: str, code: str
) -> None:
    data = write_csv(tmp_path / "bank.csv", HEADER, rows)
    with (
        pytest.raises((UsageError, PolicyRefusal), match=message) as raised,
        prepared_values(measure(**changes), data, tmp_path / "work"),
    ):
        pass
    assert raised.value.code.name == code
    assert "bank.csv" in raised.value.message
    assert "1380" not in str(raised.value)
    assert not (tmp_path / "work").exists()


# -- against the set in memory


def random_rows(seed: int) -> tuple[list[tuple[str, str, str, str]], dict[int, list[Event]]]:
    """Return rows in random order, and the same as events by person."""
    draw = random.Random(seed)
    rows: list[tuple[str, str, str, str]] = []
    events: dict[int, list[Event]] = {}
    for person in range(300):
        own: list[Event] = [
            (DAY + draw.randrange(20), (draw.randrange(0, 9000), draw.randrange(-3, 11)), 0)
            for _ in range(draw.randint(1, 3))
        ]
        events[person] = own
        for day, (amount, points), _ in own:
            date = np.datetime64(day, "D")
            rows.append(
                (phone(person), f"{date} {draw.randrange(24):02d}:00:00", f"{amount / 100:.2f}", f"{points}")
            )
    draw.shuffle(rows)
    return rows, events


def test_it_is_the_set_in_memory_in_another_place(tmp_path: Path) -> None:
    rows, events = random_rows(1)
    job = measure()
    terms = terms_of(job)
    people = [phone(person) for person in events]
    memory = MemoryValueSet(
        terms,
        randomness(),
        open_engine(X25519_ELL2, "cryptography", 1),
        [(f"+86{number}".encode(), events[person], ()) for person, number in enumerate(people)],
    )
    expected = memory.outcomes(0, memory.size, DAY - 2, 18)[np.argsort(memory.origin)].tolist()
    data = write_csv(tmp_path / "bank.csv", HEADER, rows)
    with prepared_values(job, data, tmp_path / "work") as prepared:
        assert by_person(prepared, people, DAY - 2, 18) == expected
        assert sorted(sent_points(prepared, prepared.size)) == sorted(sent_points(memory, memory.size))
        # The order is the secret ranks' of first rows, not the file's.
        first: dict[str, int] = {}
        for number, row in enumerate(rows):
            first.setdefault(row[0], number)
        ranks = randomness().ranks("veiljoin/v1/psi/order", 0, len(rows))
        assert prepared.origin.tolist() == sorted(first.values(), key=lambda row: int(ranks[row]))
        assert "array" not in repr(prepared)
    with prepared_values(job, data, tmp_path / "again", seed=2) as other:
        assert sorted(other.origin.tolist()) == sorted(first.values())
        assert other.origin.tolist() != sorted(first.values(), key=lambda row: int(ranks[row]))


def test_a_second_run_is_the_same_to_the_byte(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "bank.csv", HEADER, random_rows(2)[0])
    runs = []
    for name in ("one", "two"):
        with prepared_values(measure(), data, tmp_path / name) as prepared:
            points = sent_points(prepared, prepared.size)
            runs.append((points, prepared.outcomes(0, 300, DAY, 9).tolist(), prepared.input_commitment))
    assert runs[0] == runs[1]


def test_the_root_binds_what_the_rows_say(tmp_path: Path) -> None:
    header = ("mobile", "at", "bound", "activated")
    rows = [(phone(1), "2026-03-01T00:00:00Z", "1", "0"), ("x", "", "", ""), (phone(2), "", "0", "")]
    job = sum_job("funnel", bank__time="at", base="customers", policy__min_group=2)
    data = write_csv(tmp_path / "bank.csv", header, rows)
    with prepared_values(job, data, tmp_path / "work") as prepared:
        commitment = prepared.input_commitment
    identifiers = [f"+86{phone(1)}".encode(), f"+86{phone(2)}".encode()]
    parts = [
        np.array([0, 2], "<u8").tobytes(),
        np.array([14, 14], "<u4").tobytes(),
        b"".join(identifiers),
        bytes(2),
        hashlib.sha256(b"").digest(),
        np.array([1_772_323_200_000_000, NO_MOMENT], "<i8").tobytes(),
        bytes([0x81, 0x00]),
        b"",
        b"",
        b"",
    ]
    root = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
    assert commitment == randomness().input_commitment(root)


def test_the_root_of_a_sum_depends_on_each_part() -> None:
    def root(**changes: Any) -> bytes:
        plain: dict[str, Any] = {
            "times": np.array([5]),
            "marks": np.array([1], np.uint8),
            "amounts": np.array([[1, 2]]),
            "numbers": np.array([[1]], np.uint32),
            "texts": [["a"]],
        } | changes
        made = InputRoot()
        made.update(np.array([0], np.uint64), [b"x"], np.zeros(1, np.uint8))
        made.bind(plain["times"], plain["marks"], plain["amounts"], plain["numbers"])
        return made.digest([""], plain["texts"])

    roots = {
        root(),
        root(times=np.array([6])),
        root(marks=np.array([2], np.uint8)),
        root(amounts=np.array([[2, 1]])),
        root(numbers=np.array([[0]], np.uint32)),
        root(texts=[["b"]]),
        root(texts=[["a"], []]),
    }
    assert len(roots) == 7


def test_nothing_unmasked_is_kept(tmp_path: Path) -> None:
    rows = [(phone(number), "2026-03-01", "1.23", "4") for number in range(20)]
    data = write_csv(tmp_path / "bank.csv", HEADER, rows)
    with prepared_values(measure(), data, tmp_path / "work") as prepared:
        folder = prepared.spool._folder.parent
        stored = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        assert folder.stat().st_mode & 0o777 == 0o700
    for number in range(20):
        for form in (phone(number), f"+86{phone(number)}"):
            digests = [hashlib.new(name, form.encode()).digest() for name in ("sha256", "md5")]
            assert not any(secret in stored for secret in (form.encode(), *digests))
