"""Covering and reading sums: what the value holder may see of a cell, day blocks included (SPEC 7).

Pure arithmetic on plaintexts; the engine does the same on ciphertexts (``shift`` multiplies by 2^bits, ``add_plain``
adds the cover). A unit's day block comes to position J - 1 of 2 J - 1; everything else is covered.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from federated.keys import PLAINTEXT_MARGIN
from federated.slots import MASK_BITS, Layout, unsign
from federated.stream import KeyStream

# A cover reads the stream from its index times this many bytes on; a cover is shorter than two plaintexts.
_COVER_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Cover:
    """The group holder's cover of one cell: ``mask`` is added to the sum, ``opening`` is revealed later, or never.

    ``opening`` is the mask of the value slots alone; the rest of ``mask`` is never revealed.
    """

    mask: int = field(repr=False)
    opening: int = field(repr=False)


@dataclass(frozen=True, slots=True)
class Covered:
    """What the value holder reads of a covered cell: counts in clear, the value slots still masked."""

    counts: tuple[int, ...] = field(repr=False)
    masked: int = field(repr=False)


def shift_bits(layout: Layout, day: int) -> int:
    """Return by how many bits the sum over a unit of exposure day ``day`` is shifted up (SPEC 7.1)."""
    _, position = layout.place(day)
    return layout.block * (layout.days_per_ciphertext - 1 - position)


def place_noise(layout: Layout, packed: int) -> int:
    """Return noise that was packed by :meth:`~federated.slots.Layout.noise`, at the target block."""
    return packed << layout.block * (layout.days_per_ciphertext - 1)


def cover(layout: Layout, stream: KeyStream, index: int) -> Cover:
    """Return cover ``index`` of the stream; an index serves one cell only (SPEC 7.2).

    The part below the target block is uniform over its width and 40 bits more, and moved up by its width, so that
    the covered sum there is never negative and ends within the guard bits. The part from the value slots of the
    target block upward is uniform up to the last bit that a plaintext has room for, which is at least 40 bits more
    than an honest sum has: else a value holder could write into the unused top of its plaintexts and read it in
    clear.
    """
    below = layout.block * (layout.days_per_ciphertext - 1)
    start = index * _COVER_BYTES
    lower = (1 << below) + stream.bits(start, below + MASK_BITS) if below else 0
    offset = below + layout.guard + layout.count_bits
    upper = stream.bits(start + _COVER_BYTES // 2, layout.modulus_bits - PLAINTEXT_MARGIN - 1 - offset)
    return Cover(lower + (upper << offset), upper & (1 << layout.value_bits) - 1)


def read(layout: Layout, plaintext: int) -> Covered:
    """Return what a covered sum shows of the target block."""
    below = layout.block * (layout.days_per_ciphertext - 1)
    # With blocks below, the covered part is in [0, 2^(below + guard)): cutting it off is exact.
    counts, rest = layout.unpack_counts(plaintext >> below + layout.guard)
    return Covered(counts, rest & (1 << layout.value_bits) - 1)


def open_values(layout: Layout, covered: Covered, opening: int) -> tuple[int, ...]:
    """Return the values of a cell whose mask was revealed. Raises ``ValueError`` for an opening out of range."""
    if not 0 <= opening < 1 << layout.value_bits:
        raise ValueError("an opening is as long as the value slots")
    if not layout.values:
        return ()
    region, _ = unsign(covered.masked - opening, layout.value_bits)
    return layout.unpack_values(region)
