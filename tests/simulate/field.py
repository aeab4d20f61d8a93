"""What simulated schedules of nodes share: an event loop, and a pair of enrolled nodes that is put back each time."""

from __future__ import annotations

import datetime
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from party.workroom import RESULTS, WORK
from tests.party.standing_pair import Pair, Side
from tests.party.test_agent import RULE
from tests.simulate.turns import TurnLoop


class Field:
    """A loop, and a pair of nodes whose stores are as after their enrolment whenever a schedule begins."""

    def __init__(self, folder: Path) -> None:
        self.loop = TurnLoop()
        self._pair = Pair(folder, RULE)
        self._pair.connect()
        self._sides = (self._pair.bank, self._pair.platform)
        for side in self._sides:
            # No certificate is needed to run a process that is none.
            side.node.credentials.material = lambda: None  # type: ignore[method-assign,return-value,assignment]
        self._stores = [_content(side) for side in self._sides]
        self._time: datetime.datetime = self._pair.clock.time

    def fresh(self) -> Pair:
        """Return the pair for the next schedule."""
        self._pair.clock.time = self._time
        for side, content in zip(self._sides, self._stores, strict=True):
            path = _store(side)
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            path.write_bytes(content)
            for name in (WORK, RESULTS):
                shutil.rmtree(side.folder / name, ignore_errors=True)
        return self._pair

    def close(self) -> None:
        """Close everything."""
        self._pair.close()
        self.loop.close()


def _store(side: Side) -> Path:
    path = side.node.home.store.path
    if path is None:
        raise RuntimeError("simulated nodes have their store in a file")
    return path


def _content(side: Side) -> bytes:
    """Return the file of a store, with all that was written."""
    with closing(sqlite3.connect(_store(side))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return _store(side).read_bytes()


@contextmanager
def field_in(folder: Path) -> Iterator[Field]:
    """Give a field in ``folder``."""
    field = Field(folder)
    try:
        yield field
    finally:
        field.close()
