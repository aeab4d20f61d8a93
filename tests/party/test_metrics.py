"""What a node's events and store come to as metrics, and that no label holds what it should not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from party.metrics import Figures, Metrics, Sample, figures_of
from party.nodelog import EVENTS
from party.store import Store
from party.tables import jobs_seen

JOB = "3f2a" * 8
OTHER = "77aa" * 8
LINE = re.compile(r"([a-z_]+)(?:\{([^}]*)\})? (\S+)")
LABEL = re.compile(r'([a-z]+)="([^"]*)"')


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("bank", "veiljoin 1.2.3")


def read(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The samples, without the project's prefix."""
    found = {}
    for line in metrics.text().decode().splitlines():
        if not line.startswith("#"):
            match = LINE.fullmatch(line)
            assert match is not None, line
            labels = frozenset(LABEL.findall(match[2] or ""))
            found[match[1].removeprefix("veiljoin_"), labels] = float(match[3])
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return read(metrics)[name, frozenset(labels.items())]


def test_attempts_cuts_and_ends_are_counted(metrics: Metrics) -> None:
    for event in (
        {"event": "job", "job": JOB, "state": "running", "attempt": 1},
        {"event": "process", "job": JOB, "attempt": 1, "pid": 7},
        {"event": "process", "job": OTHER, "attempt": 1, "pid": 8},
    ):
        metrics.tell(event)
    assert value(metrics, "attempts_running") == 2
    metrics.tell({"event": "ended", "job": JOB, "code": "link_lost", "text": "t", "hint": "h"})
    metrics.tell({"event": "job", "job": JOB, "state": "accepted", "code": "link_lost"})
    metrics.tell({"event": "ended", "job": OTHER, "code": "over_budget", "text": "t", "hint": "h"})
    metrics.tell({"event": "job", "job": OTHER, "state": "failed", "code": "over_budget"})
    assert value(metrics, "attempts_running") == 0
    assert value(metrics, "attempts_total") == 2
    assert value(metrics, "attempts_cut_total", code="link_lost") == 1
    assert value(metrics, "jobs_ended_total", state="failed", code="over_budget") == 1
    assert value(metrics, "policy_refusals_total", code="over_budget") == 1
    assert value(metrics, "policy_refusals_total", code="too_small") == 0


def test_a_job_that_is_done_has_no_reason(metrics: Metrics) -> None:
    metrics.tell({"event": "job", "job": JOB, "state": "done", "code": "link_lost"})
    assert value(metrics, "jobs_ended_total", state="done", code="") == 1


def test_the_line_to_partners_is_followed(metrics: Metrics) -> None:
    for name in ("online", "offline", "online"):
        metrics.tell({"event": name, "partner": "acme"})
    assert value(metrics, "control_connections_total", partner="acme") == 2
    assert value(metrics, "control_losses_total", partner="acme") == 1
    assert value(metrics, "partners_online") == 1
    # As a platform's node tells it: its one stream is gone.
    metrics.tell({"event": "unreached", "text": "t", "hint": "h"})
    assert value(metrics, "partner_online", partner="acme") == 0
    assert value(metrics, "control_losses_total", partner="acme") == 2
    assert value(metrics, "control_failures_total") == 1


def test_a_look_sets_what_the_store_has(metrics: Metrics) -> None:
    metrics.tell({"event": "online", "partner": "acme"})
    metrics.look(Sample({"accepted": 2}, 1e9, 5_000, {"acme", "other"}, {"acme": -3.0}), log_lost=4)
    assert value(metrics, "jobs", state="accepted") == 2
    assert value(metrics, "jobs", state="done") == 0
    assert value(metrics, "partner_online", partner="acme") == 1
    assert value(metrics, "partner_online", partner="other") == 0
    assert value(metrics, "clock_skew_seconds", partner="acme") == -3
    assert value(metrics, "certificate_expires_timestamp_seconds") == 1e9
    assert value(metrics, "log_lines_lost") == 4
    assert value(metrics, "store_up") == 1
    metrics.look(None)
    assert value(metrics, "store_up") == 0
    assert value(metrics, "jobs", state="accepted") == 2


