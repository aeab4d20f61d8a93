"""What a node keeps of a job's run while it may go on: its sealed seed, its folder, what the policy holds for it.

A seed without its folder, or a folder without its seed, is none: the run begins with a new seed then, since nobody
could tell any more what the old one was used for (psi/SPEC 8.6).
"""

from __future__ import annotations

from typing import Final

from audit.entry import Draft
from party.auditlog import AuditLog
from party.contract import parse_contract
from party.guard import abandon
from party.jobrecords import JobRecord
from party.keptruns import no_auditor, seal_run
from party.node import Node
from party.workroom import Workroom
from psi.errors import UsageError
from psi.secret import Seed
from psi.seed import new_seed

SEED_PREFIX: Final = "job/"
_SEED_SUFFIX: Final = "/seed"
_PURPOSE: Final = "run"


class Keeping:
    """The runs of ``node``, whose folders are in ``workroom``; raises ``UsageError`` where store or disk fail."""

    def __init__(self, node: Node, workroom: Workroom) -> None:
        self._node = node
        self._workroom = workroom

    def seed(self, job: str) -> Seed:
        """Return the seed of the job's run; where there is none that could go on, a new run begins."""
        vault, name = self._node.vault, _name(job)
        if self._workroom.run(job).is_dir():
            try:
                return vault.open(name, Seed, purpose=_PURPOSE)
            except UsageError as error:
                if error.code.name != "missing_file":
                    raise
        seed = new_seed()
        # The folder goes first and comes last: what is there belongs to the seed that is sealed.
        self._workroom.end_run(job)
        vault.seal(name, seed, purpose=_PURPOSE, replace=True)
        self._workroom.begin_run(job)
        return seed

    def seal(
        self, record: JobRecord, seed: Seed, *, delimiter: str | None = None, encoding: str | None = None
    ) -> None:
        """Where the contract says that this side keeps its seed, seal it to the auditor: before anything is sent.

        ``delimiter`` and ``encoding`` are the catalogue's, for who prepares the same input again. Raises
        ``PolicyRefusal`` if the policy names no auditor any more.
        """
        side, policy = self._node.file.role, self._node.home.policy
        contract = parse_contract(record.contract or b"")
        if not contract.keeps_seed(side):
            return
        if policy.audit.key is None:
            raise no_auditor(side, policy)
        name = seal_run(
            self._workroom.run(record.id),
            seed,
            auditor=policy.audit.key,
            side=side,
            contract=contract,
            table=record.table,
            delimiter=delimiter,
            encoding=encoding,
        )
        kept = Draft(
            "seed_kept",
            f"node:{side}",
            record.id,
            {"auditor": policy.audit.key.hex()},
            key=f"{record.id}/seed/{name}",
        )
        AuditLog(self._node.home.store).append((kept,), self._node.clock().timestamp())

    def end(self, job: str) -> None:
        """Drop the run: its seed is destroyed, and what was reserved for it and not spent is given back."""
        # The folder goes first: what the auditor is to have is moved out of it, or the run is still there.
        self._workroom.end_run(job)
        self._node.vault.destroy(_name(job))
        abandon(self._node.home, job)

    def jobs(self) -> tuple[str, ...]:
        """Return the jobs that have a run."""
        names = self._node.vault.names()
        return tuple(
            name[len(SEED_PREFIX) : -len(_SEED_SUFFIX)] for name in names if name.startswith(SEED_PREFIX)
        )


def _name(job: str) -> str:
    return f"{SEED_PREFIX}{job}{_SEED_SUFFIX}"
