"""The processes that verify and export: what ends them, what they are told, and what people see of it."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient

import console.auditprocess
from audit.bundle import Bundle, lines_of
from audit.entry import Draft
from audit.report import Note
from audit.verify import verify
from bench.synthetic_logs import KINDS
from bench.synthetic_logs import Pair as Logs
from console.auditexports import MOST_EXPORTS, exports
from console.auditing import Verification, task, verifier
from console.auditmaking import SignedBefore, made
from console.auditprocess import AuditProcess, AuditProcesses
from console.auditreport import packed, unpacked
from console.place import Place
from console.settings import Settings
from party.auditlog import AuditLog
from party.nodefile import NODE_FILE
from party.vault import KEY_FILE
from psi.errors import UsageError, VeiljoinError
from tests.console.conftest import ORIGIN, Site
from tests.console.served import served
from tests.party.standing_pair import Pair

API = "/api/v1"
HANGS = "import time; time.sleep(600)"
FAILS = "raise SystemExit(3)"
# One that says something else than frames.
BABBLES = "print('Traceback: 13800138000', flush=True)"
# One that is cut in the middle of a bundle.
CUT = """
import os, signal, sys
from console.auditwork import PIECE, _send
_send(PIECE, b"first")
sys.stdin.readline()
os.write(1, b"P")
os.kill(os.getpid(), signal.SIGKILL)
"""
ENDLESS = """
import os
from console.auditwork import PIECE, _send
counted = os.open(os.environ["COUNTED"], os.O_WRONLY | os.O_CREAT)
while True:
    _send(PIECE, bytes(1 << 18))
    os.write(counted, b".")
"""


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Site]:
    """A bank's console over a log without jobs."""
    pair = Pair(tmp_path)
    pair.bank.node.settle_log()
    yield Site(pair.bank, tmp_path)
    pair.close()


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let another program be started in the place of the real one, which is not asked to do anything."""
    return lambda program: monkeypatch.setattr(console.auditprocess, "_PROGRAM", ("-c", program))


def wait(until: Callable[[], object], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def settled(place: Place) -> Verification:
    """The last verification, once it has ended."""
    wait(
        lambda: (latest := verifier(place).latest) is not None and latest.ended is not None,
        "the verification does not end",
    )
    latest = verifier(place).latest
    assert latest is not None
    return latest


def begun(processes: AuditProcesses) -> int:
    """The id of the process that is at work, once it is."""
    wait(lambda: processes.running, "no process begins")
    return processes.running[0].pid


def gone(pid: int) -> bool:
    """Whether there is no such process any more, not even one that nobody waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def noted(site: Site) -> int:
    """How many exports the log has."""
    log = AuditLog(site.place.node.home.store)
    return sum(json.loads(data)["type"] == "exported" for _, _, data in log.entries(log.epochs()[-1]))


def fill(site: Site, entries: int) -> None:
    """Make the log longer."""
    log = AuditLog(site.place.node.home.store)
    log.append([Draft("backed_up", "node:bank", None, {"size": number}) for number in range(entries)], 0.0)


# -- verifying


def test_a_verification_whose_process_is_killed_says_so_and_the_next_one_begins(alone: Site) -> None:
    eve = alone.client("eve")
    before = set(alone.side.folder.iterdir())
    alone.post(eve, "/audit/verify")
    pid = begun(verifier(alone.place).processes)
    os.kill(pid, signal.SIGKILL)
    assert settled(alone.place).state == "broken"
    assert gone(pid)
    text = eve.get("/audit/verify").text
    assert "The process that verified the log was killed (SIGKILL)." in text
    assert "Traceback" not in text
    assert set(alone.side.folder.iterdir()) == before
    alone.post(eve, "/audit/verify")
    assert settled(alone.place).state == "passed"
    assert verifier(alone.place).processes.running == ()


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        (FAILS, "The process that verified the log ended with status 3."),
        (BABBLES, "The process that verified the log ended with status 0."),
        ("import os; os.close(1); os.abort()", "The process that verified the log was killed (SIGABRT)."),
    ],
)
def test_a_process_that_fails_is_told_in_one_sentence(
    alone: Site, instead: Callable[[str], None], program: str, sentence: str
) -> None:
    instead(program)
    eve = alone.client("eve")
    alone.post(eve, "/audit/verify")
    assert settled(alone.place).state == "broken"
    text = eve.get("/audit/verify").text
    assert sentence in text
    assert "Traceback" not in text
    assert "13800138000" not in text


def test_a_machine_that_starts_no_process_is_told(alone: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(alone.side.folder / "not there"))
    eve = alone.client("eve")
    alone.post(eve, "/audit/verify")
    assert settled(alone.place).state == "broken"
    assert "verified the log did not start: No such file or directory." in eve.get("/audit/verify").text
    assert alone.post(eve, "/audit/bundle").status_code == 503
    monkeypatch.undo()
    assert alone.post(eve, "/audit/bundle").status_code == 200
    alone.post(eve, "/audit/verify")
    assert settled(alone.place).state == "passed"


