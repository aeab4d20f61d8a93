"""One simulated party: what outlives its process, its process's attempt, and how `party.session` drives a role.

The attempt is driven as there: one thread receives and computes, one sends, and between them is a bounded queue of
answers. Here the two take turns, by chance; also in the middle of each other's work, at its moments.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from party import jobprocess
from party.jobprocess import Ending
from party.memo import RememberedEngine
from party.transport import aborted
from psi.errors import PEER_WORDS, LinkLost, PeerViolation, VeiljoinError
from psi.replay import Playback, Position
from psi.role import ProtocolRole
from tests.psi.pair import engine_for
from tests.simulate.judge import Breach, Judge
from tests.simulate.places import Book, DictMemo, WatchedJournal
from tests.simulate.purses import Hold, Purse
from tests.simulate.questions import EDITIONS, Question
from tests.simulate.wire import Link
from veiljoin.messages import Abort, Hello, SignedContract

# As in `party.session`.
_OUTBOX: Final = 4


class Killed(BaseException):
    """The process is gone: no `except Exception` and no clean-up sees this."""


class Stage(Enum):
    """How far an attempt is."""

    GREETING = "greeting"  # it has told its position and waits for the partner's
    TALKING = "talking"
    COMPLETE = "complete"  # its own part is whole


@dataclass
class Run:
    """What a side keeps of one run: all of this is durable."""

    number: int
    seed: bytes
    book: Book
    sets: DictMemo = field(default_factory=DictMemo)
    points: DictMemo = field(default_factory=DictMemo)
    prepared: Any = None
    # Of the file, when the set was prepared.
    edition: int = 0
    standing: Any = None
    # How often what was computed was lost.
    losses: int = 0

    @property
    def computed(self) -> int:
        """Elements that were masked or encrypted."""
        return self.sets.computed + self.points.computed


@dataclass
class Attempt:
    """One process's work on a run: all of this is gone when it dies."""

    run: Run
    hold: Hold
    role: ProtocolRole[Any]
    playback: Playback[Any]
    link: Link
    stage: Stage = Stage.GREETING
    released: bool = False
    # What `go_on` returned and the queue has no room for yet, the queue, and what the sending thread is at.
    waiting: deque[Iterator[Any]] = field(default_factory=deque)
    outbox: deque[Iterator[Any]] = field(default_factory=deque)
    speaking: Iterator[Any] | None = None
    hand: Any = None
    receiving: bool = False
    drawing: bool = False
    # The number of the next message by the partner's position.
    number: int = 0
    fault: VeiljoinError | None = None


