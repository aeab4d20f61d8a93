"""Device identifiers: advertising ids (IDFA, GAID, OAID) and IMEI.

An IDFA or GAID is a random UUID. An OAID is what its maker chose: a UUID, or 16 to 64 hexadecimal digits
(so an OAID cannot be told from a digest by its looks, and nothing tries to).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from party.identifiers.cells import (
    DIGITS,
    HEX,
    LOWER,
    QUOTING,
    UPPER,
    WHITESPACE,
    Bytes,
    Cells,
    Ints,
    drop_decimal_tail,
    table,
    tidy,
)
from party.identifiers.outcome import Normalised, Outcome

_AROUND: Final = table(WHITESPACE + QUOTING + "{}")
_HYPHEN: Final = table("-")
_UUID_GROUPS: Final = (8, 4, 4, 4, 12)
_HYPHENS_AT: Final = np.array([8, 13, 18, 23])
_HEX_AT: Final = np.setdiff1d(np.arange(36), _HYPHENS_AT)
_OAID_LENGTHS: Final = (16, 64)
_IMEI_LENGTH: Final = 15


def normalise_uuid(array: pa.Array | pa.ChunkedArray, variant: str) -> Normalised:
    """Canonical IDFA or GAID; ``variant`` is ``upper`` or ``lower``, with ``-bare`` for no hyphens."""
    cells = tidy(array).without(_AROUND)
    outcome = Outcome(len(cells))
    lengths = cells.lengths
    digits = cells.count(HEX)

    whole = np.flatnonzero((lengths == 36) & (digits == 32))
    block = cells.matrix(whole, 36)
    right = (block[:, _HYPHENS_AT] == ord("-")).all(axis=1)
    bare = np.flatnonzero((lengths == 32) & (digits == 32))
    plain = cells.matrix(bare, 32)
    # Without hyphens a UUID looks like an MD5; the version and variant digits of a random UUID (RFC 9562,
    # section 5.4) tell them apart in 63 of 64 cases.
    version, family = plain[:, 12], plain[:, 16] | 0x20
    random = (version == ord("4")) & np.isin(family, np.frombuffer(b"89ab\x18\x19", np.uint8))
    random |= (plain == ord("0")).all(axis=1)

    rows = np.concatenate([whole[right], bare[random]])
    values = np.concatenate([block[right][:, _HEX_AT], plain[random]])
    zero = (values == ord("0")).all(axis=1)
    outcome.reject(rows[zero], "placeholder")
    outcome.accept(rows[~zero], _uuid_spelling(values[~zero], variant))
    outcome.reject(bare[~random], "looks_hashed")
    outcome.reject(whole[~right], "bad_characters")
    _refuse_rest(outcome, cells, digits, hashes=(40, 64))
    return outcome.finish()


def _uuid_spelling(values: Bytes, variant: str) -> Bytes:
    """32 hexadecimal digits per row in the spelling of ``variant``."""
    values = (UPPER if variant.startswith("upper") else LOWER)[values]
    if variant.endswith("bare"):
        return values
    result = np.full((len(values), 36), ord("-"), np.uint8)
    result[:, _HEX_AT] = values
    return result


def normalise_oaid(array: pa.Array | pa.ChunkedArray, variant: str | None) -> Normalised:
    """Canonical OAID. Raw (``variant`` None): lower case without hyphens, so that both spellings of a UUID
    meet; for hashing (``lower``, ``upper``): hyphens as the device reported them, because that gets hashed.
    """
    cells = tidy(array).without(_AROUND).mapped(UPPER if variant == "upper" else LOWER)
    outcome = Outcome(len(cells))
    lengths, digits = cells.lengths, cells.count(HEX)

    hyphened = np.flatnonzero((lengths == 36) & (digits == 32))
    right = (cells.matrix(hyphened, 36)[:, _HYPHENS_AT] == ord("-")).all(axis=1)
    if variant is None:
        _accept_hex(outcome, cells, hyphened[right], 36, _HEX_AT)
    else:
        _accept_hex(outcome, cells, hyphened[right], 36, np.arange(36))
    shortest, longest = _OAID_LENGTHS
    plain = np.flatnonzero((digits == lengths) & (lengths >= shortest) & (lengths <= longest))
    for width in np.unique(lengths[plain]).tolist():
        _accept_hex(outcome, cells, plain[lengths[plain] == width], width, np.arange(width))
    _refuse_rest(outcome, cells, digits, hashes=())
    return outcome.finish()


def _accept_hex(outcome: Outcome, cells: Cells, rows: Ints, width: int, kept: Ints) -> None:
    matrix = cells.matrix(rows, width)[:, kept]
    zero = ((matrix == ord("0")) | (matrix == ord("-"))).all(axis=1)
    outcome.reject(rows[zero], "placeholder")
    outcome.accept(rows[~zero], matrix[~zero])


def _refuse_rest(outcome: Outcome, cells: Cells, digits: Ints, hashes: tuple[int, ...]) -> None:
    rest = outcome.undecided()
    lengths = cells.lengths[rest]
    only_hex = digits[rest] + cells.count(_HYPHEN)[rest] == lengths
    is_hash = np.isin(lengths, hashes) & (digits[rest] == lengths)
    outcome.reject(rest[lengths == 0], "empty")
    outcome.reject(rest[is_hash], "looks_hashed")
    outcome.reject(rest[only_hex & ~is_hash & (lengths > 0)], "bad_length")
    outcome.reject(rest[~only_hex], "bad_characters")


def luhn_remainder(digits: Bytes) -> Ints:
    """Luhn sum modulo 10 of rows of digit values, shape (n, width) -> (n,); 0 means valid."""
    values = digits.astype(np.int64)
    values[:, -2::-2] *= 2
    values[values > 9] -= 9
    remainder: Ints = values.sum(axis=1) % 10
    return remainder


def normalise_imei(array: pa.Array | pa.ChunkedArray) -> Normalised:
    """Canonical IMEI: 15 digits with a valid Luhn check digit (3GPP TS 23.003, annex B).

    Fourteen digits are refused rather than completed: without the check digit a number that lost its leading
    zero in a spreadsheet cannot be told from one that never had a check digit.
    """
    cells, _ = drop_decimal_tail(tidy(array).without(table(WHITESPACE + QUOTING)))
    cells = cells.without(table("-/."))
    outcome = Outcome(len(cells))
    lengths, digits = cells.lengths, cells.count(DIGITS)
    rows = np.flatnonzero((lengths == _IMEI_LENGTH) & (digits == _IMEI_LENGTH))
    matrix = cells.matrix(rows, _IMEI_LENGTH)
    zero = (matrix == ord("0")).all(axis=1)
    good = ~zero & (luhn_remainder(matrix - ord("0")) == 0)
    outcome.reject(rows[zero], "placeholder")
    outcome.accept(rows[good], matrix[good])
    outcome.reject(rows[~zero & ~good], "bad_checksum")
    refuse_numbers(outcome, cells)
    return outcome.finish()


_EXPONENT: Final = table("eE")
_SIGNS: Final = table("+")


def refuse_numbers(outcome: Outcome, cells: Cells) -> None:
    """Name the reason for every row left of a type that is all digits."""
    rest = outcome.undecided()
    lengths, digits = cells.lengths[rest], cells.count(DIGITS)[rest]
    exponents, signs = cells.count(_EXPONENT)[rest], cells.count(_SIGNS)[rest]
    scientific = (exponents == 1) & (signs <= 1) & (digits + exponents + signs == lengths) & (digits > 1)
    hashed = np.isin(lengths, (32, 40, 64)) & (cells.count(HEX)[rest] == lengths)
    bad = (digits != lengths) & ~scientific & ~hashed
    outcome.reject(rest[lengths == 0], "empty")
    outcome.reject(rest[(digits == lengths) & (lengths > 0)], "bad_length")
    outcome.reject(rest[hashed], "looks_hashed")
    outcome.reject(rest[scientific & ~hashed], "scientific_notation")
    outcome.reject(rest[bad], "bad_characters")
