"""What a standing node says to a partner's node and does at its word; both sides, without network or processes.

Nothing here remembers what must not be lost: what a node has to say follows from its store, and everything that has
not ended is said again on each new connection. So a message that was lost with its connection needs no care, and one
that comes twice changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

import rfc8785

from party.catalogue import Catalogue
from party.consent import consider
from party.identity import sign_contract, verify_contract
from party.jobrecords import JobRecord, node, partner
from party.jobs import Jobs
from party.jobstates import JobState as State
from party.node import Node
from party.nodefile import BANK
from party.preflight_agent import PreflightAgent
from party.run import Run, Stage
from psi.errors import CODES, UsageError
from psi.suites import PROTOCOL_VERSION
from veiljoin.control_messages import (
    Accept,
    Cancel,
    ControlHello,
    ControlMessage,
    JobProgress,
    JobState,
    PolicyLimits,
    PreflightAsk,
    PreflightPart,
    PreflightVerdict,
    Propose,
    Refuse,
    Start,
)

_LIVE: Final = (State.APPROVED, State.PROPOSED, State.ACCEPTED, State.RUNNING)
_PAGE: Final = 200


class Do(Enum):
    """What is to be done with the attempt of a job."""

    BEGIN = "begin"  # at the platform: the bank waits for the stream of this attempt
    CUT = "cut"  # the other side's part was cut
    FAIL = "fail"  # the other side failed
    DROP = "drop"  # the job has ended
    PARTNER_COMPLETE = "partner_complete"  # at the bank: the platform's part is whole
    SETTLE = "settle"  # at the platform: the bank has ended the job
    SHOW = "show"  # how far the other side's part is


@dataclass(frozen=True, slots=True)
class Order:
    """What a message asks of whoever runs the attempts; ``at`` is a phase and its percent, to be shown."""

    do: Do
    job: str
    attempt: int = 0
    at: tuple[str, int] = ("", 0)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a message leads to: messages back, and orders, in this order."""

    messages: tuple[ControlMessage, ...] = ()
    orders: tuple[Order, ...] = ()


# What was last said of a job: its state, and of which attempt how far. ``None``: something, in an answer.
_Now = tuple[State, int, str]
# The same of each job, on one connection.
Said = dict[str, _Now | None]


