"""A bank's home with as many jobs as a busy bank has after years, for measuring and looking at its console.

A few jobs are taken through their steps by both parties' own agents, in one process and without a network. The rest
are copies of those in the store, under ids and times of their own: what a page has to read is the same.
"""

from __future__ import annotations

import datetime
import os
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import sqlalchemy as sa

from console.tomltext import toml_text
from party.agent import Agent
from party.authority import StandingAuthority
from party.catalogue import Catalogue
from party.certificates import bank_uri, partner_uri
from party.consent import approve
from party.datasethealth import DatasetHealth
from party.datasets import open_dataset
from party.drafting import draft_with
from party.home import Home
from party.identifiers import parse_form
from party.identity import public_identity
from party.inspection import inspect
from party.jobfile import parse_job
from party.jobrecords import JobRecord, person
from party.jobs import Jobs
from party.jobspec import SideSpec
from party.node import Node
from party.nodefile import BANK, PLATFORM, NodeFile, bank_ports, write_node
from party.partners import PartnerState, put
from party.preflights import Preflights
from party.progress import Progress
from party.results import RESULT, write_json
from party.tables import approvals, events, jobs
from party.version import SOFTWARE
from party.workroom import RESULTS

PARTNER: Final = "acme"
DRAFTER: Final = "ann"
APPROVER: Final = "bob"
_ROWS: Final = 400
_HOUR: Final = 3600.0
_AT_ONCE: Final = 500
_KEEP: Final = datetime.timedelta(days=365)
_SUMS: Final[dict[str, Any]] = {
    "identifier": "phone",
    "receiver": "both",
    "bank": {
        "identifier": "mobile",
        "time": "converted_at",
        "values": {"amount": {"max": 5000, "scale": 100}},
    },
    "platform": {"identifier": "phone", "time": "exposed_at", "groups": ["creative"], "cost": "cost"},
    "window": {"days": 7, "timezone": "Asia/Shanghai"},
}
_MATCH: Final[dict[str, Any]] = {
    "identifier": "phone",
    "receiver": "bank",
    "bank": {"identifier": "mobile"},
    "platform": {"identifier": "phone"},
}
# One job file of each kind.
TABLES: Final[Mapping[str, dict[str, Any]]] = {
    "overlap": _MATCH | {"purpose": "size up the audience"},
    "audience": _MATCH | {"purpose": "leave existing customers out", "receiver": "platform"},
    "profile": {
        "purpose": "see who is reached",
        "identifier": "phone",
        "value_holder": "platform",
        "bank": {"identifier": "mobile", "groups": ["tier"]},
        "platform": {"identifier": "phone", "tags": ["interest"]},
    },
    "measure": _SUMS | {"purpose": "spring campaign"},
    "lift": _SUMS
    | {
        "purpose": "spring campaign",
        "platform": {
            "identifier": "phone", "time": "exposed_at", "groups": ["arm", "creative"], "cost": "cost",
        },
        "arms": {"column": "arm", "control": "control"},
    },
    "funnel": _SUMS
    | {
        "receiver": "bank",
        "purpose": "from sight to card",
        "bank": {"identifier": "mobile", "time": "converted_at", "stages": ["bound", "activated"]},
        "platform": {
            "identifier": "phone", "time": "exposed_at", "groups": ["creative"], "stages": ["exposed", "clicked"],
        },
    },
}  # fmt: skip
_COLUMNS: Final = {
    BANK: ("mobile", "converted_at", "amount", "bound", "activated", "tier"),
    PLATFORM: ("phone", "exposed_at", "creative", "interest", "arm", "cost", "exposed", "clicked"),
}


@dataclass(frozen=True, slots=True)
class _Side:
    """One party's node with its agent."""

    node: Node
    jobs: Jobs
    agent: Agent


