"""``veiljoin job``, ``dataset`` and ``policy`` over the homes of standing nodes that don't run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.main import main
from party.nodefile import write_node
from party.workroom import Workroom
from tests.e2e.command import toml
from tests.party.standing_pair import TABLE, Pair
from tests.party.test_agent import RULE

Command = Callable[..., str]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two nodes that greeted once, with their settings in their homes."""
    both = Pair(tmp_path, RULE)
    for side in (both.bank, both.platform):
        write_node(side.folder, side.node.file)
    both.connect()
    yield both
    both.close()


@pytest.fixture
def command(pair: Pair, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in the bank's home, or in the one that is given; returns what it printed, errors included."""

    def run(*arguments: str | Path, home: Path | None = None, status: int = 0) -> str:
        told = main([*map(str, arguments), "--home", str(home or pair.bank.folder)])
        out = capsys.readouterr()
        assert told == status, out.out + out.err
        return out.out + out.err

    return run


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    """A job file that fits both sides."""
    path = tmp_path / "job.toml"
    path.write_text(toml(TABLE))
    return path


def new(command: Command, job_file: Path) -> str:
    """Draft a job; returns its id."""
    drafted = command("job", "new", job_file, "--partner", "acme", "--as", "ann", "--json")
    return str(json.loads(drafted)["job"])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_job_from_draft_to_acceptance(pair: Pair, command: Command, job_file: Path, language: str) -> None:
    lang = ("--lang", language)
    drafted = command("job", "new", job_file, "--partner", "acme", "--as", "ann", *lang)
    short = pair.bank.jobs.list().jobs[0].id[:8]
    assert f"job approve {short} --home {pair.bank.folder}" in drafted
    assert "bob" in command("job", "approve", short, "--as", "bob", *lang)
    pair.talk()
    shown = command("job", "show", short, *lang, home=pair.platform.folder)
    assert "rule:usual (standing_rule)" in shown
    assert short in command("job", "list", *lang)
    assert command("job", "list", "--state", "done", *lang).strip() in (
        "There are no such jobs.",
        "没有符合条件的任务。",
    )


def test_four_eyes_and_states_are_held_to(pair: Pair, command: Command, job_file: Path) -> None:
    job = new(command, job_file)
    assert "ann, who may not approve it" in command("job", "approve", job, "--as", "ann", status=3)
    assert "unknown" not in command("job", "approve", job, "--as", "bob")
    assert "is approved, where approve is not possible" in command(
        "job", "approve", job, "--as", "cid", status=2
    )
    assert "was cancelled" in command("job", "cancel", job, "--as", "bob")
    assert "no result" in command("job", "result", job, status=2)
    assert "There is no job beef0000" in command("job", "show", "beef0000", status=2)
    assert "is no state" in command("job", "list", "--state", "finished", status=2)


def test_a_job_is_refused_with_a_word(pair: Pair, command: Command, job_file: Path) -> None:
    job = new(command, job_file)
    command("job", "refuse", job, "--as", "bob", "--reason", "purpose")
    assert "(purpose)" in command("job", "show", job)
    assert command("job", "watch", job, status=3).splitlines()[-1] == "refused (purpose)"


def test_watching_gives_up_when_it_was_told_to(command: Command, job_file: Path) -> None:
    job = new(command, job_file)
    assert "is draft after 0 seconds" in command("job", "watch", job, "--timeout", "0", status=5)


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        ("en", ["  masking the partner's rows: 50 rows", "  acme, masking our rows: 40 %"]),
        ("zh", ["  加密对方数据：50 行", "  acme，加密我方数据：40 %"]),
    ],
)
def test_watching_shows_both_sides(
    pair: Pair, command: Command, job_file: Path, language: str, lines: list[str]
) -> None:
    command("job", "new", job_file, "--partner", "acme", "--as", "ann")
    job = pair.bank.jobs.list().jobs[0]
    command("job", "approve", job.id, "--as", "bob")
    pair.talk()
    pair.bank.run(job.id, 1)
    room = Workroom(pair.bank.folder)
    room.prepare(job.id, 1)
    room.note_progress(job.id, 1, {"event": "progress", "phase": "exchange", "done": 50, "total": 100})
    room.note_partner(job.id, 1, "exchange", 40)
    told = command("job", "watch", job.id, "--timeout", "0", "--lang", language, status=5)
    assert [line for line in told.splitlines() if line in lines] == lines


