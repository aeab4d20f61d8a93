"""Ports for listeners of tests, of which several run at once.

They are told before anybody listens on them, so nobody else may get them meanwhile: they lie below those that the
kernel gives to whoever asks for any or dials out, and each worker of pytest-xdist has its own.
"""

from __future__ import annotations

import os
import random
import socket
from contextlib import ExitStack
from typing import Final

_FIRST: Final = 10_000
_EACH: Final = 1_000
_WORKERS: Final = 10
_given: Final = set[int]()


def free_ports(count: int = 1) -> int:
    """Return the first of ``count`` neighbouring ports on 127.0.0.1, which this process has not given before."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    own = range(_FIRST + worker * _EACH, _FIRST + (worker + 1) * _EACH - count + 1)
    for port in random.SystemRandom().sample(own, len(own)):
        wanted = range(port, port + count)
        if _given.isdisjoint(wanted) and all(map(_is_free, wanted)):
            _given.update(wanted)
            return port
    raise RuntimeError(f"{count} neighbouring ports are not free among {own}")


def _is_free(port: int) -> bool:
    with ExitStack() as held:
        try:
            held.enter_context(socket.socket()).bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
