"""In-memory versions of ``federated.ports``: for tests, and as the reference of those on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from federated.attribution import Events, outcomes
from federated.ports import OwnCell, PairJoin, RecordShelf, Tag, Unit
from federated.terms import SumTerms
from psi.engines import Engine
from psi.memory import MemoryShelf
from psi.ports import TokenShelf
from psi.seed import LABEL_ORDER, JobRandomness
from psi.suites import domain_separation_tag
from psi.terms import Kind, Terms

# (day, value per value column, last stage reached counted from 1 or 0): an outcome row.
Event = tuple[int, Sequence[int], int]
# (canonical identifier, outcome rows, value per tag column or '').
Person = tuple[bytes, Sequence[Event], Sequence[str]]
# (cell, exposure day counted from the first, canonical identifiers).
Members = tuple[int, int, Sequence[bytes]]

_BATCH = 1 << 16


class _MaskedPoints:
    """Identifiers masked at once and put into order: by ``part``, then by secret rank."""

    def __init__(
        self,
        terms: SumTerms,
        randomness: JobRandomness,
        engine: Engine,
        identifiers: Sequence[bytes],
        part: npt.NDArray[np.int64],
    ) -> None:
        tag = domain_separation_tag(terms.suite, terms.contract)
        masked = engine.hash_and_mask(tag, list(identifiers), randomness.scalar(terms.suite))
        # Primary key last.
        self.order = np.lexsort((randomness.ranks(LABEL_ORDER, 0, len(identifiers)), part))
        rows = np.frombuffer(masked, dtype=np.uint8).reshape(-1, terms.suite.element_size)
        self._points = rows[self.order].tobytes()
        self._chunk_bytes = terms.chunk_elements * terms.suite.element_size

    def chunk(self, sequence: int) -> bytes:
        """Return chunk ``sequence`` of the masked points."""
        return self._points[sequence * self._chunk_bytes : (sequence + 1) * self._chunk_bytes]


class MemoryValueSet:
    """A ``ValueSet`` of plain persons. ``origin[i]`` is the index given of the person at sending position i."""

    def __init__(
        self, terms: SumTerms, randomness: JobRandomness, engine: Engine, persons: Sequence[Person]
    ) -> None:
        self._terms = terms
        identifiers = [identifier for identifier, _, _ in persons]
        part = np.zeros(len(persons), dtype=np.int64)
        self._points = _MaskedPoints(terms, randomness, engine, identifiers, part)
        self.origin = self._points.order
        ordered = [persons[number] for number in self.origin]
        rows = [event for _, own, _ in ordered for event in own]
        self._events = Events(
            offsets=np.concatenate([[0], np.cumsum([len(own) for _, own, _ in ordered], dtype=np.int64)]),
            day=np.array([day for day, _, _ in rows], dtype=np.int64),
            stage=np.array([stage for _, _, stage in rows], dtype=np.int64),
            outcome=np.ones(len(rows), dtype=np.bool_),
            values=np.array([values for _, values, _ in rows], np.int64).reshape(
                len(rows), len(terms.values)
            ),
        )
        self._held = [held for _, _, held in ordered]
        self.tags = tuple(
            Tag(column, value)
            for place, column in enumerate(terms.tag_columns)
            for value in sorted({held[place] for held in self._held} - {""})
        )
        root = hashlib.sha256(b"".join(hashlib.sha256(repr(each).encode()).digest() for each in persons))
        self.input_commitment = randomness.input_commitment(root.digest())

    @property
    def size(self) -> int:
        """Number of persons."""
        return len(self.origin)

    def chunk(self, sequence: int) -> bytes:
        """Return chunk ``sequence`` of the masked points."""
        return self._points.chunk(sequence)

    def outcomes(self, start: int, stop: int, first_day: int, days: int) -> npt.NDArray[np.int64]:
        """Return the outcomes of some persons per possible exposure day, shape (persons, days, fields)."""
        return outcomes(self._terms, self._events.part(start, stop), first_day, days)

    def tag_slots(self, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """Return which tags the persons have, shape (stop - start, len(tags))."""
        place = {column: number for number, column in enumerate(self._terms.tag_columns)}
        slots = np.zeros((stop - start, len(self.tags)), dtype=np.bool_)
        for row, held in enumerate(self._held[start:stop]):
            slots[row] = [held[place[tag.column]] == tag.value for tag in self.tags]
        return slots


class MemoryGroupSet:
    """A ``GroupSet`` of plain identifiers. ``origin[i]`` is the index given of the person at position i.

    ``members`` are the units, by cell and day; raises ``ValueError`` for units out of order.
    """

    def __init__(
        self,
        terms: SumTerms,
        randomness: JobRandomness,
        engine: Engine,
        cells: Sequence[OwnCell],
        members: Sequence[Members],
        *,
        first_day: int = 0,
        days: int = 1,
    ) -> None:
        self.cells = tuple(cells)
        self.units = tuple(Unit(cell, day, len(identifiers)) for cell, day, identifiers in members)
        if any(not 0 <= unit.cell < len(self.cells) or not 0 <= unit.day < days for unit in self.units):
            raise ValueError("a unit belongs to a cell and a day of the set")
        places = [(unit.cell, unit.day) for unit in self.units]
        if places != sorted(set(places)):
            raise ValueError("units are in order by cell and day, each of them once")
        self.first_day = first_day
        self.days = days
        identifiers = [identifier for _, _, own in members for identifier in own]
        part = np.repeat(np.arange(len(self.units)), [unit.size for unit in self.units])
        self._points = _MaskedPoints(terms, randomness, engine, identifiers, part)
        self.origin = self._points.order
        root = hashlib.sha256(b"".join(hashlib.sha256(repr(each).encode()).digest() for each in members))
        self.input_commitment = randomness.input_commitment(root.digest())

    def chunk(self, sequence: int) -> bytes:
        """Return chunk ``sequence`` of the masked points, unit by unit."""
        return self._points.chunk(sequence)


class MemoryPairJoin:
    """A ``PairJoin`` over a dictionary."""

    def __init__(self, terms: SumTerms) -> None:
        self._token = terms.suite.token_size
        self._own: list[bytes] = []
        self._peer: list[bytes] = []

    def add_own(self, tokens: bytes) -> None:
        """Add tokens of own elements."""
        self._own += self._cut(tokens)

    def add_peer(self, tokens: bytes) -> None:
        """Add tokens of the partner's elements."""
        self._peer += self._cut(tokens)

    def repeated(self) -> tuple[int, int]:
        """Return how many own and partner tokens are copies."""
        return len(self._own) - len(set(self._own)), len(self._peer) - len(set(self._peer))

    def partners(self) -> npt.NDArray[np.int64]:
        """Return the partner's position per own position, or -1."""
        place = {token: position for position, token in enumerate(self._peer)}
        return np.fromiter((place.get(token, -1) for token in self._own), np.int64, count=len(self._own))

    def _cut(self, tokens: bytes) -> Iterator[bytes]:
        return (tokens[start : start + self._token] for start in range(0, len(tokens), self._token))


