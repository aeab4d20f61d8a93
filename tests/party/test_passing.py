"""A stream that is passed on to a job's process arrives and ends as it was sent, and is checked on its way."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from party.passing import INHERITED, SocketStream, inherited, pass_on
from party.transport import MAX_MESSAGE, Link
from psi.errors import LinkLost, PeerAborted, PeerViolation
from psi.messages import Finish
from psi.suites import PROTOCOL_VERSION
from veiljoin.messages import Abort, Hello
from veiljoin.v1 import session_pb2 as pb

FIRST = Hello(PROTOCOL_VERSION, "job", "test")
LAST = Finish(bytes(16), bytes(32))


class Chain:
    """partner <-> node <-> process, each arrow a stream; ``passing`` is the node's work."""

    def __init__(self, partner: SocketStream, process: Link, passing: asyncio.Task[None]) -> None:
        self.stream = partner
        self.partner = Link(partner, "bank")
        self.process = process
        self.passing = passing


@asynccontextmanager
async def chain() -> AsyncIterator[Chain]:
    """A chain whose first message has been read."""
    outside, near = await _pair()
    own, theirs = socket.socketpair()
    far = SocketStream()
    await far.open(own)
    async with inherited(f"{INHERITED}{theirs.detach()}", "acme") as process:
        passing = asyncio.create_task(pass_on(Link(near, "acme"), far, FIRST))
        assert await process.receive() == FIRST
        yield Chain(outside, process, passing)
        passing.cancel()
        await asyncio.gather(passing, return_exceptions=True)
    await outside.close()
    await near.close()


async def _pair() -> tuple[SocketStream, SocketStream]:
    streams = SocketStream(), SocketStream()
    for stream, end in zip(streams, socket.socketpair(), strict=True):
        await stream.open(end)
    return streams


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine."""
    asyncio.run(asyncio.wait_for(test, 10))


def test_messages_pass_both_ways() -> None:
    async def test() -> None:
        async with chain() as each:
            for _ in range(100):
                await each.partner.send(LAST)
                await each.process.send(FIRST)
            for _ in range(100):
                assert await each.process.receive() == LAST
                assert await each.partner.receive() == FIRST

    run(test())


def test_the_process_sees_the_partner_leave_and_can_still_speak() -> None:
    async def test() -> None:
        async with chain() as each:
            await each.partner.send(LAST)
            each.stream.finish()
            assert await each.process.receive() == LAST
            await asyncio.wait_for(each.process.ended.wait(), 5)
            with pytest.raises(LinkLost):
                await each.process.receive()
            await each.process.send(LAST)
            assert await each.partner.receive() == LAST
            assert not each.passing.done()

    run(test())


def test_the_node_is_done_when_the_process_is() -> None:
    async def test() -> None:
        async with chain() as each:
            await each.process.send(LAST)
            await each.process._stream.close()  # type: ignore[attr-defined]
            await each.passing
            assert await each.partner.receive() == LAST

    run(test())


@pytest.mark.parametrize("from_partner", [True, False])
def test_an_abort_passes_with_its_word(from_partner: bool) -> None:
    async def test() -> None:
        async with chain() as each:
            speaker, hearer = each.partner, each.process
            if not from_partner:
                speaker, hearer = hearer, speaker
            await speaker.send(Abort("policy_refused"))
            with pytest.raises(PeerAborted) as caught:
                await hearer.receive()
            assert caught.value.peer_code == "policy_refused"

    run(test())


def test_what_is_malformed_stops_at_the_node() -> None:
    async def test() -> None:
        async with chain() as each:
            await each.stream.write(pb.Envelope())
            with pytest.raises(PeerViolation):
                await each.passing
            with pytest.raises(LinkLost):
                await each.process.receive()

    run(test())


def test_a_length_that_cannot_be_is_not_waited_for() -> None:
    async def test() -> None:
        one, other = socket.socketpair()
        stream = SocketStream()
        await stream.open(one)
        other.sendall((MAX_MESSAGE + 1).to_bytes(4, "big"))
        with pytest.raises(PeerViolation):
            await stream.read()
        other.close()
        await stream.close()

    run(test())
