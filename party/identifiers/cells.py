"""Cells as one flat byte buffer, so that millions of them are cleaned without a Python loop.

An Arrow string column already is ``data`` and ``offsets``; a 256-entry table looked up over ``data`` drops or
counts characters in every cell at once, and a cumulative sum gives the new offsets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Bytes: TypeAlias = npt.NDArray[np.uint8]
Ints: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]


def table(characters: str) -> Mask:
    """A lookup table over byte values that is true for these ASCII characters."""
    result = np.zeros(256, np.bool_)
    result[list(characters.encode("ascii"))] = True
    return result


DIGITS = table("0123456789")
HEX = table("0123456789abcdefABCDEF")
HIGH = np.arange(256) >= 0x80
# ASCII-only upper and lower case; bytes of longer UTF-8 sequences stay as they are.
UPPER: Bytes = np.array([ord(chr(b).upper()) if b < 0x80 else b for b in range(256)], np.uint8)
LOWER: Bytes = np.array([ord(chr(b).lower()) if b < 0x80 else b for b in range(256)], np.uint8)
WHITESPACE = " \t\n\r\x0b\x0c"
# What spreadsheets and forms leave around an identifier: blanks, and the quoting of ="..." and '...
QUOTING = "'\"`="

# Characters that print nothing (zero-width, soft hyphen, bidi marks as copied from chat and contact apps,
# byte-order mark), the Unicode dashes, and blanks that NFKC leaves alone.
_INVISIBLE = r"[\x{00ad}\x{061c}\x{180e}\x{200b}-\x{200f}\x{202a}-\x{202e}\x{2060}-\x{206f}\x{feff}]"
_DASHES = r"[\x{2010}-\x{2015}\x{2212}\x{fe58}]"
_BLANKS = r"[\x{0085}\x{1680}\x{2028}\x{2029}]"
INVISIBLE_CHARACTERS = (
    "\u00ad\u061c\u180e"
    + "".join(chr(c) for c in (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)))
    + "\ufeff"
)


@dataclass(frozen=True, slots=True, repr=False)
class Cells:
    """n cells: cell i is ``data[offsets[i]:offsets[i + 1]]``; a null cell is an empty one."""

    data: Bytes
    offsets: Ints

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Ints:
        """Bytes per cell, shape (n,)."""
        return np.diff(self.offsets)

    def ends(self) -> Ints:
        """Offset just past each cell, shape (n,)."""
        return self.offsets[1:]

    def count(self, characters: Mask) -> Ints:
        """How many bytes of each cell are in ``characters`` (shape (256,)), shape (n,)."""
        running = running_count(characters[self.data])
        return running[self.offsets[1:]] - running[self.offsets[:-1]]

    def without(self, characters: Mask) -> Cells:
        """The cells with every byte in ``characters`` left out."""
        keep = ~characters[self.data]
        if keep.all():
            return self
        return Cells(self.data[keep], running_count(keep)[self.offsets])

    def mapped(self, mapping: Bytes) -> Cells:
        """The cells with each byte looked up in ``mapping``, shape (256,)."""
        return Cells(mapping[self.data], self.offsets)

    def matrix(self, rows: Ints, width: int) -> Bytes:
        """The first ``width`` bytes of these rows, shape (len(rows), width); each must be long enough."""
        return gather(self.data, self.offsets[:-1][rows], width)

    def to_arrow(self) -> pa.Array:
        """The cells as ``large_string``; the bytes must be UTF-8."""
        return pa.LargeStringArray.from_buffers(
            len(self), pa.py_buffer(np.ascontiguousarray(self.offsets)), pa.py_buffer(self.data)
        )


def gather(data: Bytes, starts: Ints, width: int) -> Bytes:
    """``width`` bytes from each start, shape (len(starts), width)."""
    if not len(starts):
        return np.empty((0, width), np.uint8)
    return np.lib.stride_tricks.sliding_window_view(data, width)[starts]


def running_count(flags: Mask) -> Ints:
    """How many flags are set before each position, shape (n + 1,)."""
    result = np.zeros(len(flags) + 1, np.int64)
    np.cumsum(flags, out=result[1:])
    return result


_TEXT_TYPES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)


def strings(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Any Arrow string column as one ``large_string`` array without nulls (null becomes empty).

    Raises ``TypeError`` for columns that are not text; numbers would lose leading zeros before they get here.
    """
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if not any(test(kind) for test in _TEXT_TYPES):
        raise TypeError(f"identifiers are read as text, not as {kind}")
    if isinstance(array, pa.ChunkedArray):
        chunks = [chunk.cast(pa.large_string()) for chunk in array.chunks]
        array = pa.concat_arrays(chunks) if chunks else pa.array([], pa.large_string())
    elif not pa.types.is_large_string(array.type):
        array = array.cast(pa.large_string())
    return pc.fill_null(array, "") if array.null_count else array


def cells_of(array: pa.Array | pa.ChunkedArray) -> Cells:
    """The flat view of an Arrow string column; copies nothing if it can."""
    array = strings(array)
    size = len(array)
    if not size:
        return Cells(np.empty(0, np.uint8), np.zeros(1, np.int64))
    _, offset_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[array.offset : array.offset + size + 1]
    data = np.empty(0, np.uint8) if data_buffer is None else np.frombuffer(data_buffer, np.uint8)
    first, last = int(offsets[0]), int(offsets[-1])
    return Cells(data[first:last], offsets - first)


def tidy(array: pa.Array | pa.ChunkedArray) -> Cells:
    """The cells in compatibility form (NFKC: full-width digits and letters become ASCII) without invisible
    characters; Unicode dashes become ``-``, odd blanks a space. Pure ASCII cells are passed through.
    """
    cells = cells_of(array)
    if not len(cells.data) or int(cells.data.max()) < 0x80:
        return cells
    high = cells.count(HIGH) > 0
    plain = cells.to_arrow()
    odd = pc.utf8_normalize(plain.filter(pa.array(high)), "NFKC")
    for pattern, replacement in ((_INVISIBLE, ""), (_DASHES, "-"), (_BLANKS, " ")):
        odd = pc.replace_substring_regex(odd, pattern, replacement)
    return cells_of(pc.replace_with_mask(plain, pa.array(high), odd))


def drop_decimal_tail(cells: Cells) -> tuple[Cells, Mask]:
    """Undo ``13800138000.0``, the trace of a number column with gaps; also says which cells had it.

    Only one dot followed by one or two zeros counts; a dot elsewhere is a separator.
    """
    none = np.zeros(len(cells), np.bool_)
    dotted = np.flatnonzero(cells.data == ord("."))
    if not len(dotted):
        return cells, none
    rows = np.searchsorted(cells.offsets, dotted, side="right") - 1
    rows, first, number = np.unique(rows, return_index=True, return_counts=True)
    rows, at = rows[number == 1], dotted[first[number == 1]]
    tail = cells.ends()[rows] - at
    # Trailing blanks were removed before; so the tail is exactly ".0" or ".00".
    padded = np.append(cells.data, np.zeros(3, np.uint8))
    zeros = (padded[at + 1] == ord("0")) & ((tail == 2) | ((tail == 3) & (padded[at + 2] == ord("0"))))
    rows, at, tail = rows[zeros], at[zeros], tail[zeros]
    if not len(rows):
        return cells, none
    keep = np.ones(len(cells.data), np.bool_)
    keep[at] = False
    keep[at + 1] = False
    keep[at[tail == 3] + 2] = False
    none[rows] = True
    return Cells(cells.data[keep], running_count(keep)[cells.offsets]), none
