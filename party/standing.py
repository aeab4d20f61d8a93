"""Standing rules of a platform's policy: jobs that need no person, because somebody decided on all of their kind.

    [[standing]]
    name = "monthly lists"
    partners = ["bank"]                  # without it, any partner
    kinds = ["overlap", "audience"]
    purposes = ["leave existing customers out of a campaign"]    # word for word; without it, any purpose
    datasets = ["device-users"]
    max_set = 5000000                    # the contract's max_set may be this at most; without it, as [limits] say

A job that fits no rule waits for a person. The rules only add consent: limits and budget hold as for any job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from party.jobkeys import Key, Place, check_keys, whole
from party.jobspec import KINDS, Job
from psi.errors import UsageError
from psi.terms import MAX_SET

_KEYS: Final = {
    "name": Key((str,), "the rule's name, for the history of jobs", required=KINDS),
    "partners": Key((list,), "names of partners"),
    "kinds": Key((list,), " | ".join(KINDS), required=KINDS),
    "purposes": Key((list,), "purposes, word for word as job files have them"),
    "datasets": Key((list,), "names of own datasets", required=KINDS),
    "max_set": Key((int,), "largest max_set of a contract"),
}
_MAX_NAME: Final = 40


@dataclass(frozen=True, slots=True)
class StandingRule:
    """One rule; an empty ``partners`` or ``purposes`` stands for any."""

    name: str
    kinds: tuple[str, ...]
    datasets: tuple[str, ...]
    partners: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    max_set: int = MAX_SET

    def covers(self, job: Job, partner: str, dataset: str) -> bool:
        """Return whether ``job`` with ``partner`` over the own ``dataset`` needs no person."""
        return (
            job.kind.value in self.kinds
            and dataset in self.datasets
            and (not self.partners or partner in self.partners)
            and (not self.purposes or job.purpose in self.purposes)
            and job.max_set <= self.max_set
        )


def first_covering(
    rules: Sequence[StandingRule], job: Job, partner: str, dataset: str
) -> StandingRule | None:
    """Return the first of ``rules`` that covers ``job``."""
    return next((rule for rule in rules if rule.covers(job, partner, dataset)), None)


def read_standing(tables: Sequence[Any], source: str) -> tuple[StandingRule, ...]:
    """Check the tables ``[[standing]]`` of the policy file ``source``. Raises ``UsageError``."""
    return tuple(_rule(table, Place(source).inside(f"[standing {at}]")) for at, table in enumerate(tables, 1))


def _rule(table: Any, place: Place) -> StandingRule:
    check_keys(table, _KEYS, place)
    name = table["name"].strip()
    if not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        raise UsageError(f"name in {place} cannot be used.", hint=f"give 1 to {_MAX_NAME} plain characters")
    kinds = _names(table, "kinds", place)
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(
                f"kinds in {place} names a kind that there is not.", hint=f"use {', '.join(KINDS)}"
            )
    return StandingRule(
        name,
        kinds,
        _names(table, "datasets", place),
        _names(table, "partners", place),
        _names(table, "purposes", place),
        whole(table, "max_set", MAX_SET, place, least=1, most=MAX_SET),
    )


def _names(table: Mapping[str, Any], key: str, place: Place) -> tuple[str, ...]:
    names = table.get(key, [])
    if (key in table and not names) or not all(isinstance(name, str) and name.strip() for name in names):
        raise UsageError(f"{key} in {place} is not a list of names.", hint=f'write it as {key} = ["..."]')
    return tuple(name.strip() for name in names)
