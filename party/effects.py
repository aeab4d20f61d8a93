"""Lift, money and funnel of a grouped sum: `federated.statistics` over released totals, as parts of result.json.

Estimates become ``{"value", "low", "high"}``, with ``notes`` where there is something to say; the words are those of
:class:`federated.statistics.Note`. Shares are between 0 and 1, amounts in the unit of their column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from federated.results import ScopeTotal
from federated.statistics import (
    Estimate,
    Evaluation,
    Lift,
    MeanArm,
    RateArm,
    Stage,
    evaluate,
    mean,
    rate,
)
from federated.statistics import funnel as steps
from federated.terms import CONVERTERS, square_field, stage_field, sum_field
from party.jobspec import Job, SumSpec, ValueSpec

# An arm's total covers its released groups only, so that the arms are no longer compared as they were assigned.
INCOMPLETE_ARM: Final = "incomplete_arm"
NO_SUCH_ARM: Final = "no_such_arm"
ALL_WITHHELD: Final = "all_withheld"
# One cost unit of `federated.results`, in the unit of the cost column.
COST_SCALE: Final = 10_000

Variance = Callable[[ScopeTotal, str], float]


def estimate(figure: Estimate, scale: int = 1) -> dict[str, Any]:
    """Return ``figure`` as part of a result; ``scale`` is the number of its units in one of the column's."""
    parts = (figure.value, figure.low, figure.high)
    value, low, high = (None if part is None else part / scale for part in parts)
    told: dict[str, Any] = {"value": value, "low": low, "high": high}
    return told | {"notes": [note.value for note in figure.notes]} if figure.notes else told


def rate_of(figures: Mapping[str, int], persons: int, variance: float) -> dict[str, Any] | None:
    """Return the share of ``persons`` who converted, ``None`` where the converters were withheld."""
    converters = figures.get(CONVERTERS)
    return None if converters is None else estimate(rate(converters, persons, converters_noise=variance))


def mean_of(
    figures: Mapping[str, int], persons: int, value: ValueSpec, variance: Callable[[str], float]
) -> dict[str, Any] | None:
    """Return the mean of ``value`` per person, persons without an outcome counting as 0."""
    arm = _mean_arm(figures, persons, value.column, variance)
    return None if arm is None else estimate(mean(arm), value.scale)


def lift_and_evaluation(
    job: Job, spec: SumSpec, totals: Sequence[ScopeTotal], variance: Variance
) -> tuple[dict[str, Any], str | None]:
    """Return ``lift`` and ``evaluation``, and why they are ``None`` if they are.

    All arms that are not control are pooled. Everybody assigned to an arm is in it, reached or not.
    """
    arms = spec.arms
    if arms is None:
        raise ValueError("a lift has arms")
    values = job.side(spec.value_holder).values
    control = [total for total in totals if total.scope == arms.control]
    test = [total for total in totals if total.scope != arms.control]
    nothing = {"lift": None, "evaluation": None}
    if not control or not test:
        return nothing, NO_SUCH_ARM
    of_control, of_test = _rate_arm(control, variance), _rate_arm(test, variance)
    if of_control is None or of_test is None:
        return nothing, ALL_WITHHELD
    complete = all(total.complete for total in totals)
    pairs = {}
    for value in values:
        pair = _pooled_mean(control, value, variance), _pooled_mean(test, value, variance)
        if pair[0] is not None and pair[1] is not None:
            pairs[value.column] = (pair[0], pair[1])
    # The control arm's media, if any, are no price of what the test arm added.
    cost = _pooled_cost(test)
    # Groups that were withheld are missing from the sizes, so the plan no longer tells what to expect.
    planned = arms.control_share if complete else None
    found = evaluate(
        of_control,
        of_test,
        shares=None if planned is None else (planned, 1.0 - planned),
        values=pairs,
        # Refunds may outweigh what was spent; then there is no price.
        cost=None if cost is None or cost < 0 else cost / COST_SCALE,
    )
    extra = () if complete else (INCOMPLETE_ARM,)
    lift: dict[str, Any] = {CONVERTERS: _lift(found.rates, 1, extra)}
    for value in values:
        column = found.values.get(value.column)
        lift[value.column] = None if column is None else _lift(column.lift, value.scale, extra)
    return {"lift": lift, "evaluation": _evaluation(found, values, cost, extra)}, None


def cost_text(cost: int) -> str:
    """Return a cost in 1/10,000 units as a decimal with at least two places."""
    text = decimal_text(cost, COST_SCALE)
    return text[:-2] if text.endswith("00") else text.removesuffix("0")


def decimal_text(whole: int, scale: int) -> str:
    """Return ``whole`` units of 1/``scale``, a power of ten, as an exact decimal."""
    places = len(str(scale)) - 1
    if places == 0:
        return str(whole)
    units, rest = divmod(abs(whole), scale)
    return f"{'-' if whole < 0 else ''}{units}.{rest:0{places}d}"


