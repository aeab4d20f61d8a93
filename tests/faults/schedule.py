"""What goes wrong in a trial, and when: everything follows from one number, so that a trial can be repeated."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

SIDES: Final = ("bank", "platform")
# In which phases each side's job process can be met, by question. "start" is before it has done anything, "kept-4"
# once four messages of the partner are durable.
_BEFORE: Final = ("start", "agree", "read", "order")
_KEPT: Final = ("kept-1", "kept-4", "kept-16")
_MATCH: Final = (*_BEFORE, "exchange", *_KEPT, "write")
_SUM: Final = {
    "bank": (*_BEFORE, "encrypt", *_KEPT, "write"),
    "platform": (*_BEFORE, "collect", *_KEPT, "write"),
}
PHASES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    **{name: dict.fromkeys(SIDES, _MATCH) for name in ("overlap", "audience", "both", "large")},
    **dict.fromkeys(("measure", "lift"), _SUM),
}
QUESTIONS: Final = tuple(PHASES)
_COURSE: Final = ("drafted", *_BEFORE, "exchange", "encrypt", "collect", *_KEPT, "write")
# Kind of fault -> how often it is drawn.
WEIGHTS: Final[Mapping[str, int]] = {
    "kill": 14,
    "fsync": 6,  # killed at the N-th flush to the disk
    "link": 12,
    "spoil": 4,  # bytes changed on the wire
    "stop": 5,  # SIGSTOP, later SIGCONT
    "restart": 4,  # told to end, and started again
    "disk_full": 3,
    "disk_error": 2,  # flushes fail for a while
    "locked": 3,  # another process writes to the store
    "database": 2,  # PostgreSQL stops and comes back
    "clock": 3,
    "certificate": 1,  # the partner's runs out in the middle, after it was renewed
    "cancel": 3,
    "revoke": 1,  # the partner loses its access in the middle, for good
}
# These are alone in their schedule: what else goes wrong would decide how they end.
_ALONE: Final = ("certificate", "revoke")
_LINKS: Final = ("fin", "rst", "half", "hang", "refuse", "delay", "slow")
_TARGETS: Final = ("job", "node", "both jobs", "both nodes", "machine", "worker")


@dataclass(frozen=True, slots=True)
class Moment:
    """When: ``side``'s job process begins ``phase`` (``drafted``: before there is one), and ``delay`` seconds later.

    ``held``: the process waits at the phase until the fault has begun.
    """

    side: str
    phase: str
    delay: float
    held: bool

    @property
    def order(self) -> int:
        """Where the moment is in the course of a job, roughly."""
        return _COURSE.index(self.phase)

    def __str__(self) -> str:
        if self.phase == "drafted":
            return f"{self.delay:.2f} s after the approval"
        return f"{'at' if self.held else f'{self.delay:.2f} s after'} {self.side}:{self.phase}"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: its kind, at what (``side``, ``how``), for how many ``seconds``; ``number``: which flush or way.

    What follows after ``seconds``: a link heals, a node is started again, a clock is set right, space is freed.
    """

    kind: str
    side: str
    how: str
    moment: Moment
    seconds: float
    number: int = 0

    def __str__(self) -> str:
        number = f" {self.number}" if self.number else ""
        return f"{self.kind} {self.side} {self.how}{number} for {self.seconds:.1f} s {self.moment}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """One trial. ``store``: where the bank keeps its jobs; ``portable``: masking goes without the accelerator."""

    seed: int
    question: str
    store: str
    portable: bool
    faults: tuple[Fault, ...]

    def has(self, kind: str) -> bool:
        """Whether a fault of ``kind`` is among them."""
        return any(fault.kind == kind for fault in self.faults)

    @property
    def in_memory(self) -> tuple[str, ...]:
        """The sides whose disk is filled."""
        return tuple({fault.side for fault in self.faults if fault.kind == "disk_full"})

    def __str__(self) -> str:
        faults = "; ".join(map(str, self.faults))
        masking = ", portable" if self.portable else ""
        return f"seed {self.seed}: {self.question} on {self.store}{masking}: {faults}"


def schedule_of(seed: int) -> Schedule:
    """Return the schedule of ``seed``."""
    draw = random.Random(f"veiljoin faults {seed}")
    question = draw.choice(QUESTIONS)
    kinds = draw.choices(list(WEIGHTS), list(WEIGHTS.values()), k=draw.choices((1, 2, 3, 4), (4, 3, 2, 1))[0])
    kinds = next(([kind] for kind in kinds if kind in _ALONE), kinds)
    # In the order in which a job comes to their moments; all that are drawn can then be met.
    faults = tuple(
        sorted((_fault(kind, question, draw) for kind in kinds), key=lambda fault: fault.moment.order)
    )
    store = "postgresql" if "database" in kinds or draw.random() < 0.1 else "sqlite"
    if store == "postgresql":
        # Only a file can be locked as a whole, and the platform's store always is one.
        faults = tuple(replace(each, side="platform") if each.kind == "locked" else each for each in faults)
    portable = draw.random() < 0.2
    return Schedule(seed, question, store, portable, faults)


def _fault(kind: str, question: str, draw: random.Random) -> Fault:
    side = draw.choice(SIDES)
    moment = _moment(question, draw)
    # Before the job is proposed there is no process of it.
    inside = replace(moment, phase="read") if moment.phase == "drafted" else moment
    match kind:
        case "kill":
            how = draw.choices(_TARGETS, (6, 5, 2, 2, 2, 2))[0]
            if how == "worker":
                # Not held: a process that waits has none.
                encrypts = "encrypt" in PHASES[question]["bank"] and draw.random() < 0.5
                side, phase = ("bank", "encrypt") if encrypts else (side, "read")
                return Fault(kind, side, how, Moment(side, phase, draw.uniform(0, 0.3), False), 0.0)
            at = inside if "job" in how else moment
            side = "both" if how.startswith("both") else side
            return Fault(kind, side, how, at, draw.uniform(0, 2))
        case "fsync":
            if draw.random() < 0.6:
                # From its first instruction on, so that the number says which flush.
                start = Moment(side, "start", 0.0, True)
                flushes = 30 if PHASES[question]["bank"] == _MATCH else 12
                return Fault(kind, side, "job", start, 60.0, draw.randint(1, flushes))
            return Fault(kind, side, "node", moment, 30.0, draw.randint(1, 6))
        case "link":
            how = draw.choice(_LINKS)
            seconds = draw.choice((0.5, 2, 6, 9)) if how in ("hang", "refuse") else draw.uniform(1, 5)
            return Fault(kind, "both", how, moment, seconds, draw.randint(0, 1))
        case "spoil":
            how = draw.choice(("corrupt", "duplicate", "reorder", "drop"))
            return Fault(kind, "both", how, moment, 1.0, draw.randint(0, 1))
        case "stop":
            seconds = draw.choices((1, 4, 8, 24), (5, 4, 2, 1))[0]
            return Fault(kind, side, draw.choice(("job", "node")), inside, seconds)
        case "restart":
            how = draw.choice(("node", "node", "both nodes"))
            return Fault(kind, "both" if how == "both nodes" else side, how, moment, draw.uniform(0, 3))
        case "disk_full":
            return Fault(kind, side, "home", moment, draw.uniform(1, 5))
        case "disk_error":
            return Fault(kind, side, draw.choice(("job", "node")), inside, draw.uniform(1, 3))
        case "locked":
            return Fault(kind, side, "store", moment, draw.choice((1, 5, 12, 23)))
        case "database":
            return Fault(kind, "bank", draw.choice(("fast", "immediate")), moment, draw.choice((0.5, 3, 13)))
        case "clock":
            ahead = draw.choice((-86_400, -3_600, -60, 60, 3_600, 86_400))
            return Fault(kind, side, "home", moment, draw.uniform(2, 6), ahead)
        case "certificate":
            phase = draw.choice(PHASES[question][side][1:])
            how = draw.choice(("renewed", "outlived"))
            return Fault(kind, "platform", how, Moment(side, phase, 0.0, True), 0.0)
        case "cancel":
            return Fault(kind, side, "person", moment, 0.0)
        case "revoke":
            return Fault(kind, "platform", "partner", moment, 0.0)
    raise ValueError(kind)


def _moment(question: str, draw: random.Random) -> Moment:
    side = draw.choice(SIDES)
    if draw.random() < 0.1:
        return Moment(side, "drafted", draw.uniform(0, 2), False)
    phase = draw.choice(PHASES[question][side])
    if draw.random() < 0.5:
        return Moment(side, phase, 0.0, True)
    return Moment(side, phase, draw.choice((0.0, 0.05, 0.2, 0.5)) * draw.uniform(0.5, 1.5), False)
