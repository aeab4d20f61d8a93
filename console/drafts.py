"""Drafting a job and changing a draft: what the guided form, the text page and the API all do.

A draft is first worked out without being stored (:func:`work_out`), with what both policies make of it and the
disclosure card; :func:`enter` stores exactly what was shown, or says that something changed meanwhile.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from console.place import Place
from console.tomltext import check_text
from party.disclosure import Card, card_for
from party.drafting import LIFETIME, Draft, draft_with
from party.jobfile import parse_job
from party.jobrecords import Actor, JobRecord
from party.jobstates import TRANSITIONS
from party.jobstates import Step as JobStep
from party.redrafting import changes, datasets_of
from psi.errors import PolicyRefusal, UsageError

MAX_TEXT: Final = 64 * 1024
# In one line. tomllib takes a time that grows with the square of a key's parts: minutes for one of 64 KiB.
_MOST_DOTS: Final = 200
DAYS: Final = LIFETIME.days


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be drafted: ``table`` is the parsed job file, ``text`` its words, ``days`` to be run in."""

    table: Mapping[str, Any]
    text: str
    partner: str
    dataset: str | None = None
    partner_dataset: str | None = None
    days: int = DAYS


@dataclass(frozen=True, slots=True)
class Worked:
    """A draft that is not stored. ``seen`` is the digest of what somebody was shown: table, datasets and card."""

    request: Request
    drafted: Draft
    card: Card
    seen: str

    def changes(self, language: str) -> list[str]:
        """Return as sentences what the policies made stricter."""
        return [change.zh if language == "zh" else change.en for change in self.drafted.changes]


@dataclass(frozen=True, slots=True)
class Edit:
    """A draft in place of another: each setting with its old and new value, and how many approvals it makes void."""

    before: JobRecord
    worked: Worked
    changed: tuple[tuple[str, str | None, str | None], ...]
    void: int

    @property
    def seen(self) -> str:
        """The digest of what somebody was shown: the job that it replaces, too, which another may have edited."""
        return hashlib.sha256(f"{self.before.digest}{self.worked.seen}".encode()).hexdigest()


def bank_only(place: Place) -> None:
    """Raise ``PolicyRefusal`` at a platform, which drafts no jobs."""
    if not place.is_bank:
        raise PolicyRefusal(
            "Jobs are drafted at the bank, not here.",
            hint="this side accepts or refuses what the bank proposes; see Approvals",
            code="not_allowed",
        )


def read_text(text: str, source: str) -> dict[str, Any]:
    """Read the words of a job file. Raises ``UsageError`` that names ``source``."""
    check_text(text)
    if len(text.encode()) > MAX_TEXT:
        raise UsageError(
            f"The text of {source} is too long.", hint="a job file has a few hundred lines at most"
        )
    if any(line.count(".") > _MOST_DOTS for line in text.split("\n")):
        raise UsageError(
            f"A line of {source} has more than {_MOST_DOTS} dots.", hint="a list may go over several lines"
        )
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        # tomllib's own error is a ValueError, and so is that of a number with thousands of digits.
        raise UsageError(
            f"The text of {source} is not valid TOML: {error}.",
            hint='text goes in quotes, as in kind = "audience"',
            code="bad_format",
        ) from None


def work_out(place: Place, request: Request, source: str, job_id: str | None = None) -> Worked:
    """Draft without storing anything; ``job_id`` is what it shall be called.

    Raises ``UsageError`` and ``PolicyRefusal`` as ``party.jobfile`` and ``party.drafting`` do.
    """
    bank_only(place)
    job = parse_job(request.table, source)
    drafted = draft_with(
        place.node,
        job,
        request.table,
        request.partner,
        dataset=request.dataset,
        partner_dataset=request.partner_dataset,
        lifetime=datetime.timedelta(days=request.days),
        job_id=job_id,
    )
    card = card_for(drafted.job)
    shown = [
        drafted.table,
        drafted.dataset,
        drafted.partner_dataset,
        request.partner,
        request.days,
        card.as_data(),
    ]
    canonical = json.dumps(shown, sort_keys=True, ensure_ascii=False).encode()
    return Worked(request, drafted, card, hashlib.sha256(canonical).hexdigest())


def enter(place: Place, worked: Worked, actor: Actor) -> JobRecord:
    """Store a draft."""
    drafted = worked.drafted
    return place.jobs.draft(
        drafted.table,
        worked.request.text,
        actor,
        partner=worked.request.partner,
        dataset=drafted.dataset,
        contract=drafted.contract,
    )


def entered(place: Place, job: str, actor: Actor) -> JobRecord | None:
    """Return the job ``job`` if ``actor`` drafted it: a page that is sent twice drafts one."""
    try:
        record = place.jobs.get(job)
    except UsageError as error:
        if error.code.name != "unknown_job":
            raise
        return None
    return record if record.drafter == str(actor) else None


def editable(place: Place, job: str) -> JobRecord:
    """Return a job whose text may still be changed. Raises ``UsageError`` (``wrong_state``) for another."""
    bank_only(place)
    record = place.jobs.get(job)
    if (record.state, JobStep.EDIT) not in TRANSITIONS:
        hint = (
            "draft another; a job that is over is not changed"
            if record.state.ended
            else "the partner has its contract by now: cancel the job and draft another"
        )
        raise UsageError(
            f"Job {record.id[:8]} is {record.state}, and can't be edited any more.",
            hint=hint,
            code="wrong_state",
        )
    return record


def work_out_edit(place: Place, before: JobRecord, request: Request) -> Edit:
    """Draft another text in place of a job's, without storing it."""
    own, theirs = datasets_of(before)
    worked = work_out(place, request, f"job {before.id[:8]}", before.id)
    changed = list(changes(before.table, worked.drafted.table))
    for name, old, new in (
        ("dataset", own, worked.drafted.dataset),
        ("partner_dataset", theirs, worked.drafted.partner_dataset),
    ):
        if old != new:
            changed.append((name, old, new))
    void = sum(each.voided is None for each in place.jobs.approvals(before.id))
    return Edit(before, worked, tuple(changed), void)


def enter_edit(place: Place, edit: Edit, actor: Actor) -> JobRecord:
    """Store an edit; approvals are void."""
    drafted = edit.worked.drafted
    return place.jobs.edit(
        edit.before.id,
        drafted.table,
        edit.worked.request.text,
        actor,
        dataset=drafted.dataset,
        contract=drafted.contract,
    )


def same_as_shown(seen: str, shown: str) -> None:
    """Raise ``UsageError`` (``wrong_state``) if what would be stored is not what somebody was shown; digests."""
    if seen != shown:
        raise UsageError(
            "This is not any more what was shown: the text, a policy, a dataset or the partner's word changed.",
            hint="read the card again, then go on",
            code="wrong_state",
        )


def days_of(text: str) -> int:
    """Read in how many days a job is to be run; raises ``UsageError`` for what is no number."""
    if not text:
        return DAYS
    if not text.isdecimal() or len(text) > 3:
        raise UsageError(
            "The days in which the job is to run are no number.", hint="write a number such as 7"
        )
    return int(text)
