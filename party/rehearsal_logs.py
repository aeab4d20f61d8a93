"""The logs of a rehearsal: one per party, as two nodes would keep them, each cosigned by the other.

The coordinator plays both nodes. What the parties' processes note and wait for goes the same way as under standing
nodes; only the control stream between the two is left out. The logs say that they are of a rehearsal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from audit.entry import Draft
from audit.keys import REHEARSAL
from party.auditlog import AuditLog
from party.budget import local_clock
from party.contract import Contract
from party.cosigning import Cosigning, LogSecrets, begin_log
from party.evidence import SUFFIX, Evidence, contract_line, write_bundle
from party.identity import new_identity, public_identity, sign_contract
from party.jobspec import SIDES, Job, other_side
from party.runlog import released
from party.store import Store
from party.version import SOFTWARE
from psi.errors import VeiljoinError
from psi.secret import SigningSeed
from veiljoin.log_messages import LogCosigned


def bundle_name(side: str) -> str:
    """Return the name of the bundle of ``side`` among its results."""
    return f"{side}{SUFFIX}"


class RehearsalLogs:
    """The logs of both parties, in files below ``folder``; a context manager that closes them."""

    def __init__(self, folder: Path, identities: Mapping[str, SigningSeed]) -> None:
        self._closing = ExitStack()
        self._identities = identities
        self.sides: dict[str, Cosigning] = {}
        self._stores: dict[str, Store] = {}
        for side in SIDES:
            path = folder / side / "log.sqlite"
            for each in (folder, path.parent):
                each.mkdir(mode=0o700, exist_ok=True)
            store = Store(f"sqlite:///{path}")
            self._closing.callback(store.close)
            self._stores[side] = store
            secrets = LogSecrets(new_identity(), new_identity())
            now = local_clock().timestamp()
            begin_log(AuditLog(store), secrets, identities[side], side, REHEARSAL, SOFTWARE, now)
            self.sides[side] = Cosigning(store, secrets, local_clock)
        for side in SIDES:
            other = other_side(side)
            keys = self.sides[other].keys()
            self.sides[side].learn(other, public_identity(identities[other]), keys)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def signed(self, contract: Contract, dataset: Mapping[str, str]) -> None:
        """Note on both sides that the contract was drafted and signed, in a rehearsal by whoever runs it."""
        digest, body = contract.hash.hex(), contract.body
        steps = [
            (step, sign_contract(self._identities[signer], contract.hash, signer).hex())
            for step, signer in (("job_propose", "bank"), ("job_accept", "platform"))
        ]
        for side in SIDES:
            actor = f"node:{side}"
            drafted = {
                "digest": digest,
                "kind": body["kind"],
                "partner": other_side(side),
                "dataset": dataset[side],
                "card": body["card"],
            }
            self._append(
                side,
                Draft("rehearsal", actor, contract.job),
                Draft("job_draft", actor, contract.job, drafted),
                *(
                    Draft(step, actor, contract.job, {"digest": digest, "signature": signature})
                    for step, signature in steps
                ),
                Draft("job_start", actor, contract.job, {"attempt": 1}),
            )

    def gate(self, side: str, drafts: Sequence[Draft], *, cosigned: bool) -> None:
        """Note ``drafts`` in the log of ``side`` and have the other one cosign it, where that is asked for."""
        self._append(side, *drafts)
        if cosigned:
            self._cosign(side)

    def ended(self, contract: Contract, code: str | None) -> None:
        """Note on both sides how the job ended, and have both logs cosigned to their ends."""
        reader = contract.body["receiver"]
        for side in SIDES:
            actor = f"node:{side}"
            if code is None:
                told = released(self.sides[side].log, contract.job, side, reader)
                self._append(side, Draft("job_finish", actor, contract.job), *told)
            else:
                self._append(side, Draft("job_fail", actor, contract.job, {"code": code}))
        for side in SIDES:
            self._cosign(side)

    def export(self, contract: Contract, job: Job, folders: Mapping[str, Path]) -> None:
        """Write each party's bundle into its folder of ``folders``. Raises ``UsageError`` if it can't be written."""
        bank, platform = (
            sign_contract(self._identities[side], contract.hash, side) for side in ("bank", "platform")
        )
        line = contract_line(contract.canonical, bank, platform, job)
        for side, cosigning in self.sides.items():
            evidence = Evidence(self._stores[side], cosigning, lambda: [line])
            write_bundle(folders[side] / bundle_name(side), evidence.whole())

    def _append(self, side: str, *drafts: Draft) -> None:
        cosigning = self.sides[side]
        cosigning.log.append(drafts, cosigning.clock().timestamp())

    def _cosign(self, side: str) -> None:
        other = other_side(side)
        offer = self.sides[side].offer(other)
        if offer is None:
            return
        answer = self.sides[other].judge(side, offer)
        if not isinstance(answer, LogCosigned):
            raise VeiljoinError(f"The log of the {side} was not cosigned in a rehearsal.", code="internal")
        self.sides[side].take(other, answer)
