"""What a lift means in numbers and money: incremental figures, cost per conversion, return on spend.

All are the absolute lift of `rates` or `means` multiplied or divided by known numbers, so that its interval,
privacy noise included, is carried through.
"""

from __future__ import annotations

import math
from typing import Final

from federated.statistics.estimates import Estimate, Note, check_figures, merge, undefined
from psi.errors import UsageError

# One large platform shows no lift below this: figures on fewer conversions say more about chance.
MINIMUM_CONVERSIONS: Final = 100


def enough_conversions(control: int, test: int, *, minimum: int = MINIMUM_CONVERSIONS) -> bool:
    """Tell whether both arms together hold ``minimum`` conversions.

    The sum counts, because the intervals of rates hold even for a control arm with a handful of conversions.
    For means of skewed amounts ``Note.FEW_LARGE_AMOUNTS`` is the stricter sign.
    """
    check_figures(control, test)
    return control + test >= minimum


def incremental(absolute: Estimate, test_persons: int) -> Estimate:
    """Return what the campaign added: absolute lift per person x persons of the test arm.

    The unit is the lift's: converters for rates, conversions or amounts (such as cents) for means. Noise on
    the number of persons needs no further width: the interval of ``absolute`` holds it.
    """
    check_figures(test_persons)
    if test_persons <= 0:
        return undefined(Note.EMPTY_ARM)
    return _scaled(absolute, float(test_persons))


def return_on_spend(incremental_amount: Estimate, cost: float) -> Estimate:
    """Return the incremental amount per unit of ``cost``, both in the same unit: 1.0 has earned its cost.

    Undefined when nothing was spent. Raises ``UsageError`` for a cost that is negative or no number.
    """
    _check_cost(cost)
    if cost == 0.0:
        return undefined(Note.NO_COST)
    return _scaled(incremental_amount, 1.0 / cost)


def cost_per_incremental(cost: float, incremental_conversions: Estimate) -> Estimate:
    """Return ``cost`` per incremental conversion, in the unit of ``cost``.

    Where the interval of the conversions reaches zero the cost is open above; where even the estimate does,
    it has no value, and ``low`` still says what one conversion cost at the least. Undefined when the
    campaign took conversions away for certain. Raises ``UsageError`` for a cost that is negative or no number.
    """
    _check_cost(cost)
    added, fewest, most = (
        incremental_conversions.value,
        incremental_conversions.low,
        incremental_conversions.high,
    )
    notes = incremental_conversions.notes
    if added is None:
        return undefined(*notes)
    cheapest = _quotient(cost, most)
    if added <= 0.0:
        return Estimate(None, cheapest, None, merge(notes, [Note.NO_EFFECT]))
    value, dearest = _quotient(cost, added), _quotient(cost, fewest)
    if dearest is None and fewest is not None:
        notes = merge(notes, [Note.INCLUDES_ZERO])
    return Estimate(value, cheapest, dearest, notes)


def _check_cost(cost: float) -> None:
    if not (math.isfinite(cost) and cost >= 0.0):
        raise UsageError("cost must be a number >= 0.", hint="give what was spent on the test arm.")


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    """Return ``estimate`` times ``factor`` > 0."""
    value, low, high = (
        None if part is None else part * factor for part in (estimate.value, estimate.low, estimate.high)
    )
    return Estimate(value, low, high, estimate.notes)


def _quotient(cost: float, conversions: float | None) -> float | None:
    """Return ``cost`` / ``conversions``, or ``None`` where that is not a positive finite price."""
    if conversions is None or conversions <= 0.0:
        return None
    quotient = cost / conversions
    return quotient if math.isfinite(quotient) else None
