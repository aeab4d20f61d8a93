"""Policy: each release behind its decision, each decision under the contract's thresholds and behind a cosignature.

SPEC 11.5. A side decides before it sends points, tokens, sums, openings or the table, and before it shows the
result; the partner cosigns a checkpoint that holds the decision before the release happens. Budgets and thresholds
are recomputed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from audit.contracts import Contract, Thresholds
from audit.reading import Reading
from audit.report import Check, Checking
from audit.steps import Step

_NAMES: Final = ("policies", "decisions", "gate", "results", "budget", "thresholds")
_HOUR: Final = 3_600_000
# Runs count from the moment they were spent, which is a little before their entry.
_SLACK: Final = 60_000


def check(reading: Reading, policy: Mapping[str, Any] | None) -> list[Check]:
    """Check one reading; contracts and budgets are also held to ``policy``, a parsed policy file, if given."""
    checks = {name: Checking(name, reading.label) for name in _NAMES}
    if not reading.whole:
        return [each.skip("not_whole").done() for each in checks.values()]
    _policies(reading, checks["policies"])
    for job, steps in reading.jobs.items():
        contract = reading.contract_of(job)
        if contract is None:
            continue  # audit.approvals names it where one is missing
        _Job(reading, job, steps, contract).check(checks, policy)
    if reading.rehearsal:
        checks["budget"].skip("rehearsal")
    else:
        _budget(reading, checks["budget"], policy)
    if reading.commits and not reading.details:
        checks["thresholds"].skip("sealed")
    return [each.done() for each in checks.values()]


# A fact of ``policy_set`` and where an attached policy has it: section and key.
_SET: Final[Mapping[str, tuple[str, str]]] = {
    **{key: ("limits", key) for key in ("min_group", "min_converters", "dominance", "max_set", "epsilon")},
    **{f"budget_{key}": ("budget", key) for key in ("runs", "hours", "epsilon")},
    "result_days": ("lifetime", "result_days"),
    "unwitnessed": ("audit", "unwitnessed"),
}


def _policies(reading: Reading, check: Checking) -> None:
    """The policy that entries name is the one that was set last, and is attached and says the same."""
    if reading.header.pack is None:
        _changes(reading, check)
    for step in reading.others:
        if step.type != "policy_set" or (told := reading.effective.get(step["digest"].hex())) is None:
            continue
        for fact, (section, key) in _SET.items():
            part = told.get(section)
            if not isinstance(part, dict) or part.get(key) != step[fact]:
                check.fail("policy_facts", reading.entry(step.sequence), setting=fact)
    named = {digest for _, digest in reading.policies if digest is not None}
    for sequence, digest in reading.policies:
        if digest is not None and digest not in reading.effective and digest in named:
            check.fail("policy_missing", reading.entry(sequence))
            named.discard(digest)
    check.counts["policies"] = len({digest for _, digest in reading.policies if digest is not None})


def _changes(reading: Reading, check: Checking) -> None:
    """A policy changes where it is set, and nowhere else."""
    sets = {step.sequence: step["digest"].hex() for step in reading.others if step.type == "policy_set"}
    for sequence, digest in reading.policies:
        if sequence in sets:
            if sets[sequence] != digest:
                check.fail("policy_named", reading.entry(sequence))
        elif digest is not None or sequence != 0:
            check.fail("policy_unset", reading.entry(sequence))


class _Job:
    """The checks on one job of one log."""

    def __init__(self, reading: Reading, job: str, steps: Sequence[Step], contract: Contract) -> None:
        self._reading = reading
        self._job = job
        self._steps = steps
        self._contract = contract
        self._partner = reading.partner_of(contract)
        # (session, release) -> the decision that allowed it
        self._allowed: dict[tuple[str, str], Step] = {}

    def check(self, checks: Mapping[str, Checking], policy: Mapping[str, Any] | None) -> None:
        """Walk over the job once, in order."""
        shown = False
        for step in self._steps:
            match step.type:
                case "job_propose" | "job_accept" if self._is_own(step):
                    self._signed_under(step, checks["policies"], policy)
                case "decision":
                    self._decided(step, checks["decisions"], checks["thresholds"])
                case "stream" if step["from"] == self._reading.role:
                    self._sent(step, checks["decisions"], checks["gate"])
                case "result_released":
                    shown = True
                    self._shown(step, checks["results"])
                case "result_closed":
                    checks["results"].counts["closed"] += 1
        finished = any(step.type == "job_finish" for step in self._steps)
        if finished and not shown:
            checks["results"].counts["not_shown"] += 1

    def _place(self, step: Step) -> Any:
        return self._reading.entry(step.sequence, self._job)

    def _is_own(self, step: Step) -> bool:
        return (step.type == "job_propose") == (self._reading.role == "bank")

    def _signed_under(self, step: Step, check: Checking, policy: Mapping[str, Any] | None) -> None:
        """Hold the contract to the own policy that was in force when this party signed it, and to the given one."""
        own = self._reading.policy_at(step.sequence)
        limits = self._contract.thresholds
        bounds: list[tuple[str, Any]] = []
        if own is not None:
            bounds += [
                (key, own[key]) for key in ("min_group", "max_set", "min_converters", "dominance", "epsilon")
            ]
        if policy is not None:
            bounds += [(key, value) for key, value in policy.get("limits", {}).items()]
        for key, bound in bounds:
            if not _holds(key, bound, limits):
                check.fail("looser", self._place(step), setting=key)
        check.counts["contracts"] += 1

    def _decided(self, step: Step, check: Checking, thresholds: Checking) -> None:
        limits = self._contract.thresholds
        epsilon = None if step["epsilon"] is None else Fraction(step["epsilon"])
        said = (step["min_group"], step["min_converters"], step["dominance"], epsilon)
        if said != (limits.min_group, limits.min_converters, limits.dominance, limits.epsilon):
            check.fail("other_thresholds", self._place(step))
        check.counts["decisions"] += 1
        if step["outcome"] == "refuse":
            check.counts["refused"] += 1
            return
        key = (step["session"], step["release"])
        if key in self._allowed:
            check.fail("decided_twice", self._place(step), release=step["release"])
        else:
            self._allowed[key] = step
        details = self._reading.details.get(step.sequence)
        if details is not None:
            thresholds.counts["opened"] += 1
            for fault in recompute(self._contract, details):
                thresholds.fail(fault, self._place(step))

    def _sent(self, step: Step, decisions: Checking, gate: Checking) -> None:
        flow = self._contract.flows.get(step["name"])
        if flow is None or flow.release is None:
            return
        decision = self._allowed.get((step["session"], flow.release))
        if decision is None:
            decisions.fail("no_decision", self._place(step), name=step["name"], release=flow.release)
        elif not self._reading.cosigned_between(self._partner, decision.sequence, step.sequence):
            gate.fail("not_cosigned_before", self._place(step), name=step["name"], decision=decision.sequence)
        else:
            gate.counts["releases"] += 1

    def _shown(self, step: Step, check: Checking) -> None:
        decision = self._allowed.get((step["session"], "result"))
        readers = {"bank": ("bank",), "platform": ("platform",), "none": ()}.get(
            step["to"], ("bank", "platform")
        )
        if not set(readers) <= set(self._contract.readers()):
            check.fail("wrong_reader", self._place(step))
        if decision is None:
            check.fail("no_decision", self._place(step), name="result", release="result")
        elif self._reading.cosigned_between(self._partner, decision.sequence, step.sequence):
            check.counts["released"] += 1
        elif self._open(step):
            check.counts["unwitnessed"] += 1
        else:
            check.fail("not_cosigned_before", self._place(step), name="result", decision=decision.sequence)

    def _open(self, step: Step) -> bool:
        """Return whether the party's policy shows a result that the partner did not cosign, and it said so."""
        own = self._reading.policy_at(step.sequence)
        refused = any(
            each.type == "cosign_refused" and each.sequence < step.sequence for each in self._reading.others
        )
        return own is not None and own["unwitnessed"] == "open" and refused


