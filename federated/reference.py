"""The package `phe` as interchange and reference; the only module that imports it, because `phe` is GPL-3.

No job needs this module, and installing Veiljoin does not install `phe`: it is there for tests, for
`veiljoin bench sum` and for people who hold a key or a ciphertext in `phe`'s form.
"""

from __future__ import annotations

from phe import paillier

from federated.ciphertexts import decode, encode
from federated.keys import PaillierPrivateKey, PaillierPublicKey


def to_phe_public(public: PaillierPublicKey) -> paillier.PaillierPublicKey:
    """Return the key in `phe`'s form."""
    return paillier.PaillierPublicKey(public.n)


def to_phe_private(private: PaillierPrivateKey) -> paillier.PaillierPrivateKey:
    """Return the key in `phe`'s form, which is not redacted: do not print or log it."""
    p, q = private.primes
    return paillier.PaillierPrivateKey(to_phe_public(private.public), int(p), int(q))


def from_phe_private(private: paillier.PaillierPrivateKey) -> PaillierPrivateKey:
    """Return a key of `phe`. Raises ``ValueError`` unless its primes are equally long and n is one of our lengths."""
    return PaillierPrivateKey.of(int(private.p), int(private.q))


def to_phe_ciphertexts(public: PaillierPublicKey, batch: bytes) -> list[paillier.EncryptedNumber]:
    """Return the elements of a batch as `phe`'s numbers of exponent 0, which is what integers have."""
    key = to_phe_public(public)
    return [paillier.EncryptedNumber(key, int(number), 0) for number in decode(public, batch)]


def from_phe_ciphertexts(public: PaillierPublicKey, numbers: list[paillier.EncryptedNumber]) -> bytes:
    """Return `phe`'s encrypted integers as a batch. Raises ``ValueError`` for other keys and for fractions."""
    for number in numbers:
        if number.public_key.n != public.n or number.exponent != 0:
            raise ValueError("only integers that were encrypted under the same key can be taken over")
    # ciphertext() re-randomises first where phe has not done so yet.
    return encode(public, [int(number.ciphertext()) for number in numbers])
