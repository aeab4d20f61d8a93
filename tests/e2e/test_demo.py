"""The newcomer's first command, at its smallest: every kind of job runs, and the reports lie where it says."""

from __future__ import annotations

import json

from cli.demo import SMALLEST
from party.jobspec import KINDS
from tests.e2e.command import Sandbox


def test_the_demo_runs_every_kind(sandbox: Sandbox) -> None:
    out = sandbox.folder / "demo"
    finished = sandbox.run("demo", "--rows", str(SMALLEST), "--out", out).require_done()
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("*/result.json"))]
    assert {result["kind"] for result in results} == set(KINDS)
    assert all(result["totals"]["matched"] is not None for result in results)
    named = [line.strip() for line in finished.stdout.splitlines() if line.endswith("report.html")]
    for name in ("4-profile", "5-measure", "6-lift", "7-funnel"):
        report = out / name / "report.html"
        assert report.read_text(encoding="utf-8").startswith("<!doctype html>")
        assert str(report) in named
    assert finished.foreign_lines == []


def test_too_few_rows_are_refused(sandbox: Sandbox) -> None:
    finished = sandbox.run_inside("demo", "--rows", "10", "--out", sandbox.folder / "demo")
    assert finished.status == 2
    assert finished.error == "--rows 10 is too few for the demo's tiers."
