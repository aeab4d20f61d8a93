"""What is known about a file before its rows are read: format, columns, encoding, size.

Opening reads the head of the file only, and finds everything that can be wrong with it early.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from psi.errors import UsageError

Format: TypeAlias = Literal["csv", "parquet", "jsonl"]

_MAX_NAMES_SHOWN: Final = 30


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, and its type as the format knows it (``text`` in CSV and JSON Lines)."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """An opened file. ``delimiter`` is None unless CSV; ``compressed`` means gzip."""

    path: Path
    format: Format
    columns: tuple[Column, ...]
    encoding: str
    delimiter: str | None
    has_bom: bool
    compressed: bool
    size_bytes: int
    mtime_ns: int

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in file order."""
        return tuple(column.name for column in self.columns)

    def schema_fingerprint(self) -> str:
        """SHA-256 (hex) over column names and types; no value of the file enters it."""
        names = [[column.name, column.type] for column in self.columns]
        text = json.dumps(names, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def require(self, *columns: str) -> None:
        """Raise ``UsageError`` (``missing_column``) for the first of ``columns`` that the file lacks."""
        for name in columns:
            if name not in self.names:
                raise UsageError(
                    f"{self.path} has no column {name!r}.", hint=self._hint(name), code="missing_column"
                )

    def _hint(self, wanted: str) -> str:
        lowered = {name.strip().lower(): name for name in self.names}
        near = difflib.get_close_matches(wanted.strip().lower(), list(lowered), n=1, cutoff=0.6)
        shown = ", ".join(repr(name) for name in self.names[:_MAX_NAMES_SHOWN])
        more = len(self.names) - _MAX_NAMES_SHOWN
        parts = [f"Did you mean {lowered[near[0]]!r}?"] if near else []
        parts.append(f"Its columns are {shown}" + (f" and {more} more." if more > 0 else "."))
        if self.format == "csv" and len(self.names) == 1:
            other = [mark for mark in ",;\t|" if mark != self.delimiter and mark in self.names[0]]
            if other:
                parts.append(f"The header reads as one column; is the delimiter {other[0]!r}?")
        return " ".join(parts)


def _stat(path: Path) -> os.stat_result:
    """The file's status. Raises ``UsageError`` unless it is a readable, non-empty regular file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist.", hint=_neighbours(path), code="missing_file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid path"
        raise UsageError(
            f"{path} cannot be read: {reason}.", hint="Check the path.", code="unreadable_file"
        ) from None
    if stat.S_ISDIR(status.st_mode):
        raise UsageError(
            f"{path} is a folder, not a file.", hint="Name one file in it.", code="unreadable_file"
        )
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(
            f"{path} is not a regular file.",
            hint="Write the data to a file first; a job reads it more than once.",
            code="unreadable_file",
        )
    return status


def _neighbours(path: Path) -> str:
    """A hint that names a similar file of the same folder, if there is one."""
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f"The folder {path.parent} does not exist or cannot be listed."
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}?" if near else "Check the path."


def open_dataset(
    path: str | os.PathLike[str], *, delimiter: str | None = None, encoding: str | None = None
) -> Dataset:
    """Look at the head of a file and say what it is.

    ``delimiter`` and ``encoding`` overrule what is detected (CSV). Raises ``UsageError``, code one of
    ``missing_file``, ``unreadable_file``, ``empty_file``, ``bad_encoding``, ``bad_format``, ``bad_setting``.
    """
    # Imported here because the readers need the Dataset type of this module.
    from party.datasets.head import describe

    path = Path(path)
    status = _stat(path)
    if status.st_size == 0:
        raise UsageError(f"{path} is empty.", hint="Export it again, with a header row.", code="empty_file")
    try:
        return describe(path, status, delimiter, encoding)
    except OSError as error:
        reason = error.strerror or "the content is damaged"
    raise UsageError(
        f"{path} cannot be read: {reason}.",
        hint="Check that the user who runs this command may read the file.",
        code="unreadable_file",
    )


def check_unchanged(dataset: Dataset) -> None:
    """Raise ``UsageError`` (``file_changed``) if size or time of the file differ from when it was opened."""
    status = _stat(dataset.path)
    if (status.st_size, status.st_mtime_ns) != (dataset.size_bytes, dataset.mtime_ns):
        raise UsageError(
            f"{dataset.path} changed while it was in use.",
            hint="Start the job again once nothing writes to the file.",
            code="file_changed",
        )
