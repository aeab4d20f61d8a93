"""One bundle, read once: what the checks of every section stand on.

SPEC 11.1. Reading is where integrity is checked, since a million entries go by only once: each line's hash, form,
place in the sequence and time. The first bad entry ends the reading: what stands behind it has no place any more.
"""

from __future__ import annotations

from binascii import hexlify
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from audit import entry
from audit.bundle import Bundle, BundleFault, Extra, Header
from audit.contracts import Contract, agreed
from audit.events import EVENTS, check_facts
from audit.keys import REHEARSAL
from audit.merkle import ProofError, Tree
from audit.report import Check, Checking, Place
from audit.steps import KEPT, Step, Texts

# Leaves are put into the tree in batches, which is faster than one by one.
_BATCH: Final = 4096
# A fact of ``policy_set`` and where an attached policy has it: section and key.
POLICY_FACTS: Final[Mapping[str, tuple[str, str]]] = {
    **{key: ("limits", key) for key in ("min_group", "min_converters", "dominance", "max_set", "epsilon")},
    **{f"budget_{key}": ("budget", key) for key in ("runs", "hours", "epsilon")},
    "result_days": ("lifetime", "result_days"),
    "unwitnessed": ("audit", "unwitnessed"),
}


@dataclass(frozen=True, slots=True)
class Partner:
    """A log of the partner's, with keys that its identity (32 bytes) certified."""

    name: str
    log: str
    identity: bytes
    log_key: str
    witness_key: str


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint whose signature was checked: its root and its line.

    ``cosigners`` are the logs whose owners cosigned it, with the seconds since 1970 that each put there.
    """

    size: int
    root: bytes
    line: int
    cosigners: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Reading:
    """What was read of one bundle. ``whole`` tells that every line was there and each entry fit its leaf."""

    label: str
    header: Header
    whole: bool = False
    size: int = 0
    tree: Tree = field(default_factory=Tree)
    # Of a pack: sequence -> leaf hash. Of a whole log the tree has them.
    leaves: dict[int, bytes] = field(default_factory=dict)
    jobs: dict[str, list[Step]] = field(default_factory=dict)
    others: list[Step] = field(default_factory=list)
    commits: dict[int, str] = field(default_factory=dict)
    # Where the policy that an entry names begins to be another: (sequence, digest).
    policies: list[tuple[int, str | None]] = field(default_factory=list)
    extras: list[Extra] = field(default_factory=list)
    partners: dict[str, Partner] = field(default_factory=dict)
    checkpoints: list[Signed] = field(default_factory=list)
    witnessed: dict[str, list[Signed]] = field(default_factory=dict)
    # Notes of a partner's log that were refused as forks and that one bundle cannot judge.
    refused: list[tuple[str, Signed]] = field(default_factory=list)
    contracts: dict[bytes, Contract] = field(default_factory=dict)
    # The log begins as one that a restore began: what came before lies in an older log of this party.
    restored: bool = False
    # Who opened a result: (sequence, job).
    opened: list[tuple[int, str]] = field(default_factory=list)
    effective: dict[str, dict[str, Any]] = field(default_factory=dict)
    details: dict[int, dict[str, Any]] = field(default_factory=dict)
    _cosigned: dict[str, list[int]] = field(default_factory=dict)
    _by_kind: dict[str, list[Step]] = field(default_factory=dict)
    _schedules: dict[str, list[Step]] = field(default_factory=dict)
    _refusals: dict[str, list[Step]] = field(default_factory=dict)

    @property
    def role(self) -> str:
        """Bank or platform."""
        return self.header.role

    @property
    def rehearsal(self) -> bool:
        """Whether the log is a rehearsal's: one hand played both parties, nobody approved.

        Its name says so and that of every partner's log; a log of that name with a real partner is held to all.
        """
        return all(is_rehearsal(log) for log in (self.header.log, *self.partners))

    def entry(self, sequence: int, job: str | None = None) -> Place:
        """Return the place of an entry."""
        return Place(self.label, "entry", sequence, job)

    def partner_of(self, contract: Contract) -> frozenset[str]:
        """Return the logs of the contract's other party."""
        identity = contract.identities["platform" if self.role == "bank" else "bank"]
        return frozenset(log for log, each in self.partners.items() if each.identity == identity)

    def contract_of(self, job: str) -> Contract | None:
        """Return the contract that ``job`` ran under; ``None`` where none was signed in time, or it is not here."""
        digest = agreed(self.jobs.get(job, ()))
        return None if digest is None else self.contracts.get(digest)

    def finished(self) -> set[str]:
        """Return the jobs that finished."""
        return {job for job, steps in self.jobs.items() if any(step.type == "job_finish" for step in steps)}

    def cosigned_between(self, logs: frozenset[str], after: int, until: int) -> bool:
        """Return whether a checkpoint with ``after`` < size <= ``until`` is cosigned by the owner of one of ``logs``.

        So entry number ``after`` is in it and entry ``until`` is not.
        """
        for log in logs:
            sizes = self._sizes(log)
            at = bisect_right(sizes, after)
            if at < len(sizes) and sizes[at] <= until:
                return True
        return False

    def policy_at(self, sequence: int) -> Step | None:
        """Return the ``policy_set`` that was in force at entry ``sequence``.

        A pack does not have that entry: there it is made of the attached policy that the entry names.
        """
        if self.header.pack is not None:
            return self._attached_policy(sequence)
        steps = self._of("policy_set")
        at = bisect_right(steps, sequence, key=lambda step: step.sequence)
        return steps[at - 1] if at else None

    def _attached_policy(self, sequence: int) -> Step | None:
        at = bisect_right(self.policies, sequence, key=lambda each: each[0])
        digest = self.policies[at - 1][1] if at else None
        if digest is None or digest not in self.effective:
            return None
        facts = facts_of_policy(digest, self.effective[digest])
        return None if facts is None else Step(sequence, 0, "policy_set", "", tuple(facts.values()))

    def refused_by(self, partner: str, sequence: int) -> bool:
        """Return whether, at entry ``sequence``, the partner of that name would not cosign this log."""
        if not self._refusals:
            for step in self.others:
                if step.type in ("cosign_refused", "cosign_resumed"):
                    self._refusals.setdefault(step["partner"], []).append(step)
        steps = self._refusals.get(partner, [])
        at = bisect_right(steps, sequence, key=lambda step: step.sequence)
        return at > 0 and steps[at - 1].type == "cosign_refused"

    def schedule(self, schedule: str) -> Sequence[Step]:
        """Return the steps of a schedule, in order."""
        if not self._schedules:
            for step in self._of("schedule_step"):
                self._schedules.setdefault(step["schedule"], []).append(step)
        return self._schedules.get(schedule, [])

    def _of(self, kind: str) -> list[Step]:
        """Return the entries of ``kind`` that belong to no job; each kind is looked for once."""
        if kind not in self._by_kind:
            self._by_kind[kind] = [step for step in self.others if step.type == kind]
        return self._by_kind[kind]

    def _sizes(self, log: str) -> list[int]:
        if log not in self._cosigned:
            self._cosigned[log] = [each.size for each in self.checkpoints if log in each.cosigners]
        return self._cosigned[log]


