"""A Paillier engine that did the arithmetic of one honest run before, and works anew only on what it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from federated.engine import PaillierEngine
from federated.keys import PaillierPrivateKey, PaillierPublicKey
from federated.stream import StreamKey

T = TypeVar("T")


class RememberedEngine(PaillierEngine):
    """Keeps results while ``remembers``; what a fuzzer makes up is worked on and forgotten."""

    def __init__(self) -> None:
        super().__init__(threads=1, window=6)
        self.remembers = True
        self._known: dict[tuple[object, ...], object] = {}

    def _once(self, asked: tuple[object, ...], work: Callable[[], T]) -> T:
        if asked in self._known:
            return self._known[asked]  # type: ignore[return-value]
        result = work()
        if self.remembers:
            self._known[asked] = result
        return result

    def encrypt(
        self, private: PaillierPrivateKey, plaintexts: Sequence[int], key: StreamKey, start: int
    ) -> bytes:
        """Encrypt, or return what was encrypted before."""
        asked = ("encrypt", private.reveal(), tuple(plaintexts), key.reveal(), start)
        return self._once(
            asked, lambda: super(RememberedEngine, self).encrypt(private, plaintexts, key, start)
        )

    def decrypt(self, private: PaillierPrivateKey, batch: bytes) -> list[int]:
        """Decrypt, or return what was decrypted before."""
        asked = ("decrypt", private.reveal(), batch)
        return list(self._once(asked, lambda: super(RememberedEngine, self).decrypt(private, batch)))

    def add(self, public: PaillierPublicKey, groups: Sequence[bytes]) -> bytes:
        """Add up, or return what was added up before."""
        return self._once(
            ("add", public, tuple(groups)), lambda: super(RememberedEngine, self).add(public, groups)
        )

    def add_plain(self, public: PaillierPublicKey, batch: bytes, plaintexts: Sequence[int]) -> bytes:
        """Add plaintexts, or return what came of it before."""
        asked = ("plain", public, batch, tuple(plaintexts))
        return self._once(asked, lambda: super(RememberedEngine, self).add_plain(public, batch, plaintexts))

    def rerandomise(self, public: PaillierPublicKey, batch: bytes, key: StreamKey, start: int) -> bytes:
        """Re-randomise, or return what was re-randomised before."""
        asked = ("again", public, batch, key.reveal(), start)
        return self._once(asked, lambda: super(RememberedEngine, self).rerandomise(public, batch, key, start))

    def check(self, public: PaillierPublicKey, batch: bytes, start: int = 0) -> None:
        """Check, unless the same was sound before."""
        self._once(
            ("check", public, batch), lambda: super(RememberedEngine, self).check(public, batch, start)
        )
