"""Identifiers whose inside means nothing to us: openid, unionid and any other key.

Only what surrounds the value is removed, because padding must not lose a match; case and leading zeros stay.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from party.identifiers.cells import INVISIBLE_CHARACTERS, WHITESPACE, cells_of, strings, table
from party.identifiers.outcome import Normalised, from_strings
from party.identifiers.reasons import CODE

_BLANKS: Final = (
    WHITESPACE
    + "\x00\x1c\x1d\x1e\x1f\u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000"
    + "".join(map(chr, range(0x2000, 0x200B)))
)
# What databases and spreadsheets write for "nothing"; a column full of it would otherwise be one person that
# both sides have.
NOTHING: Final = ("-", "--", "null", "none", "nan", "undefined", "\\n", "n/a", "#n/a", "(null)")
_MAX_LENGTH: Final = 1024  # bytes; longer cells are the sign of a broken file
_OPENID: Final = table("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def trim(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The cells without blanks and invisible characters around them, as ``large_string`` without nulls."""
    return pc.utf8_trim(strings(array), characters=_BLANKS + INVISIBLE_CHARACTERS)


def normalise(array: pa.Array | pa.ChunkedArray, kind: str) -> Normalised:
    """Canonical opaque keys; ``openid`` and ``unionid`` allow letters, digits, ``-`` and ``_`` only."""
    text = trim(array)
    cells = cells_of(text)
    lengths = cells.lengths
    reason = np.zeros(len(cells), np.uint8)
    if kind in ("openid", "unionid"):
        reason[cells.count(_OPENID) != lengths] = CODE["bad_characters"]
    reason[lengths > _MAX_LENGTH] = CODE["bad_length"]
    short = np.flatnonzero(lengths <= max(map(len, NOTHING)))
    words = pc.is_in(pc.utf8_lower(text.take(pa.array(short))), pa.array(NOTHING, pa.large_string()))
    reason[short[words.to_numpy(zero_copy_only=False)]] = CODE["placeholder"]
    reason[lengths == 0] = CODE["empty"]
    return from_strings(text, reason)
