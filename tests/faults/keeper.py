"""Keeps one node running as a service manager does: what dies is started again, and what it said is kept."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

from tests.e2e.command import Running
from tests.faults.world import Site

# How long a node that was told to end may take.
_STOPPED: Final = 60.0
_PAUSE: Final = 0.3


@dataclass
class Said:
    """All that the processes of a node printed."""

    output: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Keeper:
    """The node of ``side``; a context manager that leaves no process of it behind."""

    def __init__(self, site: Site, side: str) -> None:
        self._site, self.side = site, side
        self._undo = contextlib.ExitStack()
        self._lock = threading.RLock()
        self._all: list[Running] = []
        self._running: Running | None = None
        self._paused_until: float | None = None
        self.said = Said()
        # Exit statuses of processes that ended by themselves, and of those that were told to end.
        self.fell: list[int] = []
        self.stopped: list[int] = []

    def __enter__(self) -> Keeper:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    @property
    def pid(self) -> int | None:
        """The node's process id, if it runs."""
        with self._lock:
            running = self._running
            return None if running is None or running.process.poll() is not None else running.process.pid

    def start(self) -> None:
        """Start the node."""
        with self._lock:
            self._running = self._undo.enter_context(self._site.node(self.side))
            self._all.append(self._running)
            self._paused_until = None

    def ready(self) -> None:
        """Wait until the node is there for the other one."""
        wanted = "listening" if self.side == "bank" else "online"
        assert self._running is not None
        self._running.wait_for(lambda event: event["event"] == wanted)

    def kill(self, pause: float, *, everything: bool = False) -> None:
        """Kill the node, with the processes of its jobs if ``everything``; it is back after ``pause`` seconds."""
        with self._lock:
            assert self._running is not None
            pids = self._running.processes() if everything else [self._running.process.pid]
            self._paused_until = time.monotonic() + pause
            for pid in pids:
                end(pid)

    def restart(self, pause: float) -> None:
        """Tell the node to end, wait until it has, and start it again after ``pause`` seconds."""
        with self._lock:
            self.stop()
            time.sleep(pause)
            self.start()

    def stop(self) -> None:
        """Tell the node to end and wait until it has."""
        with self._lock:
            running, self._running = self._running, None
            assert running is not None
            if running.process.poll() is None:
                # Before it has said anything it has not yet learnt how to end in an orderly way.
                running.wait_for(lambda event: True)
                running.process.terminate()
                self._note(running)
                self.stopped.append(running.process.returncode)
            else:
                self._note(running)
                self.fell.append(running.process.returncode)

    def tend(self) -> None:
        """Start the node again if it has died."""
        if not self._lock.acquire(blocking=False):
            return  # it is being stopped or started
        try:
            running = self._running
            if running is None or running.process.poll() is None:
                return
            if self._paused_until is None:
                self._paused_until = time.monotonic() + _PAUSE
            if time.monotonic() >= self._paused_until:
                self._note(running)
                self.fell.append(running.process.returncode)
                self.start()
        finally:
            self._lock.release()

    def event(self, name: str) -> bool:
        """Whether the node that runs has told of an event ``name``."""
        running = self._running
        if running is None:
            return False
        try:
            running.wait_for(lambda event: event["event"] == name, 0.0)
        except AssertionError:
            return False
        return True

    def left(self) -> list[int]:
        """Processes of this node and its jobs that still run."""
        return [pid for running in self._all for pid in running.processes()]

    def _note(self, running: Running) -> None:
        finished = running.finish(_STOPPED)
        self.said.output.append(finished.stdout)
        self.said.errors.append(finished.stderr)


def end(pid: int) -> None:
    """Kill a process, if it is there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
