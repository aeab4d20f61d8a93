"""What only a store on a PostgreSQL server meets: a server that goes away, refuses, or has other clients."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
import sqlalchemy as sa

from party.store import Store
from party.tables import jobs_seen
from psi.errors import UsageError
from tests.party.postgres import PASSWORD_DATABASE, PostgresServer
from tests.party.test_store import ROW, opened_in_vain, seen


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.schema()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with closing(Store(url)) as store:
        yield store


@pytest.fixture
def restarted(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """A server that a test may stop."""
    yield postgres
    postgres.stop()
    postgres.start()


def write(store: Store) -> None:
    """Write one row."""
    with store.transaction() as connection:
        connection.execute(jobs_seen.insert().values(ROW))


def schema_of(url: str) -> str:
    """Return the schema that a test's store is in."""
    return url.rpartition("%3D")[2]


def test_the_name_shows_neither_user_nor_password(store: Store, postgres: PostgresServer) -> None:
    assert store.name == f"postgres on {postgres.folder}"
    assert store.path is None
    assert repr(store) == f"Store('{store.name}')"


def test_a_transaction_is_a_snapshot_and_bounded(store: Store) -> None:
    # SERIALIZABLE aborts a writer now and then though the lock lets one at a time: see party.databases.
    with store.transaction() as connection:
        told = {
            name: connection.exec_driver_sql(f"SHOW {name}").scalar()
            for name in ("transaction_isolation", "lock_timeout", "statement_timeout", "application_name")
        }
    assert told == {
        "transaction_isolation": "repeatable read",
        "lock_timeout": "20s",
        "statement_timeout": "1min",
        "application_name": "veiljoin",
    }


def test_reading_sees_one_moment(store: Store) -> None:
    count = sa.select(sa.func.count()).select_from(jobs_seen)
    with store.reading() as connection:
        assert connection.execute(count).scalar() == 0
        write(store)
        assert connection.execute(count).scalar() == 0
    assert seen(store) == ["one"]


def test_what_the_lock_was_waited_for_is_seen(store: Store) -> None:
    """The trap of a lock that is taken after the snapshot."""
    entered, counted = threading.Event(), []

    def second() -> None:
        entered.wait(40)
        with store.transaction() as connection:
            counted.append(connection.execute(sa.select(sa.func.count()).select_from(jobs_seen)).scalar())
            connection.execute(jobs_seen.update().values(kind="measure"))

    thread = threading.Thread(target=second)
    thread.start()
    with store.transaction() as connection:
        connection.execute(jobs_seen.insert().values(ROW))
        entered.set()
        time.sleep(0.3)
    thread.join()
    assert counted == [1]


def test_another_client_that_writes_in_between_is_told(
    store: Store, url: str, postgres: PostgresServer
) -> None:
    write(store)

    def meet() -> None:
        with store.transaction() as connection:
            connection.execute(sa.select(jobs_seen)).all()
            postgres.execute(f"UPDATE {schema_of(url)}.jobs_seen SET kind = 'funnel'")
            connection.execute(jobs_seen.update().values(kind="measure"))

    with pytest.raises(UsageError, match="was changed by another program at the same moment") as caught:
        meet()
    assert caught.value.code.name == "store_unavailable"
    with store.reading() as connection:
        assert connection.execute(sa.select(jobs_seen.c.kind)).scalar() == "funnel"


def test_a_server_that_is_restarted_is_waited_for(store: Store, restarted: PostgresServer) -> None:
    write(store)
    restarted.stop()
    starting = threading.Timer(0.5, restarted.start)
    starting.start()
    write(store)
    starting.join()
    assert seen(store) == ["one", "one"]


def test_a_server_that_is_gone_is_told(
    store: Store, restarted: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("party.store._RETURN_SECONDS", 0.3)
    with closing(Store(url)) as patient:
        restarted.stop()
        for act in (lambda: write(patient), lambda: seen(patient)):
            with pytest.raises(UsageError, match="cannot be reached: its server does not answer") as caught:
                act()
            assert caught.value.code.name == "store_unavailable"
        assert "does not answer" in opened_in_vain(url).message


def test_a_connection_that_is_cut_in_the_middle_leaves_nothing(
    store: Store, postgres: PostgresServer
) -> None:
    def cut() -> None:
        with store.transaction() as connection:
            connection.execute(jobs_seen.insert().values(ROW))
            process = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            postgres.execute(f"SELECT pg_terminate_backend({process})")
            connection.execute(jobs_seen.insert().values(ROW))

    with pytest.raises(UsageError, match="cannot be reached"):
        cut()
    assert seen(store) == []
    write(store)
    assert seen(store) == ["one"]


def test_a_wrong_password_is_told_without_it(postgres: PostgresServer) -> None:
    for name in (PASSWORD_DATABASE,):
        postgres.execute(f"CREATE DATABASE {name}")
    postgres.execute("CREATE ROLE guest LOGIN PASSWORD 'right'")
    postgres.execute(f"ALTER DATABASE {PASSWORD_DATABASE} OWNER TO guest")
    error = opened_in_vain(postgres.url(PASSWORD_DATABASE, "guest", "wrong-guess"))
    assert "refuses the user or the password" in error.message
    assert "asks for a password" in opened_in_vain(postgres.url(PASSWORD_DATABASE, "guest")).message
    with closing(Store(postgres.url(PASSWORD_DATABASE, "guest", "right"))) as store:
        write(store)
        shown = repr(store) + store.name
    for text in (str(error), shown):
        assert "wrong-guess" not in text
        assert "right" not in text
        assert "guest" not in text


def test_a_database_that_is_not_there(postgres: PostgresServer) -> None:
    error = opened_in_vain(postgres.url("nowhere"))
    assert error.message == (
        f"The store nowhere on {postgres.folder} cannot be reached: it knows no such database or user."
    )


def test_a_user_who_owns_nothing(postgres: PostgresServer) -> None:
    postgres.execute("CREATE ROLE visitor LOGIN")
    postgres.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    assert "does not let this node's user work" in opened_in_vain(postgres.url("postgres", "visitor")).message


def test_text_that_the_database_cannot_hold_is_not_shown(store: Store) -> None:
    def odd() -> None:
        with store.transaction() as connection:
            connection.execute(jobs_seen.insert().values(ROW | {"job": "somebody\0"}))

    with pytest.raises(UsageError, match=r"cannot be used \(DataError\)") as caught:
        odd()
    assert "somebody" not in str(caught.value)


def test_an_unfinished_upgrade_is_waited_for_no_longer_than_a_lock(
    url: str, postgres: PostgresServer
) -> None:
    with closing(psycopg.connect(postgres.conninfo())) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (0x5645494C4A4F494E,))
        with pytest.raises(UsageError, match=r"was locked by another process for 0\.2 seconds"):
            Store(url, wait=0.2)
    Store(url).close()
