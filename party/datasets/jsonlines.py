"""JSON Lines: one object per line. Numbers keep the digits they are written with.

The standard library's parser is used because it hands number literals over as text; readers that go through
64-bit integers or floating point would change long identifiers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import pyarrow as pa

from psi.errors import UsageError

if TYPE_CHECKING:
    from party.datasets.dataset import Column

# One line is one row; this much is the sign of a file that is one big JSON document.
_MAX_LINE: Final = 16 << 20
_INTEGRAL: Final = re.compile(r"(-?[0-9]+)\.0+\Z")


def _float_text(literal: str) -> str:
    """``13800138000.0`` is the integer that a program wrote as a float; other literals stay as written."""
    match = _INTEGRAL.match(literal)
    return match.group(1) if match else literal


_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=_float_text, parse_constant=str)


def _fault(path: Path, line: int, what: str, hint: str = "Write one JSON object per line.") -> UsageError:
    return UsageError(f"{path} line {line} {what}", hint=hint, code="bad_format")


def _parse(path: Path, number: int, text: str) -> dict[str, object]:
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _fault(path, number, "is not a JSON object.")
    return value


def columns(path: Path, head: str, whole: bool) -> tuple[Column, ...]:
    """The keys that the objects of the head have, in order of appearance."""
    from party.datasets.dataset import Column

    lines = head.split("\n")
    if not whole:
        lines.pop()
    if head[:1] == "[":
        raise UsageError(
            f"{path} is one JSON array, not JSON Lines.",
            hint="Write one object per line, without brackets and commas around them.",
            code="bad_format",
        )
    names: dict[str, None] = {}
    objects = 0
    for number, line in enumerate(lines, 1):
        if line.strip():
            names.update(dict.fromkeys(_parse(path, number, line)))
            objects += 1
    if not objects:
        raise UsageError(f"{path} holds no row.", hint="Write one JSON object per line.", code="empty_file")
    return tuple(Column(name, "text") for name in names)


def _cell(path: Path, number: int, name: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    raise _fault(path, number, f"holds a list or object in {name!r}.", "Use plain values, or another column.")


def read(path: Path, file: BinaryIO, names: Sequence[str], batch_rows: int) -> Iterator[list[pa.Array]]:
    """Batches of the named keys as string columns; a missing key is null. Blank lines are no rows."""
    cells: list[list[str | None]] = [[] for _ in names]
    paired = list(zip(names, cells, strict=True))
    rows = number = 0
    while line := file.readline(_MAX_LINE):
        number += 1
        if len(line) == _MAX_LINE:
            raise _fault(path, number, "is longer than 16 MiB.")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        try:
            text = line.decode("utf-8").strip(" \t\r\n")
        except UnicodeDecodeError:
            text = None
        if text is None:
            raise UsageError(
                f"{path} line {number} is not UTF-8.", hint="JSON Lines must be UTF-8.", code="bad_encoding"
            )
        if not text:
            continue
        record = _parse(path, number, text)
        for name, column in paired:
            value = record.get(name)
            column.append(value if type(value) is str and value else _cell(path, number, name, value))
        rows += 1
        if rows == batch_rows:
            yield [_strings(path, number, column) for column in cells]
            for column in cells:
                column.clear()
            rows = 0
    if rows:
        yield [_strings(path, number, column) for column in cells]


def _strings(path: Path, number: int, column: list[str | None]) -> pa.Array:
    try:
        return pa.array(column, pa.string())
    except UnicodeEncodeError:
        pass  # an escape like \ud800 is half a character
    raise UsageError(
        f"{path} holds a broken character escape before line {number}.",
        hint="Write the text in UTF-8 instead of escapes.",
        code="bad_encoding",
    )
