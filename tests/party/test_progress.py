"""What a long job tells of itself, and that it can be stopped from anywhere."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from party import progress as module
from party.progress import PHASES, PHASES_THERE, Progress, percent, remaining
from psi.errors import VeiljoinError


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put a clock of ours in place of the real one."""
    turned = Clock()
    monkeypatch.setattr(module, "time", turned)
    return turned


def test_a_phase_begins_counts_and_ends(clock: Clock) -> None:
    events: list[dict[str, Any]] = []
    progress = Progress(events.append)
    with progress.phase("read", 100):
        assert progress.current == "read"
        progress.advance(10)
        clock.now += 3
        progress.advance(20)
    assert events == [
        {"event": "phase", "phase": "read", "total": 100},
        {"event": "progress", "phase": "read", "done": 10, "total": 100},
        {"event": "progress", "phase": "read", "done": 30, "total": 100},
        {"event": "progress", "phase": "read", "done": 30, "total": 100},
    ]
    assert progress.seconds == {"read": 3.0}


def test_counting_is_told_so_many_times_a_second_and_whole_at_the_end(clock: Clock) -> None:
    events: list[dict[str, Any]] = []
    progress = Progress(events.append, per_second=5)
    with progress.phase("exchange"):
        for _ in range(1000):
            clock.now += 0.01
            progress.advance(7)
    told = [event["done"] for event in events if event["event"] == "progress"]
    assert told == sorted(told)
    assert told[-1] == 7000
    # Ten seconds at five a second, the first at once, and the last word.
    assert 45 <= len(told) <= 52


def test_a_total_that_is_known_later(clock: Clock) -> None:
    events: list[dict[str, Any]] = []
    progress = Progress(events.append)
    with progress.phase("exchange"):
        progress.expect(500)
    assert events[:2] == [
        {"event": "phase", "phase": "exchange", "total": None},
        {"event": "phase", "phase": "exchange", "total": 500},
    ]


def test_each_phase_counts_from_nothing_and_seconds_add_up(clock: Clock) -> None:
    events: list[dict[str, Any]] = []
    progress = Progress(events.append)
    for name, seconds in (("read", 2), ("order", 5), ("read", 4)):
        with progress.phase(name):
            progress.advance(1)
            clock.now += seconds
    assert progress.seconds == {"read": 6.0, "order": 5.0}
    assert [event["done"] for event in events if event["event"] == "progress"] == [1] * 6


def test_a_phase_that_fails_keeps_its_seconds_and_claims_no_end(clock: Clock) -> None:
    events: list[dict[str, Any]] = []
    progress = Progress(events.append)

    def fails() -> None:
        with progress.phase("read"):
            clock.now += 2
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fails()
    assert progress.seconds == {"read": 2.0}
    assert [event["event"] for event in events] == ["phase"]


def test_a_stopped_job_stops_at_the_next_step_in_any_thread() -> None:
    progress = Progress(lambda _: None)
    errors: list[VeiljoinError] = []
    going = threading.Event()

    def work() -> None:
        try:
            with progress.phase("read"):
                while True:
                    progress.advance(1)
                    going.set()
        except VeiljoinError as error:
            errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    assert going.wait(40)
    progress.stop()
    worker.join(40)
    assert not worker.is_alive()
    assert [error.code.name for error in errors] == ["cancelled"]
    assert "read" in progress.seconds
    for step in (progress.check, lambda: progress.advance(1), lambda: progress.phase("order").__enter__()):
        with pytest.raises(VeiljoinError, match="was stopped"):
            step()


def test_no_row_is_lost_between_threads() -> None:
    events: list[dict[str, Any]] = []
    progress = Progress(events.append, per_second=1e9)
    with progress.phase("read"):

        def count() -> None:
            for _ in range(2000):
                progress.advance(1)

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert events[-1]["done"] == 8000


@pytest.mark.parametrize(
    ("done", "total", "elapsed", "left"),
    [
        (50, 100, 10.0, 10.0),
        (10, 100, 1.0, 9.0),
        (100, 100, 7.0, 0.0),
        (150, 100, 7.0, 0.0),  # an estimate of the total may be low
        (0, 100, 10.0, None),
        (10, None, 10.0, None),
        (10, 0, 10.0, None),
        (10, 100, 0.0, None),
    ],
)
def test_the_time_left(done: int, total: int | None, elapsed: float, left: float | None) -> None:
    assert remaining(done, total, elapsed) == left


@pytest.mark.parametrize(
    ("event", "share"),
    [
        ({"phase": "read", "done": 0, "total": 10}, 0),
        ({"phase": "exchange", "done": 999, "total": 1000}, 99),
        ({"phase": "encrypt", "done": 1000, "total": 1000}, 100),
        # An estimate of a file's rows may be too small.
        ({"phase": "read", "done": 12, "total": 10}, 100),
        ({"phase": "collect", "done": 5, "total": None}, 0),
        ({"phase": "collect", "total": 10}, 0),
        ({"phase": "read", "done": 5, "total": 0}, 0),
        # How the writing of lists goes on says how long they are.
        ({"phase": "write", "done": 5, "total": 10}, 0),
        ({"phase": "match", "done": 5, "total": 10}, 0),
        ({}, 0),
    ],
)
def test_the_share_that_a_partner_is_told(event: dict[str, Any], share: int) -> None:
    assert percent(event) == share


def test_every_phase_has_its_name_in_both_languages() -> None:
    for english, chinese in PHASES.values():
        assert english.isascii()
        assert not chinese.isascii()
    assert PHASES_THERE.keys() == PHASES.keys()
