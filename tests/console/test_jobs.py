"""Joint jobs in the console: lists, one job, what people may do to it, and how it goes on, as page and as API."""

from __future__ import annotations

import asyncio
import datetime
import json
import re
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from console import jobwords, preflightwords
from console.access import COOKIE
from console.joblive import THERE, Pace, There, live_of
from console.streams import Streams, events
from console.words import Words, catalogue
from party.auditlog import AuditLog
from party.disclosure import card_for
from party.drafting import draft_with
from party.jobfile import parse_job
from party.jobrecords import JobRecord, partner, person
from party.jobstates import JobState, Step
from party.preflight import View, subjects_of
from party.preflights import Preflights
from party.tables import jobs
from psi.errors import UsageError
from tests.console.conftest import PASSWORD, Site
from tests.party.standing_pair import TABLE, Pair

API = "/api/v1"


def drafted(pair: Pair, who: str = "ann", **keys: Any) -> JobRecord:
    """A draft of ``who`` at the bank."""
    table = TABLE | keys
    made = draft_with(pair.bank.node, parse_job(table, "JOB.toml"), table, "acme")
    source = 'kind = "audience"\npurpose = "test"\nidentifier = "phone"\nreceiver = "platform"\n'
    source += '[bank]\nidentifier = "mobile"\n[platform]\nidentifier = "phone"\n'
    return pair.bank.jobs.draft(
        made.table, source, person(who), partner="acme", dataset=made.dataset, contract=made.contract
    )


def proposed(pair: Pair, **keys: Any) -> str:
    """A job that the platform was asked for, without a preflight there; returns its id."""
    job = pair.draft(untried=True, **keys).id
    pair.talk()
    assert pair.states(job) == ("proposed", "proposed")
    return job


def fail_preflight(pair: Pair, record: JobRecord, word: str = "content") -> None:
    """Let the bank's own side of the job's preflight fail."""
    facts = View.of(pair.bank.node, "acme").facts(subjects_of(record), "bank")
    preflights = Preflights(pair.bank.node.home.store, pair.clock)
    preflights.begin(b"r" * 16, record.id, record.digest, facts, "acme")
    preflights.say_own(b"r" * 16, word, "The column does not look like phone.", "look at the file")


def running(pair: Pair, **keys: Any) -> str:
    """A job that runs at the bank; returns its id."""
    job = proposed(pair, **keys)
    theirs = pair.platform.jobs.get(job)
    pair.platform.jobs.accept(job, person("ben"), theirs.digest, b"s" * 64)
    ours = pair.bank.jobs.get(job)
    pair.bank.jobs.accept(job, partner("acme"), ours.digest, b"s" * 64)
    pair.bank.jobs.start(job, "bank")
    return job


# -- lists


def test_the_list_filters_and_pages(pair: Pair, bank: Site) -> None:
    """Filters are those of the address; the cursor leads through all jobs once, the newest first."""
    made = [drafted(pair).id for _ in range(3)]
    overlap = drafted(pair, kind="overlap", receiver="bank").id
    pair.bank.jobs.cancel(made[0], person("ann"))
    browser = bank.client("eve")
    page = browser.get("/jobs?state=draft&kind=audience&partner=acme").text
    shown = set(re.findall(r'href="/jobs/([0-9a-f]{32})"', page))
    assert shown == set(made[1:])
    assert 'value="draft" selected' in page
    assert overlap in browser.get("/jobs?kind=overlap").text
    assert "There are no such jobs." in browser.get("/jobs?partner=nobody").text
    answer = browser.get("/jobs?state=asleep")
    assert answer.status_code == 422
    assert "no job has" in answer.text
    assert browser.get("/jobs?partner=%00").status_code == 422
    assert browser.get(f"{API}/jobs?partner=%0A").status_code == 422

    found, after = [], ""
    while True:
        told = browser.get(f"{API}/jobs?limit=3{after}").json()
        found += [each["id"] for each in told["items"]]
        if told["next"] is None:
            break
        after = f"&after={told['next']}"
    assert found == [overlap, *reversed(made)]


