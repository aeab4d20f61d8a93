"""Every route of pages and API, asked for by everybody: each is let in exactly where the table of rights says so.

The routes come from the application itself, so one that is added is tried as well. What right each has to name is
written down here a second time, by address.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import zip_longest
from pkgutil import iter_modules
from types import ModuleType
from typing import Final

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from httpx2 import Response
from starlette.testclient import TestClient

import console.api
import console.pages
import console.pages.login
from console.access import CSRF_HEADER, RIGHTS, SAFE, Right, right_of
from console.app import API, create_app
from party.auditlog import AuditLog
from party.people import Role
from tests.console.conftest import ORIGIN, ROLES, Site
from tests.party.standing_pair import Pair

# The whole of it, by hand: who may do what.
_TABLE: Final = {
    Role.ANALYST: {"see", "own", "draft", "cancel", "datasets", "results"},
    Role.APPROVER: {"see", "own", "decide", "cancel", "results"},
    Role.AUDITOR: {"see", "own", "audit"},
    Role.ADMINISTRATOR: {"see", "own", "partners", "people"},
}
# The first that fits an address without /api/v1, and its method, says which right it asks for; None is open to all.
_WANTED: Final[tuple[tuple[str, str, str | None], ...]] = (
    ("GET|POST", "/login", None),
    ("GET", "/language/{language}", None),
    ("GET", "/healthz", None),
    ("*", "/(logout|account|tokens|me)(/.*)?", "own"),
    ("*", "/people(/.*)?", "people"),
    ("*", "/audit(/.*)?", "audit"),
    ("*", "/jobs/{job}/evidence", "audit"),
    ("GET", "/jobs/{job}/(result|files|files/{name}|report)", "results"),
    ("POST", "/jobs/{job}/(approve|refuse)", "decide"),
    ("POST", "/jobs/{job}/cancel", "cancel"),
    ("GET", "/jobs/(new|{job}/edit)", "draft"),
    ("POST|PUT", "/jobs(/.*)?", "draft"),
    ("POST", "/schedules/{schedule}/(approve|refuse)", "decide"),
    ("POST", "/schedules/{schedule}/(pause|remove)", "cancel"),
    ("POST|PUT|DELETE", "/schedules(/.*)?", "draft"),
    ("GET", "/schedules/(new|{schedule}/edit)", "draft"),
    ("GET", "/datasets/(-/new(/.*)?|{name}/remove)", "datasets"),
    ("*", "/dataset-(files|checks)(/.*)?", "datasets"),
    ("POST|PUT|DELETE", "/datasets(/.*)?", "datasets"),
    ("POST|PUT|DELETE", "/partners(/.*)?", "partners"),
    ("GET", "/.*", "see"),
)


@dataclass(frozen=True)
class Way:
    """One method of one route."""

    method: str
    route: APIRoute
    api: bool

    @property
    def address(self) -> str:
        """The path, with something in the place of every parameter."""
        path = re.sub(r"\{job(:\w+)?\}", "0" * 32, self.route.path)
        return (API if self.api else "") + re.sub(r"\{[^}]+\}", "0", path)

    def __str__(self) -> str:
        return f"{self.method} {API if self.api else ''}{self.route.path}"


def _ways(package: ModuleType, *, api: bool) -> Iterator[Way]:
    for module in iter_modules(package.__path__):
        router = getattr(import_module(f"{package.__name__}.{module.name}"), "router", None)
        for route in [] if router is None else router.routes:
            assert isinstance(route, APIRoute)
            for method in sorted(route.methods):
                yield Way(method, route, api)


WAYS: Final = [*_ways(console.pages, api=False), *_ways(console.api, api=True)]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Site]]:
    """Both consoles; nothing that a test here does changes anything."""
    folder = tmp_path_factory.mktemp("pair")
    pair = Pair(folder)
    pair.connect()
    data = folder / "data"
    data.mkdir()
    yield [Site(pair.bank, data), Site(pair.platform, data)]
    pair.close()


def ask(client: TestClient, way: Way, **headers: str) -> Response:
    """Ask for it, with nothing that could be carried out."""
    if way.method in SAFE:
        return client.request(way.method, way.address, headers=headers)
    if way.api:
        return client.request(way.method, way.address, headers=headers, json={})
    return client.request(way.method, way.address, headers=headers, data={"nothing": "0"})


def has_no_right(answer: Response) -> bool:
    """Whether it was the right that was missing, and nothing else."""
    return answer.status_code == 403 and "has no right to that here" in answer.text


def a_session(site: Site, name: str) -> tuple[TestClient, dict[str, str]]:
    """A browser of ``name`` with a session of its own, and what its forms carry."""
    client = site.client(name)
    secret = next(value for cookie, value in client.cookies.items() if cookie == "__Host-veiljoin")
    session = site.place.sessions.find(secret)
    assert session is not None
    return client, {"Origin": ORIGIN, CSRF_HEADER: session.csrf}


@pytest.fixture(scope="module")
def program() -> Callable[..., TestClient]:
    """Gives a program with a token of somebody for some scopes; a person has fifty tokens at most."""
    made: dict[tuple[int, str, frozenset[str]], TestClient] = {}

    def program(site: Site, owner: str, *scopes: str) -> TestClient:
        key = id(site), owner, frozenset(scopes)
        if key not in made:
            made[key] = site.token(owner, *scopes)
        return made[key]

    return program


def test_an_application_with_a_route_that_names_no_right_does_not_start(
    sites: list[Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    loose = APIRouter()

    @loose.get("/loose")
    def anybody() -> None:
        """Let everybody in, without saying so."""

    monkeypatch.setattr(console.pages.login, "router", loose)
    with pytest.raises(ValueError, match="/loose names 0 rights"):
        create_app(sites[0].place.settings, sites[0].place)


def test_every_route_of_the_application_is_among_those_that_are_tried(sites: list[Site]) -> None:
    tried = {(way.method, (API if way.api else "") + way.route.path) for way in WAYS}
    described = {
        (method.upper(), path)
        for path, methods in sites[0].app.openapi()["paths"].items()
        for method in methods
    }
    assert described - {("GET", f"{API}/openapi.json")} <= tried


def test_no_name_that_somebody_chose_leads_to_another_page() -> None:
    """A dataset or a partner may be called as a part of an address is; ids and numbers are no such words."""
    taken = [
        f"{one} takes {other}"
        for one in WAYS
        for other in WAYS
        if (one.method, one.api) == (other.method, other.api) and hides(one.route.path, other.route.path)
    ]
    assert taken == []
    assert hides("/datasets/new", "/datasets/{name}")
    assert hides("/datasets/new/{number}", "/datasets/{name}/remove")
    assert not hides("/jobs/new", "/jobs/{job}")


def hides(path: str, other: str) -> bool:
    """Whether an address of ``path`` is one of ``other``, too, for some name in the place of a ``{name}`` there."""
    parts = list(zip_longest(path.split("/"), other.split("/"), fillvalue=""))
    fits = all(mine == theirs or "{" in (mine[:1], theirs[:1]) for mine, theirs in parts if mine or theirs)
    fits = fits and path.count("/") == other.count("/")
    return fits and any(theirs == "{name}" and not mine.startswith("{") for mine, theirs in parts)


def test_the_table_of_rights_is_the_one_that_was_agreed() -> None:
    assert {role: {right.value for right in rights} for role, rights in RIGHTS.items()} == _TABLE


def test_who_drafts_does_not_decide_and_who_manages_people_does_neither() -> None:
    assert not RIGHTS[Role.ANALYST] & {Right.DECIDE, Right.PEOPLE, Right.PARTNERS, Right.AUDIT}
    assert not RIGHTS[Role.APPROVER] & {Right.DRAFT, Right.PEOPLE, Right.PARTNERS, Right.AUDIT}
    assert not RIGHTS[Role.ADMINISTRATOR] & {Right.DRAFT, Right.DECIDE, Right.CANCEL, Right.RESULTS}
    assert not RIGHTS[Role.AUDITOR] & {Right.DRAFT, Right.DECIDE, Right.CANCEL, Right.RESULTS, Right.PEOPLE}


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_route_asks_for_the_right_of_its_address(way: Way) -> None:
    wanted = next(
        right
        for methods, pattern, right in _WANTED
        if (methods == "*" or way.method in methods.split("|"))
        and re.fullmatch(re.sub(r"\{\w+\}", lambda each: re.escape(each[0]), pattern), _plain(way.route.path))
    )
    assert right_of(way.route) == wanted


def _plain(path: str) -> str:
    """A path without the converters of its parameters, and without what stands at its end alone."""
    return re.sub(r"\{(\w+):\w+\}", r"{\1}", path) or "/"


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_each_role_is_let_in_where_the_table_says(sites: list[Site], way: Way) -> None:
    right = right_of(way.route)
    for site in sites:
        for name, roles in ROLES.items():
            client, headers = a_session(site, name)
            answer = ask(client, way, **headers)
            may = right is None or any(right.value in _TABLE[role] for role in roles)
            assert has_no_right(answer) is not may, f"{name} at the {site.place.role}: {answer.status_code}"
            assert answer.status_code < 500, f"{name} at the {site.place.role}: {answer.text}"


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_nobody_is_let_in_without_a_login(sites: list[Site], way: Way) -> None:
    for site in sites:
        answer = ask(site.browser(), way, Origin=ORIGIN)
        if right_of(way.route) is None:
            assert answer.status_code not in (401, 500)
        elif way.api:
            assert answer.status_code == 401
        else:
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/login")


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_token_is_let_in_by_its_scope_alone(
    sites: list[Site], program: Callable[..., TestClient], way: Way
) -> None:
    right = right_of(way.route)
    if right is None:
        return
    for site in sites:
        owner = next(
            name for name, roles in ROLES.items() if any(right.value in _TABLE[each] for each in roles)
        )
        others = sorted(_TABLE[next(iter(ROLES[owner]))] - {right.value, "own"})
        # One's own account is for a person alone: there is no such scope.
        scopes = [right.value] if right is not Right.OWN else ["see"]
        with_it = ask(program(site, owner, *scopes), way)
        without = ask(program(site, owner, *others), way)
        if not way.api:
            # Pages take no token at all.
            assert (with_it.status_code, without.status_code) == (303, 303)
            continue
        assert has_no_right(with_it) is (right is Right.OWN)
        assert has_no_right(without)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_token_can_do_no_more_than_its_owner_can_now(
    sites: list[Site], program: Callable[..., TestClient], way: Way
) -> None:
    right = right_of(way.route)
    if right in (None, Right.OWN) or not way.api:
        return
    for site in sites:
        stranger = next(
            (name for name, roles in ROLES.items() if all(right.value not in _TABLE[each] for each in roles)),
            None,
        )
        if stranger is not None:
            answer = ask(program(site, stranger, right.value), way)
            assert has_no_right(answer), answer.text


def test_a_refusal_is_in_the_log(sites: list[Site]) -> None:
    for site in sites:
        client, headers = a_session(site, "eve")
        assert has_no_right(client.get("/people", headers=headers))
        log = AuditLog(site.place.node.home.store)
        entries = [json.loads(entry) for epoch in log.epochs() for _, _, entry in log.entries(epoch)]
        refused = [
            each["facts"]
            for each in entries
            if each["type"] == "attempt_refused" and each["actor"] in ("eve", "person:eve")
        ]
        assert {"step": "people", "code": "not_allowed"} in refused
