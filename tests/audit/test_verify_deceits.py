"""Lies that fit themselves: a log that is whole, signed and cosigned, and yet hides or inverts what happened.

Each passes what looks at one log alone; the other log, the identities or the order of things give it away.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import bundle, keys
from audit.checkpoint import Checkpoint, Cosigner, sign_checkpoint, with_cosignature
from audit.entry import Draft
from audit.merkle import EMPTY_ROOT
from audit.note import Signer, parse_verifier
from audit.report import Report, fingerprint_of
from bench.synthetic_jobs import Run
from bench.synthetic_logs import _POLICY_FACTS, SOFTWARE, Party
from tests.audit.synthetic_logs import KINDS, Pair, bundles, check, closed, pack
from tests.audit.test_verify import drop, facts, lying, once, problems, report_on


def codes(report: Report) -> set[str]:
    """Return the codes of all problems."""
    return {each.code for each in problems(report)}


def notes(report: Report) -> list[str]:
    """Return the codes of all notes."""
    return [each.code for section in report.sections for one in section.checks for each in one.notes]


def written(party: Party, extras: Iterator[dict[str, Any]]) -> list[bytes]:
    """Return a bundle with other lines behind the entries."""
    return list(bundle.write(party.header(), bundle.hashed(party.entries), extras))


def partner_line(party: Party) -> dict[str, Any]:
    """Return the line that names the log of ``party`` and its keys."""
    verifiers = (party.signer.verifier, party.cosigner.verifier)
    return bundle.partner(party.name, party.origin, party.identity_public, *verifiers, party.proof)


# -- runs that one side hides, or decides on afterwards


def test_runs_that_were_cut_and_runs_of_every_kind_are_decided_in_both_logs() -> None:
    pair = Pair("honest")
    pair.jobs(KINDS)
    pair.jobs(KINDS, cut=True)
    report = report_on(pair)
    assert report.passed, [each.text() for each in problems(report)]
    [released] = [one for one in report.sections[1].checks if one.id == "released"]
    assert released.counts["releases"] > 4 * len(KINDS)


def test_a_job_that_is_hidden_as_a_whole_is_found() -> None:
    pair = lying(("audience", "measure"), "bank", lambda draft: None if draft.job else draft)
    assert codes(report_on(pair)) == {"received_undecided"}
    # From its own log alone nothing can be told: that is what a report says it needs both for.
    assert check(("bank", bundles(pair)["bank"])).passed


def test_a_job_that_is_told_as_failed_before_it_ran_is_found() -> None:
    ran = ("stream", "decision", "budget_spent", "dataset_used", "result_released", "job_start")

    def alter(draft: Draft) -> Draft | None:
        if draft.type == "job_finish":
            return Draft("job_fail", "node:bank", draft.job, {"code": "link_lost"})
        return None if draft.type in ran else draft

    assert "received_undecided" in codes(report_on(lying(("audience",), "bank", alter)))


def test_decisions_that_are_cosigned_after_their_releases_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair("afterwards")
    run = Run(pair, "audience", pair._next(), pair._random)
    run.agree()
    pair.both(lambda one, other: one.checkpoint(other))
    decide, late = Run._decide, []

    def later(self: Run, role: str, release: str) -> None:
        if role == "bank":
            late.append(release)
        else:
            decide(self, role, release)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "_decide", later)
        for stage in range(run.stages):
            run.advance(stage)
            pair.platform.checkpoint(pair.bank)
    for party in (pair.bank, pair.platform):
        party.time += 86_400_000
    for release in late:
        decide(run, "bank", release)
        pair.bank.checkpoint(pair.platform)
    run.end()
    pair.both(lambda one, other: one.checkpoint(other))
    assert codes(report_on(pair)) == {"cosigned_late"}


# -- another contract, another partner, another log


def test_a_job_under_a_contract_with_a_puppet_is_found() -> None:
    """The bank logs the run as one with a partner of its own making, who cosigns whatever it is shown."""
    pair = Pair("sham")
    puppet = Party("platform", "acme2", "puppet")
    run = Run(pair, "audience", pair._next(), pair._random)
    body = json.loads(run.canonical)
    body["parties"]["platform"]["identity"] = puppet.identity_public.hex()
    canonical = rfc8785.dumps(body)
    digest = hashlib.sha256(canonical).digest()

    def signed(party: Party, side: str) -> bytes:
        key = Ed25519PrivateKey.from_private_bytes(party.identity.reveal())
        return key.sign(b"veiljoin/v1/contract\0" + side.encode() + b"\0" + digest)

    signatures = {"job_propose": signed(pair.bank, "bank"), "job_accept": signed(puppet, "platform")}

    def alter(draft: Draft) -> Draft:
        if draft.type in signatures:
            return facts(draft, digest=digest.hex(), signature=signatures[draft.type].hex())
        return facts(draft, digest=digest.hex()) if draft.type in ("job_draft", "job_approve") else draft

    def cosigned() -> None:
        note = pair.bank.sign()
        line = puppet.cosigner.cosign(note, pair.bank.time // 1000)
        pair.bank.checkpoints[pair.bank.tree.size] = with_cosignature(note, line)
        pair.platform.checkpoint(pair.bank)

    pair.bank.alter = alter
    run.agree()
    pair.bank.contracts[-1] = bundle.contract(
        canonical, signatures["job_propose"], signatures["job_accept"], run._card(), ["x"], ["x"]
    )
    cosigned()
    for stage in range(run.stages):
        run.advance(stage)
        cosigned()
    run.end()
    cosigned()

    def extras() -> Iterator[dict[str, Any]]:
        for each in pair.bank.extras(pair.platform):
            yield each
            if each["kind"] == "partner":
                yield partner_line(puppet)

    lines = {"bank": written(pair.bank, extras()), "platform": bundles(pair)["platform"]}
    assert check(("bank", lines["bank"])).passed
    assert {"other_contract", "other_party", "never_cosigned"} <= codes(check(*lines.items()))


def rehearsing(name: str, monkeypatch: pytest.MonkeyPatch, *roles: str, **alter: Any) -> Pair:
    """Return a pair that ran a job, whose logs of ``roles`` are called a rehearsal's."""
    made = Party.__post_init__

    def named(self: Party) -> None:
        if self.role in roles:
            self.name = keys.REHEARSAL
        made(self)

    with monkeypatch.context() as patched:
        patched.setattr(Party, "__post_init__", named)
        pair = Pair(name, alter)
    pair.jobs(["audience"])
    return pair


