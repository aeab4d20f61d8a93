"""What a party could log of a run to make it look better than it was: contracts, budgets, thresholds and clocks."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import bundle
from audit.contracts import moment, read
from audit.entry import Draft
from audit.report import Report
from bench import synthetic_logs
from bench.synthetic_jobs import LIMIT_EPSILON, LIMIT_HOURS, LIMIT_RUNS, Run
from cli.audit_files import read_policy
from psi.errors import UsageError
from tests.audit.synthetic_logs import LABELS, Pair, bundles, check
from tests.audit.test_verify import (
    Alter,
    facts,
    lying,
    once,
    opened,
    places,
    problems,
    release,
    report_on,
    uncosigned,
)


def codes(report: Report) -> set[str]:
    """Return the codes of all problems of a report."""
    return {each.code for each in problems(report)}


def body(kind: str) -> dict[str, Any]:
    """Return what the contract of a made-up job says."""
    pair = Pair("body")
    pair.jobs([kind])
    told: dict[str, Any] = json.loads(base64.b64decode(pair.bank.contracts[0]["contract"]))
    return told


# -- contracts


@pytest.mark.parametrize("bits", [0, 3, 1_024, 4_096, True, "2_048"])
def test_a_key_of_a_length_that_is_not_offered_is_refused(bits: Any) -> None:
    with pytest.raises(ValueError, match="contract"):
        read(rfc8785.dumps({**body("measure"), "key_bits": bits}))


@pytest.mark.parametrize(
    "epsilon", ["1e-30000000", "1e3000000", "0.5", "1", "0/1", "1/0", "-1/2", "1/" + "9" * 41, " 1/2", 1.5]
)
def test_an_epsilon_that_is_no_fraction_is_refused_at_once(epsilon: Any) -> None:
    told = body("measure")
    told["policy"]["epsilon"] = epsilon
    with pytest.raises(ValueError, match="contract"):
        read(rfc8785.dumps(told))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"policy":{', b'"policy":{"max_set":10,"min_group":1000000},"policy":{'),
        (b"reactivate dormant customers", b"\\ud800"),
        (b'"version":1', b'"version": 1'),
        (b'"version":1', b'"version":' + b"9" * 30),
    ],
    ids=["a key twice", "half of a surrogate pair", "a space", "a long number"],
)
def test_a_contract_that_is_not_canonical_is_refused(old: bytes, new: bytes) -> None:
    data = rfc8785.dumps(body("audience"))
    read(data)
    with pytest.raises(ValueError, match="canonical"):
        read(data.replace(old, new, 1))


def test_a_contracts_time_is_that_of_the_calendar() -> None:
    source = random.Random("times")
    for _ in range(2_000):
        zone = datetime.timezone(datetime.timedelta(minutes=source.randrange(-720, 841)))
        when = datetime.datetime.fromtimestamp(source.randrange(0, 12_622_780_800), zone)
        assert moment(when.isoformat(timespec="seconds")) == 1_000 * int(when.timestamp())
    for text in (
        "2026-12-24",
        "2026-13-24T00:00:00+00:00",
        "2026-12-24T00:00:00",
        "2026-12-24T24:00:00+00:00",
    ):
        with pytest.raises(ValueError, match="time"):
            moment(text)


def ran(pair: Pair, kind: str, between: Callable[[Run], None] = lambda run: None) -> Run:
    """Run one job of ``kind``, with something done once it was agreed on."""
    run = Run(pair, kind, pair._next(), pair._random)
    run.agree()
    pair.both(lambda one, other: one.checkpoint(other))
    between(run)
    for stage in range(run.stages):
        run.advance(stage)
        pair.both(lambda one, other: one.checkpoint(other))
    run.end()
    pair.both(lambda one, other: one.checkpoint(other))
    return run


def test_a_contract_that_is_signed_behind_the_run_does_not_stand_for_it() -> None:
    pair = Pair("swap")
    bank = pair.bank

    def looser(draft: Draft) -> Draft:
        return facts(draft, min_group=1) if draft.type == "decision" else draft

    def swap(run: Run) -> None:
        bank.alter = looser

    run = ran(pair, "audience", swap)
    assert codes(report_on(pair)) == {"other_thresholds"}
    told = json.loads(run.canonical)
    told["policy"]["min_group"] = 1
    card = {"settings": {**run._card()["settings"], "min_group": 1}, "sections": {}}
    told["card"] = hashlib.sha256(rfc8785.dumps(card)).hexdigest()
    data = rfc8785.dumps(told)
    digest = hashlib.sha256(data)
    signed = Ed25519PrivateKey.from_private_bytes(bank.identity.reveal()).sign(
        b"veiljoin/v1/contract\0bank\0" + digest.digest()
    )
    bank.contracts.append(bundle.contract(data, signed, None, card, ["card"], ["card"]))
    named = {"digest": digest.hexdigest()}
    edited = {"kind": "audience", "partner": "acme", "dataset": "segment", "card": told["card"]}
    bank.append("job_edit", "mary", run.job, {**named, **edited})
    bank.append("job_approve", "ben", run.job, {**named, "as": "bank"})
    bank.append("job_propose", "node:bank", run.job, {**named, "signature": signed.hex()})
    pair.both(lambda one, other: one.checkpoint(other))
    assert codes(report_on(pair)) >= {"other_thresholds", "two_contracts"}


def test_signatures_and_card_of_a_contract_line_are_checked() -> None:
    pair = Pair("line")
    pair.jobs(["audience"])
    pair.bank.contracts[0] = {**pair.bank.contracts[0], "bank_signature": "0" * 128}
    assert "contract" in codes(check(("bank", bundles(pair)["bank"])))


CARDS: Mapping[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "no min_group": ("audience", lambda card: card["settings"].pop("min_group")),
    "another max_set": ("audience", lambda card: card["settings"].update(max_set=10**7)),
    "no min_converters": ("measure", lambda card: card["settings"].pop("min_converters")),
    "no noise": ("noised", lambda card: card["sections"]["bank"].pop()),
    "more noise": ("noised", lambda card: card["sections"]["bank"][-1]["params"].update(epsilon="0.1")),
    "noise where there is none": (
        "measure",
        lambda card: card["sections"]["bank"].append({"id": "noise", "params": {"epsilon": "1"}}),
    ),
    "no statements": ("audience", lambda card: card.pop("sections")),
}


@pytest.mark.parametrize("name", CARDS)
def test_a_card_that_leaves_a_threshold_out_or_says_another_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (kind, change), honest = CARDS[name], Run._card

    def card(run: Run) -> dict[str, Any]:
        told = json.loads(rfc8785.dumps(honest(run)))
        change(told)
        return dict(told)

    monkeypatch.setattr(Run, "_card", card)
    pair = Pair("card")
    pair.jobs([kind])
    assert "contract" in codes(report_on(pair))


# -- what a party is held to


def test_nothing_is_signed_or_decided_before_a_policy_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = synthetic_logs.Party.open

    def begins(party: synthetic_logs.Party) -> None:
        begin(party)
        if party.role == "bank":
            del party.entries[-1], party.types[-1]
            party.policy = None

    monkeypatch.setattr(synthetic_logs.Party, "open", begins)
    pair = Pair("no policy")
    pair.jobs(["audience"])
    assert "no_policy" in codes(report_on(pair))


# -- budget


def test_a_run_is_spent_of_the_contracts_dataset_with_its_epsilon() -> None:
    junk = lying(("noised",), "bank", once("budget_spent", lambda draft: facts(draft, dataset="junk")))
    assert codes(report_on(junk)) == {"spent_elsewhere"}
    free = lying(
        ("noised",),
        "bank",
        once("budget_spent", lambda draft: facts(draft, epsilon=None, epsilon_spent="0/1")),
    )
    assert codes(report_on(free)) == {"other_epsilon"}


def test_the_partners_name_is_not_what_runs_are_counted_by() -> None:
    names: Iterator[int] = iter(range(9))

    def spread(draft: Draft) -> Draft:
        if draft.type != "budget_spent":
            return draft
        return facts(draft, partner=f"nobody{next(names)}", runs=1, epsilon_spent="1/2")

    assert codes(report_on(lying(("noised", "noised"), "bank", spread))) == {"miscounted"}


def test_runs_of_one_moment_are_told_and_of_two_are_found() -> None:
    # A clock that was put back makes entries wait at one time: what a period holds cannot be told from them.
    for step, code in ((0, None), (40, "miscounted")):
        pair = Pair("clock")

        def low(draft: Draft) -> Draft:
            return facts(draft, runs=1) if draft.type == "budget_spent" else draft

        pair.bank.alter = low
        run = Run(pair, "audience", pair._next(), pair._random)
        run.agree()
        spent = {
            "dataset": "segment",
            "partner": "acme",
            "runs": 1,
            "limit": LIMIT_RUNS,
            "hours": LIMIT_HOURS,
        }
        told = {**spent, "epsilon": None, "epsilon_spent": "1/2", "epsilon_limit": LIMIT_EPSILON}
        pair.bank.time -= 40 - step
        pair.bank.append("budget_spent", job=run.job, facts=told)
        pair.bank.checkpoint(pair.platform)
        report = check(("bank", bundles(pair)["bank"]))
        assert codes(report) == (set() if code is None else {code})
        notes = {note.code for section in report.sections for one in section.checks for note in one.notes}
        assert ("clock_still" in notes) is (code is None)


def test_many_denominators_add_up_in_no_time() -> None:
    pair = Pair("denominators")
    run = Run(pair, "audience", pair._next(), pair._random)
    run.agree()
    for number in range(2_000):
        told = {
            "dataset": "segment",
            "partner": "acme",
            "runs": number + 2,
            "limit": LIMIT_RUNS,
            "hours": LIMIT_HOURS,
            "epsilon": f"1/{10**90 + 2 * number + 1}",
            "epsilon_spent": "1/1",
            "epsilon_limit": LIMIT_EPSILON,
        }
        pair.bank.append("budget_spent", job=run.job, facts=told)
    pair.bank.checkpoint(pair.platform)
    # Sums of exact fractions would have 180,000 digits in the end.
    assert codes(check(("bank", bundles(pair)["bank"]))) == {"other_epsilon"}


def test_a_given_policy_bounds_period_and_epsilon_of_the_budget() -> None:
    pair = Pair("given")
    pair.jobs(["noised"])
    assert report_on(pair, policy={"budget": {"hours": LIMIT_HOURS, "epsilon": 1_000_000}}).passed
    for policy, code in (
        ({"budget": {"hours": LIMIT_HOURS + 1}}, "short_period"),
        ({"budget": {"epsilon": 10}}, "over_epsilon"),
    ):
        assert codes(report_on(pair, policy=policy)) == {code}


# -- results that nobody cosigned


def test_only_a_standing_refusal_of_the_jobs_partner_opens_a_result() -> None:
    def told(partner: str, resumed: bool) -> set[str]:
        pair = Pair("open", unwitnessed="open")
        given = {"partner": partner, "size": 1}
        pair.platform.append("cosign_refused", facts={**given, "code": "withheld"})
        if resumed:
            pair.platform.append("cosign_resumed", facts=given)
        pair.jobs(["audience"])
        entries = pair.platform.entries
        decided = max(number for number, data in enumerate(entries) if b'"release":"result"' in data)
        lines = uncosigned(bundles(pair)["platform"], decided)
        if partner == "first bank" and not resumed:
            closed = {"audit": {"unwitnessed": "closed"}}
            assert codes(check(("platform", lines), policy=closed)) == {"not_cosigned_before"}
        return codes(check(("platform", lines)))

    assert told("first bank", False) == set()
    assert told("first bank", True) == {"not_cosigned_before"}
    assert told("zeta", False) == {"not_cosigned_before"}


# -- thresholds


def without(*keys: str) -> Callable[[Draft], Draft]:
    """Return what leaves ``keys`` out of a decision's details, and out of its places."""

    def change(draft: Draft) -> Draft:
        told = {key: value for key, value in (draft.details or {}).items() if key not in keys}
        if "places" in told:
            told["places"] = [
                {key: value for key, value in place.items() if key not in keys} for place in told["places"]
            ]
        return dataclasses.replace(draft, details=told)

    return change


