"""``veiljoin bench measure`` at a small size: it runs, and what it prints adds up."""

from __future__ import annotations

import json

import pytest

from tests.e2e.command import Sandbox

SMALL = ("--rows", "1000", "--converters", "300", "--values", "1", "--groups", "2", "--exposure-days", "3")


def test_the_figures_add_up(sandbox: Sandbox) -> None:
    arguments = ("bench", "measure", *SMALL, "--window", "2", "--out", sandbox.folder / "bench", "--json")
    figures = sandbox.run(*arguments).require_done().events[-1]
    assert figures["rows"] == 1_000
    assert figures["matched"] == 150
    assert figures["released_groups"] == 2
    assert figures["ciphertexts"] == 300 * figures["ciphertexts_per_row"]
    assert figures["ciphertexts_per_row"] == -(-3 // figures["days_per_ciphertext"])
    assert {"read", "encrypt"} <= set(figures["phases"]["bank"])
    assert {"read", "collect"} <= set(figures["phases"]["platform"])
    assert all(peak > 0 for peak in figures["peak_memory_mb"].values())
    result = json.loads((sandbox.folder / "bench" / "out" / "result.json").read_text(encoding="utf-8"))
    parties = result["parties"]
    assert figures["bytes_sent"] == {side: party["bytes_sent"] for side, party in parties.items()}
    assert parties["bank"]["rows_encrypted"] == 300


@pytest.mark.parametrize("option", ["--rows", "--converters", "--groups", "--exposure-days"])
def test_sizes_out_of_range_are_refused(sandbox: Sandbox, option: str) -> None:
    finished = sandbox.run_inside("bench", "measure", option, "0")
    assert finished.status == 2
    assert finished.error == f"{option} 0 is out of range."
