"""Parquet columns as text: the text that the same value would have in a CSV file."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from psi.errors import UsageError

_TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_BINARY = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)
_PLAIN = (
    pa.types.is_integer,
    pa.types.is_boolean,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_timestamp,
    pa.types.is_null,
)
_TIMES = (pa.types.is_time, pa.types.is_timestamp)


def _is(kind: pa.DataType, tests: tuple[Callable[[pa.DataType], bool], ...]) -> bool:
    return any(test(kind) for test in tests)


def read(path: Path, names: Sequence[str], batch_rows: int) -> Iterator[list[pa.Array]]:
    """Batches of the named columns as ``string`` arrays."""
    done = 0
    fault = False
    try:
        # A buffered stream and no pre-buffering: a row group is decoded page by page, not loaded whole.
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            for name in names:
                _check_type(path, name, file.schema_arrow.field(name).type)
            for batch in file.iter_batches(batch_rows, columns=list(names), use_threads=False):
                yield [_text(path, name, batch.column(name), done) for name in names]
                done += batch.num_rows
    except (pa.ArrowException, OSError):
        fault = True
    if fault:
        raise UsageError(
            f"{path} is damaged after data row {done}.",
            hint="Write the Parquet file again.",
            code="bad_format",
        )


def spread(path: Path, name: str, rows: int, places: int) -> list[pa.Array]:
    """The first ``rows`` cells of the named column in up to ``places`` row groups behind the first, far apart.

    Raises ``pa.ArrowException`` or ``OSError`` for a damaged file.
    """
    found = []
    with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
        last = file.num_row_groups - 1
        for group in sorted({last * place // places for place in range(1, places + 1)} - {0}):
            batches = file.iter_batches(rows, row_groups=[group], columns=[name], use_threads=False)
            found += [_text(path, name, batch.column(name), 0) for batch in itertools.islice(batches, 1)]
    return found


def _check_type(path: Path, name: str, kind: pa.DataType) -> None:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or _is(kind, _TEXT + _BINARY + _PLAIN):
        return
    raise UsageError(
        f"{path} column {name!r} has the type {kind}, which is no single value.",
        hint="Use a text or number column.",
        code="bad_format",
    )


def _text(path: Path, name: str, array: pa.Array, first_row: int) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if pa.types.is_floating(kind):
        return _floats(array)
    if pa.types.is_decimal(kind):
        return pc.replace_substring_regex(array.cast(pa.string()), r"\.0+$", "")
    if pa.types.is_fixed_size_binary(kind):
        array = array.cast(pa.binary())
    try:
        text = array.cast(pa.string())
        # 03:04:05.000000 is 03:04:05 with the precision of the column's type.
        return pc.replace_substring_regex(text, r"\.0+([+-]\d{4}|Z)?$", r"\1") if _is(kind, _TIMES) else text
    except pa.ArrowInvalid:
        pass
    raise UsageError(
        f"{path} column {name!r} holds bytes that are not UTF-8 after data row {first_row}.",
        hint="Store the column as text.",
        code="bad_encoding",
    )


def _floats(array: pa.Array) -> pa.Array:
    """Whole numbers as integers (13800138000.0 is 13800138000), others as short as they go; NaN is null."""
    array = array.cast(pa.float64())
    array = pc.if_else(pc.is_nan(array), pa.scalar(None, pa.float64()), array)
    # Beyond 2^53 a float no longer is one integer; its digits are left to look wrong.
    whole = pc.and_kleene(pc.equal(pc.floor(array), array), pc.less(pc.abs(array), float(2**53)))
    integers = pc.if_else(whole, array, pa.scalar(0.0)).cast(pa.int64()).cast(pa.string())
    return pc.if_else(whole, integers, array.cast(pa.string()))
