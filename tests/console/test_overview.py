"""The first page: how many jobs are where, what needs attention, and what campaigns came to."""

from __future__ import annotations

import datetime
import json
import os
import re
from decimal import Decimal
from typing import Any

from console.campaignfigures import NO_FIGURE, Figure, Known, Outcomes, campaigns, outcome_of
from console.overview import CONCERNS, Concern
from console.words import catalogue
from party.auditlog import AuditLog
from party.figures import NOT_TOLD
from party.jobrecords import JobRecord
from party.results import RESULT
from party.tables import audit_cosigned
from tests.console.conftest import Site
from tests.console.test_jobs import API, drafted, fail_preflight, proposed, running
from tests.party.standing_pair import Pair

MEASURE: dict[str, Any] = {
    "kind": "measure",
    "totals": {
        "persons": 1_000,
        "matched": 80,
        "converters": 60,
        "conversions": 75,
        "sums": {"amount": "1200.50"},
        "cost": "400.00",
        "complete": True,
    },
    "groups": [],
    "withheld": [],
}


def told(value: str | int) -> Figure:
    """A figure that is known."""
    return Figure(Known.TOLD, Decimal(value))


def done(pair: Pair, result: Any, **keys: Any) -> JobRecord:
    """A job that is done at the bank, with its result."""
    job = running(pair, **keys)
    pair.bank.jobs.finish(job, "bank", datetime.timedelta(days=90))
    folder = pair.bank.folder / "results" / job
    folder.mkdir(parents=True)
    (folder / RESULT).write_text(json.dumps(result))
    return pair.bank.jobs.get(job)


# -- figures


def test_the_figures_of_a_measurement() -> None:
    """Return is what was attributed for each unit of spend."""
    said = outcome_of(MEASURE)
    assert said.reach == told(1_000)
    assert said.converters == told(60)
    assert said.conversions == told(75)
    assert said.spend == told("400.00")
    assert said.sums == {"amount": told("1200.50")}
    assert said.returned == {"amount": told("3.00125")}
    assert (said.added, said.whole) == (False, True)


def test_withheld_is_withheld_and_never_nothing() -> None:
    """Nor is a return made of what is withheld; and what is the other side's is said to be that."""
    totals = MEASURE["totals"] | {"converters": None, "sums": {"amount": None}, "complete": False}
    said = outcome_of(MEASURE | {"totals": totals})
    withheld = Figure(Known.WITHHELD)
    assert (said.converters, said.sums["amount"], said.returned["amount"]) == (withheld,) * 3
    assert not said.whole
    told_other = outcome_of(
        MEASURE | {"totals": totals, "withheld": [{"figure": "totals", "reason": NOT_TOLD}]}
    )
    assert told_other.converters == Figure(Known.UNTOLD)
    free = outcome_of(MEASURE | {"totals": MEASURE["totals"] | {"cost": "0.00"}})
    assert free.returned == {"amount": NO_FIGURE}


def test_a_lift_says_what_was_added() -> None:
    """Its return is that of its evaluation, with the interval."""
    evaluation = {"return_on_spend": {"amount": {"value": 2.5, "low": 1.0, "high": 4.0}}}
    said = outcome_of(MEASURE | {"kind": "lift", "evaluation": evaluation})
    assert said.added
    assert said.returned == {"amount": Figure(Known.TOLD, Decimal("2.5"), 1.0, 4.0)}
    unknown = outcome_of(MEASURE | {"kind": "lift", "evaluation": None})
    assert unknown.returned == {"amount": NO_FIGURE}


def test_the_reach_of_matches() -> None:
    """Of those on the list, which may be the ones who do not match; the sender of a list is told nothing."""
    totals = {"bank_persons": 10, "platform_persons": 20, "matched": 7}
    assert outcome_of({"kind": "audience", "totals": totals}).reach == told(7)
    assert outcome_of({"kind": "audience", "totals": totals | {"unmatched": 3}}).reach == told(3)
    sender = {"kind": "audience", "totals": totals | {"matched": None}}
    reason = {"figure": "matched", "reason": NOT_TOLD}
    assert outcome_of(sender | {"withheld": [reason]}).reach == Figure(Known.UNTOLD)
    few = {"figure": "list", "reason": "below_min_group"}
    assert outcome_of(sender | {"withheld": [few]}).reach == Figure(Known.WITHHELD)
    assert outcome_of({"kind": "profile", "totals": {"matched": 9, "complete": True}}).reach == told(9)


def test_runs_of_a_campaign_are_not_added_up(pair: Pair, bank: Site) -> None:
    """The newest that measured counts; without one the newest match."""
    records = [
        done(pair, {"kind": "overlap", "totals": {"matched": 5}}, kind="overlap", receiver="bank"),
        done(pair, {"kind": "overlap", "totals": {"matched": 6}}, kind="overlap", receiver="bank"),
    ]
    outcomes, unread = Outcomes().of(bank.place.room, records)
    newest = list(reversed(records))
    found = campaigns(outcomes, newest, unread)
    assert [(each.record.id, each.finished) for each in found.campaigns] == [(newest[0].id, 2)]
    assert found.campaigns[0].outcome.reach == told(6)


def test_results_are_read_once_and_again_when_they_changed(pair: Pair, bank: Site) -> None:
    """By time of change; one that can't be read is left to the job's own page."""
    record = done(pair, MEASURE)
    outcomes = Outcomes(patience=60.0)
    assert outcomes.of(bank.place.room, [record])[0][record.id].converters == told(60)
    path = bank.place.room.result(record.id) / RESULT
    before = path.stat()
    path.write_text("{")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert outcomes.of(bank.place.room, [record])[0][record.id].converters == told(60)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert outcomes.of(bank.place.room, [record]) == ({}, 0)
    path.unlink()
    assert outcomes.of(bank.place.room, [record]) == ({}, 0)


