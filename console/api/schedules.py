"""Recurring jobs: list, read, draft, change, approve, pause and remove."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from console import schedules
from console.access import Right, Visitor, allowed
from console.api.drafts import PolicyChange, Wanted, card_told, policy_changes, request_for
from console.api.jobs import CardSection
from console.drafts import same_as_shown
from console.schedules import Action
from party.schedulerecords import ScheduleRecord, ScheduleState

router = APIRouter(tags=["schedules"])
Reader = Annotated[Visitor, Depends(allowed(Right.SEE))]
Analyst = Annotated[Visitor, Depends(allowed(Right.DRAFT))]
Approver = Annotated[Visitor, Depends(allowed(Right.DECIDE))]
Stopper = Annotated[Visitor, Depends(allowed(Right.CANCEL))]
ScheduleId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


class Times(BaseModel):
    """When jobs are due: ``every`` as in "monthly on 1 at 06:00", ``until`` the last day, ``runs`` jobs at most."""

    every: str = Field(min_length=1, max_length=100)
    timezone: str = Field(schedules.TIMEZONE, min_length=1, max_length=64)
    until: datetime.date
    runs: int | None = Field(None, ge=1, le=10_000)


class WantedChange(Wanted, Times):
    """Other terms of a schedule: its job and its times, both whole."""


class WantedSchedule(WantedChange):
    """A new schedule, and with whom."""

    partner: str = Field(min_length=1, max_length=64)


class Consent(BaseModel):
    """What is approved, as it was read, with the password of who approves."""

    model_config = ConfigDict(extra="forbid")

    digest: str = Field(pattern="^[0-9a-f]{64}$")
    password: str = Field(min_length=1, max_length=256)


class Schedule(BaseModel):
    """A schedule. ``digest`` is what an approval is of; ``code`` says why it is paused."""

    schedule: str
    state: str
    code: str | None
    kind: str
    purpose: str
    partner: str
    dataset: str
    partner_dataset: str
    every: str
    timezone: str
    until: datetime.date
    runs: int | None
    days: int
    drafted: int
    failures: int
    digest: str
    next_due: datetime.datetime | None


class ScheduleApproved(BaseModel):
    """Who approved the schedule; ``void`` once an edit took it back."""

    actor: str
    at: datetime.datetime
    void: bool


class DueTime(BaseModel):
    """What was made of one due time."""

    due: datetime.datetime
    at: datetime.datetime
    outcome: str
    code: str | None
    missed: int
    job: str | None


class ScheduleStepTaken(BaseModel):
    """One step of a schedule."""

    at: datetime.datetime
    actor: str
    step: str
    state: str
    note: str | None


class ScheduleDetail(Schedule):
    """A schedule with its card, approvals, the last due times and its history."""

    toml: str
    card: dict[str, Any] | None
    approvals: list[ScheduleApproved]
    due_times: list[DueTime]
    events: list[ScheduleStepTaken]
    actions: list[str]


class SchedulePage(BaseModel):
    """Schedules, the newest first; ``next`` is the ``after`` of the next page."""

    items: list[Schedule]
    next: str | None


class CheckedSchedule(BaseModel):
    """What a schedule would be, and its first times if it were approved now."""

    digest: str
    every: str
    times: list[datetime.datetime]
    dataset: str
    partner_dataset: str
    policy_changes: list[PolicyChange]
    card: dict[str, Any]
    settings: str
    sections: list[CardSection]


@router.get("/schedules", operation_id="list_schedules")
def listed(
    visitor: Reader,
    state: ScheduleState | None = None,
    partner: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(pattern="^[0-9]{1,18}$")] = None,
) -> SchedulePage:
    """List schedules; without a state all but those that were removed."""
    states = () if state is None else (state,)
    found = schedules.schedules_of(visitor.place).list(states, partner=partner)
    left = [record for record in found if after is None or record.number < int(after)]
    following = str(left[limit - 1].number) if len(left) > limit else None
    return SchedulePage(items=[_schedule(record) for record in left[:limit]], next=following)


@router.get("/schedules/{schedule}", operation_id="read_schedule")
def show(visitor: Reader, schedule: ScheduleId) -> ScheduleDetail:
    """Read one schedule with its history."""
    return _detail(visitor, schedule)


@router.post("/schedules/check", operation_id="check_schedule")
def check(visitor: Analyst, wanted: WantedSchedule) -> CheckedSchedule:
    """Work out what a schedule would be. Nothing is stored."""
    planned = _plan(visitor, wanted, wanted.partner)
    return CheckedSchedule(
        digest=planned.terms.digest,
        every=str(planned.terms.timetable.recurrence),
        times=list(planned.times),
        dataset=planned.terms.dataset,
        partner_dataset=planned.terms.partner_dataset,
        policy_changes=policy_changes(visitor, planned.worked),
        **card_told(visitor, planned.worked),
    )


@router.post("/schedules", operation_id="draft_schedule", status_code=201)
def draft(visitor: Analyst, wanted: WantedSchedule, response: Response) -> ScheduleDetail:
    """Draft a schedule; a second person approves it as a whole."""
    record = schedules.enter(visitor.place, _plan(visitor, wanted, wanted.partner), visitor.actor)
    response.headers["location"] = f"/api/v1/schedules/{record.id}"
    return _detail(visitor, record.id)


@router.put("/schedules/{schedule}", operation_id="edit_schedule")
def edit(visitor: Analyst, schedule: ScheduleId, wanted: WantedChange) -> ScheduleDetail:
    """Put other terms in place of a schedule's. Its approvals become void."""
    record = schedules.editable(visitor.place, schedule)
    schedules.enter_edit(visitor.place, record.id, _plan(visitor, wanted, record.partner), visitor.actor)
    return _detail(visitor, record.id)


