"""The commands of enrolment as people type them, against a bank that listens in this process."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import client.doctor
import client.enrolment
from cli.main import main
from party.node import Node
from server.enrolment import EnrolmentListener
from server.listener import Listener
from tests.e2e.ports import free_ports

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask often, wait briefly."""
    monkeypatch.setattr(client.enrolment, "ASK_EVERY", 0.05)
    monkeypatch.setattr(client.enrolment, "STEP_SECONDS", 2.0)
    monkeypatch.setattr(client.doctor, "STEP_SECONDS", 2.0)


@pytest.fixture
def bank(tmp_path: Path, capsys: Capture) -> Path:
    """A bank's home on two free ports."""
    ports = [f"127.0.0.1:{free_ports()}" for _ in range(2)]
    home = tmp_path / "bank"
    assert run("server", "init", "--home", home, "--listen", ports[0], "--enrol-listen", ports[1]) == 0
    said = capsys.readouterr().out
    assert ports[0] in said
    assert ports[1] in said
    return home


def run(*arguments: object) -> int:
    """Run the command in this process; returns its exit status."""
    return main([str(each) for each in arguments])


@contextlib.contextmanager
def listening(home: Path, ahead: float = 0.0) -> Iterator[None]:
    """The bank's two ports, in a thread; its clock may be ``ahead``."""
    loop, ready, end = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        with Node.open(home) as node:
            tls = node.credentials.material()

            async def idle(_: object) -> None:
                await asyncio.sleep(600)

            def about() -> tuple[str, float]:
                return "veiljoin test", node.clock().timestamp() + ahead

            ports = Listener(tls, node.partners, idle, idle, about), EnrolmentListener(tls, node.enrolments())
            await ports[0].start(str(node.ports.listen))
            await ports[1].start(str(node.ports.enrol_listen))
            ready.set()
            await end.wait()
            for port in ports:
                await port.stop(0)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(80)
        yield
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(80)
        loop.close()


def invited(home: Path, capsys: Capture, partner: str = "acme") -> str:
    """Invite a partner and return the token, which is alone on standard output."""
    capsys.readouterr()
    assert run("server", "invite", partner, "--home", home, "--as", "ann") == 0
    told = capsys.readouterr()
    (token,) = told.out.split()
    assert token not in told.err
    return token