def unpaid(draft: Draft) -> Draft | None:
    """Leave out what a rehearsal does not have."""
    return None if draft.type in ("budget_spent", "job_approve") else draft


def test_a_log_that_is_called_a_rehearsal_s_is_one_only_with_another(monkeypatch: pytest.MonkeyPatch) -> None:
    both = rehearsing("both", monkeypatch, "bank", "platform", bank=unpaid)
    report = report_on(both)
    assert report.passed, [each.text() for each in problems(report)]
    assert "rehearsal" in list(report.lines())[-1]
    one = rehearsing("one", monkeypatch, "bank", bank=unpaid)
    assert codes(report_on(one)) >= {"half_rehearsal", "not_approved", "not_spent"}
    assert codes(check(("bank", bundles(one)["bank"]))) == {"not_approved", "not_spent"}


def begin_again(pair: Pair, *, told: bool) -> tuple[Party, list[tuple[int, bytes]]]:
    """Let the bank begin another log; ``told``: it begins as that of a store that was put back.

    Returns the old one, and what the platform cosigned of it.
    """
    old, platform = pair.bank, pair.platform
    new = Party("bank", "first bank 2", "again", time=old.time + 60_000, runs=old.runs)
    platform.time += 60_000
    new.identity, new.identity_public = old.identity, old.identity_public
    new.origin = keys.origin_of("bank", new.name, old.identity_public)
    new.signer = Signer(new.origin, new.log_seed)
    new.cosigner = Cosigner(new.origin + keys.WITNESS_SUFFIX, new.witness_seed)
    publics = (parse_verifier(each).public for each in (new.signer.verifier, new.cosigner.verifier))
    new.proof = keys.certify(new.identity, new.origin, *publics)
    if told:
        verifiers = {"log_key": new.signer.verifier, "witness_key": new.cosigner.verifier}
        opened = {"identity": new.identity_public.hex(), "proof": new.proof.hex(), "software": SOFTWARE}
        new.append("log_opened", facts=verifiers | opened)
        new.append("restored", facts={"size": len(old.entries)})
        new.policy = old.policy
        new.append("policy_set", facts={**_POLICY_FACTS, "digest": new.policy})
    else:
        new.open()
    seen, platform.witnessed, platform.known = platform.witnessed, [], None
    pair.bank = new
    pair.both(lambda one, other: one.checkpoint(other))
    return old, seen


