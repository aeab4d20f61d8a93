"""Reading a dataset's rows in batches, so that memory does not grow with the file."""

from __future__ import annotations

import collections
import csv
import gzip
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from party.datasets import jsonlines, parquet
from party.datasets.dataset import Dataset, check_unchanged
from party.datasets.head import roomy_csv
from psi.errors import UsageError

BATCH_ROWS: Final = 65536
# Bytes parsed at a time; also the longest row that a CSV file may have.
_BLOCK_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True, repr=False)
class Batch:
    """Consecutive rows: ``first_row`` is the 0-based number of the first data row, ``columns`` maps each name
    to its cells (Arrow ``string``, shape (len,), null where empty). The ``repr`` shows no cell.
    """

    first_row: int
    columns: dict[str, pa.Array]
    rows: int

    def __len__(self) -> int:
        return self.rows

    def __repr__(self) -> str:
        return (
            f"Batch(rows {self.first_row} to {self.first_row + self.rows - 1}, {len(self.columns)} columns)"
        )


def read_batches(
    dataset: Dataset, columns: Sequence[str], *, batch_rows: int = BATCH_ROWS
) -> Iterator[Batch]:
    """All rows of the named columns in file order, ``batch_rows`` at a time; the same at every reading.

    Raises ``UsageError``: ``missing_column`` and ``file_changed`` at once, ``bad_format``, ``bad_encoding``
    (naming the row) and ``file_changed`` while reading.
    """
    if batch_rows < 1 or not columns:
        raise ValueError("read_batches needs at least one column and one row per batch")
    dataset.require(*columns)
    check_unchanged(dataset)
    return _batches(dataset, list(dict.fromkeys(columns)), batch_rows)


def _batches(dataset: Dataset, names: list[str], batch_rows: int) -> Iterator[Batch]:
    first = 0
    for arrays in _regroup(_READERS[dataset.format](dataset, names, batch_rows), batch_rows):
        size = len(arrays[0])
        yield Batch(first, dict(zip(names, arrays, strict=True)), size)
        first += size
    check_unchanged(dataset)


def read_rows(
    dataset: Dataset, column: str, rows: npt.NDArray[np.uint64]
) -> Iterator[tuple[npt.NDArray[np.uint64], pa.Array]]:
    """The original cells of some rows: (row numbers, Arrow ``string`` of the same length), batch by batch.

    ``rows`` are 0-based and sorted. Raises ``ValueError`` if they are not, or one is beyond the file.
    """
    if len(rows) > 1 and bool((rows[1:] < rows[:-1]).any()):
        raise ValueError("row numbers must be sorted")
    done = 0
    for batch in read_batches(dataset, [column]):
        if done == len(rows):
            return
        stop = int(np.searchsorted(rows, np.uint64(batch.first_row + len(batch))))
        if stop > done:
            wanted = rows[done:stop]
            yield wanted, batch.columns[column].take(pa.array(wanted - np.uint64(batch.first_row)))
            done = stop
    if done < len(rows):
        raise ValueError(f"{len(rows) - done} of the row numbers are beyond the end of {dataset.path}")


def _regroup(parts: Iterable[list[pa.Array]], batch_rows: int) -> Iterator[list[pa.Array]]:
    """The same rows in groups of exactly ``batch_rows``, the last one smaller."""
    waiting: list[list[pa.Array]] = []
    size = 0
    for part in parts:
        start = 0
        while size + len(part[0]) - start >= batch_rows:
            stop = start + batch_rows - size
            yield _joined([*waiting, [array.slice(start, stop - start) for array in part]])
            waiting, size, start = [], 0, stop
        if start < len(part[0]):
            waiting.append([array.slice(start) for array in part])
            size += len(part[0]) - start
    if size:
        yield _joined(waiting)


def _joined(parts: list[list[pa.Array]]) -> list[pa.Array]:
    if len(parts) == 1:
        return parts[0]
    return [pa.concat_arrays(arrays) for arrays in zip(*parts, strict=True)]


def _empty_to_null(array: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(pc.binary_length(array), 0), pa.scalar(None, array.type), array)


def _open_bytes(dataset: Dataset) -> BinaryIO:
    if dataset.compressed:
        return cast(BinaryIO, gzip.open(dataset.path, "rb"))
    return dataset.path.open("rb")


def _read_jsonl(dataset: Dataset, names: list[str], batch_rows: int) -> Iterator[list[pa.Array]]:
    damaged = False
    with _open_bytes(dataset) as file:
        try:
            yield from jsonlines.read(dataset.path, file, names, batch_rows)
        except (EOFError, OSError):
            damaged = True
    if damaged:
        raise _damaged(dataset)


def _read_parquet(dataset: Dataset, names: list[str], batch_rows: int) -> Iterator[list[pa.Array]]:
    for arrays in parquet.read(dataset.path, names, batch_rows):
        yield [_empty_to_null(array) for array in arrays]


def _damaged(dataset: Dataset) -> UsageError:
    return UsageError(
        f"{dataset.path} cannot be read to its end.", hint="Copy or export it again.", code="unreadable_file"
    )


