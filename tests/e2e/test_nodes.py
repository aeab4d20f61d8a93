"""Two standing nodes from nothing to results, with the real command: enrolment, approvals, runs, faults.

The tests share one pair of nodes and follow each other, as jobs between two parties do.
"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from client.dialer import dial
from party.catalogue import Catalogue
from party.jobs import Jobs
from party.node import Node
from party.runner import SOFTWARE
from party.synthetic import Pair
from party.tables import budget_spent
from psi.errors import VeiljoinError
from psi.suites import PROTOCOL_VERSION, suite_by_id
from tests.e2e.command import NOTICED, Running, Sandbox, needs_proc
from tests.e2e.standing import PARTNER, Standing, rule
from tests.e2e.test_secrets import KEYS, identifiers
from tests.e2e.traces import Search, capture, curve_points
from veiljoin.messages import Hello

OTHER = "other"


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, small: Pair) -> Standing:
    """Two enrolled partners, and a dataset at the bank and at the first of them; no node runs."""
    nodes = Standing(Sandbox(tmp_path_factory.mktemp("standing")))
    with nodes.serving(partner=False):
        nodes.enrol()
        nodes.enrol(OTHER)
    nodes.add(nodes.bank, "customers", small.bank, "mobile")
    nodes.add(nodes.home(), "users", small.platform, "phone")
    (nodes.home() / "policy.toml").write_text(rule(["users"], "audience"))
    return nodes


@pytest.fixture(scope="module")
def nodes(standing: Standing, small: Pair) -> Iterator[list[Running]]:
    """The bank's node and the first partner's, running from the second test on."""
    with standing.serving() as running:
        yield running
    for node in running:
        # Who runs a node may collect what it prints.
        assert identifiers(small)[0].first_in(node.finish().stdout.encode()) is None


def matches(standing: Standing, job: str, pair: Pair) -> None:
    """Check the list that the platform has, that the bank has none, and that nothing is left of the work."""
    told = standing.result(standing.home(), job)
    with open(Path(told["folder"]) / "matches.csv", newline="") as file:
        assert len(list(csv.reader(file))) - 1 == pair.common_persons
    assert "matches.csv" not in standing.result(standing.bank, job)["files"]
    # A job is told as done before the node tidies up.
    end = time.monotonic() + NOTICED
    while left := [path for home in (standing.bank, standing.home()) for path in (home / "work").iterdir()]:
        assert time.monotonic() < end, left
        time.sleep(0.1)


def ran(standing: Standing, job: str) -> None:
    """Wait until a job is done on both sides."""
    for home in (standing.bank, standing.home()):
        assert standing.wait(home, job, "done", "failed") == "done"


def test_a_person_accepts_while_no_node_runs(standing: Standing) -> None:
    file = standing.sandbox.job(
        "measure",
        receiver="both",
        bank={"identifier": "mobile", "time": "converted_at", "values": {"amount": {"max": 5000}}},
        platform={"identifier": "phone", "time": "exposed_at", "groups": ["campaign"]},
        window={"days": 7},
    )
    with standing.serving():
        job = standing.draft(file)
        assert standing.wait(standing.home(), job, "proposed", "refused") == "proposed"
    standing.command("job", "approve", job, "--home", standing.home(), "--as", "carol")
    with standing.serving():
        ran(standing, job)
    bank, platform = (standing.result(home, job) for home in (standing.bank, standing.home()))
    assert bank["result"]["groups"] == platform["result"]["groups"] != []
    assert "report.html" in bank["files"]


@needs_proc
def test_a_bank_whose_node_is_killed_has_the_result_once_it_is_back(standing: Standing, small: Pair) -> None:
    gate = standing.hold("order")
    with standing.start("client") as platform:
        with standing.start("server") as bank:
            job = standing.draft(standing.sandbox.job())
            standing.wait_for_phase(standing.bank, job, "order")
            os.kill(bank.process.pid, signal.SIGKILL)
            # Its jobs' processes notice that it is gone, and end by themselves.
            gate.unlink()
            assert bank.gone_within(NOTICED)
        with standing.start("server"):
            ran(standing, job)
            # While both nodes run: what one that is stopped leaves of its work goes when it starts again.
            matches(standing, job, small)
        assert platform.process.poll() is None
    for home in (standing.bank, standing.home()):
        assert standing.steps(home, job).count("finish") == 1


def test_a_standing_rule_accepts_and_both_sides_have_their_result(
    standing: Standing, nodes: list[Running], small: Pair
) -> None:
    job = standing.draft(standing.sandbox.job())
    ran(standing, job)
    matches(standing, job, small)
    approvals = standing.data("job", "show", job, "--home", standing.home())["approvals"]
    assert [(each["actor"], each["role"]) for each in approvals] == [("rule:usual", "standing_rule")]


def test_the_bank_knows_of_datasets_that_come_and_go_while_both_nodes_run(
    standing: Standing, nodes: list[Running], small: Pair
) -> None:
    def known(names: set[str]) -> None:
        end = time.monotonic() + NOTICED
        while told() != names:
            assert time.monotonic() < end, told()
            time.sleep(0.1)

    def told() -> set[str]:
        with Node.open(standing.bank) as bank:
            said = Catalogue(bank.home.store).told(PARTNER)
        return set() if said is None else {entry.name for entry in said.catalogue}

    before = told()
    standing.add(standing.home(), "newcomers", small.platform, "phone")
    known(before | {"newcomers"})
    standing.command("dataset", "remove", "newcomers", "--home", standing.home())
    known(before)


def test_what_a_run_keeps_to_go_on_with_names_nobody(
    standing: Standing, nodes: list[Running], small: Pair
) -> None:
    homes = (standing.bank, standing.home())
    gates = [standing.hold(phase) for phase in ("order", "write")]
    job = standing.draft(standing.sandbox.job())
    seen = []
    for gate in gates:
        for home in homes:
            standing.wait_for_phase(home, job, gate.name)
            standing.wait_for_partner(home, job, gate.name)
        seen += capture(*(home / "work" for home in homes))
        gate.unlink()
    ran(standing, job)
    for home in homes:
        for kept in ("journal", "masks", "sets"):
            folder = f"{home / 'work' / job / kept}{os.sep}"
            assert any(each.name.startswith(folder) for each in seen), (home, kept)
    with Node.open(standing.bank) as node:
        (record,) = (each for each in Jobs(node.home.store, node.file.role).list().jobs if each.id == job)
    # What the parties hand to an auditor names nobody either, not even with its sealed details.
    handed = standing.sandbox.folder / "handed"
    handed.mkdir()
    for home in homes:
        whole, pack = handed / f"{home.name}.veiljoin-log", handed / f"{home.name}-pack"
        standing.command("audit", "export", "--home", home, "--out", whole, "--details", "--as", "audrey")
        standing.command(
            "audit", "export", "--home", home, "--out", pack, "--job", job, "--details", "--as", "audrey"
        )
    seen += capture(handed)
    logs = [handed / f"{home.name}.veiljoin-log" for home in homes]
    assert "passed" in standing.command("audit", "verify", *logs).splitlines()[-1]
    search, numbers = identifiers(small)
    points = Search(curve_points(suite_by_id("x25519-ell2"), bytes.fromhex(record.digest), numbers))
    for each in seen:
        assert search.first_in(each.name.encode()) is None
        if not each.exempt:
            assert search.first_in(each.content) is None, each.name
            assert points.first_in(each.content) is None, each.name
            assert not any(key in each.content for key in KEYS), each.name


@needs_proc
@pytest.mark.parametrize("side", ["bank", "platform"])
def test_a_job_whose_process_is_killed_runs_again_and_has_one_result(
    standing: Standing, nodes: list[Running], small: Pair, side: str
) -> None:
    at = ("bank", "platform").index(side)
    gate = standing.hold("order")
    job = standing.draft(standing.sandbox.job())
    standing.wait_for_phase((standing.bank, standing.home())[at], job, "order")
    os.kill(process(nodes[at], job), signal.SIGKILL)
    gate.unlink()
    ran(standing, job)
    matches(standing, job, small)
    for each in (standing.bank, standing.home()):
        steps = standing.steps(each, job)
        assert steps.count("finish") == 1
        assert steps.count("start") == steps.count("retry") + 1 == 2


@needs_proc
@pytest.mark.parametrize("side", ["bank", "platform"])
def test_what_a_killed_process_had_reached_is_not_computed_again(
    standing: Standing, nodes: list[Running], small: Pair, side: str
) -> None:
    at = ("bank", "platform").index(side)
    homes = (standing.bank, standing.home())
    gate = standing.hold("exchange")
    job = standing.draft(standing.sandbox.job())
    standing.wait_for_phase(homes[at], job, "exchange")
    os.kill(process(nodes[at], job), signal.SIGKILL)
    gate.unlink()
    ran(standing, job)
    matches(standing, job, small)
    persons = {"bank": small.bank_persons, "platform": small.platform_persons}
    for each, name, other in zip(homes, persons, reversed(persons), strict=True):
        told = json.loads((each / "results" / job / "result.json").read_text())["parties"][name]
        accepted = told["rows_read"] - sum(told["rejected"].values())
        assert told["masks"] == accepted + persons[other]
        with Node.open(each) as node, node.home.store.reading() as connection:
            rows = connection.execute(sa.select(budget_spent.c.spent).where(budget_spent.c.job == job))
            assert list(rows.scalars()) == [True]
            # The seed went with the run.
            assert not [secret for secret in node.vault.names() if secret.startswith("job/")]


def process(node: Running, job: str) -> int:
    """The process id of a job's first attempt."""
    return int(node.wait_for(lambda event: event["event"] == "process" and event["job"] == job)["pid"])


def test_another_partner_cannot_reach_the_job(standing: Standing, nodes: list[Running], small: Pair) -> None:
    async def intrude(job: str) -> None:
        with Node.open(standing.home(OTHER)) as node:
            tls = node.credentials.material()
        async with dial(standing.listen, tls, patience=10) as link:
            await link.send(Hello(PROTOCOL_VERSION, job, SOFTWARE))
            await link.receive()

    gate = standing.hold("agree")
    job = standing.draft(standing.sandbox.job())
    # The partner's process has dialled and not yet greeted: the bank waits for it.
    standing.wait_for_phase(standing.home(), job, "agree")
    with pytest.raises(VeiljoinError):
        asyncio.run(intrude(job))
    assert standing.state(standing.bank, job) == "running"
    gate.unlink()
    ran(standing, job)
    matches(standing, job, small)
    assert standing.steps(standing.bank, job).count("start") == 1
    assert standing.data("job", "list", "--home", standing.bank, "--partner", OTHER)["jobs"] == []
