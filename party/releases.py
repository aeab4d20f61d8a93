"""What jobs release under a standing node, and how that is noted in the log and held back until it is cosigned."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from audit.entry import Draft
from party.auditlog import AuditLog
from party.jobs import Jobs
from party.jobstates import JobState
from party.node import Node
from party.notary import Notary
from party.run import Run
from party.runlog import released
from party.transcript import RESULT
from psi.errors import VeiljoinError

Say = Callable[[str, str, VeiljoinError], None]


class Releases:
    """The releases of the jobs that process ``instance`` of ``node`` runs; ``say`` tells what could not be done."""

    def __init__(self, node: Node, jobs: Jobs, instance: str, notary: Notary, say: Say) -> None:
        self._node = node
        self._jobs = jobs
        self._instance = instance
        self._notary = notary
        self._say = say

    async def answer(self, run: Run, event: Mapping[str, Any], wanted: Callable[[], bool]) -> None:
        """Note what a job's process says in the log, have it cosigned where it asks for that, and answer it.

        Nothing is released any more once the attempt is not ``wanted``, or the job not this node's to run.
        """
        fault = VeiljoinError("A fault in this program kept the log from being written.")
        answer: dict[str, Any] = {"gate": event["number"], **_told(fault)}
        try:
            drafts = [Draft(**draft) for draft in event["drafts"]]
            if event["cosigned"]:
                await self._check_runs(run.job, wanted)
                await self._notary.gate(run.partner, drafts, wanted)
                await self._check_runs(run.job, wanted)
            else:
                await self._notary.note(drafts)
            answer = {"gate": event["number"]}
        except VeiljoinError as error:
            passes = error.code.name == "cosign_refused" and self._may_open(drafts)
            answer = {"gate": event["number"], **({} if passes else _told(error))}
        finally:
            # Also where this failed in a way that nobody foresaw: the process must not wait for ever.
            if run.process is not None:
                await run.process.answer(answer)

    async def note(self, job: str) -> None:
        """Note that a result lies where its reader finds it, and have the partner cosign the end of the job."""
        log, side = AuditLog(self._node.home.store), self._node.file.role
        try:
            record = await asyncio.to_thread(self._jobs.get, job)
            receiver = json.loads(record.contract or b"{}").get("receiver", "")
            await self._notary.note(await asyncio.to_thread(released, log, job, side, receiver))
            await self._notary.nudge(record.partner)
        except VeiljoinError as error:
            self._say(job, "not_noted", error)

    async def _check_runs(self, job: str, wanted: Callable[[], bool]) -> None:
        record = await asyncio.to_thread(self._jobs.get, job)
        if not wanted() or record.state is not JobState.RUNNING or record.holder != self._instance:
            raise VeiljoinError(f"Job {job[:8]} is not this process's to run any more.", code="cancelled")

    def _may_open(self, drafts: Sequence[Draft]) -> bool:
        """Return whether these are only for the own result, which the policy lets out without a cosignature."""
        asked = {draft.facts["release"] for draft in drafts if draft.type == "decision"}
        return self._node.home.policy.audit.unwitnessed == "open" and asked == {RESULT}


def _told(error: VeiljoinError) -> dict[str, str]:
    return {"code": error.code.name, "message": error.message, "hint": error.hint}
