"""From a file to a masked, shuffled set: read, normalise, hash, mask, merge duplicates, shuffle (SPEC 5.1).

Rows pass through in batches and each identifier is forgotten once it is masked: what is kept per row is its
number, its masked point, its tier and its secret rank. Two rows are the same person exactly if their masked
points are equal, so duplicates are merged without ever storing an identifier.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from party.datasets import Batch, Dataset, check_unchanged, read_batches
from party.disclosure import holds_back, tiered
from party.estimate import rows_estimate
from party.identifiers import REASONS, Normaliser
from party.jobfile import Job
from party.progress import Progress
from party.rejects import RejectsWriter
from party.spool import Spool, disk_error
from party.tiers import TierColumn
from party.workspace import Table, Workspace
from psi.engines import Engine
from psi.errors import PolicyRefusal, UsageError
from psi.messages import Tier
from psi.seed import LABEL_HOLDOUT, LABEL_ORDER, JobRandomness
from psi.suites import domain_separation_tag
from psi.terms import Terms

# Batches that may be masked while the next one is read and hashed.
_AHEAD: Final = 2
_INPUT_COLUMNS: Final = "point BLOB, row_number UBIGINT, tier UTINYINT, rank UBIGINT, held BOOLEAN"


@dataclass(slots=True)
class InputFacts:
    """Counts of one side's input, for its report: rows and persons, never who."""

    rows: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    persons: int = 0
    held_back: int = 0


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
        return self.spool.get("own-points", sequence)