class MemoryRecordShelf:
    """A ``RecordShelf`` in a byte string. Raises ``ValueError`` for parts of records and missing positions."""

    def __init__(self, size: int, batch_bytes: int = _BATCH) -> None:
        self._size = size
        self._batch = max(1, batch_bytes // size)
        self._records = bytearray()

    def append(self, records: bytes) -> None:
        """Add records."""
        if len(records) % self._size:
            raise ValueError(f"records have {self._size} bytes each")
        self._records += records

    def take(self, positions: Sequence[int] | npt.NDArray[np.int64]) -> Iterator[bytes]:
        """Yield the records at ``positions``, in that order, in batches."""
        held = len(self._records) // self._size
        wanted = np.asarray(positions, dtype=np.int64)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < held:
            raise ValueError(f"a position is not one of the {held} records")
        for start in range(0, len(wanted), self._batch):
            starts = (wanted[start : start + self._batch] * self._size).tolist()
            yield b"".join(self._records[place : place + self._size] for place in starts)


class MemorySumKeep:
    """A ``SumKeep`` whose places are in memory."""

    def __init__(self, terms: SumTerms) -> None:
        self._terms = terms

    def shelf(self) -> TokenShelf:
        """Return an empty shelf of tokens."""
        terms = self._terms
        # A shelf looks at the size of tokens and chunks alone.
        return MemoryShelf(
            Terms(terms.contract, terms.suite, Kind.OVERLAP, chunk_elements=terms.chunk_elements)
        )

    def join(self) -> PairJoin:
        """Return an empty join."""
        return MemoryPairJoin(self._terms)

    def records(self, size: int) -> RecordShelf:
        """Return an empty shelf of records of ``size`` bytes."""
        return MemoryRecordShelf(size)
