"""Joining a bank over real sockets and TLS: the pin first, then the proof, then a person, then every call again."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import ssl
import tempfile
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509

import client.enrolment
import server.listener
from client.dialer import dial, dial_control
from client.enrolment import Joined, check, fetch_authority, join
from client.proxy import connect, proxy_for
from party import renewal
from party.address import Address, parse_address
from party.certificates import load_certificate, new_tls_key, request, serial_of
from party.identity import TlsMaterial
from party.invitation import Invitation, new_secret
from party.partners import Partners
from party.transport import ControlLink, Link
from psi.errors import LinkLost, PeerAborted, PeerViolation, UsageError, VeiljoinError
from server.enrolment import FAILURES, EnrolmentListener, Throttle, source_of
from server.listener import Listener
from tests.e2e.ports import free_ports
from tests.party.enrolments import Bank, Clock, Home, home
from veiljoin import control_codec
from veiljoin.control_messages import ControlHello, Ping, Renew, Renewed
from veiljoin.messages import Hello
from veiljoin.v1 import control_pb2_grpc

SOFTWARE = "veiljoin test"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask and look often, so that tests are quick."""
    monkeypatch.setattr(client.enrolment, "ASK_EVERY", 0.05)
    monkeypatch.setattr(client.enrolment, "STEP_SECONDS", 3.0)
    monkeypatch.setattr(server.listener, "RECHECK_SECONDS", 0.1)


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine in an event loop of its own."""
    asyncio.run(asyncio.wait_for(test, 240))


class Standing:
    """A bank's two listeners on loopback."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.clock = clock
        # The port is told with the certificate, so it has to be known before there is one.
        self.address = Address("127.0.0.1", free_ports())
        self.bank = Bank(folder / "bank", clock, self.address)
        self.enrol_at = Address("127.0.0.1", 1)
        self.controls = asyncio.Event()

    async def control(self, link: ControlLink) -> None:
        """Answer pings and renewals."""
        while True:
            match await link.receive():
                case Renew(csr):
                    await link.send(Renewed(self.bank.enrolments.renew(link.partner, link.serial, csr)))
                case Ping(number):
                    await link.send(Ping(number))

    async def serve(self, link: Link) -> None:
        """Answer greetings with the partner's name."""
        while True:
            await link.receive()
            await link.send(Hello(1, link.partner, "test"))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Standing]:
        """Listen on both ports."""
        tls = self.bank.home.credentials.material()
        self.listener = Listener(
            tls, self.bank.partners, self.serve, self.control, lambda: (SOFTWARE, self.clock().timestamp())
        )
        self.enrolment = EnrolmentListener(tls, self.bank.enrolments, Throttle())
        await self.listener.start(str(self.address))
        self.enrol_at = Address("127.0.0.1", await self.enrolment.start("127.0.0.1:0"))
        try:
            yield self
        finally:
            await self.listener.stop(0)
            await self.enrolment.stop(0)

    def invite(self, partner: str = "acme") -> Invitation:
        """Invite a partner to the enrolment port."""
        return self.bank.invite(partner, at=self.enrol_at)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands, five days ago: TLS goes by the real time, in which what is issued has to be valid
    both before and after a renewal."""
    past = Clock()
    past.forward(days=-5)
    return past


@pytest.fixture
def standing(tmp_path: Path, clock: Clock) -> Standing:
    """A bank that isn't running yet."""
    return Standing(tmp_path, clock)


@pytest.fixture
def node(tmp_path: Path, clock: Clock) -> Home:
    """A partner's empty home."""
    return home(tmp_path / "node", clock)


async def joined(standing: Standing, node: Home, invitation: Invitation | None = None) -> Joined:
    """Join, with a person at the bank who confirms what the partner shows."""
    token = invitation or standing.invite()

    def show(fingerprint: str) -> None:
        standing.bank.enrolments.confirm(token.partner, fingerprint, "ben")

    return await join(token, node.store, node.credentials, SOFTWARE, show, patience=20, clock=standing.clock)


