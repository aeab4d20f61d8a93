"""Attempts of jobs under a standing node: leases, cuts, two-sided completion, and what a node that died left."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from party import running
from party.conversation import Desk
from party.jobprocess import Ending
from party.jobrecords import person
from party.jobsteps import MAX_ATTEMPTS
from party.notary import Notary
from party.run import Stage
from party.runner import SideConfig
from party.running import Runs
from psi.errors import PeerViolation, UsageError, VeiljoinError
from tests.party.standing_pair import Pair, Side
from tests.party.test_agent import RULE

CUT = Ending(False, "link_lost", "It was cut.", "", cut=True)
DIED = Ending(False, "process_died", "It was killed.", "", cut=True)
ANEW = Ending(False, "begun_anew", "It begins anew.", "", cut=True, anew=True)
FAILED = Ending(False, "too_small", "It was too small.", "")


class Process:
    """A job's process that does what the test says."""

    pid = 4242
    started: list[Process] = []  # noqa: RUF012 - emptied by the fixture

    def __init__(self, config: SideConfig) -> None:
        self.config = config
        self.ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self.started.append(self)

    @classmethod
    async def start(cls, config: SideConfig, end: socket.socket | None = None) -> Process:
        if end is not None:
            end.close()
        return cls(config)

    async def follow(self, tell: Callable[[Mapping[str, Any]], None]) -> Ending:
        tell({"event": "phase", "phase": "read", "total": 5})
        return await self.ending

    async def stop(self) -> None:
        self.end(CUT)

    def end(self, ending: Ending) -> None:
        """End; with a result, if ``ending`` says so."""
        if self.ending.done():
            return
        if ending.done:
            self.config.staging.mkdir()
            (self.config.staging / "result.json").write_text("{}")
        self.ending.set_result(ending)


class Threads(ThreadPoolExecutor):
    """The threads of an event loop, and whether any of them has something to do."""

    under_way = 0

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        Threads.under_way += 1
        future = super().submit(work, *arguments, **named)
        # In the loop, after whoever waits for it has been told.
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._over))
        return future

    @staticmethod
    def _over() -> None:
        Threads.under_way -= 1

    @staticmethod
    async def idle() -> None:
        """Wait until no thread has anything to do and no task has anything to go on with."""
        turns = 0
        while turns < 20:
            await asyncio.sleep(0.001 if Threads.under_way else 0)
            turns = 0 if Threads.under_way else turns + 1


class Nodes:
    """Both sides' runs over one accepted job; everything that is said and ordered is carried out."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.told: list[dict[str, Any]] = []
        self.sides = (pair.bank, pair.platform)
        self.runs = {}
        self.notaries: dict[Side, Notary] = {}
        for side in self.sides:
            # No certificate is needed to run a process that is none.
            side.node.credentials.material = lambda: None  # type: ignore[method-assign,return-value,assignment]
            self.runs[side] = self.anew(side)
        self.job = pair.draft().id
        pair.connect()
        assert pair.states(self.job) == ("accepted", "accepted")

    def anew(self, side: Side) -> Runs:
        """A process of a node that has just started."""
        notary = Notary(side.node.log.cosigning(), side.node.partners, self.told.append)
        self.notaries[side] = notary
        runs = Runs(side.node, side.jobs, f"{side.node.file.role}-{len(self.told)}", self.told.append, notary)
        self.told.append({"event": "node"})
        side.agent._run_of = runs.get
        self.runs[side] = runs
        return runs

    async def settle(self) -> None:
        """Let everything that is under way happen."""
        for _ in range(4):
            await Threads.idle()
            self.pair.talk()
            for side in self.sides:
                desk = Desk(side.agent, self.runs[side], self.notaries[side])
                for order in side.orders:
                    await desk.carry_out(order)
                side.orders.clear()

    async def begin(self) -> tuple[Process, Process]:
        """Begin an attempt on both sides; returns the bank's process and the platform's."""
        bank = self.runs[self.pair.bank]
        await bank.open(self.job)
        await self.settle()
        bank.attach(bank.claim("acme", self.job)).close()
        await self.settle()
        latest = {process.config.side: process for process in Process.started}
        return latest["bank"], latest["platform"]

    def folders(self) -> list[tuple[bool, list[str]]]:
        """Of each side, whether there is a result and what is left of the work: attempts, and "" for the run."""
        found = []
        for side in self.sides:
            home = side.node.home.folder
            work = sorted(path.name.partition(".")[2] for path in (home / "work").glob("*"))
            found.append(((home / "results" / self.job / "result.json").exists(), work))
        return found


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    """Two nodes and a job that both accepted."""
    monkeypatch.setattr(running, "JobProcess", Process)
    Process.started.clear()
    pair = Pair(tmp_path, RULE)
    pair.connect()
    yield Nodes(pair)
    pair.close()


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine."""

    async def within() -> None:
        Threads.under_way = 0
        asyncio.get_running_loop().set_default_executor(Threads())
        await asyncio.wait_for(test, 120)

    asyncio.run(within())


