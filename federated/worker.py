"""The worker process of an engine: ``python -m federated.worker``.

It reads requests (:mod:`federated.wire`) from standard input and writes answers to standard output until the
input ends, which it does when the parent closes it or is gone, however the parent ended.
"""

from __future__ import annotations

import signal
import sys
from typing import BinaryIO

from federated import wire
from federated.tasks import TASKS
from psi.errors import VeiljoinError


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until they end; an error of ours travels as sentence, hint and code."""
    while True:
        try:
            operation, fields = wire.read(requests)
            try:
                reply, parts = wire.ANSWER, [TASKS[operation](fields)]
            except VeiljoinError as error:
                reply, parts = (
                    wire.FAILED,
                    [text.encode() for text in (error.message, error.hint, error.code.name)],
                )
            wire.write(answers, reply, parts)
        except (EOFError, BrokenPipeError):
            return


if __name__ == "__main__":
    # Ctrl-C in a terminal reaches the whole process group; the parent decides, and closes our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(sys.stdin.buffer, sys.stdout.buffer)
