"""The attempts that a standing node runs: each in a process of its own, under the store's lease.

An attempt that is cut goes on in the next one, with the seed and the journal of its run, until the job ends. A job is
done only once both sides' parts are complete: the platform says when its own is, the bank then ends the job
and says so, and only then does either publish. So whichever process dies, there is one result on each side or none.
"""

from __future__ import annotations

import asyncio
import datetime
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from party.catalogue import Catalogue
from party.certificates import pem_of
from party.jobprocess import PAUSES, Ending, JobProcess
from party.jobrecords import JobRecord
from party.jobs import Jobs
from party.jobstates import JobState
from party.keeping import Keeping
from party.node import Node
from party.nodefile import BANK
from party.notary import Notary, refused
from party.partners import PartnerState
from party.passing import INHERITED
from party.releases import Releases
from party.run import Rest, Run, Stage
from party.runner import SideConfig
from party.showing import Showing
from party.workroom import Workroom
from psi.errors import PeerViolation, UsageError, VeiljoinError

LEASE: Final = datetime.timedelta(seconds=15)
# How long the bank waits for the stream of a job that it has started.
JOIN_SECONDS: Final = 60.0
_DIAL_SECONDS: Final = 30.0
# How long a job rests after its first cut, and at most after many that brought it no further.
_FIRST_REST: Final = 1.0
_LONGEST_REST: Final = 60.0

Tell = Callable[[dict[str, Any]], None]


def _is_identity(error: VeiljoinError) -> bool:
    return error.code.name == "peer_identity"


