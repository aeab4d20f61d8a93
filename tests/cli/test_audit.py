"""``veiljoin audit``: what an auditor types, sees and gets as an exit status; and what a party exports."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from cli.audit import NOT_VERIFIED
from cli.main import main
from party.evidence import write_bundle, write_pack
from party.nodefile import write_node
from party.policy import DEFAULT_POLICY
from party.policydigest import note_policy
from psi.errors import CODES
from tests.party.evidence_pair import LogPair
from tests.party.jobs import job
from tests.party.standing_pair import Pair


@dataclass(frozen=True, slots=True)
class Exported:
    """Both bundles, both evidence packs of the job that ran, and that job's id."""

    folder: Path
    job: str

    @property
    def both(self) -> tuple[str, str]:
        """The bundles' paths."""
        return str(self.folder / "bank.veiljoin-log"), str(self.folder / "acme.veiljoin-log")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    """Two logs over a job that ran, and one that was agreed and not run."""
    folder = tmp_path_factory.mktemp("exported")
    pair = LogPair(tmp_path_factory.mktemp("stores"))
    pair.set_policy()
    contract = pair.agree(job())
    pair.run_audience(contract)
    pair.agree(job(purpose="not run"))
    for side, name in (("bank", "bank"), ("platform", "acme")):
        evidence = pair.evidence(side)
        evidence.note("eve", "whole_log")
        write_bundle(folder / f"{name}.veiljoin-log", evidence.whole())
        write_pack(folder / f"{name}-pack", evidence.pack(contract.job))
    yield Exported(folder, contract.job)
    pair.close()


def run(*arguments: str | Path) -> int:
    """Run the command in this process."""
    return main(["audit", *map(str, arguments)])


