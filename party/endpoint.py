"""The small HTTP server that a node's metrics and health are read from; plain text, GET only, no authentication.

It has a thread and an event loop of its own, so that neither a slow reader nor a locked store holds up the node, and
a node whose loop hangs can still be asked. Everything is bounded: size and time of a request, connections at once.
Whoever can reach the address can read it; so it should be one of loopback, or of a network for monitoring alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from typing import Final

from party.address import Address, parse_address
from party.health import Health, Verdict
from party.metrics import CONTENT_TYPE, Metrics
from psi.errors import UsageError

LOOK_SECONDS: Final = 5.0
_REQUEST_BYTES: Final = 8_192
_REQUEST_SECONDS: Final = 5.0
_AT_ONCE: Final = 16
_START_SECONDS: Final = 10.0
_JSON: Final = "application/json"
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}

_Answer = tuple[int, str, bytes]


class Endpoint:
    """Answers at ``address`` (HOST:PORT; port 0 takes a free one) until :meth:`close`; made by :meth:`open`."""

    def __init__(self, metrics: Metrics, health: Health) -> None:
        self._metrics = metrics
        self._health = health
        self._open = 0
        self._ready = threading.Event()
        self._fault: OSError | None = None
        self._port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @classmethod
    def open(cls, text: str, metrics: Metrics, health: Health) -> Endpoint:
        """Listen at the address in ``text``. Raises ``UsageError`` if it is none or can't be had."""
        address = parse_address(text, "--metrics", lowest=0)
        endpoint = cls(metrics, health)
        endpoint._start(address)
        return endpoint

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    def close(self) -> None:
        """Stop listening and wait for the thread."""
        if self._loop is not None and self._stop is not None and self._thread is not None:
            with contextlib.suppress(RuntimeError):  # its loop has ended already
                self._loop.call_soon_threadsafe(self._stop.set)
            # A look at a store that is locked may last; the thread dies with the process then.
            self._thread.join(_REQUEST_SECONDS)

    def _start(self, address: Address) -> None:
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(address)), name="node metrics", daemon=True
        )
        self._thread.start()
        if not self._ready.wait(_START_SECONDS) or self._fault is not None:
            why = (
                "it did not start in time"
                if self._fault is None
                else self._fault.strerror or "it cannot be had"
            )
            raise UsageError(
                f"Metrics cannot be served at {address}: {why}.",
                hint="give --metrics another port, such as 127.0.0.1:9464",
                code="port_taken",
            )

    async def _serve(self, address: Address) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            server = await asyncio.start_server(
                self._answer, address.host, address.port, limit=_REQUEST_BYTES
            )
        except OSError as error:
            self._fault = error
            self._ready.set()
            return
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        looking = asyncio.create_task(self._look())
        await self._stop.wait()
        looking.cancel()
        server.close()

    async def _look(self) -> None:
        while True:
            await asyncio.to_thread(self._health.look)
            await asyncio.sleep(LOOK_SECONDS)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                if self._open > _AT_ONCE:
                    return
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(*self._route(head)))
                await writer.drain()
        except asyncio.LimitOverrunError:
            writer.write(_response(400, "text/plain", b"The request is too long.\n"))
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            return  # whoever asked is slow or gone
        finally:
            self._open -= 1
            writer.close()

    def _route(self, head: bytes) -> _Answer:
        parts = head.split(b"\r\n", 1)[0].split(b" ")
        if len(parts) != 3 or not parts[2].startswith(b"HTTP/1."):
            return 400, "text/plain", b"This is not HTTP.\n"
        if parts[0] != b"GET":
            return 405, "text/plain", b"Only GET is answered.\n"
        match parts[1].partition(b"?")[0]:
            case b"/metrics":
                return 200, CONTENT_TYPE, self._metrics.text()
            case b"/healthz":
                return _verdict(self._health.healthy())
            case b"/readyz":
                return _verdict(self._health.ready())
        return 404, "text/plain", b"There are /metrics, /healthz and /readyz.\n"


def _verdict(verdict: Verdict) -> _Answer:
    body = {"ok": verdict.ok, "checks": dict(verdict.checks)}
    return (200 if verdict.ok else 503), _JSON, json.dumps(body).encode() + b"\n"


def _response(status: int, kind: str, body: bytes) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    if status == 405:
        lines.append("Allow: GET")
    return "\r\n".join([*lines, "", ""]).encode() + body
