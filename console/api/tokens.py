"""One's own tokens in the API. A token cannot make or end tokens: these addresses take a session's cookie alone."""

from __future__ import annotations

import datetime
from typing import Annotated, Final, Literal, Self

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from console.access import Right, Visitor, allowed
from console.account import make_token, own_tokens, revoke_token
from console.toldonce import told_once
from party.apitokens import LONGEST_DAYS, ApiToken

router = APIRouter(tags=["tokens"])
Own = Annotated[Visitor, Depends(allowed(Right.OWN))]
# Of a key in the store, on either database.
MAX_NUMBER: Final = 2**31 - 1
Scope = Literal["see", "draft", "decide", "cancel", "datasets", "results", "partners", "people", "audit"]


class TokenFacts(BaseModel):
    """One token. `used` is when it was last seen, to the minute."""

    id: int
    name: str
    scopes: list[Scope]
    made: datetime.datetime
    expires: datetime.datetime
    used: datetime.datetime | None
    revoked: datetime.datetime | None

    @classmethod
    def of(cls, token: ApiToken) -> Self:
        """Return it as the API tells it."""
        return cls.model_validate(
            {
                "id": token.id,
                "name": token.name,
                "scopes": sorted(token.scopes),
                "made": token.made,
                "expires": token.expires,
                "used": token.used,
                "revoked": token.revoked,
            }
        )


class Tokens(BaseModel):
    """A page of one's tokens, the newest first; those that have ended among them."""

    items: list[TokenFacts]
    next: int | None


class NewToken(BaseModel):
    """What a token is to be for; no more than its owner may do."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64, examples=["nightly export"])
    scopes: list[Scope] = Field(min_length=1, max_length=9)
    days: int = Field(ge=1, le=LONGEST_DAYS)
    password: str = Field(min_length=1, max_length=256, description="the own password once more")


class TokenMade(BaseModel):
    """A token, told once: send it as `Authorization: Bearer` and the `secret`."""

    token: TokenFacts
    secret: str


@router.get("/tokens", operation_id="list_tokens")
def list_tokens(
    visitor: Own,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[int | None, Query(ge=1, le=MAX_NUMBER, description="`next` of the page before")] = None,
) -> Tokens:
    """List one's tokens, the newest first."""
    rest = [each for each in own_tokens(visitor) if after is None or each.id < after]
    items = [TokenFacts.of(each) for each in rest[:limit]]
    return Tokens(items=items, next=items[-1].id if len(rest) > limit else None)


@router.post("/tokens", operation_id="make_token", status_code=201)
def new_token(request: Request, visitor: Own, wish: NewToken) -> TokenMade:
    """Make a token; the answer with its secret is not given again."""
    token, secret = make_token(visitor, wish.name, wish.scopes, wish.days, wish.password)
    told_once(request)
    return TokenMade(token=TokenFacts.of(token), secret=secret.reveal())


@router.delete("/tokens/{number}", operation_id="revoke_token", status_code=204)
def end_token(visitor: Own, number: Annotated[int, Path(ge=1, le=MAX_NUMBER)]) -> Response:
    """Revoke one of one's tokens."""
    if all(each.id != number for each in own_tokens(visitor)):
        raise HTTPException(404)
    revoke_token(visitor, number)
    return Response(status_code=204)
