"""Decimal cells as whole units, exactly: 12.30 at scale 100 is 1,230.

A cell with more decimals than the scale keeps is rounded to the nearest unit, halves to the even one. Besides plain
decimals, thousands separated by commas (``1,234.50``) and exponents (``1.5e3``) are read, and full-width digits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from party.identifiers.cells import tidy

# What is larger stands for itself by its sign: beyond any bound that a contract can declare.
MOST_UNITS: Final = 1 << 62
# Digits before the point that a 64-bit integer holds with six decimals behind it.
_WHOLE_DIGITS: Final = 12
_LOOSE: Final = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:,\d{3})+)?(?:\.\d*)?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_MOST_LENGTH: Final = 64
_CONTEXT: Final = Context(prec=500, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True, repr=False)
class Amounts:
    """Amounts of n rows, each of shape (n,): ``units`` are 0 where a cell is empty or ``unreadable``."""

    units: npt.NDArray[np.int64]
    filled: npt.NDArray[np.bool_]
    unreadable: npt.NDArray[np.bool_]

    def __repr__(self) -> str:
        return f"Amounts({len(self.units)} rows, {int(self.unreadable.sum())} unreadable)"


def read_amounts(cells: pa.Array, scale: int) -> Amounts:
    """Read one batch of text cells in units of 1/``scale``, a power of ten up to 10^6; blank cells are empty.

    Amounts beyond ``MOST_UNITS`` become that bound. Raises ``ValueError`` for another scale.
    """
    digits = len(str(scale)) - 1
    if scale != 10**digits or digits > 6:
        raise ValueError("a scale is a power of ten, 1 to 1,000,000")
    texts = tidy(pc.utf8_trim_whitespace(cells))
    filled = texts.lengths > 0
    column = texts.to_arrow()
    tail = rf"(\.[0-9]{{0,{digits}}})?" if digits else ""
    plain = pc.match_substring_regex(column, rf"^[+-]?[0-9]{{1,{_WHOLE_DIGITS}}}{tail}$")
    decimals = pc.if_else(plain, column, "0").cast(pa.decimal128(38, digits))
    # An unscaled decimal is a 16-byte little-endian integer; these fit its low half.
    words = np.frombuffer(decimals.buffers()[1], dtype="<i8").reshape(-1, 2)
    units = words[decimals.offset : decimals.offset + len(decimals), 0].astype(np.int64)
    unreadable = np.zeros(len(units), dtype=np.bool_)
    rest = np.flatnonzero(filled & ~plain.to_numpy(zero_copy_only=False))
    for row, text in zip(rest.tolist(), column.take(pa.array(rest)).to_pylist(), strict=True):
        amount = _loosely(text, digits)
        unreadable[row] = amount is None
        units[row] = amount or 0
    return Amounts(units, filled, unreadable)


def _loosely(text: str, digits: int) -> int | None:
    """Return whole units of one cell, or ``None``."""
    if len(text) > _MOST_LENGTH or not _LOOSE.fullmatch(text):
        return None
    try:
        units = _CONTEXT.create_decimal(text.replace(",", "")).scaleb(digits, _CONTEXT)
        if abs(units) >= MOST_UNITS:
            return MOST_UNITS if units > 0 else -MOST_UNITS
        return int(units.quantize(Decimal(1), context=_CONTEXT))
    except InvalidOperation:  # no digit at all
        return None
