"""One simulated schedule of two standing nodes that agree on a job and run it; all of it follows from a seed.

The nodes' agents, jobs, attempts and stores are the product's; their processes, connections, threads and clock are
played here. Every call that would go to a thread is a point at which anything else may happen first.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from unittest import mock

from party import running
from party.consent import approve
from party.jobrecords import person
from party.jobstates import JobState
from party.keeping import SEED_PREFIX
from party.nodefile import BANK, PLATFORM
from psi.errors import PeerViolation, UsageError
from tests.party.standing_pair import Pair
from tests.simulate.judge import Breach
from tests.simulate.member import ANEW, CUT, DIED, FAILED, TOLD, WHOLE, Connection, Member, Process
from tests.simulate.report import Report
from tests.simulate.turns import OWNER, TurnLoop

WEIGHTS: Final[dict[str, int]] = {
    "disconnect": 10,
    "node dies": 8,
    "node stops": 3,
    "process dies": 8,
    "stream breaks": 8,
    "begins anew": 2,
    "fails": 1,
    "cancel": 1,
    "time passes": 3,
    "copy": 6,
}
# How likely a node's loops have their turn: they ask the store, which takes long.
_TICKS: Final = 0.15
_POLLS: Final = 0.3
# How likely a process that has its turn comes to its end.
_ENDS: Final = 0.2
_STEPS: Final = 4_000
# A node's ticks and its partner's polls go on for ever, so a schedule ends when nothing changes any more.
_QUIET: Final = 80


class World:
    """The schedule of ``seed`` over ``pair``, whose nodes have run other jobs before."""

    def __init__(
        self, seed: int, pair: Pair, loop: TurnLoop, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self.seed = seed
        self.pair = pair
        self.loop = loop
        self.happened: Counter[str] = Counter()
        self._tell = tell
        self._pick = pick = random.Random(seed)
        self.processes: list[Process] = []
        self.connection: Connection | None = None
        self._late: list[tuple[Member, Connection, Any]] = []
        self._left = pick.choice((0, 1, 2, 4, 7, 12))
        self._often = pick.choice((0.005, 0.01, 0.03))
        self._progress = pick.choice((0.0, 0.5, 1.0))
        self._now = 0.0
        self._errors: list[BaseException] = []
        self.job = ""
        self.members = {BANK: Member(pair.bank, self), PLATFORM: Member(pair.platform, self)}
        self.kind = type("Process", (Process,), {"world": self})

    def talk(self, member: Member, work: Any) -> None:
        """Begin ``work`` of a node that ends with the connection."""
        member.talks = [each for each in member.talks if not each.done()]
        member.talks.append(self.task(member.role, work))

    def task(self, owner: str, work: Any) -> asyncio.Task[Any]:
        """Begin ``work`` of ``owner``."""
        token = OWNER.set(owner)
        try:
            task: asyncio.Task[Any] = self.loop.create_task(work)
            task.add_done_callback(self._ended)
        finally:
            OWNER.reset(token)
        self.loop.spin()
        return task

    def _ended(self, task: Any) -> None:
        if not task.cancelled() and task.exception() is not None:
            error = task.exception()
            # What the node's loop says and goes on from.
            if not (isinstance(error, UsageError) and error.code.name in ("wrong_state", "unknown_job")):
                self._errors.append(error)

    def started(self, process: Process) -> None:
        """Note a process; a bank's belongs to the stream that was just claimed."""
        self.processes.append(process)
        if process.side == BANK:
            dialled = [each for each in self.processes if each.side == PLATFORM and each.dialled]
            if dialled and dialled[-1].partner is None:
                process.partner, dialled[-1].partner = dialled[-1], process
        folder = process.config.run
        if folder is not None and self._pick.random() < self._progress and folder.is_dir():
            (folder / "sets").mkdir(exist_ok=True)
            (folder / "sets" / str(len(self.processes))).touch()

    def monotonic(self) -> float:
        """The clock of the nodes' processes."""
        return self._now

    # -- the loop

    def run(self) -> Report:
        """Run the schedule to its end."""
        breach, outcome = None, ""
        with mock.patch.object(running, "JobProcess", self.kind), mock.patch.object(running, "time", self):
            try:
                outcome = self._run()
            except Breach as error:
                breach = str(error)
            finally:
                for member in self.members.values():
                    if member.alive:
                        member.die()
                    member.reader.close()
        return Report(self.seed, "two nodes", outcome or "BREACH", self.happened, breach)

    def _run(self) -> str:
        job = self.job = self.pair.draft(untried=True).id
        self._say(f"job {job}")
        for member in self.members.values():
            member.start()
        quiet, before = 0, None
        for _ in range(_STEPS):
            self._now += self._pick.choice((0.05, 0.5, 5.0))
            # Most goes wrong while the job runs, or just has.
            running_now = before is not None and "running" in before
            often = self._often * (4 if running_now else 1)
            if self._left and self._pick.random() < often:
                self._left -= 1
                self._happen(self._pick.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0])
            else:
                self._step()
            if self._errors:
                error = self._errors[0]
                raise Breach(f"a node's task ended with {type(error).__name__}: {error}")
            states = self.members[BANK].state(), self.members[PLATFORM].state()
            if self._rest(states):
                self._often = 0.3  # what is left goes wrong with what has ended
            if states[1] == "proposed" and self._pick.random() < 0.2:
                self._approve()
            if states != before:
                self._say(f"{states}")
            quiet = quiet + 1 if states == before and not self._left and self._rest(states) else 0
            before = states
            if quiet > _QUIET:
                break
        else:
            raise Breach(f"it has not ended: {before}")
        return self._judge(job)

    def _rest(self, states: tuple[str, str]) -> bool:
        return all(state == "unknown" or JobState(state).ended for state in states)

    def _say(self, line: str) -> None:
        self._tell(f"{self._now:8.2f} {line}")

    def _step(self) -> None:
        pick = self._pick
        steps: list[Callable[[], None]] = []
        if self.loop.calls:
            steps += [partial(self.loop.answer, pick)] * 8
        for member in self.members.values():
            if member.stopped:
                member.die()
            if not member.alive:
                steps.append(member.start)
                continue
            if member.recovered and not member.ticking and pick.random() < _TICKS:
                steps.append(partial(self._tick, member))
        both = [member for member in self.members.values() if member.alive and member.recovered]
        if len(both) == 2:
            if self.connection is None:
                steps += [self._connect] * 2
            else:
                connection = self.connection
                for member in both:
                    if not member.polling and pick.random() < _POLLS:
                        steps.append(partial(self._poll, member, connection))
                    if connection.ways[member.role] and not member.hearing:
                        steps += [partial(self._deliver, member)] * 3
        if self._late:
            steps.append(self._deliver_late)
        for process in self.processes:
            if not process.over:
                steps += [partial(self._work, process)] * 2
        if steps:
            pick.choice(steps)()

    def _tick(self, member: Member) -> None:
        self.task(member.role, member.tick())

    def _poll(self, member: Member, connection: Connection) -> None:
        self.talk(member, member.poll(connection))

    def _approve(self) -> None:
        platform = self.pair.platform
        approve(platform.node, platform.jobs, platform.jobs.get(self.job), "carol")

    def _connect(self) -> None:
        bank, platform = (self.members[role] for role in (BANK, PLATFORM))
        connection = Connection()
        bank.agent.receive("acme", platform.agent.hello())
        platform.agent.receive("bank", bank.agent.hello())
        bank.agent.connected("acme")
        platform.agent.connected("bank")
        self.connection = connection
        self._say("connected")

    def disconnect(self) -> None:
        """End the control stream; some messages are heard late, after the next one has begun."""
        connection, self.connection = self.connection, None
        if connection is None:
            return
        # Whoever talked on it stops in the middle; a call that a thread has begun is done nevertheless.
        for member in self.members.values():
            member.hush()
        self.loop.finish_cancelled(self._pick)
        for role, way in connection.ways.items():
            for message in way:
                if self._pick.random() < 0.3:
                    self._late.append((self.members[role], connection, message))

    def _deliver(self, member: Member) -> None:
        connection = self.connection
        if connection is not None:
            message = connection.ways[member.role].popleft()
            member.hearing = True
            self._say(f"{member.role} hears {message}"[:110])
            self.talk(member, member.hear(connection, message))

    def _deliver_late(self) -> None:
        member, connection, message = self._late.pop(0)
        if member.alive and member.recovered:
            self._say(f"{member.role} hears late {message}"[:110])
            self.task(member.role, member.hear(connection, message))

    def _work(self, process: Process) -> None:
        """Let a process come further: dial, or be whole, or see that the other is gone."""
        partner = process.partner
        if partner is None:
            if process.side == PLATFORM and not process.dialled:
                process.dialled = True
                self._dial(process)
            elif process.side == PLATFORM:
                self._orphan(process)
            else:
                process.end(CUT)
        elif not partner.over:
            if self._pick.random() > _ENDS:
                return
            process.end(WHOLE)
            self._say(f"the process of the {process.side} is whole")
        else:
            ending = partner.ending.result()
            told = {"too_small": TOLD, "begun_anew": ANEW}.get(ending.code, CUT)
            process.end(WHOLE if ending.done or self._pick.random() < 0.1 else told)
            self._say(f"the process of the {process.side} ends behind the other")
        self.loop.spin()

    def _dial(self, process: Process) -> None:
        bank = self.members[BANK]
        if bank.alive and bank.recovered:
            self.task(BANK, self._serve(bank, process))
        else:
            process.end(CUT)

    async def _serve(self, bank: Member, process: Process) -> None:
        """Do what the bank's node does with a stream: give it to the attempt that waits for it."""
        try:
            run = bank.runs.claim("acme", self.job)
        except PeerViolation:
            process.end(CUT)
            return
        bank.runs.attach(run).close()

    def _orphan(self, process: Process) -> None:
        """End a process whose stream the bank's node has taken and given to no process, if it never will."""
        bank = self.members[BANK]
        if not bank.alive or (not self.loop.calls and self._pick.random() < 0.1):
            process.end(CUT)

    # -- faults

    def _happen(self, kind: str) -> None:
        member = self._pick.choice(tuple(self.members.values()))
        live = [process for process in self.processes if not process.over]
        linked = [process for process in live if process.partner is not None]
        match kind:
            case "disconnect" if self.connection is not None:
                self.disconnect()
            case "node dies" if member.alive:
                member.die()
            case "node stops" if member.alive and member.recovered:
                self.task(member.role, member.stop())
            case "process dies" if live:
                self._pick.choice(live).end(DIED)
            case "stream breaks" if linked:
                process = self._pick.choice(linked)
                process.end(CUT)
                if process.partner is not None:
                    process.partner.end(CUT)
            case "begins anew" if linked:
                self._pick.choice(linked).end(ANEW)
            case "fails" if linked:
                self._pick.choice(linked).end(FAILED)
            case "cancel":
                try:
                    member.side.jobs.cancel(self.job, person("ann"))
                except UsageError:
                    return  # it has ended, or this side does not know it yet
            case "time passes":
                self._now += 90.0
                self.pair.clock.forward(seconds=90)
            case "copy" if self.connection is not None and any(self.connection.ways.values()):
                way = self._pick.choice([way for way in self.connection.ways.values() if way])
                way.append(self._pick.choice(tuple(way)))
            case _:
                return
        self.happened[kind] += 1
        self._say(f"FAULT {kind}, {member.role}")
        self.loop.spin()

    # -- the end

    def _judge(self, job: str) -> str:
        states = self.pair.states(job)
        for member in self.members.values():
            side, home = member.side, member.side.node.home.folder
            state = side.state(job)
            steps = [event.step.value for event in side.jobs.events(job)] if state != "unknown" else []
            result = (home / "results" / job / "result.json").exists()
            if steps.count("finish") > 1:
                raise Breach(f"the {member.role} has finished its job {steps.count('finish')} times")
            if result != (state == "done"):
                raise Breach(
                    f"the {member.role}'s job is {state}; a result is {'' if result else 'not '}there"
                )
            work = sorted(path.name for path in (home / "work").glob(f"{job}*"))
            if work:
                raise Breach(f"the {member.role}'s job is {state} and has left {len(work)} folders behind")
            if any(name.startswith(f"{SEED_PREFIX}{job}") for name in side.node.vault.names()):
                raise Breach(f"the {member.role}'s job is {state} and has left its seed behind")
            if side.jobs.list(states=(JobState.RUNNING,)).jobs:
                raise Breach(f"the {member.role} still runs something")
        self.happened["attempts"] += self.pair.bank.jobs.get(job).attempts
        return " and ".join(states)
