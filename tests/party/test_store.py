"""The store on both databases: private, whole or not at all, upgraded once, and clear about what is wrong."""

from __future__ import annotations

import datetime
import multiprocessing
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import party.partners  # its tables are in METADATA too
from party import migrations
from party.budget import Budget
from party.history import History, Sizes
from party.ledger import Ledger
from party.policy import DEFAULT_POLICY
from party.store import Store
from party.tables import METADATA, budget_spent, jobs_seen, schema_version
from psi.errors import UsageError

VERSION_1 = Path(__file__).parent.parent / "vectors" / "store_v1.sql"
REVISION = sa.table(migrations.REVISION_TABLE, sa.column("version_num"))
ROW = {
    "dataset": "cards",
    "partner": "shop",
    "job": "one",
    "kind": "lift",
    "at": 1.0,
    "own_persons": 1,
    "peer_persons": 2,
}


def old_store(folder: Path) -> str:
    """Make a store of version 1 and return its address."""
    path = folder / "store.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1.read_text())
    return f"sqlite:///{path}"


def opened_in_vain(url: str) -> UsageError:
    """Return why the store can't be opened."""
    with pytest.raises(UsageError) as caught:
        Store(url)
    assert caught.value.hint
    return caught.value


def seen(store: Store) -> list[str]:
    """Return the jobs in the table that these tests write."""
    with store.reading() as connection:
        return list(connection.execute(sa.select(jobs_seen.c.job).order_by(jobs_seen.c.id)).scalars())


# Transactions


def test_a_failed_step_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.transaction() as connection:
            connection.execute(jobs_seen.insert().values(ROW))
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert seen(store) == []


def test_reading_writes_nothing(store: Store) -> None:
    def write() -> None:
        with store.reading() as connection:
            connection.execute(jobs_seen.insert().values(ROW))

    with pytest.raises(UsageError):
        write()
    assert seen(store) == []
    with store.transaction() as connection:
        connection.execute(jobs_seen.insert().values(ROW))
    assert seen(store) == ["one"]


def test_reading_waits_for_nobody(store_url: str) -> None:
    with closing(Store(store_url, wait=0.2)) as store, store.transaction() as connection:
        connection.execute(jobs_seen.insert().values(ROW))
        assert seen(store) == []


