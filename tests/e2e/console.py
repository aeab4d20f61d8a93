"""Two standing nodes and the console of each, with people who log in to it: all by the real command."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from tests.e2e.command import Running
from tests.e2e.standing import Standing

# Who is who, the same at both: one person for each role. In one of the walks the names are Chinese.
ANALYST: Final = "analyst"
APPROVER: Final = "approver"
AUDITOR: Final = "auditor"
ADMINISTRATOR: Final = "administrator"


class Consoles:
    """The consoles of ``standing``'s two homes; ``data`` is what each may register files of.

    ``once`` holds the one-time passwords that the command printed, by home and person.
    """

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.data = {role: standing.sandbox.folder / f"{role}-data" for role in ("bank", "platform")}
        for folder in self.data.values():
            folder.mkdir()
        self.once: dict[tuple[str, str], str] = {}

    def home(self, role: str) -> Path:
        """The home of a party."""
        return self.standing.bank if role == "bank" else self.standing.home()

    def add_person(self, role: str, name: str, *roles: str) -> None:
        """Make an account with the command, as whoever installs a console does."""
        options = [part for each in roles for part in ("--role", each)]
        told = self.standing.data("console", "person", "add", name, *options, "--home", self.home(role))
        self.once[role, name] = str(told["password"])

    @contextmanager
    def serving(self, roles: Sequence[str] = ("bank", "platform")) -> Iterator[dict[str, str]]:
        """Run the consoles until the block ends; gives the address of each. Each is told to stop and has to, well."""
        with ExitStack() as stack:
            running: dict[str, Running] = {
                role: stack.enter_context(
                    self.standing.sandbox.start(
                        *("console", "run", "--home", self.home(role), "--listen", "127.0.0.1:0"),
                        *("--data", self.data[role], "--json"),
                    )
                )
                for role in roles
            }
            yield {
                role: str(process.wait_for(lambda event: event["event"] == "console")["address"])
                for role, process in running.items()
            }
            for process in running.values():
                process.process.terminate()
                finished = process.finish()
                assert finished.status == 0, finished.stderr
                faults = [
                    line for line in finished.stderr.splitlines() if json.loads(line)["level"] == "error"
                ]
                assert faults == []
