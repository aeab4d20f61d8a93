"""What the partner may send, and what masking may return."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psi.errors import PeerViolation
from psi.points import LOW_ORDER_X, check_elements, check_masked, truncate
from psi.suites import RISTRETTO255, SUITES, X25519_ELL2, Suite
from tests.psi import reference as ref

GOOD = {
    "x25519-ell2": (9).to_bytes(32, "little"),
    "ristretto255": bytes.fromhex(ref.vectors("rfc9496_ristretto255")["multiples_of_generator"][1]),
}


def le(value: int) -> bytes:
    return value.to_bytes(32, "little")


def refused(suite: Suite, elements: Iterable[bytes]) -> list[bytes]:
    """The elements that the check refuses when each comes alone, at index 1 of a chunk of three."""
    found: list[tuple[bytes, str]] = []
    for element in elements:
        good = GOOD[suite.id]
        try:
            check_elements(suite, good + element + good)
        except PeerViolation as error:
            found.append((element, str(error)))
    for element, sentence in found:
        assert sentence.startswith("Element 1 of the partner's chunk ")
        assert element.hex() not in sentence
    return [element for element, _ in found]


def test_the_published_low_order_list_is_refused() -> None:
    file = ref.vectors("low_order_x25519")
    for kind in ("canonical", "non_canonical"):
        encodings = [bytes.fromhex(each) for each in file[kind]]
        assert refused(X25519_ELL2, encodings) == encodings
    assert {int.from_bytes(bytes.fromhex(each), "little") for each in file["canonical"]} == set(LOW_ORDER_X)


def test_low_order_points_and_where_they_lie() -> None:
    assert [ref.ladder(8, x) for x in LOW_ORDER_X] == [0] * 5
    # Doubling gives infinity or (0, 0), both written 0, for orders 2 and 4; a point of order 4 for order 8.
    assert [ref.ladder(2, x) for x in LOW_ORDER_X] == [0, 0, 0, 1, 1]
    on_curve = [ref.is_square(ref.curve_right_side(x)) for x in LOW_ORDER_X]
    assert on_curve == [True, True, False, True, True]
    # (0, 0), of order 2, is on both. No further point has an order that divides 8: the curve has infinity,
    # one of order 2, two of order 4 (x = 1), four of order 8 (two x); the twist infinity, one, two (x = -1).
    assert ref.curve_right_side(0) == 0


def test_wycheproof_low_order_cases_are_refused_and_the_others_pass() -> None:
    for _, flags, public, _, shared in ref.vectors("wycheproof_x25519")["cases"]:
        element = bytes.fromhex(public)
        acceptable = int.from_bytes(element, "little") < ref.P and shared != "00" * 32
        assert refused(X25519_ELL2, [element]) == ([] if acceptable else [element])
        assert acceptable or {"LowOrderPublic", "NonCanonicalPublic", "ZeroSharedSecret"} & set(flags)


def test_x25519_bounds() -> None:
    beyond = [le(ref.P + i) for i in range(19)] + [le(2**255 + i) for i in (0, 2, 9)] + [b"\xff" * 32]
    assert refused(X25519_ELL2, beyond) == beyond
    assert (
        refused(X25519_ELL2, [le(2), le(ref.P - 2), le(2**254), le(2**192), le(1 << 64), le(2**255 - 2**64)])
        == []
    )


def test_ristretto_encodings_that_rfc_9496_calls_invalid_by_form() -> None:
    invalid = ref.vectors("rfc9496_ristretto255")["invalid_encodings"]
    by_form = [bytes.fromhex(each) for kind in ("non-canonical", "negative") for each in invalid[kind]]
    assert refused(RISTRETTO255, by_form) == by_form
    assert refused(RISTRETTO255, [bytes(32)]) == [bytes(32)]


def test_ristretto_elements_pass() -> None:
    multiples = ref.vectors("rfc9496_ristretto255")["multiples_of_generator"][1:]
    check_elements(RISTRETTO255, b"".join(bytes.fromhex(each) for each in multiples))


@given(st.binary(min_size=32, max_size=32))
def test_any_string_is_judged_as_the_definition_says(element: bytes) -> None:
    value = int.from_bytes(element, "little")
    assert bool(refused(X25519_ELL2, [element])) == (value >= ref.P or value in LOW_ORDER_X)
    assert bool(refused(RISTRETTO255, [element])) == (value >= ref.P or value % 2 == 1 or value == 0)


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_the_first_bad_element_is_named(suite: Suite) -> None:
    chunk = [GOOD[suite.id]] * 1000
    chunk[417] = chunk[900] = bytes(32)
    with pytest.raises(PeerViolation, match=r"^Element 417 of"):
        check_elements(suite, b"".join(chunk))
    with pytest.raises(PeerViolation, match=r"^Element 417 of"):
        check_masked(suite, b"".join(chunk))


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_chunks_of_odd_length_are_refused(suite: Suite) -> None:
    check_elements(suite, b"")
    check_masked(suite, b"")
    for length in (1, 31, 33):
        with pytest.raises(PeerViolation, match=f"chunk of {length} bytes"):
            check_elements(suite, bytes(length))
        with pytest.raises(PeerViolation, match=f"chunk of {length} bytes"):
            check_masked(suite, bytes(length))


@pytest.mark.parametrize("position", range(32))
def test_a_mask_with_any_bit_set_is_not_zero(position: int) -> None:
    check_masked(X25519_ELL2, bytes(position) + b"\x80" + bytes(31 - position))


def test_truncate_keeps_the_first_bytes_of_each() -> None:
    data = random.Random(2).randbytes(32 * 5)
    assert truncate(data) == b"".join(data[i : i + 16] for i in range(0, len(data), 32))
    assert truncate(data, 16, 3) == b"".join(data[i : i + 3] for i in range(0, len(data), 16))
    assert truncate(b"") == b""
    with pytest.raises(ValueError, match="33 bytes"):
        truncate(bytes(33))
