"""The partners in pages and API: their access and logs as they stand, and at the bank how one is let in."""

from __future__ import annotations

import asyncio
import inspect
import re

import pytest

from client.doctor import Doctor, Finding, Verdict
from console.partners import CHECKS, EVENTS, TROUBLES
from console.words import catalogue
from party import enrolment
from party.enrolment import _WHY_NONE
from party.invitation import Invitation, grouped, read_token
from party.people import Role
from tests.console.conftest import PASSWORD, Site
from tests.party.enrolments import Node
from tests.party.standing_pair import Pair

TOKEN = re.compile(r"vj1_[A-Za-z0-9_-]+")


def second(site: Site) -> None:
    """Add another administrator."""
    site.place.people.add("amy", PASSWORD, frozenset({Role.ADMINISTRATOR}), "root", must_change=False)


def invited(site: Site, partner: str = "shop") -> Invitation:
    """Invite a partner as adam, from the page, and return what its token says."""
    page = site.post(site.client("adam"), "/partners/invite", partner=partner)
    assert page.status_code == 200
    token = TOKEN.search(page.text)
    assert token is not None
    return read_token(token[0])


def asking(site: Site, partner: str = "shop") -> Node:
    """Invite a partner and let its node use the token."""
    node = Node(invited(site, partner))
    site.place.node.enrolments().request(node.asked(), "192.0.2.7")
    return node


def test_a_token_is_on_its_page_alone(bank: Site, caplog: pytest.LogCaptureFixture) -> None:
    adam = bank.client("adam")
    page = bank.post(adam, "/partners/invite", partner="shop")
    token = TOKEN.search(page.text)
    assert token is not None
    assert f"veiljoin client join {token[0]} --home shop" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert "set-cookie" not in page.headers
    after = [adam.get(path).text for path in ("/partners", "/partners/shop", "/api/v1/partners/shop")]
    assert not [text for text in (*after, caplog.text) if token[0] in text]
    assert "invited" in after[0]


def test_a_second_administrator_confirms_with_fingerprint_and_password(bank: Site) -> None:
    second(bank)
    node = asking(bank)
    adam, amy = bank.client("adam"), bank.client("amy")
    shown = amy.get("/partners/shop").text
    assert "192.0.2.7" in shown
    assert grouped(node.fingerprint) not in shown
    assert node.fingerprint not in shown
    typed = {"fingerprint": grouped(node.fingerprint).upper(), "password": PASSWORD}
    path = "/partners/shop/confirm"
    for client, changed, says in (
        (amy, {"password": "wrong"}, "too many tries"),
        (amy, {"fingerprint": "ab" * 16}, "not that of the request"),
        (amy, {"fingerprint": "?"}, "This is no fingerprint"),
        (adam, {}, "cannot also confirm it"),
    ):
        answer = bank.post(client, path, **typed | changed)
        assert answer.status_code in (403, 422)
        assert says in answer.text
        assert PASSWORD not in answer.text
    assert bank.post(amy, path, **typed).headers["location"] == "/partners/shop"
    shown = amy.get("/partners/shop").text
    assert "has access" in shown
    assert "confirmed; certificate" in shown
    view = amy.get("/api/v1/partners/shop").json()
    assert (view["standing"], len(view["certificates"]), view["waiting"]) == ("active", 1, None)


def test_a_node_that_waits_is_refused(bank: Site) -> None:
    asking(bank)
    adam = bank.client("adam")
    assert bank.post(adam, "/partners/shop/refuse").status_code == 303
    assert "access taken away" in adam.get("/partners").text
    again = bank.post(adam, "/partners/shop/refuse")
    assert again.status_code == 422
    assert _WHY_NONE["refused"] in again.text


def test_access_is_taken_away_with_the_password(bank: Site) -> None:
    adam = bank.client("adam")
    wrong = bank.post(adam, "/partners/acme/revoke", password=PASSWORD.upper())
    assert wrong.status_code == 403
    assert "has access" in adam.get("/partners/acme").text
    assert bank.post(adam, "/partners/acme/revoke", password=PASSWORD).status_code == 303
    shown = adam.get("/partners/acme").text
    assert "access taken away; certificates revoked: 0" in shown
    assert adam.get("/api/v1/partners/acme").json()["standing"] == "revoked"


def test_a_page_shows_what_a_partner_told(bank: Site) -> None:
    shown = bank.client("eve").get("/partners/acme").text
    assert "users" in shown
    assert "phone, city" in shown
    assert "veiljoin test" in shown
    assert "Invite" not in shown
    assert "Take access away" not in shown
    assert "other" in bank.client("ann").get("/partners").text


def test_certificates_that_end_soon_or_have_ended_are_told(bank: Site, pair: Pair) -> None:
    second(bank)
    node = asking(bank)
    bank.place.node.enrolments().confirm("shop", node.fingerprint, "amy")
    standings = []
    for hours in (0, 6 * 24, 2 * 24):
        pair.clock.forward(hours=hours)
        standings.append(bank.token("eve", "see").get("/api/v1/partners/shop").json()["standing"])
    assert standings == ["active", "soon", "ended"]
    assert "invite the partner again" in bank.client("eve").get("/partners/shop").text