def test_two_writers_are_never_at_work_at_once(store: Store) -> None:
    # Each reads what is there and writes one more: a lost update would show.
    def add() -> None:
        for _ in range(5):
            with store.transaction() as connection:
                count = connection.execute(sa.select(sa.func.count()).select_from(jobs_seen)).scalar()
                connection.execute(jobs_seen.insert().values(ROW | {"job": str(count)}))

    threads = [threading.Thread(target=add) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen(store) == [str(number) for number in range(30)]


def test_a_locked_store_is_waited_for_and_then_told(store_url: str) -> None:
    with closing(Store(store_url)) as other, closing(Store(store_url, wait=0.2)) as store:

        def write() -> None:
            with store.transaction() as connection:
                connection.execute(jobs_seen.insert().values(ROW))

        with other.transaction():
            with pytest.raises(UsageError, match=r"was locked by another process for 0\.2 seconds") as caught:
                write()
            assert caught.value.code.name == "store_unavailable"
            assert "try again" in caught.value.hint
        write()
        assert seen(store) == ["one"]


def test_an_error_shows_no_value(store: Store) -> None:
    def twice() -> None:
        with store.transaction() as connection:
            for _ in range(2):
                connection.execute(jobs_seen.insert().values(ROW | {"id": 1, "job": "a name of somebody"}))

    with pytest.raises(UsageError, match="cannot be used") as caught:
        twice()
    assert "somebody" not in str(caught.value)


def test_the_history_is_kept_by_dataset_and_partner(store: Store) -> None:
    history = History(store)
    assert history.last("cards", "shop") is None
    history.record("cards", "shop", "one", "lift", Sizes(100, 200))
    history.record("cards", "shop", "two", "lift", Sizes(110, 190))
    history.record("cards", "another", "three", "lift", Sizes(1, 2))
    assert history.last("cards", "shop") == Sizes(110, 190)
    assert history.last("loans", "shop") is None


# The schema


def test_the_migrations_make_the_tables(store: Store) -> None:
    assert party.partners.partners.metadata is METADATA
    with store.reading() as connection:
        options = {"version_table": migrations.REVISION_TABLE}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []
        assert connection.execute(sa.select(REVISION.c.version_num)).scalars().all() == [migrations.HEAD]


def test_on_sqlite_they_are_the_tables_to_the_letter(tmp_path: Path) -> None:
    """``compare_metadata`` sees neither AUTOINCREMENT nor the order of columns."""
    made = sa.create_engine(f"sqlite:///{tmp_path / 'made.sqlite'}", poolclass=sa.pool.NullPool)
    METADATA.create_all(made)

    def definitions(path: Path) -> set[str]:
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        return {" ".join(sql.split()) for name, sql in rows if name != migrations.REVISION_TABLE}

    with closing(Store(f"sqlite:///{tmp_path / 'store.sqlite'}")):
        pass
    assert definitions(tmp_path / "store.sqlite") == definitions(tmp_path / "made.sqlite")


def test_the_revisions_are_those_that_are_there() -> None:
    config = Config()
    config.set_main_option("script_location", "party:migrations")
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    assert tuple(each.revision for each in script.walk_revisions())[::-1] == migrations.REVISIONS
    assert script.get_current_head() == migrations.HEAD


def test_a_store_of_version_1_keeps_what_it_knows(tmp_path: Path) -> None:
    with closing(Store(old_store(tmp_path))) as store:
        budget = Budget(store, DEFAULT_POLICY.budget)
        with store.reading() as connection:
            (run,) = connection.execute(sa.select(budget_spent)).all()
            assert (run.id, run.job, run.epsilon, run.spent) == (1, "first", "1/2", True)
            assert connection.execute(sa.select(schema_version.c.version)).scalar_one() != 1
            assert connection.execute(sa.select(REVISION.c.version_num)).scalar_one() == migrations.HEAD
        assert History(store).last("cards", "shop") == Sizes(1200, 3400)
        day_after = datetime.datetime(2025, 11, 23, tzinfo=datetime.UTC)
        period = DEFAULT_POLICY.budget.period
        ledger = Ledger(store, tmp_path, "cards", "shop", period, lambda: day_after)
        with pytest.raises(UsageError, match=r"0f\.tags"):
            # The input of then counts: its file is missed.
            ledger.compare(ledger.sketch().finish())
        # Numbers go on where they were: that of a reservation given back before is not used again.
        assert budget.reserve("loans", "mall", "next", None).id == 3


def test_programs_of_version_1_leave_a_newer_store_alone(store: Store) -> None:
    # They compare this number with theirs.
    with store.reading() as connection:
        assert connection.execute(sa.select(schema_version.c.version)).scalar_one() != 1


@pytest.mark.parametrize("revision", ["9999", "something"])
def test_a_newer_store_is_refused(store: Store, store_url: str, revision: str) -> None:
    with store.transaction() as connection:
        connection.execute(REVISION.update().values(version_num=revision))
    error = opened_in_vain(store_url)
    assert error.message == (
        f"The store {store.name} is of version {revision}, and this program knows {migrations.HEAD}."
    )
    assert error.code.name == "bad_format"


def test_an_unknown_old_store_is_refused(tmp_path: Path) -> None:
    url = old_store(tmp_path)
    with closing(sqlite3.connect(tmp_path / "store.sqlite")) as connection, connection:
        connection.execute("UPDATE schema_version SET version = 2")
    assert "is of version 2, and this program knows" in opened_in_vain(url).message


def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path) -> None:
    url = old_store(tmp_path)
    with closing(sqlite3.connect(tmp_path / "store.sqlite")) as connection:
        connection.execute("CREATE TABLE jobs (somebody TEXT)")
        before = "\n".join(connection.iterdump())
        assert "cannot be used" in opened_in_vain(url).message
        assert "\n".join(connection.iterdump()) == before
        connection.execute("DROP TABLE jobs")
    with closing(Store(url)) as store:
        assert History(store).last("cards", "shop") == Sizes(1200, 3400)


