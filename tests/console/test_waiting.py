"""What waits for a person beside jobs: who sees which line, in what words, and what the first page counts."""

from __future__ import annotations

import datetime
import html
import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from console.waiting import ASKED, Matter
from console.words import Words, catalogue
from party.node import Node as PartyNode
from party.people import Role
from party.scheduling import Scheduler
from tests.console.conftest import PASSWORD, Site
from tests.console.test_drafts import TOML
from tests.console.test_jobs import drafted as job_drafted
from tests.console.test_jobs import proposed
from tests.console.test_partners import asking, second
from tests.console.test_schedules import TIMES, approve
from tests.console.test_schedules import drafted as schedule_drafted
from tests.party.standing_pair import Pair

_LINE = re.compile(r'<li><a href="([^"]+)">(.*?)</a><br>(<span class="soft">)?(.*?)(</span>)?</li>')


@pytest.fixture
def wanted(pair: Pair) -> dict[str, Any]:
    """A schedule that a program asks for."""
    until = (pair.clock() + datetime.timedelta(days=200)).date().isoformat()
    return TIMES | {"partner": "acme", "toml": TOML, "until": until}


def lines(client: TestClient) -> list[tuple[str, str, str, bool]]:
    """(address, what waits, what to do, whether it is the visitor's) of the page, in its order."""
    page = client.get("/approvals")
    assert page.status_code == 200
    card = page.text.partition('id="besides"')[2].partition("</section>")[0]
    return [
        (address, html.unescape(text), html.unescape(todo), not soft)
        for address, text, soft, todo, _ in _LINE.findall(card)
    ]


def chinese(site: Site, name: str) -> TestClient:
    """A browser of somebody who reads Chinese."""
    client = site.client(name)
    client.headers["accept-language"] = "zh-CN"
    return client


def expires(node: PartyNode) -> datetime.datetime:
    """When the node's own certificate ends."""
    current = node.credentials.current()
    assert current is not None
    return current.expires


def test_nothing_waits(bank: Site, platform: Site) -> None:
    for site in (bank, platform):
        for name, said in (("bob", "No job waits for you."), ("adam", "No job waits for an approver.")):
            page = site.client(name).get("/approvals").text
            assert said in page
            assert "Schedules, partners and certificates" not in page


def test_a_schedule_waits_for_a_second_person(bank: Site, platform: Site, wanted: dict[str, Any]) -> None:
    schedule = schedule_drafted(bank, wanted)
    at = f"/schedules/{schedule}"
    ((address, text, todo, own),) = lines(bank.client("bob"))
    assert (address, todo, own) == (at, ASKED[Matter.SCHEDULE_DRAFT].todo, True)
    assert re.fullmatch(r"The schedule “.+” of ann is a draft since \d{4}-\d\d-\d\d \d\d:\d\d\.", text)
    for name in ("ann", "eve", "adam"):
        assert lines(bank.client(name))[0][2:] == ("Only an approver decides on it.", False)
    assert lines(platform.client("bob")) == []
    assert approve(bank, schedule).status_code == 303
    assert lines(bank.client("bob")) == []


def test_who_wrote_a_schedule_is_told_that_another_approves_it(bank: Site, wanted: dict[str, Any]) -> None:
    assert bank.token("zoe", "draft", "see").post("/api/v1/schedules", json=wanted).status_code == 201
    ((_, _, todo, own),) = lines(bank.client("zoe"))
    assert (todo, own) == ("You wrote it, so a second person approves it.", False)
    assert lines(bank.client("bob"))[0][3]


def test_the_overview_counts_schedules_and_lists_them(pair: Pair, bank: Site, wanted: dict[str, Any]) -> None:
    schedule = schedule_drafted(bank, wanted)
    tile = re.compile(r'<a class="tile" href="/approvals"><span class="figure">(\d+)</span>')
    waiting = re.compile(r'<section class="card" aria-labelledby="waiting">.*?</section>', re.S)
    for name, count in (("ann", "1"), ("bob", "1"), ("zoe", "1")):
        found = tile.search(bank.client(name).get("/").text)
        assert found is not None
        assert found[1] == count
    shown = waiting.search(bank.client("bob").get("/").text)
    assert shown is not None
    assert f'href="/schedules/{schedule}"' in shown[0]
    assert "Nothing waits for you." not in shown[0]
    assert waiting.search(bank.client("ann").get("/").text) is None
    job = job_drafted(pair)
    page = bank.client("bob").get("/").text
    found, shown = tile.search(page), waiting.search(page)
    assert found is not None
    assert shown is not None
    assert found[1] == "2"
    assert f'href="/jobs/{job.id}"' in shown[0]


def test_a_schedule_that_stopped_by_itself_waits_and_one_that_was_paused_does_not(
    pair: Pair, bank: Site, wanted: dict[str, Any]
) -> None:
    schedule = schedule_drafted(bank, wanted)
    approve(bank, schedule)
    bank.post(bank.client("bob"), f"/schedules/{schedule}/pause")
    assert lines(bank.client("ann")) == []
    bank.post(bank.client("ann"), f"/schedules/{schedule}/resume")
    bank.post(bank.client("adam"), "/partners/acme/revoke", password=PASSWORD)
    pair.clock.forward(hours=25)
    Scheduler(bank.place.node, bank.place.jobs, "one").tick()
    (line,) = (each for each in lines(bank.client("ann")) if each[0] == f"/schedules/{schedule}")
    assert "the partner has no access any more" in line[1]
    assert line[2:] == ("Mend what stopped it, then resume it; or edit or remove it.", True)
    assert lines(bank.client("bob"))[0][2:] == ("An analyst sees to it.", False)


