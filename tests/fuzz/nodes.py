"""Targets: what a standing node does with a partner's control messages, with its store behind it."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import rfc8785
import sqlalchemy as sa

from party.catalogue import Catalogue, pick
from party.consent import consider
from party.contract import DatasetFacts, draft
from party.identity import sign_contract
from party.jobfile import parse_job, read_table
from party.run import Run
from party.tables import METADATA, jobs
from psi.errors import UsageError
from tests.fuzz.draws import Draws
from tests.fuzz.mutators import json_text, protobuf
from tests.fuzz.papers import TABLES
from tests.fuzz.target import Target, require
from tests.fuzz.wire import parsed
from tests.party.standing_pair import TABLE, Pair, Side
from tests.wire.test_control_codec import SAMPLES
from veiljoin import control_codec
from veiljoin.control_messages import JOB_REFUSALS, ControlHello, ControlMessage, Propose
from veiljoin.v1 import control_pb2

_STANDING = """
[[standing]]
name = "spring"
partners = ["bank"]
kinds = ["audience"]
datasets = ["users"]
purposes = ["test"]
"""
_CHANGE: Final = protobuf(control_pb2.ControlEnvelope)
_MOST_MESSAGES: Final = 5


def pair(policy: str = "") -> Pair:
    """Return two nodes that are enrolled with each other, in a folder that goes with the process."""
    memory = Path("/dev/shm")  # noqa: S108 - a store per process, in memory where there is such a place
    folder = tempfile.mkdtemp(prefix="veiljoin-fuzz-", dir=memory if memory.is_dir() else None)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    both = Pair(Path(folder), policy)
    atexit.register(both.close)
    return both


def _of_jobs() -> list[sa.Table]:
    """Return the tables that are about jobs, each behind those that it refers to."""
    of_jobs = (jobs, *(table for table in METADATA.sorted_tables if _refers(table)))
    return [table for table in METADATA.sorted_tables if table in of_jobs]


def _refers(table: sa.Table) -> bool:
    return any(key.column.table is jobs for key in table.foreign_keys)


Rows = list[tuple[sa.Table, list[dict[str, Any]]]]


def _rows(side: Side) -> Rows:
    """Return all that the store of ``side`` has about jobs."""
    with side.node.home.store.reading() as connection:
        return [
            (table, [dict(row) for row in connection.execute(sa.select(table)).mappings()])
            for table in _of_jobs()
        ]


def _put_back(side: Side, rows: Rows) -> None:
    """Make the store of ``side`` say of jobs what it said before."""
    with side.node.home.store.transaction() as connection:
        for table, _ in reversed(rows):
            connection.execute(table.delete())
        for table, listed in rows:
            if listed:
                connection.execute(table.insert(), listed)


def proposal() -> Target:
    """Proposals of an enrolled bank, rightly signed whatever they say: read, checked, entered, decided."""
    both = pair()
    platform = both.platform.node
    own, theirs = both.platform.catalogue.all()[0], both.bank.catalogue.all()[0]
    facts = {"bank": DatasetFacts(theirs.name, theirs.schema), "platform": DatasetFacts(own.name, own.schema)}
    identities = {"bank": both.bank.identity, "platform": both.platform.identity}
    tables: list[dict[str, Any]] = [TABLE, *TABLES]
    honest = [
        draft(parse_job(each, "the fuzzer's job"), facts, identities, now=both.clock()) for each in tables
    ]
    seed = both.bank.node.credentials.identity()
    empty = _rows(both.platform)

    def feed(data: bytes) -> None:
        draws = Draws(data)
        number, how = draws.below(len(tables)), draws.number(1)
        contract, told = honest[number].canonical, rfc8785.dumps(tables[number])
        if how & 1:
            contract = json_text(contract, draws.chance(), 1 << 16)
        if how & 2:
            told = json_text(told, draws.chance(), 1 << 16)
        if how & 4:
            # A bank that means what it says: the contract is that of the changed table.
            with contextlib.suppress(UsageError):
                job = parse_job(read_table(told), "the fuzzer's job")
                contract = draft(job, facts, identities, now=both.clock()).canonical
        asked = _proposed(contract, told, honest[number].job, seed, how)
        reason: str | None = None
        try:
            reason = consider(platform, both.platform.jobs, both.platform.agent.catalogue, "bank", asked)
        finally:
            if reason is None:
                _put_back(both.platform, empty)
        require(reason is None or reason in JOB_REFUSALS, "a refusal for a reason that is not on the list")

    seeds = [
        bytes([n, how]) + bytes([0, 0, 0, n]) * 3 for n in range(len(tables)) for how in (0, 1, 2, 6, 8, 22)
    ]
    return Target("proposal", feed, seeds, 32, quick=100)


def _proposed(contract: bytes, told: bytes, job: str, seed: Any, how: int) -> Propose:
    """Return a proposal whose hash, card and signature fit what it says, unless ``how`` says otherwise."""
    card, digest = bytes(32), hashlib.sha256(contract).digest()
    try:
        body = json.loads(contract)
        card = bytes.fromhex(body["card"])
        job = body["job"] if how & 20 else job
    except (ValueError, TypeError, KeyError, RecursionError):
        card = bytes(32)
    signature = sign_contract(seed, digest if not how & 8 else bytes(32), "bank")
    return Propose(str(job), told, contract, card if len(card) == 32 else bytes(32), signature)


def catalogue() -> Target:
    """A partner's greeting: decoded, kept, told again, and drafted by."""
    both = pair()
    store = Catalogue(both.bank.node.home.store, both.clock)
    side = parse_job(TABLE, "the fuzzer's job")

    def feed(data: bytes) -> None:
        hello = control_codec.decode(parsed(control_pb2.ControlEnvelope, data))
        if not isinstance(hello, ControlHello):
            raise UsageError("another message: the agent is asked")
        store.remember("acme", hello)
        told = store.told("acme")
        require(told is not None and told.catalogue == hello.catalogue, "a catalogue is not told as it was")
        require(told is not None and told.limits == hello.limits, "limits are not told as they were")
        assert told is not None
        told.policy()
        pick(told.catalogue, None, side.platform, side.form, "acme")

    greetings = [each for each in SAMPLES if isinstance(each, ControlHello)]
    greetings.append(both.platform.agent.hello())
    greetings.append(ControlHello(1, "veiljoin 0", 0))
    seeds = [control_codec.encode(each).SerializeToString() for each in greetings]
    return Target("catalogue", feed, seeds, 4_096, _CHANGE, quick=300)


