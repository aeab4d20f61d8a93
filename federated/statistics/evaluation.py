"""A campaign evaluated in the order that keeps it honest: sizes of the arms first, then lift, then money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from federated.statistics.effects import (
    MINIMUM_CONVERSIONS,
    cost_per_incremental,
    enough_conversions,
    incremental,
    return_on_spend,
)
from federated.statistics.estimates import (
    DEFAULT_CONFIDENCE,
    Estimate,
    Lift,
    MeanArm,
    Note,
    RateArm,
    merge,
)
from federated.statistics.means import lift_of_means
from federated.statistics.rates import lift_of_rates
from federated.statistics.sample_ratio import DEFAULT_ALPHA, SampleRatio, sample_ratio


@dataclass(frozen=True, slots=True)
class ValueEvaluation:
    """A value column: its lift per assigned person, the total it added, and that per unit of cost.

    ``added`` is in the unit of the column; ``return_on_spend`` is ``None`` where no cost was given.
    """

    lift: Lift
    added: Estimate
    return_on_spend: Estimate | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All figures of a campaign; ``notes`` apply to every one of them.

    ``sample_ratio`` is ``None`` where no planned shares were given. ``added`` counts converters;
    ``cost_per_converter`` is in the unit of the cost, ``None`` where none was given.
    """

    sample_ratio: SampleRatio | None
    enough_conversions: bool
    rates: Lift
    added: Estimate
    cost_per_converter: Estimate | None
    values: Mapping[str, ValueEvaluation]
    notes: tuple[Note, ...]


def evaluate(
    control: RateArm,
    test: RateArm,
    *,
    shares: tuple[float, float] | None,
    values: Mapping[str, tuple[MeanArm, MeanArm]] | None = None,
    cost: float | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
    minimum_conversions: int = MINIMUM_CONVERSIONS,
    ratio_alpha: float = DEFAULT_ALPHA,
) -> Evaluation:
    """Evaluate ``test`` against ``control``, everybody as assigned.

    ``shares`` are the planned shares of control and test (9 and 1 will do), ``None`` if there was no plan.
    ``values`` maps a value column to its (control, test) sums; ``cost`` is what the test arm cost, in the
    unit of those columns that are amounts. A mismatch of the arms' sizes or too few conversions hides
    nothing here; the note stands on the evaluation and on every lift in it. Raises ``UsageError`` for
    figures or settings without meaning.
    """
    notes: list[Note] = []
    ratio = None
    if shares is None:
        notes.append(Note.SAMPLE_RATIO_UNCHECKED)
    else:
        noise = (control.persons_noise, test.persons_noise)
        persons = (control.persons, test.persons)
        ratio = sample_ratio(persons, shares, noise=noise if any(noise) else None, alpha=ratio_alpha)
        if not ratio.passed:
            notes.append(Note.SAMPLE_RATIO_MISMATCH)
    enough = enough_conversions(control.converters, test.converters, minimum=minimum_conversions)
    if not enough:
        notes.append(Note.TOO_FEW_CONVERSIONS)

    rates = _noted(lift_of_rates(control, test, confidence=confidence), notes)
    added = incremental(rates.absolute, test.persons)
    columns = {}
    for name, (of_control, of_test) in (values or {}).items():
        lift = _noted(lift_of_means(of_control, of_test, confidence=confidence), notes)
        total = incremental(lift.absolute, of_test.persons)
        columns[name] = ValueEvaluation(lift, total, None if cost is None else return_on_spend(total, cost))
    return Evaluation(
        sample_ratio=ratio,
        enough_conversions=enough,
        rates=rates,
        added=added,
        cost_per_converter=None if cost is None else cost_per_incremental(cost, added),
        values=columns,
        notes=tuple(notes),
    )


def _noted(lift: Lift, notes: list[Note]) -> Lift:
    return replace(lift, notes=merge(notes, lift.notes))
