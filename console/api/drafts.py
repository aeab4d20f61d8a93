"""Drafting and editing jobs: a job file as text, or as the table that it parses to."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from console import drafts
from console.access import Right, Visitor, allowed
from console.api.jobs import CardSection
from console.cardtext import card_text
from console.tomltext import toml_text
from party.contract import MAX_LIFETIME
from party.jobfile import parse_job
from party.jobrecords import JobRecord
from psi.errors import UsageError

router = APIRouter(tags=["jobs"])
Analyst = Annotated[Visitor, Depends(allowed(Right.DRAFT))]
JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
SOURCE = "this request"


class Wanted(BaseModel):
    """A job as it is wanted: exactly one of ``toml`` and ``job``.

    Without names the datasets are the only ones with the job's columns. ``digest`` is that of an earlier check: the
    job is then refused if it would not be the same any more.
    """

    model_config = ConfigDict(extra="forbid")

    toml: str | None = Field(None, max_length=drafts.MAX_TEXT, description="the text of a job file")
    job: dict[str, Any] | None = Field(None, description="the table that a job file parses to")
    dataset: str | None = Field(None, min_length=1, max_length=128, description="own dataset")
    partner_dataset: str | None = Field(
        None, min_length=1, max_length=128, description="the partner's dataset"
    )
    days: int = Field(drafts.DAYS, ge=1, le=MAX_LIFETIME.days, description="days in which the job is to run")
    digest: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="what an earlier check answered")


class WantedJob(Wanted):
    """A new job, and with whom."""

    partner: str = Field(min_length=1, max_length=64)


class PolicyChange(BaseModel):
    """A limit that the policies of ``sides`` made stricter."""

    key: str
    before: str
    after: str
    sides: list[str]
    text: str


class SettingChange(BaseModel):
    """A setting that an edit changes; ``null`` is not set."""

    setting: str
    before: str | None
    after: str | None


class Checked(BaseModel):
    """A job as it would be drafted: what policies changed, and the disclosure card as data and as sentences.

    ``toml`` is the job file as it was asked for. ``told`` is when the partner's node said what this rests on.
    """

    kind: str
    partner: str
    dataset: str
    partner_dataset: str
    told: datetime.datetime
    policy_changes: list[PolicyChange]
    card: dict[str, Any]
    settings: str
    sections: list[CardSection]
    toml: str
    digest: str


class Drafted(Checked):
    """A job that is a draft now; ``contract`` is the hash that a second person approves."""

    job: str
    state: str
    contract: str
    expires: datetime.datetime | None


class Edited(Drafted):
    """A job that is a draft again, what that changed, and how many approvals it made void."""

    changed: list[SettingChange]
    void_approvals: int


@router.post("/jobs/check", operation_id="check_job")
def check(visitor: Analyst, wanted: WantedJob) -> Checked:
    """Work out what a job would be, with its disclosure card. Nothing is stored."""
    return Checked(**_checked(visitor, _work_out(visitor, wanted)))


@router.post("/jobs", operation_id="draft_job", status_code=201)
def draft(visitor: Analyst, wanted: WantedJob, response: Response) -> Drafted:
    """Draft a job. A second person has to approve it before it is proposed to the partner."""
    worked = _work_out(visitor, wanted)
    record = drafts.enter(visitor.place, worked, visitor.actor)
    response.headers["location"] = f"/api/v1/jobs/{record.id}"
    return Drafted(**_checked(visitor, worked), **_stored(record))


@router.put("/jobs/{job}", operation_id="edit_job")
def edit(visitor: Analyst, job: JobId, wanted: Wanted) -> Edited:
    """Put another text in place of a job's that the partner has not seen. Its approvals become void."""
    before = drafts.editable(visitor.place, job)
    found = drafts.work_out_edit(visitor.place, before, request_for(wanted, before.partner))
    if wanted.digest is not None:
        drafts.same_as_shown(found.worked.seen, wanted.digest)
    record = drafts.enter_edit(visitor.place, found, visitor.actor)
    changed = [SettingChange(setting=name, before=old, after=new) for name, old, new in found.changed]
    return Edited(
        **_checked(visitor, found.worked), **_stored(record), changed=changed, void_approvals=found.void
    )


def request_for(wanted: Wanted, partner: str) -> drafts.Request:
    """Return what is to be drafted. Raises ``UsageError`` for a job file that can't be read."""
    if (wanted.toml is None) == (wanted.job is None):
        raise UsageError(
            "The request has not exactly one of toml and job.",
            hint="send the text of a job file as toml, or its table as job",
        )
    if wanted.toml is not None:
        table, text = drafts.read_text(wanted.toml, SOURCE), wanted.toml
    else:
        table = wanted.job or {}
        parse_job(table, SOURCE)
        text = toml_text(table)
    return drafts.Request(table, text, partner, wanted.dataset, wanted.partner_dataset, wanted.days)


def policy_changes(visitor: Visitor, worked: drafts.Worked) -> list[PolicyChange]:
    """Return what the policies made stricter, with a sentence in the visitor's language."""
    texts = worked.changes(visitor.words.language)
    return [
        PolicyChange(key=each.key, before=each.before, after=each.after, sides=list(each.sides), text=text)
        for each, text in zip(worked.drafted.changes, texts, strict=True)
    ]


def card_told(visitor: Visitor, worked: drafts.Worked) -> dict[str, Any]:
    """Return the disclosure card as data, and as the visitor's language has it."""
    text = card_text(worked.card, visitor.words.language)
    sections = [CardSection(heading=heading, sentences=list(said)) for heading, said in text.sections]
    return {"card": worked.card.as_data(), "settings": text.settings, "sections": sections}


def _work_out(visitor: Visitor, wanted: WantedJob) -> drafts.Worked:
    drafts.bank_only(visitor.place)
    worked = drafts.work_out(visitor.place, request_for(wanted, wanted.partner), SOURCE)
    if wanted.digest is not None:
        drafts.same_as_shown(worked.seen, wanted.digest)
    return worked


def _checked(visitor: Visitor, worked: drafts.Worked) -> dict[str, Any]:
    drafted = worked.drafted
    return {
        "kind": drafted.job.kind.value,
        "partner": worked.request.partner,
        "dataset": drafted.dataset,
        "partner_dataset": drafted.partner_dataset,
        "told": drafted.seen,
        "policy_changes": policy_changes(visitor, worked),
        **card_told(visitor, worked),
        "toml": worked.request.text,
        "digest": worked.seen,
    }


def _stored(record: JobRecord) -> dict[str, Any]:
    return {
        "job": record.id,
        "state": record.state.value,
        "contract": record.digest,
        "expires": record.expires,
    }
