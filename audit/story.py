"""The same story: what two logs say of each other and of the jobs that they have in common.

SPEC 11.3. Each party witnessed the other's log, so a log that was rewritten or cut short contradicts what the other
party cosigned. And every stream is in both logs, with the same count, bytes and digest.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence, Set
from typing import Any, Final, NamedTuple

from audit.reading import Reading, is_rehearsal, root_of
from audit.report import Check, Checking, Place
from audit.steps import Step

_NAMES: Final = ("witness", "evidence_judged", "streams", "released", "jobs")
# Both moments are of one party's clock; cosignatures have whole seconds, and an entry may wait for its turn.
_SLACK_SECONDS: Final = 2
_ENDS: Final = ("job_fail", "job_cancel", "job_expire", "job_refuse")


class _Told(NamedTuple):
    """What one log says of one stream of a session."""

    sequence: int
    job: str
    values: tuple[Any, ...]


def check(readings: Sequence[Reading]) -> list[Check]:
    """Compare two readings. With one, or where one is not whole, say why nothing was compared."""
    checks = [Checking(name) for name in _NAMES]
    if len(readings) < 2:
        return [each.skip("one_bundle").done() for each in checks]
    first, second = readings
    if not all(each.whole for each in readings):
        return [each.skip("not_whole").done() for each in checks]
    witness, evidence, streams, released, jobs = checks
    if first.header.log == second.header.log:
        witness.fail("same_log", Place(second.label, "line", 1))
        return [witness.done(), *(each.skip("not_partners").done() for each in checks[1:])]
    for one, other in ((first, second), (second, first)):
        _keys_agree(one, other, witness)
        _witness(one, other, witness)
        _other_logs(one, other, witness)
        _judge(one, other, evidence)
        _Received(one, other).check(released)
    _streams(first, second, streams)
    _jobs(first, second, jobs)
    return [each.done() for each in checks]


def _keys_agree(own: Reading, other: Reading, check: Checking) -> None:
    """Check that ``own`` knows the other log by the keys that it has, and is of a rehearsal if that one is."""
    known, header = own.partners.get(other.header.log), other.header
    if is_rehearsal(header.log) and not is_rehearsal(own.header.log):
        check.fail("half_rehearsal", Place(other.label, "line", 1))
    if known is None:
        check.fail("strangers", Place(own.label, "line", 1), log=header.log)
    elif (known.log_key, known.witness_key) != (header.log_key, header.witness_key):
        check.fail("other_keys", Place(other.label, "line", 1), name=known.name)


def _witness(witness: Reading, log: Reading, check: Checking) -> None:
    """Hold the entries of ``log`` against the checkpoints of it that ``witness`` cosigned."""
    if log.header.pack is not None:
        check.note("pack_witness", name=log.label)
        _pack_witness(witness, log, check)
        return
    good = 0
    for told in witness.witnessed.get(log.header.log, []):
        if told.size > log.size:
            check.fail("tail_dropped", log.entry(good), size=told.size, entries=log.size, name=witness.label)
            return
        if root_of(log, told.size) != told.root:
            check.fail("rewritten", log.entry(good), last=told.size - 1, size=told.size, name=witness.label)
            return
        good = told.size
        check.counts["checkpoints"] += 1


def _first_seen(witness: Reading, log: str) -> int | None:
    """Return when ``witness`` first cosigned ``log``, in seconds since 1970 by its own clock."""
    notes = witness.witnessed.get(log, [])
    return min((each.cosigners[witness.header.log] for each in notes), default=None)


def _further_logs(witness: Reading, log: Reading) -> list[str]:
    """Return the logs of the same identity as ``log`` that ``witness`` knows beside it."""
    identity = bytes.fromhex(log.header.identity)
    return [
        each.log
        for each in witness.partners.values()
        if each.identity == identity and each.log != log.header.log
    ]


def _other_logs(witness: Reading, log: Reading, check: Checking) -> None:
    """A party begins another log only when its store was put back; what it had before is to be verified, too."""
    first = _first_seen(witness, log.header.log)
    for other in _further_logs(witness, log):
        notes = witness.witnessed.get(other, [])
        size = notes[-1].size if notes else 0
        seen = _first_seen(witness, other)
        later = first is not None and seen is not None and seen > first
        packs = any(each.header.pack is not None for each in (witness, log))
        if later or packs or log.restored:
            check.note("further_log", name=log.label, log=other, size=size)
        else:
            check.fail("history_shed", log.entry(0), name=witness.label, log=other, size=size)


def _pack_witness(witness: Reading, log: Reading, check: Checking) -> None:
    """Of a pack only checkpoints of the same size can be compared."""
    told = {each.size: each.root for each in witness.witnessed.get(log.header.log, [])}
    for each in log.checkpoints:
        if each.size not in told:
            continue
        if told[each.size] != each.root:
            check.fail("two_roots", Place(log.label, "checkpoint", each.size), name=log.label, size=each.size)
            return
        check.counts["checkpoints"] += 1


def _judge(witness: Reading, log: Reading, check: Checking) -> None:
    """Hold the notes that ``witness`` refused as forks against the entries of ``log``."""
    for name, refused in witness.refused:
        if name != log.header.log or log.header.pack is not None:
            continue
        place = Place(witness.label, "line", refused.line)
        check.counts["notes"] += 1
        if refused.size > log.size:
            check.note("undecided", size=refused.size, name=log.label)
        elif root_of(log, refused.size) != refused.root:
            check.fail("fork", place, name=log.header.name, log=log.header.log, size=refused.size)
        else:
            check.fail("false_evidence", place, name=log.header.name, what="the note fits the log's entries")


class _Received:
    """What ``receiver`` logged as received from ``sender``, held against the sender's decisions.

    The receiver cosigned each decision before the sender let go of anything: a sender that hides a run, or decides
    afterwards, contradicts the receiver's log, however the run ended.
    """

    def __init__(self, receiver: Reading, sender: Reading) -> None:
        self._receiver = receiver
        self._sender = sender
        self._identity = bytes.fromhex(sender.header.identity)
        self._further = _further_logs(receiver, sender)
        self._first = _first_seen(receiver, sender.header.log)
        self._notes = receiver.witnessed.get(sender.header.log, [])
        self._sizes = [each.size for each in self._notes]
        self._allowed: dict[tuple[str, str], Step] = {}
        for steps in sender.jobs.values():
            for step in steps:
                if step.type == "decision" and step["outcome"] == "allow":
                    self._allowed.setdefault((step["session"], step["release"]), step)

    def check(self, check: Checking) -> None:
        """Check each stream and message of a release."""
        pack, own = self._sender.header.pack, self._sender.role
        for job, steps in self._receiver.jobs.items():
            contract = self._receiver.contract_of(job)
            if contract is None or contract.identities[own] != self._identity or pack not in (None, job):
                continue
            begun: dict[str, int] = {}
            for step in steps:
                if step.type != "stream":
                    continue
                begun.setdefault(step["session"], step.time)
                flow = contract.flows.get(step["name"])
                if step["from"] == own and flow is not None and flow.release is not None:
                    self._release(job, step, flow.release, begun[step["session"]], check)

    def _release(self, job: str, step: Step, release: str, begun: int, check: Checking) -> None:
        place = self._receiver.entry(step.sequence, job)
        told: dict[str, str | int] = {"name": step["name"], "release": release, "bundle": self._sender.label}
        decision = self._allowed.get((step["session"], release))
        if decision is None:
            if self._elsewhere(begun, step.time):
                check.counts["elsewhere"] += 1
            else:
                check.fail("received_undecided", place, **told)
            return
        told["decision"] = decision.sequence
        at = bisect_right(self._sizes, decision.sequence)
        if at == len(self._notes):
            check.fail("never_cosigned", place, **told)
        elif self._seconds(at) > step.time / 1000 + _SLACK_SECONDS:
            check.fail("cosigned_late", place, **told)
        else:
            check.counts["releases"] += 1

    def _seconds(self, at: int) -> int:
        return self._notes[at].cosigners[self._receiver.header.log]

    def _elsewhere(self, begun: int, time: int) -> bool:
        """Return whether a session's decisions are in another log of the sender's, by what the receiver cosigned."""
        if not self._further:
            return False
        unknown = self._sender.header.pack is not None
        before = self._first is None or begun < 1000 * (self._first + 1)
        if before and (self._sender.restored or unknown):
            return True
        later = [_first_seen(self._receiver, log) for log in self._further]
        return any(
            each is not None and (self._first is None or each > self._first) and time >= 1000 * each
            for each in later
        )


def _told(reading: Reading) -> dict[tuple[str, str], _Told]:
    """Return what a log says of each stream of each session; a second entry for one is for ``audit.egress``."""
    found: dict[tuple[str, str], _Told] = {}
    for job, steps in reading.jobs.items():
        for step in steps:
            if step.type == "stream":
                values = tuple(step[key] for key in ("from", "to", "count", "bytes", "sha256"))
                found.setdefault((step["session"], step["name"]), _Told(step.sequence, job, values))
    return found


def _streams(first: Reading, second: Reading, check: Checking) -> None:
    told, other = _told(first), _told(second)
    done = first.finished() & second.finished()
    for key, one in told.items():
        two = other.get(key)
        name = key[1]
        if two is None:
            _missing(first, second, one, name, done, check)
            continue
        if one.job != two.job:
            check.fail("other_job", first.entry(one.sequence, one.job), name=name, sequence=two.sequence)
        elif one.values != two.values:
            check.fail(
                "streams_differ",
                first.entry(one.sequence, one.job),
                name=name,
                sequence=two.sequence,
                bundle=second.label,
            )
        else:
            check.counts["streams"] += 1
    for key, two in other.items():
        if key not in told:
            _missing(second, first, two, key[1], done, check)


def _missing(has: Reading, lacks: Reading, told: _Told, name: str, done: Set[str], check: Checking) -> None:
    """A stream that one log lacks is a problem where both say that the job finished, else it is counted."""
    if told.job in done and not _optional(name):
        check.fail("stream_missing", has.entry(told.sequence, told.job), name=name, bundle=lacks.label)
    elif told.job in lacks.jobs:
        check.counts["in_one"] += 1


def _optional(name: str) -> bool:
    # SPEC 8.2: single messages of which a log may say nothing.
    return name.endswith("_announce") or name.startswith("finish_") or name == "token_commitment"


def _common(own: Reading, other: Reading) -> set[str]:
    """Return the jobs in ``own`` that are between the two parties: a bank's log has those of other partners, too."""
    identity = bytes.fromhex(other.header.identity)
    found = set()
    for job in own.jobs:
        contract = own.contract_of(job)
        if job in other.jobs or (contract is not None and identity in contract.identities.values()):
            found.add(job)
    return found


