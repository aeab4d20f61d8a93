"""A fuzzer's bytes, read as decisions.

So one input can be a whole conversation, and a mutated input is a similar one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draws:
    """Decisions from ``data``, in order; once it has run out, every further one is the first choice."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes that were not read yet."""
        return max(0, len(self._data) - self._at)

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes, fewer at the end."""
        taken = self._data[self._at : self._at + count]
        self._at += len(taken)
        return taken

    def number(self, length: int) -> int:
        """Return the number in the next ``length`` bytes."""
        return int.from_bytes(self.take(length), "big")

    def below(self, limit: int) -> int:
        """Return a number from 0 to ``limit - 1``, for limits up to 65,536."""
        return self.number(1 if limit <= 256 else 2) % limit

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of ``choices``."""
        return choices[self.below(len(choices))]

    def chance(self) -> random.Random:
        """Return a generator that the next four bytes seed, for what mutates something else."""
        return random.Random(self.number(4))

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(self.left)
