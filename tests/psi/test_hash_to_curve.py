"""Hash-to-curve and scalars, against published vectors and the slow oracle."""

from __future__ import annotations

import hashlib
import random

import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from psi import hash_to_curve as h2c
from psi.libsodium import ristretto255
from psi.suites import RISTRETTO255, SUITES, X25519_ELL2, Suite, domain_separation_tag
from tests.psi import reference as ref

TAG = domain_separation_tag(X25519_ELL2, bytes(32))


def xs(data: bytes) -> list[int]:
    return [int.from_bytes(data[i : i + 32], "little") for i in range(0, len(data), 32)]


def mapped(us: list[int]) -> list[int]:
    """The fast map on chosen field elements; it takes them last first."""
    return xs(h2c._elligator2([mpz(u) for u in reversed(us)]))


def test_x25519_ell2_matches_rfc_9380() -> None:
    file = ref.vectors("rfc9380_curve25519_ell2_nu")
    messages = [case["msg"].encode() for case in file["vectors"]]
    assert xs(h2c.hash_to_group(X25519_ELL2, file["dst"].encode(), messages)) == [
        int(case["Q.x"], 16) for case in file["vectors"]
    ]
    digests = h2c._expand_each(file["dst"].encode(), messages, 48)
    elements = [int(u) % ref.P for u in reversed(h2c._field_elements(digests))]
    assert elements == [int(case["u"], 16) for case in file["vectors"]]


def test_expand_message_xmd_matches_rfc_9380() -> None:
    for group in ref.vectors("rfc9380_expand_message_xmd_sha512")["sets"]:
        for case in group["vectors"]:
            expected = bytes.fromhex(case["uniform_bytes"])
            output = h2c.expand_message_xmd(case["msg"].encode(), group["dst"].encode(), len(expected))
            assert output == expected


