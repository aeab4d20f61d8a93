"""Measurement statistics over released counts, sums and sums of squares: pure functions, no scipy needed.

Start with `evaluate`; the functions below it are open to other recipes. Shares are between 0 and 1, amounts in
the unit of the sums. What cannot be computed is ``None`` with a `Note`, never infinite or NaN. Every function
takes the variance of the privacy noise that is in its figures and widens its interval by it.
"""

from __future__ import annotations

from federated.statistics.effects import (
    MINIMUM_CONVERSIONS,
    cost_per_incremental,
    enough_conversions,
    incremental,
    return_on_spend,
)
from federated.statistics.estimates import DEFAULT_CONFIDENCE, Estimate, Lift, MeanArm, Note, RateArm
from federated.statistics.evaluation import Evaluation, ValueEvaluation, evaluate
from federated.statistics.funnel import Stage, Step, funnel
from federated.statistics.means import lift_of_means, mean
from federated.statistics.power import Plan, minimal_detectable_lift, plan, power
from federated.statistics.rates import lift_of_rates, rate
from federated.statistics.sample_ratio import SampleRatio, sample_ratio

__all__ = [
    "DEFAULT_CONFIDENCE",
    "MINIMUM_CONVERSIONS",
    "Estimate",
    "Evaluation",
    "Lift",
    "MeanArm",
    "Note",
    "Plan",
    "RateArm",
    "SampleRatio",
    "Stage",
    "Step",
    "ValueEvaluation",
    "cost_per_incremental",
    "enough_conversions",
    "evaluate",
    "funnel",
    "incremental",
    "lift_of_means",
    "lift_of_rates",
    "mean",
    "minimal_detectable_lift",
    "plan",
    "power",
    "rate",
    "return_on_spend",
    "sample_ratio",
]