@pytest.mark.parametrize("first", [0, 1])
def test_both_publish_once_both_parts_are_whole(nodes: Nodes, first: int) -> None:
    async def test() -> None:
        processes = await nodes.begin()
        processes[first].end(Ending(True))
        await nodes.settle()
        assert nodes.pair.states(nodes.job) == ("running", "running")
        assert [result for result, _ in nodes.folders()] == [False, False]
        processes[1 - first].end(Ending(True))
        await nodes.settle()
        assert nodes.pair.states(nodes.job) == ("done", "done")
        assert nodes.folders() == [(True, []), (True, [])]

    run(test())


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("cut", [0, 1])
def test_a_process_that_dies_costs_one_attempt_on_both_sides(nodes: Nodes, cut: int, complete: bool) -> None:
    async def test() -> None:
        processes = await nodes.begin()
        if complete:
            # The other side's part is whole; this attempt's nevertheless must not count.
            processes[1 - cut].end(Ending(True))
            await nodes.settle()
        processes[cut].end(CUT)
        if not complete:
            # The other process loses its link.
            processes[1 - cut].end(CUT)
        await nodes.settle()
        again = await nodes.begin()
        for process in again:
            assert process not in processes
            process.end(Ending(True))
        await nodes.settle()
        assert nodes.pair.states(nodes.job) == ("done", "done")
        assert nodes.folders() == [(True, []), (True, [])]
        assert nodes.pair.bank.jobs.get(nodes.job).attempts == 2
        for side in nodes.sides:
            steps = [event.step.value for event in side.jobs.events(nodes.job)]
            assert steps.count("finish") == 1

    run(test())


def test_a_job_whose_process_dies_again_and_again_has_failed_on_both_sides(nodes: Nodes) -> None:
    async def test() -> None:
        for _ in range(MAX_ATTEMPTS):
            for process in await nodes.begin():
                process.end(DIED)
            await nodes.settle()
        assert nodes.pair.states(nodes.job) == ("failed", "failed")
        assert nodes.folders() == [(False, []), (False, [])]

    run(test())


def test_cuts_of_the_link_are_not_counted(nodes: Nodes) -> None:
    async def test() -> None:
        for _ in range(2 * MAX_ATTEMPTS):
            for process in await nodes.begin():
                process.end(CUT)
            await nodes.settle()
        assert nodes.pair.states(nodes.job) == ("accepted", "accepted")
        # What the run has reached is kept.
        assert nodes.folders() == [(False, [""]), (False, [""])]

    run(test())


def test_attempts_that_died_count_only_without_progress(nodes: Nodes) -> None:
    async def test() -> None:
        for attempt in range(2 * MAX_ATTEMPTS):
            for process in await nodes.begin():
                kept = process.config.run
                assert kept is not None
                (kept / "sets").mkdir(exist_ok=True)
                (kept / "sets" / str(attempt)).touch()
                process.end(DIED)
            await nodes.settle()
        assert nodes.pair.states(nodes.job) == ("accepted", "accepted")

    run(test())


def test_attempts_share_one_seed_until_a_side_has_lost_it(nodes: Nodes) -> None:
    async def test() -> None:
        seeds = []
        for ending in (CUT, ANEW, CUT, CUT):
            processes = await nodes.begin()
            seeds.append([process.config.seed.reveal() for process in processes if process.config.seed])
            for process in processes:
                process.end(ending)
            await nodes.settle()
            if len(seeds) == 3:
                # A disk that was lost: its seed may not serve another session.
                shutil.rmtree(processes[0].config.run or "")
        assert seeds[0] == seeds[1] != seeds[2]
        assert seeds[2][0] != seeds[3][0]
        assert seeds[2][1] == seeds[3][1]
        assert len({seed for pair in seeds for seed in pair}) == 5

    run(test())


