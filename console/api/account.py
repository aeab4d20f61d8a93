"""One's own account in the API. A token has no right to it: these addresses take a session's cookie alone."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from console.access import Right, Visitor, allowed
from console.account import change_password, choose_language, end_others
from party.people import Role

router = APIRouter(tags=["account"])
Own = Annotated[Visitor, Depends(allowed(Right.OWN))]
Language = Literal["en", "zh"]


class OwnAccount(BaseModel):
    """Who asks. `language` is null where they chose none, `rights` are what their roles add up to."""

    id: int
    name: str
    roles: list[Role]
    rights: list[str]
    language: Language | None
    must_change: bool


class LanguageWish(BaseModel):
    """A language, or null: as the browser asks."""

    model_config = ConfigDict(extra="forbid")

    language: Language | None


class PasswordWish(BaseModel):
    """The present password and a new one, of 12 to 256 characters."""

    model_config = ConfigDict(extra="forbid")

    password: str = Field(min_length=1, max_length=256)
    new: str = Field(min_length=12, max_length=256)


class SessionFacts(BaseModel):
    """A session: from which address it was begun; `this` is the one that asks."""

    begun: datetime.datetime
    used: datetime.datetime
    source: str
    this: bool


class OwnSessions(BaseModel):
    """One's sessions, the last used first: twenty at most."""

    items: list[SessionFacts]
    next: str | None


class Ended(BaseModel):
    """How many sessions were ended."""

    ended: int


@router.get("/account", operation_id="get_account")
def get_account(visitor: Own) -> OwnAccount:
    """Say who asks, and what they may do."""
    return _account(visitor)


@router.put("/account/language", operation_id="set_language")
def put_language(visitor: Own, wish: LanguageWish) -> OwnAccount:
    """Choose in which language one reads."""
    choose_language(visitor, wish.language)
    return _account(visitor)


@router.put("/account/password", operation_id="change_password", status_code=204)
def put_password(visitor: Own, wish: PasswordWish) -> None:
    """Change one's password; one's other sessions end."""
    change_password(visitor, wish.password, wish.new)


@router.get("/account/sessions", operation_id="list_sessions")
def list_sessions(
    visitor: Own,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[
        str | None, Query(pattern="^[0-9]{1,4}$", description="`next` of the page before")
    ] = None,
) -> OwnSessions:
    """List one's sessions."""
    found, start = visitor.place.sessions.list(visitor.person), int(after or 0)
    this = None if visitor.session is None else visitor.session.id
    items = [
        SessionFacts(begun=each.begun, used=each.used, source=each.source, this=each.id == this)
        for each in found[start : start + limit]
    ]
    return OwnSessions(items=items, next=str(start + limit) if len(found) > start + limit else None)


@router.delete("/account/sessions", operation_id="end_other_sessions")
def end_sessions(visitor: Own) -> Ended:
    """End all of one's sessions but the one that asks."""
    return Ended(ended=end_others(visitor))


def _account(visitor: Visitor) -> OwnAccount:
    # As it is after a change, which the visitor's is not.
    person = visitor.place.people.get(visitor.person.name)
    return OwnAccount.model_validate(
        {
            "id": person.id,
            "name": person.name,
            "roles": sorted(person.roles),
            "rights": sorted(visitor.rights),
            "language": person.language,
            "must_change": person.must_change,
        }
    )
