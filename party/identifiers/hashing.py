"""Pre-hashed forms: both sides match on the lower-case hex of one stated digest.

A cell that already is hex of the digest's length is taken as the digest; every other cell is normalised as
the raw type and hashed here, so that a bank with raw mobiles can meet a platform that holds hashes only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from cryptography.hazmat.primitives import hashes

from party.identifiers.cells import (
    HEX,
    LOWER,
    QUOTING,
    WHITESPACE,
    Bytes,
    Cells,
    Ints,
    Mask,
    strings,
    table,
    tidy,
)
from party.identifiers.forms import ALGORITHMS
from party.identifiers.opaque import NOTHING
from party.identifiers.outcome import Normalised, Outcome
from party.identifiers.reasons import CODE

_AROUND: Final = table(WHITESPACE + QUOTING)


def _sm3(data: bytes) -> bytes:
    digest = hashes.Hash(hashes.SM3())
    digest.update(data)
    return digest.finalize()


def digester(algorithm: str) -> Callable[[bytes], bytes]:
    """The digest function of ``md5``, ``sha256`` or ``sm3`` (GB/T 32905-2016), bytes to bytes."""
    if algorithm == "md5":
        return lambda data: hashlib.md5(data, usedforsecurity=False).digest()
    if algorithm == "sha256":
        return lambda data: hashlib.sha256(data).digest()
    # hashlib has SM3 only where the OpenSSL it was built with does; the cryptography package brings its own.
    if algorithm in hashlib.algorithms_available:
        return lambda data: hashlib.new("sm3", data).digest()
    return _sm3


def _fillers(digest: Callable[[bytes], bytes]) -> set[bytes]:
    """Digests of "nothing": a list that was hashed without cleaning is full of them."""
    words = {word for name in NOTHING for word in (name, name.upper(), name.capitalize())}
    return {digest(word.encode()) for word in (*words, "", "NaN")}


def _words(matrix: Bytes) -> npt.NDArray[np.uint64]:
    """The first eight bytes of each row as one number, shape (n, width) -> (n,)."""
    words: npt.NDArray[np.uint64] = np.ascontiguousarray(matrix[:, :8]).view(np.uint64).reshape(-1)
    return words


def _shaped(bare: Cells, width: int) -> Mask:
    """Which cells, without what is around them, are so many hexadecimal digits."""
    shaped: Mask = (bare.lengths == width) & (bare.count(HEX) == width)
    return shaped


def digest_shaped(array: pa.Array | pa.ChunkedArray, algorithm: str) -> Mask:
    """Which cells are taken as a digest of ``algorithm`` by their looks, shape (n,)."""
    return _shaped(tidy(array).without(_AROUND), 2 * ALGORITHMS[algorithm])


class Hasher:
    """Normalises and hashes the cells of one hashed form; ``raw`` handles cells that are not hashed yet."""

    def __init__(self, algorithm: str, raw: Callable[[pa.Array], Normalised]) -> None:
        self._raw = raw
        self._digest = digester(algorithm)
        self._width = 2 * ALGORITHMS[algorithm]
        fillers = _fillers(self._digest) | {bytes(ALGORITHMS[algorithm])}
        joined = b"".join(sorted(fillers)).hex().encode("ascii")
        self._fillers = np.frombuffer(joined, np.uint8).reshape(-1, self._width)

    def __call__(self, array: pa.Array | pa.ChunkedArray) -> Normalised:
        cells = tidy(array)
        bare = cells.without(_AROUND)
        hashed = _shaped(bare, self._width)
        outcome = Outcome(len(cells))
        self._take_digests(outcome, bare, np.flatnonzero(hashed))
        rest = np.flatnonzero(~hashed)
        if len(rest):
            self._hash(outcome, rest, strings(array).take(pa.array(rest)))
        return outcome.finish()

    def _take_digests(self, outcome: Outcome, cells: Cells, rows: Ints) -> None:
        matrix = LOWER[cells.matrix(rows, self._width)]
        # Eight bytes of each digest first: comparing all of it for every row would cost more than the rest.
        filler = np.isin(_words(matrix), _words(self._fillers))
        maybe = np.flatnonzero(filler)
        filler[maybe] = (matrix[maybe][:, None, :] == self._fillers).all(axis=2).any(axis=1)
        outcome.reject(rows[filler], "placeholder")
        outcome.accept(rows[~filler], matrix[~filler])

    def _hash(self, outcome: Outcome, rows: Ints, values: pa.Array) -> None:
        part = self._raw(values)
        good = part.reason == 0
        digest = self._digest
        texts = part.canonical.drop_null().to_pylist()
        joined = b"".join([digest(text) for text in texts]).hex().encode("ascii")
        outcome.accept(rows[good], np.frombuffer(joined, np.uint8).reshape(-1, self._width))
        for code in np.unique(part.reason[~good]).tolist():
            # A digest of the job's own length never gets here, so what looks hashed was hashed otherwise.
            renamed = CODE["wrong_hash"] if code == CODE["looks_hashed"] else code
            outcome.reject_code(rows[part.reason == code], renamed)
