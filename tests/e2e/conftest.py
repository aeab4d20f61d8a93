"""Fixtures of the tests that run the real command."""

from __future__ import annotations

from pathlib import Path

import pytest

from party.synthetic import Pair, make_pair
from tests.e2e.command import Sandbox


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """A fresh sandbox."""
    return Sandbox(tmp_path)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Dirty phone numbers, a few thousand persons: enough to match, little enough to be quick."""
    return make_pair(tmp_path_factory.mktemp("small"), "phone", 3_000, seed=11)
