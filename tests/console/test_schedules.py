"""Recurring jobs in pages and API: drafted, approved by a second person, paused, resumed, changed, removed."""

from __future__ import annotations

import datetime
import html
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from httpx2 import Response

from console.schedules import every_text, first_times
from console.tomltext import toml_text
from console.words import Words
from party.jobs import Jobs
from party.recurrence import parse_recurrence
from party.schedulerecords import ScheduleState
from party.schedules import Schedules
from party.scheduleterms import new_timetable
from party.scheduling import Scheduler
from tests.console.conftest import PASSWORD, Site
from tests.console.test_drafts import TABLE, TOML
from tests.party.standing_pair import Pair

TIMES = {"every": "daily at 06:00", "timezone": "Asia/Shanghai", "until": "2027-06-30"}
FORM = {"text": TOML, "offer": "acme/users", "dataset": "customers", "runs": "", "days": "7", **TIMES}
WRONG = PASSWORD + "!"
_SEEN = re.compile(r'name="seen" value="([0-9a-f]{64})"')


@pytest.fixture
def until(pair: Pair) -> str:
    """A last day that is not too far away."""
    return (pair.clock() + datetime.timedelta(days=200)).date().isoformat()


@pytest.fixture
def wanted(until: str) -> dict[str, Any]:
    """What a program asks for."""
    return TIMES | {"partner": "acme", "toml": TOML, "until": until}


def drafted(bank: Site, wanted: Mapping[str, Any]) -> str:
    """Draft a schedule as Ann; returns its id."""
    answer = bank.token("ann", "draft", "see").post("/api/v1/schedules", json=wanted)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["schedule"])


def approve(bank: Site, schedule: str, name: str = "bob", **fields: str) -> Response:
    """Approve what the page shows."""
    client = bank.client(name)
    digest = schedules(bank).find(schedule).digest
    return bank.post(
        client, f"/schedules/{schedule}/approve", **{"digest": digest, "password": PASSWORD} | fields
    )


def schedules(bank: Site) -> Schedules:
    """Return the schedules of a side."""
    return Schedules(bank.place.node.home.store, bank.place.node.clock)


def state(bank: Site, schedule: str) -> ScheduleState:
    """Return where a schedule is."""
    return schedules(bank).find(schedule).state


def test_a_schedule_is_shown_before_it_is_drafted(bank: Site, until: str) -> None:
    ann = bank.client("ann")
    form = ann.get("/schedules/new")
    assert form.status_code == 200
    assert "acme: users" in form.text
    checked = bank.post(ann, "/schedules/new", go="check", **FORM | {"until": until})
    assert checked.status_code == 200
    assert "daily at 06:00 (Asia/Shanghai)" in checked.text
    assert len(re.findall(r"\d{4}-\d\d-\d\d 06:00", checked.text)) == 3
    assert "which of its own rows match" in checked.text
    assert schedules(bank).list() == ()
    seen = _SEEN.search(checked.text)
    assert seen is not None
    other = bank.post(ann, "/schedules/new", go="save", seen=seen[1], **FORM | {"until": until, "runs": "3"})
    assert other.status_code == 422
    assert "not any more what was shown" in other.text
    saved = bank.post(ann, "/schedules/new", go="save", seen=seen[1], **FORM | {"until": until})
    assert saved.status_code == 303
    (record,) = schedules(bank).list()
    assert (record.state, record.drafter, record.source) == (ScheduleState.DRAFT, "ann", TOML)
    assert saved.headers["location"] == f"/schedules/{record.id}"


FAULTS: list[tuple[dict[str, str], str]] = [
    ({"every": "sometimes"}, "can't be read"),
    ({"every": ""}, "can't be read"),
    ({"timezone": "Asia/Nowhere"}, "no time zone"),
    ({"until": "soon"}, "no date"),
    ({"runs": "many"}, "no number"),
    ({"days": "0"}, "out of range"),
    ({"text": "kind"}, "not valid TOML"),
    ({"dataset": "none"}, "no dataset"),
    ({"offer": "stranger/"}, "no partner"),
    ({"offer": ""}, "no partner"),
]


