"""Who may do what here: one table of roles and rights, and the dependency that holds every route to it.

A route names exactly one right; ``console.app`` refuses to start with one that names none. Whoever has no right to
what they ask for is refused and noted in the party's log; what they may do is noted by the step itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from starlette.datastructures import FormData

from audit.entry import Draft
from console.place import Place, place
from console.repeats import hold
from console.words import Words, accepted
from party.apitokens import ApiToken
from party.jobrecords import Actor
from party.jobrecords import person as acting
from party.people import Person, Role
from party.refusals import note_refusal
from party.sessions import Session, same_token
from psi.errors import PolicyRefusal

COOKIE: Final = "__Host-veiljoin"
LANGUAGE_COOKIE: Final = "__Host-language"
CSRF_FIELD: Final = "csrf"
CSRF_HEADER: Final = "X-CSRF-Token"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_BEARER: Final = "bearer "


class Right(StrEnum):
    """What a route may be used for. The names are the scopes of API tokens, too."""

    SEE = "see"  # overview, jobs with their cards, facts of datasets, partners, policy
    DRAFT = "draft"  # draft, edit, repeat jobs and schedules
    DECIDE = "decide"  # approve, accept, refuse
    CANCEL = "cancel"
    DATASETS = "datasets"  # register own data
    RESULTS = "results"  # read and download results
    PARTNERS = "partners"  # invite, confirm, revoke
    PEOPLE = "people"
    AUDIT = "audit"  # read the log, verify, export
    OWN = "own"  # one's own account


_SHARED: Final = frozenset({Right.SEE, Right.OWN})
RIGHTS: Final[Mapping[Role, frozenset[Right]]] = {
    Role.ANALYST: _SHARED | {Right.DRAFT, Right.CANCEL, Right.DATASETS, Right.RESULTS},
    Role.APPROVER: _SHARED | {Right.DECIDE, Right.CANCEL, Right.RESULTS},
    Role.AUDITOR: _SHARED | {Right.AUDIT},
    Role.ADMINISTRATOR: _SHARED | {Right.PARTNERS, Right.PEOPLE},
}


def rights_of(person: Person) -> frozenset[Right]:
    """Return what ``person`` may do by all roles together."""
    return frozenset().union(*(RIGHTS[role] for role in person.roles))


class NotLoggedInError(Exception):
    """Nobody that is known asks: a page leads to the login, the API answers 401."""


class PasswordDueError(Exception):
    """A one-time password has to be changed before anything else."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who makes a request, by ``session`` (a browser) or ``token`` (a program), and in what language.

    ``form`` holds the fields of a page's form, once its CSRF token was checked.
    """

    person: Person
    rights: frozenset[Right]
    words: Words
    source: str
    place: Place = field(repr=False)
    session: Session | None = field(default=None, repr=False)
    token: ApiToken | None = field(default=None, repr=False)
    form: FormData = field(default_factory=FormData, repr=False)

    def can(self, right: str) -> bool:
        """Return whether ``right`` is among theirs."""
        return right in self.rights

    def say(self, message: str, **values: object) -> str:
        """Return ``message`` in their language."""
        return self.words.say(message, **values)

    @property
    def actor(self) -> Actor:
        """Return them as who takes a step of a job."""
        return acting(self.person.name)

    @property
    def csrf(self) -> str:
        """Return what their forms carry; empty for a token."""
        return "" if self.session is None else self.session.csrf

    def field(self, name: str, default: str = "") -> str:
        """Return a text field of the form, without blanks around it."""
        value = self.form.get(name, default)
        return value.strip() if isinstance(value, str) else default

    def prove(self, password: str) -> None:
        """Check their password once more, before something that can't be taken back.

        Raises ``PolicyRefusal`` (``not_allowed``) where it is wrong or was wrong too often.
        """
        self.place.people.prove(self.person, password, self.source)


class Allowed:
    """The dependency of a route for who has ``right``: gives the visitor, or raises."""

    def __init__(self, right: Right) -> None:
        self.right = right

    async def __call__(self, request: Request) -> Visitor:
        """Find out who asks, check where a change comes from, then the right."""
        here = place(request)
        bearer = request.headers.get("authorization", "")
        words = Words(language_of(request, here))
        person, session, token = await run_in_threadpool(_who, here, request, bearer)
        if person is None:
            raise NotLoggedInError
        form = FormData()
        if session is not None and request.url.path.startswith("/api/"):
            # A link of another site would have bundles noted as exported by who follows it.
            _check_site(request)
        if request.method not in SAFE and session is not None:
            form = await _checked_form(request, session)
        elif request.method not in SAFE and not request.url.path.startswith("/api/"):
            raise refused_origin()
        rights = rights_of(person)
        if token is not None:
            rights = frozenset(right for right in rights if right in token.scopes)
        visitor = Visitor(
            person, rights, _words(words, person, request), source_of(request), here, session, token, form
        )
        request.state.visitor = visitor
        if self.right not in rights:
            await run_in_threadpool(_note_refused, here, person, self.right, request)
            raise PolicyRefusal(
                f"{person.name} has no right to that here.",
                hint="an administrator says who has which role",
                code="not_allowed",
            )
        if person.must_change and self.right is not Right.OWN:
            raise PasswordDueError
        await run_in_threadpool(here.refresh)
        if request.url.path.startswith("/api/"):
            await hold(request, here.idempotency, person.id)
        return visitor


class Open:
    """The dependency of a route that needs nobody: the login, static files, health."""

    async def __call__(self, request: Request) -> None:
        """Let everybody in; a change still has to come from a page of ours."""
        if request.method not in SAFE:
            check_origin(request)


def allowed(right: Right) -> Allowed:
    """Return the dependency for ``right``."""
    return Allowed(right)


def right_of(route: APIRoute) -> Right | None:
    """Return the right that ``route`` asks for, ``None`` for one that is open. Raises ``ValueError`` for neither."""
    found: list[Right | None] = []
    for each in route.dependant.dependencies:
        if isinstance(each.call, Allowed):
            found.append(each.call.right)
        elif isinstance(each.call, Open):
            found.append(None)
    if len(found) != 1:
        raise ValueError(f"{route.path} names {len(found)} rights, not one")
    return found[0]


def check_origin(request: Request) -> None:
    """Refuse a change that no page of this console asks for (RFC 6454). Raises ``PolicyRefusal``."""
    if request.headers.get("origin") not in place(request).settings.origins:
        raise refused_origin()
    _check_site(request)


def refused_origin() -> PolicyRefusal:
    """Return the error for a request that another page may have sent."""
    return PolicyRefusal(
        "This request did not come from a page of this console.",
        hint="open the page again and send it from there",
        code="not_allowed",
    )


def source_of(request: Request) -> str:
    """Return the address that asks, as throttling counts it."""
    if place(request).settings.trust_proxy:
        # What our proxy adds stands last, be it in a header of its own; what is before is from whoever asks.
        forwarded = ",".join(request.headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
        if forwarded:
            return forwarded[:64]
    return request.client.host if request.client is not None else "unknown"


def language_of(request: Request, here: Place) -> str:
    """Return the language of a visitor who is not known: chosen here, asked for by the browser, or the console's."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    return (
        accepted(chosen or "")
        or accepted(request.headers.get("accept-language", ""))
        or here.settings.language
    )


