"""Grouped sums when something dies, and what they leave on disk and on the screen: nothing that names anybody."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from party.synthetic import Pair
from psi.errors import CODES
from psi.suites import suite_by_id
from tests.e2e.command import Running, Sandbox, is_held, needs_proc, snapshot
from tests.e2e.test_kill import check_killed, errors_of, kill_and_wait, nothing_left, other_than, parent_of
from tests.e2e.test_secrets import KEYS, contract_of, identifiers, nothing_told, process_texts
from tests.e2e.traces import Search, capture, curve_points

pytestmark = needs_proc

MEASURE: dict[str, Any] = {
    "receiver": "both",
    "bank": {
        "identifier": "mobile",
        "time": "converted_at",
        "values": {"amount": {"min": 0, "max": 50000, "scale": 100}},
    },
    "platform": {"identifier": "phone", "groups": ["campaign"], "time": "exposed_at", "cost": "cost"},
    "window": {"days": 7},
}
# The long phase of each side.
LONG = {"bank": "encrypt", "platform": "collect"}


def measure(sandbox: Sandbox) -> Path:
    """Write a job file that uses windows, values and costs."""
    return sandbox.job("measure", **MEASURE)


@contextmanager
def running(sandbox: Sandbox, pair: Pair, *held: str) -> Iterator[tuple[Running, dict[str, bytes | None]]]:
    """A measure job over an older report, which it must leave alone; yields it and what lay there."""
    sandbox.out.mkdir()
    (sandbox.out / "report.html").write_bytes(b"older\n")
    before = snapshot(sandbox.out)
    arguments = sandbox.arguments(measure(sandbox), pair.bank, pair.platform, "--json")
    with sandbox.start(*arguments, hooks=["hold"], environment=sandbox.holding(*held)) as job:
        yield job, before


@pytest.mark.parametrize("side", list(LONG))
def test_a_side_that_is_killed_during_the_sum_is_named(sandbox: Sandbox, small: Pair, side: str) -> None:
    phase = LONG[side]
    with running(sandbox, small, f"{side}:{phase}") as (job, before):
        job.wait_for(is_held(side, phase))
        finished = kill_and_wait(job, job.pid(side))
        check_killed(finished, side, phase)
        (survivor,) = errors_of(finished, other_than(side))
        assert survivor["code"] == "link_lost"
        nothing_left(sandbox, job, before)


def test_a_paillier_worker_that_is_killed_is_named(sandbox: Sandbox, small: Pair) -> None:
    # Customers, so that thousands of rows are encrypted and there is time to hit the workers.
    customers = MEASURE | {"base": "customers"}
    sandbox.out.mkdir()
    before = snapshot(sandbox.out)
    path = sandbox.job("measure", **customers)
    with sandbox.start(*sandbox.arguments(path, small.bank, small.platform, "--json")) as job:
        job.wait_for(lambda event: event.get("side") == "bank" and event.get("phase") == "encrypt")
        job.wait_for(
            lambda event: (
                event.get("side") == "bank"
                and event["event"] == "progress"
                and event["phase"] == "encrypt"
                and event["done"] > 0
            )
        )
        workers = [pid for pid in job.processes() if parent_of(pid) == job.pid("bank")]
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        finished = job.finish()
        assert finished.status == CODES["engine_unavailable"].exit
        assert "worker" in finished.error
        (survivor,) = errors_of(finished, "platform")
        assert survivor["message"] == "The bank ended the job with code paused."
        nothing_left(sandbox, job, before)


def test_a_sum_leaves_nothing_that_names_anybody(sandbox: Sandbox, small: Pair) -> None:
    held = [f"{side}:{phase}" for phase in ("order", "write") for side in LONG]
    arguments = sandbox.arguments(measure(sandbox), small.bank, small.platform, "--json")
    seen, processes = [], []
    with sandbox.start(*arguments, hooks=["hold"], environment=sandbox.holding(*held)) as job:
        for phase in ("order", "write"):
            for side in LONG:
                job.wait_for(is_held(side, phase))
            seen += capture(sandbox.out, sandbox.temporary, sandbox.home, sandbox.cwd)
            processes += process_texts(job)
            sandbox.release(phase)
        finished = job.finish().require_done()
    search, numbers = identifiers(small)
    points = Search(curve_points(suite_by_id("x25519-ell2"), contract_of(finished.events), numbers))
    for side in LONG:
        assert any("/".join((side, "work", "run", "journal", "")) in each.name for each in seen)
    for each in seen:
        assert not any(key in each.content for key in KEYS), each.name
        assert search.first_in(each.name.encode()) is None
        if not each.exempt:
            assert search.first_in(each.content) is None, each.name
            assert points.first_in(each.content) is None, each.name
        if "/.veiljoin-" in each.name:
            assert each.mode == (0o700 if each.is_folder else 0o600), each.name
    for text in processes:
        assert search.first_in(text) is None
        assert not any(key in text for key in KEYS)
    nothing_told(search, finished, sandbox.out)


# What is wrong with the job or the data, the status, and what the sentence names.
MISTAKES: dict[str, tuple[dict[str, Any], int, str]] = {
    "a value column that is not there": (
        {"bank": MEASURE["bank"] | {"values": {"amonut": {"max": 5}}}},
        2,
        "'amonut'",
    ),
    "a time column that is not there": (
        {"platform": MEASURE["platform"] | {"time": "seen_at"}},
        2,
        "'seen_at'",
    ),
    "a time zone that does not exist": ({"window": {"days": 7, "timezone": "Asia/Shangai"}}, 2, "timezone"),
    "groups at the value holder": ({"bank": MEASURE["bank"] | {"groups": ["tier"]}}, 2, "groups"),
    "a window without times": (
        {"bank": {"identifier": "mobile", "values": MEASURE["bank"]["values"]}},
        2,
        "time",
    ),
    "values that are no numbers": (
        {"bank": MEASURE["bank"] | {"values": {"consent": {"max": 5}}}},
        2,
        "'consent'",
    ),
    "groups that nobody fills": ({"policy": {"min_group": 2900}}, 3, "min_group"),
    "a base that does not exist": ({"base": "convertors"}, 2, "convertors"),
}


@pytest.mark.parametrize(("keys", "status", "named"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence_and_loses_nothing(
    sandbox: Sandbox, small: Pair, keys: dict[str, Any], status: int, named: str
) -> None:
    sandbox.out.mkdir()
    (sandbox.out / "result.json").write_bytes(b"{}\n")
    before = snapshot(sandbox.out)
    finished = sandbox.rehearse(sandbox.job("measure", **(MEASURE | keys)), small.bank, small.platform)
    assert finished.status == status, finished.stderr
    assert named in finished.error
    assert finished.hint
    assert "Traceback" not in finished.stderr
    assert snapshot(sandbox.out) == before
