"""From opened sums to what people may read: the rules that need values, and totals (SPEC 14).

The same for both sides: whoever reads settles what it opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from federated.ports import Tag
from federated.results import (
    BELOW_MIN_CONVERTERS,
    BELOW_MIN_GROUP,
    DOMINATED,
    CellResult,
    ScopeTotal,
    SumResult,
)
from federated.slots import Layout
from federated.suppression import (
    HiddenCell,
    complete_total,
    dominated,
    hidden_counts,
    hidden_in_total,
    hidden_tags,
)
from federated.terms import MATCHED, SumTerms, square_field, sum_field, tag_field


@dataclass(frozen=True, slots=True)
class Opened:
    """One sum that was sent. ``values`` is ``None`` where it was not opened, because its counts did not pass.

    ``label`` is ``None`` for remainders and rests, which only totals cover. ``hidden`` has the numbers of the values
    that arrive withheld already, ``dominated`` says the same of all.
    """

    scope: int
    persons: int
    label: tuple[str, ...] | None
    cost: int | None
    counts: tuple[int, ...] = field(repr=False)
    values: tuple[int, ...] | None = field(repr=False)
    dominated: bool = False
    hidden: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rest:
    """The joint figures of ``sums`` sums of a scope that were not opened one by one; ``hidden`` as in Opened."""

    persons: int
    counts: tuple[int, ...] = field(repr=False)
    values: tuple[int, ...] = field(repr=False)
    cost: int | None
    sums: int
    hidden: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the group holder says of its own cells beside the sums (SPEC 12.5)."""

    scopes: tuple[str, ...]
    dropped: tuple[int, ...]
    small: int
    few: int
    moved: tuple[tuple[int, int], ...]


def figures_of(layout: Layout, counts: Sequence[int], values: Sequence[int]) -> dict[str, int]:
    """Return figures by the names of their fields."""
    names = [each.name for each in (*layout.counts, *layout.values)]
    return dict(zip(names, (*counts, *values), strict=True))


def hidden_fields(terms: SumTerms, figures: Mapping[str, int], tags: Sequence[Tag]) -> frozenset[str]:
    """Return the names of the figures of a released cell that its reader is not shown."""
    slots = [figures[tag_field(number)] for number in range(len(tags))]
    return hidden_counts(terms, figures) | {
        tag_field(number) for number in hidden_tags(terms, tags, figures[MATCHED], slots)
    }


def impossible(
    terms: SumTerms,
    layout: Layout,
    persons: int,
    counts: Sequence[int],
    values: Sequence[int],
    hidden: Sequence[int] = (),
) -> bool:
    """Return whether no ``persons`` persons within the contract's bounds can have these figures.

    ``values`` may be empty where they are not known; those with the numbers ``hidden`` are not looked at. With noise
    each figure has the room of its noise.
    """
    matched, converters = counts
    exact = terms.epsilon is None
    if exact and not 0 <= converters <= matched <= persons:
        return True
    # Without noise nobody counts who did not match.
    most = matched if exact else persons
    for each, figure in zip(layout.counts, counts, strict=True):
        if not persons * each.low - each.tail <= figure <= persons * each.high + each.tail:
            return True
    for number, (each, figure) in enumerate(zip(layout.values, values, strict=False)):
        within = most * each.low - each.tail <= figure <= most * each.high + each.tail
        if number not in hidden and not within:
            return True
    if not (exact and values):
        return False
    figures = figures_of(layout, counts, values)
    # Cauchy and Schwarz: what m persons have together, squared, is at most m times the sum of their squares.
    return any(
        figures[sum_field(column.name)] ** 2 > matched * figures[square_field(column.name)]
        for column in terms.values
    )


def is_dominated(terms: SumTerms, layout: Layout, opened: Opened) -> bool:
    """Return whether the dominance rule withholds an opened sum."""
    if opened.values is None:
        return False
    return opened.dominated or dominated(terms, figures_of(layout, opened.counts, opened.values))


