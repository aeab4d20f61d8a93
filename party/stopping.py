"""How a standing node is told to stop: first to begin nothing new and let jobs come to an end, then at once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sized
from typing import Any, Final

GRACE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.1

# Waits until the attempts that are under way have ended, or need no longer be waited for.
Drain = Callable[[Sized], Awaitable[None]]


class Stop:
    """To be made inside the event loop. ``begun`` is set by the first :meth:`ask`; a second one ends the waiting.

    What has not ended after ``grace`` seconds is ended by the node: what it did so far is on the disk, and the next
    attempt goes on from there.
    """

    def __init__(self, grace: float, tell: Callable[[dict[str, Any]], None]) -> None:
        self.begun = asyncio.Event()
        self._at_once = asyncio.Event()
        self._grace = grace
        self._tell = tell

    def ask(self) -> None:
        """Ask to stop; called again, at once."""
        if self.begun.is_set():
            self._at_once.set()
        self.begun.set()

    async def drain(self, runs: Sized) -> None:
        """Wait for ``runs`` to become empty, for as long as the grace, or until asked a second time."""
        self._tell({"event": "stopping", "running": len(runs)})
        until = time.monotonic() + self._grace
        while len(runs) and (left := until - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._at_once.wait(), min(left, _LOOK_SECONDS))
                return