def confirm_when_shown(home: Path, partner: str = "acme") -> threading.Thread:
    """Confirm a request as soon as it waits, in a thread."""

    def work() -> None:
        with Node.open(home) as node:
            enrolments = node.enrolments()
            for _ in range(1_600):
                for each in enrolments.pending():
                    enrolments.confirm(partner, each.fingerprint, "ben")
                    return
                threading.Event().wait(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def join(bank: Path, home: Path, capsys: Capture) -> str:
    """Join with a fresh token and return what was printed."""
    token = invited(bank, capsys)
    confirming = confirm_when_shown(bank)
    assert run("client", "join", token, "--home", home, "--wait", 80) == 0
    confirming.join(80)
    return capsys.readouterr().out


def findings(capsys: Capture) -> dict[str, dict[str, Any]]:
    """What the doctor printed as JSON, by check."""
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {row["check"]: row for row in rows}


def test_from_nothing_to_a_partner_with_access(bank: Path, tmp_path: Path, capsys: Capture) -> None:
    home = tmp_path / "acme"
    with listening(bank):
        said = join(bank, home, capsys)
        assert "acme has joined bank" in said
        assert run("client", "doctor", "--home", home) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 11
        assert all(line.startswith("ok ") for line in lines)
        assert run("server", "partners", "--home", bank) == 0
        assert "has access until" in capsys.readouterr().out
        assert run("server", "revoke", "acme", "--home", bank, "--as", "ann") == 0
        capsys.readouterr()
        assert run("client", "doctor", "--home", home, "--json") == 2
        found = findings(capsys)
    assert found["tls"]["verdict"] == "ok"
    assert found["access"] == {
        "check": "access",
        "verdict": "failed",
        "text": "The bank does not know our certificate.",
        "hint": "join again with a new token from the bank",
    }
    assert found["clock"]["verdict"] == "skipped"
    # What only this user may read.
    for folder in (bank, home):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for name in ("node.toml", "node.key", "store.sqlite"):
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_a_partner_that_was_revoked_joins_again(bank: Path, tmp_path: Path, capsys: Capture) -> None:
    home = tmp_path / "acme"
    with listening(bank):
        join(bank, home, capsys)
        assert run("server", "revoke", "acme", "--home", bank) == 0
        join(bank, home, capsys)
        assert run("client", "doctor", "--home", home) == 0
        # The home is acme's for good.
        token = invited(bank, capsys, "rival")
        assert run("client", "join", token, "--home", home) == 2
        assert "the token is for 'rival'" in capsys.readouterr().err


def test_the_doctor_says_what_to_mend(bank: Path, tmp_path: Path, capsys: Capture) -> None:
    home = tmp_path / "acme"
    with listening(bank, ahead=86_400):
        join(bank, home, capsys)
        assert run("client", "doctor", "--home", home, "--json") == 2
        found = findings(capsys)
    assert found["clock"]["text"].startswith("This machine's clock is 8")
    assert "behind" in found["clock"]["text"]
    assert run("client", "doctor", "--home", home, "--json") == 2
    found = findings(capsys)
    assert found["port"]["verdict"] == "failed"
    assert found["tls"] == {"check": "tls", "verdict": "skipped", "text": "port", "hint": ""}
    (home / "policy.toml").write_text("[limits]\nmin_gruop = 5\n")
    assert run("client", "doctor", "--home", home, "--lang", "zh") == 2
    said = capsys.readouterr().out
    assert "min_gruop" in said
    assert "失败" in said
    assert run("client", "doctor", "--home", tmp_path / "nowhere") == 2
    assert not (tmp_path / "nowhere").exists()


def test_the_doctor_notices_who_opens_tls(bank: Path, tmp_path: Path, capsys: Capture) -> None:
    home, other = tmp_path / "acme", tmp_path / "other"
    with listening(bank):
        join(bank, home, capsys)
    with Node.open(bank) as node:
        listen, enrol = str(node.ports.listen), str(node.ports.enrol_listen)
    # Another bank's node at the same address.
    assert run("server", "init", "--home", other, "--listen", listen, "--enrol-listen", enrol) == 0
    capsys.readouterr()
    with listening(other):
        assert run("client", "doctor", "--home", home, "--json") == 2
    found = findings(capsys)
    assert "is not the bank of our enrolment" in found["tls"]["text"]
    assert found["access"]["verdict"] == "skipped"


def test_who_invited_and_a_wrong_fingerprint_let_nobody_in(
    bank: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(bank):
        token = invited(bank, capsys)
        # From standard input: neither in the shell's history nor in the list of processes.
        monkeypatch.setattr(sys, "stdin", io.StringIO(token + "\n"))
        assert run("client", "join", "-", "--home", tmp_path / "acme", "--wait", 0, "--json") == 5
    event = json.loads(capsys.readouterr().out.splitlines()[0])
    assert event["event"] == "fingerprint"
    shown = event["fingerprint"]
    confirm = ("server", "confirm", "acme", "--home", bank)
    assert run(*confirm, "--as", "ann", "--fingerprint", shown) == 3
    assert run(*confirm, "--as", "ben", "--fingerprint", shown[::-1]) == 4
    assert run(*confirm, "--as", "ben", "--json") == 2
    assert "no terminal" in capsys.readouterr().err
    assert run("server", "partners", "--home", bank, "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)["partners"]
    assert row["state"] == "pending"
    assert row["fingerprint"].replace(" ", "") == shown
    assert run(*confirm, "--as", "ben", "--fingerprint", shown.upper(), "--lang", "zh") == 0
    assert "acme" in capsys.readouterr().out
    assert run(*confirm, "--as", "ben", "--fingerprint", shown) == 2
    assert "confirmed already" in capsys.readouterr().err


def test_what_is_typed_wrong_is_named(bank: Path, tmp_path: Path, capsys: Capture) -> None:
    token = invited(bank, capsys)
    wrong = token[:20] + ("A" if token[20] != "A" else "B") + token[21:]
    for arguments, status, said in (
        (("client", "join", wrong, "--home", tmp_path / "x"), 2, "damaged"),
        (("client", "join", token, "--home", tmp_path / "x"), 5, "did not answer"),
        (("server", "invite", "Acme", "--home", bank), 2, "'Acme'"),
        (("server", "invite", "acme", "--home", bank, "--as", ""), 2, "person who acts"),
        (("server", "revoke", "nobody", "--home", bank), 2, "'nobody'"),
        (("server", "refuse", "acme", "--home", bank), 2, "No request"),
        (("server", "partners", "--home", tmp_path / "none"), 2, "not the home of a node"),
        (("server", "init", "--home", bank, "--listen", "127.0.0.1:1"), 2, "already"),
        (("server", "init", "--home", tmp_path / "y", "--listen", "0.0.0.0:1"), 2, "No partner can dial"),
        (("server", "init", "--home", tmp_path / "y", "--listen", "x"), 2, "no address"),
        (("client", "doctor", "--home", bank), 2, "home of a bank"),
    ):
        assert run(*arguments) == status
        told = capsys.readouterr()
        assert said in told.err + told.out
        assert token[4:40] not in told.err + told.out
    assert not (tmp_path / "y").exists()
    assert not os.path.exists(tmp_path / "x" / "node.toml")


@pytest.mark.parametrize("command", ["server", "client"])
def test_the_help_teaches(command: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        run(command, "--help")
    said = capsys.readouterr().out
    assert said.count(f"veiljoin {command} ") >= 3
    assert "fingerprint" in said


def test_the_doctor_looks_at_datasets_and_disk(
    bank: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, users = tmp_path / "acme", tmp_path / "users.csv"
    users.write_text("phone,city\n13800138000,a\n")
    (tmp_path / "rule.toml").write_text(
        '[[standing]]\nname = "lists"\nkinds = ["audience"]\ndatasets = ["user"]\n'
    )
    with listening(bank):
        join(bank, home, capsys)
        add = ("dataset", "add", "users", users, "--column", "phone", "--identifier", "phone", "--home", home)
        assert run(*add) == 0
        capsys.readouterr()
        assert run("client", "doctor", "--home", home, "--json") == 0
        assert findings(capsys)["dataset users"]["verdict"] == "ok"
        # A file that was exchanged, a rule that covers nothing, a disk that is nearly full.
        users.write_text("mobile,city\n13800138000,a\n")
        (tmp_path / "rule.toml").rename(home / "policy.toml")
        monkeypatch.setattr(client.doctor, "FREE_BYTES", 1024**5)
        assert run("client", "doctor", "--home", home, "--json") == 2
        found = findings(capsys)
        users.unlink()
        assert run("client", "doctor", "--home", home, "--json") == 2
        gone = findings(capsys)
    assert "columns" in found["dataset users"]["text"]
    assert "--replace" in found["dataset users"]["hint"]
    assert "'user', which is not registered" in found["policy"]["text"]
    assert "GiB free" in found["disk"]["text"]
    assert gone["dataset users"]["verdict"] == "failed"
    assert str(users) in gone["dataset users"]["text"]
