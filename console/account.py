"""One's own account: password, language, sessions, and tokens for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from console.access import PasswordDueError, Right, Visitor
from party.apitokens import SCOPES, ApiToken, TokenSecret
from psi.errors import UsageError

# What each scope of a token is for, in the order of the form.
SCOPE_NAMES: Final[Mapping[str, str]] = {
    "see": "see jobs, cards, datasets, partners and policy",
    "draft": "draft and edit jobs and schedules",
    "decide": "approve and refuse",
    "cancel": "cancel jobs",
    "datasets": "register and remove datasets",
    "results": "read results",
    "partners": "invite, confirm and revoke partners",
    "people": "manage people",
    "audit": "read, verify and export the log",
}


def change_password(visitor: Visitor, current: str, new: str) -> None:
    """Change one's password and end one's other sessions.

    Raises ``PolicyRefusal`` where ``current`` is wrong, ``UsageError`` for a ``new`` one that can't be.
    """
    visitor.prove(current)
    keep = None if visitor.session is None else visitor.session.id
    visitor.place.people.set_password(visitor.person.name, new, visitor.person.name, keep=keep)


def choose_language(visitor: Visitor, language: str | None) -> None:
    """Choose in which language one reads; ``None``: as the browser asks. Raises ``UsageError``."""
    visitor.place.people.set_language(visitor.person.name, language)


def end_others(visitor: Visitor) -> int:
    """End all sessions of one's own but this one; returns how many."""
    return visitor.place.sessions.end_all(visitor.person, but=visitor.session)


def own_tokens(visitor: Visitor) -> list[ApiToken]:
    """Return one's tokens, the newest first; those that have ended among them."""
    return visitor.place.tokens.list(visitor.person)


def scopes_for(visitor: Visitor) -> list[str]:
    """Return what a token of one's own can be for at present."""
    return [scope for scope in SCOPE_NAMES if scope in SCOPES and Right(scope) in visitor.rights]


def make_token(
    visitor: Visitor, name: str, scopes: Iterable[str], days: int, password: str
) -> tuple[ApiToken, TokenSecret]:
    """Make a token; returns it and its secret, which nobody can show again.

    Raises ``PasswordDueError`` while the own password is one that was handed over, ``PolicyRefusal`` where the
    ``password`` is wrong, ``UsageError`` for what a token can't be or its owner may not do.
    """
    if visitor.person.must_change:
        # Whoever handed it over knows it, too, and a token of theirs would live on under the next one.
        raise PasswordDueError
    visitor.prove(password)
    wanted = frozenset(scopes)
    if not wanted <= frozenset(scopes_for(visitor)):
        raise UsageError(
            "A token cannot be for more than its owner may do.", hint="choose among the scopes of your roles"
        )
    secret = visitor.place.tokens.make(visitor.person, name, wanted, days, visitor.person.name)
    return next(each for each in own_tokens(visitor) if each.id == secret.number), secret


def revoke_token(visitor: Visitor, id: int) -> None:
    """Revoke a token of one's own. Raises ``UsageError`` if there is none of this number."""
    visitor.place.tokens.revoke(id, visitor.person.name, owner=visitor.person)