def test_a_result_counts_what_it_cost(metrics: Metrics) -> None:
    metrics.result(Figures("lift", sent=10, received=20, seconds={"read": 1.5}, masks=7))
    metrics.result(Figures("lift", sent=1, received=2, seconds={"read": 0.5}, masks=3))
    assert value(metrics, "results_total", kind="lift") == 2
    assert value(metrics, "job_bytes_total", kind="lift", direction="received") == 22
    assert value(metrics, "phase_seconds_total", kind="lift", phase="read") == 2
    assert value(metrics, "masks_total", kind="lift") == 10


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_no_event_puts_more_than_words_and_names_into_labels(metrics: Metrics, name: str) -> None:
    number = "13800138000"
    event: dict[str, Any] = {
        **dict.fromkeys(("text", "hint", "code", "state", "kind", "folder", "address", "home"), number),
        "event": name,
        "job": JOB,
        "partner": "acme",
        "attempt": 1,
    }
    metrics.tell(event)
    metrics.tell(event | {"state": "accepted"})
    metrics.tell(event | {"state": "failed"})
    text = metrics.text().decode()
    assert number not in text
    assert JOB[:8] not in text


def test_an_event_of_another_version_is_passed_over(metrics: Metrics) -> None:
    before = read(metrics)
    metrics.tell({"event": "never_heard_of", "partner": "x"})
    metrics.tell({})
    assert read(metrics).keys() == before.keys()


def test_two_nodes_in_one_process_count_apart() -> None:
    first, second = Metrics("bank", "veiljoin 1"), Metrics("platform", "veiljoin 1")
    first.tell({"event": "fault", "text": "t"})
    assert value(first, "faults_total") == 1
    assert value(second, "faults_total") == 0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with closing(Store(f"sqlite:///{tmp_path_factory.mktemp('metrics') / 'store.sqlite'}")) as store:
        yield store


def test_the_figures_of_a_result_come_from_its_file_and_the_store(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / JOB
    folder.mkdir()
    party = {
        "bytes_sent": 5,
        "bytes_received": 6,
        "seconds": {"read": 0.25, "13800138000": 9},
        "rows_read": 1,
    }
    (folder / "result.json").write_text(json.dumps({"kind": "profile", "parties": {"bank": party}}))
    row = {
        "dataset": "d",
        "partner": "acme",
        "kind": "profile",
        "at": 0.0,
        "own_persons": 30,
        "peer_persons": 12,
    }
    with store.transaction() as connection:
        connection.execute(jobs_seen.insert().values(job=JOB, **row))
    assert figures_of(folder, "bank", store) == Figures("profile", 5, 6, {"read": 0.25}, 42)


@pytest.mark.parametrize(
    "content", [None, "", "{", '{"kind": "13800138000", "parties": {}}', "[]", '{"parties": 3}']
)
def test_a_result_that_cannot_be_read_is_counted_without_figures(
    store: Store, tmp_path: Path, content: str | None
) -> None:
    folder = tmp_path / OTHER
    folder.mkdir()
    if content is not None:
        (folder / "result.json").write_text(content)
    assert figures_of(folder, "bank", store) == Figures("other")


def test_the_documentation_lists_every_metric_and_no_other(metrics: Metrics) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"`veiljoin_([a-z_]+)(?:\{([a-z,]+)\})?`", page))
    there = {}
    for family in metrics.registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        if name.startswith("veiljoin_"):
            there[name.removeprefix("veiljoin_")] = family.type
    assert documented.keys() == there.keys()
    used = set(
        re.findall(r"veiljoin_([a-z_]+)", "\n".join(re.findall(r"^ +expr: (.+)$", page, re.MULTILINE)))
    )
    assert used
    assert used <= there.keys()


def test_the_documentation_lists_every_event_of_the_log() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+`) \|", page.partition("## Logs")[2].partition("## Metrics")[0], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    assert named == set(EVENTS) - {"tick", "metrics"}
