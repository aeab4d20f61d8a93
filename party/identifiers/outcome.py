"""What a normaliser hands back, and the builder that collects it row by row class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from party.identifiers.cells import Bytes, Ints
from party.identifiers.reasons import CODE, REASONS

_UNDECIDED = 255


@dataclass(frozen=True, slots=True, repr=False)
class Normalised:
    """Result for n cells, in their order.

    ``canonical``: Arrow ``binary``, shape (n,), null where rejected; ``reason``: uint8, shape (n,), 0 where
    accepted, else the index into ``REASONS``. The ``repr`` shows counts only.
    """

    canonical: pa.Array
    reason: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.reason)

    def counts(self) -> dict[str, int]:
        """Rejected rows by reason name; accepted rows are left out."""
        found = np.bincount(self.reason, minlength=len(REASONS))
        return {name: int(found[code]) for code, name in enumerate(REASONS) if code and found[code]}

    def __repr__(self) -> str:
        return f"Normalised({len(self)} rows, {int((self.reason == 0).sum())} accepted)"


class Outcome:
    """Collects accepted and rejected rows; every row must be decided exactly once."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._reason = np.full(size, _UNDECIDED, np.uint8)
        self._parts: list[tuple[Ints, Bytes]] = []

    def accept(self, rows: Ints, matrix: Bytes) -> None:
        """Accept rows whose canonical bytes are the rows of ``matrix``, shape (len(rows), width)."""
        if len(rows):
            self._reason[rows] = 0
            self._parts.append((rows, matrix))

    def accept_each(self, rows: Sequence[int], values: Sequence[bytes]) -> None:
        """Accept rows with values of differing lengths."""
        by_length: dict[int, tuple[list[int], list[bytes]]] = {}
        for row, value in zip(rows, values, strict=True):
            group = by_length.setdefault(len(value), ([], []))
            group[0].append(row)
            group[1].append(value)
        for width, (group_rows, group_values) in by_length.items():
            matrix = np.frombuffer(b"".join(group_values), np.uint8).reshape(-1, width)
            self.accept(np.array(group_rows, np.int64), matrix)

    def reject(self, rows: Ints | Sequence[int], reason: str) -> None:
        """Reject rows for a named reason."""
        self.reject_code(np.asarray(rows, np.int64), CODE[reason])

    def reject_code(self, rows: Ints, code: int) -> None:
        """Reject rows for the reason with this code."""
        self._reason[rows] = code

    def undecided(self) -> Ints:
        """Rows that are neither accepted nor rejected yet."""
        return np.flatnonzero(self._reason == _UNDECIDED)

    def finish(self) -> Normalised:
        """Assemble the canonical column; the order of rows is that of the input."""
        lengths = np.zeros(self._size, np.int64)
        for rows, matrix in self._parts:
            lengths[rows] = matrix.shape[1]
        offsets = np.zeros(self._size + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        data = np.empty(int(offsets[-1]), np.uint8)
        for rows, matrix in self._parts:
            if matrix.size == data.size and (len(rows) < 2 or bool((np.diff(rows) > 0).all())):
                data = np.ascontiguousarray(matrix).reshape(-1)
            else:
                width = matrix.shape[1]
                np.lib.stride_tricks.sliding_window_view(data, width, writeable=True)[offsets[rows]] = matrix
        validity = np.packbits(self._reason == 0, bitorder="little")
        canonical = pa.Array.from_buffers(
            pa.large_binary(),
            self._size,
            [pa.py_buffer(validity), pa.py_buffer(offsets), pa.py_buffer(data)],
        ).cast(pa.binary())
        return Normalised(canonical, self._reason)


def from_strings(values: pa.Array, reason: npt.NDArray[np.uint8]) -> Normalised:
    """A result whose accepted rows are cells of a string column as they stand."""
    accepted = pa.array(reason == 0)
    canonical = pc.if_else(accepted, values, pa.scalar(None, values.type))
    return Normalised(canonical.cast(pa.large_binary()).cast(pa.binary()), reason)
