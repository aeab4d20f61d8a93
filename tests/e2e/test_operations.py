"""A standing node as an operator has it: watched over HTTP, told to stop, saved and restored."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from party.synthetic import Pair
from tests.e2e.command import NOTICED, PATIENCE, Running, Sandbox, needs_proc
from tests.e2e.standing import HELD, PARTNER, Standing, rule
from tests.e2e.test_secrets import identifiers

# Longer than anything that a test waits for.
LONG = "60"


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, small: Pair) -> Standing:
    """An enrolled partner and a dataset on each side; no node runs."""
    nodes = Standing(Sandbox(tmp_path_factory.mktemp("operations")))
    with nodes.serving(partner=False):
        nodes.enrol()
    nodes.add(nodes.bank, "customers", small.bank, "mobile")
    nodes.add(nodes.home(), "users", small.platform, "phone")
    (nodes.home() / "policy.toml").write_text(rule(["users"], "audience"))
    return nodes


def run(
    standing: Standing,
    role: str,
    *options: str,
    home: Path | None = None,
    environment: dict[str, str] | None = None,
) -> AbstractContextManager[Running]:
    """Start a node that is watched over HTTP."""
    home = home or (standing.bank if role == "server" else standing.home())
    gates = standing.sandbox.folder / "gates"
    gates.mkdir(exist_ok=True)
    held = {"VEILJOIN_TEST_HOLD": HELD, "VEILJOIN_TEST_GATES": str(gates)}
    return standing.sandbox.start(
        *(role, "run", "--home", home, "--json", "--metrics", "127.0.0.1:0", *options),
        hooks=("hold",),
        environment=held | (environment or {}),
    )


@pytest.fixture
def node(standing: Standing) -> Iterator[Running]:
    """The partner's node, well stopped in the end."""
    with run(standing, "client", "--grace", "0") as running:
        yield running
        running.process.terminate()
        assert running.finish().status == 0


