"""Installed size of the base, of the node and with the console, against their bars; exit status 1 when one is over.

How it counts: each lock goes into a new virtual environment that holds no pip, and every regular file of
that environment counts with its length, the compiled .pyc files and the libraries outside site-packages
included. The interpreter is a link and does not count. 1 MB is 1,000,000 bytes. The project's own code is not
installed: it is well below 1 MB.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BARS = {"base": 80, "node": 500, "console": 500}  # MB, from the project's design
MEGABYTE = 1_000_000
LARGEST = 5


def install(lock: Path, environment: Path) -> None:
    """Make ``environment`` and install ``lock`` into it. Raises ``CalledProcessError`` when pip fails."""
    venv.create(environment, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python")]
    quiet = ["-qq", "--disable-pip-version-check", "--no-input"]
    subprocess.run([*pip, *quiet, "install", "--require-hashes", "-r", str(lock)], check=True)


def size(folder: Path) -> int:
    """Bytes of all regular files below ``folder``; links count nothing."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def largest(environment: Path) -> str:
    """The biggest packages of ``environment`` as one phrase."""
    (packages,) = environment.glob("lib/python*/site-packages")
    sizes = sorted(((size(path), path.name) for path in packages.iterdir() if path.is_dir()), reverse=True)
    return ", ".join(f"{name} {bytes_ / MEGABYTE:.0f}" for bytes_, name in sizes[:LARGEST])


def main() -> int:
    """Measure every set that has a bar; returns the exit status."""
    over = 0
    for name, bar in BARS.items():
        with tempfile.TemporaryDirectory() as folder:
            environment = Path(folder) / name
            install(ROOT / "requirements" / f"{name}.lock", environment)
            megabytes = size(environment) / MEGABYTE
            verdict = "within" if megabytes <= bar else "OVER"
            print(
                f"{name}: {megabytes:.0f} MB, {verdict} its bar of {bar} MB (largest: {largest(environment)})"
            )
            over += megabytes > bar
    return 1 if over else 0


if __name__ == "__main__":
    raise SystemExit(main())
