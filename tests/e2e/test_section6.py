"""What went wrong in other systems of this kind, each with the better behaviour here (SECURITY.md, section 6).

Two of them have files of their own: a side that is killed (test_kill.py), and what a crash leaves on disk
(test_secrets.py). That the package is small and builds without a network is in tests/test_packaging.py.
"""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from party.rehearsal import Plan
from party.synthetic import Pair
from psi.errors import CODES
from tests.e2e.command import NOTICED, PATIENCE, Event, Running, Sandbox, snapshot
from tests.e2e.nodes import configuration, drafted, node
from tests.e2e.oracle import File, Oracle, read_list
from tests.e2e.ports import free_ports


def write(path: Path, header: list[str], rows: list[list[str]]) -> Path:
    """Write a CSV file, quoting where it is needed."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def others(count: int, start: int = 0) -> list[list[str]]:
    """Numbers of people who are only there to make a set large enough."""
    return [[f"139{start + number:08d}"] for number in range(count)]


# -- a file path with a space or a semicolon reached a shell


HOSTILE = "a b; touch pwned; 'c' \"d\" $(touch pwned) `touch pwned` && 客户 {x} %s #1"


def test_paths_are_taken_as_they_are(sandbox: Sandbox, small: Pair) -> None:
    folder = sandbox.folder / HOSTILE
    folder.mkdir()
    sandbox.out = folder / "results; here"
    bank, platform = folder / f"{HOSTILE}.csv", folder / "platform;x.csv"
    bank.write_bytes(small.bank.read_bytes())
    platform.write_bytes(small.platform.read_bytes())
    # Whoever cuts a name at the space, or at the semicolon, reads one of these.
    for decoy in (folder / "a", folder / "platform", sandbox.cwd / "a", sandbox.folder / "a"):
        write(decoy, ["mobile", "phone"], [[*cell, *cell] for cell in others(100)])
    decoys = snapshot(sandbox.cwd)
    job = sandbox.job(name="job; rm -rf x.toml")
    sandbox.rehearse(job, bank, platform).require_done()
    _, rows = read_list(sandbox.out / "platform" / "matches.csv")
    oracle = Oracle("phone", File(small.bank, "mobile"), File(small.platform, "phone"))
    assert rows == oracle.list_of("platform")
    assert snapshot(sandbox.cwd) == decoys
    assert not list(sandbox.folder.rglob("pwned"))


# -- padding, other case or a leading zero matched nothing; empty keys matched each other; quoted commas


def test_spellings_of_one_number_meet(sandbox: Sandbox) -> None:
    spellings = [
        " 13800000001 ", "\u300013800000002", "013800000003", "+8613800000004", "008613800000005",
        "138-0000-0006", "13800000007.0", "１３８００００００08", "'13800000009", "138 0000 0010\u200b",
    ]  # fmt: skip
    plain = [[f"138{number:08d}"] for number in range(1, 11)]
    bank = write(sandbox.folder / "bank.csv", ["mobile"], [*plain, *others(60)])
    rows = [*([cell] for cell in spellings), *others(60, start=30)]
    platform = write(sandbox.folder / "platform.csv", ["phone"], rows)
    sandbox.rehearse(sandbox.job(policy={"min_group": 10}), bank, platform).require_done()
    _, found = read_list(sandbox.out / "platform" / "matches.csv")
    assert [cell for cell, _ in found] == [*spellings, *(cell for (cell,) in others(30, start=30))]


def test_addresses_meet_in_any_case(sandbox: Sandbox) -> None:
    fill = [[f"user{number}@mail.example"] for number in range(60)]
    bank = write(sandbox.folder / "bank.csv", ["mail"], [["Ann.Lee@Mail.Example"], *fill])
    platform = write(sandbox.folder / "platform.csv", ["mail"], [[" ann.lee@mail.example"], *fill])
    job = sandbox.job(identifier="email", bank={"identifier": "mail"}, platform={"identifier": "mail"})
    sandbox.rehearse(job, bank, platform).require_done()
    _, found = read_list(sandbox.out / "platform" / "matches.csv")
    assert found[0] == (" ann.lee@mail.example", "")
    assert len(found) == 61


def test_keys_that_only_look_like_numbers_keep_their_zeros(sandbox: Sandbox) -> None:
    fill = [[f"K{number}"] for number in range(60)]
    bank = write(sandbox.folder / "bank.csv", ["key"], [["007"], ["42"], ["Case"], *fill])
    platform = write(sandbox.folder / "platform.csv", ["key"], [["7"], ["42"], ["case"], ["007"], *fill])
    job = sandbox.job(identifier="opaque", bank={"identifier": "key"}, platform={"identifier": "key"})
    sandbox.rehearse(job, bank, platform).require_done()
    _, found = read_list(sandbox.out / "platform" / "matches.csv")
    assert [cell for cell, _ in found] == ["42", "007", *(cell for (cell,) in fill)]


@pytest.mark.parametrize("form", ["opaque", "sha256:phone:cn11"])
def test_empty_cells_match_nobody(sandbox: Sandbox, form: str) -> None:
    nothing = [[cell, "x"] for cell in ("", " ", "NULL", "null", "-", "n/a", "None", "\u3000", "")]
    bank = write(
        sandbox.folder / "bank.csv", ["key", "more"], [*nothing, *([cell, "x"] for (cell,) in others(60))]
    )
    platform = write(
        sandbox.folder / "platform.csv",
        ["key", "more"],
        [*nothing, *([cell, "x"] for (cell,) in others(60, start=500))],
    )
    job = sandbox.job(identifier=form, bank={"identifier": "key"}, platform={"identifier": "key"})
    sandbox.rehearse(job, bank, platform).require_done()
    result = json.loads((sandbox.out / "result.json").read_text(encoding="utf-8"))
    assert result["totals"] == {"bank_persons": 60, "platform_persons": 60, "matched": 0}
    for party in result["parties"].values():
        assert sum(party["rejected"].values()) == len(nothing)


def test_quoted_cells_are_one_cell(sandbox: Sandbox) -> None:
    names = ["Lee, Ann", 'a "b" c', "two\nlines", "semi;colon", ",,,", '""', "  ", "王，小明"]
    rows = [[names[number % len(names)], f"139{number:08d}"] for number in range(400)]
    bank = write(sandbox.folder / "bank.csv", ["name, first", "mobile"], rows)
    # One column whose cells need quoting themselves, and some persons twice.
    platform = write(
        sandbox.folder / "platform.csv",
        ["phone", "note"],
        [[f"139-{number % 300:08d}", names[number % len(names)]] for number in range(350)],
    )
    sandbox.rehearse(sandbox.job(), bank, platform).require_done()
    result = json.loads((sandbox.out / "result.json").read_text(encoding="utf-8"))
    assert result["totals"] == {"bank_persons": 400, "platform_persons": 300, "matched": 300}
    assert result["parties"]["platform"]["duplicates"] == 50
    assert not any(party["rejected"] for party in result["parties"].values())


# -- a progress callback that was accepted and never called


def test_progress_is_reported_as_rows_are_done(sandbox: Sandbox, large: tuple[Path, Path]) -> None:
    finished = sandbox.rehearse(sandbox.job(), *large, "--json").require_done()
    for side in ("bank", "platform"):
        own = [event for event in finished.events if event.get("side") == side]
        phases = [event["phase"] for event in own if event["event"] == "phase"]
        assert list(dict.fromkeys(phases))[-4:] == ["read", "order", "exchange", "write"]
        for phase in ("read", "exchange"):
            (total,) = {
                e["total"] for e in own if e["event"] == "phase" and e["phase"] == phase and e["total"]
            }
            done = [e["done"] for e in own if e["event"] == "progress" and e["phase"] == phase]
            assert done == sorted(done)
            assert len(set(done)) > 1
            # The total of a phase that reads a file is an estimate from its size.
            assert done[-1] == pytest.approx(total, rel=0.02)


def test_a_terminal_shows_rates(sandbox: Sandbox, large: tuple[Path, Path]) -> None:
    shown = on_a_terminal(sandbox, sandbox.arguments(sandbox.job(), *large))
    assert re.search(r"[\d,]+ rows/s", shown)
    for side in ("bank", "platform"):
        assert f"{side} " in shown
    assert "masking the partner's rows" in shown


def on_a_terminal(sandbox: Sandbox, arguments: list[str | Path]) -> str:
    """Run the command with its standard error on a terminal and return what that showed."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=slave,
        cwd=sandbox.cwd,
        env=sandbox.environment("terminal", [], {"TERM": "xterm", "COLUMNS": "160"}),
    )
    os.close(slave)
    parts: list[bytes] = []

    def read() -> None:
        try:
            while part := os.read(master, 65_536):
                parts.append(part)
        except OSError:
            return  # how a terminal says that nobody writes to it any more

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        reader.join(PATIENCE)
        os.close(master)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(parts).decode(errors="replace"))


