"""The port where a partner without a certificate asks for one, and nothing else is served.

It is a port of its own because TLS decides per port whether callers need a certificate (and gRPC's Python interface
has no "ask, but don't require"). So the port that carries jobs never completes a handshake with a stranger, whatever
a handler forgets. What a stranger reaches here is one small unary call, throttled, with a limit to its size.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote

import grpc

from party.enrolment import Enrolments
from party.identity import TlsMaterial
from psi.errors import PeerViolation, VeiljoinError
from server.listener import RotatingTls, start_server
from veiljoin import control_codec
from veiljoin.control_messages import EnrolState
from veiljoin.v1 import control_pb2, control_pb2_grpc

# Far above the largest sound request: 4 KiB for the CSR, some hundred bytes for the rest.
MAX_REQUEST: Final = 16 * 1024
# Calls at work at once; more are refused by gRPC itself.
_CONCURRENT: Final = 32
# Failed requests of one source address before it has to wait, and how fast it gets one back.
FAILURES: Final = 10
_SECONDS_PER_FAILURE: Final = 30.0
_SOURCES: Final = 10_000
_OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.max_receive_message_length", MAX_REQUEST),
    ("grpc.so_reuseport", 0),
    # A node asks every few seconds on a connection of its own; nobody needs one for longer.
    ("grpc.max_connection_idle_ms", 30_000),
    ("grpc.max_connection_age_ms", 300_000),
    ("grpc.max_connection_age_grace_ms", 10_000),
    ("grpc.max_concurrent_streams", 4),
)


class Throttle:
    """Counts failures by source: a bucket of ``FAILURES`` that fills up again by one each half minute.

    ``now`` gives monotonic seconds. Only so many sources are remembered; the longest quiet ones are forgotten.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, source: str) -> bool:
        """Return whether ``source`` may ask."""
        return self._level(source) + 1 <= FAILURES

    def failed(self, source: str) -> None:
        """Count a failure of ``source``."""
        self._spent[source] = (self._level(source) + 1, self._now())
        self._spent.move_to_end(source)
        while len(self._spent) > _SOURCES:
            self._spent.popitem(last=False)

    def _level(self, source: str) -> float:
        level, at = self._spent.get(source, (0.0, self._now()))
        return max(0.0, level - (self._now() - at) / _SECONDS_PER_FAILURE)


class EnrolmentListener(control_pb2_grpc.EnrolmentServicer):
    """Answers enrolment requests over TLS in which only the bank shows a certificate."""

    def __init__(self, tls: TlsMaterial, enrolments: Enrolments, throttle: Throttle | None = None) -> None:
        self._enrolments = enrolments
        self._throttle = throttle or Throttle()
        self._server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=_CONCURRENT)
        control_pb2_grpc.add_EnrolmentServicer_to_server(self, self._server)
        self._tls = RotatingTls(tls, with_clients=False)

    def rotate(self, tls: TlsMaterial) -> None:
        """Use another certificate from the next handshake on."""
        self._tls.rotate(tls)

    async def start(self, address: str) -> int:
        """Listen on ``address`` (host:port, port 0 for a free one); returns the port. Raises ``UsageError``."""
        return await start_server(self._server, address, self._tls.credentials)

    async def stop(self, grace: float = 1.0) -> None:
        """Stop listening."""
        await self._server.stop(grace)

    async def Enrol(  # noqa: N802 - the name is the service definition's
        self, request: control_pb2.EnrolRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> control_pb2.EnrolReply:
        """Answer one request."""
        source = source_of(context.peer())
        if not self._throttle.allows(source):
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "limit_exceeded")
        try:
            asked = control_codec.decode_enrol(request)
            reply = await asyncio.to_thread(self._enrolments.request, asked, source)
        except PeerViolation as error:
            self._throttle.failed(source)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.code.peer)
        except VeiljoinError:
            # The store, most likely. Its words are for the bank's operator.
            await context.abort(grpc.StatusCode.UNAVAILABLE, "failed")
        if reply.state is EnrolState.REFUSED:
            self._throttle.failed(source)
        return control_codec.encode_reply(reply)


def source_of(peer: str) -> str:
    """Return the host in gRPC's name of a peer, such as ``ipv4:192.0.2.1:5000`` or ``ipv6:%5B::1%5D:5000``."""
    host = unquote(peer.partition(":")[2]).rpartition(":")[0]
    return host.strip("[]") or "unknown"
