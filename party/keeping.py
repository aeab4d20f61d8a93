"""What a node keeps of a job's run while it may go on: its sealed seed, its folder, what the policy holds for it.

A seed without its folder, or a folder without its seed, is none: the run begins with a new seed then, since nobody
could tell any more what the old one was used for (psi/SPEC 8.6).
"""

from __future__ import annotations

from typing import Final

from party.guard import abandon
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

    def end(self, job: str) -> None:
        """Drop the run: its seed is destroyed, and what was reserved for it and not spent is given back."""
        self._node.vault.destroy(_name(job))
        self._workroom.end_run(job)
        abandon(self._node.home, job)

    def jobs(self) -> tuple[str, ...]:
        """Return the jobs that have a run."""
        names = self._node.vault.names()
        return tuple(
            name[len(SEED_PREFIX) : -len(_SEED_SUFFIX)] for name in names if name.startswith(SEED_PREFIX)
        )


def _name(job: str) -> str:
    return f"{SEED_PREFIX}{job}{_SEED_SUFFIX}"
