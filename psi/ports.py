"""What the roles need from whoever runs them: places to keep a set, tokens and their join.

``psi.memory`` has versions that keep everything in arrays; a node brings its own that keep it on disk, so
that memory does not grow with rows. Both must behave alike; the tests run the roles over either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from psi.messages import Tier

Ranks = Callable[[int, int], npt.NDArray[np.uint64]]


class OwnSet(Protocol):
    """A party's own set, masked once and secretly permuted within each tier."""

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """The tiers in sending order."""

    @property
    def input_commitment(self) -> bytes:
        """Salted commitment to the input (32 bytes)."""

    def chunk(self, sequence: int) -> bytes:
        """Return chunk ``sequence`` of the masked points, elements back to back."""


class TokenShelf(Protocol):
    """Tokens kept in order until they may be sent."""

    def append(self, tokens: bytes) -> None:
        """Add tokens, back to back, behind those already here."""

    def ordered(self) -> Iterator[bytes]:
        """Yield all tokens in the order of arrival, in chunks of the terms' size."""

    def shuffled(self, sizes: Sequence[int], ranks: Ranks) -> Iterator[bytes]:
        """Yield all tokens in chunks, shuffled by ``ranks`` within consecutive groups of ``sizes``."""


class TokenJoin(Protocol):
    """The join of a party's own tokens with its partner's."""

    def add_own(self, tokens: bytes) -> None:
        """Add tokens of own elements, in own position order."""

    def add_peer(self, tokens: bytes) -> None:
        """Add tokens of the partner's elements, in the partner's order."""

    def repeated(self) -> tuple[int, int]:
        """Return how many own and how many partner tokens are copies of an earlier one."""

    def match(self, peer_sizes: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Return, per own position, 0 for no match, else 1 + the index of the partner's tier.

        Shape (own size,). ``peer_sizes`` are the sizes of the partner's tiers in sending order.
        """


class Keep(Protocol):
    """Opens the places above for one session."""

    def shelf(self) -> TokenShelf:
        """Return an empty shelf."""

    def join(self) -> TokenJoin:
        """Return an empty join."""
