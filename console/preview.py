"""A look at the first rows of an own dataset that shows nobody: what a column holds, not what a person has.

One rule: a text is shown only if at least ``SHARED`` different persons of the sample have it, and what is not is told
by its form alone ("11 digits"). The text of a cell is the cell itself in a column of few values (a tier, a stage),
else a coarse part of it: the month of a time, the leading digit of an amount, the first three digits of a mobile
number (its network), the domain of an address. Of a hash nothing is shown, for its first digits rule out all but a
few numbers. The values of each column are sorted by themselves, so that no line of the table is a row of the file.
"""

from __future__ import annotations

import datetime
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from party.catalogue import Registered
from party.datasets import Dataset, read_batches
from party.estimate import rows_estimate
from party.identifiers import Normaliser, parse_form

SAMPLE_ROWS: Final = 1_000
SHOWN_ROWS: Final = 5
MOST_COLUMNS: Final = 40
SHARED: Final = 5
FEW_VALUES: Final = 20
_LONGEST_VALUE: Final = 40
_DOT: Final = "\N{BULLET}"
_MOBILE: Final = re.compile(r"(?:\+?86|0086)?(1[3-9][0-9])[0-9]{8}")
_HEX: Final = re.compile(r"[0-9a-f]{16,}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.I)
_LONG_NUMBER: Final = re.compile(r"\+?[0-9]{7,}[xX]?")
_NUMBER: Final = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,6})?")
_TIME: Final = re.compile(r"([12][0-9]{3})[-/.年]([01]?[0-9])[-/.月][0-3]?[0-9].*")
_SEPARATORS: Final = str.maketrans("", "", " -()")


@dataclass(frozen=True, slots=True)
class Cell:
    """One masked cell: ``text`` to show; else its form, ``kind`` (digits | hex | address | text | empty), of
    ``length`` characters."""

    text: str
    kind: str = ""
    length: int = 0


@dataclass(frozen=True, slots=True)
class ColumnPreview:
    """One column: which share of the sample is filled, how many different values that has, and masked cells."""

    name: str
    filled: float
    values: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """A dataset's head, masked. ``rows`` is about how many the file has, where that can be told from its head.

    ``sampled`` is how many rows were looked at; ``more`` counts columns that are not shown.
    """

    rows: int | None
    modified: datetime.datetime
    format: str
    size: int
    sampled: int
    columns: tuple[ColumnPreview, ...]
    more: int


def preview(registered: Registered) -> Preview:
    """Look at the first rows of a dataset. Raises ``UsageError`` if its file can't be read or its columns changed."""
    return _look(registered, registered.open())


@lru_cache(maxsize=64)
def _look(registered: Registered, dataset: Dataset) -> Preview:
    """Look at a file as it is: another time or size of it is another ``dataset``. Only what is masked is kept."""
    names = [registered.identifier, *(name for name in dataset.names if name != registered.identifier)]
    shown = names[:MOST_COLUMNS]
    columns: dict[str, list[str]] = {name: [] for name in shown}
    persons: list[bytes | None] = []
    for batch in read_batches(dataset, shown, batch_rows=SAMPLE_ROWS):
        columns = {name: [cell or "" for cell in batch.columns[name].to_pylist()] for name in shown}
        # In one spelling, so that a person who is written in five ways is still one.
        persons = Normaliser(parse_form(registered.form))(
            batch.columns[registered.identifier]
        ).canonical.to_pylist()
        break
    return Preview(
        rows=rows_estimate(dataset),
        modified=datetime.datetime.fromtimestamp(dataset.mtime_ns / 1e9, datetime.UTC),
        format=dataset.format,
        size=dataset.size_bytes,
        sampled=len(persons),
        columns=tuple(
            _column(name, columns[name], persons, identifier=name == registered.identifier) for name in shown
        ),
        more=len(names) - len(shown),
    )


def _column(
    name: str, cells: Sequence[str], persons: Sequence[bytes | None], *, identifier: bool
) -> ColumnPreview:
    filled = [cell for cell in cells if cell.strip()]
    few = not identifier and len(set(filled)) <= FEW_VALUES
    sharing: dict[str, set[bytes]] = defaultdict(set)
    coarse = {cell: _coarse(cell, few=few) for cell in set(cells)}
    for cell, person in zip(cells, persons, strict=True):
        text = coarse[cell]
        if text is not None and person:
            sharing[text].add(person)
    common = {text for text, those in sharing.items() if len(those) >= SHARED}
    shown = (_masked(cell, coarse[cell], common) for cell in cells[:SHOWN_ROWS])
    return ColumnPreview(
        name,
        len(filled) / len(cells) if cells else 0.0,
        len(set(filled)),
        tuple(sorted(shown, key=lambda cell: (cell.kind == "empty", cell.text, cell.kind, cell.length))),
    )


def _coarse(cell: str, *, few: bool) -> str | None:
    """Return the part of a cell that may be shown if enough persons share it; ``None`` if there is no such part."""
    text = cell.strip()
    plain = text.translate(_SEPARATORS)
    mobile = _MOBILE.fullmatch(plain)
    if mobile is not None:
        return mobile[1] + _DOT * 8
    if "@" in text:
        return f"{_DOT * 4}@{text.rpartition('@')[2].lower()}"
    if (time := _TIME.fullmatch(text)) is not None:
        return f"{time[1]}-{time[2]:0>2}-{_DOT * 2}"
    if not text or _HEX.fullmatch(text) or _LONG_NUMBER.fullmatch(plain):
        return None
    if few:
        return text if len(text) <= _LONGEST_VALUE and text.isprintable() else None
    return _rounded(text) if _NUMBER.fullmatch(text) else None


def _rounded(number: str) -> str:
    """Return a number by its leading digit, as in "about 3,000"."""
    value = float(number)
    if value == 0:
        return "0"
    return f"\N{ALMOST EQUAL TO} {float(f'{value:.0e}'):,g}"


def _masked(cell: str, coarse: str | None, common: set[str]) -> Cell:
    if coarse in common and coarse is not None:
        return Cell(coarse)
    text = cell.strip()
    plain = text.translate(_SEPARATORS)
    if not text:
        return Cell("", "empty")
    if "@" in text:
        return Cell("", "address")
    if plain.removeprefix("+").isdecimal():
        return Cell("", "digits", sum(map(str.isdecimal, plain)))
    if _HEX.fullmatch(text):
        return Cell("", "hex", len(text))
    # The length of a name or an address, but not to the letter.
    return Cell("", "text", -(-len(text) // 5) * 5)
