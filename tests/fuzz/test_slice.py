"""A slice of `make fuzz` for every run of the tests: each target, some inputs, always the same ones."""

from __future__ import annotations

import gc
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.all import TARGETS, build
from tests.fuzz.running import Run, by_chance
from tests.fuzz.target import Target

ROOT = Path(__file__).resolve().parents[2]
each_target = pytest.mark.parametrize("name", TARGETS)


@each_target
# What a certificate of a partner makes the library say; it is refused.
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_a_target_by_chance(name: str) -> None:
    target = build(name)
    assert target.name == name
    run = Run(target, target.quick)
    by_chance(run, seed=7)
    # What a target leaves behind, such as an engine's pipes, is told here and not in a test of somebody else.
    del target
    gc.collect()
    assert not run.faults, "\n\n".join(fault.text for fault in run.faults.values())
    assert run.executed == run.target.quick
    assert 0 < run.accepted < run.executed, "every input was refused, or none: this tests nothing"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command behind `make fuzz`."""
    surroundings = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'proto'}"}
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *arguments],
        cwd=ROOT,
        env=surroundings,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command() -> None:
    """Guided by coverage where the fuzzer is installed, and in one sentence where it is not."""
    done = command("token", "--runs", "400")
    if importlib.util.find_spec("atheris") is None:
        assert done.returncode == 2
        assert "The fuzzer atheris is not installed here." in done.stderr
        done = command("token", "--runs", "400", "--engine", "plain")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[1].split()[0:3:2] == ["token", "400"]


def test_a_target_that_does_not_exist() -> None:
    done = command("tokens")
    assert done.returncode == 2
    assert done.stderr.startswith("There is no target 'tokens'. Hint: ")


def test_a_fault_is_kept_once_with_its_shortest_input() -> None:
    def feed(data: bytes) -> None:
        if len(data) > 2:
            raise KeyError(len(data))

    run = Run(Target("made up", feed, [b"abcdefgh"], 16), 200)
    by_chance(run, seed=1)
    (fault,) = run.faults.values()
    assert fault.times > 10
    assert len(fault.data) == 3
    assert not run.sound
