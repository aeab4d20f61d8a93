"""The nodes of a simulation: their processes, which can be killed, those of their jobs, and what they talk on."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from party.agent import Agent
from party.conversation import Desk
from party.jobprocess import Ending
from party.nodefile import BANK, PLATFORM
from party.notary import Notary
from party.runner import SideConfig
from party.running import Runs
from tests.party.enrolments import SOFTWARE
from tests.party.standing_pair import Side
from tests.simulate.turns import TurnLoop

CUT: Final = Ending(False, "link_lost", "It was cut.", cut=True)
DIED: Final = Ending(False, "process_died", "It was killed.", cut=True)
ANEW: Final = Ending(False, "begun_anew", "It begins anew.", cut=True, anew=True)
FAILED: Final = Ending(False, "too_small", "It was too small.")
TOLD: Final = Ending(False, "peer_aborted", "The partner failed.")
WHOLE: Final = Ending(True)


def other(role: str) -> str:
    """Return the other role."""
    return PLATFORM if role == BANK else BANK


class Stage(Protocol):
    """What nodes and processes know of the schedule that they are in."""

    loop: TurnLoop
    job: str
    processes: list[Process]
    connection: Connection | None

    def task(self, owner: str, work: Any) -> asyncio.Task[Any]:
        """Begin ``work`` of ``owner``."""

    def started(self, process: Process) -> None:
        """Note a process that has started."""

    def disconnect(self) -> None:
        """End the control stream."""


class Process:
    """The process of one attempt; ``world`` is the schedule's."""

    pid = 4242
    world: Stage

    def __init__(self, config: SideConfig) -> None:
        self.config = config
        self.side = config.side
        self.partner: Process | None = None
        self.dialled = False
        self.ending: Any = self.world.loop.create_future()
        self.world.started(self)

    @classmethod
    async def start(cls, config: SideConfig, end: Any = None) -> Process:
        """Start."""
        if end is not None:
            end.close()
        return cls(config)

    async def follow(self, tell: Callable[[Mapping[str, Any]], None]) -> Ending:
        """Return how it ends."""
        ending: Ending = await asyncio.shield(self.ending)
        return ending

    async def stop(self) -> None:
        """End by order."""
        self.end(CUT)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return bool(self.ending.done())

    def end(self, ending: Ending) -> None:
        """End."""
        if self.over:
            return
        if ending.done:
            try:
                self.config.staging.mkdir()
                (self.config.staging / "result.json").write_text("{}")
            except OSError:
                ending = DIED  # the attempt's folder has gone already
        self.ending.set_result(ending)


@dataclass
class Connection:
    """A control stream: messages on their way to each side, and whether it still stands."""

    ways: dict[str, deque[Any]] = field(default_factory=lambda: {BANK: deque(), PLATFORM: deque()})
    up: bool = True


class Member:
    """One node: its process, that can be started again over the same home."""

    def __init__(self, side: Side, world: Stage) -> None:
        self.side = side
        self.role = side.node.file.role
        self.world = world
        self.alive = self.recovered = self.stopped = False
        self.talks: list[asyncio.Task[Any]] = []
        self.reader = sqlite3.connect(f"file:{side.node.home.store.path}?mode=ro", uri=True)
        # What its loops are at: each does one thing at a time.
        self.hearing = self.polling = self.ticking = False

    def start(self) -> None:
        """Start a process of this node."""
        side, world = self.side, self.world
        self.notary = Notary(side.node.log.cosigning(), side.node.partners, lambda _: None)
        self.runs = Runs(side.node, side.jobs, self.role, lambda _: None, self.notary)
        self.agent = Agent(side.node, side.jobs, self.role, SOFTWARE, self.runs.get)
        self.desk = Desk(self.agent, self.runs, self.notary)
        self.alive, self.recovered, self.stopped = True, False, False
        self.hearing = self.polling = self.ticking = False
        world.task(self.role, self._recover())

    async def _recover(self) -> None:
        await self.runs.recover()
        self.recovered = True

    def die(self) -> None:
        """Be killed, with the processes of its jobs, who see that it is gone."""
        self.alive = self.stopped = False
        self.talks.clear()
        self.world.loop.drop(self.role)
        for process in self.world.processes:
            if process.side == self.role and not process.over:
                process.ending.set_result(DIED)
        self.world.disconnect()

    async def stop(self) -> None:
        """Be told to stop."""
        await self.runs.close()
        self.stopped = True

    def hush(self) -> None:
        """End what talks on the connection."""
        for task in self.talks:
            task.cancel()
        self.talks.clear()
        self.hearing = self.polling = False

    def state(self) -> str:
        """Where the job is; past the node's own code, which takes longer."""
        row = self.reader.execute("SELECT state FROM jobs WHERE id = ?", (self.world.job,)).fetchone()
        return "unknown" if row is None else str(row[0])

    async def hear(self, connection: Connection, message: Any) -> None:
        """Do what a message leads to."""
        partner = "acme" if self.role == BANK else "bank"
        try:
            answer = await self.desk.ask(lambda: self.agent.receive(partner, message))
            connection.ways[other(self.role)].extend(answer.messages)
            for order in answer.orders:
                await self.desk.carry_out(order)
        finally:
            self.hearing = False

    async def poll(self, connection: Connection) -> None:
        """Say what there is to say."""
        partner = "acme" if self.role == BANK else "bank"
        self.polling = True
        try:
            news = await self.desk.ask(lambda: self.agent.news(partner))
            connection.ways[other(self.role)].extend(news)
        finally:
            self.polling = False

    async def tick(self) -> None:
        """Renew leases and put in order; at the bank begin a job that is accepted and does not rest."""
        self.ticking = True
        runs, job = self.runs, self.world.job
        try:
            await runs.renew()
            await runs.tidy()
            begins = self.role == BANK and self.world.connection is not None
            if begins and self.state() == "accepted" and not runs.rests(job) and not runs.busy("acme"):
                await runs.open(job)
        finally:
            self.ticking = False
