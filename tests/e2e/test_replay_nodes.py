"""Two real nodes run a job that both keep for their auditors; each side's replay comes out equal with its own log."""

from __future__ import annotations

import json
import time

import pytest

from party.seedkeeping import read_auditor_key
from party.synthetic import Pair
from tests.e2e.command import NOTICED, Sandbox
from tests.e2e.standing import Standing

SIDES = ("bank", "platform")


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, small: Pair) -> Standing:
    """Two enrolled nodes with a dataset and an auditor's key each."""
    nodes = Standing(Sandbox(tmp_path_factory.mktemp("replay")))
    with nodes.serving(partner=False):
        nodes.enrol()
    nodes.add(nodes.bank, "customers", small.bank, "mobile")
    nodes.add(nodes.home(), "users", small.platform, "phone")
    for side, home in zip(SIDES, (nodes.bank, nodes.home()), strict=True):
        key = nodes.sandbox.folder / f"{side}.pem"
        nodes.command("audit", "new-key", key)
        public = read_auditor_key(key).public.hex()
        (home / "policy.toml").write_text(f'[audit]\nkey = "{public}"\n')
    return nodes


def test_what_both_nodes_kept_is_replayed_and_equal(standing: Standing, small: Pair) -> None:
    homes, files = (standing.bank, standing.home()), (small.bank, small.platform)
    with standing.serving():
        job = standing.draft(standing.sandbox.job(keep_seed="both"))
        assert standing.wait(standing.home(), job, "proposed", "refused") == "proposed"
        standing.command("job", "approve", job, "--home", standing.home(), "--as", "carol")
        for home in homes:
            assert standing.wait(home, job, "done", "failed") == "done"
        end = time.monotonic() + NOTICED
        while not all((home / "kept" / job / "1").is_dir() for home in homes):
            assert time.monotonic() < end
            time.sleep(0.1)
    for side, home, file in zip(SIDES, homes, files, strict=True):
        key = standing.sandbox.folder / f"{side}.pem"
        replay = ("audit", "replay", job, "--input", file, "--key", key, "--home", home, "--json")
        (run,) = json.loads(standing.command(*replay))["runs"]
        assert (run["verdict"], run["side"]) == ("equal", side)
        assert {each["outcome"] for each in run["streams"]} == {"equal"}
        assert {each["sent"] for each in run["streams"]} == {True, False}
