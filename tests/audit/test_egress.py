"""Egress and the same story: a stream that no contract allows, or that only one log has, is found at its entry."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import rfc8785

from audit.contracts import decoded, read
from audit.entry import Draft
from tests.audit.synthetic_logs import KINDS, LABELS, Pair
from tests.audit.test_verify import Alter, drop, lying, once, problems, report_on

# The streams of each kind, in words of their own: (name, sent by, bytes of an element).
MATCH = {
    ("receiver_points", "platform", 32),
    ("sender_points", "bank", 32),
    ("receiver_tokens", "bank", 16),
}
SUMS = {
    ("value_points", "bank", 32),
    ("value_sums", "bank", 512),
    ("group_points", "platform", 32),
    ("group_tokens", "bank", 16),
}


def _shared(**changed: Any) -> Alter:
    return lambda draft: dataclasses.replace(draft, shared={**(draft.shared or {}), **changed})


def _named(name: str) -> Callable[[Draft], bool]:
    return lambda draft: draft.shared is not None and draft.shared["name"] == name


# name -> kind of job, whether both parties write it, the change, and the code of the problem
LIES: Mapping[str, tuple[str, bool, Alter, Callable[[Draft], bool], str]] = {
    "a message of another kind": (
        "audience", True, _shared(name="openings", count=1), _named("receiver_tokens"), "not_allowed",
    ),
    "tokens for who doesn't receive": (
        "audience", True, _shared(name="sender_tokens"), _named("receiver_tokens"), "not_allowed",
    ),
    "the wrong way": (
        "audience", True, _shared(**{"from": "platform", "to": "bank"}), _named("sender_points"), "wrong_way",
    ),
    "twice": ("measure", True, _shared(name="value_points"), _named("group_points"), "wrong_way"),
    "more bytes than elements": ("audience", True, _shared(bytes=99), _named("sender_points"), "wrong_bytes"),
    "bytes without elements": (
        "measure", True, _shared(count=0, bytes=512), _named("value_sums"), "wrong_bytes",
    ),
    "half a ciphertext": ("measure", True, _shared(count=1, bytes=256), _named("value_sums"), "wrong_bytes"),
    "too few": ("audience", True, _shared(count=3, bytes=96), _named("sender_points"), "out_of_limits"),
    "too many": (
        "audience", True, _shared(count=10**6 + 1, bytes=32 * (10**6 + 1)), _named("sender_points"),
        "out_of_limits",
    ),
    "fewer tokens than points": (
        "audience", True, _shared(count=55, bytes=16 * 55), _named("receiver_tokens"), "counts_differ",
    ),
    "a thousand ciphertexts for a person": (
        "measure", True, lambda draft: _shared(bytes=1_000 * (draft.shared or {})["bytes"])(draft),
        _named("value_sums"), "wrong_bytes",
    ),
    "a long announcement": ("audience", True, _shared(bytes=9 * 10**15), _named("receiver_announce"), "wrong_bytes"),
    "a long nonce": ("measure", True, _shared(bytes=33), _named("nonce_of_value_holder"), "wrong_bytes"),
    "half a sum": ("measure", True, _shared(bytes=4 + 4 * 516 + 258), _named("cell_sums"), "wrong_bytes"),
    "a long verdict": ("measure", True, _shared(bytes=20_000), _named("verdict"), "wrong_bytes"),
    "a long table": ("measure", True, _shared(bytes=9 * 10**15), _named("table"), "wrong_bytes"),
    "no nonce": ("measure", True, drop, _named("nonce_of_value_holder"), "incomplete"),
    "no table": ("measure", True, drop, _named("table"), "incomplete"),
    "a stream in one log only": ("audience", False, drop, _named("sender_points"), "stream_missing"),
    "another digest": ("audience", False, _shared(sha256="0" * 64), _named("receiver_tokens"), "streams_differ"),
    "another digest of a single message": (
        "measure", False, _shared(sha256="0" * 64), _named("verdict"), "streams_differ",
    ),
    "another session": ("audience", False, _shared(session="0" * 32), _named("sender_points"), "stream_missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_what_no_contract_allows_is_found(name: str) -> None:
    kind, both, change, where, code = LIES[name]
    if both:
        pair = Pair("liars", {role: once("stream", change, where) for role in ("bank", "platform")})
        pair.jobs((kind,))
    else:
        pair = lying((kind,), "bank", once("stream", change, where))
    found = problems(report_on(pair))
    assert code in {each.code for each in found}, [each.text() for each in found]
    if both:
        assert {each.place.bundle for each in found if each.code == code} == set(LABELS.values())


def test_a_stream_that_stands_twice_is_found() -> None:
    pair = Pair("twice")
    pair.jobs(["audience"])
    again = next(data for data in pair.bank.entries if b"sender_points" in data)
    said = json.loads(again)
    number = pair.bank.append("stream", job=said["job"], shared=said["shared"])
    pair.bank.checkpoint(pair.platform)
    [problem] = [each for each in problems(report_on(pair)) if each.code == "twice"]
    assert problem.place.number == number


@pytest.mark.parametrize("kind", KINDS)
def test_the_flows_of_a_contract_are_those_of_its_kind(kind: str) -> None:
    pair = Pair("flows")
    pair.jobs([kind])
    contract = read(decoded(pair.bank.contracts[0]["contract"]))
    streams = {(flow.name, flow.sender, flow.element) for flow in contract.flows.values() if flow.element}
    both = {("sender_tokens", "platform", 16)} if kind == "both" else set()
    assert streams == (SUMS if kind in ("profile", "measure", "noised") else MATCH | both)


def test_without_a_window_a_person_has_one_ciphertext() -> None:
    pair = Pair("window")
    pair.jobs(["measure"])
    told = json.loads(decoded(pair.bank.contracts[0]["contract"]))
    flow = read(rfc8785.dumps({**told, "window": None})).flows["value_sums"]
    sizes = ((60, 60), (60, 120), (0, 0), (0, 1))
    assert [flow.fits(count, 512 * made) for count, made in sizes] == [True, False, True, False]


def test_what_left_each_side_is_what_its_streams_add_up_to() -> None:
    pair = Pair("traffic")
    jobs = pair.jobs(["both", "measure"])
    report = report_on(pair)
    assert [(each.job, each.side) for each in report.traffic] == [
        (job, side) for side in ("bank", "platform") for job in jobs
    ]
    for each in report.traffic:
        own, _ = pair.side(each.side)
        sent = [data for data in own.entries if b'"from":"%s"' % each.side.encode() in data]
        sizes = [int(data.split(b'"bytes":')[1].split(b",")[0]) for data in sent if each.job.encode() in data]
        assert each.bytes == sum(sizes)


def test_a_finished_job_without_any_stream_is_found() -> None:
    pair = lying(("audience",), "bank", lambda draft: None if draft.type == "stream" else draft)
    assert "no_stream" in {each.code for each in problems(report_on(pair))}


def test_a_stream_under_another_job_is_found_in_both_ways() -> None:
    jobs: list[str] = []

    def alter(draft: Draft) -> Draft:
        if draft.type == "job_start" and draft.job is not None:
            jobs.append(draft.job)
        if draft.shared is None or draft.job != jobs[0] or draft.shared["name"] != "sender_points":
            return draft
        return dataclasses.replace(draft, job=jobs[1], shared={**draft.shared, "job": jobs[1]})

    pair = lying(("audience", "overlap"), "bank", alter)
    assert {"other_job", "mixed"} <= {each.code for each in problems(report_on(pair))}
