"""The partners in the API: access, history, and at the bank the steps that let one in."""

from __future__ import annotations

import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from console.access import Right, Visitor, allowed
from console.partners import (
    PartnerFacts,
    Standing,
    all_partners,
    certificates_of,
    confirm,
    cosigned,
    examine,
    history,
    invite,
    one_partner,
    refuse,
    revoke,
)
from console.toldonce import told_once

router = APIRouter(tags=["partners"])
Sees = Annotated[Visitor, Depends(allowed(Right.SEE))]
Manages = Annotated[Visitor, Depends(allowed(Right.PARTNERS))]
Name = Annotated[str, Path(pattern="^[a-z0-9-]{1,32}$", description="the partner's name")]


class Waiting(BaseModel):
    """A node that waits to be confirmed; its fingerprint is what the partner reads out."""

    source: str
    software: str
    invited_by: str
    requested: datetime.datetime


class PartnerLimits(BaseModel):
    """A partner's limits, as it told; `epsilon` is a fraction, null where it asks for no noise."""

    min_group: int
    min_converters: int
    dominance: int
    max_set: int
    epsilon: str | None


class PartnerDataset(BaseModel):
    """A partner's dataset, as it told; `persons` to two digits."""

    name: str
    identifiers: list[str]
    columns: list[str]
    persons: int


class PartnerSummary(BaseModel):
    """One partner. `until` is when its certificate ends (at a platform the own one), `trouble` why it doesn't cosign.

    `skew` is by how many seconds its clock was ahead.
    """

    name: str
    standing: Standing
    until: datetime.datetime | None
    heard: datetime.datetime | None
    software: str | None
    skew: float | None
    trouble: str | None
    waiting: Waiting | None

    @classmethod
    def of(cls, facts: PartnerFacts) -> Self:
        """Return it as the API tells it."""
        waiting, told = facts.waiting, facts.told
        return cls(
            name=facts.partner.name,
            standing=facts.standing,
            until=facts.until,
            heard=facts.heard,
            software=None if told is None else told.software,
            skew=None if told is None else told.skew,
            trouble=facts.trouble,
            waiting=None
            if waiting is None
            else Waiting(
                source=waiting.source,
                software=waiting.software,
                invited_by=waiting.invited_by,
                requested=waiting.requested,
            ),
        )


class PartnerCertificate(BaseModel):
    """One certificate; `replaced` says that it was revoked by the use of its successor."""

    serial: str
    start: datetime.datetime
    end: datetime.datetime
    revoked: datetime.datetime | None
    by: str | None
    replaced: bool


class LogStanding(BaseModel):
    """How far both cosigned: entries of our log, those it cosigned, and the entries of its log that we cosigned."""

    own: int
    own_cosigned: int
    theirs: int
    at: datetime.datetime | None
    forks: int


class PartnerView(PartnerSummary):
    """One partner, with what it told and what is known of its certificates and its log."""

    san: str
    identity: str | None
    address: str | None
    told_at: datetime.datetime | None
    datasets: list[PartnerDataset]
    limits: PartnerLimits | None
    certificates: list[PartnerCertificate]
    log: LogStanding | None


class PartnerList(BaseModel):
    """A page of partners by name."""

    items: list[PartnerSummary]
    next: str | None


class PartnerEvent(BaseModel):
    """One step of a partner's access. `event` is a stable word, `note` what goes with it."""

    at: datetime.datetime
    actor: str
    event: str
    note: str


class PartnerHistory(BaseModel):
    """A page of a partner's history, the newest first."""

    items: list[PartnerEvent]
    next: str | None


class InvitationWish(BaseModel):
    """Whom to invite."""

    model_config = ConfigDict(extra="forbid")

    partner: str = Field(min_length=1, max_length=32, examples=["acme-ads"])


class InvitationMade(BaseModel):
    """A token, told once. The partner runs `veiljoin client join TOKEN` before `until`."""

    partner: str
    token: str
    until: datetime.datetime


class Confirmation(BaseModel):
    """The fingerprint as the partner reads it out, and the own password once more."""

    model_config = ConfigDict(extra="forbid")

    fingerprint: str = Field(min_length=1, max_length=100)
    password: str = Field(max_length=256)


class Proof(BaseModel):
    """The own password once more."""

    model_config = ConfigDict(extra="forbid")

    password: str = Field(max_length=256)


class DoctorFinding(BaseModel):
    """One check of the line to the bank: `verdict` is ok, failed or skipped."""

    check: str
    verdict: str
    text: str
    hint: str


class DoctorFindings(BaseModel):
    """All checks, in their order."""

    items: list[DoctorFinding]


