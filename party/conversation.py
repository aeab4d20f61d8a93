"""The control stream between two standing nodes, kept until it breaks; the same at both ends.

Each node asks its store twice a second what there is to say, so that what people do with the command reaches the
partner without either waiting for the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

from party.agent import Agent, Do, Order, Said
from party.ledger import write_private
from party.notary import LogMessage, Notary
from party.running import Runs
from party.spool import disk_error
from party.transport import ControlLink
from psi.errors import LinkLost, PeerViolation, UsageError, VeiljoinError
from psi.suites import PROTOCOL_VERSION
from veiljoin.control_messages import ControlHello, ControlMessage

POLL_SECONDS: Final = 0.5
# How often leases are renewed and what has run out is looked for.
TIDY_SECONDS: Final = 3.0
_GREETING_SECONDS: Final = 30.0
_LOCK_FILE: Final = "node.lock"
T = TypeVar("T")
# What a side does with the messages that are its alone; the others go to the agent.
Special = Callable[[ControlMessage], Awaitable[Sequence[ControlMessage] | None]]


class Redial(Exception):
    """Raised by a ``Special`` whose message makes this stream one of the past: another one is to be begun."""


class Desk:
    """A node's agent and its attempts, shared by all its conversations: one at a time asks the agent."""

    def __init__(self, agent: Agent, runs: Runs, notary: Notary) -> None:
        self.agent = agent
        self.runs = runs
        self.notary = notary
        self._turn = asyncio.Lock()
        self._steps: set[asyncio.Future[None]] = set()

    async def ask(self, question: Callable[[], T]) -> T:
        """Return the agent's answer, from a thread: it reads the store."""
        async with self._turn:
            return await asyncio.to_thread(question)

    async def carry_out(self, order: Order) -> None:
        """Do what a message asks, to its end: also if the stream that it came over breaks meanwhile."""
        step = asyncio.ensure_future(self._carry_out(order))
        self._steps.add(step)
        step.add_done_callback(self._done)
        await asyncio.shield(step)

    def _done(self, step: asyncio.Future[None]) -> None:
        self._steps.discard(step)
        if not step.cancelled():
            step.exception()  # told to whoever still waits; what was not noted is noted by the attempts' `tidy`

    async def _carry_out(self, order: Order) -> None:
        runs, job = self.runs, order.job
        match order.do:
            case Do.BEGIN:
                await runs.begin(job, order.attempt)
            case Do.CUT:
                await runs.cut(job, "peer_cut")
            case Do.FAIL:
                await runs.fail(job, "peer_aborted")
            case Do.DROP:
                await runs.drop(job)
            case Do.PARTNER_COMPLETE:
                await runs.partner_complete(job, order.attempt)
            case Do.SETTLE:
                await runs.settle(job, order.attempt)
            case Do.SHOW:
                await runs.show(job, order.attempt, *order.at)


