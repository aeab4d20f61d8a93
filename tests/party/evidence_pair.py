"""Two parties' logs over made-up jobs, cosigned by each other as nodes do it: what tests export and verify.

The entries are those of a run, written here by hand; nothing of a protocol is run.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from audit.entry import Draft
from party.auditlog import AuditLog
from party.contract import Contract, DatasetFacts, draft
from party.cosigning import Cosigning, LogSecrets, begin_log
from party.evidence import Evidence, contract_line
from party.identity import new_identity, public_identity, sign_contract
from party.jobspec import SIDES, Job, other_side
from party.policy import DEFAULT_POLICY
from party.policydigest import note_policy
from party.store import Store
from psi.secret import SigningSeed
from tests.party.blankstore import write_store
from veiljoin.log_messages import LogCosigned

NAMES = {"bank": "bank", "platform": "acme-ads"}
START = datetime.datetime(2026, 11, 22, 9, 30, tzinfo=datetime.UTC)


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime.datetime:
        """Return the time."""
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.now += datetime.timedelta(seconds=seconds)


class LogPair:
    """Bank and platform with a log each, in SQLite files below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.identities: dict[str, SigningSeed] = {side: new_identity() for side in SIDES}
        self.stores: dict[str, Store] = {}
        self.sides: dict[str, Cosigning] = {}
        self.contracts: list[tuple[Contract, Job]] = []
        for side in SIDES:
            path = folder / f"{side}.sqlite"
            write_store(path)
            store = Store(f"sqlite:///{path}")
            secrets = LogSecrets(new_identity(), new_identity())
            identity = self.identities[side]
            begin_log(AuditLog(store), secrets, identity, side, NAMES[side], "veiljoin 0", self._now())
            self.stores[side], self.sides[side] = store, Cosigning(store, secrets, self.clock)
        for side in SIDES:
            other = other_side(side)
            self.sides[side].learn(
                NAMES[other], public_identity(self.identities[other]), self.sides[other].keys()
            )
            self.note(side, "partner_confirmed", partner=NAMES[other], identity=None)

    def close(self) -> None:
        """Close both stores."""
        for store in self.stores.values():
            store.close()

    def evidence(self, side: str) -> Evidence:
        """Return what ``side`` exports."""
        return Evidence(self.stores[side], self.sides[side], self.lines)

    def lines(self) -> Iterator[Mapping[str, Any]]:
        """Yield the lines of the contracts."""
        for contract, job in self.contracts:
            bank, platform = (sign_contract(self.identities[side], contract.hash, side) for side in SIDES)
            yield contract_line(contract.canonical, bank, platform, job)

    def note(
        self, side: str, type: str, actor: str | None = None, job: str | None = None, **facts: Any
    ) -> None:
        """Append an entry at ``side``, half a second after the last one."""
        self.append(side, Draft(type, actor or f"node:{side}", job, facts))

    def append(self, side: str, *drafts: Draft) -> None:
        """Append entries at ``side``, half a second after the last one."""
        self.clock.pass_by(0.5)
        self.sides[side].log.append(drafts, self._now())

    def cosign(self, side: str) -> None:
        """Have the other party cosign the log of ``side`` as it is."""
        other = other_side(side)
        offer = self.sides[side].offer(NAMES[other])
        if offer is None:
            return
        answer = self.sides[other].judge(NAMES[side], offer)
        assert isinstance(answer, LogCosigned)
        self.sides[side].take(NAMES[other], answer)

    def agree(self, job: Job) -> Contract:
        """Draft, approve and sign ``job``; both logs say so."""
        identities = {side: public_identity(seed) for side, seed in self.identities.items()}
        datasets = {
            "bank": DatasetFacts("customers", hashlib.sha256(b"customers").hexdigest()),
            "platform": DatasetFacts("users", hashlib.sha256(b"users").hexdigest()),
        }
        contract = draft(job, datasets, identities, now=self.clock.now)
        self.contracts.append((contract, job))
        digest, of = contract.hash.hex(), contract.job
        for side in SIDES:
            written = {
                "digest": digest,
                "kind": job.kind.value,
                "partner": NAMES[other_side(side)],
                "dataset": datasets[side].name,
                "card": contract.body["card"],
            }
            signatures = {
                each: sign_contract(self.identities[each], contract.hash, each).hex() for each in SIDES
            }
            bank = side == "bank"
            self.note(side, "job_draft", "ann" if bank else "partner:bank", of, **written)
            self.clock.pass_by(3_600)
            if bank:
                self.note(side, "job_approve", "bob", of, digest=digest, **{"as": "approver"})
            self.note(
                side,
                "job_propose",
                None if bank else "partner:bank",
                of,
                digest=digest,
                signature=signatures["bank"],
            )
            if not bank:
                self.note(side, "job_approve", "zhang.wei", of, digest=digest, **{"as": "approver"})
            who = "partner:acme-ads" if bank else "zhang.wei"
            self.note(side, "job_accept", who, of, digest=digest, signature=signatures["platform"])
        return contract

    def run_audience(self, contract: Contract, *, rows: tuple[int, int] = (20_000, 40_000)) -> None:
        """Log a run of an audience that the platform receives, with the release gate before each release."""
        session = hashlib.sha256(b"session" + contract.hash).hexdigest()[:32]
        bank, platform = rows
        said = [
            ("receiver_announce", "platform", 1, 180),
            ("sender_announce", "bank", 1, 180),
            ("receiver_points", "platform", platform, 32 * platform),
            ("sender_points", "bank", bank, 32 * bank),
            ("receiver_tokens", "bank", platform, 16 * platform),
            ("finish_of_receiver", "platform", 1, 40),
            ("finish_of_sender", "bank", 1, 40),
        ]
        for side in SIDES:
            self.note(side, "job_start", None, contract.job, attempt=1)
            party = contract.body["parties"][side]
            used = {"dataset": party["dataset"], "schema": party["schema"], "basis": "marketing_consent"}
            commitment = hashlib.sha256(side.encode()).hexdigest()
            details = {"rows": bank if side == "bank" else platform, "rejected": {"empty": 44}}
            self.append(
                side,
                Draft(
                    "dataset_used",
                    f"node:{side}",
                    contract.job,
                    used | {"input": commitment},
                    details=details,
                ),
            )
            self._spend(side, contract)
            self._decide(side, contract, session, "points", rows)
        for number, (name, sender, count, size) in enumerate(said):
            if name == "receiver_tokens":
                self._decide("bank", contract, session, "tokens", rows)
            shared = {
                "job": contract.job,
                "session": session,
                "name": name,
                "from": sender,
                "to": other_side(sender),
                "count": count,
                "bytes": size,
                "sha256": hashlib.sha256(f"{number}{name}".encode()).hexdigest(),
            }
            for side in SIDES:
                self.append(side, Draft("stream", f"node:{side}", contract.job, shared=shared))
        self._decide("platform", contract, session, "result", rows)
        for side in SIDES:
            self.note(side, "job_finish", None, contract.job)
        self.note("platform", "result_released", None, contract.job, session=session, to="platform")
        self.note("platform", "result_read", "zhang.wei", contract.job, part="list")
        for side in SIDES:
            self.cosign(side)

    def set_policy(self) -> None:
        """Log the policy of both sides."""
        for side in SIDES:
            self.clock.pass_by(0.5)
            note_policy(self.stores[side], DEFAULT_POLICY, self._now())

    def _spend(self, side: str, contract: Contract) -> None:
        self.note(
            side,
            "budget_spent",
            None,
            contract.job,
            dataset=contract.body["parties"][side]["dataset"],
            partner=NAMES[other_side(side)],
            runs=len(self.contracts),
            limit=10,
            hours=720,
            epsilon=None,
            epsilon_spent="0/1",
            epsilon_limit="10/1",
        )

    def _decide(
        self, side: str, contract: Contract, session: str, release: str, rows: tuple[int, int]
    ) -> None:
        own, peer = rows if side == "bank" else rows[::-1]
        facts = {
            "release": release,
            "outcome": "allow",
            "code": None,
            "session": session,
            "min_group": contract.body["policy"]["min_group"],
            "min_converters": None,
            "dominance": None,
            "epsilon": None,
        }
        details = {"own_persons": own, "peer_persons": peer}
        self.append(side, Draft("decision", f"node:{side}", contract.job, facts, details=details))
        self.cosign(side)

    def _now(self) -> float:
        return self.clock.now.timestamp()