async def refused(
    standing: Standing, node: Home, invitation: Invitation, kind: type[VeiljoinError]
) -> VeiljoinError:
    """Try to join and return the error."""
    with pytest.raises(kind) as caught:
        await join(
            invitation,
            node.store,
            node.credentials,
            SOFTWARE,
            lambda _: None,
            patience=0,
            clock=standing.clock,
        )
    return caught.value


async def ping(link: ControlLink) -> None:
    """A ping there and back."""
    await link.send(Ping(7))
    assert await link.receive() == Ping(7)


def test_a_partner_joins_and_may_call(standing: Standing, node: Home) -> None:
    async def test() -> None:
        async with standing.running():
            what = await joined(standing, node)
            assert (what.bank, what.partner, what.address) == ("bank", "acme", standing.address)
            tls = node.credentials.material()
            reply = await check(what.address, tls, SOFTWARE)
            assert reply.partner == "acme"
            async with dial_control(str(what.address), tls, patience=20) as control:
                await ping(control)
                async with dial(str(what.address), tls, patience=20) as link:
                    await link.send(Hello(1, "job", "test"))
                    assert await link.receive() == Hello(1, "acme", "test")
            bank = Partners(node.store).get("bank")
            assert bank.identity == standing.bank.identity
            assert bank.address == str(standing.address)

    run(test())


def test_a_join_that_was_stopped_goes_on(standing: Standing, node: Home) -> None:
    async def test() -> None:
        async with standing.running():
            token, shown = standing.invite(), []
            with pytest.raises(LinkLost, match="confirmed"):
                await join(
                    token,
                    node.store,
                    node.credentials,
                    SOFTWARE,
                    shown.append,
                    patience=0,
                    clock=standing.clock,
                )
            standing.bank.enrolments.confirm("acme", shown[0], "ben")
            what = await joined(standing, node, token)
            assert (await check(what.address, node.credentials.material(), SOFTWARE)).partner == "acme"

    run(test())


def test_a_bank_may_restart_while_a_node_waits(standing: Standing, node: Home) -> None:
    async def test() -> None:
        asked = asyncio.Event()
        async with standing.running():
            token, port = standing.invite(), standing.enrol_at
            joining = asyncio.create_task(
                join(
                    token,
                    node.store,
                    node.credentials,
                    SOFTWARE,
                    lambda _: asked.set(),
                    patience=30,
                    clock=standing.clock,
                )
            )
            await asked.wait()
        again = EnrolmentListener(standing.bank.home.credentials.material(), standing.bank.enrolments)
        await again.start(str(port))
        (waiting,) = standing.bank.enrolments.pending()
        standing.bank.enrolments.confirm("acme", waiting.fingerprint, "ben")
        assert (await joining).partner == "acme"
        await again.stop(0)

    run(test())


def test_the_pin_is_checked_before_anything_is_sent(standing: Standing, node: Home, tmp_path: Path) -> None:
    async def test() -> None:
        other = Standing(tmp_path / "other", standing.clock)
        async with standing.running(), other.running():
            # The token of one bank at the address of another: a false DNS answer, or a man in the middle.
            token = dataclasses.replace(standing.invite(), address=other.enrol_at)
            other.invite()
            error = await refused(standing, node, token, PeerViolation)
            assert error.code.name == "peer_identity"
            assert [event.event for event in other.bank.partners.history()] == ["invited"]
            assert node.vault.names() == ()

    run(test())


def test_only_the_handshake_reaches_a_node_that_is_not_the_bank(standing: Standing) -> None:
    # A listener that speaks TLS with a certificate of its own and counts what it gets inside.
    tls = standing.bank.home.credentials.material()
    received = []
    with served(tls, received) as address, pytest.raises(PeerViolation):
        fetch_authority(address, bytes(32), 3.0)
    assert received == [b""]


