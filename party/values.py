"""The value holder's set of a grouped sum: persons in secret order, each with its outcome rows (SPEC 5.1, 11).

Several rows of a person add up. Identifiers are forgotten once they are masked; the private workspace holds, beside
masked points, the party's own outcomes per person (days, amounts, stages, numbers of tags), until the job ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from federated.attribution import Events, outcomes
from federated.ports import Tag
from federated.terms import MAX_TAGS, SumTerms
from party.amounts import read_amounts
from party.columns import LabelColumns, StageColumns, refuse
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
from party.jobspec import DEFAULT_TIMEZONE, Job, ValueSpec
from party.moments import NO_MOMENT, Clock, Moments
from party.progress import Progress
from party.rejects import RejectsWriter
from party.sketch import LedgerSketch
from party.spool import Spool
from party.workspace import Table, Workspace, moment_order
from psi.engines import Engine
from psi.errors import PolicyRefusal, UsageError
from psi.seed import JobRandomness

# The mark of an outcome row in the input's root (SPEC 3.3).
_OUTCOME_MARK: Final = 0x80
_KEPT: Final = "moment BIGINT, day INTEGER, stage UTINYINT, outcome BOOLEAN"


@dataclass(frozen=True, slots=True)
class PreparedValues:
    """A ``federated.ports.ValueSet`` on disk.

    ``origin`` has the first data row (from 0) of the person at each sending position. ``events`` are in sending
    order; ``tag_numbers`` has the number of each person's tag per tag column (0: none), ``slot_of`` the slot of each
    number, -1 for one that is not announced.
    """

    terms: SumTerms
    size: int
    tags: tuple[Tag, ...]
    input_commitment: bytes
    origin: npt.NDArray[np.uint64] = field(repr=False)
    facts: InputFacts
    spool: Spool
    events: Events = field(repr=False)
    tag_numbers: npt.NDArray[np.uint32] = field(repr=False)
    slot_of: tuple[npt.NDArray[np.int64], ...] = field(repr=False)

    def chunk(self, sequence: int) -> bytes:
        """Return chunk ``sequence`` of the masked points."""
        return own_chunk(self.spool, sequence)

    def outcomes(self, start: int, stop: int, first_day: int, days: int) -> npt.NDArray[np.int64]:
        """Return the outcomes of some persons per possible exposure day, shape (persons, days, fields)."""
        part = self.events.part(start, stop)
        # The files hold narrower numbers.
        day, stage = part.day.astype(np.int64), part.stage.astype(np.int64)
        wide = Events(part.offsets, day, stage, np.asarray(part.outcome), np.asarray(part.values))
        return outcomes(self.terms, wide, first_day, days)

    def tag_slots(self, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """Return which tags the persons have, shape (stop - start, len(tags))."""
        slots = np.zeros((stop - start, len(self.tags)), dtype=np.bool_)
        for column, slot_of in enumerate(self.slot_of):
            slot = slot_of[self.tag_numbers[start:stop, column]]
            rows = np.flatnonzero(slot >= 0)
            slots[rows, slot[rows]] = True
        return slots


@dataclass(slots=True, repr=False)
class _Read:
    """What was read of the rows of one batch."""

    moments: Moments | None
    stage: npt.NDArray[np.uint8]
    outcome: npt.NDArray[np.bool_]
    amounts: npt.NDArray[np.int64]
    clipped: npt.NDArray[np.bool_]
    untimed: npt.NDArray[np.bool_]


class ValuePreparation:
    """Prepares the value holder's set of ``side`` for one job; single use."""

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
            raise ValueError("a value holder has its part in a grouped sum")
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
        self._labels = LabelColumns(self._spec.tags, dataset.path)
        self._read: _Read | None = None

    def run(self, rejects: Path) -> PreparedValues:
        """Read the dataset and return the prepared set; rejected rows go to the file ``rejects``.

        Raises ``UsageError`` or ``PolicyRefusal`` that names the file and the column.
        """
        amounts = [f"v{place} BIGINT" for place in range(len(self._spec.values))]
        tags = [f"t{place} UINTEGER" for place in range(len(self._spec.tags))]
        table = self._workspace.table("input", ", ".join([INPUT_COLUMNS, _KEPT, *amounts, *tags]))
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
        time = [self._spec.time] if self._spec.time else []
        return [*time, *self._spec.stages, *(value.column for value in self._spec.values), *self._spec.tags]

    def decide(self, batch: Batch, reasons: Reasons) -> None:
        """Refuse the rows with a cell that cannot be read. An outcome that belongs to no day is none."""
        filled = np.zeros(len(batch), dtype=np.bool_)
        moments = None
        if self._spec.time:
            moments = self._clock(batch.columns[self._spec.time])
            refuse(reasons, moments.unreadable, "bad_time")
        clipped = np.zeros(len(batch), dtype=np.bool_)
        units = np.zeros((len(batch), len(self._spec.values)), dtype=np.int64)
        for place, value in enumerate(self._spec.values):
            units[:, place], written = self._amounts(batch, value, reasons, clipped)
            filled |= written
        stage = self._stages.read(batch, reasons)
        self._labels.decide(batch, reasons)
        untimed = np.zeros(len(batch), dtype=np.bool_)
        if self._terms.window is not None and moments is not None:
            # The person stays: who has no outcome in time is a customer all the same.
            untimed = ~moments.filled & (filled | (stage > 0))
            filled = moments.filled.copy()
            units[~filled], stage = 0, np.where(filled, stage, 0).astype(np.uint8)
        elif moments is not None:
            filled |= moments.filled
        elif not self._spec.values:
            # No column tells an outcome from other rows: the stages do, and without stages each row is one.
            filled = stage > 0 if self._spec.stages else np.ones(len(batch), dtype=np.bool_)
        self._read = _Read(moments, stage, filled, units, clipped, untimed)

    def _amounts(
        self, batch: Batch, value: ValueSpec, reasons: Reasons, clipped: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return the amounts of one column within their bounds, and which cells are filled."""
        read = read_amounts(batch.columns[value.column], value.scale)
        refuse(reasons, read.unreadable, "bad_value")
        outside = read.filled & ~read.unreadable & ((read.units < value.low) | (read.units > value.high))
        if self._sums.outside == "reject":
            refuse(reasons, outside, "value_out_of_range")
        else:
            clipped |= outside
        return np.where(read.filled, np.clip(read.units, value.low, value.high), 0), read.filled

    def keep(
        self, rows: Rows, usable: npt.NDArray[np.int64], identifiers: list[bytes]
    ) -> Mapping[str, pa.Array]:
        """Return time, stage, amounts and tags of the usable rows."""
        read = self._read
        if read is None:
            raise RuntimeError("decide() comes first")
        instant, day = np.full(len(usable), NO_MOMENT), np.zeros(len(usable), dtype=np.int64)
        if read.moments is not None:
            instant, day = read.moments.instant[usable], read.moments.day[usable]
        stage, outcome, amounts = read.stage[usable], read.outcome[usable], read.amounts[usable]
        numbers = self._labels.numbers(usable)
        self._facts.clipped += int(read.clipped[usable].sum())
        self._facts.untimed += int(read.untimed[usable].sum())
        self._root.update(rows, identifiers, np.zeros(len(rows), dtype=np.uint8))
        self._root.bind(
            instant, stage | np.where(outcome, _OUTCOME_MARK, 0).astype(np.uint8), amounts, numbers
        )
        return {
            "moment": pa.array(instant, mask=instant == NO_MOMENT),
            "day": pa.array(day.astype(np.int32)),
            "stage": pa.array(stage),
            "outcome": pa.array(outcome),
            **{f"v{place}": pa.array(amounts[:, place].copy()) for place in range(amounts.shape[1])},
            **{f"t{place}": pa.array(numbers[:, place].copy()) for place in range(numbers.shape[1])},
        }

    # -- ordering

    def _order(self, table: Table) -> PreparedValues:
        tag_columns = [f"t{place}" for place in range(len(self._spec.tags))]
        persons = self._workspace.table(
            "person",
            ", ".join(
                [
                    "point BLOB, row_number UBIGINT, position UBIGINT, known UBIGINT",
                    *(f"{t} UINTEGER" for t in tag_columns),
                ]
            ),
        )
        pick = moment_order(self._spec.keep)
        tags = "".join(f", coalesce({pick(t)} FILTER ({t} > 0), 0) AS {t}" for t in tag_columns)
        sent = "true" if self._terms.customers else "bool_or(outcome OR stage > 0)"
        # The ranks are of rows; a person goes by the rank of its first row.
        persons.fill(
            "SELECT point, first_row, row_number() OVER (ORDER BY rank, first_row) - 1, known"  # noqa: S608 - own names
            f"{''.join(f', {t}' for t in tag_columns)} FROM (SELECT point, min(row_number) AS first_row, "
            f"arg_min(rank, row_number) AS rank, any_value(known) AS known{tags} FROM {table.name} GROUP BY point "
            f"HAVING {sent})"
        )
        size = persons.number("SELECT count(*) FROM {name}")
        self._facts.persons = table.number("SELECT count(DISTINCT point) FROM {name}")
        self._facts.duplicates = table.number("SELECT count(*) FROM {name}") - self._facts.persons
        check_most(self._job, self._dataset.path, size)
        who = "persons" if self._terms.customers else "persons with an outcome"
        check_least(self._job, str(self._dataset.path), who, size)
        announced, slot_of = self._announced(persons)

        spool = self._workspace.spool()
        origin, tag_numbers = self._write_points(persons, spool, size)
        events = self._write_events(table, persons, size)
        if self._sketch is not None:
            self._tell(self._sketch, persons, events, tag_numbers)
        table.drop()
        persons.drop()
        root = self._root.digest([""], self._labels.texts)
        return PreparedValues(
            terms=self._terms,
            size=size,
            tags=announced,
            input_commitment=self._randomness.input_commitment(root),
            origin=origin,
            facts=self._facts,
            spool=spool,
            events=events,
            tag_numbers=tag_numbers,
            slot_of=slot_of,
        )

    def _announced(self, persons: Table) -> tuple[tuple[Tag, ...], tuple[npt.NDArray[np.int64], ...]]:
        """Return the tags that enough persons have to be told to the partner, in order, and their slots."""
        announced: list[Tag] = []
        slot_of = []
        for place, column in enumerate(self._spec.tags):
            texts = self._labels.texts[place]
            slots = np.full(len(texts) + 1, -1, dtype=np.int64)
            counts = persons.pairs(f"SELECT t{place}, count(*) FROM {{name}} WHERE t{place} > 0 GROUP BY 1")  # noqa: S608
            told = [number for number, count in counts.items() if count >= self._terms.min_group]
            self._facts.small_tags += len(counts) - len(told)
            for number in sorted(told, key=lambda each: texts[each - 1]):
                slots[number] = len(announced)
                announced.append(Tag(column, texts[number - 1]))
            slot_of.append(slots)
        columns = ", ".join(map(repr, self._spec.tags))
        if len(announced) > MAX_TAGS:
            raise UsageError(
                f"The tags of {self._dataset.path}, column {columns}, have {len(announced):,} different values, "
                f"more than {MAX_TAGS}.",
                hint="name fewer tag columns, or join values that belong together",
            )
        if self._spec.tags and not announced:
            raise PolicyRefusal(
                f"No value of the tags of {self._dataset.path}, column {columns}, has min_group = "
                f"{self._terms.min_group:,} persons.",
                hint="a tag is told to the partner, so many persons must have it; join values or name another "
                "column",
                code="too_small",
            )
        return tuple(announced), tuple(slot_of)

    def _write_points(
        self, persons: Table, spool: Spool, size: int
    ) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
        """Write the points in sending order, and per position the first row and the numbers of the tags."""
        chunk = self._terms.chunk_elements * self._terms.suite.element_size
        width = len(self._spec.tags)
        origin = ArrayFile(self._workspace, "origin", np.uint64)
        tags = ArrayFile(self._workspace, "tags", np.uint32)
        with origin, tags, PointWriter(spool, chunk) as points:
            for batch in persons.batches("SELECT * FROM {name} ORDER BY position"):
                origin.add(batch.column("row_number").to_numpy())
                points.add(batch.column("point"))
                if width:
                    tags.add(np.column_stack([batch.column(f"t{n}").to_numpy() for n in range(width)]))
                self._progress.advance(batch.num_rows)
        return origin.mapped(size), tags.mapped(size, width)

    def _write_events(self, table: Table, persons: Table, size: int) -> Events:
        """Write the rows that count, person by person, the earliest first; of a person at most ``max_rows``."""
        width = len(self._spec.values)
        amounts = "".join(f", v{place}" for place in range(width))
        query = (
            f"SELECT position, day, stage, outcome{amounts} FROM {{name}} JOIN "  # noqa: S608 - own names only
            f"(SELECT point, position FROM {persons.name}) USING (point) WHERE outcome OR stage > 0 "
            f"ORDER BY position, moment NULLS LAST, {{name}}.row_number"
        )
        counts = np.zeros(size, dtype=np.int64)
        cut = _RowCut(self._terms.max_rows)
        kinds: dict[str, npt.DTypeLike] = {
            "day": np.int32,
            "stage": np.uint8,
            "outcome": np.bool_,
            "v": np.int64,
        }
        files = {name: ArrayFile(self._workspace, name, kind) for name, kind in kinds.items()}
        with files["day"], files["stage"], files["outcome"], files["v"]:
            for batch in table.batches(query):
                if not batch.num_rows:
                    continue
                position = batch.column("position").to_numpy().astype(np.int64)
                counted = cut(position)
                outcome = batch.column("outcome").to_numpy(zero_copy_only=False)
                self._facts.clipped += int((outcome & ~counted).sum())
                self._facts.outcomes += int((outcome & counted).sum())
                files["day"].add(batch.column("day").to_numpy()[counted])
                files["stage"].add(batch.column("stage").to_numpy()[counted])
                files["outcome"].add(outcome[counted])
                if width:
                    units = [batch.column(f"v{place}").to_numpy()[counted] for place in range(width)]
                    files["v"].add(np.column_stack(units))
                first = int(position[0])
                found = np.bincount(position[counted] - first)
                counts[first : first + len(found)] += found
                self._progress.advance(batch.num_rows)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        rows = int(offsets[-1])
        mapped: dict[str, npt.NDArray[Any]] = {
            name: files[name].mapped(rows) for name in kinds if name != "v"
        }
        return Events(
            offsets, mapped["day"], mapped["stage"], mapped["outcome"], files["v"].mapped(rows, width)
        )

    def _tell(
        self, sketch: LedgerSketch, persons: Table, events: Events, tag_numbers: npt.NDArray[np.uint32]
    ) -> None:
        """Tell the sketch whom we send, with the rows that count and the tags."""
        texts = [
            np.append(np.uint64(0), sketch.texts(place, each))
            for place, each in enumerate(self._labels.texts)
        ]
        start = 0
        for batch in persons.batches("SELECT known FROM {name} ORDER BY position"):
            stop = start + batch.num_rows
            part = events.part(start, stop)
            # Without a window the day of an outcome makes no difference.
            day = part.day if self._terms.window is not None else np.zeros_like(part.day)
            marks = np.zeros(batch.num_rows, dtype=np.uint64)
            rows = sketch.rows([day, part.stage, part.outcome, *np.asarray(part.values).T])
            np.add.at(marks, np.repeat(np.arange(batch.num_rows), np.diff(part.offsets)), rows)
            for column, of_text in enumerate(texts):
                marks += of_text[tag_numbers[start:stop, column]]
            sketch.add(batch.column("known").to_numpy(), marks)
            start = stop


class _RowCut:
    """Says which rows are among the first ``most`` of their person, over batches in order of persons."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._person = -1
        self._seen = 0

    def __call__(self, position: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return which rows count, given the positions of their persons in ascending order, at least one."""
        places = np.arange(len(position))
        begins = np.concatenate([[True], position[1:] != position[:-1]])
        place = places - np.maximum.accumulate(np.where(begins, places, 0))
        place[position == self._person] += self._seen
        self._person, self._seen = int(position[-1]), int(place[-1]) + 1
        counted: npt.NDArray[np.bool_] = place < self._most
        return counted
