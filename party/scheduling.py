"""Schedules that are due, as a bank's node sees to them: check again what was approved, draft the job, go on.

Of the times that passed while no node was at work, the last one is made up for and the others are counted. A time
whose job before it has not ended is skipped.
"""

from __future__ import annotations

import datetime
from typing import Any, Final

from party.agreement import AgreedJobs
from party.catalogue import Catalogue, pick
from party.drafting import Draft, draft_with
from party.jobfile import parse_job
from party.node import Node
from party.partners import PartnerState
from party.schedulerecords import REASONS, Outcome, ScheduleRecord, ScheduleState
from party.schedules import Schedules
from party.scheduleterms import Terms
from psi.errors import PolicyRefusal, UsageError

# Errors of the machine, which pass: nothing is noted, and the due time is seen to once they have.
_PASSING: Final = frozenset({"store_unavailable", "no_space"})


class _NotAsApprovedError(Exception):
    """The job can't be drafted as it was approved; ``code`` is a word of ``REASONS``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Scheduler:
    """Sees to the schedules of the bank's ``node``, whose process is ``instance``."""

    def __init__(self, node: Node, jobs: AgreedJobs, instance: str) -> None:
        self._node = node
        self._jobs = jobs
        self._instance = instance
        self._schedules = Schedules(node.home.store, node.clock)
        self._catalogue = Catalogue(node.home.store, node.clock)

    def tick(self) -> list[dict[str, Any]]:
        """See to what is due now; returns events for the node's log. Raises ``UsageError`` if the store is away."""
        told = []
        for run, record in self._schedules.settle(self._instance):
            told.append(_event(record.id, run.outcome, run.code, run.job))
            if record.code == "failures" and record.state is ScheduleState.PAUSED:
                told.append(_event(record.id, Outcome.PAUSED, record.code, None))
        for record in self._schedules.due():
            told += self._see_to(record)
        return told

    def _see_to(self, record: ScheduleRecord) -> list[dict[str, Any]]:
        if record.next_due is None:
            return []
        timetable = record.terms.timetable
        now = self._node.clock()
        due, missed = timetable.latest(record.next_due, now)
        if timetable.over(now):
            return self._pass_over(record, due, missed, Outcome.MISSED, "until")
        if self._schedules.open_job(record.id) is not None:
            return self._pass_over(record, due, missed, Outcome.SKIPPED, "previous")
        try:
            drafted = self._draft(record)
        except _NotAsApprovedError as refused:
            return self._pass_over(record, due, missed, Outcome.PAUSED, refused.code)
        except PolicyRefusal:
            return self._pass_over(record, due, missed, Outcome.REFUSED, "policy")
        job = self._schedules.take(record, due, missed, drafted, self._jobs, self._instance)
        return [] if job is None else [_event(record.id, Outcome.DRAFTED, None, job.id)]

    def _pass_over(
        self, record: ScheduleRecord, due: datetime.datetime, missed: int, outcome: Outcome, code: str
    ) -> list[dict[str, Any]]:
        noted = self._schedules.pass_over(record, due, missed, outcome, code, self._instance)
        return [_event(record.id, outcome, code, None)] if noted else []

    def _draft(self, record: ScheduleRecord) -> Draft:
        """Draft the job as it was approved, under a new id and with a contract of its own."""
        terms = record.terms
        if not self._schedules.agreed(record):
            raise _NotAsApprovedError("approver")
        self._check_parties(terms)
        try:
            job = parse_job(terms.table, f"schedule {record.id[:8]}")
            drafted = draft_with(
                self._node,
                job,
                terms.table,
                terms.partner,
                dataset=terms.dataset,
                partner_dataset=terms.partner_dataset,
                lifetime=datetime.timedelta(days=terms.timetable.days),
            )
        except UsageError as error:
            raise _not_as_approved(error, "terms") from None
        different = terms.differs(Terms.of(drafted, terms.partner, terms.timetable))
        if different is not None:
            raise _NotAsApprovedError(different)
        return drafted

    def _check_parties(self, terms: Terms) -> None:
        """Find which of the parties and datasets does not fit; drafting would only find that one does not."""
        try:
            known = self._node.partners.get(terms.partner)
            told = self._catalogue.told(terms.partner)
        except UsageError as error:
            raise _not_as_approved(error, "partner") from None
        identity = b"" if known.identity is None else known.identity
        if known.state is not PartnerState.ACTIVE or identity.hex() != terms.identity or told is None:
            raise _NotAsApprovedError("partner")
        try:
            own = self._catalogue.get(terms.dataset)
            own.open()
        except UsageError as error:
            raise _not_as_approved(error, "dataset") from None
        if own.schema != terms.schema:
            raise _NotAsApprovedError("dataset")
        try:
            theirs = pick(told.catalogue, terms.partner_dataset, None, None, terms.partner)
        except UsageError as error:
            raise _not_as_approved(error, "partner_dataset") from None
        if theirs.schema.hex() != terms.partner_schema:
            raise _NotAsApprovedError("partner_dataset")


def _not_as_approved(error: UsageError, code: str) -> Exception:
    return error if error.code.name in _PASSING else _NotAsApprovedError(code)


def _event(schedule: str, outcome: Outcome, code: str | None, job: str | None) -> dict[str, Any]:
    """Return an event for the node's log; codes of jobs that ended are told as they are."""
    event: dict[str, Any] = {"event": "schedule", "schedule": schedule[:8], "state": outcome.value}
    if job is not None:
        event["job"] = job
    if code is not None:
        event |= {"code": code, "text": REASONS[code][0] if code in REASONS else code}
    return event
