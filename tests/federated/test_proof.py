"""The proof of a well-formed modulus: honest ones pass, others do not, and none fits another contract."""

from __future__ import annotations

import gmpy2
import pytest

from federated.keys import PaillierPublicKey
from federated.proof import ROOTS, _challenges, prove_modulus, receive_public_key, verify_modulus
from psi.errors import PeerViolation
from tests.federated.keys_for_tests import CONTRACT, complete, overlapping_modulus, prime, private_key

SIZE = 256


@pytest.mark.parametrize("bits", [2048, 3072])
def test_an_honest_key_is_received(bits: int) -> None:
    private = private_key(bits)
    proof = prove_modulus(private, CONTRACT)
    assert len(proof) == ROOTS * bits // 8
    assert receive_public_key(private.public.encode(), proof, bits, CONTRACT) == private.public


def test_eight_roots_reach_128_bits() -> None:
    assert ROOTS == 8


def test_a_proof_holds_for_its_contract_and_key_only() -> None:
    private, other = private_key(), private_key(2048, 2)
    proof = prove_modulus(private, CONTRACT)
    with pytest.raises(PeerViolation, match="does not hold at place 0"):
        verify_modulus(private.public, bytes(32), proof)
    with pytest.raises(PeerViolation, match=r"does not hold|out of range"):
        verify_modulus(other.public, CONTRACT, proof)
    with pytest.raises(ValueError, match="contract hash is 32 bytes"):
        prove_modulus(private, b"short")


@pytest.mark.parametrize("place", range(ROOTS))
def test_every_root_counts(place: int) -> None:
    private = private_key()
    proof = bytearray(prove_modulus(private, CONTRACT))
    proof[place * SIZE + SIZE - 1] ^= 1
    with pytest.raises(PeerViolation, match=f"does not hold at place {place}"):
        verify_modulus(private.public, CONTRACT, bytes(proof))


@pytest.mark.parametrize("root", [0, "n", "n + root", "all ones"])
def test_roots_out_of_range_are_refused(root: int | str) -> None:
    private = private_key()
    proof = prove_modulus(private, CONTRACT)
    n = private.public.n
    number = {"n": n, "all ones": (1 << 2048) - 1, "n + root": n + 1}.get(str(root), 0)
    with pytest.raises(PeerViolation, match="out of range at place 0"):
        verify_modulus(private.public, CONTRACT, number.to_bytes(SIZE, "big") + proof[SIZE:])


@pytest.mark.parametrize("length", [0, SIZE, 8 * SIZE - 1, 8 * SIZE + 1, 9 * SIZE])
def test_proofs_of_other_lengths_are_refused(length: int) -> None:
    with pytest.raises(PeerViolation, match=f"has {length} bytes instead of 2048"):
        verify_modulus(private_key().public, CONTRACT, bytes(length))


def best_effort(n: int, factors: list[int]) -> tuple[bytes, int]:
    """Return what a cheater that knows the factors can show, and for how many challenges it has a root.

    Mod each prime it takes an n-th root where there is one, and 1 elsewhere.
    """
    roots, good = [], 0
    for challenge in _challenges(PaillierPublicKey(n), CONTRACT):
        root, modulus, complete_root = gmpy2.mpz(0), gmpy2.mpz(1), True
        for factor in factors:
            shared = gmpy2.gcd(n, factor - 1)
            part = gmpy2.mpz(1)
            if shared == 1:
                part = gmpy2.powmod(challenge, gmpy2.invert(n, factor - 1), factor)
            elif gmpy2.powmod(challenge, (factor - 1) // shared, factor) == 1:
                part = gmpy2.powmod(
                    challenge, gmpy2.invert(n // shared, (factor - 1) // shared) // shared, factor
                )
            complete_root &= gmpy2.powmod(part, n, factor) == challenge % factor
            step = (part - root) * gmpy2.invert(modulus, factor) % factor
            root, modulus = root + modulus * step, modulus * factor
        good += complete_root
        roots.append(int(root).to_bytes(SIZE, "big"))
    return b"".join(roots), good


def test_a_modulus_with_p_dividing_q_minus_1_has_no_proof() -> None:
    n, p, q = overlapping_modulus()
    proof, good = best_effort(n, [p, q])
    # A challenge has a root with probability 1/65537; for this contract none of the eight has one.
    assert good == 0
    with pytest.raises(PeerViolation, match="does not hold at place 0"):
        receive_public_key(n.to_bytes(SIZE, "big"), proof, 2048, CONTRACT)


def test_a_modulus_with_a_squared_prime_has_no_proof() -> None:
    # Neither a perfect power nor a small factor: only the proof can tell.
    square = prime(512) ** 2
    n, rest = complete(square)
    proof, good = best_effort(n, [prime(512), rest])
    # Roots mod each prime exist; mod the square they do not.
    assert good == ROOTS
    with pytest.raises(PeerViolation, match=r"does not hold at place 0"):
        receive_public_key(n.to_bytes(SIZE, "big"), proof, 2048, CONTRACT)


def test_the_cheaters_method_works_where_roots_exist() -> None:
    # So that the two tests above fail for the right reason.
    p, q = map(int, private_key().primes)
    proof, good = best_effort(p * q, [p, q])
    assert good == ROOTS
    assert proof == prove_modulus(private_key(), CONTRACT)


@pytest.mark.parametrize(
    ("n", "why"),
    [(prime(2048), "is a prime"), (prime(1024) ** 2, "square"), (complete(2 * prime(1023))[0], "is even")],
)
def test_moduli_are_checked_before_their_proofs(n: int, why: str) -> None:
    with pytest.raises(PeerViolation, match=why):
        receive_public_key(n.to_bytes(SIZE, "big"), bytes(8 * SIZE), 2048, CONTRACT)


def test_a_modulus_in_another_width_is_refused() -> None:
    private = private_key()
    proof = prove_modulus(private, CONTRACT)
    with pytest.raises(PeerViolation, match="has 257 bytes"):
        receive_public_key(b"\0" + private.public.encode(), proof, 2048, CONTRACT)