def get(node: Running, path: str) -> tuple[int, str]:
    """What the node answers."""
    address = node.wait_for(lambda event: event["event"] == "metrics")["address"]
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=NOTICED) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metric(node: Running, name: str) -> float:
    """The value of a sample, 0 if there is none yet."""
    found = re.search(rf"^veiljoin_{re.escape(name)} (\S+)$", get(node, "/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0.0


def until(holds: Any) -> None:
    """Wait until ``holds()``."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def online(node: Running) -> None:
    node.wait_for(lambda event: event["event"] == "online")


def tells_nothing(text: str, small: Pair) -> None:
    """Check what no log and no metric may hold: identifiers, in any form, and hashes."""
    assert identifiers(small)[0].first_in(text.encode()) is None
    assert not re.search(r"\b[0-9a-fA-F]{33,}\b", text)


def test_a_job_shows_in_metrics_health_and_log(standing: Standing, node: Running, small: Pair) -> None:
    log = standing.sandbox.folder / "bank.log"
    with run(standing, "server", "--log-file", str(log), "--log-format", "json", "--grace", LONG) as bank:
        online(bank)
        until(lambda: get(bank, "/readyz")[0] == get(node, "/readyz")[0] == 200)
        job = standing.draft(standing.sandbox.job())
        assert standing.wait(standing.bank, job, "done", "failed") == "done"
        for each in (bank, node):
            until(lambda each=each: metric(each, 'results_total{kind="audience"}') == 1)
        assert metric(bank, 'job_bytes_total{direction="sent",kind="audience"}') > 80 * 1_000
        assert (
            metric(bank, 'masks_total{kind="audience"}')
            == metric(node, 'masks_total{kind="audience"}')
            > 4_000
        )
        assert metric(bank, f'partner_online{{partner="{PARTNER}"}}') == 1
        assert metric(bank, "certificate_expires_timestamp_seconds") > time.time() + 86_400
        status, health = get(bank, "/healthz")
        assert (status, json.loads(health)["ok"]) == (200, True)
        shown = get(bank, "/metrics")[1] + get(node, "/metrics")[1] + health
        bank.process.terminate()
        ended = bank.finish()
    assert ended.status == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines == [json.loads(line) for line in ended.stderr.splitlines()]
    assert {line["job"] for line in lines if "job" in line} == {job[:8]}
    told = [line["event"] for line in lines]
    assert "stopping" in told
    assert told[-1] == "stopped"
    tells_nothing(shown + ended.stderr, small)
    assert job[:8] not in shown


@needs_proc
def test_a_node_that_is_told_to_stop_waits_for_its_job_to_end(standing: Standing, node: Running) -> None:
    gate = standing.hold("order")
    with run(standing, "server", "--grace", LONG) as bank:
        online(bank)
        job = standing.draft(standing.sandbox.job())
        standing.wait_for_phase(standing.bank, job, "order")
        later = standing.draft(standing.sandbox.job())
        bank.process.send_signal(signal.SIGTERM)
        stopping = bank.wait_for(lambda event: event["event"] == "stopping")
        assert stopping["running"] == 1
        assert get(bank, "/readyz")[0] == 503
        gate.unlink()
        assert bank.finish().status == 0
        assert standing.state(standing.bank, job) == "done"
        # It began nothing more.
        assert "start" not in standing.steps(standing.bank, later)
        assert bank.gone_within(NOTICED)
    standing.command("job", "cancel", later, "--home", standing.bank, "--as", "ann")


@needs_proc
def test_a_second_signal_stops_at_once_and_leaves_the_job_for_the_next_start(
    standing: Standing, node: Running
) -> None:
    gate = standing.hold("order")
    with run(standing, "server", "--grace", LONG) as bank:
        online(bank)
        job = standing.draft(standing.sandbox.job())
        standing.wait_for_phase(standing.bank, job, "order")
        bank.process.send_signal(signal.SIGINT)
        bank.wait_for(lambda event: event["event"] == "stopping")
        bank.process.send_signal(signal.SIGINT)
        assert bank.finish(30).status == 0
        assert bank.gone_within(NOTICED)
    assert standing.state(standing.bank, job) == "accepted"
    gate.unlink()
    standing.command("job", "cancel", job, "--home", standing.bank, "--as", "ann")


def test_the_service_manager_is_told(standing: Standing, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        with run(standing, "server", "--grace", "0", environment=told) as bank:
            words = [manager.recv(100) for _ in range(4)]
            assert sorted(set(words)) == [b"READY=1", b"WATCHDOG=1"]
            assert words.count(b"READY=1") == 1
            bank.process.terminate()
            while (word := manager.recv(100)) != b"STOPPING=1":
                assert word == b"WATCHDOG=1"
            assert bank.finish().status == 0


@needs_proc
def test_a_bank_is_restored_and_its_job_begins_anew(
    standing: Standing, node: Running, small: Pair, tmp_path: Path
) -> None:
    gate, out, new = standing.hold("order"), tmp_path / "bank.tar", tmp_path / "restored"
    with run(standing, "server") as bank:
        online(bank)
        job = standing.draft(standing.sandbox.job())
        standing.wait_for_phase(standing.bank, job, "order")
        saved = standing.data("backup", "--home", standing.bank, "--out", out)
        assert saved["with_key"] is False
        bank.process.kill()
        gate.unlink()
        assert bank.gone_within(NOTICED)
    told = standing.data("restore", out, "--home", new, "--key", standing.bank / "node.key")
    assert told["begin_anew"] == [job]
    with run(standing, "server", "--grace", "0", home=new) as bank:
        for home in (new, standing.home()):
            assert standing.wait(home, job, "done", "failed") == "done"
        bank.process.terminate()
        assert bank.finish().status == 0
    assert len((new / "results" / job / "result.json").read_bytes()) > 100
    assert standing.steps(new, job).count("finish") == 1