def test_what_was_not_started_takes_no_room(alone: Site, instead: Callable[[str], None]) -> None:
    instead(FAILS)
    processes = AuditProcesses(1)

    def prepare() -> dict[str, Any]:
        raise UsageError("The disk is full.", code="no_space")

    for _ in range(2):
        with pytest.raises(UsageError, match=r"The disk is full\."):
            processes.start(prepare)
    with processes.start(lambda: task(alone.place, "bundle")) as process:
        with pytest.raises(UsageError, match="are under way already"):
            processes.start(prepare)
        process.end()  # ended twice, given back once
    with processes.start(lambda: task(alone.place, "bundle")), pytest.raises(UsageError, match="under way"):
        processes.start(prepare)


def test_a_fault_in_the_process_is_told_by_kind_and_place(alone: Site) -> None:
    wrong = task(alone.place, "verify")  # without what this work takes
    with AuditProcess(wrong, lambda process: None) as process, pytest.raises(VeiljoinError) as caught:
        list(process.pieces())
    assert str(caught.value).startswith("A fault in this program: KeyError at auditmaking.py:")
    assert caught.value.code.name == "internal"


def test_the_process_has_and_needs_no_key(alone: Site) -> None:
    key = alone.side.folder / KEY_FILE
    key.rename(key.with_suffix(".away"))
    assert not (alone.side.folder / NODE_FILE).exists()
    eve = alone.client("eve")
    alone.post(eve, "/audit/verify")
    assert settled(alone.place).state == "passed"
    answer = alone.post(eve, "/audit/bundle")
    assert verify([Bundle("bank", lines_of(io.BytesIO(answer.content)))]).passed


def test_without_keys_another_checkpoint_is_not_signed(alone: Site) -> None:
    node = alone.place.node
    size, note = node.log.cosigning().checkpoint()
    fill(alone, 1)
    epoch = node.log.cosigning().facts.epoch
    assert SignedBefore(node.home.store, epoch, size, node.clock).checkpoint() == (size, note)
    with pytest.raises(UsageError, match=f"checkpoint of {size + 1} entries is no longer"):
        SignedBefore(node.home.store, epoch, size + 1, node.clock).checkpoint()
    with pytest.raises(UsageError, match="There is no log 7"):
        SignedBefore(node.home.store, 7, size, node.clock)


def test_no_empty_store_is_made_where_the_store_went_away(alone: Site) -> None:
    wanted = task(alone.place, "bundle", details=False)
    store = alone.side.folder / "store.sqlite"
    away = store.rename(store.with_suffix(".away"))
    with pytest.raises(UsageError, match="is not there, or empty") as caught:
        list(made(wanted))
    assert caught.value.code.name == "store_unavailable"
    assert not store.exists()
    away.rename(store)


def test_a_report_arrives_whole() -> None:
    logs = Logs("report")
    logs.jobs(KINDS)
    sound = list(logs.bank.bundle(logs.platform))
    spoilt = [*sound[:4], sound[4].replace(b'"time":1', b'"time":2', 1), *sound[5:]]
    reports = [verify([Bundle("a name", iter(lines))]) for lines in (sound, spoilt)]
    assert reports[0].traffic
    assert reports[1].first is not None
    for report in reports:
        report = replace(report, scope=(Note("scope_pack", {"name": "a name"}),))
        assert unpacked(packed(report)) == report
        assert unpacked(packed(report)).to_json() == report.to_json()


# -- what ends a process


def test_a_console_that_stops_leaves_no_process_behind(alone: Site, instead: Callable[[str], None]) -> None:
    instead(HANGS)
    eve = alone.client("eve")
    with TestClient(alone.app, base_url=ORIGIN):
        alone.post(eve, "/audit/verify")
        verifying = begun(verifier(alone.place).processes)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(alone.post, alone.client("eve"), "/audit/bundle")
            exporting = begun(exports(alone.place))
            # What `console run` does once no more requests come in.
            console.auditexports.stop_work(alone.place)
            assert "wrote the bundle was killed (SIGKILL)" in answer.result(60).text
        assert settled(alone.place).state == "broken"
        alone.post(eve, "/audit/verify")
        again = begun(verifier(alone.place).processes)
    wait(lambda: gone(again), "the process outlives the console")
    assert gone(verifying)
    assert gone(exporting)


