"""Recurring jobs of the bank as pages and API show them: drafted by one person, approved as a whole by a second."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from console import drafts
from console.access import Right, Visitor
from console.place import Place
from console.words import Words
from party.address import same_person
from party.disclosure import Card, card_for
from party.jobfile import parse_job
from party.jobrecords import Actor
from party.recurrence import Recurrence, Rhythm
from party.schedulerecords import (
    REASONS,
    SCHEDULE_TRANSITIONS,
    Outcome,
    ScheduleApproval,
    ScheduledRun,
    ScheduleEvent,
    ScheduleRecord,
    ScheduleState,
    ScheduleStep,
)
from party.schedules import Schedules
from party.scheduleterms import Terms, Timetable, new_timetable
from psi.errors import UsageError, VeiljoinError

TIMEZONE: Final = "Asia/Shanghai"
STATES: Final[Mapping[ScheduleState, str]] = {
    ScheduleState.DRAFT: "Draft",
    ScheduleState.ACTIVE: "In force",
    ScheduleState.PAUSED: "Paused",
    ScheduleState.REFUSED: "Refused",
    ScheduleState.REMOVED: "Removed",
    ScheduleState.ENDED: "Ended",
}
STEPS: Final[Mapping[ScheduleStep, str]] = {
    ScheduleStep.DRAFT: "drafted",
    ScheduleStep.EDIT: "edited",
    ScheduleStep.APPROVE: "approved",
    ScheduleStep.REFUSE: "refused",
    ScheduleStep.PAUSE: "paused",
    ScheduleStep.RESUME: "resumed",
    ScheduleStep.REMOVE: "removed",
    ScheduleStep.END: "ended",
}
OUTCOMES: Final[Mapping[Outcome, str]] = {
    Outcome.DRAFTED: "job under way",
    Outcome.DONE: "Done",
    Outcome.FAILED: "Failed",
    Outcome.REFUSED: "Refused",
    Outcome.CANCELLED: "Cancelled",
    Outcome.EXPIRED: "Expired",
    Outcome.SKIPPED: "skipped",
    Outcome.MISSED: "missed",
    Outcome.PAUSED: "Paused",
}
_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LAST_DAY: Final = 31
_FIRST_TIMES: Final = 3


class Action(StrEnum):
    """What a visitor may do to a schedule now."""

    APPROVE = "approve"
    REFUSE = "refuse"
    PAUSE = "pause"
    RESUME = "resume"
    REMOVE = "remove"
    EDIT = "edit"


# What each takes. Pausing and removing only ever lead to fewer jobs; resuming goes on with what was approved.
ACTION_RIGHTS: Final[Mapping[Action, Right]] = {
    Action.APPROVE: Right.DECIDE,
    Action.REFUSE: Right.DECIDE,
    Action.PAUSE: Right.CANCEL,
    Action.RESUME: Right.DRAFT,
    Action.REMOVE: Right.CANCEL,
    Action.EDIT: Right.DRAFT,
}


@dataclass(frozen=True, slots=True)
class Planned:
    """A schedule that is not stored: its terms, the job it would draft now, and its first times if approved now."""

    terms: Terms
    worked: drafts.Worked
    times: tuple[datetime.datetime, ...]


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """One schedule with its history. ``card`` is ``None`` where this version can't read its job any more.

    ``wrote`` says that the visitor drafted or edited it, and so may not approve it.
    """

    record: ScheduleRecord
    card: Card | None
    approvals: tuple[ScheduleApproval, ...]
    events: tuple[ScheduleEvent, ...]
    runs: tuple[ScheduledRun, ...]
    times: tuple[datetime.datetime, ...]
    actions: frozenset[Action]
    wrote: bool


def schedules_of(place: Place) -> Schedules:
    """Return the schedules of this node."""
    return Schedules(place.node.home.store, place.node.clock)


def view_of(visitor: Visitor, schedule: str) -> ScheduleView:
    """Return one schedule with what the visitor may do. Raises ``UsageError`` (``unknown_job``)."""
    schedules = schedules_of(visitor.place)
    record = schedules.find(schedule)
    events = schedules.events(record.id)
    written = {event.actor for event in events if event.step in (ScheduleStep.DRAFT, ScheduleStep.EDIT)}
    wrote = any(same_person(str(visitor.actor), writer) for writer in written)
    return ScheduleView(
        record,
        _card(record),
        schedules.approvals(record.id),
        events,
        schedules.runs(record.id),
        first_times(record.terms.timetable, visitor.place.node.clock()),
        frozenset(
            action
            for action, right in ACTION_RIGHTS.items()
            if (record.state, ScheduleStep(action.value)) in SCHEDULE_TRANSITIONS
            and visitor.can(right)
            and not (action is Action.APPROVE and wrote)
        ),
        wrote,
    )


def work_out(
    place: Place, request: drafts.Request, every: str, timezone: str, until: str, runs: int | None
) -> Planned:
    """Work out a schedule without storing it: its job is drafted as if it were due now, and thrown away.

    Raises what ``console.drafts.work_out`` raises, and ``UsageError`` for a timetable that can't be read.
    """
    drafts.bank_only(place)
    now = place.node.clock()
    timetable = new_timetable(every, timezone, until, runs, request.days, now)
    worked = drafts.work_out(place, request, "this schedule")
    return Planned(Terms.of(worked.drafted, request.partner, timetable), worked, first_times(timetable, now))


def enter(place: Place, planned: Planned, actor: Actor, schedule: str | None = None) -> ScheduleRecord:
    """Store a draft; ``schedule`` is what its id shall be."""
    return schedules_of(place).draft(planned.terms, planned.worked.request.text, actor, schedule)


def entered(place: Place, schedule: str, actor: Actor) -> ScheduleRecord | None:
    """Return the schedule ``schedule`` if ``actor`` drafted it: a page that is sent twice drafts one."""
    try:
        record = schedules_of(place).find(schedule)
    except UsageError as error:
        if error.code.name != "unknown_job":
            raise
        return None
    return record if record.drafter == str(actor) else None


def seen_of(planned: Planned, record: ScheduleRecord | None) -> str:
    """Return the digest of what somebody was shown: the terms, and those that they replace, which others may edit."""
    if record is None:
        return planned.terms.digest
    return hashlib.sha256(f"{record.digest}{planned.terms.digest}".encode()).hexdigest()


def edited(record: ScheduleRecord, planned: Planned, actor: Actor) -> bool:
    """Return whether ``actor`` has made just this change already, and nobody has decided on it since."""
    return (
        record.state is ScheduleState.DRAFT
        and record.editor == str(actor)
        and (record.digest, record.source) == (planned.terms.digest, planned.worked.request.text)
    )


def enter_edit(place: Place, schedule: str, planned: Planned, actor: Actor) -> ScheduleRecord:
    """Put other terms in place of a schedule's; its approvals are void."""
    return schedules_of(place).edit(schedule, planned.terms, planned.worked.request.text, actor)


