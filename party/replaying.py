"""Replay: what a party sent in a run, computed once more from its seed, its input and what it received.

Everything that a party sends follows from these three (psi/SPEC 3, 8.6). Its auditor brings the key that opens the
seed, the party the input, and the kept run the partner's messages. They are played to a fresh role; every stream and
every single message has to come out as the log has it: count, bytes and digest. A party that used a scalar of its own
per row, sent a false sum or left out its noise sent other bytes than these three give, and so does one that brings
another input than it committed to.

What is compared with is the log, so the log has to be verified first, best with the partner's beside it: a party can
write into its own what it likes, and its partner's says what arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from federated.holder import Holder
from federated.terms import SumRole
from party.contract import Contract, DatasetFacts, check_agrees, parse_contract
from party.jobfile import parse_job
from party.journal import ReadOnlyJournal
from party.keptruns import KeptRun
from party.match_part import MatchPart
from party.memo import RememberedEngine
from party.part import Part, Setting
from party.progress import Progress
from party.results import REJECTS
from party.runfolder import RunFolder
from party.runlog import ALLOW
from party.runner import open_side
from party.seedkeeping import AuditorKey
from party.sum_part import SumPart
from party.transcript import RESULT, records, session_name
from party.workspace import Workspace
from psi.engines import open_engine
from psi.errors import UsageError, VeiljoinError
from psi.machine import State
from psi.participant import Participant
from psi.replay import Playback, Position
from psi.role import ProtocolRole
from psi.seed import JobRandomness
from psi.suites import suite_by_id
from psi.terms import Role

# A partner that has received everything: nothing that is made need be put aside for it.
_ALL: Final = (1 << 40) - 1
# Messages that a log need not have (audit/SPEC 8).
_OPTIONAL: Final = ("announce", "commitment", "finish")
_COMPARED: Final = ("count", "bytes", "sha256")


class Outcome(StrEnum):
    """What became of one stream or single message of a run."""

    EQUAL = "equal"
    DIFFERS = "differs"
    # Seed, input and kept messages give it, and the log does not have it.
    UNLOGGED = "unlogged"
    # The log has it, and seed, input and kept messages do not give it.
    UNMADE = "unmade"


class Verdict(StrEnum):
    """What a replay shows; of all but the first there is something to answer for."""

    EQUAL = "equal"
    # The own announcement is another: another input than was committed to, or another seed.
    ANNOUNCEMENT = "announcement"
    # The log has nothing of this run.
    NOT_LOGGED = "not_logged"
    # The kept messages are not those that the log says were received: nothing can be said of what was sent.
    KEPT = "kept"
    # What the log says was sent is not what seed, input and kept messages give.
    SENT = "sent"
    # An honest party would have refused a kept message, and ended the run there.
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Compared:
    """One stream or single message: ``logged`` and ``made`` have count, bytes and sha256, where there are any."""

    name: str
    sent: bool
    outcome: Outcome
    logged: Mapping[str, Any] | None
    made: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the replay of one run shows; ``first`` names the stream or message that ``verdict`` is about.

    ``session`` is the run's name in the log, ``input_known`` whether the input commitment is one that the log names;
    both ``None`` where that is not known.
    """

    job: str
    side: str
    run: int
    verdict: Verdict
    first: str | None = None
    session: str | None = None
    input_known: bool | None = None
    compared: tuple[Compared, ...] = ()


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """What a log says of a job: its ``shared`` records, the input commitments that it names, and the sessions whose
    results were allowed to be written: of these it has to have every stream.
    """

    shared: Sequence[Mapping[str, Any]]
    inputs: Collection[str] = ()
    finished: Collection[str] = ()

    @classmethod
    def of(cls, entries: Iterable[Mapping[str, Any]], job: str, side: str) -> LoggedRun:
        """Take from the ``entries`` of a log, the party's own or its partner's, what they say of ``job``."""
        shared, inputs, finished = [], set(), set()
        for entry in entries:
            if entry["job"] != job:
                continue
            facts = entry["facts"]
            match entry["type"]:
                case "stream":
                    shared.append(entry["shared"])
                case "dataset_used" if entry["role"] == side:
                    inputs.add(facts["input"])
                case "decision" if facts["release"] == RESULT and facts["outcome"] == ALLOW:
                    finished.add(facts["session"])
        return cls(shared, inputs, finished)


def replay(
    kept: KeptRun,
    key: AuditorKey,
    data: Path,
    logged: LoggedRun,
    work: Path,
    *,
    emit: Callable[[dict[str, Any]], None] = lambda event: None,
    engine: str | None = None,
    threads: int | None = None,
) -> Replayed:
    """Replay ``kept`` over the party's file ``data``, with scratch space in ``work``, which has to be private.

    Raises ``UsageError`` that names the file, column or key which is in the way of a verdict.
    """
    contract = parse_contract(kept.contract)
    job = parse_job(kept.table, f"job {kept.job[:8]}")
    spec = job.side(kept.side)
    spec = replace(spec, delimiter=spec.delimiter or kept.delimiter, encoding=spec.encoding or kept.encoding)
    dataset = open_side(spec, data)
    name = str(contract.body["parties"][kept.side]["dataset"])
    facts = DatasetFacts(name, dataset.schema_fingerprint())
    check_agrees(contract, job, kept.side, facts, contract.identity(kept.side))
    journal = ReadOnlyJournal(kept.journal)
    first = next(iter(journal.entries()), None)
    if first is None:
        raise UsageError(
            f"{kept.journal} holds no message of the partner.",
            hint="take the folder from a copy of the home; a run is kept once its partner was heard",
            code="missing_file",
        )
    with ExitStack() as closing:
        randomness = JobRandomness(kept.seed(key, contract.hash), contract.hash)
        closing.callback(randomness.destroy)
        folder = RunFolder(work / "run")
        sets, masks = folder.memos(randomness, keep=False)
        suite = suite_by_id(contract.body["suite"])
        inner = open_engine(suite, engine, threads)
        closing.callback(inner.close)
        setting = Setting(
            job=job,
            side=kept.side,
            contract=contract,
            dataset=dataset,
            randomness=randomness,
            engine=RememberedEngine(inner, sets, masks),
            workspace=closing.enter_context(Workspace(work / "work", threads, folder.prepared)),
            progress=Progress(emit),
            threads=threads,
            memo=masks,
            closing=closing,
        )
        part: Part = SumPart(setting) if job.kind.is_sum else MatchPart(setting)
        folder.prepare_again()
        part.prepare(folder.prepared / REJECTS)
        role = part.role()
        playback: Playback[Any] = Playback(role, journal)
        with setting.progress.phase(part.phase):
            return _judge(kept, contract, role, playback, first.announced, logged)


