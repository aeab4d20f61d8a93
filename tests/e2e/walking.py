"""From nothing to a first match, by what README.md says; whoever changes the one changes the other."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from party.synthetic import Pair
from tests.e2e.command import ROOT
from tests.e2e.typed import Command, Person

# The bank's name in the README.
BANK_HOST: Final = "veiljoin.bank.example"
_SECTION: Final = "## Two standing nodes"


def walkthrough() -> list[tuple[str, str]]:
    """The commands of the README's section, in order: who types it (``bank``, ``acme``), and the line."""
    (block,) = [each for each in _blocks("") if "$ veiljoin" in each]
    return [(who, line) for who, _, line in (each.partition("$ ") for each in block.splitlines())]


def job_file() -> str:
    """The job file of the same section."""
    (block,) = _blocks("toml")
    return block


def _blocks(language: str) -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition(f"\n{_SECTION}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


class Walk:
    """The README's commands, typed at two machines; ``nodes`` are the two that go on running until ``stack`` ends.

    Made with two people who have nothing but their data and, at the bank, the README's job file.
    """

    def __init__(self, bank: Person, acme: Person, pair: Pair, stack: ExitStack) -> None:
        self.bank, self.acme = bank, acme
        shutil.copy(pair.bank, self.bank.folder / "segment.csv")
        shutil.copy(pair.platform, self.acme.folder / "users.csv")
        (self.bank.folder / "job.toml").write_text(job_file())
        self.stack = stack
        self.nodes: dict[str, Command] = {}
        self.words: dict[str, str] = {}

    def all(self) -> Iterator[None]:
        """Do each line, and stop after each so that the caller can look around."""
        for who, line in walkthrough():
            self.step(who, line)
            yield

    def another_job(self) -> None:
        """Do the lines that lead to a job once more."""
        for who, line in walkthrough():
            if line.startswith("veiljoin job "):
                self.step(who, line)

    def step(self, who: str, line: str) -> None:
        """Do one line of the README, as its reader does: look for what is in capitals in what was printed."""
        person = self.bank if who == "bank" else self.acme
        match " ".join(line.split()[1:3]):
            case "server init":
                node = self.begin(person, line)
                node.find("(listens on)")
                self.nodes["bank"] = node
            case "server invite":
                said = person.runs(line)
                self.words["TOKEN"] = re.findall(r"^vj1_\S+$", said, re.MULTILINE)[0]
            case "client join":
                self.joining = self.begin(person, line)
                self.fingerprint = self.joining.find(r"^ +((?:[0-9a-f]{4} ?){8})$")
            case "server confirm":
                with person.types(line) as confirming:
                    confirming.find("(Fingerprint, as the partner reads it out)")
                    confirming.type(self.fingerprint)
                    confirming.done()
                self.joining.done()
            case "client run":
                self.nodes["acme"] = self.begin(person, line)
                self.nodes["acme"].find("(is on the line)")
            case "job new":
                said = person.runs(line)
                self.words["JOB"] = re.findall(r"^Job (\w+) is a draft", said, re.MULTILINE)[0]
            case "job approve" if who == "acme":
                # As the partner's own node shows it.
                short = self.nodes["acme"].find(
                    rf"veiljoin job approve ({self.words['JOB'][:8]}) --home acme"
                )
                person.runs(line, JOB=short)
            case _:
                person.runs(line, **self.words)

    def done(self) -> Path:
        """Wait until the job is done; returns the folder in which the partner's node says its result is."""
        folder = self.nodes["acme"].find(rf"job {self.words['JOB'][:8]}: the result is in (.+)$")
        return self.acme.folder / folder

    def begin(self, person: Person, line: str) -> Command:
        """Type a line that goes on running."""
        return self.stack.enter_context(person.types(line, **self.words))


def listed(result: Path) -> int:
    """How many persons a result lists."""
    with open(result / "matches.csv", newline="") as file:
        return len(list(csv.reader(file))) - 1
