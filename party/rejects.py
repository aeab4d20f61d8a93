"""The rejects file: rows of a party's own data that cannot take part, and why; for the owner's eyes only.

Columns are ``row`` (the data row as a person counts it: the first row after the header is 1), ``reason`` (a
name of ``party.identifiers.REASONS``) and the original column with the original cell. The file is created
with mode 0600, under a temporary name, and appears under its own name once it is complete.

Rejected cells are where hostile text gathers (somebody typed a formula into a telephone field), and a person
opens this file in a spreadsheet. So a cell that a spreadsheet would run gets an apostrophe in front, which is
how spreadsheets mark text; ``+86 138...`` is plain text and stays as it is. The row number leads to the
original.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import os
import re
import secrets
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TextIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from party.identifiers.reasons import REASONS
from psi.errors import UsageError

# What a spreadsheet may run, full width as well: = and @ always, + and - unless a number or a phone number follows.
_FORMULA: Final = re.compile(r"\s*(?:[=@\uff1d\uff20]|[+\-\uff0b\uff0d](?![0-9 ().-]*\Z))|[\t\r]")


def guard_formula(cell: str) -> str:
    """The cell with an apostrophe in front if a spreadsheet would take it for a formula."""
    return "'" + cell if _FORMULA.match(cell) else cell


def _unwritable(path: Path, error: OSError) -> UsageError:
    if error.errno == errno.ENOSPC:
        return UsageError(f"No space is left for {path}.", hint="Free some disk space.", code="no_space")
    return UsageError(
        f"{path} cannot be written: {error.strerror or 'input/output error'}.",
        hint="Check that its folder exists and may be written to.",
        code="unwritable",
    )


class RejectsWriter:
    """Writes one rejects file; use as a context manager.

    Leaving the block commits, an exception aborts. Nothing is created before the first reject, and a commit
    without rejects removes the file of an earlier run, which would mislead. Raises ``UsageError``
    (``unwritable``, ``no_space``); a missing folder is found at once, not at the end of the run.
    """

    def __init__(self, path: str | os.PathLike[str], column: str) -> None:
        self.path = Path(path)
        self.column = column
        self._counts = np.zeros(len(REASONS), np.int64)
        self._temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(6)}.part")
        self._file: TextIO | None = None
        self._finished = False
        if not self.path.parent.is_dir() or not os.access(self.path.parent, os.W_OK | os.X_OK):
            raise _unwritable(self.path, OSError(errno.ENOENT, "its folder is missing or closed to writing"))

    @property
    def counts(self) -> dict[str, int]:
        """Rejected rows by reason name, reasons that occurred only."""
        return {name: int(self._counts[code]) for code, name in enumerate(REASONS) if self._counts[code]}

    def add(self, rows: npt.NDArray[np.uint64], cells: pa.Array, reasons: npt.NDArray[np.uint8]) -> None:
        """Write rejected rows: 0-based data row numbers, original cells and reason codes, all shape (n,).

        Rows whose reason is 0 (accepted) are passed over, so that a whole batch may be handed in.
        """
        if self._finished:
            raise ValueError("the rejects file is already closed")
        if not len(rows) == len(cells) == len(reasons):
            raise ValueError("rows, cells and reasons differ in length")
        wanted = np.flatnonzero(reasons)
        if not len(wanted):
            return
        self._counts += np.bincount(reasons[wanted], minlength=len(REASONS))
        numbers = (rows[wanted] + np.uint64(1)).tolist()
        names = [REASONS[code] for code in reasons[wanted].tolist()]
        texts = ["" if cell is None else guard_formula(cell) for cell in cells.take(wanted).to_pylist()]
        try:
            csv.writer(self._open(), lineterminator="\n").writerows(zip(numbers, names, texts, strict=True))
        except OSError as error:
            self.abort()
            raise _unwritable(self.path, error) from None

    def _open(self) -> TextIO:
        if self._file is None:
            descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            self._file = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
            header = ["row", "reason", guard_formula(self.column)]
            csv.writer(self._file, lineterminator="\n").writerow(header)
        return self._file

    def commit(self) -> Path | None:
        """Put the finished file in place and return its path; None (and no file) if nothing was rejected."""
        if self._finished:
            return self.path if self._counts.any() else None
        try:
            if self._file is None:
                self.path.unlink(missing_ok=True)
            else:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                os.replace(self._temporary, self.path)
        except OSError as error:
            self.abort()
            raise _unwritable(self.path, error) from None
        self._finished = True
        return self.path if self._file else None

    def abort(self) -> None:
        """Remove what was written. May be called again, and after :meth:`commit` (then it does nothing)."""
        if self._finished:
            return
        self._finished = True
        if self._file is not None:
            # A full disk fails again when the buffer is flushed; the file goes away either way.
            with contextlib.suppress(OSError):
                self._file.close()
            self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()
