"""What every preparation of a party's own set shares: reading, normalising, refusing, hashing and masking rows.

Rows pass through in batches and each identifier is forgotten once it is masked: what is kept per row is its number,
its masked point, its secret rank, the person's number in the party's own ledger (keyed; 0 without a ledger) and what
the kind of job needs beside it. Two rows are the same person exactly if their masked points are equal, so rows of a
person are brought together without ever storing an identifier.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from party.datasets import Batch, Dataset, read_batches
from party.identifiers import REASONS, Normaliser
from party.jobspec import Job, SideSpec
from party.progress import Progress
from party.rejects import RejectsWriter
from party.sketch import LedgerSketch
from party.spool import Spool, disk_error
from party.workspace import Table, Workspace
from psi.engines import Engine
from psi.errors import PolicyRefusal, UsageError
from psi.seed import LABEL_ORDER, JobRandomness
from psi.suites import Suite, domain_separation_tag

Reasons = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.uint64]

# The columns that every input table begins with.
INPUT_COLUMNS: Final = "point BLOB, row_number UBIGINT, rank UBIGINT, known UBIGINT"
# Batches that may be masked while the next one is read and hashed.
_AHEAD: Final = 2
_POINTS: Final = "own-points"


@dataclass(slots=True)
class InputFacts:
    """Counts of one side's input, for its report: rows and persons, never who.

    ``persons`` are the different persons of the accepted rows, sent or not, ``duplicates`` the accepted rows beyond
    one per person, ``held_back`` the persons of a holdout. The rest is of grouped sums. Value holder: ``outcomes``
    are the outcome rows that count, ``clipped`` those with an amount that was brought to its bound and those beyond
    the most rows of a person, ``untimed`` the rows with an amount or a stage but, in a window, no time;
    ``small_tags`` the tags that too few persons have to be told. Group holder:
    ``small_cells`` are the cells that were merged or dropped because they have too few persons, ``dropped`` the
    persons of the dropped ones, ``moved`` the persons by the days that their exposure day was moved.
    """

    rows: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    persons: int = 0
    held_back: int = 0
    clipped: int = 0
    untimed: int = 0
    outcomes: int = 0
    small_tags: int = 0
    small_cells: int = 0
    dropped: int = 0
    moved: dict[int, int] = field(default_factory=dict)


class InputRoot:
    """Digest of a party's accepted input, in file order and independent of batch sizes (SPEC 3.3).

    Five SHA-256 digests in a private match, ten in a grouped sum; the root is the SHA-256 of them, back to back:

        1. over the row numbers, 8 bytes little-endian each, counted from 0 over all data rows;
        2. over the lengths of the canonical identifiers, 4 bytes little-endian each;
        3. over the canonical identifiers, back to back;
        4. over the tier numbers, one byte each, numbered from 0 by first appearance (0 in a grouped sum);
        5. over the SHA-256 of each tier label (UTF-8), in the order of their numbers (one empty label without tiers);
        6. over the times, 8 bytes little-endian signed each: microseconds since 1970-01-01 UTC, -2^63 for none;
        7. over one byte per row: the last stage reached, from 1 (0: none), plus 128 for an outcome row;
        8. over the amounts, 8 bytes little-endian signed each, row by row: at the value holder the value columns
           in the order of the contract, in whole units, after clipping, 0 for an empty cell; at the group holder the
           cost in 1/10,000 units (0 where no column is named);
        9. over the numbers of tags or groups, 4 bytes little-endian each, row by row, columns in the order of the
           contract: per column numbered from 1 by first appearance, 0 for an empty cell;
        10. over one SHA-256 per column of 9, each over the SHA-256 of each of the column's texts (UTF-8, without
           blanks around it) in the order of their numbers.
    """

    def __init__(self) -> None:
        self._rows, self._lengths, self._bytes, self._tiers = (hashlib.sha256() for _ in range(4))
        self._times, self._marks, self._amounts, self._numbers = (hashlib.sha256() for _ in range(4))

    def update(self, rows: Rows, identifiers: Sequence[bytes], tiers: npt.NDArray[np.uint8]) -> None:
        """Add accepted rows in file order."""
        self._rows.update(rows.astype("<u8").tobytes())
        lengths = np.fromiter(map(len, identifiers), dtype="<u4", count=len(identifiers))
        self._lengths.update(lengths.tobytes())
        self._bytes.update(b"".join(identifiers))
        self._tiers.update(tiers.tobytes())

    def bind(
        self,
        times: npt.NDArray[np.int64],
        marks: npt.NDArray[np.uint8],
        amounts: npt.NDArray[np.int64],
        numbers: npt.NDArray[np.uint32],
    ) -> None:
        """Add what a grouped sum has beside the rows of the last update: digests 6 to 9.

        Shapes (rows,), (rows,), (rows, value columns) and (rows, label columns).
        """
        self._times.update(times.astype("<i8").tobytes())
        self._marks.update(marks.tobytes())
        self._amounts.update(amounts.astype("<i8").tobytes())
        self._numbers.update(numbers.astype("<u4").tobytes())

    def digest(self, labels: Sequence[str], texts: Sequence[Sequence[str]] | None = None) -> bytes:
        """Return the root, given the tier labels by number and, for a grouped sum, the texts of each column."""
        parts = [self._rows, self._lengths, self._bytes, self._tiers, _named(labels)]
        if texts is not None:
            columns = hashlib.sha256(b"".join(_named(column).digest() for column in texts))
            parts += [self._times, self._marks, self._amounts, self._numbers, columns]
        return hashlib.sha256(b"".join(part.digest() for part in parts)).digest()


def _named(texts: Sequence[str]) -> hashlib._Hash:
    return hashlib.sha256(b"".join(hashlib.sha256(text.encode()).digest() for text in texts))


class RowReader(Protocol):
    """What one kind of preparation reads of each row beside the identifier."""

    @property
    def columns(self) -> Sequence[str]:
        """The columns to read."""

    def decide(self, batch: Batch, reasons: Reasons) -> None:
        """Refuse the rows that are not usable: set their reason (0 so far), in place."""

    def keep(
        self, rows: Rows, usable: npt.NDArray[np.int64], identifiers: list[bytes]
    ) -> Mapping[str, pa.Array]:
        """Return what is kept of the usable rows of the batch decided last, columns in the table's order.

        ``rows`` are their row numbers in the file, ``usable`` their places in the batch. The place to update the
        input's root.
        """


class Intake:
    """Reads one dataset of ``side`` into a table of masked points; single use."""

    def __init__(
        self,
        job: Job,
        spec: SideSpec,
        dataset: Dataset,
        suite: Suite,
        scope: bytes,
        randomness: JobRandomness,
        engine: Engine,
        progress: Progress,
        sketch: LedgerSketch | None = None,
    ) -> None:
        self._job = job
        self._sketch = sketch
        self._spec = spec
        self._dataset = dataset
        self._suite = suite
        self._tag = domain_separation_tag(suite, scope)
        self._randomness = randomness
        self._engine = engine
        self._progress = progress
        self.facts = InputFacts()

    def read(self, reader: RowReader, table: Table, rejected: RejectsWriter) -> None:
        """Fill ``table``: ``INPUT_COLUMNS``, then what ``reader`` keeps. Raises ``UsageError`` if none is usable."""
        normaliser = Normaliser(self._job.form, region=self._spec.region)
        scalar = self._randomness.scalar(self._suite)
        columns = [self._spec.identifier, *reader.columns]
        with ThreadPoolExecutor(1, "veiljoin-mask") as masking:
            pending: deque[tuple[Future[bytes], pa.RecordBatch]] = deque()
            for batch in read_batches(self._dataset, columns):
                identifiers, kept = self._accept(batch, reader, normaliser, rejected)
                if identifiers:
                    masked = masking.submit(self._engine.hash_and_mask, self._tag, identifiers, scalar)
                    pending.append((masked, kept))
                if len(pending) > _AHEAD:
                    self._store(table, *pending.popleft())
                self._progress.advance(len(batch))
            while pending:
                self._store(table, *pending.popleft())
        scalar.destroy()
        if self.facts.rows == sum(self.facts.rejected.values()):
            raise self._none_usable()

    def _accept(
        self, batch: Batch, reader: RowReader, normaliser: Normaliser, rejected: RejectsWriter
    ) -> tuple[list[bytes], pa.RecordBatch]:
        """Return the canonical identifiers of the usable rows, and what is kept of each."""
        cells = batch.columns[self._spec.identifier]
        normalised = normaliser(cells)
        reasons = normalised.reason.copy()
        reader.decide(batch, reasons)
        refused = np.flatnonzero(reasons)
        if len(refused):
            numbers = (batch.first_row + refused).astype(np.uint64)
            rejected.add(numbers, cells.take(pa.array(refused)), reasons[refused])
        counts = self.facts.rejected
        for code, count in enumerate(np.bincount(reasons, minlength=len(REASONS)).tolist()):
            if code and count:
                counts[REASONS[code]] = counts.get(REASONS[code], 0) + count
        self.facts.rows += len(batch)

        usable = np.flatnonzero(reasons == 0)
        identifiers: list[bytes] = normalised.canonical.take(pa.array(usable)).to_pylist()
        rows = (batch.first_row + usable).astype(np.uint64)
        ranks = self._randomness.ranks(LABEL_ORDER, batch.first_row, len(batch))[usable]
        none = np.zeros(len(rows), dtype=np.uint64)
        known = none if self._sketch is None else self._sketch.persons(identifiers)
        kept = reader.keep(rows, usable, identifiers)
        names = ["row_number", "rank", "known", *kept]
        columns = [pa.array(rows), pa.array(ranks), pa.array(known), *kept.values()]
        return identifiers, pa.record_batch(columns, names=names)

    def _store(self, table: Table, masking: Future[bytes], kept: pa.RecordBatch) -> None:
        size = self._suite.element_size
        points = pa.Array.from_buffers(pa.binary(size), kept.num_rows, [None, pa.py_buffer(masking.result())])
        table.insert(pa.record_batch([points, *kept.columns], names=["point", *kept.schema.names]))

    def _none_usable(self) -> UsageError:
        rejected, form = self.facts.rejected, self._job.form
        most = max(rejected, key=lambda name: rejected[name])
        if most in ("looks_hashed", "wrong_hash"):
            return UsageError(
                f"Column {self._spec.identifier!r} of {self._dataset.path} holds hashes in another form than "
                f"the job's {form.text}.",
                hint="identifier in the job file must say what was hashed and how, such as sha256:phone:cn11 or "
                "md5:idfa:upper, and both sides need that same form",
                code="form_mismatch",
            )
        none = f"None of the {self.facts.rows:,} rows of {self._dataset.path} can be used"
        columns = self._columns_of(most)
        if columns:
            named = ", ".join(map(repr, columns))
            return UsageError(
                f"{none}: most are refused for what column {named} holds ({most}).",
                hint="check that the job file names the right column, and how its cells are written",
                code="all_rejected",
            )
        return UsageError(
            f"{none}: column {self._spec.identifier!r} holds no valid {form.text} (mostly {most}).",
            hint=f"check that the column is right and that identifier = {form.text!r} says its form",
            code="all_rejected",
        )

    def _columns_of(self, reason: str) -> Sequence[str]:
        """Return the columns that rows are refused for with ``reason``; none: the identifier."""
        spec = self._spec
        values = (*(value.column for value in spec.values), *((spec.cost,) if spec.cost else ()))
        time = (spec.time,) if spec.time else ()
        tier = (spec.tier,) if spec.tier else ()
        return {
            "no_tier": tier,
            "unknown_tier": tier,
            "no_time": time,
            "bad_time": time,
            "bad_value": values,
            "value_out_of_range": values,
            "bad_flag": spec.stages,
            "bad_label": (*spec.groups, *spec.tags),
        }.get(reason, ())


def check_most(job: Job, path: Path, persons: int) -> None:
    """Refuse a set of more ``persons`` than the parties agreed on."""
    if persons > job.max_set:
        raise PolicyRefusal(
            f"{path} holds {persons:,} persons; the job allows max_set = {job.max_set:,}.",
            hint="raise max_set in [policy] of the job file, or take a smaller segment",
        )


def check_least(job: Job, what: str, persons: str, size: int, advice: str = "take a larger segment") -> None:
    """Refuse a part of a set with ``size`` ``persons`` (which persons) if those are too few."""
    if size < job.min_group:
        raise PolicyRefusal(
            f"{what} has {size:,} {persons}, fewer than min_group = {job.min_group:,}.",
            hint=f"{advice}, or agree on a lower min_group in [policy] of the job file",
            code="too_small",
        )


class PointWriter:
    """Cuts points in sending order into chunks of the spool; use as a context manager."""

    def __init__(self, spool: Spool, chunk_bytes: int) -> None:
        self._spool = spool
        self._chunk = chunk_bytes
        self._pending = bytearray()
        self._sequence = 0

    def __enter__(self) -> PointWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._pending:
            self._spool.put(_POINTS, self._sequence, bytes(self._pending))

    def add(self, points: pa.Array) -> None:
        """Add a binary column without nulls."""
        offsets = np.frombuffer(points.buffers()[1], dtype=np.int32)[points.offset :]
        self._pending += points.buffers()[2][int(offsets[0]) : int(offsets[len(points)])]
        while len(self._pending) >= self._chunk:
            self._spool.put(_POINTS, self._sequence, bytes(self._pending[: self._chunk]))
            del self._pending[: self._chunk]
            self._sequence += 1


def own_chunk(spool: Spool, sequence: int) -> bytes:
    """Return chunk ``sequence`` of the points that a :class:`PointWriter` wrote."""
    return spool.get(_POINTS, sequence)


class ArrayFile:
    """Numbers of one type, written row after row and mapped at the end; use as a context manager."""

    def __init__(self, workspace: Workspace, name: str, dtype: npt.DTypeLike) -> None:
        self._path = workspace.prepared_file(f"{name}.raw")
        self._dtype = np.dtype(dtype)
        try:
            self._file = open(self._path, "xb")  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise disk_error(error, self._path.parent) from None

    def __enter__(self) -> ArrayFile:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise disk_error(error, self._path.parent) from None

    def add(self, numbers: npt.NDArray[Any]) -> None:
        """Add numbers, row by row."""
        try:
            self._file.write(np.ascontiguousarray(numbers, dtype=self._dtype).tobytes())
        except OSError as error:
            raise disk_error(error, self._path.parent) from None

    def mapped(self, *shape: int) -> npt.NDArray[Any]:
        """Return all numbers in ``shape``, once the file is closed; they stay on disk."""
        if 0 in shape:
            return np.empty(shape, dtype=self._dtype)
        return np.memmap(self._path, dtype=self._dtype, mode="r", shape=shape)
