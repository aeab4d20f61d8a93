"""What two nodes say to each other of preflights: the bank tries its drafts, the platform answers.

A run lives in memory and ends with its connection; what is known of it is in the store.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from party.jobrecords import JobRecord, node
from party.jobs import Jobs
from party.jobstates import JobState
from party.node import Node
from party.nodefile import BANK
from party.preflight import Subject, Trial, UnfitError, View, look, subjects_of
from party.preflights import ASKED_PER_JOB, Preflights, PreflightState
from psi.errors import UsageError, VeiljoinError
from veiljoin.control_messages import (
    PREFLIGHT_PASSED,
    RUN_BYTES,
    ControlMessage,
    PreflightAsk,
    PreflightPart,
    PreflightVerdict,
)

PreflightMessage = PreflightAsk | PreflightPart | PreflightVerdict
Messages = list[ControlMessage]
# A partner that says nothing for so long is given up, and the run with it.
_PATIENCE: Final = 60.0
# Approved ones are on a page of their own: however many drafts there are, they are proposed.
_OPEN: Final = ((JobState.APPROVED,), (JobState.DRAFT, JobState.PROPOSED))
_PAGE: Final = 200
_REMEMBERED: Final = 1_000
REFUSAL: Final = "canary"


@dataclass(slots=True)
class _Run:
    """A run under way; ``theirs`` is the platform's dataset. ``trial`` is ``None`` at the bank until it has begun."""

    id: bytes
    subject: Subject
    canaries: list[bytes]
    since: float
    theirs: str = ""
    trial: Trial | None = None

    def close(self) -> None:
        if self.trial is not None:
            self.trial.close()


