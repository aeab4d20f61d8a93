"""The two databases that can hold a store: how each is opened, locked, and says what is wrong with it.

Both give the same guarantee: a transaction that writes holds the store's one write lock from its first statement on,
so that reading a budget and spending it are one step even between processes, and no two of them ever meet. SQLite
has that as ``BEGIN IMMEDIATE``. On PostgreSQL a REPEATABLE READ transaction begins with ``LOCK TABLE``, which waits
before the snapshot is taken (an advisory lock would wait after it); so what is read is what the last writer left,
and there is nothing to retry. SERIALIZABLE would add nothing to the lock and fail now and then: a commit gives up
its table lock a moment before its predicate locks, so that two commits that are interrupted in that moment look
concurrent to the third writer, which is then aborted.

Waiting is bounded on both. The databases' own words may quote a statement's values or an address with its password,
so none of them is ever passed on.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

import sqlalchemy as sa

from psi.errors import UsageError

# The statements that a transaction begins with; none where the driver begins by itself.
_OPENING: Final = "veiljoin_opening"
_CONNECT_SECONDS: Final = 10
# A statement of ours takes milliseconds; a ledger's comparison works on files between two of them.
_STATEMENT_SECONDS: Final = 60
_IDLE_SECONDS: Final = 600
# What guards migrations on PostgreSQL, where no table is there to lock yet: any number, the same everywhere.
_MIGRATION_LOCK: Final = 0x5645494C4A4F494E


class Database(Protocol):
    """One database with a store in it. ``name`` is for messages and shows no user and no password."""

    name: str
    path: Path | None
    writing: sa.Engine
    reading: sa.Engine
    migrating: sa.Engine

    def error(self, error: sa.exc.SQLAlchemyError) -> UsageError:
        """Return the sentence for what the database raised."""
        ...

    def passing(self, error: sa.exc.SQLAlchemyError) -> bool:
        """Tell whether a transaction that could not begin may be begun again a moment later."""
        ...


def database_at(url: str | sa.URL, wait: float) -> Database:
    """Return the database at ``url``, which waits ``wait`` seconds for a lock.

    Raises ``UsageError`` for an address that is none, without showing it.
    """
    try:
        address = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # Part of a password may have been read as a port, and would be in the message.
        raise _no_address() from None
    if address.get_backend_name() == "sqlite" and address.database and address.database != ":memory:":
        return Sqlite(address, wait)
    if address.drivername in ("postgresql", "postgresql+psycopg") and address.database:
        return Postgres(address.set(drivername="postgresql+psycopg"), wait)
    raise _no_address()


def _no_address() -> UsageError:
    return UsageError(
        "The store's address names neither an SQLite file nor a PostgreSQL database.",
        hint="write it as sqlite:///PATH/store.sqlite or postgresql+psycopg://USER@HOST/DATABASE",
    )


def _locked(name: str, wait: float) -> UsageError:
    return UsageError(
        f"The store {name} was locked by another process for {wait:g} seconds.",
        hint="wait until the other job or command has ended, then try again",
        code="store_unavailable",
    )


def _full(name: str) -> UsageError:
    return UsageError(f"The disk of the store {name} is full.", hint="free some space", code="no_space")


def _begin(connection: sa.Connection) -> None:
    for statement in connection.get_execution_options().get(_OPENING, ()):
        connection.exec_driver_sql(statement)


class Sqlite:
    """An SQLite file of mode 0600, made if it isn't there."""

    def __init__(self, address: sa.URL, wait: float) -> None:
        self.path: Path | None = Path(str(address.database))
        self.name = str(self.path)
        self._wait = wait
        try:
            # SQLite would make it, and its journals, readable as the umask says.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise UsageError(
                f"The store {self.name} cannot be opened: {error.strerror}.",
                hint="check that the folder is there and its permissions",
                code="unwritable",
            ) from None
        engine = sa.create_engine(
            "sqlite://",
            creator=self._connect,
            poolclass=sa.pool.NullPool,
            hide_parameters=True,
        )
        sa.event.listen(engine, "connect", _leave_transactions_to_us)
        sa.event.listen(engine, "begin", _begin)
        self.writing: sa.Engine = engine.execution_options(**{_OPENING: ("BEGIN IMMEDIATE",)})
        self.migrating: sa.Engine = self.writing
        # Each transaction has a connection of its own, so the first of these goes no further.
        self.reading: sa.Engine = engine.execution_options(**{_OPENING: ("PRAGMA query_only = 1", "BEGIN")})

    def _connect(self) -> sqlite3.Connection:
        # Read and written, never made: where the file went away, an empty one would be a store that knows nothing of
        # what was spent.
        file = f"file:{quote(self.name)}?mode=rw"
        return sqlite3.connect(file, uri=True, timeout=self._wait, check_same_thread=False)

    def error(self, error: sa.exc.SQLAlchemyError) -> UsageError:
        """See :class:`Database`."""
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        kind = getattr(cause, "sqlite_errorname", None) or type(cause).__name__
        if kind.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return _locked(self.name, self._wait)
        if kind.startswith("SQLITE_FULL"):
            return _full(self.name)
        if kind.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            return UsageError(
                f"The store {self.name} is damaged, or is no store.",
                hint="restore it from a backup; a new one would not know what was spent",
                code="bad_format",
            )
        if kind.startswith("SQLITE_CANTOPEN"):
            return UsageError(
                f"The store {self.name} is not there, or may not be opened.",
                hint="put its disk or file back, or restore a backup with `veiljoin restore`",
                code="store_unavailable",
            )
        return UsageError(
            f"The store {self.name} cannot be used ({kind}).",
            hint="check the disk and the permissions of its folder",
            code="unwritable",
        )

    def passing(self, error: sa.exc.SQLAlchemyError) -> bool:
        """See :class:`Database`: SQLite itself waits for a lock, and nothing else passes."""
        return False


