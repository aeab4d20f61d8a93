"""Numbers of official documents: the Chinese identity number and the unified social credit code."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from party.identifiers.cells import (
    DIGITS,
    QUOTING,
    UPPER,
    WHITESPACE,
    Bytes,
    Ints,
    Mask,
    drop_decimal_tail,
    table,
    tidy,
)
from party.identifiers.device import refuse_numbers
from party.identifiers.outcome import Normalised, Outcome

_JUNK: Final = table(WHITESPACE + QUOTING + "-")
_LENGTH: Final = 18

# GB 11643-1999: weights 2^(17-i) mod 11 (ISO 7064 MOD 11-2) and the check character by remainder.
_ID_WEIGHTS: Final = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2])
_ID_CHECK: Final = np.frombuffer(b"10X98765432", np.uint8)
# GB/T 2260 province codes; 81 to 83 are residents of Hong Kong, Macao and Taiwan with a mainland permit.
# fmt: off
PROVINCES: Final = np.array([
    11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46,
    50, 51, 52, 53, 54, 61, 62, 63, 64, 65, 71, 81, 82, 83,
])
# fmt: on
_DAYS: Final = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])

# GB 32100-2015: base 31 without I, O, S, V, Z; weights 3^i mod 31.
USCC_ALPHABET: Final = b"0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_WEIGHTS: Final = np.array([pow(3, i, 31) for i in range(17)])


def id_check(digits: Bytes) -> Bytes:
    """Check characters of identity numbers: 17 digit values per row, shape (n, 17) -> (n,)."""
    check: Bytes = _ID_CHECK[(digits.astype(np.int64) @ _ID_WEIGHTS) % 11]
    return check


def _number(digits: Bytes) -> Ints:
    value = np.zeros(len(digits), np.int64)
    for column in digits.T:
        value = value * 10 + column
    return value


def _real_date(digits: Bytes) -> Mask:
    """Which rows of eight digits are a date YYYYMMDD of 1800 to 2099."""
    year, month, day = _number(digits[:, :4]), _number(digits[:, 4:6]), _number(digits[:, 6:])
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    last = _DAYS[np.where(month <= 12, month, 0)] + ((month == 2) & leap)
    good: Mask = (year >= 1800) & (year < 2100) & (month >= 1) & (day >= 1) & (day <= last)
    return good


def normalise_national_id(array: pa.Array | pa.ChunkedArray) -> Normalised:
    """Canonical identity numbers: 18 characters, check character ``X`` in upper case.

    The 15-digit numbers issued until 1999 are upgraded: birth year 19yy, check character computed.
    """
    cells, floats = drop_decimal_tail(tidy(array).without(_JUNK).mapped(UPPER))
    cells = cells.without(table("."))
    outcome = Outcome(len(cells))
    lengths, digits = cells.lengths, cells.count(DIGITS)
    # 18 digits do not fit a floating-point number (2^53), whatever the tail looks like.
    lost = floats & (digits == _LENGTH)
    outcome.reject(np.flatnonzero(lost), "scientific_notation")

    old = np.flatnonzero((lengths == 15) & (digits == 15))
    old_digits = cells.matrix(old, 15) - ord("0")
    century = np.tile(np.array([1, 9], np.uint8), (len(old), 1))
    upgraded = np.concatenate([old_digits[:, :6], century, old_digits[:, 6:]], axis=1)

    new = np.flatnonzero((lengths == _LENGTH) & (digits >= _LENGTH - 1) & ~lost)
    text = cells.matrix(new, _LENGTH)
    numeric = DIGITS[text[:, :17]].all(axis=1)
    plausible = numeric & (DIGITS[text[:, 17]] | (text[:, 17] == ord("X")))
    outcome.reject(new[~plausible], "bad_characters")
    new, text = new[plausible], text[plausible]

    rows = np.concatenate([old, new])
    body = np.concatenate([upgraded, text[:, :17] - ord("0")])
    check = id_check(body)
    claimed = np.concatenate([check[: len(old)], text[:, 17]])
    # The permanent residence card of 2023 puts a 9 before the province.
    permit = body[:, 0] == 9
    province = np.where(permit, _number(body[:, 1:3]), _number(body[:, :2]))
    known = np.isin(province, PROVINCES)
    dated = _real_date(body[:, 6:14])
    checked = check == claimed
    repeated = (body == body[:, :1]).all(axis=1)
    matrix = np.concatenate([body + ord("0"), check[:, None]], axis=1).astype(np.uint8)

    good = known & dated & checked & ~repeated
    outcome.accept(rows[good], matrix[good])
    outcome.reject(rows[~checked], "bad_checksum")
    outcome.reject(rows[~dated], "bad_date")
    outcome.reject(rows[~known], "unknown_region")
    outcome.reject(rows[repeated], "placeholder")
    refuse_numbers(outcome, cells)
    return outcome.finish()


def uscc_values(text: Bytes) -> tuple[Ints, Mask]:
    """Base-31 values of code characters and which characters are in the alphabet, any shape."""
    lookup = np.full(256, -1, np.int64)
    lookup[list(USCC_ALPHABET)] = np.arange(31)
    values = lookup[text]
    return np.maximum(values, 0), values >= 0


def uscc_check(values: Ints) -> Bytes:
    """Check characters of credit codes: 17 base-31 values per row, shape (n, 17) -> (n,)."""
    check: Bytes = np.frombuffer(USCC_ALPHABET, np.uint8)[-(values @ _USCC_WEIGHTS) % 31]
    return check


def normalise_uscc(array: pa.Array | pa.ChunkedArray) -> Normalised:
    """Canonical unified social credit codes: 18 characters in upper case with a valid check character."""
    cells = tidy(array).without(_JUNK).mapped(UPPER)
    outcome = Outcome(len(cells))
    lengths = cells.lengths
    rows = np.flatnonzero(lengths == _LENGTH)
    text = cells.matrix(rows, _LENGTH)
    values, known = uscc_values(text)
    spelled = known.all(axis=1)
    zero = (text == ord("0")).all(axis=1)
    checked = uscc_check(values[:, :17]) == text[:, 17]
    good = spelled & checked & ~zero
    outcome.accept(rows[good], text[good])
    outcome.reject(rows[~checked], "bad_checksum")
    outcome.reject(rows[~spelled], "bad_characters")
    outcome.reject(rows[zero], "placeholder")
    rest = outcome.undecided()
    letters = cells.count(table(USCC_ALPHABET.decode("ascii")))[rest]
    outcome.reject(rest[letters == lengths[rest]], "bad_length")
    outcome.reject(rest[letters != lengths[rest]], "bad_characters")
    outcome.reject(rest[lengths[rest] == 0], "empty")
    return outcome.finish()
