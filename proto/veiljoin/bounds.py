"""Checks that messages make on what a partner sent: each raises ``PeerViolation`` that says what is wrong."""

from __future__ import annotations

from psi.errors import PeerViolation


def require(valid: bool, fault: str) -> None:
    """Hold a message to something; ``fault`` says what was sent otherwise."""
    if not valid:
        raise PeerViolation(f"The partner sent {fault}.")


def check_text(text: str, limit: int, what: str, *, empty: bool = False) -> None:
    """Check printable text of at most ``limit`` bytes in UTF-8."""
    require(bool(text) or empty, f"an empty {what}")
    require(len(text.encode("utf-8", "surrogatepass")) <= limit, f"{what} that is too long")
    require(not text or text.isprintable(), f"{what} with control characters")


def check_bytes(value: bytes, length: int, what: str) -> None:
    """Check that ``value`` has ``length`` bytes."""
    require(len(value) == length, f"{what} of a wrong length")
