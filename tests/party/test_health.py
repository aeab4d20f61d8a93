"""Health and readiness of a node, and the server that tells them."""

from __future__ import annotations

import datetime
import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from party import health as health_module
from party.endpoint import _AT_ONCE, Endpoint
from party.health import Health
from party.metrics import Metrics
from psi.errors import UsageError
from tests.party.standing_pair import Pair, Side


class Time:
    """A monotonic clock that a test sets."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    bank = pair.bank.node
    bank.authority().renew_own(bank.credentials)
    yield pair
    pair.close()


@pytest.fixture
def time() -> Time:
    return Time()


def watched(side: Side, time: Time) -> Health:
    """The health of a node that has looked once."""
    health = Health(side.node, Metrics(side.node.file.role, "veiljoin 1"), lambda: 0, time)
    health.tell({"event": "tick"})
    health.look()
    return health


def failing(health: Health) -> set[str]:
    verdict = health.healthy()
    bad = {name for name, check in verdict.checks.items() if not check["ok"]}
    assert verdict.ok is not bool(bad)
    return bad


def test_a_bank_that_is_well(pair: Pair, time: Time) -> None:
    health = watched(pair.bank, time)
    assert failing(health) == set()
    checks = health.healthy().checks
    assert 6 < checks["certificate"]["days"] <= 7.1
    assert checks["partners"] == {"ok": True, "online": 0, "known": 2}
    assert not health.ready().ok
    health.tell({"event": "listening"})
    assert health.ready().ok
    health.tell({"event": "stopping"})
    assert not health.ready().ok


def test_a_loop_that_hangs_is_told(pair: Pair, time: Time) -> None:
    health = watched(pair.bank, time)
    time.now += health_module.TICK_SECONDS - 1
    health.look()
    assert failing(health) == set()
    time.now += 1
    health.look()
    assert failing(health) == {"loop"}
    health.tell({"event": "tick"})
    assert failing(health) == set()


def test_a_look_that_does_not_come_back_counts_as_a_store_that_is_away(pair: Pair, time: Time) -> None:
    health = watched(pair.bank, time)
    time.now += 61
    health.tell({"event": "tick"})
    assert failing(health) == {"store"}


def test_a_store_that_is_away_is_told(pair: Pair, time: Time) -> None:
    health = watched(pair.bank, time)
    path = pair.bank.node.home.store.path
    assert path is not None
    path.rename(path.with_suffix(".away"))
    path.write_bytes(b"no store" * 1_000)
    health.look()
    assert failing(health) == {"store"}
    assert not health.ready().ok
    path.unlink()
    path.with_suffix(".away").rename(path)
    health.look()
    assert failing(health) == set()


def test_a_certificate_that_was_not_renewed_is_told(pair: Pair, time: Time) -> None:
    health = watched(pair.bank, time)
    current = pair.bank.node.credentials.current()
    assert current is not None
    pair.clock.time = current.expires - datetime.timedelta(hours=1)
    assert failing(health) == {"certificate"}


def test_a_disk_that_is_nearly_full_is_told(pair: Pair, time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": health_module.FREE_BYTES - 1})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    assert failing(watched(pair.bank, time)) == {"disk"}


def test_a_platform_is_well_for_a_while_without_its_bank(pair: Pair, time: Time) -> None:
    health = watched(pair.platform, time)
    # This one never joined: it has no certificate.
    assert failing(health) == {"certificate"}
    health.tell({"event": "started"})
    assert not health.ready().ok
    health.tell({"event": "online", "partner": "bank"})
    assert health.ready().ok
    time.now += 1_000
    health.tell({"event": "unreached", "text": "t", "hint": "h"})
    for later, bad in ((299, set()), (2, {"partners"}), (0, {"partners"})):
        time.now += later
        health.tell({"event": "tick"})
        health.tell({"event": "unreached", "text": "t", "hint": "h"})
        health.look()
        assert failing(health) - {"certificate"} == bad


def test_results_are_counted_once(pair: Pair, time: Time, tmp_path: Path) -> None:
    metrics = Metrics("bank", "veiljoin 1")
    health = Health(pair.bank.node, metrics, lambda: 0, time)
    folder = tmp_path / ("ab" * 16)
    folder.mkdir()
    (folder / "result.json").write_text('{"kind": "overlap"}')
    health.tell({"event": "result", "job": "ab" * 16, "folder": str(folder)})
    health.look()
    health.look()
    assert b'veiljoin_results_total{kind="overlap"} 1.0' in metrics.text()


# -- the server


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    pair = Pair(tmp_path_factory.mktemp("endpoint"))
    bank = pair.bank.node
    bank.authority().renew_own(bank.credentials)
    health = watched(pair.bank, Time())
    endpoint = Endpoint.open("127.0.0.1:0", Metrics("bank", "veiljoin 1"), health)
    yield endpoint
    endpoint.close()
    pair.close()


def ask(endpoint: Endpoint, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes and read the whole answer."""
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


def get(endpoint: Endpoint, path: str) -> tuple[int, Any]:
    status, headers, body = ask(endpoint, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert int(headers["Content-Length"]) == len(body)
    return status, json.loads(body) if headers["Content-Type"] == "application/json" else body.decode()


def test_it_serves_metrics_and_both_verdicts(endpoint: Endpoint) -> None:
    status, text = get(endpoint, "/metrics?x=1")
    assert status == 200
    assert "veiljoin_build_info{python=" in text
    status, verdict = get(endpoint, "/healthz")
    assert (status, verdict["ok"]) == (200, True)
    status, verdict = get(endpoint, "/readyz")
    assert (status, verdict["checks"]["serving"]["ok"]) == (503, False)
    assert get(endpoint, "/")[0] == 404


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "DELETE", "get"])
def test_it_answers_get_alone(endpoint: Endpoint, method: str) -> None:
    status, headers, _ = ask(endpoint, f"{method} /metrics HTTP/1.1\r\n\r\n".encode())
    assert (status, headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize(
    "request_",
    [b"\r\n\r\n", b"GET /metrics\r\n\r\n", b"\xff\xfe \x00 x\r\n\r\n", b"GET /metrics SMTP\r\n\r\n"],
)
def test_what_is_no_http_is_refused(endpoint: Endpoint, request_: bytes) -> None:
    assert ask(endpoint, request_)[0] == 400


def test_a_request_that_is_too_long_is_refused(endpoint: Endpoint) -> None:
    assert ask(endpoint, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 9_000 + b"\r\n\r\n")[0] == 400


def test_connections_at_once_are_limited_and_come_free_again(endpoint: Endpoint) -> None:
    idle = [socket.create_connection(("127.0.0.1", endpoint.port)) for _ in range(_AT_ONCE)]
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=10) as one_more:
        assert one_more.recv(1) == b""
    for each in idle:
        each.close()
    while True:
        try:
            assert get(endpoint, "/healthz")[0] == 200
        except (ConnectionError, ValueError):
            continue
        return


def test_a_port_that_is_taken_and_an_address_that_is_none_are_told(endpoint: Endpoint) -> None:
    metrics, health = endpoint._metrics, endpoint._health
    with pytest.raises(UsageError, match=f"127.0.0.1:{endpoint.port}"):
        Endpoint.open(f"127.0.0.1:{endpoint.port}", metrics, health)
    with pytest.raises(UsageError, match="--metrics"):
        Endpoint.open("9464", metrics, health)
