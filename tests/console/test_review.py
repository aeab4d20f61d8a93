"""What a review of the console found, one test for each, so that it stays mended."""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi import Request
from fastapi.responses import Response
from starlette.middleware.base import RequestResponseEndpoint
from starlette.testclient import TestClient

from console.access import COOKIE, CSRF_HEADER, source_of
from console.app import API, create_app
from console.auditing import wanted
from console.drafts import read_text
from console.place import Place
from console.security import MAX_LOGIN
from console.settings import Settings
from console.streams import Streams
from party.auditlog import AuditLog
from party.people import Role
from party.tables import api_answers
from psi.errors import UsageError
from tests.console.conftest import ORIGIN, PASSWORD, Site

_HANDED = "kept for one login"
_NO_JOB = "0" * 32


def _form(site: Site, client: TestClient) -> dict[str, str]:
    return {"Origin": ORIGIN, CSRF_HEADER: site.csrf(client)}


def test_whoever_hands_a_password_over_makes_no_token_with_it(bank: Site) -> None:
    bank.place.people.set_password("bob", _HANDED, "person:adam", must_change=True)
    browser = bank.browser()
    browser.post("/login", data={"name": "bob", "password": _HANDED}, headers={"Origin": ORIGIN})
    assert COOKIE in browser.cookies
    wish = {"name": "mine", "scopes": ["results"], "days": 365, "password": _HANDED}
    answer = browser.post(f"{API}/tokens", json=wish, headers=_form(bank, browser))
    assert answer.status_code == 403
    answer = bank.post(browser, "/account/tokens", name="mine", scope="results", days="9", password=_HANDED)
    assert (answer.status_code, answer.headers["location"]) == (303, "/account/password")
    assert bank.place.tokens.list() == []


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Forwarded-For", "10.1.1.1, 203.0.113.9")],
        [("X-Forwarded-For", "10.1.1.1"), ("X-Forwarded-For", "203.0.113.9")],
    ],
)
def test_an_address_before_the_proxys_own_is_not_counted(bank: Site, headers: list[tuple[str, str]]) -> None:
    settings = Settings(bank.side.folder, (ORIGIN,), trust_proxy=True)
    app = create_app(settings, Place(settings, bank.side.node, bank.place.people))
    seen: list[str] = []

    @app.middleware("http")
    async def look(request: Request, following: RequestResponseEndpoint) -> Response:
        seen.append(source_of(request))
        return await following(request)

    TestClient(app, base_url=ORIGIN).get("/login", headers=headers)
    assert seen == ["203.0.113.9"]


def test_a_form_under_an_idempotency_key_is_no_fault(bank: Site) -> None:
    client = bank.client("ann")
    headers = {"Origin": ORIGIN, "Idempotency-Key": "one"}
    fields = {"csrf": bank.csrf(client)}
    answer = client.post(f"{API}/jobs/{_NO_JOB}/cancel", data=fields, headers=headers)
    assert answer.status_code == 404


def test_what_is_kept_of_a_request_is_no_hash_of_its_password(bank: Site) -> None:
    client = bank.client("bob")
    body = json.dumps({"digest": "0" * 64, "password": PASSWORD}).encode()
    path = f"{API}/jobs/{_NO_JOB}/approve"
    kept: list[str] = []

    def keep(person: int, key: str, request: str) -> None:
        kept.append(request)

    bank.place.idempotency.begin = keep  # type: ignore[method-assign]
    for key in ("one", "one", "two"):
        headers = _form(bank, client) | {"Idempotency-Key": key, "Content-Type": "application/json"}
        client.post(path, content=body, headers=headers)
    parts = (b"POST", path.encode(), b"", body)
    guessed = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
    assert guessed not in kept
    # It is the same for the same request under the same key, and says nothing without that.
    assert kept[0] == kept[1] != kept[2]


def test_a_request_under_a_key_is_still_answered_as_before(bank: Site) -> None:
    client = bank.client("adam")
    headers = _form(bank, client) | {"Idempotency-Key": "one"}
    wish = {"name": "kim", "roles": ["auditor"], "password": PASSWORD}
    assert client.post(f"{API}/people", json=wish, headers=headers).status_code == 201
    assert client.post(f"{API}/people", json=wish, headers=headers).status_code == 409
    assert client.post(f"{API}/people", json=wish | {"name": "lee"}, headers=headers).status_code == 409
    with bank.place.node.home.store.reading() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(api_answers)) == 1


