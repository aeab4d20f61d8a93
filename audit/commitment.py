"""Salted commitments to details that stay beside the tree (SPEC 2.2).

The log holds 32 bytes per commitment. Details and salt can be shown to an auditor, or erased: without the salt
nobody can tell by trying which details it was, and the tree still verifies.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from audit.canonical import encode

SALT_SIZE: Final = 32

_LABEL: Final = b"veiljoin/v1/audit/commit\0"


class CommitmentError(ValueError):
    """Details and salt are not what was committed to."""


def commit(salt: bytes, details: Mapping[str, object]) -> str:
    """Return the commitment to ``details`` as 64 hexadecimal digits.

    ``salt`` is 32 bytes, fresh for each commitment and from the system's generator; it is as secret as the details.
    Raises ``CommitmentError`` for another length, ``CanonicalError`` for details with no canonical form.
    """
    if len(salt) != SALT_SIZE:
        raise CommitmentError("the salt of a commitment has not 32 bytes")
    return sha256(_LABEL + salt + encode(dict(details))).hexdigest()


def check_opening(commitment: str, salt: bytes, details: Mapping[str, object]) -> None:
    """Check that ``commitment`` was made to ``details`` with ``salt``. Raises as :func:`commit`, or if it was not."""
    if not hmac.compare_digest(commit(salt, details).encode(), commitment.encode()):
        raise CommitmentError("details do not fit their commitment")
