"""Windows: shifted, added up and covered, one block comes out right and nothing else does."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from federated import windows
from federated.engine import PaillierEngine
from federated.slots import GUARD_BITS, MASK_BITS, Field, Layout, plan_layout
from federated.stream import StreamKey
from tests.federated.keys_for_tests import STREAM_KEY, private_key, stream
from tests.federated.test_slots import layouts

Block = tuple[tuple[int, ...], tuple[int, ...]]


def figure(draw: random.Random, field: Field) -> int:
    """Return a figure, often at a bound."""
    return draw.choice([field.low, field.high, draw.randint(field.low, field.high)])


def person(layout: Layout, draw: random.Random) -> list[Block]:
    """Return a person's figures for each exposure day."""
    return [
        (
            tuple(figure(draw, field) for field in layout.counts),
            tuple(figure(draw, field) for field in layout.values),
        )
        for _ in range(layout.days)
    ]


def add_blocks(layout: Layout, blocks: list[Block]) -> Block:
    """Return the plain sums, figure by figure."""
    return (
        tuple(sum(block[0][i] for block in blocks) for i in range(len(layout.counts))),
        tuple(sum(block[1][i] for block in blocks) for i in range(len(layout.values))),
    )


def cell_sum(layout: Layout, people: list[tuple[list[Block], int]]) -> int:
    """Return a cell's shifted sum, as the group holder makes it from (figures, exposure day) of each hit."""
    return sum(
        layout.pack(figures)[layout.place(day)[0]] << windows.shift_bits(layout, day)
        for figures, day in people
    )


@given(layouts(days=40), st.integers(0, 2**32))
def test_a_cell_reads_as_the_plain_sum_of_each_persons_own_day(layout: Layout, seed: int) -> None:
    draw = random.Random(seed)
    people = [
        (person(layout, draw), draw.randrange(layout.days))
        for _ in range(min(layout.rows, draw.randrange(12)))
    ]
    expected = add_blocks(layout, [figures[day] for figures, day in people])
    cover = windows.cover(layout, stream(seed), draw.randrange(1000))
    covered = windows.read(layout, cell_sum(layout, people) + cover.mask)
    assert covered.counts == expected[0]
    assert windows.open_values(layout, covered, cover.opening) == expected[1]


@given(layouts(days=40), st.integers(0, 2**32))
def test_every_block_at_its_bound_reaches_no_neighbour_and_no_modulus(layout: Layout, seed: int) -> None:
    # Not sums of persons but the worst that the widths allow, at every position at once, and the worst masks.
    draw = random.Random(seed)
    every = (*layout.counts, *layout.values)
    total, expected = 0, []
    for position in range(2 * layout.days_per_ciphertext - 1):
        sums = [draw.choice([-1, 1]) * field.reach(layout.rows) for field in every]
        offset = layout.guard
        for field, figure_sum in zip(every, sums, strict=True):
            total += figure_sum << position * layout.block + offset
            offset += field.width(layout.rows)
        if position == layout.days_per_ciphertext - 1:
            expected = sums
    below = layout.block * (layout.days_per_ciphertext - 1)
    lowest = 1 << below if below else 0
    highest = lowest + (1 << below + MASK_BITS) - 1 if below else 0
    upper = (1 << 2044 - below - layout.guard - layout.count_bits) - 1
    split = len(layout.counts)
    for lower in (lowest, highest):
        for top in (0, upper):
            mask = lower + (top << below + layout.guard + layout.count_bits)
            covered = windows.read(layout, total + mask)
            assert abs(total + mask) < 1 << 2045
            assert covered.counts == tuple(expected[:split])
            opened = windows.open_values(layout, covered, top & (1 << layout.value_bits) - 1)
            assert opened == tuple(expected[split:])


@given(layouts(days=9), st.integers(0, 2**32))
def test_noise_lands_on_the_target_block(layout: Layout, seed: int) -> None:
    draw = random.Random(seed)
    noise = [draw.choice([-field.tail, 0, field.tail]) for field in (*layout.counts, *layout.values)]
    split = len(layout.counts)
    packed = windows.place_noise(layout, layout.noise(noise[:split], noise[split:]))
    day = draw.randrange(layout.days)
    figures = person(layout, draw)
    expected = add_blocks(layout, [figures[day], (tuple(noise[:split]), tuple(noise[split:]))])
    cover = windows.cover(layout, stream(seed), 0)
    covered = windows.read(layout, cell_sum(layout, [(figures, day)]) + packed + cover.mask)
    assert (covered.counts, windows.open_values(layout, covered, cover.opening)) == expected


