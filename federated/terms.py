"""What a private grouped sum has to hold to: the part of the signed contract that its roles enforce (SPEC 10)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from typing import Final

from federated.keys import DEFAULT_BITS, KEY_BITS
from federated.noise import tail
from federated.slots import Field, Layout, plan_layout
from psi.errors import UsageError
from psi.suites import Suite
from psi.terms import CHUNK_ELEMENTS, MAX_SET

MATCHED: Final = "matched"
CONVERTERS: Final = "converters"
CONVERSIONS: Final = "conversions"
RETAINED: Final = "retained"
# Cells of one job; all their sums are one message.
MAX_CELLS: Final = 5_000
# Units (cell and exposure day) of one job; all of them are announced in one message.
MAX_UNITS: Final = 100_000
# Possible exposure days of one job: a year and a day.
MAX_DAYS: Final = 366
# Slots for tag values of one profile, and bytes of one column's value in a label.
MAX_TAGS: Final = 128
MAX_VALUE_BYTES: Final = 128


class SumRole(IntEnum):
    """The value holder has outcomes per person, the group holder has each person in exactly one cell."""

    VALUE_HOLDER = 3
    GROUP_HOLDER = 4

    @property
    def other(self) -> SumRole:
        return SumRole.GROUP_HOLDER if self is SumRole.VALUE_HOLDER else SumRole.VALUE_HOLDER


@dataclass(frozen=True, slots=True)
class ValueColumn:
    """A declared value column: bounds of one outcome row, in whole units of 1/scale (``low <= value <= high``)."""

    name: str
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class WindowTerms:
    """An outcome counts if 0 <= its day - exposure day <= ``days``, in calendar days of the contract's zone.

    ``retention_days``: a converter counts as retained with an outcome so many days or more after the first one
    that counts; ``None`` where nobody asks.
    """

    days: int
    retention_days: int | None = None


@dataclass(frozen=True, slots=True)
class SumTerms:
    """Parameters of one grouped sum, equal on both sides because both derive them from one contract.

    ``contract`` is the contract's hash; ``readers`` are the roles that read the table; ``stages`` the value
    holder's stages in order (funnel); ``values`` its value columns; ``tag_columns`` its tag columns, whose values
    it announces and which have one 0/1 slot each (profile). ``label_parts`` is the number of group columns and
    ``arm_part`` the place of the arm among them, whose values have totals of their own (lift). ``max_rows`` is the
    most outcome rows that count for one person. ``epsilon`` is the privacy loss of what each reader learns of one
    person over all figures; ``None`` adds no noise. ``dominance`` is the least value of (sum)^2 / (sum of squares)
    of a released value.
    """

    contract: bytes
    suite: Suite
    readers: frozenset[SumRole]
    customers: bool = False
    stages: tuple[str, ...] = ()
    values: tuple[ValueColumn, ...] = ()
    tag_columns: tuple[str, ...] = ()
    window: WindowTerms | None = None
    max_rows: int = 100
    value_limit: int = MAX_SET
    group_limit: int = MAX_SET
    min_group: int = 50
    min_converters: int = 10
    dominance: int = 10
    epsilon: Fraction | None = None
    label_parts: int = 0
    arm_part: int | None = None
    key_bits: int = DEFAULT_BITS
    chunk_elements: int = CHUNK_ELEMENTS

    def __post_init__(self) -> None:
        if len(self.contract) != 32:
            raise UsageError("a contract hash has 32 bytes", code="bad_contract")
        if not self.readers:
            raise UsageError("somebody has to read the table", code="bad_contract")
        if self.key_bits not in KEY_BITS:
            raise UsageError(
                f"key_bits = {self.key_bits} is not offered.",
                hint=f"use one of {', '.join(map(str, KEY_BITS))}",
            )
        if not 1 <= self.chunk_elements <= CHUNK_ELEMENTS:
            raise UsageError(f"chunks hold 1 to {CHUNK_ELEMENTS} elements, not {self.chunk_elements}")

    def limit(self, role: SumRole) -> int:
        """Largest set of ``role``, in persons."""
        return self.value_limit if role is SumRole.VALUE_HOLDER else self.group_limit

    def reads(self, role: SumRole) -> bool:
        """Whether ``role`` reads the table."""
        return role in self.readers

    @property
    def outcome_fields(self) -> tuple[str, ...]:
        """Names of what ``ValueSet.outcomes`` gives per person and day, in order; no squares."""
        names = [MATCHED, CONVERTERS, CONVERSIONS, *(stage_field(stage) for stage in self.stages)]
        if self.window is not None and self.window.retention_days is not None:
            names.append(RETAINED)
        return (*names, *(sum_field(column.name) for column in self.values))

    def fields(self, tags: int = 0, sums: int = 1) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
        """Return the layout's fields: counts that the value holder reads in clear, and masked values.

        ``tags`` is the number of tag slots that the value holder announced, ``sums`` the most sums that can be
        added up once each has its noise.
        """
        plain = [
            (name, 0, 1) if name not in (CONVERSIONS,) else (name, 0, self.max_rows)
            for name in self.outcome_fields
            if not name.startswith("sum:")
        ]
        counts, rest = plain[:2], plain[2:]
        for column in self.values:
            low, high = min(0, self.max_rows * column.low), max(0, self.max_rows * column.high)
            rest.append((sum_field(column.name), low, high))
            rest.append((square_field(column.name), 0, max(low * low, high * high)))
        rest += [(tag_field(number), 0, 1) for number in range(tags)]
        # The value holder adds its own noise once more, to each sum and to each joint one.
        draws = 2 * sums
        return (
            tuple(self._field(*each, draws) for each in counts),
            tuple(self._field(*each, draws) for each in rest),
        )

    def layout(self, *, rows: int, days: int, tags: int = 0, sums: int = 2 * MAX_CELLS) -> Layout:
        """Return the layout for sums over at most ``rows`` persons, at most ``sums`` of them.

        Raises ``UsageError`` if it does not fit.
        """
        counts, values = self.fields(tags, sums)
        return plan_layout(counts, values, rows=rows, modulus_bits=self.key_bits, days=days)

    def noise_scale(self, field: str, low: int, high: int) -> Fraction | None:
        """Return the scale of the noise on ``field``, or ``None`` without noise (SPEC 13)."""
        if self.epsilon is None:
            return None
        # One person changes one cell by at most the bounds of each field, so epsilon is parted evenly over the
        # fields: outcomes, squares, and one for each tag column, of which a person has one tag.
        parts = len(self.outcome_fields) + len(self.values) + len(self.tag_columns)
        return Fraction(max(abs(low), abs(high)), 1) * parts / self.epsilon

    def noise_variances(self, tags: int = 0) -> dict[str, float]:
        """Return the variance of one side's noise on each figure; 0 without noise.

        Var = 2 x / (1 - x)^2 with x = e^(-1/scale).
        """
        variances = {}
        for each in (field for group in self.fields(tags) for field in group):
            scale = self.noise_scale(each.name, each.low, each.high)
            # expm1, because with a large scale x is 1 to all digits of a float.
            step = -1 / scale if scale else -math.inf
            variances[each.name] = 2 * math.exp(step) / math.expm1(step) ** 2
        return variances

    def _field(self, name: str, low: int, high: int, draws: int) -> Field:
        scale = self.noise_scale(name, low, high)
        return Field(name, low, high, 0 if scale is None or scale == 0 else draws * tail(scale))


def sum_field(column: str) -> str:
    """Name the slot with the sum of ``column``."""
    return f"sum:{column}"


def square_field(column: str) -> str:
    """Name the slot with the sum of the squares of each person's total of ``column``."""
    return f"square:{column}"


def stage_field(stage: str) -> str:
    """Name the slot with the persons who reached ``stage`` or a later one."""
    return f"stage:{stage}"


def tag_field(number: int) -> str:
    """Name the slot of announced tag ``number``."""
    return f"tag:{number}"
