"""Types for values that must never be printed.

A secret shows its class and nothing else in ``repr``, ``str``, f-strings, logs and tracebacks, and refuses to
be pickled or compared by accident. ``reveal()`` is the one way to the bytes, so that every use can be found.
"""

from __future__ import annotations

import hmac
from typing import NoReturn


class SecretBytes:
    """Bytes with a redacted ``repr`` and ``str``; equality runs in constant time."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value: bytes | None = bytes(value)

    def reveal(self) -> bytes:
        """Return the bytes. Raises ``ValueError`` once :meth:`destroy` was called."""
        if self._value is None:
            raise ValueError(f"this {type(self).__name__} was destroyed at the end of its job")
        return self._value

    def destroy(self) -> None:
        """Drop the value; CPython cannot promise that no copy of it is left in memory."""
        self._value = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<redacted>)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self) or not isinstance(other, SecretBytes):
            return NotImplemented
        return hmac.compare_digest(self.reveal(), other.reveal())

    __hash__ = None  # type: ignore[assignment]  # a hash of a secret would end up in a dict dump

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is not pickled; reveal() it where it must travel")


class Scalar(SecretBytes):
    """A masking scalar of one suite, 32 bytes little-endian."""

    __slots__ = ()


class Seed(SecretBytes):
    """The 32-byte seed of one job on one side; everything random of that side derives from it."""

    __slots__ = ()


class SigningSeed(SecretBytes):
    """The private half of an Ed25519 identity, 32 bytes."""

    __slots__ = ()


class Personal(SecretBytes):
    """A raw or canonical identifier on its way through code that might raise or log."""

    __slots__ = ()
