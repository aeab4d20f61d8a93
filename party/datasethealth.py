"""What was found when an own dataset was read for its registration: counts, kept beside its row.

A dataset that is registered again loses what was kept of the one before. Nothing here is told to a partner.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from party.datasets import Dataset
from party.store import Store
from party.tables import dataset_health

if TYPE_CHECKING:
    # It brings the database engine of a check along, which a node that only lists its datasets does not need.
    from party.inspection import Inspection

_COUNTS: Final = ("rows", "persons", "duplicates", "size")


@dataclass(frozen=True, slots=True)
class DatasetHealth:
    """Counts of one reading. ``rejected``: reason -> rows; ``tiers``: tier -> persons, the highest first.

    ``size`` is the file's, in bytes.
    """

    rows: int
    persons: int
    duplicates: int
    rejected: Mapping[str, int]
    tiers: Mapping[str, int]
    size: int

    @classmethod
    def of(cls, found: Inspection, dataset: Dataset) -> DatasetHealth:
        """Return what ``found`` says of ``dataset``."""
        rejected = dict(found.rejected.most_common())
        return cls(
            found.rows, found.persons, found.duplicates, rejected, dict(found.tiers), dataset.size_bytes
        )

    @property
    def usable(self) -> int:
        """Rows that can take part, duplicates of a person among them."""
        return self.rows - sum(self.rejected.values())

    @property
    def coverage(self) -> float:
        """The share of rows that can take part, 0 to 1."""
        return self.usable / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class Checked:
    """What a dataset's health was, and when it was found."""

    health: DatasetHealth
    at: datetime.datetime


def keep(connection: sa.Connection, name: str, health: DatasetHealth | None, at: float) -> None:
    """Keep ``health`` of the dataset ``name``, or nothing, in place of what was kept before.

    Within the caller's transaction; ``at`` is in seconds since 1970 UTC.
    """
    connection.execute(dataset_health.delete().where(dataset_health.c.dataset == name))
    if health is not None:
        counts: dict[str, Any] = {key: getattr(health, key) for key in _COUNTS}
        # Pairs, as the order of tiers is a fact of its own.
        counts |= {"rejected": list(health.rejected.items()), "tiers": list(health.tiers.items())}
        row = {"dataset": name, "at": at, "counts": json.dumps(counts, ensure_ascii=False)}
        connection.execute(dataset_health.insert().values(row))


def known(store: Store) -> dict[str, Checked]:
    """Return what is kept, by dataset. Raises ``UsageError`` where the store fails."""
    with store.reading() as connection:
        rows = connection.execute(sa.select(dataset_health)).all()
    return {row.dataset: _checked(row) for row in rows}


def _checked(row: Any) -> Checked:
    counts = json.loads(row.counts)
    numbers = {key: counts[key] for key in _COUNTS}
    health = DatasetHealth(**numbers, rejected=dict(counts["rejected"]), tiers=dict(counts["tiers"]))
    return Checked(health, datetime.datetime.fromtimestamp(row.at, datetime.UTC))
