"""Slot layouts: what is packed comes out, at every bound; what would not fit is refused before anything runs."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from federated.slots import GUARD_BITS, MASK_BITS, Field, Layout, plan_layout
from psi.errors import UsageError

BOUND = 10**9


@st.composite
def fields(draw: st.DrawFn) -> tuple[Field, ...]:
    """Return up to four fields with any bounds."""
    made = []
    for index in range(draw(st.integers(0, 4))):
        low, high = sorted((draw(st.integers(-BOUND, BOUND)), draw(st.integers(-BOUND, BOUND))))
        made.append(Field(f"f{index}", low, high, draw(st.integers(0, 10**6))))
    return tuple(made)


@st.composite
def layouts(draw: st.DrawFn, days: int = 1) -> Layout:
    """Return a layout of a 2048-bit key for any fields and up to 10^8 rows."""
    counts, values = draw(fields()), draw(fields())
    assume(counts or values)
    return plan_layout(
        counts, values, rows=draw(st.integers(1, 10**8)), modulus_bits=2048, days=draw(st.integers(1, days))
    )


def extreme(field: Field, rows: int, which: int) -> int:
    """Return a sum at a bound, with noise at the end of its tail, or zero."""
    return [
        rows * field.low - field.tail,
        rows * field.high + field.tail,
        0,
        field.reach(rows),
        -field.reach(rows),
    ][which]


@given(layouts(), st.data())
def test_sums_at_every_combination_of_bounds_come_out(layout: Layout, data: st.DataObject) -> None:
    every = (*layout.counts, *layout.values)
    sums = [extreme(field, layout.rows, data.draw(st.integers(0, 4))) for field in every]
    packed, offset = 0, 0
    for field, total in zip(every, sums, strict=True):
        packed += total << offset
        offset += field.width(layout.rows)
    split = len(layout.counts)
    assert layout.unpack(packed) == (tuple(sums[:split]), tuple(sums[split:]))
    assert abs(packed) < 1 << 2045


@given(layouts(), st.data())
def test_packed_persons_add_up_like_their_figures(layout: Layout, data: st.DataObject) -> None:
    every = (*layout.counts, *layout.values)
    split = len(layout.counts)
    persons = data.draw(
        st.lists(
            st.tuples(*(st.sampled_from([f.low, f.high]) | st.integers(f.low, f.high) for f in every)),
            max_size=min(layout.rows, 8),
        )
    )
    noise = [data.draw(st.sampled_from([-f.tail, 0, f.tail])) for f in every]
    total = sum(layout.pack([(person[:split], person[split:])])[0] for person in persons)
    total += layout.noise(noise[:split], noise[split:])
    sums = tuple(sum(person[i] for person in persons) + noise[i] for i in range(len(every)))
    assert layout.unpack(total) == (sums[:split], sums[split:])


def test_a_slot_has_no_bit_to_spare_and_none_too_few() -> None:
    for rows, high, tail in ((1, 1, 0), (127, 1, 0), (128, 1, 0), (100, 50_000_00, 10**6), (10**8, 10**9, 7)):
        field = Field("x", 0, high, tail)
        width, reach = field.width(rows), rows * high + tail
        assert reach < 1 << width - 1
        assert reach >= 1 << width - 2


def test_widths_follow_the_larger_magnitude() -> None:
    assert Field("refund", -100, 3).width(10) == Field("amount", -3, 100).width(10) == 1 + 10
    assert Field("nothing", 0, 0).width(10**6) == 1


def test_figures_outside_their_bounds_are_refused_by_name() -> None:
    layout = plan_layout([Field("converter", 0, 1)], [Field("amount", -5, 500)], rows=10, modulus_bits=2048)
    assert layout.pack([((1,), (-5,))]) != layout.pack([((1,), (500,))])
    for counts, values, name in (
        ((2,), (0,), "converter"),
        ((0,), (501,), "amount"),
        ((0,), (-6,), "amount"),
    ):
        with pytest.raises(UsageError, match=f"value of '{name}' lies outside") as caught:
            layout.pack([(counts, values)])
        assert "501" not in str(caught.value)
    assert [layout.values[0].clip(value) for value in (-99, 0, 9999)] == [-5, 0, 500]


def test_noise_beyond_its_tail_is_refused() -> None:
    layout = plan_layout([Field("n", 0, 1, tail=3)], [], rows=10, modulus_bits=2048)
    assert layout.unpack(layout.noise([-3], [])) == ((-3,), ())
    with pytest.raises(ValueError, match="noise on field 'n'"):
        layout.noise([4], [])


def test_wrong_shapes_are_our_fault() -> None:
    layout = plan_layout([Field("n", 0, 1)], [], rows=10, modulus_bits=2048, days=3)
    one: tuple[tuple[int, ...], tuple[int, ...]] = ((1,), ())
    with pytest.raises(ValueError, match="2 exposure days where the layout has 3"):
        layout.pack([one, one])
    with pytest.raises(ValueError, match="one figure for each field"):
        layout.pack([one, one, ((1,), (1,))])
    with pytest.raises(ValueError, match=r"federated\.windows"):
        layout.unpack(0)
    for day in (-1, 3):
        with pytest.raises(ValueError, match="not one of 3"):
            layout.place(day)
    with pytest.raises(ValueError, match="impossible bounds"):
        Field("x", 2, 1)
    for bad in ({"rows": 0}, {"days": 0}, {"modulus_bits": 1024}):
        settings = {"rows": 1, "days": 1, "modulus_bits": 2048} | bad
        with pytest.raises(ValueError, match="a layout has"):
            plan_layout([Field("n", 0, 1)], [], **settings)
    with pytest.raises(ValueError, match="a layout has"):
        plan_layout([], [], rows=1, modulus_bits=2048)


@pytest.mark.parametrize("bits", [2048, 3072])
def test_the_largest_block_that_fits_fits_and_one_bit_more_is_refused(bits: int) -> None:
    room = bits - 3 - GUARD_BITS
    for days, guard in ((1, 0), (2, GUARD_BITS)):
        width = room - guard
        exact = Field("x", 0, (1 << width - 1) - 1)
        layout = plan_layout([], [exact], rows=1, modulus_bits=bits, days=days)
        assert layout.block == room
        assert layout.days_per_ciphertext == 1
        # The block, its mask and a carry stay below the plaintext's limit.
        assert (1 << layout.block - 1) + (1 << layout.block + MASK_BITS) < 1 << bits - 3
        with pytest.raises(UsageError, match=f"need {room + 1} bits, and a {bits}-bit key holds {room}"):
            plan_layout([], [Field("x", 0, 1 << width - 1)], rows=1, modulus_bits=bits, days=days)


@given(layouts(days=60))
def test_as_many_days_as_fit_share_a_ciphertext(layout: Layout) -> None:
    j, block = layout.days_per_ciphertext, layout.block
    assert (2 * j - 1) * block + GUARD_BITS <= 2045
    assert j == layout.days or (2 * j + 1) * block + GUARD_BITS > 2045
    assert layout.ciphertexts == -(-layout.days // j)
    places = [layout.place(day) for day in range(layout.days)]
    assert len(set(places)) == layout.days
    assert max(ciphertext for ciphertext, _ in places) == layout.ciphertexts - 1
    assert all(position < j for _, position in places)
