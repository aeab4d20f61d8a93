"""The worker process of an engine: ``python -m psi.engines.worker SUITE ENGINE``.

It reads requests (:mod:`psi.engines.wire`) from standard input and writes answers to standard output until the
input ends, which it does when the parent closes it or is gone, however the parent ended.
"""

from __future__ import annotations

import signal
import sys
from typing import BinaryIO

from psi.engines import kernel_of, wire
from psi.engines.pool import Kernel
from psi.hash_to_curve import hash_to_group
from psi.suites import Suite, suite_by_id


def serve(suite: Suite, kernel: Kernel, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until they end; a parent that is gone ends them too."""
    while True:
        try:
            request = wire.read_request(requests)
            if isinstance(request, wire.HashRequest):
                points = hash_to_group(suite, request.tag, request.identifiers)
            else:
                points = request.points
            answers.write(kernel(points, request.secret))
            answers.flush()
        except (EOFError, BrokenPipeError):
            return


if __name__ == "__main__":
    # Ctrl-C in a terminal reaches the whole process group; the parent decides, and closes our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(suite_by_id(sys.argv[1]), kernel_of(sys.argv[2]), sys.stdin.buffer, sys.stdout.buffer)