def test_the_page_of_older_jobs_keeps_the_filters(pair: Pair, bank: Site) -> None:
    """More jobs than one page holds."""
    record = drafted(pair)
    for _ in range(50):
        pair.bank.jobs.draft(record.table, "", person("ann"), partner="acme", dataset="customers")
    browser = bank.client("ann")
    first = browser.get("/jobs?state=draft&partner=acme").text
    link = re.search(r'href="(/jobs\?[^"]+)" rel="next"', first)
    assert link is not None
    address = link[1].replace("&amp;", "&")
    assert "state=draft" in address
    second = browser.get(address).text
    assert f"/jobs/{record.id}" in second
    assert f"/jobs/{record.id}" not in first


def test_the_list_says_what_each_job_waits_for(pair: Pair, bank: Site, platform: Site) -> None:
    """In the words of each side."""
    draft = drafted(pair).id
    job = proposed(pair)
    ours = {each["id"]: each for each in bank.client("bob").get(f"{API}/jobs").json()["items"]}
    assert (ours[draft]["waits"], ours[draft]["preflight"]) == ("second_person", "passed")
    assert (ours[job]["waits"], ours[job]["preflight"]) == ("partner_answer", "without")
    theirs = platform.client("bob").get(f"{API}/jobs").json()["items"]
    assert [(each["waits"], each["preflight"]) for each in theirs] == [("own_answer", "not_run")]
    assert "waits for the answer of acme" in bank.client("bob").get("/jobs").text


# -- one job


def test_the_page_shows_the_whole_job(pair: Pair, bank: Site) -> None:
    """Card, contract, text, preflight and history."""
    record = drafted(pair, purpose="<script>alert(1)</script>")
    page = bank.client("eve").get(f"/jobs/{record.id}").text
    assert record.digest in page
    for line in card_for(parse_job(record.table, "x")).lines("en"):
        if line.startswith("  - "):
            assert line.removeprefix("  - ").replace("'", "&#39;") in page
    assert "It has not run yet; the job is proposed once it has passed." in page
    assert "receiver = &#34;platform&#34;" in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    # An auditor reads, and no more.
    assert 'method="post" action="/jobs/' not in page


def test_whole_ids_only(pair: Pair, bank: Site) -> None:
    """The beginning of an id finds nothing, nor does an id that isn't."""
    record = drafted(pair)
    browser = bank.client("ann")
    assert browser.get(f"/jobs/{record.id[:8]}").status_code == 422
    assert browser.get("/jobs/" + "0" * 32).status_code == 404
    assert browser.get(f"{API}/jobs/" + "0" * 32).json()["code"] == "unknown_job"


def test_what_each_role_may_do(pair: Pair, bank: Site) -> None:
    """Actions follow from rights, state and who wrote it."""
    record = drafted(pair, who="zoe")

    def actions(name: str) -> set[str]:
        return set(bank.client(name).get(f"{API}/jobs/{record.id}").json()["actions"])

    assert actions("ann") == {"cancel", "preflight", "edit"}
    assert actions("bob") == {"approve", "refuse", "cancel"}
    # Who wrote it may say no, but not yes.
    assert actions("zoe") == {"refuse", "cancel", "preflight", "edit"}
    assert actions("eve") == actions("adam") == set()
    page = bank.client("zoe").get(f"/jobs/{record.id}").text
    assert "another person approves it" in page
    assert f"/jobs/{record.id}/approve" not in page


def test_void_approvals_are_marked(pair: Pair, bank: Site) -> None:
    """An edit voids what was approved, which stays to be read."""
    record = drafted(pair)
    pair.bank.jobs.approve(record.id, person("bob"), record.digest)
    table = dict(record.table) | {"purpose": "another"}
    made = draft_with(pair.bank.node, parse_job(table, "x"), table, "acme", job_id=record.id)
    pair.bank.jobs.edit(record.id, made.table, "", person("ann"), contract=made.contract)
    assert "void since" in bank.client("bob").get(f"/jobs/{record.id}").text
    told = bank.client("bob").get(f"{API}/jobs/{record.id}").json()
    assert [each["void"] for each in told["approvals"]] == [True]


# -- steps at the bank


