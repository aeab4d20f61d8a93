"""Approvals and contracts: who agreed to what, in which order, and on what basis the data was used.

SPEC 11.4. Both signatures under every contract that data moved for; at the bank a second person behind the draft,
at the platform a person or a rule; the consent basis of each dataset; who opened the result.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from audit.contracts import Contract, other, verify_signature
from audit.reading import Reading
from audit.report import Check, Checking
from audit.steps import Step

_NAMES = ("contracts", "approved", "basis", "opened")
# What only happens once both have signed.
_MOVES = ("stream", "decision", "budget_spent", "dataset_used", "result_released")
_OVER = ("job_cancel", "job_expire", "job_refuse")
_SCHEDULE = "schedule:"
_RULE = "rule:"
# Steps of a schedule behind which no job is approved in its name. Its end is no such step: the last job is approved
# in the moment in which it ends.
_STOPS = ("pause", "remove", "refuse")
_MINUTE = 60_000


def check(reading: Reading, policy: Mapping[str, Any] | None) -> list[Check]:
    """Check one reading; ``policy`` is a parsed policy file, whose ``[audit] basis = "required"`` asks for one."""
    checks = [Checking(name, reading.label) for name in _NAMES]
    if not reading.whole:
        return [each.skip("not_whole").done() for each in checks]
    contracts, approved, basis, opened = checks
    required = policy is not None and policy.get("audit", {}).get("basis") == "required"
    for job, steps in reading.jobs.items():
        moved = next((step for step in steps if step.type in _MOVES), None)
        signed = _signed(reading, job, steps, contracts)
        if moved is not None:
            _before(reading, job, steps, moved, contracts)
            _in_force(reading, job, steps, contracts)
        if reading.rehearsal:
            approved.skip("rehearsal")
        elif reading.role == "bank":
            _four_eyes(reading, job, steps, approved)
        else:
            _accepted(reading, job, steps, approved)
        contract = reading.contract_of(job)
        if contract is not None and signed:
            _datasets(reading, job, steps, contract, required, basis)
    for sequence, job in reading.opened:
        _opened(reading, sequence, job, opened)
    return [each.done() for each in checks]


def _signed(reading: Reading, job: str, steps: Sequence[Step], check: Checking) -> bool:
    """Check the signatures that the job's entries hold; returns whether each was under a contract that is there."""
    sides = {"job_propose": "bank", "job_accept": "platform"}
    passed = True
    for step in steps:
        side = sides.get(step.type)
        if side is None:
            continue
        contract = reading.contracts.get(step["digest"])
        if contract is None:
            check.fail("no_contract", reading.entry(step.sequence, job))
            passed = False
            continue
        own = bytes.fromhex(reading.header.identity)
        if contract.job != job or contract.identities[reading.role] != own:
            check.fail("foreign_contract", reading.entry(step.sequence, job))
            passed = False
            continue
        if not reading.partner_of(contract) or contract.identities["bank"] == contract.identities["platform"]:
            check.fail("unknown_identity", reading.entry(step.sequence, job), side=other(reading.role))
            passed = False
            continue
        try:
            verify_signature(contract.identities[side], contract.hash, side, step["signature"])
        except ValueError:
            check.fail("signature", reading.entry(step.sequence, job), side=side)
            passed = False
            continue
        check.counts["signatures"] += 1
    if passed and any(step.type == "job_accept" for step in steps):
        check.counts["contracts"] += 1
    return passed


def _before(reading: Reading, job: str, steps: Sequence[Step], moved: Step, check: Checking) -> None:
    """Nothing moves before both signed one and the same contract."""
    signed: dict[str, Any] = {}
    for step in steps:
        if step.sequence > moved.sequence:
            break
        if step.type in ("job_propose", "job_accept"):
            signed[step.type] = step["digest"]
    if set(signed) != {"job_propose", "job_accept"}:
        check.fail("unsigned", reading.entry(moved.sequence, job))
    elif signed["job_propose"] != signed["job_accept"]:
        check.fail("two_contracts", reading.entry(moved.sequence, job))


def _in_force(reading: Reading, job: str, steps: Sequence[Step], check: Checking) -> None:
    """Nothing begins, and no result is released, once the job was given up or its contract has run out.

    What a run was noting when it was given up may stand just behind that.
    """
    contract = reading.contract_of(job)
    end = None if contract is None else contract.ends
    over: Step | None = None
    for step in steps:
        if step.type in _OVER:
            over = step
        elif step.type not in (*_MOVES, "job_start"):
            continue
        elif over is not None:
            begins = step.type in ("job_start", "result_released")
            if begins or step.time > over.time + _MINUTE:
                how = over.type.removeprefix("job_")
                check.fail("after_end", reading.entry(step.sequence, job), how=how)
                return
        elif step.type == "job_start" and end is not None and step.time > end + _MINUTE:
            check.fail("run_out", reading.entry(step.sequence, job))
            return


def _opened(reading: Reading, sequence: int, job: str, check: Checking) -> None:
    """A party opens its part of a result once it was released; one that reads no figures has its own counts there."""
    steps = reading.jobs.get(job, ())
    contract = reading.contract_of(job)
    if contract is None and reading.restored and not any(step.type in _MOVES for step in steps):
        check.counts["older"] += 1  # the job ran before this log began
        return
    released = any(step.type == "result_released" and step.sequence < sequence for step in steps)
    if not released and not reading.restored:
        check.fail("not_released", reading.entry(sequence, job))
    else:
        check.counts["opened"] += 1


