"""The verifier on logs that are well made and false: each lie is found by the check that is about it, at its entry.

The lies are cosigned by an honest partner: integrity has nothing to find in them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import rfc8785

from audit.bundle import Bundle
from audit.entry import Draft
from audit.report import Problem, Report, State
from audit.sentences import CHECKS, NOTES, PROBLEMS, REASONS, UNPROVEN
from audit.verify import verify
from tests.audit.synthetic_logs import KINDS, LABELS, Pair, bundles, check, closed

Alter = Callable[[Draft], Draft | None]


def lying(kinds: tuple[str, ...], role: str, alter: Alter) -> Pair:
    """Return a pair whose party of ``role`` writes what ``alter`` makes of it, and has it cosigned."""
    pair = Pair("liar", {role: alter})
    pair.jobs(kinds)
    return pair


def report_on(pair: Pair, **how: Any) -> Report:
    """Verify both bundles of ``pair``."""
    return check(*bundles(pair).items(), **how)


def problems(report: Report) -> list[Problem]:
    """Return all problems of a report."""
    return [each for section in report.sections for one in section.checks for each in one.problems]


def facts(draft: Draft, **changed: Any) -> Draft:
    """Return ``draft`` with other facts."""
    return dataclasses.replace(draft, facts={**draft.facts, **changed})


def once(type: str, change: Alter, where: Callable[[Draft], bool] = lambda draft: True) -> Alter:
    """Return what applies ``change`` to the first draft of ``type`` for which ``where`` holds."""
    done: list[bool] = []

    def alter(draft: Draft) -> Draft | None:
        if done or draft.type != type or not where(draft):
            return draft
        done.append(True)
        return change(draft)

    return alter


def release(name: str) -> Callable[[Draft], bool]:
    """Return what is true of the decision on ``name``."""
    return lambda draft: draft.facts["release"] == name


def drop(draft: Draft) -> None:
    """Write nothing."""


def opened(**changed: Any) -> Alter:
    """Return what changes the details of a decision."""
    return lambda draft: dataclasses.replace(draft, details={**(draft.details or {}), **changed})


def places(draft: Draft, **changed: Any) -> Draft:
    """Return a decision whose first place says something else."""
    told = dict(draft.details or {})
    told["places"] = [{**told["places"][0], **changed}, *told["places"][1:]]
    return dataclasses.replace(draft, details=told)


# name -> kinds of jobs, who lies, how, the code of the problem, the type of the entry that has to be named (or none).
LIES: Mapping[str, tuple[tuple[str, ...], str, Alter, str, str | None]] = {
    "the drafter approves": (
        ("audience",), "bank",
        once("job_approve", lambda draft: dataclasses.replace(draft, actor="mary")), "own_approval", "job_propose",
    ),
    "the node approves": (
        ("audience",), "bank",
        once("job_approve", lambda draft: dataclasses.replace(draft, actor="node:bank")),
        "own_approval", "job_propose",
    ),
    "a schedule that nobody approved": (
        ("audience",), "bank",
        once("job_approve", lambda draft: dataclasses.replace(draft, actor="schedule:" + "0" * 32)),
        "own_approval", "job_propose",
    ),
    "nobody approves": (("audience",), "bank", once("job_approve", drop), "not_approved", "job_propose"),
    "another contract is approved": (
        ("audience",), "bank", once("job_approve", lambda draft: facts(draft, digest="0" * 64)),
        "not_approved", "job_propose",
    ),
    "an edit behind the approval": (
        ("audience",), "bank",
        once("job_approve", lambda draft: Draft(
            "job_void", "mary", draft.job, {"digest": draft.facts["digest"]}
        )),
        "not_approved", "job_propose",
    ),
    "no draft": (("audience",), "bank", once("job_draft", drop), "no_draft", "job_propose"),
    "the bank accepts for the platform": (
        ("audience",), "platform",
        once("job_accept", lambda draft: dataclasses.replace(draft, actor="partner:first bank")),
        "nobody_accepted", "job_accept",
    ),
    "no acceptance": (("audience",), "bank", once("job_accept", drop), "unsigned", None),
    "another contract is accepted": (
        ("audience",), "bank", once("job_accept", lambda draft: facts(draft, digest="0" * 64)),
        "no_contract", "job_accept",
    ),
    "a signature is wrong": (
        ("audience",), "platform", once("job_propose", lambda draft: facts(draft, signature="0" * 128)),
        "signature", "job_propose",
    ),
    "another dataset": (
        ("audience",), "bank", once("dataset_used", lambda draft: facts(draft, dataset="other")),
        "other_dataset", "dataset_used",
    ),
    "the dataset is not named": (("audience",), "bank", once("dataset_used", drop), "dataset_unnamed", "stream"),
    "no decision on points": (
        ("audience",), "bank", once("decision", drop, release("points")), "no_decision", "stream",
    ),
    "no decision on sums": (
        ("measure",), "platform", once("decision", drop, release("sums")), "no_decision", "stream",
    ),
    "a refusal and yet it goes on": (
        ("audience",), "bank",
        once("decision", lambda draft: facts(draft, outcome="refuse", code="over_limit"), release("tokens")),
        "no_decision", "stream",
    ),
    "no decision on the result": (
        ("audience",), "platform", once("decision", drop, release("result")), "no_decision", "result_released",
    ),
    "lower thresholds": (
        ("audience",), "bank", once("decision", lambda draft: facts(draft, min_group=49)),
        "other_thresholds", "decision",
    ),
    "less noise": (
        ("noised",), "bank", once("decision", lambda draft: facts(draft, epsilon="1/1")),
        "other_thresholds", "decision",
    ),
    "decided twice": (
        ("audience",), "bank",
        once("decision", lambda draft: facts(draft, release="points"), release("tokens")),
        "decided_twice", "decision",
    ),
    "nothing was spent": (("audience",), "bank", once("budget_spent", drop), "not_spent", "decision"),
    "over the budget": (
        ("audience",), "bank", once("budget_spent", lambda draft: facts(draft, runs=10**6 + 1)),
        "over_budget", "budget_spent",
    ),
    "over epsilon": (
        ("noised",), "bank", once("budget_spent", lambda draft: facts(draft, epsilon_spent="1000001/1")),
        "over_epsilon", "budget_spent",
    ),
    "counted too low": (
        ("noised", "noised"), "bank",
        once("budget_spent", lambda draft: facts(draft, runs=1), lambda draft: draft.facts["runs"] == 2),
        "miscounted", "budget_spent",
    ),
    "epsilon counted too low": (
        ("noised", "noised"), "bank",
        once("budget_spent", lambda draft: facts(draft, epsilon_spent="1/2"), lambda draft: draft.facts["runs"] == 2),
        "miscounted", "budget_spent",
    ),
    "another budget than the policy's": (
        ("audience",), "bank", once("budget_spent", lambda draft: facts(draft, limit=10**6 - 1)),
        "other_budget", "budget_spent",
    ),
    "shown to who may not read": (
        ("audience",), "bank", once("result_released", lambda draft: facts(draft, to="bank")),
        "wrong_reader", "result_released",
    ),
    "a policy that says something else": (
        ("audience",), "bank", once("policy_set", lambda draft: facts(draft, unwitnessed="open")),
        "policy_facts", "policy_set",
    ),
    "a looser contract than the policy": (
        ("audience",), "bank", once("policy_set", lambda draft: facts(draft, min_group=60)), "looser", "job_propose",
    ),
    "a small set passes": (
        ("audience",), "bank", once("decision", opened(peer_persons=12)), "size_out_of_range", "decision",
    ),
    "details of something else": (
        ("audience",), "bank", once("decision", lambda draft: dataclasses.replace(draft, details={"rows": 3})),
        "details_form", "decision",
    ),
    "a small group passes": (
        ("measure",), "bank", once("decision", lambda draft: places(draft, passes=1), release("table")),
        "threshold", "decision",
    ),
    "a small group passes at the group holder": (
        ("measure",), "platform", once("decision", lambda draft: places(draft, passes=1), release("sums")),
        "threshold", "decision",
    ),
    "noise where there is none": (
        ("measure",), "bank", once("decision", lambda draft: places(draft, noise_on_matched=1), release("table")),
        "details_form", "decision",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_found_by_the_check_that_is_about_it(name: str) -> None:
    kinds, role, alter, code, kind = LIES[name]
    pair = lying(kinds, role, alter)
    report = report_on(pair)
    found = [each for each in problems(report) if each.code == code]
    assert found, [each.text() for each in problems(report)]
    assert {each.place.bundle for each in found} == {LABELS[role]}
    if kind is not None and found[0].place.number is not None:
        assert pair.side(role)[0].types[found[0].place.number][0] == kind
    assert not any(each.problems for each in report.sections[0].checks)


@pytest.mark.parametrize("kind", KINDS)
def test_an_honest_job_of_every_kind_passes_and_is_counted(kind: str) -> None:
    pair = Pair(kind)
    pair.jobs([kind, kind])
    for details in (True, False):
        told = {
            role: list(own.bundle(other, details=details))
            for role, (own, other) in {role: pair.side(role) for role in ("bank", "platform")}.items()
        }
        report = check(*told.items())
        assert report.passed, [each.text() for each in problems(report)]
        states = {one.id: one.state for section in report.sections for one in section.checks}
        assert states["thresholds"] is (State.PASSED if details else State.NOT_CHECKED)
    counts = {one.id: one.counts for section in report.sections for one in section.checks}
    assert counts["jobs"] == {"jobs": 2, "finished": 2}
    assert counts["entries"]["entries"] == len(pair.platform.entries)
    assert counts["contracts"] == {"contracts": 2, "signatures": 4}


def uncosigned(lines: list[bytes], after: int) -> list[bytes]:
    """Return a bundle without the cosignatures of checkpoints that are larger than ``after``."""
    bare = []
    for line in lines:
        said = json.loads(line) if line.startswith(b"{") else {}
        if said.get("kind") == "checkpoint" and said["size"] > after:
            said["note"] = said["note"].rsplit("\n", 2)[0] + "\n"
            line = rfc8785.dumps(said) + b"\n"
        bare.append(line)
    return closed(bare)


def test_a_result_without_a_cosignature_is_shown_only_where_the_policy_says_so() -> None:
    refused = {"partner": "first bank", "size": 1, "code": "withheld"}
    for unwitnessed, noted, code in (
        ("closed", True, "not_cosigned_before"),
        ("open", False, "not_cosigned_before"),
        ("open", True, None),
    ):
        pair = Pair("open", unwitnessed=unwitnessed)
        platform = pair.platform
        if noted:
            platform.append("cosign_refused", facts=refused)
        pair.jobs(["audience"])
        decided = max(number for number, data in enumerate(platform.entries) if b'"release":"result"' in data)
        report = check(("platform", uncosigned(bundles(pair)["platform"], decided)))
        found = problems(report)
        assert [each.code for each in found] == ([] if code is None else [code])
        for each in found:
            assert each.place.number is not None
            assert platform.types[each.place.number][0] == "result_released"


def test_releases_before_a_cosignature_are_found() -> None:
    pair = Pair("early")
    pair.jobs(["measure"])
    for role, lines in bundles(pair).items():
        report = check((role, uncosigned(lines, 0)))
        sent = [each for each in problems(report) if each.code == "not_cosigned_before"]
        own = sum(
            b'"from":"%s"' % role.encode() in data
            and not any(name in data for name in (b"announce", b"nonce", b"verdict"))
            for data in pair.side(role)[0].entries
        )
        assert len(sent) == own + 1  # and the result


def test_a_schedule_stands_for_the_two_persons_who_agreed_to_it() -> None:
    schedule = "5c" * 16

    def alter(draft: Draft) -> Draft:
        if draft.type in ("job_draft", "job_approve"):
            return dataclasses.replace(draft, actor=f"schedule:{schedule}")
        return draft

    for approver, code in (("ben", None), ("mary", "own_approval")):
        pair = Pair("schedule", {"bank": alter})
        for actor, step in (("mary", "draft"), (approver, "approve")):
            told = {"schedule": schedule, "step": step, "digest": "0" * 64, "code": None}
            pair.bank.append("schedule_step", actor, facts=told)
        pair.jobs(["audience"])
        assert [each.code for each in problems(report_on(pair))] == ([] if code is None else [code])


def test_a_given_policy_is_held_against_contracts_and_budgets() -> None:
    pair = Pair("policy", {"bank": once("dataset_used", lambda draft: facts(draft, basis=None))})
    pair.jobs(["noised"])
    assert report_on(pair, policy={"limits": {"min_group": 50, "epsilon": 0.5}, "budget": {}}).passed
    assert report_on(pair, policy={"audit": {"unwitnessed": "closed"}}).passed
    for policy, code in (
        ({"limits": {"min_group": 51}}, "looser"),
        ({"limits": {"max_set": 999_999}}, "looser"),
        ({"limits": {"epsilon": 0.25}}, "looser"),
        ({"budget": {"runs": 10}}, "over_budget"),
        ({"audit": {"basis": "required"}}, "no_basis"),
    ):
        assert {each.code for each in problems(report_on(pair, policy=policy))} == {code}


def test_every_word_of_a_report_is_there_in_both_languages() -> None:
    kinds, role, alter, _, _ = LIES["over the budget"]
    for report in (report_on(lying(kinds, role, alter)), check(("bank", bundles(Pair("x"))["bank"]))):
        for language in ("en", "zh"):
            text = "\n".join(report.lines(language))
            assert "{" not in text
        assert json.loads(json.dumps(report.to_json()))["verdict"] == (
            "passed" if report.passed else "failed"
        )
    for table in (CHECKS, PROBLEMS, NOTES, REASONS, UNPROVEN):
        for en, zh in table.values():
            assert en.isascii()
            assert not zh.isascii()


def test_a_report_quotes_nothing_out_of_an_entry() -> None:
    canary = "13800138000"
    kinds, role, _, _, _ = LIES["another dataset"]
    pair = lying(kinds, role, once("dataset_used", lambda draft: facts(draft, dataset=canary)))
    assert canary not in json.dumps(report_on(pair).to_json())
    line = b"0" * 64 + b' {"actor":"' + canary.encode() + b'"}\n'
    lines = bundles(pair)["bank"]
    told = verify([Bundle("x", [lines[0], line, *lines[2:]])])
    assert not told.passed
    assert canary not in json.dumps(told.to_json())


def test_a_contract_of_another_job_is_found() -> None:
    digests: list[str] = []

    def alter(draft: Draft) -> Draft:
        if draft.type == "job_propose":
            digests.append(draft.facts["digest"])
            return facts(draft, digest=digests[0])
        return draft

    pair = lying(("audience", "audience"), "bank", alter)
    assert "foreign_contract" in {each.code for each in problems(report_on(pair))}
