"""Who is on the line: mutual TLS and the certificate's SAN, in one process, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from client.dialer import dial
from party.identity import BANK_HOST, Authority, TlsMaterial, partner_uri
from party.transport import OPTIONS, Link
from psi.errors import LinkLost, PeerAborted, PeerViolation, UsageError, VeiljoinError
from psi.secret import SecretBytes
from server.listener import Listener
from veiljoin.messages import Abort, Hello, WireMessage
from veiljoin.v1 import session_pb2_grpc

GREETING = Hello(1, "job", "test")
# How long a party that is refused may go on trying; refusals come at once, an absent peer after this.
PATIENCE = 1.0
PARTNERS = {partner_uri("bank", "platform"): "platform", partner_uri("bank", "rival"): "rival"}

Serve = Callable[[Link], Awaitable[None]]


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine in an event loop of its own."""
    asyncio.run(asyncio.wait_for(test, 240))


async def echo(link: Link) -> None:
    """Answer the greeting, with the name under which the listener knows the partner as its job."""
    await link.receive()
    await link.send(Hello(1, link.partner, "test"))
    # Stay until the partner has read it and hangs up.
    with contextlib.suppress(VeiljoinError):
        await link.receive()


@asynccontextmanager
async def listening(
    tls: TlsMaterial, serve: Serve = echo, partners: dict[str, str] | None = None
) -> AsyncIterator[str]:
    """A listener on loopback; yields its address."""
    listener = Listener(tls, PARTNERS if partners is None else partners, serve)
    port = await listener.start("127.0.0.1:0")
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await listener.stop(0)


async def exchange(link: Link) -> WireMessage:
    """Greet and return what comes back."""
    await link.send(GREETING)
    return await link.receive()


async def greet(address: str, tls: TlsMaterial) -> str:
    """Dial, greet, and return the name that the listener gave us."""
    async with dial(address, tls, patience=PATIENCE) as link:
        answer = await exchange(link)
        assert isinstance(answer, Hello)
        return answer.job


async def refused(address: str, tls: TlsMaterial) -> VeiljoinError:
    """Dial and return the error of being refused; fail if the listener answers."""
    with pytest.raises(VeiljoinError) as caught:
        await greet(address, tls)
    return caught.value


