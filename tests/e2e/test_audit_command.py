"""An auditor who has the wheel in a fresh environment, two bundles and the README: its commands, run as they are."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from party.evidence import write_bundle, write_pack
from tests.party.evidence_pair import LogPair
from tests.party.jobs import job
from tests.test_packaging import IGNORED, PIP, ROOT, pins
from tests.test_packaging import run as run_checked

NOT_OF_THE_BASE = ("duckdb", "gmpy2", "grpc", "numpy", "pyarrow", "sqlalchemy", "google")


def commands(section: str) -> list[list[str]]:
    """Return the commands in the code blocks of a section of the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    body = text.split(f"\n## {section}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```\n(.*?)^```", body, re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if re.match(r"(pipx|veiljoin) ", line)]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with what base.lock pins, and the wheel; nothing comes from a network."""
    folder = tmp_path_factory.mktemp("auditor")
    shutil.copytree(ROOT, folder / "source", ignore=IGNORED)
    offline = ["--no-index", "--no-deps"]
    run_checked([*PIP, "wheel", *offline, "--no-build-isolation", "-w", str(folder), str(folder / "source")])
    (wheel,) = folder.glob("veiljoin-*.whl")
    place = folder / "env"
    venv.create(place, with_pip=False, symlinks=True)
    (packages,) = place.glob("lib/python*/site-packages")
    for name, version in pins("base").items():
        distribution = importlib.metadata.distribution(name)
        assert distribution.version == version, name
        for file in distribution.files or ():
            # Commands and what lies outside the packages is not needed to import them.
            if ".." not in file.parts and file.suffix != ".pyc":
                target = packages / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(distribution.locate_file(file)), target)
    run_checked([*PIP, "--python", str(place), "install", *offline, str(wheel)])
    return place


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the auditor has both bundles, and the evidence pack of a job."""
    folder = tmp_path_factory.mktemp("bundles")
    pair = LogPair(tmp_path_factory.mktemp("stores"))
    pair.set_policy()
    contract = pair.agree(job())
    pair.run_audience(contract)
    write_bundle(folder / "bank.veiljoin-log", pair.evidence("bank").whole())
    write_bundle(folder / "acme.veiljoin-log", pair.evidence("platform").whole())
    write_pack(folder / "evidence", pair.evidence("bank").pack(contract.job))
    pair.close()
    return folder


def run(environment: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the environment in ``folder``, with nothing of this process's environment but the path."""
    return subprocess.run(
        [environment / "bin" / command[0], *command[1:]],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_environment_has_nothing_but_the_base(environment: Path, bundles: Path) -> None:
    for name in NOT_OF_THE_BASE:
        assert run(environment, bundles, "python", "-c", f"import {name}").returncode != 0, name


def test_commands_of_the_readme_lead_to_the_verdict(environment: Path, bundles: Path) -> None:
    told = commands("For the auditor")
    at = next(number for number, command in enumerate(told) if command[0] == "pipx")
    install, verify = told[at : at + 2]
    # The fixture installed that very file, by other means: pipx would ask a package index.
    assert install[:2] == ["pipx", "install"]
    assert (environment.parent / install[2]).is_file()
    done = run(environment, bundles, *verify)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "Verdict: passed. Nothing that was checked is wrong."


def test_every_command_for_the_auditor_works_in_the_base(environment: Path, bundles: Path) -> None:
    ran = 0
    for command in commands("For the auditor"):
        if command[0] != "veiljoin" or command[2] == "export":
            continue  # of a party, at its node
        done = run(environment, bundles, *command)
        assert done.returncode == 0, done.stdout + done.stderr
        ran += 1
    assert ran >= 3


def test_base_says_what_the_node_needs(environment: Path, bundles: Path) -> None:
    done = run(environment, bundles, "veiljoin", "audit", "show", "--home", "nowhere")
    assert done.returncode == 2
    assert "is not installed" in done.stderr
    assert "pip install 'veiljoin[node,console]'" in done.stderr


def test_reader_that_has_seen_enough_is_no_fault(environment: Path, bundles: Path) -> None:
    command = "veiljoin audit verify bank.veiljoin-log acme.veiljoin-log | head -n 1"
    path = f"{environment / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", command], cwd=bundles, env={"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("Integrity")
    assert done.stderr == ""
