"""Decryption by the key owner: CRT, blinded, and checked against faults (SPEC 5.4)."""

from __future__ import annotations

import secrets

import gmpy2
from gmpy2 import mpz

from federated.ciphertexts import decode
from federated.keys import PaillierPrivateKey
from federated.powers import powers
from psi.errors import VeiljoinError


class Decryptor:
    """Decrypts under one private key, also one that `phe` made."""

    def __init__(self, private: PaillierPrivateKey) -> None:
        p, q = private.primes
        self._public = private.public
        self._n = p * q
        # The inverse that L_p((1 + n)^(p-1)) = (p-1) q mod p asks for (Paillier 1999, section 7).
        self._halves = [(p, gmpy2.invert((p - 1) * q, p)), (q, gmpy2.invert((q - 1) * p, q))]
        self._join = gmpy2.invert(q, p)

    def decrypt(self, batch: bytes) -> list[int]:
        """Return the signed plaintexts of a batch of checked ciphertexts, between -n/2 and n/2.

        Raises ``ValueError`` for a length that is no whole number of ciphertexts.
        """
        ciphertexts = decode(self._public, batch)
        (p, _), (q, _) = self._halves
        mod_p, mod_q = (self._half(ciphertexts, prime, inverse) for prime, inverse in self._halves)
        plaintexts = []
        for one, other in zip(mod_p, mod_q, strict=True):
            plaintext = other + q * ((one - other) * self._join % p)
            plaintexts.append(int(plaintext if 2 * plaintext < self._n else plaintext - self._n))
        return plaintexts

    def _half(self, ciphertexts: list[mpz], p: mpz, inverse: mpz) -> list[mpz]:
        square = p * p
        # A blind that is an n-th power changes no plaintext, and leaves no base of the partner's choosing to
        # the secret exponent (attacks: timing, rare carries of a library). One draw, then squared each time.
        blind = gmpy2.powmod(mpz(secrets.randbits(p.bit_length() + 64)), p, square)
        bases = []
        for ciphertext in ciphertexts:
            bases.append(ciphertext * blind % square)
            blind = blind * blind % square
        plaintexts = []
        for power in powers(bases, p - 1, square, secret=True):
            # c^(p-1) = 1 mod p for every unit. Anything else is a fault of the machine or of a library (or c was
            # not checked), and a plaintext that is wrong mod one prime only would give the key away.
            quotient, rest = gmpy2.f_divmod(power - 1, p)
            if rest:
                raise VeiljoinError(
                    "A decryption failed its check.",
                    hint="Start the job again; if it happens again, test this machine's memory.",
                )
            plaintexts.append(quotient * inverse % p)
        return plaintexts
