"""What goes wrong in a simulated protocol run, and what that may explain."""

from __future__ import annotations

import random
from collections import deque
from typing import Final

from tests.simulate.side import Side
from tests.simulate.wire import Link, Parcel

# Kind -> how often it is drawn.
WEIGHTS: Final[dict[str, int]] = {
    "cut": 12,  # the link, at another place in each direction
    "kill": 8,  # a side between two steps
    "fuse": 16,  # a side at one of its next moments, within a step
    "power": 4,  # a side's machine: what was not flushed is gone
    "tear": 4,  # a side's disk has lied: the end of its journal is gone or torn, but for the announcement
    "tear all": 1,  # the same, the announcement too
    "lost": 3,  # a side's seed or folder is gone
    "unprepared": 2,  # a side's prepared set is gone
    "input": 3,  # a side's file changes
    "full": 3,  # a side's disk is full, soon
    "copy": 8,  # a message comes twice
    "spoil": 2,  # bits of a message change
    "swap": 2,  # two messages change places
    "skip": 2,  # a message is left out
    "impostor": 1,  # a partner comes back with another announcement under its old position
}
# A partner that does this may meet a violation, or wait for what never comes. It may not be believed.
TAMPERING: Final = frozenset({"spoil", "swap", "skip", "impostor", "copied position"})
# Of these the honest side may end with an error of its own.
EXPLAINED: Final = frozenset({"peer_violation", "peer_aborted"})


def draw(pick: random.Random) -> str:
    """Draw a kind."""
    return pick.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]


def harm(kind: str, side: Side, pick: random.Random) -> None:
    """Let a machine fault of ``kind`` happen to what ``side`` keeps, once its process is gone."""
    run = side.run
    if run is None:
        return
    match kind:
        case "power":
            for memo in (run.sets, run.points):
                memo.lose(pick)
            run.losses += 1
        case "tear":
            run.book.tear(pick, 1)
        case "tear all":
            run.book.tear(pick, 0)
            side.judge.excused.add((side.number, run.seed))
        case "lost":
            run.book.close()
            side.run = None
        case "unprepared":
            run.prepared = run.standing = None
            run.losses += 1
            if pick.random() < 0.5:
                side.change_input(pick)


def tamper(kind: str, link: Link, pick: random.Random) -> str | None:
    """Let something happen to a message on its way; returns the kind, ``None`` where there is no such message."""
    ways = [number for number in (0, 1) if link.ways[number]]
    if kind == "copy":
        ways = [number for number in (0, 1) if link.past[number] or link.ways[number]]
    if kind == "swap":
        ways = [number for number in ways if len(link.ways[number]) > 1]
    if not ways or link.cut:
        return None
    number = pick.choice(ways)
    way = link.ways[number]
    if kind == "copy":
        parcel = pick.choice([*link.past[number], *way])
        if type(parcel.message).__name__ == "Position" and pick.random() < 0.9:
            return None
        way.insert(_behind(way, parcel, pick), parcel)
        return "copied position" if type(parcel.message).__name__ == "Position" else "copy"
    place = pick.randrange(len(way) - (kind == "swap"))
    if kind == "swap":
        way[place], way[place + 1] = way[place + 1], way[place]
    elif kind == "skip":
        del way[place]
    else:
        encoded = bytearray(way[place].encoded)
        encoded[pick.randrange(len(encoded))] ^= 1 << pick.randrange(8)
        way[place] = Parcel(way[place].message, bytes(encoded), spoilt=True)
    return kind


def _behind(way: deque[Parcel], parcel: Parcel, pick: random.Random) -> int:
    """Return a place behind the original."""
    first = next((place + 1 for place, each in enumerate(way) if each is parcel), 0)
    return pick.randint(first, len(way))