def test_a_result_is_shown_where_it_lies(pair: Pair, command: Command, job_file: Path) -> None:
    job = new(command, job_file)
    folder = Workroom(pair.bank.folder).result(job)
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"totals": {"matched": 1200}, "groups": []}))
    shown = command("job", "result", job)
    assert str(folder) in shown
    assert "matched: 1,200 persons" in shown
    (folder / "result.json").write_text("{")
    assert "cannot be read" in command("job", "result", job, status=2)


def test_a_bank_drafts_and_a_platform_does_not(pair: Pair, command: Command, job_file: Path) -> None:
    told = command("job", "new", job_file, "--partner", "acme", home=pair.platform.folder, status=2)
    assert "is the home of a platform, not of a bank" in told
    told = command("job", "new", job_file, "--partner", "nobody", status=2)
    assert "There is no partner 'nobody'" in told
    told = command("job", "new", job_file, "--partner", "other", status=2)
    assert "other has not been on the line yet" in told
    told = command("job", "new", job_file, "--partner", "acme", "--dataset", "none", status=2)
    assert "There is no dataset 'none' at this node" in told
    told = command("job", "new", job_file, "--partner", "acme", "--days", "31", status=2)
    assert "lifetime is out of range" in told


def test_a_file_that_changed_its_columns_is_not_drafted_over(
    pair: Pair, command: Command, job_file: Path
) -> None:
    (pair.bank.folder / "customers.csv").write_text("mobile,more\n13800138000,1\n")
    told = command("job", "new", job_file, "--partner", "acme", status=2)
    assert "are not those of dataset 'customers' any more" in told


def test_datasets_are_counted_when_they_are_registered(pair: Pair, command: Command, tmp_path: Path) -> None:
    file = tmp_path / "more.csv"
    file.write_text("phone,city\n13800138000,a\n13800138000,a\nnone,b\n13900139000,c\n")
    options = ("--column", "phone", "--identifier", "phone")
    added = command("dataset", "add", "more", file, *options)
    assert f"more: 2 persons with phone in {file}; 1 of 4 rows cannot be used." in added
    assert "There is a dataset 'more' already" in command("dataset", "add", "more", file, *options, status=2)
    command("dataset", "add", "more", file, *options, "--replace", "--as", "bob")
    assert str(file) in command("dataset", "list")
    # A partner's come without a path, and with a size of two digits.
    theirs = json.loads(command("dataset", "list", "--partner", "acme", "--json"))["datasets"]
    assert theirs == [{"name": "users", "form": "phone", "persons": 1200, "columns": "phone, city"}]
    assert "other has told of no datasets" in command("dataset", "list", "--partner", "other")
    told = command("dataset", "add", "a/b", file, *options, status=2)
    assert "name of the dataset cannot be used" in told
    file.write_text("phone\nnone\n")
    told = command("dataset", "add", "empty", file, *options, status=2)
    assert "None of the 1 rows" in told
    assert "has no column 'fone'. Hint:  Did you mean 'phone'?" in command(
        "dataset", "add", "fone", file, "--column", "fone", "--identifier", "phone", status=2
    ).replace("\n", " ")


def test_a_policy_is_shown_and_held_against_a_job(pair: Pair, command: Command, job_file: Path) -> None:
    platform = pair.platform.folder
    assert "standing rule 'usual': audience over users" in command("policy", "show", home=platform)
    assert "The default policy" in command("policy", "show")
    assert "keeps to the policy" in command("policy", "check", job_file)
    (platform / "policy.toml").write_text("[limits]\nmin_group = 80\n" + RULE)
    assert "min_group is 80 instead of 50" in command("policy", "check", job_file, home=platform)
    (platform / "policy.toml").write_text(
        '[[standing]]\nname = "x"\nkinds = ["audiense"]\ndatasets = ["users"]\n'
    )
    told = command("policy", "show", home=platform, status=2)
    assert "kinds in [[standing 1]]" in told
    (platform / "policy.toml").write_text('[[standing]]\nname = "x"\nkinds = ["audience"]\n')
    assert "datasets is missing in [[standing 1]]" in command("policy", "show", home=platform, status=2)
