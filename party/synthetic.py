"""Synthetic people for demonstrations, tests and benchmarks. No number here belongs to anybody on purpose.

Person i of a seed has the same identifiers wherever it appears, so two files overlap exactly where they share
persons; the spelling of each cell is drawn anew, as it is in life. Everything follows from the seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from party.identifiers import Form, Normaliser, parse_form
from party.identifiers.cells import Bytes, Ints
from party.identifiers.device import luhn_remainder
from party.identifiers.documents import PROVINCES, USCC_ALPHABET, id_check, uscc_check

_MOBILES: Final = 7 * 10**9  # 1[3-9] and nine digits
_STRIDE: Final = 4_294_967_311  # a prime beyond 2^32, so it shares no factor with the spaces it steps through
_HEX: Final = np.frombuffer(b"0123456789abcdef", np.uint8)
# What such columns hold instead of identifiers; an opaque key can be anything, so its junk is "nothing".
_NOTHING: Final = ("", "-", "NULL", "n/a")
_GARBAGE: Final = (*_NOTHING, "12345", "unknown", "1.38E+10", "00000000000", "无", "#REF!")
# Full-width digits, as Chinese input methods type them.
_WIDE: Final = tuple("\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19")
_DAY: Final = np.datetime64("2026-03-01T00:00:00", "s")
_CAMPAIGN_DAYS: Final = 14


@dataclass(frozen=True, slots=True)
class Pair:
    """Two files and the truth about them. Columns: see :func:`make_pair`."""

    bank: Path
    platform: Path
    identifier: str
    bank_column: str
    platform_column: str
    bank_persons: int
    platform_persons: int
    common_persons: int


def _decimal(numbers: Ints, width: int) -> Bytes:
    """The last ``width`` digits in ASCII, with leading zeros, shape (n,) -> (n, width)."""
    result = np.empty((len(numbers), width), np.uint8)
    rest = numbers.copy()
    for column in range(width - 1, -1, -1):
        rest, digit = np.divmod(rest, 10)
        result[:, column] = digit + ord("0")
    return result


def _as_strings(matrix: Bytes) -> pa.Array:
    """Rows of ASCII bytes as Arrow strings."""
    size, width = matrix.shape
    offsets = np.arange(size + 1, dtype=np.int64) * width
    data = np.ascontiguousarray(matrix)
    array = pa.LargeStringArray.from_buffers(size, pa.py_buffer(offsets), pa.py_buffer(data))
    return array.cast(pa.string())


def _mix(persons: Ints, seed: int, lane: int) -> npt.NDArray[np.uint64]:
    """64 pseudo-random bits per person (splitmix64), a bijection of the person number for each lane."""
    start = int.from_bytes(hashlib.sha256(f"veiljoin synthetic {seed} {lane}".encode()).digest()[:8], "big")
    x = persons.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(start)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _scattered(persons: Ints, seed: int, space: int) -> Ints:
    """Distinct numbers below ``space`` for distinct persons (fewer than ``space`` of them)."""
    # Reduced first: the product stays below 2^63 only for a stride and person below 2^31.5.
    stride = _STRIDE % space
    shift = int(_mix(np.zeros(1, np.int64), seed, 9)[0] % np.uint64(space))
    low, high = persons & 0xFFFF, persons >> 16
    step = (high * ((stride << 16) % space) + low * stride) % space
    return (step + shift) % space


def _hex(persons: Ints, seed: int, digits: int) -> Bytes:
    """Hexadecimal digits per person, shape (n, digits); distinct from 16 digits on."""
    lanes = [_mix(persons, seed, lane) for lane in range(-(-digits // 16))]
    shifts = np.arange(60, -4, -4, dtype=np.uint64)
    nibbles = [(lane[:, None] >> shifts) & np.uint64(15) for lane in lanes]
    return _HEX[np.concatenate(nibbles, axis=1)[:, :digits].astype(np.int64)]


def _uuids(persons: Ints, seed: int) -> pa.Array:
    text = _hex(persons, seed, 32).copy()
    text[:, 12] = ord("4")
    text[:, 16] = np.frombuffer(b"89ab", np.uint8)[text[:, 16] % 4]
    hyphen = np.full((len(text), 1), ord("-"), np.uint8)
    groups = np.split(text, [8, 12, 16, 20], axis=1)
    parts = [part for group in groups for part in (group, hyphen)]
    return _as_strings(np.concatenate(parts[:-1], axis=1))


def _national_ids(persons: Ints, seed: int) -> pa.Array:
    # 35 provinces x 18,000 days x 999 serials hold the person number; the city part is drawn.
    space = len(PROVINCES) * 18_000 * 999
    rest, serial = np.divmod(_scattered(persons, seed, space), 999)
    province, day = np.divmod(rest, 18_000)
    dates = (np.datetime64("1955-01-01") + day).astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    year = dates.astype("datetime64[Y]").astype(np.int64) + 1970
    month = months.astype(np.int64) % 12 + 1
    monthday = (dates - months).astype(np.int64) + 1
    city = (_mix(persons, seed, 5) % np.uint64(99)).astype(np.int64) * 100 + 101
    code = (PROVINCES[province] * 10_000 + city) * 10**8 + year * 10**4 + month * 100 + monthday
    body = np.concatenate([_decimal(code, 14), _decimal(serial + 1, 3)], axis=1)
    return _as_strings(np.concatenate([body, id_check(body - ord("0"))[:, None]], axis=1))


def _credit_codes(persons: Ints, seed: int) -> pa.Array:
    alphabet = np.frombuffer(USCC_ALPHABET, np.uint8)
    values = np.zeros((len(persons), 17), np.int64)
    values[:, 0], values[:, 1] = 9, 1
    values[:, 2:8] = _decimal(110_101 + (_mix(persons, seed, 5) % np.uint64(9)).astype(np.int64), 6) - ord(
        "0"
    )
    number = _scattered(persons, seed, 31**6)
    for column in range(16, 10, -1):
        number, values[:, column] = np.divmod(number, 31)
    return _as_strings(np.concatenate([alphabet[values], uscc_check(values)[:, None]], axis=1))


def _imeis(persons: Ints, seed: int) -> pa.Array:
    body = np.concatenate(
        [_decimal(np.full(len(persons), 35), 2), _decimal(_scattered(persons, seed, 10**12), 12)], axis=1
    )
    padded = np.concatenate([body - ord("0"), np.zeros((len(body), 1), np.uint8)], axis=1)
    check = (10 - luhn_remainder(padded)) % 10 + ord("0")
    return _as_strings(np.concatenate([body, check[:, None].astype(np.uint8)], axis=1))


def canonical(kind: str, persons: Ints, seed: int) -> pa.Array:
    """The identifiers of persons in a plain valid spelling (Arrow ``string``), by type (``phone``...)."""
    match kind:
        case "phone":
            return _as_strings(_decimal(_scattered(persons, seed, _MOBILES) + 13 * 10**9, 11))
        case "email":
            user = _as_strings(_decimal(_scattered(persons, seed, 10**10), 10))
            domain = _drawn(persons % 3, ("qq.example", "mail.example", "post.example.cn"))
            return pc.binary_join_element_wise("u", user, "@", domain, "")
        case "idfa":
            return pc.utf8_upper(_uuids(persons, seed))
        case "gaid":
            return _uuids(persons, seed)
        case "oaid":
            return _as_strings(_hex(persons, seed, 16))
        case "imei":
            return _imeis(persons, seed)
        case "national_id":
            return _national_ids(persons, seed)
        case "uscc":
            return _credit_codes(persons, seed)
        case "openid" | "unionid":
            return pc.binary_join_element_wise("o", _as_strings(_hex(persons, seed, 27)), "")
        case _:
            return pc.binary_join_element_wise(
                "C", _as_strings(_decimal(_scattered(persons, seed, 10**10), 12)), ""
            )


def _drawn(places: Ints, choices: Sequence[str]) -> pa.Array:
    """``choices[place]`` for each place."""
    return pa.DictionaryArray.from_arrays(pa.array(places, pa.int32()), pa.array(choices)).cast(pa.string())


def _money(cents: Ints) -> pa.Array:
    """Cents as amounts with two decimals."""
    whole = pa.array(cents // 100).cast(pa.string())
    return pc.binary_join_element_wise(whole, _as_strings(_decimal(cents % 100, 2)), ".")


def _pick(choices: Ints, spellings: Sequence[pa.Array]) -> pa.Array:
    """Element by element, the spelling that ``choices`` (0 to len - 1) names."""
    return pc.choose(pa.array(choices), *spellings)


def messy(form: Form, cells: pa.Array, random: np.random.Generator) -> pa.Array:
    """Each cell in a spelling drawn at random, all of the same identifier."""
    kind, size = form.type, len(cells)
    padded = pc.binary_join_element_wise(" ", cells, " ", "")
    if kind == "phone":
        parts = [pc.utf8_slice_codeunits(cells, start, stop) for start, stop in ((0, 3), (3, 7), (7, 11))]
        wide = cells
        for digit, character in enumerate(_WIDE):
            wide = pc.replace_substring(wide, str(digit), character)
        spellings = [
            cells,
            padded,
            pc.binary_join_element_wise("+86", cells, ""),
            pc.binary_join_element_wise("+86", *parts, " "),
            pc.binary_join_element_wise("0086", cells, ""),
            pc.binary_join_element_wise(*parts, "-"),
            pc.binary_join_element_wise("86", cells, ""),
            wide,
            pc.binary_join_element_wise(cells, ".0", ""),
        ]
        weights = [0.5, 0.07, 0.1, 0.08, 0.05, 0.08, 0.06, 0.03, 0.03]
    elif kind in ("openid", "unionid", "opaque"):
        spellings, weights = [cells, padded], [0.9, 0.1]
    elif kind in ("idfa", "gaid"):
        bare = pc.replace_substring(cells, "-", "")
        # In an MD5 job a UUID without hyphens is taken for a digest.
        without = cells if form.algorithm == "md5" else bare
        spellings, weights = [cells, padded, pc.utf8_swapcase(cells), without], [0.6, 0.1, 0.2, 0.1]
    else:
        spellings = [cells, padded, pc.utf8_upper(cells), pc.utf8_lower(cells)]
        weights = [0.6, 0.1, 0.2, 0.1]
    return _pick(random.choice(len(spellings), size, p=weights), spellings)


def _identifiers(
    form: Form, persons: Ints, seed: int, random: np.random.Generator, is_messy: bool, hashed: bool
) -> pa.Array:
    cells = canonical(form.type, persons, seed)
    if hashed:
        digests = Normaliser(form)(cells).canonical.cast(pa.string())
        if not is_messy:
            return digests
        upper = random.random(len(persons)) < 0.2
        return pc.if_else(pa.array(upper), pc.utf8_upper(digests), digests)
    return messy(form, cells, random) if is_messy else cells


def _rows(persons: Ints, duplicates: float, random: np.random.Generator) -> Ints:
    """Persons by row: everybody once, a share of them again, in random order."""
    again = random.choice(persons, int(len(persons) * duplicates), replace=False)
    return random.permutation(np.concatenate([persons, again]))


def _times(days: npt.NDArray[np.int64], random: np.random.Generator) -> pa.Array:
    seconds = days * 86_400 + random.integers(0, 86_400, len(days))
    return pa.array(_DAY + seconds.astype("timedelta64[s]"), pa.timestamp("s")).cast(pa.string())


def _blank(cells: pa.Array, where: npt.NDArray[np.bool_]) -> pa.Array:
    return pc.if_else(pa.array(where), pa.scalar(None, cells.type), cells)


def _write(path: Path, columns: dict[str, pa.Array]) -> None:
    table = pa.table(columns)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        pacsv.write_csv(table, path, pacsv.WriteOptions(quoting_style="needed"))


def make_pair(
    folder: Path,
    identifier: str = "phone",
    rows: int = 10_000,
    *,
    overlap: float = 0.5,
    seed: int = 1,
    messy: bool = True,
    tiers: Sequence[str] | None = ("gold", "silver", "basic"),
    duplicates: float = 0.03,
    garbage: float = 0.01,
    format: Literal["csv", "parquet"] = "csv",
    platform_rows: int | None = None,
    platform_hashed: bool = True,
) -> Pair:
    """Write ``bank.<format>`` and ``platform.<format>`` into an existing folder.

    ``rows`` is the number of persons at the bank before duplicates and garbage, ``platform_rows`` (default:
    the same) at the platform; ``overlap`` is the share of the smaller side that both have. Spoiled rows are
    extra, so ``common_persons`` is exact. For a hashed form the bank holds raw identifiers and the platform
    hashes (``platform_hashed=False``: raw too).

    Columns of the bank: ``mobile`` (for other types the type's name), ``tier``, ``converted_at``, ``amount``,
    ``bound``, ``activated``, ``consent``; of the platform: the type's name, ``arm``, ``campaign``,
    ``creative``, ``exposed_at``, ``exposed``, ``clicked``, ``cost``, ``city``. Every attribute but the times
    and the amount is the same in all rows of a person; converters are more frequent in the arm ``test``.
    """
    form = parse_form(identifier)
    random = np.random.default_rng(seed)
    others = rows if platform_rows is None else platform_rows
    common = round(min(rows, others) * overlap)
    bank_persons = np.arange(rows, dtype=np.int64)
    platform_persons = np.arange(rows - common, rows - common + others, dtype=np.int64)
    column = "mobile" if form.type == "phone" else form.type

    bank = _bank(form, bank_persons, seed, random, messy, tiers, duplicates, garbage, column)
    platform_column = form.type
    platform = _platform(
        form, platform_persons, seed, random, messy, platform_hashed, duplicates, garbage, platform_column
    )
    bank_path, platform_path = folder / f"bank.{format}", folder / f"platform.{format}"
    _write(bank_path, bank)
    _write(platform_path, platform)
    return Pair(bank_path, platform_path, form.text, column, platform_column, rows, others, common)


def _with_garbage(
    kind: str, cells: pa.Array, persons: Ints, share: float, random: np.random.Generator
) -> tuple[pa.Array, Ints]:
    """Rows whose identifier is junk, mixed in; they carry the attributes of some person."""
    extra = round(len(persons) * share)
    if not extra:
        return cells, persons
    choices = _NOTHING if kind in ("openid", "unionid", "opaque") else _GARBAGE
    junk = _drawn(random.integers(0, len(choices), extra), choices)
    order = random.permutation(len(persons) + extra)
    everybody = np.concatenate([persons, random.choice(persons, extra)])
    return pa.concat_arrays([cells, junk]).take(pa.array(order)), everybody[order]


def _bank(
    form: Form,
    persons: Ints,
    seed: int,
    random: np.random.Generator,
    is_messy: bool,
    tiers: Sequence[str] | None,
    duplicates: float,
    garbage: float,
    column: str,
) -> dict[str, pa.Array]:
    who = _rows(persons, duplicates, random)
    cells, who = _with_garbage(
        form.type, _identifiers(form, who, seed, random, is_messy, hashed=False), who, garbage, random
    )
    size = len(who)
    arm = _arm(who, seed)
    converts = _share(who, seed, 2) < np.where(arm == 1, 0.08, 0.05)
    lag = random.integers(0, 21, size)
    cents = (100 * np.exp(random.normal(5.0, 1.0, size))).clip(1, 5_000_000).astype(np.int64)
    activated = converts & (_share(who, seed, 4) < 0.6)
    result = {column: cells}
    if tiers:
        place = np.minimum((_share(who, seed, 3) ** 0.5 * len(tiers)).astype(np.int64), len(tiers) - 1)
        result["tier"] = _drawn(place, tiers)
    return result | {
        "converted_at": _blank(_times(lag, random), ~converts),
        "amount": _blank(_money(cents), ~converts),
        "bound": pa.array(converts.astype(np.int8)),
        "activated": pa.array(activated.astype(np.int8)),
        "consent": _drawn((_share(who, seed, 6) < 0.97).astype(np.int64), ("no", "yes")),
    }


def _platform(
    form: Form,
    persons: Ints,
    seed: int,
    random: np.random.Generator,
    is_messy: bool,
    hashed: bool,
    duplicates: float,
    garbage: float,
    column: str,
) -> dict[str, pa.Array]:
    who = _rows(persons, duplicates, random)
    hashed = hashed and form.algorithm is not None
    cells, who = _with_garbage(
        form.type, _identifiers(form, who, seed, random, is_messy, hashed), who, garbage, random
    )
    size = len(who)
    test = _arm(who, seed) == 1
    exposed = test & (_share(who, seed, 7) < 0.8)
    clicked = exposed & (_share(who, seed, 8) < 0.1)
    creative = (_share(who, seed, 10) * 3).astype(np.int64)
    return {
        column: cells,
        "arm": _drawn(test.astype(np.int64), ("control", "test")),
        "campaign": _drawn((_share(who, seed, 11) < 0.5).astype(np.int64), ("card", "spring")),
        "creative": _drawn(creative, ("video", "banner", "story")),
        "exposed_at": _times(random.integers(0, _CAMPAIGN_DAYS, size), random),
        "exposed": pa.array(exposed.astype(np.int8)),
        "clicked": pa.array(clicked.astype(np.int8)),
        "cost": _money(np.where(exposed, 5, 0)),
        "city": _drawn(who % 4, ("beijing", "shanghai", "chengdu", "xian")),
    }


def _share(persons: Ints, seed: int, lane: int) -> npt.NDArray[np.float64]:
    """A number in [0, 1) per person that stays the same in every file."""
    result: npt.NDArray[np.float64] = (_mix(persons, seed, lane) >> np.uint64(11)) / 2.0**53
    return result


def _arm(persons: Ints, seed: int) -> Ints:
    """1 for the test arm, 0 for control, half each."""
    return (_share(persons, seed, 1) < 0.5).astype(np.int64)


def clean_csv(
    path: Path,
    rows: int,
    *,
    identifier: str = "phone",
    first_person: int = 0,
    seed: int = 1,
    column: str = "id",
) -> None:
    """Write a CSV of ``rows`` distinct valid identifiers, one column, in slices (flat memory).

    Persons ``first_person`` and on; files overlap where their ranges do. Hashed forms are written as hashes.
    """
    form = parse_form(identifier)
    random = np.random.default_rng(seed)
    schema = pa.schema([(column, pa.string())])
    with pacsv.CSVWriter(
        path, schema, write_options=pacsv.WriteOptions(quoting_style="none", quoting_header="none")
    ) as writer:
        for start in range(0, rows, 1 << 18):
            stop = min(start + (1 << 18), rows)
            persons = np.arange(first_person + start, first_person + stop, dtype=np.int64)
            cells = _identifiers(form, persons, seed, random, False, form.algorithm is not None)
            writer.write_table(pa.table({column: cells}, schema=schema))
