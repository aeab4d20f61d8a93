"""Slots: many signed counts and sums in one plaintext, with room computed so that nothing can overflow (SPEC 6).

A block, from its lowest bit: guard bits (with windows only), the counts, the values on top. A plaintext holds one
block, or with windows one block per possible exposure day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from federated.keys import KEY_BITS, PLAINTEXT_MARGIN
from psi.errors import UsageError

# A uniform mask this much longer than what it hides leaves a statistical distance below 2^-40.
MASK_BITS: Final = 40
# Above a masked region: the mask's excess, one carry and one bit for the mask's own lower bound (SPEC 7.2).
GUARD_BITS: Final = MASK_BITS + 2


@dataclass(frozen=True, slots=True)
class Field:
    """One figure of a person: ``low <= value <= high`` after clipping, plus noise of magnitude up to ``tail``.

    Raises ``ValueError`` for bounds the wrong way round and a negative tail.
    """

    name: str
    low: int
    high: int
    tail: int = 0

    def __post_init__(self) -> None:
        if self.low > self.high or self.tail < 0:
            raise ValueError(f"field {self.name!r} has impossible bounds")

    def reach(self, rows: int) -> int:
        """Return the largest magnitude of a sum over at most ``rows`` persons with noise."""
        return rows * max(abs(self.low), abs(self.high)) + self.tail

    def width(self, rows: int) -> int:
        """Return the bits of the slot: one for the sign and those of :meth:`reach`."""
        return 1 + self.reach(rows).bit_length()

    def clip(self, value: int) -> int:
        """Return ``value``, or the bound that it exceeds."""
        return max(self.low, min(self.high, value))


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies. Made by :func:`plan_layout`; all sizes in bits, from the lowest.

    ``rows`` is the most persons that a sum can be over. ``days`` possible exposure days (1: no window) lie
    ``days_per_ciphertext`` to a plaintext.
    """

    counts: tuple[Field, ...]
    values: tuple[Field, ...]
    rows: int
    days: int
    modulus_bits: int
    days_per_ciphertext: int

    @property
    def guard(self) -> int:
        """Guard bits at the bottom of each block."""
        return GUARD_BITS if self.days > 1 else 0

    @property
    def count_bits(self) -> int:
        """Width of the counts of a block."""
        return sum(field.width(self.rows) for field in self.counts)

    @property
    def value_bits(self) -> int:
        """Width of the values of a block."""
        return sum(field.width(self.rows) for field in self.values)

    @property
    def block(self) -> int:
        """Width of a block."""
        return self.guard + self.count_bits + self.value_bits

    @property
    def ciphertexts(self) -> int:
        """Ciphertexts per person."""
        return -(-self.days // self.days_per_ciphertext)

    def place(self, day: int) -> tuple[int, int]:
        """Return (ciphertext, block in it) of exposure day 0 to ``days - 1``; else ``ValueError``."""
        if not 0 <= day < self.days:
            raise ValueError(f"exposure day {day} is not one of {self.days}")
        return divmod(day, self.days_per_ciphertext)

    def pack(self, days: Sequence[tuple[Sequence[int], Sequence[int]]]) -> tuple[int, ...]:
        """Return one person's plaintexts from its (counts, values) for each exposure day.

        Raises :class:`~psi.errors.UsageError` that names the field for a figure outside its bounds (clip before,
        where the contract says clip), and ``ValueError`` for other numbers of days or figures than the layout has.
        """
        if len(days) != self.days:
            raise ValueError(f"{len(days)} exposure days where the layout has {self.days}")
        plaintexts = [0] * self.ciphertexts
        for day, (counts, values) in enumerate(days):
            ciphertext, position = self.place(day)
            plaintexts[ciphertext] += self._block(counts, values) << position * self.block
        return tuple(plaintexts)

    def unpack_counts(self, region: int) -> tuple[tuple[int, ...], int]:
        """Return the counts at the low end of ``region`` (guard bits removed) and what lies above them."""
        return _unsign_all(region, self.counts, self.rows)

    def unpack_values(self, region: int) -> tuple[int, ...]:
        """Return the values at the low end of ``region`` (guard and counts removed)."""
        return _unsign_all(region, self.values, self.rows)[0]

    def unpack(self, plaintext: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return (counts, values) of a sum without window and without mask."""
        if self.days > 1:
            raise ValueError("a sum over exposure days is read with federated.windows")
        counts, rest = self.unpack_counts(plaintext)
        return counts, self.unpack_values(rest)

    def noise(self, counts: Sequence[int], values: Sequence[int]) -> int:
        """Return noise packed like figures, for block 0. Raises ``ValueError`` beyond a field's tail."""
        fields = (*self.counts, *self.values)
        for field, figure in zip(fields, (*counts, *values), strict=True):
            if abs(figure) > field.tail:
                raise ValueError(f"noise on field {field.name!r} is larger than its slot has room for")
        return self._place(counts, values)

    def _block(self, counts: Sequence[int], values: Sequence[int]) -> int:
        fields = (*self.counts, *self.values)
        if len(counts) != len(self.counts) or len(values) != len(self.values):
            raise ValueError("a block has one figure for each field of the layout")
        for field, figure in zip(fields, (*counts, *values), strict=True):
            if not field.low <= figure <= field.high:
                raise UsageError(
                    f"A value of {field.name!r} lies outside its declared bounds.",
                    hint=f"Declare wider bounds than {field.low} to {field.high}, or clip.",
                )
        return self._place(counts, values)

    def pack_values(self, values: Sequence[int]) -> int:
        """Return values packed alone, modulo 2^value_bits: what :meth:`unpack_values` reads once it is signed."""
        offsets = list(self.offsets())[len(self.counts) :]
        below = self.guard + self.count_bits
        region = sum(figure << offset - below for figure, offset in zip(values, offsets, strict=True))
        return region & (1 << self.value_bits) - 1

    def _place(self, counts: Sequence[int], values: Sequence[int]) -> int:
        offsets = self.offsets()
        return sum(figure << offset for figure, offset in zip((*counts, *values), offsets, strict=True))

    def offsets(self) -> Iterator[int]:
        """Yield the lowest bit of each field within a block, counts first."""
        offset = self.guard
        for field in (*self.counts, *self.values):
            yield offset
            offset += field.width(self.rows)


def plan_layout(
    counts: Sequence[Field],
    values: Sequence[Field],
    *,
    rows: int,
    modulus_bits: int,
    days: int = 1,
) -> Layout:
    """Return the layout of a contract: as many days to a plaintext as fit.

    Raises :class:`~psi.errors.UsageError` when not even one block with its mask fits (SPEC 6.2), and
    ``ValueError`` for no fields, no rows, no days or a key length that is not offered.
    """
    if not (counts or values) or rows < 1 or days < 1 or modulus_bits not in KEY_BITS:
        raise ValueError("a layout has fields, rows, days and a known key length")
    room = modulus_bits - PLAINTEXT_MARGIN - GUARD_BITS
    single = Layout(tuple(counts), tuple(values), rows, days, modulus_bits, 1)
    if single.block > room:
        raise UsageError(
            f"The figures of one person need {single.block} bits, and a {modulus_bits}-bit key holds {room}.",
            hint="Ask for fewer values, declare narrower bounds or a lower row limit, or take a 3072-bit key.",
        )
    # The target block is in the middle, with J - 1 covered blocks on each side: (2 J - 1) blocks (SPEC 7.2).
    fitting = (room // single.block + 1) // 2
    return Layout(tuple(counts), tuple(values), rows, days, modulus_bits, min(days, fitting))


def unsign(region: int, width: int) -> tuple[int, int]:
    """Return the signed number in the lowest ``width`` bits, and what is left above it once it is taken away."""
    low = region & (1 << width) - 1
    if low >> width - 1:
        low -= 1 << width
    return low, (region - low) >> width


def _unsign_all(region: int, fields: Sequence[Field], rows: int) -> tuple[tuple[int, ...], int]:
    figures = []
    for field in fields:
        figure, region = unsign(region, field.width(rows))
        figures.append(figure)
    return tuple(figures), region
