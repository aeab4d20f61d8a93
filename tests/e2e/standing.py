"""A bank's and a partner's standing node, driven by the real command alone."""

from __future__ import annotations

import io
import json
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Final

from cli.main import main
from party.jobs import Jobs
from party.node import Node
from party.workroom import Workroom
from tests.e2e.command import PATIENCE, Running, Sandbox
from tests.e2e.ports import free_ports

PARTNER: Final = "acme"
# Where processes of jobs can be held: one side's, in a phase.
HELD: Final = (
    "bank:order platform:order platform:agree bank:exchange platform:exchange bank:write platform:write"
)


class Standing:
    """A bank's home with two free ports, and partners' homes; ``command`` runs ``veiljoin`` to its end."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.bank = sandbox.folder / "bank-home"
        self.listen = f"127.0.0.1:{free_ports(2)}"
        self.command("server", "init", "--home", self.bank, "--listen", self.listen)

    def home(self, partner: str = PARTNER) -> Path:
        """The home of a partner's node."""
        return self.sandbox.folder / f"{partner}-home"

    def command(self, *arguments: str | Path) -> str:
        """Run a command that has to succeed, in this process, which has imported all it needs; returns its output."""
        kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
        printed, errors = io.StringIO(), io.StringIO()
        try:
            with redirect_stdout(printed), redirect_stderr(errors):
                status = main([str(each) for each in arguments])
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)
        assert status == 0, printed.getvalue() + errors.getvalue()
        return printed.getvalue()

    def data(self, *arguments: str | Path) -> dict[str, Any]:
        """The last line of a command with ``--json``."""
        told: dict[str, Any] = json.loads(self.command(*arguments, "--json").splitlines()[-1])
        return told

    def start(self, role: str) -> AbstractContextManager[Running]:
        """Start the node of ``role`` (server | client).

        Processes of its jobs can be held in the phases of ``HELD`` while their gate is there (:meth:`hold`).
        """
        gates = self.sandbox.folder / "gates"
        gates.mkdir(exist_ok=True)
        home = self.bank if role == "server" else self.home()
        return self.sandbox.start(
            *(role, "run", "--home", home, "--json"),
            hooks=("hold",),
            environment={"VEILJOIN_TEST_HOLD": HELD, "VEILJOIN_TEST_GATES": str(gates)},
        )

    @contextmanager
    def serving(self, partner: bool = True) -> Iterator[list[Running]]:
        """Run the nodes until the block ends; each is told to stop and has to do so well."""
        with ExitStack() as stack:
            roles = ("server", "client") if partner else ("server",)
            nodes = [stack.enter_context(self.start(role)) for role in roles]
            nodes[0].wait_for(lambda event: event["event"] == "listening")
            if partner:
                # The bank greets once it has kept what the partner said: from here on jobs can be drafted.
                nodes[1].wait_for(lambda event: event["event"] == "online")
            yield nodes
            for node in reversed(nodes):
                node.process.terminate()
                assert node.finish().status == 0

    def enrol(self, partner: str = PARTNER) -> None:
        """Invite, join and confirm a partner, while the bank's node runs."""
        invited = self.command("server", "invite", partner, "--home", self.bank, "--as", "ann")
        token = invited.splitlines()[0]
        join = ("client", "join", token, "--home", self.home(partner), "--json")
        with self.sandbox.start(*join) as joining:
            shown = joining.wait_for(lambda event: event["event"] == "fingerprint")["fingerprint"]
            self.command(
                *("server", "confirm", partner, "--home", self.bank, "--as", "bob", "--fingerprint", shown)
            )
            assert joining.finish().status == 0

    def add(self, home: Path, name: str, file: Path, column: str) -> None:
        """Register a file."""
        self.command(
            *("dataset", "add", name, file, "--column", column, "--identifier", "phone", "--home", home)
        )

    def draft(self, job: Path, partner: str = PARTNER) -> str:
        """Draft and approve a job; returns its id."""
        drafted = self.data("job", "new", job, "--partner", partner, "--home", self.bank, "--as", "ann")
        approved = self.data("job", "approve", drafted["job"], "--home", self.bank, "--as", "bob")
        assert approved["state"] == "approved"
        return str(drafted["job"])

    def state(self, home: Path, job: str) -> str:
        """Where a job is; ``unknown`` before the home has it. Read from the store, as the command does."""
        with Node.open(home) as node:
            found = Jobs(node.home.store, node.file.role).list().jobs
        return next((record.state.value for record in found if record.id == job), "unknown")

    def wait(self, home: Path, job: str, *states: str) -> str:
        """Wait until a job is in one of ``states``."""
        end = time.monotonic() + PATIENCE
        while (state := self.state(home, job)) not in states:
            assert time.monotonic() < end, f"the job stays {state}"
            time.sleep(0.1)
        return state

    def hold(self, phase: str) -> Path:
        """Make the gate of a phase; who comes to it waits until the file is gone."""
        gate = self.sandbox.folder / "gates" / phase
        gate.touch()
        return gate

    def wait_for_phase(self, home: Path, job: str, phase: str) -> None:
        """Wait until the process of a job is in ``phase``."""
        room, end = Workroom(home), time.monotonic() + PATIENCE
        while (room.progress(job) or {}).get("phase") != phase:
            assert time.monotonic() < end, f"the job does not come to {phase}"
            time.sleep(0.05)

    def wait_for_partner(self, home: Path, job: str, phase: str) -> None:
        """Wait until ``home`` was told that the partner's part of a job is in ``phase``."""
        room, end = Workroom(home), time.monotonic() + PATIENCE
        while (room.partner(job) or ("",))[0] != phase:
            assert time.monotonic() < end, f"nobody says that the partner is in {phase}"
            time.sleep(0.05)

    def result(self, home: Path, job: str) -> dict[str, Any]:
        """What ``job result`` says."""
        return self.data("job", "result", job, "--home", home)

    def steps(self, home: Path, job: str) -> list[str]:
        """The steps of a job so far."""
        with Node.open(home) as node:
            return [event.step.value for event in Jobs(node.home.store, node.file.role).events(job)]


def rule(datasets: list[str], *kinds: str) -> str:
    """A policy with one standing rule."""
    return f'[[standing]]\nname = "usual"\nkinds = {json.dumps(kinds)}\ndatasets = {json.dumps(datasets)}\n'