def certificate(
    authority: Authority, names: Sequence[x509.GeneralName], usage: x509.ObjectIdentifier
) -> TlsMaterial:
    """A certificate of ``authority`` with any names at all, which the product would not issue."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")]))
        .issuer_name(authority.issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    signer = serialization.load_pem_private_key(authority.issuer.key.reveal(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    issued = builder.sign(signer, hashes.SHA256())
    return TlsMaterial(authority.pem, issued.public_bytes(serialization.Encoding.PEM), SecretBytes(pem))


CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


def test_each_partner_is_known_by_its_certificate() -> None:
    async def test() -> None:
        authority = Authority("bank")
        async with listening(authority.issue_bank()) as address:
            assert await greet(address, authority.issue_partner("platform")) == "platform"
            assert await greet(address, authority.issue_partner("rival")) == "rival"

    run(test())


def test_another_partner_of_the_same_authority_is_refused() -> None:
    async def test() -> None:
        authority = Authority("bank")
        only = {partner_uri("bank", "platform"): "platform"}
        async with listening(authority.issue_bank(), partners=only) as address:
            error = await refused(address, authority.issue_partner("rival"))
            assert isinstance(error, PeerViolation)
            assert error.code.name == "peer_identity"
            assert error.message == "The bank does not know our certificate."
            # And the right one is served after it as before.
            assert await greet(address, authority.issue_partner("platform")) == "platform"

    run(test())


NAMES: dict[str, list[x509.GeneralName]] = {
    "none": [],
    "two partners": [x509.UniformResourceIdentifier(name) for name in PARTNERS],
    "another bank's": [x509.UniformResourceIdentifier(partner_uri("other", "platform"))],
    "another node": [x509.UniformResourceIdentifier(partner_uri("bank", "platform", node=2))],
    "a longer name": [x509.UniformResourceIdentifier(partner_uri("bank", "platform") + "0")],
    "as a DNS name": [x509.DNSName("platform")],
    "the bank's": [x509.DNSName(BANK_HOST)],
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_a_certificate_with_other_names_is_refused(names: list[x509.GeneralName]) -> None:
    async def test() -> None:
        authority = Authority("bank")
        async with listening(authority.issue_bank()) as address:
            error = await refused(address, certificate(authority, names, CLIENT))
            assert error.code.name == "peer_identity"

    run(test())


def test_the_certificate_of_another_authority_is_refused() -> None:
    async def test() -> None:
        authority, other = Authority("bank"), Authority("bank")
        stranger = other.issue_partner("platform")
        # It trusts the right bank, but was not enrolled there.
        pretender = TlsMaterial(authority.pem, stranger.certificate, stranger.key)
        async with listening(authority.issue_bank()) as address:
            assert (await refused(address, pretender)).code.exit in (4, 5)

    run(test())


def test_no_certificate_is_refused() -> None:
    async def test() -> None:
        authority = Authority("bank")
        async with listening(authority.issue_bank()) as address:
            credentials = grpc.ssl_channel_credentials(authority.pem)
            options = [*OPTIONS, ("grpc.ssl_target_name_override", BANK_HOST), ("grpc.enable_http_proxy", 0)]
            async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
                link = Link(session_pb2_grpc.SessionsStub(channel).Join(), "bank")
                with pytest.raises(LinkLost):
                    await exchange(link)

    run(test())


def test_an_expired_certificate_is_refused() -> None:
    async def test() -> None:
        authority = Authority("bank")
        expired = authority.issue_partner("platform", lifetime=datetime.timedelta(seconds=-1))
        async with listening(authority.issue_bank()) as address:
            error = await refused(address, expired)
            assert error.code.exit in (4, 5)
            assert "certificate" in error.hint

    run(test())


def test_a_bank_of_another_authority_is_refused() -> None:
    async def test() -> None:
        authority, other = Authority("bank"), Authority("bank")
        served = asyncio.Event()

        async def serve(_: Link) -> None:
            served.set()

        async with listening(other.issue_bank(), serve) as address:
            error = await refused(address, authority.issue_partner("platform"))
            assert "certificate" in error.hint
        assert not served.is_set()

    run(test())


IMPOSTORS: dict[str, tuple[list[x509.GeneralName], x509.ObjectIdentifier]] = {
    "a partner": ([x509.UniformResourceIdentifier(partner_uri("bank", "rival"))], CLIENT),
    "a partner, as a server": ([x509.UniformResourceIdentifier(partner_uri("bank", "rival"))], SERVER),
    "another host": ([x509.DNSName("elsewhere.veiljoin.internal")], SERVER),
    "the address alone": ([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))], SERVER),
}


@pytest.mark.parametrize(("names", "usage"), IMPOSTORS.values(), ids=IMPOSTORS)
def test_nobody_else_of_the_authority_can_play_the_bank(
    names: list[x509.GeneralName], usage: x509.ObjectIdentifier
) -> None:
    async def test() -> None:
        authority = Authority("bank")
        served = asyncio.Event()

        async def serve(_: Link) -> None:
            served.set()

        async with listening(certificate(authority, names, usage), serve) as address:
            await refused(address, authority.issue_partner("platform"))
        assert not served.is_set()

    run(test())


def test_a_second_stream_of_the_same_partner_is_refused_while_the_first_goes_on() -> None:
    async def test() -> None:
        authority = Authority("bank")
        platform = authority.issue_partner("platform")
        async with listening(authority.issue_bank()) as address:
            async with dial(address, platform, patience=PATIENCE) as first:
                assert await exchange(first) == Hello(1, "platform", "test")
                error = await refused(address, platform)
                assert isinstance(error, LinkLost | PeerViolation | PeerAborted)
                # Another partner is not kept out by it.
                assert await greet(address, authority.issue_partner("rival")) == "rival"
                await first.send(Abort("cancelled"))
            # Once the first has ended, the partner may come again.
            assert await greet(address, platform) == "platform"

    run(test())


def test_a_bank_that_never_appears_is_noticed() -> None:
    async def test() -> None:
        authority = Authority("bank")
        async with listening(authority.issue_bank()) as address:
            pass  # nobody listens there any more
        with pytest.raises(LinkLost) as caught:
            async with dial(address, authority.issue_partner("platform"), patience=0.5):
                pytest.fail("connected to nobody")
        assert caught.value.code.name == "peer_absent"
        assert caught.value.message == f"The bank did not answer at {address} within 0.5 seconds."

    run(test())


def test_a_bank_that_appears_late_is_found() -> None:
    async def test() -> None:
        authority = Authority("bank")
        async with listening(authority.issue_bank()) as address:
            pass
        greeting = asyncio.create_task(greet_patiently(address, authority.issue_partner("platform")))
        await asyncio.sleep(0.5)
        late = Listener(authority.issue_bank(), PARTNERS, echo)
        await late.start(address)
        try:
            assert await greeting == "platform"
        finally:
            await late.stop(0)

    async def greet_patiently(address: str, tls: TlsMaterial) -> str:
        async with dial(address, tls, patience=30) as link:
            answer = await exchange(link)
            assert isinstance(answer, Hello)
            return answer.job

    run(test())


def test_a_port_that_is_taken_is_an_error_that_names_it() -> None:
    async def test() -> None:
        authority = Authority("bank")
        async with listening(authority.issue_bank()) as address:
            second = Listener(authority.issue_bank(), PARTNERS, echo)
            with pytest.raises(UsageError) as caught:
                await second.start(address)
            await second.stop(0)
        assert caught.value.code.name == "port_taken"
        assert address in caught.value.message

    run(test())
