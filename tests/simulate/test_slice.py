"""A slice of the simulations, and that they find what they are for; `make simulate` runs as many as wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from psi.replay import Entry, MemoryJournal, Playback
from tests.simulate.field import field_in
from tests.simulate.nodes import World
from tests.simulate.protocol import Places, Schedule
from tests.simulate.report import Report
from tests.simulate.uncut import known_proofs

SEEDS = range(120)


@pytest.fixture(scope="module")
def places() -> Iterator[Places]:
    """What all schedules share."""
    places = Places()
    with known_proofs():
        yield places
    places.close()


def simulated(places: Places, seeds: range) -> list[Report]:
    """Run schedules."""
    return [Schedule(seed, places).run() for seed in seeds]


def test_whatever_goes_wrong_a_run_comes_to_its_result_or_says_why(places: Places) -> None:
    reports = simulated(places, SEEDS)
    assert [(report.seed, report.breach) for report in reports if report.breach is not None] == []
    outcomes = Counter(report.outcome for report in reports)
    assert outcomes["done"] > 95
    happened: Counter[str] = sum((report.happened for report in reports), Counter())
    for kind in ("cut", "kill", "power", "tear", "lost", "full", "copies ignored", "killed where accepted"):
        assert happened[kind] > 0, kind


def test_nobody_is_impersonated_whose_set_was_lost(places: Places) -> None:
    # Found by the simulation: the fault "impostor" came between the loss of a set and its being prepared anew.
    report = Schedule(209_757, places).run()
    assert (report.breach, report.outcome) == (None, "done")


def test_a_seed_is_a_schedule(places: Places) -> None:
    for seed in (3, 66, 120):
        traces: list[list[str]] = [[], []]
        for trace in traces:
            Schedule(seed, places, trace.append).run()
        assert traces[0] == traces[1]
        assert len(traces[0]) > 10


def breaches(places: Places, seeds: range) -> Counter[str]:
    """Return what was wrong, without figures."""
    found = (report.breach for report in simulated(places, seeds))
    return Counter("".join(c for c in breach if not c.isdigit()) for breach in found if breach is not None)


# Each is a mistake that a playback could have, and something that tells of it.
def test_a_journal_without_its_order_is_found_out(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unordered(MemoryJournal[Any]):
        def add(self, entry: Entry[Any]) -> None:
            super().add(Entry(0, entry.message))

    monkeypatch.setattr("tests.simulate.places.MemoryJournal", Unordered)
    assert breaches(places, range(10))


def test_a_partner_of_another_run_is_found_out(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psi.replay.Position.goes_with", lambda *_: True)
    assert breaches(places, range(5, 52))


def test_messages_that_are_sent_twice_under_new_numbers_are_found_out(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = Playback.go_on

    def from_the_first(self: Playback[Any], theirs: Any) -> Any:
        messages = go_on(self, theirs)
        return messages[1:] if len(messages) > 1 else messages

    monkeypatch.setattr(Playback, "go_on", from_the_first)
    assert breaches(places, range(10))


def test_a_budget_that_is_not_spent_is_found_out(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.simulate.side.Side._announced", lambda _: None)
    assert any("before its run was spent" in each for each in breaches(places, range(5)))


# Each of these had lost a result, or stood still, before what it found was mended.
FOUND = (12, 17, 52, 61, 76)


def test_two_nodes_come_to_the_same_end(tmp_path: Path) -> None:
    seeds = (0, 1, 2, 1, *FOUND)
    with field_in(tmp_path) as field:
        traces: list[list[str]] = [[] for _ in seeds]
        reports = [
            World(seed, field.fresh(), field.loop, trace.append).run()
            for seed, trace in zip(seeds, traces, strict=True)
        ]
    assert [(report.seed, report.breach) for report in reports if report.breach is not None] == []
    # Job numbers and signatures are another each time.
    assert [line.partition("'")[0][:40] for line in traces[1][1:]] == [
        line.partition("'")[0][:40] for line in traces[3][1:]
    ]
