"""What a party holds one job to on its own side, whatever the partner does: its policy, its budget, its ledger.

The order matters: the policy and the budget before any data is read, the ledger once the own input is known, the
partner's growth checked and the run spent before the partner is sent more than our announcement. A job that ends
before that gives its run back; one that ends after it, however it ends, stays spent (README, "Your policy"). A run
that is cut and goes on is the same run: what it reserved and entered is kept for it, and spent once.

Our announcement itself, sizes and no token, is not paid for: a partner that hangs up then has learned those.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from party.budget import Reservation
from party.history import Sizes
from party.home import Home
from party.jobspec import Job, other_side
from party.keptruns import check_auditor
from party.policy import check_growth, check_job
from party.sketch import LedgerSketch
from psi.errors import VeiljoinError


@dataclass(frozen=True, slots=True)
class Standing:
    """What a run holds that was admitted: its reservation, its entry in the ledger, and its own persons."""

    reservation: int
    entry: int
    persons: int


def abandon(home: Home, job_id: str) -> None:
    """Give back what the runs of a job held and had not spent: it has ended, or begins anew."""
    home.budget().abandon(job_id)
    home.ledger("", "").abandon(job_id)  # of whatever dataset and partner: a job has its own


class Guard:
    """Guards one job of ``side`` under the policy in ``home``; a context manager that gives back what was not used.

    ``dataset`` and ``partner`` name what budget and ledger are kept for, ``job_id`` the job in them. ``sketch`` has
    to be told the own input before :meth:`admit`. ``standing`` is that of a run that goes on.
    """

    def __init__(
        self,
        home: Home,
        job: Job,
        side: str,
        dataset: str,
        partner: str,
        job_id: str,
        standing: Standing | None = None,
    ) -> None:
        self._home = home
        self._job = job
        self._side = side
        self._dataset = dataset
        self._partner = partner
        self._id = job_id
        self._epsilon = None if job.sums is None else job.sums.epsilon
        # None: jobs of this kind have no noise.
        self._noised = None if job.sums is None else self._epsilon is not None
        self._ledger = home.ledger(dataset, partner)
        self.sketch: LedgerSketch = self._ledger.sketch()
        self._reservation: Reservation | None = None
        self._entry: int | None = None
        self._persons = 0
        # Whether what is held outlives this process, or is spent.
        self._kept = standing is not None
        if standing is not None:
            self._reservation = Reservation(standing.reservation, dataset, partner, job_id, self._epsilon)
            self._entry, self._persons = standing.entry, standing.persons

    def __enter__(self) -> Guard:
        """Check the job against the policy and reserve its run, unless it goes on. Raises ``PolicyRefusal``."""
        if self._reservation is not None:
            return self
        check_job(self._job, self._home.policy)
        check_auditor(self._job, self._side, self._home.policy)
        self._reservation = self._home.budget().reserve(self._dataset, self._partner, self._id, self._epsilon)
        return self

    def __exit__(self, *_: object) -> None:
        if self._kept:
            return
        # What could not be given back lapses by itself; the job's own error is what people need to read.
        if self._reservation is not None:
            with contextlib.suppress(VeiljoinError):
                self._home.budget().cancel(self._reservation)
        if self._entry is not None:
            with contextlib.suppress(VeiljoinError):
                self._ledger.forget(self._entry)

    def admit(self) -> None:
        """Hold the own input, which the sketch was told whole, to earlier ones. Raises ``PolicyRefusal``."""
        last = self._home.history().last(self._dataset, self._partner)
        policy = self._home.policy
        check_growth(policy, self._side, None if last is None else last.own, self.sketch.size)
        self._ledger.purge()
        self._entry = self._ledger.admit(
            self.sketch.finish(), self._id, policy.differencing, self._job.min_group, noised=self._noised
        )
        self._persons = self.sketch.size

    def keep(self) -> Standing:
        """Return what the run holds once it is admitted; who goes on with it brings it back."""
        if self._reservation is None or self._entry is None:
            raise RuntimeError("the run was not reserved, or its input not admitted")
        self._kept = True
        return Standing(self._reservation.id, self._entry, self._persons)

    def release(self, peer_persons: int) -> None:
        """Spend the run: what the partner is sent from now on tells it something. Raises ``PolicyRefusal``.

        Once it returned, calling it again for the same run, in this process or a later one, changes nothing.
        """
        if self._reservation is None or self._entry is None:
            raise RuntimeError("the run was not reserved, or its input not admitted")
        # The policy in force now is the one that the log names.
        self._home.refresh()
        history, policy, budget = self._home.history(), self._home.policy, self._home.budget()
        if not budget.is_spent(self._reservation):
            last = history.last(self._dataset, self._partner)
            check_growth(policy, other_side(self._side), None if last is None else last.peer, peer_persons)
            # First what can be taken back: a run that is spent stays spent.
            self._ledger.release(self._entry, policy.differencing, self._job.min_group, noised=self._noised)
            budget.spend(self._reservation)
        self._kept = True
        sizes = Sizes(self._persons, peer_persons)
        history.record(self._dataset, self._partner, self._id, self._job.kind.value, sizes)
