"""What simulated schedules of nodes share: an event loop, and a pair of enrolled nodes for some of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.party.standing_pair import Pair
from tests.party.test_agent import RULE
from tests.simulate.turns import TurnLoop

# How many schedules a pair of nodes serves: their stores grow.
_SERVES: Final = 50


class Field:
    """What schedules share: a pair of enrolled nodes and a loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = self._served = 0
        self.loop = TurnLoop()
        self.pair = self._anew()

    def _anew(self) -> Pair:
        self._count += 1
        folder = self._folder / f"pair{self._count}"
        folder.mkdir()
        pair = Pair(folder, RULE)
        pair.connect()
        for side in (pair.bank, pair.platform):
            # No certificate is needed to run a process that is none.
            side.node.credentials.material = lambda: None  # type: ignore[method-assign,return-value,assignment]
        return pair

    def fresh(self) -> Pair:
        """Return the pair for the next schedule."""
        return self.pair

    def used(self, *, broken: bool) -> None:
        """Note that a schedule is over; a pair serves some of them, unless one of them has left it ``broken``."""
        self._served += 1
        if broken or self._served % _SERVES == 0:
            self._renew()

    def _renew(self) -> None:
        self.pair.close()
        shutil.rmtree(self._folder / f"pair{self._count}", ignore_errors=True)
        self.pair = self._anew()

    def close(self) -> None:
        """Close everything."""
        self.pair.close()
        self.loop.close()


@contextmanager
def field_in(folder: Path) -> Iterator[Field]:
    """Give a field in ``folder``."""
    field = Field(folder)
    try:
        yield field
    finally:
        field.close()