# -- the agent

_STEPS: Final = 6


class _Stage:
    """Two nodes with one job at a state of its life, which they are put back to after each conversation."""

    def __init__(self, at: int) -> None:
        self.both = both = pair(_STANDING)
        both.connect()
        self.job = job = both.draft().id
        if at >= 1:
            both.talk()
        if at >= 2:
            both.bank.run(job, 1)
        if at >= 3:
            both.talk()
        if at >= 4:
            both.platform.run(job, 1)
        if at >= 5:
            both.talk()
        self.sides = (both.bank, "acme"), (both.platform, "bank")
        self._rows = [_rows(side) for side, _ in self.sides]
        self._runs: list[dict[str, Run]] = [dict(side.runs) for side, _ in self.sides]

    def put_back(self) -> None:
        """Forget what was said since."""
        for (side, partner), rows, runs in zip(self.sides, self._rows, self._runs, strict=True):
            if _rows(side) != rows:
                _put_back(side, rows)
            side.runs.clear()
            side.runs.update(runs)
            side.agent.connected(partner)


def agent() -> Target:
    """Control messages about a job at each of its states, at both sides: what the agent answers and orders."""
    stages = [_Stage(at) for at in range(_STEPS)]
    bases = [_about(each, stage.job) for stage in stages for each in SAMPLES]

    def feed(data: bytes) -> None:
        draws = Draws(data)
        number = draws.below(_STEPS)
        stage = stages[number]
        own = bases[number * len(SAMPLES) : (number + 1) * len(SAMPLES)]
        try:
            for _ in range(_MOST_MESSAGES):
                if not draws.left:
                    break
                side, partner = draws.pick(stage.sides)
                said = draws.pick(own)
                if draws.number(1) & 0xC0:
                    said = _CHANGE(said, draws.chance(), 1 << 16)
                answer = side.agent.receive(
                    partner, control_codec.decode(parsed(control_pb2.ControlEnvelope, said))
                )
                for each in (*answer.messages, *side.agent.news(partner)):
                    control_codec.encode(each)
        finally:
            stage.put_back()

    seeds = [
        bytes([at, side, kind, how, 0, 0, 0, 1])
        for at in range(_STEPS)
        for side in range(2)
        for kind in range(len(SAMPLES))
        for how in (0, 0xC0)
    ]
    return Target("agent", feed, seeds, 48, quick=40)


def _about(message: ControlMessage, job: str) -> bytes:
    """Return ``message``, about ``job`` if it is about one."""
    envelope = control_codec.encode(message)
    body = getattr(envelope, str(envelope.WhichOneof("body")))
    if "job" in body.DESCRIPTOR.fields_by_name:
        body.job = job
    return envelope.SerializeToString()
