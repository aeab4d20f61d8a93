"""Drives one protocol role over one link: greeting, contract, positions, then messages both ways until the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from party.contract import Contract
from party.identity import sign_contract, verify_contract
from party.progress import Progress
from party.transport import Link
from psi.errors import PEER_WORDS, LinkLost, PeerViolation, VeiljoinError
from psi.replay import Journal, Playback, Position
from psi.role import ProtocolRole
from psi.secret import SigningSeed
from psi.suites import PROTOCOL_VERSION
from veiljoin.messages import Abort, Hello, SignedContract, WireMessage

# Each step of the greeting; the partner has nothing to compute in it.
GREETING_SECONDS: Final = 30.0
# Answers that wait for the link. Past that no more is received, which is what slows the partner down.
_OUTBOX: Final = 4
# Silence of a partner that has announced its set: it has chunks to mask, or at the end tokens to join.
IDLE_SECONDS: Final = 900.0
# How long to look for the partner's last word on a link that broke.
REASON_SECONDS: Final = 5.0
# How long the own last word may take to leave.
_GOODBYE_SECONDS: Final = 3.0


async def _at_once(_: WireMessage) -> None:
    """Hold nothing back."""


async def agree(link: Link, contract: Contract, side: str, identity: SigningSeed, software: str) -> None:
    """Exchange greetings and both signatures over the same contract (SPEC 8.2).

    Raises ``PeerViolation`` if the partner speaks another version, means another contract or cannot sign it.
    """
    await link.send(Hello(PROTOCOL_VERSION, contract.job, software))
    await link.send(SignedContract(contract.canonical, sign_contract(identity, contract.hash, side)))
    try:
        async with asyncio.timeout(GREETING_SECONDS):
            hello = await link.receive()
            signed = await link.receive()
    except TimeoutError:
        raise _silent(link, GREETING_SECONDS) from None
    if not isinstance(hello, Hello) or not isinstance(signed, SignedContract):
        raise PeerViolation(f"The {link.partner} did not begin with its greeting and the contract.")
    if hello.protocol_version != PROTOCOL_VERSION:
        raise PeerViolation(
            f"The {link.partner} speaks protocol version {hello.protocol_version}, "
            f"this node speaks {PROTOCOL_VERSION}.",
            hint="update the older of the two nodes",
        )
    if hello.job != contract.job or signed.contract != contract.canonical:
        raise PeerViolation(
            f"The {link.partner} signed another contract than ours.",
            hint="both sides need the same job file; draft the job again",
            code="bad_contract",
        )
    other = "platform" if side == "bank" else "bank"
    verify_contract(contract.identity(other), contract.hash, signed.signature, other)


async def converse(
    link: Link,
    role: ProtocolRole[Any],
    journal: Journal[Any],
    progress: Progress,
    before_release: Callable[[], None] = lambda: None,
    before_sending: Callable[[WireMessage], Awaitable[None]] = _at_once,
) -> None:
    """Carry the messages of ``role`` until both sides have finished, from where ``journal`` ends (SPEC 8.6).

    ``before_release`` is called when the partner has announced itself, before it is sent more than our own
    announcement, and again each time that is played back; what it raises ends the job. ``before_sending`` is waited
    for before each message goes out.

    Two tasks: one receives and computes, one sends. Computing runs in threads, so that keepalive and the other
    direction go on. Raises the role's or the link's error; the caller tells the partner.
    """
    outbox: asyncio.Queue[Iterator[WireMessage] | None] = asyncio.Queue(_OUTBOX)
    loop = asyncio.get_running_loop()
    playback: Playback[Any] = Playback(role, journal, before_release)
    theirs = await _positions(link, playback.position())
    with (
        ThreadPoolExecutor(1, "veiljoin-receive") as receiving,
        ThreadPoolExecutor(1, "veiljoin-send") as sending,
    ):

        async def next_message() -> WireMessage:
            # Before its announcement the partner may still be reading its own file, however long that takes;
            # only the contract's expiry ends that.
            try:
                async with asyncio.timeout(IDLE_SECONDS if role.announced_by_peer else None):
                    return await link.receive()
            except TimeoutError:
                raise _silent(link, IDLE_SECONDS) from None

        async def listen() -> None:
            for messages in await loop.run_in_executor(receiving, playback.go_on, theirs):
                await outbox.put(messages)
            if role.announced_by_peer:
                progress.expect(role.expected_work)
                await loop.run_in_executor(receiving, replayed)
            while not role.done:
                message = await next_message()
                if isinstance(message, Hello | SignedContract | Position | Abort):
                    raise PeerViolation(f"The {link.partner} sent its greeting a second time.")
                copies, unannounced = role.copies, not role.announced_by_peer
                answers = await loop.run_in_executor(receiving, playback.receive, message)
                if answers is not None:
                    # Only what is to be sent takes a place: while our own set is on its way out, we must go on
                    # reading, or both sides would wait for each other.
                    await outbox.put(answers)
                if unannounced:
                    progress.expect(role.expected_work)
                elif role.copies == copies:
                    progress.advance(role.work_of(message, sent=False))
            await outbox.put(None)

        def replayed() -> None:
            for entry in journal.entries():
                progress.advance(role.work_of(entry.message, sent=False))

        async def speak() -> None:
            while (messages := await outbox.get()) is not None:
                while (message := await loop.run_in_executor(sending, playback.draw, messages)) is not None:
                    await before_sending(message)
                    await link.send(message)
                    if role.announced_by_peer:
                        progress.advance(role.work_of(message, sent=True))

        await _both(asyncio.create_task(listen()), asyncio.create_task(speak()))


async def _positions(link: Link, ours: Position) -> Position:
    """Tell the partner how far we are, and wait for its word; it may be reading its own file for long."""
    # Read before anything is written: after a write that failed, gRPC gives no more of what the partner said last.
    listening = asyncio.ensure_future(link.receive())
    try:
        try:
            await link.send(ours)
        except LinkLost:
            await asyncio.wait((listening,), timeout=REASON_SECONDS)
            if not listening.done():
                raise
        theirs = await listening
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    if not isinstance(theirs, Position):
        raise PeerViolation(f"The {link.partner} did not say how far it is.")
    return theirs


def _silent(link: Link, seconds: float) -> LinkLost:
    return LinkLost(
        f"The {link.partner} has sent nothing for {seconds:g} seconds, though it is connected.",
        hint=f"ask the {link.partner} whether its process is stuck",
        code="peer_absent",
    )


async def _both(listening: asyncio.Task[None], speaking: asyncio.Task[None]) -> None:
    """Wait for both tasks; the first failure ends the other one and is raised as it is."""
    tasks = (listening, speaking)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        if speaking.done() and speaking.exception() is not None:
            # Sending fails when the partner hangs up; why it did may still be waiting to be read.
            await asyncio.wait((listening,), timeout=REASON_SECONDS)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def why_it_ended(link: Link) -> VeiljoinError:
    """Return why a link that has ended did so: what the partner said last, if it said something."""
    try:
        async with asyncio.timeout(REASON_SECONDS):
            while True:
                await link.receive()
    except VeiljoinError as error:
        return error
    except TimeoutError:
        return link.lost()


async def say_goodbye(link: Link, error: VeiljoinError) -> None:
    """Tell the partner the code of ``error``, and no more, if the link still stands."""
    word = error.code.peer if error.code.peer in PEER_WORDS else "failed"
    try:
        async with asyncio.timeout(_GOODBYE_SECONDS):
            await link.send(Abort(word))
    except (TimeoutError, VeiljoinError):
        return  # nobody is there to be told
