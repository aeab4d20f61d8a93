"""Runs the real ``veiljoin`` command in a sandbox of its own and watches what it does.

A sandbox has its own home, temporary folder and working directory, all empty, so that a test can say that
nothing was left in them. Every process of a run carries one marker in its environment, by which a test finds
those that outlive it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.inside import run_inside

ROOT: Final = Path(__file__).resolve().parents[2]
HOOKS: Final = Path(__file__).parent / "hooks"
# How long anything may take before a test gives up; the product's own promises are asserted separately.
PATIENCE: Final = 240.0
# What the product promises, when one side is killed: the other has ended after 10 seconds. On a machine that does
# several other things meanwhile it may take four times as long.
NOTICED: Final = 40.0

Event = dict[str, Any]
# Progress with its time of day, what each party had to say, and the error.
_OWN_LINE: Final = re.compile(r"(\d\d:\d\d:\d\d )?(bank|platform): .+|Error: .+|Hint:  .+")

needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks processes up in /proc")


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def events(self) -> list[Event]:
        """The lines of ``--json``."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def error(self) -> str:
        """The sentence of the error."""
        return _after("Error: ", self.stderr)

    @property
    def hint(self) -> str:
        """The hint of the error."""
        return _after("Hint:  ", self.stderr)

    @property
    def foreign_lines(self) -> list[str]:
        """Lines on standard error that are not the product's own: a library's log, a traceback."""
        return [line for line in self.stderr.splitlines() if not _OWN_LINE.fullmatch(line)]

    def require_done(self) -> Finished:
        """Fail, with what it printed, unless the command succeeded."""
        assert self.status == 0, self.stdout + self.stderr
        return self


def _after(mark: str, text: str) -> str:
    found = [line.removeprefix(mark) for line in text.splitlines() if line.startswith(mark)]
    assert len(found) == 1, f"one line that begins with {mark!r} was wanted:\n{text}"
    return found[0]


