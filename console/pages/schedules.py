"""Recurring jobs: the list, one with its terms and due times, new ones and changed ones."""

from __future__ import annotations

import re
import uuid
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from console import drafts, guided, schedules
from console.access import Right, Visitor, allowed
from console.cardtext import card_text
from console.jobwords import kind_name, short
from console.render import done, page
from console.schedules import Action
from party.redrafting import datasets_of
from party.schedulerecords import ScheduleRecord, ScheduleState
from psi.errors import VeiljoinError

router = APIRouter()
Reader = Annotated[Visitor, Depends(allowed(Right.SEE))]
Analyst = Annotated[Visitor, Depends(allowed(Right.DRAFT))]
Approver = Annotated[Visitor, Depends(allowed(Right.DECIDE))]
Stopper = Annotated[Visitor, Depends(allowed(Right.CANCEL))]
ScheduleId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
_ID: Final = re.compile("[0-9a-f]{32}")
_UNPROCESSABLE: Final = 422
_FIELDS: Final = ("text", "offer", "dataset", "every", "timezone", "until", "runs", "days")


@router.get("/schedules")
def listed(request: Request, visitor: Reader, all: bool = False) -> Response:
    """List the schedules, the newest first."""
    states = tuple(ScheduleState) if all else ()
    found = schedules.schedules_of(visitor.place).list(states)
    return page(request, visitor, "schedules/list.html", schedules=found, all=all, **_named())


@router.get("/schedules/new")
def begin(
    request: Request,
    visitor: Analyst,
    source: Annotated[str | None, Query(alias="from", pattern="^[0-9a-f]{32}$")] = None,
) -> Response:
    """Ask for a job file and its times, filled in from a job where one is named."""
    if not visitor.place.is_bank:
        return page(request, visitor, "drafts/elsewhere.html")
    given = dict.fromkeys(_FIELDS, "") | {"timezone": schedules.TIMEZONE, "days": str(drafts.DAYS)}
    if source is not None:
        record = visitor.place.jobs.get(source)
        own, theirs = datasets_of(record)
        given |= {"text": record.source, "dataset": own, "offer": f"{record.partner}/{theirs or ''}"}
    return _form(request, visitor, given)


@router.post("/schedules/new")
def draft(request: Request, visitor: Analyst) -> Response:
    """Show what a schedule would be, or draft it."""
    drafts.bank_only(visitor.place)
    return _go_on(request, visitor, None)


@router.get("/schedules/{schedule}")
def show(request: Request, visitor: Reader, schedule: ScheduleId) -> Response:
    """Show one schedule: its terms, card, approvals and due times."""
    return _shown(request, visitor, schedule)


@router.get("/schedules/{schedule}/edit")
def look(request: Request, visitor: Analyst, schedule: ScheduleId) -> Response:
    """Show the text and times of a schedule, to be changed."""
    record = schedules.editable(visitor.place, schedule)
    timetable = record.terms.timetable
    given = {
        "text": record.source,
        "offer": f"{record.partner}/{record.terms.partner_dataset}",
        "dataset": record.terms.dataset,
        "every": str(timetable.recurrence),
        "timezone": timetable.recurrence.timezone,
        "until": timetable.until.isoformat(),
        "runs": "" if timetable.runs is None else str(timetable.runs),
        "days": str(timetable.days),
    }
    return _form(request, visitor, given, record)


@router.post("/schedules/{schedule}/edit")
def change(request: Request, visitor: Analyst, schedule: ScheduleId) -> Response:
    """Show what a change would be, or make it."""
    return _go_on(request, visitor, schedules.editable(visitor.place, schedule))


@router.post("/schedules/{schedule}/approve")
def approve(request: Request, visitor: Approver, schedule: ScheduleId) -> Response:
    """Approve a schedule as a whole."""
    try:
        record = schedules.approve(visitor, schedule, visitor.field("digest"), visitor.field("password"))
    except VeiljoinError as error:
        return _shown(request, visitor, schedule, error)
    due = "" if record.next_due is None else schedules.due_text(record, record.next_due, visitor.words)
    return done(
        f"/schedules/{record.id}", visitor.say("The schedule is in force; it is due first at {due}.", due=due)
    )


@router.post("/schedules/{schedule}/refuse")
def refuse(request: Request, visitor: Approver, schedule: ScheduleId) -> Response:
    """Refuse a draft."""
    return _take(request, visitor, schedule, Action.REFUSE, visitor.say("The schedule was refused."))


@router.post("/schedules/{schedule}/pause")
def pause(request: Request, visitor: Stopper, schedule: ScheduleId) -> Response:
    """Draft no more jobs until it is resumed."""
    said = visitor.say("The schedule is paused; jobs that it drafted go on.")
    return _take(request, visitor, schedule, Action.PAUSE, said)


