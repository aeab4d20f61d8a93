"""Proof that a Paillier modulus is well formed: that x -> x^n is a permutation mod n (SPEC 3.4).

Goldberg, Reyzin, Sagga, Baldimtsi, "Efficient Noninteractive Certification of RSA Moduli and Beyond",
ASIACRYPT 2019: the prover shows n-th roots of hash-derived elements. When gcd(n, phi(n)) is not 1, a random
element has an n-th root with probability at most 1 / alpha, if n has no prime factor below alpha. Eight roots
and alpha = 2^16 leave a cheater 2^-128.
"""

from __future__ import annotations

import hashlib
from typing import Final

import gmpy2
from gmpy2 import mpz

from federated.keys import ALPHA_BITS, PaillierPrivateKey, PaillierPublicKey, check_modulus
from psi.errors import PeerViolation

SECURITY_BITS: Final = 128
ROOTS: Final = SECURITY_BITS // ALPHA_BITS
_LABEL: Final = b"veiljoin/v1/paillier/modulus-proof\x00"
_CONTRACT: Final = 32


def prove_modulus(private: PaillierPrivateKey, contract: bytes) -> bytes:
    """Return the proof for the contract with hash ``contract`` (32 bytes): 8 roots, each as long as n."""
    public = private.public
    p, q = private.primes
    n = p * q
    inverse = gmpy2.invert(n, (p - 1) * (q - 1))
    # By CRT, three times as fast as mod n; the exponent is secret, so the slower even-time power is taken.
    to_p, to_q, join = inverse % (p - 1), inverse % (q - 1), gmpy2.invert(q, p)
    roots = []
    for challenge in _challenges(public, contract):
        root_q = gmpy2.powmod_sec(challenge, to_q, q)
        root_p = gmpy2.powmod_sec(challenge, to_p, p)
        root = root_q + q * ((root_p - root_q) * join % p)
        roots.append(int(root).to_bytes(public.n_bytes, "big"))
    return b"".join(roots)


def verify_modulus(public: PaillierPublicKey, contract: bytes, proof: bytes) -> None:
    """Check a proof. Raises :class:`~psi.errors.PeerViolation` for one that does not hold for this contract.

    Worth something only together with :func:`~federated.keys.check_modulus`; :func:`receive_public_key` does both.
    """
    size = public.n_bytes
    if len(proof) != ROOTS * size:
        raise _refused(f"has {len(proof)} bytes instead of {ROOTS * size}")
    n = mpz(public.n)
    for index, challenge in enumerate(_challenges(public, contract)):
        root = mpz(int.from_bytes(proof[index * size : (index + 1) * size], "big"))
        if not 0 < root < n:
            raise _refused(f"holds a number out of range at place {index}")
        if gmpy2.powmod(root, n, n) != challenge:
            raise _refused(f"does not hold at place {index}")


def receive_public_key(modulus: bytes, proof: bytes, bits: int, contract: bytes) -> PaillierPublicKey:
    """Return the partner's key once its modulus and its proof hold; nothing may be stored before (SPEC 3).

    ``modulus`` is big-endian, exactly ``bits / 8`` bytes. Raises :class:`~psi.errors.PeerViolation`.
    """
    if len(modulus) != bits // 8:
        raise PeerViolation(
            f"The partner's Paillier modulus has {len(modulus)} bytes where the contract says {bits // 8}.",
            hint="Nothing was stored; ask the partner which version of Veiljoin it runs.",
        )
    n = int.from_bytes(modulus, "big")
    check_modulus(n, bits)
    public = PaillierPublicKey(n)
    verify_modulus(public, contract, proof)
    return public


def _challenges(public: PaillierPublicKey, contract: bytes) -> list[mpz]:
    """Return the elements whose roots are asked for; 128 excess bits make them uniform up to 2^-128."""
    if len(contract) != _CONTRACT:
        raise ValueError(f"a contract hash is {_CONTRACT} bytes, not {len(contract)}")
    prefix = _LABEL + contract + public.bits.to_bytes(2, "big") + public.encode()
    length = public.n_bytes + SECURITY_BITS // 8
    digests = (hashlib.shake_256(prefix + bytes([i])).digest(length) for i in range(ROOTS))
    return [mpz(int.from_bytes(digest, "big")) % public.n for digest in digests]


def _refused(why: str) -> PeerViolation:
    return PeerViolation(
        f"The partner's proof for its Paillier modulus {why}.",
        hint="Nothing was stored; check that both sides signed the same contract and run the same version.",
    )
