"""The privacy budget: what one partner may ask of one dataset within a period, spent before anything is released.

Every run costs, whatever its inputs, and so does every restart of a job after it released tokens. A job reserves when
it starts and spends right before its first release; a reservation counts like a run, so that two jobs can't both have
the last one.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

import sqlalchemy as sa

from party.logged import fraction, note_own
from party.policy import BudgetRules
from party.store import Store
from party.tables import budget_spent
from psi.errors import PolicyRefusal

# A job that was killed before it released anything can't give its reservation back: it lapses after this time.
RESERVED_FOR: Final = datetime.timedelta(days=1)

Clock = Callable[[], datetime.datetime]


def local_clock() -> datetime.datetime:
    """Return the time, in the machine's zone."""
    return datetime.datetime.now().astimezone()


@dataclass(frozen=True, slots=True)
class Reservation:
    """A run that is counted but not spent yet."""

    id: int
    dataset: str
    partner: str
    job: str
    epsilon: Fraction | None


@dataclass(frozen=True, slots=True)
class Spent:
    """What counts at present: runs, reserved ones among them, and their epsilons together."""

    runs: int
    epsilon: Fraction


class _Run(NamedTuple):
    ends: float
    epsilon: Fraction


class Budget:
    """The budget of one party under ``rules``; ``clock`` gives timezone-aware times."""

    def __init__(self, store: Store, rules: BudgetRules, clock: Clock = local_clock) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock

    def spent(self, dataset: str, partner: str) -> Spent:
        """Return what counts for ``dataset`` and ``partner`` now."""
        with self._store.transaction() as connection:
            counted = self._counted(connection, dataset, partner, self._clock().timestamp())
        return Spent(len(counted), sum((run.epsilon for run in counted), Fraction(0)))

    def reserve(self, dataset: str, partner: str, job: str, epsilon: Fraction | None) -> Reservation:
        """Reserve one run of ``job``, in place of reservations that it left before; ``epsilon`` is its noise's.

        Raises ``PolicyRefusal`` (``over_budget``) that says what is spent of what and when it renews.
        """
        now = self._clock()
        with self._store.transaction() as connection:
            table = budget_spent
            connection.execute(
                table.delete().where(
                    table.c.dataset == dataset,
                    table.c.partner == partner,
                    table.c.job == job,
                    table.c.spent.is_(False),
                )
            )
            return self._take(connection, dataset, partner, job, epsilon, now)

    def is_spent(self, reservation: Reservation) -> bool:
        """Return whether the reserved run is spent."""
        table = budget_spent
        with self._store.reading() as connection:
            return bool(
                connection.execute(sa.select(table.c.spent).where(table.c.id == reservation.id)).scalar()
            )

    def spend(self, reservation: Reservation) -> bool:
        """Spend a reserved run; once it returns, that is durable and the job may release what it is about.

        Returns whether it was spent by this call: a run that was cut asks again, and costs once. A reservation that
        lapsed has to fit again, so this may raise what :meth:`reserve` does.
        """
        now = self._clock()
        table = budget_spent
        with self._store.transaction() as connection:
            row = connection.execute(sa.select(table).where(table.c.id == reservation.id)).first()
            if row is not None and row.spent:
                return False
            if row is None or row.at <= (now - RESERVED_FOR).timestamp():
                connection.execute(table.delete().where(table.c.id == reservation.id))
                key = (reservation.dataset, reservation.partner, reservation.job, reservation.epsilon)
                self._take(connection, *key, now, reservation.id)
            values = {"spent": True, "at": now.timestamp()}
            connection.execute(table.update().where(table.c.id == reservation.id).values(**values))
            self._note_spent(connection, reservation, now.timestamp())
        return True

    def cancel(self, reservation: Reservation) -> None:
        """Give a run back that ended before it released anything; one that is spent stays spent."""
        table = budget_spent
        with self._store.transaction() as connection:
            connection.execute(table.delete().where(table.c.id == reservation.id, table.c.spent.is_(False)))

    def abandon(self, job: str) -> None:
        """Give back what ``job``, which has ended, had reserved and not spent."""
        table = budget_spent
        with self._store.transaction() as connection:
            connection.execute(table.delete().where(table.c.job == job, table.c.spent.is_(False)))

    def _take(
        self,
        connection: sa.Connection,
        dataset: str,
        partner: str,
        job: str,
        epsilon: Fraction | None,
        now: datetime.datetime,
        number: int | None = None,
    ) -> Reservation:
        counted = self._counted(connection, dataset, partner, now.timestamp())
        self._check(counted, dataset, partner, epsilon or Fraction(0), now)
        row = {
            "dataset": dataset,
            "partner": partner,
            "job": job,
            "at": now.timestamp(),
            "epsilon": None if epsilon is None else str(epsilon),
            "spent": False,
        }
        if number is not None:
            # The run knows its reservation by this.
            row["id"] = number
        key = connection.execute(budget_spent.insert().values(row)).inserted_primary_key
        if key is None:
            raise RuntimeError("an inserted row has a key")
        return Reservation(int(key[0]), dataset, partner, job, epsilon)

    def _note_spent(self, connection: sa.Connection, spent: Reservation, now: float) -> None:
        """Note in the party's log what is spent of what, this run included; others' reservations are not."""
        table, rules = budget_spent, self._rules
        rows = connection.execute(
            sa.select(table.c.epsilon).where(
                table.c.dataset == spent.dataset,
                table.c.partner == spent.partner,
                table.c.spent.is_(True),
                table.c.at > now - rules.period.total_seconds(),
            )
        ).all()
        facts = {
            "dataset": spent.dataset,
            "partner": spent.partner,
            "runs": len(rows),
            "limit": rules.runs,
            "hours": int(rules.period.total_seconds()) // 3600,
            "epsilon": None if spent.epsilon is None else fraction(spent.epsilon),
            "epsilon_spent": fraction(sum((Fraction(row.epsilon or 0) for row in rows), Fraction(0))),
            "epsilon_limit": fraction(rules.epsilon),
        }
        note_own(connection, "budget_spent", facts, now, spent.job)

    def _counted(self, connection: sa.Connection, dataset: str, partner: str, now: float) -> list[_Run]:
        """Return the runs that count at ``now``, those first that end first. A time in the future counts."""
        table = budget_spent
        rows = connection.execute(
            sa.select(table.c.at, table.c.epsilon, table.c.spent).where(
                table.c.dataset == dataset, table.c.partner == partner
            )
        )
        period, reserved = self._rules.period.total_seconds(), RESERVED_FOR.total_seconds()
        runs = (_Run(at + (period if spent else reserved), Fraction(cost or 0)) for at, cost, spent in rows)
        return sorted(run for run in runs if run.ends > now)

    def _check(
        self, counted: Sequence[_Run], dataset: str, partner: str, epsilon: Fraction, now: datetime.datetime
    ) -> None:
        """Raise ``PolicyRefusal`` unless one more run with ``epsilon`` fits."""
        rules = self._rules
        used = sum((run.epsilon for run in counted), Fraction(0))
        if len(counted) < rules.runs and used + epsilon <= rules.epsilon:
            return
        days = rules.period.total_seconds() / 86400
        every = f"{days:g} days" if days >= 1 else f"{days * 24:g} hours"
        spent = f"{len(counted)} of {rules.runs} runs"
        if used or epsilon:
            spent += f" and {float(used):g} of {float(rules.epsilon):g} epsilon"
        needs = f"; this run needs epsilon {float(epsilon):g}" if used + epsilon > rules.epsilon else ""
        when = self._renews(counted, used, epsilon, now)
        raise PolicyRefusal(
            f"The privacy budget of dataset {dataset} for partner {partner} does not allow this run: "
            f"{spent} are spent in {every}{needs}.",
            hint=f"it renews on {when:%Y-%m-%d at %H:%M} (UTC{_offset(when)})"
            if when is not None
            else "no period has room for it: raise [budget] in the policy file, or ask for less",
            code="over_budget",
        )

    def _renews(
        self, counted: Sequence[_Run], used: Fraction, epsilon: Fraction, now: datetime.datetime
    ) -> datetime.datetime | None:
        """Return the first full minute at which the run would fit, in the clock's zone, or ``None`` for never."""
        rules = self._rules
        if rules.runs < 1 or epsilon > rules.epsilon:
            return None
        left = len(counted)
        for run in counted:
            left, used = left - 1, used - run.epsilon
            if left < rules.runs and used + epsilon <= rules.epsilon:
                when = datetime.datetime.fromtimestamp(run.ends, now.tzinfo)
                return when.replace(second=0, microsecond=0) + datetime.timedelta(minutes=1)
        return None


def _offset(when: datetime.datetime) -> str:
    offset = when.strftime("%z")
    return f"{offset[:3]}:{offset[3:5]}"