# -- an output folder that doesn't exist found out about only at the end of the run


def test_a_missing_output_folder_is_made(sandbox: Sandbox, small: Pair) -> None:
    sandbox.out = sandbox.folder / "not" / "there" / "yet"
    sandbox.rehearse(sandbox.job(), small.bank, small.platform).require_done()
    assert (sandbox.out / "result.json").exists()


def test_an_output_folder_that_cannot_be_used_is_told_before_any_work(sandbox: Sandbox, small: Pair) -> None:
    blocker = sandbox.folder / "blocker"
    blocker.write_text("in the way")
    finished = sandbox.rehearse(
        sandbox.job(), small.bank, small.platform, "--json", "--out", blocker / "results"
    )
    assert finished.status == CODES["unwritable"].exit
    assert [event["event"] for event in finished.events] == ["failed"]


# -- who starts first; a peer that never starts


@pytest.fixture
def plan(sandbox: Sandbox, small: Pair) -> Plan:
    """A job whose parties the test starts itself."""
    return drafted(sandbox, sandbox.job(), small.bank, small.platform)


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    return free_ports()


def result_of(running: Running) -> Event:
    """The result of a party, which must not fail."""
    return running.wait_for(lambda event: event["event"] == "result")


@pytest.mark.parametrize("first", ["bank", "platform"])
def test_either_side_may_start_first(sandbox: Sandbox, plan: Plan, free_port: int, first: str) -> None:
    address = f"127.0.0.1:{free_port}"
    second = "platform" if first == "bank" else "bank"
    with ExitStack() as stack:
        early = stack.enter_context(node(sandbox, configuration(sandbox, plan, first, address)))
        if first == "bank":
            early.wait_for(lambda event: event["event"] == "listening")
        else:
            # Nobody listens yet. Long enough for its back-off to have grown as far as it does.
            time.sleep(3)
        late = stack.enter_context(node(sandbox, configuration(sandbox, plan, second, address)))
        nodes = {first: early, second: late}
        up = nodes["bank"].wait_for(lambda event: event["event"] == "listening")
        agreed = nodes["platform"].wait_for(
            lambda event: event["event"] == "phase" and event["phase"] == "agree"
        )
        for each in nodes.values():
            result_of(each)
        # Who waited does not go on waiting by a back-off once the other one is there. From the later of both
        # starts a process needs a second or two for itself on a busy machine.
        waited = nodes["platform"].arrived(agreed) - max(nodes["bank"].arrived(up), nodes["platform"].started)
        assert waited < 20