def _ran(steps: Sequence[Step]) -> bool:
    return any(step.type in ("stream", "decision", "job_start") for step in steps)


def _jobs(first: Reading, second: Reading, check: Checking) -> None:
    """Tell how far each job is at either party; differences between two logs are told, they are no failure."""
    done = [each.finished() for each in (first, second)]
    for job in sorted(_common(first, second) | _common(second, first)):
        steps = [each.jobs.get(job, []) for each in (first, second)]
        if all(steps):
            _same_contract(first, second, job, check)
        check.counts["jobs"] += 1
        states = [_state(each, job in finished_at) for each, finished_at in zip(steps, done, strict=True)]
        if states == ["finished", "finished"]:
            check.counts["finished"] += 1
        elif states[0] != states[1] and any(_ran(each) for each in steps):
            check.note(
                "job_differs",
                job=job[:8],
                one=first.label,
                first=states[0],
                two=second.label,
                second=states[1],
            )
        elif "open" in states:
            check.counts["open"] += 1
        else:
            check.counts["ended"] += 1


def _same_contract(first: Reading, second: Reading, job: str, check: Checking) -> None:
    """One job is under one contract, and it is between the two parties whose logs these are."""
    contracts = [each.contract_of(job) for each in (first, second)]
    for own, other, contract in ((first, second, contracts[0]), (second, first, contracts[1])):
        if contract is None:
            continue  # audit.approvals names it where one is missing
        place = own.entry(own.jobs[job][0].sequence, job)
        if contract.identities[other.role] != bytes.fromhex(other.header.identity):
            check.fail("other_party", place, bundle=other.label)
    one, two = contracts
    if one is not None and two is not None and one.hash != two.hash:
        check.fail("other_contract", first.entry(first.jobs[job][0].sequence, job), bundle=second.label)


def _state(steps: Sequence[Step], done: bool) -> str:
    if not steps:
        return "missing"
    if done:
        return "finished"
    ended = [step.type.removeprefix("job_") for step in steps if step.type in _ENDS]
    return ended[-1] if ended else "open"