def fails(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[str, str]:
    """Run a command that ends with an error of the user's; returns sentence and hint."""
    assert run(*arguments) == CODES["bad_format"].exit
    said = capsys.readouterr()
    assert said.out == ""
    error, hint = said.err.splitlines()
    return error.removeprefix("Error: "), hint.removeprefix("Hint:  ")


# -- verify


def test_two_bundles_are_verified(exported: Exported, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", *exported.both) == 0
    said = capsys.readouterr()
    assert said.err == ""
    for words in (
        "bank.veiljoin-log: 26 entries hashed",
        "7 streams and messages equal in both logs",
        "1,280,220 bytes left the platform",
        "What this cannot prove",
    ):
        assert words in said.out
    assert said.out.splitlines()[-1].startswith("Verdict: passed.")


def test_one_bundle_says_what_only_two_would_show(
    exported: Exported, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("verify", exported.both[0], "--lang", "zh") == 0
    assert run("verify", exported.both[0]) == 0
    assert "entries dropped from its end show only against the partner's bundle" in capsys.readouterr().out


def test_packs_are_verified_by_their_folders(exported: Exported, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", exported.folder / "bank-pack", exported.folder / "acme-pack") == 0
    # Their bundles have one name; the report tells them apart all the same.
    said = capsys.readouterr().out
    assert "acme-pack: 20 entries hashed" in said
    assert "acme-pack is an evidence pack" in said.splitlines()[-1]


def test_report_for_machines(exported: Exported, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", *exported.both, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "passed"
    assert report["bundles"] == ["bank.veiljoin-log", "acme.veiljoin-log"]


def test_changed_entry_is_named(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = Path(exported.both[0]).read_bytes().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if b'"type":"budget_spent"' in line)
    lines[at] = lines[at].replace(b'"runs":1', b'"runs":0')
    changed = tmp_path / "bank.veiljoin-log"
    changed.write_bytes(b"".join(lines))
    assert run("verify", changed, exported.both[1]) == NOT_VERIFIED
    verdict = capsys.readouterr().out.splitlines()[-1]
    # The header is the first line, entry 0 the second.
    assert verdict.startswith(f"Verdict: FAILED. First problem: bank.veiljoin-log, entry {at - 1}:")
    assert run("verify", changed, "--json") == NOT_VERIFIED
    first = json.loads(capsys.readouterr().out)["first_problem"]
    assert (first["place"]["what"], first["place"]["number"]) == ("entry", at - 1)


def test_bundle_cut_short_fails(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Path(exported.both[0]).read_bytes()
    cut = tmp_path / "bank.veiljoin-log"
    cut.write_bytes(whole[: len(whole) // 2])
    assert run("verify", cut) == NOT_VERIFIED
    assert "bank.veiljoin-log" in capsys.readouterr().out.splitlines()[-1]


def test_identities_are_compared(exported: Exported, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", *exported.both, "--json") == 0
    known = [each["fingerprint"] for each in json.loads(capsys.readouterr().out)["identities"]]
    given = [option for each in known for option in ("--identity", each.upper().replace(" ", ":"))]
    assert run("verify", *exported.both, *given) == 0
    assert "give them with --identity" not in capsys.readouterr().out
    assert run("verify", *exported.both, *given[:2]) == NOT_VERIFIED
    verdict = capsys.readouterr().out.splitlines()[-1]
    assert "acme.veiljoin-log, line 1: the log is of none of the identities" in verdict
    with pytest.raises(SystemExit):
        run("verify", *exported.both, "--identity", "acme")
    assert "'acme' is no identity" in capsys.readouterr().err


def test_stricter_policy_is_held_against_contracts(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[limits]\nmin_group = 50\n\n[budget]\nruns = 10\n")
    assert run("verify", *exported.both, "--policy", policy) == 0
    policy.write_text("[limits]\nmin_group = 500\n")
    assert run("verify", *exported.both, "--policy", policy) == NOT_VERIFIED
    assert "min_group" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "sentence", "hint"),
    [
        (
            "[limits]\nmin_grup = 500\n",
            "There is no setting min_grup in [limits] of ",
            "did you mean min_group?",
        ),
        ('[limits]\nmin_group = "500"\n', "min_group in [limits] of ", "write a number"),
        ("limits = 3\n", "limits in ", "write [limits] on a line of its own"),
        ("[limits\n", "The policy file ", "write one key on a line, as in min_group = 50 under [limits]"),
    ],
)
def test_policy_that_says_nothing_is_refused(
    exported: Exported,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    sentence: str,
    hint: str,
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(text)
    error, shown = fails(capsys, "verify", exported.both[0], "--policy", policy)
    assert error.startswith(sentence)
    assert shown == hint


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "There is no file "),
        (b"", "line 1: the file is empty."),
        (b"PK\x03\x04 an archive\n", "line 1: the line is not canonical JSON."),
        (b'{"a":1}\n', "line 1: this is not the header of a log bundle."),
        (b'{"veiljoin_bundle":2}\n', "line 1: the bundle is not of version 1."),
        (b'{"veiljoin_bundle":1}\n', "line 1: in the header, log is missing."),
        (b'{"veiljoin_bundle":1', "line 1: the line is cut short or too long."),
    ],
)
def test_file_that_is_no_bundle_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, sentence: str
) -> None:
    path = tmp_path / "bank.veiljoin-log"
    if content is not None:
        path.write_bytes(content)
    commands: list[tuple[str | Path, ...]] = [
        ("verify", path),
        ("show", path),
        ("page", path, "--out", tmp_path / "page.html"),
    ]
    for command in commands:
        error, hint = fails(capsys, *command)
        assert sentence in error
        assert "bank.veiljoin-log" in error
        assert hint


def test_folder_that_is_no_pack_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error, _ = fails(capsys, "verify", tmp_path)
    assert error == f"{tmp_path} is a folder without the file pack.veiljoin-log."


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_file_that_may_not_be_read_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bank.veiljoin-log"
    path.touch(mode=0)
    error, _ = fails(capsys, "verify", path)
    assert "cannot be read: Permission denied" in error


def test_three_bundles_are_too_many(exported: Exported, capsys: pytest.CaptureFixture[str]) -> None:
    error, _ = fails(capsys, "verify", *exported.both, exported.both[0])
    assert error == "3 bundles are too many."


# -- show


def shown(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> list[str]:
    """Return the lines of ``show``, without the head and what stands below."""
    assert run("show", *arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    return [line for line in lines[1:] if line.lstrip()[:1].isdigit()]


def test_entries_are_shown_newest_last(exported: Exported, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, exported.both[0])
    assert [int(line.split()[0]) for line in lines] == list(range(26))
    assert lines[-1].endswith("Exported for an auditor: the whole log, 25 entries.")


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--type", "decision"], [11, 16]),
        (["--actor", "bob"], [5, 22]),
        (["--actor", "node:bank", "--type", "job_finish"], [20]),
        (["--since", "2026-11-22T12:00"], [22, 23, 24, 25]),
        (["--until", "2026-11-22T09:30:01"], [0, 1, 2]),
        (["--since", "2026-11-22T20:00+08:00", "--limit", "2"], [24, 25]),
        (["--limit", "3"], [23, 24, 25]),
    ],
)
def test_entries_can_be_filtered(
    exported: Exported, capsys: pytest.CaptureFixture[str], options: list[str], numbers: list[int]
) -> None:
    lines = shown(capsys, exported.both[0], *options)
    assert [int(line.split()[0]) for line in lines] == numbers


def test_entries_of_one_job_are_found_by_its_first_characters(
    exported: Exported, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("show", exported.both[1], "--job", exported.job[:4], "--json", "--limit", "0") == 0
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {entry["job"] for entry in entries} == {exported.job}
    assert {"job_accept", "stream", "result_read"} <= {entry["type"] for entry in entries}


def test_nothing_found_is_said(exported: Exported, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", exported.both[0], "--actor", "nobody") == 0
    assert capsys.readouterr().out == "There are no such entries.\n"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--type", "decisions"], "'decisions' is no type of entry."),
        (["--job", "xy"], "'xy' is not the beginning of a job's id."),
        (["--home", "somewhere"], "Which log is meant is not clear."),
    ],
)
def test_filters_that_mean_nothing_are_refused(
    exported: Exported, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    error, hint = fails(capsys, "show", exported.both[0], *options)
    assert error == sentence
    assert hint


def test_what_is_no_entry_is_not_shown(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = Path(exported.both[0]).read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"role":"bank"', b'"role":"tank"')
    path = tmp_path / "bank.veiljoin-log"
    path.write_bytes(b"".join(lines))
    error, _ = fails(capsys, "show", path)
    assert error == "bank.veiljoin-log, line 4, is not an entry of a log: role is not bank or platform."


# -- page


def test_page_is_made_again_from_a_pack(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    assert run("page", exported.folder / "bank-pack" / "pack.veiljoin-log", "--out", out) == 0
    assert exported.job[:8] in capsys.readouterr().out
    # The very page that came with the pack.
    assert out.read_bytes() == (exported.folder / "bank-pack" / "index.html").read_bytes()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    error, _ = fails(capsys, "page", exported.folder / "bank-pack", "--out", out)
    assert error == f"There is a file {out} already."


def test_page_of_a_whole_bundle_needs_the_job(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    error, hint = fails(capsys, "page", exported.both[0], "--out", out)
    assert error == "The bundle is of a whole log, so the job has to be named."
    assert "--job" in hint
    assert run("page", exported.both[0], "--job", exported.job[:8], "--out", out, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"page": str(out), "job": exported.job}


def test_page_that_cannot_be_written_is_one_sentence(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "nowhere" / "page.html"
    error, _ = fails(capsys, "page", exported.folder / "bank-pack", "--out", out)
    assert error == f"{out} cannot be written: No such file or directory."


# -- export


def test_pack_holds_what_an_auditor_asks_for(exported: Exported) -> None:
    folder = exported.folder / "bank-pack"
    assert {path.name for path in folder.iterdir()} == {
        "index.html",
        "pack.veiljoin-log",
        "contract.json",
        "card.en.txt",
        "card.zh.txt",
        "approvals.json",
        "transcript.json",
        "decisions.json",
    }
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    digest = sha256((folder / "contract.json").read_bytes()).hexdigest()
    assert digest in (folder / "index.html").read_text(encoding="utf-8")
    sent = json.loads((folder / "transcript.json").read_text(encoding="utf-8"))
    assert sum(each["shared"]["bytes"] for each in sent if each["shared"]["from"] == "bank") == 1_280_220


@pytest.fixture
def home(tmp_path: Path) -> tuple[Path, str]:
    """The home of a bank's node, and a job that it has signed and proposed."""
    pair = Pair(tmp_path)
    try:
        for side in (pair.bank, pair.platform):
            side.node.log.ensure()
            note_policy(side.node.home.store, DEFAULT_POLICY, pair.clock().timestamp())
        platform = pair.platform.node.log.cosigning()
        pair.bank.node.log.cosigning().learn("acme", pair.platform.identity, platform.keys())
        pair.connect()
        record = pair.draft(untried=True)
        pair.talk()
        write_node(pair.bank.folder, pair.bank.node.file)
    finally:
        pair.close()
    return pair.bank.folder, record.id


def test_node_exports_its_log(
    home: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, job_id = home
    out = tmp_path / "out.veiljoin-log"
    assert run("export", "--home", folder, "--out", out, "--as", "eve") == 0
    assert f"{out}: the log of the bank bank, " in capsys.readouterr().out
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert run("verify", out) == 0
    assert "1 contracts with their cards" in capsys.readouterr().out
    # Who exported it is in it.
    assert shown(capsys, out)[-1].split()[3] == "eve"
    assert len(shown(capsys, "--home", folder, "--job", job_id[:8])) >= 3
    error, _ = fails(capsys, "export", "--home", folder, "--out", out)
    assert error == f"There is something at {out} already."


def test_node_exports_a_pack_as_an_archive(
    home: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, job_id = home
    out = tmp_path / "job.zip"
    arguments = ("export", "--home", folder, "--out", out, "--job", job_id[:8], "--details", "--as", "eve")
    assert run(*arguments, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["job"], told["details"]) == (job_id, True)
    with zipfile.ZipFile(out) as archive:
        archive.extractall(tmp_path)
    assert run("verify", tmp_path / "job") == 0
    page = (tmp_path / "job" / "index.html").read_text(encoding="utf-8")
    assert "The signature of the platform under the contract is missing" in page


def test_job_that_is_not_there_is_not_exported(
    home: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "job"
    error, _ = fails(capsys, "export", "--home", home[0], "--out", out, "--job", "ffff0000", "--as", "eve")
    assert error == "There is no job ffff0000."
    assert not out.exists()


def test_export_into_a_folder_that_is_not_there_is_one_sentence(
    home: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "nowhere" / "x.veiljoin-log"
    error, _ = fails(capsys, "export", "--home", home[0], "--out", out, "--as", "eve")
    assert error == f"The folder {out.parent} cannot be written: No such file or directory."
