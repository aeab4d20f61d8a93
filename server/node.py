"""The bank's standing node: its two ports, its partners' control streams, and the jobs it runs with them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from party.agent import Agent
from party.conversation import POLL_SECONDS, TIDY_SECONDS, Conversation, Desk, alone, instance_of
from party.jobs import Jobs
from party.jobstates import JobState
from party.node import Node
from party.notary import Notary
from party.passing import SocketStream, pass_on
from party.running import Runs, Tell
from party.scheduling import Scheduler
from party.session import GREETING_SECONDS
from party.stopping import Drain
from party.transport import ControlLink, Link
from psi.errors import LinkLost, PeerViolation, VeiljoinError
from server.enrolment import EnrolmentListener
from server.listener import Listener
from veiljoin.control_messages import ControlMessage, Ping, Renew, Renewed
from veiljoin.messages import Hello

# Jobs under way at once; each uses every processor for most of its time.
MAX_RUNNING: Final = 2
_CERTIFICATE_SECONDS: Final = 60.0
# After an attempt was cut, its partner's turn comes this much later.
_PAUSE_SECONDS: Final = 2.0


class BankNode:
    """The node of an open bank's home. ``tell`` is told what happens; ``running`` is how many jobs run at once."""

    def __init__(self, node: Node, software: str, tell: Tell, *, running: int = MAX_RUNNING) -> None:
        self._node = node
        self._software = software
        self._tell = tell
        self._limit = running
        instance = instance_of(node.home.folder, node.file.role)
        self._jobs = Jobs(node.home.store, node.file.role, node.clock)
        self._notary = Notary(node.log.cosigning(), node.partners, tell)
        self._runs = Runs(node, self._jobs, instance, tell, self._notary)
        agent = Agent(node, self._jobs, instance, software, self._runs.get)
        self._desk = Desk(agent, self._runs, self._notary)
        self._scheduler = Scheduler(node, self._jobs, instance)
        self._enrolments = node.enrolments()
        self._authority = node.authority()
        # The conversation of each partner that is on the line, and when a job with it was last begun.
        self._online: dict[str, Conversation] = {}
        self._stopping = False
        self._turns: dict[str, float] = {}

    async def run(self, stop: asyncio.Event, drain: Drain | None = None) -> None:
        """Serve until ``stop`` is set; then begin no more jobs and ``drain`` those that run, before they are ended.

        Raises ``UsageError`` if a port is taken or another node has the home.
        """
        ports = self._node.ports
        with alone(self._node.home.folder):
            await asyncio.to_thread(self._authority.renew_own, self._node.credentials)
            tls = self._node.credentials.material()
            self._listener = Listener(tls, self._node.partners, self._serve, self._control, self._about)
            self._enrolment = EnrolmentListener(tls, self._enrolments)
            await self._runs.recover()
            await self._listener.start(str(ports.listen))
            await self._enrolment.start(str(ports.enrol_listen))
            self._tell({"event": "listening", "address": str(ports.listen), "enrol": str(ports.enrol_listen)})
            ticking = asyncio.create_task(self._tick())
            stopped = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait((ticking, stopped), return_when=asyncio.FIRST_COMPLETED)
                if drain is not None and not ticking.done():
                    self._stopping = True
                    draining = asyncio.ensure_future(drain(self._runs))
                    await asyncio.wait((ticking, draining), return_when=asyncio.FIRST_COMPLETED)
                    draining.cancel()
                if ticking.done():
                    ticking.result()
            finally:
                for task in (ticking, stopped):
                    task.cancel()
                await asyncio.gather(ticking, stopped, return_exceptions=True)
                await self._runs.close()
                await asyncio.gather(self._listener.stop(), self._enrolment.stop())

    def _about(self) -> tuple[str, float]:
        return self._software, self._node.clock().timestamp()

    # -- streams

    async def _control(self, link: ControlLink) -> None:
        partner = link.partner

        async def special(message: ControlMessage) -> Sequence[ControlMessage] | None:
            if isinstance(message, Ping):
                return (message,)
            if isinstance(message, Renew):
                issued = await asyncio.to_thread(self._enrolments.renew, partner, link.serial, message.csr)
                return (Renewed(issued),)
            return None

        conversation = Conversation(link, self._desk, special, answers=True)

        def begun() -> None:
            self._online[partner] = conversation
            self._tell({"event": "online", "partner": partner})

        try:
            await conversation.last(begun)
        finally:
            if self._online.get(partner) is conversation:
                del self._online[partner]
                self._tell({"event": "offline", "partner": partner})

    async def _serve(self, link: Link) -> None:
        """Pass a partner's stream on to the process of the job that it names."""
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                hello = await link.receive()
        except TimeoutError:
            raise LinkLost(f"{link.partner} opened a stream and did not greet.") from None
        if not isinstance(hello, Hello):
            raise PeerViolation(f"{link.partner} did not begin with its greeting.")
        run = self._runs.claim(link.partner, hello.job)
        far = SocketStream()
        await far.open(self._runs.attach(run))
        try:
            await pass_on(link, far, hello)
        except asyncio.CancelledError:
            # The listener cuts a partner whose access was taken away, and says so here.
            run.fault = link.fault
            raise
        except VeiljoinError as error:
            run.fault = None if isinstance(error, LinkLost) else error
            raise

    # -- time

    async def _tick(self) -> None:
        tidied = certified = time.monotonic()
        while True:
            self._tell({"event": "tick"})
            try:
                now = time.monotonic()
                if now - tidied >= TIDY_SECONDS:
                    tidied = now
                    await self._runs.renew()
                    await self._runs.tidy()
                    await self._notary.tick()
                if now - certified >= _CERTIFICATE_SECONDS:
                    certified = now
                    await self._renew_own()
                if not self._stopping:
                    await self._see_to_schedules()
                    await self._begin_jobs()
            except VeiljoinError as error:
                # A store that is locked or away comes back; nothing was begun meanwhile.
                self._tell({"event": "fault", "text": error.message, "hint": error.hint})
            await asyncio.sleep(POLL_SECONDS)

    async def _see_to_schedules(self) -> None:
        for event in await asyncio.to_thread(self._scheduler.tick):
            self._tell(event)

    async def _renew_own(self) -> None:
        if await asyncio.to_thread(self._authority.renew_own, self._node.credentials):
            tls = self._node.credentials.material()
            self._listener.rotate(tls)
            self._enrolment.rotate(tls)
            self._tell({"event": "certificate"})

    async def _begin_jobs(self) -> None:
        """Begin accepted jobs: one per partner, the partner first whose last turn is longest ago."""
        now = time.monotonic()
        for partner in sorted(self._online, key=lambda name: self._turns.get(name, 0.0)):
            if len(self._runs) >= self._limit:
                return
            if self._runs.busy(partner) or now - self._turns.get(partner, -_PAUSE_SECONDS) < _PAUSE_SECONDS:
                continue
            record = await asyncio.to_thread(self._next, partner)
            if record is not None:
                self._turns[partner] = now
                await self._runs.open(record)

    def _next(self, partner: str) -> str | None:
        """Return the accepted job of ``partner`` that was tried the fewest times, of those the oldest."""
        waiting = self._jobs.list(states=(JobState.ACCEPTED,), partner=partner, limit=200).jobs
        ready = (record for record in waiting if not self._runs.rests(record.id))
        first = min(ready, key=lambda record: (record.attempts, record.number), default=None)
        return None if first is None else first.id