def editable(place: Place, schedule: str) -> ScheduleRecord:
    """Return a schedule that may still be changed. Raises ``UsageError`` (``wrong_state``) for another."""
    drafts.bank_only(place)
    record = schedules_of(place).find(schedule)
    if (record.state, ScheduleStep.EDIT) not in SCHEDULE_TRANSITIONS:
        raise UsageError(
            f"Schedule {record.id[:8]} is {record.state}, and can't be changed any more.",
            hint="draft another one",
            code="wrong_state",
        )
    return record


def approve(visitor: Visitor, schedule: str, digest: str, password: str) -> ScheduleRecord:
    """Approve what was shown as ``digest``, with the password once more."""
    visitor.prove(password)
    return schedules_of(visitor.place).approve(schedule, visitor.actor, digest)


def take(visitor: Visitor, schedule: str, action: Action) -> ScheduleRecord:
    """Refuse, pause, resume or remove a schedule."""
    schedules = schedules_of(visitor.place)
    steps: Mapping[Action, Callable[[str, Actor], ScheduleRecord]] = {
        Action.REFUSE: schedules.refuse,
        Action.PAUSE: schedules.pause,
        Action.RESUME: schedules.resume,
        Action.REMOVE: schedules.remove,
    }
    return steps[action](schedule, visitor.actor)


def first_times(timetable: Timetable, now: datetime.datetime) -> tuple[datetime.datetime, ...]:
    """Return when a schedule is due first, were it approved at ``now``; three times at most."""
    found: list[datetime.datetime] = []
    while len(found) < min(_FIRST_TIMES, timetable.runs or _FIRST_TIMES):
        due = timetable.following(found[-1] if found else now)
        if due is None:
            break
        found.append(due)
    return tuple(found)


def runs_of(text: str) -> int | None:
    """Read a number of runs; empty is none. Raises ``UsageError`` for what is no number."""
    if not text:
        return None
    if not text.isdecimal() or len(text) > 6:
        raise UsageError("The number of runs is no number.", hint="write it as 12, or leave it empty")
    return int(text)


def every_text(recurrence: Recurrence, words: Words) -> str:
    """Return in words how often a schedule is due."""
    at = f"{recurrence.at:%H:%M}"
    match recurrence.rhythm:
        case Rhythm.HOURS:
            return (
                words.say("every hour")
                if recurrence.hours == 1
                else words.say("every {n} hours", n=recurrence.hours)
            )
        case Rhythm.WEEKLY:
            days = words.say(", ").join(words.say(_WEEKDAYS[day]) for day in recurrence.days)
            return words.say("weekly on {days} at {time}", days=days, time=at)
        case Rhythm.MONTHLY:
            days = words.say(", ").join(
                words.say("the last day") if day == _LAST_DAY else words.say("day {n}", n=day)
                for day in recurrence.days
            )
            return words.say("monthly on {days} at {time}", days=days, time=at)
    return words.say("daily at {time}", time=at)


def due_text(record: ScheduleRecord, due: datetime.datetime, words: Words) -> str:
    """Return a due time as the schedule's own zone has it."""
    return zoned(record.terms.timetable, due, words)


def zoned(timetable: Timetable, due: datetime.datetime, words: Words) -> str:
    """Return a due time in the zone of ``timetable``."""
    return Words(words.language, timetable.recurrence.zone).moment(due)


def reason_text(code: str | None, words: Words) -> str:
    """Return why a schedule is paused or a time was passed over; a code that a job ended with as it is."""
    if code is None:
        return ""
    return REASONS[code][words.language == "zh"] if code in REASONS else code


def _card(record: ScheduleRecord) -> Card | None:
    try:
        return card_for(parse_job(record.terms.table, f"schedule {record.id[:8]}"))
    except VeiljoinError:
        return None
