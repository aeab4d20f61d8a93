"""Decimal cells, against Python's decimals."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from party.amounts import MOST_UNITS, Amounts, read_amounts


def read(scale: int, *cells: str | None) -> Amounts:
    """Read cells at a scale."""
    return read_amounts(pa.array(cells, pa.string()), scale)


@pytest.mark.parametrize(
    ("cell", "units"),
    [
        ("12.30", 1230), ("12", 1200), ("-0.5", -50), ("+4", 400), (" 7.1 ", 710), ("007.10", 710), (".5", 50),
        ("5.", 500), ("0", 0), ("-0", 0), ("12.3400", 1234), ("1,234.50", 123450), ("-1,234,567", -123456700),
        ("1e3", 100000), ("1.5E-1", 15), ("２５.５", 2550), ("0.30000000000000004", 30),
        # Halves go to the even unit.
        ("1.005", 100), ("1.015", 102), ("-1.015", -102), ("1.0149", 101),
        ("999999999999.99", 99999999999999), ("1000000000000.01", 100000000000001),
    ],
)  # fmt: skip
def test_a_decimal_is_exact(cell: str, units: int) -> None:
    amounts = read(100, cell)
    assert amounts.units.tolist() == [units]
    assert amounts.filled.tolist() == [True]
    assert not amounts.unreadable.any()


@pytest.mark.parametrize(
    "cell",
    ["n/a", "12,5,0", "1.2.3", "--5", "12,34", "1 234", "¥5", "nan", "inf", ".", "-", "e5", "1e", "0x10", "1_000",
     "1,2345", "9" * 65, "1e9999"],
)  # fmt: skip
def test_what_is_no_decimal(cell: str) -> None:
    amounts = read(100, cell)
    assert amounts.unreadable.tolist() == [True]
    assert amounts.units.tolist() == [0]


def test_empty_cells_are_not_unreadable() -> None:
    amounts = read(1, None, "", "  ", "3")
    assert amounts.filled.tolist() == [False, False, False, True]
    assert amounts.units.tolist() == [0, 0, 0, 3]
    assert not amounts.unreadable.any()
    assert len(read(1).units) == 0


@pytest.mark.parametrize(
    ("cell", "units"), [("1e30", MOST_UNITS), ("-" + "9" * 40, -MOST_UNITS), ("1e-300", 0)]
)
def test_what_is_beyond_every_bound_keeps_its_sign(cell: str, units: int) -> None:
    assert read(1_000_000, cell).units.tolist() == [units]


@pytest.mark.parametrize("scale", [0, 3, 10_000_000, -10])
def test_a_scale_is_a_power_of_ten(scale: int) -> None:
    with pytest.raises(ValueError, match="power of ten"):
        read(scale, "1")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.decimals(-(10**12), 10**12, allow_nan=False, places=None), min_size=1, max_size=30),
    st.sampled_from([1, 10, 100, 10_000, 1_000_000]),
)
def test_any_decimal_is_the_nearest_unit(numbers: list[Decimal], scale: int) -> None:
    written = [f"{number:f}"[:60] for number in numbers]
    with localcontext(prec=200, rounding=ROUND_HALF_EVEN):
        expected = [int((Decimal(cell) * scale).to_integral_value()) for cell in written]
    assert read(scale, *written).units.tolist() == expected


def test_a_slice_is_read_from_its_beginning() -> None:
    cells = pa.array(["1", "2", "x", "4"], pa.string()).slice(1, 2)
    amounts = read_amounts(cells, 10)
    assert amounts.units.tolist() == [20, 0]
    assert repr(amounts) == "Amounts(2 rows, 1 unreadable)"
