"""What two running nodes note in their logs, from the first command to the result that a person read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from party.node import Node
from party.synthetic import Pair
from tests.e2e.command import Sandbox
from tests.e2e.standing import PARTNER, Standing, rule
from tests.party.logs import entries

# What both sides' logs hold of a job's life, beside what its run notes between start and finish.
BANK = ["job_draft", "job_approve", "job_propose", "job_accept", "job_start", "job_finish", "result_read"]
PLATFORM = ["job_draft", "job_propose", "job_approve", "job_accept", "job_start", "job_finish"]


def noted(home: Path, *types: str) -> list[dict[str, Any]]:
    """Return the entries of the home's log, each checked."""
    with Node.open(home) as node:
        return entries(node.home.store, *types)


@pytest.fixture
def standing(tmp_path: Path, small: Pair) -> Standing:
    """Two nodes, enrolled by the commands, with a dataset each that greeted once; none runs."""
    nodes = Standing(Sandbox(tmp_path))
    with nodes.serving(partner=False):
        nodes.enrol()
    add = ("--identifier", "phone", "--basis", "consent", "--as", "ann")
    nodes.command("dataset", "add", "customers", small.bank, "--column", "mobile", "--home", nodes.bank, *add)
    nodes.command(
        "dataset", "add", "users", small.platform, "--column", "phone", "--home", nodes.home(), *add
    )
    (nodes.home() / "policy.toml").write_text(rule(["users"], "audience"))
    with nodes.serving():
        pass
    return nodes


def test_both_logs_tell_the_life_of_the_nodes_and_of_a_job(standing: Standing, small: Pair) -> None:
    with standing.serving():
        job = standing.draft(standing.sandbox.job())
        for home in (standing.bank, standing.home()):
            assert standing.wait(home, job, "done", "failed", "refused") == "done"
    standing.command("job", "result", job, "--home", standing.bank, "--as", "cui")
    archive = standing.sandbox.folder / "bank.tar"
    standing.command("backup", "--home", standing.bank, "--out", archive, "--as", "dan")

    bank = noted(standing.bank)
    assert bank[0]["type"] == "log_opened"
    kinds = [entry["type"] for entry in bank]
    for kind in (
        "policy_set",
        "setting_set",
        "key_created",
        "certificate_issued",
        "dataset_added",
        "budget_spent",
    ):
        assert kind in kinds, kind
    assert [(e["type"], e["actor"]) for e in bank if e["type"].startswith("partner_")] == [
        ("partner_invited", "ann"),
        ("partner_asked", f"partner:{PARTNER}"),
        ("partner_confirmed", "bob"),
    ]
    mine = [entry for entry in bank if entry["job"] == job]
    assert [entry["type"] for entry in mine if entry["type"] in BANK] == BANK
    assert {entry["type"]: entry["actor"] for entry in mine if entry["type"] in BANK} == {
        "job_draft": "ann",
        "job_approve": "bob",
        "job_propose": "node:bank",
        "job_accept": f"partner:{PARTNER}",
        "job_start": "node:bank",
        "job_finish": "node:bank",
        "result_read": "cui",
    }
    # The run's seed was made for it, and is gone.
    keys = [entry["type"] for entry in mine if entry["type"].startswith("key_")]
    assert keys == ["key_created", "key_destroyed"]
    assert (bank[-1]["type"], bank[-1]["actor"]) == ("backed_up", "dan")

    platform = noted(standing.home())
    theirs = [entry for entry in platform if entry["job"] == job]
    assert [entry["type"] for entry in theirs if entry["type"] in PLATFORM] == PLATFORM
    agreed = {entry["type"]: entry for entry in theirs}
    assert agreed["job_approve"]["actor"].startswith("rule:")
    # Both hold the same two signatures under the same contract.
    for kind in ("job_propose", "job_accept"):
        own = next(entry for entry in mine if entry["type"] == kind)
        assert own["facts"] == agreed[kind]["facts"]
    # All of it was done under a policy that the log names.
    assert {entry["policy"] for entry in mine + theirs} >= {bank[-1]["policy"], platform[-1]["policy"]}
    assert all(entry["policy"] is not None for entry in mine + theirs)

    written = repr([*bank, *platform])
    for path in (standing.sandbox.folder, standing.bank, standing.home(), small.bank, small.platform):
        assert str(path) not in written
    for identifier in (*identifiers(small.bank)[:50], *identifiers(small.platform)[:50]):
        assert identifier not in written


def identifiers(path: Path) -> list[str]:
    """Return the cells of the first column of a CSV file."""
    return [line.split(",")[0] for line in path.read_text().splitlines()[1:]]


def test_a_new_policy_is_noted_by_the_next_command_and_a_refused_approval_by_its_own(
    standing: Standing,
) -> None:
    job = standing.data(
        *("job", "new", standing.sandbox.job(), "--partner", PARTNER, "--home", standing.bank, "--as", "ann")
    )["job"]
    with pytest.raises(AssertionError, match="four eyes"):
        standing.command("job", "approve", job, "--home", standing.bank, "--as", "Ann")
    refused = noted(standing.bank, "attempt_refused")
    assert [(entry["actor"], entry["job"], entry["facts"]["step"]) for entry in refused] == [
        ("Ann", job, "approve")
    ]
    before = noted(standing.bank, "policy_set")
    (standing.bank / "policy.toml").write_text("[limits]\nmin_group = 75\n")
    told = standing.command("dataset", "list", "--home", standing.bank)
    assert "consent" in told
    after = noted(standing.bank, "policy_set")
    assert [entry["facts"]["min_group"] for entry in after] == [before[-1]["facts"]["min_group"], 75]
    shown = standing.data("policy", "show", "--home", standing.bank)
    assert shown["digest"] == after[-1]["facts"]["digest"] == after[-1]["policy"]
