"""The audit in the console: the log by page and by filter, its verification, and what is handed to an auditor."""

from __future__ import annotations

import io
import json
import re
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

import console.auditing
from audit.bundle import Bundle, lines_of
from audit.entry import Draft
from audit.report import Report
from audit.sentences import SECTIONS, UNPROVEN, VERDICTS
from audit.verify import verify
from console.auditing import Verification, verifier
from party.auditlog import AuditLog
from party.tables import audit_cosigned, audit_entries
from psi.errors import UsageError
from tests.console.conftest import Site
from tests.party.standing_pair import Pair

API = "/api/v1"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both nodes for the tests that change nothing of one another: a log begun, and a job that was proposed."""
    pair = Pair(tmp_path_factory.mktemp("pair"))
    pair.bank.node.settle_log()
    pair.connect()
    pair.draft(untried=True)
    pair.talk()
    yield pair
    pair.close()


@pytest.fixture(scope="module")
def bank(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The bank's console."""
    return Site(pair.bank, tmp_path_factory.mktemp("data"))


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Site]:
    """A bank's console over a log without jobs, for tests that spoil it."""
    pair = Pair(tmp_path)
    pair.bank.node.settle_log()
    yield Site(pair.bank, tmp_path)
    pair.close()


def entries(site: Site) -> list[dict[str, Any]]:
    """The newest log, the oldest entry first."""
    log = AuditLog(site.place.node.home.store)
    return [json.loads(data) for _, _, data in log.entries(log.epochs()[-1])]


def numbers(text: str) -> list[int]:
    """The entries on a page."""
    return [int(found) for found in re.findall(r'href="/audit/entries/(\d+)(?:\?log=\d+)?">', text)]


def page(client: TestClient, path: str, language: str = "en") -> str:
    """A page that is there."""
    answer = client.get(path, headers={"Accept-Language": language})
    assert answer.status_code == 200, answer.text
    return answer.text


def settled(site: Site) -> Verification:
    """The last verification, once it has ended."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        latest = verifier(site.place).latest
        if latest is not None and latest.ended is not None:
            return latest
        time.sleep(0.01)
    raise AssertionError("the verification does not end")


def verified(site: Site, client: TestClient) -> Verification:
    """Verify the log by the button."""
    assert site.post(client, "/audit/verify").headers["location"] == "/audit/verify"
    return settled(site)


def spoil(site: Site, sequence: int, change: Callable[[bytes], bytes]) -> None:
    """Change an entry behind the log's back."""
    of = audit_entries.c.sequence == sequence
    with site.place.node.home.store.transaction() as connection:
        data = connection.execute(sa.select(audit_entries.c.entry).where(of)).scalar_one()
        connection.execute(audit_entries.update().where(of).values(entry=change(bytes(data))))


# -- the log


def test_the_newest_entries_come_first(bank: Site) -> None:
    eve = bank.client("eve")
    text = page(eve, "/audit")
    newest = len(entries(bank)) - 1
    assert numbers(text)[:3] == [newest, newest - 1, newest - 2]
    assert "Approved contract" in text
    assert "以银行身份批准合同" in page(eve, "/audit", "zh")


def test_filters_are_kept_and_hold_together(pair: Pair, bank: Site) -> None:
    eve, job = bank.client("eve"), pair.bank.jobs.list().jobs[0].id
    of_job = [each["sequence"] for each in entries(bank) if each["job"] == job][::-1]
    assert numbers(page(eve, f"/audit?job={job}")) == of_job
    assert numbers(page(eve, f"/audit?job={job[:6].upper()}")) == of_job
    drafts = [each["sequence"] for each in entries(bank) if each["type"] == "job_draft"][::-1]
    text = page(eve, "/audit?type=job_draft&actor=ann")
    assert numbers(text) == drafts
    assert "<option selected>job_draft</option>" in text
    assert 'name="actor" value="ann"' in text
    assert numbers(page(eve, "/audit?type=job_draft&actor=bob")) == []
    day = f"{pair.clock():%Y-%m-%d}"
    assert numbers(page(eve, f"/audit?since={day}&until={day}&type=job_draft")) == drafts
    assert "There are no such entries." in page(eve, "/audit?until=2020-01-01")


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("job=zz", "The job is not the beginning of a job&#39;s id."),
        ("job=abcd", "No job of the log has an id that begins with abcd."),
        ("type=nothing", "There is no such type of entry."),
        ("since=2026-02-30", "The day in From is not one of the calendar."),
        ("until=yesterday", "The day in To is not one of the calendar."),
    ],
)
def test_a_filter_that_cannot_be_meant_is_told_with_what_was_typed(
    bank: Site, query: str, sentence: str
) -> None:
    answer = bank.client("eve").get(f"/audit?{query}")
    assert answer.status_code == 422
    assert sentence in answer.text
    assert f'value="{query.split("=")[1]}"' in answer.text or query.startswith("type")


