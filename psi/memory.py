"""In-memory versions of ``psi.ports``: for tests, for small event jobs, and as the reference of the others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from psi.engines import Engine
from psi.messages import Tier
from psi.ports import Ranks, TokenJoin, TokenShelf
from psi.seed import LABEL_ORDER, JobRandomness
from psi.suites import domain_separation_tag
from psi.terms import Terms


class MemorySet:
    """An ``OwnSet`` of canonical identifiers, one list per tier, masked and permuted at once.

    ``origin[i]`` is the index, in the order given, of the person at sending position i.
    """

    def __init__(
        self,
        terms: Terms,
        randomness: JobRandomness,
        engine: Engine,
        tiers: Sequence[tuple[str, Sequence[bytes]]],
    ) -> None:
        identifiers = [identifier for _, members in tiers for identifier in members]
        sizes = [len(members) for _, members in tiers]
        root = hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in identifiers)).digest()
        tag = domain_separation_tag(terms.suite, terms.contract)
        masked = engine.hash_and_mask(tag, identifiers, randomness.scalar(terms.suite))
        ranks = randomness.ranks(LABEL_ORDER, 0, len(identifiers))
        # Primary key last: tier by tier, and by secret rank within a tier.
        self.origin = np.lexsort((ranks, np.repeat(np.arange(len(sizes)), sizes)))
        rows = np.frombuffer(masked, dtype=np.uint8).reshape(-1, terms.suite.element_size)
        self._points = rows[self.origin].tobytes()
        self._chunk_bytes = terms.chunk_elements * terms.suite.element_size
        self.tiers = tuple(Tier(label, len(members)) for label, members in tiers)
        self.input_commitment = randomness.input_commitment(root)

    def chunk(self, sequence: int) -> bytes:
        """Return chunk ``sequence`` of the masked points."""
        return self._points[sequence * self._chunk_bytes : (sequence + 1) * self._chunk_bytes]


def _cut(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


class MemoryShelf:
    """A ``TokenShelf`` in a byte string."""

    def __init__(self, terms: Terms) -> None:
        self._tokens = bytearray()
        self._token = terms.suite.token_size
        self._chunk_bytes = terms.chunk_elements * self._token

    def append(self, tokens: bytes) -> None:
        """Add tokens behind those already here."""
        self._tokens += tokens

    def ordered(self) -> Iterator[bytes]:
        """Yield all tokens in the order of arrival."""
        return _cut(bytes(self._tokens), self._chunk_bytes)

    def shuffled(self, sizes: Sequence[int], ranks: Ranks) -> Iterator[bytes]:
        """Yield all tokens, shuffled within consecutive groups."""
        rows = np.frombuffer(bytes(self._tokens), dtype=np.uint8).reshape(-1, self._token)
        groups = np.repeat(np.arange(len(sizes)), sizes)
        order = np.lexsort((ranks(0, len(rows)), groups))
        return _cut(rows[order].tobytes(), self._chunk_bytes)


class MemoryJoin:
    """A ``TokenJoin`` over sorted arrays."""

    def __init__(self, terms: Terms) -> None:
        self._token = terms.suite.token_size
        self._own = bytearray()
        self._peer = bytearray()

    def add_own(self, tokens: bytes) -> None:
        """Add tokens of own elements."""
        self._own += tokens

    def add_peer(self, tokens: bytes) -> None:
        """Add tokens of the partner's elements."""
        self._peer += tokens

    def _tokens(self, side: bytearray) -> list[bytes]:
        return list(_cut(bytes(side), self._token))

    def repeated(self) -> tuple[int, int]:
        """Return how many own and partner tokens are copies."""
        own, peer = self._tokens(self._own), self._tokens(self._peer)
        return len(own) - len(set(own)), len(peer) - len(set(peer))

    def match(self, peer_sizes: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Return 0 or 1 + the partner's tier per own position."""
        tiers = np.repeat(np.arange(1, len(peer_sizes) + 1, dtype=np.uint8), peer_sizes).tolist()
        found = dict(zip(self._tokens(self._peer), tiers, strict=True))
        own = self._tokens(self._own)
        return np.fromiter((found.get(token, 0) for token in own), dtype=np.uint8, count=len(own))


class MemoryKeep:
    """A ``Keep`` whose places are arrays."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms

    def shelf(self) -> TokenShelf:
        """Return an empty shelf."""
        return MemoryShelf(self._terms)

    def join(self) -> TokenJoin:
        """Return an empty join."""
        return MemoryJoin(self._terms)
