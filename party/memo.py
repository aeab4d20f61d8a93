"""Masks and ciphertexts that were computed in a run, kept so that going on after a cut does not compute them again.

They are no more than what can be computed again from the seed: nothing waits for the disk, and a file that is missing
or not whole costs its work and nothing else. File names are keyed digests under a key of the run, since what is
masked may be hashed identifiers.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from federated.engine import PaillierEngine
from federated.keys import PaillierPrivateKey
from federated.stream import StreamKey
from party.spool import disk_error
from psi.engines import Engine
from psi.errors import PeerViolation
from psi.secret import Scalar, SecretBytes

# The label of the key that names files; nothing of it is ever sent.
LABEL_MEMO: Final = "veiljoin/v1/memo"
_COUNT: Final = "computed"
_DIGEST: Final = 32
_ELEMENT: Final = 32
# Elements that are computed and kept together: what is lost when a process dies in the middle of them.
_PART: Final = 16_384


class Memo:
    """Results of one run in ``folder`` by what they were computed from; counts the elements that were computed.

    The count goes on over the attempts of a run: it tells what the run has cost. What a killed process had begun
    counts whole. Without ``keep``, for a run that ends with its process, it counts and remembers nothing.
    """

    def __init__(self, folder: Path, key: SecretBytes, *, keep: bool = True) -> None:
        self._folder = folder
        self._key = key
        self._keep = keep
        self._lock = threading.Lock()
        self.computed = 0
        if not keep:
            return
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, folder) from None
        self.computed = _read_count(folder / _COUNT)

    def get(self, inputs: Sequence[bytes], elements: int, compute: Callable[[], bytes]) -> bytes:
        """Return what ``compute`` made, or makes now, of ``inputs``: ``elements`` elements of work."""
        if not self._keep:
            self._count(elements)
            return compute()
        path = self._folder / self._name(inputs)
        known = _read(path)
        if known is not None:
            return known
        self._count(elements)
        made = compute()
        partial = path.with_suffix(".partial")
        try:
            partial.write_bytes(hashlib.sha256(made).digest() + made)
            os.replace(partial, path)
        except OSError as error:
            raise disk_error(error, self._folder) from None
        return made

    def _count(self, elements: int) -> None:
        counting = self._folder / f"{_COUNT}.partial"
        with self._lock:
            self.computed += elements
            if not self._keep:
                return
            try:
                counting.write_text(str(self.computed), encoding="ascii")
                os.replace(counting, self._folder / _COUNT)
            except OSError as error:
                raise disk_error(error, self._folder) from None

    def forget(self) -> None:
        """Drop all results, which are kept elsewhere now; the count stays."""
        for path in self._folder.glob("*"):
            if path.name != _COUNT:
                path.unlink(missing_ok=True)

    def parts(self, elements: int) -> range:
        """Return where the parts begin in which so many elements are computed and kept."""
        return range(0, elements, _PART if self._keep else max(1, elements))

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _name(self, inputs: Sequence[bytes]) -> str:
        lengths = struct.pack(f">{len(inputs)}Q", *map(len, inputs))
        digest = hmac.new(self._key.reveal(), struct.pack(">Q", len(inputs)) + lengths, "sha256")
        digest.update(b"".join(inputs))
        return digest.hexdigest()[:40]


class RememberedEngine:
    """A ``psi.engines.Engine``: ``sets`` remembers masks of the own set, ``points`` those of the partner's points."""

    def __init__(self, engine: Engine, sets: Memo, points: Memo) -> None:
        self._engine = engine
        self._sets = sets
        self._points = points
        self.name = engine.name
        self.threads = engine.threads

    def mask(self, points: bytes, scalar: Scalar) -> bytes:
        """Do what the engine does, or return what it did."""
        compute = self._engine.mask

        def part(data: bytes) -> bytes:
            return self._points.get((data,), len(data) // _ELEMENT, lambda: compute(data, scalar))

        try:
            parts = self._points.parts(-(-len(points) // _ELEMENT))
            return b"".join(part(points[at * _ELEMENT : (at + parts.step) * _ELEMENT]) for at in parts)
        except PeerViolation:
            # Once more as a whole: the error names the place in the chunk.
            return compute(points, scalar)

    def hash_and_mask(self, tag: bytes, identifiers: Sequence[bytes], scalar: Scalar) -> bytes:
        """Do what the engine does, or return what it did."""
        compute = self._engine.hash_and_mask

        def part(some: Sequence[bytes]) -> bytes:
            return self._sets.get((tag, *some), len(some), lambda: compute(tag, some, scalar))

        parts = self._sets.parts(len(identifiers))
        return b"".join(part(identifiers[at : at + parts.step]) for at in parts)

    @property
    def processes(self) -> tuple[int, ...]:
        """Process ids of the engine's workers."""
        return self._engine.processes

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()


class RememberedPaillier(PaillierEngine):
    """A Paillier engine that remembers what it encrypted; everything else is computed again."""

    def __init__(self, memo: Memo, threads: int | None = None) -> None:
        super().__init__(threads)
        self._memo = memo

    def encrypt(
        self, private: PaillierPrivateKey, plaintexts: Sequence[int], key: StreamKey, start: int
    ) -> bytes:
        """Do what the engine does, or return what it did: of one run, the place in the stream says all."""
        compute = super().encrypt
        inputs = (b"encrypt", struct.pack(">QQ", start, len(plaintexts)))
        return self._memo.get(inputs, len(plaintexts), lambda: compute(private, plaintexts, key, start))


def _read(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, made = content[:_DIGEST], content[_DIGEST:]
    return made if hashlib.sha256(made).digest() == digest else None


def _read_count(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