def funnel_entries(
    job: Job,
    spec: SumSpec,
    groups: Iterable[Mapping[str, Any]],
    deviations: Mapping[str, float],
    *,
    untold: bool,
) -> list[dict[str, Any]]:
    """Return the funnel over ``groups`` (rows of result.json): the group holder's stages, then the value holder's.

    A stage of the group holder counts all its persons who reached it or a later one; ``None`` when ``untold``: there
    are groups whose stage this side does not know. The value holder's stages are counted among those who reached
    the last of these, in released groups only, and the first step across is taken from the persons of the same
    groups. ``complete`` is false where a group is missing from a count. ``deviations`` are the noise's standard
    deviations within one group.
    """
    first = job.label_columns[0]
    own, theirs = job.side(spec.group_holder).stages, job.side(spec.value_holder).stages
    rows = [(str(row["group"][first]), row) for row in groups]
    reached = [
        Stage(stage, None if untold else sum(int(row["persons"]) for at, row in rows if at in own[number:]))
        for number, stage in enumerate(own)
    ]
    entries = [
        _entry(step.stage, spec.group_holder, step.of_previous, step.of_first, complete=not untold)
        for step in steps(reached)
    ]
    last = [row for at, row in rows if at == own[-1]]
    told = [row for row in last if all(row["stages"][stage] is not None for stage in theirs)]
    whole = not untold and len(told) == len(last)
    counted = [
        Stage(
            stage,
            sum(int(row["stages"][stage]) for row in told) if told else None,
            len(told) * deviations.get(stage_field(stage), 0.0) ** 2,
        )
        for stage in theirs
    ]
    base = Stage(own[-1], sum(int(row["persons"]) for row in told))
    across = steps([base, *counted])[1:]
    # Over groups that are missing from one count only, a share of the first stage would be too small.
    start = reached[0] if whole else Stage(own[0], None)
    from_start = steps([start, *counted])[1:]
    for step, long_step in zip(across, from_start, strict=True):
        entries.append(
            _entry(step.stage, spec.value_holder, step.of_previous, long_step.of_first, complete=whole)
        )
    return entries


def _entry(
    stage: Stage, side: str, previous: Estimate | None, first: Estimate | None, *, complete: bool
) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "side": side,
        "persons": stage.persons,
        "of_previous": None if previous is None else estimate(previous),
        "of_first": None if first is None else estimate(first),
        "complete": complete,
    }


def _rate_arm(totals: Sequence[ScopeTotal], variance: Variance) -> RateArm | None:
    """Return the arm that ``totals`` make up together, ``None`` if none of them was released."""
    persons = converters = 0
    noise, released = 0.0, False
    for total in totals:
        if total.figures is None or CONVERTERS not in total.figures:
            continue
        released = True
        persons += total.persons
        converters += total.figures[CONVERTERS]
        noise += variance(total, CONVERTERS)
    return RateArm(persons, converters, converters_noise=noise) if released else None


def _pooled_mean(totals: Sequence[ScopeTotal], value: ValueSpec, variance: Variance) -> MeanArm | None:
    pooled: MeanArm | None = None
    for total in totals:
        if total.figures is None:
            continue
        arm = _mean_arm(total.figures, total.persons, value.column, partial(variance, total))
        if arm is None:
            return None
        pooled = arm if pooled is None else _joined(pooled, arm)
    return pooled


def _joined(one: MeanArm, other: MeanArm) -> MeanArm:
    return MeanArm(
        one.persons + other.persons,
        one.total + other.total,
        one.squares + other.squares,
        total_noise=one.total_noise + other.total_noise,
        squares_noise=one.squares_noise + other.squares_noise,
    )


def _mean_arm(
    figures: Mapping[str, int], persons: int, column: str, variance: Callable[[str], float]
) -> MeanArm | None:
    total, squares = figures.get(sum_field(column)), figures.get(square_field(column))
    if total is None or squares is None:
        return None
    noise = variance(sum_field(column)), variance(square_field(column))
    return MeanArm(persons, total, squares, total_noise=noise[0], squares_noise=noise[1])


def _pooled_cost(totals: Sequence[ScopeTotal]) -> int | None:
    costs = [total.cost for total in totals if total.figures is not None and total.cost is not None]
    return sum(costs) if costs else None


def _lift(lift: Lift, scale: int, extra: Sequence[str]) -> dict[str, Any]:
    control, test, absolute = (estimate(part, scale) for part in (lift.control, lift.test, lift.absolute))
    relative = estimate(lift.relative)
    notes = [*lift.notes, *lift.absolute.notes, *lift.relative.notes]
    return {
        "control": control["value"],
        "test": test["value"],
        "absolute": absolute["value"],
        "relative": relative["value"],
        "low": absolute["low"],
        "high": absolute["high"],
        "relative_low": relative["low"],
        "relative_high": relative["high"],
        "p_value": lift.p_value,
        "notes": list(dict.fromkeys([*extra, *(note.value for note in notes)])),
    }


def _evaluation(
    found: Evaluation, values: Sequence[ValueSpec], cost: int | None, extra: Sequence[str]
) -> dict[str, Any]:
    ratio, price = found.sample_ratio, found.cost_per_converter
    added: dict[str, Any] = {}
    returned: dict[str, Any] = {}
    for value in values:
        column = found.values.get(value.column)
        added[value.column] = None if column is None else estimate(column.added, value.scale)
        if price is not None:
            spend = None if column is None else column.return_on_spend
            returned[value.column] = None if spend is None else estimate(spend, value.scale)
    return {
        "sample_ratio": None
        if ratio is None
        else {
            "passed": ratio.passed,
            "p_value": ratio.p_value,
            "statistic": ratio.statistic,
            "expected": {"control": ratio.expected[0], "test": ratio.expected[1]},
        },
        "enough_conversions": found.enough_conversions,
        "incremental": estimate(found.added),
        "incremental_values": added,
        "cost": None if cost is None else cost_text(cost),
        "cost_per_incremental": None if price is None else estimate(price),
        "return_on_spend": returned,
        "notes": [*extra, *(note.value for note in found.notes)],
    }