def of_platform(pair: Pair, old: Party, seen: list[tuple[int, bytes]]) -> list[bytes]:
    """Return the platform's bundle, which knows both logs of the bank."""

    def extras() -> Iterator[dict[str, Any]]:
        for each in pair.platform.extras(pair.bank):
            yield each
            if each["kind"] == "partner":
                yield partner_line(old)
                yield from (bundle.witnessed(old.origin, size, note) for size, note in seen)

    return written(pair.platform, extras())


def test_a_log_that_sheds_its_history_is_found() -> None:
    for told in (True, False):
        pair = Pair("shed")
        pair.jobs(["audience", "measure"])
        old, seen = begin_again(pair, told=told)
        pair.jobs(["overlap"])
        platform = of_platform(pair, old, seen)
        report = check(("bank", bundles(pair)["bank"]), ("platform", platform))
        assert (codes(report) == set()) is told, [each.text() for each in problems(report)]
        if told:
            # What came before is not hidden, and is not verified either.
            [said] = [note for note in report.scope if note.code == "further_log"]
            assert (said.params["log"], said.params["size"]) == (old.origin, seen[-1][0])
            assert old.origin in list(report.lines())[-1]
        else:
            assert codes(report) == {"history_shed", "received_undecided"}
            assert "history_shed" in {each.code for each in problems(report)}
        # The old log against the same bundle: what ran later is in the new one.
        pair.bank = old
        earlier = check(("bank", bundles(pair)["bank"]), ("platform", platform))
        assert "received_undecided" not in codes(earlier)
        assert "further_log" in notes(earlier)


def test_a_restored_log_cannot_hide_what_ran_since() -> None:
    pair = Pair("since")
    pair.jobs(["audience"])
    old, seen = begin_again(pair, told=True)
    pair.bank.alter = lambda draft: None if draft.job else draft
    pair.platform.time += 60_000
    pair.jobs(["measure"])
    report = check(("bank", bundles(pair)["bank"]), ("platform", of_platform(pair, old, seen)))
    assert codes(report) == {"received_undecided"}


# -- packs


def test_a_pack_says_that_it_is_one() -> None:
    pair = Pair("pack")
    job, _ = pair.jobs(["audience", "measure"])
    packed, whole = pack(pair.bank, pair.platform, job), bundles(pair)["platform"]
    for report in (check(("bank", packed)), check(("bank", packed), ("platform", whole))):
        assert report.passed, [each.text() for each in problems(report)]
        assert "is an evidence pack" in list(report.lines())[-1]
        assert "rest_of_pack" in report.unproven
        [entries] = [one for one in report.sections[0].checks if one.id == "entries_of_pack"]
        assert "missing" not in entries.text()
    assert "rest_of_pack" not in check(("platform", whole)).unproven