class Conversation:
    """One control stream.

    ``silence`` is for how many seconds nothing may be heard (``None``: no limit). A node that ``answers`` greets
    when it has kept what the partner's greeting said: whoever has read its greeting is known by it, datasets and all.
    """

    def __init__(
        self,
        link: ControlLink,
        desk: Desk,
        special: Special,
        *,
        silence: float | None = None,
        answers: bool = False,
    ) -> None:
        self._link = link
        self._desk = desk
        self._special = special
        self._silence = silence
        self._answers = answers
        self._outbox: asyncio.Queue[ControlMessage] = asyncio.Queue(256)
        self._unread = asyncio.Event()
        self._greeted: ControlHello | None = None
        self._said: Said | None = None

    async def say(self, message: ControlMessage) -> None:
        """Send ``message`` when its turn comes."""
        await self._outbox.put(message)

    def say_soon(self, message: ControlMessage) -> None:
        """The same without waiting. Raises ``LinkLost``, and ends the stream, where the partner reads no more."""
        try:
            self._outbox.put_nowait(message)
        except asyncio.QueueFull:
            self._unread.set()
            raise LinkLost(f"The node of {self._link.partner} does not read what it is told.") from None

    async def last(self, begun: Callable[[], None]) -> None:
        """Talk until the stream ends, which raises; ``begun`` is called once both have greeted.

        Raises ``Redial``, or the ``VeiljoinError`` that says most of why it ended; what neither of them explains
        is a fault of this program and comes as the ``ExceptionGroup`` that it is.
        """
        agent, partner = self._desk.agent, self._link.partner
        if not self._answers:
            await self._greet()
        try:
            async with asyncio.timeout(_GREETING_SECONDS):
                hello = await self._link.receive()
        except TimeoutError:
            raise LinkLost(f"The node of {partner} did not greet.") from None
        if not isinstance(hello, ControlHello):
            raise PeerViolation(f"The node of {partner} did not begin with its greeting.")
        if hello.protocol_version != PROTOCOL_VERSION:
            raise PeerViolation(
                f"The node of {partner} speaks protocol version {hello.protocol_version}, "
                f"this one {PROTOCOL_VERSION}.",
                hint="update the older of the two nodes",
            )
        await self._desk.ask(lambda: agent.receive(partner, hello))
        if self._answers:
            await self._greet()
        self._said = await self._desk.ask(lambda: agent.connected(partner))
        begun()
        try:
            await self._desk.notary.online(partner, self.say_soon)
            async with asyncio.TaskGroup() as tasks:
                for work in (self._listen(), self._speak(), self._poll(), self._end_unread()):
                    tasks.create_task(work)
        # Not `except*`: until Python 3.11.3 what is raised in such a block comes out as a group again (gh-103590).
        except ExceptionGroup as group:
            raise _reason(group) from None
        finally:
            self._desk.notary.offline(partner, self.say_soon)

    async def _greet(self) -> None:
        self._greeted = await self._desk.ask(self._desk.agent.hello)
        await self._link.send(self._greeted)

    async def _greet_again(self) -> None:
        """Tell the partner of datasets and limits that have changed since the last greeting."""
        hello = await self._desk.ask(self._desk.agent.hello)
        if self._greeted is None or dataclasses.replace(hello, time=self._greeted.time) != self._greeted:
            self._greeted = hello
            await self.say(hello)

    async def _listen(self) -> None:
        agent, partner = self._desk.agent, self._link.partner
        while True:
            try:
                async with asyncio.timeout(self._silence):
                    message = await self._link.receive()
            except TimeoutError:
                raise LinkLost(f"The node of {partner} is connected and silent.") from None
            special = await self._special(message)
            if special is not None:
                for each in special:
                    await self.say(each)
                continue
            if isinstance(message, LogMessage):
                said = await self._desk.notary.receive(partner, message)
                if said is not None:
                    await self.say(said)
                continue
            answer = await self._desk.ask(lambda message=message: agent.receive(partner, message))  # type: ignore[misc]
            for each in answer.messages:
                await self.say(each)
            for order in answer.orders:
                await self._desk.carry_out(order)

    async def _speak(self) -> None:
        while True:
            message = await self._outbox.get()
            await self._link.send(message)

    async def _end_unread(self) -> None:
        await self._unread.wait()
        raise LinkLost(f"The node of {self._link.partner} does not read what it is told.")

    async def _poll(self) -> None:
        agent, partner = self._desk.agent, self._link.partner
        while True:
            await self._greet_again()
            for message in await self._desk.ask(lambda: agent.news(partner, self._said)):
                await self.say(message)
            await asyncio.sleep(POLL_SECONDS)


def instance_of(folder: Path, role: str) -> str:
    """Return the name under which the node of the home ``folder`` holds leases: the same at every start.

    So what a process of this home held that died is known for its own, and not waited for.
    """
    path = folder / _LOCK_FILE
    try:
        if not path.exists():
            write_private(path, secrets.token_hex(8).encode(), replace=False)
        return f"{role}-{path.read_text(encoding='ascii').strip()}"
    except (OSError, UnicodeDecodeError):
        raise UsageError(
            f"{path} cannot be read.", hint="remove it; it is made anew", code="unreadable_file"
        ) from None


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the home ``folder`` for this process. Raises ``UsageError`` if another node runs over it."""
    try:
        handle = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise disk_error(error, folder) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                f"A node runs over {folder} already.", hint="stop that one first, or use another home"
            ) from None
        yield
    finally:
        os.close(handle)


def _reason(group: ExceptionGroup[Exception]) -> Exception:
    """Return the error that says most: a violation before the end of the stream that followed from it."""
    errors = list(_leaves(group))
    if not all(isinstance(error, VeiljoinError | Redial) for error in errors):
        return group
    return min(errors, key=lambda error: (not isinstance(error, Redial), isinstance(error, LinkLost)))


def _leaves(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
