"""Both parties of a job as two real processes on this machine: a dry run before going live.

The coordinator drafts the contract, starts a process per party with throwaway identities, watches both and
publishes the results once both are done. If either fails, nothing is published.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from audit.entry import Draft
from party.combine import combine
from party.contract import Contract, draft
from party.disclosure import Card, card_for
from party.drafting import under
from party.home import Home
from party.identity import Authority, new_identity, partner_uri, public_identity
from party.jobfile import SIDES, Job
from party.policy import NO_POLICY, Change
from party.rehearsal_logs import RehearsalLogs, bundle_name
from party.report import REPORT_FILES, write_reports
from party.results import FILES, RESULT, write_json
from party.runner import REHEARSAL_LOGS, SideConfig, dataset_facts, open_side
from party.spool import disk_error
from psi.engines import open_engine
from psi.errors import CODES, VeiljoinError
from psi.secret import SigningSeed

BANK: Final = "bank"
# How long the first party to start waits for the other.
PATIENCE: Final = 30.0
# How long the second party may take to end by itself once the first has, and then, once it was told to.
GRACE: Final = 15.0
LAST_GRACE: Final = 8.0
_RUN_PREFIX: Final = ".veiljoin-"
_PARTNER: Final = "platform"

Observe = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished rehearsal: the combined result, what each side alone was told, and where the files lie."""

    result: Mapping[str, Any]
    sides: Mapping[str, Mapping[str, Any]]
    folder: Path
    card: Card
    contract: Contract


class RehearsalFailed(VeiljoinError):
    """A rehearsal that ended without a result; ``sides`` says per party what it had to say."""

    def __init__(self, cause: VeiljoinError, sides: Sequence[str]) -> None:
        super().__init__(cause.message, hint=cause.hint, code=cause.code.name)
        self.sides = sides


@dataclass(frozen=True, slots=True)
class Plan:
    """A rehearsal that was checked and drafted, and can run.

    ``changes`` are what the parties' policies made stricter.
    """

    job: Job
    table: Mapping[str, Any]
    data: Mapping[str, Path]
    out: Path
    card: Card
    contract: Contract
    configs: Mapping[str, Callable[[Path, str], SideConfig]]
    identities: Mapping[str, SigningSeed]
    changes: tuple[Change, ...] = ()


def plan(
    job: Job,
    table: Mapping[str, Any],
    data: Mapping[str, Path],
    out: Path,
    *,
    engine: str | None = None,
    threads: int | None = None,
    homes: Mapping[str, Path] | None = None,
) -> Plan:
    """Check both datasets and the output folder, and draft the contract.

    ``homes`` are the folders of parties whose policy, budget and ledger the job is held to; the contract takes the
    stricter of both policies. Raises ``UsageError``; writes nothing but the output folder and missing homes.
    """
    homes = {} if homes is None else homes
    job, table, changes = _under_policies(job, table, homes)
    datasets = {side: open_side(job.side(side), data[side]) for side in SIDES}
    if engine is not None or threads is not None:
        open_engine(job.suite, engine, threads).close()
    _check_writable(out)
    identities = {side: new_identity() for side in SIDES}
    public = {side: public_identity(identity) for side, identity in identities.items()}
    facts = {side: dataset_facts(dataset) for side, dataset in datasets.items()}
    contract = draft(job, facts, public, now=datetime.datetime.now(datetime.UTC))
    authority = Authority(BANK)
    tls = {"bank": authority.issue_bank(), "platform": authority.issue_partner(_PARTNER)}

    def config_for(side: str) -> Callable[[Path, str], SideConfig]:
        def config(run: Path, address: str) -> SideConfig:
            return SideConfig(
                side=side,
                job_table=table,
                job_source=job.source,
                contract=contract.canonical,
                data=data[side].absolute(),
                work=run / side / "work",
                staging=run / side / "staging",
                address=address,
                patience=PATIENCE,
                identity=identities[side],
                tls=tls[side],
                partner_san=partner_uri(BANK, _PARTNER),
                engine=engine,
                threads=threads,
                home=homes[side].absolute() if side in homes else None,
            )

        return config

    configs = {side: config_for(side) for side in SIDES}
    return Plan(job, table, data, out, card_for(job), contract, configs, identities, changes)


def _under_policies(
    job: Job, table: Mapping[str, Any], homes: Mapping[str, Path]
) -> tuple[Job, Mapping[str, Any], tuple[Change, ...]]:
    """Return the job with the stricter of its own parameters and the policies of those who have a home."""
    policies = {}
    for side, folder in homes.items():
        with Home.open(folder) as home:
            policies[side] = home.policy
    if not policies:
        return job, table, ()
    return under(job, table, policies.get("bank", NO_POLICY), policies.get("platform", NO_POLICY))


