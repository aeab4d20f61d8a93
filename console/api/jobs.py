"""Joint jobs in the API: lists, one job with its card, history and progress, and the steps that people take."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from console.access import Right, Visitor, allowed
from console.cardtext import card_text
from console.joblive import Live, Pace, There, live_of
from console.jobs import Action, JobRow, JobView, card_of, find_jobs, rows_of, view_of
from console.jobsteps import MAX_DAYS, approve, cancel, preflight, refuse, retry
from console.jobwords import Waits
from party.drafting import LIFETIME
from party.jobrecords import JobEvent, JobRecord
from party.jobspec import JobKind
from party.jobstates import JobState, Step
from party.preflights import Preflight, PreflightState
from psi.errors import UsageError

router = APIRouter(tags=["jobs"])
JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="the whole id of a job")]
See = Annotated[Visitor, Depends(allowed(Right.SEE))]
Draft = Annotated[Visitor, Depends(allowed(Right.DRAFT))]
Decide = Annotated[Visitor, Depends(allowed(Right.DECIDE))]
Cancel = Annotated[Visitor, Depends(allowed(Right.CANCEL))]
Limit = Annotated[int, Query(ge=1, le=200)]
After = Annotated[str | None, Query(pattern="^[0-9]{1,15}$", description="`next` of the page before")]


class JobSummary(BaseModel):
    """One job. `waits` is what it waits for, `contract` the SHA-256 that an approval is of, `code` why it ended or
    was cut. `expires` is the end of the contract, of a job that is done that of its result."""

    id: str
    state: JobState
    code: str | None
    kind: str
    purpose: str
    partner: str
    dataset: str
    contract: str
    attempts: int
    drafter: str
    created: datetime.datetime
    changed: datetime.datetime
    expires: datetime.datetime | None
    waits: Waits
    preflight: PreflightState | None

    @classmethod
    def of(cls, row: JobRow) -> Self:
        """Return it as the API tells it."""
        return cls(**_facts(row.record), waits=row.waits, preflight=row.preflight)


class JobSummaries(BaseModel):
    """A page of jobs, the newest first."""

    items: list[JobSummary]
    next: str | None


class JobPreflight(BaseModel):
    """How a job's preflight stands. `side` is where something is wrong: null if the test identifiers did not meet."""

    state: PreflightState
    code: str | None
    side: Literal["own", "partner"] | None
    at: datetime.datetime | None
    actor: str | None
    detail: str | None
    hint: str | None

    @classmethod
    def of(cls, found: Preflight) -> Self:
        """Return it as the API tells it."""
        return cls(
            state=found.state,
            code=found.code or None,
            side=None if found.own is None else ("own" if found.own else "partner"),
            at=found.at,
            actor=found.actor or None,
            detail=found.detail or None,
            hint=found.hint or None,
        )


class JobApproval(BaseModel):
    """Who agreed to which contract; `void` once it was edited."""

    actor: str
    role: str
    contract: str
    at: datetime.datetime
    void: bool


class JobDetail(JobSummary):
    """One job with its text, approvals and preflight. `actions` are those that the caller may take now."""

    source: str
    schedule: str | None
    tried: JobPreflight
    approvals: list[JobApproval]
    actions: list[Action]
    has_result: bool

    @classmethod
    def of_view(cls, view: JobView) -> Self:
        """Return it as the API tells it."""
        return cls(
            **_facts(view.record),
            waits=view.waits,
            preflight=view.preflight.state if view.tried else None,
            source=view.record.source,
            schedule=None if view.schedule is None else view.schedule.id,
            tried=JobPreflight.of(view.preflight),
            approvals=[
                JobApproval(
                    actor=each.actor,
                    role=each.role,
                    contract=each.digest,
                    at=each.at,
                    void=each.voided is not None,
                )
                for each in view.approvals
            ],
            actions=sorted(view.actions),
            has_result=view.has_result,
        )


class CardSection(BaseModel):
    """What one side learns, or nobody, in sentences."""

    heading: str
    sentences: list[str]


class JobCard(BaseModel):
    """The disclosure card: `card` as it is hashed into the contract, the rest as people read it."""

    contract: str
    card: dict[str, Any]
    settings: str
    sections: list[CardSection]


class JobStep(BaseModel):
    """One step of a job; `id` grows from step to step."""

    id: str
    at: datetime.datetime
    actor: str
    step: Step
    before: JobState | None
    after: JobState
    note: str | None

    @classmethod
    def of(cls, event: JobEvent) -> Self:
        """Return it as the API tells it."""
        return cls(
            id=str(event.id),
            at=event.at,
            actor=event.actor,
            step=event.step,
            before=event.before,
            after=event.after,
            note=event.note,
        )


class JobSteps(BaseModel):
    """A page of steps, the oldest first."""

    items: list[JobStep]
    next: str | None


class JobProgress(BaseModel):
    """Where a job is. `phase`, `done` and `total` rows are of this side while it runs, null where nobody knows.

    `partner` is how it stands with the other side. While it runs, `partner_phase` is the phase that it says it is in,
    `partner_percent` the share of it that is done (0 also where nobody can know). `heard` is the last sign of it.
    """

    state: JobState
    code: str | None
    waits: Waits
    attempts: int
    phase: str | None
    done: int | None
    total: int | None
    partner: There
    partner_phase: str | None
    partner_percent: int | None
    heard: datetime.datetime | None

    @classmethod
    def of(cls, live: Live) -> Self:
        """Return it as the API tells it."""
        return cls(
            state=live.record.state,
            code=live.record.code,
            waits=live.waits,
            attempts=live.record.attempts,
            phase=live.phase,
            done=live.done,
            total=live.total,
            partner=live.there,
            partner_phase=None if live.far is None else live.far.phase,
            partner_percent=None if live.far is None else live.far.percent,
            heard=live.heard,
        )


