"""Files of the data folder that may become datasets, and what the first rows of one look like.

A page names a file by its path inside the folder. Nothing outside is reached: not by ``..``, not by a link. Of cells
only their shape is shown, in which one digit looks like another.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import pyarrow as pa

from console.place import Place
from party.datasets import Dataset, open_dataset, read_batches
from party.estimate import rows_estimate
from party.identifiers import ALGORITHMS, TYPES, parse_form
from party.identifiers.hashing import digest_shaped
from party.sample import LEAST_SHARE, judge
from psi.errors import UsageError

ENDINGS: Final = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".parquet", ".pq")
MOST_FILES: Final = 500
# Folders below the data folder that are looked into.
DEPTH: Final = 2
LOOKED_AT: Final = 200  # rows
_MOST_COLUMNS: Final = 40
_SHAPES: Final = 3
# A shape that fewer cells have may be one person's: the length of a name is a part of it.
_SHARED: Final = 5
_LONGEST_SHAPE: Final = 40
# Nearly every text passes as one of these, so neither is worth a guess.
_ANYTHING: Final = frozenset({"opaque", "openid", "unionid"})
_RUN: Final = re.compile(r"[^\W_]+")
# How forms.py spells what was hashed; a type has some of them.
_SPELLINGS: Final = ("", "e164", "digits", "cn11", "lower", "upper", "lower-bare", "upper-bare")


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file: its path inside the data folder, its size in bytes, and when it was changed (seconds since 1970)."""

    name: str
    size: int
    modified: float


@dataclass(frozen=True, slots=True)
class ColumnLook:
    """One column. ``forms`` are raw forms that it may be in, the likeliest first; ``hashed`` names algorithms.

    ``shapes`` are the commonest shapes of its cells, each of five rows at least: a digit is 0, a letter is a, a run
    of both is x. ``filled`` is how many of the rows that were looked at have a cell that isn't empty.
    """

    name: str
    forms: tuple[str, ...]
    hashed: tuple[str, ...]
    shapes: tuple[str, ...]
    filled: int


@dataclass(frozen=True, slots=True)
class Look:
    """What the head of a file says. ``rows`` is an estimate, ``None`` where there is none."""

    file: DataFile
    format: str
    encoding: str
    delimiter: str | None
    rows: int | None
    names: tuple[str, ...]
    columns: tuple[ColumnLook, ...]

    @property
    def likeliest(self) -> tuple[str, str]:
        """The first column that looks like an identifier, and its form; empty where none does.

        The form of a hash is empty, too: nothing in it says what was hashed.
        """
        found = next((each for each in self.columns if each.forms or each.hashed), None)
        if found is None:
            return "", ""
        return found.name, found.forms[0] if found.forms else ""


def data_folder(place: Place) -> Path:
    """Return the data folder. Raises ``UsageError`` if this console has none."""
    folder = place.settings.data
    if folder is None:
        raise UsageError(
            "This console has no folder whose files may be registered.",
            hint="start it with `veiljoin console run --data FOLDER`, or use `veiljoin dataset add` at the node",
            code="missing_file",
        )
    return folder


def data_files(place: Place) -> tuple[DataFile, ...]:
    """Return the files that may be registered, by name, ``MOST_FILES`` at most. Raises ``UsageError``."""
    folder = data_folder(place)
    root = _real(folder)
    found = []
    for path in _walk(folder, DEPTH):
        try:
            status = path.stat()
        except OSError:
            continue  # it went away meanwhile
        if not _stays(path, root):
            continue
        name = path.relative_to(folder).as_posix()
        found.append(DataFile(name, status.st_size, status.st_mtime))
        if len(found) >= MOST_FILES:
            break
    return tuple(sorted(found, key=lambda each: each.name))


def data_path(place: Place, name: str) -> Path:
    """Return where the file ``name`` of the data folder lies. Raises ``UsageError`` unless it may be registered."""
    folder = data_folder(place)
    parts = PurePosixPath(name).parts
    plain = name.isprintable() and 0 < len(parts) <= DEPTH + 1 and not name.startswith("/")
    if plain and not any(part.startswith(".") for part in parts) and _is_data(parts[-1]):
        path = folder.joinpath(*parts)
        if os.path.isfile(path) and _stays(path, _real(folder)):
            return path.resolve()
    raise UsageError(
        "There is no such file in the data folder.",
        hint="choose one of the list; links that lead out of the folder are not followed",
        code="missing_file",
    )