def _leave_transactions_to_us(connection: sqlite3.Connection, record: Any) -> None:
    connection.isolation_level = None


# What a refused connection says, and what we say of it: the server's words may be in its own language, and then the
# general sentence has to do.
_REFUSALS: Final = (
    ("authentication failed", "it refuses the user or the password", "check both in the store's address"),
    ("no password supplied", "it asks for a password", "put one into the store's address or a .pgpass file"),
    ("pg_hba.conf", "it lets no such user in from here", "let this node in, in the server's pg_hba.conf"),
    ("certificate", "its certificate is not trusted", "check sslmode and sslrootcert in the store's address"),
    ("does not exist", "it knows no such database or user", "make both, and the user the database's owner"),
    ("name resolution", "its host name is not known", "check the host in the store's address"),
    ("Name or service not known", "its host name is not known", "check the host in the store's address"),
)
_UNREACHABLE: Final = (
    "its server does not answer",
    "check that the server runs and can be reached from here",
)
# SQLSTATE classes and codes (PostgreSQL's documentation, appendix A).
_GONE: Final = ("08", "57P")
_LOCK_NOT_AVAILABLE: Final = "55P03"
_TOO_SLOW: Final = "57014"
_DISK_FULL: Final = "53100"
_MET_ANOTHER: Final = ("40001", "40P01")
_FAULTS: Final = {
    "25006": ("is read-only", "name the primary server, not a standby, in the store's address"),
    "42501": ("does not let this node's user work in it", "make the user the owner of the database"),
    "53300": ("has no connection free", "raise max_connections of the server, or run fewer nodes on it"),
}