@router.post("/schedules/{schedule}/approve", operation_id="approve_schedule")
def approve(visitor: Approver, schedule: ScheduleId, consent: Consent) -> ScheduleDetail:
    """Approve a schedule whose terms have this digest."""
    return _detail(visitor, schedules.approve(visitor, schedule, consent.digest, consent.password).id)


@router.post("/schedules/{schedule}/refuse", operation_id="refuse_schedule")
def refuse(visitor: Approver, schedule: ScheduleId) -> ScheduleDetail:
    """Refuse a draft."""
    return _detail(visitor, schedules.take(visitor, schedule, Action.REFUSE).id)


@router.post("/schedules/{schedule}/pause", operation_id="pause_schedule")
def pause(visitor: Stopper, schedule: ScheduleId) -> ScheduleDetail:
    """Draft no more jobs until it is resumed."""
    return _detail(visitor, schedules.take(visitor, schedule, Action.PAUSE).id)


@router.post("/schedules/{schedule}/resume", operation_id="resume_schedule")
def resume(visitor: Analyst, schedule: ScheduleId) -> ScheduleDetail:
    """Go on with the next time that is due."""
    return _detail(visitor, schedules.take(visitor, schedule, Action.RESUME).id)


@router.post("/schedules/{schedule}/remove", operation_id="remove_schedule")
def remove(visitor: Stopper, schedule: ScheduleId) -> ScheduleDetail:
    """Draft no more jobs, for good; the history stays."""
    return _detail(visitor, schedules.take(visitor, schedule, Action.REMOVE).id)


def _plan(visitor: Visitor, wanted: WantedChange, partner: str) -> schedules.Planned:
    planned = schedules.work_out(
        visitor.place,
        request_for(wanted, partner),
        wanted.every,
        wanted.timezone,
        wanted.until.isoformat(),
        wanted.runs,
    )
    if wanted.digest is not None:
        same_as_shown(planned.terms.digest, wanted.digest)
    return planned


def _schedule(record: ScheduleRecord) -> Schedule:
    return Schedule(**_facts(record))


def _facts(record: ScheduleRecord) -> dict[str, Any]:
    terms, timetable = record.terms, record.terms.timetable
    return {
        "schedule": record.id,
        "state": record.state.value,
        "code": record.code,
        "kind": record.kind,
        "purpose": record.purpose,
        "partner": record.partner,
        "dataset": terms.dataset,
        "partner_dataset": terms.partner_dataset,
        "every": str(timetable.recurrence),
        "timezone": timetable.recurrence.timezone,
        "until": timetable.until,
        "runs": timetable.runs,
        "days": timetable.days,
        "drafted": record.drafted,
        "failures": record.failures,
        "digest": record.digest,
        "next_due": record.next_due,
    }


def _detail(visitor: Visitor, schedule: str) -> ScheduleDetail:
    view = schedules.view_of(visitor, schedule)
    return ScheduleDetail(
        **_facts(view.record),
        toml=view.record.source,
        card=None if view.card is None else view.card.as_data(),
        approvals=[
            ScheduleApproved(actor=each.actor, at=each.at, void=each.voided is not None)
            for each in view.approvals
        ],
        due_times=[
            DueTime(
                due=run.due,
                at=run.at,
                outcome=run.outcome.value,
                code=run.code,
                missed=run.missed,
                job=run.job,
            )
            for run in view.runs
        ],
        events=[
            ScheduleStepTaken(
                at=each.at, actor=each.actor, step=each.step.value, state=each.after.value, note=each.note
            )
            for each in view.events
        ],
        actions=sorted(action.value for action in view.actions),
    )