def _holds(key: str, bound: Any, limits: Thresholds) -> bool:
    """Return whether the contract's parameter is as strict as ``bound``; other settings are not about contracts."""
    if key == "epsilon":
        # Matches have no noise; a grouped sum needs some where the policy names a limit.
        if bound is None or limits.min_converters is None:
            return True
        return limits.epsilon is not None and limits.epsilon <= Fraction(bound)
    told = {
        "min_group": limits.min_group,
        "max_set": limits.max_set,
        "min_converters": limits.min_converters,
        "dominance": limits.dominance,
    }.get(key)
    if told is None:
        return True
    return told <= int(bound) if key == "max_set" else told >= int(bound)


def recompute(contract: Contract, details: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with an opened decision: codes of ``sentences.PROBLEMS``.

    The details of a decision are those that SPEC 8.3 names: both sides' persons, and for grouped sums per place the
    counts, the noise and whether it passes (federated/SPEC.md 12.3 and 14.1).
    """
    limits = contract.thresholds
    sizes = [
        details[key]
        for key in ("own_persons", "peer_persons", "value_persons", "group_persons")
        if key in details
    ]
    if len(sizes) != 2 or any(type(size) is not int for size in sizes):
        yield "details_form"
        return
    if any(not limits.min_group <= size <= limits.max_set for size in sizes):
        yield "size_out_of_range"
    places = details.get("places", [])
    if type(places) is not list:
        yield "details_form"
        return
    for place in places:
        passes = _passes(contract, place)
        if passes is None:
            yield "details_form"
            return
        if bool(place["passes"]) != passes:
            yield "threshold"
            return


def _passes(contract: Contract, place: Any) -> bool | None:
    """Return whether a place passes by its counts; ``None`` for what is not a place."""
    limits = contract.thresholds
    if type(place) is not dict or any(type(value) is not int for value in place.values()):
        return None
    if not {"persons", "matched", "passes"} <= place.keys() or limits.min_converters is None:
        return None
    persons, matched = place["persons"], place["matched"]
    if persons < limits.min_group:
        return False
    if "converters" not in place:
        # The group holder's own rule: with noise the value holder decides on the rest.
        if limits.epsilon is not None:
            return True
        return bool(matched >= (limits.min_group if contract.customers else limits.min_converters))
    if not {"noise_on_matched", "noise_on_converters"} <= place.keys():
        return None
    if limits.epsilon is None and (place["noise_on_matched"] or place["noise_on_converters"]):
        return None
    matched += place["noise_on_matched"]
    converters = place["converters"] + place["noise_on_converters"]
    if contract.customers and matched < limits.min_group:
        return False
    return contract.tagged or bool(converters >= limits.min_converters)


def _budget(reading: Reading, check: Checking, policy: Mapping[str, Any] | None) -> None:
    """Every session that sent points has a run that was spent for it, and no run is over its limits."""
    limit = None if policy is None else policy.get("budget", {}).get("runs")
    spent: dict[tuple[str, str], _Ledger] = {}
    runs = []
    for job, steps in reading.jobs.items():
        left, sessions = 0, set()
        for step in steps:
            if step.type == "budget_spent":
                left += 1
                runs.append((step.sequence, job, step))
            elif (
                step.type == "decision"
                and (step["release"], step["outcome"]) == ("points", "allow")
                and step["session"] not in sessions
            ):
                sessions.add(step["session"])
                if left == 0:
                    check.fail("not_spent", reading.entry(step.sequence, job))
                left = 0
    for sequence, job, step in sorted(runs, key=lambda run: run[0]):
        ledger = spent.setdefault((step["dataset"], step["partner"]), _Ledger())
        ledger.add(step)
        check.counts["runs"] += 1
        if step["runs"] > step["limit"] or (limit is not None and step["limit"] > limit):
            check.fail("over_budget", reading.entry(sequence, job))
        elif Fraction(step["epsilon_spent"]) > Fraction(step["epsilon_limit"]):
            check.fail("over_epsilon", reading.entry(sequence, job))
        elif not ledger.holds(step):
            check.fail("miscounted", reading.entry(sequence, job))
        else:
            _as_policy(reading, step, check)


class _Ledger:
    """The runs of one dataset with one partner, as the entries have them, in order."""

    def __init__(self) -> None:
        self._times: list[int] = []
        # Epsilons of all runs before each, and of all.
        self._sums = [Fraction(0)]

    def add(self, step: Step) -> None:
        """Add the next run."""
        self._times.append(step.time)
        self._sums.append(self._sums[-1] + Fraction(step["epsilon"] or 0))

    def holds(self, step: Step) -> bool:
        """Return whether ``step``, the last run, says that no less was spent than the runs of its period add up to.

        It may be more: runs that are reserved count, and so do those from before the log began.
        """
        first = bisect_left(self._times, step.time - step["hours"] * _HOUR + _SLACK)
        runs, epsilon = len(self._times) - first, self._sums[-1] - self._sums[first]
        return runs <= step["runs"] and epsilon <= Fraction(step["epsilon_spent"])


def _as_policy(reading: Reading, step: Step, check: Checking) -> None:
    """The limits that a run was held to are those of the policy in force."""
    own = reading.policy_at(step.sequence)
    if own is None:
        return
    limits = (own["budget_runs"], own["budget_hours"], Fraction(own["budget_epsilon"]))
    if (step["limit"], step["hours"], Fraction(step["epsilon_limit"])) != limits:
        check.fail("other_budget", reading.entry(step.sequence))
