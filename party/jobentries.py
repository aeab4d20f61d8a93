"""What a step of a job, or of a schedule, is in the party's log: drafts of entries, made of the rows of the store.

The table of what each entry says is ``audit.events``. Processes of the own node are one actor there, whichever of
them took the step: ``node:bank`` or ``node:platform``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from audit.entry import Draft
from party.jobrecords import Actor
from party.jobstates import ActorKind, JobState, Step

_CODED: Final = frozenset({Step.RETRY, Step.FAIL, Step.CANCEL, Step.EXPIRE})


def actor_of(actor: Actor, side: str) -> str:
    """Return what the log of ``side`` (bank | platform) calls ``actor``."""
    return f"node:{side}" if actor.kind is ActorKind.NODE else str(actor)


def of_step(
    row: sa.Row[Any], side: str, step: Step, actor: Actor, before: JobState | None, code: str | None
) -> list[Draft]:
    """Return what ``step``, which led to ``row``, is at ``side``: one entry or two; ``code`` says why, where it does.

    An agreement of this side is an approval and a signature; a proposal that arrives is a draft and a signature.
    """
    who, job = actor_of(actor, side), row.id

    def entry(type: str, **facts: Any) -> Draft:
        return Draft(type, who, job, facts)

    if step in (Step.DRAFT, Step.RECEIVE, Step.EDIT):
        card = None if row.contract is None else json.loads(row.contract)["card"]
        written = entry(
            "job_edit" if step is Step.EDIT else "job_draft",
            digest=row.digest,
            kind=row.kind,
            partner=row.partner,
            dataset=row.dataset,
            card=card,
        )
        if step is not Step.RECEIVE:
            return [written]
        return [written, entry("job_propose", digest=row.digest, signature=row.bank_signature.hex())]
    if step is Step.APPROVE:
        return [entry("job_approve", digest=row.digest, **{"as": side})]
    if step is Step.PROPOSE:
        return [entry("job_propose", digest=row.digest, signature=row.bank_signature.hex())]
    if step is Step.ACCEPT:
        signed = entry("job_accept", digest=row.digest, signature=row.platform_signature.hex())
        if actor.kind is ActorKind.PARTNER:
            return [signed]
        return [entry("job_approve", digest=row.digest, **{"as": side}), signed]
    if step is Step.REFUSE:
        return [entry("job_refuse", digest=row.digest, code=code)]
    if step is Step.START:
        return [entry("job_start", attempt=row.attempts)]
    if step is Step.FINISH:
        return [entry("job_finish")]
    if step not in _CODED:
        raise ValueError(f"there is no entry for the step {step}")
    ended = entry(f"job_{step.value}", code=code)
    # What expires of a job that is done is its result, which was removed before this step (party.jobs.Jobs.due).
    return [entry("result_purged"), ended] if before is JobState.DONE else [ended]


def of_standing(
    row: sa.Row[Any], side: str, editors: Sequence[str], approved: Sequence[sa.Row[Any]]
) -> list[Draft]:
    """Return what a log that begins anew says of a job that goes on: who wrote it, agreed to it and signed it.

    ``editors`` are those beside the drafter, ``approved`` the rows of its approvals that stand.
    """
    job = row.id
    drafted = of_step(row, side, Step.DRAFT, Actor(ActorKind.PERSON, row.drafter), None, None)
    edited = [Draft("job_edit", editor, job, drafted[0].facts) for editor in editors]
    agreed = [Draft("job_approve", each.actor, job, {"digest": each.digest, "as": side}) for each in approved]
    signed = [
        Draft(step, f"node:{side}", job, {"digest": row.digest, "signature": signature.hex()})
        for step, signature in (
            ("job_propose", row.bank_signature),
            ("job_accept", row.platform_signature),
        )
        if signature is not None
    ]
    if side == "platform":
        # There the proposal comes first, and who agrees signs.
        return [*drafted, *edited, *signed[:1], *agreed, *signed[1:]]
    return [*drafted, *edited, *agreed, *signed]


def of_void(row: sa.Row[Any], side: str, actor: Actor) -> Draft:
    """Return the entry for approvals of ``row``, the job as it was, which an edit by ``actor`` voided."""
    return Draft("job_void", actor_of(actor, side), row.id, {"digest": row.digest})


def of_schedule(
    row: sa.Row[Any], side: str, actor: Actor, step: str, code: str | None, job: str | None = None
) -> Draft:
    """Return the entry for what ``actor`` did with the schedule ``row``; ``step`` is a step or an outcome's word."""
    facts = {"schedule": row.id, "step": step, "digest": row.digest, "code": code}
    return Draft("schedule_step", actor_of(actor, side), job, facts)
