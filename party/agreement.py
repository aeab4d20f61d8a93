"""How two parties come to agree on a joint job, as each of them keeps it.

The bank drafts, a second person approves, the partner is asked; the platform receives, and a person or a standing
rule accepts. An approval is of a digest, the contract's hash, and an edit voids it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from party.address import same_person
from party.auditlog import note as note_entry
from party.contract import Contract, card_hash
from party.contract_body import settled
from party.jobentries import of_void
from party.jobfile import parse_job
from party.jobrecords import Actor, JobRecord, row_of
from party.jobspec import SIDES, Job
from party.jobstates import BEGINNINGS, ActorKind, Step
from party.jobsteps import JobSteps
from party.tables import approvals, events, jobs
from psi.errors import PolicyRefusal, UsageError

# The note of a draft that was made after another job begins with this; the job's id follows.
REPEATS: Final = "repeats_"
# What an approval is called, by who gives it.
_ROLES: Final = {
    ActorKind.PERSON: "approver",
    ActorKind.PARTNER: "partner",
    ActorKind.RULE: "standing_rule",
    ActorKind.SCHEDULE: "schedule",
}


def _writers(connection: sa.Connection, row: sa.Row[Any]) -> set[str]:
    """Return who has had a hand in the job: its drafter and all of its editors."""
    written = sa.select(events.c.actor).where(
        events.c.job == row.id, events.c.step.in_((Step.DRAFT.value, Step.EDIT.value))
    )
    return {row.drafter, row.editor, *connection.execute(written).scalars()}


class AgreedJobs(JobSteps):
    """The steps up to an agreement; see ``party.jobs.Jobs``."""

    # The bank's side of an agreement

    def draft(
        self,
        table: Mapping[str, Any],
        source: str,
        actor: Actor,
        *,
        partner: str,
        dataset: str,
        contract: Contract | None = None,
        repeats: str | None = None,
    ) -> JobRecord:
        """Enter a draft: the parsed job file ``table`` and its text, with ``partner``, over the own ``dataset``.

        ``repeats`` is the id of the job that this one is drafted after, for the history.
        """
        job = contract.job if contract else uuid.uuid4().hex
        note = None if repeats is None else f"{REPEATS}{repeats}"
        with self._attempt(Step.DRAFT, actor) as connection:
            _by_hand(actor, Step.DRAFT)
            entered = self._enter(
                connection, Step.DRAFT, table, source, actor, partner, dataset, contract, job, note
            )
        return self._record(entered)

    def draft_scheduled(
        self,
        connection: sa.Connection,
        table: Mapping[str, Any],
        source: str,
        actor: Actor,
        *,
        partner: str,
        dataset: str,
        contract: Contract,
    ) -> JobRecord:
        """Enter a job that is approved already, as part of the transaction of ``connection``.

        For ``party.schedules`` alone, which has checked who agreed to the schedule that ``actor`` stands for.
        """
        if actor.kind is not ActorKind.SCHEDULE:
            raise ValueError("only a schedule's jobs are approved when they are drafted")
        row = self._enter(
            connection, Step.DRAFT, table, source, actor, partner, dataset, contract, contract.job
        )
        row = self._step(connection, row, Step.APPROVE, actor)
        self._approval(connection, row, actor)
        return self._record(row)

    def edit(
        self,
        job: str,
        table: Mapping[str, Any],
        source: str,
        actor: Actor,
        *,
        dataset: str | None = None,
        contract: Contract | None = None,
    ) -> JobRecord:
        """Put another table, text and contract in place of the old; approvals are void."""
        checked = parse_job(table, f"job {job}")
        with self._attempt(Step.EDIT, actor, job) as connection:
            row = row_of(connection, job)
            values = _content(row.id, checked, table, source, contract) | {
                "editor": str(actor),
                "dataset": dataset or row.dataset,
            }
            now = self._clock().timestamp()
            after = self._step(connection, row, Step.EDIT, actor, **values)
            voided = connection.execute(
                approvals.update()
                .where(approvals.c.job == row.id, approvals.c.voided.is_(None))
                .values(voided=now)
            )
            if voided.rowcount:
                note_entry(connection, of_void(row, self._side, actor), now)
        return self._record(after)

    def approve(self, job: str, actor: Actor, digest: str) -> JobRecord:
        """Approve the job whose digest the approver was shown as ``digest``; four eyes.

        Raises ``PolicyRefusal`` (``not_allowed``) for the drafter and every editor, ``UsageError``
        (``wrong_state``) if the job was edited since it was shown.
        """
        with self._attempt(Step.APPROVE, actor, job) as connection:
            _by_hand(actor, Step.APPROVE)
            row = row_of(connection, job)
            if any(same_person(str(actor), writer) for writer in _writers(connection, row)):
                raise PolicyRefusal(
                    f"Job {row.id} was written by {actor}, who may not approve it.",
                    hint="a second person approves it (four eyes)",
                    code="not_allowed",
                )
            _check_digest(row, digest)
            after = self._step(connection, row, Step.APPROVE, actor)
            self._approval(connection, row, actor)
        return self._record(after)

    def propose(
        self, job: str, actor: Actor, signature: bytes, *, contract: Contract | None = None
    ) -> JobRecord:
        """Note that the partner is asked, with the bank's ``signature`` over the contract.

        ``contract`` is needed where the draft came without one, and must say what was approved.
        """
        with self._attempt(Step.PROPOSE, actor, job) as connection:
            row = row_of(connection, job)
            values: dict[str, Any] = {"bank_signature": signature}
            if contract is None and row.contract is None:
                raise UsageError(
                    f"Job {row.id} has no contract yet.", hint="draft its contract first", code="bad_contract"
                )
            if contract is not None and contract.canonical != row.contract:
                if row.contract is not None:
                    raise _other_contract(row.id)
                checked = parse_job(json.loads(row.job_table), f"job {row.id}")
                values |= _signed(row.id, checked, contract)
            after = self._step(connection, row, Step.PROPOSE, actor, **values)
        return self._record(after)

    # The platform's side

    def receive(
        self,
        table: Mapping[str, Any],
        source: str,
        actor: Actor,
        *,
        dataset: str,
        contract: Contract,
        signature: bytes,
    ) -> JobRecord:
        """Enter a proposal of the partner ``actor`` with the bank's ``signature``; the same again changes nothing.

        Raises ``UsageError`` (``bad_contract``) for another contract under the id of a known job, and for one that
        is not of ``table``.
        """
        known = self._known(contract.job)
        if known is not None:
            if known.contract != contract.canonical or known.partner != actor.name:
                raise _other_contract(contract.job)
            return known
        with self._attempt(Step.RECEIVE, actor) as connection:
            entered = self._enter(
                connection,
                Step.RECEIVE,
                table,
                source,
                actor,
                actor.name,
                dataset,
                contract,
                contract.job,
                bank_signature=signature,
            )
        return self._record(entered)

    # Both sides

    def accept(self, job: str, actor: Actor, digest: str, signature: bytes) -> JobRecord:
        """Note that the platform agrees to the contract with hash ``digest``, with its ``signature``.

        At the platform ``actor`` is a person or a standing rule, at the bank the partner.
        """
        with self._attempt(Step.ACCEPT, actor, job) as connection:
            row = row_of(connection, job)
            _check_digest(row, digest)
            after = self._step(connection, row, Step.ACCEPT, actor, platform_signature=signature)
            self._approval(connection, row, actor)
        return self._record(after)

    def refuse(self, job: str, actor: Actor, code: str) -> JobRecord:
        """Refuse the job for the reason ``code``."""
        return self._take(job, Step.REFUSE, actor, code)

    def cancel(self, job: str, actor: Actor, code: str = "cancelled") -> JobRecord:
        """Cancel a job that has not ended; the process that runs it finds out when it renews its lease."""
        return self._take(job, Step.CANCEL, actor, code, holder=None, held_until=None)

    def _enter(
        self,
        connection: sa.Connection,
        step: Step,
        table: Mapping[str, Any],
        source: str,
        actor: Actor,
        partner: str,
        dataset: str,
        contract: Contract | None,
        job: str,
        note: str | None = None,
        **values: Any,
    ) -> sa.Row[Any]:
        self._check_actor(step, actor, None)
        checked = parse_job(table, f"job {job}")
        now = self._clock().timestamp()
        row = {
            "id": job,
            "partner": partner,
            "dataset": dataset,
            "state": BEGINNINGS[step].value,
            "revision": 1,
            "drafter": str(actor),
            "editor": str(actor),
            "created": now,
            "changed": now,
            "attempts": 0,
            **_content(job, checked, table, source, contract),
            **values,
        }
        if connection.execute(sa.select(jobs.c.id).where(jobs.c.id == job)).first() is not None:
            raise _other_contract(job)
        connection.execute(jobs.insert().values(**row))
        entered = row_of(connection, job)
        self._event(connection, entered, now, actor, step, None, BEGINNINGS[step], note)
        return entered

    def _approval(self, connection: sa.Connection, row: sa.Row[Any], actor: Actor) -> None:
        connection.execute(
            approvals.insert().values(
                job=row.id,
                actor=str(actor),
                role=_ROLES[actor.kind],
                digest=row.digest,
                at=self._clock().timestamp(),
            )
        )

    def _known(self, job: str) -> JobRecord | None:
        with self._store.reading() as connection:
            row = connection.execute(sa.select(jobs).where(jobs.c.id == job)).first()
        return None if row is None else self._record(row)


def _content(
    job: str, checked: Job, table: Mapping[str, Any], source: str, contract: Contract | None
) -> dict[str, Any]:
    """Return the columns that a draft and an edit write."""
    text = json.dumps(table, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    values: dict[str, Any] = {
        "kind": checked.kind.value,
        "purpose": checked.purpose,
        "source": source,
        "job_table": text,
        "contract": None,
        "digest": hashlib.sha256(text.encode()).hexdigest(),
        "expires": None,
    }
    return values if contract is None else values | _signed(job, checked, contract)


def _signed(job: str, checked: Job, contract: Contract) -> dict[str, Any]:
    """Return the columns of a contract, once it says what the job says.

    Datasets and identities are not in a job; who signs checks its own (``party.contract.check_agrees``).
    """
    body, agreed = contract.body, settled(checked, card_hash(checked))
    differs = [key for key, value in agreed.items() if key != "parties" and body.get(key) != value]
    for side in SIDES:
        told = body["parties"][side]
        differs += [
            f"{side}.{key}" for key, value in agreed["parties"][side].items() if told.get(key) != value
        ]
    if contract.job != job:
        differs.append("job")
    if differs:
        raise UsageError(
            f"The contract of job {job} differs from the job in {', '.join(differs)}.",
            hint="draft the contract from this job again",
            code="bad_contract",
        )
    return {
        "contract": contract.canonical,
        "digest": contract.hash.hex(),
        "expires": datetime.datetime.fromisoformat(body["expires"]).timestamp(),
    }


def _by_hand(actor: Actor, step: Step) -> None:
    if actor.kind is ActorKind.SCHEDULE:
        raise PolicyRefusal(
            f"{actor} may not {step} a job by itself.",
            hint="the node does that when the schedule is due",
            code="not_allowed",
        )


def _check_digest(row: sa.Row[Any], digest: str) -> None:
    if row.digest != digest:
        raise UsageError(
            f"Job {row.id} was changed since it was shown.",
            hint="read it again, then decide",
            code="wrong_state",
        )


def _other_contract(job: str) -> UsageError:
    return UsageError(
        f"There is another contract under the id of job {job}.",
        hint="an id is used once; draft the job again",
        code="bad_contract",
    )