class ConsoleHome:
    """Two enrolled nodes below ``folder`` with a dataset each; ``bank`` is the node that a console is opened over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._results = self.home(BANK) / RESULTS
        self._stack = ExitStack()
        self._sides = {role: self._side(role) for role in (BANK, PLATFORM)}
        self.bank, self.platform = self._sides[BANK].node, self._sides[PLATFORM].node
        self.jobs = self._sides[BANK].jobs
        self._enrol()
        self._greet()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def home(self, role: str) -> Path:
        """The home folder of a party."""
        return self.folder / role

    def draft(self, kind: str, **changes: Any) -> JobRecord:
        """Draft the job file of ``kind`` at the bank, with ``changes`` at its top."""
        table = {"kind": kind} | TABLES[kind] | changes
        drafted = draft_with(self.bank, parse_job(table, "JOB.toml"), table, PARTNER)
        source = toml_text(table)
        return self.jobs.draft(
            drafted.table,
            source,
            person(DRAFTER),
            partner=PARTNER,
            dataset=drafted.dataset,
            contract=drafted.contract,
        )

    def approve(self, record: JobRecord) -> JobRecord:
        """Let a second person of the bank approve it, without a trial, and the partner's node hear of it."""
        Preflights(self.bank.home.store, self.bank.clock).go_without(
            record.id, record.digest, PARTNER, APPROVER
        )
        self.jobs.approve(record.id, person(APPROVER), record.digest)
        self.talk()
        return self.jobs.get(record.id)

    def accept(self, record: JobRecord) -> JobRecord:
        """Let a person of the platform accept it."""
        side = self._sides[PLATFORM]
        approve(side.node, side.jobs, side.jobs.get(record.id), "carol")
        self.talk()
        return self.jobs.get(record.id)

    def run(self, record: JobRecord, result: Mapping[str, Any] | None) -> JobRecord:
        """Take an accepted job to its end at the bank: done with ``result``, or failed without one."""
        self.jobs.start(record.id, BANK)
        if result is None:
            return self.jobs.fail(record.id, BANK, "link_lost")
        folder = self._results / record.id
        folder.mkdir(parents=True, mode=0o700)
        whole = {"kind": record.kind, "job": record.id, "contract": record.digest, **result}
        write_json(folder / RESULT, whole)
        return self.jobs.finish(record.id, BANK, keep=_KEEP)

    def copies(self, records: list[JobRecord], count: int) -> None:
        """Add ``count`` jobs that are like ``records`` in turn, an hour after each other; results are copied, too."""
        store = self.bank.home.store
        rows = []
        with store.reading() as connection:
            for record in records:
                job = connection.execute(sa.select(jobs).where(jobs.c.id == record.id)).one()
                beside = {
                    table: connection.execute(
                        sa.select(table).where(table.c.job == record.id).order_by(table.c.id)
                    ).all()
                    for table in (approvals, events)
                }
                rows.append((job, beside))
        for first in range(0, count, _AT_ONCE):
            new: dict[sa.Table, list[dict[str, Any]]] = {jobs: [], approvals: [], events: []}
            for number in range(first, min(count, first + _AT_ONCE)):
                job, beside = rows[number % len(rows)]
                name, back = secrets.token_hex(16), (count - number) * _HOUR
                new[jobs].append(_moved(job, "number", back, id=name))
                for table, found in beside.items():
                    new[table] += [_moved(row, "id", back, job=name) for row in found]
                if (result := self._results / job.id / RESULT).exists():
                    (self._results / name).mkdir(mode=0o700)
                    os.link(result, self._results / name / RESULT)
            with store.transaction() as connection:
                for table, made in new.items():
                    if made:
                        connection.execute(table.insert(), made)

    def talk(self) -> None:
        """Let the two agents hear of each other's jobs, until neither has anything to say."""
        names = {BANK: PARTNER, PLATFORM: BANK}
        waiting = [
            (role, message) for role, side in self._sides.items() for message in side.agent.news(names[role])
        ]
        while waiting:
            role, message = waiting.pop(0)
            other = PLATFORM if role == BANK else BANK
            answer = self._sides[other].agent.receive(names[other], message)
            waiting += [(other, each) for each in answer.messages]

    def _side(self, role: str) -> _Side:
        folder = self.home(role)
        folder.mkdir(mode=0o700)
        ports = bank_ports("127.0.0.1:7443", None, None, None) if role == BANK else None
        file = NodeFile(BANK if role == BANK else PARTNER, role, ports, None)
        node = self._stack.enter_context(Node.assemble(file, Home.open(folder)))
        node.credentials.ensure_identity()
        node.settle_log()
        if role == BANK:
            authority = StandingAuthority.ensure(node.home.store, node.vault, file.name)
            authority.renew_own(node.credentials)
        write_node(folder, file)
        side = Jobs(node.home.store, role, node.clock)
        self._register(node, role)
        return _Side(node, side, Agent(node, side, role, SOFTWARE, lambda job: None))

    def _register(self, node: Node, role: str) -> None:
        name, columns = ("customers" if role == BANK else "users"), _COLUMNS[role]
        path = self.folder / f"{name}.csv"
        lines = [",".join((f"138{number:08d}", *("1" for _ in columns[1:]))) for number in range(_ROWS)]
        # A health report is of something: repeated persons, and cells that are no phone number.
        lines += lines[:20] + [",".join(("none", *("1" for _ in columns[1:])))] * 7
        path.write_text("\n".join((",".join(columns), *lines)) + "\n", encoding="utf-8")
        dataset, form = open_dataset(path), parse_form("phone")
        found = inspect(
            dataset,
            SideSpec(columns[0]),
            form,
            self.folder / f"{name}.work",
            Progress(lambda event: None),
            None,
        )
        Catalogue(node.home.store, node.clock).add(
            *(name, path, columns[0], form, found.persons, DRAFTER),
            basis="consent",
            health=DatasetHealth.of(found, dataset),
        )

    def _enrol(self) -> None:
        identities = {
            role: public_identity(side.node.credentials.ensure_identity())
            for role, side in self._sides.items()
        }
        for node, name, address, identity in (
            (self.bank, PARTNER, partner_uri(BANK, PARTNER), identities[PLATFORM]),
            (self.platform, BANK, bank_uri(BANK), identities[BANK]),
        ):
            with node.home.store.transaction() as connection:
                now = node.clock().timestamp()
                put(connection, name, address, now, state=PartnerState.ACTIVE.value, identity=identity)

    def _greet(self) -> None:
        self._sides[BANK].agent.receive(PARTNER, self._sides[PLATFORM].agent.hello())
        self._sides[PLATFORM].agent.receive(BANK, self._sides[BANK].agent.hello())
        self.talk()


