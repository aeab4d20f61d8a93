"""Who is on the line: what a verified certificate says of a caller, and who decides which partner that is.

Mutual TLS says only that our authority issued the certificate. Who it is, and whether it still may call, is asked
again for every call and while a stream lasts.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509

from party.budget import Clock, local_clock
from party.certificates import load_certificate
from psi.errors import PeerViolation


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller whose certificate TLS has verified: its subject alternative names and the certificate itself."""

    names: frozenset[str]
    certificate: x509.Certificate

    @property
    def expires(self) -> datetime.datetime:
        """When the certificate ends, UTC. A stream goes on past it unless somebody looks."""
        return self.certificate.not_valid_after_utc


class Directory(Protocol):
    """Says which partner a caller is."""

    def admit(self, caller: Caller) -> str:
        """Return the partner's name at the beginning of a call.

        Raises ``PeerViolation`` (``peer_identity``) if it may not call; may block.
        """

    def identify(self, caller: Caller) -> str:
        """Return the partner's name while its call lasts. Raises as :meth:`admit` does; may block."""


class FixedDirectory:
    """A directory for one job: ``partners`` maps the SAN of a certificate to the partner's name."""

    def __init__(self, partners: Mapping[str, str], clock: Clock = local_clock) -> None:
        self._partners = dict(partners)
        self._clock = clock

    def admit(self, caller: Caller) -> str:
        """Return the partner that exactly one of the caller's names stands for."""
        return self.identify(caller)

    def identify(self, caller: Caller) -> str:
        """Return the same."""
        known = [self._partners[name] for name in caller.names if name in self._partners]
        if len(known) != 1:
            raise stranger("A caller's certificate does not name one known partner.")
        if self._clock() >= caller.expires:
            raise stranger(f"The certificate of {known[0]} has expired.")
        return known[0]


def caller_of(auth_context: Mapping[str, Iterable[bytes]]) -> Caller:
    """Return who is behind a gRPC call. Raises ``PeerViolation`` (``peer_identity``) without a certificate."""
    pem = next(iter(auth_context.get("x509_pem_cert", ())), b"")
    if not pem:
        raise stranger("A caller showed no certificate.")
    names = auth_context.get("x509_subject_alternative_name", ())
    try:
        certificate = load_certificate(pem)
    except PeerViolation:
        raise stranger("A caller's certificate cannot be read.") from None
    return Caller(frozenset(name.decode("utf-8", "replace") for name in names), certificate)


def stranger(message: str, hint: str = "invite the partner again if it should be let in") -> PeerViolation:
    """Return the error for a caller that may not call."""
    return PeerViolation(message, hint=hint, code="peer_identity")
