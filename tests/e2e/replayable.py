"""A job in one process that both sides keep for their auditors: real preparations, roles and journals, no network.

A side may deviate: the class that plays its role is exchanged for another one. What its log would say are the records
of what it really said.
"""

from __future__ import annotations

import datetime
import hashlib
import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from party import match_part, sum_part
from party.contract import Contract, draft
from party.identity import new_identity, public_identity
from party.jobfile import Job, parse_job
from party.jobspec import SIDES, other_side
from party.keptruns import KeptRun, KeptRuns, seal_run
from party.match_part import MatchPart
from party.part import Part, Setting
from party.progress import Progress
from party.results import REJECTS
from party.runfolder import RunFolder
from party.runner import dataset_facts, open_side
from party.seedkeeping import AuditorKey, new_auditor_key
from party.sum_part import SumPart
from party.transcript import records
from party.workspace import Workspace
from psi.engines import open_engine
from psi.replay import Playback
from psi.secret import Seed
from psi.seed import JobRandomness
from psi.suites import suite_by_id
from tests.party.sum_sides import phone, write_csv

JOB = "5" * 32
ENDED = 1_700_000_000.0
NOW = datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.UTC)
# side -> what the part's module calls the class of its role, and the class that is played instead
Deviation = Mapping[str, tuple[str, type]]


@dataclass
class Kept:
    """What is left of a run on both sides: kept runs, the auditors' keys, and what each log says of its streams."""

    contract: Contract
    data: Mapping[str, Path]
    runs: dict[str, KeptRun] = field(default_factory=dict)
    keys: dict[str, AuditorKey] = field(default_factory=dict)
    logs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


class _Side:
    """One side of the run, prepared, its role not yet started."""

    def __init__(
        self,
        side: str,
        job: Job,
        table: Mapping[str, Any],
        contract: Contract,
        data: Path,
        home: Path,
        key: AuditorKey,
        instead: tuple[str, type] | None,
        open_: ExitStack,
    ) -> None:
        self.side = side
        self.run = home / "work" / contract.job
        seed = Seed(hashlib.sha256(side.encode()).digest())
        folder = RunFolder(self.run)
        seal_run(self.run, seed, auditor=key.public, side=side, contract=contract, table=table)
        randomness = JobRandomness(seed, contract.hash)
        _, masks = folder.memos(randomness, keep=False)
        engine = open_.enter_context(closing(open_engine(suite_by_id(contract.body["suite"]), threads=1)))
        setting = Setting(
            job=job,
            side=side,
            contract=contract,
            dataset=open_side(job.side(side), data),
            randomness=randomness,
            engine=engine,
            workspace=open_.enter_context(Workspace(home / "scratch", 1, folder.prepared)),
            progress=Progress(lambda event: None),
            threads=1,
            memo=masks,
            closing=open_,
        )
        part: Part = SumPart(setting) if job.kind.is_sum else MatchPart(setting)
        part.prepare(folder.prepared / REJECTS)
        with ExitStack() as patched:
            if instead is not None:
                module = sum_part if job.kind.is_sum else match_part
                patched.enter_context(mock.patch.object(module, *instead))
            self.role = part.role()
        self.playback: Playback[Any] = Playback(self.role, folder.journal(home / "aside"))


def play(
    table: Mapping[str, Any],
    rows: Mapping[str, tuple[Sequence[str], Sequence[Sequence[Any]]]],
    folder: Path,
    *,
    instead: Deviation | None = None,
    until: int | None = None,
) -> Kept:
    """Run the job over ``rows`` (side -> header, rows) and keep it on both sides, below ``folder``.

    ``until`` cuts the run after so many messages.
    """
    table = {**table, "keep_seed": "both"}
    job = parse_job(table, "JOB.toml")
    data = {side: write_csv(folder / f"{side}.csv", *rows[side]) for side in SIDES}
    contract = draft(
        job,
        {side: dataset_facts(open_side(job.side(side), data[side])) for side in SIDES},
        {side: public_identity(new_identity()) for side in SIDES},
        now=NOW,
        job_id=JOB,
    )
    kept = Kept(contract, data)
    with ExitStack() as open_:
        sides = {}
        for side in SIDES:
            kept.keys[side] = new_auditor_key()
            home = folder / side
            given = (instead or {}).get(side)
            sides[side] = _Side(side, job, table, contract, data[side], home, kept.keys[side], given, open_)
        _talk(sides, until)
        kept.logs = {side: records(each.role, contract, side) for side, each in sides.items()}
    for side, each in sides.items():
        runs = KeptRuns(folder / side)
        assert runs.keep(contract.job, each.run, ENDED)
        (kept.runs[side],) = runs.runs(contract.job)
    return kept


