"""The figures of a grouped sum as one side may read them: a role's result as the tables of result.json.

Counts are whole numbers, amounts exact decimals as text, estimates from `federated.statistics`. A figure that was
withheld is ``None`` with a reason, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from federated.ports import Tag
from federated.results import BELOW_MIN_CONVERTERS, BELOW_MIN_GROUP, CellResult, ScopeTotal, SumResult
from federated.statistics import rate as share
from federated.terms import (
    CONVERSIONS,
    CONVERTERS,
    MATCHED,
    RETAINED,
    square_field,
    stage_field,
    sum_field,
    tag_field,
)
from party.effects import (
    ALL_WITHHELD,
    cost_text,
    decimal_text,
    estimate,
    funnel_entries,
    lift_and_evaluation,
    mean_of,
    rate_of,
)
from party.jobspec import SIDES, Job, JobKind, SumSpec, ValueSpec

NOT_TOLD: Final = "not_told_by_contract"
# Figures outside the groups that cover the released ones only.
PARTLY: Final = "not all groups"
# How an empty cell of a group column is shown.
NO_LABEL: Final = "(none)"


class Facts(Protocol):
    """What a preparation tells of its own rows."""

    @property
    def clipped(self) -> int:
        """Values that were cut to the contract's bounds, and outcome rows beyond the most that count."""


def figures(
    job: Job,
    side: str,
    result: SumResult,
    *,
    sizes: Mapping[str, int],
    tags: Sequence[Tag],
    facts: Facts,
) -> dict[str, Any]:
    """Return what ``side`` learned: ``totals``, ``groups`` and the rest of its result.json, and no more.

    ``sizes`` are the persons of each side, ``tags`` those of a profile in slot order, ``facts`` of this side's own
    rows. Groups whose label the side was not told are counted in ``suppressed_by`` and not listed. Raises
    ``UsageError`` for figures that cannot be.
    """
    spec = job.sums
    if spec is None:
        raise ValueError("only grouped sums have such figures")
    table = _Table(job, spec, side == spec.group_holder, result, tags)
    groups = list(table.groups())
    told: dict[str, Any] = {
        "totals": {f"{name}_persons": sizes[name] for name in SIDES} | table.total(),
        "groups": groups,
    }
    if job.kind is JobKind.LIFT:
        told |= table.lift()
    if job.kind is JobKind.FUNNEL:
        told["funnel"] = funnel_entries(
            job,
            spec,
            groups,
            table.deviations,
            untold=not table.knows_all_groups,
        )
    rules = {rule: count for rule, count in result.withheld.items() if count}
    told |= {"suppressed_groups": sum(rules.values()), "suppressed_by": rules, "withheld": table.withheld}
    if spec.epsilon is not None and result.readable:
        told["noise"] = {"epsilon": float(spec.epsilon), "standard_deviation": table.told_deviations()}
    if spec.window is not None and (result.readable or table.owns_groups):
        moved = dict(sorted(result.moved))
        told["moved"] = {
            "persons": sum(moved.values()),
            "days": {str(days): persons for days, persons in moved.items()},
        }
    if facts.clipped:
        told["clipped"] = {side: facts.clipped}
    return told