def test_older_entries_are_a_link_away(alone: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog(alone.place.node.home.store)
    log.append([Draft("backed_up", "node:bank", None, {"size": number}) for number in range(120)], 0.0)
    eve, found, address = alone.client("eve"), [], "/audit?type=backed_up"
    while address:
        text = page(eve, address)
        found += numbers(text)
        older = re.search(r'href="([^"]+)" rel="next"', text)
        address = "" if older is None else older[1].replace("&amp;", "&")
    assert len(found) == len(set(found)) == 120
    assert found == sorted(found, reverse=True)
    # Nothing was found yet, and that says how far somebody has looked.
    monkeypatch.setattr("party.logview.MOST_LOOKED", 40)
    text = page(eve, "/audit?actor=nobody")
    assert "Looked through down to entry" in text
    assert "Look further back" in text


def test_an_entry_is_shown_in_its_own_bytes(bank: Site) -> None:
    eve = bank.client("eve")
    text = page(eve, "/audit/entries/1")
    data = next(data for number, _, data in AuditLog(bank.place.node.home.store).entries(1) if number == 1)
    shown = re.search(r"<pre[^>]*>(.*?)</pre>", text, re.DOTALL)
    assert shown is not None
    assert shown[1].replace("&#34;", '"').encode() == data
    assert 'href="/audit/entries/0"' in text
    assert 'href="/audit/entries/2"' in text
    assert eve.get("/audit/entries/999999").status_code == 404
    told = bank.token("eve", "audit").get(f"{API}/audit/entries/1").json()
    assert told["canonical"].encode() == data
    assert re.fullmatch("[0-9a-f]{64}", told["leaf"])


def test_the_state_says_who_has_cosigned_what(bank: Site) -> None:
    eve = bank.client("eve")
    assert "nobody yet" in page(eve, "/audit")
    with bank.place.node.home.store.transaction() as connection:
        connection.execute(audit_cosigned.insert().values(epoch=1, partner="acme", size=3, code="withheld"))
    text = page(eve, "/audit")
    assert "acme: up to 3 entries" in text
    assert "does not cosign now: withheld" in text
    assert re.search(r"<dt>Cosigned by</dt><dd>acme</dd>", page(eve, "/audit/entries/2"))
    assert re.search(r"<dt>Cosigned by</dt><dd>nobody yet</dd>", page(eve, "/audit/entries/3"))
    told = bank.token("eve", "audit").get(f"{API}/audit").json()
    assert told["witnesses"] == [{"partner": "acme", "size": 3, "trouble": "withheld"}]
    assert told["size"] == len(entries(bank))
    with bank.place.node.home.store.transaction() as connection:
        connection.execute(audit_cosigned.delete())


def test_a_log_from_before_a_restore_is_still_there(alone: Site) -> None:
    eve = alone.client("eve")
    before = len(entries(alone))
    alone.post(eve, "/audit/bundle")  # signs a checkpoint of it
    alone.place.node.log.begin_again()
    text = page(eve, "/audit")
    assert numbers(text)[-1] == 0
    assert 'href="/audit?log=1"' in text
    text = page(eve, "/audit?log=1&type=log_opened")
    assert "This is an earlier log" in text
    assert 'name="log" value="1"' in text
    assert numbers(text) == [0]
    answer = alone.post(eve, "/audit/bundle?log=1")
    assert 'filename="bank-1.veiljoin-log"' in answer.headers["content-disposition"]
    assert read(answer.content).header.size > before
    assert eve.get("/audit?log=7").status_code == 422


# -- verifying


def test_a_whole_log_passes(alone: Site) -> None:
    eve = alone.client("eve")
    before = set(alone.side.folder.iterdir())
    latest = verified(alone, eve)
    assert latest.state == "passed", latest.report and latest.report.first
    for language, column in (("en", 0), ("zh", 1)):
        text = page(eve, "/audit/verify", language).replace("&#39;", "'")
        assert VERDICTS["passed"][column] in text
        assert all(title[column] in text for title in SECTIONS.values())
        assert UNPROVEN["dropped_tail"][column] in text
        assert 'http-equiv="refresh"' not in text
    assert "veiljoin audit verify bank.veiljoin-log PARTNER.veiljoin-log" in text
    assert set(alone.side.folder.iterdir()) == before
    told = alone.token("eve", "audit").get(f"{API}/audit/verify").json()
    assert (told["state"], told["by"], told["report"]["verdict"]) == ("passed", "eve", "passed")


def test_a_changed_entry_is_named(alone: Site) -> None:
    eve = alone.client("eve")
    spoil(alone, 2, lambda data: data.replace(b'"time":1', b'"time":2', 1))
    assert verified(alone, eve).state == "failed"
    text = page(eve, "/audit/verify")
    assert "Verdict: FAILED. First problem: bank.veiljoin-log, entry 2" in text
    assert 'class="wrong"' in text


def test_a_store_that_holds_no_log_is_told(alone: Site) -> None:
    eve = alone.client("eve")
    spoil(alone, 1, lambda data: data[:20] + b"\n" + data[20:])
    assert verified(alone, eve).state == "broken"
    assert "The store holds something that is no log" in page(eve, "/audit/verify")
    text = page(eve, "/audit")
    assert "not an entry" in text
    assert "Its bytes cannot be read. Verify the log." in page(eve, "/audit/entries/1")
    told = alone.token("eve", "audit").get(f"{API}/audit/entries?limit=200").json()["items"]
    assert [each["sequence"] for each in told if each["entry"] is None] == [1]


def test_one_verification_at_a_time(alone: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    real = console.auditing._verified

    def waiting(place: Any) -> Report:
        assert go_on.wait(60)
        return real(place)

    monkeypatch.setattr(console.auditing, "_verified", waiting)
    eve, program = alone.client("eve"), alone.token("eve", "audit")
    assert "Verify the log now" in page(eve, "/audit/verify")
    assert program.get(f"{API}/audit/verify").json()["state"] == "none"
    begun = program.post(f"{API}/audit/verify")
    assert (begun.status_code, begun.json()["state"]) == (202, "running")
    text = page(eve, "/audit/verify")
    assert 'http-equiv="refresh"' in text
    assert "entries are being verified, since" in text
    assert program.post(f"{API}/audit/verify").status_code == 409
    alone.post(eve, "/audit/verify")
    assert "The log is being verified already." in page(eve, "/audit/verify")
    go_on.set()
    assert settled(alone).state == "passed"


def test_what_cannot_be_verified_says_so_and_the_next_one_begins(
    alone: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(place: Any) -> Report:
        raise UsageError("The disk is full.", hint="free some space", code="no_space")

    eve = alone.client("eve")
    with monkeypatch.context() as patch:
        patch.setattr(console.auditing, "_verified", full)
        assert verified(alone, eve).state == "broken"
        assert "The disk is full." in page(eve, "/audit/verify")
    assert verified(alone, eve).state == "passed"


# -- handing out


def read(content: bytes) -> Bundle:
    """Read a bundle."""
    return Bundle("bank", lines_of(io.BytesIO(content)))


def exported(site: Site) -> list[tuple[str, str]]:
    """Who exported what, by the log."""
    return [(each["actor"], each["facts"]["what"]) for each in entries(site) if each["type"] == "exported"]


def test_the_bundle_is_whole_and_noted_and_details_are_a_wish_of_their_own(alone: Site) -> None:
    log = AuditLog(alone.place.node.home.store)
    log.append([Draft("login", "bob", None, {"code": None}, details={"secret": 4711})], 0.0)
    eve, program = alone.client("eve"), alone.token("eve", "audit")
    asked: list[Callable[[], Any]] = [
        lambda: alone.post(eve, "/audit/bundle"),
        lambda: alone.post(eve, "/audit/bundle", details="yes"),
        lambda: program.get(f"{API}/audit/bundle"),
        lambda: program.get(f"{API}/audit/bundle?details=true"),
    ]
    for number, ask in enumerate(asked):
        answer = ask()
        assert answer.headers["content-disposition"] == 'attachment; filename="bank.veiljoin-log"'
        assert answer.headers["cache-control"] == "no-store"
        report = verify([read(answer.content)])
        assert report.passed, report.first
        assert (b"4711" in answer.content) == bool(number % 2)
    assert exported(alone) == [("eve", "whole_log"), ("eve", "whole_log_with_details")] * 2
    # To look at the page hands out nothing.
    assert "It names people, partners" in page(eve, "/audit/bundle")
    assert len(exported(alone)) == 4


def test_the_evidence_pack_is_an_archive_with_its_page(pair: Pair, bank: Site) -> None:
    eve, job = bank.client("eve"), pair.bank.jobs.list().jobs[0].id
    program, before = bank.token("eve", "audit"), len(exported(bank))
    home = set(bank.side.folder.iterdir())
    assert "An archive about this one job" in page(eve, f"/jobs/{job}/evidence")
    answers = [
        bank.post(eve, f"/jobs/{job}/evidence"),
        program.get(f"{API}/jobs/{job}/evidence?details=true"),
    ]
    for answer in answers:
        assert answer.headers["content-disposition"] == f'attachment; filename="evidence-{job[:8]}.zip"'
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            names = {name.removeprefix(f"evidence-{job[:8]}/") for name in archive.namelist()}
            assert {"index.html", "pack.veiljoin-log", "contract.json", "card.zh.txt"} <= names
            bundle = read(archive.read(f"evidence-{job[:8]}/pack.veiljoin-log"))
            assert bundle.header.pack == job
    assert exported(bank)[before:] == [("eve", "evidence_pack"), ("eve", "evidence_pack_with_details")]
    assert set(bank.side.folder.iterdir()) == home


def test_a_job_without_entries_has_no_evidence(pair: Pair, bank: Site) -> None:
    job = pair.bank.jobs.list().jobs[0].id
    with bank.place.node.home.store.transaction() as connection:
        connection.execute(audit_entries.update().where(audit_entries.c.job == job).values(job="f" * 32))
    before = exported(bank)
    answer = bank.post(bank.client("eve"), f"/jobs/{job}/evidence")
    assert answer.status_code == 422
    assert f"The log has no entry of job {job[:8]}." in answer.text
    assert bank.token("eve", "audit").get(f"{API}/jobs/{job}/evidence").status_code == 404
    assert exported(bank) == before
    with bank.place.node.home.store.transaction() as connection:
        connection.execute(audit_entries.update().where(audit_entries.c.job == "f" * 32).values(job=job))
    assert bank.client("eve").get(f"/jobs/{'0' * 32}/evidence").status_code == 404


# -- API


def test_the_api_pages_through_all_entries(bank: Site) -> None:
    program = bank.token("eve", "audit")
    found: list[int] = []
    after: str | None = ""
    newest = len(entries(bank)) - 1
    while after is not None:
        told = program.get(f"{API}/audit/entries?limit=7{after and f'&after={after}'}").json()
        assert len(told["items"]) <= 7
        found += [each["sequence"] for each in told["items"]]
        after = told["next"]
    assert found == list(range(newest, -1, -1))
    item = program.get(f"{API}/audit/entries?limit=1&type=log_opened").json()["items"][0]
    assert item["entry"]["type"] == "log_opened"
    assert item["text"].startswith("The log begins")


@pytest.mark.parametrize("query", ["since=2026-01-01", "limit=0", "limit=201", "after=x", "job=zz", "type=x"])
def test_the_api_refuses_what_cannot_be_meant(bank: Site, query: str) -> None:
    answer = bank.token("eve", "audit").get(f"{API}/audit/entries?{query}")
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"
