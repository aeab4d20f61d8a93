"""From outcome rows to what each person's outcome would be for every possible exposure day (SPEC 7).

Pure array arithmetic over a few hundred persons at a time. A row of day D counts for exposure day d if
0 <= D - d <= window, so it counts for a run of days, and a run is two entries of a difference array: the cost
grows with rows plus days, not with rows times days.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from federated.terms import SumTerms

# A day that no calendar of the contract reaches, for rows without a time (no window, so no day is looked at).
NO_DAY: Final = -(1 << 31)
_NEVER: Final = 1 << 62

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Events:
    """The rows of some persons, person by person.

    ``offsets`` has shape (persons + 1,): the rows of person i are ``offsets[i]`` to ``offsets[i + 1] - 1``. The
    others have one entry per row: ``day`` since 1970-01-01 in the contract's zone (``NO_DAY``: none), ``stage``
    the last stage that the row reached, counted from 1 (0: none), ``outcome`` whether it is an outcome row,
    ``values`` of shape (rows, value columns) in whole units. A ``repr`` shows none of it.
    """

    offsets: Ints = field(repr=False)
    day: Ints = field(repr=False)
    stage: Ints = field(repr=False)
    outcome: npt.NDArray[np.bool_] = field(repr=False)
    values: Ints = field(repr=False)

    @property
    def persons(self) -> int:
        """Number of persons."""
        return len(self.offsets) - 1

    def part(self, start: int, stop: int) -> Events:
        """Return persons ``start`` to ``stop - 1``; a view, nothing is copied but the offsets."""
        first, last = int(self.offsets[start]), int(self.offsets[stop])
        return Events(
            self.offsets[start : stop + 1] - first,
            self.day[first:last],
            self.stage[first:last],
            self.outcome[first:last],
            self.values[first:last],
        )


def outcomes(terms: SumTerms, events: Events, first_day: int, days: int) -> Ints:
    """Return what each person's outcome would be, shape (persons, days, fields).

    Entry d is for an exposure on day ``first_day + d``; fields as in ``SumTerms.outcome_fields``. Without a
    window ``days`` is 1 and every row counts. Raises ``ValueError`` for days that the terms do not have.
    """
    if days < 1 or (terms.window is None and days != 1):
        raise ValueError("a sum without window has one exposure day, and every sum has at least one")
    person = np.repeat(np.arange(events.persons), np.diff(events.offsets))
    weights = _weights(terms, events)
    if terms.window is None:
        sums = np.zeros((events.persons, 1, weights.shape[1]), dtype=np.int64)
        np.add.at(sums[:, 0], person, weights)
    else:
        sums = _windowed(person, weights, events, terms.window.days, first_day, days)
    return _fields(terms, sums, _retained(terms, person, events, first_day, days))


def _weights(terms: SumTerms, events: Events) -> Ints:
    """Return what a row adds to each running sum: outcome rows, rows per stage or later, values."""
    stages = np.arange(1, len(terms.stages) + 1)
    reached = events.stage[:, None] >= stages
    return np.concatenate([events.outcome[:, None], reached, events.values], axis=1, dtype=np.int64)


def _windowed(person: Ints, weights: Ints, events: Events, window: int, first_day: int, days: int) -> Ints:
    # The row counts for the exposure days day - window to day: up at the first, down behind the last.
    up = np.clip(events.day - window - first_day, 0, days)
    down = np.clip(events.day + 1 - first_day, 0, days)
    sums = np.zeros((int(events.persons), days + 1, weights.shape[1]), dtype=np.int64)
    np.add.at(sums, (person, up), weights)
    np.subtract.at(sums, (person, down), weights)
    np.cumsum(sums, axis=1, out=sums)
    return sums[:, :days]


def _retained(
    terms: SumTerms, person: Ints, events: Events, first_day: int, days: int
) -> npt.NDArray[np.bool_] | None:
    """Return who has an outcome long enough after the first that counts, shape (persons, days), if asked."""
    if terms.window is None or terms.window.retention_days is None:
        return None
    person, day = person[events.outcome], events.day[events.outcome]
    last = np.full(events.persons, -_NEVER, dtype=np.int64)
    np.maximum.at(last, person, day)
    # The first outcome on or after each day: put each at its own day (beyond the last day: at the end), look back.
    later = day >= first_day
    place = np.minimum(day[later] - first_day, days)
    first = np.full((events.persons, days + 1), _NEVER, dtype=np.int64)
    np.minimum.at(first, (person[later], place), day[later])
    first = np.minimum.accumulate(first[:, ::-1], axis=1)[:, ::-1][:, :days]
    counts = first - (first_day + np.arange(days)) <= terms.window.days
    retained: npt.NDArray[np.bool_] = counts & (last[:, None] >= first + terms.window.retention_days)
    return retained


def _fields(terms: SumTerms, sums: Ints, retained: npt.NDArray[np.bool_] | None) -> Ints:
    """Turn running sums into the fields, in the order of ``SumTerms.outcome_fields``."""
    persons, days, _ = sums.shape
    stages = len(terms.stages)
    result = np.empty((persons, days, len(terms.outcome_fields)), dtype=np.int64)
    result[..., 0] = 1
    converter = sums[..., 0] > 0
    result[..., 1] = converter
    result[..., 2] = sums[..., 0]
    result[..., 3 : 3 + stages] = sums[..., 1 : 1 + stages] > 0
    if retained is not None:
        result[..., 3 + stages] = retained
    if terms.values:
        result[..., -len(terms.values) :] = sums[..., 1 + stages :]
    return result