def test_why_a_partner_does_not_cosign_is_said(bank: Site) -> None:
    node = bank.place.node
    node.settle_log()
    cosigning = node.log.cosigning()
    assert cosigning is not None
    cosigning.note_refusal("acme", 3, "withheld")
    eve = bank.client("eve")
    shown = eve.get("/partners/acme").text
    assert TROUBLES["withheld"] in shown
    assert "of which it cosigned 0" in shown
    assert "does not cosign" in eve.get("/partners").text
    view = eve.get("/api/v1/partners/acme").json()
    assert (view["trouble"], view["log"]["own_cosigned"], view["log"]["forks"]) == ("withheld", 0, 0)


def test_a_platform_sees_its_bank_and_invites_nobody(platform: Site) -> None:
    adam = platform.client("adam")
    assert "/partners/invite" not in adam.get("/partners").text
    shown = adam.get("/partners/bank").text
    assert "customers" in shown
    assert "Check the line to the bank" in shown
    for path, fields in (
        ("/partners/invite", {"partner": "shop"}),
        ("/partners/bank/revoke", {"password": PASSWORD}),
    ):
        answer = platform.post(adam, path, **fields)
        assert answer.status_code == 403
        assert "at the bank" in answer.text


def test_the_doctor_is_asked_at_a_platform(
    platform: Site, bank: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = (
        Finding("port", Verdict.FAILED, "Nobody <b>answers</b>.", "let it through the firewall"),
        Finding("tls", Verdict.SKIPPED, "port"),
    )

    async def examine(self: Doctor, show: object) -> bool:
        assert callable(show)
        for each in found:
            show(each)
        await asyncio.sleep(0)
        return False

    monkeypatch.setattr(Doctor, "examine", examine)
    shown = platform.post(platform.client("adam"), "/partners/bank/examine")
    assert shown.status_code == 200
    assert "Nobody &lt;b&gt;answers&lt;/b&gt;." in shown.text
    assert "port failed before" in shown.text
    program = platform.token("adam", "partners")
    items = program.post("/api/v1/partners/bank/examine").json()["items"]
    assert [each["verdict"] for each in items] == ["failed", "skipped"]
    assert bank.post(bank.client("adam"), "/partners/acme/examine").status_code == 403


def test_the_real_doctor_runs_without_a_bank(platform: Site) -> None:
    program = platform.token("adam", "partners")
    items = program.post("/api/v1/partners/bank/examine").json()["items"]
    verdicts = {each["check"]: each["verdict"] for each in items}
    # This home never enrolled.
    assert (verdicts["enrolment"], verdicts["port"]) == ("failed", "skipped")
    assert verdicts["dataset users"] == "ok"


def test_only_an_administrator_changes_access(bank: Site) -> None:
    for name in ("ann", "bob", "eve"):
        client = bank.client(name)
        for path in ("/partners/invite", "/partners/acme/revoke", "/partners/acme/confirm"):
            assert bank.post(client, path, partner="shop", password=PASSWORD).status_code == 403
        assert "shop" not in client.get("/partners").text


def test_the_api_lets_a_partner_in(bank: Site) -> None:
    second(bank)
    adam, amy = bank.token("adam", "see", "partners"), bank.token("amy", "partners")
    made = adam.post("/api/v1/partners", json={"partner": "shop"})
    assert made.status_code == 201
    node = Node(read_token(made.json()["token"]))
    bank.place.node.enrolments().request(node.asked(), "192.0.2.7")
    proof = {"fingerprint": node.fingerprint, "password": PASSWORD}
    assert adam.post("/api/v1/partners/shop/confirm", json=proof).status_code == 403
    assert amy.post("/api/v1/partners/shop/confirm", json=proof).json()["standing"] == "active"
    events, after = [], None
    for _ in range(4):
        page = adam.get(
            "/api/v1/partners/shop/history", params={"limit": 2} | ({"after": after} if after else {})
        )
        events += [each["event"] for each in page.json()["items"]]
        after = page.json()["next"]
        if after is None:
            break
    assert events == ["confirmed", "requested", "invited"]
    first = adam.get("/api/v1/partners", params={"limit": 2}).json()
    assert [each["name"] for each in first["items"]] == ["acme", "other"]
    last = adam.get("/api/v1/partners", params={"after": first["next"]}).json()
    assert [each["name"] for each in last["items"]] == ["shop"]
    assert adam.get("/api/v1/partners/nobody").status_code == 404
    assert adam.get("/api/v1/partners/NOBODY").status_code == 422
    assert (
        adam.post("/api/v1/partners/shop/revoke", json={"password": PASSWORD}).json()["standing"] == "revoked"
    )


def test_every_event_of_an_enrolment_has_words() -> None:
    written = set(re.findall(r'note\(connection, now, [^,]+, [^,]+, "([^"]+)"', inspect.getsource(enrolment)))
    assert {"invited", "confirmed", "revoked"} <= written <= set(EVENTS)


def test_what_is_looked_up_in_tables_has_its_chinese() -> None:
    said = {*EVENTS.values(), *TROUBLES.values(), *CHECKS.values()}
    assert said <= set(catalogue("zh"))
