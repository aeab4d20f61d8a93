"""The suites a contract can name: one frozen table, no default and no downgrade.

Both parties read the suite from the contract they signed; nothing is negotiated on the wire. A further suite
(``sm2-sm3``) is a further row here, a branch in :mod:`psi.hash_to_curve` and :mod:`psi.points`, an engine.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from psi.errors import UsageError

PROTOCOL_VERSION: Final = 1
SCOPE_ID_SIZE: Final = 32  # bytes: a SHA-256 digest, of the contract or of a standing agreement


@dataclass(frozen=True, slots=True)
class Suite:
    """One row of the table.

    ``hash_to_curve`` is the label of the published construction, which also ends the domain separation tag.
    ``element_size`` and ``token_size`` are bytes: an encoded group element, and what is kept of a double
    mask. ``engines`` are names of :mod:`psi.engines`, the preferred one first.
    """

    id: str
    group: str
    hash_to_curve: str
    element_size: int
    token_size: int
    engines: tuple[str, ...]


X25519_ELL2: Final = Suite(
    id="x25519-ell2",
    group="curve25519",
    hash_to_curve="curve25519_XMD:SHA-512_ELL2_NU_",  # RFC 9380, section 8.5
    element_size=32,
    token_size=16,
    engines=("crypto_mb", "cryptography"),
)

RISTRETTO255: Final = Suite(
    id="ristretto255",
    group="ristretto255",
    hash_to_curve="ristretto255-SHA512",  # RFC 9497, section 4.1
    element_size=32,
    token_size=16,
    engines=("sodium",),
)

SUITES: Final[Mapping[str, Suite]] = MappingProxyType({row.id: row for row in (X25519_ELL2, RISTRETTO255)})


def suite_by_id(suite_id: str) -> Suite:
    """Return the suite that a contract or setting names.

    Raises :class:`~psi.errors.UsageError` (``bad_setting``) for any other name, and suggests the nearest.
    """
    suite = SUITES.get(suite_id)
    if suite is None:
        raise UsageError(f"There is no suite called {suite_id!r}.", hint=suggestion(suite_id, tuple(SUITES)))
    return suite


def suggestion(name: str, known: tuple[str, ...]) -> str:
    """Return a hint that names the nearest of ``known``, or all of them when none is near."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Known names: {', '.join(known)}."


def domain_separation_tag(suite: Suite, scope_id: bytes) -> bytes:
    """Return the domain separation tag (RFC 9380, section 3.1) that ties hashed identifiers to one scope.

    Layout, all ASCII but the scope: ``VEILJOIN-V`` two-digit protocol version ``-`` suite id ``-`` 32 bytes
    of ``scope_id`` ``-`` hash-to-curve label. ``ristretto255`` puts ``HashToGroup-`` in front, as RFC 9497
    does. Every part but the suite id has a fixed length and that comes from a closed table, so that no two
    (version, suite, scope) share a tag; the longest is 90 bytes.

    Raises ``ValueError`` when ``scope_id`` is not 32 bytes: the caller passed something else than a digest.
    """
    if len(scope_id) != SCOPE_ID_SIZE:
        raise ValueError(f"scope_id is {SCOPE_ID_SIZE} bytes, not {len(scope_id)}")
    prefix = "HashToGroup-" if suite.group == "ristretto255" else ""
    head = f"{prefix}VEILJOIN-V{PROTOCOL_VERSION:02d}-{suite.id}-"
    return head.encode("ascii") + scope_id + b"-" + suite.hash_to_curve.encode("ascii")
