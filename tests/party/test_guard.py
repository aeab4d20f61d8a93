"""A job under a party's policy, budget and ledger: in which order it is held to them, and what it gives back."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from party.budget import Spent
from party.guard import Guard
from party.history import Sizes
from party.home import Home
from party.jobspec import Job
from party.policy import parse_policy
from psi.errors import PolicyRefusal, VeiljoinError
from tests.party.jobs import job as match_job
from tests.party.sum_jobs import sum_job

DATA, PARTNER = "cards.csv", "platform"
DAY = datetime.timedelta(days=1)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC)

    def __call__(self) -> datetime.datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def home(tmp_path: Path, clock: Clock) -> Iterator[Home]:
    with Home.open(tmp_path / "home", clock) as home:
        yield home


def under(home: Home, written: str) -> None:
    """Give a home the policy that is written so."""
    home.policy = parse_policy(tomllib.loads(written, parse_float=Decimal), "policy.toml")


def guard(home: Home, job: Job, name: str, side: str = "bank") -> Guard:
    """The guard of one job."""
    return Guard(home, job, side, DATA, PARTNER, name)


def admit(guarded: Guard, persons: int, start: int = 0) -> None:
    """Tell a guard an input of so many persons, and let it be admitted."""
    numbers = guarded.sketch.persons(b"+86138%08d" % number for number in range(start, start + persons))
    guarded.sketch.add(numbers, np.zeros(persons, dtype=np.uint64))
    guarded.admit()


def run(home: Home, job: Job, name: str, persons: int, peer: int = 1000, start: int = 0) -> None:
    """Run one job to its end."""
    with guard(home, job, name) as guarded:
        admit(guarded, persons, start)
        guarded.release(peer)


def runs(home: Home) -> int:
    """The runs that count."""
    return home.budget().spent(DATA, PARTNER).runs


def inputs(home: Home) -> int:
    """The inputs that the ledger has files of."""
    return len(list((home.folder / "ledger").glob("*.tags")))


def test_a_job_costs_a_run_and_is_remembered(home: Home) -> None:
    run(home, sum_job("measure", policy__epsilon=0.5), "first", 1000, peer=777)
    assert home.budget().spent(DATA, PARTNER) == Spent(1, Fraction(1, 2))
    assert home.history().last(DATA, PARTNER) == Sizes(1000, 777)
    assert inputs(home) == 1


def test_the_same_job_again_costs_another_run(home: Home) -> None:
    for name in ("first", "second"):
        run(home, match_job(), name, 1000)
    assert runs(home) == 2


def broken_off(home: Home, after: str) -> None:
    """Run a job whose link breaks after it was reserved, admitted or released."""
    with guard(home, match_job(), "first") as guarded:
        assert runs(home) == 1
        if after != "reserved":
            admit(guarded, 1000)
        if after == "released":
            guarded.release(1000)
        raise VeiljoinError("The link broke.")


@pytest.mark.parametrize("after", ["reserved", "admitted"])
def test_a_job_that_released_nothing_gives_its_run_back(home: Home, after: str) -> None:
    with pytest.raises(VeiljoinError, match="link"):
        broken_off(home, after)
    assert (runs(home), inputs(home)) == (0, 0)
    assert home.history().last(DATA, PARTNER) is None
    run(home, match_job(), "second", 1001)


def test_a_job_that_broke_off_after_it_released_stays_spent(home: Home) -> None:
    with pytest.raises(VeiljoinError, match="link"):
        broken_off(home, "released")
    assert (runs(home), inputs(home)) == (1, 1)
    with pytest.raises(PolicyRefusal, match="differs from that of job first"):
        run(home, match_job(), "second", 1001)


def test_the_policy_comes_first(home: Home) -> None:
    under(home, "[limits]\nmin_group = 60\n[budget]\nruns = 0\n")
    with pytest.raises(PolicyRefusal, match=r"The job has min_group = 50, and policy\.toml requires 60"):
        guard(home, match_job(), "first").__enter__()
    with pytest.raises(PolicyRefusal, match="0 of 0 runs"):
        guard(home, match_job(policy__min_group=60), "first").__enter__()
    assert (runs(home), inputs(home)) == (0, 0)


def test_epsilons_add_up(home: Home) -> None:
    under(home, "[limits]\nepsilon = 1\n[budget]\nepsilon = 1.5\n")
    with pytest.raises(PolicyRefusal, match=r"The job has epsilon = none, and policy\.toml requires 1"):
        guard(home, sum_job("measure"), "exact").__enter__()
    run(home, sum_job("measure", policy__epsilon=1), "first", 1000)
    with pytest.raises(PolicyRefusal, match=r"1 of 1\.5 epsilon .* this run needs epsilon 1\.") as caught:
        run(home, sum_job("measure", policy__epsilon=1), "second", 1000)
    assert caught.value.code.name == "over_budget"
    run(home, sum_job("measure", policy__epsilon=0.5), "third", 1000)


def test_two_jobs_at_once_do_not_share_the_last_run(home: Home) -> None:
    under(home, "[budget]\nruns = 1\n")
    with guard(home, match_job(), "first"), pytest.raises(PolicyRefusal, match="1 of 1 runs"):
        guard(home, match_job(), "second").__enter__()
    run(home, match_job(), "third", 1000)


def test_two_jobs_at_once_see_each_others_input(home: Home) -> None:
    with guard(home, match_job(), "first") as first, guard(home, match_job(), "second") as second:
        admit(first, 1000)
        with pytest.raises(PolicyRefusal, match="differs from that of job first"):
            admit(second, 1001)
        first.release(1000)
    assert (runs(home), inputs(home)) == (1, 1)


def test_what_a_killed_job_held_lapses_in_a_day(home: Home, clock: Clock) -> None:
    under(home, "[budget]\nruns = 1\n")
    admit(guard(home, match_job(), "killed").__enter__(), 1000)
    with pytest.raises(PolicyRefusal, match="1 of 1 runs") as caught:
        run(home, match_job(), "second", 1001)
    assert "renews on 2026-11-23 at 12:01" in caught.value.hint
    clock.now += DAY
    run(home, match_job(), "second", 1001)
    assert (runs(home), inputs(home)) == (1, 1)


def test_a_job_that_waited_for_days_must_still_fit(home: Home, clock: Clock) -> None:
    under(home, "[budget]\nruns = 1\n")
    with guard(home, match_job(), "waits") as waiting:
        admit(waiting, 5000)
        clock.now += DAY
        run(home, match_job(), "quick", 100, start=10_000)
        clock.now += DAY / 2
        # Its entry was purged meanwhile; the budget would not have room for it either.
        with pytest.raises(VeiljoinError, match="waited for the partner"):
            waiting.release(1000)
    assert (runs(home), inputs(home)) == (1, 1)


def test_a_run_that_is_refused_late_is_not_remembered(home: Home, clock: Clock) -> None:
    under(home, "[budget]\nruns = 1\n")
    with guard(home, match_job(), "waits") as waiting:
        admit(waiting, 5000)
        clock.now += DAY
        home.budget().spend(home.budget().reserve(DATA, PARTNER, "quick", None))
        with pytest.raises(PolicyRefusal, match="1 of 1 runs"):
            waiting.release(1000)
    assert (runs(home), inputs(home)) == (1, 0)


def test_no_set_grows_beyond_the_policy(home: Home) -> None:
    under(home, "[limits]\nmax_growth = 0.5\n")
    run(home, match_job(), "first", 1000, peer=200)
    with pytest.raises(PolicyRefusal, match="The bank's set has 1,501 persons after 1,000") as caught:
        run(home, match_job(), "second", 1501)
    assert "max_growth" in caught.value.hint
    with pytest.raises(PolicyRefusal, match="The platform's set has 301 persons after 200"):
        run(home, match_job(), "third", 1500, peer=301)
    # Neither was released, so growth is still measured against the first.
    assert (runs(home), inputs(home)) == (1, 1)
    run(home, match_job(), "fourth", 1500, peer=300)
    assert home.history().last(DATA, PARTNER) == Sizes(1500, 300)


@pytest.mark.parametrize("action", ["noise", "refuse"])
def test_noise_helps_where_the_policy_says_so(home: Home, action: str) -> None:
    under(home, f'[differencing]\naction = "{action}"\nmin_difference = 10\n')
    run(home, sum_job("measure"), "first", 1000)
    noised = sum_job("measure", policy__epsilon=1)
    if action == "noise":
        run(home, noised, "second", 1001)
        return
    with pytest.raises(PolicyRefusal, match="fewer than 10 persons") as caught:
        run(home, noised, "second", 1001)
    assert "epsilon" not in caught.value.hint
    run(home, noised, "third", 1010)


def test_a_match_is_not_advised_to_use_noise(home: Home) -> None:
    run(home, match_job(), "first", 1000)
    with pytest.raises(PolicyRefusal) as caught:
        run(home, match_job(), "second", 1001)
    assert "epsilon" not in caught.value.hint
    with pytest.raises(PolicyRefusal) as caught:
        run(home, sum_job("measure"), "third", 1001)
    assert "epsilon" in caught.value.hint


def test_least_is_the_jobs_min_group(home: Home) -> None:
    strict = match_job(policy__min_group=200)
    run(home, strict, "first", 1000)
    with pytest.raises(PolicyRefusal, match="fewer than 200 persons"):
        run(home, strict, "second", 1199)
    run(home, strict, "third", 1200)


def test_what_is_past_its_period_is_removed(home: Home, clock: Clock) -> None:
    run(home, match_job(), "first", 1000)
    clock.now += 30 * DAY
    run(home, match_job(), "second", 1001)
    assert (runs(home), inputs(home)) == (1, 1)


def test_nothing_is_released_that_was_not_admitted(home: Home) -> None:
    with guard(home, match_job(), "first") as guarded, pytest.raises(RuntimeError):
        guarded.release(1000)
    assert runs(home) == 0