def test_an_approver_approves_what_was_shown(pair: Pair, bank: Site) -> None:
    """With the own password; then it is approved, and the page says so once."""
    record = drafted(pair)
    browser = bank.client("bob")
    page = browser.get(f"/jobs/{record.id}").text
    assert f'name="digest" value="{record.digest}"' in page
    path = f"/jobs/{record.id}/approve"
    wrong = bank.post(browser, path, digest=record.digest, password=PASSWORD + "!")
    assert wrong.status_code == 403
    assert 'role="alert"' in wrong.text
    assert PASSWORD not in wrong.text
    assert pair.bank.state(record.id) == "draft"
    right = bank.post(browser, path, digest=record.digest, password=PASSWORD)
    assert (right.status_code, right.headers["location"]) == (303, f"/jobs/{record.id}")
    assert "The job was approved." in browser.get(f"/jobs/{record.id}").text
    assert pair.bank.state(record.id) == "approved"
    assert [each.actor for each in pair.bank.jobs.approvals(record.id)] == ["bob"]


def test_nobody_approves_another_contract_than_was_shown(pair: Pair, bank: Site) -> None:
    """The digest of the form is held against the job as it is now."""
    record = drafted(pair)
    table = dict(record.table) | {"purpose": "another"}
    made = draft_with(pair.bank.node, parse_job(table, "x"), table, "acme", job_id=record.id)
    pair.bank.jobs.edit(record.id, made.table, "", person("ann"), contract=made.contract)
    browser = bank.client("bob")
    answer = bank.post(browser, f"/jobs/{record.id}/approve", digest=record.digest, password=PASSWORD)
    assert answer.status_code == 422
    assert "was changed since it was shown" in answer.text
    body = {"digest": record.digest, "password": PASSWORD}
    program = bank.token("bob", "see", "decide")
    assert program.post(f"{API}/jobs/{record.id}/approve", json=body).json()["code"] == "wrong_state"
    assert pair.bank.state(record.id) == "draft"


def test_who_wrote_it_cannot_approve_it(pair: Pair, bank: Site) -> None:
    """Four eyes hold at the store, whatever a page shows; also for one who edited it in between."""
    record = drafted(pair, who="zoe")
    answer = bank.post(
        bank.client("zoe"), f"/jobs/{record.id}/approve", digest=record.digest, password=PASSWORD
    )
    assert answer.status_code == 403
    assert "four eyes" in answer.text
    assert pair.bank.state(record.id) == "draft"


def test_a_failed_preflight_is_passed_over_by_a_deliberate_box_alone(pair: Pair, bank: Site) -> None:
    """Without the box it is refused in the console's own words; with it the history says who did so."""
    record = drafted(pair)
    fail_preflight(pair, record)
    browser = bank.client("bob")
    page = browser.get(f"/jobs/{record.id}").text
    assert "The column does not look like phone." in page
    assert 'name="without_preflight"' in page
    path = f"/jobs/{record.id}/approve"
    answer = bank.post(browser, path, digest=record.digest, password=PASSWORD)
    assert answer.status_code == 422
    assert "tick the box" in answer.text
    assert "--without-preflight" not in answer.text
    assert pair.bank.state(record.id) == "draft"
    fields = {"digest": record.digest, "password": PASSWORD, "without_preflight": "yes"}
    assert bank.post(browser, path, **fields).status_code == 303
    assert "bob went on without it" in browser.get(f"/jobs/{record.id}").text


def test_refuse_and_cancel(pair: Pair, bank: Site) -> None:
    """A reason is one of a closed list."""
    first, second = drafted(pair).id, drafted(pair).id
    browser = bank.client("bob")
    assert bank.post(browser, f"/jobs/{first}/refuse", reason="because").status_code == 422
    assert bank.post(browser, f"/jobs/{first}/refuse", reason="purpose").status_code == 303
    assert pair.bank.jobs.get(first).code == "purpose"
    assert bank.post(browser, f"/jobs/{second}/cancel").status_code == 303
    assert pair.bank.state(second) == "cancelled"
    again = bank.post(browser, f"/jobs/{second}/cancel")
    assert again.status_code == 422
    assert "is cancelled" in again.text


def test_a_job_that_came_to_nothing_is_drafted_again(pair: Pair, bank: Site) -> None:
    """The new one names the old one, which stays as it is."""
    record = drafted(pair)
    browser = bank.client("ann")
    refused = bank.post(browser, f"/jobs/{record.id}/retry")
    assert refused.status_code == 422
    pair.bank.jobs.cancel(record.id, person("ann"))
    answer = bank.post(browser, f"/jobs/{record.id}/retry")
    assert answer.status_code == 303
    new = answer.headers["location"].removeprefix("/jobs/")
    assert new != record.id
    assert pair.bank.state(record.id) == "cancelled"
    assert f"repeats job {record.id[:8]}" in browser.get(f"/jobs/{new}").text
    program = bank.token("ann", "see", "draft")
    made = program.post(f"{API}/jobs/{record.id}/retry", json={"days": 3})
    assert made.status_code == 201
    expires = datetime.datetime.fromisoformat(made.json()["expires"])
    assert expires - pair.clock() < datetime.timedelta(days=3, minutes=1)


