"""A worker process of this program and the two ends of its pipes, for engines that spread work over processors.

A worker is a fresh interpreter, never a fork: gRPC's threads live in the parent and do not survive one. It talks
over its standard streams, so that it ends by itself when the parent goes, even by SIGKILL, and it does not import
the caller's main module again.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO, Final, cast

_EXIT_SECONDS: Final = 5.0  # how long wait() lets a worker finish by itself


class WorkerProcess:
    """Runs ``python -m module arguments``; ``requests`` is written by the parent, ``answers`` read."""

    def __init__(self, module: str, *arguments: str) -> None:
        # The same interpreter and import path as here, as far as this process's path names folders.
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(dict.fromkeys([root, *(entry for entry in sys.path if entry)]))
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module, no shell
            # -P: the working folder is not searched for modules.
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        self.requests = cast(BinaryIO, self._process.stdin)
        self.answers = cast(BinaryIO, self._process.stdout)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def close_streams(self) -> None:
        """Close both pipes, at which the worker ends by itself."""
        self.answers.close()
        # A request half written to a worker that is gone can no longer be flushed, and need not be.
        with contextlib.suppress(OSError):
            self.requests.close()

    def wait(self) -> None:
        """Wait for the process to end; kill it if it does not."""
        try:
            self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