class Runs:
    """The attempts of this node's process ``instance``. ``tell`` is told what happens, for the node's log.

    To be used inside one event loop. Steps that find the job taken or ended elsewhere end the attempt quietly. What a
    process has to note in the log, and to have cosigned, goes through ``notary``.
    """

    def __init__(self, node: Node, jobs: Jobs, instance: str, tell: Tell, notary: Notary) -> None:
        self._node = node
        self._jobs = jobs
        self._instance = instance
        self._tell = tell
        self._notary = notary
        self._lock = asyncio.Lock()
        self._runs: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.workroom = Workroom(node.home.folder.absolute())
        self._keeping = Keeping(node, self.workroom)
        self._showing = Showing(self.workroom, self._say)
        self._releases = Releases(node, jobs, instance, notary, self._say)
        self._resting: dict[str, Rest] = {}

    def get(self, job: str) -> Run | None:
        """Return the attempt of ``job`` that is under way here."""
        return self._runs.get(job)

    def busy(self, partner: str) -> bool:
        """Return whether a job with ``partner`` is under way here."""
        return any(run.partner == partner for run in self._runs.values())

    def rests(self, job: str) -> bool:
        """Return whether ``job`` was cut just now and is not to be begun again yet."""
        rest = self._resting.get(job)
        return rest is not None and rest.until > time.monotonic()

    def __len__(self) -> int:
        return len(self._runs)

    # -- beginning

    async def open(self, job: str) -> Run | None:
        """At the bank: take the job's lease and wait for the partner's stream."""
        async with self._lock:
            return await self._begin(job, None, Stage.WAITING)

    async def begin(self, job: str, attempt: int) -> None:
        """At the platform: take the lease and dial; ``attempt`` is the bank's count."""
        async with self._lock:
            run = await self._begin(job, attempt, Stage.WORKING)
        if run is not None:
            self._task(self._work(run, None))

    def claim(self, partner: str, job: str) -> Run:
        """At the bank: give the attempt that waits for this stream. Raises ``PeerViolation`` if none does."""
        run = self._runs.get(job)
        if run is None or run.partner != partner or run.stage is not Stage.WAITING:
            raise PeerViolation(
                f"{partner} opened a stream for a job that does not wait for it.",
                hint="if it goes on, compare both nodes' versions",
            )
        run.stage = Stage.WORKING
        return run

    def attach(self, run: Run) -> socket.socket:
        """At the bank: start the process of ``run``; returns the node's end of its stream."""
        own, theirs = socket.socketpair()
        self._task(self._work(run, theirs))
        return own

    async def _begin(self, job: str, attempt: int | None, stage: Stage) -> Run | None:
        if job in self._runs:
            return None
        try:
            partner = (await asyncio.to_thread(self._jobs.get, job)).partner
            why = await asyncio.to_thread(self._notary.trouble, partner)
            if why is not None:
                raise refused(partner, why)
            record = await asyncio.to_thread(self._jobs.start, job, self._instance, LEASE)
            number = attempt or record.attempts
            await asyncio.to_thread(self.workroom.prepare, job, number)
        except VeiljoinError as error:
            if error.code.name == "cosign_refused":
                self._resting[job] = Rest(0, 0, time.monotonic() + _LONGEST_REST / 6)
            self._say(job, "not_started", error)
            return None
        run = Run(job, record.partner, number, stage, time.monotonic())
        self._runs[job] = run
        self._tell({"event": "job", "job": job, "state": "running", "attempt": number})
        return run

    def _task(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- the process

    async def _work(self, run: Run, end: socket.socket | None) -> None:
        try:
            config = await asyncio.to_thread(self._config, run, end)
            run.process = await JobProcess.start(config, end)
            self._tell({"event": "process", "job": run.job, "attempt": run.attempt, "pid": run.process.pid})
            if self._runs.get(run.job) is not run:
                await run.process.stop()
            ending = await run.process.follow(lambda event: self._heard(run, event))
        except VeiljoinError as error:
            if end is not None:
                end.close()
            # Room on the disk and the store come back.
            passing = error.code.name in PAUSES
            ending = Ending(False, error.code.name, error.message, error.hint, cut=passing)
        async with self._lock:
            if self._runs.get(run.job) is run:
                try:
                    await self._ended(run, ending)
                except VeiljoinError as error:
                    # The store, mostly: what was not noted is noted by `tidy`, once it is back.
                    self._tell({"event": "fault", "text": error.message, "hint": error.hint})

    def _config(self, run: Run, end: socket.socket | None) -> SideConfig:
        node, record = self._node, self._jobs.get(run.job)
        partner = node.partners.get(run.partner)
        data = Catalogue(node.home.store, node.clock).get(record.dataset)
        room = self.workroom.room(run.job, run.attempt)
        bank = node.file.role == BANK
        tls = None if bank else node.credentials.material()
        run.certificate = None if tls is None else tls.certificate
        seed = self._keeping.seed(run.job)
        self._keeping.seal(record, seed, delimiter=data.delimiter, encoding=data.encoding)
        return SideConfig(
            side=node.file.role,
            job_table=record.table,
            job_source=f"job {run.job[:8]}",
            contract=record.contract or b"",
            data=data.path,
            work=room / "work",
            staging=self.workroom.staging(run.job, run.attempt),
            address=f"{INHERITED}{end.fileno()}" if end is not None else partner.address or "",
            patience=_DIAL_SECONDS,
            identity=node.credentials.identity(),
            tls=tls,
            partner_san=partner.san,
            home=node.home.folder.absolute(),
            store=node.file.store,
            seed=seed,
            basis=data.basis,
            run=self.workroom.run(run.job),
            dataset=record.dataset,
            partner=run.partner,
            delimiter=data.delimiter,
            encoding=data.encoding,
        )

    def _heard(self, run: Run, event: Mapping[str, Any]) -> None:
        if event.get("event") == "gate":
            self._task(self._releases.answer(run, event, lambda: self._runs.get(run.job) is run))
        elif event.get("event") in ("phase", "progress") and self._runs.get(run.job) is run:
            self._showing.own(run, event)

    async def show(self, job: str, attempt: int, phase: str, share: int) -> None:
        """Keep where the partner's part of ``attempt`` is; ``share`` is in percent of the phase."""
        run = self._runs.get(job)
        if run is not None and run.attempt == attempt:
            await asyncio.to_thread(self._showing.partner, run, phase, share)

    async def _ended(self, run: Run, ending: Ending) -> None:
        if run.fault is not None and not ending.done:
            fault = run.fault
            code = fault.code.name
            # Whether the partner still has access could not be looked up: that passes.
            cut, refused_us = code in PAUSES, _is_identity(fault)
            ending = Ending(False, code, fault.message, fault.hint, cut=cut, refused=refused_us)
        if ending.refused and await asyncio.to_thread(self._has_newer_certificate, run):
            # The stream outlived its certificate; on the next one the job goes on.
            ending = replace(ending, cut=True)
        if not ending.done:
            self._tell(
                {
                    "event": "ended",
                    "job": run.job,
                    "code": ending.code,
                    "text": ending.message,
                    "hint": ending.hint,
                }
            )
            if ending.anew:
                await asyncio.to_thread(self._keeping.end, run.job)
            await self._give_up(run, ending.code, cut=ending.cut, died=ending.died)
            return
        try:
            await asyncio.to_thread(self.workroom.complete, run.job, run.attempt)
        except UsageError as error:
            self._say(run.job, "not_kept", error)
            await self._give_up(run, error.code.name, cut=error.code.name in PAUSES)
            return
        run.stage, run.process = Stage.COMPLETE, None
        if run.partner_complete:
            await self._finish(run)

    def _has_newer_certificate(self, run: Run) -> bool:
        """Return whether the partner's node still has access, though its certificate of this attempt has none."""
        if run.certificate is None:
            return self._node.partners.get(run.partner).state is PartnerState.ACTIVE
        current = self._node.credentials.current()
        return current is not None and pem_of(current.certificate) != run.certificate

    # -- ending

    async def cut(self, job: str, code: str) -> None:
        """End the attempt; another may follow."""
        async with self._lock:
            run = self._runs.get(job)
            if run is not None:
                await self._give_up(run, code, cut=True)

    async def drop(self, job: str) -> None:
        """End the attempt of a job that has ended otherwise."""
        async with self._lock:
            await self._drop(job)
            await self._end_run(job)

    async def fail(self, job: str, code: str) -> None:
        """End the job without a result."""
        async with self._lock:
            await self._drop(job)
            await self._step(job, lambda: self._jobs.fail(job, self._instance, code))
            await self._end_run(job)

    async def partner_complete(self, job: str, attempt: int) -> None:
        """At the bank: note that the platform's part of ``attempt`` is whole."""
        async with self._lock:
            run = self._runs.get(job)
            if run is None or run.stage is Stage.WAITING:
                return
            if run.attempt != attempt:
                # A process of an earlier attempt dialled late and was taken for this one's.
                await self._give_up(run, "peer_cut", cut=True)
                return
            run.partner_complete = True
            if run.stage is Stage.COMPLETE:
                await self._finish(run)

    async def settle(self, job: str, attempt: int) -> None:
        """At the platform: the bank has ended the job with ``attempt``; do the same with the own part of it."""
        async with self._lock:
            run = self._runs.get(job)
            if run is None and self.workroom.is_complete(job, attempt):
                # Left by a process of this node that died between its own end and the bank's word.
                if await self._step(job, lambda: self._jobs.start(job, self._instance, LEASE)) is None:
                    return
                run = Run(job, "", attempt, Stage.COMPLETE, time.monotonic())
                self._runs[job] = run
            if run is not None and run.stage is Stage.COMPLETE and run.attempt == attempt:
                run.partner_complete = True
                await self._finish(run)
            elif run is None:
                await self._step(job, lambda: self._jobs.fail(job, self._instance, "result_lost"))

    async def _finish(self, run: Run) -> None:
        keep = datetime.timedelta(days=self._node.home.policy.result_days)
        done = await self._step(run.job, lambda: self._jobs.finish(run.job, self._instance, keep))
        if done is None:
            await self._drop(run.job)
            await self._end_run(run.job)
            return
        await self._publish(run)

    async def _publish(self, run: Run) -> None:
        """Move the part of an attempt that ended its job to the results."""
        self._runs.pop(run.job, None)
        # First the entry, then what it is of: whoever finds a result finds its entry.
        await self._releases.note(run.job)
        try:
            folder = await asyncio.to_thread(self.workroom.publish, run.job, run.attempt)
        except UsageError as error:
            # It is complete and stays where it is; the node publishes it when it starts again.
            self._say(run.job, "not_published", error)
            return
        await self._end_run(run.job)
        self._tell({"event": "result", "job": run.job, "folder": str(folder)})

    async def _give_up(self, run: Run, code: str, *, cut: bool, died: bool = False) -> None:
        job = run.job
        await self._drop(job)
        if not cut:
            await self._step(job, lambda: self._jobs.fail(job, self._instance, code))
        else:
            await self._retry(job, code, died=died)
        await self._end_run(job)

    async def _retry(self, job: str, code: str, *, died: bool = False) -> None:
        reached = await asyncio.to_thread(self.workroom.reached, job)
        last = self._resting.get(job)
        cuts = 0 if last is None or reached > last.reached else last.cuts + 1
        pause = min(_LONGEST_REST, _FIRST_REST * 2**cuts)
        self._resting[job] = Rest(cuts, reached, time.monotonic() + pause)
        await self._step(
            job, lambda: self._jobs.retry(job, self._instance, code, reached=reached, counts=died)
        )

    async def _drop(self, job: str) -> None:
        run = self._runs.pop(job, None)
        if run is None:
            return
        if run.process is not None:
            await run.process.stop()
        await asyncio.to_thread(self.workroom.discard, job)

    async def _step(self, job: str, step: Callable[[], JobRecord]) -> JobRecord | None:
        """Take a step of the store; one that somebody was faster with is told and passed over."""
        try:
            record = await asyncio.to_thread(step)
        except UsageError as error:
            if error.code.name not in ("wrong_state", "unknown_job"):
                raise
            self._say(job, "passed_over", error)
            return None
        self._tell({"event": "job", "job": job, "state": record.state.value, "code": record.code})
        return record

    def _say(self, job: str, event: str, error: VeiljoinError) -> None:
        told = {"code": error.code.name, "text": error.message, "hint": error.hint}
        self._tell({"event": event, "job": job} | told)

    # -- time

    async def renew(self) -> None:
        """Keep the leases; an attempt whose job was cancelled or taken over ends. Cuts those nobody joined."""
        for run in list(self._runs.values()):
            try:
                await asyncio.to_thread(self._jobs.renew, run.job, self._instance, LEASE)
            except UsageError as error:
                if error.code.name not in ("wrong_state", "unknown_job"):
                    raise
                async with self._lock:
                    if self._runs.get(run.job) is run:
                        await self._lost(run)
                continue
            if run.stage is Stage.WAITING and time.monotonic() - run.since > JOIN_SECONDS:
                await self.cut(run.job, "peer_absent")

    async def _lost(self, run: Run) -> None:
        """Leave a job that is no longer ours to run: it was cancelled or taken over, or is done."""
        record = await asyncio.to_thread(self._jobs.get, run.job)
        if run.stage is Stage.COMPLETE and record.state is JobState.DONE:
            await self._publish(run)  # who had ended it was stopped before this
            return
        await self._drop(run.job)
        await self._end_run(run.job)

    async def tidy(self) -> None:
        """End what others left running, and what has run out: a result is removed before its job expires."""
        wrong = await asyncio.to_thread(self._node.home.refresh)
        if wrong is not None:
            self._tell({"event": "fault", "text": wrong.message, "hint": wrong.hint})
        for record in await asyncio.to_thread(self._jobs.lapse, self._instance):
            self._tell({"event": "job", "job": record.id, "state": record.state.value, "code": record.code})
        await self._catch_up()
        await self._sweep()
        days = datetime.timedelta(days=self._node.home.policy.result_days)
        await asyncio.to_thread(self.workroom.kept.expire, (self._node.clock() - days).timestamp())
        for record in await asyncio.to_thread(self._jobs.due):
            job = record.id
            async with self._lock:
                await self._drop(job)
                try:
                    await asyncio.to_thread(self.workroom.remove_result, job)
                except UsageError as error:
                    # It stays due; the others' time has come all the same.
                    self._say(job, "not_removed", error)
                    continue
                await asyncio.to_thread(self.workroom.discard, job)
                await self._step(job, lambda job=job: self._jobs.expire(job, self._instance))  # type: ignore[misc]

    async def _catch_up(self) -> None:
        """Take the steps that an attempt ended with while the store could not be written."""
        held = JobState.RUNNING
        page = await asyncio.to_thread(lambda: self._jobs.list(states=(held,), limit=200))
        for record in page.jobs:
            async with self._lock:
                job, run = record.id, self._runs.get(record.id)
                if run is not None and run.stage is Stage.COMPLETE and run.partner_complete:
                    await self._finish(run)
                elif run is None and record.holder == self._instance:
                    # Under the lock nobody is between taking the lease and its attempt; but it may have ended since.
                    now = await asyncio.to_thread(self._jobs.get, job)
                    if now.state is held and now.holder == self._instance:
                        await self._retry(job, "not_noted")

    async def _sweep(self) -> None:
        """Drop the runs of jobs that have ended, by whatever command or message."""
        for job in await asyncio.to_thread(self._keeping.jobs):
            async with self._lock:
                await self._end_run(job)

    async def _end_run(self, job: str) -> None:
        """Drop the run of a job that has ended; one that may go on is kept."""
        if job not in self._runs and not await asyncio.to_thread(self._goes_on, job):
            self._resting.pop(job, None)
            await asyncio.to_thread(self._keeping.end, job)

    async def recover(self) -> None:
        """Put in order what a process of this node left that died; to be called while no other one can be there."""
        published = await asyncio.to_thread(self.workroom.recover, self._fate, self._goes_on)
        for job in published:
            await self._releases.note(job)
        await self._sweep()
        page = await asyncio.to_thread(lambda: self._jobs.list(states=(JobState.RUNNING,), limit=200))
        for record in page.jobs:
            if record.holder == self._instance:
                # A part that is whole waits for the bank's word alone, however often its node dies.
                whole = await asyncio.to_thread(self.workroom.is_any_complete, record.id)
                await self._retry(record.id, "node_died", died=not whole)
        self._resting.clear()

    def _goes_on(self, job: str) -> bool:
        try:
            return self._jobs.get(job).state in (JobState.RUNNING, JobState.ACCEPTED)
        except UsageError as error:
            if error.code.name != "unknown_job":
                raise
            return False

    def _fate(self, job: str) -> str:
        try:
            state = self._jobs.get(job).state
        except UsageError:
            return "discard"
        if state is JobState.DONE:
            return "publish"
        waits = self._node.file.role != BANK and state in (JobState.RUNNING, JobState.ACCEPTED)
        return "keep" if waits else "discard"

    async def close(self) -> None:
        """End every attempt, so that the next process of this node need not wait for the leases."""
        async with self._lock:
            for run in list(self._runs.values()):
                kept = run.stage is Stage.COMPLETE and self._node.file.role != BANK
                self._runs.pop(run.job, None)
                if run.process is not None:
                    await run.process.stop()
                if not kept:
                    await asyncio.to_thread(self.workroom.discard, run.job)
                await self._retry(run.job, "node_stopped")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
