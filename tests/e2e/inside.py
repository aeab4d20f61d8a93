"""Runs the command inside the test's own process, which has imported all it needs already; a start takes a second."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from cli.main import main

_HANDLED = (signal.SIGTERM, signal.SIGHUP)


def run_inside(
    arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], outputs: tuple[Path, Path]
) -> int:
    """Run ``veiljoin`` with ``arguments`` in ``cwd``, with ``environment`` and no other; returns its exit status.

    ``outputs`` take standard output and standard error, also those of the processes that it starts and of libraries
    that write past Python.
    """
    handlers = {number: signal.getsignal(number) for number in _HANDLED}
    with ExitStack() as undo:
        undo.enter_context(_into(*outputs))
        undo.enter_context(chdir(cwd))
        undo.enter_context(patch.dict(os.environ, environment, clear=True))
        # Made anew from the environment.
        undo.enter_context(patch.object(tempfile, "tempdir", None))
        try:
            return main(arguments)
        except SystemExit as ended:  # arguments that argparse refuses
            return ended.code if isinstance(ended.code, int) else 1
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


@contextmanager
def _into(stdout: Path, stderr: Path) -> Iterator[None]:
    """Let both standard outputs, of Python and of the process, go into files until the block ends."""
    sys.stdout.flush()
    sys.stderr.flush()
    with ExitStack() as undo:
        for number, path, redirect in ((1, stdout, redirect_stdout), (2, stderr, redirect_stderr)):
            before = os.dup(number)
            undo.callback(os.close, before)
            undo.callback(os.dup2, before, number)
            with open(path, "wb") as file:
                os.dup2(file.fileno(), number)
            stream = undo.enter_context(open(number, "w", encoding="utf-8", closefd=False))
            undo.enter_context(redirect(stream))
        yield
