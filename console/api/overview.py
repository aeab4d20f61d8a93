"""How things stand, in the API."""

from __future__ import annotations

import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from console.access import Right, Visitor, allowed
from console.api.jobs import JobSummary
from console.campaignfigures import Campaign, Figure, Known
from console.overview import Concern, overview_of
from console.pages.overview import outcomes_of
from party.jobstates import JobState

router = APIRouter(tags=["overview"])


class CampaignFigure(BaseModel):
    """One figure as a decimal; `low` and `high` are the interval of an estimate, 95 %."""

    known: Known
    value: str | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, figure: Figure) -> Self:
        """Return it as the API tells it."""
        value = None if figure.value is None else f"{figure.value:f}"
        return cls(known=figure.known, value=value, low=figure.low, high=figure.high)


class CampaignSummary(BaseModel):
    """What the newest job of a campaign that measured came to; `jobs` of the campaign are done.

    `returned` is per value column what came back for one unit of spend: with `added` what the campaign added, else
    all that was attributed. `whole` is false where withheld groups are missing.
    """

    purpose: str
    partner: str
    job: str
    kind: str
    finished: datetime.datetime
    jobs: int
    reach: CampaignFigure
    converters: CampaignFigure
    conversions: CampaignFigure
    spend: CampaignFigure
    sums: dict[str, CampaignFigure]
    returned: dict[str, CampaignFigure]
    added: bool
    whole: bool

    @classmethod
    def of(cls, each: Campaign) -> Self:
        """Return it as the API tells it."""
        said = each.outcome
        return cls(
            purpose=each.record.purpose,
            partner=each.record.partner,
            job=each.record.id,
            kind=each.record.kind,
            finished=each.record.changed,
            jobs=each.finished,
            reach=CampaignFigure.of(said.reach),
            converters=CampaignFigure.of(said.converters),
            conversions=CampaignFigure.of(said.conversions),
            spend=CampaignFigure.of(said.spend),
            sums={column: CampaignFigure.of(figure) for column, figure in said.sums.items()},
            returned={column: CampaignFigure.of(figure) for column, figure in said.returned.items()},
            added=said.added,
            whole=said.whole,
        )


class NeedsAttention(BaseModel):
    """One thing that needs attention; `name` is what or whom it is about, `address` the page about it."""

    concern: Concern
    name: str | None
    at: datetime.datetime | None
    address: str


class OverviewSummary(BaseModel):
    """How many jobs are in each state, the latest of some, what needs attention, and campaigns.

    `campaigns` are the latest twelve, null for who may not read results; `unread` results come with the next look.
    """

    counts: dict[JobState, int]
    running: list[JobSummary]
    waiting: list[JobSummary]
    finished: list[JobSummary]
    failed: list[JobSummary]
    attention: list[NeedsAttention]
    campaigns: list[CampaignSummary] | None
    unread: int


@router.get("/overview", operation_id="get_overview")
def overview(request: Request, visitor: Annotated[Visitor, Depends(allowed(Right.SEE))]) -> OverviewSummary:
    """Return how things stand."""
    found = overview_of(visitor, outcomes_of(request))
    told = found.campaigns
    return OverviewSummary(
        counts=dict(found.counts),
        running=[JobSummary.of(row) for row in found.running],
        waiting=[JobSummary.of(row) for row in found.waiting],
        finished=[JobSummary.of(row) for row in found.finished],
        failed=[JobSummary.of(row) for row in found.failed],
        attention=[
            NeedsAttention(concern=each.concern, name=each.name or None, at=each.at, address=each.address)
            for each in found.attention
        ],
        campaigns=None if told is None else [CampaignSummary.of(each) for each in told.campaigns],
        unread=0 if told is None else told.unread,
    )