def open_at_once(url: str, ready: Any, outcome: Any) -> None:
    """Another process: open the store as soon as all are ready."""
    ready.wait(60)
    with closing(Store(url)) as store:
        outcome.put(History(store).last("cards", "shop"))


def race_to_open(url: str) -> list[Sizes | None]:
    """Let three processes open the store; returns what each of them finds in it."""
    context = multiprocessing.get_context("spawn")
    ready, outcome = context.Barrier(3), context.Queue()
    racers = [context.Process(target=open_at_once, args=(url, ready, outcome)) for _ in range(3)]
    for racer in racers:
        racer.start()
    found = [outcome.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join(60)
    return found


def test_of_processes_that_open_a_store_one_upgrades_it(tmp_path: Path) -> None:
    url = old_store(tmp_path)
    assert race_to_open(url) == [Sizes(1200, 3400)] * 3


def test_of_processes_that_open_a_new_store_one_makes_it(store_url: str) -> None:
    assert race_to_open(store_url) == [None] * 3
    with closing(Store(store_url)) as store, store.reading() as connection:
        assert connection.execute(sa.select(schema_version.c.version)).scalars().all() == [2]


def test_threads_may_open_stores_at_once(tmp_path: Path) -> None:
    failed: list[BaseException] = []

    def open_new(number: int) -> None:
        try:
            Store(f"sqlite:///{tmp_path / f'{number}.sqlite'}").close()
        except UsageError as error:
            failed.append(error)

    threads = [threading.Thread(target=open_new, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    for number in range(4):
        with closing(Store(f"sqlite:///{tmp_path / f'{number}.sqlite'}")) as store:
            assert seen(store) == []


# What can be wrong with a file


def test_the_file_is_private(tmp_path: Path) -> None:
    with closing(Store(f"sqlite:///{tmp_path / 'store.sqlite'}")) as store:
        assert store.path == tmp_path / "store.sqlite"
        assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_a_file_that_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"this is not a database, though it is long enough" * 100)
    error = opened_in_vain(f"sqlite:///{tmp_path / 'store.sqlite'}")
    assert "is damaged, or is no store" in error.message
    assert error.code.name == "bad_format"


def test_a_store_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    error = opened_in_vain(f"sqlite:///{tmp_path / 'nowhere' / 'store.sqlite'}")
    assert "store.sqlite cannot be opened: No such file" in error.message


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://user:secret@host/db",
        "postgresql+asyncpg://user:secret@host/db",
        "postgresql+psycopg://user:secret@host",
        "postgresql+psycopg://user@host:secret/db",
        "my secret",
        "",
    ],
)
def test_other_addresses_are_refused_without_being_shown(url: str) -> None:
    error = opened_in_vain(url)
    assert "names neither an SQLite file nor a PostgreSQL database" in error.message
    assert "secret" not in str(error)


def test_without_psycopg_there_is_no_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    error = opened_in_vain("postgresql+psycopg://user:secret@localhost/db")
    assert error.code.name == "missing_package"
    assert "psycopg" in error.message


def test_no_error_of_a_store_has_a_cause_to_print(tmp_path: Path) -> None:
    # A traceback would show the database's own words, and what a statement was given.
    (tmp_path / "store.sqlite").write_bytes(b"nothing that a database would write" * 100)
    error = opened_in_vain(f"sqlite:///{tmp_path / 'store.sqlite'}")
    assert error.__suppress_context__
    assert error.__cause__ is None
