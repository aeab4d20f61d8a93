"""Secrets that whoever shows them is let in by: made at random, given out once, kept as a SHA-256 alone.

They have at least 128 random bits, so that a plain hash is enough: nobody finds one by trying.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Self

from psi.secret import SecretBytes


class BearerSecret:
    """A secret that is one line of text; ``repr`` and ``str`` don't show it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = SecretBytes(text.encode())

    @classmethod
    def new(cls, size: int, prefix: str = "") -> Self:
        """Return a secret of ``size`` random bytes in base64url (RFC 4648, section 5) behind ``prefix``."""
        return cls(prefix + base64.urlsafe_b64encode(secrets.token_bytes(size)).rstrip(b"=").decode())

    def reveal(self) -> str:
        """Return the text."""
        return self._text.reveal().decode()

    def digest(self) -> str:
        """Return what is kept of it."""
        return digest_of(self.reveal())

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<redacted>)"

    __str__ = __repr__


def digest_of(text: str) -> str:
    """Return the SHA-256 by which a shown secret is looked up, in hexadecimal; ``text`` is ASCII."""
    return hashlib.sha256(text.encode("ascii")).hexdigest()
