"""Coming and going: the login, the language, the end of a session."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from console.access import (
    COOKIE,
    LANGUAGE_COOKIE,
    Open,
    Right,
    Visitor,
    allowed,
    language_of,
    own_path,
    source_of,
)
from console.place import Place, place
from console.render import done, plain_page
from console.settings import LANGUAGES
from console.words import Words
from psi.errors import VeiljoinError

router = APIRouter()
Here = Annotated[Place, Depends(place)]
_YEAR = 365 * 86_400


@router.get("/login", dependencies=[Depends(Open())])
def login(request: Request, here: Here, next: str = "/") -> Response:
    """Show the login."""
    return _form(request, here, own_path(next))


async def _fields(request: Request) -> dict[str, str]:
    form = await request.form(max_files=0, max_fields=10)
    return {name: value for name, value in form.items() if isinstance(value, str)}


@router.post("/login", dependencies=[Depends(Open())])
def enter(request: Request, here: Here, fields: Annotated[dict[str, str], Depends(_fields)]) -> Response:
    """Begin a session, under a number that was never used before, and end the one that the browser came with."""
    following = own_path(fields.get("next", "/"))
    source = source_of(request)
    try:
        person = here.people.check(fields.get("name", ""), fields.get("password", ""), source)
    except VeiljoinError as error:
        if error.code.name not in ("not_allowed", "bad_setting"):
            raise
        return _form(request, here, following, error, fields.get("name", "")[:64])
    before = here.sessions.find(request.cookies.get(COOKIE, ""))
    if before is not None:
        here.sessions.end(before)
    secret = here.sessions.begin(person, source)
    answer = RedirectResponse(following, 303)
    answer.set_cookie(COOKIE, secret.reveal(), secure=True, httponly=True, samesite="lax", path="/")
    return answer


@router.post("/logout")
def leave(visitor: Annotated[Visitor, Depends(allowed(Right.OWN))]) -> Response:
    """End the session."""
    if visitor.session is not None:
        visitor.place.sessions.end(visitor.session)
    answer = done("/login", visitor.say("You are logged out."))
    answer.delete_cookie(COOKIE, secure=True, httponly=True)
    return answer


@router.get("/language/{language}", dependencies=[Depends(Open())])
def choose(language: str, next: str = "/") -> Response:
    """Take a language for this browser."""
    answer = RedirectResponse(own_path(next), 303)
    if language in LANGUAGES:
        answer.set_cookie(
            LANGUAGE_COOKIE, language, max_age=_YEAR, secure=True, httponly=True, samesite="lax", path="/"
        )
    return answer


@router.get("/healthz", dependencies=[Depends(Open())])
def health(here: Here) -> dict[str, str]:
    """Say whether the store answers, for whoever watches the console; raises ``UsageError`` if it doesn't."""
    here.sessions.find("")
    here.jobs.list(limit=1)
    return {"status": "ok"}


def _form(
    request: Request, here: Place, following: str, error: VeiljoinError | None = None, name: str = ""
) -> Response:
    words = Words(language_of(request, here))
    return plain_page(
        request,
        words,
        "login.html",
        200 if error is None else 403,
        following=following,
        error=error,
        name=name,
    )
