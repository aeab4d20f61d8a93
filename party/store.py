"""A party's store: what must outlive a job, in an SQLite file or a PostgreSQL database (``party.databases``).

Every transaction that writes takes the store's write lock when it begins, so that two of them are never at work at
once, whether in threads or processes. Reading takes no lock. The tables are in ``party.tables``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from party import migrations
from party.databases import database_at
from psi.errors import UsageError

# How long a transaction waits for another process's. Theirs take milliseconds, with a ledger's comparison seconds.
WAIT_SECONDS: Final = 20.0
# How long an open store waits for a database server that is being restarted, and how often it tries.
_RETURN_SECONDS: Final = 10.0
_AGAIN_SECONDS: Final = 0.2


def require_store(path: Path) -> None:
    """Raise ``UsageError`` unless there is something in the SQLite file ``path`` of a node's store.

    To open it would make a new one, which would know neither keys nor what was spent.
    """
    try:
        there = path.stat().st_size > 0
    except OSError:
        there = False
    if not there:
        raise UsageError(
            f"The store {path} of this node is not there, or empty.",
            hint="put its disk or file back, or restore a backup with `veiljoin restore`",
            code="store_unavailable",
        )


class Store:
    """The store at ``url``; close it after use. Threads may share it.

    ``url`` is ``sqlite:///PATH`` (made with mode 0600 if it isn't there) or ``postgresql+psycopg://USER@HOST/NAME``
    (the database has to be there and be the user's). A store of an older version is upgraded, by one process alone.
    ``wait`` is the longest wait for the lock, in seconds. ``name`` is the store's for messages, ``path`` the file's,
    where there is one.

    Raises ``UsageError`` that names the file, or database and host, if it can't be opened or reached, is of a newer
    version, is damaged, or stays locked.
    """

    def __init__(self, url: str | sa.URL, *, wait: float = WAIT_SECONDS) -> None:
        self._database = database_at(url, wait)
        self.name = self._database.name
        self.path = self._database.path
        self._patience = 0.0  # an address that is wrong is told at once
        with ExitStack() as undo:
            undo.callback(self.close)
            self._prepare()
            undo.pop_all()
        self._patience = _RETURN_SECONDS

    def __repr__(self) -> str:
        return f"Store({self.name!r})"

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Give a connection that holds the write lock; commits at the end, rolls back on any exception."""
        with self._begun(self._database.writing) as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a connection that sees the store as it is now, whatever others write meanwhile. It writes nothing."""
        with self._begun(self._database.reading) as connection:
            yield connection

    def close(self) -> None:
        """Close the connections."""
        # The three engines share one pool.
        self._database.writing.dispose()

    @contextmanager
    def _begun(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        connection, transaction = self._begin(engine)
        try:
            with connection, transaction:
                yield connection
        except sa.exc.DBAPIError as error:
            raise self._database.error(error) from None

    def _begin(self, engine: sa.Engine) -> tuple[sa.Connection, sa.RootTransaction]:
        """Begin a transaction, again if the server went away before: nothing of it has run yet."""
        deadline = time.monotonic() + self._patience
        while True:
            connection = None
            try:
                connection = engine.connect()
                return connection, connection.begin()
            except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
                if connection is not None:
                    connection.close()
                if time.monotonic() >= deadline or not self._database.passing(error):
                    raise self._database.error(error) from None
            time.sleep(_AGAIN_SECONDS)

    def _prepare(self) -> None:
        with self.reading() as connection:
            revision = migrations.current(connection)
        if revision == migrations.HEAD:
            return
        with self._begun(self._database.migrating) as connection:
            migrations.upgrade(connection, self.name)
