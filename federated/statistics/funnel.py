"""Step rates of a funnel: how many of those who reached one stage reached the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from federated.statistics.estimates import (
    DEFAULT_CONFIDENCE,
    Estimate,
    Note,
    check_figures,
    check_noise,
    undefined,
)
from federated.statistics.rates import rate
from psi.errors import UsageError


@dataclass(frozen=True, slots=True)
class Stage:
    """Persons who reached a stage; ``None`` if policy withheld the count. ``noise`` is its variance (persons²)."""

    name: str
    persons: int | None
    noise: float = 0.0

    def __post_init__(self) -> None:
        check_figures(self.persons or 0)
        check_noise(self.noise)


@dataclass(frozen=True, slots=True)
class Step:
    """A stage with the shares of the stage before and of the first stage that reached it.

    Both are ``None`` at the first stage.
    """

    stage: Stage
    of_previous: Estimate | None
    of_first: Estimate | None


def funnel(stages: Sequence[Stage], *, confidence: float = DEFAULT_CONFIDENCE) -> tuple[Step, ...]:
    """Return one step per stage, with Wilson's intervals.

    Stages are in order and nested: whoever reached one has reached all before it. Raises ``UsageError`` when a
    stage without noise holds more persons than one before it.
    """
    steps = []
    for index, stage in enumerate(stages):
        if index == 0:
            steps.append(Step(stage, None, None))
            continue
        previous = _share(stages[index - 1], stage, confidence)
        steps.append(Step(stage, previous, _share(stages[0], stage, confidence)))
    return tuple(steps)


def _share(base: Stage, stage: Stage, confidence: float) -> Estimate:
    if base.persons is None or stage.persons is None:
        return undefined(Note.WITHHELD)
    if base.noise == stage.noise == 0.0 and stage.persons > base.persons:
        raise UsageError(
            f"Stage {stage.name!r} holds more persons than stage {base.name!r} before it.",
            hint="count a person at every stage up to the highest one reached.",
        )
    return rate(
        stage.persons,
        base.persons,
        converters_noise=stage.noise,
        persons_noise=base.noise,
        confidence=confidence,
    )