def sealed_away(draft: Draft) -> Draft:
    """Return a decision that commits to nothing."""
    return dataclasses.replace(draft, details=None)


NOISE = ("noise_on_matched", "noise_on_converters")


DETAILS: Mapping[str, tuple[str, str, Alter, str, str]] = {
    "no commitment": ("measure", "bank", sealed_away, "table", "unsealed"),
    "no places": ("measure", "bank", without("places"), "table", "details_form"),
    "places of no sum": ("measure", "bank", opened(places=[]), "table", "places_missing"),
    "places of no result": ("measure", "bank", opened(places=[]), "result", "places_missing"),
    "places of no cell": ("measure", "platform", opened(places=[]), "sums", "places_missing"),
    "places of no opening": ("measure", "platform", opened(places=[]), "openings", "places_missing"),
    "no converters": ("measure", "bank", without("converters", *NOISE), "table", "details_form"),
    "no matches": ("measure", "bank", without("matched"), "table", "details_form"),
    "one place twice": ("noised", "bank", lambda draft: places(draft, place=1), "table", "places_missing"),
    "another own size": ("audience", "bank", opened(own_persons=777_777), "tokens", "other_size"),
    "another partner's size": ("measure", "platform", opened(value_persons=777_777), "sums", "other_size"),
    "places in a match": ("audience", "bank", opened(places=[]), "tokens", "details_form"),
    "places before sums": ("measure", "bank", opened(places=[{}]), "points", "details_form"),
}