class Approving(BaseModel):
    """An approval: of the contract whose SHA-256 was shown, with the caller's own password once more."""

    model_config = ConfigDict(extra="forbid")

    digest: str = Field(pattern="^[0-9a-f]{64}$")
    password: str = Field(min_length=1, max_length=256)
    without_preflight: bool = False


class Refusing(BaseModel):
    """A refusal, by one word that the other side is told."""

    model_config = ConfigDict(extra="forbid")

    reason: Literal["person", "kind", "purpose", "dataset", "columns", "limit"] = "person"


class Repeating(BaseModel):
    """How long the new contract holds."""

    model_config = ConfigDict(extra="forbid")

    days: int = Field(default=LIFETIME.days, ge=1, le=MAX_DAYS)


@router.get("/jobs", operation_id="list_jobs")
def listed(
    visitor: See,
    state: JobState | None = None,
    kind: JobKind | None = None,
    partner: Annotated[str | None, Query(max_length=64)] = None,
    limit: Limit = 50,
    after: After = None,
) -> JobSummaries:
    """Return the jobs, the newest first."""
    found = find_jobs(
        visitor.place,
        state="" if state is None else state.value,
        kind="" if kind is None else kind.value,
        partner=partner or "",
        before=None if after is None else int(after),
        limit=limit,
    )
    following = None if found.following is None else str(found.following)
    return JobSummaries(items=[JobSummary.of(row) for row in found.rows], next=following)


@router.get("/jobs/{job}", operation_id="get_job")
def shown(visitor: See, job: JobId) -> JobDetail:
    """Return one job."""
    return JobDetail.of_view(view_of(visitor, job))


@router.get("/jobs/{job}/card", operation_id="get_job_card")
def card(visitor: See, job: JobId) -> JobCard:
    """Return the disclosure card of a job, its sentences in the caller's language."""
    record = visitor.place.jobs.get(job)
    made = card_of(record)
    if made is None:
        raise UsageError(
            f"This version cannot make the card of job {job[:8]}.",
            hint="it was drafted by another version; its text is in `source` of the job",
            code="bad_contract",
        )
    text = card_text(made, visitor.words.language)
    sections = [CardSection(heading=name, sentences=list(said)) for name, said in text.sections]
    return JobCard(contract=record.digest, card=made.as_data(), settings=text.settings, sections=sections)


@router.get("/jobs/{job}/events", operation_id="list_job_events")
def history(visitor: See, job: JobId, limit: Limit = 50, after: After = None) -> JobSteps:
    """Return the steps of a job, the oldest first."""
    jobs = visitor.place.jobs
    jobs.get(job)
    found = jobs.events(job, after=0 if after is None else int(after), limit=limit + 1)
    following = str(found[limit - 1].id) if len(found) > limit else None
    return JobSteps(items=[JobStep.of(event) for event in found[:limit]], next=following)


@router.get("/jobs/{job}/progress", operation_id="get_job_progress")
def progress(visitor: See, job: JobId) -> JobProgress:
    """Return where a job is now."""
    place = visitor.place
    return JobProgress.of(live_of(place, place.jobs.get(job), Pace()))


@router.post("/jobs/{job}/approve", operation_id="approve_job")
def approving(visitor: Decide, job: JobId, body: Approving) -> JobSummary:
    """Approve a draft at the bank, or accept a proposal at the platform."""
    record = approve(visitor, job, body.digest, body.password, without_preflight=body.without_preflight)
    return _summary(visitor, record)


@router.post("/jobs/{job}/refuse", operation_id="refuse_job")
def refusing(visitor: Decide, job: JobId, body: Refusing) -> JobSummary:
    """Refuse a job."""
    return _summary(visitor, refuse(visitor, job, body.reason))


@router.post("/jobs/{job}/cancel", operation_id="cancel_job")
def cancelling(visitor: Cancel, job: JobId) -> JobSummary:
    """Take back a job that has not ended."""
    return _summary(visitor, cancel(visitor, job))


@router.post("/jobs/{job}/retry", operation_id="retry_job", status_code=201)
def repeating(visitor: Draft, job: JobId, body: Repeating) -> JobSummary:
    """Draft a job again that came to nothing; the answer is the new one."""
    return _summary(visitor, retry(visitor, job, body.days))


@router.post("/jobs/{job}/preflight", operation_id="try_job")
def trying(visitor: Draft, job: JobId) -> JobSummary:
    """Ask for another preflight, which runs once the partner is on the line."""
    return _summary(visitor, preflight(visitor, job))


def _summary(visitor: Visitor, record: JobRecord) -> JobSummary:
    return JobSummary.of(rows_of(visitor.place, (record,))[0])


def _facts(record: JobRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "state": record.state,
        "code": record.code,
        "kind": record.kind,
        "purpose": record.purpose,
        "partner": record.partner,
        "dataset": record.dataset,
        "contract": record.digest,
        "attempts": record.attempts,
        "drafter": record.drafter,
        "created": record.created,
        "changed": record.changed,
        "expires": record.expires,
    }
