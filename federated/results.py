"""What a finished grouped sum gives one side, with the policy applied (SPEC 14)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

BELOW_MIN_GROUP: Final = "below_min_group"
BELOW_MIN_CONVERTERS: Final = "below_min_converters"
DOMINATED: Final = "dominated"
RULES: Final = (BELOW_MIN_GROUP, BELOW_MIN_CONVERTERS, DOMINATED)


@dataclass(frozen=True, slots=True)
class CellResult:
    """One cell as one side may read it.

    ``label`` has one text per group column; ``None`` where this side is not told it (a withheld cell at the value
    holder, a remainder). ``scope`` names the total it belongs to ('' where it was not told). ``figures`` maps the
    names of ``SumTerms.fields`` to whole numbers (sums in 1/scale units), tags included; it is ``None`` where the
    cell was withheld, for the reason ``withheld``. ``cost`` is in 1/10,000 units.
    """

    label: tuple[str, ...] | None
    persons: int
    scope: str
    figures: Mapping[str, int] | None = field(repr=False)
    withheld: str | None = None
    cost: int | None = None


@dataclass(frozen=True, slots=True)
class ScopeTotal:
    """A total: over all cells of its scope when ``complete``, else over the released ones only.

    ``figures`` is ``None`` where nothing was released, and lacks what policy hides in a total. ``persons`` and
    ``cost`` are over the same cells as ``figures``, ``sums`` is the number of noised sums in it.
    """

    scope: str
    persons: int
    figures: Mapping[str, int] | None = field(repr=False)
    complete: bool = True
    cost: int | None = None
    sums: int = 1


@dataclass(frozen=True, slots=True)
class SumResult:
    """The table of one reader, or what a side that doesn't read knows of its own cells (``figures`` all ``None``).

    ``noise`` maps each figure to the variance of the noise within one cell's figure; a total has ``sums`` times as
    much. ``withheld`` counts cells by rule. ``moved`` has (days, persons): how far the window of how many persons
    moved, because units were merged.
    """

    cells: tuple[CellResult, ...]
    totals: tuple[ScopeTotal, ...]
    withheld: Mapping[str, int]
    noise: Mapping[str, float]
    moved: tuple[tuple[int, int], ...] = ()
    readable: bool = True
