"""Server-sent events (HTML standard, section 9.2) for one visitor at a time: looks in a thread, ends in time."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from fastapi.concurrency import run_in_threadpool

from psi.errors import VeiljoinError

# A browser keeps six connections to a host; a person with more tabs than this reads by reloading.
MOST_STREAMS: Final = 4
LOOK_SECONDS: Final = 1.0
# A comment, so that proxies do not take a quiet stream for a dead one.
BEAT_SECONDS: Final = 15.0


class Streams:
    """How many streams each person has open in this process."""

    def __init__(self, most: int = MOST_STREAMS) -> None:
        self._most = most
        self._open: Counter[int] = Counter()
        self._turn = threading.Lock()

    def full(self, person: int) -> bool:
        """Return whether the person has as many as one may have; another may be faster than who asks."""
        with self._turn:
            return self._open[person] >= self._most

    @contextmanager
    def one(self, person: int) -> Iterator[bool]:
        """Count one stream of the person while the block runs; gives ``False``, uncounted, if it is too many."""
        with self._turn:
            taken = self._open[person] < self._most
            if taken:
                self._open[person] += 1
        try:
            yield taken
        finally:
            if taken:
                self._give_back(person)

    def _give_back(self, person: int) -> None:
        with self._turn:
            self._open[person] -= 1
            if not self._open[person]:
                del self._open[person]


async def events(
    look: Callable[[], Mapping[str, Any]],
    may: Callable[[], bool],
    *,
    pause: float = LOOK_SECONDS,
    beat: float = BEAT_SECONDS,
) -> AsyncIterator[str]:
    """Yield what ``look`` returns, as often as it changes, until it has a true ``end`` or ``may`` is false.

    Both are called in a thread, every ``pause`` seconds.
    """
    said, quiet = "", 0.0
    while True:
        try:
            if not await run_in_threadpool(may):
                yield _event("left", "{}")
                return
            facts = await run_in_threadpool(look)
        except VeiljoinError:
            return  # a browser asks again by itself, and is told then what is the matter
        text = json.dumps(facts, ensure_ascii=False)
        if text != said:
            said, quiet = text, 0.0
            yield _event("job", text)
        elif quiet >= beat:
            quiet = 0.0
            yield ": still here\n\n"
        if facts.get("end"):
            return
        await asyncio.sleep(pause)
        quiet += pause


def _event(name: str, data: str) -> str:
    """Return one event; JSON has no line break in it."""
    return f"event: {name}\ndata: {data}\n\n"