class InputRoot:
    """Digest of a party's accepted input, independent of batch sizes (SPEC 3.3)."""

    def __init__(self) -> None:
        self._rows, self._lengths, self._bytes, self._tiers = (hashlib.sha256() for _ in range(4))

    def update(
        self, rows: npt.NDArray[np.uint64], identifiers: Sequence[bytes], tiers: npt.NDArray[np.uint8]
    ) -> None:
        """Add accepted rows in file order."""
        self._rows.update(rows.astype("<u8").tobytes())
        lengths = np.fromiter(map(len, identifiers), dtype="<u4", count=len(identifiers))
        self._lengths.update(lengths.tobytes())
        self._bytes.update(b"".join(identifiers))
        self._tiers.update(tiers.tobytes())

    def digest(self, labels: Sequence[str]) -> bytes:
        """Return the root, given the tier labels in the order of their numbers."""
        named = hashlib.sha256(b"".join(hashlib.sha256(label.encode()).digest() for label in labels))
        parts = (self._rows, self._lengths, self._bytes, self._tiers, named)
        return hashlib.sha256(b"".join(part.digest() for part in parts)).digest()


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
    ) -> None:
        self._job = job
        self._spec = job.side(side)
        self._side = side
        self._dataset = dataset
        self._terms = terms
        self._randomness = randomness
        self._engine = engine
        self._workspace = workspace
        self._progress = progress
        self._tiers = TierColumn(self._spec, tiered(job, side), dataset.path)
        self._facts = InputFacts()
        self._root = InputRoot()
        self._table = workspace.table("input", _INPUT_COLUMNS)
        self._holdout_key = randomness.key(LABEL_HOLDOUT) if holds_back(job, side) else None

    def run(self, rejects: Path) -> PreparedSet:
        """Read the dataset and return the prepared set; rejected rows go to the file ``rejects``.

        Raises ``UsageError`` or ``PolicyRefusal`` that names the file, the column or the tier.
        """
        with RejectsWriter(rejects, self._spec.identifier) as rejected:
            with self._progress.phase("read", rows_estimate(self._dataset)):
                self._read(rejected)
            self._require_some()
            with self._progress.phase("order"):
                prepared = self._order()
            check_unchanged(self._dataset)
            rejected.commit()
        return prepared

    # -- reading

    def _read(self, rejected: RejectsWriter) -> None:
        normaliser = Normaliser(self._job.form, region=self._spec.region)
        tag = domain_separation_tag(self._terms.suite, self._terms.contract)
        scalar = self._randomness.scalar(self._terms.suite)
        columns = [self._spec.identifier, *self._tiers.columns]
        with ThreadPoolExecutor(1, "veiljoin-mask") as masking:
            pending: deque[tuple[Future[bytes], pa.RecordBatch]] = deque()
            for batch in read_batches(self._dataset, columns):
                identifiers, kept = self._accept(batch, normaliser, rejected)
                if identifiers:
                    masked = masking.submit(self._engine.hash_and_mask, tag, identifiers, scalar)
                    pending.append((masked, kept))
                if len(pending) > _AHEAD:
                    self._store(*pending.popleft())
                self._progress.advance(len(batch))
            while pending:
                self._store(*pending.popleft())
        scalar.destroy()

    def _accept(
        self, batch: Batch, normaliser: Normaliser, rejected: RejectsWriter
    ) -> tuple[list[bytes], pa.RecordBatch]:
        """Return the canonical identifiers of the usable rows, and what is kept of each."""
        cells = batch.columns[self._spec.identifier]
        normalised = normaliser(cells)
        tiers, reason = self._tiers.read(batch, normalised.reason)
        refused = np.flatnonzero(reason)
        if len(refused):
            rejected.add(
                (batch.first_row + refused).astype(np.uint64), cells.take(pa.array(refused)), reason[refused]
            )
        for code, count in enumerate(np.bincount(reason, minlength=len(REASONS))):
            if code and count:
                name = REASONS[code]
                self._facts.rejected[name] = self._facts.rejected.get(name, 0) + int(count)
        self._facts.rows += len(batch)

        usable = np.flatnonzero(reason == 0)
        identifiers: list[bytes] = normalised.canonical.take(pa.array(usable)).to_pylist()
        rows = (batch.first_row + usable).astype(np.uint64)
        self._root.update(rows, identifiers, tiers[usable])
        ranks = self._randomness.ranks(LABEL_ORDER, batch.first_row, len(batch))[usable]
        columns = [pa.array(rows), pa.array(tiers[usable]), pa.array(ranks), self._held(identifiers)]
        return identifiers, pa.record_batch(columns, names=["row_number", "tier", "rank", "held"])

    def _held(self, identifiers: list[bytes]) -> pa.Array:
        """Whether each person is kept back: a secret HMAC, so all rows of a person agree (SPEC 5.5)."""
        if self._holdout_key is None:
            return pa.array(np.zeros(len(identifiers), dtype=bool))
        key = self._holdout_key.reveal()
        below = int(self._job.holdout * 2**64)
        words = (hmac.digest(key, identifier, "sha256")[:8] for identifier in identifiers)
        return pa.array([int.from_bytes(word, "big") < below for word in words], type=pa.bool_())

    def _store(self, masking: Future[bytes], kept: pa.RecordBatch) -> None:
        size = self._terms.suite.element_size
        points = pa.Array.from_buffers(pa.binary(size), kept.num_rows, [None, pa.py_buffer(masking.result())])
        self._table.insert(pa.record_batch([points, *kept.columns], names=["point", *kept.schema.names]))

    def _require_some(self) -> None:
        if self._facts.rows > sum(self._facts.rejected.values()):
            return
        most = max(self._facts.rejected, key=lambda name: self._facts.rejected[name])
        form = self._job.form
        if most in ("looks_hashed", "wrong_hash"):
            raise UsageError(
                f"Column {self._spec.identifier!r} of {self._dataset.path} holds hashes in another form than "
                f"the job's {form.text}.",
                hint="identifier in the job file must say what was hashed and how, such as sha256:phone:cn11 or "
                "md5:idfa:upper, and both sides need that same form",
                code="form_mismatch",
            )
        raise UsageError(
            f"None of the {self._facts.rows:,} rows of {self._dataset.path} can be used: column "
            f"{self._spec.identifier!r} holds no valid {self._job.form.text} (mostly {most}).",
            hint=f"check that the column is right and that identifier = {self._job.form.text!r} says its form",
            code="all_rejected",
        )

    # -- ordering

    def _order(self) -> PreparedSet:
        places = self._tiers.places()
        pick, with_row = ("min", "arg_min") if self._spec.keep == "first" else ("max", "arg_max")
        persons = self._workspace.table(
            "person", "point BLOB, row_number UBIGINT, tier UTINYINT, rank UBIGINT, held BOOLEAN"
        )
        accepted = self._table.number("SELECT count(*) FROM {name}")
        persons.fill(
            f"SELECT point, {pick}(row_number), min(list_extract({places}, tier + 1)), "  # noqa: S608
            f"{with_row}(rank, row_number), bool_or(held) FROM {self._table.name} GROUP BY point"
        )
        self._table.drop()
        labels = self._tiers.ordered()
        sizes = persons.pairs("SELECT tier, count(*) FROM {name} WHERE NOT held GROUP BY tier")
        held = persons.rows("SELECT row_number, tier FROM {name} WHERE held ORDER BY row_number")
        self._facts.persons = sum(sizes.values()) + len(held[0])
        self._facts.duplicates = accepted - self._facts.persons
        self._facts.held_back = len(held[0])
        self._check_sizes([(label, sizes.get(place, 0)) for place, label in enumerate(labels)])

        spool = self._workspace.spool("out")
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
        total = sum(size for _, size in sizes)
        path, minimum = self._dataset.path, self._terms.min_group
        if total > self._job.max_set:
            raise PolicyRefusal(
                f"{path} holds {total:,} persons; the job allows max_set = {self._job.max_set:,}.",
                hint="raise max_set in [policy] of the job file, or take a smaller segment",
            )
        for label, size in sizes:
            if size < minimum:
                what = f"Tier {label!r} of {path}" if label else str(path)
                held = " after the holdout" if self._holdout_key is not None else ""
                merge = "merge it with another tier" if label else "take a larger segment"
                raise PolicyRefusal(
                    f"{what} has {size:,} persons{held}, fewer than min_group = {minimum:,}.",
                    hint=f"{merge}, or agree on a lower min_group in [policy] of the job file",
                    code="too_small",
                )

    def _write_points(self, persons: Table, spool: Spool) -> npt.NDArray[np.uint64]:
        """Write the points in sending order, chunk by chunk, and the row number of each position."""
        chunk = self._terms.chunk_elements * self._terms.suite.element_size
        query = "SELECT point, row_number FROM {name} WHERE NOT held ORDER BY tier, rank, row_number"
        origin_path = self._workspace.folder / "origin"
        pending, sequence = bytearray(), 0
        try:
            with open(origin_path, "wb") as origin:
                for batch in persons.batches(query):
                    origin.write(np.ascontiguousarray(batch.column("row_number").to_numpy()).tobytes())
                    pending += _contents(batch.column("point"))
                    while len(pending) >= chunk:
                        spool.put("own-points", sequence, bytes(pending[:chunk]))
                        del pending[:chunk]
                        sequence += 1
                    self._progress.advance(batch.num_rows)
            if pending:
                spool.put("own-points", sequence, bytes(pending))
            return np.memmap(origin_path, dtype=np.uint64, mode="r")
        except OSError as error:
            raise disk_error(error, self._workspace.folder) from None


def _contents(column: pa.Array) -> bytes:
    """Return the bytes of a binary column without nulls, back to back."""
    offsets = np.frombuffer(column.buffers()[1], dtype=np.int32)[column.offset :]
    data: bytes = column.buffers()[2][int(offsets[0]) : int(offsets[len(column)])].to_pybytes()
    return data