def test_another_preflight_is_asked_for(pair: Pair, bank: Site) -> None:
    """The next run is the node's to make."""
    record = drafted(pair)
    fail_preflight(pair, record)
    assert bank.post(bank.client("ann"), f"/jobs/{record.id}/preflight").status_code == 303
    preflights = Preflights(pair.bank.node.home.store, pair.clock)
    assert preflights.wished(preflights.rows([record.id])[record.id])
    pair.bank.jobs.cancel(record.id, person("ann"))
    answer = bank.post(bank.client("ann"), f"/jobs/{record.id}/preflight")
    assert answer.status_code == 422
    assert "of no use" in answer.text


# -- steps at the platform


def test_the_platform_accepts(pair: Pair, platform: Site) -> None:
    """A job that was not tried needs the box; the platform's signature is on it then."""
    job = proposed(pair)
    browser = platform.client("bob")
    page = browser.get(f"/jobs/{job}").text
    assert "You accept exactly the contract" in page
    digest = platform.place.jobs.get(job).digest
    path = f"/jobs/{job}/approve"
    assert "datasets as they are now" in platform.post(browser, path, digest=digest, password=PASSWORD).text
    assert pair.platform.state(job) == "proposed"
    fields = {"digest": digest, "password": PASSWORD, "without_preflight": "yes"}
    assert platform.post(browser, path, **fields).status_code == 303
    record = platform.place.jobs.get(job)
    assert record.state is JobState.ACCEPTED
    assert record.platform_signature is not None
    pair.talk()
    assert pair.bank.state(job) == "accepted"


def test_the_platform_refuses(pair: Pair, platform: Site) -> None:
    """The bank is told the word."""
    job = proposed(pair)
    program = platform.token("bob", "see", "decide")
    told = program.post(f"{API}/jobs/{job}/refuse", json={"reason": "columns"}).json()
    assert (told["state"], told["code"]) == ("refused", "columns")
    pair.talk()
    assert pair.bank.jobs.get(job).code == "columns"


def test_drafts_and_preflights_are_the_banks(pair: Pair, platform: Site) -> None:
    """A platform's console has neither button nor step."""
    job = proposed(pair)
    told = platform.client("ann").get(f"{API}/jobs/{job}").json()
    assert told["actions"] == ["cancel"]
    assert platform.post(platform.client("ann"), f"/jobs/{job}/preflight").status_code == 422
    pair.platform.jobs.cancel(job, person("ann"))
    assert platform.post(platform.client("ann"), f"/jobs/{job}/retry").status_code == 422


# -- approvals


def test_approvals_are_those_of_others(pair: Pair, bank: Site, platform: Site) -> None:
    """With the card's first lines; what one wrote oneself is not among them."""
    others, own = drafted(pair), drafted(pair, who="zoe")
    page = bank.client("zoe").get("/approvals").text
    assert f"/jobs/{others.id}" in page
    assert f"/jobs/{own.id}" not in page
    assert "The platform learns" in page
    assert "which of its own rows match" in page
    job = proposed(pair)
    assert f"/jobs/{job}" in platform.client("bob").get("/approvals").text
    assert "Only an approver decides" in platform.client("eve").get("/approvals").text


# -- how it goes on