def test_a_pack_holds_the_first_entry_and_those_of_its_job() -> None:
    pair = Pair("pack")
    job, other = pair.jobs(["audience", "measure"])
    lines = pack(pair.bank, pair.platform, job)
    assert codes(check(("bank", closed([lines[0], *lines[2:]])))) >= {"opening"}
    said = json.loads(lines[0])
    renamed = rfc8785.dumps({**said, "pack": other}) + b"\n"
    assert "not_of_pack" in codes(check(("bank", closed([renamed, *lines[1:]]))))
    assert codes(check(("bank", pack(pair.bank, pair.platform, "0" * 32)))) == {"empty_pack"}


def test_a_contract_of_a_pack_is_held_to_the_policy_that_its_entries_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = Party.effective

    def stricter(self: Party) -> dict[str, Any]:
        policy = told(self)
        return (
            policy
            if self.role == "platform"
            else {**policy, "limits": {**policy["limits"], "min_group": 5_000}}
        )

    monkeypatch.setattr(Party, "effective", stricter)
    pair = Pair("loose", {"bank": once("policy_set", lambda draft: facts(draft, min_group=5_000))})
    [job] = pair.jobs(["audience"])
    assert codes(check(("bank", bundles(pair)["bank"]))) == {"looser"}
    assert codes(check(("bank", pack(pair.bank, pair.platform, job)))) == {"looser"}


# -- what nobody vouches for


def test_entries_that_nobody_cosigned_are_told() -> None:
    pair = Pair("tail")
    pair.jobs(["both"])
    covered = len(pair.bank.entries)
    assert "uncosigned" not in notes(report_on(pair))
    for _ in range(2):
        pair.bank.append("login", "eve", facts={"code": None})
    pair.bank.checkpoints[covered + 2] = pair.bank.sign()
    report = report_on(pair)
    assert report.passed
    [note] = [each for one in report.sections[0].checks for each in one.notes if each.code == "uncosigned"]
    assert note.params == {"first": covered, "size": covered + 2}


def test_a_log_without_entries_is_none() -> None:
    party = Party("bank", "first bank", "empty")
    note = sign_checkpoint(Checkpoint(party.origin, 0, EMPTY_ROOT), party.signer)
    lines = list(bundle.write(party.header(0), [], [bundle.checkpoint(0, note)]))
    assert codes(check(("bank", lines))) == {"opening"}


def test_identities_are_shown_and_compared() -> None:
    pair = Pair("known")
    pair.jobs(["audience"])
    identities = [party.identity_public.hex() for party in (pair.bank, pair.platform)]
    shown = [fingerprint_of(each) for each in identities]
    report = report_on(pair)
    text = "\n".join(report.lines())
    assert all(each in text for each in shown)
    assert [each["fingerprint"] for each in report.to_json()["identities"]] == shown
    assert "identities" in report.unproven
    given = [each.replace(" ", "") for each in shown]
    for right in (
        given,
        identities,
        [hashlib.sha256(bytes.fromhex(each)).hexdigest() for each in identities],
    ):
        compared = report_on(pair, identities=right)
        assert compared.passed
        assert "identities" not in compared.unproven
    stranger = report_on(pair, identities=[given[0], "0" * 32])
    assert [(each.code, each.place.bundle) for each in problems(stranger)] == [
        ("other_identity", "platform.veiljoin-log")
    ]


# -- who agreed


@pytest.mark.parametrize("actor", ["rule:auto", "Node:bank", "MARY", "mary ", "\uff4dary", "x:ben"])
def test_the_bank_s_approver_is_a_second_person(actor: str) -> None:
    approved = once("job_approve", lambda draft: dataclasses.replace(draft, actor=actor))
    assert codes(report_on(lying(("audience",), "bank", approved))) == {"own_approval"}


SCHEDULE = "5c" * 16


