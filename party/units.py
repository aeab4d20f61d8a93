"""Cells and units of a group holder: which are large enough, which are merged, which are dropped (SPEC 11).

Pure counting over the sizes of combinations of groups; who is in them is not known here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from federated.ports import Unit

# A cell as the rows say it: the highest stage and the number of a combination of group texts.
Key = tuple[int, int]


@dataclass(slots=True)
class Cell:
    """A cell: the combinations in it, its persons by exposure day, its cost in whole units.

    ``label`` is ``None`` for a remainder; ``scope`` names the total that the cell belongs to.
    """

    label: tuple[str, ...] | None
    scope: str
    keys: list[Key]
    days: Counter[int] = field(default_factory=Counter)
    cost: int = 0

    @property
    def persons(self) -> int:
        """Number of persons."""
        return self.days.total()


class Place(NamedTuple):
    """The unit that the persons of one combination and exposure day are sent in."""

    stage: int
    combination: int
    day: int
    unit: int


@dataclass(frozen=True, slots=True)
class Labels:
    """From the number of a combination to a cell's label and scope.

    ``texts[c][i - 1]`` is text i of group column c (0: empty), ``combinations[n]`` the numbers of combination n,
    ``stages`` the names of a funnel's stages from none on (else empty), ``scope`` the column of the arms, if any.
    """

    texts: Sequence[Sequence[str]]
    combinations: Sequence[tuple[int, ...]]
    stages: tuple[str, ...]
    scope: int | None

    def __call__(self, key: Key) -> tuple[tuple[str, ...], str]:
        """Return label and scope; an empty group cell is the text ''."""
        stage, combination = key
        numbers = self.combinations[combination]
        texts = tuple(self.texts[place][number - 1] if number else "" for place, number in enumerate(numbers))
        scope = "" if self.scope is None else texts[self.scope]
        return ((self.stages[stage], *texts) if self.stages else texts), scope


def gather_cells(rows: Iterable[tuple[int, ...]], labels: Labels) -> list[Cell]:
    """Return one cell per combination from rows of (stage, combination, day, persons, cost)."""
    found: dict[Key, Cell] = {}
    for stage, combination, day, persons, cost in rows:
        key = (stage, combination)
        if key not in found:
            found[key] = Cell(*labels(key), [key])
        found[key].days[day] += persons
        found[key].cost += cost
    return list(found.values())


class Merged(NamedTuple):
    """The cells that are sent, sorted by scope and label, and what became of the others.

    ``small`` are the cells that were too small, ``dropped`` counts per scope those of them that no remainder holds.
    """

    cells: list[Cell]
    small: list[Cell]
    dropped: dict[str, int]


def merge_cells(cells: Sequence[Cell], least: int) -> Merged:
    """Part the cells into those with at least ``least`` persons and smaller ones.

    Two or more smaller cells of a scope that have ``least`` persons together become its remainder, which comes last
    in the scope. Other small cells are dropped.
    """
    kept = [cell for cell in cells if cell.persons >= least]
    small: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.persons < least:
            small[cell.scope].append(cell)
    dropped: dict[str, int] = {}
    for scope, members in sorted(small.items()):
        remainder = Cell(None, scope, [key for cell in members for key in cell.keys])
        for cell in members:
            remainder.days.update(cell.days)
            remainder.cost += cell.cost
        if len(members) >= 2 and remainder.persons >= least:
            kept.append(remainder)
        else:
            dropped[scope] = len(members)
    return Merged(
        sorted(kept, key=_place), sorted((c for each in small.values() for c in each), key=_place), dropped
    )


def _place(cell: Cell) -> tuple[str, bool, tuple[str, ...]]:
    return cell.scope, cell.label is None, cell.label or ()


def merge_days(sizes: Mapping[int, int], least: int) -> dict[int, int]:
    """Return the nominal day of each day: the latest of the neighbours that are merged with it.

    ``sizes`` are persons by day. Days are taken in order until they have ``least`` persons together; a rest joins
    the unit before it.
    """
    merged: list[list[int]] = []
    waiting: list[int] = []
    persons = 0
    for day in sorted(sizes):
        waiting.append(day)
        persons += sizes[day]
        if persons >= least:
            merged.append(waiting)
            waiting, persons = [], 0
    if merged:
        merged[-1] += waiting
    else:
        merged.append(waiting)
    return {day: unit[-1] for unit in merged for day in unit}


@dataclass(frozen=True, slots=True)
class Plan:
    """The units in order, the first of their days, where everybody goes, and persons by days that they were moved."""

    units: tuple[Unit, ...]
    first_day: int
    places: tuple[Place, ...]
    moved: Mapping[int, int]


def plan_units(cells: Sequence[Cell], least: int) -> Plan:
    """Return the units of ``cells`` (at least one), each with ``least`` persons as far as the cell has them."""
    merged = [merge_days(cell.days, least) for cell in cells]
    first_day = min(min(nominal.values()) for nominal in merged)
    units: list[Unit] = []
    places: list[Place] = []
    moved: Counter[int] = Counter()
    for number, (cell, nominal) in enumerate(zip(cells, merged, strict=True)):
        sizes: Counter[int] = Counter()
        for day, persons in cell.days.items():
            sizes[nominal[day]] += persons
            moved[nominal[day] - day] += persons
        unit_of = {day: len(units) + place for place, day in enumerate(sorted(sizes))}
        units += [Unit(number, day - first_day, sizes[day]) for day in sorted(sizes)]
        places += [Place(*key, day, unit_of[nominal[day]]) for key in cell.keys for day in cell.days]
    del moved[0]
    return Plan(tuple(units), first_day, tuple(places), dict(sorted(moved.items())))