def context_of(tls: TlsMaterial, purpose: int) -> ssl.SSLContext:
    """A TLS context with a node's own certificate; the standard library takes keys from files only."""
    context = ssl.SSLContext(purpose)
    with tempfile.TemporaryDirectory() as scratch:
        chain, key = Path(scratch) / "chain.pem", Path(scratch) / "key.pem"
        chain.write_bytes(tls.certificate + tls.authority)
        key.write_bytes(tls.key.reveal())
        context.load_cert_chain(chain, key)
    return context


@contextlib.contextmanager
def served(tls: TlsMaterial, received: list[bytes]) -> Iterator[Address]:
    """Accept one TLS connection, whose content goes to ``received``."""
    context = context_of(tls, ssl.PROTOCOL_TLS_SERVER)
    # Reading would send them first, which fails when the other side has gone: what it sent would not be seen.
    context.num_tickets = 0
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            plain, _ = listening.accept()
            with context.wrap_socket(plain, server_side=True) as link:
                link.settimeout(20)
                received.append(link.recv(65_536))

        thread = threading.Thread(target=serve)
        thread.start()
        yield Address("127.0.0.1", listening.getsockname()[1])
        thread.join(40)


def shown_serial(address: Address, tls: TlsMaterial) -> str:
    """Return the serial of the certificate that the bank shows in a new handshake."""
    context = context_of(tls, ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=tls.authority.decode())
    with (
        socket.create_connection((address.host, address.port), 5) as plain,
        context.wrap_socket(plain) as link,
    ):
        return f"{x509.load_der_x509_certificate(link.getpeercert(True) or b'').serial_number:x}"


def test_nobody_and_nonsense_at_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(LinkLost, match="does not speak TLS"):
            fetch_authority(Address("127.0.0.1", port), bytes(32), 0.3)
    with pytest.raises(LinkLost, match="did not answer") as caught:
        fetch_authority(Address("127.0.0.1", port), bytes(32), 0.3)
    assert caught.value.code.name == "peer_absent"
    with pytest.raises(LinkLost, match=r"nowhere\.invalid"):
        connect(Address("nowhere.invalid", 1), 5, {})


def test_tokens_that_are_wrong_used_or_too_old(
    standing: Standing, node: Home, clock: Clock, tmp_path: Path
) -> None:
    async def test() -> None:
        async with standing.running():
            token = standing.invite()
            wrong = dataclasses.replace(token, secret=new_secret())
            error = await refused(standing, node, wrong, PeerAborted)
            assert "does not know this token" in error.message
            await joined(standing, node, token)
            thief = home(tmp_path / "thief", clock)
            error = await refused(standing, thief, token, PeerAborted)
            assert "other keys" in error.message
            late = standing.invite("late")
            clock.forward(minutes=15)
            error = await refused(standing, thief, late, PeerAborted)
            assert "expired" in error.message
            assert "new one" in error.hint

    run(test())


def test_who_fails_too_often_has_to_wait(standing: Standing, node: Home) -> None:
    async def test() -> None:
        async with standing.running():
            wrong = dataclasses.replace(standing.invite(), secret=new_secret())
            for _ in range(FAILURES):
                await refused(standing, node, wrong, PeerAborted)
            error = await refused(standing, node, wrong, PeerAborted)
            assert "too many" in error.message

    run(test())


def test_the_throttle_forgives_with_time() -> None:
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    for _ in range(FAILURES):
        assert throttle.allows("a")
        throttle.failed("a")
    assert not throttle.allows("a")
    assert throttle.allows("b")
    now[0] = 31.0
    assert throttle.allows("a")
    throttle.failed("a")
    assert not throttle.allows("a")


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:192.0.2.1:5000", "192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:5000", "2001:db8::1"),
        ("unix:", "unknown"),
    ],
)
def test_a_source_is_the_host(peer: str, host: str) -> None:
    assert source_of(peer) == host


# -- every call, and while it lasts