def settle(
    terms: SumTerms,
    layout: Layout,
    tags: Sequence[Tag],
    opened: Sequence[Opened],
    rests: Sequence[Rest | None],
    facts: Facts,
    noise: Mapping[str, float],
) -> SumResult:
    """Return the table of a side that reads. ``rests`` and ``facts`` have one entry per scope.

    Cells whose counts did not pass are counted, not listed; those that are dominated are listed without figures.
    """
    withheld = {BELOW_MIN_GROUP: facts.small, BELOW_MIN_CONVERTERS: facts.few, DOMINATED: 0}
    cells = []
    for each in opened:
        if each.label is None or each.values is None:
            continue
        name = facts.scopes[each.scope]
        if is_dominated(terms, layout, each):
            withheld[DOMINATED] += 1
            cells.append(CellResult(each.label, each.persons, name, None, DOMINATED, each.cost))
            continue
        cells.append(
            CellResult(each.label, each.persons, name, _shown(terms, layout, tags, each), None, each.cost)
        )
    by_scope: list[list[Opened]] = [[] for _ in rests]
    for each in opened:
        by_scope[each.scope].append(each)
    totals = tuple(
        _total(terms, layout, tags, by_scope[scope], rest, facts, scope) for scope, rest in enumerate(rests)
    )
    return SumResult(tuple(cells), totals, {rule: n for rule, n in withheld.items() if n}, noise, facts.moved)


def _shown(terms: SumTerms, layout: Layout, tags: Sequence[Tag], each: Opened) -> dict[str, int]:
    figures = figures_of(layout, each.counts, each.values or ())
    hidden = _withheld(layout, each) or hidden_fields(terms, figures, tags)
    return {name: figure for name, figure in figures.items() if name not in hidden}


def _withheld(layout: Layout, each: Opened | Rest) -> frozenset[str]:
    """Return the names of the figures that the partner withheld already. It did so by the rules that hold here too,
    which can't be asked again once some figures are missing."""
    names = [field.name for field in layout.values]
    return frozenset(names[number] for number in each.hidden)


def _total(
    terms: SumTerms,
    layout: Layout,
    tags: Sequence[Tag],
    opened: Sequence[Opened],
    rest: Rest | None,
    facts: Facts,
    scope: int,
) -> ScopeTotal:
    """Return the total of one scope: over all of it where the withheld cells may be told jointly."""
    released: list[Opened] = []
    out: list[Opened] = []
    for each in opened:
        # What the partner withheld as dominated comes without values.
        if each.values is not None and not each.dominated:
            (out if is_dominated(terms, layout, each) else released).append(each)
    unread = len(opened) - len(released) - len(out)
    jointly = [_figures(layout, each) for each in out]
    if rest is not None:
        jointly.append(figures_of(layout, rest.counts, rest.values))
    if unread and rest is None:
        covers = False
    elif rest is None:
        covers = complete_total(
            terms,
            [
                HiddenCell(each.persons, each.counts[0], each.counts[1], _figures(layout, each))
                for each in out
            ],
        )
    else:
        # Where both read, one has no figures of what the other found dominated. Their totals must not differ by it.
        apart = any(each.dominated for each in opened) or (len(terms.readers) > 1 and bool(out))
        # Its counts have passed jointly, which more cells don't change; dominance is seen only now.
        covers = not apart and not dominated(terms, _added(jointly))
    parts = [*released, *(out if covers else ())]
    persons, costs = sum(each.persons for each in parts), [each.cost for each in parts]
    sums = len(parts)
    behind = [_figures(layout, each) for each in released if each.label is None] + (jointly if covers else [])
    if covers and rest is not None:
        persons += rest.persons
        costs.append(rest.cost)
        sums += rest.sums
    name = facts.scopes[scope]
    complete = covers and facts.dropped[scope] == 0
    told = [_figures(layout, each) for each in released if each.label is not None]
    if not told and not behind:
        return ScopeTotal(name, 0, None, complete, None, 0)
    figures = _added([*told, *behind])
    hidden = hidden_in_total(terms, told, _added(behind) if behind else None, tags)
    for each in released:
        hidden |= _withheld(layout, each)
    if covers and rest is not None:
        hidden |= _withheld(layout, rest)
    shown = {key: figure for key, figure in figures.items() if key not in hidden}
    cost = None if any(each is None for each in costs) else sum(each or 0 for each in costs)
    return ScopeTotal(name, persons, shown, complete, cost, sums)


def _figures(layout: Layout, each: Opened) -> dict[str, int]:
    return figures_of(layout, each.counts, each.values or ())


def _added(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {name: sum(part[name] for part in parts) for name in parts[0]} if parts else {}
