"""From the outcomes of many persons to plaintexts, all at once (SPEC 6, 10)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from federated.slots import Layout
from federated.terms import SumTerms, sum_field
from psi.errors import UsageError


def pack_rows(
    terms: SumTerms, layout: Layout, outcomes: npt.NDArray[np.int64], tags: npt.NDArray[np.bool_]
) -> list[int]:
    """Return the plaintexts of n persons, ``layout.ciphertexts`` each, person by person.

    ``outcomes`` has shape (n, days, fields) as ``ValueSet.outcomes`` gives it, ``tags`` (n, tag slots). Raises
    ``UsageError`` that names the field for a figure outside its bounds: nothing may reach a neighbour's slot.
    """
    persons, days, _ = outcomes.shape
    if days != layout.days:
        raise ValueError(f"outcomes of {days} exposure days where the layout has {layout.days}")
    blocks = np.zeros((persons, days), dtype=object)
    columns = _columns(terms, outcomes, tags)
    for each, column, offset in zip((*layout.counts, *layout.values), columns, layout.offsets(), strict=True):
        if column.size and not (each.low <= column.min() and column.max() <= each.high):
            raise UsageError(
                f"A value of {each.name!r} lies outside its declared bounds.",
                hint=f"declare wider bounds than {each.low} to {each.high}, or clip",
            )
        blocks += column.astype(object) << offset
    plaintexts = np.zeros((persons, layout.ciphertexts), dtype=object)
    for day in range(days):
        ciphertext, position = layout.place(day)
        plaintexts[:, ciphertext] += blocks[:, day] << position * layout.block
    packed: list[int] = plaintexts.reshape(-1).tolist()
    return packed


def _columns(
    terms: SumTerms, outcomes: npt.NDArray[np.int64], tags: npt.NDArray[np.bool_]
) -> list[npt.NDArray[np.int64] | npt.NDArray[np.object_]]:
    """Return one array of shape (persons, days) per field of the layout, in its order."""
    names = terms.outcome_fields
    columns: list[npt.NDArray[np.int64] | npt.NDArray[np.object_]] = []
    first_sum = len(names) - len(terms.values)
    columns += [outcomes[:, :, place] for place in range(first_sum)]
    for place, value in enumerate(terms.values, start=first_sum):
        if names[place] != sum_field(value.name):
            raise ValueError("sums come last among the outcome fields")
        total = outcomes[:, :, place]
        # Squares of 64-bit totals need up to 128 bits.
        columns += [total, total.astype(object) ** 2]
    for slot in range(tags.shape[1]):
        spread = np.broadcast_to(tags[:, slot, None], outcomes.shape[:2])
        columns.append(spread.astype(np.int64))
    return columns
