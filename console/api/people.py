"""The people in the API, for administrators: accounts, roles, passwords that are handed over, tokens of others."""

from __future__ import annotations

import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from console.access import Right, Visitor, allowed
from console.api.tokens import MAX_NUMBER, TokenFacts
from console.people import (
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
from console.toldonce import told_once
from party.people import Role

router = APIRouter(tags=["people"])
Manages = Annotated[Visitor, Depends(allowed(Right.PEOPLE))]
Number = Annotated[int, Path(ge=1, le=MAX_NUMBER, description="the account's number")]
Limit = Annotated[int, Query(ge=1, le=200)]
After = Annotated[int | None, Query(ge=1, le=MAX_NUMBER, description="`next` of the page before")]
OwnPassword = Annotated[str, Field(min_length=1, max_length=256, description="the caller's own, once more")]
Roles = Annotated[list[Role], Field(min_length=1, max_length=len(Role))]


class Account(BaseModel):
    """One account. `must_change`: the password was handed over and not changed yet."""

    id: int
    name: str
    roles: list[Role]
    disabled: bool
    must_change: bool
    created: datetime.datetime
    changed: datetime.datetime
    sessions: int
    tokens: int

    @classmethod
    def of(cls, facts: PersonFacts) -> Self:
        """Return it as the API tells it."""
        person = facts.person
        return cls(
            id=person.id,
            name=person.name,
            roles=sorted(person.roles),
            disabled=person.disabled,
            must_change=person.must_change,
            created=person.created,
            changed=person.changed,
            sessions=facts.sessions,
            tokens=len(facts.tokens),
        )


class Accounts(BaseModel):
    """A page of accounts by number."""

    items: list[Account]
    next: int | None


class NewAccount(BaseModel):
    """Whom to add."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    roles: Roles
    password: OwnPassword


class RolesWish(BaseModel):
    """The roles that a person is to have, instead of those they have."""

    model_config = ConfigDict(extra="forbid")

    roles: Roles
    password: OwnPassword


class OwnProof(BaseModel):
    """The own password once more."""

    model_config = ConfigDict(extra="forbid")

    password: OwnPassword


class HandedOver(BaseModel):
    """A password that was made, told once; its owner has to change it at the first login, in a browser."""

    account: Account
    one_time_password: str


class PersonTokens(BaseModel):
    """A page of a person's tokens that can be used, by number."""

    items: list[TokenFacts]
    next: int | None


@router.get("/people", operation_id="list_people")
def list_people(visitor: Manages, limit: Limit = 50, after: After = None) -> Accounts:
    """List the accounts by number."""
    found = sorted(all_people(visitor.place), key=lambda each: each.person.id)
    rest = [each for each in found if after is None or each.person.id > after]
    items = [Account.of(each) for each in rest[:limit]]
    return Accounts(items=items, next=items[-1].id if len(rest) > limit else None)


@router.post("/people", operation_id="add_person", status_code=201)
def add_person(request: Request, visitor: Manages, wish: NewAccount) -> HandedOver:
    """Make an account; the answer with its password is not given again."""
    made = add(visitor, wish.name, wish.roles, wish.password)
    told_once(request)
    return HandedOver(account=_account(visitor, made.person.id), one_time_password=made.password)


@router.get("/people/{number}", operation_id="get_person")
def get_person(visitor: Manages, number: Number) -> Account:
    """Show one account."""
    return _account(visitor, number)


@router.put("/people/{number}/roles", operation_id="change_roles")
def put_roles(visitor: Manages, number: Number, wish: RolesWish) -> Account:
    """Give a person other roles; they hold from the next request on. Nobody changes their own."""
    change_roles(visitor, _person(visitor, number).person, wish.roles, wish.password)
    return _account(visitor, number)


@router.post("/people/{number}/password", operation_id="reset_password", status_code=201)
def make_password(request: Request, visitor: Manages, number: Number, wish: OwnProof) -> HandedOver:
    """Make a new password, and end the person's sessions; the answer is not given again."""
    made = reset_password(visitor, _person(visitor, number).person, wish.password)
    told_once(request)
    return HandedOver(account=_account(visitor, number), one_time_password=made.password)


@router.post("/people/{number}/disable", operation_id="disable_person")
def disable_person(visitor: Manages, number: Number, wish: OwnProof) -> Account:
    """Keep a person out: sessions end at once, tokens are not taken any more."""
    keep_out(visitor, _person(visitor, number).person, wish.password)
    return _account(visitor, number)


@router.post("/people/{number}/enable", operation_id="enable_person")
def enable_person(visitor: Manages, number: Number, wish: OwnProof) -> Account:
    """Let a person in again."""
    let_in(visitor, _person(visitor, number).person, wish.password)
    return _account(visitor, number)


@router.get("/people/{number}/tokens", operation_id="list_person_tokens")
def list_tokens(visitor: Manages, number: Number, limit: Limit = 50, after: After = None) -> PersonTokens:
    """List the tokens of a person that can be used, by number."""
    found = sorted(_person(visitor, number).tokens, key=lambda each: each.id)
    rest = [each for each in found if after is None or each.id > after]
    items = [TokenFacts.of(each) for each in rest[:limit]]
    return PersonTokens(items=items, next=items[-1].id if len(rest) > limit else None)


@router.delete("/people/{number}/tokens/{token}", operation_id="revoke_person_token", status_code=204)
def end_token(visitor: Manages, number: Number, token: Annotated[int, Path(ge=1, le=MAX_NUMBER)]) -> Response:
    """Revoke a token of a person."""
    facts = _person(visitor, number)
    if all(each.id != token for each in facts.tokens):
        raise HTTPException(404)
    revoke_token(visitor, facts.person, token)
    return Response(status_code=204)


def _person(visitor: Visitor, number: int) -> PersonFacts:
    facts = one_person(visitor.place, number)
    if facts is None:
        raise HTTPException(404)
    return facts


def _account(visitor: Visitor, number: int) -> Account:
    return Account.of(_person(visitor, number))
