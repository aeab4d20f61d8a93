"""The budget: exact, atomic between processes, and clear about when it renews."""

from __future__ import annotations

import datetime
import multiprocessing
import threading
import uuid
from contextlib import closing
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from party.budget import RESERVED_FOR, Budget, Spent
from party.history import History, Sizes
from party.policy import BudgetRules
from party.store import Store
from psi.errors import CODES, PolicyRefusal

ZONE = datetime.timezone(datetime.timedelta(hours=8))
START = datetime.datetime(2026, 11, 22, 12, 30, 15, tzinfo=ZONE)
DAY = datetime.timedelta(days=1)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime.datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def budget(store: Store, clock: Clock, runs: int = 2, epsilon: int = 10) -> Budget:
    """Return a budget of 30 days."""
    return Budget(store, BudgetRules(30 * DAY, runs, Fraction(epsilon)), clock)


def run(budget: Budget, job: str = "a job", epsilon: Fraction | None = None, partner: str = "shop") -> None:
    """Reserve and spend one run."""
    budget.spend(budget.reserve("cards", partner, job, epsilon))


def refused(budget: Budget, epsilon: Fraction | None = None) -> PolicyRefusal:
    """Return the refusal of one more run."""
    with pytest.raises(PolicyRefusal) as caught:
        budget.reserve("cards", "shop", "one more", epsilon)
    assert caught.value.code is CODES["over_budget"]
    return caught.value


def test_runs_are_counted_per_dataset_and_partner(store: Store, clock: Clock) -> None:
    two = budget(store, clock)
    run(two)
    # The same job again is a restart after tokens were released: it costs again.
    run(two)
    refused(two)
    run(two, partner="another")
    two.spend(two.reserve("loans", "shop", "a job", None))
    assert two.spent("cards", "shop") == Spent(2, Fraction(0))
    assert two.spent("cards", "another") == Spent(1, Fraction(0))


def test_the_refusal_says_what_is_spent_and_when_it_renews(store: Store, clock: Clock) -> None:
    two = budget(store, clock)
    run(two)
    clock.now += DAY
    run(two)
    error = refused(two)
    assert str(error) == (
        "The privacy budget of dataset cards for partner shop does not allow this run: 2 of 2 runs are spent in "
        "30 days. Hint: it renews on 2026-12-22 at 12:31 (UTC+08:00)"
    )
    # And then it does.
    clock.now = datetime.datetime(2026, 12, 22, 12, 30, tzinfo=ZONE)
    refused(two)
    clock.now += datetime.timedelta(minutes=1)
    run(two)
    refused(two)


def test_epsilons_add_up_exactly(store: Store, clock: Clock) -> None:
    ten = budget(store, clock, runs=1000, epsilon=1)
    for _ in range(10):
        run(ten, epsilon=Fraction(1, 10))
    assert ten.spent("cards", "shop") == Spent(10, Fraction(1))
    error = refused(ten, Fraction(1, 100))
    assert "10 of 1000 runs and 1 of 1 epsilon are spent in 30 days; this run needs epsilon 0.01" in str(
        error
    )
    run(ten, epsilon=None)


def test_a_run_that_no_period_has_room_for(store: Store, clock: Clock) -> None:
    assert "no period has room" in refused(budget(store, clock), Fraction(11)).hint
    assert "no period has room" in refused(budget(store, clock, runs=0)).hint


def test_it_renews_when_enough_epsilon_is_free(store: Store, clock: Clock) -> None:
    ten = budget(store, clock, runs=9)
    for cost in (2, 5, 3):
        run(ten, epsilon=Fraction(cost))
        clock.now += DAY
    assert "2026-12-22" in refused(ten, Fraction(2)).hint
    assert "2026-12-23" in refused(ten, Fraction(3)).hint


def test_a_reservation_counts_until_it_is_given_back_or_lapses(store: Store, clock: Clock) -> None:
    one = budget(store, clock, runs=1)
    held = one.reserve("cards", "shop", "first", None)
    refused(one)
    one.cancel(held)
    one.reserve("cards", "shop", "second", None)
    # A job that starts again before it released anything takes its own place.
    one.reserve("cards", "shop", "second", None)
    refused(one)
    clock.now += RESERVED_FOR
    run(one, "third")
    assert one.spent("cards", "shop").runs == 1


def test_a_lapsed_reservation_is_asked_for_again(store: Store, clock: Clock) -> None:
    one = budget(store, clock, runs=1)
    late = one.reserve("cards", "shop", "late", None)
    clock.now += RESERVED_FOR
    run(one, "quick")
    with pytest.raises(PolicyRefusal):
        one.spend(late)
    clock.now += 30 * DAY
    one.spend(late)
    assert one.spent("cards", "shop").runs == 1


