"""Processes that verify the log and make what is handed out, so that pages wait for neither.

In a thread of the console such work would take turns with every page. A process has no key of the node, gives way to
whatever else the machine does, and ends with the console, with who waits for it, or after an hour.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import IO, Any, Final, Self

from console.auditwork import DONE, ERROR, HEAD, PIECE
from psi.errors import UsageError, VeiljoinError

# A log of ten million entries is verified within it, and a bundle fetched over a slow line.
LIMIT_SECONDS: Final = 3600
_PROGRAM: Final = ("-m", "console.auditwork")
_DID: Final = {
    "verify": "verified the log",
    "bundle": "wrote the bundle",
    "pack": "wrote the evidence pack",
}
_AGAIN: Final = "try again; if that happens again, look at the machine's memory"
_COMMANDS: Final = "`veiljoin audit export` and `veiljoin audit verify` on this machine have no such limit"


class AuditProcess:
    """A process that was given a task; a context manager that ends it. Threads may share it.

    Raises ``UsageError`` (``engine_unavailable``) if the machine starts none.
    """

    def __init__(self, task: Mapping[str, Any], ended: Callable[[AuditProcess], None]) -> None:
        self._did = _DID[task["work"]]
        self._ended = ended
        # The working directory and an inherited PYTHONPATH must not decide which code runs.
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
        environment["PYTHONSAFEPATH"] = "1"
        try:
            self._process = subprocess.Popen(  # noqa: S603 - nothing in it comes from elsewhere
                [sys.executable, *_PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # What it has to say comes in frames; a traceback could quote an entry.
                stderr=subprocess.DEVNULL,
                env=environment,
                # Ctrl-C at the terminal is for the console, which then ends this.
                start_new_session=True,
            )
        except OSError as error:
            raise UsageError(
                f"The process that would have {self._did} did not start: {error.strerror}.",
                hint="look at the machine's memory and at how many processes it allows",
                code="engine_unavailable",
            ) from None
        line = json.dumps({**task, "seconds": LIMIT_SECONDS}).encode() + b"\n"
        with contextlib.suppress(OSError):  # it has died, which its end tells
            _pipe(self._process.stdin).write(line)
            _pipe(self._process.stdin).flush()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def pieces(self) -> Iterator[bytes]:
        """Yield what it makes, as fast as somebody takes it; waits meanwhile.

        Raises the error that it tells, and ``VeiljoinError`` if it ends before it is done.
        """
        while True:
            kind, content = self._frame()
            if kind == PIECE:
                yield content
            elif kind == DONE:
                return
            else:
                raise _told(content) if kind == ERROR else self._cut()

    def kill(self) -> None:
        """End it at once, without waiting; it may have ended before."""
        self._process.kill()

    def end(self) -> None:
        """End it at once, and wait until it is gone. Nobody may read its pieces any more."""
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # a task that it did not take
                _pipe(pipe).close()
        self._ended(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _frame(self) -> tuple[bytes, bytes]:
        stream = _pipe(self._process.stdout)
        head = stream.read(HEAD.size)
        if len(head) == HEAD.size:
            kind, length = HEAD.unpack(head)
            content = stream.read(length)
            if len(content) == length:
                return kind, content
        raise self._cut()

    def _cut(self) -> VeiljoinError:
        """Return how it ended before it was done."""
        status = self._process.wait()
        what = f"The process that {self._did}"
        if status == -signal.SIGALRM:
            minutes = LIMIT_SECONDS // 60
            return VeiljoinError(f"{what} took longer than {minutes} minutes.", hint=_COMMANDS)
        if status < 0:
            return VeiljoinError(f"{what} was killed ({_name(-status)}).", hint=_AGAIN)
        return VeiljoinError(f"{what} ended with status {status}.", hint=_AGAIN)


class AuditProcesses:
    """Those of one kind that are at work for one node, ``most`` at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self._running: set[AuditProcess] = set()
        self._turn = threading.Lock()

    @property
    def running(self) -> tuple[AuditProcess, ...]:
        """Return those that were started and not ended."""
        with self._turn:
            return tuple(self._running)

    def start(self, prepare: Callable[[], Mapping[str, Any]]) -> AuditProcess:
        """Start a process for the task that ``prepare`` returns, once there is room for it.

        Raises ``UsageError`` (``wrong_state``) if there is none, and what ``prepare`` raises.
        """
        with self._turn:
            if self._taken >= self._most:
                raise UsageError(
                    f"{self._most} exports are under way already.",
                    hint="wait until one of them has ended",
                    code="wrong_state",
                )
            self._taken += 1
        with ExitStack() as undo:
            undo.callback(self._give_back)
            process = AuditProcess(prepare(), self._end)
            undo.pop_all()
        with self._turn:
            self._running.add(process)
        return process

    def stop(self) -> None:
        """Kill all of them: whoever waits for one is told that it was killed."""
        for process in self.running:
            process.kill()

    def _end(self, process: AuditProcess) -> None:
        with self._turn:
            if process not in self._running:
                return  # ended twice
            self._running.remove(process)
        self._give_back()

    def _give_back(self) -> None:
        with self._turn:
            self._taken -= 1


def _told(content: bytes) -> VeiljoinError:
    told = json.loads(content)
    kind = UsageError if told["usage"] else VeiljoinError
    return kind(told["message"], hint=told["hint"], code=told["code"])


def _name(number: int) -> str:
    return signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise ValueError("a process of the audit has both pipes")
    return pipe