@pytest.mark.parametrize("side", ["bank", "platform"])
def test_a_peer_that_never_starts_is_noticed(sandbox: Sandbox, plan: Plan, free_port: int, side: str) -> None:
    address = f"127.0.0.1:{free_port}"
    alone = configuration(sandbox, plan, side, address, patience=1.0)
    with node(sandbox, alone) as running:
        told = running.wait_for(lambda event: event["event"] == "error")
        assert running.finish(NOTICED).status == CODES["peer_absent"].exit
    assert told["code"] == "peer_absent"
    assert (
        told["message"]
        == {
            "bank": f"The platform did not connect to {address} within 1 seconds.",
            "platform": f"The bank did not answer at {address} within 1 seconds.",
        }[side]
    )
    assert told["hint"]
    assert not (sandbox.folder / "run").exists()


# -- every run left a trace file


def test_a_run_leaves_its_results_and_nothing_else(sandbox: Sandbox, small: Pair) -> None:
    before = snapshot(small.bank.parent)
    sandbox.rehearse(sandbox.job(), small.bank, small.platform).require_done()
    assert sandbox.leftovers() == []
    assert snapshot(small.bank.parent) == before
    assert sorted(snapshot(sandbox.out)) == [
        "bank",
        "bank/bank.veiljoin-log",
        "bank/rejects.csv",
        "bank/result.json",
        "platform",
        "platform/matches.csv",
        "platform/matches.parquet",
        "platform/platform.veiljoin-log",
        "platform/rejects.csv",
        "platform/result.json",
        "result.json",
    ]