def test_what_cannot_be_is_told_and_kept(bank: Site, until: str) -> None:
    ann = bank.client("ann")
    for changed, said in FAULTS:
        answer = bank.post(ann, "/schedules/new", go="check", **FORM | {"until": until} | changed)
        assert answer.status_code == 422, changed
        assert said in html.unescape(answer.text), changed
        assert "identifier = &#34;mobile&#34;" in answer.text or "text" in changed
    assert schedules(bank).list() == ()


def test_a_second_person_approves_with_the_password(bank: Site, wanted: dict[str, Any]) -> None:
    schedule = drafted(bank, wanted)
    page = bank.client("bob").get(f"/schedules/{schedule}")
    assert schedules(bank).find(schedule).digest in page.text
    assert approve(bank, schedule, password=WRONG).status_code == 403
    assert approve(bank, schedule, digest="0" * 64).status_code == 409
    assert approve(bank, schedule, "ann").status_code == 403
    assert state(bank, schedule) is ScheduleState.DRAFT
    assert approve(bank, schedule).status_code == 303
    assert state(bank, schedule) is ScheduleState.ACTIVE


def test_who_wrote_it_does_not_approve_it(bank: Site, wanted: dict[str, Any]) -> None:
    answer = bank.token("zoe", "draft", "see").post("/api/v1/schedules", json=wanted)
    schedule = answer.json()["schedule"]
    page = bank.client("zoe").get(f"/schedules/{schedule}").text
    assert "You wrote this schedule" in page
    assert "Approve as a whole" not in page
    assert approve(bank, schedule, "zoe").status_code == 403
    assert state(bank, schedule) is ScheduleState.DRAFT


def test_paused_resumed_and_removed(bank: Site, wanted: dict[str, Any]) -> None:
    schedule = drafted(bank, wanted)
    approve(bank, schedule)
    ann, bob = bank.client("ann"), bank.client("bob")
    assert bank.post(bob, f"/schedules/{schedule}/pause").status_code == 303
    assert state(bank, schedule) is ScheduleState.PAUSED
    assert "a person paused it" in ann.get(f"/schedules/{schedule}").text
    assert bank.post(bob, f"/schedules/{schedule}/resume").status_code == 403
    assert bank.post(ann, f"/schedules/{schedule}/resume").status_code == 303
    assert bank.post(ann, f"/schedules/{schedule}/refuse").status_code == 403
    assert bank.post(bob, f"/schedules/{schedule}/refuse").status_code == 409
    assert bank.post(ann, f"/schedules/{schedule}/remove").status_code == 303
    assert state(bank, schedule) is ScheduleState.REMOVED
    assert ann.get(f"/schedules/{schedule}/edit").status_code == 409
    assert schedule not in ann.get("/schedules").text
    assert schedule in ann.get("/schedules?all=1").text


def test_a_change_makes_the_approval_void(bank: Site, wanted: dict[str, Any]) -> None:
    schedule = drafted(bank, wanted)
    approve(bank, schedule)
    ann = bank.client("ann")
    assert "daily at 06:00" in ann.get(f"/schedules/{schedule}/edit").text
    fields = FORM | {"until": wanted["until"], "every": "weekly on mon, thu at 07:30"}
    checked = bank.post(ann, f"/schedules/{schedule}/edit", go="check", **fields)
    seen = _SEEN.search(checked.text)
    assert seen is not None
    assert bank.post(ann, f"/schedules/{schedule}/edit", go="save", seen=seen[1], **fields).status_code == 303
    page = ann.get(f"/schedules/{schedule}").text
    assert "weekly on Monday, Thursday at 07:30" in page
    assert ">void<" in page
    assert state(bank, schedule) is ScheduleState.DRAFT


def test_due_times_lead_to_their_jobs(pair: Pair, bank: Site, wanted: dict[str, Any]) -> None:
    schedule = drafted(bank, wanted)
    approve(bank, schedule)
    record = schedules(bank).find(schedule)
    assert record.next_due is not None
    pair.clock.forward(seconds=(record.next_due - pair.clock()).total_seconds() + 1)
    Scheduler(bank.place.node, Jobs(bank.place.node.home.store, "bank", pair.clock), "one").tick()
    (run,) = schedules(bank).runs(schedule)
    assert run.job is not None
    page = bank.client("bob").get(f"/schedules/{schedule}")
    assert f"/jobs/{run.job}" in page.text
    told = bank.token("eve", "see").get(f"/api/v1/schedules/{schedule}").json()
    assert told["due_times"][0]["job"] == run.job
    assert told["drafted"] == 1


