"""Pages of the partners: list, one partner, and at the bank the steps that let one in."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from console.access import Right, Visitor, allowed
from console.partners import (
    CHECKS,
    EVENTS,
    SKEW_SECONDS,
    TROUBLES,
    PartnerFacts,
    all_partners,
    certificates_of,
    confirm,
    cosigned,
    examine,
    history,
    invite,
    one_partner,
    own_certificate,
    refuse,
    revoke,
)
from console.render import done, page
from psi.errors import VeiljoinError

router = APIRouter()
# Rows of a table whose whole is in the API: a partner that renews every week has hundreds of them in time.
MOST_ROWS: Final = 50
Sees = Annotated[Visitor, Depends(allowed(Right.SEE))]
Manages = Annotated[Visitor, Depends(allowed(Right.PARTNERS))]


@router.get("/partners")
def show_all(request: Request, visitor: Sees) -> Response:
    """List the partners."""
    return _list(request, visitor)


@router.post("/partners/invite")
def ask_in(request: Request, visitor: Manages) -> Response:
    """Make a token and show it: on this page, once, as it is kept nowhere."""
    partner = visitor.field("partner")
    try:
        made = invite(visitor, partner)
    except VeiljoinError as error:
        return _list(request, visitor, error, partner)
    return page(request, visitor, "partners/invited.html", made=made)


@router.get("/partners/{name}")
def show(request: Request, visitor: Sees, name: str) -> Response:
    """Show one partner."""
    return _one(request, visitor, _partner(visitor, name))


@router.post("/partners/{name}/confirm")
def let_in(request: Request, visitor: Manages, name: str) -> Response:
    """Let a node in whose fingerprint was typed."""
    facts = _partner(visitor, name)
    try:
        until = confirm(visitor, name, visitor.field("fingerprint"), _password(visitor))
    except VeiljoinError as error:
        return _one(request, visitor, facts, error, typed=visitor.field("fingerprint"))
    return done(
        _address(name),
        visitor.say("{name} has access until {when}.", name=name, when=visitor.words.moment(until)),
    )


@router.post("/partners/{name}/refuse")
def turn_away(request: Request, visitor: Manages, name: str) -> Response:
    """Refuse a node that waits."""
    facts = _partner(visitor, name)
    try:
        refuse(visitor, name)
    except VeiljoinError as error:
        return _one(request, visitor, facts, error)
    return done(_address(name), visitor.say("The request of {name} is refused.", name=name))


@router.post("/partners/{name}/revoke")
def shut_out(request: Request, visitor: Manages, name: str) -> Response:
    """Take a partner's access away."""
    facts = _partner(visitor, name)
    try:
        revoke(visitor, name, _password(visitor))
    except VeiljoinError as error:
        return _one(request, visitor, facts, error)
    return done(_address(name), visitor.say("{name} has no access any more.", name=name))


@router.post("/partners/{name}/examine")
def check_line(request: Request, visitor: Manages, name: str) -> Response:
    """Check, at a platform, everything that the line to its bank needs."""
    facts = _partner(visitor, name)
    try:
        findings = examine(visitor.place)
    except VeiljoinError as error:
        return _one(request, visitor, facts, error)
    return _one(request, visitor, facts, findings=findings)


def _list(
    request: Request, visitor: Visitor, error: VeiljoinError | None = None, typed: str = ""
) -> Response:
    return page(
        request,
        visitor,
        "partners/list.html",
        200 if error is None else error.code.http,
        partners=all_partners(visitor.place),
        is_bank=visitor.place.is_bank,
        own=own_certificate(visitor.place),
        skew=SKEW_SECONDS,
        error=error,
        typed=typed,
    )


def _one(
    request: Request,
    visitor: Visitor,
    facts: PartnerFacts,
    error: VeiljoinError | None = None,
    typed: str = "",
    findings: Any = None,
) -> Response:
    place, name = visitor.place, facts.partner.name

    def check_name(check: str) -> str:
        word, _, rest = check.partition(" ")
        return f"{visitor.say(CHECKS.get(word, word))} {rest}".strip()

    # A fingerprint to compare with is not on the page: it is typed as the partner reads it out.
    said = [
        (event, visitor.say(EVENTS[event.event], note=event.note) if event.event in EVENTS else event.event)
        for event in history(place, name)[:MOST_ROWS]
    ]
    return page(
        request,
        visitor,
        "partners/partner.html",
        200 if error is None else error.code.http,
        facts=facts,
        is_bank=place.is_bank,
        history=said,
        certificates=certificates_of(place, name)[:MOST_ROWS],
        cosigned=cosigned(place, name),
        trouble=None if facts.trouble is None else visitor.say(TROUBLES.get(facts.trouble, facts.trouble)),
        own=own_certificate(place),
        skew=SKEW_SECONDS,
        most=MOST_ROWS,
        error=error,
        typed=typed,
        findings=findings,
        check_name=check_name,
    )


def _partner(visitor: Visitor, name: str) -> PartnerFacts:
    facts = one_partner(visitor.place, name)
    if facts is None:
        raise HTTPException(404)
    return facts


def _password(visitor: Visitor) -> str:
    """Return the password as it was typed, blanks included."""
    value = visitor.form.get("password", "")
    return value if isinstance(value, str) else ""


def _address(name: str) -> str:
    return f"/partners/{quote(name, safe='')}"
