"""Paillier keys: what is generated, what is refused, what is never shown."""

from __future__ import annotations

import pickle
import random
import traceback

import gmpy2
import pytest

from federated import keys, reference
from federated.keys import (
    KEY_BITS,
    PaillierPrivateKey,
    PaillierPublicKey,
    check_modulus,
    generate_key,
    generator,
)
from psi.errors import PeerViolation, UsageError
from tests.federated.keys_for_tests import complete, overlapping_modulus, prime, private_key


@pytest.mark.parametrize("bits", KEY_BITS)
def test_a_generated_key_is_well_formed(bits: int) -> None:
    private = private_key(bits)
    p, q = private.primes
    assert private.public.n == p * q
    assert private.public.bits == bits
    assert p != q
    assert p.bit_length() == q.bit_length() == bits // 2
    assert gmpy2.gcd(p * q, (p - 1) * (q - 1)) == 1
    check_modulus(private.public.n, bits)
    assert private.public.encode() == int(p * q).to_bytes(bits // 8, "big")


def test_the_generator_has_full_order() -> None:
    for p in private_key().primes:
        g = generator(p)
        assert g is not None
        # p - 1 = 2 s m: take out what small primes divide, the rest is m.
        rest, small = p - 1, []
        for divisor in range(2, 1 << 12):
            while rest % divisor == 0:
                rest //= divisor
                small.append(divisor)
        assert all(gmpy2.powmod(g, (p - 1) // divisor, p) != 1 for divisor in set(small))
        # What is left has at most one small factor above 2^12 besides m.
        assert gmpy2.powmod(g, (p - 1) // 2, p) == p - 1


def test_generator_agrees_with_brute_force_on_small_primes() -> None:
    for p in (3, 5, 7, 11, 13, 41, 191, 409, 65537):
        smallest = next(g for g in range(2, p + 1) if len({pow(g, k, p) for k in range(p - 1)}) == p - 1)
        assert generator(gmpy2.mpz(p)) == smallest


def test_a_prime_whose_order_cannot_be_factored_has_no_known_generator() -> None:
    # p - 1 = 2 a b with two primes of 511 bits.
    draw = random.Random(5)
    while True:
        a, b = (int(gmpy2.next_prime(draw.getrandbits(511))) for _ in range(2))
        if gmpy2.is_prime(2 * a * b + 1):
            break
    assert generator(gmpy2.mpz(2 * a * b + 1)) is None


def test_fresh_keys_differ_and_a_source_decides() -> None:
    assert generate_key().reveal() != generate_key().reveal()
    again = generate_key(2048, random.Random(1).randbytes)
    assert again.reveal() == private_key(2048, 1).reveal() != private_key(2048, 2).reveal()


def test_two_primes_that_are_close_make_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    first = private_key().primes[0]
    primes = iter([first, gmpy2.next_prime(first)])
    monkeypatch.setattr(keys, "_prime_with_known_order", lambda bits, source: next(primes))
    with pytest.raises(UsageError, match="two primes that are too close"):
        generate_key()


@pytest.mark.parametrize("bits", [0, 1024, 2047, 4096])
def test_other_lengths_are_not_offered(bits: int) -> None:
    with pytest.raises(UsageError, match=f"cannot have {bits} bits.*2048, 3072"):
        generate_key(bits)


def test_private_keys_show_nothing() -> None:
    private = private_key()
    p, q = private.primes
    try:
        raise ValueError(f"about {private} and {private!r} and {private:>10}")
    except ValueError:
        shown = traceback.format_exc()
    for secret in (int(p), int(q)):
        assert str(secret) not in shown
        assert f"{secret:x}" not in shown
    assert "PaillierPrivateKey(<redacted>)" in shown
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(private)


def test_a_destroyed_key_is_gone() -> None:
    private = PaillierPrivateKey.of(*map(int, private_key().primes))
    private.destroy()
    with pytest.raises(ValueError, match="destroyed"):
        _ = private.primes


def test_bad_pairs_of_primes_make_no_key() -> None:
    p, q = map(int, private_key().primes)
    for pair in ((p, p), (p, q + 2), (p, 7), (prime(512), prime(512, 1))):
        with pytest.raises(ValueError, match="prime"):
            PaillierPrivateKey.of(*pair)
    assert PaillierPrivateKey.of(q, p).reveal() == private_key().reveal()


@pytest.mark.parametrize("n", [0, 15, 1 << 2047, (1 << 2046) + 1, (1 << 4095) + 1])
def test_impossible_public_keys_cannot_be_built(n: int) -> None:
    with pytest.raises(ValueError, match="Paillier modulus"):
        PaillierPublicKey(n)


def smooth_modulus() -> int:
    """Return a product of 16-bit primes, 2048 bits."""
    n, candidate = 1, 32771
    while n.bit_length() < 2030:
        n *= candidate
        candidate = int(gmpy2.next_prime(candidate))
    while (n * candidate).bit_length() != 2048:
        candidate = int(gmpy2.next_prime(candidate)) if (n * candidate).bit_length() < 2048 else 3
    return n * candidate


def bitforge_modulus() -> int:
    """Return 16 primes of 16 bits times one prime, as in the attack on CVE-2023-33241."""
    n, candidate = 1, 40009
    for _ in range(16):
        n *= candidate
        candidate = int(gmpy2.next_prime(candidate))
    return complete(n)[0]


ROOT = prime(1024)
BAD = {
    "even": (complete(2 * prime(1023))[0], "is even"),
    "prime": (prime(2048), "is a prime"),
    "square": (ROOT * ROOT, "is a square"),
    "cube": (int(gmpy2.next_prime(gmpy2.iroot(3 << 2046, 3)[0])) ** 3, "perfect power"),
    "smooth": (smooth_modulus(), "factor below 2^16"),
    "CVE-2023-33241": (bitforge_modulus(), "factor below 2^16"),
    "smallest factor allowed minus one": (complete(65521)[0], "factor below 2^16"),
    "short": (private_key().public.n >> 1 | 1, "has 2047 bits where the contract says 2048"),
    "long": (private_key().public.n << 1 | 1, "has 2049 bits"),
    "of the other length": (private_key(3072).public.n, "has 3072 bits"),
    "zero": (0, "has 0 bits"),
    "one": (1, "has 1 bits"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_moduli_are_refused_and_not_shown(kind: str) -> None:
    n, why = BAD[kind]
    with pytest.raises(PeerViolation, match=why.replace("^", r"\^")) as caught:
        check_modulus(n, 2048)
    assert caught.value.code.peer == "protocol_violation"
    if n > 1:
        assert str(n) not in str(caught.value)


def test_a_factor_just_above_the_bound_is_left_to_the_proof() -> None:
    check_modulus(complete(65537)[0], 2048)
    check_modulus(overlapping_modulus()[0], 2048)


def test_keys_travel_to_phe_and_back() -> None:
    private = private_key()
    theirs = reference.to_phe_private(private)
    assert theirs.public_key.n == private.public.n
    assert reference.from_phe_private(theirs).reveal() == private.reveal()
