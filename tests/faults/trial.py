"""One trial: two nodes, one job, the faults of one schedule, and the judgement once both rest."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

from party.jobs import Jobs
from party.jobstates import JobState
from party.node import Node
from psi.errors import UsageError
from tests.faults.inject import Injector
from tests.faults.judge import Account, account_of, judge, judge_store, judge_words
from tests.faults.keeper import Keeper
from tests.faults.schedule import SIDES, Schedule
from tests.faults.world import Site, World, can_mount, question_job

# How long after the last fault both sides may take to come to rest: a lease, a lost stream and a pause in dialling.
REST_SECONDS: Final = 150.0
_ORPHANS: Final = 15.0
_CERTIFICATE: Final = 45.0
_SWEPT: Final = 12.0
_LOOK: Final = 0.3


@dataclass
class Outcome:
    """What came of a trial: the states of both sides, what was wrong, which faults could be done, and how long."""

    schedule: Schedule
    states: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    exits: dict[str, list[int]] = field(default_factory=dict)
    seconds: float = 0.0
    rest_seconds: float = 0.0


def run_trial(world: World, schedule: Schedule) -> Outcome:
    """Run ``schedule``. The trial's folder stays if there was a problem."""
    outcome = Outcome(schedule)
    began = time.monotonic()
    name = f"seed-{schedule.seed}"
    memory = schedule.in_memory if schedule.in_memory and can_mount() else ()
    with world.site(name, schedule.store, memory) as site:
        site.portable = schedule.portable
        if schedule.has("certificate"):
            site.shorten_certificate(_CERTIFICATE)
        _Trial(world, site, schedule, outcome).run()
    outcome.seconds = time.monotonic() - began
    if not outcome.problems:
        shutil.rmtree(world.folder / name)
    return outcome


class _Trial:
    def __init__(self, world: World, site: Site, schedule: Schedule, outcome: Outcome) -> None:
        self._world, self._site, self._schedule, self._outcome = world, site, schedule, outcome
        self._question = world.questions[schedule.question]
        self._job = ""
        self._jobs: dict[str, Jobs] = {}

    def run(self) -> None:
        site, outcome, faults = self._site, self._outcome, self._schedule.faults
        with ExitStack() as stack:
            proxy = stack.enter_context(self._world.proxy())
            keepers = {side: stack.enter_context(Keeper(site, side)) for side in SIDES}
            for keeper in keepers.values():
                keeper.ready()
            for side in SIDES:
                node = stack.enter_context(Node.open(site.of(side)))
                self._jobs[side] = Jobs(node.home.store, node.file.role)
            injector = Injector(self._world, site, proxy, keepers, self._rests)
            injector.prepare(faults)
            self._job = injector.job = site.data(*question_job(site, self._question))["job"]
            with _tended(keepers):
                site.command("job", "approve", self._job, "--home", site.bank, "--as", "bob")
                injector.run(faults)
                outcome.done = injector.done
                self._wait(outcome)
            for keeper in keepers.values():
                keeper.stop()
            self._look(keepers)

    def _wait(self, outcome: Outcome) -> None:
        """Wait until both sides rest."""
        began = time.monotonic()
        while not self._rests() and time.monotonic() - began < REST_SECONDS:
            time.sleep(_LOOK)
        outcome.rest_seconds = time.monotonic() - began
        if not self._rests():
            outcome.problems.append(f"no rest after {REST_SECONDS:g} s")
        # What a job leaves is swept away within seconds of its end, together with its secrets.
        deadline = time.monotonic() + _SWEPT
        while any(path for side in SIDES for path in (self._site.of(side) / "work").glob("*")):
            if time.monotonic() > deadline:
                return  # the judge says what is left
            time.sleep(_LOOK)
        time.sleep(1.0)

    def _rests(self) -> bool:
        """Whether the job has ended on both sides, and what it led to is published."""
        states = []
        for side, jobs in self._jobs.items():
            try:
                found = jobs.list(limit=1).jobs
            except UsageError:
                return False  # the store is locked or away
            record = next((each for each in found if each.id == self._job), None)
            if record is not None and not record.state.ended:
                return False
            result = self._site.of(side) / "results" / self._job
            if record is not None and record.state is JobState.DONE and not result.exists():
                return False
            states.append("none" if record is None else record.state.value)
        return "none" not in states or states[0] == "cancelled"

    def _look(self, keepers: dict[str, Keeper]) -> None:
        outcome, accounts = self._outcome, dict[str, Account | None]()
        for side, keeper in keepers.items():
            home = self._site.of(side)
            try:
                accounts[side] = account_of(home, self._job)
            except UsageError as error:
                if error.code.name != "unknown_job":
                    raise
                accounts[side] = None
            account = accounts[side]
            outcome.states[side] = "none" if account is None else account.state
            outcome.attempts[side] = 0 if account is None else account.record.attempts
            outcome.exits[side] = keeper.fell
            if any(keeper.stopped):
                outcome.problems.append(f"{side}: a node that was told to end did so with {keeper.stopped}")
            if not _gone(keeper):
                outcome.problems.append(f"{side}: processes are left")
            said = keeper.said
            (self._site.sandbox.folder / f"{side}.log").write_text("".join([*said.output, *said.errors]))
            outcome.problems += judge_words(self._question, self._site, side, said.output, said.errors)
            outcome.problems += judge_store(home)
        bank = accounts["bank"]
        contract = b"" if bank is None else bank.record.contract or b""
        outcome.problems += judge(self._schedule, self._question, accounts, contract)
        left = [path.name for path in self._site.sandbox.temporary.iterdir()]
        if left:
            outcome.problems.append(f"left in the temporary folder: {', '.join(left[:6])}")


@contextmanager
def _tended(keepers: dict[str, Keeper]) -> Iterator[None]:
    """Start nodes again that die while the block runs."""
    over = threading.Event()

    def tend() -> None:
        while not over.wait(0.05):
            for keeper in keepers.values():
                keeper.tend()

    thread = threading.Thread(target=tend)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _gone(keeper: Keeper) -> bool:
    deadline = time.monotonic() + _ORPHANS
    while keeper.left():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
