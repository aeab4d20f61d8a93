"""The bank's end: listens, checks who calls, again and again while a stream lasts, and hands each link on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, NoReturn, TypeVar

import grpc

from party.callers import Caller, Directory, FixedDirectory, caller_of
from party.certificates import serial_of
from party.identity import TlsMaterial
from party.transport import OPTIONS, ControlLink, Link, MessageStream
from psi.errors import LinkLost, PeerViolation, UsageError, VeiljoinError
from psi.suites import PROTOCOL_VERSION
from veiljoin import control_codec
from veiljoin.control_messages import CheckReply
from veiljoin.v1 import control_pb2, control_pb2_grpc, session_pb2_grpc

Serve = Callable[[Link], Awaitable[None]]
ServeControl = Callable[[ControlLink], Awaitable[None]]
M = TypeVar("M")
_Context = grpc.aio.ServicerContext[Any, Any]

# How often an open stream's partner is looked up again: what a revocation or an expiry waits at most.
RECHECK_SECONDS: Final = 2.0
# A connection is replaced after an hour: new calls on it bring a new handshake, running streams go on.
CONNECTION_AGE_MS: Final = 3_600_000


class Listener(session_pb2_grpc.SessionsServicer, control_pb2_grpc.NodesServicer):
    """Accepts streams from known partners over mutual TLS.

    ``partners`` says who a caller is: a directory, or for one job a mapping from the SAN of a certificate to the
    partner's name. Any other certificate is refused, also one of the same authority. ``serve`` runs one job over one
    link; a partner has one at a time. ``control`` keeps a partner's control stream; without it there is none.
    ``about`` gives the name of this software and the time in seconds, for nodes that check their enrolment.
    """

    def __init__(
        self,
        tls: TlsMaterial,
        partners: Mapping[str, str] | Directory,
        serve: Serve,
        control: ServeControl | None = None,
        about: Callable[[], tuple[str, float]] | None = None,
    ) -> None:
        self._partners = FixedDirectory(partners) if isinstance(partners, Mapping) else partners
        self._serve = serve
        self._control = control
        self._about = about
        self._busy: set[str] = set()
        self._works: set[asyncio.Future[None]] = set()
        self._controls: dict[str, asyncio.Event] = {}
        options = (*OPTIONS, ("grpc.so_reuseport", 0), ("grpc.max_connection_age_ms", CONNECTION_AGE_MS))
        self._server = grpc.aio.server(options=options)
        session_pb2_grpc.add_SessionsServicer_to_server(self, self._server)
        if control is not None:
            control_pb2_grpc.add_NodesServicer_to_server(self, self._server)
        self._tls = RotatingTls(tls, with_clients=True)

    def rotate(self, tls: TlsMaterial) -> None:
        """Use another certificate from the next handshake on; streams that run go on."""
        self._tls.rotate(tls)

    async def start(self, address: str) -> int:
        """Listen on ``address`` (host:port, port 0 for a free one); returns the port. Raises ``UsageError``."""
        return await start_server(self._server, address, self._tls.credentials)

    async def stop(self, grace: float = 1.0) -> None:
        """Stop listening; running streams get ``grace`` seconds."""
        await self._server.stop(grace)
        # gRPC ends the handlers and does not wait for them; asyncio would report what they raise after that.
        works = list(self._works)
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    async def Join(self, request_iterator: Any, context: _Context) -> None:  # noqa: N802
        """Serve one job's stream (name given by the service definition)."""
        caller, partner = await self._admit(context)
        if partner in self._busy:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "limit_exceeded")
        self._busy.add(partner)
        check = self._checking(caller, partner)
        link = Link(context, partner, check)
        try:
            await self._run(context, link, lambda: self._serve(link), check, asyncio.Event())
        finally:
            self._busy.discard(partner)

    async def Control(self, request_iterator: Any, context: _Context) -> None:  # noqa: N802
        """Keep one control stream. A partner's new one ends the one before, which its machine may have lost."""
        caller, partner = await self._admit(context)
        serve = self._control
        if serve is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "failed")
        before, own = self._controls.get(partner), asyncio.Event()
        if before is not None:
            before.set()
        self._controls[partner] = own
        check = self._checking(caller, partner)
        link = ControlLink(context, partner, check, serial_of(caller.certificate))
        try:
            await self._run(context, link, lambda: serve(link), check, own)
        finally:
            if self._controls.get(partner) is own:
                del self._controls[partner]

    async def Check(self, request: control_pb2.CheckRequest, context: _Context) -> control_pb2.CheckReply:  # noqa: N802
        """Tell a node that it is accepted, and as whom."""
        _, partner = await self._admit(context)
        try:
            control_codec.decode_check(request)
        except PeerViolation:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "protocol_violation")
        if self._about is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "failed")
        software, now = self._about()
        return control_codec.encode_check_reply(CheckReply(PROTOCOL_VERSION, software, partner, int(now)))

    async def _admit(self, context: _Context) -> tuple[Caller, str]:
        """Return who calls; ends the call of a stranger before anything is read from it."""
        try:
            caller = caller_of(context.auth_context())
            return caller, await asyncio.to_thread(self._partners.admit, caller)
        except PeerViolation:
            await _refuse(context)
        except VeiljoinError:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "failed")  # the store: nothing fails open

    def _checking(self, caller: Caller, partner: str) -> Callable[[], Coroutine[Any, Any, None]]:
        async def check() -> None:
            if await asyncio.to_thread(self._partners.identify, caller) != partner:
                raise PeerViolation(f"The certificate of {partner} changed hands.", code="peer_identity")

        return check

    async def _run(
        self,
        context: _Context,
        link: MessageStream[M],
        work: Callable[[], Awaitable[None]],
        check: Callable[[], Coroutine[Any, Any, None]],
        replaced: asyncio.Event,
    ) -> None:
        """Do ``work`` as long as ``check`` lets the partner; a stream outlives its certificate unless we look."""
        # The dialler sends nothing before this: a write that meets a refusal would cost it the refusal's status.
        await context.send_initial_metadata(())
        working, newer = asyncio.ensure_future(work()), asyncio.ensure_future(replaced.wait())
        self._works.add(working)
        working.add_done_callback(self._works.discard)
        try:
            while not working.done():
                await asyncio.wait(
                    (working, newer), timeout=RECHECK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if newer.done():
                    raise LinkLost("The partner's node opened a newer control stream.")
                if not working.done():
                    await check()
            await working
        except VeiljoinError as error:
            # The work is told why when it asks the link.
            link.fault = error
            await _end(working)
            if error.code.name == "peer_identity":
                await _refuse(context)
            await context.abort(grpc.StatusCode.ABORTED, error.code.peer)
        except Exception:
            # gRPC would send the text of the exception to the partner.
            await context.abort(grpc.StatusCode.INTERNAL, "failed")
            raise
        finally:
            newer.cancel()
            await _end(working)


async def _end(work: asyncio.Future[None]) -> None:
    """Cancel ``work`` and wait until it has cleaned up; what it raises then has been told already."""
    if not work.done():
        work.cancel()
        await asyncio.wait((work,))
    if not work.cancelled():
        work.exception()  # fetched, so that asyncio does not report it as forgotten


async def _refuse(context: _Context) -> NoReturn:
    await context.abort(grpc.StatusCode.PERMISSION_DENIED, "identity_refused")


class RotatingTls:
    """Server credentials whose certificate can be exchanged while the server runs.

    ``with_clients`` asks callers for a certificate of the authority and refuses those without.
    """

    def __init__(self, tls: TlsMaterial, *, with_clients: bool) -> None:
        self._with_clients = with_clients
        self._used = self._current = tls
        self.credentials = grpc.dynamic_ssl_server_credentials(
            self._configuration(tls),
            self._fetch,  # type: ignore[arg-type]  # the stubs do not know that None is an answer
            require_client_authentication=with_clients,
        )

    def rotate(self, tls: TlsMaterial) -> None:
        """Use ``tls`` from the next handshake on."""
        self._current = tls

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        # gRPC asks at every handshake, in a thread of its own; None means: as before.
        current = self._current
        if current is self._used:
            return None
        self._used = current
        return self._configuration(current)

    def _configuration(self, tls: TlsMaterial) -> grpc.ServerCertificateConfiguration:
        # Where callers have nothing yet, they need the authority's certificate to compare with their pin.
        chain = tls.certificate if self._with_clients else tls.certificate + tls.authority
        roots = tls.authority if self._with_clients else None
        return grpc.ssl_server_certificate_configuration([(tls.key.reveal(), chain)], roots)


async def start_server(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials) -> int:
    """Listen on ``address`` and start; returns the port. Raises ``UsageError`` (``port_taken``)."""
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError:
        port = 0
    if port == 0:
        raise UsageError(
            f"The address {address} cannot be listened on.",
            hint="another process has the port, or the address is not this machine's; choose another",
            code="port_taken",
        )
    await server.start()
    return port