def _judge(
    kept: KeptRun,
    contract: Contract,
    role: ProtocolRole[Any],
    playback: Playback[Any],
    announced: bytes,
    logged: LoggedRun,
) -> Replayed:
    mine = playback.position()
    so_far = Replayed(kept.job, kept.side, kept.number, Verdict.EQUAL)
    if mine.announced != announced:
        name, commitment = _announcement(role)
        known = commitment.hex() in logged.inputs if logged.inputs else None
        return replace(so_far, verdict=Verdict.ANNOUNCEMENT, first=name, input_known=known)
    refused = False
    try:
        for messages in playback.go_on(Position(mine.heard, mine.announced, _ALL)):
            while playback.draw(messages) is not None:
                pass
    except UsageError:
        raise
    except VeiljoinError:
        # What the role said before still stands, and is compared. A message that it refuses closes it; it can also
        # fail at an answer, which a party that kept to the protocol then did as well.
        refused = role.state is State.CLOSED
    if not role.announced_by_peer:
        return replace(so_far, verdict=Verdict.REFUSED)
    session = session_name(role.session)
    compared = compare(records(role, contract, kept.side), logged.shared, session, kept.side)
    verdict, first = _verdict(compared, finished=session in logged.finished, refused=refused)
    return replace(so_far, verdict=verdict, first=first, session=session, compared=compared)


def compare(
    made: Sequence[Mapping[str, Any]], logged: Sequence[Mapping[str, Any]], session: str, side: str
) -> tuple[Compared, ...]:
    """Compare the records that a replay ``made`` with those of the log, by name; only ``session`` counts.

    In the order of ``made``, announcements and nonces first, as they are said; what only the log has comes last.
    """
    known: dict[str, list[Mapping[str, Any]]] = {}
    for record in logged:
        if record["session"] == session:
            known.setdefault(record["name"], []).append(record)
    lines = []
    for record in sorted(made, key=_rank):
        name, sent = str(record["name"]), record["from"] == side
        entries = known.pop(name, [])
        odd = next((each for each in entries if dict(each) != dict(record)), None)
        outcome = Outcome.UNLOGGED if not entries else Outcome.EQUAL if odd is None else Outcome.DIFFERS
        shown = None if not entries else _figures(odd or entries[0])
        lines.append(Compared(name, sent, outcome, shown, _figures(record)))
    lines += [
        Compared(name, entries[0]["from"] == side, Outcome.UNMADE, _figures(entries[0]), None)
        for name, entries in known.items()
    ]
    return tuple(lines)


def _verdict(compared: Sequence[Compared], *, finished: bool, refused: bool) -> tuple[Verdict, str | None]:
    """Return the verdict and the name of the stream or message that it is about."""
    if not any(line.logged for line in compared):
        return Verdict.NOT_LOGGED, None
    for sent, verdict in ((False, Verdict.KEPT), (True, Verdict.SENT)):
        for line in compared:
            if line.sent is sent and line.outcome is Outcome.DIFFERS:
                return verdict, line.name
    # What was received and cannot be had from the kept messages explains a refusal; what was sent does not.
    for sent, verdict in ((False, Verdict.KEPT), (True, Verdict.SENT)):
        if sent and refused:
            return Verdict.REFUSED, None
        for line in compared:
            # A run that came to no result may have ended before its last entries were written.
            left_out = line.outcome is Outcome.UNLOGGED and finished and not _optional(line.name)
            if line.sent is sent and (line.outcome is Outcome.UNMADE or left_out):
                return verdict, line.name
    return Verdict.EQUAL, None


def _rank(record: Mapping[str, Any]) -> int:
    name = str(record["name"])
    return 0 if "announce" in name else 1 if "nonce" in name else 2


def _optional(name: str) -> bool:
    return any(word in name for word in _OPTIONAL)


def _figures(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: record[key] for key in _COMPARED}


def _announcement(role: ProtocolRole[Any]) -> tuple[str, bytes]:
    """Return the name of the own announcement, and the input commitment in it."""
    if isinstance(role, Participant):
        name = "receiver_announce" if role.role is Role.RECEIVER else "sender_announce"
        return name, role.announced.input_commitment
    if not isinstance(role, Holder):
        raise TypeError("a role is of one of the two protocols")
    if role.role is SumRole.VALUE_HOLDER:
        return "value_announce", role.values.input_commitment
    return "group_announce", role.groups.input_commitment
