"""Pages of one's own account: password, language, sessions, tokens."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response

from console.access import LANGUAGE_COOKIE, Right, Visitor, allowed
from console.account import (
    SCOPE_NAMES,
    change_password,
    choose_language,
    end_others,
    make_token,
    own_tokens,
    revoke_token,
    scopes_for,
)
from console.people import ROLES
from console.render import done, page
from console.settings import LANGUAGES
from console.words import Words
from party.apitokens import LONGEST_DAYS
from party.passwords import LONGEST, SHORTEST
from psi.errors import UsageError, VeiljoinError

router = APIRouter()
Own = Annotated[Visitor, Depends(allowed(Right.OWN))]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
_USUAL_DAYS = 90


@router.get("/account")
def show(request: Request, visitor: Own) -> Response:
    """Show the account."""
    return _account(request, visitor)


@router.get("/account/password")
def ask_password(request: Request, visitor: Own) -> Response:
    """Ask for a new password."""
    return _password_form(request, visitor)


@router.post("/account/password")
def set_password(request: Request, visitor: Own) -> Response:
    """Change the password."""
    try:
        if _typed(visitor, "new") != _typed(visitor, "again"):
            raise UsageError("The two new passwords differ.", hint="type the same one twice")
        change_password(visitor, _typed(visitor, "password"), _typed(visitor, "new"))
    except VeiljoinError as error:
        return _password_form(request, visitor, error)
    after = "/" if visitor.person.must_change else "/account"
    return done(after, visitor.say("Your password is changed, and your other sessions have ended."))


@router.post("/account/language")
def set_language(visitor: Own) -> Response:
    """Choose the language, for all browsers; what was chosen in this one alone counts no more."""
    chosen = visitor.field("language")
    choose_language(visitor, chosen or None)
    words = Words(chosen) if chosen in LANGUAGES else visitor.words
    answer = done("/account", words.say("The language is set."))
    answer.delete_cookie(LANGUAGE_COOKIE, secure=True, httponly=True)
    return answer


@router.post("/account/sessions/end")
def end_sessions(visitor: Own) -> Response:
    """End all other sessions."""
    count = end_others(visitor)
    return done("/account", visitor.say("Sessions that have ended: {n}", n=visitor.words.number(count)))


@router.post("/account/tokens")
def add_token(request: Request, visitor: Own) -> Response:
    """Make a token and show its secret, once."""
    days = visitor.field("days")
    try:
        token, secret = make_token(
            visitor,
            visitor.field("name"),
            _scopes(visitor),
            int(days) if days.isascii() and days.isdigit() and len(days) <= 3 else 0,
            _typed(visitor, "password"),
        )
    except VeiljoinError as error:
        return _account(request, visitor, error)
    return page(
        request, visitor, "account/token.html", token=token, secret=secret.reveal(), scopes=SCOPE_NAMES
    )


@router.post("/account/tokens/{token}/revoke")
def end_token(request: Request, visitor: Own, token: Number) -> Response:
    """Revoke a token."""
    try:
        revoke_token(visitor, token)
    except VeiljoinError as error:
        return _account(request, visitor, error)
    return done("/account", visitor.say("The token is revoked."))


def _account(request: Request, visitor: Visitor, error: VeiljoinError | None = None) -> Response:
    return page(
        request,
        visitor,
        "account/account.html",
        200 if error is None else error.code.http,
        roles=ROLES,
        sessions=visitor.place.sessions.list(visitor.person),
        tokens=own_tokens(visitor),
        scopes=SCOPE_NAMES,
        possible=scopes_for(visitor),
        chosen=_scopes(visitor),
        typed=visitor.field("name"),
        days=visitor.field("days") or str(_USUAL_DAYS),
        longest=LONGEST_DAYS,
        now=visitor.place.node.clock(),
        error=error,
    )


def _password_form(request: Request, visitor: Visitor, error: VeiljoinError | None = None) -> Response:
    return page(
        request,
        visitor,
        "account/password.html",
        200 if error is None else error.code.http,
        shortest=SHORTEST,
        longest=LONGEST,
        error=error,
    )


def _scopes(visitor: Visitor) -> list[str]:
    return [each for each in visitor.form.getlist("scope") if isinstance(each, str)]


def _typed(visitor: Visitor, name: str) -> str:
    # As it was typed: blanks at a password's ends count.
    value = visitor.form.get(name, "")
    return value if isinstance(value, str) else ""
