"""A slice of the trials, for every run of the tests: one of most kinds of fault. `make faults` runs any number.

The trials are run by their own command, in a process of their own, because they make chunks small.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Final

import pytest

from tests.e2e.command import ROOT, needs_proc
from tests.faults.schedule import schedule_of

# What each is about; `python -m tests.faults --list --seed N` has the whole schedule.
SEEDS: Final = {
    123: "kill bank job",
    125: "kill both both nodes",
    294: "fsync platform job",
    39: "link both rst",
    318: "spoil both corrupt",
    55: "disk_full platform home",
    166: "cancel platform person",
    176: "restart bank node",
}
Told = dict[str, Any]
# All trials belong to the first test that asks for one.
pytestmark = [needs_proc, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Told]:
    """What came of each seed."""
    folder = tmp_path_factory.mktemp("faults")
    seeds = [part for seed in SEEDS for part in ("--seed", str(seed))]
    file = folder / "trials"
    command = [sys.executable, "-m", "tests.faults", *seeds, "--folder", str(folder)]
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "proto")))
    finished = subprocess.run(
        [*command, "--json", str(file)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        pytest.fail(finished.stdout)
    told = [json.loads(line) for line in lines]
    return {trial["seed"]: trial for trial in told}


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_doubled_or_half_done(trials: dict[int, Told], seed: int) -> None:
    assert str(schedule_of(seed).faults[0]).startswith(SEEDS[seed])
    assert trials[seed]["problems"] == [], trials[seed]["schedule"]
    assert set(trials[seed]["states"].values()) <= {"done", "cancelled"}
    # strace and a disk of its own are not everywhere; the other faults can always be done.
    (fault,) = trials[seed]["faults"]
    assert fault[-1] == "done" or fault[0] in ("fsync", "disk_full")
