"""Schedules follow from their seeds alone, and together they go everywhere."""

from __future__ import annotations

from tests.faults.schedule import PHASES, QUESTIONS, SIDES, WEIGHTS, Fault, schedule_of

MANY = [schedule_of(seed) for seed in range(3_000)]
FAULTS = [(schedule, fault) for schedule in MANY for fault in schedule.faults]


def test_a_seed_is_a_schedule() -> None:
    assert MANY[:50] == [schedule_of(seed) for seed in range(50)]
    assert len({str(schedule.faults) for schedule in MANY}) > 2_800


def test_every_kind_meets_every_question() -> None:
    for kind in WEIGHTS:
        assert {schedule.question for schedule, fault in FAULTS if fault.kind == kind} == set(QUESTIONS), kind


def test_both_sides_are_killed_in_every_phase() -> None:
    met = {
        (schedule.question, fault.moment.side, fault.moment.phase)
        for schedule, fault in FAULTS
        if fault.kind in ("kill", "fsync", "stop")
    }
    for question in QUESTIONS:
        for side in SIDES:
            assert {(question, side, phase) for phase in PHASES[question][side]} <= met


def test_faults_come_in_the_order_of_the_job() -> None:
    for schedule in MANY:
        orders = [fault.moment.order for fault in schedule.faults]
        assert orders == sorted(orders)
        assert 1 <= len(orders) <= 4


def test_a_schedule_can_be_read() -> None:
    assert all(str(fault).startswith(f"{fault.kind} ") for _, fault in FAULTS)
    assert isinstance(MANY[0].faults[0], Fault)
    assert not MANY[0].has("nothing of the kind")