def test_a_schedule_is_filled_from_a_job(bank: Site) -> None:
    made = bank.token("ann", "draft").post("/api/v1/jobs", json={"partner": "acme", "job": TABLE})
    form = bank.client("ann").get(f"/schedules/new?from={made.json()['job']}").text
    assert '<option value="acme/users" selected>' in form
    assert html.escape(toml_text(TABLE).splitlines()[0], quote=False).replace('"', "&#34;") in form


def test_a_platform_has_none(platform: Site) -> None:
    ann = platform.client("ann")
    assert "Schedules are the bank" in ann.get("/schedules").text
    assert "Jobs are drafted at the bank" in ann.get("/schedules/new").text
    assert platform.post(ann, "/schedules/new", go="save", **FORM).status_code == 403
    assert platform.token("eve", "see").get("/api/v1/schedules").json() == {"items": [], "next": None}


def test_everything_in_chinese(bank: Site, wanted: dict[str, Any]) -> None:
    schedule = drafted(bank, wanted | {"every": "monthly on 1, last at 23:30"})
    bob = bank.client("bob")
    bob.headers["accept-language"] = "zh-CN"
    assert "每月 1 日、最后一天 23:30" in bob.get("/schedules").text
    page = bob.get(f"/schedules/{schedule}").text
    assert "整体批准" in page
    assert "银行将得知" in page


def test_how_often_in_words() -> None:
    said = {
        "every hour": ("every hour", "每小时"),
        "every 4 hours": ("every 4 hours", "每 4 小时"),
        "daily": ("daily at 06:00", "每天 06:00"),
        "weekly on sun, mon at 23:05": ("weekly on Monday, Sunday at 23:05", "每周一、周日 23:05"),
        "monthly on last": ("monthly on the last day at 06:00", "每月 最后一天 06:00"),
    }
    for text, expected in said.items():
        recurrence = parse_recurrence(text, "Asia/Shanghai")
        assert tuple(every_text(recurrence, Words(language)) for language in ("en", "zh")) == expected


def test_no_more_first_times_than_there_are() -> None:
    now = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
    assert len(first_times(new_timetable("daily", "UTC", "2026-11-23", None, 7, now), now)) == 2
    assert len(first_times(new_timetable("daily", "UTC", "2027-11-23", 1, 7, now), now)) == 1


# The API


def test_a_program_takes_a_schedule_through_its_life(bank: Site, wanted: dict[str, Any]) -> None:
    ann = bank.token("ann", "draft", "see", "cancel")
    bob = bank.token("bob", "decide", "see")
    checked = ann.post("/api/v1/schedules/check", json=wanted)
    assert checked.status_code == 200
    assert len(checked.json()["times"]) == 3
    assert schedules(bank).list() == ()
    stale = ann.post("/api/v1/schedules", json=wanted | {"digest": checked.json()["digest"], "runs": 4})
    assert (stale.status_code, stale.json()["code"]) == (409, "wrong_state")
    made = ann.post("/api/v1/schedules", json=wanted | {"digest": checked.json()["digest"]})
    assert made.status_code == 201
    at = made.headers["location"]
    consent = {"digest": made.json()["digest"], "password": PASSWORD}
    assert ann.post(f"{at}/approve", json=consent).status_code == 403
    assert bob.post(f"{at}/approve", json=consent | {"password": WRONG}).status_code == 403
    assert bob.post(f"{at}/approve", json=consent).json()["state"] == "active"
    assert ann.post(f"{at}/pause").json()["state"] == "paused"
    assert ann.post(f"{at}/resume").json()["state"] == "active"
    changed = ann.put(
        at, json={key: value for key, value in wanted.items() if key != "partner"} | {"runs": 2}
    )
    assert (changed.json()["state"], changed.json()["runs"]) == ("draft", 2)
    assert [each["void"] for each in changed.json()["approvals"]] == [True]
    assert bob.post(f"{at}/refuse").json()["state"] == "refused"
    assert (bob.post(f"{at}/refuse").status_code, ann.get(at).json()["actions"]) == (409, [])
    assert ann.get("/api/v1/schedules/" + "0" * 32).status_code == 404


