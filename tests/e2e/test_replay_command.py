"""``veiljoin audit replay`` and ``new-key`` over a home with a log: what they say, and how they end."""

from __future__ import annotations

import json
import re
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from audit import bundle
from audit.entry import Draft
from cli.main import main
from cli.replay_words import NAMES, SENT
from federated.messages import Said, SumStream
from party.auditlog import AuditLog
from party.node import Node
from party.seedkeeping import AuditorKey, read_auditor_key, write_auditor_key
from psi.messages import Stream
from tests.e2e.ports import free_ports
from tests.e2e.replayable import JOB, MATCH_ROWS, Kept, match_table, play
from tests.party.sum_sides import write_csv

Capture = pytest.CaptureFixture[str]
SIDE = "bank"


@dataclass(frozen=True)
class Site:
    """A bank's home in which an honest run is kept and logged, its auditor's key file, and its data."""

    home: Path
    key: Path
    data: Path

    def replay(self, *more: object, data: Path | None = None) -> int:
        """Run the command; returns its exit status."""
        arguments = ("--input", data or self.data, "--key", self.key, "--home", self.home, *more)
        return run("audit", "replay", JOB[:6], *arguments)


def run(*arguments: object) -> int:
    """Run the command in this process; returns its exit status."""
    return main([str(each) for each in arguments])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """An honest audience, kept by both sides."""
    return play(match_table("audience"), MATCH_ROWS, tmp_path_factory.mktemp("kept"))


@pytest.fixture
def site(kept: Kept, tmp_path: Path, capsys: Capture) -> Site:
    """The bank's site."""
    home, key = tmp_path / "bank", tmp_path / "auditor.pem"
    assert run("server", "init", "--home", home, "--listen", f"127.0.0.1:{free_ports()}") == 0
    capsys.readouterr()
    shutil.copytree(kept.runs[SIDE].folder, home / "kept" / JOB / "1")
    write_auditor_key(key, kept.keys[SIDE])
    logged(home, kept.logs[SIDE])
    return Site(home, key, kept.data[SIDE])


def logged(home: Path, records: list[dict[str, Any]]) -> None:
    """Write records of streams into the log of a home."""
    with Node.open(home) as node:
        log = AuditLog(node.home.store)
        log.append([Draft("stream", "node:bank", JOB, shared=each) for each in records], 0.0)
        assert log.size() > len(records)


def exported(kept: Kept, path: Path, records: list[dict[str, Any]], home: Path) -> Path:
    """Write a bundle with these records of streams."""
    with Node.open(home) as node:
        log = AuditLog(node.home.store)
        facts = log.facts()
        assert facts is not None
        log.append([Draft("stream", "node:bank", JOB, shared=each) for each in records], 0.0)
        entries = [(leaf, data) for _, leaf, data in log.entries(facts.epoch)]
    header = bundle.Header(
        facts.origin,
        facts.role,
        facts.name,
        facts.identity.hex(),
        facts.log_key,
        facts.witness_key,
        facts.proof.hex(),
        len(entries),
        0,
    )
    path.write_bytes(b"".join(bundle.write(header, entries, ())))
    return path


def test_an_honest_run_is_said_to_be_equal(site: Site, capsys: Capture) -> None:
    assert site.replay() == 0
    said = capsys.readouterr().out
    assert re.search(rf"Job {JOB[:8]}, run 1, the bank's side, in the log as session [0-9a-f]{{32}}", said)
    assert "equal          sent      the receiver's masked points (60 elements, 1,920 bytes)" in said
    assert "equal          received  the sender's masked points (70 elements, 2,240 bytes)" in said
    assert "All that the log says was sent is what seed, input and received messages give." in said
    assert list(site.home.glob("replay-*")) == []


def test_the_same_in_chinese_and_as_json(site: Site, capsys: Capture) -> None:
    assert site.replay("--lang", "zh") == 0
    said = capsys.readouterr().out
    assert "日志所记的全部发送内容" in said
    assert not re.search("[a-z]{3}", re.sub("[0-9a-f]{32}", "", said).lower())
    assert site.replay("--json", "--run", "1") == 0
    told = json.loads(capsys.readouterr().out)
    (only,) = told["runs"]
    assert (told["job"], only["verdict"], only["first"], only["side"]) == (JOB, "equal", None, "bank")
    assert {each["outcome"] for each in only["streams"]} == {"equal"}
    assert only["streams"][0]["logged"] == only["streams"][0]["computed"]