@pytest.mark.parametrize(
    ("steps", "passes"),
    [
        ([("mary", "draft", "0"), ("ben", "approve", "0")], True),
        ([("mary", "draft", "0"), ("ben", "approve", "0"), ("node:bank", "end", "0")], True),
        (
            [("mary", "draft", "0"), ("ben", "approve", "0"), ("ben", "pause", "0"), ("ben", "resume", "0")],
            True,
        ),
        ([("mary", "draft", "0"), ("node:bank", "approve", "0")], False),
        ([("mary", "draft", "0"), ("Mary", "approve", "0")], False),
        ([("mary", "draft", "0"), ("ben", "approve", "1")], False),
        ([("mary", "draft", "0"), ("ben", "approve", "0"), ("mary", "edit", "1")], False),
        ([("mary", "draft", "0"), ("ben", "approve", "0"), ("ben", "pause", "0")], False),
        ([("mary", "draft", "0"), ("ben", "approve", "0"), ("ben", "remove", "0")], False),
    ],
)
def test_a_schedule_stands_for_its_approval_as_it_is(steps: list[tuple[str, str, str]], passes: bool) -> None:
    def alter(draft: Draft) -> Draft:
        if draft.type in ("job_draft", "job_approve"):
            return dataclasses.replace(draft, actor=f"schedule:{SCHEDULE}")
        return draft

    pair = Pair("schedule", {"bank": alter})
    for actor, step, digest in steps:
        told = {"schedule": SCHEDULE, "step": step, "digest": digest * 64, "code": None}
        pair.bank.append("schedule_step", actor, facts=told)
    pair.jobs(["audience"])
    assert codes(report_on(pair)) == (set() if passes else {"own_approval"})


def test_a_pack_of_a_schedule_s_job_tells_that_the_approval_is_elsewhere() -> None:
    by_schedule = once("job_approve", lambda draft: dataclasses.replace(draft, actor=f"schedule:{SCHEDULE}"))
    pair = Pair("schedule", {"bank": by_schedule})
    for actor, step in (("mary", "draft"), ("ben", "approve")):
        told = {"schedule": SCHEDULE, "step": step, "digest": "0" * 64, "code": None}
        pair.bank.append("schedule_step", actor, facts=told)
    [job] = pair.jobs(["audience"])
    assert report_on(pair).passed
    report = check(("bank", pack(pair.bank, pair.platform, job)))
    assert report.passed, [each.text() for each in problems(report)]
    assert "schedule_elsewhere" in notes(report)


# -- contracts that are no one thing, and runs after their end


@pytest.mark.parametrize(
    ("part", "other"),
    [
        (b'"policy":{', b'"policy":{"max_set":10,"min_group":1000000},"policy":{'),
        (b"reactivate dormant customers", b"\\ud800"),
        (b'"holdout":0.1', b'"holdout":0.10'),
        (b'"expires":"2026-12-24T00:00:00+00:00"', b'"expires":"soon"'),
    ],
)
def test_a_contract_has_one_reading(part: bytes, other: bytes) -> None:
    pair = Pair("bytes")
    run = Run(pair, "audience", pair._next(), pair._random)
    assert part in run.canonical
    run.canonical = run.canonical.replace(part, other, 1)
    run.digest = hashlib.sha256(run.canonical).digest()
    run.agree()
    pair.both(lambda one, other: one.checkpoint(other))
    found = problems(report_on(pair))
    assert found[0].code == "contract"
    assert base64.b64encode(other).decode() not in found[0].text()


def test_a_run_behind_its_end_is_found() -> None:
    cancelled = once("job_start", lambda draft: Draft("job_cancel", "mary", draft.job, {"code": None}))
    assert codes(report_on(lying(("audience",), "bank", cancelled))) == {"after_end"}
    pair = Pair("late")
    for party in (pair.bank, pair.platform):
        party.time = 1_893_456_000_000
    pair.jobs(["audience"])
    assert codes(report_on(pair)) == {"run_out"}


def test_a_result_is_opened_by_who_may_and_where_it_was_released() -> None:
    # Who reads no list has its own counts, once they were released.
    bank_reads = once("job_finish", lambda draft: Draft("result_read", "mary", draft.job, {"part": "report"}))
    assert "not_released" not in codes(report_on(lying(("audience",), "bank", bank_reads)))
    unreleased = once("result_released", drop)
    assert "not_released" in codes(report_on(lying(("audience",), "platform", unreleased)))