def _talk(sides: Mapping[str, _Side], until: int | None) -> None:
    """Deliver everything, whose turn it is at random; both roles come to their end, unless they are cut."""
    order, said = random.Random(1), 0
    positions = {side: each.playback.position() for side, each in sides.items()}
    waiting: dict[str, deque[Iterator[Any]]] = {
        side: deque(each.playback.go_on(positions[other_side(side)])) for side, each in sides.items()
    }
    while speakers := [side for side in SIDES if waiting[side]]:
        if until is not None and said >= until:
            return
        side = order.choice(speakers)
        message = sides[side].playback.draw(waiting[side][0])
        if message is None:
            waiting[side].popleft()
            continue
        said += 1
        answers = sides[other_side(side)].playback.receive(message)
        if answers is not None:
            waiting[other_side(side)].append(answers)
    assert all(each.role.done for each in sides.values())


MATCH_TABLE: dict[str, Any] = {
    "purpose": "test",
    "identifier": "phone",
    "receiver": "bank",
    "bank": {"identifier": "mobile", "tier": "tier"},
    "platform": {"identifier": "phone"},
    "policy": {"min_group": 5},
}
MATCH_ROWS = {
    "bank": (("mobile", "tier"), [(phone(n), "gold" if n % 2 else "silver") for n in range(60)]),
    "platform": (("phone", "city"), [(phone(n), "x") for n in range(30, 100)]),
}
SUM_TABLES: dict[str, dict[str, Any]] = {
    "measure": {
        "bank": {"identifier": "mobile", "time": "at", "values": {"amount": {"max": 900, "scale": 1}}},
        "platform": {"identifier": "phone", "time": "seen", "groups": ["creative"], "cost": "cost"},
        "window": {"days": 7},
    },
    "lift": {
        "bank": {"identifier": "mobile", "time": "at", "values": {"amount": {"max": 900, "scale": 1}}},
        "platform": {"identifier": "phone", "time": "seen", "cost": "cost"},
        "window": {"days": 7},
        "arms": {"column": "arm", "control": "control"},
    },
    "funnel": {
        "bank": {"identifier": "mobile", "time": "at", "stages": ["bound"]},
        "platform": {"identifier": "phone", "time": "seen", "stages": ["clicked"], "groups": ["creative"]},
        "window": {"days": 7},
    },
    "profile": {
        "bank": {"identifier": "mobile", "tags": ["city"]},
        "platform": {"identifier": "phone", "groups": ["creative"]},
    },
}
_SUM_TOP: dict[str, Any] = {
    "purpose": "test",
    "identifier": "phone",
    "receiver": "both",
    "policy": {"min_group": 5},
}
SUM_ROWS = {
    "bank": (
        ("mobile", "at", "amount", "bound", "city"),
        [
            (phone(n), f"2026-03-0{1 + n % 5}", 100 + n, n % 2, "北京" if n % 3 else "上海")
            for n in range(20, 110)
        ],
    ),
    "platform": (
        ("phone", "seen", "creative", "arm", "clicked", "cost"),
        [(phone(n), "2026-03-01", "AB"[n % 2], ("control", "test")[n % 2], n % 2, "0.5") for n in range(80)],
    ),
}


def match_table(kind: str, **changes: Any) -> dict[str, Any]:
    """Return the table of a match."""
    return {"kind": kind, **MATCH_TABLE, **changes}


def sum_table(kind: str, **policy: Any) -> dict[str, Any]:
    """Return the table of a grouped sum, read by both sides, with changes to its policy."""
    least = {} if kind == "profile" else {"min_converters": 2, "dominance": 0}
    table = {"kind": kind, **_SUM_TOP, **SUM_TABLES[kind]}
    return {**table, "policy": {**_SUM_TOP["policy"], **least, **policy}}