def test_what_the_partner_logged_is_compared_as_well(site: Site, kept: Kept, capsys: Capture) -> None:
    """A party whose own log was made to fit its seed is convicted by what its partner says arrived."""
    false = [
        {**each, "sha256": "0" * 64} if each["name"] == "receiver_points" else each
        for each in kept.logs["platform"]
    ]
    other = site.home.parent / "other"
    assert run("server", "init", "--home", other, "--listen", f"127.0.0.1:{free_ports()}") == 0
    log = exported(kept, site.home.parent / "platform.veiljoin-log", false, other)
    capsys.readouterr()
    assert site.replay("--log", log) == 6
    said = capsys.readouterr().out
    assert "DIFFERS        sent      the receiver's masked points" in said
    assert "The bytes sent are not those that seed and input give: the receiver's masked points." in said
    assert "a scalar of its own per row" in said


def test_another_file_is_told(site: Site, capsys: Capture) -> None:
    header, rows = MATCH_ROWS[SIDE]
    other = write_csv(site.home.parent / "other.csv", header, rows[1:])
    assert site.replay(data=other) == 6
    said = capsys.readouterr().out
    assert "The bank announced something else than this seed and this input give." in said
    assert "Bring the file as it was when the job ran" in said


def test_messages_that_were_exchanged_are_told(site: Site, capsys: Capture) -> None:
    journal = site.home / "kept" / JOB / "1" / "journal"
    last = sorted(journal.iterdir())[-2:]
    for path in last:
        path.unlink()
    assert site.replay() == 6
    said = capsys.readouterr().out
    assert "The kept messages are not those that the log names: the tokens of the receiver's points." in said
    assert "Nothing can be said of what the bank sent" in said


def test_a_wrong_call_is_told_in_one_sentence(site: Site, capsys: Capture, tmp_path: Path) -> None:
    elsewhere = replace(site, home=tmp_path / "nowhere")
    other = tmp_path / "other.pem"
    assert run("audit", "new-key", other) == 0
    capsys.readouterr()
    bad = tmp_path / "bad.veiljoin-log"
    bad.write_text("nothing\n")
    nobody = tmp_path / "no.pem"
    calls: list[tuple[Callable[[], int], str]] = [
        (lambda: elsewhere.replay(), "There is no folder"),
        (lambda: site.replay("--run", "2"), "Of job 55555555 no run 2 is kept"),
        (lambda: run("audit", "replay", "9", *rest(site)), "No run of a job '9' is kept for the auditor"),
        (lambda: run("audit", "replay", "", *rest(site)), "No run of a job '' is kept for the auditor"),
        (lambda: replace(site, key=nobody).replay(), "The auditor's key file"),
        (lambda: replace(site, key=other).replay(), "was sealed to the auditor's key"),
        (lambda: site.replay("--log", tmp_path / "no.log"), "There is no file"),
        (lambda: site.replay("--log", bad), "line 1"),
        (lambda: site.replay(data=tmp_path / "no.csv"), "no.csv"),
    ]
    for call, sentence in calls:
        assert call() == 2
        told = capsys.readouterr().err.strip().splitlines()
        assert any(sentence in line for line in told), (sentence, told)


def rest(site: Site) -> tuple[object, ...]:
    return ("--input", site.data, "--key", site.key, "--home", site.home)


def test_a_new_key(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "auditor.pem"
    assert run("audit", "new-key", path) == 0
    said = capsys.readouterr().out
    key: AuditorKey = read_auditor_key(path)
    assert f'[audit]\nkey = "{key.public.hex()}"' in said
    assert key.reveal().hex() not in said
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert run("audit", "new-key", path) == 2
    assert "is there already" in capsys.readouterr().err
    assert run("audit", "new-key", tmp_path / "zh.pem", "--lang", "zh", "--json") == 0
    assert set(json.loads(capsys.readouterr().out)) == {"file", "public"}


def test_every_message_of_the_log_has_its_words(kept: Kept) -> None:
    names = {each.name.lower() for each in (*Stream, *SumStream, *Said)}
    assert names | {"receiver_announce", "sender_announce"} <= set(NAMES)
    sent = names - {name for name in NAMES if "announce" in name or "commitment" in name}
    assert sent == set(SENT)
