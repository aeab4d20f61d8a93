"""A partner that comes back to an old run with another announcement, for more points under the same scalar."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

from party.memo import RememberedEngine
from psi.errors import VeiljoinError
from psi.replay import MemoryJournal, Playback, Position
from tests.psi.pair import engine_for
from tests.simulate.judge import Breach
from tests.simulate.places import DictMemo
from tests.simulate.questions import EDITIONS
from tests.simulate.side import Side
from tests.simulate.wire import Link


class Impostor:
    """It has what ``side`` keeps, tells the position of that, and then announces another set under a new seed."""

    def __init__(self, side: Side, pick: random.Random) -> None:
        run = side.run
        if run is None:
            raise Breach("there is nobody to be impersonated")
        self.side = side
        self.over = False
        self.rounds = 0
        self._pick = pick
        role = side.question.role(side.number, run.seed, run.prepared, self._engine())
        self._position = Playback(role, run.book.open()).position()
        self._playback: Playback[Any] | None = None
        self._out: deque[Any] = deque()

    def _engine(self) -> RememberedEngine:
        memos: tuple[Any, Any] = (DictMemo(), DictMemo())
        return RememberedEngine(engine_for(self.side.question.suite), *memos)

    def begin(self, link: Link) -> None:
        """Come back."""
        question, number, engine = self.side.question, self.side.number, self._engine()
        seed = question.seed(number, 1000 + self.rounds, self._pick)
        own = question.prepare(number, seed, self._pick.randrange(EDITIONS), engine)
        self._playback = Playback(question.role(number, seed, own, engine), MemoryJournal())
        self._out.clear()
        self.over = False
        self.rounds += 1
        link.send(number, self._position)

    def can_step(self, link: Link) -> bool:
        """Whether it has something to do."""
        if self.over:
            return False
        return link.cut or link.has(self.side.number) or bool(self._out) or self._done()

    def _done(self) -> bool:
        return self._playback is not None and self._playback.role.done

    def step(self, link: Link) -> None:
        """Say or hear one message; leave when there is nothing to be had any more."""
        number, playback = self.side.number, self._playback
        if playback is None or link.cut:
            self._leave(link)
        elif self._out and (not link.has(number) or self._pick.random() < 0.5):
            message = playback.draw(self._out[0])
            if message is None:
                self._out.popleft()
            else:
                link.send(number, message)
        elif link.has(number):
            try:
                self._hear(playback, link.take(number))
            except VeiljoinError:
                # The other side goes on with the run of its first announcement.
                self._leave(link)
        else:
            self._leave(link)

    def _hear(self, playback: Playback[Any], message: Any) -> None:
        if isinstance(message, Position):
            self._out.extend(playback.go_on(Position(message.announced, b"", 0)))
            return
        answers = playback.receive(message)
        if answers is not None:
            self._out.append(answers)

    def _leave(self, link: Link) -> None:
        self.over = True
        link.cut = True
