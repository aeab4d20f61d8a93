"""The bank's end: listens, checks who calls, and hands each job's link on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc

from party.identity import TlsMaterial
from party.transport import OPTIONS, Link, peer_names
from psi.errors import UsageError
from veiljoin.v1 import session_pb2_grpc

Serve = Callable[[Link], Awaitable[None]]


class Listener(session_pb2_grpc.SessionsServicer):
    """Accepts streams from known partners.

    ``partners`` maps the SAN of a certificate to the partner's name: any other certificate is refused, also one
    of the same authority. ``serve`` runs one job over one link; a partner has one at a time.
    """

    def __init__(self, tls: TlsMaterial, partners: Mapping[str, str], serve: Serve) -> None:
        self._partners = dict(partners)
        self._serve = serve
        self._busy: set[str] = set()
        self._server = grpc.aio.server(options=(*OPTIONS, ("grpc.so_reuseport", 0)))
        session_pb2_grpc.add_SessionsServicer_to_server(self, self._server)
        self._credentials = grpc.ssl_server_credentials(
            [(tls.key.reveal(), tls.certificate)],
            root_certificates=tls.authority,
            require_client_auth=True,
        )

    async def start(self, address: str) -> int:
        """Listen on ``address`` (host:port, port 0 for a free one); returns the port. Raises ``UsageError``."""
        try:
            port = self._server.add_secure_port(address, self._credentials)
        except RuntimeError:
            port = 0
        if port == 0:
            raise UsageError(
                f"The address {address} cannot be listened on.",
                hint="another process has the port, or the address is not this machine's; choose another",
                code="port_taken",
            )
        await self._server.start()
        return port

    async def stop(self, grace: float = 1.0) -> None:
        """Stop listening; running streams get ``grace`` seconds."""
        await self._server.stop(grace)

    async def Join(self, request_iterator: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:  # noqa: N802
        """Serve one stream (name given by the service definition)."""
        partner = self._identify(context)
        if partner is None:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "identity_refused")
        if partner in self._busy:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "limit_exceeded")
        self._busy.add(partner)
        try:
            await self._serve(Link(context, partner))
        except Exception:
            # gRPC would send the text of the exception to the partner.
            await context.abort(grpc.StatusCode.INTERNAL, "failed")
            raise
        finally:
            self._busy.discard(partner)

    def _identify(self, context: grpc.aio.ServicerContext[Any, Any]) -> str | None:
        # Mutual TLS says only that our authority issued the certificate. Who it is stands in the SAN.
        known = [
            self._partners[name] for name in peer_names(context.auth_context()) if name in self._partners
        ]
        return known[0] if len(known) == 1 else None