def every_state(home: ConsoleHome, results: Mapping[str, Mapping[str, Any]]) -> dict[str, JobRecord]:
    """Take a job of each kind in ``results`` to its end, and some to every other state; returns them by name."""
    made = {
        kind: home.run(home.accept(home.approve(home.draft(kind))), told) for kind, told in results.items()
    }
    made["draft"] = home.draft("overlap")
    made["proposed"] = home.approve(home.draft("audience"))
    made["accepted"] = home.accept(home.approve(home.draft("measure")))
    made["failed"] = home.run(home.accept(home.approve(home.draft("measure"))), None)
    cancelled = home.draft("overlap")
    made["cancelled"] = home.jobs.cancel(cancelled.id, person(DRAFTER))
    return made


def measured(groups: int) -> dict[str, Any]:
    """The bank's result of a measurement over ``groups`` creatives, beside which a hundredth was withheld."""
    rows = [_creative(number) for number in range(groups)]
    withheld = groups // 100
    told = {"figure": "totals", "reason": "below_min_group", "covers": "not all groups"}
    persons = sum(row["persons"] for row in rows)
    converters = sum(row["converters"] for row in rows)
    amount = sum(int(row["sums"]["amount"].replace(".", "")) for row in rows)
    return {
        "suite": "x25519-ell2",
        "identifier": "phone",
        "receiver": "both",
        "value_holder": "bank",
        "base": "converters",
        "window": {"days": 7, "exposure": "first", "timezone": "Asia/Shanghai"},
        "totals": {
            "bank_persons": 400_000,
            "platform_persons": persons,
            "persons": persons,
            "matched": converters + len(rows),
            "converters": converters,
            "conversions": converters,
            "sums": {"amount": f"{amount // 100}.{amount % 100:02d}"},
            "rate": _about(converters / persons),
            "mean": {"amount": _about(amount / 100 / persons)},
            "cost": f"{persons}.50",
            "complete": withheld == 0,
        },
        "groups": rows,
        "suppressed_groups": withheld,
        "suppressed_by": {"below_min_group": withheld} if withheld else {},
        "withheld": [told] if withheld else [],
        "moved": {"persons": 0, "days": {}},
        "parties": {
            "bank": {
                "rows_read": 400_000, "rejected": {}, "duplicates": 12, "unique_persons": 400_000, "held_back": 0,
                "files": ["report.html", "groups.csv"], "bytes_sent": 239_106_400, "bytes_received": 64_368_000,
                "seconds": {"connect": 0.1, "agree": 0.1, "read": 19.5, "order": 1.0, "encrypt": 81.2, "write": 0.1},
                "engine": "crypto_mb", "threads": 2, "peak_memory_mb": 595.4, "key_bits": 2048,
            },
        },
    }  # fmt: skip


def _creative(number: int) -> dict[str, Any]:
    group = {"creative": f"creative {number:04d}"}
    persons = 600 + 37 * number % 900
    converters = 12 + 11 * number % 60
    rate = converters / persons
    return {
        "group": group,
        "persons": persons,
        "matched": converters + 1,
        "converters": converters,
        "conversions": converters,
        "sums": {"amount": f"{converters * 113}.50"},
        "cost": f"{persons}.00",
        "rate": _about(rate),
        "mean": {"amount": _about(113 * rate)},
    }


def _about(value: float) -> dict[str, float]:
    return {"value": value, "low": 0.8 * value, "high": 1.2 * value}


def _moved(row: sa.Row[Any], key: str, back: float, **changes: Any) -> dict[str, Any]:
    """A copy of a row without its ``key``, ``back`` seconds before it."""
    values = {name: value for name, value in row._mapping.items() if name != key}
    for name in ("created", "changed", "at", "voided"):
        if values.get(name) is not None:
            values[name] -= back
    return values | changes