def test_no_certificate_reaches_nothing_but_enrolment(standing: Standing, node: Home) -> None:
    async def test() -> None:
        async with standing.running():
            authority = await asyncio.to_thread(
                fetch_authority, standing.enrol_at, standing.bank.authority.pin
            )
            assert authority == standing.bank.authority.certificate
            credentials = grpc.ssl_channel_credentials(standing.bank.home.credentials.material().authority)
            options = [
                ("grpc.ssl_target_name_override", "bank.veiljoin.internal"),
                ("grpc.enable_http_proxy", 0),
            ]
            hello = control_codec.encode(ControlHello(1, SOFTWARE, 0))
            for address, code in (
                (standing.address, grpc.StatusCode.UNAVAILABLE),  # the handshake fails
                (standing.enrol_at, grpc.StatusCode.UNIMPLEMENTED),
            ):
                async with grpc.aio.secure_channel(str(address), credentials, options=options) as channel:
                    call = control_pb2_grpc.NodesStub(channel).Control()
                    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                        await call.write(hello)
                        assert await call.read() is grpc.aio.EOF
                    assert await call.code() is code

    run(test())


def test_another_partners_certificate_is_another_partner(
    standing: Standing, node: Home, clock: Clock
) -> None:
    async def test() -> None:
        async with standing.running():
            await joined(standing, node, standing.invite("rival"))
            tls = node.credentials.material()
            assert (await check(standing.address, tls, SOFTWARE)).partner == "rival"
            standing.bank.enrolments.revoke("rival", "ann")
            with pytest.raises(PeerViolation) as caught:
                await check(standing.address, tls, SOFTWARE)
            assert caught.value.code.name == "peer_identity"

    run(test())


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_an_open_stream_ends_with_the_right_to_it(
    standing: Standing, node: Home, end: str, clock: Clock
) -> None:
    async def test() -> None:
        async with standing.running():
            what = await joined(standing, node)
            tls = node.credentials.material()

            async def stay() -> None:
                async with dial_control(str(what.address), tls, patience=20) as control:
                    await ping(control)
                    if end == "revoked":
                        standing.bank.enrolments.revoke("acme", "ann")
                    else:
                        clock.forward(days=8)
                    # Nothing is sent: the bank looks by itself.
                    await control.receive()

            with pytest.raises(PeerViolation, match="does not know our certificate"):
                await stay()
            with pytest.raises(PeerViolation, match="does not know our certificate"):
                async with dial(str(what.address), tls, patience=20) as link:
                    await link.receive()

    run(test())


def test_a_job_hears_why_it_was_cut(standing: Standing, node: Home) -> None:
    async def test() -> None:
        faults: list[VeiljoinError] = []
        busy = asyncio.Event()

        async def serve(link: Link) -> None:
            try:
                await link.receive()
                busy.set()
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                faults.append(link.lost())
                raise

        standing.serve = serve  # type: ignore[method-assign]
        async with standing.running():
            what = await joined(standing, node)

            async def work() -> None:
                async with dial(str(what.address), node.credentials.material(), patience=20) as link:
                    await link.send(Hello(1, "job", "test"))
                    await busy.wait()
                    standing.bank.enrolments.revoke("acme", "ann")
                    await link.receive()

            with pytest.raises(PeerViolation):
                await work()
        assert [fault.message for fault in faults] == ["The certificate of acme was revoked."]

    run(test())