@router.get("/partners", operation_id="list_partners")
def list_partners(
    visitor: Sees,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(max_length=32, description="`next` of the page before")] = None,
) -> PartnerList:
    """List the partners by name."""
    rest = [each for each in all_partners(visitor.place) if after is None or each.partner.name > after]
    items = [PartnerSummary.of(each) for each in rest[:limit]]
    return PartnerList(items=items, next=items[-1].name if len(rest) > limit else None)


@router.post("/partners", operation_id="invite_partner", status_code=201)
def invite_partner(request: Request, visitor: Manages, wish: InvitationWish) -> InvitationMade:
    """Make the token of a partner, at the bank; the one before is void from now on."""
    made = invite(visitor, wish.partner)
    told_once(request)
    return InvitationMade(partner=made.partner, token=made.token, until=made.until)


@router.get("/partners/{name}", operation_id="get_partner")
def get_partner(visitor: Sees, name: Name) -> PartnerView:
    """Show one partner."""
    return _view(visitor, _partner(visitor, name))


@router.get("/partners/{name}/history", operation_id="get_partner_history")
def get_history(
    visitor: Sees,
    name: Name,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[
        str | None, Query(pattern="^[0-9]{1,9}$", description="`next` of the page before")
    ] = None,
) -> PartnerHistory:
    """Show what was done to a partner's access, the newest first."""
    _partner(visitor, name)
    # Counted from the oldest, so that a cursor stays where it is when something is added.
    events = history(visitor.place, name)[::-1]
    end = len(events) if after is None else int(after)
    start = max(0, end - limit)
    items = [
        PartnerEvent(at=each.at, actor=each.actor, event=each.event.replace(" ", "_"), note=each.note)
        for each in events[start:end][::-1]
    ]
    return PartnerHistory(items=items, next=str(start) if start and items else None)


@router.post("/partners/{name}/confirm", operation_id="confirm_partner")
def confirm_partner(visitor: Manages, name: Name, wish: Confirmation) -> PartnerSummary:
    """Let a node in that waits; another person than who invited it."""
    _partner(visitor, name)
    confirm(visitor, name, wish.fingerprint, wish.password)
    return PartnerSummary.of(_partner(visitor, name))


@router.post("/partners/{name}/refuse", operation_id="refuse_partner")
def refuse_partner(visitor: Manages, name: Name) -> PartnerSummary:
    """Refuse a node that waits."""
    _partner(visitor, name)
    refuse(visitor, name)
    return PartnerSummary.of(_partner(visitor, name))


@router.post("/partners/{name}/revoke", operation_id="revoke_partner")
def revoke_partner(visitor: Manages, name: Name, wish: Proof) -> PartnerSummary:
    """Take a partner's access away; open streams end within seconds."""
    _partner(visitor, name)
    revoke(visitor, name, wish.password)
    return PartnerSummary.of(_partner(visitor, name))


@router.post("/partners/{name}/examine", operation_id="examine_line")
def examine_line(visitor: Manages, name: Name) -> DoctorFindings:
    """Check, at a platform, everything that the line to its bank needs; takes up to a minute."""
    _partner(visitor, name)
    items = [
        DoctorFinding(check=each.check, verdict=each.verdict.value, text=each.text, hint=each.hint)
        for each in examine(visitor.place)
    ]
    return DoctorFindings(items=items)


def _partner(visitor: Visitor, name: str) -> PartnerFacts:
    facts = one_partner(visitor.place, name)
    if facts is None:
        raise HTTPException(404)
    return facts


def _view(visitor: Visitor, facts: PartnerFacts) -> PartnerView:
    place, one, told = visitor.place, facts.partner, facts.told
    limits, log = None if told is None else told.limits, cosigned(place, one.name)
    return PartnerView(
        **PartnerSummary.of(facts).model_dump(),
        san=one.san,
        identity=None if one.identity is None else one.identity.hex(),
        address=one.address,
        told_at=None if told is None else told.at,
        datasets=[
            PartnerDataset(
                name=each.name,
                identifiers=list(each.identifiers),
                columns=list(each.columns),
                persons=each.persons,
            )
            for each in (() if told is None else told.catalogue)
        ],
        limits=None
        if limits is None
        else PartnerLimits(
            min_group=limits.min_group,
            min_converters=limits.min_converters,
            dominance=limits.dominance,
            max_set=limits.max_set,
            epsilon=limits.epsilon or None,
        ),
        certificates=[
            PartnerCertificate(
                serial=each.serial,
                start=each.start,
                end=each.end,
                revoked=each.revoked,
                by=each.by,
                replaced=each.replaced,
            )
            for each in certificates_of(place, one.name)
        ],
        log=None
        if log is None
        else LogStanding(
            own=log.own, own_cosigned=log.own_cosigned, theirs=log.theirs, at=log.at, forks=log.forks
        ),
    )
