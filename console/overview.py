"""What somebody sees first: how many jobs are where, what waits, what needs attention, and what campaigns came to."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import sqlalchemy as sa

from audit.entry import Draft
from console.access import Right, Visitor
from console.campaignfigures import Campaigns, Outcomes, campaigns
from console.jobs import JobRow, rows_of, waiting_for
from console.partners import SOON, Standing, all_partners
from console.place import Place
from console.waiting import drafts_of_schedules, wrote
from party.auditlog import AuditLog
from party.cosigning import trouble
from party.health import FREE_BYTES
from party.jobrecords import JobRecord
from party.jobstates import JobState
from party.partners import PartnerState
from party.preflights import PreflightState
from party.schedulerecords import ScheduleList, ScheduleRecord, ScheduleState
from party.tables import audit_entries, audit_logs

# Jobs of a short list; all of them are under /jobs.
SHORT: Final = 5
# Finished jobs that campaigns are made from, the newest.
MOST_RESULTS: Final = 100
# Bars of one chart, and rows of its table: more can't be read at a glance.
MOST_CAMPAIGNS: Final = 12
# Jobs that are looked at for what is the matter with them.
_LATEST: Final = 20
# What a node does at once, it should have done by then.
_SOON: Final = datetime.timedelta(minutes=5)
_LATELY: Final = datetime.timedelta(days=7)


class Concern(StrEnum):
    """What needs attention; the words of the API."""

    PARTNER_AWAY = "partner_away"
    COSIGN_REFUSED = "cosign_refused"
    OWN_CERTIFICATE = "own_certificate"
    PARTNER_CERTIFICATE = "partner_certificate"
    PARTNER_PENDING = "partner_pending"
    SCHEDULE_PAUSED = "schedule_paused"
    JOB_CUT = "job_cut"
    PREFLIGHT_FAILED = "preflight_failed"
    DISK = "disk"


CONCERNS: Final[Mapping[Concern, str]] = {
    Concern.PARTNER_AWAY: "Jobs with {name} wait since {at}: its node is away, or the own node does not run.",
    Concern.COSIGN_REFUSED: "{name} does not cosign this side's log, so no job with it begins.",
    Concern.OWN_CERTIFICATE: "The own certificate ends at {at}, and was not renewed; see whether the own node runs.",
    Concern.PARTNER_CERTIFICATE: "The certificate of {name} ends at {at}; its node renews it once it is on the line.",
    Concern.PARTNER_PENDING: "{name} asks for access; compare the fingerprint, then confirm.",
    Concern.SCHEDULE_PAUSED: "The schedule “{name}” is paused.",
    Concern.JOB_CUT: "The job “{name}” was cut and goes on by itself; its page says why.",
    Concern.PREFLIGHT_FAILED: "The preflight of “{name}” failed; its page says what is wrong.",
    Concern.DISK: "The disk of this node is nearly full.",
}


@dataclass(frozen=True, slots=True)
class Attention:
    """One thing that needs attention, and the page about it."""

    concern: Concern
    address: str
    name: str = ""
    at: datetime.datetime | None = None


@dataclass(frozen=True, slots=True)
class Overview:
    """The figures and short lists of the first page. ``waiting`` and ``schedules`` are what an approver decides on.

    ``undecided`` counts the jobs and schedules that wait for one, those of the visitor's own hand included.
    ``failing`` counts the jobs that failed within seven days. ``campaigns`` is ``None`` for who may not read results.
    """

    counts: Mapping[JobState, int]
    running: tuple[JobRow, ...]
    undecided: int
    waiting: tuple[JobRow, ...]
    schedules: tuple[ScheduleRecord, ...]
    finished: tuple[JobRow, ...]
    failed: tuple[JobRow, ...]
    failing: int
    attention: tuple[Attention, ...]
    campaigns: Campaigns | None


def overview_of(visitor: Visitor, outcomes: Outcomes) -> Overview:
    """Return the overview of ``visitor``; results that it shows figures of are noted as read, once a day each."""
    place = visitor.place
    jobs = place.jobs
    counts = jobs.counts()
    running = jobs.list(states=(JobState.RUNNING, JobState.ACCEPTED), limit=SHORT).jobs
    finished = jobs.list(states=(JobState.DONE,), limit=SHORT).jobs
    failed = jobs.list(states=(JobState.FAILED,), limit=SHORT).jobs
    since = place.node.clock() - _LATELY
    schedules = drafts_of_schedules(visitor)
    decides = visitor.can(Right.DECIDE)
    return Overview(
        counts,
        rows_of(place, running),
        counts[JobState.DRAFT if place.is_bank else JobState.PROPOSED] + len(schedules),
        waiting_for(visitor, SHORT).rows if decides else (),
        tuple(each for each in schedules if not wrote(visitor, each))[:SHORT] if decides else (),
        rows_of(place, finished),
        rows_of(place, [record for record in failed if record.changed >= since]),
        jobs.count_since(JobState.FAILED, since),
        tuple(_attention(visitor)),
        _campaigns(visitor, outcomes) if visitor.can(Right.RESULTS) else None,
    )


def _campaigns(visitor: Visitor, outcomes: Outcomes) -> Campaigns:
    place = visitor.place
    done = place.jobs.list(states=(JobState.DONE,), limit=MOST_RESULTS).jobs
    # Of a job whose result is the other side's there is nothing to read but sizes.
    own = _released(place, [record for record in done if _reads(place, record)])
    read, unread = outcomes.of(place.room, own)
    found = Campaigns(campaigns(read, own, unread).campaigns[:MOST_CAMPAIGNS], unread)
    _note_read(visitor, [each.record for each in found.campaigns])
    return found


def _reads(place: Place, record: JobRecord) -> bool:
    receiver = json.loads(record.contract or b"{}").get("receiver")
    return receiver in (place.role, "both")


def _released(place: Place, records: Sequence[JobRecord]) -> list[JobRecord]:
    """Leave out those that were decided on and whose release is not in the log yet (``console.results.missing``)."""
    types = ("decision", "result_released")
    entries = sa.select(audit_entries.c.job, audit_entries.c.type).where(
        audit_entries.c.type.in_(types), audit_entries.c.job.in_([each.id for each in records])
    )
    with place.node.home.store.reading() as connection:
        known = {(job, type) for job, type in connection.execute(entries.distinct())}
    decided, released = ({job for job, type in known if type == each} for each in types)
    return [each for each in records if each.id in released or each.id not in decided]


def _note_read(visitor: Visitor, records: Sequence[JobRecord]) -> None:
    """Note who sees figures of these results in the log, before they are shown."""
    store, now = visitor.place.node.home.store, visitor.place.node.clock()
    name = visitor.person.name
    keys = {f"result_read/overview/{name}/{record.id}/{now:%Y-%m-%d}": record.id for record in records}
    newest = sa.select(sa.func.max(audit_logs.c.epoch)).scalar_subquery()
    noted = sa.select(audit_entries.c.mark).where(
        audit_entries.c.epoch == newest, audit_entries.c.mark.in_(keys)
    )
    with store.reading() as connection:
        # Who loads the page again shall not wait for the store's lock.
        known = set(connection.execute(noted).scalars())
    drafts = [
        Draft("result_read", name, job, {"part": "overview"}, key=key)
        for key, job in keys.items()
        if key not in known
    ]
    if drafts:
        AuditLog(store).append(drafts, now.timestamp())


def _attention(visitor: Visitor) -> Iterator[Attention]:
    place = visitor.place
    yield from _partners(place)
    yield from _jobs(place)
    if place.is_bank:
        schedules = ScheduleList(place.node.home.store, place.node.clock)
        for schedule in schedules.list((ScheduleState.PAUSED,)):
            yield Attention(Concern.SCHEDULE_PAUSED, f"/schedules/{schedule.id}", schedule.purpose)
    own = place.node.credentials.current()
    if own is not None and own.expires - place.node.clock() < SOON:
        yield Attention(Concern.OWN_CERTIFICATE, "/partners", at=own.expires)
    if shutil.disk_usage(place.node.home.folder).free < FREE_BYTES:
        yield Attention(Concern.DISK, "/jobs")


def _partners(place: Place) -> Iterator[Attention]:
    for facts in all_partners(place):
        name, address = facts.partner.name, f"/partners/{facts.partner.name}"
        if facts.waiting is not None:
            yield Attention(Concern.PARTNER_PENDING, address, name)
        if facts.partner.state is PartnerState.ACTIVE and trouble(place.node.home.store, name) is not None:
            yield Attention(Concern.COSIGN_REFUSED, address, name)
        # At a platform the certificate towards its bank is its own.
        if place.is_bank and facts.standing in (Standing.SOON, Standing.ENDED):
            yield Attention(Concern.PARTNER_CERTIFICATE, address, name, facts.until)


def _jobs(place: Place) -> Iterator[Attention]:
    """Yield what is the matter with jobs that should be on their way, of the latest ones by name."""
    for row in rows_of(
        place, place.jobs.list(states=(JobState.DRAFT, JobState.APPROVED), limit=_LATEST).jobs
    ):
        if row.preflight is PreflightState.FAILED:
            yield Attention(Concern.PREFLIGHT_FAILED, f"/jobs/{row.record.id}", row.record.purpose)
    for record in place.jobs.list(states=(JobState.ACCEPTED,), limit=_LATEST).jobs:
        if record.attempts:
            yield Attention(Concern.JOB_CUT, f"/jobs/{record.id}", record.purpose)
    # One job may be under way with the partner, and others wait for their turn.
    busy = place.jobs.longest((JobState.RUNNING,))
    for partner, since in place.jobs.longest((JobState.APPROVED, JobState.ACCEPTED)).items():
        if partner not in busy and place.node.clock() - since > _SOON:
            yield Attention(Concern.PARTNER_AWAY, f"/partners/{partner}", partner, since)
