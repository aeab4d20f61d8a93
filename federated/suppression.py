"""What is withheld from people who read a grouped sum, as pure functions that both roles call (SPEC 14).

Without noise every rule here is about counts of persons: none below its threshold is shown, and none can be had by
subtracting shown figures from each other. A rule also says less than it hides: whoever knows the rules and that a
figure is withheld is left with a range of values, not with one.

With noise (``epsilon``) figures may be negative and what a reader can compute from them is covered by epsilon,
however it subtracts. So the thresholds then apply to the noised figures as they stand, complements are not sought,
and nobody decides by a figure before noise, because the decision would tell it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from federated.ports import Tag
from federated.results import BELOW_MIN_CONVERTERS, BELOW_MIN_GROUP
from federated.terms import (
    CONVERSIONS,
    CONVERTERS,
    MATCHED,
    RETAINED,
    SumTerms,
    square_field,
    stage_field,
    sum_field,
    tag_field,
)

# "Withheld" must leave a choice: with a threshold of 2 it would say "one", so 1 and 2 are withheld then.
_LEAST_CHOICE: Final = 3


class HiddenCell(NamedTuple):
    """A withheld cell: its counts, and its figures where this side has opened them."""

    persons: int
    matched: int
    converters: int
    figures: Mapping[str, int] | None = None

    def __repr__(self) -> str:
        return "HiddenCell(<withheld>)"


class _Range(NamedTuple):
    """What can be known of one withheld count: ``low <= count <= high``."""

    low: int
    high: int


def group_passes(terms: SumTerms, persons: int, hits: int) -> str | None:
    """Return why the group holder withholds a cell of ``persons`` with ``hits`` matched, or ``None``.

    With noise only ``persons``, which the value holder knows, decides here; :func:`count_passes` decides the rest on
    noised figures.
    """
    if persons < terms.min_group:
        return BELOW_MIN_GROUP
    if terms.epsilon is not None:
        return None
    if terms.customers:
        return BELOW_MIN_GROUP if hits < terms.min_group else None
    return BELOW_MIN_CONVERTERS if hits < terms.min_converters else None


def count_passes(terms: SumTerms, persons: int, matched: int, converters: int) -> str | None:
    """Return why a cell with these counts is withheld, or ``None``. A profile has no converters."""
    if persons < terms.min_group or (terms.customers and matched < terms.min_group):
        return BELOW_MIN_GROUP
    if not terms.tag_columns and converters < terms.min_converters:
        return BELOW_MIN_CONVERTERS
    return None


def dominated(terms: SumTerms, figures: Mapping[str, int]) -> bool:
    """Return whether few persons make up a value: (sum)^2 < ``dominance`` x sum of squares, for any column.

    A column of zeros is nobody's. Refunds cancel in the sum, so with them the rule withholds more, never less. It is
    off with ``dominance`` 0 and with noise: noise on a sum is as large as the largest contribution of one person,
    and noised squares would withhold cells at random.
    """
    if terms.dominance == 0 or terms.epsilon is not None:
        return False
    return any(
        figures[sum_field(column.name)] ** 2 < terms.dominance * figures[square_field(column.name)]
        for column in terms.values
    )


def hidden_tags(terms: SumTerms, tags: Sequence[Tag], matched: int, counts: Sequence[int]) -> frozenset[int]:
    """Return the slots of the tag counts that a cell's reader is not shown; ``counts`` has one per tag.

    Within each column: counts below ``min_group``, zero too, since "nobody" is told of every member. Then, because
    the counts of a column and the persons without a value add up to ``matched``, as many of the next smallest as it
    takes for each small one to keep a range of ``min_group // 2``; the whole column, if nothing less will do.
    """
    least = _least(terms.min_group)
    if least == 1:
        return frozenset()
    hidden: set[int] = set()
    columns: dict[str, list[int]] = {}
    for slot, tag in enumerate(tags):
        columns.setdefault(tag.column, []).append(slot)
    for slots in columns.values():
        small = {slot for slot in slots if counts[slot] < least}
        if terms.epsilon is None:
            rest = matched - sum(counts[slot] for slot in slots)
            hidden |= _complemented({slot: counts[slot] for slot in slots}, small, rest, least)
        else:
            hidden |= small
    return frozenset(hidden)


def hidden_counts(terms: SumTerms, figures: Mapping[str, int], unshown: Iterable[str] = ()) -> frozenset[str]:
    """Return the names of the stages and other counts of a released cell that its reader is not shown.

    A count of 1 to ``min_converters - 1`` persons, and one that leaves so few of the converters, or of an earlier
    stage that is shown: those are the persons who stopped there. None and all of them are shown. Conversions count
    rows, so only the first rule holds for them. With noise: what is below ``min_converters``. ``unshown`` names
    what is hidden for another reason.
    """
    hidden = set(unshown)
    wholes = {figures[MATCHED], figures[CONVERTERS]}
    for name in _stages(terms):
        if _small(terms, figures[name]) or _leaves_few(terms, figures[name], wholes):
            hidden.add(name)
        elif name not in hidden:
            wholes.add(figures[name])
    if RETAINED in terms.outcome_fields and (
        _small(terms, figures[RETAINED]) or _leaves_few(terms, figures[RETAINED], {figures[CONVERTERS]})
    ):
        hidden.add(RETAINED)
    if _small(terms, figures[CONVERSIONS]):
        hidden.add(CONVERSIONS)
    return frozenset(hidden)


def complete_total(
    terms: SumTerms, hidden: Sequence[HiddenCell | tuple[int, int, int, Mapping[str, int] | None]]
) -> bool:
    """Return whether a total may cover the ``hidden`` cells, so that it can be told less the shown ones.

    It may if none is hidden, or if two or more are that jointly pass every threshold and whose counts each keep a
    range: ``min_converters // 2`` for converters, ``min_group // 2`` for matched customers. Joint dominance is
    looked at where all ``figures`` are given; where they are opened jointly, call :func:`dominated` on that
    opening. A remainder that passes by itself is not hidden: totals cover it.
    """
    cells = [HiddenCell(*cell) for cell in hidden]
    if not cells:
        return True
    persons, matched, converters = (
        sum(column) for column in zip(*((cell[:3]) for cell in cells), strict=True)
    )
    if len(cells) < 2 or count_passes(terms, persons, matched, converters) is not None:
        return False
    opened = [cell.figures for cell in cells if cell.figures is not None]
    if len(opened) == len(cells) and dominated(terms, _added(opened)):
        return False
    if terms.epsilon is not None:
        return True
    ranges = [_known(terms, cell) for cell in cells]
    least_matched = terms.min_group if terms.customers else terms.min_converters
    return _spread([each[0] for each in ranges], matched, least_matched // 2) and (
        bool(terms.tag_columns)
        or _spread([each[1] for each in ranges], converters, terms.min_converters // 2)
    )


def hidden_in_total(
    terms: SumTerms,
    released: Sequence[Mapping[str, int]],
    hidden: Mapping[str, int] | None = None,
    tags: Sequence[Tag] = (),
) -> frozenset[str]:
    """Return the names of the counts, ``tag:`` slots included, that a total over ``released`` cells can't show.

    ``hidden`` has the figures of all withheld cells together where the total covers those. A count that one cell
    does not show would be the total less the others. So the total doesn't show it either, unless two or more cells
    withhold it and each keeps a range of ``min_converters // 2``; a tag's total needs every cell to show it, since
    the rows of that table add up as well. What the total less the shown cells would tell of the withheld ones is
    held to the rules of one cell.
    """
    parts = [*released, *([hidden] if hidden is not None else [])]
    if not parts:
        return frozenset()
    per_cell = [hidden_counts(terms, figures) for figures in released]
    names = set(hidden_counts(terms, hidden)) if hidden is not None else set()
    # What noised cells do not show is in a noised total by epsilon's leave.
    for name in set().union(*per_cell) - names if terms.epsilon is None else ():
        rows = [cell for cell, inner in zip(released, per_cell, strict=True) if name in inner]
        ranges = [_hidden_range(terms, name, figures) for figures in rows]
        jointly = sum(figures[name] for figures in rows)
        if len(rows) < 2 or not _spread(ranges, jointly, _least(terms.min_converters) // 2):
            names.add(name)
    names.update(hidden_counts(terms, _added(parts), names))
    if tags:
        slots = [tag_field(slot) for slot in range(len(tags))]
        for figures in (*parts, _added(parts)):
            counts = [figures[slot] for slot in slots]
            names.update(slots[slot] for slot in hidden_tags(terms, tags, figures[MATCHED], counts))
    return frozenset(names)


def _least(threshold: int) -> int:
    return threshold if threshold <= 1 else max(threshold, _LEAST_CHOICE)


def _stages(terms: SumTerms) -> list[str]:
    return [stage_field(stage) for stage in terms.stages]


def _small(terms: SumTerms, count: int) -> bool:
    """Return whether ``count`` is too small to be shown; with noise 0 and -1 say the same as 1."""
    least = _least(terms.min_converters)
    return 0 < count < least if terms.epsilon is None else count < least


def _leaves_few(terms: SumTerms, count: int, wholes: Collection[int]) -> bool:
    """Return whether ``count`` out of one of ``wholes`` leaves too few to be told, unless that is told anyway."""
    if terms.epsilon is not None or count in wholes:
        return False
    return any(0 < whole - count < _least(terms.min_converters) for whole in wholes)


def _hidden_range(terms: SumTerms, name: str, figures: Mapping[str, int]) -> _Range:
    """Return what can be known of count ``name``, which the cell doesn't show, by someone who knows the rules.

    It is few, or leaves few of the smallest whole that is shown. Where these two meet nobody knows which of them it
    is; where they lie apart somebody may.
    """
    least = _least(terms.min_converters)
    wholes = [] if name == CONVERSIONS else [figures[MATCHED], figures[CONVERTERS]]
    if name in (stages := _stages(terms)):
        hidden = hidden_counts(terms, figures)
        wholes += [figures[stage] for stage in stages[: stages.index(name)] if stage not in hidden]
    whole = min((whole for whole in wholes if whole > figures[name]), default=least)
    if whole < 2 * least:
        return _Range(1, whole - 1)
    return _Range(1, least - 1) if figures[name] < least else _Range(whole - least + 1, whole - 1)


def _complemented(counts: Mapping[int, int], small: set[int], rest: int, least: int) -> set[int]:
    """Return ``small`` and as many of the next smallest slots as keep those from being computed.

    ``rest`` persons have no value in the column. Few of them are as telling as a small count and are shown nowhere,
    but follow once all counts are shown. Somebody may know ``rest``, so the counts must hold without its help too.
    """
    order = sorted(counts, key=lambda slot: (counts[slot], slot))
    alone = [(counts[slot], _Range(0, least - 1)) for slot in small]
    views = [alone, [*alone, (rest, _Range(1, least - 1))]] if 0 < rest < least else [alone]
    groups = [_Group(sum(count for count, _ in view), [each for _, each in view]) for view in views if view]
    large = 0
    for shown_from in range(len(small), len(order)):
        top = counts[order[shown_from]]
        if all(group.keeps_range(shown_from - len(small), large, top, least) for group in groups):
            return set(order[:shown_from])
        large += top
    return set(order)


class _Group:
    """Small counts of one column, ``jointly`` so many, and what is known of each before any sum is."""

    def __init__(self, jointly: int, ranges: Sequence[_Range]) -> None:
        self._jointly = jointly
        self._size = len(ranges)
        self._distinct = set(ranges)
        self._low = sum(each.low for each in ranges)
        self._high = sum(each.high for each in ranges)

    def keeps_range(self, others: int, more: int, top: int, least: int) -> bool:
        """Return whether each keeps ``least // 2``, hidden together with ``others`` large counts of ``more`` in all.

        A large count is between ``least`` and ``top``, the smallest that is shown.
        """
        jointly = self._jointly + more
        if self._size + others < 2 or jointly < least:
            return False
        low, high = self._low + others * least, self._high + others * top
        return all(_left(each, jointly, low, high) >= least // 2 for each in self._distinct)


def _known(terms: SumTerms, cell: HiddenCell) -> tuple[_Range, _Range]:
    """Return what the reason for which ``cell`` is withheld tells of its matched persons and its converters."""
    reason = count_passes(terms, cell.persons, cell.matched, cell.converters)
    few = min(cell.persons, terms.min_group - 1)
    if reason == BELOW_MIN_GROUP:
        return _Range(0, few), _Range(0, few)
    least = terms.min_group if terms.customers else 0
    matched = _Range(min(least, cell.matched), cell.persons)
    if reason == BELOW_MIN_CONVERTERS:
        return matched, _Range(0, min(cell.persons, terms.min_converters - 1))
    return matched, _Range(min(terms.min_converters, cell.converters), cell.persons)


def _left(each: _Range, jointly: int, low: int, high: int) -> int:
    """Return how far apart the bounds of one count are once the sum is known; ``low`` and ``high`` bound the sum."""
    most = min(each.high, jointly - (low - each.low))
    return most - max(each.low, jointly - (high - each.high))


def _spread(ranges: Sequence[_Range], jointly: int, least: int) -> bool:
    """Return whether each count keeps ``least`` or more between its bounds once the sum of all is known."""
    low, high = sum(each.low for each in ranges), sum(each.high for each in ranges)
    return all(_left(each, jointly, low, high) >= least for each in set(ranges))


def _added(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sums of the figures of several cells."""
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)