def test_the_process_ends_when_the_console_was_killed(alone: Site) -> None:
    fill(alone, 2_000)
    wanted = task(alone.place, "bundle", details=False) | {"seconds": 600}
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
    with subprocess.Popen(
        [sys.executable, "-m", "console.auditwork"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(wanted).encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.read(1) == b"P"
        # It waits for somebody to read the rest.
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(60) == 1


def test_a_process_ends_at_the_limit(alone: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(alone, 2_000)
    monkeypatch.setattr(console.auditprocess, "LIMIT_SECONDS", 1)
    wanted = task(alone.place, "bundle", details=False)
    with AuditProcess(wanted, lambda process: None) as process:
        process._process.wait(60)
        with pytest.raises(VeiljoinError, match="The process that wrote the bundle took longer than"):
            list(process.pieces())


@contextmanager
def fetched(site: Site) -> Iterator[tuple[http.client.HTTPConnection, Place]]:
    """A console that serves, and a connection over which its bundle was asked for."""
    with served(Settings(site.side.folder, (ORIGIN,)), site.side.node, site.place.people) as (base, place):
        token = place.tokens.make(place.people.get("eve"), "test", {"audit"}, 1, "person:eve").reveal()
        connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=60)
        with closing(connection):
            connection.request("GET", f"{API}/audit/bundle", headers={"Authorization": f"Bearer {token}"})
            yield connection, place


def test_who_hangs_up_ends_the_export_and_who_is_slow_is_waited_for(
    alone: Site, instead: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = tmp_path / "counted"
    monkeypatch.setenv("COUNTED", str(counted))
    instead(ENDLESS)
    with fetched(alone) as (connection, place):
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.read(1 << 20) == bytes(1 << 20)
        pid = begun(exports(place))
        before = 0
        # It fills what lies between, and stops there.
        while before != (before := counted.stat().st_size):
            time.sleep(0.5)
        assert 3 <= before < 400
        answer.close()
        connection.close()
        wait(lambda: gone(pid), "the process outlives who asked for its work")
        wait(lambda: not exports(place).running, "its place is not given back")


def test_who_takes_nothing_any_more_is_not_waited_for(
    alone: Site,
    instead: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("COUNTED", str(tmp_path / "counted"))
    monkeypatch.setattr(console.auditexports, "LONGEST_PAUSE", 0.3)
    instead(ENDLESS)
    with fetched(alone) as (connection, place):
        assert connection.getresponse().status == 200
        pid = begun(exports(place))
        wait(lambda: gone(pid), "the process waits for nobody")
    assert "an export was cut: nobody took it any more" in caplog.text


def test_an_export_that_is_cut_does_not_look_whole(
    alone: Site, instead: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    instead(CUT)
    with fetched(alone) as (connection, place):
        with pytest.raises(http.client.IncompleteRead):
            connection.getresponse().read()
        wait(lambda: not exports(place).running, "its place is not given back")
    assert "an export was cut: The process that wrote the bundle was killed (SIGKILL)." in caplog.text


# -- more than one visitor


def test_two_visitors_export_at_once_beside_a_verification(alone: Site) -> None:
    fill(alone, 3_000)
    eve, program = alone.client("eve"), alone.token("eve", "audit")
    together = threading.Barrier(2)

    def take(ask: Callable[[], bytes]) -> bytes:
        together.wait(60)
        return ask()

    alone.post(eve, "/audit/verify")
    with ThreadPoolExecutor(2) as pool:
        taken = [
            pool.submit(take, lambda: alone.post(eve, "/audit/bundle").content),
            pool.submit(take, lambda: program.get(f"{API}/audit/bundle").content),
        ]
        bundles = [each.result(120) for each in taken]
    for content in bundles:
        report = verify([Bundle("bank", lines_of(io.BytesIO(content)))])
        assert report.passed, report.first
    assert settled(alone.place).state == "passed"
    assert noted(alone) == 2
    wait(lambda: not exports(alone.place).running, "a place is not given back")


def test_more_exports_than_there_is_room_for_are_refused(alone: Site, instead: Callable[[str], None]) -> None:
    instead(HANGS)
    program, place = alone.token("eve", "audit"), alone.place
    with ThreadPoolExecutor(MOST_EXPORTS) as pool:
        waiting = [pool.submit(program.get, f"{API}/audit/bundle") for _ in range(MOST_EXPORTS)]
        wait(lambda: len(exports(place).running) == MOST_EXPORTS, "they do not begin")
        before = noted(alone)
        refused = program.get(f"{API}/audit/bundle")
        assert refused.status_code == 409
        assert refused.json()["detail"] == f"{MOST_EXPORTS} exports are under way already."
        # Nothing was handed out, and nothing is noted.
        assert noted(alone) == before == MOST_EXPORTS
        exports(place).stop()
        assert {each.result(60).status_code for each in waiting} == {500}
    assert not exports(place).running


def test_a_frame_is_a_kind_a_length_and_a_content(alone: Site) -> None:
    fill(alone, 10)
    wanted = task(alone.place, "bundle", details=False)
    whole = b"".join(made(wanted))
    with AuditProcess(wanted, lambda process: None) as process:
        stream = process._process.stdout
        assert stream is not None
        told = stream.read()
    kind, length = struct.unpack(">cI", told[:5])
    assert (kind, told[5 : 5 + length]) == (b"P", whole)
    assert told[5 + length :] == b"D\0\0\0\0"