@pytest.mark.parametrize("text", ["a." * 30_000 + "a = 1", "[" + "a." * 30_000 + "a]"])
def test_a_key_of_thousands_of_parts_is_not_read(text: str) -> None:
    with pytest.raises(UsageError, match="A line of this text has more than 200 dots"):
        read_text(text, "this text")


def test_a_line_with_many_dots_may_be_in_a_job_file() -> None:
    assert read_text("a = [" + "1.5, " * 150 + "]", "this text") == {"a": [1.5] * 150}


def test_unknown_names_are_not_all_repeated(bank: Site) -> None:
    program = bank.token("ann", "draft")
    answer = program.post(f"{API}/jobs", json={f"name{number}": 1 for number in range(20_000)})
    assert answer.status_code == 422
    assert len(answer.content) < 1_000
    assert "more" in answer.json()["detail"]


@pytest.mark.parametrize("extra", [0, 1])
def test_a_login_is_short(bank: Site, extra: int) -> None:
    headers = {"Origin": ORIGIN, "Content-Type": "application/x-www-form-urlencoded"}
    start = b"name=ann&password="
    content = start + b"x" * (MAX_LOGIN - len(start) + extra)
    answer = bank.browser().post("/login", content=content, headers=headers)
    assert answer.status_code == (413 if extra else 403)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_of_another_site_exports_nothing(bank: Site, site: str) -> None:
    client = bank.client("eve")
    bank.place.node.settle_log()
    log = AuditLog(bank.place.node.home.store)
    before = [len(list(log.entries(epoch))) for epoch in log.epochs()]
    answer = client.get(f"{API}/audit/bundle?details=true", headers={"Sec-Fetch-Site": site})
    assert answer.status_code == 403
    assert [len(list(log.entries(epoch))) for epoch in log.epochs()] == before
    for allowed in ({}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
        assert client.get(f"{API}/audit", headers=allowed).status_code == 200


def test_a_link_of_another_site_opens_a_page(bank: Site) -> None:
    answer = bank.client("ann").get("/jobs", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200


def test_strangers_are_not_told_where_the_store_lies(
    bank: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, logger="veiljoin.console")
    client, program = bank.client("ann"), bank.token("ann", "see")
    name = bank.place.node.home.store.name
    assert Path(name).name == "store.sqlite"

    def gone(*_: object, **__: object) -> None:
        raise UsageError(f"The store {name} is not there.", code="store_unavailable")

    for module in (bank.place.sessions, bank.place.tokens, bank.place.people):
        for method in ("find", "check"):
            if hasattr(module, method):
                monkeypatch.setattr(module, method, gone)
    answers = [
        client.get("/jobs"),
        program.get(f"{API}/jobs"),
        bank.browser().get("/healthz"),
        bank.browser().post("/login", data={"name": "ann"}, headers={"Origin": ORIGIN}),
    ]
    assert [answer.status_code for answer in answers] == [503] * 4
    assert all("The store is not there." in answer.text for answer in answers)
    assert "store.sqlite" in caplog.text


def test_the_last_day_of_the_calendar_is_a_day(bank: Site) -> None:
    client = bank.client("eve")
    bank.place.node.settle_log()
    for asked in ("until=9999-12-31", "since=9999-12-31", "since=0001-01-01"):
        assert client.get(f"/audit?{asked}").status_code == 200
    assert wanted(bank.place, until=datetime.date.max).until is None
    assert wanted(bank.place, until=datetime.date(1970, 1, 1)).until == 86_400_000


def test_no_more_streams_begin_at_once_than_may() -> None:
    streams = Streams(2)
    with streams.one(1) as one, streams.one(1) as two, streams.one(1) as three, streams.one(2) as other:
        assert (one, two, three, other) == (True, True, False, True)
        assert streams.full(1)
    assert not streams.full(1)


@pytest.mark.parametrize("mark", "\ufe0f\u034f\u3164\u115f\uffa0\u17b5\u180b\U000e0100")
def test_no_second_person_looks_like_the_first(bank: Site, mark: str) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        bank.place.people.add(f"ann{mark}", "four words of another", {Role.APPROVER}, "adam")
