"""``veiljoin console person`` over the home of a standing node that doesn't run."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from cli.console_run import _Lines
from cli.main import main
from party.people import People, Role
from psi.errors import PolicyRefusal
from tests.cli.test_joint import Command, command, pair
from tests.party.logs import told
from tests.party.standing_pair import Pair

__all__ = ["command", "pair"]
PERSON = ("console", "person")


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed with argon2id's least cost."""
    monkeypatch.setattr("cli.console.People", lambda store, clock: People(store, clock, cost=(1, 8, 1)))


def accounts(pair: Pair) -> People:
    """Return the bank's accounts."""
    return People(pair.bank.node.home.store, pair.bank.node.clock, cost=(1, 8, 1))


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "en",
            ("Bob can log in as analyst, approver.", "Hand this password over to Bob", "auditor", "disabled"),
        ),
        ("zh", ("Bob 可以登录", "请把此密码交给 Bob", "审计员", "已停用")),
    ],
)
def test_an_account_from_its_beginning(
    pair: Pair, command: Command, language: str, words: tuple[str, ...]
) -> None:
    lang = ("--lang", language)
    assert "console person add" in command(*PERSON, "list", *lang)
    added = command(*PERSON, "add", "Bob", "--role", "analyst", "--role", "approver", *lang, "--as", "root")
    assert words[0] in added
    assert words[1] in added
    handed = added.splitlines()[0]
    assert accounts(pair).check("bob", handed, "192.0.2.1").must_change
    assert words[2] in command(*PERSON, "roles", "bob", "--role", "auditor", *lang)
    command(*PERSON, "disable", "bob", *lang)
    listed = command(*PERSON, "list", *lang)
    assert words[2] in listed
    assert words[3] in listed
    command(*PERSON, "enable", "bob", *lang)
    again = command(*PERSON, "password", "bob", *lang).splitlines()[0]
    with pytest.raises(PolicyRefusal):
        accounts(pair).check("bob", handed, "192.0.2.1")
    assert accounts(pair).check("bob", again, "192.0.2.1").roles == {Role.AUDITOR}
    assert [entry[0] for entry in told(pair.bank.node.home.store)[-8:]] == [
        "person_added",
        "login",
        "person_changed",
        "person_disabled",
        "person_enabled",
        "password_changed",
        "login_refused",
        "login",
    ]
    assert told(pair.bank.node.home.store, "person_added") == [
        ("person_added", "root", {"person": "Bob", "roles": "analyst_approver"})
    ]


def test_the_password_alone_is_on_standard_output(
    pair: Pair, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*PERSON, "add", "ann", "--role", "analyst", "--home", str(pair.bank.folder)]
    assert main(arguments) == 0
    (handed,) = capsys.readouterr().out.splitlines()
    assert accounts(pair).check("ann", handed, "192.0.2.1").name == "ann"


def test_a_password_from_a_file(pair: Pair, command: Command, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("correct horse battery\nand a second line\n")
    added = command(*PERSON, "add", "ann", "--role", "analyst", "--password-file", file)
    assert "horse" not in added
    assert not accounts(pair).check("ann", "correct horse battery", "192.0.2.1").must_change
    file.write_text("short")
    assert "12 to 256 characters" in command(*PERSON, "password", "ann", "--password-file", file, status=2)
    file.write_bytes(b"\xff" * 20)
    assert "is not UTF-8" in command(*PERSON, "password", "ann", "--password-file", file, status=2)
    told = command(*PERSON, "password", "ann", "--password-file", tmp_path / "nowhere", status=2)
    assert "nowhere cannot be read: No such file" in told


def test_as_json(pair: Pair, command: Command) -> None:
    made = json.loads(command(*PERSON, "add", "mary", "--role", "administrator", "--json"))
    assert made["password"]
    (listed,) = json.loads(command(*PERSON, "list", "--json"))["people"]
    assert listed == {key: made[key] for key in ("name", "roles", "disabled", "must_change", "created")}
    assert (listed["name"], listed["roles"], listed["must_change"]) == ("mary", ["administrator"], True)
    assert "password" not in json.loads(command(*PERSON, "enable", "mary", "--as", "root", "--json"))


def test_what_is_refused(pair: Pair, command: Command) -> None:
    command(*PERSON, "add", "mary", "--role", "administrator")
    both = ("--role", "administrator", "--role", "approver")
    assert "nothing else" in command(*PERSON, "add", "ann", *both, status=2)
    assert "There is a person mary already" in command(*PERSON, "add", "Mary", "--role", "analyst", status=2)
    assert "last administrator" in command(*PERSON, "disable", "mary", status=2)
    refused = command(*PERSON, "roles", "mary", "--role", "auditor", "--as", "mary", status=3)
    assert "cannot change their own roles" in refused
    assert "no person of this name" in command(*PERSON, "password", "nobody", status=2)


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["console", "--help"], ["console", "person", "--help"]):
        with pytest.raises(SystemExit):
            main(arguments)
        assert "veiljoin console person add mary --role administrator" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["plain", '{"event" is no JSON', '["a list"]', '{"event": "request"}'])
def test_every_line_of_the_log_is_an_object(text: str) -> None:
    line = json.loads(_Lines().format(logging.makeLogRecord({"msg": text, "levelname": "INFO"})))
    assert line["level"] == "info"
    assert line.get("text") == text or line["event"] == "request"