def test_a_message_after_a_revocation_is_refused_at_once(
    standing: Standing, node: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without waiting for the next look: every message that is not a chunk asks.
    monkeypatch.setattr(server.listener, "RECHECK_SECONDS", 600.0)

    async def test() -> None:
        async with standing.running():
            what = await joined(standing, node)

            async def go_on() -> None:
                async with dial(str(what.address), node.credentials.material(), patience=20) as link:
                    await link.send(Hello(1, "job", "test"))
                    await link.receive()
                    standing.bank.enrolments.revoke("acme", "ann")
                    await link.send(Hello(1, "job", "test"))
                    await link.receive()

            with pytest.raises(PeerViolation):
                await go_on()

    run(test())


def test_a_new_control_stream_replaces_the_old(standing: Standing, node: Home) -> None:
    async def test() -> None:
        async with standing.running():
            what = await joined(standing, node)
            tls = node.credentials.material()
            async with dial_control(str(what.address), tls, patience=20) as first:
                await ping(first)
                async with dial_control(str(what.address), tls, patience=20) as second:
                    await ping(second)
                    with pytest.raises(LinkLost):
                        await first.receive()
                    await ping(second)

    run(test())


# -- certificates that follow each other


def test_a_certificate_is_renewed_over_the_control_stream(
    standing: Standing, node: Home, clock: Clock
) -> None:
    async def test() -> None:
        async with standing.running():
            what = await joined(standing, node)
            old = node.credentials.material()
            assert not node.credentials.due()
            clock.forward(days=4, hours=17)
            assert node.credentials.due()
            async with dial_control(str(what.address), old, patience=20) as control:
                asked = renewal.ask(node.credentials)
                await control.send(asked)
                lost = await control.receive()
                # As if the answer had been lost: the same key, the same certificate.
                await control.send(renewal.ask(node.credentials))
                answer = await control.receive()
                assert isinstance(answer, Renewed)
                assert answer == lost
                renewal.adopt(node.credentials, answer, clock)
            new = node.credentials.material()
            assert new.certificate != old.certificate
            assert new.key != old.key
            assert not node.credentials.due()
            clock.forward(days=3)  # past the old one's end
            assert (await check(what.address, new, SOFTWARE)).partner == "acme"
            with pytest.raises(VeiljoinError):
                await check(what.address, old, SOFTWARE)

    run(test())


def test_a_certificate_that_was_renewed_begins_no_more_calls(
    standing: Standing, node: Home, clock: Clock
) -> None:
    async def over_the_old_one(address: Address, old: TlsMaterial) -> None:
        async with dial_control(str(address), old, patience=20) as control:
            await control.send(renewal.ask(node.credentials))
            answer = await control.receive()
            assert isinstance(answer, Renewed)
            # Issued and not used yet: the answer might have been lost.
            clock.forward(hours=2)
            assert (await check(address, old, SOFTWARE)).partner == "acme"
            renewal.adopt(node.credentials, answer, clock)
            assert (await check(address, node.credentials.material(), SOFTWARE)).partner == "acme"
            # What was begun a moment ago with the old one may still come.
            assert (await check(address, old, SOFTWARE)).partner == "acme"
            clock.forward(minutes=61)
            with pytest.raises(PeerViolation) as caught:
                await check(address, old, SOFTWARE)
            assert caught.value.code.name == "peer_identity"
            # A stream that was open goes on, but a thief with the old key gets no new certificate over it.
            await ping(control)
            await control.send(Renew(request(new_tls_key())))
            await control.receive()

    async def test() -> None:
        async with standing.running():
            what = await joined(standing, node)
            old = node.credentials.material()
            clock.forward(days=4, hours=17)
            with pytest.raises(PeerViolation, match="know our certificate"):
                await over_the_old_one(what.address, old)
            new = node.credentials.material()
            assert (await check(what.address, new, SOFTWARE)).partner == "acme"
            standing.bank.enrolments.revoke("acme", "ann")
            for each in (old, new):
                with pytest.raises(PeerViolation):
                    await check(what.address, each, SOFTWARE)

    run(test())


def test_the_banks_certificate_changes_while_it_runs(standing: Standing, node: Home, clock: Clock) -> None:
    async def test() -> None:
        async with standing.running():
            what = await joined(standing, node)
            tls = node.credentials.material()
            before = await asyncio.to_thread(shown_serial, standing.address, tls)
            async with dial_control(str(what.address), tls, patience=20) as control:
                await ping(control)
                clock.forward(days=5)
                assert standing.bank.authority.renew_own(standing.bank.home.credentials)
                assert not standing.bank.authority.renew_own(standing.bank.home.credentials)
                fresh = standing.bank.home.credentials.material()
                standing.listener.rotate(fresh)
                standing.enrolment.rotate(fresh)
                # Who is on the line stays there, and who comes sees the new one.
                await ping(control)
                after = await asyncio.to_thread(shown_serial, standing.address, tls)
                assert after != before
                assert after == serial_of(load_certificate(fresh.certificate))
                assert (await check(what.address, tls, SOFTWARE)).partner == "acme"

    run(test())


# -- proxies


class ConnectProxy:
    """A proxy that tunnels any host of a test to one real port on loopback."""

    def __init__(
        self, target: Address, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
    ) -> None:
        self.target, self.answer, self.asked = target, answer, list[bytes]()

    async def __aenter__(self) -> ConnectProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://user:pass%20word@127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answer)
        if b" 200 " not in self.answer:
            writer.close()
            return
        onward = await asyncio.open_connection(self.target.host, self.target.port)
        await asyncio.gather(_copy(reader, onward[1]), _copy(onward[0], writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()
    writer.close()


def test_joining_goes_through_the_proxy_of_the_environment(
    standing: Standing, node: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with standing.running(), ConnectProxy(standing.enrol_at) as proxy:
            monkeypatch.setenv("https_proxy", proxy.url)
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("no_grpc_proxy", raising=False)
            monkeypatch.delenv("grpc_proxy", raising=False)
            far = parse_address("bank.example:7444", "test")
            what = await joined(standing, node, dataclasses.replace(standing.invite(), address=far))
            assert what.partner == "acme"
            # The handshake for the pin and gRPC's own calls, all with the login, none with a name in clear.
            assert len(proxy.asked) >= 3
            for asked in proxy.asked:
                assert asked.startswith(b"CONNECT bank.example:7444 HTTP/1.1\r\n")
                assert b"Proxy-Authorization: Basic dXNlcjpwYXNzIHdvcmQ=" in asked

    run(test())


@pytest.mark.parametrize("answer", [b"HTTP/1.1 403 Forbidden\r\n\r\n", b"nonsense\r\n\r\n", b""])
def test_a_proxy_that_refuses_is_named(answer: bytes) -> None:
    async def test() -> None:
        async with ConnectProxy(Address("127.0.0.1", 1), answer) as proxy:
            with pytest.raises(LinkLost, match="does not connect to") as caught:
                await asyncio.to_thread(
                    connect, parse_address("bank.example:1", "test"), 5.0, {"grpc_proxy": proxy.url}
                )
            assert "pass" not in str(caught.value)

    run(test())


def test_which_proxy_is_taken() -> None:
    far, near = parse_address("a.bank.example:1", "t"), parse_address("127.0.0.1:1", "t")
    one, two = "http://one:3128", "two:8080"
    assert proxy_for(far, {}) is None
    assert proxy_for(near, {"https_proxy": one}) is None
    for environment, expected in (
        ({"https_proxy": one, "grpc_proxy": two}, "two:8080"),
        ({"http_proxy": two, "https_proxy": one}, "one:3128"),
        ({"https_proxy": one, "no_proxy": "other.example"}, "one:3128"),
        ({"https_proxy": one, "no_proxy": "x, .bank.example"}, None),
        ({"https_proxy": one, "no_proxy": "a.bank.example"}, None),
        ({"https_proxy": one, "no_grpc_proxy": "example", "no_proxy": "z"}, None),
        ({"HTTPS_PROXY": one, "NO_PROXY": "*.other.example"}, "one:3128"),
        ({"HTTPS_PROXY": one, "NO_PROXY": "*"}, None),
        ({"HTTP_PROXY": one}, None),
        ({"https_proxy": one, "no_proxy": "10.0.0.0/8, nk.example"}, "one:3128"),
    ):
        found = proxy_for(far, environment)
        assert (None if found is None else str(found.address)) == expected
    inside = parse_address("10.1.2.3:1", "t")
    assert proxy_for(inside, {"https_proxy": one, "no_proxy": "10.0.0.0/8"}) is None
    assert proxy_for(inside, {"https_proxy": one, "no_proxy": "10.2.0.0/16"}) is not None
    for bad in ("ftp://x", "http://", "http://x:99999", "https://x:3128"):
        with pytest.raises(UsageError, match="https_proxy") as caught:
            proxy_for(far, {"https_proxy": bad})
        assert bad not in caught.value.message
