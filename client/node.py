"""The partner's standing node: dials the bank, keeps the control stream, and dials once more for each job."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from typing import Any, Final

from client.dialer import dial_control
from party import renewal
from party.agent import Agent, Do, Order
from party.conversation import TIDY_SECONDS, Conversation, Desk, Redial, alone, instance_of
from party.jobs import Jobs
from party.jobstates import JobState
from party.node import Node
from party.notary import Notary
from party.running import Runs, Tell
from party.stopping import Drain
from psi.errors import UsageError, VeiljoinError
from veiljoin.control_messages import ControlMessage, Ping, Renewed

# Waiting between two tries to reach the bank: doubled each time, up to this.
_LONGEST_PAUSE: Final = 30.0
_FIRST_PAUSE: Final = 0.5
_DIAL_SECONDS: Final = 10.0
_PING_SECONDS: Final = 10.0
# A bank that answers no ping for so long is dialled again.
_SILENCE: Final = 35.0


class _Desk(Desk):
    """A desk that begins nothing more once the node is ``stopping``; the bank asks again when it is back."""

    stopping = False

    async def carry_out(self, order: Order) -> None:
        """Do what a message asks."""
        if not (self.stopping and order.do is Do.BEGIN):
            await super().carry_out(order)


class PartnerNode:
    """The node of an open platform's home. ``tell`` is told what happens."""

    def __init__(self, node: Node, software: str, tell: Tell) -> None:
        self._node = node
        self._tell = tell
        instance = instance_of(node.home.folder, node.file.role)
        jobs = Jobs(node.home.store, node.file.role, node.clock)
        self._jobs = jobs
        # The proposals that the log has shown as waiting for a person.
        self._shown: set[str] = set()
        self._notary = Notary(node.log.cosigning(), node.partners, tell)
        self._runs = Runs(node, jobs, instance, tell, self._notary)
        agent = Agent(node, jobs, instance, software, self._runs.get)
        self._desk = _Desk(agent, self._runs, self._notary)

    async def run(self, stop: asyncio.Event, drain: Drain | None = None) -> None:
        """Work until ``stop`` is set; then begin no more jobs and ``drain`` those that run, before they are ended.

        Raises ``UsageError`` once the certificate has expired.
        """
        with alone(self._node.home.folder):
            await self._runs.recover()
            self._tell({"event": "started"})
            works: list[asyncio.Future[Any]] = [
                asyncio.ensure_future(work) for work in (self._keep(), self._tick(), stop.wait())
            ]
            try:
                await _until_one_ends(works)
                if drain is not None:
                    self._desk.stopping = True
                    works[-1] = asyncio.ensure_future(drain(self._runs))
                    await _until_one_ends(works)
            finally:
                for work in works:
                    work.cancel()
                await asyncio.gather(*works, return_exceptions=True)
                await self._runs.close()

    async def _keep(self) -> None:
        """Keep the control stream: dial again, after a pause that grows while the bank can't be reached."""
        tries = 0
        while True:
            self._reached = False
            try:
                await self._talk()
            except Redial:
                tries = 0
                continue
            except VeiljoinError as error:
                if isinstance(error, UsageError) and error.code.name != "store_unavailable":
                    raise
                tries = 0 if self._reached else tries + 1
                self._tell({"event": "unreached", "text": error.message, "hint": error.hint})
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(tries, 10))
            # Not all partners at once, after the bank was away. Nothing secret hangs on this.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311

    async def _talk(self) -> None:
        credentials = self._node.credentials
        bank = self._node.partners.get(credentials.bank())

        async def special(message: ControlMessage) -> Sequence[ControlMessage] | None:
            if isinstance(message, Ping):
                return ()
            if isinstance(message, Renewed):
                renewal.adopt(credentials, message, self._node.clock)
                self._tell({"event": "certificate"})
                raise Redial
            return None

        def begun() -> None:
            self._reached = True
            self._tell({"event": "online", "partner": bank.name})

        address = bank.address or ""
        async with dial_control(
            address, credentials.material(), patience=_DIAL_SECONDS, bank=bank.name
        ) as link:
            conversation = Conversation(link, self._desk, special, silence=_SILENCE)
            pinging = asyncio.create_task(self._ping(conversation))
            try:
                await conversation.last(begun)
            finally:
                pinging.cancel()
                await asyncio.gather(pinging, return_exceptions=True)

    async def _ping(self, conversation: Conversation) -> None:
        for number in itertools.count(1):
            await asyncio.sleep(_PING_SECONDS)
            await conversation.say(Ping(number))
            if self._node.credentials.due():
                await conversation.say(renewal.ask(self._node.credentials))

    async def _tick(self) -> None:
        while True:
            self._tell({"event": "tick"})
            await asyncio.sleep(TIDY_SECONDS)
            try:
                await self._runs.renew()
                await self._runs.tidy()
                await self._notary.tick()
                await self._show_waiting()
            except VeiljoinError as error:
                # A store that is locked or away comes back.
                self._tell({"event": "fault", "text": error.message, "hint": error.hint})

    async def _show_waiting(self) -> None:
        """Tell of proposals that wait for a person, each once."""
        # The desk's turn: between a proposal's arrival and what a standing rule makes of it nobody is waited for.
        page = await self._desk.ask(lambda: self._jobs.list(states=(JobState.PROPOSED,), limit=200))
        for record in page.jobs:
            if record.id not in self._shown:
                facts = {"job": record.id, "kind": record.kind, "partner": record.partner}
                self._tell({"event": "waits", **facts, "home": str(self._node.home.folder)})
        self._shown = {record.id for record in page.jobs}


async def _until_one_ends(works: Sequence[asyncio.Future[Any]]) -> None:
    """Wait for the first of ``works`` to end; raises what it raised."""
    done, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
    for work in done:
        work.result()