class Postgres:
    """A PostgreSQL database, through psycopg 3; what the address says of the connection goes before our defaults."""

    def __init__(self, address: sa.URL, wait: float) -> None:
        self.path: Path | None = None
        host = address.host or address.query.get("host") or "this machine"
        self.name = f"{address.database} on {host}{f':{address.port}' if address.port else ''}"
        self._wait = wait
        defaults: dict[str, Any] = {
            "application_name": "veiljoin",
            "connect_timeout": _CONNECT_SECONDS,
            # A link that was cut is noticed within a minute even in the middle of a statement.
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
        }
        try:
            engine = sa.create_engine(
                address,
                connect_args={key: value for key, value in defaults.items() if key not in address.query},
                isolation_level="REPEATABLE READ",
                pool_pre_ping=True,
                pool_timeout=wait,
                hide_parameters=True,
            )
        except ImportError:
            raise UsageError(
                "A store on PostgreSQL needs the package psycopg.",
                hint="install veiljoin[node], or psycopg[binary]",
                code="missing_package",
            ) from None
        sa.event.listen(engine, "connect", self._set_timeouts)
        sa.event.listen(engine, "begin", _begin)
        opening = "LOCK TABLE schema_version IN EXCLUSIVE MODE"
        self.writing: sa.Engine = engine.execution_options(**{_OPENING: (opening,)})
        # A snapshot: what is read fits together, waits for nobody and can't fail for another's sake.
        self.reading: sa.Engine = engine.execution_options(postgresql_readonly=True)
        # Each statement sees what was committed before it, so also what the lock was waited for.
        self.migrating: sa.Engine = engine.execution_options(
            isolation_level="READ COMMITTED",
            **{_OPENING: (f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})",)},
        )

    def _set_timeouts(self, connection: Any, record: Any) -> None:
        connection.autocommit = True
        for name, seconds in (
            ("lock_timeout", self._wait),
            ("statement_timeout", max(_STATEMENT_SECONDS, 2 * self._wait)),
            # A process that was stopped in a transaction doesn't hold the lock for ever.
            ("idle_in_transaction_session_timeout", _IDLE_SECONDS),
        ):
            connection.execute(f"SET {name} = {max(1, round(seconds * 1000))}")
        connection.autocommit = False

    def error(self, error: sa.exc.SQLAlchemyError) -> UsageError:
        """See :class:`Database`."""
        cause: BaseException | None = error
        if isinstance(error, sa.exc.DBAPIError):
            cause = error.orig
        elif isinstance(error, sa.exc.TimeoutError):
            return _locked(self.name, self._wait)
        state = getattr(cause, "sqlstate", None)
        if state == _LOCK_NOT_AVAILABLE:
            return _locked(self.name, self._wait)
        if state == _DISK_FULL:
            return _full(self.name)
        if state in _MET_ANOTHER:
            return self._unavailable("was changed by another program at the same moment", "try again")
        if state == _TOO_SLOW:
            return self._unavailable(
                "took too long to answer", "check the load of its server, then try again"
            )
        if state in _FAULTS:
            return self._unavailable(*_FAULTS[state])
        if self._gone(cause):
            words = str(cause)
            reasons = (reason for mark, *reason in _REFUSALS if mark in words)
            why, hint = next(reasons, _UNREACHABLE)
            return self._unavailable(f"cannot be reached: {why}", hint)
        return UsageError(
            f"The store {self.name} cannot be used ({state or type(cause).__name__}).",
            hint="look into the log of its server",
            code="bad_format",
        )

    def passing(self, error: sa.exc.SQLAlchemyError) -> bool:
        """See :class:`Database`: a server that is being restarted comes back."""
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        words = str(cause)
        return self._gone(cause) and not any(mark in words for mark, *_ in _REFUSALS)

    def _gone(self, cause: BaseException | None) -> bool:
        state = getattr(cause, "sqlstate", None)
        if state is not None:
            return str(state).startswith(_GONE)
        return type(cause).__name__ in ("OperationalError", "InterfaceError", "ConnectionTimeout")

    def _unavailable(self, what: str, hint: str) -> UsageError:
        return UsageError(f"The store {self.name} {what}.", hint=hint, code="store_unavailable")
