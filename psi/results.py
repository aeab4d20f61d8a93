"""What a finished private match gives its receiver, with the thresholds applied (SPEC 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from psi.messages import Tier

BELOW_MIN_GROUP: Final = "below_min_group"


@dataclass(frozen=True, slots=True)
class Cell:
    """One count: persons of the receiver's tier that are in the sender's tier; ``None`` is withheld."""

    own_tier: str
    peer_tier: str
    matched: int | None


@dataclass(frozen=True, slots=True)
class OverlapResult:
    """Counts of an overlap. ``matched`` covers all cells when ``complete``, else the released ones only."""

    cells: tuple[Cell, ...]
    matched: int | None
    complete: bool

    @property
    def withheld(self) -> int:
        """Number of cells that were withheld."""
        return sum(cell.matched is None for cell in self.cells)


@dataclass(frozen=True, slots=True)
class AudienceResult:
    """A receiver's own matches. ``tier_of`` has, per own sending position, 0 or 1 + the partner's tier.

    Shape (own size,), uint8. ``matched`` and ``tier_of`` are ``None`` when the list was withheld, because
    fewer than ``min_group`` persons matched and so short a list singles people out.
    """

    matched: int | None
    tier_of: npt.NDArray[np.uint8] | None
    peer_tiers: tuple[Tier, ...]


MatchResult = OverlapResult | AudienceResult


def overlap_result(
    counts: npt.NDArray[np.int64], own: tuple[Tier, ...], peer: tuple[Tier, ...], min_group: int
) -> OverlapResult:
    """Apply the threshold to ``counts``, shape (own tiers, partner tiers).

    A count below ``min_group`` is withheld. The total covers every cell only if that tells nothing about a
    single withheld one: none is withheld, or at least two are, which jointly reach ``min_group`` and of which
    each could still have half as many values (two cells of at most 49 with 98 together would both be 49).
    """
    released = counts >= min_group
    hidden = counts[~released]
    jointly = int(hidden.sum())
    most = min_group - 1
    spread = min(most, jointly) - max(0, jointly - (len(hidden) - 1) * most)
    complete = len(hidden) == 0 or (len(hidden) >= 2 and jointly >= min_group and spread >= min_group // 2)
    cells = tuple(
        Cell(mine.label, theirs.label, int(counts[i, j]) if released[i, j] else None)
        for i, mine in enumerate(own)
        for j, theirs in enumerate(peer)
    )
    total = int(counts.sum()) if complete else int(counts[released].sum())
    return OverlapResult(cells, total if complete or released.any() else None, complete)


def audience_result(
    tier_of: npt.NDArray[np.uint8], peer: tuple[Tier, ...], min_group: int, unmatched: bool
) -> AudienceResult:
    """Apply the threshold to a list.

    1 to ``min_group - 1`` matches withhold it, and so do as few persons without a match where the list holds
    those; none is an empty list.
    """
    matched = int(np.count_nonzero(tier_of))
    few = range(1, min_group)
    if matched in few or (unmatched and len(tier_of) - matched in few):
        return AudienceResult(None, None, peer)
    return AudienceResult(matched, tier_of, peer)
