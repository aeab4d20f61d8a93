"""What must hold of every simulated schedule, whatever goes wrong in it; each breach is a sentence."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any


class Breach(AssertionError):
    """An invariant does not hold."""


@dataclass
class _Sent:
    """What one side has sent under one seed."""

    # By announcement: a set that was lost and prepared anew, of another file, has another one.
    messages: dict[bytes, dict[int, bytes]] = field(default_factory=dict)
    announcement: bytes = b""
    # Sessions under which anything behind the announcement was sent.
    sessions: set[bytes] = field(default_factory=set)


class Judge:
    """Sees all that honest sides send."""

    def __init__(self) -> None:
        self._sent: dict[tuple[int, bytes], _Sent] = {}
        # Runs by side and seed that may serve two sessions: a disk has lied to their side.
        self.excused: set[tuple[int, bytes]] = set()

    def sent(
        self, side: int, seed: bytes, number: int, message: Any, encoded: bytes, *, released: bool
    ) -> None:
        """Judge a message that ``side`` sends as number ``number`` of its run, counted by the partner's position."""
        told = self._sent.setdefault((side, seed), _Sent())
        digest = hashlib.sha256(encoded).digest()
        session = getattr(message, "session", None)
        if number and not released:
            raise Breach(f"side {side} sent message {number} before its run was spent")
        if (number == 0) != (session is None):
            raise Breach(f"side {side} sent {type(message).__name__} as message {number}")
        if session is not None:
            told.sessions.add(session)
            if len(told.sessions) > 1 and (side, seed) not in self.excused:
                raise Breach(f"side {side} answered two sessions under one seed")
        if number == 0:
            told.announcement = digest
        before = told.messages.setdefault(told.announcement, {}).setdefault(number, digest)
        if before != digest and (side, seed) not in self.excused:
            raise Breach(f"side {side} sent another message {number} than before: {type(message).__name__}")

    def sequence(self, side: int, seed: bytes) -> dict[int, bytes]:
        """Return the digests of what ``side`` sent under ``seed`` and its last announcement, by number."""
        told = self._sent.get((side, seed), _Sent())
        return told.messages.get(told.announcement, {})
