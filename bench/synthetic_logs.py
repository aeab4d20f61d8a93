"""Two parties' logs without any run behind them: as large as one likes, for benchmarks and for tests of the verifier.

Every entry, signature, cosignature and proof is real, only what they speak of is made up. Everything follows from the
seed, the times too. Uses the parts that a node logs with, and nothing of the verifier.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import bundle, keys, merkle
from audit.bundle import Header
from audit.checkpoint import Checkpoint, Cosigner, sign_checkpoint, with_cosignature
from audit.commitment import commit
from audit.entry import SALT_BYTES, Draft, build
from audit.note import Signer
from audit.witness import Accept, Known, Offer, judge
from bench.synthetic_jobs import KINDS as KINDS
from bench.synthetic_jobs import LIMIT_EPSILON, LIMIT_HOURS, LIMIT_RUNS, Run
from psi.secret import SigningSeed

START: Final = 1_790_000_000_000
SOFTWARE: Final = "0.1.0"
_STEP_MS: Final = 40
# As a node attaches it to a bundle, and what the entry that sets it says of it.
POLICY: Final[Mapping[str, Any]] = {
    "limits": {
        "min_group": 50,
        "min_converters": 10,
        "dominance": 10,
        "max_set": 1_000_000,
        "max_growth": None,
        "epsilon": None,
    },
    "budget": {"hours": LIMIT_HOURS, "runs": LIMIT_RUNS, "epsilon": LIMIT_EPSILON},
    "differencing": {"action": "noise", "min_difference": None},
    "lifetime": {"result_days": 90},
    "audit": {"key": None, "unwitnessed": "closed"},
    "standing": [],
}
_POLICY_FACTS: Final[Mapping[str, Any]] = {
    "min_group": 50,
    "min_converters": 10,
    "dominance": 10,
    "max_set": 1_000_000,
    "epsilon": None,
    "budget_runs": LIMIT_RUNS,
    "budget_hours": LIMIT_HOURS,
    "budget_epsilon": LIMIT_EPSILON,
    "result_days": 90,
    "unwitnessed": "closed",
}


def _seeded(seed: str, label: str) -> bytes:
    return hashlib.sha256(f"synthetic {seed} {label}".encode()).digest()


def _public(seed: SigningSeed) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed.reveal()).public_key().public_bytes_raw()


@dataclass(slots=True)
class Party:
    """One party: its keys, its log so far, and what it witnessed of the other's."""

    role: str
    name: str
    seed: str
    entries: list[bytes] = field(default_factory=list)
    tree: merkle.Tree = field(default_factory=merkle.Tree)
    checkpoints: dict[int, bytes] = field(default_factory=dict)
    witnessed: list[tuple[int, bytes]] = field(default_factory=list)
    evidence: list[tuple[str, bytes]] = field(default_factory=list)
    contracts: list[dict[str, Any]] = field(default_factory=list)
    details: list[dict[str, Any]] = field(default_factory=list)
    types: list[tuple[str, str | None]] = field(default_factory=list)
    known: Known | None = None
    policy: str | None = None
    runs: int = 0
    time: int = START
    # What its policy says of results that the partner didn't cosign.
    unwitnessed: str = "closed"
    alter: Callable[[Draft], Draft | None] = lambda draft: draft

    def __post_init__(self) -> None:
        self.identity = SigningSeed(_seeded(self.seed, f"{self.role} identity"))
        self.log_seed = SigningSeed(_seeded(self.seed, f"{self.role} log"))
        self.witness_seed = SigningSeed(_seeded(self.seed, f"{self.role} witness"))
        self.identity_public = _public(self.identity)
        self.origin = keys.origin_of(self.role, self.name, self.identity_public)
        self.signer = Signer(self.origin, self.log_seed)
        self.cosigner = Cosigner(self.origin + keys.WITNESS_SUFFIX, self.witness_seed)
        publics = (_public(self.log_seed), _public(self.witness_seed))
        self.proof = keys.certify(self.identity, self.origin, *publics)

    identity: SigningSeed = field(init=False)
    log_seed: SigningSeed = field(init=False)
    witness_seed: SigningSeed = field(init=False)
    identity_public: bytes = field(init=False)
    origin: str = field(init=False)
    signer: Signer = field(init=False)
    cosigner: Cosigner = field(init=False)
    proof: bytes = field(init=False)

    def append(
        self,
        type: str,
        actor: str | None = None,
        job: str | None = None,
        facts: Mapping[str, Any] | None = None,
        *,
        shared: Mapping[str, Any] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> int:
        """Append one entry, a little later than the one before; returns its sequence number.

        ``alter`` may change or drop (``None``) what is written: a party that lies from the first.
        """
        sequence, commitment = len(self.entries), None
        self.time += _STEP_MS
        draft = self.alter(Draft(type, actor or f"node:{self.role}", job, facts or {}, shared, details))
        if draft is None:
            return sequence
        type, details = draft.type, draft.details
        if details is not None:
            salt = _seeded(self.seed, f"{self.role} salt {sequence}")
            commitment = commit(salt, details)
            self.details.append(bundle.details(sequence, salt, details))
        data = build(
            draft,
            log=self.origin,
            role=self.role,
            sequence=sequence,
            time=self.time,
            policy=self.policy,
            commit=commitment,
            salt=_seeded(self.seed, f"{self.role} entry {sequence}")[:SALT_BYTES],
        )
        self.entries.append(data)
        self.types.append((type, job))
        return sequence

    def open(self) -> None:
        """Write what a log begins with: its keys and the policy."""
        keyed = {"log_key": self.signer.verifier, "witness_key": self.cosigner.verifier}
        opened = {"identity": self.identity_public.hex(), "proof": self.proof.hex(), "software": SOFTWARE}
        self.append("log_opened", facts=keyed | opened)
        self.policy = hashlib.sha256(rfc8785.dumps(self.effective())).hexdigest()
        told = {**_POLICY_FACTS, "unwitnessed": self.unwitnessed}
        self.append("policy_set", facts={"digest": self.policy, **told})

    def effective(self) -> dict[str, Any]:
        """Return the policy in force, as a node attaches it."""
        return {**POLICY, "audit": {**POLICY["audit"], "unwitnessed": self.unwitnessed}}

    def sign(self, size: int | None = None) -> bytes:
        """Return the signed checkpoint over the entries so far, or the first ``size``."""
        leaves = [merkle.leaf_hash(data) for data in self.entries[self.tree.size :]]
        self.tree.extend(leaves)
        at = self.tree.size if size is None else size
        return sign_checkpoint(Checkpoint(self.origin, at, self.tree.root(at)), self.signer)

    def checkpoint(self, partner: Party) -> None:
        """Sign what there is and have ``partner`` cosign it."""
        note = self.sign()
        size = self.tree.size
        if size in self.checkpoints:
            return
        old = 0 if partner.known is None else partner.known.size
        proof = tuple(merkle.consistency_proof(old, size, self.tree.read))
        verdict = judge(Offer(note, old, proof), partner.known, self.signer.verifier)
        if not isinstance(verdict, Accept):
            raise RuntimeError("an honest checkpoint was refused")
        partner.known = Known(size, verdict.checkpoint.root)
        cosigned = with_cosignature(note, partner.cosigner.cosign(note, partner.time // 1000))
        partner.witnessed.append((size, cosigned))
        self.checkpoints[size] = cosigned

    def header(self, size: int | None = None) -> Header:
        """Return the header of this party's bundle."""
        return Header(
            log=self.origin,
            role=self.role,
            name=self.name,
            identity=self.identity_public.hex(),
            log_key=self.signer.verifier,
            witness_key=self.cosigner.verifier,
            proof=self.proof.hex(),
            size=len(self.entries) if size is None else size,
            exported=self.time,
        )

    def extras(self, partner: Party, *, details: bool = True) -> Iterator[dict[str, Any]]:
        """Yield the lines behind the entries."""
        for size, note in self.checkpoints.items():
            yield bundle.checkpoint(size, note)
        yield bundle.partner(
            partner.name,
            partner.origin,
            partner.identity_public,
            partner.signer.verifier,
            partner.cosigner.verifier,
            partner.proof,
        )
        for size, note in self.witnessed:
            yield bundle.witnessed(partner.origin, size, note)
        yield from self.contracts
        for reason, note in self.evidence:
            yield bundle.evidence(partner.origin, reason, note)
        if details:
            yield from self.details
        yield bundle.policy(self.effective())

    def bundle(self, partner: Party, *, details: bool = True) -> Iterator[bytes]:
        """Yield the lines of this party's bundle."""
        return bundle.write(self.header(), bundle.hashed(self.entries), self.extras(partner, details=details))


class Pair:
    """A bank and a platform that log their joint jobs; ``seed`` decides everything."""

    def __init__(
        self,
        seed: str = "1",
        alter: Mapping[str, Callable[[Draft], Draft | None]] | None = None,
        unwitnessed: str = "closed",
    ) -> None:
        self.bank = Party("bank", "first bank", seed)
        self.platform = Party("platform", "acme", seed)
        for role, change in (alter or {}).items():
            self.side(role)[0].alter = change
        self.bank.unwitnessed = self.platform.unwitnessed = unwitnessed
        self._random = random.Random(f"pair {seed}")  # noqa: S311 - sizes of made-up sets
        self._seed = seed
        self._jobs = 0
        for one, other in ((self.bank, self.platform), (self.platform, self.bank)):
            one.open()
            facts = {"partner": other.name, "identity": other.identity_public.hex()}
            one.append("partner_confirmed", "ada", facts=facts)
        self.both(lambda one, other: one.checkpoint(other))

    def both(self, act: Any) -> None:
        """Do something at the bank and at the platform."""
        act(self.bank, self.platform)
        act(self.platform, self.bank)

    def side(self, role: str) -> tuple[Party, Party]:
        """Return the party of ``role`` and the other one."""
        return (self.bank, self.platform) if role == "bank" else (self.platform, self.bank)

    def jobs(self, kinds: Sequence[str], *, cut: bool = False) -> list[str]:
        """Run jobs of ``kinds`` at once, so that they share checkpoints; returns their ids.

        ``cut``: they end before their last release, so that no result is there.
        """
        runs = [Run(self, kind, self._next(), self._random) for kind in kinds]
        for run in runs:
            run.agree()
        self.both(lambda one, other: one.checkpoint(other))
        for stage in range(max(run.stages for run in runs)):
            for run in runs:
                run.advance(stage, cut=cut)
            self.both(lambda one, other: one.checkpoint(other))
        for run in runs:
            run.end(cut=cut)
        self.both(lambda one, other: one.checkpoint(other))
        return [run.job for run in runs]

    def fill(self, role: str, entries: int) -> None:
        """Append entries that belong to no job until the log of ``role`` has ``entries``, and cosign it."""
        own, other = self.side(role)
        digest = _seeded(self._seed, "filling").hex()
        others: Sequence[tuple[str, dict[str, Any]]] = (
            ("login", {"code": None}),
            (
                "dataset_changed",
                {"dataset": "segment", "schema": digest, "form": "phone", "basis": "consent"},
            ),
            ("access_refused", {"partner": other.name, "code": "peer_identity"}),
            (
                "certificate_renewed",
                {"partner": other.name, "serial": "7a", "digest": digest, "until": START},
            ),
            ("preflight", {"digest": digest, "own": "ready", "peer": None}),
        )
        while len(own.entries) < entries:
            number = len(own.entries)
            kind, facts = others[number % len(others)]
            own.append(kind, f"user{number % 40}", facts=facts)
            if number % 1_000 == 0:
                # Nobody's clock stands still meanwhile.
                other.time = max(other.time, own.time)
                own.checkpoint(other)
        other.time = max(other.time, own.time)
        own.checkpoint(other)

    def _next(self) -> str:
        self._jobs += 1
        return hashlib.sha256(f"job {self._seed} {self._jobs}".encode()).hexdigest()[:32]