def login_address(request: Request) -> str:
    """Return where somebody who is not logged in is led, and back from there."""
    path = request.url.path
    if request.method != "GET" or path == "/":
        return "/login"
    return f"/login?next={quote(path, safe='')}"


def own_path(text: str) -> str:
    """Return ``text`` if it is a path of this console, else the first page: nobody is led elsewhere after a login."""
    if (
        text.startswith("/")
        and not text.startswith(("//", "/\\"))
        and text.isprintable()
        and "\\" not in text
    ):
        return text
    return "/"


def _check_site(request: Request) -> None:
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise refused_origin()


def _who(here: Place, request: Request, bearer: str) -> tuple[Person | None, Session | None, ApiToken | None]:
    if bearer:
        if not bearer.lower().startswith(_BEARER) or not request.url.path.startswith("/api/"):
            return None, None, None
        token = here.tokens.find(bearer[len(_BEARER) :].strip())
        return (None, None, None) if token is None else (token.person, None, token)
    session = here.sessions.find(request.cookies.get(COOKIE, ""))
    return (None, None, None) if session is None else (session.person, session, None)


async def _checked_form(request: Request, session: Session) -> FormData:
    check_origin(request)
    form = FormData()
    if request.headers.get("content-type", "").startswith(
        ("application/x-www-form-urlencoded", "multipart/form-data")
    ):
        # Kept, since the digest under an idempotency key is made of the same bytes.
        await request.body()
        form = await request.form(max_files=0, max_fields=500)
    given = request.headers.get(CSRF_HEADER) or form.get(CSRF_FIELD)
    if not isinstance(given, str) or not same_token(given, session.csrf):
        raise refused_origin()
    return form


def _words(words: Words, person: Person, request: Request) -> Words:
    if person.language is not None and LANGUAGE_COOKIE not in request.cookies:
        return Words(person.language)
    return words


def _note_refused(here: Place, person: Person, right: Right, request: Request) -> None:
    facts: dict[str, Any] = {"step": right.value, "code": "not_allowed"}
    draft = Draft("attempt_refused", person.name, None, facts)
    note_refusal(here.node.home.store, draft, here.node.clock().timestamp())
