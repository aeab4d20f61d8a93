"""Names of logs, and the identity that vouches for their keys."""

from __future__ import annotations

import dataclasses
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit.checkpoint import Cosigner
from audit.keys import _SMALL_ORDER, KeysError, LogKeys, certify, check, origin_of, role_of
from audit.note import Signer, parse_verifier
from psi.secret import SigningSeed


def _public(seed: SigningSeed) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed.reveal()).public_key().public_bytes_raw()


IDENTITY, LOG, WITNESS = (SigningSeed(bytes([number]) * 32) for number in (1, 2, 3))
ORIGIN = origin_of("bank", "bank", _public(IDENTITY))
KEYS = LogKeys(
    ORIGIN, _public(LOG), _public(WITNESS), certify(IDENTITY, ORIGIN, _public(LOG), _public(WITNESS))
)


def test_the_identity_signs_what_the_specification_says() -> None:
    statement = (
        b"veiljoin/v1/log-keys\0"
        + len(ORIGIN).to_bytes(2, "big")
        + ORIGIN.encode()
        + _public(LOG)
        + _public(WITNESS)
    )
    assert KEYS.proof == Ed25519PrivateKey.from_private_bytes(IDENTITY.reveal()).sign(statement)
    check(KEYS, _public(IDENTITY))


def test_the_verifier_keys_are_those_of_signer_and_cosigner() -> None:
    assert KEYS.log_verifier == Signer(ORIGIN, LOG).verifier
    assert KEYS.witness_verifier == Cosigner(ORIGIN + "/witness", WITNESS).verifier


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("acme", "acme"),
        ("Acme-1_x.y", "Acme-1_x.y"),
        ("a b+c/d%", "a%20b%2Bc%2Fd%25"),
        ("平台~", "%E5%B9%B3%E5%8F%B0%7E"),
        ("a\n\x00", "a%0A%00"),
    ],
)
def test_a_log_is_named_after_role_node_and_identity(name: str, escaped: str) -> None:
    public = _public(IDENTITY)
    assert (
        origin_of("platform", name, public)
        == f"veiljoin/platform/{escaped}/{sha256(public).hexdigest()[:16]}"
    )


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
    st.sampled_from(["bank", "platform"]),
)
def test_every_name_of_a_node_gives_a_name_that_a_key_can_have(name: str, role: str) -> None:
    origin = origin_of(role, name, _public(IDENTITY))
    assert role_of(origin) == role
    assert parse_verifier(Signer(origin, LOG).verifier).name == origin
    check(
        dataclasses.replace(
            KEYS, origin=origin, proof=certify(IDENTITY, origin, KEYS.log_public, KEYS.witness_public)
        ),
        _public(IDENTITY),
    )


@pytest.mark.parametrize(("role", "name"), [("auditor", "a"), ("", "a"), ("bank", "")])
def test_other_roles_and_no_name_are_refused(role: str, name: str) -> None:
    with pytest.raises(KeysError, match="named by"):
        origin_of(role, name, _public(IDENTITY))


@pytest.mark.parametrize(
    "origin",
    ["", "bank", "veiljoin/bank/a", "veiljoin/auditor/a/0123456789abcdef", "veiljoin/bank/a b/0123456789abcdef",
     "veiljoin/bank//0123456789abcdef", "veiljoin/bank/a/0123456789ABCDEF", "veiljoin/bank/a/b/0123456789abcdef",
     "veiljoin/bank/%2/0123456789abcdef", "veiljoin/bank/%e5/0123456789abcdef", "veiljoin/bank/a/0123456789abcdef\n"],
)  # fmt: skip
def test_other_texts_are_no_name_of_a_log(origin: str) -> None:
    with pytest.raises(KeysError, match="not the name"):
        role_of(origin)
    with pytest.raises(KeysError):
        check(dataclasses.replace(KEYS, origin=origin), _public(IDENTITY))


def test_another_identity_name_key_or_proof_is_refused() -> None:
    stranger = SigningSeed(bytes([9]) * 32)
    with pytest.raises(KeysError, match="name of another identity"):
        check(KEYS, _public(stranger))
    with pytest.raises(KeysError, match="name of another identity"):
        certify(stranger, ORIGIN, KEYS.log_public, KEYS.witness_public)
    for changed in (
        dataclasses.replace(KEYS, origin=ORIGIN.replace("bank/bank", "bank/acme")),
        dataclasses.replace(KEYS, log_public=_public(stranger)),
        dataclasses.replace(KEYS, witness_public=_public(stranger)),
        dataclasses.replace(KEYS, log_public=KEYS.witness_public, witness_public=KEYS.log_public),
        dataclasses.replace(KEYS, proof=bytes(64)),
        dataclasses.replace(KEYS, proof=KEYS.proof[:-1]),
        dataclasses.replace(KEYS, proof=b""),
    ):
        with pytest.raises(KeysError, match="not signed"):
            check(changed, _public(IDENTITY))


@pytest.mark.parametrize("field", ["log_public", "witness_public"])
def test_three_different_keys_are_asked_for(field: str) -> None:
    with pytest.raises(KeysError, match="three keys"):
        check(dataclasses.replace(KEYS, **{field: _public(IDENTITY)}), _public(IDENTITY))
    with pytest.raises(KeysError, match="three keys"):
        certify(IDENTITY, ORIGIN, KEYS.log_public, KEYS.log_public)


_P, _D = 2**255 - 19, -121665 * pow(121666, -1, 2**255 - 19) % (2**255 - 19)


def _doubled(y: int) -> int | None:
    """The y-coordinate of twice the points of Ed25519 with ``y``; None if there are none (RFC 8032, 5.1)."""
    x_squared = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    if x_squared and pow(x_squared, (_P - 1) // 2, _P) != 1:
        return None
    square = y * y % _P
    return (square + x_squared) * pow(1 - _D * x_squared * square, -1, _P) % _P


def test_the_listed_keys_are_those_of_small_order() -> None:
    assert {1, _P - 1, 0} < _SMALL_ORDER
    for y in _SMALL_ORDER:
        doubled: int | None = y
        for _ in range(3):
            assert doubled is not None
            doubled = _doubled(doubled)
        assert doubled == 1, "eight times the point is the neutral element"
    # The torsion group is cyclic of order 8: y = 1, -1, 0 (two points), and two values with two points each.
    assert len(_SMALL_ORDER) == 5


@pytest.mark.parametrize(
    "public",
    [bytes(32), b"\1" + bytes(31), bytes(31) + b"\x80", b"\1" + bytes(30) + b"\x80", b"\xec" + b"\xff" * 30 + b"\x7f",
     b"\xed" + b"\xff" * 30 + b"\x7f", b"\xee" + b"\xff" * 30 + b"\x7f", b"\xff" * 32,
     bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
     bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85")],
    ids=bytes.hex,
)  # fmt: skip
def test_keys_of_small_order_or_not_in_canonical_form_are_refused(public: bytes) -> None:
    with pytest.raises(KeysError, match="small order"):
        check(dataclasses.replace(KEYS, log_public=public), _public(IDENTITY))
    with pytest.raises(KeysError, match="small order"):
        check(KEYS, public)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_keys_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(KeysError, match="32 bytes"):
        check(dataclasses.replace(KEYS, witness_public=bytes(length)), _public(IDENTITY))