def test_a_look_reads_for_so_long_only(pair: Pair, bank: Site) -> None:
    """What is left is counted, and comes with the next look."""
    record = done(pair, MEASURE)
    assert Outcomes(patience=-1.0).of(bank.place.room, [record]) == ({}, 1)


# -- the page


def test_the_overview_counts_and_lists(pair: Pair, bank: Site) -> None:
    """Each with a way to more."""
    draft = drafted(pair)
    job = running(pair)
    failed = running(pair)
    pair.bank.jobs.fail(failed, "bank", "peer_aborted")
    record = done(pair, MEASURE, receiver="bank")
    page = bank.client("bob").get("/").text
    for each in (draft.id, job, failed, record.id):
        assert f"/jobs/{each}" in page
    assert "the partner ended the job" in page
    told = bank.client("bob").get(f"{API}/overview").json()
    assert {name: count for name, count in told["counts"].items() if count} == {
        "draft": 1,
        "running": 1,
        "failed": 1,
        "done": 1,
    }
    assert [each["id"] for each in told["waiting"]] == [draft.id]
    assert [each["id"] for each in told["failed"]] == [failed]


def test_campaigns_are_for_who_may_read_results_and_are_noted(pair: Pair, bank: Site) -> None:
    """Once a day for each person and result; an auditor sees none."""
    pair.bank.node.settle_log()
    record = done(pair, MEASURE, receiver="bank", purpose="spring & <b>summer</b>")
    log = AuditLog(pair.bank.node.home.store)
    facts = log.facts()
    assert facts is not None

    def reads() -> int:
        entries = (entry for _, _, entry in log.entries(facts.epoch, job=record.id))
        return sum(b"result_read" in entry for entry in entries)

    page = bank.client("eve").get("/").text
    assert "Campaigns" not in page
    assert bank.client("eve").get(f"{API}/overview").json()["campaigns"] is None
    assert reads() == 0
    page = bank.client("ann").get("/").text
    assert "<svg" in page
    assert "1,200.50" in page
    assert "3.00" in page
    assert "spring &amp; &lt;b&gt;summer&lt;/b&gt;" in page
    assert "<b>summer" not in page
    assert reads() == 1
    told = bank.client("ann").get(f"{API}/overview").json()["campaigns"]
    assert [(each["job"], each["converters"]["value"]) for each in told] == [(record.id, "60")]
    assert reads() == 1
    bank.client("bob").get("/")
    assert reads() == 2


def test_the_other_sides_result_is_no_campaign_here(pair: Pair, bank: Site) -> None:
    """Of a result that is the platform's this side has sizes alone."""
    done(pair, {"kind": "audience", "totals": {"matched": None}}, receiver="platform")
    assert bank.client("ann").get(f"{API}/overview").json()["campaigns"] == []


# -- what needs attention


def attention(site: Site) -> dict[str, str]:
    """Concern -> address."""
    found = site.client("bob").get(f"{API}/overview").json()["attention"]
    return {each["concern"]: each["address"] for each in found if each["concern"] != "disk"}


def test_what_is_the_matter_with_jobs(pair: Pair, bank: Site) -> None:
    """A misfit, a cut, and a partner who is waited for."""
    assert attention(bank) == {}
    record = drafted(pair)
    fail_preflight(pair, record)
    job = running(pair)
    pair.bank.jobs.retry(job, "bank", "link_lost")
    found = attention(bank)
    assert found == {"preflight_failed": f"/jobs/{record.id}", "job_cut": f"/jobs/{job}"}
    pair.clock.forward(minutes=6)
    assert attention(bank)["partner_away"] == "/partners/acme"
    assert "its node is away, or the own node does not run" in bank.client("eve").get("/").text


def test_what_is_the_matter_with_partners(pair: Pair, bank: Site) -> None:
    """One that does not cosign."""
    pair.bank.node.settle_log()
    facts = AuditLog(pair.bank.node.home.store).facts()
    assert facts is not None
    with pair.bank.node.home.store.transaction() as connection:
        connection.execute(
            audit_cosigned.insert().values(epoch=facts.epoch, partner="acme", size=0, code="withheld")
        )
    assert attention(bank) == {"cosign_refused": "/partners/acme"}


def test_the_certificate_that_was_not_renewed(pair: Pair, bank: Site) -> None:
    """Told while there is a day left."""
    pair.bank.node.authority().renew_own(pair.bank.node.credentials)
    assert attention(bank) == {}
    current = pair.bank.node.credentials.current()
    assert current is not None
    pair.clock.time = current.expires - datetime.timedelta(hours=20)
    assert attention(bank) == {"own_certificate": "/partners"}


def test_every_concern_has_its_words() -> None:
    """In Chinese too, with the same places for values."""
    assert set(CONCERNS) == set(Concern)
    known = catalogue("zh")
    for text in CONCERNS.values():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", known[text]))


def test_the_platforms_overview(pair: Pair, platform: Site) -> None:
    """What waits there is proposals."""
    job = proposed(pair)
    told = platform.client("bob").get(f"{API}/overview").json()
    assert [each["id"] for each in told["waiting"]] == [job]
    assert told["counts"]["proposed"] == 1
    assert platform.client("bob").get("/").status_code == 200