def test_progress_of_a_running_job(pair: Pair, bank: Site) -> None:
    """Phases, rows and what follows for the partner."""
    job = running(pair)
    place = bank.place
    browser = bank.client("ann")
    assert browser.get(f"{API}/jobs/{job}/progress").json()["partner"] == "begins"
    place.room.prepare(job, 1)
    assert "Phases at shop" not in browser.get(f"/jobs/{job}").text
    place.room.note_partner(job, 1, "read", 40)
    told = browser.get(f"{API}/jobs/{job}/progress").json()
    assert (told["partner"], told["partner_phase"], told["partner_percent"]) == ("works", "read", 40)
    assert (told["phase"], told["done"]) == (None, None)
    place.room.note_progress(job, 1, {"event": "phase", "phase": "exchange", "total": 200_000})
    pace = Pace(iter((0.0, 2.0)).__next__)
    record = place.jobs.get(job)
    assert live_of(place, record, pace).there is There.WORKS
    place.room.note_progress(job, 1, {"event": "progress", "phase": "exchange", "done": 50_000})
    now = live_of(place, record, pace)
    assert (now.done, now.total, now.rate, now.left) == (50_000, 200_000, 25_000.0, 6.0)
    assert now.share == 0.25
    assert [each.place for each in now.phases] == ["done", "done", "done", "current", "ahead"]
    page = browser.get(f"/jobs/{job}").text
    assert 'aria-current="step">masking the partner&#39;s rows' in page
    assert "50,000" in page
    assert f'aria-label="Phases at {record.partner}"' in page
    assert 'aria-current="step">reading and masking its rows' in page
    assert "<dd>40 %</dd>" in page
    place.room.note_partner(job, 1, "unknown", 0)
    assert "It is at work; in which phase it does not say." in browser.get(f"/jobs/{job}").text
    assert '<script src="/static/live.js" defer>' in page


def test_a_new_attempt_or_phase_begins_its_own_pace() -> None:
    """Nothing of the phase before counts."""
    times = iter((0.0, 1.0, 2.0, 3.0, 4.0))
    pace = Pace(times.__next__)
    assert pace.look(1, {"phase": "read", "total": 100}) == (0, 100, None)
    assert pace.look(1, {"phase": "read", "done": 10}) == (10, 100, 10.0)
    assert pace.look(1, {"phase": "exchange", "done": 5}) == (5, None, None)
    assert pace.look(2, {"phase": "exchange", "done": 5}) == (5, None, None)
    assert pace.look(2, {"phase": "exchange", "done": 7}) == (7, None, 2.0)


def test_each_sides_phases_of_a_sum(pair: Pair, bank: Site, platform: Site) -> None:
    """Who holds the values encrypts, the other side collects; each shows the other's phases, too."""
    pair.bank.add("customers", "mobile", "amount")
    pair.connect()
    keys = {
        "kind": "measure",
        "receiver": "bank",
        "bank": {"identifier": "mobile", "values": {"amount": {"min": 0, "max": 100}}},
        "platform": {"identifier": "phone", "groups": ["city"]},
    }
    job = running(pair, **keys)
    for site, phase, there in ((bank, "encrypt", "collect"), (platform, "collect", "encrypt")):
        if site is platform:
            site.place.jobs.start(job, "platform")
        site.place.room.prepare(job, 1)
        site.place.room.note_partner(job, 1, there, 7)
        live = live_of(site.place, site.place.jobs.get(job), Pace())
        assert [each.name for each in live.phases] == ["agree", "read", "order", phase, "write"]
        assert live.far is not None
        names = {each.name: each.place for each in live.far.phases}
        assert names == {"agree": "done", "read": "done", "order": "done", there: "current", "write": "ahead"}
        assert (live.far.phase, live.far.percent) == (there, 7)


def stream(look: Any, may: Any, beat: float = 15.0) -> list[str]:
    """All that a stream says until it ends."""

    async def said() -> list[str]:
        return [each async for each in events(look, may, pause=0.001, beat=beat)]

    return asyncio.run(said())


def test_a_stream_says_changes_and_ends_with_the_job() -> None:
    """The same twice is said once."""
    looks: list[Mapping[str, Any]] = [{"n": 1}, {"n": 1}, {"n": 2}, {"n": 3, "end": True}]
    said = stream(iter(looks).__next__, lambda: True)
    assert [json.loads(each.split("data: ")[1]) for each in said] == [looks[0], looks[2], looks[3]]
    assert all(each.startswith("event: job\n") and each.endswith("\n\n") for each in said)


def test_a_quiet_stream_gives_a_sign_of_life() -> None:
    """A comment, which browsers pass over."""
    looks = iter([{"n": 1}] * 8 + [{"n": 1, "end": True}])
    said = stream(looks.__next__, lambda: True, beat=0.003)
    assert ": still here\n\n" in said


def test_a_stream_ends_where_the_store_fails() -> None:
    """Without a word: the browser asks again, and that request is answered with what is the matter."""
    looks = iter([{"n": 1}])

    def look() -> Mapping[str, Any]:
        for each in looks:
            return each
        raise UsageError("The store is locked.", code="store_unavailable")

    assert len(stream(look, lambda: True)) == 1


