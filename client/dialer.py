"""The partner's end: dials out, so that its network needs no open port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import grpc

from client.proxy import UnknownHost, channel_options, connect, proxy_for
from party.address import Address, parse_address
from party.identity import BANK_HOST, TlsMaterial
from party.transport import GOODBYE_SECONDS, OPTIONS, ControlLink, Link
from psi.errors import LinkLost, PeerViolation
from veiljoin.v1 import control_pb2_grpc, session_pb2_grpc

# The first party to start should not wait for long back-off steps of the other's making.
_RECONNECT: Final = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)
# A proxy or a name server that has failed says so at once; this much is left for one that is slow.
_WHY_SECONDS: Final = 3.0


@asynccontextmanager
async def connected(
    address: str, credentials: grpc.ChannelCredentials, *, patience: float, bank: str = "bank"
) -> AsyncIterator[grpc.aio.Channel]:
    """Yield a channel to the bank at ``address`` (host:port) on which TLS has succeeded.

    Waits up to ``patience`` seconds for the bank to appear. Raises ``LinkLost`` (code ``peer_absent``) if it does not
    or if TLS fails, which gRPC does not tell apart; a proxy or a host name that is at fault is named. Goes through
    the proxy of the environment; raises ``UsageError`` if that can't be read.
    """
    # The bank's certificate carries one fixed name, whatever address leads to it; the authority is its pin.
    place = parse_address(address, "The bank's address")
    options = [
        *OPTIONS,
        *_RECONNECT,
        *channel_options(place),
        ("grpc.ssl_target_name_override", BANK_HOST),
    ]
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        try:
            async with asyncio.timeout(patience):
                await channel.channel_ready()
        except TimeoutError:
            raise await _silence(place, patience, bank) from None
        yield channel


async def _silence(address: Address, patience: float, bank: str) -> LinkLost:
    """Return why nobody was reached, as far as one plain connection tells."""
    try:
        (await asyncio.to_thread(connect, address, _WHY_SECONDS)).close()
    except LinkLost as error:
        if proxy_for(address) is not None or isinstance(error, UnknownHost):
            return error
    return LinkLost(
        f"The {bank} did not answer at {address} within {patience:g} seconds.",
        hint=f"check the address, that the {bank}'s node runs, and that both certificates are valid",
        code="peer_absent",
    )


def with_certificate(tls: TlsMaterial) -> grpc.ChannelCredentials:
    """Return the credentials of an enrolled node."""
    return grpc.ssl_channel_credentials(tls.authority, tls.key.reveal(), tls.certificate)


@asynccontextmanager
async def dial(address: str, tls: TlsMaterial, *, patience: float, bank: str = "bank") -> AsyncIterator[Link]:
    """Connect to the bank at ``address`` (host:port) and yield the link of one job.

    Raises what :func:`connected` raises, and ``PeerViolation`` (code ``peer_identity``) if the bank refuses us.
    """
    async with connected(address, with_certificate(tls), patience=patience, bank=bank) as channel:
        call = session_pb2_grpc.SessionsStub(channel).Join()
        await _admitted(call, patience, bank)
        try:
            yield Link(call, bank)
        finally:
            await _goodbye(call, bank)


@asynccontextmanager
async def dial_control(
    address: str, tls: TlsMaterial, *, patience: float, bank: str = "bank"
) -> AsyncIterator[ControlLink]:
    """Connect to the bank and yield the control stream. Raises as :func:`dial` does.

    A channel keeps the certificate that it was made with: after a renewal, end it and dial again.
    """
    async with connected(address, with_certificate(tls), patience=patience, bank=bank) as channel:
        call = control_pb2_grpc.NodesStub(channel).Control()
        await _admitted(call, patience, bank)
        try:
            yield ControlLink(call, bank)
        finally:
            await _goodbye(call, bank)


async def _admitted(call: grpc.aio.StreamStreamCall, patience: float, bank: str) -> None:  # type: ignore[type-arg]
    """Wait until the bank has taken the stream, or refused it.

    Nothing is written before: where a write meets the end of its call, gRPC replaces the status of that end.
    """
    try:
        async with asyncio.timeout(patience):
            await call.initial_metadata()
    except TimeoutError:
        call.cancel()
        raise LinkLost(
            f"The {bank} did not take the stream within {patience:g} seconds.",
            hint=f"ask the {bank} whether its node is overloaded or stuck",
            code="peer_absent",
        ) from None
    if call.done() and await call.code() is grpc.StatusCode.PERMISSION_DENIED:
        raise _unknown(bank)


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
        raise _unknown(bank)


def _unknown(bank: str) -> PeerViolation:
    return PeerViolation(
        f"The {bank} does not know our certificate.",
        hint="join again with a new token from the bank",
        code="peer_identity",
    )
