"""``make fuzz``: run the fuzz targets, each in a process of its own, and print what was executed and found.

A run that is stopped tells what it has done so far. Exit status: 0 nothing found, 1 something was, 2 a setting is
wrong or the fuzzer is not installed.
"""

from __future__ import annotations

import argparse
import atexit
import base64
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from tests.fuzz.all import TARGETS, build
from tests.fuzz.running import HEADER, MAX_GROWTH_MB, Run, by_chance, by_coverage
from tests.fuzz.target import Target, run_one

# What the guide looks at: our own code, and nothing of the libraries.
_OURS = ["client", "federated", "party", "psi", "veiljoin"]
# Modules that compare numpy arrays: atheris 3.0 keeps each one that it sees compared, some 500 bytes an input.
_ARRAYS = ["psi.engines", "psi.hash_to_curve", "psi.memory", "psi.points", "psi.results", "psi.seed"]
_ARRAYS += ["federated.attribution", "federated.memory", "federated.packing", "federated.totals"]


def made(name: str, *, guided: bool) -> Target:
    """Return the target ``name``; with ``guided`` our modules are instrumented as they are imported."""
    if not guided:
        return build(name)
    import atheris

    with atheris.instrument_imports(include=_OURS, exclude=_ARRAYS):
        return build(name)


def tell(run: Run) -> int:
    """Print the row of a run and its faults; returns the exit status."""
    print(run.row(), flush=True)
    for fault in run.faults.values():
        print(f"\n{run.target.name}: {fault.where}, {fault.times:,} times\n{fault.text}")
        print(
            f"again: python -m tests.fuzz {run.target.name} --input {base64.b64encode(fault.data).decode()}\n"
        )
    if run.grown > MAX_GROWTH_MB:
        print(
            f"{run.target.name}: the process grew by {run.grown:.0f} MB; {MAX_GROWTH_MB:.0f} are the bound. "
            "What libFuzzer keeps is in it: `--engine plain` shows what is ours."
        )
    sys.stdout.flush()
    return 0 if run.sound else 1


def finish(run: Run) -> NoReturn:
    """Tell, tidy up and end the process at once: libFuzzer would go on."""
    status = tell(run)
    atexit._run_exitfuncs()
    os._exit(status)


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="which ones; all, if none is named")
    parser.add_argument("--runs", type=int, default=100_000, help="inputs of each target (100,000)")
    parser.add_argument("--seed", type=int, default=1, help="where chance begins (1)")
    parser.add_argument(
        "--engine", choices=("atheris", "plain"), default="atheris", help="guided by coverage, or not"
    )
    parser.add_argument(
        "--input", help="feed this one input (base64) to the one target, and show what comes out"
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    guided = asked.engine == "atheris" and asked.input is None
    if guided and importlib.util.find_spec("atheris") is None:
        print("The fuzzer atheris is not installed here. Hint: on Linux on x86-64 `make install-dev` installs it; "
              "elsewhere add ENGINE=plain.", file=sys.stderr)  # fmt: skip
        return 2
    if asked.inside:
        return _inside(asked.targets[0], asked.runs, asked.seed, guided=guided)
    wrong = [name for name in asked.targets if name not in TARGETS]
    if wrong:
        print(f"There is no target {wrong[0]!r}. Hint: {', '.join(TARGETS)}.", file=sys.stderr)
        return 2
    if asked.input is not None:
        print("accepted" if run_one(build(asked.targets[0]), base64.b64decode(asked.input)) else "refused")
        return 0
    return _each(asked.targets or list(TARGETS), asked)


def _each(chosen: list[str], asked: argparse.Namespace) -> int:
    print(HEADER, flush=True)
    status = 0
    for name in chosen:
        command = [sys.executable, "-m", "tests.fuzz", name, "--inside", f"--runs={asked.runs}"]
        command += [f"--seed={asked.seed}", f"--engine={asked.engine}"]
        with tempfile.TemporaryFile("w+") as noise:
            try:
                ended = subprocess.run(command, stderr=noise, check=False)
            except KeyboardInterrupt:
                return 130
            if ended.returncode not in (0, 1):
                noise.seek(0)
                print(f"{name}: the process ended with status {ended.returncode}.\n{noise.read()[-3000:]}")
        status = status or (0 if ended.returncode == 0 else 1)
    return status


def _inside(name: str, runs: int, seed: int, *, guided: bool) -> int:
    run = Run(made(name, guided=guided), runs)

    def stop(*_: object) -> NoReturn:
        run.close()
        finish(run)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    if not guided:
        by_chance(run, seed)
        return tell(run)
    corpus = tempfile.mkdtemp(prefix="veiljoin-fuzz-")
    atexit.register(shutil.rmtree, corpus, ignore_errors=True)
    by_coverage(run, seed, Path(corpus), finish)
    return 1


if __name__ == "__main__":
    sys.exit(main())
