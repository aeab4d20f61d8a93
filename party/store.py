"""A party's store: what must outlive a job, in one SQLite file (SQLAlchemy Core).

Every transaction takes the write lock when it begins, so that reading a budget and spending it are one step even
between processes. Waiting for the lock is bounded. The store holds names of datasets and partners, job ids, times and
numbers of persons, never an identifier or a hash of one.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from psi.errors import UsageError

SCHEMA_VERSION: Final = 1
# How long a transaction waits for another process's. Theirs take milliseconds, with a ledger's comparison seconds.
WAIT_SECONDS: Final = 20.0

_METADATA: Final = sa.MetaData()
schema = sa.Table("schema_version", _METADATA, sa.Column("version", sa.Integer, nullable=False))
# Times are seconds since 1970-01-01 UTC. Keys are never used again: who holds an old one can't mean a new row.

# One row per run. `epsilon` is an exact fraction as text, such as "1/2", and null without noise. A row that is not
# `spent` is a reservation.
budget_spent = sa.Table(
    "budget_spent",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("partner", sa.Text, nullable=False),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("epsilon", sa.Text),
    sa.Column("spent", sa.Boolean, nullable=False),
    sa.Index("budget_of", "dataset", "partner"),
    sqlite_autoincrement=True,
)
# One row per input that was compared: which file of the ledger has its tags, how many, and the file's SHA-256. A row
# that is not `released` is that of a job which has not told the partner anything yet.
ledger_sketch = sa.Table(
    "ledger_sketch",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("partner", sa.Text, nullable=False),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("persons", sa.Integer, nullable=False),
    sa.Column("file", sa.Text, nullable=False, unique=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("released", sa.Boolean, nullable=False),
    sa.Index("sketches_of", "partner"),
    sqlite_autoincrement=True,
)
# One row per job that got as far as the partner's size.
jobs_seen = sa.Table(
    "jobs_seen",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("partner", sa.Text, nullable=False),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("own_persons", sa.Integer, nullable=False),
    sa.Column("peer_persons", sa.Integer, nullable=False),
    sa.Index("jobs_of", "dataset", "partner"),
    sqlite_autoincrement=True,
)


class Store:
    """The store at ``url`` (as text ``sqlite:///PATH``), made if it isn't there, with mode 0600; close it after use.

    ``wait`` is the longest wait for the lock, in seconds. Raises ``UsageError`` that names the file if it can't be
    opened, is of another version, is damaged, or stays locked.
    """

    def __init__(self, url: str | sa.URL, *, wait: float = WAIT_SECONDS) -> None:
        address = sa.make_url(url)
        if address.get_backend_name() != "sqlite" or not address.database or address.database == ":memory:":
            raise UsageError(
                "The store's address does not name an SQLite file.",
                hint="write it as sqlite:///PATH/store.sqlite",
            )
        self.path = Path(address.database)
        self._wait = wait
        self._create_file()
        self._engine = sa.create_engine(
            address, connect_args={"timeout": wait, "check_same_thread": False}, poolclass=sa.pool.NullPool
        )
        sa.event.listen(self._engine, "connect", _leave_transactions_to_us)
        sa.event.listen(self._engine, "begin", _take_the_lock)
        self._prepare()

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Give a connection that holds the write lock; commits at the end, rolls back on any exception."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise self._error(error.orig) from None

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _create_file(self) -> None:
        try:
            # SQLite would make it, and its journals, readable as the umask says.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise UsageError(
                f"The store {self.path} cannot be opened: {error.strerror}.",
                hint="check that the folder is there and its permissions",
                code="unwritable",
            ) from None

    def _prepare(self) -> None:
        with self.transaction() as connection:
            if not sa.inspect(connection).has_table(schema.name):
                _METADATA.create_all(connection)
                connection.execute(schema.insert().values(version=SCHEMA_VERSION))
            version = connection.execute(sa.select(schema.c.version)).scalar_one()
        if version != SCHEMA_VERSION:
            raise UsageError(
                f"The store {self.path} is of version {version}, and this program knows {SCHEMA_VERSION}.",
                hint="use the version of the program that wrote it, or a newer one",
                code="bad_format",
            )

    def _error(self, error: BaseException | None) -> UsageError:
        """The database's own words may quote a statement's values, so only their kind is told."""
        name = getattr(error, "sqlite_errorname", None) or type(error).__name__
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return UsageError(
                f"The store {self.path} was locked by another process for {self._wait:g} seconds.",
                hint="wait until the other job or command has ended, then try again",
                code="unwritable",
            )
        if name.startswith("SQLITE_FULL"):
            return UsageError(
                f"The disk of the store {self.path} is full.", hint="free some space", code="no_space"
            )
        if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            return UsageError(
                f"The store {self.path} is damaged, or is no store.",
                hint="restore it from a backup; a new one would not know what was spent",
                code="bad_format",
            )
        return UsageError(
            f"The store {self.path} cannot be used ({name}).",
            hint="check the disk and the permissions of its folder",
            code="unwritable",
        )


def _leave_transactions_to_us(connection: sqlite3.Connection, record: Any) -> None:
    connection.isolation_level = None


def _take_the_lock(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
