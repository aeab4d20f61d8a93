"""How a partner's node joins its bank: compare the authority with the token's pin, ask, wait for a person, keep.

Nothing is sent before the authority is known to be the one that the token names: its certificate is taken from a bare
TLS handshake, compared with the pin, and is then the only root that the connection of the request trusts.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc
from cryptography import x509

from client.dialer import connected, with_certificate
from client.proxy import connect
from party.address import Address, parse_address
from party.budget import Clock, local_clock
from party.certificates import (
    BANK_HOST,
    bank_uri,
    load_certificate,
    partner_uri,
    pem_of,
    public_key,
    request,
)
from party.credentials import Credentials, check_issued, check_named
from party.identity import TlsMaterial, public_identity
from party.invitation import Invitation, fingerprint, prove, prove_identity, verifier
from party.partners import PartnerState, note, put
from party.store import Store
from psi.errors import LinkLost, PeerAborted, PeerViolation
from psi.suites import PROTOCOL_VERSION
from veiljoin import control_codec
from veiljoin.control_messages import CheckReply, CheckRequest, EnrolReply, EnrolRequest, EnrolState
from veiljoin.v1 import control_pb2_grpc

# One step over the network: a connection, a handshake, an answer.
STEP_SECONDS: Final = 15.0
# How often a node asks whether a person has confirmed it.
ASK_EVERY: Final = 2.0

_REFUSALS: Final = {
    "unproven": ("does not know this token", "check that it is the newest token and of this bank"),
    "expired": (
        "says that the token has expired",
        "ask the bank for a new one; a token is good for 15 minutes",
    ),
    "used": (
        "says that other keys used this token already",
        "if this is the first try, somebody else has the token: tell the bank at once; else ask for a new one",
    ),
    "locked": ("locked this token after too many wrong secrets", "ask the bank for a new token"),
    "replaced": ("has made a newer token since", "use the newest token"),
    "refused": ("refused the request", "ask the bank why; compare the fingerprint with it by telephone"),
    "revoked": ("took the access away", "ask the bank why"),
}


@dataclass(frozen=True, slots=True)
class Joined:
    """What a node is once it has joined."""

    bank: str
    partner: str
    address: Address
    certificate: x509.Certificate


async def join(
    invitation: Invitation,
    store: Store,
    credentials: Credentials,
    software: str,
    show: Callable[[str], None],
    *,
    patience: float,
    clock: Clock = local_clock,
) -> Joined:
    """Enrol with ``invitation`` and keep what comes back; started again with the same token it goes on.

    ``show`` is called with the fingerprint once the bank has the request: the partner's person reads it out to the
    bank's. Waits up to ``patience`` seconds for the confirmation. Raises ``LinkLost`` if the bank can't be reached or
    nobody confirms in time, ``PeerViolation`` if it isn't the bank that the token names or what it sends doesn't fit,
    ``PeerAborted`` if it refuses.
    """
    authority = await asyncio.to_thread(fetch_authority, invitation.address, invitation.pin)
    label = verifier(invitation.secret).hex()
    identity, key = credentials.ensure_identity(), credentials.joining_key(label)
    public, csr = public_identity(identity), request(key)
    asked = EnrolRequest(
        invitation.partner,
        csr,
        public,
        prove_identity(invitation, csr, identity),
        prove(invitation, csr, public),
        software,
    )
    shown = fingerprint(public_key(key), public, invitation.pin)
    reply = await _answer(invitation.address, authority, asked, lambda: show(shown), patience)
    issued = load_certificate(reply.certificate)
    # The bank's name comes with the certificate, and the authority that was pinned signed it.
    check_issued(issued, authority, clock())
    check_named(issued, partner_uri(reply.bank, invitation.partner))
    if issued.public_key() != public_key(key):
        raise PeerViolation("The bank sent a certificate for another key than this node's.")
    address = parse_address(reply.address, "The address of the bank's node")
    now = clock().timestamp()
    with store.transaction() as connection:
        put(
            connection,
            reply.bank,
            bank_uri(reply.bank),
            now,
            state=PartnerState.ACTIVE.value,
            identity=reply.identity,
            address=str(address),
        )
        note(connection, now, "node", reply.bank, "joined", invitation.partner)
    credentials.adopt(invitation.partner, issued, reply.bank, authority)
    credentials.joined(label)
    return Joined(reply.bank, invitation.partner, address, issued)


async def _answer(
    address: Address,
    authority: x509.Certificate,
    asked: EnrolRequest,
    waiting: Callable[[], None],
    patience: float,
) -> EnrolReply:
    """Ask until a person has decided. Each try has a connection of its own, so a bank may restart meanwhile."""
    told, deadline = False, time.monotonic() + patience
    while True:
        try:
            reply = await _ask(address, authority, asked)
        except LinkLost:
            if not told:
                raise
            reply = EnrolReply(EnrolState.PENDING)
        if reply.state is EnrolState.ISSUED:
            return reply
        if reply.state is EnrolState.REFUSED:
            what, hint = _REFUSALS.get(reply.code, ("refused the request", "ask the bank why"))
            raise PeerAborted(f"The bank {what}.", peer_code=reply.code, hint=hint)
        if not told:
            told = True
            waiting()
        if time.monotonic() >= deadline:
            raise LinkLost(
                f"Nobody at the bank confirmed the request within {patience:g} seconds.",
                hint="ask the bank to confirm it, then run the same command again with the same token",
                code="peer_absent",
            )
        await asyncio.sleep(ASK_EVERY)


async def _ask(address: Address, authority: x509.Certificate, asked: EnrolRequest) -> EnrolReply:
    credentials = grpc.ssl_channel_credentials(pem_of(authority))
    async with connected(str(address), credentials, patience=STEP_SECONDS) as channel:
        stub = control_pb2_grpc.EnrolmentStub(channel)
        try:
            reply = await stub.Enrol(control_codec.encode_enrol(asked), timeout=STEP_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise _failure(error, address) from None
    return control_codec.decode_reply(reply)


def _failure(error: grpc.aio.AioRpcError, address: Address) -> LinkLost | PeerAborted | PeerViolation:
    match error.code():
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return PeerAborted(
                "The bank does not answer this machine for now: too many requests of it failed.",
                peer_code="limit_exceeded",
                hint="wait some minutes, then try again with the newest token",
            )
        case grpc.StatusCode.PERMISSION_DENIED:
            return PeerViolation(
                "The bank does not know our certificate.",
                hint="join again with a new token from the bank",
                code="peer_identity",
            )
        case grpc.StatusCode.INVALID_ARGUMENT | grpc.StatusCode.UNIMPLEMENTED:
            return PeerViolation(
                "The bank's node does not understand this node's request.",
                hint="compare both versions of Veiljoin, and ask the bank for a new token",
            )
    return LinkLost(
        f"The bank's node at {address} did not answer the request.",
        hint="ask the bank whether its node runs and can use its store",
        code="peer_absent",
    )


async def check(address: Address, tls: TlsMaterial, software: str) -> CheckReply:
    """Ask the bank whether it accepts this node's certificate.

    Raises ``LinkLost`` if it can't be reached or TLS fails, ``PeerViolation`` (``peer_identity``) if it doesn't.
    """
    async with connected(str(address), with_certificate(tls), patience=STEP_SECONDS) as channel:
        asked = control_codec.encode_check(CheckRequest(PROTOCOL_VERSION, software))
        try:
            reply = await control_pb2_grpc.NodesStub(channel).Check(asked, timeout=STEP_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise _failure(error, address) from None
    return control_codec.decode_check_reply(reply)


def fetch_authority(address: Address, expected: bytes, timeout: float = STEP_SECONDS) -> x509.Certificate:
    """Return the authority that the node at ``address`` shows, if its SHA-256 is ``expected``.

    Nothing is sent but the handshake. Raises ``LinkLost`` if nobody answers there, and ``PeerViolation``
    (``peer_identity``) if it shows another authority.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Nothing can be verified yet and nothing is sent: what the handshake brings is compared with the pin.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with connect(address, timeout) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=BANK_HOST) as link:
                chain = _chain(link)
        except OSError:  # also of ssl.SSLError
            raise LinkLost(
                f"What answers at {address} does not speak TLS as a node does.",
                hint="check the address and its port; a proxy that opens TLS has to let this host through",
                code="peer_absent",
            ) from None
    for each in chain:
        # Not even parsed before it is the expected one.
        if hashlib.sha256(each).digest() == expected:
            return x509.load_der_x509_certificate(each)
    raise PeerViolation(
        f"The node at {address} is not that of the bank which made the token.",
        hint="do not go on: ask the bank, by telephone, for the address and a new token",
        code="peer_identity",
    )


def _chain(link: ssl.SSLSocket) -> list[bytes]:
    """Return the certificates that the other side showed, DER, the first its own."""
    if sys.version_info >= (3, 13):
        return list(link.get_unverified_chain())
    # The same function, which has a public name since 3.13 only.
    inner: Any = link._sslobj  # type: ignore[attr-defined]
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in inner.get_unverified_chain() or ()]
