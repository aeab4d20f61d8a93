"""Adding up the ciphertexts of each cell's matched rows, unit by unit and shifted by exposure day (SPEC 12.3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from federated.engine import PaillierEngine
from federated.keys import PaillierPublicKey
from federated.ports import RecordShelf, Unit
from federated.slots import Layout
from federated.windows import shift_bits


class CellTotals:
    """Sums over one group holder's units; ``records`` has ``layout.ciphertexts`` ciphertexts per row, row by row."""

    def __init__(
        self, engine: PaillierEngine, public: PaillierPublicKey, layout: Layout, records: RecordShelf
    ) -> None:
        self._engine = engine
        self._public = public
        self._layout = layout
        self._records = records

    def add_units(
        self, units: Sequence[Unit], partners: npt.NDArray[np.int64], cells: int
    ) -> tuple[list[int], list[bytes]]:
        """Return per cell how many persons match, and the sum of their ciphertexts with each day in its place.

        ``partners`` has the row of each person in unit order, -1 for those without, shape (persons,). An empty cell's
        sum is the number 1, which decrypts to 0. Nothing is re-randomised yet.
        """
        owner = np.repeat(np.arange(len(units)), [unit.size for unit in units])
        matched = partners >= 0
        owner, rows = owner[matched], partners[matched]
        per_unit = np.bincount(owner, minlength=len(units))
        ciphertext = np.array([self._layout.place(unit.day)[0] for unit in units], dtype=np.int64)
        # The ciphertext of the unit's day in each of its rows, in unit order.
        positions = rows * self._layout.ciphertexts + ciphertext[owner]
        sums = self._products(positions, per_unit)
        by_cell: list[list[bytes]] = [[] for _ in range(cells)]
        hits = [0] * cells
        for unit, total, count in zip(units, self._shifted(units, sums), per_unit.tolist(), strict=True):
            by_cell[unit.cell].append(total)
            hits[unit.cell] += count
        width = self._public.ciphertext_bytes
        added = self._engine.add(self._public, [b"".join(parts) for parts in by_cell])
        return hits, [added[i * width : (i + 1) * width] for i in range(cells)]

    def _products(self, positions: npt.NDArray[np.int64], per_unit: npt.NDArray[np.int64]) -> list[bytes]:
        """Return one ciphertext per unit; records are read in batches, so a unit may come in several parts."""
        width = self._public.ciphertext_bytes
        ends = np.cumsum(per_unit)
        parts: list[list[bytes]] = [[] for _ in per_unit]
        done, unit = 0, 0
        for batch in self._records.take(positions):
            groups, owners, start = [], [], 0
            count = len(batch) // width
            while start < count:
                while ends[unit] <= done + start:
                    unit += 1
                stop = min(count, int(ends[unit]) - done)
                groups.append(batch[start * width : stop * width])
                owners.append(unit)
                start = stop
            added = self._engine.add(self._public, groups)
            for number, owner in enumerate(owners):
                parts[owner].append(added[number * width : (number + 1) * width])
            done += count
        joined = self._engine.add(self._public, [b"".join(each) for each in parts])
        return [joined[i * width : (i + 1) * width] for i in range(len(parts))]

    def _shifted(self, units: Sequence[Unit], sums: Sequence[bytes]) -> list[bytes]:
        """Return the sums, each moved so that its day's block lies at the target (SPEC 7.1)."""
        shifted = list(sums)
        by_shift: dict[int, list[int]] = {}
        for number, unit in enumerate(units):
            by_shift.setdefault(shift_bits(self._layout, unit.day), []).append(number)
        width = self._public.ciphertext_bytes
        for bits, numbers in by_shift.items():
            moved = self._engine.shift(self._public, b"".join(sums[i] for i in numbers), bits)
            for place, number in enumerate(numbers):
                shifted[number] = moved[place * width : (place + 1) * width]
        return shifted
