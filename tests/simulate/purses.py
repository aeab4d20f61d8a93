"""What holds a simulated side to its policy: the product's own guard over a store, or a quick model of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import sqlalchemy as sa

from party.guard import Guard, Standing, abandon
from party.home import Home
from party.policy import BudgetRules, Differencing
from party.tables import budget_spent, jobs_seen, ledger_sketch
from tests.party.jobs import job

DATASET, PARTNER = "cards", "acme"


class Hold(Protocol):
    """What one attempt of a run holds."""

    def admit(self, persons: int) -> Standing:
        """Enter the own input; what is returned is kept with the prepared set."""

    def release(self, peer_persons: int) -> None:
        """Spend the run."""

    def leave(self) -> None:
        """End the attempt in order; a process that was killed does not come to this."""


class Purse(Protocol):
    """The budget of one side for one job."""

    def open(self, standing: Standing | None) -> Hold:
        """Begin an attempt: reserve, unless it goes on with ``standing``."""

    def abandon(self) -> None:
        """Give back what was not spent: the run is over."""

    def counted(self) -> tuple[int, int]:
        """Return how many runs are spent, and how many reserved and not spent."""

    def close(self) -> None:
        """Forget the job."""


class QuickPurse:
    """A model of the guard."""

    def __init__(self) -> None:
        self._rows: dict[int, bool] = {}
        self._numbers = 0

    def open(self, standing: Standing | None) -> Hold:
        """Reserve, in place of what was reserved before."""
        goes_on = standing is not None
        if standing is None:
            self.abandon()
            self._numbers += 1
            self._rows[self._numbers] = False
            standing = Standing(self._numbers, 0, 0)
        return _QuickHold(self._rows, standing, goes_on)

    def abandon(self) -> None:
        """Drop what is not spent."""
        for number in [number for number, spent in self._rows.items() if not spent]:
            del self._rows[number]

    def counted(self) -> tuple[int, int]:
        """Count."""
        spent = sum(self._rows.values())
        return spent, len(self._rows) - spent

    def close(self) -> None:
        """Nothing to forget."""


class _QuickHold:
    def __init__(self, rows: dict[int, bool], standing: Standing, kept: bool) -> None:
        self._rows = rows
        self._standing = standing
        self._kept = kept

    def admit(self, persons: int) -> Standing:
        self._kept = True
        return replace(self._standing, persons=persons)

    def release(self, peer_persons: int) -> None:
        if self._standing.reservation not in self._rows:
            raise RuntimeError("a run was released that was not reserved")
        self._rows[self._standing.reservation] = True

    def leave(self) -> None:
        if not self._kept:
            self._rows.pop(self._standing.reservation, None)


def open_home(folder: Path) -> Home:
    """Return a home whose policy never refuses a simulated job."""
    home = Home.open(folder)
    home.policy = replace(
        home.policy,
        budget=BudgetRules(home.policy.budget.period, 1_000_000, home.policy.budget.epsilon),
        differencing=Differencing(min_difference=0),
    )
    return home


class StorePurse:
    """The product's guard, budget and ledger in ``home``, for the job ``name``."""

    def __init__(self, home: Home, name: str, side: str) -> None:
        self._home = home
        self._name = name
        self._side = side

    def open(self, standing: Standing | None) -> Hold:
        """Open the guard."""
        guard = Guard(self._home, job(), self._side, DATASET, PARTNER, self._name, standing)
        return _StoreHold(guard.__enter__())

    def abandon(self) -> None:
        """Do what the node does when a run ends."""
        abandon(self._home, self._name)

    def counted(self) -> tuple[int, int]:
        """Count the rows of the budget."""
        table = budget_spent
        query = sa.select(table.c.spent).where(table.c.job == self._name)
        with self._home.store.reading() as connection:
            rows = list(connection.execute(query).scalars())
        return sum(rows), len(rows) - sum(rows)

    def close(self) -> None:
        """Forget the job, so that the store stays small."""
        with self._home.store.transaction() as connection:
            files = sa.select(ledger_sketch.c.file).where(ledger_sketch.c.job == self._name)
            for file in connection.execute(files).scalars():
                (self._home.folder / "ledger" / file).unlink(missing_ok=True)
            for table in (budget_spent, ledger_sketch, jobs_seen):
                connection.execute(table.delete().where(table.c.job == self._name))


class _StoreHold:
    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def admit(self, persons: int) -> Standing:
        sketch = self._guard.sketch
        numbers = sketch.persons(b"person %d" % number for number in range(persons))
        sketch.add(numbers, np.zeros(persons, dtype=np.uint64))
        self._guard.admit()
        return self._guard.keep()

    def release(self, peer_persons: int) -> None:
        self._guard.release(peer_persons)

    def leave(self) -> None:
        self._guard.__exit__(None, None, None)
