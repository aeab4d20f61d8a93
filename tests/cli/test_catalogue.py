"""``veiljoin dataset add`` keeps what its check found, and ``remove`` forgets a dataset that nothing uses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.main import main
from party.datasethealth import known
from party.nodefile import write_node
from party.store import Store
from tests.party.standing_pair import Pair


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two nodes; the bank's home can be opened by commands."""
    pair = Pair(tmp_path)
    write_node(pair.bank.folder, pair.bank.node.file)
    yield pair
    pair.close()


def test_a_dataset_is_added_with_its_health_and_removed(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, file = str(pair.bank.folder), tmp_path / "more.csv"
    file.write_text("mobile\n13800138000\n13800138001\n13800138001\n12\n")
    options = ("--column", "mobile", "--identifier", "phone", "--home", home, "--as", "ann")
    assert main(["dataset", "add", "more", str(file), *options]) == 0
    store = Store(f"sqlite:///{pair.bank.folder / 'store.sqlite'}")
    health = known(store)["more"].health
    assert (health.rows, health.persons, health.duplicates, health.usable) == (4, 2, 1, 3)
    capsys.readouterr()
    assert main(["dataset", "remove", "more", "--home", home, "--as", "ann", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"event": "removed", "name": "more"}
    assert known(store) == {}
    store.close()
    assert file.exists()
    assert main(["dataset", "remove", "more", "--home", home, "--as", "ann"]) == 2
    assert "There is no dataset 'more'" in capsys.readouterr().err


def test_a_dataset_in_use_stays(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.connect()
    record = pair.draft(untried=True)
    assert main(["dataset", "remove", "customers", "--home", str(pair.bank.folder), "--as", "ann"]) == 2
    assert f"used by job {record.id}" in capsys.readouterr().err
