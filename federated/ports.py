"""What the roles of a grouped sum need from whoever runs them, beside the shelves and joins of ``psi.ports``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from psi.ports import TokenShelf


@dataclass(frozen=True, slots=True)
class Unit:
    """Persons of one cell with one (nominal) exposure day: what tokens are shuffled within.

    ``cell`` is the index of the cell, ``day`` the exposure day counted from the first (0 without a window),
    ``size`` the number of persons.
    """

    cell: int
    day: int
    size: int


@dataclass(frozen=True, slots=True)
class OwnCell:
    """What the group holder alone knows of a cell.

    ``label`` has one text per group column; a remainder of small cells, which only totals cover, has ``None``.
    ``scope`` is the total that the cell belongs to (the arm in a lift). ``cost`` is in 1/10,000 of the cost
    column's unit, ``None`` where no column is named.
    """

    label: tuple[str, ...] | None
    persons: int
    scope: str
    cost: int | None = None


@dataclass(frozen=True, slots=True)
class Tag:
    """One value of a tag column, which has a slot of its own."""

    column: str
    value: str


class ValueSet(Protocol):
    """The value holder's own persons, masked once, secretly permuted, with their outcomes."""

    @property
    def size(self) -> int:
        """Number of persons."""

    @property
    def tags(self) -> tuple[Tag, ...]:
        """The tags in slot order; empty unless the terms name tag columns."""

    @property
    def input_commitment(self) -> bytes:
        """Salted commitment to the input (32 bytes)."""

    def chunk(self, sequence: int) -> bytes:
        """Return chunk ``sequence`` of the masked points, elements back to back."""

    def outcomes(self, start: int, stop: int, first_day: int, days: int) -> npt.NDArray[np.int64]:
        """Return the outcomes of the persons at sending positions ``start`` to ``stop - 1``.

        Shape (stop - start, days, fields), fields as in ``SumTerms.outcome_fields``: what the outcome would be
        if the person had been exposed on day ``first_day + d`` (days since 1970-01-01 in the contract's zone).
        Without a window ``days`` is 1 and all outcomes count. Within the bounds of ``SumTerms.fields``.
        """

    def tag_slots(self, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """Return which tags the persons have, shape (stop - start, len(tags))."""


class GroupSet(Protocol):
    """The group holder's own persons, masked once, each in one unit, secretly permuted within each unit."""

    @property
    def cells(self) -> tuple[OwnCell, ...]:
        """The cells, in announced order."""

    @property
    def units(self) -> tuple[Unit, ...]:
        """The units, in sending order, by cell and day."""

    @property
    def first_day(self) -> int:
        """The first possible exposure day, since 1970-01-01; 0 without a window."""

    @property
    def days(self) -> int:
        """Number of possible exposure days; 1 without a window."""

    @property
    def input_commitment(self) -> bytes:
        """Salted commitment to the input (32 bytes)."""

    def chunk(self, sequence: int) -> bytes:
        """Return chunk ``sequence`` of the masked points, elements back to back, unit by unit."""


class PairJoin(Protocol):
    """The join of the group holder's returned tokens with those it made of the value holder's points."""

    def add_own(self, tokens: bytes) -> None:
        """Add tokens of own elements as they were returned."""

    def add_peer(self, tokens: bytes) -> None:
        """Add tokens of the partner's elements, in the partner's order."""

    def repeated(self) -> tuple[int, int]:
        """Return how many own and how many partner tokens are copies of an earlier one."""

    def partners(self) -> npt.NDArray[np.int64]:
        """Return, per own position, the partner's position with the same token, or -1. Shape (own size,)."""


class RecordShelf(Protocol):
    """Records of one length, kept in order of arrival and read by position."""

    def append(self, records: bytes) -> None:
        """Add records, back to back."""

    def take(self, positions: Sequence[int] | npt.NDArray[np.int64]) -> Iterator[bytes]:
        """Yield the records at ``positions``, in that order, back to back in batches of bounded size."""


class SumKeep(Protocol):
    """Opens the places that one session needs."""

    def shelf(self) -> TokenShelf:
        """Return an empty shelf of tokens."""

    def join(self) -> PairJoin:
        """Return an empty join."""

    def records(self, size: int) -> RecordShelf:
        """Return an empty shelf of records of ``size`` bytes."""
