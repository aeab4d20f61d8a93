"""One job's working data on disk: DuckDB for what must be grouped, sorted and joined out of core.

What lies here, and what DuckDB may spill to its temporary files, is row numbers, masked points, tokens, tier
numbers and secret ranks, for a party with a ledger each person's number in it (44 bits of a hash under a key that
stays in the party's home), and for a grouped sum the party's own outcomes (days, amounts, stages, numbers of labels)
beside masked points: never an identifier, another hash of one or a key. The folder is private (mode 0700) and is
removed when the job ends, however it ends.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from federated.ports import PairJoin, RecordShelf
from party.spool import Spool, disk_error
from psi.errors import VeiljoinError
from psi.ports import Ranks, TokenJoin, TokenShelf
from psi.suites import Suite

# What DuckDB may hold before it spills. Measured with `veiljoin bench match`: more gains nothing at 1M rows.
MEMORY_LIMIT: Final = "160MB"
_BATCH: Final = 65_536
# Bytes of records that are handed out together.
_RECORD_BYTES: Final = 1 << 20


class Chunked(Protocol):
    """The part of a contract's terms that shelves look at; those of a match and of a sum have it."""

    @property
    def suite(self) -> Suite:
        """The suite, which says how long a token is."""

    @property
    def chunk_elements(self) -> int:
        """Elements of one chunk."""


class Workspace:
    """The private folder and database of one job; a context manager that removes both.

    ``prepared`` is where the prepared set lies, which a run that is cut goes on with; by default in the folder.
    """

    def __init__(self, folder: Path, threads: int | None = None, prepared: Path | None = None) -> None:
        self.folder = folder
        self._prepared = prepared or folder / "prepared"
        self._threads = threads or max(1, os.cpu_count() or 1)
        self._tables = 0
        self._files = 0

    def __enter__(self) -> Workspace:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            spill = self.folder / "spill"
            spill.mkdir(mode=0o700, exist_ok=True)
            self._prepared.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, self.folder) from None
        self._database = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": MEMORY_LIMIT,
                "temp_directory": str(spill),
                "threads": self._threads,
                "preserve_insertion_order": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def spool(self) -> Spool:
        """Return the spool of the prepared set."""
        return Spool(self._prepared / "out")

    def prepared_file(self, name: str) -> Path:
        """Return the path of a file of the prepared set."""
        return self._prepared / name

    def table(self, prefix: str, columns: str) -> Table:
        """Create an empty table with ``columns`` (SQL) and a name of its own."""
        self._tables += 1
        name = f"{prefix}_{self._tables}"
        return Table(self, name, columns)

    def file(self, prefix: str) -> Path:
        """Return the path of a file of its own, which is not there yet; it goes with the workspace."""
        self._files += 1
        return self.folder / f"{prefix}-{self._files}"

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection of its own to the job's database, for one caller in one thread."""
        return self._database.cursor()


def moment_order(keep: str) -> Callable[[str], str]:
    """Return SQL that picks a column of a person's first or last row (``keep``), by ``moment``, then ``row_number``.

    Rows without a moment are picked only where a person has no other.
    """
    first = keep == "first"
    beyond = (1 << 63) - 1 if first else -(1 << 63) + 1
    # Both in one number of 128 bits; there are fewer than 2^40 rows.
    key = f"(coalesce(moment, {beyond})::HUGEINT * {1 << 40} + row_number::HUGEINT)"
    return lambda column: f"{'arg_min' if first else 'arg_max'}({column}, {key})"


class Table:
    """One table: rows are added in batches and read back by queries over ``{name}``."""

    def __init__(self, workspace: Workspace, name: str, columns: str) -> None:
        self._workspace = workspace
        self.name = name
        self._run(f"CREATE TABLE {name} ({columns})")

    def insert(self, batch: pa.RecordBatch) -> None:
        """Add the rows of ``batch``, whose columns are in the table's order."""
        # A cursor of its own, because another thread may be reading.
        with self._workspace.cursor() as cursor:
            cursor.register("batch", batch)
            self._guard(cursor, f"INSERT INTO {self.name} SELECT * FROM batch")  # noqa: S608 - own names only

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        """Yield the result of ``query``, in which ``{name}`` stands for this table, in Arrow batches."""
        with self._workspace.cursor() as cursor:
            try:
                reader = cursor.sql(query.format(name=self.name)).to_arrow_reader(_BATCH)
                yield from reader
            except duckdb.Error as error:
                raise _database_error(error) from None

    def number(self, query: str) -> int:
        """Return the one number that ``query`` yields."""
        with self._workspace.cursor() as cursor:
            row = self._guard(cursor, query.format(name=self.name)).fetchone()
        return int(row[0]) if row and row[0] is not None else 0

    def fill(self, query: str) -> None:
        """Add the rows of ``query``."""
        self._run(f"INSERT INTO {self.name} {query}")

    def pairs(self, query: str) -> dict[int, int]:
        """Return the two number columns of ``query`` as a mapping."""
        return {row[0]: row[1] for row in self.tuples(query)}

    def tuples(self, query: str) -> list[tuple[int, ...]]:
        """Return the rows of ``query``, whose columns are whole numbers."""
        with self._workspace.cursor() as cursor:
            rows = self._guard(cursor, query.format(name=self.name)).fetchall()
        return [tuple(map(int, row)) for row in rows]

    def rows(self, query: str) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint8]]:
        """Return the columns ``row_number`` and ``tier`` of ``query``."""
        batches = list(self.batches(query))
        numbers = [batch.column("row_number").to_numpy() for batch in batches]
        tiers = [batch.column("tier").to_numpy() for batch in batches]
        return (
            np.concatenate([np.empty(0, np.uint64), *numbers]).astype(np.uint64),
            np.concatenate([np.empty(0, np.uint8), *tiers]).astype(np.uint8),
        )

    def drop(self) -> None:
        """Remove the table."""
        self._run(f"DROP TABLE {self.name}")

    def _run(self, statement: str) -> None:
        with self._workspace.cursor() as cursor:
            self._guard(cursor, statement)

    @staticmethod
    def _guard(cursor: duckdb.DuckDBPyConnection, statement: str) -> Any:
        try:
            return cursor.execute(statement)
        except duckdb.Error as error:
            raise _database_error(error) from None