def test_a_partner_waits_for_a_second_administrator(bank: Site) -> None:
    second(bank)
    asking(bank)
    said = ASKED[Matter.PARTNER_ASKS]
    for name, todo, own in (
        ("amy", said.todo, True),
        ("adam", said.besides, False),
        ("bob", said.others, False),
    ):
        ((address, text, told, mine),) = lines(bank.client(name))
        assert (address, told, mine) == ("/partners/shop", todo, own)
        assert re.fullmatch(
            r"The node of shop asks for access since [-\d]{10} [\d:]{5}; adam invited it\.", text
        )
    ((_, text, told, _),) = lines(chinese(bank, "amy"))
    assert text.startswith("shop 的节点自 ")
    assert told == catalogue("zh")[said.todo]
    bank.post(bank.client("amy"), "/partners/shop/refuse")
    assert lines(bank.client("amy")) == []


def test_certificates_of_partners_that_run_out(bank: Site, pair: Pair) -> None:
    second(bank)
    node = asking(bank)
    bank.place.node.enrolments().confirm("shop", node.fingerprint, "amy")
    assert lines(bank.client("adam")) == []
    pair.clock.forward(hours=6 * 24)
    found = {each[0]: each[1:] for each in lines(bank.client("adam"))}
    assert found["/partners/shop"][1:] == ("Ask the partner to start its node, which renews it.", True)
    pair.clock.forward(hours=2 * 24)
    found = {each[0]: each[1:] for each in lines(bank.client("bob"))}
    assert "The certificate of shop has ended at" in found["/partners/shop"][0]
    assert found["/partners/shop"][1:] == ("An administrator invites the partner again.", False)
    # Whose node asks anew waits for a person, and no more for its old certificate.
    asking(bank)
    assert [each[1].split(" since")[0] for each in lines(bank.client("bob")) if "shop" in each[0]] == [
        "The node of shop asks for access"
    ]


def test_the_own_certificate_of_a_bank_is_renewed_by_its_node(bank: Site, pair: Pair) -> None:
    bank.place.node.authority().renew_own(bank.place.node.credentials)
    assert lines(bank.client("adam")) == []
    for left in (40, -40):
        pair.clock.time = expires(bank.place.node) - datetime.timedelta(hours=left)
        ((address, text, todo, own),) = lines(bank.client("adam"))
        assert (address, todo, own) == ("/partners", ASKED[Matter.OWN_SOON].todo, True)
        assert Words("en").moment(expires(bank.place.node)) in text


def test_a_platform_whose_certificate_has_ended_asks_for_a_token(
    platform: Site, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Held:
        """A certificate of this end, as the platform's own."""

        expires = pair.clock() + datetime.timedelta(days=7)

    monkeypatch.setattr(type(platform.place.node.credentials), "current", lambda self: Held())
    assert lines(platform.client("adam")) == []
    pair.clock.forward(hours=6 * 24)
    assert [each[2] for each in lines(platform.client("adam"))] == [ASKED[Matter.OWN_SOON].todo]
    assert [each[2] for each in lines(platform.client("bob"))] == [ASKED[Matter.OWN_SOON].others]
    pair.clock.forward(hours=2 * 24)
    assert [each[2] for each in lines(platform.client("adam"))] == [ASKED[Matter.OWN_ENDED].todo]
    ((_, text, todo, own),) = lines(chinese(platform, "ann"))
    assert (todo, own) == (catalogue("zh")[ASKED[Matter.OWN_ENDED].others], False)
    assert "本节点的证书已于" in text


def test_what_the_visitor_can_see_to_comes_first(bank: Site, wanted: dict[str, Any]) -> None:
    second(bank)
    schedule_drafted(bank, wanted)
    asking(bank)
    bank.place.people.add(
        "una", PASSWORD, frozenset({Role.ADMINISTRATOR, Role.AUDITOR}), "root", must_change=False
    )
    assert [each[3] for each in lines(bank.client("una"))] == [True, False]
    assert lines(bank.client("una"))[0][0] == "/partners/shop"
    assert [each[3] for each in lines(bank.client("bob"))] == [True, False]
    assert lines(bank.client("bob"))[0][0].startswith("/schedules/")


def test_proposals_wait_at_a_platform(pair: Pair, platform: Site) -> None:
    job = proposed(pair)
    page = platform.client("bob").get("/approvals").text
    assert f'href="/jobs/{job}"' in page
    assert "Proposals of the bank" in page
    assert '<span class="figure">1</span>wait for an approver' in platform.client("ann").get("/").text


def test_every_matter_has_its_words_in_both_languages() -> None:
    assert set(ASKED) == set(Matter)
    known = catalogue("zh")
    for asked in ASKED.values():
        for text in filter(None, (asked.text, asked.todo, asked.others, asked.besides)):
            assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", known[text]))
