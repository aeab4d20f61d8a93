"""Two enrolled nodes in one process, each with its console and its people, for tests of pages and API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from fastapi import FastAPI
from httpx2 import Response
from starlette.testclient import TestClient

from console.access import COOKIE
from console.app import create_app
from console.place import Place
from console.settings import Settings
from party.people import People, Role
from tests.party.standing_pair import Pair, Side

ORIGIN: Final = "https://console.test"
PASSWORD: Final = "correct horse battery"  # noqa: S105 - of people that exist in these tests alone
# One person for each role, the same at both parties; zoe has two.
ROLES: Final = {
    "ann": {Role.ANALYST},
    "bob": {Role.APPROVER},
    "eve": {Role.AUDITOR},
    "adam": {Role.ADMINISTRATOR},
    "zoe": {Role.ANALYST, Role.APPROVER},
}


class Site:
    """The console of one side: ``place`` and ``app``, and browsers and programs that are logged in."""

    def __init__(self, side: Side, data: Path) -> None:
        self.side = side
        settings = Settings(side.folder, (ORIGIN,), data)
        people = People(side.node.home.store, side.node.clock, cost=(1, 8, 1))
        self.place = Place(settings, side.node, people)
        for name, roles in ROLES.items():
            people.add(name, PASSWORD, frozenset(roles), "person:root", must_change=False)
        self.app: FastAPI = create_app(settings, self.place)

    def browser(self) -> TestClient:
        """Return a browser that nobody is logged in with; it follows no redirect by itself."""
        return TestClient(self.app, base_url=ORIGIN, follow_redirects=False)

    def client(self, name: str) -> TestClient:
        """Return a browser with a session of ``name``."""
        browser = self.browser()
        secret = self.place.sessions.begin(self.place.people.get(name), "127.0.0.1")
        browser.cookies.set(COOKIE, secret.reveal(), domain="console.test")
        return browser

    def csrf(self, client: TestClient) -> str:
        """Return the token that the forms of this browser's session carry."""
        session = self.place.sessions.find(client.cookies[COOKIE])
        assert session is not None
        return session.csrf

    def post(self, client: TestClient, path: str, /, **fields: Any) -> Response:
        """Send a form as a page of the console does."""
        return client.post(path, data={"csrf": self.csrf(client), **fields}, headers={"Origin": ORIGIN})

    def token(self, name: str, *scopes: str) -> TestClient:
        """Return a program with a token of ``name`` that has ``scopes``."""
        person = self.place.people.get(name)
        secret = self.place.tokens.make(person, "test", frozenset(scopes), 1, f"person:{name}")
        program = self.browser()
        program.headers["Authorization"] = f"Bearer {secret.reveal()}"
        return program


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Both nodes, connected once, so that the bank knows the platform's datasets."""
    pair = Pair(tmp_path)
    pair.connect()
    yield pair
    pair.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder whose files may be registered."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def bank(pair: Pair, data: Path) -> Site:
    """The bank's console."""
    return Site(pair.bank, data)


@pytest.fixture
def platform(pair: Pair, data: Path) -> Site:
    """The platform's console."""
    return Site(pair.platform, data)