@router.post("/schedules/{schedule}/resume")
def resume(request: Request, visitor: Analyst, schedule: ScheduleId) -> Response:
    """Go on with the next time that is due."""
    return _take(request, visitor, schedule, Action.RESUME, visitor.say("The schedule is in force again."))


@router.post("/schedules/{schedule}/remove")
def remove(request: Request, visitor: Stopper, schedule: ScheduleId) -> Response:
    """Draft no more jobs, for good."""
    said = visitor.say("The schedule was removed; jobs that it drafted go on.")
    return _take(request, visitor, schedule, Action.REMOVE, said)


def _take(request: Request, visitor: Visitor, schedule: str, action: Action, said: str) -> Response:
    try:
        record = schedules.take(visitor, schedule, action)
    except VeiljoinError as error:
        return _shown(request, visitor, schedule, error)
    return done(f"/schedules/{record.id}", said)


def _shown(request: Request, visitor: Visitor, schedule: str, error: VeiljoinError | None = None) -> Response:
    view = schedules.view_of(visitor, schedule)
    card = None if view.card is None else card_text(view.card, visitor.words.language)
    status = 200 if error is None else 403 if error.code.name == "not_allowed" else error.code.http
    return page(
        request,
        visitor,
        "schedules/one.html",
        status,
        view=view,
        card=card,
        error=error,
        **_named(),
    )


def _go_on(request: Request, visitor: Visitor, record: ScheduleRecord | None) -> Response:
    """Show what a new or changed schedule would be; store it if that was shown and is wanted."""
    given = {name: visitor.field(name) for name in _FIELDS}
    given["text"] = given["text"].replace("\r\n", "\n") + "\n"
    planned: schedules.Planned | None = None
    # The id that the page gave the schedule to be, so that one that is sent twice drafts one.
    named = visitor.field("schedule")
    named = named if _ID.fullmatch(named) else ""
    save = visitor.field("go") == "save"
    try:
        if save and record is None and named:
            stored = schedules.entered(visitor.place, named, visitor.actor)
            if stored is not None:
                return _drafted(visitor, stored)
        table = drafts.read_text(given["text"], "this schedule")
        partner, _, theirs = given["offer"].partition("/")
        wanted = drafts.Request(
            table,
            given["text"],
            # An edit keeps the partner: another one is another schedule.
            partner if record is None else record.partner,
            given["dataset"] or None,
            theirs or None,
            drafts.days_of(given["days"]),
        )
        planned = schedules.work_out(
            visitor.place,
            wanted,
            given["every"],
            given["timezone"],
            given["until"],
            schedules.runs_of(given["runs"]),
        )
        if save and record is not None and schedules.edited(record, planned, visitor.actor):
            return _drafted(visitor, record)
        if save:
            drafts.same_as_shown(schedules.seen_of(planned, record), visitor.field("seen"))
            if record is None:
                stored = schedules.enter(visitor.place, planned, visitor.actor, named or None)
            else:
                stored = schedules.enter_edit(visitor.place, record.id, planned, visitor.actor)
            return _drafted(visitor, stored)
    except VeiljoinError as error:
        return _form(request, visitor, given, record, planned, error)
    return _form(request, visitor, given, record, planned)


def _drafted(visitor: Visitor, record: ScheduleRecord) -> Response:
    said = visitor.say("The schedule is a draft. A second person approves it as a whole.")
    return done(f"/schedules/{record.id}", said)


def _form(
    request: Request,
    visitor: Visitor,
    given: dict[str, str],
    record: ScheduleRecord | None = None,
    planned: schedules.Planned | None = None,
    error: VeiljoinError | None = None,
) -> Response:
    card = None if planned is None else card_text(planned.worked.card, visitor.words.language)
    choices = guided.partner_choices(visitor.place)
    if record is not None:
        choices = [choice for choice in choices if choice.name == record.partner]
    return page(
        request,
        visitor,
        "schedules/form.html",
        200 if error is None else _UNPROCESSABLE,
        given=given,
        record=record,
        planned=planned,
        seen="" if planned is None else schedules.seen_of(planned, record),
        schedule=uuid.uuid4().hex,
        error=error,
        choices=choices,
        datasets=guided.own_datasets(visitor.place),
        card=card,
        **_named(),
    )


def _named() -> dict[str, Any]:
    return {
        "short": short,
        "kind_name": kind_name,
        "every_text": schedules.every_text,
        "due_text": schedules.due_text,
        "reason_text": schedules.reason_text,
        "zoned": schedules.zoned,
        "states": schedules.STATES,
        "steps": schedules.STEPS,
        "outcomes": schedules.OUTCOMES,
    }
