"""Egress: what left each side is what the contract's kind needs, of the right size, and nothing else.

SPEC 11.6. No entry can hold free text: the event table (``audit.events``) was applied to each as it was read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from audit.contracts import Contract
from audit.reading import Reading
from audit.report import Check, Checking, Traffic
from audit.steps import Step

_NAMES: Final = ("allowed", "sizes", "complete")


def check(reading: Reading) -> tuple[list[Check], list[Traffic]]:
    """Check one reading. Returns the checks, and what left its side per job."""
    checks = [Checking(name, reading.label) for name in _NAMES]
    if not reading.whole:
        return [each.skip("not_whole").done() for each in checks], []
    allowed, sizes, complete = checks
    traffic = []
    owner: dict[str, str] = {}
    for job, steps in reading.jobs.items():
        streams = [step for step in steps if step.type == "stream"]
        for step in streams:
            if owner.setdefault(step["session"], job) != job:
                allowed.fail("mixed", reading.entry(step.sequence, job))
        contract = reading.contract_of(job)
        if contract is None:
            for step in streams[:1]:
                allowed.fail("no_contract", reading.entry(step.sequence, job))
            continue
        sessions = _allowed(reading, contract, streams, allowed)
        for session in sessions.values():
            _sizes(reading, contract, session, sizes)
        if any(step.type == "job_finish" for step in steps):
            _complete(reading, contract, steps, sessions, complete)
        own: dict[str, tuple[int, int]] = {}
        for step in streams:
            if step["from"] == reading.role:
                count, size = own.get(step["name"], (0, 0))
                own[step["name"]] = (count + step["count"], size + step["bytes"])
        if own:
            told = Traffic(reading.label, job, contract.kind, reading.role, own)
            sizes.counts["bytes"] += told.bytes
            traffic.append(told)
    return [each.done() for each in checks], traffic


def _allowed(
    reading: Reading, contract: Contract, streams: Sequence[Step], check: Checking
) -> dict[str, dict[str, Step]]:
    """Return the allowed streams by session and name; what the contract does not allow is a problem."""
    sessions: dict[str, dict[str, Step]] = {}
    for step in streams:
        name = step["name"]
        flow = contract.flows.get(name)
        if flow is None:
            check.fail(
                "not_allowed", reading.entry(step.sequence, contract.job), name=name, kind=contract.kind
            )
        elif flow.sender != step["from"]:
            check.fail("wrong_way", reading.entry(step.sequence, contract.job), name=name, side=step["from"])
        elif name in sessions.setdefault(step["session"], {}):
            check.fail("twice", reading.entry(step.sequence, contract.job), name=name)
        else:
            check.counts["messages"] += 1
            sessions[step["session"]][name] = step
    return sessions


def _sizes(reading: Reading, contract: Contract, session: Mapping[str, Step], check: Checking) -> None:
    for name, step in session.items():
        flow = contract.flows[name]
        if not flow.fits(step["count"], step["bytes"]):
            check.fail("wrong_bytes", reading.entry(step.sequence, contract.job), name=name)
        elif flow.element is None:
            check.counts["singles"] += 1
        elif flow.like is None and not _in_limits(contract, step):
            check.fail("out_of_limits", reading.entry(step.sequence, contract.job), name=name)
        elif flow.like is not None and flow.like in session and session[flow.like]["count"] != step["count"]:
            check.fail("counts_differ", reading.entry(step.sequence, contract.job), name=name, like=flow.like)
        else:
            check.counts["streams"] += 1


def _in_limits(contract: Contract, step: Step) -> bool:
    limits = contract.thresholds
    return bool(limits.min_group <= step["count"] <= limits.max_set)


def _complete(
    reading: Reading,
    contract: Contract,
    steps: Sequence[Step],
    sessions: Mapping[str, Mapping[str, Step]],
    check: Checking,
) -> None:
    """Of a job that finished, one session has every required stream, once."""
    required = {name for name, flow in contract.flows.items() if flow.required}
    finish = next(step for step in steps if step.type == "job_finish")
    if not sessions:
        check.fail("no_stream", reading.entry(finish.sequence, contract.job))
        return
    last = max(sessions.values(), key=lambda each: max((step.sequence for step in each.values()), default=0))
    if missing := sorted(required - last.keys()):
        check.fail("incomplete", reading.entry(finish.sequence, contract.job), names=", ".join(missing))
    else:
        check.counts["jobs"] += 1
