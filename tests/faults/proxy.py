"""A TCP proxy between two nodes that misbehaves on request, in a thread of its own.

It sees TLS records only, so whatever it does to bytes has to end in a lost connection and in nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

_BLOCK: Final = 16_384
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST and forget what was not sent
# What can be done to the next block of a connection, once.
SPOILERS: Final = ("corrupt", "duplicate", "reorder", "drop")
T = TypeVar("T")


@dataclass(eq=False)
class _Pair:
    """One connection: the caller's end and the node's."""

    number: int
    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    spoil: str = ""
    kept: dict[int, bytes] = field(default_factory=dict)  # by direction: a block that waits for the next one


class Proxy:
    """Listens on ``port`` of the loopback and passes on to ``target``; a context manager that ends all connections.

    Connections are numbered from 0. ``newest`` is mostly that of a job, because the control stream comes first.
    All methods may be called from any thread.
    """

    def __init__(self, port: int, target: int) -> None:
        self._port, self._target = port, target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._pairs: list[_Pair] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._made = 0
        self._delay = 0.0
        self._rate: float | None = None
        self._refusing = False
        self.passed = 0

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._call(self._listen)
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # -- what it can do

    def cut(self, how: str, newest: bool = False) -> int:
        """End connections by ``how`` (fin | rst | half); returns how many.

        ``half``: the node's end is reset, the caller is told nothing, as if its router had forgotten it.
        """

        async def cut() -> int:
            pairs = self._pairs[-1:] if newest else list(self._pairs)
            for pair in pairs:
                for writer in pair.writers[how == "half" :]:
                    _end(writer, reset=how != "fin")
            return len(pairs)

        return self._call(cut)

    def hang(self) -> None:
        """Pass on nothing until :meth:`heal`, as a link that is down: what was sent waits in both kernels."""
        self._call(self._set, gate=False)

    def refuse(self) -> None:
        """Cut everything, and reset whoever connects, until :meth:`heal`."""
        self._call(self._set, refusing=True)
        self.cut("rst")

    def slow(self, delay: float = 0.0, rate: float | None = None) -> None:
        """Until :meth:`heal`, hold each block back for ``delay`` seconds, and pass on ``rate`` bytes a second."""
        self._call(self._set, delay=delay, rate=rate)

    def heal(self) -> None:
        """Pass everything on again."""
        self._call(self._set)

    def spoil(self, how: str, newest: bool = True) -> None:
        """Do one of ``SPOILERS`` to the next block of a connection."""

        async def spoil() -> None:
            for pair in self._pairs[-1:] if newest else self._pairs:
                pair.spoil = how

        self._call(spoil)

    # -- how

    def _call(self, work: Callable[..., Awaitable[T]], **keys: object) -> T:
        async def run() -> T:
            return await work(**keys)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    async def _listen(self) -> None:
        self._gate = asyncio.Event()
        self._gate.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port, limit=4 * _BLOCK)

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # what was closed is gone then

    async def _set(
        self, gate: bool = True, refusing: bool = False, delay: float = 0.0, rate: float | None = None
    ) -> None:
        self._refusing, self._delay, self._rate = refusing, delay, rate
        if gate:
            self._gate.set()
        else:
            self._gate.clear()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            _end(writer, reset=True)
            return
        await self._gate.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _end(writer, reset=True)
            return
        pair = _Pair(self._made, (writer, far_writer))
        self._made += 1
        self._pairs.append(pair)
        try:
            await asyncio.gather(
                self._pump(pair, 0, reader, far_writer), self._pump(pair, 1, far_reader, writer)
            )
        finally:
            self._pairs.remove(pair)
            for each in pair.writers:
                _end(each, reset=False)

    async def _pump(
        self, pair: _Pair, way: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        # A reset ends this direction; the other one ends by its own.
        with contextlib.suppress(OSError):
            while block := await reader.read(_BLOCK):
                await self._gate.wait()
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._write(writer, _spoilt(pair, way, block))
        with contextlib.suppress(OSError, RuntimeError):
            if not writer.is_closing():
                writer.write_eof()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        while data:
            # The rate may change while a block is under way.
            size = len(data) if self._rate is None else max(1, int(self._rate / 10))
            writer.write(data[:size])
            await writer.drain()
            self.passed += len(data[:size])
            data = data[size:]
            if self._rate is not None:
                await asyncio.sleep(size / self._rate)


def _end(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    own = writer.get_extra_info("socket")
    if reset and own is not None:
        with contextlib.suppress(OSError):  # it has ended already
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()
    else:
        writer.close()


def _spoilt(pair: _Pair, way: int, block: bytes) -> bytes:
    """Return what is passed on in place of ``block``."""
    if way in pair.kept:
        return block + pair.kept.pop(way)
    how, pair.spoil = pair.spoil, ""
    match how:
        case "corrupt":
            middle = len(block) // 2
            return block[:middle] + bytes([block[middle] ^ 1]) + block[middle + 1 :]
        case "duplicate":
            return block + block
        case "reorder":
            pair.kept[way] = block
            return b""
        case "drop":
            return b""
    return block
