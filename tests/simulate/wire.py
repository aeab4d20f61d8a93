"""The simulated link: two queues of encoded messages with little room, that can be cut, and lied on."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from psi.errors import PeerViolation
from veiljoin import codec
from veiljoin.messages import Abort
from veiljoin.v1 import session_pb2 as pb


@dataclass
class Parcel:
    """A message on its way; ``spoilt`` bytes are decoded when they arrive."""

    message: Any
    encoded: bytes
    spoilt: bool = False

    def opened(self) -> Any:
        """Return the message. Raises ``PeerViolation`` for bytes that are none."""
        if not self.spoilt:
            return self.message
        try:
            envelope = pb.Envelope.FromString(self.encoded)
        except DecodeError:
            # The transport says the same.
            raise PeerViolation("The partner sent bytes that are no message.") from None
        return codec.decode(envelope)


class Link:
    """One link; ``room`` is how many messages may be on their way in one direction."""

    def __init__(self, room: int) -> None:
        self._room = room
        # Towards side 0 and towards side 1; and what has arrived there, for copies.
        self.ways: tuple[deque[Parcel], deque[Parcel]] = (deque(), deque())
        self.past: tuple[list[Parcel], list[Parcel]] = ([], [])
        self.cut = False

    def has(self, side: int) -> bool:
        """Whether something has arrived at ``side``."""
        return bool(self.ways[side])

    def take(self, side: int) -> Any:
        """Return what has arrived first."""
        parcel = self.ways[side].popleft()
        self.past[side].append(parcel)
        return parcel.opened()

    def takes(self, side: int) -> bool:
        """Whether ``side`` can write."""
        return not self.cut and len(self.ways[1 - side]) < self._room

    def send(self, side: int, message: Any) -> bytes:
        """Put a message of ``side`` on its way; returns its bytes."""
        encoded = codec.encode(message).SerializeToString(deterministic=True)
        if not self.cut:
            self.ways[1 - side].append(Parcel(message, encoded))
        return encoded

    def hang_up(self, side: int, word: Abort) -> None:
        """Say a last word and close; what was on its way to ``side`` is lost."""
        if not self.cut:
            self.send(side, word)
        self.cut = True
        self.ways[side].clear()

    def die(self, side: int, pick: random.Random) -> None:
        """Break off at ``side``, whose last messages may not have left."""
        self.break_off(pick)
        self.ways[side].clear()

    def break_off(self, pick: random.Random) -> None:
        """Cut the link: in each direction the last messages on their way are lost, however many."""
        self.cut = True
        for way in self.ways:
            for _ in range(pick.randint(0, len(way))):
                way.pop()