@pytest.mark.parametrize("name", DETAILS)
def test_details_that_leave_out_what_was_decided_on_are_found(name: str) -> None:
    kind, role, change, where, code = DETAILS[name]
    pair = lying((kind,), role, once("decision", change, release(where)))
    assert codes(report_on(pair)) == {code}


def test_how_many_decisions_were_opened_is_told() -> None:
    pair = Pair("opened")
    pair.jobs(["audience"])
    pair.bank.details = pair.bank.details[:-1]
    counts = {
        one.bundle: dict(one.counts)
        for section in report_on(pair).sections
        for one in section.checks
        if one.id == "thresholds"
    }
    assert counts == {
        LABELS["bank"]: {"opened": 2, "allowed": 3},
        LABELS["platform"]: {"opened": 2, "allowed": 2},
    }


# -- clocks


@pytest.mark.parametrize("hours", [25, -25])
def test_a_clock_that_is_a_day_away_from_the_partners_is_found(hours: int) -> None:
    pair = Pair("leap")
    pair.jobs(["audience"])
    (pair.bank if hours > 0 else pair.platform).time += abs(hours) * 3_600_000
    pair.jobs(["audience"])
    report = check(("bank", bundles(pair)["bank"]))
    assert "clock" in codes(report)


def test_clocks_that_are_hours_apart_are_no_failure() -> None:
    pair = Pair("hours")
    pair.bank.time += 20 * 3_600_000
    pair.jobs(["audience"])
    assert "clock" not in codes(report_on(pair))


# -- an auditor's own policy


def test_a_policy_file_gives_hours_and_keeps_its_limits(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('[limits]\nepsilon = 0.5\n[budget]\nperiod = "2 weeks"\n[audit]\nunwitnessed = "open"\n')
    assert read_policy(file) == {
        "limits": {"epsilon": Decimal("0.5")},
        "budget": {"hours": 336},
        "audit": {"unwitnessed": "open"},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[limits]\nepsilon = inf\n", "epsilon in [limits]"),
        ("[budget]\nepsilon = nan\n", "epsilon in [budget]"),
        ("[limits]\nepsilon = 1e-30000000\n", "epsilon in [limits]"),
        ('[budget]\nperiod = "soon"\n', "period in [budget]"),
        ('[audit]\nunwitnessed = "ajar"\n', "unwitnessed in [audit]"),
    ],
)
def test_a_policy_file_that_bounds_nothing_is_refused(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_policy(file)
    assert caught.value.message.startswith(said)