@pytest.mark.parametrize("at", [0, 1])
def test_an_attempt_that_ends_while_the_store_is_away_is_noted_later(
    nodes: Nodes, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise UsageError("The store is away.", code="store_unavailable")

    async def test() -> None:
        processes = await nodes.begin()
        side = nodes.sides[at]
        with monkeypatch.context() as patch:
            patch.setattr(side.jobs, "retry", away)
            processes[at].end(DIED)
            await nodes.settle()
        assert any(told["event"] == "fault" for told in nodes.told)
        assert nodes.pair.states(nodes.job)[at] == "running"
        await nodes.runs[side].tidy()
        assert nodes.pair.states(nodes.job)[at] == "accepted"

    run(test())


@pytest.mark.parametrize(
    ("fault", "states"),
    [
        (UsageError("The store is away.", code="store_unavailable"), ("accepted", "accepted")),
        (PeerViolation("It sent nonsense."), ("failed", "failed")),
    ],
)
def test_a_stream_that_broke_because_the_store_was_away_goes_on(
    nodes: Nodes, fault: VeiljoinError, states: tuple[str, str]
) -> None:
    async def test() -> None:
        processes = await nodes.begin()
        run = nodes.runs[nodes.sides[0]].get(nodes.job)
        assert run is not None
        # What the node found while it passed the partner's stream on; the process lost its link by it.
        run.fault = fault
        for process in processes:
            process.end(CUT)
        await nodes.settle()
        assert nodes.pair.states(nodes.job) == states

    run(test())


def test_a_job_is_finished_once_the_store_is_back(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise UsageError("The store is away.", code="store_unavailable")

    async def test() -> None:
        processes = await nodes.begin()
        bank = nodes.sides[0]
        runs = nodes.runs[bank]
        with monkeypatch.context() as patch:
            patch.setattr(bank.jobs, "finish", away)
            runs.get(nodes.job).partner_complete = True  # type: ignore[union-attr]
            processes[0].end(Ending(True))
            await nodes.settle()
        assert any(told["event"] == "fault" for told in nodes.told)
        assert nodes.pair.states(nodes.job)[0] == "running"
        await runs.tidy()
        assert nodes.pair.states(nodes.job)[0] == "done"
        assert nodes.folders()[0][0]

    run(test())


@pytest.mark.parametrize("at", [0, 1])
def test_an_error_is_no_cut_and_ends_the_job_on_both_sides(nodes: Nodes, at: int) -> None:
    async def test() -> None:
        processes = await nodes.begin()
        processes[at].end(FAILED)
        await nodes.settle()
        assert nodes.pair.states(nodes.job) == ("failed", "failed")
        codes = [side.jobs.get(nodes.job).code for side in nodes.sides]
        assert (codes[at], codes[1 - at]) == ("too_small", "peer_aborted")
        # The other side's process was told to stop.
        assert processes[1 - at].ending.done()

    run(test())


@pytest.mark.parametrize("at", [0, 1])
def test_a_cancelled_job_stops_on_both_sides(nodes: Nodes, at: int) -> None:
    async def test() -> None:
        processes = await nodes.begin()
        nodes.sides[at].jobs.cancel(nodes.job, person("ann"))
        await nodes.settle()
        for runs in nodes.runs.values():
            await runs.renew()
        await nodes.settle()
        assert nodes.pair.states(nodes.job) == ("cancelled", "cancelled")
        assert all(process.ending.done() for process in processes)
        assert nodes.folders() == [(False, []), (False, [])]

    run(test())


def test_a_stream_belongs_to_the_partner_and_the_job_that_wait_for_it(nodes: Nodes) -> None:
    async def test() -> None:
        bank = nodes.runs[nodes.pair.bank]
        with pytest.raises(PeerViolation):
            bank.claim("acme", nodes.job)
        await bank.open(nodes.job)
        for partner, job in (("other", nodes.job), ("acme", "0" * 32)):
            with pytest.raises(PeerViolation):
                bank.claim(partner, job)
        bank.claim("acme", nodes.job)
        with pytest.raises(PeerViolation):
            bank.claim("acme", nodes.job)

    run(test())


def test_a_stream_that_nobody_opens_ends_the_attempt(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "JOIN_SECONDS", -1.0)

    async def test() -> None:
        bank = nodes.runs[nodes.pair.bank]
        await bank.open(nodes.job)
        await bank.renew()
        record = nodes.pair.bank.jobs.get(nodes.job)
        assert (record.state, record.code, len(bank)) == ("accepted", "peer_absent", 0)

    run(test())


@pytest.mark.parametrize("side", [0, 1])
def test_a_node_that_dies_before_its_part_is_whole_runs_it_again(nodes: Nodes, side: int) -> None:
    async def test() -> None:
        processes = await nodes.begin()
        which = nodes.sides[side]
        # It is gone without a word; its job's process goes with it, and the other's loses its link.
        await died(nodes, which)
        processes[1 - side].end(CUT)
        await nodes.settle()
        for process in await nodes.begin():
            process.end(Ending(True))
        await nodes.settle()
        assert nodes.pair.states(nodes.job) == ("done", "done")
        assert nodes.folders() == [(True, []), (True, [])]

    run(test())


async def died(nodes: Nodes, side: Side) -> None:
    """Put a new process of a node in the place of one that died, and let the old one's lease run out."""
    runs = nodes.anew(side)
    await runs.recover()
    with pytest.raises(UsageError):
        side.jobs.renew(nodes.job, "a process that never held it")
    nodes.pair.clock.forward(seconds=20)
    for each in nodes.runs.values():
        if each is not runs:
            await each.renew()
    await runs.tidy()
    nodes.pair.connect()


def test_a_platform_that_dies_with_its_part_whole_has_its_result_nevertheless(nodes: Nodes) -> None:
    async def test() -> None:
        processes = await nodes.begin()
        processes[1].end(Ending(True))
        await nodes.settle()
        processes[0].end(Ending(True))
        await asyncio.sleep(0.05)
        # The bank has ended the job, and the platform dies before it hears of it.
        assert nodes.pair.states(nodes.job) == ("done", "running")
        await died(nodes, nodes.pair.platform)
        await nodes.settle()
        assert nodes.pair.states(nodes.job) == ("done", "done")
        assert nodes.folders() == [(True, []), (True, [])]

    run(test())


def test_a_node_that_dies_between_the_end_and_the_result_publishes_it_when_it_is_back(nodes: Nodes) -> None:
    async def test() -> None:
        processes = await nodes.begin()
        processes[1].end(Ending(True))
        await nodes.settle()
        bank = nodes.runs[nodes.pair.bank]
        bank.workroom.publish = lambda job, attempt: Path()  # type: ignore[method-assign]
        processes[0].end(Ending(True))
        await nodes.settle()
        assert nodes.pair.states(nodes.job) == ("done", "done")
        assert nodes.folders()[0] == (False, ["1"])
        await nodes.anew(nodes.pair.bank).recover()
        assert nodes.folders()[0] == (True, [])

    run(test())


def test_a_node_that_is_told_to_stop_gives_its_leases_back(nodes: Nodes) -> None:
    async def test() -> None:
        await nodes.begin()
        for runs in nodes.runs.values():
            await runs.close()
        assert nodes.pair.states(nodes.job) == ("accepted", "accepted")
        assert nodes.folders() == [(False, [""]), (False, [""])]

    run(test())


def test_results_are_removed_when_their_time_is_over(nodes: Nodes) -> None:
    async def test() -> None:
        for process in await nodes.begin():
            process.end(Ending(True))
        await nodes.settle()
        nodes.pair.clock.forward(days=91)
        for runs in nodes.runs.values():
            await runs.tidy()
        assert nodes.pair.states(nodes.job) == ("expired", "expired")
        assert nodes.folders() == [(False, []), (False, [])]

    run(test())


def test_progress_can_be_watched_and_attempts_leave_nothing(nodes: Nodes) -> None:
    async def test() -> None:
        processes = await nodes.begin()
        room = nodes.runs[nodes.pair.bank].workroom
        assert room.progress(nodes.job) == {"event": "phase", "phase": "read", "total": 5}
        assert nodes.runs[nodes.pair.bank].get(nodes.job) is not None
        stage = nodes.runs[nodes.pair.bank].get(nodes.job)
        assert stage is not None
        assert stage.stage is Stage.WORKING
        for process in processes:
            process.end(CUT)
        await nodes.settle()
        assert room.progress(nodes.job) is None

    run(test())
