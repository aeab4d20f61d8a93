"""``veiljoin bench console`` at a small size: every page answers, and what it prints adds up."""

from __future__ import annotations

import json
import statistics
import tempfile

import pytest

from tests.e2e.command import Sandbox


def test_every_page_is_measured(sandbox: Sandbox) -> None:
    # A browser keeps a socket in the temporary folder, whose path may not be long.
    short = {"TMPDIR": tempfile.gettempdir()}
    arguments = ("bench", "console", "--jobs", "30", "--groups", "100", "--json")
    told = sandbox.run(*arguments, environment=short).require_done()
    figures = json.loads(told.stdout.splitlines()[-1])
    assert (figures["jobs"], figures["groups"]) == (30, 100)
    pages = {page["address"]: page for page in figures["pages"]}
    assert {"/login", "/", "/jobs", "/datasets", "/audit", "/people", "/policy"} <= pages.keys()
    assert any(address.endswith("/result") for address in pages)
    assert all(0 < page["median_ms"] <= page["worst_ms"] for page in pages.values())
    assert all(page["bytes"] > 500 for page in pages.values())
    assert figures["slowest_ms"] == max(page["worst_ms"] for page in pages.values())
    assert pages["/login"]["ratio"] == 1.0
    paints = figures["first_paint_ms"]
    assert paints is None or statistics.median(paints.values()) > 0


@pytest.mark.parametrize("option", ["--jobs", "--groups"])
def test_sizes_out_of_range_are_refused(sandbox: Sandbox, option: str) -> None:
    finished = sandbox.run_inside("bench", "console", option, "0")
    assert finished.status == 2
    assert finished.error == f"{option} 0 is out of range."
