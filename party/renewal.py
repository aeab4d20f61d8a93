"""A node's certificate is renewed by itself, at two thirds of its life, with a new key.

The key is sealed before it is asked for, and the same until the answer has come, so that neither a lost answer nor a
killed node costs anything: the bank gives the same key the same certificate.
"""

from __future__ import annotations

from typing import Final

from party.budget import Clock, local_clock
from party.certificates import load_certificate, request, uris
from party.credentials import Credentials, check_issued, check_named
from psi.errors import PeerViolation
from veiljoin.control_messages import Renew, Renewed

_LABEL: Final = "renewal"


def ask(credentials: Credentials) -> Renew:
    """Return the request for the next certificate; send it when ``credentials.due()``."""
    return Renew(request(credentials.joining_key(_LABEL)))


def adopt(credentials: Credentials, answer: Renewed, clock: Clock = local_clock) -> None:
    """Take the bank's answer into use; the next channel is made with it.

    Raises ``PeerViolation`` if it isn't signed by the known authority, names anybody but this node, or is for another
    key than the one asked for.
    """
    current = credentials.current()
    if current is None:
        raise PeerViolation("The bank sent a new certificate to a node that has none.")
    issued, authority = load_certificate(answer.certificate), credentials.authority()
    check_issued(issued, authority, clock())
    check_named(issued, *uris(current.certificate))
    credentials.adopt(current.partner, issued, credentials.bank(), authority)
    credentials.joined(_LABEL)