class Agent:
    """The agent of ``node``, whose process is ``instance``; ``run_of`` gives the attempt of a job that runs here."""

    def __init__(
        self, node: Node, jobs: Jobs, instance: str, software: str, run_of: Callable[[str], Run | None]
    ) -> None:
        self._node = node
        self._jobs = jobs
        self._instance = instance
        self._software = software
        self._run_of = run_of
        self._bank = node.file.role == BANK
        self._said: dict[str, Said] = {}
        # How far each job was when it was last said, and in which attempt, on the same connection.
        self._shown: dict[str, dict[str, tuple[int, tuple[str, int]]]] = {}
        # At the platform: which of the bank's attempts was the last that began here.
        self._attempts: dict[str, int] = {}
        self.catalogue = Catalogue(node.home.store, node.clock)
        self.preflights = PreflightAgent(node, jobs, instance)

    def hello(self) -> ControlHello:
        """Return the first message, and what to send when it has changed in anything but the time."""
        limits = self._node.home.policy.limits
        epsilon = "" if limits.epsilon is None else "{}/{}".format(*limits.epsilon.as_integer_ratio())
        told = PolicyLimits(
            limits.min_group, limits.min_converters, limits.dominance, limits.max_set, epsilon
        )
        now = int(self._node.clock().timestamp())
        return ControlHello(PROTOCOL_VERSION, self._software, now, self.catalogue.entries(), told)

    def connected(self, partner_name: str) -> Said:
        """Begin anew with a partner whose control stream has just begun; returns what was said on it: nothing."""
        self._said[partner_name] = {}
        self._shown[partner_name] = {}
        self.preflights.connected(partner_name)
        return self._said[partner_name]

    def news(self, partner_name: str, connection: Said | None = None) -> list[ControlMessage]:
        """Return what is to be said to a partner that was not said on this connection.

        A connection that a newer one has taken the place of says nothing: that would be lost with it.
        """
        said = self._said.setdefault(partner_name, {})
        if connection is not None and connection is not said:
            return []
        messages: list[ControlMessage | None] = []
        clear: set[str] = set()
        if self._bank:
            asked, clear = self.preflights.news(partner_name)
            messages += asked
        live = self._jobs.list(states=_LIVE, partner=partner_name, limit=_PAGE).jobs
        for record in reversed(live):
            if record.state is State.APPROVED:
                if record.id not in clear:
                    continue  # held until its preflight has passed
                record = self._propose(record)
            now = self._now(record)
            if said.get(record.id) != now:
                if self._bank and record.state is State.PROPOSED:
                    messages += self.preflights.word(record)
                messages.append(self._live(record, said.get(record.id)))
                said[record.id] = now
            messages.append(self._progress(record))
        for job in set(said) - {record.id for record in live}:
            del said[job]
            self._shown.get(partner_name, {}).pop(job, None)
            messages.append(self._last_word(self._jobs.get(job)))
        return [message for message in messages if message is not None]

    def receive(self, partner_name: str, message: ControlMessage) -> Answer:
        """Return what ``message`` of a partner leads to. Raises ``PeerViolation`` for what it may not say."""
        if isinstance(message, ControlHello):
            self.catalogue.remember(partner_name, message)
            return Answer()
        if isinstance(message, PreflightAsk | PreflightPart | PreflightVerdict):
            return Answer(tuple(self.preflights.receive(partner_name, message)))
        if isinstance(message, Propose) and not self._bank:
            return self._proposed(partner_name, message)
        if isinstance(message, Propose | Start) and self._bank:
            return Answer()  # a platform proposes and starts nothing
        if not isinstance(message, Accept | Refuse | Cancel | Start | JobState | JobProgress):
            return Answer()
        try:
            record = self._jobs.get(message.job)
        except UsageError as error:
            if error.code.name != "unknown_job":
                raise
            record = None
        if record is None or record.partner != partner_name:
            # Another partner's job is none that this one could know.
            live = not isinstance(message, Cancel | Refuse | JobProgress)
            return Answer((Cancel(message.job),) if live and not self._ended_word(message) else ())
        if isinstance(message, JobProgress):
            at = message.phase, message.percent
            running = record.state is State.RUNNING
            return Answer(orders=(Order(Do.SHOW, record.id, message.attempt, at),) if running else ())
        return self._about(record, message)

    # -- speaking

    def _now(self, record: JobRecord) -> _Now:
        run = self._run_of(record.id)
        if run is None:
            # An attempt that came and went between two looks is news as well.
            return record.state, -record.attempts, ""
        self._attempts[record.id] = run.attempt
        return record.state, run.attempt, run.stage.value

    def _progress(self, record: JobRecord) -> JobProgress | None:
        """Return how far the own part of a job is, if that was not said."""
        run = self._run_of(record.id)
        if record.state is not State.RUNNING or run is None or not run.at[0]:
            return None
        shown, now = self._shown.setdefault(record.partner, {}), (run.attempt, run.at)
        if shown.get(record.id) == now:
            return None
        shown[record.id] = now
        return JobProgress(record.id, run.attempt, *run.at)

    def _propose(self, record: JobRecord) -> JobRecord:
        signature = sign_contract(self._node.credentials.identity(), bytes.fromhex(record.digest), "bank")
        return self._jobs.propose(record.id, node(self._instance), signature)

    def _live(self, record: JobRecord, before: _Now | None) -> ControlMessage:
        """Return what is said of a job that has not ended."""
        job, run = record.id, self._run_of(record.id)
        if self._bank:
            match record.state:
                case State.PROPOSED:
                    return _proposal(record)
                case State.RUNNING if run is not None and run.stage is Stage.WAITING:
                    return Start(job, run.attempt)
            return JobState(job, record.state.value)
        match record.state:
            case State.ACCEPTED if before is not None and before[0] is State.RUNNING:
                return JobState(job, "accepted", attempt=self._attempts.get(job, 0))
            case State.ACCEPTED:
                return Accept(job, bytes.fromhex(record.digest), record.platform_signature or b"")
            case State.RUNNING if run is not None and run.stage is Stage.COMPLETE:
                return JobState(job, "done", attempt=run.attempt)
        return JobState(job, record.state.value)

    def _last_word(self, record: JobRecord) -> ControlMessage | None:
        """Return what is said of a job that has ended; saying it twice does no harm."""
        self._attempts.pop(record.id, None)
        match record.state:
            case State.DONE:
                return JobState(record.id, "done", attempt=record.attempts) if self._bank else None
            case State.FAILED:
                code = CODES[record.code].peer if record.code in CODES else "failed"
                return JobState(record.id, "failed", code)
            case State.REFUSED:
                return None if self._bank else Refuse(record.id, record.code or "person")
            case State.CANCELLED:
                return Cancel(record.id)
            case State.EXPIRED:
                return JobState(record.id, "expired")
        return None

    # -- listening

    def _ended_word(self, message: ControlMessage) -> bool:
        return isinstance(message, JobState) and message.state in (
            "failed",
            "refused",
            "cancelled",
            "expired",
            "unknown",
        )

    def _about(self, record: JobRecord, message: Accept | Refuse | Cancel | Start | JobState) -> Answer:
        job = record.id
        if not record.state.ended:
            # The partner knows the job, so it has to be told the end of it, also if that comes before our next look.
            self._said.setdefault(record.partner, {}).setdefault(job, None)
        if record.state.ended:
            if isinstance(message, Cancel | Refuse) or self._ended_word(message):
                return Answer()
            if not self._bank and isinstance(message, JobState) and message.state == "done":
                return Answer()
            word = self._last_word(record)
            return Answer(() if word is None else (word,))
        who = partner(record.partner)
        match message:
            case Cancel():
                self._jobs.cancel(job, who)
                return Answer(orders=(Order(Do.DROP, job),))
            case Refuse(_, reason) if self._bank and record.state is State.PROPOSED:
                self._jobs.refuse(job, who, reason)
            case Accept() if self._bank:
                return self._accepted(record, message)
            case Start(_, attempt) if not self._bank:
                return self._started(record, attempt)
            case JobState(_, "failed" | "expired" | "cancelled" | "refused" as state):
                return self._ended_there(record, state)
            case JobState(_, "done", _, attempt):
                return Answer(orders=(Order(Do.PARTNER_COMPLETE if self._bank else Do.SETTLE, job, attempt),))
            case JobState(_, "accepted", _, attempt) if self._bank:
                return self._cut_there(record, attempt)
        return Answer()

    def _accepted(self, record: JobRecord, message: Accept) -> Answer:
        if record.state is State.PROPOSED:
            known = self._node.partners.get(record.partner)
            verify_contract(
                known.identity or bytes(32), bytes.fromhex(record.digest), message.signature, "platform"
            )
            self._jobs.accept(record.id, partner(record.partner), message.contract.hex(), message.signature)
            return Answer()
        run = self._run_of(record.id)
        if record.state is State.RUNNING and run is not None:
            if run.stage is Stage.WAITING:
                return Answer((Start(record.id, run.attempt),))
            if run.stage is Stage.COMPLETE:
                # It has lost its part with its process, or it would say that it is complete.
                return Answer(orders=(Order(Do.CUT, record.id),))
        return Answer()

    def _cut_there(self, record: JobRecord, attempt: int) -> Answer:
        run = self._run_of(record.id)
        if record.state is not State.RUNNING or run is None:
            return Answer()
        if attempt == run.attempt:
            return Answer(orders=(Order(Do.CUT, record.id),))
        return Answer((Start(record.id, run.attempt),)) if run.stage is Stage.WAITING else Answer()

    def _started(self, record: JobRecord, attempt: int) -> Answer:
        run = self._run_of(record.id)
        begin = Order(Do.BEGIN, record.id, attempt)
        if record.state is State.ACCEPTED:
            return Answer(orders=(begin,))
        if record.state is State.RUNNING and run is not None and run.attempt < attempt:
            return Answer(orders=(Order(Do.CUT, record.id), begin))
        return Answer()

    def _ended_there(self, record: JobRecord, state: str) -> Answer:
        if state == "failed" and record.state in (State.ACCEPTED, State.RUNNING):
            return Answer(orders=(Order(Do.FAIL, record.id),))
        code = "expired" if state == "expired" else "cancelled"
        self._jobs.cancel(record.id, partner(record.partner), code)
        return Answer(orders=(Order(Do.DROP, record.id),))

    def _proposed(self, bank: str, message: Propose) -> Answer:
        known = self._known(message.job)
        if known is None or known.partner != bank or not known.state.ended:
            reason = consider(self._node, self._jobs, self.catalogue, bank, message)
            if reason is not None:
                return Answer((Refuse(message.job, reason),))
            known = self._known(message.job)
        # One that has ended, perhaps just now by the policy, was never among what there is to say.
        word = self._last_word(known) if known is not None and known.state.ended else None
        return Answer(() if word is None else (word,))

    def _known(self, job: str) -> JobRecord | None:
        try:
            return self._jobs.get(job)
        except UsageError as error:
            if error.code.name != "unknown_job":
                raise
            return None


def _proposal(record: JobRecord) -> Propose:
    contract = record.contract or b""
    return Propose(
        record.id,
        rfc8785.dumps(dict(record.table)),
        contract,
        bytes.fromhex(json.loads(contract)["card"]),
        record.bank_signature or b"",
    )
