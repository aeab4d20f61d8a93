"""A bank's and a platform's node in memory, enrolled with each other, and what their agents say to each other."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from party.agent import Agent, Answer, Order
from party.authority import StandingAuthority
from party.catalogue import Catalogue
from party.certificates import bank_uri, partner_uri
from party.drafting import draft_with
from party.home import Home
from party.identifiers import parse_form
from party.identity import public_identity
from party.jobfile import parse_job
from party.jobrecords import JobRecord, person
from party.jobs import Jobs
from party.node import Node
from party.nodefile import BANK, PLATFORM, NodeFile, bank_ports
from party.partners import PartnerState, put
from party.preflights import Preflights
from party.run import Run, Stage
from tests.party.blankstore import write_store
from tests.party.enrolments import SOFTWARE, Clock
from veiljoin.control_messages import ControlMessage

TABLE: dict[str, Any] = {
    "kind": "audience",
    "purpose": "test",
    "identifier": "phone",
    "receiver": "platform",
    "bank": {"identifier": "mobile"},
    "platform": {"identifier": "phone"},
}


class Side:
    """One node, its jobs and its agent; ``runs`` are the attempts that the agent believes to be under way."""

    def __init__(
        self, folder: Path, name: str, role: str, clock: Clock, policy: str = "", store: str | None = None
    ) -> None:
        folder.mkdir(mode=0o700)
        self.folder = folder
        if policy:
            (folder / "policy.toml").write_text(policy)
        ports = bank_ports("127.0.0.1:7443", None, None, None) if role == BANK else None
        if store is None:
            write_store(folder / "store.sqlite")
        file = NodeFile(name, role, ports, store)
        self.node = Node.assemble(file, Home.open(folder, clock, store), clock)
        self.identity = public_identity(self.node.credentials.ensure_identity())
        self.jobs = Jobs(self.node.home.store, role, clock)
        self.runs: dict[str, Run] = {}
        self.agent = Agent(self.node, self.jobs, role, SOFTWARE, self.runs.get)
        self.catalogue = Catalogue(self.node.home.store, clock)
        self.orders: list[Order] = []

    def add(self, name: str, column: str, *more: str) -> None:
        """Register a dataset of one row."""
        path = self.folder / f"{name}.csv"
        path.write_text(",".join((column, *more)) + "\n" + ",".join(("13800138000", *more)) + "\n")
        self.catalogue.add(name, path, column, parse_form("phone"), 1_234, "ann", replace=True)

    def run(self, job: str, attempt: int, stage: Stage = Stage.WAITING) -> Run:
        """Begin an attempt."""
        self.jobs.start(job, self.agent._instance)
        self.runs[job] = Run(job, "", attempt, stage, time.monotonic())
        return self.runs[job]

    def state(self, job: str) -> str:
        """Where a job is, ``unknown`` if it isn't known."""
        return next((each.state.value for each in self.jobs.list().jobs if each.id == job), "unknown")


class Pair:
    """Both nodes; ``bank`` knows the platform as ``acme``."""

    def __init__(
        self, folder: Path, policy: str = "", stores: tuple[str | None, str | None] = (None, None)
    ) -> None:
        self.clock = Clock()
        self.bank = Side(folder / "bank", "bank", BANK, self.clock, "", stores[0])
        self.platform = Side(folder / "acme", "acme", PLATFORM, self.clock, policy, stores[1])
        store, vault = self.bank.node.home.store, self.bank.node.vault
        StandingAuthority.ensure(store, vault, "bank", self.clock)
        for side, name, san, identity in (
            (self.bank, "acme", partner_uri("bank", "acme"), self.platform.identity),
            (self.bank, "other", partner_uri("bank", "other"), self.platform.identity),
            (self.platform, "bank", bank_uri("bank"), self.bank.identity),
        ):
            with side.node.home.store.transaction() as connection:
                put(connection, name, san, 0.0, state=PartnerState.ACTIVE.value, identity=identity)
        self.bank.add("customers", "mobile")
        self.platform.add("users", "phone", "city")

    def connect(self) -> None:
        """Greet anew, as after a connection was lost; the word of each side goes out until there is no more."""
        self.bank.agent.receive("acme", self.platform.agent.hello())
        self.platform.agent.receive("bank", self.bank.agent.hello())
        self.bank.agent.connected("acme")
        self.platform.agent.connected("bank")
        self.talk()

    def talk(self, times: int = 1) -> None:
        """Let each side say what it has to say, each message ``times`` times, until neither has anything to say."""
        for _ in range(20):
            said = self.bank.agent.news("acme"), self.platform.agent.news("bank")
            if not any(said):
                return
            for message in said[0] * times:
                self.hear(self.platform, message)
            for message in said[1] * times:
                self.hear(self.bank, message)
        raise AssertionError("the two never stop talking")

    def hear(self, side: Side, message: ControlMessage) -> Answer:
        """Let ``side`` hear a message, and the other one its answers."""
        name, other = ("acme", self.platform) if side is self.bank else ("bank", self.bank)
        answer = side.agent.receive(name, message)
        side.orders += answer.orders
        for each in answer.messages:
            self.hear(other, each)
        return answer

    def draft(self, *, untried: bool = False, **keys: Any) -> JobRecord:
        """Draft a job and approve it, ``untried`` without a preflight at the bank."""
        table = TABLE | keys
        drafted = draft_with(self.bank.node, parse_job(table, "JOB.toml"), table, "acme")
        record = self.bank.jobs.draft(
            drafted.table,
            "",
            person("ann"),
            partner="acme",
            dataset=drafted.dataset,
            contract=drafted.contract,
        )
        if untried:
            preflights = Preflights(self.bank.node.home.store, self.clock)
            preflights.go_without(record.id, record.digest, "acme", "bob")
        return self.bank.jobs.approve(record.id, person("bob"), record.digest)

    def states(self, job: str) -> tuple[str, str]:
        """Where the job is at the bank and at the platform."""
        return self.bank.state(job), self.platform.state(job)

    def close(self) -> None:
        """Close both stores."""
        self.bank.node.close()
        self.platform.node.close()
