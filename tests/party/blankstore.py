"""An empty store in an SQLite file, copied: to make one takes longer than most tests do with it."""

from __future__ import annotations

import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path

from party.store import Store


def write_store(path: Path) -> None:
    """Write an empty store of the present version to ``path``, with its mode."""
    path.touch(mode=0o600)
    path.write_bytes(_made())


@cache
def _made() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        with closing(Store(f"sqlite:///{path}")):
            pass
        # Closed, it is this one file.
        return path.read_bytes()
