"""Joint jobs as pages and API show them: lists, one job with its card and history, and who may do what now.

Nothing here changes a job; ``console.jobsteps`` does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from console.access import Right, Visitor
from console.jobwords import Waits
from console.place import Place
from party.address import same_person
from party.disclosure import Card, card_for
from party.jobfile import parse_job
from party.jobrecords import Approval, JobEvent, JobRecord
from party.jobspec import JobKind
from party.jobstates import TRANSITIONS, JobState, Step
from party.preflight import View, standing_of, subjects_of
from party.preflights import Preflight, Preflights, PreflightState
from party.redrafting import REPEATABLE
from party.schedulerecords import ScheduleList, ScheduleRecord
from psi.errors import UsageError, VeiljoinError

# Where a preflight is of use: the partner has not agreed yet.
OPEN: Final = (JobState.DRAFT, JobState.APPROVED, JobState.PROPOSED)
_NOT_RUN: Final = Preflight(PreflightState.NOT_RUN)
T = TypeVar("T", bound=StrEnum)


class Action(StrEnum):
    """What a person may do to a job."""

    APPROVE = "approve"
    REFUSE = "refuse"
    CANCEL = "cancel"
    RETRY = "retry"
    PREFLIGHT = "preflight"
    EDIT = "edit"


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job of a list: what it waits for, and how its preflight stands (``None``: of no use any more)."""

    record: JobRecord
    waits: Waits
    preflight: PreflightState | None


@dataclass(frozen=True, slots=True)
class JobPage:
    """Jobs, the newest first; ``following`` is the cursor of the next page, ``None`` on the last."""

    rows: tuple[JobRow, ...]
    following: int | None


@dataclass(frozen=True, slots=True)
class JobView:
    """One job with all that is known of it here.

    ``card`` is ``None`` where this version can't read the job any more. ``actions`` are those that the visitor may
    take now, ``wrote`` says that they wrote it, so that another person has to approve it.
    """

    record: JobRecord
    waits: Waits
    card: Card | None
    preflight: Preflight
    approvals: tuple[Approval, ...]
    events: tuple[JobEvent, ...]
    schedule: ScheduleRecord | None
    actions: frozenset[Action]
    wrote: bool
    has_result: bool

    @property
    def cuts(self) -> int:
        """How many attempts were cut."""
        return sum(event.step is Step.RETRY for event in self.events)

    @property
    def tried(self) -> bool:
        """Whether the preflight is worth showing: it ran, or is still to run."""
        return self.preflight.state is not PreflightState.NOT_RUN or self.record.state in OPEN


def find_jobs(
    place: Place,
    *,
    state: str = "",
    kind: str = "",
    partner: str = "",
    before: int | None = None,
    limit: int = 50,
) -> JobPage:
    """Return a page of the jobs; an empty filter is none. Raises ``UsageError`` for a state or kind that isn't."""
    states = (_one_of(JobState, state, "state"),) if state else ()
    chosen = _one_of(JobKind, kind, "kind").value if kind else None
    if not partner.isprintable():
        raise UsageError("The filter partner has a value that no partner has.", hint="choose one of the list")
    found = place.jobs.list(states=states, kind=chosen, partner=partner or None, before=before, limit=limit)
    return JobPage(rows_of(place, found.jobs), found.following)


def rows_of(place: Place, records: Sequence[JobRecord]) -> tuple[JobRow, ...]:
    """Return the rows of ``records``; the preflights of all are read at once."""
    standing = _standings(place, records)
    return tuple(
        JobRow(
            record,
            waits_for(record, standing.get(record.id, _NOT_RUN), place.role),
            standing[record.id].state if record.id in standing else None,
        )
        for record in records
    )


def view_of(visitor: Visitor, job: str) -> JobView:
    """Return the job with this id as ``visitor`` may see it. Raises ``UsageError`` (``unknown_job``)."""
    place, jobs = visitor.place, visitor.place.jobs
    record = jobs.get(job)
    events = jobs.events(job)
    preflight = _standing(place, record)
    written = {record.drafter, record.editor}
    written |= {event.actor for event in events if event.step in (Step.DRAFT, Step.EDIT)}
    wrote = any(same_person(visitor.person.name, name) for name in written)
    return JobView(
        record,
        waits_for(record, preflight, place.role),
        card_of(record),
        preflight,
        jobs.approvals(job),
        events,
        ScheduleList(place.node.home.store, place.node.clock).of_job(job),
        frozenset(_actions(visitor, record, wrote=wrote)),
        wrote,
        record.state is JobState.DONE and place.room.result(job).is_dir(),
    )