def run(plan: Plan, *, listen: str = "127.0.0.1:0", observe: Observe, language: str = "en") -> Outcome:
    """Run both parties. ``observe(side, event)`` is told every event; reports open in ``language``.

    Raises ``VeiljoinError``.
    """
    _sweep(plan.out)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{_RUN_PREFIX}{os.getpid()}-", dir=plan.out))
    except OSError as error:
        raise disk_error(error, plan.out) from None
    try:
        with RehearsalLogs(folder / REHEARSAL_LOGS, plan.identities) as logs:
            logs.signed(
                plan.contract, {side: plan.contract.body["parties"][side]["dataset"] for side in SIDES}
            )
            reports = _Parties(plan, folder, listen, observe, logs).run()
            logs.ended(plan.contract, None)
            logs.export(plan.contract, plan.job, {side: folder / side / "staging" for side in SIDES})
        result = _combine(plan, reports)
        if plan.job.kind.is_sum:
            write_reports(folder, result, plan.job, language=language)
        _publish(plan.out, folder, result)
        return Outcome(result, reports, plan.out, plan.card, plan.contract)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Parties:
    """The two processes of one rehearsal."""

    def __init__(self, plan: Plan, folder: Path, listen: str, observe: Observe, logs: RehearsalLogs) -> None:
        self._logs = logs
        self._plan = plan
        self._folder = folder
        self._listen = listen
        self._observe = observe
        self._events: queue.Queue[tuple[str, dict[str, Any] | None]] = queue.Queue()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._phases: dict[str, str] = {}
        self._reports: dict[str, dict[str, Any]] = {}
        self._errors: dict[str, VeiljoinError] = {}
        # Parties that we ended ourselves, because the other one had failed.
        self._stopped: set[str] = set()

    def run(self) -> dict[str, dict[str, Any]]:
        try:
            for side in SIDES:
                self._start(side)
            self._configure("bank", self._listen)
            self._watch()
        finally:
            self._end_all()
        if len(self._reports) < len(SIDES) or self._errors:
            raise self._failure()
        return self._reports

    # -- processes

    def _start(self, side: str) -> None:
        # The working directory and an inherited PYTHONPATH must not decide which code runs.
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
        environment["PYTHONSAFEPATH"] = "1"
        # What goes wrong is told in our own words; gRPC's log lines would stand between them.
        environment.setdefault("GRPC_VERBOSITY", "NONE")
        # glibc would give each of some twenty threads a heap of its own, which keeps memory and saves no time.
        environment.setdefault("MALLOC_ARENA_MAX", "2")
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.node"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            # An interrupt at the terminal reaches the coordinator alone, which stops both in order.
            start_new_session=True,
        )
        self._processes[side] = process
        self._observe(side, {"event": "started", "pid": process.pid})
        threading.Thread(target=self._listen_to, args=(side, process), daemon=True).start()

    def _listen_to(self, side: str, process: subprocess.Popen[bytes]) -> None:
        if process.stdout is not None:
            with process.stdout as pipe:
                for line in pipe:
                    with contextlib.suppress(ValueError):
                        self._events.put((side, json.loads(line)))
        process.wait()
        self._events.put((side, None))

    def _configure(self, side: str, address: str) -> None:
        self._tell(side, self._plan.configs[side](self._folder, address).to_json())

    def _tell(self, side: str, line: str) -> None:
        pipe = self._processes[side].stdin
        with contextlib.suppress(BrokenPipeError):  # it has died, which its exit status will tell
            if pipe is not None:
                pipe.write(line.encode() + b"\n")
                pipe.flush()

    def _watch(self) -> None:
        running = set(SIDES)
        deadline: float | None = None
        while running:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                side, event = self._events.get(timeout=wait)
            except queue.Empty:
                for name in running:
                    self._stop(name)
                deadline = time.monotonic() + LAST_GRACE
                continue
            if event is None:
                running.discard(side)
                self._note_end(side)
                if side in self._errors and not self._stopped:
                    # A party that has no link yet cannot hear of it from the other one.
                    linked = all(self._phases.get(name, "connect") != "connect" for name in running)
                    deadline = time.monotonic() + (GRACE if linked else 0.0)
                continue
            self._handle(side, event)

    def _stop(self, side: str) -> None:
        """Ask a party to end; the second time, make it: a process that is stopped or stuck hears nothing."""
        process = self._processes[side]
        if side in self._stopped:
            process.kill()
        else:
            process.terminate()
        self._stopped.add(side)

    def _handle(self, side: str, event: dict[str, Any]) -> None:
        match event["event"]:
            case "listening":
                host = self._listen.rpartition(":")[0]
                self._configure("platform", f"{host}:{event['port']}")
            case "phase":
                self._phases[side] = event["phase"]
            case "error":
                code = event["code"] if event["code"] in CODES else "internal"
                self._errors[side] = VeiljoinError(event["message"], hint=event["hint"], code=code)
            case "gate":
                self._pass_gate(side, event)
                return
            case "result":
                self._reports[side] = event["report"]
        self._observe(side, event)

    def _pass_gate(self, side: str, event: dict[str, Any]) -> None:
        """Note what a party says in its log, have the other one cosign it, and answer."""
        drafts = [Draft(**draft) for draft in event["drafts"]]
        answer: dict[str, Any] = {"gate": event["number"]}
        try:
            self._logs.gate(side, drafts, cosigned=event["cosigned"])
        except VeiljoinError as error:
            answer |= {"code": error.code.name, "message": error.message, "hint": error.hint}
        self._tell(side, json.dumps(answer))

    def _note_end(self, side: str) -> None:
        status = self._processes[side].returncode
        if status == 0 or side in self._errors:
            return
        phase = self._phases.get(side, "start")
        if side in self._stopped:
            if status == -signal.SIGTERM:
                return  # it obeyed before it could say so
            how, hint = "did not answer any more and was ended", "start the job again; nothing was written"
        elif status < 0:
            name = signal.Signals(-status).name if -status in list(signal.Signals) else str(-status)
            how, hint = f"was killed ({name})", "start the job again; nothing was written"
        else:
            how, hint = f"ended with status {status}", "what it printed above says more"
        self._errors[side] = VeiljoinError(
            f"The {side}'s process {how} in phase {phase}.", hint=hint, code="link_lost"
        )

    def _end_all(self) -> None:
        for process in self._processes.values():
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
        end = time.monotonic() + GRACE
        for process in self._processes.values():
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _failure(self) -> RehearsalFailed:
        """The error of the side where it began: the other one only heard that something was wrong."""
        heard = ("link_lost", "peer_aborted", "cancelled", "peer_absent")
        killed = [side for side, process in self._processes.items() if process.returncode < 0]
        order = sorted(
            self._errors, key=lambda side: (side not in killed, self._errors[side].code.name in heard)
        )
        lines = [f"{side}: {self._errors[side].message}" for side in SIDES if side in self._errors]
        return RehearsalFailed(self._errors[order[0]], lines)


