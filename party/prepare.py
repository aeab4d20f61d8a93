"""From a file to a masked, shuffled set: read, normalise, hash, mask, merge duplicates, shuffle (SPEC 5.1)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from party.datasets import Batch, Dataset, check_unchanged
from party.disclosure import holds_back, tiered
from party.estimate import rows_estimate
from party.intake import (
    INPUT_COLUMNS,
    ArrayFile,
    InputFacts,
    InputRoot,
    Intake,
    PointWriter,
    Reasons,
    Rows,
    check_least,
    check_most,
    own_chunk,
)
from party.jobspec import Job
from party.progress import Progress
from party.rejects import RejectsWriter
from party.sketch import LedgerSketch
from party.spool import Spool
from party.tiers import TierColumn
from party.workspace import Table, Workspace
from psi.engines import Engine
from psi.messages import Tier
from psi.seed import LABEL_HOLDOUT, JobRandomness
from psi.terms import Terms

__all__ = ["InputFacts", "InputRoot", "Preparation", "PreparedSet"]

_KEPT: Final = "tier UTINYINT, held BOOLEAN"


@dataclass(frozen=True, slots=True)
class PreparedSet:
    """A ``psi.ports.OwnSet`` on disk, and the way back from positions to rows.

    ``origin`` has the data row number (from 0) of the person at each sending position, ``held_back`` the row
    numbers and tiers (index into ``labels``) of those who were kept back.
    """

    tiers: tuple[Tier, ...]
    labels: tuple[str, ...]
    input_commitment: bytes
    origin: npt.NDArray[np.uint64]
    held_back: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint8]]
    facts: InputFacts
    spool: Spool

    def chunk(self, sequence: int) -> bytes:
        """Return chunk ``sequence`` of the masked points."""
        return own_chunk(self.spool, sequence)


class Preparation:
    """Prepares the set of ``side`` for one job; single use."""

    def __init__(
        self,
        job: Job,
        side: str,
        dataset: Dataset,
        terms: Terms,
        randomness: JobRandomness,
        engine: Engine,
        workspace: Workspace,
        progress: Progress,
        sketch: LedgerSketch | None = None,
    ) -> None:
        self._job = job
        self._spec = job.side(side)
        self._dataset = dataset
        self._terms = terms
        self._randomness = randomness
        self._workspace = workspace
        self._progress = progress
        self._intake = Intake(
            job, self._spec, dataset, terms.suite, terms.contract, randomness, engine, progress, sketch
        )
        self._sketch = sketch
        self._facts = self._intake.facts
        self._root = InputRoot()
        self._tiers = TierColumn(self._spec, tiered(job, side), dataset.path)
        self._numbers: npt.NDArray[np.uint8] = np.zeros(0, dtype=np.uint8)
        self._holdout_key = randomness.key(LABEL_HOLDOUT) if holds_back(job, side) else None

    def run(self, rejects: Path) -> PreparedSet:
        """Read the dataset and return the prepared set; rejected rows go to the file ``rejects``.

        Raises ``UsageError`` or ``PolicyRefusal`` that names the file, the column or the tier.
        """
        table = self._workspace.table("input", f"{INPUT_COLUMNS}, {_KEPT}")
        with RejectsWriter(rejects, self._spec.identifier) as rejected:
            with self._progress.phase("read", rows_estimate(self._dataset)):
                self._intake.read(self, table, rejected)
            with self._progress.phase("order"):
                prepared = self._order(table)
            check_unchanged(self._dataset)
            rejected.commit()
        return prepared

    # -- reading: what a match keeps of a row

    @property
    def columns(self) -> Sequence[str]:
        """The columns to read beside the identifier."""
        return self._tiers.columns

    def decide(self, batch: Batch, reasons: Reasons) -> None:
        """Refuse the rows without a usable tier."""
        self._numbers, reasons[:] = self._tiers.read(batch, reasons)

    def keep(
        self, rows: Rows, usable: npt.NDArray[np.int64], identifiers: list[bytes]
    ) -> Mapping[str, pa.Array]:
        """Return tier and holdout of the usable rows."""
        tiers = self._numbers[usable]
        self._root.update(rows, identifiers, tiers)
        return {"tier": pa.array(tiers), "held": self._held(identifiers)}

    def _held(self, identifiers: list[bytes]) -> pa.Array:
        """Whether each person is kept back: a secret HMAC, so all rows of a person agree (SPEC 5.5)."""
        if self._holdout_key is None:
            return pa.array(np.zeros(len(identifiers), dtype=bool))
        key = self._holdout_key.reveal()
        below = int(self._job.holdout * 2**64)
        words = (hmac.digest(key, identifier, "sha256")[:8] for identifier in identifiers)
        return pa.array([int.from_bytes(word, "big") < below for word in words], type=pa.bool_())

    # -- ordering

    def _order(self, table: Table) -> PreparedSet:
        places = self._tiers.places()
        pick, with_row = ("min", "arg_min") if self._spec.keep == "first" else ("max", "arg_max")
        persons = self._workspace.table(
            "person",
            "point BLOB, row_number UBIGINT, tier UTINYINT, rank UBIGINT, held BOOLEAN, known UBIGINT",
        )
        accepted = table.number("SELECT count(*) FROM {name}")
        persons.fill(
            f"SELECT point, {pick}(row_number), min(list_extract({places}, tier + 1)), "  # noqa: S608
            f"{with_row}(rank, row_number), bool_or(held), any_value(known) FROM {table.name} GROUP BY point"
        )
        table.drop()
        labels = self._tiers.ordered()
        sizes = persons.pairs("SELECT tier, count(*) FROM {name} WHERE NOT held GROUP BY tier")
        held = persons.rows("SELECT row_number, tier FROM {name} WHERE held ORDER BY row_number")
        self._facts.persons = sum(sizes.values()) + len(held[0])
        self._facts.duplicates = accepted - self._facts.persons
        self._facts.held_back = len(held[0])
        self._check_sizes([(label, sizes.get(place, 0)) for place, label in enumerate(labels)])
        if self._sketch is not None:
            marks = self._sketch.texts(0, labels)
            for batch in persons.batches("SELECT known, tier FROM {name}"):
                self._sketch.add(batch.column("known").to_numpy(), marks[batch.column("tier").to_numpy()])

        spool = self._workspace.spool()
        origin = self._write_points(persons, spool)
        persons.drop()
        return PreparedSet(
            tiers=tuple(Tier(label, sizes[place]) for place, label in enumerate(labels) if place in sizes),
            labels=labels,
            input_commitment=self._randomness.input_commitment(self._root.digest(self._tiers.labels)),
            origin=origin,
            held_back=held,
            facts=self._facts,
            spool=spool,
        )

    def _check_sizes(self, sizes: list[tuple[str, int]]) -> None:
        path = self._dataset.path
        persons = "persons after the holdout" if self._holdout_key is not None else "persons"
        check_most(self._job, path, sum(size for _, size in sizes))
        for label, size in sizes:
            if label:
                check_least(
                    self._job, f"Tier {label!r} of {path}", persons, size, "merge it with another tier"
                )
            else:
                check_least(self._job, str(path), persons, size)

    def _write_points(self, persons: Table, spool: Spool) -> npt.NDArray[np.uint64]:
        """Write the points in sending order, chunk by chunk, and the row number of each position."""
        chunk = self._terms.chunk_elements * self._terms.suite.element_size
        query = "SELECT point, row_number FROM {name} WHERE NOT held ORDER BY tier, rank, row_number"
        size = 0
        with ArrayFile(self._workspace, "origin", np.uint64) as origin, PointWriter(spool, chunk) as points:
            for batch in persons.batches(query):
                origin.add(batch.column("row_number").to_numpy())
                points.add(batch.column("point"))
                size += batch.num_rows
                self._progress.advance(batch.num_rows)
        return origin.mapped(size)