class Sandbox:
    """Folders and environment of one or more runs below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home, self.temporary, self.cwd = (folder / name for name in ("home", "tmp", "cwd"))
        for place in (self.home, self.temporary, self.cwd):
            place.mkdir()
        self.out = folder / "out"

    def job(self, kind: str = "audience", *, name: str = "JOB.toml", **keys: Any) -> Path:
        """Write a job file. ``bank``, ``platform`` and ``policy`` are sections; other keys are at the top."""
        defaults: dict[str, Any] = {
            "purpose": "test",
            "identifier": "phone",
            "receiver": "platform",
            "bank": {"identifier": "mobile"},
            "platform": {"identifier": "phone"},
        }
        path = self.folder / name
        path.write_text(toml({"kind": kind} | defaults | keys), encoding="utf-8")
        return path

    def environment(self, marker: str, hooks: Sequence[str], extra: Mapping[str, str]) -> dict[str, str]:
        """The environment of a run: what a shell has, less what would tie it to this test process."""
        kept = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT")
        paths = [*(str(HOOKS / hook) for hook in hooks), str(ROOT), str(ROOT / "proto")]
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "VEILJOIN_TEST_RUN": marker,
            **extra,
        }

    @contextmanager
    def start(
        self,
        *arguments: str | Path,
        hooks: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        module: str = "cli.main",
        stdin: int = subprocess.DEVNULL,
    ) -> Iterator[Running]:
        """Start the command; whatever still runs at the end of the block is killed."""
        marker = uuid.uuid4().hex
        errors = self.folder / f"stderr-{marker}"
        with open(errors, "wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, arguments)],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=self.cwd,
                env=self.environment(marker, hooks, environment or {}),
            )
        running = Running(process, errors, marker)
        try:
            yield running
        finally:
            running.end()

    def run(
        self,
        *arguments: str | Path,
        hooks: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run the command to its end."""
        with self.start(*arguments, hooks=hooks, environment=environment) as running:
            return running.finish()

    def run_inside(self, *arguments: str | Path) -> Finished:
        """Run the command to its end in this process; parties are processes of their own all the same."""
        marker = uuid.uuid4().hex
        stdout, stderr = (self.folder / f"{name}-{marker}" for name in ("stdout", "stderr"))
        environment = self.environment(marker, (), {})
        status = run_inside([str(each) for each in arguments], self.cwd, environment, (stdout, stderr))
        return Finished(status, stdout.read_text(encoding="utf-8"), stderr.read_text(encoding="utf-8"))

    def rehearse(
        self,
        job: Path,
        bank: Path,
        platform: Path,
        *options: str | Path,
        hooks: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run ``veiljoin rehearse`` into ``self.out``, in a process of its own only if it needs hooks or the like."""
        arguments = self.arguments(job, bank, platform, *options)
        if not hooks and environment is None:
            return self.run_inside(*arguments)
        return self.run(*arguments, hooks=hooks, environment=environment)

    def arguments(self, job: Path, bank: Path, platform: Path, *options: str | Path) -> list[str | Path]:
        """The arguments of ``veiljoin rehearse``."""
        return [
            "rehearse", job, "--bank", bank, "--platform", platform, "--out", self.out, *options
        ]  # fmt: skip

    def holding(self, *held: str) -> dict[str, str]:
        """The environment with which hooks/hold holds parties in phases (``bank:order``)."""
        gates = self.folder / "gates"
        gates.mkdir(exist_ok=True)
        for each in held:
            (gates / each.rpartition(":")[2]).touch()
        return {"VEILJOIN_TEST_HOLD": " ".join(held), "VEILJOIN_TEST_GATES": str(gates)}

    def release(self, phase: str) -> None:
        """Let the parties that are held in ``phase`` go on."""
        (self.folder / "gates" / phase).unlink()

    def leftovers(self) -> list[Path]:
        """What a run left behind beside its results."""
        beside = [path for place in (self.home, self.temporary, self.cwd) for path in place.rglob("*")]
        return beside + (sorted(self.out.rglob(".*")) if self.out.is_dir() else [])


class Running:
    """A command that runs; its standard output is read as JSON lines where it is JSON."""

    def __init__(self, process: subprocess.Popen[bytes], errors: Path, marker: str) -> None:
        self.process = process
        self.marker = marker
        self.started = time.monotonic()
        self._errors = errors
        self._lines: list[str] = []
        self._events: list[Event] = []
        self._arrivals: list[float] = []
        self._changed = threading.Condition()
        self._closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            text = line.decode()
            with self._changed:
                self._lines.append(text)
                if text.startswith("{"):
                    self._events.append(json.loads(text))
                    self._arrivals.append(time.monotonic())
                self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_for(self, wanted: Callable[[Event], bool], seconds: float = PATIENCE) -> Event:
        """Return the first event that is ``wanted``; fail if the command ends without it."""
        deadline = time.monotonic() + seconds
        seen = 0
        with self._changed:
            while True:
                for event in self._events[seen:]:
                    if wanted(event):
                        return event
                seen = len(self._events)
                assert not self._closed, f"ended without it: {self._lines} {self._errors.read_text()}"
                assert self._changed.wait(deadline - time.monotonic()), f"not in time: {self._lines}"

    def arrived(self, event: Event) -> float:
        """When an event that :meth:`wait_for` returned came in, by the monotonic clock."""
        with self._changed:
            return self._arrivals[next(i for i, each in enumerate(self._events) if each is event)]

    def pid(self, side: str) -> int:
        """The process id of one party, as its event tells it."""
        event = self.wait_for(lambda each: each.get("side") == side and each["event"] == "started")
        return int(event["pid"])

    def finish(self, seconds: float = PATIENCE) -> Finished:
        """Wait for the command to end and return what it said."""
        status = self.process.wait(seconds)
        self._reader.join(PATIENCE)
        return Finished(status, "".join(self._lines), self._errors.read_text(encoding="utf-8"))

    def processes(self) -> list[int]:
        """Process ids of this run: the command, both parties, their workers."""
        wanted = f"VEILJOIN_TEST_RUN={self.marker}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and wanted in _environment(entry).split(b"\0"):
                found.append(int(entry.name))
        return found

    def gone_within(self, seconds: float) -> bool:
        """Whether every process of this run has ended before ``seconds`` are over."""
        deadline = time.monotonic() + seconds
        while self.processes():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def end(self) -> None:
        """Kill whatever of this run still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if Path("/proc/self/environ").exists():
            for pid in self.processes():
                os.kill(pid, signal.SIGKILL)
        self._reader.join(PATIENCE)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def _environment(entry: Path) -> bytes:
    try:
        return (entry / "environ").read_bytes()
    except OSError:
        return b""  # it has ended meanwhile, or belongs to somebody else


def toml(table: Mapping[str, Any]) -> str:
    """Write a job file's table: scalars and lists first, then the sections."""
    lines = [f"{key} = {_value(value)}" for key, value in table.items() if not isinstance(value, Mapping)]
    for key, section in table.items():
        if isinstance(section, Mapping):
            lines += ["", f"[{key}]", *(f"{name} = {_value(value)}" for name, value in section.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_value(each)}" for name, each in value.items()) + " }"
    # For text, numbers and lists of text JSON and TOML agree.
    return json.dumps(value, ensure_ascii=False)


def is_held(side: str, phase: str) -> Callable[[Event], bool]:
    """The event of a party that is held in a phase."""
    wanted = {"side": side, "event": "held", "phase": phase}
    return lambda event: event == wanted


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Every path below ``folder``, with the content of files."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }
