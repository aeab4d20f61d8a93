"""``veiljoin bench nodes`` at a small size: it runs, leaves nothing behind, and what it prints adds up."""

from __future__ import annotations

import json
from argparse import Namespace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench.nodes import JobTimes, NodeFigures
from cli.bench import nodes
from psi.errors import UsageError
from tests.e2e.command import PATIENCE, Sandbox, needs_proc

# It is four jobs, and as many homes and processes as it takes.
_PATIENCE = 4 * PATIENCE
PARTNERS = ["partner-1", "partner-2"]
START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def times(partner: str, approved: float, started: float, done: float, everywhere: float) -> JobTimes:
    return JobTimes(partner, at(approved), at(started), at(done), at(everywhere), attempts=1)


def test_the_figures_follow_from_the_times() -> None:
    alone = (times("a", 0, 1, 5, 6), times("b", 10, 13, 19, 19))
    together = (
        times("a", 100, 100, 104, 105),
        times("a", 101, 104, 108, 108),
        times("b", 102, 102, 106, 106),
        times("b", 103, 106, 113, 114),
    )
    figures = NodeFigures(1_000, 2, alone, together, None, None, None)
    assert (figures.mean_alone, figures.mean_alone_wall) == (5, 7.5)
    assert figures.wall == 14
    assert figures.ratio == 14 / 20
    assert figures.done_at_half == {"a": 1, "b": 1}
    assert figures.mean_until_done == {"a": 6, "b": 9.5}
    assert figures.spread == 9.5 / 6
    assert figures.as_data()["attempts"] == 4


@needs_proc
def test_a_small_run_adds_up_and_leaves_nothing(sandbox: Sandbox) -> None:
    sizes = ("--jobs", "2", "--partners", "2", "--rows", "200", "--alone", "1")
    with sandbox.start("bench", "nodes", *sizes, "--json") as running:
        finished = running.finish(_PATIENCE).require_done()
        assert running.processes() == []
    figures = json.loads(finished.stdout)
    assert (figures["rows"], figures["jobs"], figures["partners"], figures["alone"]["jobs"]) == (200, 2, 2, 2)
    assert figures["attempts"] == 2
    assert 0 < figures["alone"]["mean_seconds"] <= figures["alone"]["mean_seconds_from_approval"]
    assert figures["ratio"] == pytest.approx(figures["seconds_together"] / figures["seconds_alone"], abs=0.05)
    assert list(figures["done_at_half"]) == list(figures["mean_seconds_until_done"]) == PARTNERS
    assert sum(figures["done_at_half"].values()) == 1
    assert figures["spread"] >= 1
    assert figures["processor_seconds_alone"] > 0
    assert figures["processor_seconds_together"] > 0
    assert figures["peak_memory_mb"] > 10
    assert sandbox.leftovers() == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"jobs": 3}, "--jobs 3 is out of range."),
        ({"rows": 99}, "--rows 99 is out of range."),
        ({"jobs": 60 * 4, "alone": 1}, "That is more than 60 jobs for one partner"),
    ],
)
def test_sizes_out_of_range_are_refused(tmp_path: Path, options: dict[str, int], sentence: str) -> None:
    sizes = {"jobs": 20, "partners": 4, "rows": 1_000, "alone": 2, "running": 2} | options
    with pytest.raises(UsageError) as refused:
        nodes(Namespace(**sizes, out=tmp_path / "bench", json=True))
    assert refused.value.message.startswith(sentence)
    assert list(tmp_path.rglob("bench/*")) == []
