"""The same story: what two logs say of each other and of the jobs that they have in common.

SPEC 11.3. Each party witnessed the other's log, so a log that was rewritten or cut short contradicts what the other
party cosigned. And every stream is in both logs, with the same count, bytes and digest.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any, Final, NamedTuple

from audit.reading import Reading, root_of
from audit.report import Check, Checking, Place
from audit.steps import Step

_NAMES: Final = ("witness", "evidence_judged", "streams", "jobs")
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
    witness, evidence, streams, jobs = checks
    if first.header.log == second.header.log:
        witness.fail("same_log", Place(second.label, "line", 1))
        return [witness.done(), *(each.skip("not_partners").done() for each in checks[1:])]
    for one, other in ((first, second), (second, first)):
        _keys_agree(one, other, witness)
        _witness(one, other, witness)
        _judge(one, other, evidence)
    _streams(first, second, streams)
    _jobs(first, second, jobs)
    return [witness.done(), *(each.done() for each in (evidence, streams, jobs))]


def _keys_agree(own: Reading, other: Reading, check: Checking) -> None:
    """Check that ``own`` knows the other log by the keys that it has."""
    known, header = own.partners.get(other.header.log), other.header
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


def _state(steps: Sequence[Step], done: bool) -> str:
    if not steps:
        return "missing"
    if done:
        return "finished"
    ended = [step.type.removeprefix("job_") for step in steps if step.type in _ENDS]
    return ended[-1] if ended else "open"