def test_a_stream_ends_with_its_session(pair: Pair, bank: Site) -> None:
    """Once somebody is logged out, nothing more is told; and watching does not keep a session alive."""
    job = running(pair)
    browser = bank.client("ann")
    session = bank.place.sessions.find(browser.cookies[COOKIE])
    assert session is not None
    pair.clock.forward(minutes=10)
    answers: list[str] = []
    following = threading.Thread(target=lambda: answers.append(browser.get(f"/jobs/{job}/live").text))
    following.start()
    pair_of = bank.place.sessions
    while not any(each.used > session.used for each in pair_of.list(session.person)):
        following.join(0.05)  # its request was heard, which is the last use that counts
    used = [each.used for each in pair_of.list(session.person)]
    pair.clock.forward(minutes=5)
    following.join(1.5)
    assert [each.used for each in pair_of.list(session.person)] == used
    pair_of.end(session)
    following.join(30)
    assert not following.is_alive()
    assert answers[0].startswith("event: job\n")
    assert answers[0].endswith("event: left\ndata: {}\n\n")


def test_the_stream_of_a_job_that_has_ended_ends_at_once(pair: Pair, bank: Site) -> None:
    """With its state; as pages of the same origin alone may read it."""
    record = drafted(pair, purpose="<b>bold</b>")
    pair.bank.jobs.cancel(record.id, person("ann"))
    answer = bank.client("eve").get(f"/jobs/{record.id}/live")
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = json.loads(answer.text.split("data: ")[1])
    assert (told["state"], told["end"]) == ("cancelled", True)
    assert "<b>" not in told["html"]
    assert bank.client("eve").get("/jobs/" + "0" * 32 + "/live").status_code == 404


def test_a_job_that_is_done_is_followed_until_its_result_is_there(pair: Pair, bank: Site) -> None:
    """Which is a moment later; where the node died just then, the page says what to do."""
    job = running(pair)
    pair.bank.jobs.finish(job, "bank")
    place = bank.place
    assert not live_of(place, place.jobs.get(job), Pace()).over
    browser = bank.client("ann")
    assert "/static/live.js" in browser.get(f"/jobs/{job}").text
    pair.clock.forward(seconds=31)
    page = browser.get(f"/jobs/{job}").text
    assert "publishes it when it starts again" in page
    assert "/static/live.js" not in page
    place.room.result(job).mkdir(parents=True)
    assert live_of(place, place.jobs.get(job), Pace()).over
    assert f'href="/jobs/{job}/result"' in browser.get(f"/jobs/{job}").text


def test_a_person_has_so_many_streams(pair: Pair, bank: Site) -> None:
    """One more is refused, and another person's are not counted."""
    streams = Streams(most=1)
    with streams.one(1):
        assert streams.full(1)
        assert not streams.full(2)
    assert not streams.full(1)
    bank.app.state.streams = Streams(most=0)
    assert bank.client("ann").get(f"/jobs/{drafted(pair).id}/live").status_code == 429


# -- the API


def test_card_and_events_in_the_api(pair: Pair, bank: Site) -> None:
    """The card as it is hashed, with its sentences in the language that is asked for."""
    record = drafted(pair)
    program = bank.token("eve", "see")
    told = program.get(f"{API}/jobs/{record.id}/card", headers={"Accept-Language": "zh"}).json()
    assert told["card"] == card_for(parse_job(record.table, "x")).as_data()
    assert told["contract"] == record.digest
    assert told["sections"][0]["heading"] == "银行将得知"
    pair.bank.jobs.approve(record.id, person("bob"), record.digest)
    first = program.get(f"{API}/jobs/{record.id}/events?limit=1").json()
    assert [each["step"] for each in first["items"]] == ["draft"]
    rest = program.get(f"{API}/jobs/{record.id}/events?limit=1&after={first['next']}").json()
    assert [each["step"] for each in rest["items"]] == ["approve"]
    assert rest["next"] is None


