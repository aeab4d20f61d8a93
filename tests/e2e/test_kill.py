"""Processes that die, stop or are told to stop: the other one says so in time, and nothing is left behind.

Every kill follows an event of the run. Where a phase is too short to be hit from outside, the party is held at
its beginning (hooks/hold); where it is long, it is killed in the middle of its work.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from party.synthetic import Pair
from psi.errors import CODES
from tests.e2e.command import NOTICED, Event, Finished, Running, Sandbox, is_held, needs_proc, snapshot

pytestmark = [needs_proc, pytest.mark.skipif(sys.platform == "win32", reason="signals")]

SIDES = ("bank", "platform")
PHASES = ("agree", "read", "order", "exchange", "write")
OLDER = {"result.json": b"{}\n", "platform/matches.csv": b"phone,tier\n", "bank/result.json": b"{}\n"}


# The product's promise for a partner that is stopped but not gone: pings every two seconds, twenty for an answer.
STOPPED = 30.0


def other_than(side: str) -> str:
    """The partner of ``side``."""
    return "platform" if side == "bank" else "bank"


@contextmanager
def running(
    sandbox: Sandbox, pair: tuple[Path, Path], *held: str, options: tuple[str, ...] = ()
) -> Iterator[tuple[Running, dict[str, bytes | None]]]:
    """A job over an older result, which it must leave alone; yields it and what lay there."""
    for name, content in OLDER.items():
        path = sandbox.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    before = snapshot(sandbox.out)
    environment = sandbox.holding(*held)
    arguments = sandbox.arguments(sandbox.job(), *pair, "--json", *options)
    with sandbox.start(*arguments, hooks=["hold"] if held else [], environment=environment) as job:
        yield job, before


@dataclass(slots=True)
class Stopped:
    """A job, one side of which was stopped by SIGSTOP, and when."""

    sandbox: Sandbox
    side: str
    job: Running
    before: dict[str, bytes | None]
    at: float


@pytest.fixture(scope="module", autouse=True)
def stopped(small: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Stopped]]:
    """Two jobs with one side stopped. Begun before the other tests, because they are spent waiting."""
    with ExitStack() as stack:
        table = {}
        for side in SIDES:
            sandbox = Sandbox(tmp_path_factory.mktemp(f"stopped-{side}"))
            job, before = stack.enter_context(running(sandbox, paths(small), f"{side}:order"))
            job.wait_for(is_held(side, "order"))
            os.kill(job.pid(side), signal.SIGSTOP)
            table[side] = Stopped(sandbox, side, job, before, time.monotonic())
        yield table


def paths(pair: Pair) -> tuple[Path, Path]:
    """Both files of a pair."""
    return pair.bank, pair.platform


def is_at_work(side: str, phase: str) -> Callable[[Event], bool]:
    """The event of a party that has done a part of a phase and has more of it before it."""
    return lambda event: (
        event.get("side") == side
        and event["event"] == "progress"
        and event["phase"] == phase
        and event["done"] > 0
    )


def errors_of(finished: Finished, side: str) -> list[Event]:
    """What a party said when it failed."""
    return [event for event in finished.events if event["event"] == "error" and event["side"] == side]


def nothing_left(sandbox: Sandbox, job: Running, before: dict[str, bytes | None]) -> None:
    """No process, no working data, no result; and the older result is as it was."""
    assert job.processes() == []
    assert sandbox.leftovers() == []
    assert snapshot(sandbox.out) == before


def kill_and_wait(job: Running, pid: int) -> Finished:
    """Kill a process and wait for the command, which has ``NOTICED`` seconds."""
    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    finished = job.finish(NOTICED)
    assert time.monotonic() - killed <= NOTICED
    return finished


def check_killed(finished: Finished, side: str, phase: str) -> None:
    """The command says who was killed and in which phase, and nothing that nobody can act on."""
    assert finished.status == CODES["link_lost"].exit
    assert finished.error == f"The {side}'s process was killed (SIGKILL) in phase {phase}."
    assert finished.hint == "start the job again; nothing was written"
    assert finished.foreign_lines == []
    failed = finished.events[-1]
    assert failed["event"] == "failed"
    assert failed["code"] == "link_lost"
    assert not errors_of(finished, side)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("side", SIDES)
def test_a_side_that_is_killed_is_noticed_and_named(
    sandbox: Sandbox, small: Pair, side: str, phase: str
) -> None:
    with running(sandbox, paths(small), f"{side}:{phase}") as (job, before):
        job.wait_for(is_held(side, phase))
        finished = kill_and_wait(job, job.pid(side))
        check_killed(finished, side, phase)
        told = errors_of(finished, other_than(side))
        if phase == "write":
            # Both have said their last word by then, so the other one may well have ended by itself.
            assert len(told) <= 1
        else:
            (survivor,) = told
            assert survivor["code"] == "link_lost", survivor
            assert survivor["message"] == f"The connection to the {side} ended before the job was done."
            assert f"{other_than(side)}: {survivor['message']}" in finished.stderr.splitlines()
        nothing_left(sandbox, job, before)


@pytest.mark.parametrize("side", SIDES)
def test_a_side_that_is_killed_before_it_begins_is_noticed(sandbox: Sandbox, small: Pair, side: str) -> None:
    with running(sandbox, paths(small)) as (job, before):
        finished = kill_and_wait(job, job.pid(side))
        check_killed(finished, side, "start")
        nothing_left(sandbox, job, before)


@pytest.mark.parametrize(
    ("side", "phase"), [("bank", "read"), ("platform", "exchange"), ("bank", "exchange")]
)
def test_a_side_that_is_killed_at_work_is_noticed(
    sandbox: Sandbox, large: tuple[Path, Path], side: str, phase: str
) -> None:
    with running(sandbox, large) as (job, before):
        job.wait_for(is_at_work(side, phase))
        finished = kill_and_wait(job, job.pid(side))
        check_killed(finished, side, phase)
        (survivor,) = errors_of(finished, other_than(side))
        assert survivor["code"] == "link_lost"
        nothing_left(sandbox, job, before)


def test_a_worker_process_that_is_killed_is_named(sandbox: Sandbox, large: tuple[Path, Path]) -> None:
    with running(sandbox, large) as (job, before):
        job.wait_for(is_at_work("bank", "read"))
        finished = kill_and_wait(job, first_worker(job, job.pid("bank")))
        assert finished.status == CODES["engine_unavailable"].exit
        assert finished.error.startswith("A worker process of the masking engine ")
        (survivor,) = errors_of(finished, "platform")
        assert survivor["message"] == "The bank ended the job with code paused."
        nothing_left(sandbox, job, before)


def first_worker(job: Running, parent: int) -> int:
    """A worker process of ``parent``, once there is one."""
    while True:
        workers = [pid for pid in job.processes() if parent_of(pid) == parent]
        if workers:
            return workers[0]
        assert job.process.poll() is None, "ended without a worker"


def parent_of(pid: int) -> int:
    """The parent of a process, or 0 if it has ended."""
    try:
        # The name stands in brackets and may hold anything; what follows it does not.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.mark.parametrize(
    ("number", "phase"),
    [
        pytest.param(signal.SIGINT, "exchange", id="SIGINT-exchange"),
        pytest.param(signal.SIGTERM, "read", id="SIGTERM-read"),
        pytest.param(signal.SIGHUP, "read", id="SIGHUP-read"),
    ],
)
def test_a_command_that_is_told_to_stop_cleans_up(
    sandbox: Sandbox, large: tuple[Path, Path], number: signal.Signals, phase: str
) -> None:
    with running(sandbox, large) as (job, before):
        job.wait_for(is_at_work("platform", phase))
        job.process.send_signal(number)
        finished = job.finish(NOTICED)
        assert finished.status == CODES["cancelled"].exit == 130
        assert finished.error == "The command was stopped before it was done."
        assert finished.foreign_lines == []
        assert finished.events[-1]["code"] == "cancelled"
        nothing_left(sandbox, job, before)


@pytest.mark.parametrize("phase", ["read", "exchange"])
def test_a_command_that_is_killed_takes_both_parties_and_their_data_with_it(
    sandbox: Sandbox, large: tuple[Path, Path], phase: str
) -> None:
    with running(sandbox, large) as (job, before):
        job.wait_for(is_at_work("platform", phase))
        job.process.kill()
        job.process.wait()
        assert job.gone_within(NOTICED)
        nothing_left(sandbox, job, before)


@pytest.mark.parametrize("side", SIDES)
def test_a_side_that_stops_is_noticed_and_ended(stopped: dict[str, Stopped], side: str) -> None:
    case = stopped[side]
    told = case.job.wait_for(lambda event: event["event"] == "error")
    assert case.job.arrived(told) - case.at <= STOPPED
    assert told["side"] == other_than(side)
    assert told["message"] == f"The connection to the {side} ended before the job was done."
    finished = case.job.finish()
    assert finished.status == CODES["link_lost"].exit
    assert finished.error == f"The {side}'s process did not answer any more and was ended in phase order."
    nothing_left(case.sandbox, case.job, case.before)


def test_the_job_runs_through_after_all_that(sandbox: Sandbox, small: Pair) -> None:
    with running(sandbox, paths(small), "bank:order") as (job, _):
        job.wait_for(is_held("bank", "order"))
        kill_and_wait(job, job.pid("bank"))
    sandbox.rehearse(sandbox.job(), *paths(small)).require_done()
    assert (sandbox.out / "platform" / "matches.csv").stat().st_size > 0