def _database_error(error: duckdb.Error) -> VeiljoinError:
    """DuckDB's own messages may quote data, so only their kind is told."""
    if isinstance(error, duckdb.OutOfMemoryException):
        return VeiljoinError(
            "The job's working database ran out of memory, or of room to spill to.",
            hint="free memory and disk space, or use fewer --threads, then start the job again",
            code="no_space",
        )
    if isinstance(error, duckdb.IOException):
        return VeiljoinError(
            "The job's working folder is full or cannot be written.",
            hint="free some disk space where the results go, then start the job again",
            code="no_space",
        )
    return VeiljoinError(f"The job's working database failed ({type(error).__name__}).")


_COLUMNS: Final = "position UBIGINT, high UBIGINT, low UBIGINT"


def _token_batch(start: int, tokens: bytes) -> pa.RecordBatch:
    """Return 16-byte tokens as two words each, with positions from ``start``."""
    words = np.frombuffer(tokens, dtype="<u8").reshape(-1, 2)
    positions = np.arange(start, start + len(words), dtype=np.uint64)
    columns = [pa.array(positions), pa.array(words[:, 0].copy()), pa.array(words[:, 1].copy())]
    return pa.record_batch(columns, names=["position", "high", "low"])


class _DiskTokens:
    """The tokens of both sides in two tables, with the positions at which they came."""

    def __init__(self, workspace: Workspace) -> None:
        self._own = workspace.table("own", _COLUMNS)
        self._peer = workspace.table("peer", _COLUMNS)
        self._sizes = {self._own.name: 0, self._peer.name: 0}

    def add_own(self, tokens: bytes) -> None:
        """Add tokens of own elements."""
        self._add(self._own, tokens)

    def add_peer(self, tokens: bytes) -> None:
        """Add tokens of the partner's elements."""
        self._add(self._peer, tokens)

    def _add(self, table: Table, tokens: bytes) -> None:
        batch = _token_batch(self._sizes[table.name], tokens)
        table.insert(batch)
        self._sizes[table.name] += batch.num_rows

    def repeated(self) -> tuple[int, int]:
        """Return how many own and partner tokens are copies."""
        query = "SELECT sum(n - 1) FROM (SELECT count(*) AS n FROM {name} GROUP BY high, low HAVING n > 1)"
        return self._own.number(query), self._peer.number(query)

    def _pairs(self) -> Iterator[tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]]:
        """Yield own and partner's positions of equal tokens."""
        query = (
            f"SELECT own.position AS own, peer.position AS peer FROM {self._own.name} AS own "  # noqa: S608
            f"JOIN {self._peer.name} AS peer ON own.high = peer.high AND own.low = peer.low"
        )
        for batch in self._own.batches(query):
            yield batch.column("own").to_numpy(), batch.column("peer").to_numpy()


