"""The tier column of a party's dataset: labels, their order, and rows without a usable tier."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from party.datasets import Batch
from party.identifiers import REASONS
from party.jobfile import SideSpec
from psi.errors import UsageError
from psi.messages import label_fault
from psi.terms import MAX_TIERS

_NO_TIER: Final = REASONS.index("no_tier")
_UNKNOWN_TIER: Final = REASONS.index("unknown_tier")


class TierColumn:
    """Collects the tiers of one dataset; without tiers everybody is in the one tier with the label ''."""

    def __init__(self, spec: SideSpec, used: bool, path: Path) -> None:
        self._column = spec.tier if used else None
        self._declared = spec.tiers if used else ()
        self._path = path
        # Numbers are given in the order of first appearance; places() turns them into ranks.
        self.labels: list[str] = [] if self._column else [""]

    @property
    def columns(self) -> list[str]:
        """The columns to read."""
        return [self._column] if self._column else []

    def read(
        self, batch: Batch, reason: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Return the tier number per row and ``reason`` with the rows that have no usable tier refused.

        Both have shape (rows,). Only rows that are usable otherwise bring new labels in.
        """
        numbers = np.zeros(len(reason), dtype=np.uint8)
        if self._column is None:
            return numbers, reason
        cells = pc.utf8_trim_whitespace(batch.columns[self._column])
        cells = pc.if_else(pa.array(reason == 0), cells, pa.scalar(None, pa.string()))
        encoded = pc.dictionary_encode(pc.if_else(pc.equal(cells, ""), None, cells))
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        reason = reason.copy()
        reason[(codes < 0) & (reason == 0)] = _NO_TIER
        for code, label in enumerate(encoded.dictionary.to_pylist()):
            rows = codes == code
            if self._declared and label not in self._declared:
                reason[rows] = _UNKNOWN_TIER
            else:
                numbers[rows] = self._number(label)
        return numbers, reason

    def ordered(self) -> tuple[str, ...]:
        """Return the labels, highest first: as declared, else by number, else by code point."""
        if self._declared:
            return tuple(label for label in self._declared if label in self.labels)
        try:
            return tuple(sorted(self.labels, key=float, reverse=True))
        except ValueError:
            return tuple(sorted(self.labels, reverse=True))

    def places(self) -> list[int]:
        """Return, per tier number, its place in ``ordered()``; 0 is the highest."""
        ordered = self.ordered()
        return [ordered.index(label) for label in self.labels]

    def _number(self, label: str) -> int:
        if label not in self.labels:
            self._check(label)
            self.labels.append(label)
        return self.labels.index(label)

    def _check(self, label: str) -> None:
        if len(self.labels) == MAX_TIERS:
            raise UsageError(
                f"Column {self._column!r} of {self._path} has more than {MAX_TIERS} different tiers.",
                hint="tiers are told to the partner; name a column with few of them",
            )
        fault = label_fault(label)
        if fault:
            raise UsageError(
                f"Column {self._column!r} of {self._path} has a tier label that {fault}.",
                hint="tiers are told to the partner; give them short plain names",
            )
