"""Commands as people type them: each at a terminal of its own, in a shell of the machine where the person sits."""

from __future__ import annotations

import codecs
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.e2e.command import HOOKS, PATIENCE, ROOT
from tests.e2e.namespaces import Namespace
from tests.e2e.standing import HELD

# What a terminal does not show: line ends of its own, and sequences that move or colour.
_CONTROL: Final = re.compile(r"\r|\x1b\[[0-9;?]*[A-Za-z]")


class Command:
    """One command that runs or ran at a terminal of its own; what it prints is read as it comes."""

    def __init__(self, line: str, start: Callable[[int], subprocess.Popen[bytes]]) -> None:
        self.line = line
        self._terminal, own = pty.openpty()
        try:
            self.process = start(own)
        finally:
            os.close(own)
        self._text = ""
        self._changed = threading.Condition()
        self._closed = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        decode = codecs.getincrementaldecoder("utf-8")().decode
        # Nobody has the terminal open any more: Linux calls that an input/output error.
        with suppress(OSError):
            while part := os.read(self._terminal, 65_536):
                with self._changed:
                    self._text = _CONTROL.sub("", self._text + decode(part))
                    self._changed.notify_all()
        os.close(self._terminal)
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def type(self, answer: str) -> None:
        """Answer a question."""
        os.write(self._terminal, answer.encode() + b"\n")

    @property
    def said(self) -> str:
        """What it has printed so far."""
        with self._changed:
            return self._text

    def find(self, pattern: str, seconds: float = PATIENCE) -> str:
        """Return the first group of ``pattern`` in the output, once it is there."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while (found := re.search(pattern, self._text, re.MULTILINE)) is None:
                assert not self._closed, f"{self.line} ended without {pattern!r}:\n{self._text}"
                left = deadline - time.monotonic()
                assert self._changed.wait(left), f"{self.line} has not said {pattern!r}:\n{self._text}"
            return str(found[1])

    def done(self) -> str:
        """Wait until it has succeeded; returns what it printed."""
        status = self.process.wait(PATIENCE)
        with self._changed:
            assert self._changed.wait_for(lambda: self._closed, PATIENCE)
        assert status == 0, f"{self.line}: {status}\n{self._text}"
        return self._text

    def end(self, signal_: int = signal.SIGTERM) -> None:
        """Tell it to stop, and wait."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal_)
        self.process.wait(PATIENCE)


class Person:
    """Somebody at a machine, with an empty folder ``folder`` and ``veiljoin`` on the path."""

    def __init__(
        self, machine: Namespace, folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.machine = machine
        self.folder = folder
        self.typed: list[str] = []
        tools = folder.parent / f"{folder.name}-tools"
        for place in (folder, tools, tools / "home", tools / "tmp", tools / "gates"):
            place.mkdir()
        command = tools / "veiljoin"
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m cli.main "$@"\n')
        command.chmod(0o700)
        self.gates = tools / "gates"
        self.environment = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(map(str, (HOOKS / "hold", ROOT, ROOT / "proto"))),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(tools / "home"),
            "TERM": "dumb",
            "TMPDIR": str(tools / "tmp"),
            "VEILJOIN_TEST_HOLD": HELD,
            "VEILJOIN_TEST_GATES": str(self.gates),
            **(environment or {}),
        }

    @contextmanager
    def types(self, line: str, **words: str) -> Iterator[Command]:
        """Type a line in which ``words`` stand for what is in capitals; at the end of the block it is stopped."""
        self.typed.append(line)
        for word, value in words.items():
            line = line.replace(word, value)
        command = Command(
            line, lambda terminal: self.machine.start(line, self.folder, self.environment, terminal)
        )
        try:
            yield command
        finally:
            command.end()

    def runs(self, line: str, **words: str) -> str:
        """Type a line that has to succeed; returns what it printed."""
        with self.types(line, **words) as command:
            return command.done()
