"""A partner's stream, passed on between the node that accepted it and the process that runs the job.

The two share a socket pair; each envelope travels as a length of four bytes, big-endian, and its bytes. The node
reads every message on its way, so that nothing malformed comes further than the process at the port, and a fault in
one job is no other's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from party.transport import GOODBYE_SECONDS, MAX_MESSAGE, Link
from psi.errors import LinkLost, PeerAborted, PeerViolation
from veiljoin.messages import Abort
from veiljoin.v1 import session_pb2 as pb

# An address of this form names a socket that a process was started with.
INHERITED: Final = "fd:"
_LENGTH: Final = 4


class SocketStream:
    """A ``party.transport.EnvelopeStream`` over one end of a socket pair."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[Any], None]] = []
        self._reader = asyncio.StreamReader(limit=MAX_MESSAGE)
        self._writer: asyncio.StreamWriter | None = None

    async def open(self, end: socket.socket) -> None:
        """Take ``end`` into use."""
        loop = asyncio.get_running_loop()
        end.setblocking(False)
        transport, protocol = await loop.create_connection(
            lambda: _Watched(self._reader, self._ended), sock=end
        )
        self._writer = asyncio.StreamWriter(transport, protocol, self._reader, loop)

    async def read(self) -> Any:
        """Return the next envelope, or ``grpc.aio.EOF`` where the other end has closed or died.

        Raises ``PeerViolation`` for what is no envelope, or is longer than one may be.
        """
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH), "big")
            if length > MAX_MESSAGE:
                raise PeerViolation("A message was passed on that is longer than the protocol allows.")
            return pb.Envelope.FromString(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError):
            return grpc.aio.EOF
        except DecodeError:
            raise PeerViolation("Something was passed on that is no message.") from None

    async def write(self, message: pb.Envelope) -> None:
        """Send an envelope. Raises ``asyncio.InvalidStateError`` where nobody reads any more."""
        if self._writer is None or self._writer.is_closing():
            raise asyncio.InvalidStateError("the stream is closed")
        data = message.SerializeToString()
        self._writer.write(len(data).to_bytes(_LENGTH, "big") + data)
        try:
            await self._writer.drain()
        except OSError:
            raise asyncio.InvalidStateError("the stream is closed") from None

    def add_done_callback(self, callback: Any, /) -> None:
        """Call ``callback`` when the other end has closed or died."""
        self._callbacks.append(callback)

    def finish(self) -> None:
        """Say that nothing more will be sent; what the other end sends can still be read."""
        if self._writer is not None and not self._writer.is_closing() and self._writer.can_write_eof():
            self._writer.write_eof()

    async def close(self) -> None:
        """Close this end once what was sent has left, which is waited for no longer than a goodbye."""
        if self._writer is None:
            return
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._writer.wait_closed()

    def abort(self) -> None:
        """Close this end at once."""
        if self._writer is not None:
            self._writer.transport.abort()

    def _ended(self) -> None:
        for callback in self._callbacks:
            callback(None)
        self._callbacks.clear()


class _Watched(asyncio.StreamReaderProtocol):
    """Tells at once when the other end is gone, also while nobody reads."""

    def __init__(self, reader: asyncio.StreamReader, ended: Callable[[], None]) -> None:
        super().__init__(reader)
        self._tell = ended

    def eof_received(self) -> bool | None:
        self._tell()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tell()
        super().connection_lost(exc)


@asynccontextmanager
async def inherited(address: str, partner: str) -> AsyncIterator[Link]:
    """Yield the link to ``partner`` over the socket that ``address`` (``fd:N``) names."""
    stream = SocketStream()
    await stream.open(socket.socket(fileno=int(address.removeprefix(INHERITED))))
    try:
        yield Link(stream, partner)
    finally:
        await stream.close()


async def pass_on(near: Link, far: SocketStream, first: Any) -> None:
    """Carry messages between the partner at ``near`` and the process at ``far`` until that has closed its end.

    ``first`` was read from the partner already. Raises ``PeerViolation`` for what the partner may not send.
    """
    process = Link(far, near.partner)

    async def inward() -> None:
        await process.send(first)
        try:
            while True:
                await process.send(await near.receive())
        except PeerAborted as error:
            await process.send(Abort(error.peer_code))
        except LinkLost:
            # The process sees the end of its stream, and says itself what that means where it is.
            far.finish()

    async def outward() -> None:
        try:
            while True:
                await near.send(await process.receive())
        except PeerAborted as error:
            await near.send(Abort(error.peer_code))
        except LinkLost:
            return

    going, coming = asyncio.create_task(inward()), asyncio.create_task(outward())
    try:
        await asyncio.wait((going, coming), return_when=asyncio.FIRST_COMPLETED)
        if not coming.done() and not isinstance(going.exception(), LinkLost):
            # A fault of the partner ends it here; a partner that has left lets the process speak on.
            going.result()
        await coming
    finally:
        far.abort()
        for task in (going, coming):
            task.cancel()
        await asyncio.gather(going, coming, return_exceptions=True)
