"""What a node tells the service manager that started it: datagrams to a Unix socket (sd_notify(3) of systemd).

    READY=1      it serves: units that come after it may start
    WATCHDOG=1   its loop turns; without one for WatchdogSec= systemd starts it again
    STOPPING=1   it ends jobs and then itself

A few lines of our own instead of a package, of which none has seen a release for years.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

_SOCKET: Final = "NOTIFY_SOCKET"
_EVERY: Final = "WATCHDOG_USEC"
_WHOSE: Final = "WATCHDOG_PID"
_STATES: Final[Mapping[str, bytes]] = {
    "listening": b"READY=1",
    "started": b"READY=1",
    "stopping": b"STOPPING=1",
}


class Supervisor:
    """Speaks to the socket that ``environment`` names; does nothing where it names none.

    The variables are removed from ``environment``, so that the processes of jobs can't speak in the node's name.
    """

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        address = environment.pop(_SOCKET, "")
        every, whose = environment.pop(_EVERY, ""), environment.pop(_WHOSE, "")
        # A name in the abstract namespace is written with @ for its first byte, 0.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        ours = whose in ("", str(os.getpid()))
        # Twice as often as asked for, as sd_watchdog_enabled(3) advises.
        self._pause = int(every) / 2e6 if every.isdecimal() and ours else None
        self._said = float("-inf")

    def tell(self, event: Mapping[str, Any]) -> None:
        """Pass on what the node's event means to the service manager."""
        name = str(event.get("event"))
        if name in _STATES:
            self._say(_STATES[name])
        elif name == "tick" and self._pause is not None and time.monotonic() - self._said >= self._pause:
            self._said = time.monotonic()
            self._say(b"WATCHDOG=1")

    def _say(self, word: bytes) -> None:
        if not self._address:
            return
        # Nobody there to hear it: then nobody waits for it either.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
            datagrams.setblocking(False)
            datagrams.sendto(word, self._address)
