"""The budget of a log: every run that sent points was spent before, and no run is over what the policy gives.

SPEC 11.5. What a run says was spent is held against the log's own earlier runs of the same dataset with the same
partner, as the contracts name both.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from audit.contracts import Contract, other
from audit.reading import Reading
from audit.report import Checking
from audit.steps import Step

_HOUR: Final = 3_600_000
# Runs count from the moment they were spent, which is a little before their entry.
_SLACK: Final = 60_000
# Epsilons are added up as whole multiples of 2^-128, each rounded down: sums of fractions of many denominators grow
# without end.
_SCALE: Final = 1 << 128


def check_budget(reading: Reading, check: Checking, policy: Mapping[str, Any] | None) -> None:
    """Check all runs of a log; ``policy`` is a parsed policy file, whose ``[budget]`` bounds them too."""
    given = {} if policy is None else policy.get("budget", {})
    ledgers: dict[tuple[str, bytes], _Ledger] = {}
    runs = []
    for job, steps in reading.jobs.items():
        _covered(reading, job, steps, check)
        contract = reading.contract_of(job)
        if contract is not None:  # audit.approvals names it where one is missing
            runs += [(step.sequence, job, step, contract) for step in steps if step.type == "budget_spent"]
    for sequence, job, step, contract in sorted(runs, key=lambda run: run[0]):
        partner = contract.identities[other(reading.role)]
        ledger = ledgers.setdefault((contract.datasets[reading.role], partner), _Ledger())
        ledger.add(step)
        check.counts["runs"] += 1
        place = reading.entry(sequence, job)
        if code := _own_fault(reading, step, contract) or _given_fault(step, given):
            check.fail(code, place)
        elif not ledger.holds(step, earlier=False):
            if ledger.holds(step, earlier=True):
                # The party's clock was put back, and its entries wait for it: their times tell no period.
                check.note("clock_still", entry=f"{sequence}")
            else:
                check.fail("miscounted", place)


def _covered(reading: Reading, job: str, steps: Sequence[Step], check: Checking) -> None:
    """Each session of a job that sends points has a run that was spent before."""
    left, sessions = 0, set()
    for step in steps:
        if step.type == "budget_spent":
            left += 1
        elif (
            step.type == "decision"
            and (step["release"], step["outcome"]) == ("points", "allow")
            and step["session"] not in sessions
        ):
            sessions.add(step["session"])
            if left == 0:
                check.fail("not_spent", reading.entry(step.sequence, job))
            left = 0


def _own_fault(reading: Reading, step: Step, contract: Contract) -> str | None:
    """Return the code of what a run contradicts: its contract, its own limits, or the policy in force."""
    epsilon = None if step["epsilon"] is None else Fraction(step["epsilon"])
    if step["dataset"] != contract.datasets[reading.role]:
        return "spent_elsewhere"
    if epsilon != contract.thresholds.epsilon:
        return "other_epsilon"
    if step["runs"] > step["limit"]:
        return "over_budget"
    if Fraction(step["epsilon_spent"]) > Fraction(step["epsilon_limit"]):
        return "over_epsilon"
    own = reading.policy_at(step.sequence)
    if own is None:
        return None
    limits = (own["budget_runs"], own["budget_hours"], Fraction(own["budget_epsilon"]))
    if (step["limit"], step["hours"], Fraction(step["epsilon_limit"])) != limits:
        return "other_budget"
    return None


def _given_fault(step: Step, given: Mapping[str, Any]) -> str | None:
    """Return the code of what the auditor's own limits do not allow."""
    if "runs" in given and step["limit"] > given["runs"]:
        return "over_budget"
    if "epsilon" in given and Fraction(step["epsilon_limit"]) > Fraction(given["epsilon"]):
        return "over_epsilon"
    if "hours" in given and step["hours"] < given["hours"]:
        return "short_period"
    return None


class _Ledger:
    """The runs of one dataset with one partner, as the entries have them, in order."""

    def __init__(self) -> None:
        self._times: list[int] = []
        # Epsilons of all runs before each, and of all.
        self._sums = [0]

    def add(self, step: Step) -> None:
        """Add the next run."""
        epsilon = Fraction(step["epsilon"] or 0)
        self._times.append(step.time)
        self._sums.append(self._sums[-1] + epsilon.numerator * _SCALE // epsilon.denominator)

    def holds(self, step: Step, *, earlier: bool) -> bool:
        """Return whether ``step``, the last run, says that no less was spent than the runs of its period add up to.

        It may be more: runs from before the log began count. With ``earlier`` only runs of an earlier time than its
        own are counted beside it.
        """
        first = bisect_left(self._times, step.time - step["hours"] * _HOUR + _SLACK)
        last = max(first, bisect_left(self._times, step.time)) if earlier else len(self._times) - 1
        runs = last - first + 1
        epsilon = self._sums[last] - self._sums[first] + self._sums[-1] - self._sums[-2]
        return runs <= step["runs"] and Fraction(epsilon, _SCALE) <= Fraction(step["epsilon_spent"])