LAYOUT = plan_layout(
    [Field("converters", 0, 1), Field("conversions", 0, 20)],
    [Field("amount", -500_00, 50_000_00), Field("amount squared", 0, (50_000_00) ** 2)],
    rows=100_000,
    modulus_bits=2048,
    days=14,
)


def test_the_usual_fortnight_needs_few_ciphertexts() -> None:
    assert LAYOUT.block == GUARD_BITS + 18 + 22 + 40 + 63
    assert LAYOUT.days_per_ciphertext == 5
    assert LAYOUT.ciphertexts == 3


def test_a_cover_replays_and_differs_from_cell_to_cell() -> None:
    covers = [windows.cover(LAYOUT, stream(1), index) for index in range(50)]
    assert covers == [windows.cover(LAYOUT, stream(1), index) for index in range(50)]
    assert len({cover.mask for cover in covers}) == len({cover.opening for cover in covers}) == 50
    assert str(covers[0].mask) not in repr(covers)
    assert repr(covers[0]) == "Cover()"


def test_what_is_covered_looks_the_same_whatever_lies_beneath() -> None:
    # Each bit of the covered regions, over many covers: near one half.
    draw = random.Random(2)
    heavy = cell_sum(LAYOUT, [(person(LAYOUT, draw), draw.randrange(14)) for _ in range(50)])
    for beneath in (0, heavy):
        ones = np.zeros(2045)
        runs = 1500
        for index in range(runs):
            total = beneath + windows.cover(LAYOUT, stream(3), index).mask
            ones += np.array([total >> bit & 1 for bit in range(2045)])
        below = LAYOUT.block * (LAYOUT.days_per_ciphertext - 1)
        start = below + LAYOUT.guard + LAYOUT.count_bits
        shares = np.concatenate([ones[:below], ones[start:2044]]) / runs
        assert abs(shares - 0.5).max() < 0.075  # 5.8 standard deviations


def test_without_its_opening_a_value_stays_hidden() -> None:
    draw = random.Random(8)
    people = [(person(LAYOUT, draw), 3)]
    cover, other = (windows.cover(LAYOUT, stream(4), index) for index in (0, 1))
    covered = windows.read(LAYOUT, cell_sum(LAYOUT, people) + cover.mask)
    right = windows.open_values(LAYOUT, covered, cover.opening)
    assert right == people[0][0][3][1]
    assert windows.open_values(LAYOUT, covered, other.opening) != right
    for bad in (-1, 1 << LAYOUT.value_bits):
        with pytest.raises(ValueError, match="opening"):
            windows.open_values(LAYOUT, covered, bad)


def test_a_layout_of_counts_alone_has_nothing_to_open() -> None:
    layout = plan_layout([Field("n", 0, 1)], [], rows=1000, modulus_bits=2048)
    cover = windows.cover(layout, stream(), 0)
    # What lies above the counts is covered all the same: nobody should have written there.
    assert cover.opening == 0
    assert cover.mask.bit_length() > 2000
    assert cover.mask % (1 << layout.count_bits) == 0
    covered = windows.read(layout, cell_sum(layout, [([((1,), ())], 0)] * 40))
    assert covered.counts == (40,)
    assert windows.open_values(layout, covered, 0) == ()


@settings(max_examples=6)
@given(layouts(days=20), st.integers(0, 2**32))
def test_under_encryption_it_is_the_same(layout: Layout, seed: int) -> None:
    assume(layout.rows >= 6)
    draw, engine, private = random.Random(seed), PaillierEngine(1), private_key()
    public = private.public
    people = [(person(layout, draw), draw.randrange(layout.days)) for _ in range(6)]
    # Value holder: all ciphertexts of all persons.
    plain = [plaintext for figures, _ in people for plaintext in layout.pack(figures)]
    batch = engine.encrypt(private, plain, STREAM_KEY, 0)
    width = public.ciphertext_bytes
    # Group holder: unit by unit (one exposure day), the ciphertext that holds the day; shift; add up; cover.
    units = []
    for day in sorted({day for _, day in people}):
        ciphertext, _ = layout.place(day)
        at = [i * layout.ciphertexts + ciphertext for i, (_, own) in enumerate(people) if own == day]
        total = engine.add(public, [b"".join(batch[i * width : (i + 1) * width] for i in at)])
        units.append(engine.shift(public, total, windows.shift_bits(layout, day)))
    cover = windows.cover(layout, stream(seed), 0)
    sums = engine.add_plain(public, engine.add(public, [b"".join(units)]), [cover.mask])
    sent = engine.rerandomise(public, sums, StreamKey(b"g" * 32), 0)
    # Value holder again.
    covered = windows.read(layout, engine.decrypt(private, sent)[0])
    expected = add_blocks(layout, [figures[day] for figures, day in people])
    assert (covered.counts, windows.open_values(layout, covered, cover.opening)) == expected
