"""Stores for tests: the same tests run on SQLite and, where its Debian package is installed, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from party.store import Store
from tests.party.blankstore import write_store
from tests.party.postgres import INSTALLED, PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this session."""
    if not INSTALLED:
        pytest.skip("PostgreSQL is not installed (Debian's package postgresql)")
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store that isn't there yet, on either database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.schema()


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An open store on either database."""
    if (path := store_url.removeprefix("sqlite:///")) != store_url:
        write_store(Path(path))
    with closing(Store(store_url)) as store:
        yield store