def is_rehearsal(log: str) -> bool:
    """Return whether a log's name says that it is of a rehearsal."""
    return log.split("/")[2] == REHEARSAL


def facts_of_policy(digest: str, policy: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a ``policy_set`` says of an attached policy, or ``None`` for what no policy is."""
    facts: dict[str, Any] = {"digest": digest}
    for fact, (section, key) in POLICY_FACTS.items():
        part = policy.get(section)
        facts[fact] = part.get(key) if isinstance(part, dict) else None
    try:
        check_facts("policy_set", facts)
    except ValueError:
        return None
    return {key: facts[key] for key in EVENTS["policy_set"].facts}


def read(bundle: Bundle) -> tuple[Reading, list[Check]]:
    """Read ``bundle`` to its end, or to its first bad entry. Returns what was read, and the checks made of it."""
    reading = Reading(bundle.label, bundle.header)
    pack = bundle.header.pack is not None
    entries = Checking("entries_of_pack" if pack else "entries", bundle.label)
    file = Checking("file", bundle.label)
    try:
        _entries(bundle, reading, entries)
    except BundleFault as fault:
        # SPEC 11.1: an entry is named by its number, also where its line cannot be told from others.
        entries.fail("fault", _spot(reading, reading.size, fault.line), what=fault.what)
    entries.counts["entries"] = reading.size
    if entries.failed:
        file.skip("bad_entry")
    else:
        _check_size(reading, entries)
        try:
            reading.extras.extend(bundle.extras())
            reading.whole = not entries.failed
        except BundleFault as fault:
            file.fail("fault", Place(fault.label, "line", fault.line), what=fault.what)
    file.counts["lines"] = bundle.line
    return reading, [entries.done(), file.done()]


def _entries(bundle: Bundle, reading: Reading, check: Checking) -> None:
    """Walk over the entries; problems go to ``check``, the first one ends the walk."""
    header, tree = reading.header, reading.tree
    batch: list[bytes] = []
    pack = header.pack is not None
    texts, jobs, others = Texts(), reading.jobs, reading.others
    log, role, last_time, expected = header.log, header.role, 0, 0
    policy: str | None = None
    for line in bundle.entries():
        leaf = sha256(b"\0" + line.data).digest()
        if hexlify(leaf) != line.leaf:
            check.fail("leaf", _spot(reading, expected, line.line))
            break
        try:
            said = entry.parse(line.data)
        except ValueError as error:
            check.fail("malformed", _spot(reading, expected, line.line), what=str(error))
            break
        sequence, time = said["sequence"], said["time"]
        if sequence != expected and (not pack or sequence < expected):
            check.fail("sequence", _spot(reading, expected, line.line), found=sequence)
            break
        if time < last_time:
            check.fail("time_back", reading.entry(sequence))
            break
        if said["log"] != log or said["role"] != role:
            check.fail("other_log", reading.entry(sequence))
            break
        if not reading.size and not (sequence == 0 and _opens(header, said)):
            check.fail("opening", reading.entry(0))
            break
        if reading.size and pack and said["job"] != header.pack:
            check.fail("not_of_pack", reading.entry(sequence))
            break
        expected, last_time = sequence + 1, time
        if said["policy"] != policy or said["type"] == "policy_set":
            policy = said["policy"]
            reading.policies.append((sequence, policy))
        if said["commit"] is not None:
            reading.commits[sequence] = said["commit"]
        if said["type"] in KEPT:
            step, job = texts.step(said), said["job"]
            if job is None:
                others.append(step)
            else:
                jobs.setdefault(job, []).append(step)
        elif said["type"] == "result_read":
            reading.opened.append((sequence, said["job"]))
        elif said["type"] == "restored" and sequence == 1:
            reading.restored = True
        reading.size += 1
        if pack:
            reading.leaves[sequence] = leaf
            continue
        batch.append(leaf)
        if len(batch) == _BATCH:
            tree.extend(batch)
            batch.clear()
    tree.extend(batch)


def _opens(header: Header, said: dict[str, Any]) -> bool:
    """Return whether the first entry opens the log with the keys of the header."""
    names = ("identity", "log_key", "witness_key", "proof")
    return said["type"] == "log_opened" and all(
        said["facts"][name] == getattr(header, name) for name in names
    )


def _spot(reading: Reading, expected: int, line: int) -> Place:
    """Return the place of the entry that is expected next; in a pack only its line is certain."""
    if reading.header.pack is None:
        return reading.entry(expected)
    return Place(reading.label, "line", line)


def _check_size(reading: Reading, check: Checking) -> None:
    if not reading.size:
        check.fail("opening", reading.entry(0))
    elif reading.header.pack is not None and reading.size == 1:
        check.fail("empty_pack", Place(reading.label, "line", 1))
    elif reading.header.pack is None and reading.size != reading.header.size:
        check.fail(
            "size", Place(reading.label, "entry", reading.size), found=reading.size, told=reading.header.size
        )
    elif reading.header.pack is not None and reading.leaves and max(reading.leaves) >= reading.header.size:
        check.fail(
            "size",
            Place(reading.label, "entry", max(reading.leaves)),
            found=max(reading.leaves) + 1,
            told=reading.header.size,
        )


def root_of(reading: Reading, size: int) -> bytes | None:
    """Return the root over the first ``size`` entries of a whole log, or ``None`` where that cannot be computed."""
    if reading.header.pack is not None or size > reading.tree.size:
        return None
    try:
        return reading.tree.root(size)
    except ProofError:
        return None