def _sweep(out: Path) -> None:
    """Remove what an earlier run left behind whose coordinator was killed before it could."""
    for folder in out.glob(f"{_RUN_PREFIX}*"):
        owner = folder.name.removeprefix(_RUN_PREFIX).partition("-")[0]
        if owner.isdecimal() and not _alive(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _check_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise disk_error(error, out) from None


def _combine(plan: Plan, reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The rehearsal's own view: who runs both sides may see both. With two receivers the figures agree."""
    if plan.job.kind.is_sum:
        return combine(plan.job, plan.contract, reports)
    counting = plan.job.protocol_receiver
    told = reports[counting]
    return {
        "kind": plan.job.kind.value,
        "job": plan.contract.job,
        "contract": plan.contract.hash.hex(),
        "suite": plan.job.suite.id,
        "identifier": plan.job.form.text,
        "receiver": plan.job.receiver,
        **{key: told[key] for key in ("totals", "groups", "suppressed_groups", "withheld")},
        "parties": {side: reports[side]["party"] for side in SIDES},
    }


def _publish(out: Path, run_folder: Path, result: Mapping[str, Any]) -> None:
    """Move both parties' files to their places; files of an earlier run are replaced as a whole."""
    try:
        # The combined result is the mark of a whole one: it goes first and comes last.
        for name in (RESULT, *REPORT_FILES):
            (out / name).unlink(missing_ok=True)
        for side in SIDES:
            target = out / side
            target.mkdir(mode=0o700, exist_ok=True)
            staged = run_folder / side / "staging"
            for name in (*FILES, *REPORT_FILES, bundle_name(side)):
                (target / name).unlink(missing_ok=True)
            for path in sorted(staged.iterdir()):
                os.replace(path, target / path.name)
        for name in REPORT_FILES:
            if (run_folder / name).exists():
                os.replace(run_folder / name, out / name)
        write_json(run_folder / RESULT, result)
        os.replace(run_folder / RESULT, out / RESULT)
    except OSError as error:
        raise disk_error(error, out) from None