@pytest.mark.parametrize(
    ("dst", "length"), [(b"", 32), (b"x" * 256, 32), (b"x", 0), (b"x", -1), (b"x", 255 * 64 + 1)]
)
def test_expand_message_xmd_refuses_what_the_rfc_aborts_on(dst: bytes, length: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        h2c.expand_message_xmd(b"", dst, length)


@given(st.binary(max_size=300), st.binary(min_size=1, max_size=255), st.integers(1, 255 * 64))
def test_expand_message_xmd_equals_the_reference(message: bytes, dst: bytes, length: int) -> None:
    assert h2c.expand_message_xmd(message, dst, length) == ref.expand_message_xmd(message, dst, length)


def test_ristretto255_matches_rfc_9497() -> None:
    file = ref.vectors("rfc9497_ristretto255_sha512_oprf")
    inputs = [bytes.fromhex(case["input"]) for case in file["vectors"]]
    hashed = h2c.hash_to_group(RISTRETTO255, bytes.fromhex(file["hash_to_group_dst"]), inputs)
    for i, case in enumerate(file["vectors"]):
        element = hashed[32 * i : 32 * i + 32]
        blinded = ref.ristretto_multiply(bytes.fromhex(case["blind"]), element)
        assert blinded is not None
        assert blinded.hex() == case["blinded_element"]


def test_libsodium_maps_as_rfc_9496() -> None:
    for case in ref.vectors("rfc9496_ristretto255")["one_way_map"]:
        assert ristretto255().from_hash(bytes.fromhex(case["input"])).hex() == case["output"]


@given(st.lists(st.binary(max_size=200), max_size=12))
def test_x25519_ell2_equals_the_reference(identifiers: list[bytes]) -> None:
    expected = [ref.elligator2(ref.hash_to_field(each, TAG)) for each in identifiers]
    assert xs(h2c.hash_to_group(X25519_ELL2, TAG, identifiers)) == expected


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_ristretto255_equals_the_reference(identifiers: list[bytes]) -> None:
    tag = domain_separation_tag(RISTRETTO255, bytes(32))
    expected = [ref.ristretto_from_hash(ref.expand_message_xmd(each, tag, 64)) for each in identifiers]
    assert h2c.hash_to_group(RISTRETTO255, tag, identifiers) == b"".join(expected)


@given(st.lists(st.integers(0, 2**384 - 1), min_size=1, max_size=20))
def test_the_map_takes_any_integer_in_any_company(us: list[int]) -> None:
    assert mapped(us) == [ref.elligator2(u % ref.P) for u in us]


def test_the_map_on_edge_elements() -> None:
    edges = [0, 1, 2, ref.P - 1, ref.P, ref.P + 1, ref.SQRT_M1, (ref.P - 1) // 2, 2**384 - 1]
    assert mapped(edges) == [ref.elligator2(u % ref.P) for u in edges]
    assert mapped([0]) == [0]  # the one element that maps to a low-order point


def test_the_map_where_the_second_candidate_wraps_round_zero() -> None:
    # x2 = -x1 - A passes below 0 only where x1 > p - A, which no random input meets: solve x1 = -j for u.
    us = []
    for j in range(1, 400):
        half = (ref.A * pow(j, -1, ref.P) - 1) * pow(2, -1, ref.P) % ref.P  # u^2 for which -A / d = -j
        square, u = ref.sqrt_ratio_m1(half, 1)
        if square and not ref.is_square(ref.curve_right_side(-j % ref.P)):
            us.append(u)
    assert len(us) > 50
    assert mapped(us) == [ref.elligator2(u) for u in us]


def test_the_facts_that_the_map_rests_on() -> None:
    assert not ref.is_square(-pow(2, -1, ref.P))  # so 1 + 2u^2 is never 0
    assert not ref.is_square(ref.A**2 - 4)  # so x^2 + Ax + 1 has no root
    assert ref.is_square(-1)
    assert all(not ref.is_square(z) for z in (2,))  # Z of RFC 9380 is a non-square


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_batches_agree_with_single_identifiers(suite: Suite) -> None:
    identifiers = [b"+86138%08d" % i for i in range(h2c._MAP_BATCH + 3)]
    whole = h2c.hash_to_group(suite, TAG, identifiers)
    assert len(whole) == 32 * len(identifiers)
    assert h2c.hash_to_group(suite, TAG, []) == b""
    for i in (0, 1, 500, h2c._MAP_BATCH - 1, h2c._MAP_BATCH, h2c._MAP_BATCH + 2):
        assert whole[32 * i : 32 * i + 32] == h2c.hash_to_group(suite, TAG, identifiers[i : i + 1])
    assert len({whole[i : i + 32] for i in range(0, len(whole), 32)}) == len(identifiers)


def test_another_scope_gives_other_points() -> None:
    other = domain_separation_tag(X25519_ELL2, bytes([1]) * 32)
    assert h2c.hash_to_group(X25519_ELL2, TAG, [b"a"]) != h2c.hash_to_group(X25519_ELL2, other, [b"a"])


def test_hashed_points_leak_no_curve_bit_and_naive_ones_do() -> None:
    # The bit: is v^2 a square (on the curve) or not (on its twist)? A mask keeps it, so it must not vary.
    identifiers = [b"+86139%08d" % i for i in range(200)]
    naive = [int.from_bytes(hashlib.sha256(each).digest(), "little") % 2**255 % ref.P for each in identifiers]
    naive_bits = [ref.is_square(ref.curve_right_side(x)) for x in naive]
    assert 60 < sum(naive_bits) < 140
    scalar = random.Random(1).randbytes(32)
    masked = [int.from_bytes(ref.x25519(scalar, x.to_bytes(32, "little")), "little") for x in naive[:40]]
    assert [ref.is_square(ref.curve_right_side(x)) for x in masked] == naive_bits[:40]
    ours = xs(h2c.hash_to_group(X25519_ELL2, TAG, identifiers))
    assert all(ref.is_square(ref.curve_right_side(x)) for x in ours)


@given(st.binary(min_size=64, max_size=64))
def test_scalars_are_in_range(uniform: bytes) -> None:
    clamped = h2c.derive_scalar(X25519_ELL2, uniform).reveal()
    assert clamped[0] % 8 == 0
    assert clamped[31] >> 6 == 1
    assert (clamped[1:31], clamped[31] & 63) == (uniform[1:31], uniform[31] & 63)
    reduced = int.from_bytes(h2c.derive_scalar(RISTRETTO255, uniform).reveal(), "little")
    assert 0 < reduced < ref.L


def test_no_bytes_give_the_scalar_zero() -> None:
    for number, scalar in [(0, 1), (ref.L - 2, ref.L - 1), (ref.L - 1, 1), (ref.L, 2), (2 * (ref.L - 1), 1)]:
        derived = h2c.derive_scalar(RISTRETTO255, number.to_bytes(64, "little"))
        assert int.from_bytes(derived.reveal(), "little") == scalar


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
@pytest.mark.parametrize("length", [0, 32, 63, 65])
def test_a_scalar_needs_64_bytes(suite: Suite, length: int) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        h2c.derive_scalar(suite, bytes(length))
