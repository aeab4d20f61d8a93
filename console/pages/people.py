"""Pages for administrators: who uses this console, in which roles."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from console.access import Right, Visitor, allowed
from console.people import (
    ROLES,
    Handed,
    PersonFacts,
    add,
    all_people,
    change_roles,
    keep_out,
    let_in,
    one_person,
    reset_password,
    revoke_token,
)
from console.render import done, page
from psi.errors import VeiljoinError

router = APIRouter()
Manages = Annotated[Visitor, Depends(allowed(Right.PEOPLE))]
# Numbers and not names: who works here is not for the histories of browsers and the logs of proxies.
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get("/people")
def show_all(request: Request, visitor: Manages) -> Response:
    """List the accounts."""
    return _list(request, visitor)


@router.post("/people")
def take_in(request: Request, visitor: Manages) -> Response:
    """Make an account and show its password, once."""
    try:
        made = add(visitor, visitor.field("name"), _chosen(visitor), _password(visitor))
    except VeiljoinError as error:
        return _list(request, visitor, error)
    return _handed(request, visitor, made)


@router.get("/people/{number}")
def show(request: Request, visitor: Manages, number: Number) -> Response:
    """Show one account."""
    return _one(request, visitor, _person(visitor, number))


@router.post("/people/{number}/roles")
def give(request: Request, visitor: Manages, number: Number) -> Response:
    """Give a person other roles."""
    facts = _person(visitor, number)
    try:
        person = change_roles(visitor, facts.person, _chosen(visitor), _password(visitor))
    except VeiljoinError as error:
        return _one(request, visitor, facts, error)
    return done(_address(number), visitor.say("The roles of {name} are changed.", name=person.name))


@router.post("/people/{number}/password")
def reset(request: Request, visitor: Manages, number: Number) -> Response:
    """Make a new password and show it, once."""
    facts = _person(visitor, number)
    try:
        made = reset_password(visitor, facts.person, _password(visitor))
    except VeiljoinError as error:
        return _one(request, visitor, facts, error)
    return _handed(request, visitor, made)


@router.post("/people/{number}/disable")
def shut_out(request: Request, visitor: Manages, number: Number) -> Response:
    """Keep a person out."""
    facts = _person(visitor, number)
    try:
        keep_out(visitor, facts.person, _password(visitor))
    except VeiljoinError as error:
        return _one(request, visitor, facts, error)
    return done(_address(number), visitor.say("{name} is kept out from now on.", name=facts.person.name))


@router.post("/people/{number}/enable")
def open_again(request: Request, visitor: Manages, number: Number) -> Response:
    """Let a person in again."""
    facts = _person(visitor, number)
    try:
        let_in(visitor, facts.person, _password(visitor))
    except VeiljoinError as error:
        return _one(request, visitor, facts, error)
    return done(_address(number), visitor.say("{name} can log in again.", name=facts.person.name))


@router.post("/people/{number}/tokens/{token}/revoke")
def end_token(request: Request, visitor: Manages, number: Number, token: Number) -> Response:
    """Revoke a token of a person."""
    facts = _person(visitor, number)
    try:
        revoke_token(visitor, facts.person, token)
    except VeiljoinError as error:
        return _one(request, visitor, facts, error)
    return done(_address(number), visitor.say("The token is revoked."))


def _list(request: Request, visitor: Visitor, error: VeiljoinError | None = None) -> Response:
    return page(
        request,
        visitor,
        "people/list.html",
        200 if error is None else error.code.http,
        people=all_people(visitor.place),
        roles=ROLES,
        typed=visitor.field("name"),
        chosen=_chosen(visitor),
        error=error,
    )


def _one(
    request: Request, visitor: Visitor, facts: PersonFacts, error: VeiljoinError | None = None
) -> Response:
    return page(
        request,
        visitor,
        "people/person.html",
        200 if error is None else error.code.http,
        facts=facts,
        roles=ROLES,
        oneself=facts.person.id == visitor.person.id,
        error=error,
    )


def _handed(request: Request, visitor: Visitor, made: Handed) -> Response:
    return page(request, visitor, "people/handed.html", made=made)


def _chosen(visitor: Visitor) -> list[str]:
    return [each for each in visitor.form.getlist("role") if isinstance(each, str)]


def _password(visitor: Visitor) -> str:
    # As it was typed: blanks at its ends count.
    typed = visitor.form.get("password", "")
    return typed if isinstance(typed, str) else ""


def _person(visitor: Visitor, number: int) -> PersonFacts:
    facts = one_person(visitor.place, number)
    if facts is None:
        raise HTTPException(404)
    return facts


def _address(number: int) -> str:
    return f"/people/{number}"
