"""What a party holds one job to on its own side, whatever the partner does: its policy, its budget, its ledger.

The order matters: the policy and the budget before any data is read, the ledger once the own input is known, the
budget spent and the partner's growth checked before anything is released (DESIGN of policy: README, "Your policy").
"""

from __future__ import annotations

import contextlib
from typing import Final

import numpy as np

from party.budget import Reservation
from party.history import Sizes
from party.home import Home
from party.jobspec import Job, other_side
from party.ledger import LedgerSketch
from party.policy import check_growth, check_job
from psi.errors import VeiljoinError

_OWN: Final = "own party"


class Guard:
    """Guards one job of ``side`` under the policy in ``home``; a context manager that gives back what was not used.

    ``dataset`` and ``partner`` name what budget and ledger are kept for, ``job_id`` the job in them.
    """

    def __init__(self, home: Home, job: Job, side: str, dataset: str, partner: str, job_id: str) -> None:
        self._home = home
        self._job = job
        self._partner_side = other_side(side)
        self._dataset = dataset
        self._partner = partner
        self._id = job_id
        self._ledger = home.ledger(dataset, partner)
        self.sketch: LedgerSketch = self._ledger.sketch()
        self._reservation: Reservation | None = None
        self._entry: int | None = None
        self._own_persons = 0
        self._released = False

    def __enter__(self) -> Guard:
        """Check the job against the policy and reserve its run. Raises ``PolicyRefusal``."""
        check_job(self._job, self._home.policy)
        epsilon = None if self._job.sums is None else self._job.sums.epsilon
        self._reservation = self._home.budget().reserve(self._dataset, self._partner, self._id, epsilon)
        return self

    def __exit__(self, *_: object) -> None:
        if self._released:
            return
        # What could not be given back lapses by itself; the job's own error is what people need to read.
        with contextlib.suppress(VeiljoinError):
            if self._reservation is not None:
                self._home.budget().cancel(self._reservation)
            if self._entry is not None:
                self._ledger.forget(self._entry)

    def admit(self) -> None:
        """Hold the own input, which the sketch has seen whole, to earlier ones. Raises ``PolicyRefusal``."""
        tags = self.sketch.finish()
        self._own_persons = len(tags)
        last = self._home.history().last(self._dataset, self._partner)
        check_growth(self._home.policy, _OWN, None if last is None else last.own, self._own_persons)
        noised = self._job.sums is not None and self._job.sums.epsilon is not None
        rules = self._home.policy.differencing
        self._entry = self._ledger.admit(
            np.ascontiguousarray(tags), self._id, rules, self._job.min_group, noised=noised
        )

    def release(self, peer_persons: int) -> None:
        """Spend the run: what the partner is sent from now on tells it something. Raises ``PolicyRefusal``."""
        history = self._home.history()
        last = history.last(self._dataset, self._partner)
        check_growth(self._home.policy, self._partner_side, None if last is None else last.peer, peer_persons)
        if self._reservation is None:
            raise RuntimeError("the run was not reserved")
        self._home.budget().spend(self._reservation)
        self._released = True
        sizes = Sizes(self._own_persons, peer_persons)
        history.record(self._dataset, self._partner, self._id, self._job.kind.value, sizes)
