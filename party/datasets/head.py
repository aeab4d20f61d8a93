"""The head of a file: format, encoding, delimiter and columns, found from its first bytes."""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import io
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from party.datasets import jsonlines
from party.datasets.dataset import Column, Dataset
from psi.errors import UsageError

HEAD_BYTES: Final = 1 << 20
_SNIFFED: Final = ",;\t|"
_SNIFFED_ROWS: Final = 100
_ENCODINGS: Final = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "utf-8-sig": "utf-8",
    "utf-16": "utf-16",
    "utf16": "utf-16",
    "gb18030": "gb18030",
    # GB 18030 contains these older sets.
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "cp936": "gb18030",
}
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"\x84\x31\x95\x33", "gb18030"),
)
# First bytes of what people send instead of a table of text.
_FOREIGN: Final = (
    (b"PK\x03\x04", "a spreadsheet or zip archive"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet"),
    (b"%PDF", "a PDF document"),
)
# A header cell like this is a person's identifier: the file has no header, and no message may show the cell.
_LOOKS_LIKE_DATA: Final = re.compile(
    r"[+\s\d().-]*(?:\d[\s().-]*){10,}[xX]?|\S+@\S+\.\S+|(?:[0-9a-fA-F]-?){32,}"
)


def _fault(path: Path, what: str, hint: str, code: str = "bad_format") -> UsageError:
    return UsageError(f"{path} {what}", hint=hint, code=code)


def describe(path: Path, status: os.stat_result, delimiter: str | None, encoding: str | None) -> Dataset:
    """Open by content first (Parquet and gzip have marks), by the file's ending second."""
    delimiter = _check_delimiter(delimiter)
    encoding = _check_encoding(encoding)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    compressed = head.startswith(b"\x1f\x8b")
    if compressed:
        head = _inflate(path)
    for mark, kind in _FOREIGN:
        if head.startswith(mark):
            raise _fault(path, f"is {kind}, not a data file.", "Save the table as CSV (UTF-8) and use that.")
    endings = [ending.lower() for ending in path.suffixes if ending.lower() != ".gz"]
    ending = endings[-1] if endings else ""
    if head.startswith(b"PAR1") or ending in (".parquet", ".pq"):
        columns = _parquet_columns(path)
        return Dataset(
            path, "parquet", columns, "utf-8", None, False, False, status.st_size, status.st_mtime_ns
        )
    whole = len(head) < HEAD_BYTES
    has_bom, found = _find_encoding(path, head, encoding, whole)
    text = codecs.getincrementaldecoder(found)("strict").decode(head, final=False).removeprefix("\ufeff")
    is_json = ending in (".jsonl", ".ndjson", ".json") or (ending not in (".csv", ".tsv") and text[:1] == "{")
    if is_json:
        if found != "utf-8":
            raise _fault(path, "is not UTF-8.", "JSON Lines must be UTF-8.", "bad_encoding")
        columns, separator = jsonlines.columns(path, text, whole), None
    else:
        columns, separator = _csv_columns(path, text, delimiter, whole)
    return Dataset(
        path,
        "jsonl" if is_json else "csv",
        columns,
        found,
        separator,
        has_bom,
        compressed,
        status.st_size,
        status.st_mtime_ns,
    )


def _inflate(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except (EOFError, gzip.BadGzipFile):
        head = b""
    if not head:
        raise _fault(path, "is an empty or damaged gzip file.", "Compress the data again.")
    return head


def _check_delimiter(delimiter: str | None) -> str | None:
    if delimiter is None:
        return None
    delimiter = {"\\t": "\t", "tab": "\t"}.get(delimiter, delimiter)
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\x00':
        raise UsageError(
            f"Delimiter {delimiter!r} is not a single ASCII character that can separate cells.",
            hint="Use for example ',' or ';' or '|' or 'tab'.",
        )
    return delimiter


def _check_encoding(encoding: str | None) -> str | None:
    if encoding is None:
        return None
    known = _ENCODINGS.get(encoding.strip().lower().replace("_", "-"))
    if known is None:
        raise UsageError(
            f"Encoding {encoding!r} is not supported.",
            hint="Use 'utf-8', 'gb18030' (also for GBK) or 'utf-16'.",
        )
    return known


def _decodes(head: bytes, encoding: str, whole: bool) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)("strict").decode(head, final=whole)
    except UnicodeError:  # not only of decoding: UTF-16 without a mark has a word of its own
        return False
    return True


def _find_encoding(path: Path, head: bytes, wanted: str | None, whole: bool) -> tuple[bool, str]:
    """(has a byte-order mark, encoding): what was asked for, else the mark, else the first that decodes."""
    marked = next((name for bom, name in _BOMS if head.startswith(bom)), None)
    candidates = [wanted] if wanted else [marked] if marked else ["utf-8", "gb18030"]
    if "utf-16" not in candidates and b"\x00" in head:
        raise _fault(
            path,
            "holds zero bytes, so it is not text in UTF-8 or GB18030.",
            "Save it as CSV (UTF-8); if it is UTF-16 text, give encoding = 'utf-16'.",
            "bad_encoding",
        )
    for encoding in candidates:
        if _decodes(head, encoding, whole):
            return marked == encoding, encoding
    tried = " or ".join(name.upper() for name in candidates)
    raise _fault(
        path, f"is not {tried} text.", "Save it as CSV (UTF-8), or name its encoding.", "bad_encoding"
    )


def _parquet_columns(path: Path) -> tuple[Column, ...]:
    try:
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise  # the system's refusal, not a fault of the content
        schema = None
    if schema is None:
        raise _fault(path, "is not a Parquet file, or a damaged one.", "Write it again.")
    _check_names(path, schema.names)
    if rows == 0:
        raise _fault(path, "holds no row.", "Export it again with its data.", "empty_file")
    return tuple(Column(field.name, str(field.type)) for field in schema)


@contextlib.contextmanager
def roomy_csv() -> Iterator[None]:
    """Let the csv module accept cells of any length; its limit is one for the whole process."""
    before = csv.field_size_limit(1 << 30)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _rows(text: str, delimiter: str, whole: bool) -> list[list[str]]:
    """Up to a hundred complete rows of the head; blank lines are left out, as in reading."""
    with roomy_csv():
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = list(itertools.islice((row for row in lines if row), _SNIFFED_ROWS + 1))
    if not whole and len(rows) <= _SNIFFED_ROWS:
        # The head ends anywhere, so its last row may be cut.
        rows.pop()
    return rows


def _sniff(text: str, whole: bool) -> str:
    """The delimiter that gives every row of the head the same number of columns, more than one."""
    best, best_score = ",", (0.0, 1)
    for mark in _SNIFFED:
        rows = _rows(text, mark, whole)
        if not rows or len(rows[0]) < 2:
            continue
        width = len(rows[0])
        score = (sum(len(row) == width for row in rows) / len(rows), width)
        if score > best_score:
            best, best_score = mark, score
    return best


def _csv_columns(path: Path, text: str, delimiter: str | None, whole: bool) -> tuple[tuple[Column, ...], str]:
    mark = delimiter or _sniff(text, whole)
    rows = _rows(text, mark, whole)
    if not rows:
        if not text.strip():
            raise _fault(path, "is empty.", "Export it again, with a header row.", "empty_file")
        raise _fault(
            path,
            "has no header row within its first megabyte.",
            "Check for a quotation mark that is not closed.",
        )
    names = rows[0]
    if text[0] in "\r\n":
        raise _fault(path, "begins with a blank line.", "Put the header row first.")
    if any(_LOOKS_LIKE_DATA.fullmatch(name.strip()) for name in names):
        raise _fault(
            path, "begins with a row that looks like data, not like column names.", "Add a header row."
        )
    _check_names(path, names)
    if whole and len(rows) < 2:
        raise _fault(path, "has a header but no data row.", "Export it again with its data.", "empty_file")
    return tuple(Column(name, "text") for name in names), mark


def _check_names(path: Path, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        # Delimiters at the end of each line make nameless columns; they are harmless.
        if name and name in seen:
            raise _fault(path, f"has more than one column {name!r}.", "Give each column its own name.")
        seen.add(name)
