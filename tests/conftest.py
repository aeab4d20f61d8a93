"""Settings that every test shares."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import settings

# Machines are shared and slow at times: an example has no deadline, a test has pytest's timeout.
settings.register_profile("veiljoin", deadline=None, print_blob=True)
settings.load_profile("veiljoin")

# Folders whose files take longest, those first.
_LONG_FOLDERS: Final = ("faults", "e2e", "simulate", "fuzz", "party", "federated")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several files run at once, begin with those that take longest, so that none is left at the end."""
    if hasattr(config, "workerinput"):
        allowed = dict[str, float]()
        for item in items:
            mark = item.get_closest_marker("timeout")
            path = str(item.path)
            allowed[path] = max(allowed.get(path, 0.0), mark.args[0] if mark else 0.0)
        # The order within a file stays.
        items.sort(key=lambda item: (-allowed[str(item.path)], _rank(item)))


def _rank(item: pytest.Item) -> int:
    folder = item.path.parent.name
    return _LONG_FOLDERS.index(folder) if folder in _LONG_FOLDERS else len(_LONG_FOLDERS)