def inside(place: Place, path: Path) -> str | None:
    """Return what the data folder calls the file at ``path``, ``None`` where it is none of its."""
    if place.settings.data is None:
        return None
    root = place.settings.data.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else None


def look(
    place: Place, name: str, region: str, delimiter: str | None = None, encoding: str | None = None
) -> Look:
    """Read the first rows of the file ``name``. Raises ``UsageError``."""
    dataset = open_dataset(data_path(place, name), delimiter=delimiter, encoding=encoding)
    shown = dataset.names[:_MOST_COLUMNS]
    cells = _first_rows(dataset, shown)
    return Look(
        DataFile(name, dataset.size_bytes, dataset.mtime_ns / 1e9),
        dataset.format,
        dataset.encoding,
        dataset.delimiter,
        rows_estimate(dataset),
        dataset.names,
        tuple(_column(column, cells[column], region) for column in shown),
    )


@cache
def known_forms() -> tuple[str, ...]:
    """Return every form that a dataset may be registered in: the raw ones, then those that are hashed."""
    found = list(TYPES)
    for algorithm in ALGORITHMS:
        for kind in TYPES:
            for spelling in _SPELLINGS:
                try:
                    found.append(parse_form(":".join(filter(None, (algorithm, kind, spelling)))).text)
                except UsageError:
                    continue  # not a spelling of this type
    return tuple(dict.fromkeys(found))


def shape(cell: str) -> str:
    """Return ``cell`` with every digit as 0, every letter as a, and runs of both as x."""
    masked = _RUN.sub(_masked, "".join(sign if sign.isprintable() else "?" for sign in cell))
    return masked if len(masked) <= _LONGEST_SHAPE else f"{masked[: _LONGEST_SHAPE - 1]}…"


def _masked(found: re.Match[str]) -> str:
    run = found[0]
    sign = "0" if run.isdecimal() else "a" if run.isalpha() else "x"
    return sign * len(run)


def _column(name: str, cells: pa.Array, region: str) -> ColumnLook:
    filled = cells.drop_null()
    if not len(filled):
        return ColumnLook(name, (), (), (), 0)
    hashed = [
        algorithm
        for algorithm in ALGORITHMS
        if np.count_nonzero(digest_shaped(filled, algorithm)) >= LEAST_SHARE * len(filled)
    ]
    # A hash passes for some device's number as well; that it is one is likelier.
    kinds = [kind for kind in TYPES if kind not in _ANYTHING and not hashed]
    judged = {kind: judge(filled, parse_form(kind), region) for kind in kinds}
    fitting = {kind: sample.fitting for kind, sample in judged.items()}
    forms = [kind for kind, sample in judged.items() if sample.filled and sample.plausible]
    shapes = Counter(map(shape, filled.to_pylist()))
    return ColumnLook(
        name,
        tuple(sorted(forms, key=lambda kind: -fitting[kind])),
        tuple(hashed),
        tuple(text for text, rows in shapes.most_common(_SHAPES) if rows >= _SHARED),
        len(filled),
    )


def _first_rows(dataset: Dataset, columns: tuple[str, ...]) -> dict[str, pa.Array]:
    for batch in read_batches(dataset, columns, batch_rows=LOOKED_AT):
        return {name: batch.columns[name].cast(pa.large_string()) for name in columns}
    return {name: pa.array([], pa.large_string()) for name in columns}


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(
            f"The folder {folder} cannot be listed: {error.strerror}.",
            hint="check that it is there and that the console's user may read it",
            code="unreadable_file",
        ) from None
    for entry in entries:
        if entry.name.startswith(".") or not entry.name.isprintable():
            continue
        if entry.is_dir(follow_symlinks=False):
            if depth and os.access(entry.path, os.R_OK | os.X_OK):
                yield from _walk(Path(entry.path), depth - 1)
        elif os.path.isfile(entry.path) and _is_data(entry.name):
            yield Path(entry.path)


def _is_data(name: str) -> bool:
    return name.lower().removesuffix(".gz").endswith(ENDINGS)


def _stays(path: Path, root: Path) -> bool:
    """Return whether ``path``, with all links followed, is a file below ``root``."""
    try:
        return path.resolve(strict=True).is_relative_to(root)
    except OSError:
        return False


def _real(folder: Path) -> Path:
    try:
        return folder.resolve(strict=True)
    except OSError as error:
        raise UsageError(
            f"The data folder {folder} cannot be reached: {error.strerror}.",
            hint="check the folder that `veiljoin console run --data` names",
            code="missing_file",
        ) from None
