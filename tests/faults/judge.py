"""What must hold once the faults are over and both nodes rest, whatever happened before."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from party.jobrecords import JobRecord
from party.jobs import Jobs
from party.node import Node
from party.nodefile import BANK
from party.tables import budget_spent, jobs_seen, ledger_sketch
from party.workroom import Workroom
from tests.faults.questions import Question
from tests.faults.schedule import Schedule
from tests.faults.world import Site

# Names of files that are being written.
_HALF: Final = (".part", ".partial", ".new", ".tmp")


@dataclass(frozen=True, slots=True)
class Account:
    """What one side has of a job: its state and steps, and what the store, the home and the vault hold about it."""

    record: JobRecord
    steps: list[str]
    notes: list[str]
    spent: int
    reserved: int
    released: int
    unreleased: int
    seen: int
    secrets: list[str]
    folder: Path | None
    left: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """Where the job is."""
        return self.record.state.value


def account_of(home: Path, job: str) -> Account:
    """Read what the node of ``home`` has of ``job``, which it knows."""
    with Node.open(home) as node:
        jobs = Jobs(node.home.store, node.file.role)
        events = jobs.events(job)
        with node.home.store.reading() as connection:
            counts = {
                name: connection.execute(
                    sa.select(sa.func.count()).select_from(table).where(table.c.job == job, *where)
                ).scalar_one()
                for name, table, where in (
                    ("spent", budget_spent, [budget_spent.c.spent]),
                    ("reserved", budget_spent, [sa.not_(budget_spent.c.spent)]),
                    ("released", ledger_sketch, [ledger_sketch.c.released]),
                    ("unreleased", ledger_sketch, [sa.not_(ledger_sketch.c.released)]),
                    ("seen", jobs_seen, []),
                )
            }
        folder = Workroom(node.home.folder).result(job)
        return Account(
            record=jobs.get(job),
            steps=[event.step.value for event in events],
            notes=[event.note for event in events if event.note],
            secrets=[name for name in node.vault.names() if job in name],
            folder=folder if folder.exists() else None,
            left=sorted(_left(home, job)),
            **counts,
        )


def _left(home: Path, job: str) -> Iterator[str]:
    """Name what should have gone from a home."""
    for path in (home / "work").rglob("*"):
        yield str(path.relative_to(home))
    for path in home.rglob("*"):
        if path.name.endswith(_HALF) or (path.name.startswith(".") and path.is_file()):
            yield str(path.relative_to(home))
    for path in (home / "results").glob("*"):
        if path.name != job:
            yield str(path.relative_to(home))


def judge(
    schedule: Schedule, question: Question, accounts: dict[str, Account | None], contract: bytes
) -> list[str]:
    """Return what is wrong with the end of a trial: nothing, if all is well. ``None``: the side never had the job."""
    problems = list(_states(schedule, accounts))
    known = {side: account for side, account in accounts.items() if account is not None}
    for side, account in known.items():
        problems += [f"{side}: {problem}" for problem in _side(account)]
    folders = {side: account.folder for side, account in known.items() if account.folder is not None}
    if len(folders) == len(accounts) and all(account.state == "done" for account in known.values()):
        try:
            question.check(folders, contract)
        except (AssertionError, OSError, ValueError, KeyError) as wrong:
            # What the assertion compares are rows of data; where it stands says which it is.
            problems.append(f"the result is wrong: {type(wrong).__name__} in {_place(wrong)}")
    return problems


def _states(schedule: Schedule, accounts: dict[str, Account | None]) -> Iterator[str]:
    states = {side: "none" if account is None else account.state for side, account in accounts.items()}
    told = ", ".join(f"{side} {state}" for side, state in states.items())
    ends = {"done"} | ({"cancelled"} if schedule.has("cancel") or schedule.has("revoke") else set())
    for side, state in states.items():
        account = accounts[side]
        if account is None and states["bank"] == "cancelled":
            continue  # it was taken back before it was proposed
        refused = account is not None and account.record.code == "peer_identity"
        if refused and state == "failed" and schedule.has("revoke"):
            continue  # the job ends because the partner has lost its access, and says so
        if state not in ends:
            why = "" if account is None else f" ({account.record.code}; {' '.join(account.notes)})"
            yield f"{side} ended as {state}{why}"
    # Who was cut off for good cannot hear how the other ended.
    if len(set(states.values())) > 1 and "none" not in states.values() and not schedule.has("revoke"):
        yield f"the sides differ: {told}"


def _side(account: Account) -> Iterator[str]:
    done = account.state == "done"
    if account.steps.count("finish") != done:
        yield f"finished {account.steps.count('finish')} times"
    if (account.folder is not None) != done:
        yield "there is no result" if done else "there is a result, though the job is not done"
    if account.left:
        yield f"left behind: {', '.join(account.left[:6])}"
    if account.record.holder is not None:
        yield f"still held by {account.record.holder}"
    if account.reserved or account.unreleased:
        yield f"{account.reserved} reservations and {account.unreleased} entries of the ledger are left"
    counts = {"budget": account.spent, "ledger": account.released, "history": account.seen}
    for name, count in counts.items():
        # Each attempt replays the bytes of the first, so that the job costs once.
        if count > 1 or (done and count != 1):
            yield f"{name}: {count} rows"
    if account.secrets:
        yield f"secrets are left: {', '.join(account.secrets)}"


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def judge_store(home: Path) -> list[str]:
    """Return what SQLite finds wrong with a home's store, if that is a file."""
    path = home / "store.sqlite"
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as connection:
        told = connection.execute("PRAGMA integrity_check").fetchall()
    return [] if told == [("ok",)] else [f"{home.name}: the store is damaged"]


def judge_words(question: Question, site: Site, side: str, output: list[str], errors: list[str]) -> list[str]:
    """Return what a node printed that it may not: identifiers, keys, tracebacks, lines that are no events."""
    problems = []
    keys = _keys(site.of(side))
    for text in (*output, *errors):
        data = text.encode()
        if question.search.first_in(data) is not None:
            problems.append(f"{side} printed an identifier")
        if any(key in data for key in keys):
            problems.append(f"{side} printed a key")
    if any("Traceback" in text or "Exception" in text for text in errors):
        problems.append(f"{side} printed a traceback: {_last_line(errors)}")
    for text in output:
        for line in text.splitlines():
            event = _event(line)
            if event is None:
                problems.append(f"{side} printed a line that is no event")
            elif event.get("code") == "internal":
                problems.append(f"{side}: {event.get('text')}")
    return problems


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _last_line(errors: list[str]) -> str:
    lines = [line for text in errors for line in text.splitlines() if "Error" in line or "Exception" in line]
    return lines[-1] if lines else "?"


def _keys(home: Path) -> list[bytes]:
    with Node.open(home) as node:
        identity = node.credentials.identity().reveal()
        pem = node.credentials.material().key.reveal()
        node_key = (home / "node.key").read_bytes() if node.file.role == BANK else b""
    body = [line for line in pem.splitlines() if len(line) == 64]
    return [form for key in (identity, node_key) if key for form in (key, key.hex().encode())] + body[:1]
