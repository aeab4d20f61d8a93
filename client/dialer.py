"""The partner's end: dials out, so that its network needs no open port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import grpc

from party.identity import BANK_HOST, TlsMaterial
from party.transport import GOODBYE_SECONDS, OPTIONS, Link
from psi.errors import LinkLost, PeerViolation
from veiljoin.v1 import session_pb2_grpc

# The first party to start should not wait for long back-off steps of the other's making.
_RECONNECT: Final = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)
_LOOPBACK: Final = ("127.0.0.1:", "localhost:", "[::1]:")


@asynccontextmanager
async def dial(address: str, tls: TlsMaterial, *, patience: float, bank: str = "bank") -> AsyncIterator[Link]:
    """Connect to the bank at ``address`` (host:port) and yield the link of one job.

    Waits up to ``patience`` seconds for the bank to appear. Raises ``LinkLost`` (code ``peer_absent``) if it does not
    or if TLS fails, which gRPC does not tell apart; ``PeerViolation`` (code ``peer_identity``) if it refuses us.
    """
    credentials = grpc.ssl_channel_credentials(tls.authority, tls.key.reveal(), tls.certificate)
    # The bank's certificate carries one fixed name, whatever address leads to it; the authority is its pin.
    options = [*OPTIONS, *_RECONNECT, ("grpc.ssl_target_name_override", BANK_HOST)]
    if address.startswith(_LOOPBACK):
        options.append(("grpc.enable_http_proxy", 0))  # a proxy could not reach this machine's loopback
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        try:
            async with asyncio.timeout(patience):
                await channel.channel_ready()
        except TimeoutError:
            raise LinkLost(
                f"The {bank} did not answer at {address} within {patience:g} seconds.",
                hint=f"check the address, that the {bank}'s node runs, and that both certificates are valid",
                code="peer_absent",
            ) from None
        call = session_pb2_grpc.SessionsStub(channel).Join()
        try:
            yield Link(call, bank)
        finally:
            await _goodbye(call, bank)


async def _goodbye(call: grpc.aio.StreamStreamCall, bank: str) -> None:  # type: ignore[type-arg]
    """Let the last message go out and see how the bank ended the call."""
    try:
        async with asyncio.timeout(GOODBYE_SECONDS):
            # Where the call has ended already, there is only its status to fetch.
            with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
                await call.done_writing()
                # The status comes behind every message that is still unread.
                while await call.read() is not grpc.aio.EOF:
                    continue
            status = await call.code()
    except TimeoutError:
        call.cancel()
        return
    if status is grpc.StatusCode.PERMISSION_DENIED:
        raise PeerViolation(
            f"The {bank} does not know our certificate.",
            hint="join again with a new token from the bank",
            code="peer_identity",
        )
