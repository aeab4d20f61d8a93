"""The frame of the console: languages, headers, hosts, errors, and that every route names a right."""

from __future__ import annotations

import ast
import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from jinja2 import Environment, nodes
from starlette.testclient import TestClient

import console
from console.access import own_path, right_of
from console.render import ENVIRONMENT, NAVIGATION
from console.security import POLICY
from console.words import Words, accepted, catalogue
from psi.errors import UsageError
from tests.console.conftest import ORIGIN, PASSWORD, Site

HERE = Path(console.__file__).parent


def said_in_templates(environment: Environment) -> set[str]:
    """Every message that a template translates; one that is put together at run time is not among them."""
    found = set()
    for path in sorted((HERE / "templates").rglob("*.html")):
        for call in environment.parse(path.read_text(encoding="utf-8")).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "_":
                found |= {each.value for each in call.args[0].find_all(nodes.Const)}
                if isinstance(call.args[0], nodes.Const):
                    found.add(call.args[0].value)
    return {text for text in found if isinstance(text, str)}


def said_in_code() -> set[str]:
    """Every message that code gives to ``say``."""
    found = set()
    for path in sorted(HERE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _is_ours(node.func):
                for each in ast.walk(node.args[0]) if node.args else ():
                    if isinstance(each, ast.Constant) and isinstance(each.value, str):
                        found.add(each.value)
    return found


def _is_ours(called: ast.expr) -> bool:
    """Whether it is ``say`` of a visitor or of words; a report's voice has its own catalogue."""
    if not isinstance(called, ast.Attribute) or called.attr != "say":
        return False
    whose = called.value
    name = whose.id if isinstance(whose, ast.Name) else whose.attr if isinstance(whose, ast.Attribute) else ""
    return name in ("visitor", "words")


def test_every_message_has_its_chinese() -> None:
    said = said_in_templates(ENVIRONMENT) | said_in_code() | {name for _, name, _ in NAVIGATION}
    missing = sorted(text for text in said if len(text) > 1 and text not in catalogue("zh"))
    assert not missing


def test_translations_have_the_same_places_for_values() -> None:
    import string

    def places(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    wrong = [text for text, there in catalogue("zh").items() if places(text) != places(there)]
    assert not wrong


def test_figures_and_times_of_both_languages() -> None:
    en, zh = Words("en", datetime.UTC), Words("zh", datetime.UTC)
    when = datetime.datetime(2026, 11, 22, 4, 5, 6, tzinfo=datetime.UTC)
    assert en.number(1234567) == zh.number(1234567) == "1,234,567"
    assert en.number(None) == "\N{EN DASH}"
    assert en.money(Decimal("43908.4")) == "43,908.40"
    assert en.percent(0.4256) == "42.6 %"
    assert en.moment(when) == "2026-11-22 04:05"
    assert (en.day(when), zh.day(when)) == ("22 Nov 2026", "2026年11月22日")
    assert (en.span(3_725), zh.span(3_725)) == ("1 h 2 min", "1 小时 2 分钟")
    assert (en.span(59.6), en.span(0)) == ("1 min", "0 s")
    assert en.bytes(12_345_678) == "12.3 MB"


@pytest.mark.parametrize(
    ("header", "language"),
    [("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("de,en-US;q=0.7", "en"), ("fr", None), ("", None)],
)
def test_the_browser_says_its_language(header: str, language: str | None) -> None:
    assert accepted(header) == language


@pytest.mark.parametrize(
    "text", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/a\nb", ""]
)
def test_nobody_is_led_elsewhere(text: str) -> None:
    assert own_path(text) == "/"


def test_a_route_names_one_right() -> None:
    router = APIRouter()

    @router.get("/loose")
    def loose() -> None:
        """Named no right."""

    route = router.routes[0]
    assert isinstance(route, APIRoute)
    with pytest.raises(ValueError, match="names 0 rights"):
        right_of(route)


def test_every_answer_has_the_headers(bank: Site) -> None:
    browser = bank.browser()
    for path in ("/login", "/static/console.css", "/nothing", "/api/v1/openapi.json"):
        headers = browser.get(path).headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == ("no-cache" if path.startswith("/static/") else "no-store")
        assert "server" not in headers


def test_another_host_is_not_served(bank: Site) -> None:
    stranger = TestClient(bank.app, base_url="https://evil.example", follow_redirects=False)
    assert stranger.get("/login").status_code == 421


def test_a_long_body_is_not_read(bank: Site) -> None:
    browser = bank.browser()
    answer = browser.post("/login", data={"name": "x" * 2_000_000}, headers={"Origin": ORIGIN})
    assert answer.status_code == 413
    chunks = browser.post("/login", content=iter([b"name=x"]), headers={"Origin": ORIGIN})
    assert chunks.status_code == 411


def test_login_and_logout(bank: Site) -> None:
    browser = bank.browser()
    answer = browser.get("/jobs")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fjobs")
    fields = {"name": "ann", "password": PASSWORD, "next": "/account"}
    assert browser.post("/login", data=fields).status_code == 403
    answer = browser.post("/login", data=fields, headers={"Origin": ORIGIN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-veiljoin=")
    assert all(part in cookie for part in ("HttpOnly", "Secure", "SameSite=lax", "Path=/"))
    assert browser.get("/jobs").status_code == 200
    assert bank.post(browser, "/logout").status_code == 303
    assert browser.get("/jobs").status_code == 303


def test_a_wrong_password_says_no_more_than_that(bank: Site) -> None:
    browser = bank.browser()
    said = []
    for name in ("ann", "nobody"):
        answer = browser.post(
            "/login", data={"name": name, "password": "wrong but long"}, headers={"Origin": ORIGIN}
        )
        assert answer.status_code == 403
        said.append(answer.text.replace(name, "NAME"))
    assert said[0] == said[1]


def test_the_api_wants_a_token(bank: Site) -> None:
    answer = bank.browser().get("/api/v1/openapi.json")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "not_allowed"
    assert bank.token("ann", "see").get("/api/v1/openapi.json").json()["openapi"].startswith("3.")


def test_pages_take_no_token(bank: Site) -> None:
    assert bank.token("ann", "see").get("/jobs").status_code == 303


def test_an_error_page_without_a_store(bank: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(secret: str) -> None:
        raise UsageError("The store is away.", hint="wait", code="store_unavailable")

    browser = bank.client("ann")
    monkeypatch.setattr(bank.place.sessions, "find", gone)
    answer = browser.get("/jobs")
    assert answer.status_code == 503
    assert "The store is away." in answer.text
    assert "Traceback" not in answer.text


def test_a_fault_shows_a_number_and_nothing_else(
    bank: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(secret: str) -> None:
        raise KeyError("13800138000")

    monkeypatch.setattr(bank.place.sessions, "find", broken)
    with TestClient(bank.app, base_url=ORIGIN, raise_server_exceptions=False) as browser:
        answer = browser.get("/jobs")
    assert answer.status_code == 500
    assert "fault" in answer.text
    assert answer.headers["content-security-policy"] == POLICY
    assert "13800138000" not in answer.text + caplog.text


def test_a_language_is_chosen(bank: Site) -> None:
    browser = bank.browser()
    assert "Log in" in browser.get("/login").text
    answer = browser.get("/language/zh?next=/login")
    assert answer.headers["location"] == "/login"
    assert "登录" in browser.get("/login").text
