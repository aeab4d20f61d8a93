"""A recurring job of two running nodes: one that came due while the bank's node was down, made up for once."""

from __future__ import annotations

import csv
import datetime
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from party.jobrecords import person
from party.node import Node
from party.schedules import Schedules
from party.synthetic import Pair
from tests.e2e.command import PATIENCE, Sandbox
from tests.e2e.standing import Standing, rule

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def standing(tmp_path: Path, small: Pair) -> Standing:
    """Two enrolled nodes with a dataset each that greeted once; none runs."""
    nodes = Standing(Sandbox(tmp_path))
    with nodes.serving(partner=False):
        nodes.enrol()
    nodes.add(nodes.bank, "customers", small.bank, "mobile")
    nodes.add(nodes.home(), "users", small.platform, "phone")
    (nodes.home() / "policy.toml").write_text(rule(["users"], "audience"))
    with nodes.serving():
        pass
    return nodes


def test_a_due_job_runs_by_itself_to_its_result(standing: Standing, small: Pair) -> None:
    now = datetime.datetime.now(ZoneInfo("Asia/Shanghai"))
    schedule = standing.data(
        *("job", "schedule", "new", standing.sandbox.job(), "--partner", "acme", "--home", standing.bank),
        *("--every", f"daily at {now - 2 * HOUR:%H:%M}", "--as", "ann"),
        *("--until", (now + datetime.timedelta(days=30)).date().isoformat()),
    )["schedule"]
    at_home = (schedule, "--home", standing.bank)
    standing.command("job", "schedule", "approve", *at_home, "--as", "bob")
    # As if it had been resumed three hours ago: the time of two hours ago then passed with no node at work.
    with Node.open(standing.bank) as node:
        past = Schedules(node.home.store, lambda: node.clock() - 3 * HOUR)
        past.pause(schedule, person("bob"))
        past.resume(schedule, person("bob"))
    with standing.serving() as nodes:
        nodes[0].wait_for(lambda event: event["event"] == "schedule" and event["state"] == "drafted")
        job = standing.data("job", "schedule", "show", *at_home)["due_times"][0]["job"]
        for home in (standing.bank, standing.home()):
            assert standing.wait(home, job, "done", "failed", "refused") == "done"
        end = time.monotonic() + PATIENCE
        while standing.data("job", "schedule", "show", *at_home)["due_times"][0]["outcome"] != "done":
            assert time.monotonic() < end
            time.sleep(0.2)
    told = standing.result(standing.home(), job)
    with open(Path(told["folder"]) / "matches.csv", newline="") as file:
        assert len(list(csv.reader(file))) - 1 == small.common_persons
    # Once, and the next time is tomorrow's.
    listed = standing.data("job", "list", "--home", standing.bank)["jobs"]
    assert [each["job"] for each in listed] == [job]
    shown = standing.data("job", "schedule", "show", *at_home)
    assert (shown["state"], shown["drafted"], shown["failures"]) == ("active", 1, 0)
    assert datetime.datetime.fromisoformat(shown["next_due"]) > now
    approvals = standing.data("job", "show", job, "--home", standing.bank)["approvals"]
    assert [each["role"] for each in approvals] == ["schedule", "partner"]
