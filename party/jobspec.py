"""What a joint job is, once its job file was read and checked: plain data that all of ``party`` works from.

``party.jobfile`` makes these from a file and hands them on; nothing here checks or reads anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from federated.keys import DEFAULT_BITS
from party.identifiers import Form
from psi.suites import Suite

SIDES: Final = ("bank", "platform")
DEFAULT_MIN_GROUP: Final = 50
DEFAULT_MAX_SET: Final = 50_000_000
DEFAULT_MIN_CONVERTERS: Final = 10
DEFAULT_DOMINANCE: Final = 10
DEFAULT_MAX_ROWS: Final = 100
DEFAULT_SCALE: Final = 100
DEFAULT_TIMEZONE: Final = "Asia/Shanghai"
CONVERTERS_BASE: Final = "converters"
CUSTOMERS_BASE: Final = "customers"


class JobKind(StrEnum):
    """The kinds of a joint job: the first two are private matches, the others private grouped sums."""

    OVERLAP = "overlap"
    AUDIENCE = "audience"
    PROFILE = "profile"
    MEASURE = "measure"
    LIFT = "lift"
    FUNNEL = "funnel"

    @property
    def is_sum(self) -> bool:
        """Whether the job is a private grouped sum."""
        return self not in (JobKind.OVERLAP, JobKind.AUDIENCE)


MATCH_KINDS: Final = tuple(kind.value for kind in JobKind if not kind.is_sum)
SUM_KINDS: Final = tuple(kind.value for kind in JobKind if kind.is_sum)
KINDS: Final = (*MATCH_KINDS, *SUM_KINDS)


def other_side(side: str) -> str:
    """Return the partner of ``side``."""
    return "platform" if side == "bank" else "bank"


@dataclass(frozen=True, slots=True)
class ValueSpec:
    """A value column with the declared bounds of one row, in whole units of 1/``scale`` (100: cents)."""

    column: str
    low: int
    high: int
    scale: int = DEFAULT_SCALE


@dataclass(frozen=True, slots=True)
class Window:
    """Which outcomes count: those 0 to ``days`` calendar days after the exposure, in ``timezone`` (IANA name).

    ``exposure`` (first | last) says which of a person's exposures decides. ``retention_days`` (funnel): a person
    who is active again so many days or more after the first outcome that counts is retained; ``None``: not asked.
    """

    days: int
    exposure: str = "first"
    timezone: str = DEFAULT_TIMEZONE
    retention_days: int | None = None


@dataclass(frozen=True, slots=True)
class Arms:
    """The arms of a lift: the group column that tells them, the control arm, and its planned share of persons."""

    column: str
    control: str
    control_share: float | None = None


@dataclass(frozen=True, slots=True)
class SumSpec:
    """What a private grouped sum has beyond the common part of a job.

    ``value_holder`` is the side with the outcomes, ``base`` (converters | customers) whom it sends. ``dominance``
    is the least (sum)^2 / (sum of squares) of a released value, 0 for no such rule. ``max_rows`` is the most outcome
    rows of a person that count. ``epsilon`` is the privacy loss per reader, ``None`` for no noise. ``outside``
    (clip | reject) is what happens to a value outside its bounds.
    """

    value_holder: str = "bank"
    base: str = CONVERTERS_BASE
    key_bits: int = DEFAULT_BITS
    window: Window | None = None
    arms: Arms | None = None
    min_converters: int = DEFAULT_MIN_CONVERTERS
    dominance: int = DEFAULT_DOMINANCE
    max_rows: int = DEFAULT_MAX_ROWS
    epsilon: Fraction | None = None
    outside: str = "clip"

    @property
    def group_holder(self) -> str:
        """The other side than the value holder: the one that has each person in a cell."""
        return other_side(self.value_holder)


@dataclass(frozen=True, slots=True)
class SideSpec:
    """One party's part of a job file: which column is what, and how its file is read.

    In a grouped sum ``tags`` and ``values`` are the value holder's, ``groups`` (a lift's arm column among them) and
    ``cost`` the group holder's; ``time`` and ``stages`` can be of either.
    """

    identifier: str
    tier: str | None = None
    tiers: tuple[str, ...] = ()
    keep: str = "first"
    region: str = "CN"
    delimiter: str | None = None
    encoding: str | None = None
    time: str | None = None
    stages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    values: tuple[ValueSpec, ...] = ()
    groups: tuple[str, ...] = ()
    cost: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that this side's dataset must have, each once, the identifier first."""
        named = (self.identifier, self.tier, self.time, self.cost)
        values = (value.column for value in self.values)
        every = (*(name for name in named if name), *self.stages, *self.tags, *values, *self.groups)
        return tuple(dict.fromkeys(every))


@dataclass(frozen=True, slots=True)
class Job:
    """A job file that was read and checked; ``source`` is its path, for messages.

    ``sums`` is there for the kinds that are grouped sums, and only there. ``output`` and ``holdout`` are an
    audience's. ``receiver`` (bank | platform | both) is who learns the result. ``keep_seed`` (bank | platform | both)
    is who keeps its seed for its auditor; ``None`` is nobody.
    """

    source: str
    kind: JobKind
    purpose: str
    form: Form
    suite: Suite
    receiver: str
    bank: SideSpec
    platform: SideSpec
    output: str = "matched"
    holdout: float = 0.0
    min_group: int = DEFAULT_MIN_GROUP
    max_set: int = DEFAULT_MAX_SET
    sums: SumSpec | None = None
    keep_seed: str | None = None

    def side(self, name: str) -> SideSpec:
        """Return the part of ``bank`` or ``platform``."""
        return self.bank if name == "bank" else self.platform

    @property
    def both(self) -> bool:
        """Whether both parties receive the result."""
        return self.receiver == "both"

    @property
    def receivers(self) -> tuple[str, ...]:
        """The parties that learn the result, the bank first."""
        return SIDES if self.both else (self.receiver,)

    @property
    def seed_keepers(self) -> tuple[str, ...]:
        """The parties that keep their seed for their auditor, the bank first."""
        if self.keep_seed is None:
            return ()
        return SIDES if self.keep_seed == "both" else (self.keep_seed,)

    @property
    def protocol_receiver(self) -> str:
        """The party in the receiver's role of a match; with two receivers the platform, so the bank sends first."""
        return "platform" if self.both else self.receiver

    @property
    def protocol_sender(self) -> str:
        """The party in the sender's role of a match."""
        return other_side(self.protocol_receiver)

    @property
    def label_columns(self) -> tuple[str, ...]:
        """Names of the parts of a cell's label, in order: the group columns, in a funnel after ``stage``."""
        if self.sums is None:
            return ()
        groups = self.side(self.sums.group_holder).groups
        return ("stage", *groups) if self.kind is JobKind.FUNNEL else groups