def test_a_list_by_pages(bank: Site, wanted: dict[str, Any]) -> None:
    made = [drafted(bank, wanted | {"runs": number}) for number in (1, 2, 3)]
    eve = bank.token("eve", "see")
    first = eve.get("/api/v1/schedules?limit=2").json()
    assert [each["schedule"] for each in first["items"]] == made[:0:-1]
    second = eve.get(f"/api/v1/schedules?limit=2&after={first['next']}").json()
    assert ([each["schedule"] for each in second["items"]], second["next"]) == (made[:1], None)
    assert eve.get("/api/v1/schedules?state=active").json()["items"] == []
    assert eve.get("/api/v1/schedules?partner=nobody").json()["items"] == []
    assert eve.get("/api/v1/schedules?after=x").status_code == 422


# The same form twice

_NAMED = re.compile(r'name="schedule" value="([0-9a-f]{32})"')


def shown(bank: Site, address: str, **fields: str) -> dict[str, str]:
    """Let Ann look at what the form would make; returns what its page sends with *Draft it*."""
    page = bank.post(bank.client("ann"), address, go="check", **fields).text
    hidden = {"seen": _SEEN.search(page), "schedule": _NAMED.search(page)}
    return fields | {"go": "save"} | {name: found[1] for name, found in hidden.items() if found is not None}


def test_a_form_that_is_sent_twice_drafts_one_schedule(bank: Site, until: str) -> None:
    ann, fields = bank.client("ann"), shown(bank, "/schedules/new", **FORM | {"until": until})
    sent = [bank.post(ann, "/schedules/new", **fields) for _ in range(2)]
    assert [answer.status_code for answer in sent] == [303, 303]
    assert sent[0].headers["location"] == sent[1].headers["location"] == f"/schedules/{fields['schedule']}"
    assert [each.drafter for each in schedules(bank).list()] == ["ann"]
    assert bank.post(bank.client("zoe"), "/schedules/new", **fields).status_code == 422
    # One that was looked at anew is another, be it the same; so is one that is sent without an id.
    again = shown(bank, "/schedules/new", **FORM | {"until": until})
    assert bank.post(ann, "/schedules/new", **again).headers["location"] != sent[0].headers["location"]
    for odd in ("", "../" * 8, "0" * 31):
        assert bank.post(ann, "/schedules/new", **again | {"schedule": odd}).status_code == 303
    assert len(schedules(bank).list()) == 5
    # Sent again once such a schedule could not be drafted any more, it still leads to the one that was.
    bank.post(bank.client("adam"), "/partners/acme/revoke", password=PASSWORD)
    assert bank.post(ann, "/schedules/new", **fields).headers["location"] == sent[0].headers["location"]
    assert bank.post(ann, "/schedules/new", **fields | {"schedule": "0" * 32}).status_code == 422


def test_two_requests_at_once_draft_one_schedule(bank: Site, until: str) -> None:
    ann, fields = bank.client("ann"), shown(bank, "/schedules/new", **FORM | {"until": until})
    with ThreadPoolExecutor(4) as pool:
        sent = list(pool.map(lambda _: bank.post(ann, "/schedules/new", **fields), range(4)))
    assert {answer.headers["location"] for answer in sent} == {f"/schedules/{fields['schedule']}"}
    assert len(schedules(bank).list()) == 1
    assert len(schedules(bank).events(fields["schedule"])) == 1


def test_a_change_that_is_sent_again_voids_no_approval(bank: Site, wanted: dict[str, Any]) -> None:
    schedule, ann = drafted(bank, wanted), bank.client("ann")
    address = f"/schedules/{schedule}/edit"
    fields = shown(bank, address, **FORM | {"until": wanted["until"], "every": "daily at 07:30"})
    assert [bank.post(ann, address, **fields).status_code for _ in range(2)] == [303, 303]
    assert [each.step.value for each in schedules(bank).events(schedule)] == ["draft", "edit"]
    assert approve(bank, schedule).status_code == 303
    late = bank.post(ann, address, **fields)
    assert late.status_code == 422
    assert "not any more what was shown" in late.text
    assert state(bank, schedule) is ScheduleState.ACTIVE