class DiskJoin(_DiskTokens):
    """A ``psi.ports.TokenJoin`` in DuckDB."""

    def match(self, peer_sizes: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Return 0 or 1 + the partner's tier per own position."""
        bounds = np.cumsum(np.asarray(peer_sizes, dtype=np.uint64))
        tier_of = np.zeros(self._sizes[self._own.name], dtype=np.uint8)
        for own, peer in self._pairs():
            tier_of[own] = 1 + np.searchsorted(bounds, peer, side="right")
        return tier_of


class DiskPairJoin(_DiskTokens):
    """A ``federated.ports.PairJoin`` in DuckDB."""

    def partners(self) -> npt.NDArray[np.int64]:
        """Return the partner's position per own position, or -1."""
        position_of = np.full(self._sizes[self._own.name], -1, dtype=np.int64)
        for own, peer in self._pairs():
            position_of[own] = peer
        return position_of


class DiskShelf:
    """A ``psi.ports.TokenShelf`` in DuckDB."""

    def __init__(self, workspace: Workspace, terms: Chunked) -> None:
        self._table = workspace.table("shelf", _COLUMNS)
        self._workspace = workspace
        self._size = 0
        self._chunk_bytes = terms.chunk_elements * terms.suite.token_size

    def append(self, tokens: bytes) -> None:
        """Add tokens behind those already here."""
        batch = _token_batch(self._size, tokens)
        self._table.insert(batch)
        self._size += batch.num_rows

    def ordered(self) -> Iterator[bytes]:
        """Yield all tokens in the order of arrival."""
        return self._read("SELECT high, low FROM {name} ORDER BY position")

    def shuffled(self, sizes: Sequence[int], ranks: Ranks) -> Iterator[bytes]:
        """Yield all tokens, shuffled within consecutive groups."""
        order = self._workspace.table("order", "position UBIGINT, part UINTEGER, rank UBIGINT")
        bounds = np.cumsum(np.asarray(sizes, dtype=np.uint64))
        for start in range(0, self._size, _BATCH):
            count = min(_BATCH, self._size - start)
            positions = np.arange(start, start + count, dtype=np.uint64)
            part = np.searchsorted(bounds, positions, side="right").astype(np.uint32)
            columns = [pa.array(positions), pa.array(part), pa.array(ranks(start, count))]
            order.insert(pa.record_batch(columns, names=["position", "part", "rank"]))
        return self._read(
            f"SELECT high, low FROM {{name}} JOIN {order.name} USING (position) "  # noqa: S608 - own names only
            "ORDER BY part, rank, position"
        )

    def _read(self, query: str) -> Iterator[bytes]:
        pending = bytearray()
        for batch in self._table.batches(query):
            words = np.column_stack([batch.column("high").to_numpy(), batch.column("low").to_numpy()])
            pending += np.ascontiguousarray(words, dtype="<u8").tobytes()
            while len(pending) >= self._chunk_bytes:
                yield bytes(pending[: self._chunk_bytes])
                del pending[: self._chunk_bytes]
        if pending:
            yield bytes(pending)


class DiskRecordShelf:
    """A ``federated.ports.RecordShelf`` in one file.

    Raises ``ValueError`` for parts of records and missing positions.
    """

    def __init__(self, workspace: Workspace, size: int) -> None:
        self._size = size
        self._held = 0
        self._path = workspace.file("records")
        self._batch = max(1, _RECORD_BYTES // size)
        try:
            self._path.touch(mode=0o600, exist_ok=False)
        except OSError as error:
            raise disk_error(error, self._path.parent) from None

    def append(self, records: bytes) -> None:
        """Add records."""
        if len(records) % self._size:
            raise ValueError(f"records have {self._size} bytes each")
        try:
            with open(self._path, "ab") as file:
                file.write(records)
        except OSError as error:
            raise disk_error(error, self._path.parent) from None
        self._held += len(records) // self._size

    def take(self, positions: Sequence[int] | npt.NDArray[np.int64]) -> Iterator[bytes]:
        """Yield the records at ``positions``, in that order, in batches."""
        wanted = np.asarray(positions, dtype=np.int64)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < self._held:
            raise ValueError(f"a position is not one of the {self._held} records")
        size = self._size
        # Read, not mapped: pages of a mapped file would count as this process's memory.
        with open(self._path, "rb", buffering=0) as file:
            for start in range(0, len(wanted), self._batch):
                places = (wanted[start : start + self._batch] * size).tolist()
                yield b"".join(os.pread(file.fileno(), size, place) for place in places)


class DiskKeep:
    """A ``psi.ports.Keep`` over a workspace."""

    def __init__(self, workspace: Workspace, terms: Chunked) -> None:
        self._workspace = workspace
        self._terms = terms

    def shelf(self) -> TokenShelf:
        """Return an empty shelf."""
        return DiskShelf(self._workspace, self._terms)

    def join(self) -> TokenJoin:
        """Return an empty join."""
        return DiskJoin(self._workspace)


class DiskSumKeep:
    """A ``federated.ports.SumKeep`` over a workspace."""

    def __init__(self, workspace: Workspace, terms: Chunked) -> None:
        self._workspace = workspace
        self._terms = terms

    def shelf(self) -> TokenShelf:
        """Return an empty shelf of tokens."""
        return DiskShelf(self._workspace, self._terms)

    def join(self) -> PairJoin:
        """Return an empty join."""
        return DiskPairJoin(self._workspace)

    def records(self, size: int) -> RecordShelf:
        """Return an empty shelf of records of ``size`` bytes."""
        return DiskRecordShelf(self._workspace, size)
