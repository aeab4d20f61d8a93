"""Telephone numbers in E.164.

Chinese mobiles, which are nearly every row, take a path over flat bytes; only the rest (foreign numbers,
landlines, garbage) goes one by one through libphonenumber. A Chinese mobile is ``1[3-9]`` and nine digits
whatever the numbering plan in the library says, so that two parties with different versions of it agree.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import phonenumbers
import pyarrow as pa
from phonenumbers import PhoneNumberType as Line

from party.identifiers.cells import (
    DIGITS,
    QUOTING,
    WHITESPACE,
    Cells,
    Mask,
    drop_decimal_tail,
    gather,
    running_count,
    table,
    tidy,
)
from party.identifiers.outcome import Normalised, Outcome
from psi.errors import UsageError

_QUOTING: Final = table(WHITESPACE + QUOTING)
_SEPARATORS: Final = table("-.()")
_NATIONAL = 11  # digits of a Chinese mobile
# What people and systems write before the eleven digits; the bare 0 is the old long-distance prefix.
_WITH_COUNTRY: Final = (b"+86", b"0086", b"+860", b"00860", b"+0086")
_AT_HOME: Final = (b"", b"0", b"86", b"860")

_HASH = re.compile(r"(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64})\Z")
_SCIENTIFIC = re.compile(r"\+?[0-9]+[eE]\+?[0-9]+\Z")
_DIALLED = re.compile(r"\+?[0-9]+\Z")
_CN_MOBILE = re.compile(r"\+861[3-9][0-9]{9}\Z")
# Lines that belong to somebody; hotlines, premium and shared-cost numbers are nobody's identifier.
_PERSONAL: Final = frozenset(
    {Line.MOBILE, Line.FIXED_LINE, Line.FIXED_LINE_OR_MOBILE, Line.VOIP, Line.PERSONAL_NUMBER}
)
_UNPARSABLE: Final = {
    phonenumbers.NumberParseException.INVALID_COUNTRY_CODE: "unknown_region",
    phonenumbers.NumberParseException.NOT_A_NUMBER: "bad_length",
    phonenumbers.NumberParseException.TOO_SHORT_AFTER_IDD: "bad_length",
    phonenumbers.NumberParseException.TOO_SHORT_NSN: "bad_length",
    phonenumbers.NumberParseException.TOO_LONG: "bad_length",
}


def check_region(region: str) -> str:
    """The region in capitals. Raises ``UsageError`` (``bad_setting``) if libphonenumber does not know it."""
    code = region.upper()
    if code not in phonenumbers.SUPPORTED_REGIONS:
        raise UsageError(
            f"Region {region!r} is not a country code.",
            hint="Use the two letters of ISO 3166, for example 'CN' or 'HK'.",
        )
    return code


def normalise(array: pa.Array | pa.ChunkedArray, variant: str, region: str) -> Normalised:
    """Canonical numbers; ``variant`` is ``e164``, ``digits`` (no plus) or ``cn11`` (bare Chinese mobiles)."""
    cells, _ = drop_decimal_tail(tidy(array).without(_QUOTING))
    cells = cells.without(_SEPARATORS)
    outcome = Outcome(len(cells))
    lead = {"e164": b"+86", "digits": b"86", "cn11": b""}[variant]

    rows = np.flatnonzero(_is_cn_mobile(cells, _WITH_COUNTRY + (_AT_HOME if region == "CN" else ())))
    matrix = np.empty((len(rows), len(lead) + _NATIONAL), np.uint8)
    matrix[:, : len(lead)] = np.frombuffer(lead, np.uint8)
    matrix[:, len(lead) :] = gather(cells.data, cells.ends()[rows] - _NATIONAL, _NATIONAL)
    outcome.accept(rows, matrix)

    rest = outcome.undecided()
    blank = cells.lengths[rest] == 0
    outcome.reject(rest[blank], "empty")
    rest = rest[~blank]
    _one_by_one(outcome, rest.tolist(), cells.to_arrow().take(pa.array(rest)).to_pylist(), variant, region)
    return outcome.finish()


def _is_cn_mobile(cells: Cells, prefixes: tuple[bytes, ...]) -> Mask:
    """Which cells are one of ``prefixes`` and then eleven digits of a mobile, shape (n,)."""
    lengths, ends = cells.lengths, cells.ends()
    result = np.zeros(len(cells), np.bool_)
    rows = np.flatnonzero((lengths >= _NATIONAL) & (lengths <= _NATIONAL + max(map(len, prefixes))))
    if not len(rows):
        return result
    end = ends[rows]
    digits = running_count(DIGITS[cells.data])
    first, second = cells.data[end - _NATIONAL], cells.data[end - _NATIONAL + 1]
    good = (digits[end] - digits[end - _NATIONAL] == _NATIONAL) & (first == ord("1")) & (second >= ord("3"))
    rows = rows[good]
    extra = lengths[rows] - _NATIONAL
    for prefix in prefixes:
        same = rows[extra == len(prefix)]
        if prefix:
            same = same[(cells.matrix(same, len(prefix)) == np.frombuffer(prefix, np.uint8)).all(axis=1)]
        result[same] = True
    return result


def _one_by_one(outcome: Outcome, rows: list[int], texts: list[str], variant: str, region: str) -> None:
    kept: list[int] = []
    values: list[bytes] = []
    refused: dict[str, list[int]] = {}
    for row, text in zip(rows, texts, strict=True):
        number, reason = _examine(text, region)
        if variant == "cn11" and number and not _CN_MOBILE.match(number):
            reason = "not_a_mobile"
        if reason:
            refused.setdefault(reason, []).append(row)
            continue
        kept.append(row)
        values.append({"e164": number, "digits": number[1:], "cn11": number[3:]}[variant].encode("ascii"))
    outcome.accept_each(kept, values)
    for reason, group in refused.items():
        outcome.reject(group, reason)


def _examine(text: str, region: str) -> tuple[str, str]:
    """(E.164, "") or ("", reason) for a cell without blanks and separators."""
    if _HASH.match(text):
        return "", "placeholder" if not text.strip("0") else "looks_hashed"
    if _SCIENTIFIC.match(text):
        return "", "scientific_notation"
    if not _DIALLED.match(text):
        return "", "bad_characters"
    if not text.strip("+0"):
        return "", "placeholder"
    if text.startswith("00"):
        text = "+" + text[2:]
    if region == "CN" and not text.startswith("+") and not text.startswith("0"):
        # Without its area code's 0 a "landline" is more often a mobile that lost a digit.
        return "", "not_a_mobile" if len(text) == _NATIONAL else "bad_length"
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        return "", _UNPARSABLE[error.error_type]
    if not phonenumbers.is_possible_number(number):
        return "", "bad_length"
    if not phonenumbers.is_valid_number(number):
        return "", "unassigned"
    if phonenumbers.number_type(number) not in _PERSONAL:
        return "", "not_a_mobile"
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164), ""
