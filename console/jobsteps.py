"""What people do to joint jobs: approve or accept, refuse, cancel, repeat, try again."""

from __future__ import annotations

import datetime
from typing import Final

from console.access import Visitor
from console.jobs import OPEN
from console.jobwords import REFUSALS
from party.consent import approve as accept
from party.drafting import LIFETIME
from party.jobrecords import JobRecord
from party.preflight import held_to
from party.preflights import Preflights
from party.redrafting import draft_again
from psi.errors import UsageError

MAX_DAYS: Final = 31
_BLOCKED: Final = (
    "the job's page says what is wrong; try the preflight again once that is mended, "
    "or tick the box to go on without"
)


def approve(
    visitor: Visitor, job: str, digest: str, password: str, *, without_preflight: bool = False
) -> JobRecord:
    """Approve a draft at the bank, or accept a proposal at the platform, as it was shown under ``digest``.

    Raises ``PolicyRefusal`` (``not_allowed``) for a wrong password and for who wrote the job, ``UsageError``:
    ``wrong_state`` if it was changed since or somebody was faster, ``form_mismatch`` if the preflight is against it.
    """
    visitor.prove(password)
    place = visitor.place
    record = place.jobs.get(job)
    if record.digest != digest:
        raise UsageError(
            f"Job {job[:8]} was changed since it was shown.",
            hint="read it again, then decide",
            code="wrong_state",
        )
    try:
        with held_to(place.node, record, visitor.actor, without=without_preflight):
            if place.is_bank:
                return place.jobs.approve(job, visitor.actor, digest)
            return accept(place.node, place.jobs, record, visitor.person.name)
    except UsageError as error:
        if error.code.name != "form_mismatch":
            raise
        raise UsageError(error.message, hint=_BLOCKED, code="form_mismatch") from None


def refuse(visitor: Visitor, job: str, reason: str) -> JobRecord:
    """Refuse a job by a word of ``REFUSALS``. Raises ``UsageError`` for another word or in another state."""
    if reason not in REFUSALS:
        raise UsageError("There is no such reason for a refusal.", hint=f"use one of {', '.join(REFUSALS)}")
    return visitor.place.jobs.refuse(job, visitor.actor, reason)


def cancel(visitor: Visitor, job: str) -> JobRecord:
    """Take back a job that has not ended. Raises ``UsageError`` (``wrong_state``) for one that has."""
    return visitor.place.jobs.cancel(job, visitor.actor)


def retry(visitor: Visitor, job: str, days: int = LIFETIME.days) -> JobRecord:
    """Draft a job again that came to nothing, from its text as it was written, for ``days``; returns the new one.

    Raises ``UsageError`` (``wrong_state``) for a job that did not, and what drafting raises.
    """
    before = visitor.place.jobs.get(job)
    record, _ = draft_again(visitor.place.node, before, visitor.actor, datetime.timedelta(days=days))
    return record


def preflight(visitor: Visitor, job: str) -> JobRecord:
    """Ask for another preflight. Raises ``UsageError`` (``wrong_state``) where it is of no use, or at a platform."""
    place = visitor.place
    record = place.jobs.get(job)
    if record.state not in OPEN or record.contract is None or not place.is_bank:
        raise UsageError(
            f"Job {job[:8]} is {record.state}, where a preflight is of no use.",
            hint="the bank tries jobs before their partner has accepted them",
            code="wrong_state",
        )
    asked = Preflights(place.node.home.store, place.node.clock)
    asked.again(job, record.digest, record.partner, str(visitor.actor))
    return record
