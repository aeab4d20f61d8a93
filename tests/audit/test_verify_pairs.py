"""The verifier on one bundle and on two: what only two show, evidence against a partner, packs, other keys."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest
import rfc8785

from audit.checkpoint import Checkpoint, Cosigner, sign_checkpoint
from audit.keys import certify
from audit.note import Signer, parse_verifier
from audit.verify import verify
from tests.audit.synthetic_logs import Pair, bundles, check, closed, pack
from tests.audit.test_verify import problems, report_on


def test_one_bundle_says_what_only_two_can_show() -> None:
    pair = Pair("one")
    pair.jobs(["overlap"])
    lines = bundles(pair)
    alone, both = check(("bank", lines["bank"])), check(*lines.items())
    assert alone.passed
    assert both.passed
    assert {each.reason for each in alone.sections[1].checks} == {"one_bundle"}
    assert "dropped_tail" in alone.to_json()["unproven"]
    assert "dropped_tail" not in both.to_json()["unproven"]
    assert any("dropped" in line for line in alone.lines())


def test_two_bundles_that_are_not_of_partners_are_told() -> None:
    one, other = (bundles(Pair(seed)) for seed in ("one", "other"))
    assert check(("bank", one["bank"]), ("platform", other["platform"])).first
    twice = check(("bank", one["bank"]), ("bank", one["bank"]))
    assert [each.code for each in problems(twice)] == ["same_log"]
    with pytest.raises(ValueError, match="one or two"):
        verify([])


def _evidence(size_of_known: bool) -> tuple[Pair, bytes]:
    """Return a pair, and a checkpoint that the platform signed over another log."""
    pair = Pair("fork")
    pair.jobs(["audience"])
    sizes = [size for size, _ in pair.bank.witnessed]
    size = sizes[-1] if size_of_known else sizes[-1] - 1
    return pair, sign_checkpoint(Checkpoint(pair.platform.origin, size, b"\1" * 32), pair.platform.signer)


def test_a_refused_fork_of_a_cosigned_size_convicts_from_one_bundle() -> None:
    pair, note = _evidence(True)
    pair.bank.evidence.append(("fork", note))
    lines = bundles(pair)
    for told in ([("bank", lines["bank"])], list(lines.items())):
        [problem] = problems(check(*told))
        assert (problem.code, problem.params["name"]) == ("fork", "acme")


def test_a_fork_that_was_seen_comes_with_its_evidence() -> None:
    pair, note = _evidence(True)
    seen = {"partner": "acme", "size": 5, "evidence": hashlib.sha256(note).hexdigest()}
    number = pair.bank.append("fork_seen", "partner:acme", facts=seen)
    pair.bank.checkpoint(pair.platform)
    [problem] = problems(check(("bank", bundles(pair)["bank"])))
    assert (problem.code, problem.place.number) == ("evidence_missing", number)
    pair.bank.evidence.append(("fork", note))
    assert [each.code for each in problems(check(("bank", bundles(pair)["bank"])))] == ["fork"]


def test_a_refused_fork_of_another_size_is_judged_by_the_other_bundle() -> None:
    pair, note = _evidence(False)
    pair.bank.evidence.append(("fork", note))
    lines = bundles(pair)
    assert [each.code for each in problems(check(("bank", lines["bank"])))] == ["fork_told"]
    assert [each.code for each in problems(check(*lines.items()))] == ["fork_told", "fork"]


def test_evidence_against_an_honest_log_is_refused() -> None:
    pair, _ = _evidence(False)
    size = max(size for size, _ in pair.bank.witnessed)
    pair.bank.evidence.append(("fork", pair.platform.sign(size - 1)))
    assert [each.code for each in problems(report_on(pair))] == ["fork_told", "false_evidence"]
    cosigned, _ = _evidence(False)
    cosigned.bank.evidence.append(("fork", cosigned.platform.sign(size)))
    assert "false_evidence" in {each.code for each in problems(report_on(cosigned))}
    stranger, _ = _evidence(False)
    stranger.bank.evidence.append(("fork", stranger.bank.sign()))
    assert "false_evidence" in {each.code for each in problems(report_on(stranger))}


def test_a_pack_is_checked_by_its_proofs() -> None:
    pair = Pair("pack")
    jobs = pair.jobs(["measure", "audience"])
    packs = {role: pack(*pair.side(role), jobs[0]) for role in ("bank", "platform")}
    both = check(*packs.items())
    assert both.passed, [each.text() for each in problems(both)]
    for role, lines in packs.items():
        assert check((role, lines)).passed
        for kind, code in (("inclusion", "no_proof"), ("consistency", "no_proof")):
            number = max(n for n, line in enumerate(lines) if b'"kind":"%s"' % kind.encode() in line)
            without = closed([*lines[:number], *lines[number + 1 :]])
            assert [each.code for each in problems(check((role, without)))] == [code]
            said = json.loads(lines[number])
            said["proof"][0] = "0" * 64
            false = closed([*lines[:number], rfc8785.dumps(said) + b"\n", *lines[number + 1 :]])
            assert "proof" in {each.code for each in problems(check((role, false)))}


def test_a_log_with_other_keys_than_the_partner_knows_is_found() -> None:
    pair = Pair("keys")
    pair.jobs(["audience"])
    platform = pair.platform
    # New keys, which the same identity certifies, for the log of the same name.
    again = dataclasses.replace(platform, seed="another")
    again.identity, again.identity_public, again.origin = (
        platform.identity,
        platform.identity_public,
        platform.origin,
    )
    again.signer = Signer(again.origin, again.log_seed)
    again.cosigner = Cosigner(again.origin + "/witness", again.witness_seed)
    publics = (parse_verifier(each).public for each in (again.signer.verifier, again.cosigner.verifier))
    again.proof = certify(again.identity, again.origin, *publics)
    lines = bundles(pair)
    number = next(n for n, line in enumerate(lines["bank"]) if b'"kind":"partner"' in line)
    header = again.header().as_data()
    said = json.loads(lines["bank"][number])
    said |= {key: header[key] for key in ("log_key", "witness_key", "proof")}
    lines["bank"][number] = rfc8785.dumps(said) + b"\n"
    lines["bank"] = closed(lines["bank"])
    assert "other_keys" in {each.code for each in problems(check(*lines.items()))}