class PreflightAgent:
    """The preflights of ``node``, whose process is ``instance``; one run per partner at a time."""

    def __init__(self, node: Node, jobs: Jobs, instance: str) -> None:
        self._node = node
        self._jobs = jobs
        self._instance = instance
        self._side = node.file.role
        self._preflights = Preflights(node.home.store, node.clock)
        self._runs: dict[str, _Run] = {}
        # By the partner and the contract's hash.
        self._subjects: dict[str, dict[str, Mapping[str, Subject]]] = {}

    def connected(self, partner: str) -> None:
        """Forget what was under way with a partner whose control stream has just begun."""
        self._drop(partner)

    # -- the bank

    def news(self, partner: str) -> tuple[Messages, set[str]]:
        """Return what there is to say to ``partner``, and which approved jobs may be proposed.

        An approved job whose preflight failed is refused.
        """
        run = self._runs.get(partner)
        if run is not None and time.monotonic() - run.since > _PATIENCE:
            self._drop(partner)
        if len(self._subjects.get(partner, ())) > _REMEMBERED:
            del self._subjects[partner]
        records = [record for states in _OPEN for record in self._open(partner, states)]
        if not records:
            return [], set()
        view = View.of(self._node, partner)
        rows = self._preflights.rows([record.id for record in records])
        clear, waiting = set(), None
        for record in records:
            subjects = self._subjects[partner][record.digest]
            facts = view.facts(subjects, self._side)
            found = self._preflights.standing(rows[record.id], record.digest, facts)
            if found.clear:
                clear.add(record.id)
            elif found.state is PreflightState.NOT_RUN:
                if waiting is None and self._wanted(record, rows[record.id]):
                    waiting = record, subjects, facts
            elif record.state is JobState.APPROVED:
                self._refuse(record)
        if waiting is None or partner in self._runs:
            return [], clear
        return self._ask(partner, view, *waiting), clear

    def _refuse(self, record: JobRecord) -> None:
        try:
            self._jobs.refuse(record.id, node(self._instance), REFUSAL)
        except VeiljoinError as error:
            # A person was faster: it is a draft again, or has ended.
            if error.code.name not in ("wrong_state", "not_allowed"):
                raise

    def _wanted(self, record: JobRecord, rows: Sequence[sa.Row[Any]]) -> bool:
        """Return whether a job is to be tried now; one that is proposed, only at a person's wish."""
        if record.expires is not None and record.expires <= self._node.clock():
            return False
        wished = self._preflights.wished(rows)
        return (wished or record.state is not JobState.PROPOSED) and self._preflights.due(rows)

    def _open(self, partner: str, states: Sequence[JobState]) -> list[JobRecord]:
        """Return the jobs in ``states`` that can be tried, the oldest first."""
        known, found = self._subjects.setdefault(partner, {}), []
        for record in reversed(self._jobs.list(states=states, partner=partner, limit=_PAGE).jobs):
            if record.contract is None:
                continue
            if record.digest not in known:
                try:
                    known[record.digest] = subjects_of(record)
                except VeiljoinError:
                    continue  # of a version that this node does not speak; it is neither tried nor proposed
            found.append(record)
        return found

    def _ask(
        self,
        partner: str,
        view: View,
        record: JobRecord,
        subjects: Mapping[str, Subject],
        facts: str,
    ) -> Messages:
        run, own = secrets.token_bytes(RUN_BYTES), subjects[self._side]
        if not self._preflights.begin(run, record.id, record.digest, facts, partner, ASKED_PER_JOB):
            return []
        try:
            ask = subjects["platform"].ask(run)
            canaries = look(view.own.get(own.dataset), own, self._side)
        except UnfitError as error:
            self._preflights.say_own(run, error.word, error.detail, error.hint)
            return []
        except UsageError as error:
            self._preflights.say_own(run, "form", error.message, error.hint)
            return []
        self._runs[partner] = _Run(run, own, canaries, time.monotonic(), ask.dataset)
        return [ask]

    def word(self, record: JobRecord) -> Messages:
        """Return the bank's verdict on a job that is proposed, to be said before: it may have been lost."""
        rows = self._preflights.rows([record.id])[record.id]
        passed = [row for row in rows if row.digest == record.digest and row.own == PREFLIGHT_PASSED]
        return [PreflightVerdict(bytes.fromhex(row.run), row.own) for row in passed[-1:]]

    # -- both sides

    def receive(self, partner: str, message: PreflightMessage) -> Messages:
        """Return the answers to a message of ``partner``. Raises ``PeerViolation``."""
        match message:
            case PreflightAsk():
                return [] if self._side == BANK else self._asked(partner, message)
            case PreflightPart():
                run = self._runs.get(partner)
                return [] if run is None or run.id != message.run else self._part(partner, run, message)
            case PreflightVerdict(run_id, word):
                self._preflights.say_peer(run_id, partner, word)
                run = self._runs.get(partner)
                if run is not None and run.id == run_id and word != PREFLIGHT_PASSED:
                    # It will say no more.
                    self._drop(partner)
        return []

    def _asked(self, bank: str, ask: PreflightAsk) -> Messages:
        if self._preflights.known(ask.run):
            return []
        self._drop(bank)
        subject = Subject.asked(ask)
        view = View.of(self._node, bank)
        facts = view.facts({self._side: subject}, self._side)
        if not self._preflights.begin(ask.run, ask.job, subject.contract, facts, bank):
            return [PreflightVerdict(ask.run, "limited")]
        try:
            canaries = look(view.own.get(subject.dataset), subject, self._side)
            run = _Run(ask.run, subject, canaries, time.monotonic())
            run.trial = Trial(subject, ask.run, self._side, canaries)
        except UnfitError as error:
            self._preflights.say_own(ask.run, error.word, error.detail, error.hint)
            return [PreflightVerdict(ask.run, error.word)]
        except UsageError as error:
            self._preflights.say_own(ask.run, "failed", error.message, error.hint)
            return [PreflightVerdict(ask.run, "failed")]
        self._runs[bank] = run
        return [PreflightPart(ask.run, each) for each in run.trial.start()]

    def _part(self, partner: str, run: _Run, part: PreflightPart) -> Messages:
        said: Messages = []
        try:
            if run.trial is None:
                run.trial = Trial(run.subject, run.id, self._side, run.canaries)
                said += [PreflightPart(run.id, each) for each in run.trial.start()]
        except UsageError as error:
            self._drop(partner)
            self._preflights.say_own(run.id, "failed", error.message, error.hint)
            return [PreflightVerdict(run.id, "failed")]
        run.since = time.monotonic()
        said += [PreflightPart(run.id, each) for each in run.trial.receive(part.message)]
        if run.trial.done:
            word = run.trial.word()
            self._drop(partner)
            self._preflights.say_own(run.id, word, *self._about(partner, run, word))
            said.append(PreflightVerdict(run.id, word))
        return said

    def _about(self, partner: str, run: _Run, word: str) -> tuple[str, str]:
        """Return the sentence and the hint on canaries that did not meet."""
        if word == PREFLIGHT_PASSED:
            return "", ""
        view, own = View.of(self._node, partner), run.subject
        here = view.own.get(own.dataset)
        forms = "" if here is None else f": dataset {own.dataset!r} is registered as {here.form} here"
        theirs = view.theirs.get(run.theirs)
        if theirs is not None:
            forms += f", {theirs.name!r} at {partner} as {', '.join(theirs.identifiers)}"
        return (
            f"The test identifiers of both sides do not meet{forms}, and the job matches on {own.form}.",
            "let both datasets be in one form, and the job match on that",
        )

    def _drop(self, partner: str) -> None:
        run = self._runs.pop(partner, None)
        if run is not None:
            run.close()
