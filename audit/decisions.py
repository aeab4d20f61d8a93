"""Policy: each release behind its decision, each decision under the contract's thresholds and behind a cosignature.

SPEC 11.5. A side decides before it sends points, tokens, sums, openings or the table, and before it shows the
result; the partner cosigns a checkpoint that holds the decision before the release happens. Budgets and thresholds
are recomputed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from audit.contracts import MOVES, Contract, Thresholds
from audit.ledger import check_budget
from audit.reading import POLICY_FACTS, Reading
from audit.report import Check, Checking
from audit.steps import Step
from audit.thresholds import recompute

_NAMES: Final = ("clock", "policies", "decisions", "gate", "results", "budget", "thresholds")
_DAY: Final = 86_400_000
# What a party does only under a policy of its own.
_GOVERNED: Final = ("job_propose", "job_accept", "decision", "budget_spent")


def check(reading: Reading, policy: Mapping[str, Any] | None) -> list[Check]:
    """Check one reading; contracts and budgets are also held to ``policy``, a parsed policy file, if given."""
    checks = {name: Checking(name, reading.label) for name in _NAMES}
    if not reading.whole:
        return [each.skip("not_whole").done() for each in checks.values()]
    _clock(reading, checks["clock"])
    _policies(reading, checks["policies"])
    for job, steps in reading.jobs.items():
        contract = reading.contract_of(job)
        if contract is None:
            continue  # audit.approvals names it where one is missing
        _Job(reading, job, steps, contract).check(checks, policy)
    if reading.rehearsal:
        checks["budget"].skip("rehearsal")
    else:
        _governed(reading, checks["policies"])
        check_budget(reading, checks["budget"], policy)
    if reading.commits and not reading.details:
        checks["thresholds"].skip("sealed")
    return [each.done() for each in checks.values()]


def _clock(reading: Reading, check: Checking) -> None:
    """Times of entries agree, within a day, with the partners' clocks, which signed when they saw the log.

    Entries in a cosigned checkpoint are no later than the cosignature, those behind it no earlier.
    """
    steps = sorted(
        (step for each in (reading.others, *reading.jobs.values()) for step in each),
        key=lambda step: step.sequence,
    )
    numbers = [step.sequence for step in steps]
    for signed in reading.checkpoints:
        if not signed.cosigners:
            continue
        check.counts["cosignatures"] += 1
        moment = 1_000 * min(signed.cosigners.values())
        at = bisect_left(numbers, signed.size)
        if at and steps[at - 1].time > moment + _DAY:
            check.fail("clock", reading.entry(steps[at - 1].sequence), size=signed.size)
            return
        if at < len(steps) and steps[at].time < moment - _DAY:
            check.fail("clock", reading.entry(steps[at].sequence), size=signed.size)
            return


def _policies(reading: Reading, check: Checking) -> None:
    """The policy that entries name is the one that was set last, and is attached and says the same."""
    if reading.header.pack is None:
        _changes(reading, check)
    for step in reading.others:
        if step.type != "policy_set" or (told := reading.effective.get(step["digest"].hex())) is None:
            continue
        for fact, (section, key) in POLICY_FACTS.items():
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


def _governed(reading: Reading, check: Checking) -> None:
    """Nothing is signed, decided or spent before the party has set a policy: that is what it is held to."""
    if reading.header.pack is not None:
        return  # a pack has the entries of its job, and each names its policy
    # A restored log begins with what the one before says of jobs that go on: they were signed under a policy there.
    governed = set(_GOVERNED) - ({"job_propose", "job_accept"} if reading.restored else set())
    for job, steps in reading.jobs.items():
        first = next((step for step in steps if step.type in governed), None)
        if first is not None and reading.policy_at(first.sequence) is None:
            check.fail("no_policy", reading.entry(first.sequence, job))


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
        self._streams: dict[str, dict[str, Step]] = {}
        for step in steps:
            if step.type == "stream":
                self._streams.setdefault(step["session"], {}).setdefault(step["name"], step)

    def check(self, checks: Mapping[str, Checking], policy: Mapping[str, Any] | None) -> None:
        """Walk over the job once, in order."""
        shown = moved = False
        for step in self._steps:
            moved = moved or step.type in MOVES
            match step.type:
                case "job_propose" | "job_accept" if step["digest"] != self._contract.hash:
                    if moved:
                        checks["policies"].fail("two_contracts", self._place(step))
                case "job_propose" | "job_accept" if self._is_own(step):
                    self._signed_under(step, checks["policies"], policy)
                case "decision":
                    self._decided(step, checks["decisions"], checks["thresholds"])
                case "stream" if step["from"] == self._reading.role:
                    self._sent(step, checks["decisions"], checks["gate"])
                case "result_released":
                    shown = True
                    self._shown(step, checks["results"], policy)
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
        if step.sequence not in self._reading.commits:
            check.fail("unsealed", self._place(step))
        thresholds.counts["allowed"] += 1
        details = self._reading.details.get(step.sequence)
        if details is not None:
            thresholds.counts["opened"] += 1
            streams = self._streams.get(step["session"], {})
            for fault in recompute(self._contract, self._reading.role, step["release"], streams, details):
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

    def _shown(self, step: Step, check: Checking, policy: Mapping[str, Any] | None) -> None:
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
        elif self._open(step, policy):
            check.counts["unwitnessed"] += 1
        else:
            check.fail("not_cosigned_before", self._place(step), name="result", decision=decision.sequence)

    def _open(self, step: Step, policy: Mapping[str, Any] | None) -> bool:
        """Return whether the policy shows a result that the partner will not cosign, and the partner would not."""
        own = self._reading.policy_at(step.sequence)
        given = None if policy is None else policy.get("audit", {}).get("unwitnessed")
        if own is None or own["unwitnessed"] != "open" or given == "closed":
            return False
        names = {self._reading.partners[log].name for log in self._partner}
        return any(self._reading.refused_by(name, step.sequence) for name in names)


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
