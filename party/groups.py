"""The group holder's set of a grouped sum: each person in one cell and one unit of exposure days (SPEC 5.1, 11).

Identifiers are forgotten once they are masked; the private workspace holds, beside masked points, numbers of groups,
exposure days, stages and costs per person, until the job ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from federated.ports import OwnCell, Unit
from federated.terms import MAX_CELLS, MAX_DAYS, MAX_UNITS, SumTerms
from party.amounts import read_amounts
from party.columns import MAX_TEXTS, LabelColumns, StageColumns, refuse
from party.datasets import Batch, Dataset, check_unchanged
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
from party.jobspec import DEFAULT_TIMEZONE, Job, JobKind
from party.jobsums import NO_STAGE
from party.moments import NO_MOMENT, Clock
from party.progress import Progress
from party.rejects import RejectsWriter
from party.sketch import LedgerSketch
from party.spool import Spool
from party.units import Cell, Labels, Merged, Place, Plan, gather_cells, merge_cells, plan_units
from party.workspace import Table, Workspace, moment_order
from psi.engines import Engine
from psi.errors import PolicyRefusal, UsageError
from psi.seed import JobRandomness

# SPEC 3: the order in which cells are announced; that of their labels would say something of withheld ones.
LABEL_CELL_ORDER: Final = "veiljoin/v1/sum/cell-order"
# Costs are in units of 1/10,000; one row has at most this many.
COST_SCALE: Final = 10_000
_MOST_COST: Final = 10**15
_MOST_LABEL_BYTES: Final = 1_500_000
_KEPT: Final = "moment BIGINT, day INTEGER, stage UTINYINT, combination UINTEGER, cost BIGINT"


@dataclass(frozen=True, slots=True)
class PreparedGroups:
    """A ``federated.ports.GroupSet`` on disk; ``origin`` has the first data row (from 0) of each sending position.

    ``small`` are the own cells of fewer than ``min_group`` persons, ``dropped`` the number of them per scope that no
    remainder holds.
    """

    cells: tuple[OwnCell, ...]
    units: tuple[Unit, ...]
    first_day: int
    days: int
    input_commitment: bytes
    origin: npt.NDArray[np.uint64] = field(repr=False)
    facts: InputFacts
    spool: Spool
    small: tuple[OwnCell, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)

    def chunk(self, sequence: int) -> bytes:
        """Return chunk ``sequence`` of the masked points, unit by unit."""
        return own_chunk(self.spool, sequence)


class GroupPreparation:
    """Prepares the group holder's set of ``side`` for one job; single use."""

    def __init__(
        self,
        job: Job,
        side: str,
        dataset: Dataset,
        terms: SumTerms,
        randomness: JobRandomness,
        engine: Engine,
        workspace: Workspace,
        progress: Progress,
        sketch: LedgerSketch | None = None,
    ) -> None:
        if job.sums is None:
            raise ValueError("a group holder has its part in a grouped sum")
        self._job = job
        self._spec = job.side(side)
        self._sums = job.sums
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
        window = job.sums.window
        self._clock = Clock(window.timezone if window else DEFAULT_TIMEZONE)
        self._stages = StageColumns(self._spec.stages)
        self._labels = LabelColumns(self._spec.groups, dataset.path)
        self._combinations: dict[tuple[int, ...], int] = {}
        # Of the batch decided last: shape (rows,) each.
        self._instant = self._day = self._cost = np.zeros(0, dtype=np.int64)
        self._stage = np.zeros(0, dtype=np.uint8)

    def run(self, rejects: Path) -> PreparedGroups:
        """Read the dataset and return the prepared set; rejected rows go to the file ``rejects``.

        Raises ``UsageError`` or ``PolicyRefusal`` that names the file and the column.
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

    # -- reading: what is kept of a row

    @property
    def columns(self) -> Sequence[str]:
        """The columns to read beside the identifier."""
        others = [name for name in (self._spec.time, self._spec.cost) if name]
        return [*others, *self._spec.stages, *self._spec.groups]

    def decide(self, batch: Batch, reasons: Reasons) -> None:
        """Refuse the rows with a cell that cannot be read, and with a window those without a time."""
        self._instant = np.full(len(batch), NO_MOMENT, dtype=np.int64)
        self._day = np.zeros(len(batch), dtype=np.int64)
        if self._spec.time:
            moments = self._clock(batch.columns[self._spec.time])
            refuse(reasons, moments.unreadable, "bad_time")
            self._instant = moments.instant
            if self._terms.window is not None:
                refuse(reasons, ~moments.filled, "no_time")
                self._day = moments.day
        self._cost = np.zeros(len(batch), dtype=np.int64)
        if self._spec.cost:
            cost = read_amounts(batch.columns[self._spec.cost], COST_SCALE)
            refuse(reasons, cost.unreadable, "bad_value")
            refuse(reasons, np.abs(cost.units) > _MOST_COST, "value_out_of_range")
            self._cost = cost.units
        self._stage = self._stages.read(batch, reasons)
        self._labels.decide(batch, reasons)

    def keep(
        self, rows: Rows, usable: npt.NDArray[np.int64], identifiers: list[bytes]
    ) -> Mapping[str, pa.Array]:
        """Return time, stage, group and cost of the usable rows."""
        instant, stage, cost = self._instant[usable], self._stage[usable], self._cost[usable]
        numbers = self._labels.numbers(usable)
        self._root.update(rows, identifiers, np.zeros(len(rows), dtype=np.uint8))
        self._root.bind(instant, stage, cost[:, None], numbers)
        return {
            "moment": pa.array(instant, mask=instant == NO_MOMENT),
            "day": pa.array(self._day[usable].astype(np.int32)),
            "stage": pa.array(stage),
            "combination": pa.array(self._combined(numbers)),
            "cost": pa.array(cost),
        }

    def _combined(self, numbers: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        """Return one number for the texts of each row, the same for the same texts."""
        combined = np.zeros(len(numbers), dtype=np.int64)
        for column in numbers.T.astype(np.int64):
            _, combined = np.unique(combined * (MAX_TEXTS + 1) + column, return_inverse=True)
        each, first, places = np.unique(combined, return_index=True, return_inverse=True)
        known = np.zeros(len(each), dtype=np.uint32)
        for place, texts in enumerate(numbers[first].tolist()):
            known[place] = self._combinations.setdefault(tuple(texts), len(self._combinations))
        if len(self._combinations) > MAX_TEXTS:
            raise UsageError(
                f"The groups of {self._dataset.path}, column {self._columns}, have more than {MAX_TEXTS:,} "
                "combinations.",
                hint="name columns with few values that many persons share",
            )
        return known[places]

    @property
    def _columns(self) -> str:
        return ", ".join(map(repr, self._spec.groups))

    # -- ordering

    def _order(self, table: Table) -> PreparedGroups:
        persons = self._workspace.table(
            "person",
            "point BLOB, row_number UBIGINT, rank UBIGINT, day INTEGER, stage UTINYINT, combination UINTEGER, "
            "cost HUGEINT, known UBIGINT",
        )
        window = self._sums.window
        pick = moment_order(window.exposure if window else self._spec.keep)
        persons.fill(
            f"SELECT point, min(row_number), arg_min(rank, row_number), {pick('day')}, max(stage), "  # noqa: S608
            f"{pick('combination')}, sum(cost), any_value(known) FROM {table.name} GROUP BY point"
        )
        accepted = table.number("SELECT count(*) FROM {name}")
        table.drop()
        self._facts.persons = persons.number("SELECT count(*) FROM {name}")
        self._facts.duplicates = accepted - self._facts.persons
        check_most(self._job, self._dataset.path, self._facts.persons)
        check_least(self._job, str(self._dataset.path), "persons", self._facts.persons)
        self._check_control()
        if self._sketch is not None:
            self._tell(self._sketch, persons)

        merged = self._merged(persons)
        cells = self._announced(merged)
        plan = self._plan(cells)
        spool = self._workspace.spool()
        origin = self._write_points(persons, plan, spool)
        persons.drop()
        priced = self._spec.cost is not None
        return PreparedGroups(
            cells=tuple(_own(cell, priced) for cell in cells),
            units=plan.units,
            first_day=plan.first_day,
            days=max(unit.day for unit in plan.units) + 1,
            input_commitment=self._randomness.input_commitment(self._root.digest([""], self._labels.texts)),
            origin=origin,
            facts=self._facts,
            spool=spool,
            small=tuple(_own(cell, priced) for cell in merged.small),
            dropped=merged.dropped,
        )

    def _tell(self, sketch: LedgerSketch, persons: Table) -> None:
        """Tell the sketch everybody, those of cells that are too small to be sent among them."""
        texts = [
            np.append(np.uint64(0), sketch.texts(place, each))
            for place, each in enumerate(self._labels.texts)
        ]
        combined = np.zeros(len(self._combinations), dtype=np.uint64)
        for of_text, numbers in zip(texts, zip(*self._combinations, strict=True), strict=True):
            combined += of_text[np.array(numbers)]
        for batch in persons.batches("SELECT known, stage, combination, day FROM {name}"):
            stage, combination = batch.column("stage").to_numpy(), batch.column("combination").to_numpy()
            # There are far fewer pairs of a stage and a day than persons.
            pairs = (batch.column("day").to_numpy().astype(np.int64) << 8) | stage
            found, of_person = np.unique(pairs, return_inverse=True)
            marks = sketch.rows([found])[of_person] + combined[combination]
            sketch.add(batch.column("known").to_numpy(), marks)

    def _check_control(self) -> None:
        arms = self._sums.arms
        if arms is None:
            return
        if arms.control not in self._labels.texts[self._spec.groups.index(arms.column)]:
            raise UsageError(
                f'No row of {self._dataset.path} has control = "{arms.control}" in column {arms.column!r}.',
                hint="write control in [arms] of the job file as the column spells it",
            )

    def _merged(self, persons: Table) -> Merged:
        """Return the cells that are sent; small ones are merged or dropped."""
        arms = self._sums.arms
        labels = Labels(
            texts=self._labels.texts,
            combinations=list(self._combinations),
            stages=(NO_STAGE, *self._spec.stages) if self._job.kind is JobKind.FUNNEL else (),
            scope=self._spec.groups.index(arms.column) if arms else None,
        )
        found = gather_cells(
            persons.tuples(
                "SELECT stage, combination, day, count(*), sum(cost) FROM {name} GROUP BY 1, 2, 3"
            ),
            labels,
        )
        self._check_days({day for cell in found for day in cell.days})
        merged = merge_cells(found, self._terms.min_group)
        self._check_cells(len(merged.cells))
        self._check_labels(merged.cells)
        self._facts.small_cells = len(merged.small)
        self._facts.dropped = self._facts.persons - sum(cell.persons for cell in merged.cells)
        return merged

    def _announced(self, merged: Merged) -> list[Cell]:
        """Return the cells in a secret order, in which they are announced."""
        ranks = self._randomness.ranks(LABEL_CELL_ORDER, 0, len(merged.cells))
        return [merged.cells[place] for place in np.argsort(ranks, kind="stable").tolist()]

    def _check_days(self, days: set[int]) -> None:
        span = max(days) - min(days) + 1
        if span > MAX_DAYS:
            raise UsageError(
                f"Column {self._spec.time!r} of {self._dataset.path} holds exposure days over {span:,} days; a "
                f"job can have {MAX_DAYS}.",
                hint="look for mistyped dates, or take the rows of one campaign",
            )

    def _check_cells(self, cells: int) -> None:
        path = self._dataset.path
        if cells > MAX_CELLS:
            raise UsageError(
                f"The groups of {path}, column {self._columns}, make {cells:,} cells; a job can have {MAX_CELLS:,}.",
                hint="name fewer group columns, or join values that belong together",
            )
        if not cells:
            named = f", column {self._columns}," if self._spec.groups else ""
            raise PolicyRefusal(
                f"No group of {path}{named} has min_group = {self._terms.min_group:,} persons.",
                hint="name fewer group columns, or agree on a lower min_group in [policy] of the job file",
                code="too_small",
            )

    def _check_labels(self, cells: Sequence[Cell]) -> None:
        # All labels travel in one message, beside a mask for each.
        size = sum(len(part.encode()) for cell in cells for part in cell.label or ())
        if size > _MOST_LABEL_BYTES:
            raise UsageError(
                f"The names of the groups of {self._dataset.path}, column {self._columns}, have {size:,} bytes; "
                f"those of a job can have {_MOST_LABEL_BYTES:,}.",
                hint="name fewer group columns, or shorten their values",
            )

    def _plan(self, cells: Sequence[Cell]) -> Plan:
        plan = plan_units(cells, self._terms.min_group)
        if len(plan.units) > MAX_UNITS:
            raise UsageError(
                f"The groups of {self._dataset.path} and the days of column {self._spec.time!r} make "
                f"{len(plan.units):,} units of persons; a job can have {MAX_UNITS:,}.",
                hint="name fewer group columns, or raise min_group in [policy] of the job file",
            )
        self._facts.moved = dict(plan.moved)
        return plan

    def _write_points(self, persons: Table, plan: Plan, spool: Spool) -> npt.NDArray[np.uint64]:
        """Write the points unit by unit, in secret order within each, and the first row of each position."""
        table = self._workspace.table(
            "place", "stage UTINYINT, combination UINTEGER, day INTEGER, unit UINTEGER"
        )
        columns = [np.array(column) for column in zip(*plan.places, strict=True)]
        kinds = (np.uint8, np.uint32, np.int32, np.uint32)
        arrays = [pa.array(column.astype(kind)) for column, kind in zip(columns, kinds, strict=True)]
        table.insert(pa.record_batch(arrays, names=list(Place._fields)))
        query = (
            f"SELECT point, row_number FROM {{name}} JOIN {table.name} USING (stage, combination, day) "  # noqa: S608
            "ORDER BY unit, rank, row_number"
        )
        chunk = self._terms.chunk_elements * self._terms.suite.element_size
        with ArrayFile(self._workspace, "origin", np.uint64) as origin, PointWriter(spool, chunk) as points:
            for batch in persons.batches(query):
                origin.add(batch.column("row_number").to_numpy())
                points.add(batch.column("point"))
                self._progress.advance(batch.num_rows)
        table.drop()
        return origin.mapped(sum(unit.size for unit in plan.units))


def _own(cell: Cell, priced: bool) -> OwnCell:
    return OwnCell(cell.label, cell.persons, cell.scope, cell.cost if priced else None)
