"""Fixtures of the tests that run the real command."""

from __future__ import annotations

from pathlib import Path

import pytest

from party.synthetic import Pair, clean_csv, make_pair
from tests.e2e.command import Sandbox


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """A fresh sandbox."""
    return Sandbox(tmp_path)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Dirty phone numbers, a few thousand persons: enough to match, little enough to be quick."""
    return make_pair(tmp_path_factory.mktemp("small"), "phone", 3_000, seed=11)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Enough rows for two chunks of each stream, so that a phase lasts and can be hit in the middle."""
    folder = tmp_path_factory.mktemp("large")
    clean_csv(folder / "bank.csv", 80_000, column="mobile")
    clean_csv(folder / "platform.csv", 80_000, column="phone", first_person=40_000)
    return folder / "bank.csv", folder / "platform.csv"
