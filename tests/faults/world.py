"""Two enrolled nodes that every trial starts from: made once per run, their homes copied for each trial.

On PostgreSQL the bank's store is copied by the server, from the database of the first home.
"""

from __future__ import annotations

import contextlib
import datetime
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from party.authority import StandingAuthority
from party.certificates import request
from party.node import Node
from tests.e2e.command import Running, Sandbox, toml
from tests.e2e.standing import PARTNER, Standing
from tests.faults.proxy import Proxy
from tests.faults.questions import Question, make_questions
from tests.party.postgres import INSTALLED, PostgresServer

HOOKS: Final = Path(__file__).parent / "hooks"
ROLES: Final = {"bank": "server", "platform": "client"}
_TEMPLATE: Final = "enrolled"
# A home in memory: what a job of 60,000 rows needs, several times over.
_HOME_BYTES: Final = 192 << 20
_PORTS: Final = range(20_000, 32_000, 3)  # below those that the kernel gives to callers


class Site(Standing):
    """A sandbox with a bank's and a partner's home at given ports."""

    def __init__(self, folder: Path, listen: str) -> None:
        folder.mkdir(parents=True)
        self.sandbox = Sandbox(folder)
        self.bank = folder / "bank-home"
        self.listen = listen
        self.faults = folder / "faults"
        self.faults.mkdir()
        self.portable = False
        # Of the partner's first certificate, where it is a short one: how long it lasts, and until when.
        self.certificate_seconds = 0.0
        self.certificate_ends = 0.0

    def of(self, side: str) -> Path:
        """The home of ``side``."""
        return self.bank if side == "bank" else self.home()

    def shorten_certificate(self, seconds: float) -> None:
        """Give the partner a certificate that ends in so many seconds; its node renews it after two thirds."""
        with Node.open(self.bank) as bank, Node.open(self.home()) as partner:
            authority = StandingAuthority.load(
                bank.home.store, bank.vault, lifetime=datetime.timedelta(seconds=seconds)
            )
            asked = request(partner.credentials.new_key())
            with bank.home.store.transaction() as connection:
                issued = authority.issue_partner(connection, PARTNER, asked)
            name = partner.credentials.bank()
            partner.credentials.adopt(PARTNER, issued, name, partner.credentials.authority())
        self.certificate_seconds = seconds
        self.certificate_ends = issued.not_valid_after_utc.timestamp()

    @contextmanager
    def node(self, side: str) -> Iterator[Running]:
        """Run the node of ``side``; it is killed at the end of the block, if it still runs."""
        environment = {"VEILJOIN_FAULTS": str(self.faults), "VEILJOIN_FAULTS_ROLE": side}
        if self.portable:
            environment["VEILJOIN_FAULTS_PORTABLE"] = "1"
        arguments = (ROLES[side], "run", "--home", self.of(side), "--json")
        hooks = (str(HOOKS),)
        with self.sandbox.start(*arguments, hooks=hooks, environment=environment) as running:
            yield running