def waits_for(record: JobRecord, preflight: Preflight, side: str) -> Waits:
    """Return what the job waits for at ``side``."""
    match record.state:
        case JobState.DRAFT:
            return Waits.SECOND_PERSON
        case JobState.APPROVED:
            return Waits.PARTNER_ON_LINE if preflight.clear else Waits.PREFLIGHT
        case JobState.PROPOSED:
            return Waits.PARTNER_ANSWER if side == "bank" else Waits.OWN_ANSWER
        case JobState.ACCEPTED:
            return Waits.NEXT_ATTEMPT if record.attempts else Waits.START
        case JobState.RUNNING:
            return Waits.END
    return Waits.NOTHING


def waiting_for(visitor: Visitor, limit: int = 50) -> JobPage:
    """Return the jobs that ``visitor`` might decide on as an approver, the newest first: none that they wrote.

    ``following`` says no more than that there are others.
    """
    place, name = visitor.place, visitor.person.name
    state = JobState.DRAFT if place.is_bank else JobState.PROPOSED
    found = place.jobs.list(states=(state,), others_than=name, limit=limit)
    # The same person in another spelling; who edited it in between is found when they open it.
    others = [
        record
        for record in found.jobs
        if not (same_person(record.drafter, name) or same_person(record.editor, name))
    ]
    return JobPage(rows_of(place, others), found.following)


def _actions(visitor: Visitor, record: JobRecord, *, wrote: bool) -> Collection[Action]:
    bank, state = visitor.place.is_bank, record.state
    decides = visitor.can(Right.DECIDE)
    drafts = visitor.can(Right.DRAFT) and bank
    found = set()
    if decides and not wrote and state is (JobState.DRAFT if bank else JobState.PROPOSED):
        found.add(Action.APPROVE)
    if decides and state in ((JobState.DRAFT, JobState.APPROVED) if bank else (JobState.PROPOSED,)):
        found.add(Action.REFUSE)
    if visitor.can(Right.CANCEL) and (state, Step.CANCEL) in TRANSITIONS:
        found.add(Action.CANCEL)
    if drafts and state in REPEATABLE:
        found.add(Action.RETRY)
    if drafts and state in OPEN and record.contract is not None:
        found.add(Action.PREFLIGHT)
    if drafts and (state, Step.EDIT) in TRANSITIONS:
        found.add(Action.EDIT)
    return found


def card_of(record: JobRecord) -> Card | None:
    """Return the job's disclosure card; ``None`` where this version can't read the job any more."""
    try:
        return card_for(parse_job(record.table, f"job {record.id[:8]}"))
    except VeiljoinError:
        return None  # written by another version, whose rules are not ours; its text is shown all the same


def _standing(place: Place, record: JobRecord) -> Preflight:
    try:
        return standing_of(place.node, record)
    except VeiljoinError as error:
        return _unreadable(error)


def _standings(place: Place, records: Sequence[JobRecord]) -> Mapping[str, Preflight]:
    """Return how the preflights of those of ``records`` stand that are still open."""
    open_ = [record for record in records if record.state in OPEN and record.contract is not None]
    preflights = Preflights(place.node.home.store, place.node.clock)
    rows = preflights.rows([record.id for record in open_]) if open_ else {}
    views: dict[str, View] = {}
    found = {}
    for record in open_:
        if not rows[record.id]:
            found[record.id] = _NOT_RUN
            continue
        if record.partner not in views:
            views[record.partner] = View.of(place.node, record.partner)
        try:
            facts = views[record.partner].facts(subjects_of(record), place.role)
        except VeiljoinError as error:
            found[record.id] = _unreadable(error)
            continue
        found[record.id] = preflights.standing(rows[record.id], record.digest, facts)
    return found


def _unreadable(error: VeiljoinError) -> Preflight:
    """Return the preflight of a contract of another version: none; a store that fails is no such thing."""
    if error.code.name == "store_unavailable":
        raise error
    return _NOT_RUN


def _one_of(kind: type[T], text: str, name: str) -> T:
    try:
        return kind(text)
    except ValueError:
        raise UsageError(
            f"The filter {name} has a value that no job has.", hint=f"use one of {', '.join(kind)}"
        ) from None
