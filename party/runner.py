"""One side of one job, from the open link to the files in its staging folder; the same for both parties."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import json
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from audit.entry import Draft
from federated.terms import SumTerms
from party.combine import header
from party.contract import Contract, DatasetFacts, check_agrees, parse_contract
from party.datasets import Dataset, open_dataset
from party.guard import Guard, Standing
from party.home import Home
from party.identity import TlsMaterial, public_identity
from party.intake import InputFacts
from party.jobfile import parse_job
from party.jobspec import Job, SideSpec, other_side
from party.match_part import MatchPart
from party.measure import peak_memory_mb
from party.memo import RememberedEngine
from party.part import Part, Setting
from party.progress import Emit, Progress
from party.results import REJECTS, RESULT, write_json
from party.runfolder import RunFolder
from party.runlog import RunLog
from party.session import agree, converse, say_goodbye, why_it_ended
from party.spool import disk_error
from party.sum_part import SumPart
from party.transcript import RESULT as RESULT_GATE
from party.transcript import release_of
from party.transport import Link, Traffic
from party.version import SOFTWARE as SOFTWARE
from party.workspace import Workspace
from psi.engines import Engine, available, open_engine
from psi.errors import PolicyRefusal, VeiljoinError
from psi.role import ProtocolRole
from psi.secret import SecretBytes, Seed, SigningSeed
from psi.seed import JobRandomness, new_seed
from psi.suites import Suite, suite_by_id
from veiljoin.messages import WireMessage

# Beside both parties' folders of a rehearsal: their logs, which the coordinator keeps.
REHEARSAL_LOGS: Final = "logs"
# How long a process that ends waits for its node to note why.
_NOTING_SECONDS: Final = 5.0
# Notes what a run releases in the party's log; with a partner to cosign it, also waits for that (party.notary).
Gate = Callable[[Sequence[Draft], bool], Awaitable[None]]


async def _no_log(_: Sequence[Draft], __: bool) -> None:
    """Note nothing: for a run that no log is kept of."""


@dataclass(frozen=True, slots=True)
class SideConfig:
    """All that one party's process needs for one job. It travels over a pipe, so no key touches the disk.

    ``dataset`` and ``partner`` are what a standing node calls them; without, the file's name and the other side's.
    ``delimiter`` and ``encoding`` are how its catalogue says to read the file, where the job does not.
    ``address`` is a host and port, or for a bank's node ``fd:N``: an inherited socket to which the node passes the
    partner's stream on; such a process has no ``tls`` of its own. ``store`` is that of a home which has it elsewhere.
    ``seed`` and ``run`` are those of a run that may go on in another process: its seed, and the folder that outlives
    this one. Without them the run ends with the process. ``basis`` is the consent basis of the dataset, where the
    catalogue has one.
    """

    side: str
    job_table: Mapping[str, Any]
    job_source: str
    contract: bytes
    data: Path
    work: Path
    staging: Path
    address: str
    patience: float
    identity: SigningSeed
    tls: TlsMaterial | None
    partner_san: str
    engine: str | None = None
    threads: int | None = None
    home: Path | None = None
    store: str | None = field(default=None, repr=False)
    dataset: str | None = None
    partner: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    seed: Seed | None = None
    run: Path | None = None
    basis: str | None = None

    def to_json(self) -> str:
        """Return the configuration as one line of JSON, secrets included: for a pipe, never for a file."""
        return json.dumps(
            {
                "side": self.side,
                "job_table": self.job_table,
                "job_source": self.job_source,
                "contract": _pack(self.contract),
                "data": str(self.data),
                "work": str(self.work),
                "staging": str(self.staging),
                "address": self.address,
                "patience": self.patience,
                "identity": _pack(self.identity.reveal()),
                "tls": None if self.tls is None else _packed_tls(self.tls),
                "partner_san": self.partner_san,
                "engine": self.engine,
                "threads": self.threads,
                "home": None if self.home is None else str(self.home),
                "store": self.store,
                "dataset": self.dataset,
                "partner": self.partner,
                "delimiter": self.delimiter,
                "encoding": self.encoding,
                "seed": None if self.seed is None else _pack(self.seed.reveal()),
                "run": None if self.run is None else str(self.run),
                "basis": self.basis,
            }
        )

    @classmethod
    def from_json(cls, line: str) -> SideConfig:
        """Read what :meth:`to_json` wrote."""
        table = json.loads(line)
        tls = table.pop("tls")
        home, run, seed = table.pop("home"), table.pop("run"), table.pop("seed")
        return cls(
            home=None if home is None else Path(home),
            run=None if run is None else Path(run),
            seed=None if seed is None else Seed(_unpack(seed)),
            contract=_unpack(table.pop("contract")),
            identity=SigningSeed(_unpack(table.pop("identity"))),
            data=Path(table.pop("data")),
            work=Path(table.pop("work")),
            staging=Path(table.pop("staging")),
            tls=None if tls is None else _unpacked_tls(tls),
            **table,
        )


def _pack(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _unpack(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _packed_tls(tls: TlsMaterial) -> dict[str, str]:
    return {
        "authority": _pack(tls.authority),
        "certificate": _pack(tls.certificate),
        "key": _pack(tls.key.reveal()),
    }


def _unpacked_tls(table: Mapping[str, str]) -> TlsMaterial:
    parts = {name: _unpack(text) for name, text in table.items()}
    return TlsMaterial(parts["authority"], parts["certificate"], SecretBytes(parts["key"]))


def open_side(spec: SideSpec, path: Path) -> Dataset:
    """Open the dataset of one side and check that the columns it names are there."""
    dataset = open_dataset(path, delimiter=spec.delimiter, encoding=spec.encoding)
    dataset.require(*spec.columns)
    return dataset


def passed_over(suite: Suite, chosen: str) -> list[str]:
    """Say of each engine preferred to ``chosen`` why it cannot run here."""
    statuses = available(suite)
    preferred = takewhile(lambda status: status.name != chosen, statuses)
    return [f"{status.name}: {status.reason}" for status in preferred]


def dataset_facts(dataset: Dataset, name: str | None = None) -> DatasetFacts:
    """Return what a contract says of ``dataset``; ``name`` is its name where a catalogue has it."""
    return DatasetFacts(name or dataset.path.name, dataset.schema_fingerprint())


@dataclass(frozen=True, slots=True)
class _Done:
    """What is left of a protocol that ran to its end."""

    part: Part
    role: ProtocolRole[Any]
    facts: InputFacts
    engine: Engine
    traffic: Traffic
    prepared: Path
    masks: int


class SideRun:
    """One side's part of one job: :meth:`over` a link, then :meth:`conclude` once the link is closed.

    Writing results takes longer the more persons matched, so it waits until the partner can no longer time it.
    A context manager that removes the job's working data and ends its processes. ``gate`` is waited for before
    anything is released, to the partner or to the own files.
    """

    def __init__(self, config: SideConfig, emit: Emit, gate: Gate = _no_log) -> None:
        self._config = config
        self._emit = emit
        self._gate = gate
        self.progress = Progress(emit)
        self._job: Job = parse_job(config.job_table, config.job_source)
        self._contract: Contract = parse_contract(config.contract)
        self._suite = suite_by_id(self._contract.body["suite"])
        spec = self._job.side(config.side)
        delimiter, encoding = spec.delimiter or config.delimiter, spec.encoding or config.encoding
        spec = replace(spec, delimiter=delimiter, encoding=encoding)
        self._dataset: Dataset = open_side(spec, config.data)
        self._contract.seconds_left(datetime.datetime.now(datetime.UTC))
        own = dataset_facts(self._dataset, config.dataset)
        check_agrees(self._contract, self._job, config.side, own, public_identity(config.identity))
        self._log = RunLog(self._contract, config.side, config.basis)
        try:
            config.staging.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, config.staging) from None
        self._open = contextlib.ExitStack()
        self._done: _Done | None = None

    def __enter__(self) -> SideRun:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    async def over(self, link: Link) -> None:
        """Run the protocol over ``link`` to its last message. Tells the partner the code of an error."""
        try:
            await self._until_expiry(link)
        except BaseException as error:
            self.progress.stop()
            if isinstance(error, asyncio.CancelledError):
                known = VeiljoinError("The job was stopped.", code="cancelled")
            else:
                known = error if isinstance(error, VeiljoinError) else VeiljoinError("A fault ended the job.")
            await say_goodbye(link, known)
            raise

    async def _until_expiry(self, link: Link) -> None:
        left = self._contract.seconds_left(datetime.datetime.now(datetime.UTC))
        try:
            async with asyncio.timeout(left):
                await self._run(link)
        except TimeoutError:
            raise VeiljoinError(
                f"The contract of job {self._contract.job} expired while the job ran.",
                hint="draft the job again",
                code="bad_contract",
            ) from None

    async def conclude(self) -> dict[str, Any]:
        """Write this side's results into its staging folder and return its report."""
        if self._done is None:
            raise RuntimeError("over() comes first")
        done = self._done
        # audit/SPEC: no result is written before the partner has cosigned what it rests on.
        await self._gate(self._log.before(RESULT_GATE, done.role, done.facts), True)
        with self.progress.phase("write"):
            figures, files = await asyncio.to_thread(done.part.write, self._config.staging)
        if (done.prepared / REJECTS).exists():
            # A copy: the run may have to go on once more for the partner's sake.
            await asyncio.to_thread(shutil.copy, done.prepared / REJECTS, self._config.staging / REJECTS)
            files = [REJECTS, *files]
        facts = done.facts
        report = figures | {
            "party": {
                "rows_read": facts.rows,
                "rejected": facts.rejected,
                "duplicates": facts.duplicates,
                "unique_persons": facts.persons,
                "held_back": facts.held_back,
                "files": files,
                "bytes_sent": done.traffic.sent,
                "bytes_received": done.traffic.received,
                "seconds": {name: round(seconds, 3) for name, seconds in self.progress.seconds.items()},
                "engine": done.engine.name,
                "threads": done.engine.threads,
                "masks": done.masks,
                "peak_memory_mb": peak_memory_mb((*done.engine.processes, *done.part.processes)),
                **done.part.details,
            }
        }
        write_json(self._config.staging / RESULT, self._own_result(report))
        return report

    async def _run(self, link: Link) -> None:
        config = self._config
        with self.progress.phase("agree"):
            await agree(link, self._contract, config.side, config.identity, SOFTWARE)
        randomness = JobRandomness(config.seed or new_seed(), self._contract.hash)
        self._open.callback(randomness.destroy)
        folder = RunFolder(config.run or config.work / "run")
        sets, masks = folder.memos(randomness, keep=config.run is not None)
        engine = RememberedEngine(self._open_engine(), sets, masks)
        checkpoint = folder.checkpoint(terms=self._sum_terms())
        held = checkpoint.extra() if config.run is not None else None
        guard = self._open_guard(Standing(**held) if held else None)
        workspace = Workspace(config.work, config.threads, folder.prepared)
        setting = Setting(
            job=self._job,
            side=config.side,
            contract=self._contract,
            dataset=self._dataset,
            randomness=randomness,
            engine=engine,
            workspace=self._open.enter_context(workspace),
            progress=self.progress,
            threads=config.threads,
            memo=masks,
            closing=self._open,
            sketch=None if guard is None else guard.sketch,
        )
        part: Part = SumPart(setting) if self._job.kind.is_sum else MatchPart(setting)
        facts = None if held is None else await asyncio.to_thread(part.load, checkpoint)
        if facts is None:
            folder.prepare_again()
            facts = await self._while_linked(link, part.prepare, folder.prepared / REJECTS)
            if guard is not None:
                await asyncio.to_thread(guard.admit)
            if config.run is not None:
                kept = {} if guard is None else asdict(guard.keep())
                await asyncio.to_thread(part.save, checkpoint, kept)
            sets.forget()
        role = await asyncio.to_thread(part.role)
        journal = await asyncio.to_thread(folder.journal, config.work / "aside")

        loop = asyncio.get_running_loop()

        def before_release() -> None:
            if guard is None:
                return
            try:
                guard.release(part.peer_persons)
            except PolicyRefusal as refusal:
                refused = self._log.refused(role, refusal.code.name)
                noting = asyncio.run_coroutine_threadsafe(self._noted(refused), loop)
                with contextlib.suppress(VeiljoinError, TimeoutError):
                    noting.result(_NOTING_SECONDS)
                raise

        passed: set[str] = set()

        async def before_sending(message: WireMessage) -> None:
            release = release_of(message)
            if release is not None and release not in passed:
                await self._gate(self._log.before(release, role, facts), True)
                passed.add(release)

        try:
            with self.progress.phase(part.phase):
                await converse(link, role, journal, self.progress, before_release, before_sending)
        except VeiljoinError:
            # What went out before it broke is in the log all the same; the partner may have meant it to break.
            with contextlib.suppress(VeiljoinError, TimeoutError):
                async with asyncio.timeout(_NOTING_SECONDS):
                    await self._noted(self._log.broken(role, passed))
            role.close()
            raise
        except BaseException:
            role.close()
            raise
        computed = sets.computed + masks.computed
        self._done = _Done(part, role, facts, engine, link.traffic, folder.prepared, computed)

    async def _noted(self, drafts: Sequence[Draft]) -> None:
        await self._gate(drafts, False)

    def _sum_terms(self) -> SumTerms | None:
        return self._contract.sum_terms() if self._job.kind.is_sum else None

    def _open_guard(self, standing: Standing | None) -> Guard | None:
        """Return what holds this job to the own policy; ``None`` for a party without a home, in a rehearsal."""
        config = self._config
        if config.home is None:
            return None
        home = self._open.enter_context(Home.open(config.home, store=config.store))
        dataset = config.dataset or self._dataset.path.name
        partner = config.partner or other_side(config.side)
        return self._open.enter_context(
            Guard(home, self._job, config.side, dataset, partner, self._contract.job, standing)
        )

    def _open_engine(self) -> Engine:
        engine = open_engine(self._suite, self._config.engine, self._config.threads)
        self._open.callback(engine.close)
        self._emit(
            {
                "event": "engine",
                "engine": engine.name,
                "threads": engine.threads,
                "passed_over": [] if self._config.engine else passed_over(self._suite, engine.name),
            }
        )
        return engine

    async def _while_linked(self, link: Link, work: Callable[[Path], InputFacts], path: Path) -> InputFacts:
        """Run ``work(path)`` in a thread; if the link ends meanwhile, stop it and say why."""
        working = asyncio.create_task(asyncio.to_thread(work, path))
        ended = asyncio.create_task(link.ended.wait())
        try:
            await asyncio.wait((working, ended), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise await why_it_ended(link)
            return working.result()
        finally:
            ended.cancel()
            if not working.done():
                # The thread must be out of the workspace before that is removed; it ends at its next batch.
                self.progress.stop()
                await asyncio.gather(working, return_exceptions=True)

    def _own_result(self, report: Mapping[str, Any]) -> dict[str, Any]:
        """This side's own result file: the combined one of a rehearsal holds both."""
        head = header(self._job, self._contract) if self._job.kind.is_sum else {}
        return {
            "kind": self._job.kind.value,
            "job": self._contract.job,
            "contract": self._contract.hash.hex(),
            **head,
            **{key: value for key, value in report.items() if key != "party"},
            "parties": {self._config.side: report["party"]},
        }
