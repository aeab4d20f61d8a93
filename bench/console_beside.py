"""How long the console's pages take while somebody has its log verified or exported.

The console is served by the process that calls this. Who asks for pages and who takes the bundle are processes of
their own, so that an answer waits for the console and for the machine, and never for this benchmark.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from multiprocessing.connection import Connection
from typing import Any, Final

from audit.entry import Draft
from console.access import COOKIE
from console.app import API
from party.auditlog import AuditLog
from party.node import Node
from psi.errors import VeiljoinError

# Entries that one transaction appends, behind which a checkpoint is signed.
_AT_ONCE: Final = 2_000
# What is asked for in turn, by whom: a page without rows, the two that most people look at, and the log.
_PAGES: Final = (("", "/login"), ("ann", "/"), ("ann", "/jobs"), ("eve", "/audit"))
# Between two answers, as a few people pause: asking all the time would be a load of its own.
_PAUSE: Final = 0.01
# How long pages are asked for beside nothing at all, in seconds.
_QUIET: Final = 5.0
_LOOK: Final = 0.05
_PIECE: Final = 1 << 18
# For a request, and for a verification, in seconds.
_PATIENCE: Final = 600.0


@dataclass(frozen=True, slots=True)
class BesideFigures:
    """Pages beside ``what``, which took ``seconds``: how many answers, and their milliseconds.

    ``late`` is what one answer in a hundred took longer than; ``address`` is the page of the worst one.
    """

    what: str
    seconds: float
    answers: int
    median: float
    late: float
    worst: float
    address: str

    def as_data(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return {
            "beside": self.what,
            "seconds": round(self.seconds, 1),
            "answers": self.answers,
            "median_ms": round(self.median, 1),
            "p99_ms": round(self.late, 1),
            "worst_ms": round(self.worst, 1),
            "worst_page": self.address,
        }


def fill(node: Node, entries: int) -> None:
    """Append entries that belong to no job to the log of ``node`` until it has ``entries``, with checkpoints."""
    log, cosigning = AuditLog(node.home.store), node.log.cosigning()
    digest = "5a" * 32
    kinds: tuple[tuple[str, dict[str, Any]], ...] = (
        ("login", {"code": None}),
        ("dataset_changed", {"dataset": "customers", "schema": digest, "form": "phone", "basis": "consent"}),
        ("preflight", {"digest": digest, "own": "ready", "peer": None}),
    )
    size = log.size()
    while size < entries:
        numbers = range(size, min(entries, size + _AT_ONCE))
        drafts = [
            Draft(kinds[number % len(kinds)][0], f"user{number % 40}", facts=kinds[number % len(kinds)][1])
            for number in numbers
        ]
        size = log.append(drafts, node.clock().timestamp())
        cosigning.checkpoint()


def beside(
    port: int,
    cookies: Mapping[str, str],
    token: str,
    observe: Callable[[str], None] = lambda text: None,
) -> tuple[BesideFigures, ...]:
    """Ask the console on ``port`` for pages beside nothing, a verification, an export, and both at once.

    ``cookies`` are sessions by name, ``token`` an API token with the scope ``audit``. Raises ``RuntimeError`` if the
    log is not verified or not exported whole, or if a page does not answer with 200.
    """
    asked = [(address, cookies.get(who, "")) for who, address in _PAGES]
    # The last one is what two auditors do to everybody else.
    kinds: Sequence[tuple[str, Callable[[], None]]] = (
        ("nothing", lambda: time.sleep(_QUIET)),
        ("verification", lambda: _verify(port, token)),
        ("export", lambda: _export(port, token)),
        ("verification and export", lambda: _both(port, token)),
    )
    found = []
    for what, work in kinds:
        observe(f"pages beside {what}")
        with _asking(port, asked) as taken:
            started = time.perf_counter()
            work()
            seconds = time.perf_counter() - started
        times = sorted(ms for ms, _ in taken.answers)
        worst, address = max(taken.answers)
        late = times[-1 - len(times) // 100]
        median = statistics.median(times)
        found.append(BesideFigures(what, seconds, len(times), median, late, worst, address))
    return tuple(found)


def _verify(port: int, token: str) -> None:
    _request(port, "POST", "/audit/verify", token, HTTPStatus.ACCEPTED)
    _verified(port, token)


def _verified(port: int, token: str) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        state = json.loads(_request(port, "GET", "/audit/verify", token, HTTPStatus.OK))["state"]
        # Jobs that were copied into the store have no entries, so that their log does not pass.
        if state in ("passed", "failed"):
            return
        if state != "running":
            raise RuntimeError(f"the verification is {state}")
        time.sleep(_LOOK)
    raise RuntimeError("the verification does not end")


def _both(port: int, token: str) -> None:
    _request(port, "POST", "/audit/verify", token, HTTPStatus.ACCEPTED)
    _export(port, token)
    _verified(port, token)


def _export(port: int, token: str) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_take, args=(port, token))
    process.start()
    process.join()
    if process.exitcode != 0:
        raise RuntimeError("the log was not exported")


def _take(port: int, token: str) -> None:
    """Take the bundle and keep nothing of it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    connection.request("GET", f"{API}/audit/bundle", headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    last = b""
    while piece := answer.read(_PIECE):
        last = (last + piece)[-1_000:]
    # A bundle that was cut lacks its last line.
    if answer.status != HTTPStatus.OK or b'"kind":"end"' not in last:
        raise VeiljoinError("The bundle is not whole.")


def _request(port: int, method: str, address: str, token: str, status: HTTPStatus) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        connection.request(method, API + address, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != status:
        raise RuntimeError(f"{address} answered {answer.status}")
    return body


@dataclass(slots=True)
class _Taken:
    answers: list[tuple[float, str]] = field(default_factory=list)


@contextmanager
def _asking(port: int, asked: Sequence[tuple[str, str]]) -> Iterator[_Taken]:
    """Ask for pages in turn until the block ends; then what they took is there, in milliseconds."""
    context, taken = multiprocessing.get_context("spawn"), _Taken()
    own, its = context.Pipe()
    process = context.Process(target=_ask_on, args=(port, asked, its), daemon=True)
    process.start()
    its.close()
    try:
        own.recv()  # it has begun
        yield taken
        own.send(None)
        taken.answers += own.recv()
    except EOFError:
        raise RuntimeError("a page did not answer with 200") from None
    finally:
        own.close()
        process.join()


def _ask_on(port: int, asked: Sequence[tuple[str, str]], told: Connection) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)

    def ask(address: str, cookie: str) -> float:
        started = time.perf_counter()
        connection.request("GET", address, headers={"Cookie": f"{COOKIE}={cookie}"} if cookie else {})
        answer = connection.getresponse()
        answer.read()
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(f"{address} answered {answer.status}")
        return (time.perf_counter() - started) * 1000

    # The first round makes the caches that any console has after a minute.
    for address, cookie in asked:
        ask(address, cookie)
    told.send(None)
    taken = []
    while not told.poll():
        for address, cookie in asked:
            taken.append((ask(address, cookie), address))
            time.sleep(_PAUSE)
    told.recv()
    told.send(taken)
