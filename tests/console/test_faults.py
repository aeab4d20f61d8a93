"""What people see when something is broken: a page that says what is the matter and what to do, never a traceback."""

from __future__ import annotations

import sqlite3

import pytest
from httpx2 import Response

from party.consent import approve
from party.node import Node
from party.nodefile import write_node
from psi.errors import UsageError
from tests.console.conftest import ORIGIN, PASSWORD, Site
from tests.party.standing_pair import Pair

PAGES = (
    "/", "/jobs", "/approvals", "/schedules", "/datasets", "/datasets/customers", "/partners", "/partners/acme",
    "/policy", "/account", "/jobs/new", "/jobs/" + "0" * 32,
)  # fmt: skip
ADDRESSES = (
    "/api/v1/jobs",
    "/api/v1/overview",
    "/api/v1/datasets",
    "/api/v1/partners",
    "/api/v1/policy",
    "/healthz",
)


def told(answer: Response, sentence: str) -> None:
    """Check that a page says ``sentence`` and a way out, and shows no inside."""
    assert answer.status_code == 503, answer.text
    assert sentence in answer.text
    assert "Traceback" not in answer.text
    assert "sqlite3" not in answer.text
    if answer.headers["content-type"].startswith("text/html"):
        assert "What to do:" in answer.text
    else:
        assert answer.json()["hint"]


def test_every_page_says_that_the_store_is_gone(bank: Site) -> None:
    browser = bank.client("ann")
    file = bank.side.folder / "store.sqlite"
    away = file.rename(file.with_suffix(".away"))
    for path in (*PAGES, *ADDRESSES[:-1]):
        told(browser.get(path), "is not there, or may not be opened")
    health = browser.get("/healthz")
    assert health.status_code == 503
    login = browser.post("/login", data={"name": "ann", "password": PASSWORD}, headers={"Origin": ORIGIN})
    told(login, "is not there, or may not be opened")
    assert not file.exists()
    away.rename(file)
    assert browser.get("/jobs").status_code == 200


def test_no_empty_store_takes_the_place_of_one_that_is_gone(bank: Site) -> None:
    folder = bank.side.folder
    write_node(folder, bank.side.node.file)
    bank.place.close()
    store = folder / "store.sqlite"
    store.unlink()
    with pytest.raises(UsageError, match="is not there, or empty") as caught:
        Node.open(folder)
    assert caught.value.code.name == "store_unavailable"
    assert not store.exists()
    store.touch()
    with pytest.raises(UsageError, match="is not there, or empty"):
        Node.open(folder)
    assert store.stat().st_size == 0


def test_a_damaged_store_is_told(bank: Site) -> None:
    browser = bank.client("ann")
    (bank.side.folder / "store.sqlite").write_bytes(b"this is no database, though it is long enough " * 100)
    answer = browser.get("/jobs")
    assert answer.status_code == 422
    assert "is damaged, or is no store" in answer.text


def test_a_locked_store_is_told_once_it_was_waited_for(bank: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank.side.node.home.store._database, "_wait", 0.2)
    browser = bank.client("ann")
    fields = {"csrf": bank.csrf(browser)}
    locker = sqlite3.connect(bank.side.folder / "store.sqlite", isolation_level=None)
    try:
        locker.execute("BEGIN IMMEDIATE")
        told(
            browser.post("/logout", data=fields, headers={"Origin": ORIGIN}), "was locked by another process"
        )
    finally:
        locker.close()
    assert browser.get("/jobs").status_code == 200


@pytest.mark.parametrize(("code", "why"), [("no_space", "the disk is full"), ("link_lost", "the connection")])
def test_a_job_that_failed_says_why_and_what_can_be_done(pair: Pair, bank: Site, code: str, why: str) -> None:
    job = pair.draft(untried=True).id
    pair.talk()
    approve(pair.platform.node, pair.platform.jobs, pair.platform.jobs.get(job), "bob")
    pair.talk()
    pair.bank.run(job, 1)
    pair.bank.jobs.fail(job, pair.bank.agent._instance, code)
    browser = bank.client("ann")
    page = browser.get(f"/jobs/{job}").text
    assert why in page
    assert f"/jobs/{job}/retry" in page
    overview = browser.get("/").text
    assert why in overview
    assert "Failed lately" in overview