class Side:
    """The party ``number``. ``moment`` is called at each moment of its work, ``tell`` with a line for the trace."""

    def __init__(
        self,
        number: int,
        question: Question,
        purse: Purse,
        book: Callable[[], Book],
        judge: Judge,
        pick: random.Random,
        moment: Callable[[Side, str], None],
        tell: Callable[[str], None],
    ) -> None:
        self.number = number
        self.question = question
        self.purse = purse
        self.judge = judge
        self.run: Run | None = None
        self.attempt: Attempt | None = None
        self.edition = 0
        self.runs = 0
        self.attempts = 0
        # Journal entries until the disk is full; `None`: it isn't.
        self.room: int | None = None
        self.released: set[tuple[int, int]] = set()
        self.copies = 0
        self.learned: Any = None
        self.final: str | None = None
        self._book = book
        self._pick = pick
        self._moment = moment
        self._tell = tell

    # -- beginning

    def begin(self, link: Link) -> None:
        """Start a process: prepare, unless that is done, and tell how far the run is."""
        self.attempts += 1
        if self.run is None:
            self.runs += 1
            self.run = Run(self.runs, self.question.seed(self.number, self.runs, self._pick), self._book())
        run = self.run
        for memo in (run.sets, run.points):
            memo.moment = self._at
        engine = RememberedEngine(engine_for(self.question.suite), run.sets, run.points)  # type: ignore[arg-type]
        hold = self.purse.open(run.standing)
        self._at("reserved")
        if run.prepared is None:
            prepared = self.question.prepare(self.number, run.seed, self.edition, engine)
            self._at("prepared")
            standing = hold.admit(1)
            self._at("admitted")
            # One rename makes all of it durable.
            run.prepared, run.standing, run.edition = prepared, standing, self.edition
            run.sets.known.clear()
            self._at("saved")
        role = self.question.role(self.number, run.seed, run.prepared, engine)
        journal = WatchedJournal(run.book.open(), self._at, self._full)
        playback: Playback[Any] = Playback(role, journal, self._announced)
        self.attempt = Attempt(run, hold, role, playback, link)
        position = playback.position()
        self._say(f"begins with run {run.number}, {position.received} messages received")
        link.send(self.number, position)

    def _at(self, name: str) -> None:
        self._moment(self, name)

    def _full(self) -> bool:
        if self.room is None:
            return False
        self.room -= 1
        return self.room < 0

    def _announced(self) -> None:
        attempt = self._working()
        self._at("announced")
        attempt.hold.release(1)
        standing = attempt.run.standing
        self.released.add((attempt.run.number, standing.reservation))
        attempt.released = True
        self._at("spent")

    def _working(self) -> Attempt:
        if self.attempt is None:
            raise Breach(f"side {self.number} works without an attempt")
        return self.attempt

    def _say(self, what: str) -> None:
        self._tell(f"side {self.number} {what}")

    def change_input(self, pick: random.Random) -> None:
        """Let somebody change the file."""
        self.edition = pick.randrange(EDITIONS)

    # -- the receiving thread

    @property
    def can_receive(self) -> bool:
        """Whether the receiving thread has something to do."""
        attempt = self.attempt
        if attempt is None or attempt.receiving or attempt.fault or attempt.stage is Stage.COMPLETE:
            return False
        if attempt.waiting:
            return len(attempt.outbox) < _OUTBOX
        if attempt.stage is Stage.TALKING and attempt.role.done:
            return False
        return attempt.link.has(self.number)

    def receive(self) -> None:
        """Let the receiving thread take one step."""
        attempt = self._working()
        if attempt.waiting:
            attempt.outbox.append(attempt.waiting.popleft())
            return
        attempt.receiving = True
        try:
            message = attempt.link.take(self.number)
            if attempt.stage is Stage.GREETING:
                self._greeted(attempt, message)
            else:
                self._heard(attempt, message)
        except VeiljoinError as error:
            attempt.fault = attempt.fault or error
        finally:
            attempt.receiving = False

    def _greeted(self, attempt: Attempt, message: Any) -> None:
        if isinstance(message, Abort):
            raise aborted("partner", message.code)
        if not isinstance(message, Position):
            raise PeerViolation("The partner did not say how far it is.")
        self._say(f"goes on from the partner's {message.received}")
        attempt.number = message.received
        attempt.waiting.extend(attempt.playback.go_on(message))
        attempt.stage = Stage.TALKING

    def _heard(self, attempt: Attempt, message: Any) -> None:
        if isinstance(message, Abort):
            raise aborted("partner", message.code)
        if isinstance(message, Hello | SignedContract | Position):
            raise PeerViolation("The partner sent its greeting a second time.")
        copies = attempt.role.copies
        answers = attempt.playback.receive(message)
        self.copies += attempt.role.copies - copies
        if answers is not None:
            attempt.waiting.append(answers)
        self._say(f"receives {_name(message)}")

    # -- the sending thread

    @property
    def can_speak(self) -> bool:
        """Whether the sending thread has something to do."""
        attempt = self.attempt
        if attempt is None or attempt.drawing or attempt.fault or attempt.stage is not Stage.TALKING:
            return False
        if attempt.hand is not None:
            return attempt.link.takes(self.number)
        return attempt.speaking is not None or bool(attempt.outbox)

    def speak(self) -> None:
        """Let the sending thread take one step: send what it has drawn, or draw."""
        attempt = self._working()
        attempt.drawing = True
        try:
            if attempt.hand is not None:
                message, attempt.hand = attempt.hand, None
                self._send(attempt, message)
                return
            if attempt.speaking is None:
                attempt.speaking = attempt.outbox.popleft()
            attempt.hand = attempt.playback.draw(attempt.speaking)
            if attempt.hand is None:
                attempt.speaking = None
        except VeiljoinError as error:
            attempt.fault = attempt.fault or error
        finally:
            attempt.drawing = False

    def _send(self, attempt: Attempt, message: Any) -> None:
        number, attempt.number = attempt.number, attempt.number + 1
        encoded = attempt.link.send(self.number, message)
        self.judge.sent(self.number, attempt.run.seed, number, message, encoded, released=attempt.released)
        self._say(f"sends {number}: {_name(message)}")

    # -- ending

    @property
    def can_end(self) -> bool:
        """Whether the attempt has ended: with an error, with its link, or whole."""
        attempt = self.attempt
        if attempt is None or attempt.stage is Stage.COMPLETE:
            return False
        # A write that fails ends it before all is read that had arrived.
        return attempt.fault is not None or attempt.link.cut or self._whole(attempt)

    def _whole(self, attempt: Attempt) -> bool:
        said = not (attempt.waiting or attempt.outbox or attempt.speaking or attempt.hand)
        return attempt.stage is Stage.TALKING and attempt.role.done and said

    def end(self) -> None:
        """Conclude the part that is whole, or end the attempt with its error."""
        attempt = self._working()
        if attempt.fault is None and self._whole(attempt):
            attempt.stage = Stage.COMPLETE
            run = attempt.run
            self.learned = self.question.learned(self.number, attempt.role, run.prepared, run.edition)
            attempt.hold.leave()
            self._say("is complete")
            return
        error = attempt.fault or LinkLost("The link was lost.")
        word = error.code.peer if error.code.peer in PEER_WORDS else "failed"
        attempt.link.hang_up(self.number, Abort(word))
        ending = _ending(error)
        self._say(f"ends its attempt: {ending.code}{', anew' if ending.anew else ''}")
        attempt.hold.leave()
        attempt.role.close()
        self.attempt = None
        self.room = None
        if ending.anew:
            self.drop()
        elif not ending.cut:
            self.fail(ending.code)

    def fail(self, code: str) -> None:
        """End the job without a result."""
        self.attempt = None
        self.drop()
        self.final = code

    def drop(self) -> None:
        """Drop the run, as `party.keeping` does."""
        if self.run is not None:
            self.run.book.close()
        self.run = None
        self.purse.abandon()

    def die(self) -> None:
        """Be killed: what was in memory is gone, and the link with it."""
        attempt, self.attempt = self.attempt, None
        self.room = None
        if attempt is not None:
            attempt.link.die(self.number, self._pick)


def _ending(error: VeiljoinError) -> Ending:
    """Return what the node makes of the error of its job's process."""
    event = {"code": error.code.name, "message": error.message, "word": getattr(error, "peer_code", "")}
    return jobprocess._error(event)


def _name(message: Any) -> str:
    stream = getattr(message, "stream", None)
    what = type(message).__name__
    if stream is None:
        return what
    sequence = getattr(message, "sequence", None)
    return f"{what} of {stream.name}{'' if sequence is None else f', {sequence}'}"
