"""The homes and processes of a bank's node and its partners', for a benchmark: made, enrolled, started, ended.

All of it by the product's own commands, but for the two persons of the bank, who are played here.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Final

from party.catalogue import Catalogue
from party.identifiers import parse_form
from party.node import Node
from party.nodefile import BANK
from party.synthetic import clean_csv
from psi.errors import VeiljoinError

# Two persons of the bank.
DRAFTER: Final = "ann"
APPROVER: Final = "bob"
# The column of every file with the identifiers.
COLUMN: Final = "id"
_POLL: Final = 0.2
_RUN: Final = ("--log-format", "json", "--grace", "0")
# For one step: of an enrolment, or of what is waited for.
_PATIENCE: Final = 600.0
# For a node that was told to stop at once.
_STOPPING: Final = 60.0
_POLICY: Final = "[budget]\nruns = 100000\n"
_RULE: Final = '[[standing]]\nname = "benchmark"\nkinds = ["audience"]\ndatasets = ["users"]\n'


class House:
    """The homes of all nodes, their data and their processes, in ``folder``."""

    def __init__(self, folder: Path, rows: int) -> None:
        self._folder = folder
        self._rows = rows
        self._processes: dict[Path, subprocess.Popen[bytes]] = {}
        self.bank = folder / "bank"

    def home(self, partner: str) -> Path:
        """The home of a partner's node."""
        return self._folder / partner

    def open_bank(self) -> None:
        """Make the bank's home."""
        listen, self._enrol = _free_ports()
        ports = ("--listen", f"127.0.0.1:{listen}", "--enrol-listen", f"127.0.0.1:{self._enrol}")
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        with _start("server", "init", "--home", self.bank, *ports, **silent) as process:
            _, errors = process.communicate()
        if process.returncode != 0:
            raise VeiljoinError(f"The bank's home was not made: {_last_line(errors)}")
        self._furnish(self.bank, "customers", 0, _POLICY)

    def _furnish(self, home: Path, dataset: str, first_person: int, policy: str) -> None:
        (home / "policy.toml").write_text(policy, encoding="utf-8")
        data = self._folder / f"{home.name}.csv"
        clean_csv(data, self._rows, first_person=first_person, column=COLUMN)
        with Node.open(home) as node:
            catalogue = Catalogue(node.home.store, node.clock)
            catalogue.add(dataset, data, COLUMN, parse_form("phone"), self._rows, DRAFTER)

    @contextmanager
    def serving(self, role: str, home: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a node until the block ends; returns its process."""
        with open(self._folder / f"{home.name}.log", "wb") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": log}
            process = _start(role, "run", "--home", home, *_RUN, *options, **streams)
        self._processes[home] = process
        try:
            yield process
        finally:
            del self._processes[home]
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOPPING)
            process.kill()
            process.wait()

    def enrol(self, partners: Sequence[str]) -> None:
        """Let all partners in, with the bank's node running."""
        self.wait(lambda: _listens(self._enrol), "The bank's node does not listen.")
        with Node.open(self.bank, role=BANK) as node, ExitStack() as stack:
            enrolments, joining = node.enrolments(), []
            for partner in partners:
                token = enrolments.invite(partner, DRAFTER, node.ports.enrol_address).token()
                joining.append(stack.enter_context(_joining(self.home(partner), token)))
            for partner, process in zip(partners, joining, strict=True):
                enrolments.confirm(partner, _fingerprint(partner, process), APPROVER)
            for partner, process in zip(partners, joining, strict=True):
                if process.wait() != 0:
                    raise VeiljoinError(f"{partner} did not join: {_last_line(_pipe(process.stderr).read())}")
        for partner in partners:
            self._furnish(self.home(partner), "users", self._rows // 2, _POLICY + _RULE)

    def wait(self, until: Callable[[], bool], otherwise: str) -> None:
        """Wait until something is so. Raises ``VeiljoinError``: with ``otherwise`` in the end, or if a node ended."""
        end = time.monotonic() + _PATIENCE
        while not until():
            self._check()
            if time.monotonic() > end:
                raise VeiljoinError(otherwise)
            time.sleep(_POLL)

    def processor_seconds(self) -> float | None:
        """Return the processor time of all nodes and of the jobs that have ended; ``None`` where it is not told."""
        try:
            return sum(_processor_seconds(process.pid) for process in self._processes.values())
        except OSError:
            return None

    def _check(self) -> None:
        for home, process in self._processes.items():
            if process.poll() is not None:
                log = (self._folder / f"{home.name}.log").read_bytes()
                raise VeiljoinError(f"The node {home.name} ended: {_last_line(log)}")


def _start(*arguments: str | Path, **streams: Any) -> subprocess.Popen[bytes]:
    """Start a command of this very program, wherever its packages lie."""
    return subprocess.Popen(  # noqa: S603 - nothing in it comes from elsewhere
        [sys.executable, "-m", "cli.main", *map(str, arguments)],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path)),
        start_new_session=True,  # Ctrl-C is for this process, which then ends its nodes
        **streams,
    )


@contextmanager
def _joining(home: Path, token: str) -> Iterator[subprocess.Popen[bytes]]:
    """Let a partner's node ask to join, with its token."""
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with _start(
        "client", "join", "-", "--home", home, "--wait", str(_PATIENCE), "--json", **streams
    ) as process:
        try:
            _pipe(process.stdin).write(token.encode() + b"\n")
            _pipe(process.stdin).close()
            yield process
        finally:
            process.kill()


def _fingerprint(partner: str, process: subprocess.Popen[bytes]) -> str:
    """Return what a node that joins shows its person."""
    line = _pipe(process.stdout).readline()
    if not line:
        raise VeiljoinError(f"{partner} did not join: {_last_line(_pipe(process.stderr).read())}")
    return str(json.loads(line)["fingerprint"])


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ValueError("the process was started without this pipe")
    return stream


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").splitlines()
    return lines[-1] if lines else "it said nothing"


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False


def _processor_seconds(process: int) -> float:
    """Return the processor time of a process and of those below it that have ended, by ``proc(5)``."""
    # The second field is the program's name in brackets, which may hold blanks.
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def peak_memory_mb(process: int) -> float | None:
    """Return the most memory that a process held so far, in MB of 10^6 bytes; ``None`` if it is not told."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kilobytes = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    return None if kilobytes is None else round(int(kilobytes) * 1024 / 1e6, 1)