@dataclass
class World:
    """What all trials share: ports, questions, and homes to copy."""

    folder: Path
    questions: dict[str, Question]
    port: int
    proxy_port: int
    postgres: PostgresServer | None = None

    @property
    def listen(self) -> str:
        """Where the bank's node listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """What the partner dials: the proxy."""
        return f"127.0.0.1:{self.proxy_port}"

    def proxy(self) -> Proxy:
        """Return the proxy between the nodes, not yet started."""
        return Proxy(self.proxy_port, self.port)

    def _first(self, store: str) -> Path:
        """Return the folder of the homes with a bank on ``store``, enrolled at the first call."""
        folder = self.folder / f"first-{store}"
        if not folder.exists():
            self._enrol(folder, store)
        return folder

    def _enrol(self, folder: Path, store: str) -> None:
        site = Site(folder, self.listen)
        options: list[str] = []
        if store == "postgresql":
            if self.postgres is None:
                self.postgres = PostgresServer()
            self.postgres.execute(f"CREATE DATABASE {_TEMPLATE}")
            options = ["--store", self.postgres.url(_TEMPLATE)]
        site.command(
            *("server", "init", "--home", site.bank, "--listen", self.listen, "--address", self.address),
            *("--enrol-address", f"127.0.0.1:{self.port + 1}", *options),
        )
        for question in self.questions.values():
            site.add(site.bank, f"customers-{question.name}", question.bank, "mobile")
        with self.proxy(), site.node("bank") as bank:
            bank.wait_for(lambda event: event["event"] == "listening")
            site.enrol()
            for question in self.questions.values():
                site.add(site.home(), f"users-{question.name}", question.platform, "phone")
            _write_rule(site.home(), list(self.questions.values()))
            with site.node("platform") as platform:
                platform.wait_for(lambda event: event["event"] == "online")
                platform.process.terminate()
                assert platform.finish().status == 0
            bank.process.terminate()
            assert bank.finish().status == 0

    @contextmanager
    def site(self, name: str, store: str, in_memory: Sequence[str] = ()) -> Iterator[Site]:
        """Give copies of the homes, the bank's on ``store``; those of the sides ``in_memory`` have a disk that can
        be filled."""
        first = self._first(store)
        site = Site(self.folder / name, self.listen)
        with contextlib.ExitStack() as undo:
            for side in ROLES:
                home = site.of(side)
                home.mkdir(mode=0o700)
                if side in in_memory:
                    undo.enter_context(_mounted(home))
                shutil.copytree(first / home.name, home, dirs_exist_ok=True)
            if store == "postgresql" and self.postgres is not None:
                database = f"trial_{name.replace('-', '_')}"
                self.postgres.execute(f"CREATE DATABASE {database} TEMPLATE {_TEMPLATE}")
                undo.callback(self.postgres.execute, f"DROP DATABASE {database} WITH (FORCE)")
                file = site.bank / "node.toml"
                file.write_text(file.read_text().replace(f"/{_TEMPLATE}?", f"/{database}?"))
            yield site

    def close(self) -> None:
        """Stop what runs."""
        if self.postgres is not None:
            self.postgres.remove()


@contextmanager
def make_world(folder: Path) -> Iterator[World]:
    """Make a world in ``folder``, which does not exist; its folder stays."""
    folder.mkdir(parents=True)
    port = _three_ports()
    world = World(folder, make_questions(folder / "data"), port, port + 2)
    try:
        yield world
    finally:
        world.close()


def has_postgres() -> bool:
    """Whether a PostgreSQL server is installed here."""
    return bool(INSTALLED)


def can_mount() -> bool:
    """Whether this process may mount a small disk in memory."""
    probe = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
    )
    return probe.returncode == 0


@contextmanager
def _mounted(folder: Path) -> Iterator[None]:
    size = f"size={_HOME_BYTES},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _write_rule(home: Path, questions: Sequence[Question]) -> None:
    rule: dict[str, Any] = {
        "name": "trials",
        "kinds": sorted({question.kind for question in questions}),
        "datasets": [f"users-{question.name}" for question in questions],
    }
    body = toml(rule)
    (home / "policy.toml").write_text(f"[[standing]]\n{body}", encoding="utf-8")


def _three_ports() -> int:
    """Return the first of three neighbouring ports that are free."""
    candidates = list(_PORTS)
    random.SystemRandom().shuffle(candidates)
    for port in candidates:
        with contextlib.ExitStack() as held:
            try:
                for each in range(port, port + 3):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", each))
            except OSError:
                continue
            return port
    raise RuntimeError("no three neighbouring ports are free")


def question_job(site: Site, question: Question) -> tuple[str, ...]:
    """Write the job file of ``question`` and return the arguments that draft it."""
    file = site.sandbox.folder / "JOB.toml"
    file.write_text(toml(question.table), encoding="utf-8")
    return (
        *("job", "new", str(file), "--partner", PARTNER, "--home", str(site.bank), "--as", "ann"),
        *("--dataset", f"customers-{question.name}", "--partner-dataset", f"users-{question.name}"),
    )
