"""One simulated schedule of a protocol run: two sides, a link, and what goes wrong; all of it follows from a seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from party.home import Home
from tests.simulate import faults
from tests.simulate.faults import EXPLAINED, TAMPERING
from tests.simulate.impostor import Impostor
from tests.simulate.judge import Breach, Judge
from tests.simulate.places import DiskBook, ListBook
from tests.simulate.purses import QuickPurse, StorePurse, open_home
from tests.simulate.questions import SIDES, Question, Sum, draw_match, sums
from tests.simulate.report import Report
from tests.simulate.side import Killed, Run, Side, Stage
from tests.simulate.uncut import Uncut, uncut
from tests.simulate.wire import Link

# Steps after which a schedule that has not ended never will.
_STEPS: Final = 6_000
# More attempts than two sides need once nothing goes wrong any more: positions that don't go together on either side,
# one after the other, each maybe again where a word on a link that was cut is not read, and the one that ends it.
_LAST_ATTEMPTS: Final = 20
# How often an impostor comes back.
_ROUNDS: Final = 3
_SUMS: Final = 0.2
_STORES: Final = 0.02
_DISKS: Final = 0.1
_UNCUT: Final = 0.1


class Places:
    """What schedules share: two homes for those with a store, and a folder for those with a disk."""

    def __init__(self) -> None:
        self._open = ExitStack()
        fast = Path("/dev/shm")  # noqa: S108 - nothing secret, and of a name of its own
        self.folder = Path(self._open.enter_context(TemporaryDirectory(dir=fast if fast.is_dir() else None)))
        self._homes: tuple[Home, Home] | None = None
        self.count = 0

    @property
    def homes(self) -> tuple[Home, Home]:
        """The homes of the bank and of the platform."""
        if self._homes is None:
            made = [self._open.enter_context(open_home(self.folder / name)) for name in ("bank", "platform")]
            self._homes = made[0], made[1]
        return self._homes

    def close(self) -> None:
        """Remove everything."""
        self._open.close()


class Schedule:
    """The schedule of ``seed``; ``tell`` gets its trace, line by line."""

    def __init__(self, seed: int, places: Places, tell: Callable[[str], None] = lambda _: None) -> None:
        self.seed = seed
        self.happened: Counter[str] = Counter()
        self._pick = pick = random.Random(seed)
        self._tell = tell
        self._judge = Judge()
        self.question: Question = pick.choice(sums()) if pick.random() < _SUMS else draw_match(pick)
        self._store = pick.random() < _STORES
        self._disk = pick.random() < _DISKS
        self._places = places
        self.sides = tuple(self._side(number) for number in SIDES)
        self._link: Link | None = None
        # How eager each side's threads are, how often one has its turn in the middle of the other's work.
        self._eager = [pick.choice((1, 1, 1, 5, 25)) for _ in range(4)]
        self._nested = pick.choice((0.0, 0.1, 0.5))
        self._left = pick.choice((0, 1, 2, 3, 5, 8, 12))
        self._often = pick.choice((0.005, 0.02, 0.05, 0.2))
        self._fuses: dict[int, int] = {}
        self._since = 0
        self._tampered = False
        self._impostor: Impostor | None = None
        self._to_begin: set[int] = set()

    def _side(self, number: int) -> Side:
        places = self._places
        places.count += 1
        if self._store:
            name = f"job{places.count}"
            purse: Any = StorePurse(places.homes[number], name, ("bank", "platform")[number])
        else:
            purse = QuickPurse()
        count = 0

        def book() -> ListBook | DiskBook:
            nonlocal count
            count += 1
            mark = f"{self.seed}-{places.count}-{number}-{count}"
            return DiskBook(places.folder / mark) if self._disk else ListBook()

        return Side(number, self.question, purse, book, self._judge, self._pick, self._moment, self._tell)

    # -- moments

    def _moment(self, side: Side, name: str) -> None:
        left = self._fuses.get(side.number)
        if left is not None:
            self._fuses[side.number] = left - 1
            if left <= 1:
                del self._fuses[side.number]
                self.happened[f"killed where {name}"] += 1
                raise Killed
        attempt = side.attempt
        if attempt is not None and self._pick.random() < self._nested:
            # The other thread has its turn.
            if attempt.receiving and side.can_speak:
                side.speak()
            elif attempt.drawing and side.can_receive:
                side.receive()

    # -- the loop

    def run(self) -> Report:
        """Run the schedule to its end."""
        self._tell(f"{self.question.name}; faults: {self._left}")
        breach = None
        try:
            outcome = self._run()
            self._check_end(outcome)
        except Breach as error:
            outcome, breach = "BREACH", str(error)
        finally:
            for side in self.sides:
                side.purse.close()
        if any(side.copies for side in self.sides):
            self.happened["copies ignored"] += sum(side.copies for side in self.sides)
        self.happened["attempts"] += max(side.attempts for side in self.sides)
        return Report(self.seed, self.question.name, outcome, self.happened, breach)

    def _run(self) -> str:
        for _ in range(_STEPS):
            if self._left and self._pick.random() < self._often:
                self._left -= 1
                self._since = 0
                self._happen(faults.draw(self._pick))
            if (outcome := self._outcome()) is not None:
                return outcome
            steps = self._possible()
            if not steps:
                return self._stuck("nothing is left to do")
            weights = [weight for weight, _, _ in steps]
            _, side, step = self._pick.choices(steps, weights)[0]
            try:
                step()
            except Killed:
                self._say(f"side {side} is killed")
                self._killed(self.sides[side])
        return self._stuck("no end after many steps")

    def _say(self, line: str) -> None:
        self._tell(f"  -- {line}")

    def _possible(self) -> list[tuple[int, int, Callable[[], None]]]:
        for side in self.sides:
            self._void_if_alone(side)
        if self._link is None or self._idle(self._link):
            self._connect()
        steps: list[tuple[int, int, Callable[[], None]]] = []
        for side in self.sides:
            hears, speaks = self._eager[2 * side.number : 2 * side.number + 2]
            if side.number in self._to_begin and not self._linked().cut:
                steps.append((hears, side.number, lambda side=side: self._begin(side)))  # type: ignore[misc]
            elif self._impostor is not None and side is self._impostor.side:
                if self._impostor.can_step(self._linked()):
                    steps.append((hears, side.number, self._lie))
            else:
                if side.can_receive:
                    steps.append((hears, side.number, side.receive))
                if side.can_speak:
                    steps.append((speaks, side.number, side.speak))
                if side.can_end:
                    steps.append((1, side.number, lambda side=side: self._end(side)))  # type: ignore[misc]
        return steps

    def _idle(self, link: Link) -> bool:
        """Whether no process is left of the last attempt, and none comes any more."""
        up = any(side.attempt is not None for side in self.sides)
        lying = self._impostor is not None and not self._impostor.over
        return not (up or lying or (self._to_begin and not link.cut))

    def _linked(self) -> Link:
        if self._link is None:
            raise Breach("a step without a link")
        return self._link

    def _connect(self) -> None:
        """Open a link: both nodes begin an attempt."""
        self._link = Link(self._pick.choice((1, 2, 4, 30)))
        self._to_begin = set(SIDES)
        self._since += 1
        self._say("the link is up")
        if not self._left and self._since > _LAST_ATTEMPTS and not self._tampered:
            raise Breach(f"{self._since} attempts without a fault have not ended it")

    def _begin(self, side: Side) -> None:
        self._to_begin.discard(side.number)
        if self._impostor is not None and side is self._impostor.side:
            self._impostor.begin(self._linked())
            return
        side.begin(self._linked())

    def _lie(self) -> None:
        if self._impostor is not None:
            self._impostor.step(self._linked())

    def _end(self, side: Side) -> None:
        side.end()
        if side.attempt is None:
            self._left_alone(side)

    def _left_alone(self, side: Side) -> None:
        """Do what the nodes do once an attempt of ``side`` has ended."""
        self._linked().cut = True
        self._to_begin.discard(side.number)
        other = self.sides[1 - side.number]
        if side.final is not None and other.final is None:
            # The control stream tells the other node.
            other.fail("peer_aborted")

    def _void_if_alone(self, side: Side) -> None:
        """Drop a whole part whose partner's attempt has ended: both count, or none."""
        other = self.sides[1 - side.number]
        whole = side.attempt is not None and side.attempt.stage is Stage.COMPLETE
        if whole and other.attempt is None and not (self._impostor and self._impostor.side is other):
            side.attempt = None
            self._say(f"the whole part of side {side.number} is void")

    def _killed(self, side: Side) -> None:
        self._fuses.pop(side.number, None)
        if side.attempt is not None:
            side.die()
        else:
            self._linked().break_off(self._pick)
        self._left_alone(side)

    # -- faults

    def _happen(self, kind: str) -> None:
        side = self._pick.choice(self.sides)
        link = self._link
        if link is None or side.final is not None:
            return
        if kind in ("copy", "spoil", "swap", "skip"):
            what = faults.tamper(kind, link, self._pick)
            if what is None:
                return
            kind = what
        elif kind == "cut":
            if link.cut:
                return
            link.break_off(self._pick)
            self._to_begin.clear()
        elif kind == "fuse":
            self._fuses[side.number] = self._pick.randint(1, 14)
        elif kind == "input":
            side.change_input(self._pick)
        elif kind == "full":
            side.room = self._pick.randint(0, 6)
        elif kind == "impostor":
            if self._impostor is not None or side.run is None or not len(side.run.book):
                return
            if side.run.prepared is None:
                return  # its set was lost and is not prepared anew: there is nothing to tell a position of
            self._impostor = Impostor(side, self._pick)
            self._killed(side)
        else:
            self._killed(side)
            faults.harm(kind, side, self._pick)
        self._say(f"FAULT {kind}, side {side.number}")
        self.happened[kind] += 1
        self._tampered = self._tampered or kind in TAMPERING

    # -- the end

    def _outcome(self) -> str | None:
        finals = [side.final for side in self.sides]
        if any(finals):
            return "failed: " + " and ".join(sorted(str(final) for final in finals))
        if self._impostor is not None:
            return "the impostor gave up" if self._impostor.rounds > _ROUNDS else None
        stages = [side.attempt and side.attempt.stage for side in self.sides]
        return "done" if stages == [Stage.COMPLETE, Stage.COMPLETE] else None

    def _stuck(self, why: str) -> str:
        if not self._tampered:
            raise Breach(why)
        return "waits for ever"

    def _check_end(self, outcome: str) -> None:
        sides = [each for each in self.sides if self._impostor is None or each is not self._impostor.side]
        for side in sides:
            spent, reserved = side.purse.counted()
            if spent != len(side.released):
                raise Breach(f"side {side.number} has spent {spent} runs and released {len(side.released)}")
            if reserved > 1 or (side.final is not None and reserved):
                raise Breach(f"side {side.number} has {reserved} runs reserved at the end")
        if outcome.startswith("failed"):
            codes = {side.final for side in sides}
            if not self._tampered or not codes <= EXPLAINED:
                raise Breach(f"it has {outcome}, which no fault explains")
        if outcome == "done":
            self._check_done()

    def _check_done(self) -> None:
        runs = [side.attempt.run for side in self.sides if side.attempt is not None]
        editions = [run.edition for run in runs]
        for side in self.sides:
            truth = self.question.truth(side.number, editions)
            if truth is not None and side.learned != truth:
                raise Breach(f"side {side.number} has learned something else than plain sets tell")
        known = isinstance(self.question, Sum)
        if known or self._pick.random() < _UNCUT:
            seeds = tuple(run.seed for run in runs)
            self._check_uncut(runs, uncut(self.question, seeds, tuple(editions)))

    def _check_uncut(self, runs: Sequence[Run], plain: Uncut) -> None:
        for side, run in zip(self.sides, runs, strict=True):
            number = side.number
            if side.learned != plain.learned[number]:
                raise Breach(f"side {number} has learned something else than without faults")
            if (number, run.seed) in self._judge.excused:
                continue
            if self._judge.sequence(number, run.seed) != plain.messages[number]:
                raise Breach(f"side {number} has sent another sequence than without faults")
            # Copies and spoilt messages are masked, too, before they are found out.
            most = plain.computed[number] * (1 + run.losses)
            if run.computed > most and not self._tampered:
                raise Breach(f"side {number} has computed {run.computed} of {most} elements")