def test_what_is_spent_stays_spent(store: Store, clock: Clock) -> None:
    two = budget(store, clock)
    held = two.reserve("cards", "shop", "a job", None)
    two.spend(held)
    two.cancel(held)
    assert two.spent("cards", "shop").runs == 1
    # A run that was cut and goes on asks again, and costs once.
    assert not two.spend(held)
    assert two.is_spent(held)
    assert two.spent("cards", "shop").runs == 1
    two.abandon("a job")
    assert two.spent("cards", "shop").runs == 1


def test_a_job_that_ended_gives_back_what_it_had_not_spent(store: Store, clock: Clock) -> None:
    two = budget(store, clock)
    held = two.reserve("cards", "shop", "a job", None)
    two.reserve("cards", "shop", "other", None)
    two.abandon("a job")
    assert two.spent("cards", "shop").runs == 1
    # Should it be spent after all, it is under the number that its run knows.
    assert two.spend(held)
    assert not two.spend(held)
    assert two.spent("cards", "shop").runs == 2


def test_an_old_reservation_never_means_another_jobs_row(store: Store, clock: Clock) -> None:
    two = budget(store, clock)
    old = two.reserve("cards", "shop", "a job", None)
    two.cancel(old)
    other = two.reserve("cards", "shop", "other", None)
    assert other.id != old.id
    two.cancel(old)
    assert two.spent("cards", "shop").runs == 1


def test_a_clock_that_was_ahead_frees_nothing(store: Store, clock: Clock) -> None:
    one = budget(store, clock, runs=1)
    clock.now += 10 * DAY
    run(one)
    clock.now = START
    refused(one)


def test_it_outlives_the_process(store_url: str, clock: Clock) -> None:
    with closing(Store(store_url)) as store:
        run(budget(store, clock))
    with closing(Store(store_url)) as store:
        assert budget(store, clock).spent("cards", "shop").runs == 1


steps = st.lists(
    st.tuples(st.sampled_from(["run", "cancel"]), st.integers(0, 40), st.integers(0, 4)), max_size=12
)


@given(steps)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_period_ever_has_more_than_the_budget(store: Store, steps: list[tuple[str, int, int]]) -> None:
    clock, released = Clock(), []
    # One store for all examples: each has a dataset of its own.
    dataset = uuid.uuid4().hex
    three = budget(store, clock, runs=3, epsilon=6)
    for action, days, cost in steps:
        clock.now += days * DAY
        try:
            held = three.reserve(dataset, "shop", "a job", Fraction(cost) if cost else None)
            if action == "run":
                three.spend(held)
                released.append((clock.now, cost))
            else:
                three.cancel(held)
        except PolicyRefusal:
            continue
    for end, _ in released:
        within = [cost for at, cost in released if end - 30 * DAY < at <= end]
        assert len(within) <= 3
        assert sum(within) <= 6


def take_the_last_run(url: str, start: Any, outcome: Any) -> None:
    """Another process: reserve and spend as soon as both are ready."""
    with closing(Store(url)) as store:
        one = budget(store, Clock(), runs=3)
        start.wait(60)
        try:
            run(one)
            outcome.put("won")
        except PolicyRefusal:
            outcome.put("refused")


def test_of_two_processes_that_race_for_the_last_run_exactly_one_wins(
    store: Store, store_url: str, clock: Clock
) -> None:
    for _ in range(2):
        run(budget(store, clock, runs=3))
    context = multiprocessing.get_context("spawn")
    start, outcome = context.Barrier(2), context.Queue()
    racers = [context.Process(target=take_the_last_run, args=(store_url, start, outcome)) for _ in range(2)]
    for racer in racers:
        racer.start()
    assert sorted(outcome.get(timeout=60) for _ in racers) == ["refused", "won"]
    for racer in racers:
        racer.join(60)
    assert budget(store, clock).spent("cards", "shop").runs == 3


def test_of_many_threads_as_many_win_as_there_are_runs(store: Store, clock: Clock) -> None:
    five, won = budget(store, clock, runs=5), []

    def race(number: int) -> None:
        try:
            run(five, f"job {number}")
            won.append(number)
        except PolicyRefusal:
            return

    threads = [threading.Thread(target=race, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 5


def test_history_gives_the_last_job_of_a_dataset_and_partner(store: Store, clock: Clock) -> None:
    history = History(store, clock)
    assert history.last("cards", "shop") is None
    history.record("cards", "shop", "one", "lift", Sizes(100, 200))
    history.record("cards", "shop", "two", "lift", Sizes(110, 190))
    history.record("cards", "another", "three", "lift", Sizes(1, 2))
    assert history.last("cards", "shop") == Sizes(110, 190)
    assert history.last("loans", "shop") is None