def _person(actor: str) -> str | None:
    """Return a person's name as it is compared, or ``None`` for a node, partner, rule or schedule.

    In another case, width or spacing a name is no second person (the rule of the nodes, too).
    """
    folded = unicodedata.normalize("NFKC", actor).casefold()
    name = " ".join(unicodedata.normalize("NFKC", folded).split())
    return None if ":" in name else name


def _hand(actor: str) -> str:
    """Return who wrote something, as it is compared with a person who approves."""
    return _person(actor) or actor


def _four_eyes(reading: Reading, job: str, steps: Sequence[Step], check: Checking) -> None:
    """At the bank: what is proposed was approved, as it stands, by somebody who had no hand in it."""
    authors: set[str] = set()
    approvals: list[Step] = []
    for step in steps:
        match step.type:
            case "job_draft" | "job_edit":
                authors.add(_hand(step.actor))
                approvals.clear()
            case "job_void":
                approvals.clear()
            case "job_approve":
                approvals.append(step)
            case "job_propose":
                _proposed(reading, job, step, (authors, approvals), check)


def _proposed(
    reading: Reading, job: str, step: Step, behind: tuple[set[str], list[Step]], check: Checking
) -> None:
    authors, approvals = behind
    fitting = [each for each in approvals if each["digest"] == step["digest"]]
    if not authors:
        check.fail("no_draft", reading.entry(step.sequence, job))
    elif not fitting:
        check.fail("not_approved", reading.entry(step.sequence, job))
    else:
        people = {_person(each.actor) for each in fitting} - {None}
        schedules = [each for each in fitting if each.actor.startswith(_SCHEDULE)]
        if people - authors:
            check.counts["approved"] += 1
        elif any(_agreed(reading, each.actor, each.sequence) for each in schedules):
            check.counts["approved"] += 1
            check.counts["by_schedule"] += 1
        elif any(_beyond(reading, each.actor) for each in schedules):
            check.counts["approved"] += 1
            check.counts["by_schedule"] += 1
            check.note("schedule_elsewhere", job=job[:8])
        else:
            check.fail("own_approval", reading.entry(step.sequence, job))


def _beyond(reading: Reading, actor: str) -> bool:
    """Return whether what was done with a schedule lies in entries that a pack, or a restored log, does not have."""
    part = reading.header.pack is not None or reading.restored
    return part and not reading.schedule(actor.removeprefix(_SCHEDULE))


def _agreed(reading: Reading, actor: str, before: int) -> bool:
    """Return whether a second person approved the schedule that ``actor`` names, as it stood before an entry."""
    authors: set[str] = set()
    approved, stopped, digest = False, False, None
    for step in reading.schedule(actor.removeprefix(_SCHEDULE)):
        if step.sequence >= before:
            break
        if step["step"] in ("draft", "edit"):
            authors.add(_hand(step.actor))
            approved, stopped, digest = False, False, step["digest"]
        elif step["step"] == "approve":
            who = _person(step.actor)
            approved |= who is not None and step["digest"] == digest and who not in authors
        elif step["step"] == "resume":
            stopped = False
        elif step["step"] in _STOPS:
            stopped = True
    return approved and not stopped


def _accepted(reading: Reading, job: str, steps: Sequence[Step], check: Checking) -> None:
    """At the platform: a person or a rule of its own agreed, not its node and not the bank."""

    def agrees(actor: str) -> bool:
        return _person(actor) is not None or actor.startswith(_RULE)

    approvals: dict[Any, list[str]] = {}
    for step in steps:
        if step.type == "job_approve":
            approvals.setdefault(step["digest"], []).append(step.actor)
        elif step.type == "job_accept":
            actors = [*approvals.get(step["digest"], []), step.actor]
            if not any(agrees(actor) for actor in actors):
                check.fail("nobody_accepted", reading.entry(step.sequence, job))
            else:
                check.counts["approved"] += 1
                check.counts["by_rule"] += all(_person(actor) is None for actor in actors)


def _datasets(
    reading: Reading,
    job: str,
    steps: Sequence[Step],
    contract: Contract,
    required: bool,
    check: Checking,
) -> None:
    """The dataset is the contract's, it is named before anything of it leaves, and its basis is told."""
    used = False
    for step in steps:
        if step.type == "dataset_used":
            used = True
            named = (step["dataset"], step["schema"].hex())
            if named != (contract.datasets[reading.role], contract.schemas[reading.role]):
                check.fail("other_dataset", reading.entry(step.sequence, job))
            elif step["basis"] is not None:
                check.counts["stated"] += 1
            elif required:
                check.fail("no_basis", reading.entry(step.sequence, job))
            else:
                check.counts["not_stated"] += 1
        elif step.type == "stream" and step["from"] == reading.role and _carries(contract, step) and not used:
            check.fail("dataset_unnamed", reading.entry(step.sequence, job))
            used = True  # once per job


def _carries(contract: Contract, step: Step) -> bool:
    """Return whether a stream carries own elements: what its dataset has to be named for."""
    flow = contract.flows.get(step["name"])
    return flow is not None and flow.release == "points"