def test_the_api_wants_the_password_of_the_tokens_owner(pair: Pair, bank: Site) -> None:
    """A token alone approves nothing."""
    record = drafted(pair)
    program = bank.token("bob", "see", "decide")
    path = f"{API}/jobs/{record.id}/approve"
    assert program.post(path, json={"digest": record.digest}).status_code == 422
    wrong = program.post(path, json={"digest": record.digest, "password": "not the password"})
    assert (wrong.status_code, wrong.headers["content-type"]) == (403, "application/problem+json")
    assert "not the password" not in wrong.text
    told = program.post(path, json={"digest": record.digest, "password": PASSWORD}).json()
    assert (told["state"], told["waits"]) == ("approved", "preflight")


def test_what_was_refused_is_in_the_log(pair: Pair, bank: Site) -> None:
    """An analyst who tries to approve has no right to it."""
    pair.bank.node.settle_log()
    record = drafted(pair)
    answer = bank.post(
        bank.client("ann"), f"/jobs/{record.id}/approve", digest=record.digest, password=PASSWORD
    )
    assert answer.status_code == 403
    assert pair.bank.state(record.id) == "draft"
    log = AuditLog(pair.bank.node.home.store)
    facts = log.facts()
    assert facts is not None
    assert b"attempt_refused" in b"".join(entry for _, _, entry in log.entries(facts.epoch))


# -- words


TABLES: tuple[Mapping[Any, str], ...] = (
    jobwords.STATES,
    jobwords.KINDS,
    jobwords.STEPS,
    jobwords.WAITS,
    jobwords.REFUSALS,
    jobwords.REASONS,
    jobwords.ROLES,
    THERE,
    preflightwords.MARKS,
    preflightwords.STANDING,
    preflightwords.AT_PARTNER,
    {"": preflightwords.HELD, " ": preflightwords.MISMATCH, "  ": jobwords.REPEATED},
)


def test_every_word_of_jobs_is_there_in_chinese() -> None:
    """Those of tables, which no search for calls finds; and with the same places for values."""
    known = catalogue("zh")
    for table in TABLES:
        for text in table.values():
            if text:
                assert text in known, text
                assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", known[text]))


def test_every_state_step_and_kind_has_a_word() -> None:
    """A new one that is forgotten here would break its page."""
    assert set(jobwords.STATES) == set(JobState)
    assert set(jobwords.STEPS) == set(Step)
    assert set(jobwords.WAITS) == set(jobwords.Waits)
    assert set(THERE) == set(There)


@pytest.mark.parametrize(
    ("actor", "shown"),
    [
        ("ann", "ann"),
        ("node:bank-0123", "this node"),
        ("partner:acme", "acme"),
        ("rule:monthly", "standing rule monthly"),
        ("schedule:" + "ab" * 16, "schedule abababab"),
    ],
)
def test_actors_are_named(actor: str, shown: str) -> None:
    """By what they are."""
    assert jobwords.actor_name(actor, Words("en")) == shown


def test_the_pages_in_chinese(pair: Pair, bank: Site) -> None:
    """No English word of ours is left in the list, on the job's page and among approvals."""
    record = drafted(pair)
    browser = bank.client("bob")
    browser.headers["Accept-Language"] = "zh-CN,zh;q=0.9"
    for path in ("/jobs", f"/jobs/{record.id}", "/approvals"):
        page = browser.get(path).text
        text = re.sub(r"<script.*?</script>|<code>.*?</code>|<pre.*?</pre>|<[^>]+>", " ", page, flags=re.S)
        words = set(re.findall(r"[A-Za-z]{3,}", text))
        ours = {"Veiljoin", "veiljoin", "bank", "acme", "other", "customers", "test", "ann", "bob", "English"}
        # Names of the job file and of cryptography are the same in every language.
        ours |= {"audience", "phone", "SHA", "ell"}
        assert not {each for each in words - ours if not re.fullmatch("[0-9a-f]+", each)}


def test_the_page_of_a_job_of_another_version(pair: Pair, bank: Site) -> None:
    """Its page opens all the same, without a card."""
    record = drafted(pair)
    with pair.bank.node.home.store.transaction() as connection:
        connection.execute(
            jobs.update().where(jobs.c.id == record.id).values(job_table='{"kind": "audience", "novel": 1}')
        )
    page = bank.client("bob").get(f"/jobs/{record.id}")
    assert page.status_code == 200
    assert "cannot make the card" in page.text
    assert bank.client("bob").get("/approvals").status_code == 200
    answer = bank.client("bob").get(f"{API}/jobs/{record.id}/card")
    assert answer.json()["code"] == "bad_contract"