class _Table:
    """One side's view of one result; ``withheld`` fills up while the parts are made."""

    def __init__(
        self, job: Job, spec: SumSpec, owns_groups: bool, result: SumResult, tags: Sequence[Tag]
    ) -> None:
        self._job = job
        self._spec = spec
        self.owns_groups = owns_groups
        self._result = result
        self._tags = tags
        self._values = job.side(spec.value_holder).values
        self._stages = job.side(spec.value_holder).stages if job.kind is JobKind.FUNNEL else ()
        self._retains = spec.window is not None and spec.window.retention_days is not None
        self.deviations = {name: math.sqrt(variance) for name, variance in result.noise.items()}
        self.withheld: list[dict[str, Any]] = []

    # -- groups

    def groups(self) -> Iterator[dict[str, Any]]:
        """Yield one row per group with a label, in the order that people read; in a profile one per group and tag."""
        labelled = [(cell, cell.label) for cell in self._result.cells if cell.label is not None]
        for cell, label in sorted(labelled, key=lambda each: self._order(each[1])):
            parts = zip(self._job.label_columns, label, strict=True)
            group = {column: text or NO_LABEL for column, text in parts}
            if self._job.kind is JobKind.PROFILE:
                yield from self._profile_rows(group, cell)
            else:
                yield self._row(group, cell)

    def _order(self, label: tuple[str, ...]) -> list[tuple[int, float, str]]:
        """Return the sort key of a group: stages as they follow each other, control first, numbers by their size."""
        stages = self._job.side(self._spec.group_holder).stages if self._job.kind is JobKind.FUNNEL else ()
        arms = self._spec.arms
        keys = []
        for place, (column, text) in enumerate(zip(self._job.label_columns, label, strict=True)):
            rank = 1
            if stages and place == 0:
                rank = stages.index(text) if text in stages else -1
            elif arms is not None and column == arms.column and text == arms.control:
                rank = 0
            number = float(text) if text.isascii() and text.isdigit() else math.inf
            keys.append((rank, number, text))
        return keys

    def _row(self, group: dict[str, str], cell: CellResult) -> dict[str, Any]:
        told = cell.figures if cell.figures is not None else {}
        row = {"group": group, "persons": cell.persons, **self._counts(told)}
        if cell.cost is not None:
            row["cost"] = cost_text(cell.cost)
        row |= self._estimates(told, cell.persons, sums=1)
        if cell.figures is None:
            row["withheld"] = cell.withheld or NOT_TOLD
        else:
            self._note_hidden(told, "", {"group": group})
        return row

    def _profile_rows(self, group: dict[str, str], cell: CellResult) -> Iterator[dict[str, Any]]:
        if cell.figures is None:
            reason = cell.withheld or NOT_TOLD
            yield {"group": group, "persons": cell.persons, "matched": None, "withheld": reason}
            return
        matched = cell.figures[MATCHED]
        for number, tag in enumerate(self._tags):
            name = tag_field(number)
            count = cell.figures.get(name)
            # A tag column and a group column may have one name: they are of different files.
            column = f"{self._spec.value_holder}_{tag.column}" if tag.column in group else tag.column
            row = {"group": group | {column: tag.value}, "persons": cell.persons, "matched": count}
            if count is None:
                row["withheld"] = BELOW_MIN_GROUP
            else:
                noise = self._result.noise
                row["share"] = estimate(
                    share(
                        count,
                        matched,
                        converters_noise=noise.get(name, 0.0),
                        persons_noise=noise.get(MATCHED, 0.0),
                    )
                )
            yield row

    def _counts(self, told: Mapping[str, int]) -> dict[str, Any]:
        counts: dict[str, Any] = {name: told.get(name) for name in (MATCHED, CONVERTERS, CONVERSIONS)}
        counts["sums"] = {value.column: _amount(told, value) for value in self._values}
        if self._stages:
            counts["stages"] = {stage: told.get(stage_field(stage)) for stage in self._stages}
        if self._retains:
            counts["retained"] = told.get(RETAINED)
        return counts

    def _count_fields(self) -> tuple[str, ...]:
        sums = (sum_field(value.column) for value in self._values)
        retained = (RETAINED,) if self._retains else ()
        return (CONVERTERS, CONVERSIONS, *map(stage_field, self._stages), *retained, *sums)

    def _note_hidden(self, told: Mapping[str, int], prefix: str, where: Mapping[str, Any]) -> None:
        """Note what is withheld of figures that are released."""
        self.withheld += [
            {"figure": prefix + _shown(name), **where, "reason": BELOW_MIN_CONVERTERS}
            for name in self._count_fields()
            if name not in told
        ]

    def _estimates(self, told: Mapping[str, int], persons: int, sums: int) -> dict[str, Any]:
        def variance(name: str) -> float:
            return sums * self._result.noise.get(name, 0.0)

        estimates: dict[str, Any] = {"rate": rate_of(told, persons, variance(CONVERTERS))}
        if self._values:
            estimates["mean"] = {
                value.column: mean_of(told, persons, value, variance) for value in self._values
            }
        return estimates

    # -- totals

    def total(self) -> dict[str, Any]:
        """Return the total over all scopes: over all groups if ``complete``, else over the released ones."""
        known = [total for total in self._result.totals if total.figures is not None]
        complete = bool(known) and all(
            total.complete and total.figures is not None for total in self._result.totals
        )
        told: dict[str, int] = {}
        for name in known[0].figures or {} if known else {}:
            parts = [total.figures[name] for total in known if total.figures and name in total.figures]
            # A figure that one total lacks would cover other persons than the rest.
            if len(parts) == len(known):
                told[name] = sum(parts)
        row: dict[str, Any] = {"persons": sum(total.persons for total in known) if known else None}
        if self._job.kind is JobKind.PROFILE:
            row[MATCHED] = told.get(MATCHED)
        else:
            row |= self._counts(told)
            if known and self._job.kind is not JobKind.LIFT:  # a rate over both arms would mean nothing
                row |= self._estimates(told, row["persons"], sum(total.sums for total in known))
        costs = [total.cost for total in known if total.cost is not None]
        if costs:
            row["cost"] = cost_text(sum(costs))
        if not known:
            self.withheld.append(
                {"figure": "totals", "reason": ALL_WITHHELD if self._result.readable else NOT_TOLD}
            )
        elif not complete:
            self.withheld.append({"figure": "totals", "reason": self._main_rule(), "covers": PARTLY})
        if known and self._job.kind is not JobKind.PROFILE:
            self._note_hidden(told, "totals.", {})
        return row | {"complete": complete}

    def lift(self) -> dict[str, Any]:
        """Return ``arms``, ``lift`` and ``evaluation``."""
        control = self._spec.arms.control if self._spec.arms is not None else ""
        totals = sorted(self._result.totals, key=lambda total: (total.scope != control, total.scope))
        arms = []
        for total in totals:
            told = total.figures if total.figures is not None else {}
            persons = total.persons if total.figures is not None else None
            arm: dict[str, Any] = {"arm": total.scope or NO_LABEL, "persons": persons, **self._counts(told)}
            if total.cost is not None and total.figures is not None:
                arm["cost"] = cost_text(total.cost)
            arm |= self._estimates(told, total.persons, total.sums) | {"complete": total.complete}
            if total.figures is None:
                arm["withheld"] = self._main_rule() if self._result.readable else NOT_TOLD
            elif not total.complete:
                self.withheld.append(
                    {"figure": "arm", "arm": arm["arm"], "reason": self._main_rule(), "covers": PARTLY}
                )
            if total.figures is not None:
                self._note_hidden(told, "", {"arm": arm["arm"]})
            arms.append(arm)
        if not self._result.readable:
            self.withheld.append({"figure": "lift", "reason": NOT_TOLD})
            return {"arms": arms, "lift": None, "evaluation": None}
        found, reason = lift_and_evaluation(self._job, self._spec, totals, self._variance)
        if reason is not None:
            self.withheld.append({"figure": "lift", "reason": reason})
        return {"arms": arms, **found}

    def _variance(self, total: ScopeTotal, name: str) -> float:
        return total.sums * self._result.noise.get(name, 0.0)

    # -- what is withheld, and noise

    @property
    def knows_all_groups(self) -> bool:
        """Whether this side was told the label of every group: the group holder's own, or none is withheld."""
        named = sum(cell.withheld is not None for cell in self._result.cells)
        return self.owns_groups or (self._result.readable and named == sum(self._result.withheld.values()))

    def _main_rule(self) -> str:
        """Return the rule that withheld most groups."""
        rules = self._result.withheld
        return max(rules, key=lambda rule: rules[rule]) if any(rules.values()) else BELOW_MIN_GROUP

    def told_deviations(self) -> dict[str, float]:
        """Return the standard deviation of the noise within one group's figures, amounts in the column's unit."""
        scales = {sum_field(value.column): value.scale for value in self._values}
        squares = {square_field(value.column) for value in self._values}
        told = {
            name: deviation / scales.get(name, 1)
            for name, deviation in self.deviations.items()
            if name not in squares
        }
        for number, tag in enumerate(self._tags):
            deviation = told.pop(tag_field(number), None)
            if deviation is not None:
                told[f"tag:{tag.column}"] = deviation
        return told


def _amount(told: Mapping[str, int], value: ValueSpec) -> str | None:
    whole = told.get(sum_field(value.column))
    return None if whole is None else decimal_text(whole, value.scale)


def _shown(name: str) -> str:
    """Return the field ``name`` as result.json names it."""
    return name.replace("stage:", "stages.", 1).replace("sum:", "sums.", 1)
