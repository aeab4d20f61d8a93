"""Any engine gives the same lists, and the output says which one masked and why not a faster one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from party.synthetic import Pair
from psi.engines import available
from psi.suites import X25519_ELL2
from tests.e2e.command import Finished, Sandbox
from tests.e2e.nodes import configuration, drafted, node
from tests.e2e.oracle import File, Oracle, Row, read_list

WHY = "crypto_mb: the package intel-cmplr-lib-rt is not installed (extra 'accel')."
ACCELERATED = {status.name: status.usable for status in available(X25519_ELL2)}["crypto_mb"]


def expected(pair: Pair) -> list[Row]:
    """The platform's list."""
    return Oracle("phone", File(pair.bank, "mobile"), File(pair.platform, "phone")).list_of("platform")


def engines(finished: Finished) -> dict[str, dict[str, Any]]:
    """What each party said about its engine."""
    return {event["side"]: event for event in finished.events if event["event"] == "engine"}


def engines_in(out: Path) -> set[str]:
    """The engines in the result."""
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return {party["engine"] for party in result["parties"].values()}


def test_without_the_accelerator_everything_works_and_the_output_says_why(
    sandbox: Sandbox, small: Pair
) -> None:
    arguments = (sandbox.job(), small.bank, small.platform)
    told = sandbox.rehearse(*arguments, "--json", hooks=["without_accel"]).require_done()
    assert engines(told).keys() == {"bank", "platform"}
    for event in engines(told).values():
        assert event["engine"] == "cryptography"
        assert event["passed_over"] == [WHY]
    assert engines_in(sandbox.out) == {"cryptography"}
    assert read_list(sandbox.out / "platform" / "matches.csv")[1] == expected(small)


def test_plain_output_says_which_engine_and_why(sandbox: Sandbox, small: Pair) -> None:
    told = sandbox.rehearse(sandbox.job(), small.bank, small.platform, hooks=["without_accel"]).require_done()
    for side in ("bank", "platform"):
        assert f"{side}: masking with cryptography in " in told.stderr
        assert f"{side}: not with {WHY}" in told.stderr
    assert "bank: cryptography x " in told.stdout


def test_a_forced_engine_is_taken_and_nothing_is_explained(sandbox: Sandbox, small: Pair) -> None:
    told = sandbox.rehearse(
        sandbox.job(), small.bank, small.platform, "--json", "--engine", "cryptography", "--threads", "1"
    ).require_done()
    for event in engines(told).values():
        assert (event["engine"], event["threads"], event["passed_over"]) == ("cryptography", 1, [])
    assert read_list(sandbox.out / "platform" / "matches.csv")[1] == expected(small)


def test_the_other_suite_has_its_own_engine(sandbox: Sandbox, small: Pair) -> None:
    job = sandbox.job(suite="ristretto255")
    told = sandbox.rehearse(job, small.bank, small.platform, "--json").require_done()
    assert {event["engine"] for event in engines(told).values()} == {"sodium"}
    assert read_list(sandbox.out / "platform" / "matches.csv")[1] == expected(small)


@pytest.mark.skipif(not ACCELERATED, reason="crypto_mb does not run on this machine")
def test_the_accelerator_is_taken_where_it_runs(sandbox: Sandbox, small: Pair) -> None:
    told = sandbox.rehearse(sandbox.job(), small.bank, small.platform, "--json").require_done()
    for event in engines(told).values():
        assert (event["engine"], event["passed_over"]) == ("crypto_mb", [])


@pytest.mark.skipif(not ACCELERATED, reason="crypto_mb does not run on this machine")
def test_the_parties_may_mask_with_different_engines(sandbox: Sandbox, small: Pair) -> None:
    plan = drafted(sandbox, sandbox.job(), small.bank, small.platform)
    bank = configuration(sandbox, plan, "bank", "127.0.0.1:0", engine="cryptography")
    with node(sandbox, bank) as listening:
        port = listening.wait_for(lambda event: event["event"] == "listening")["port"]
        platform = configuration(sandbox, plan, "platform", f"127.0.0.1:{port}", engine="crypto_mb")
        with node(sandbox, platform) as dialling:
            told = dialling.wait_for(lambda event: event["event"] == "result")
            listening.wait_for(lambda event: event["event"] == "result")
            assert dialling.finish().status == listening.finish().status == 0
    assert told["report"]["party"]["engine"] == "crypto_mb"
    assert read_list(platform.staging / "matches.csv")[1] == expected(small)
