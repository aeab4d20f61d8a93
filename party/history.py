"""Which jobs a party has run with a partner, and how large both sets were: what growth is measured against."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from party.budget import Clock, local_clock
from party.store import Store
from party.tables import jobs_seen


@dataclass(frozen=True, slots=True)
class Sizes:
    """Persons of both sets of one job."""

    own: int
    peer: int


class History:
    """The jobs of one party; ``clock`` gives timezone-aware times."""

    def __init__(self, store: Store, clock: Clock = local_clock) -> None:
        self._store = store
        self._clock = clock

    def last(self, dataset: str, partner: str) -> Sizes | None:
        """Return the sizes of the last job of ``dataset`` with ``partner``."""
        table = jobs_seen
        query = (
            sa.select(table.c.own_persons, table.c.peer_persons)
            .where(table.c.dataset == dataset, table.c.partner == partner)
            .order_by(table.c.id.desc())
            .limit(1)
        )
        with self._store.transaction() as connection:
            row = connection.execute(query).first()
        return None if row is None else Sizes(row.own_persons, row.peer_persons)

    def record(self, dataset: str, partner: str, job: str, kind: str, sizes: Sizes) -> None:
        """Remember a job that released something; one that is told again in the same words is remembered once."""
        row = {
            "dataset": dataset,
            "partner": partner,
            "job": job,
            "kind": kind,
            "at": self._clock().timestamp(),
            "own_persons": sizes.own,
            "peer_persons": sizes.peer,
        }
        same = [jobs_seen.c[name] == value for name, value in row.items() if name != "at"]
        with self._store.transaction() as connection:
            if connection.execute(sa.select(jobs_seen.c.id).where(*same)).first() is None:
                connection.execute(jobs_seen.insert().values(row))
