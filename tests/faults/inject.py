"""Carries out the faults of a schedule, each in a thread of its own once its moment has come."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from party.jobrecords import person
from party.jobs import Jobs
from party.node import Node
from psi.errors import UsageError
from tests.e2e.standing import PARTNER
from tests.faults.keeper import Keeper, end
from tests.faults.proxy import Proxy
from tests.faults.schedule import SIDES, Fault, Moment
from tests.faults.world import Site, World

# How long a fault waits for its moment; what never comes is counted as missed.
_COMES: Final = 60.0
_LOOK: Final = 0.005
_WORKERS: Final = 3.0
_BALLAST: Final = "ballast"
# A bank looks every two seconds whether a partner may still call.
_CUT_OFF: Final = 6.0


class Missed(Exception):
    """The fault could not be done: its moment never came, or what it is about is not there."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """A job's process at the beginning of a phase."""

    pid: int
    side: str
    phase: str


class Injector:
    """What is needed to make a mess of one job between two nodes."""

    def __init__(
        self, world: World, site: Site, proxy: Proxy, keepers: dict[str, Keeper], ended: Callable[[], bool]
    ) -> None:
        self._world, self._site, self._proxy, self._keepers = world, site, proxy, keepers
        self._ended = ended
        self._threads: list[threading.Thread] = []
        self.job = ""
        # What became of each fault, in order.
        self.done: list[str] = []
        self.errors: list[Exception] = []

    # -- moments

    def prepare(self, faults: tuple[Fault, ...]) -> None:
        """Set the gates of the faults at whose moments a process has to wait."""
        for fault in faults:
            if fault.moment.held:
                self._gate(fault.moment).touch()

    def run(self, faults: tuple[Fault, ...]) -> None:
        """Wait for each fault's moment and begin it; faults may overlap. Returns once all of them are over."""
        for fault in faults:
            try:
                self._await(fault.moment)
            except Missed:
                self._open(fault.moment)
                self.done.append("missed")
                continue
            begun = threading.Event()
            number = len(self.done)
            self.done.append("begun")
            thread = threading.Thread(target=self._carry_out, args=(fault, number, begun))
            self._threads.append(thread)
            thread.start()
            begun.wait(60)
            self._open(fault.moment)
        for thread in self._threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def met(self) -> list[Meeting]:
        """Every beginning of a phase so far."""
        try:
            lines = (self._site.faults / "trace").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [Meeting(int(pid), side, phase) for pid, side, phase in (line.split(" ") for line in lines)]

    def _await(self, moment: Moment) -> None:
        deadline = time.monotonic() + _COMES
        while moment.phase != "drafted" and not self._came(moment):
            if time.monotonic() > deadline or self._ended():
                raise Missed
            time.sleep(_LOOK)
        time.sleep(moment.delay)

    def _came(self, moment: Moment) -> bool:
        for meeting in reversed(self.met()):
            if (meeting.side, meeting.phase) == (moment.side, moment.phase):
                # Who is held is alive and at this gate; else any time after the phase began will do.
                return not moment.held or _alive(meeting.pid)
        return False

    def _gate(self, moment: Moment) -> Path:
        return self._site.faults / f"gate.{moment.side}.{moment.phase}"

    def _open(self, moment: Moment) -> None:
        if moment.held:
            self._gate(moment).unlink(missing_ok=True)

    # -- faults

    def _carry_out(self, fault: Fault, number: int, begun: threading.Event) -> None:
        try:
            with self._begun(fault):
                begun.set()
                time.sleep(fault.seconds if fault.kind not in ("kill", "restart", "fsync") else 0)
            self.done[number] = "done"
        except Missed:
            self.done[number] = "missed"
        except Exception as error:  # noqa: BLE001 - not swallowed: run() raises it
            self.errors.append(error)
        finally:
            begun.set()

    def _begun(self, fault: Fault) -> contextlib.AbstractContextManager[None]:
        work: dict[str, Callable[[Fault], contextlib.AbstractContextManager[None]]] = {
            "kill": self._kill,
            "fsync": self._at_a_flush,
            "link": self._link,
            "spoil": self._spoil,
            "stop": self._stop,
            "restart": self._restart,
            "disk_full": self._fill,
            "disk_error": self._fail_flushes,
            "locked": self._lock_store,
            "database": self._stop_database,
            "clock": self._turn_clock,
            "certificate": self._outlive,
            "cancel": self._cancel,
            "revoke": self._revoke,
        }
        return work[fault.kind](fault)

    def _process(self, side: str) -> int:
        """The process of the job at ``side`` that runs."""
        for meeting in reversed(self.met()):
            if meeting.side == side and _alive(meeting.pid):
                return meeting.pid
        raise Missed

    def _worker(self, pid: int) -> int:
        """A process that masks or encrypts for the job's process ``pid``; they come with the first large batch."""
        deadline = time.monotonic() + _WORKERS
        while not (workers := [child for child in _children(pid) if b".worker" in _command(child)]):
            if time.monotonic() > deadline or not _alive(pid):
                raise Missed
            time.sleep(_LOOK)
        return workers[-1]

    @contextmanager
    def _kill(self, fault: Fault) -> Iterator[None]:
        sides = SIDES if fault.side == "both" else (fault.side,)
        pids = []
        match fault.how:
            case "job" | "both jobs":
                pids = [self._process(side) for side in sides]
            case "worker":
                pids = [self._worker(self._process(fault.side))]
            case _:
                for side in sides:
                    self._keepers[side].kill(fault.seconds, everything=fault.how == "machine")
        for pid in pids:
            end(pid)
        yield
        time.sleep(0 if pids else fault.seconds)

    @contextmanager
    def _at_a_flush(self, fault: Fault) -> Iterator[None]:
        pid = self._process(fault.side) if fault.how == "job" else self._keepers[fault.side].pid
        if pid is None:
            raise Missed
        with traced(pid, f"fsync,fdatasync:signal=KILL:when={fault.number}"):
            yield
            deadline = time.monotonic() + fault.seconds
            while _alive(pid) and time.monotonic() < deadline:
                time.sleep(0.05)
        if time.monotonic() >= deadline:
            raise Missed  # it did not flush so often

    @contextmanager
    def _link(self, fault: Fault) -> Iterator[None]:
        match fault.how:
            case "fin" | "rst" | "half":
                self._proxy.cut(fault.how, newest=bool(fault.number))
            case "hang":
                self._proxy.hang()
            case "refuse":
                self._proxy.refuse()
            case "delay":
                self._proxy.slow(delay=0.2)
            case "slow":
                self._proxy.slow(rate=1.0 if fault.number else 20_000.0)
        try:
            yield
        finally:
            self._proxy.heal()

    @contextmanager
    def _spoil(self, fault: Fault) -> Iterator[None]:
        self._proxy.spoil(fault.how, newest=bool(fault.number))
        yield

    @contextmanager
    def _stop(self, fault: Fault) -> Iterator[None]:
        pid = self._process(fault.side) if fault.how == "job" else self._keepers[fault.side].pid
        if pid is None:
            raise Missed
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    @contextmanager
    def _restart(self, fault: Fault) -> Iterator[None]:
        yield  # a process at a gate could not end
        sides = SIDES if fault.side == "both" else (fault.side,)
        for side in sides:
            self._keepers[side].restart(fault.seconds)

    @contextmanager
    def _fill(self, fault: Fault) -> Iterator[None]:
        home = self._site.of(fault.side)
        if not home.is_mount():
            raise Missed  # never the machine's own disk
        ballast = home / _BALLAST
        try:
            with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
                for size in (1 << 20, 4096):
                    with contextlib.suppress(OSError):
                        while True:
                            file.write(b"\0" * size)
            yield
        finally:
            ballast.unlink(missing_ok=True)

    @contextmanager
    def _fail_flushes(self, fault: Fault) -> Iterator[None]:
        pid = self._process(fault.side) if fault.how == "job" else self._keepers[fault.side].pid
        if pid is None:
            raise Missed
        with traced(pid, "fsync,fdatasync:error=EIO"):
            yield

    @contextmanager
    def _lock_store(self, fault: Fault) -> Iterator[None]:
        other = sqlite3.connect(self._site.of(fault.side) / "store.sqlite", timeout=30, isolation_level=None)
        with contextlib.closing(other):
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    @contextmanager
    def _stop_database(self, fault: Fault) -> Iterator[None]:
        server = self._world.postgres
        if server is None:
            raise Missed
        server.stop(signal.SIGINT if fault.how == "fast" else signal.SIGQUIT)
        try:
            yield
        finally:
            server.start()

    @contextmanager
    def _turn_clock(self, fault: Fault) -> Iterator[None]:
        clock = self._site.faults / f"clock.{fault.side}"
        clock.write_text(str(fault.number))
        try:
            yield
        finally:
            clock.unlink()

    @contextmanager
    def _outlive(self, fault: Fault) -> Iterator[None]:
        """The job waits at its gate until the node has its next certificate, or until the first one has run out."""
        deadline = time.monotonic() + self._site.certificate_seconds
        while not self._keepers["platform"].event("certificate"):
            if time.monotonic() > deadline:
                raise AssertionError("the certificate was not renewed in time")
            time.sleep(0.1)
        if fault.how == "outlived":
            time.sleep(max(0.0, self._site.certificate_ends - time.time()) + 3)
        yield

    @contextmanager
    def _cancel(self, fault: Fault) -> Iterator[None]:
        if not self._cancelled(fault.side):
            raise Missed
        yield

    @contextmanager
    def _revoke(self, fault: Fault) -> Iterator[None]:
        yield
        bank = self._site.bank
        self._site.sandbox.run("server", "revoke", PARTNER, "--home", bank, "--as", "bob").require_done()
        # Neither hears of the other any more, so that a person has to end what is left on each side.
        time.sleep(_CUT_OFF)
        for side in self._keepers:
            self._cancelled(side)

    def _cancelled(self, side: str) -> bool:
        """Let a person cancel the job; returns whether it could be done: it may have ended, or the store be away.

        As the command does it, but without a process of its own, whose start would outlast most moments.
        """
        try:
            with Node.open(self._site.of(side)) as node:
                Jobs(node.home.store, node.file.role).cancel(self.job, person("eve"))
        except UsageError:
            return False
        return True


@contextmanager
def traced(pid: int, injection: str) -> Iterator[None]:
    """Let strace inject into the system calls of a process and its children, from when this returns."""
    calls = injection.partition(":")[0]
    command = [
        "strace",
        "-f",
        "-p",
        str(pid),
        "-e",
        f"trace={calls}",
        f"--inject={injection}",
        "-o",
        "/dev/null",
    ]
    if shutil.which("strace") is None:
        raise Missed
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert tracer.stderr is not None
        line = tracer.stderr.readline()
        if "attached" not in line:
            raise Missed  # the process has ended
        # Nobody reads on, and strace must not wait for that.
        threading.Thread(target=tracer.stderr.read, daemon=True).start()
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        try:
            tracer.wait(10)
        except subprocess.TimeoutExpired:
            tracer.kill()
            tracer.wait()


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if (
                entry.name.isdigit()
                and int((entry / "stat").read_text().rpartition(") ")[2].split()[1]) == pid
            ):
                found.append(int(entry.name))
    return sorted(found)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
