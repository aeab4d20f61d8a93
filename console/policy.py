"""The policy in force and what its budgets have left: reading only, as the policy is a file of the party."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import sqlalchemy as sa

from console.place import Place
from party.budget import RESERVED_FOR
from party.catalogue import Catalogue
from party.home import POLICY_FILE
from party.partners import PartnerState
from party.policy import Policy, load_policy
from party.policydigest import policy_bytes
from party.tables import budget_spent
from psi.errors import UsageError


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """The policy in force. ``problem`` is what is wrong with its ``file`` as it is now, if anything.

    ``written`` is whether there is such a file, ``digest`` what the log calls the policy in force.
    """

    policy: Policy
    file: Path
    written: bool
    digest: str
    problem: UsageError | None


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """What one partner may still ask of one own dataset.

    ``runs`` and ``epsilon`` count at present, reservations among them, against ``run_limit`` and ``epsilon_limit``;
    ``frees`` is when the first of them no longer does. ``known`` is whether the dataset is registered.
    """

    dataset: str
    partner: str
    runs: int
    run_limit: int
    epsilon: Fraction
    epsilon_limit: Fraction
    frees: datetime.datetime | None
    known: bool

    @property
    def runs_left(self) -> int:
        """Runs that are left."""
        return max(0, self.run_limit - self.runs)

    @property
    def epsilon_left(self) -> Fraction:
        """Privacy loss that is left."""
        return max(Fraction(0), self.epsilon_limit - self.epsilon)


def policy_facts(place: Place) -> PolicyFacts:
    """Return the policy in force, and what is wrong with its file."""
    home = place.node.home
    file = home.folder / POLICY_FILE
    problem, written = None, file.exists()
    if written:
        try:
            load_policy(file)
        except UsageError as error:
            problem = error
    return PolicyFacts(home.policy, file, written, policy_bytes(home.policy)[0], problem)


def budget_lines(place: Place) -> tuple[BudgetLine, ...]:
    """Return what is left for every own dataset and active partner, and where something was spent before.

    In order of names. Counts as ``party.budget`` does, which alone decides.
    """
    node = place.node
    rules, now = node.home.policy.budget, node.clock()
    datasets = {each.name for each in Catalogue(node.home.store, node.clock).all()}
    partners = {each.name for each in node.partners.all() if each.state is PartnerState.ACTIVE}
    counted: dict[tuple[str, str], list[tuple[float, Fraction]]] = {
        (dataset, partner): [] for dataset in datasets for partner in partners
    }
    table = budget_spent
    since = now.timestamp() - max(rules.period, RESERVED_FOR).total_seconds()
    query = sa.select(table.c.dataset, table.c.partner, table.c.at, table.c.epsilon, table.c.spent)
    with node.home.store.reading() as connection:
        rows = connection.execute(query.where(table.c.at > since)).all()
    for row in rows:
        ends = row.at + (rules.period if row.spent else RESERVED_FOR).total_seconds()
        if ends > now.timestamp():
            runs = counted.setdefault((row.dataset, row.partner), [])
            runs.append((ends, Fraction(row.epsilon or 0)))
    return tuple(
        BudgetLine(
            dataset,
            partner,
            len(runs),
            rules.runs,
            sum((cost for _, cost in runs), Fraction(0)),
            rules.epsilon,
            datetime.datetime.fromtimestamp(min(ends for ends, _ in runs), now.tzinfo) if runs else None,
            dataset in datasets,
        )
        for (dataset, partner), runs in sorted(counted.items())
    )