def _read_csv(dataset: Dataset, names: list[str], _: int) -> Iterator[list[pa.Array]]:
    ragged: list[tuple[int | None, int, int]] = []

    def refuse(row: pacsv.InvalidRow) -> str:
        ragged.append((row.number, row.expected_columns, row.actual_columns))
        return "error"

    # Columns go by position: names need not be unique (nameless ones) or survive another reader's unquoting.
    positions = [str(dataset.names.index(name)) for name in names]
    width = len(dataset.names)
    read = pacsv.ReadOptions(
        use_threads=False,  # only then are the numbers of faulty rows known
        block_size=_BLOCK_BYTES,
        encoding="utf8" if dataset.encoding == "utf-8" else dataset.encoding,
        column_names=[str(position) for position in range(width)],
        skip_rows_after_names=1,
    )
    parse = pacsv.ParseOptions(
        delimiter=dataset.delimiter or ",",
        newlines_in_values=True,
        # With one column a blank line is an empty cell; with more it is no row.
        ignore_empty_lines=width > 1,
        invalid_row_handler=refuse,
    )
    convert = pacsv.ConvertOptions(
        include_columns=positions,
        column_types=dict.fromkeys(positions, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
    )
    done = 0
    fault = ""
    try:
        with pa.OSFile(str(dataset.path)) as raw:
            stream = pa.CompressedInputStream(raw, "gzip") if dataset.compressed else raw
            with pacsv.open_csv(stream, read, parse, convert) as reader:
                for batch in reader:
                    done += batch.num_rows
                    yield batch.columns
    except UnicodeDecodeError:
        fault = "invalid UTF8"
    except pa.ArrowInvalid as error:
        fault = str(error)
    except OSError:
        fault = "damaged"
    # Raised out here, so that the reader's own message, which quotes cells, is not chained to ours.
    if fault:
        raise _csv_fault(dataset, fault, ragged, done)
    if _ends_in_quotes(dataset):
        raise UsageError(
            f"{dataset.path} ends inside a quoted cell.",
            hint="Look for a quotation mark that is not closed; rows after it were read as one cell.",
            code="bad_format",
        )


def _csv_fault(
    dataset: Dataset, fault: str, ragged: list[tuple[int | None, int, int]], done: int
) -> UsageError:
    path = dataset.path
    if ragged:
        number, expected, actual = ragged[-1]
        # Arrow counts the header as row 1.
        where = f"row {number - 1}" if number else f"a row after row {done}"
        return UsageError(
            f"{path} has {actual} cells in data {where}, where the header has {expected}.",
            hint="Quote cells that hold the delimiter, and check that the delimiter is right.",
            code="bad_format",
        )
    if "UTF8" in fault:
        where = _first_bad_line(dataset) or f"after data row {done}"
        return UsageError(
            f"{path} stops being {dataset.encoding.upper()} text {where}.",
            hint="Save the whole file in one encoding, or name it: encoding = 'gb18030'.",
            code="bad_encoding",
        )
    if "straddling" in fault:
        return UsageError(
            f"{path} has a row of more than {_BLOCK_BYTES >> 20} MiB after data row {done}.",
            hint="Look for a quotation mark that is not closed.",
            code="bad_format",
        )
    if fault == "damaged":
        return _damaged(dataset)
    return UsageError(
        f"{path} is not well-formed CSV after data row {done}.",
        hint="Check delimiter and quotation marks, or export it again.",
        code="bad_format",
    )


def _first_bad_line(dataset: Dataset) -> str:
    """Where the text stops decoding; a line feed is never part of a longer character in UTF-8 or GB 18030."""
    if dataset.encoding != "utf-16":
        with _open_bytes(dataset) as file:
            for number, line in enumerate(iter(lambda: file.readline(_BLOCK_BYTES), b""), 1):
                try:
                    line.decode(dataset.encoding)
                except UnicodeDecodeError:
                    return f"in line {number}"
    return ""


def _ends_in_quotes(dataset: Dataset) -> bool:
    """Whether the file ends within a quoted cell, which Arrow takes for a normal end.

    An even number of quotation marks rules it out at the speed of a byte count; only an odd one (a mark
    inside an unquoted cell is legal) is looked at closely.
    """
    marks = 0
    with _open_bytes(dataset) as file:
        while block := file.read(1 << 20):
            marks += block.count(b'"')
        if marks % 2 == 0:
            return False
        file.seek(0)
        # The sentinel comes out as a row of its own only if every quotation mark before it was closed.
        with io.TextIOWrapper(file, dataset.encoding, newline="", errors="replace") as text, roomy_csv():
            lines = itertools.chain(text, ["\n", "end\n"])
            last = collections.deque(csv.reader(lines, delimiter=dataset.delimiter or ","), maxlen=1)
    return last.pop() != ["end"]


_READERS: Final = {"csv": _read_csv, "jsonl": _read_jsonl, "parquet": _read_parquet}
