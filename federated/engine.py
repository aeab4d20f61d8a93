"""The batch engine: encrypt, add, shift, re-randomise, check and decrypt on every processor (SPEC 5).

Batches are bytes: ciphertexts of fixed width, big-endian, one after the other. Slices of a batch go to worker
processes; small batches stay here. What comes out does not depend on that, nor on tables or libraries.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
from gmpy2 import mpz

from federated import crypto_mb, wire
from federated.ciphertexts import check_ciphertexts, count_of, decode, encode
from federated.fixed_base import DEFAULT_WINDOW, Encryptor, check_window
from federated.keys import PaillierPrivateKey, PaillierPublicKey
from federated.pool import Pool
from federated.powers import Encoded
from federated.stream import EXCESS_BYTES, KeyStream, StreamKey
from federated.tasks import TASKS, forget, multiply, plaintext_bytes, u64
from psi.engines import usable_processors
from psi.engines.pool import slices
from psi.errors import UsageError

# Least work per slice that is worth a worker process: about 100 ms for encryptions and powers.
_SMALLEST_ENCRYPT: Final = 256
_SMALLEST_DECRYPT: Final = 64
_SMALLEST_POWERS: Final = 16
_SMALLEST_PRODUCT: Final = 4096
_SMALLEST_CHECK: Final = 4096


class PaillierEngine:
    """One opened engine. Not meant for two callers at once: it uses all its workers for each batch.

    ``threads`` defaults to the processors this process may use; ``window`` is the tables' (SPEC 5.1). Raises
    :class:`~psi.errors.UsageError` for a number of threads below 1 and a window outside 2 to 14.
    """

    def __init__(self, threads: int | None = None, window: int = DEFAULT_WINDOW) -> None:
        if threads is not None and threads < 1:
            raise UsageError(f"A Paillier engine cannot run on {threads} threads.", hint="Give 1 or more.")
        check_window(window)
        self.threads = threads or usable_processors()
        self._window = window
        self._pool = Pool(self.threads)

    @property
    def processes(self) -> tuple[int, ...]:
        """Process ids of the worker processes that run now."""
        return self._pool.processes

    def encrypt(
        self, private: PaillierPrivateKey, plaintexts: Sequence[int], key: StreamKey, start: int
    ) -> bytes:
        """Return the ciphertexts of n signed plaintexts, with records ``start`` to ``start + n - 1`` of the stream.

        The same key, stream and record give the same bytes each time; a record MUST serve one plaintext only.
        Raises ``ValueError`` for a plaintext of magnitude 2^plaintext_bits or more, and what
        :class:`~federated.fixed_base.Encryptor` raises.
        """
        limit = 1 << private.public.plaintext_bits
        if any(abs(plaintext) >= limit for plaintext in plaintexts):
            raise ValueError(f"a plaintext has {private.public.plaintext_bits} bits at most")
        size = plaintext_bytes(private)
        return b"".join(
            self._run(
                wire.ENCRYPT,
                [
                    (
                        private.reveal(),
                        key.reveal(),
                        bytes([self._window]),
                        u64(start + first),
                        b"".join(
                            [number.to_bytes(size, "big", signed=True) for number in plaintexts[first:stop]]
                        ),
                    )
                    for first, stop in slices(len(plaintexts), self.threads, _SMALLEST_ENCRYPT)
                ],
                local=len(plaintexts) < _SMALLEST_ENCRYPT,
            )
        )

    def decrypt(self, private: PaillierPrivateKey, batch: bytes) -> list[int]:
        """Return the signed plaintexts of a batch that was checked.

        Raises ``ValueError`` for a length that is no whole number of ciphertexts, and
        :class:`~psi.errors.VeiljoinError` when the machine computed something impossible.
        """
        count, width = count_of(private.public, batch), private.public.ciphertext_bytes
        size = plaintext_bytes(private)
        raw = b"".join(
            self._run(
                wire.DECRYPT,
                [
                    (private.reveal(), batch[first * width : stop * width])
                    for first, stop in slices(count, self.threads, _SMALLEST_DECRYPT)
                ],
                local=count < _SMALLEST_DECRYPT,
            )
        )
        return [int.from_bytes(raw[at : at + size], "big", signed=True) for at in range(0, len(raw), size)]

    def add(self, public: PaillierPublicKey, groups: Sequence[bytes]) -> bytes:
        """Return one ciphertext per group: the sum of the group's plaintexts, by a product of its ciphertexts.

        An empty group gives the number 1, which decrypts to 0. The result shows which ciphertexts went in until
        :meth:`rerandomise` (SPEC 5.3). Raises ``ValueError`` for a length that is no whole number of ciphertexts.
        """
        width = public.ciphertext_bytes
        counts = [count_of(public, group) for group in groups]
        square = (public.n * public.n).to_bytes(width, "big")
        total = sum(counts)
        # All groups one after the other are cut into even slices, and a group that a cut divides is joined again.
        bounds = list(accumulate(counts, initial=0))
        requests: list[tuple[bytes, bytes, Encoded]] = []
        owners = []
        for first, stop in slices(total, self.threads, _SMALLEST_PRODUCT):
            parts, sizes = [], []
            for index, (low, high) in enumerate(pairwise(bounds)):
                begin, end = max(first, low), min(stop, high)
                if begin < end:
                    # A view: a copy of each number takes half as long as multiplying it.
                    parts.append(memoryview(groups[index])[(begin - low) * width : (end - low) * width])
                    sizes.append(end - begin)
                    owners.append(index)
            joined: Encoded = parts[0] if len(parts) == 1 else b"".join(parts)
            requests.append((square, np.array(sizes, "<u8").tobytes(), joined))
        modulus = mpz(public.n) ** 2
        if len(requests) > 1 and crypto_mb.can_multiply(modulus.bit_length()):
            # The library runs without the interpreter's lock: threads spare the way through the pipes.
            with ThreadPoolExecutor(len(requests)) as threads:
                answers = b"".join(threads.map(lambda request: multiply(*request), requests))
        elif len(requests) < 2:
            answers = b"".join(multiply(*request) for request in requests)
        else:
            fields = [(modulo, sizes, bytes(numbers)) for modulo, sizes, numbers in requests]
            answers = b"".join(self._run(wire.PRODUCTS, fields, local=False))
        products = [mpz(1)] * len(groups)
        for index, part in zip(owners, decode(public, answers), strict=True):
            products[index] = products[index] * part % modulus
        return encode(public, products)

    def shift(self, public: PaillierPublicKey, batch: bytes, bits: int) -> bytes:
        """Return ciphertexts of the plaintexts times 2^``bits``, ``bits`` >= 0; the layout makes them fit."""
        if bits < 0:
            raise ValueError("a shift goes up only")
        return batch if bits == 0 else self._powers(public, batch, 1 << bits)

    def add_plain(self, public: PaillierPublicKey, batch: bytes, plaintexts: Sequence[int]) -> bytes:
        """Return ciphertexts of the plaintexts plus signed numbers, one per ciphertext; not re-randomised."""
        n = mpz(public.n)
        square = n * n
        pairs = zip(decode(public, batch), plaintexts, strict=True)
        return encode(public, [number * (1 + n * plaintext) % square for number, plaintext in pairs])

    def rerandomise(self, public: PaillierPublicKey, batch: bytes, key: StreamKey, start: int) -> bytes:
        """Return other ciphertexts of the same plaintexts: times r^n, r from records ``start`` and on of the stream.

        Full n-th powers of uniform r, for who does not know the primes and must not use the owner's tables. A
        record MUST serve one ciphertext only.
        """
        n = public.n
        numbers = decode(public, batch)
        stream, width = KeyStream(key), public.n_bytes + EXCESS_BYTES
        roots = [mpz(stream.residue(start + index, n, width)) for index in range(len(numbers))]
        masks = decode(public, self._powers(public, encode(public, roots), n))
        square = mpz(n) ** 2
        return encode(public, [number * mask % square for number, mask in zip(numbers, masks, strict=True)])

    def check(self, public: PaillierPublicKey, batch: bytes, start: int = 0) -> None:
        """Do what :func:`~federated.ciphertexts.check_ciphertexts` does, on every processor."""
        width = public.ciphertext_bytes
        count = len(batch) // width
        if len(batch) % width == 0 and count >= 2 * _SMALLEST_CHECK:
            requests = [
                (public.encode(), batch[first * width : stop * width])
                for first, stop in slices(count, self.threads, _SMALLEST_CHECK)
            ]
            if not any(self._run(wire.CHECK, requests, local=False)):
                return
        check_ciphertexts(public, batch, start)

    def prepare(self, private: PaillierPrivateKey) -> None:
        """Raise what :meth:`encrypt` would raise for this key, before any data is read."""
        Encryptor(private, self._window)

    def close(self) -> None:
        """End the workers and forget keys and tables; a second call does nothing."""
        self._pool.close()
        forget()

    def _powers(self, public: PaillierPublicKey, batch: bytes, exponent: int) -> bytes:
        width = public.ciphertext_bytes
        count = count_of(public, batch)
        square = (public.n * public.n).to_bytes(width, "big")
        encoded = exponent.to_bytes(-(-exponent.bit_length() // 8), "big")
        requests = [
            (square, encoded, batch[first * width : stop * width])
            for first, stop in slices(count, self.threads, _SMALLEST_POWERS)
        ]
        return b"".join(self._run(wire.POWERS, requests, local=count < _SMALLEST_POWERS))

    def _run(self, operation: bytes, requests: Sequence[Sequence[bytes]], *, local: bool) -> list[bytes]:
        if local or self.threads == 1:
            return [TASKS[operation](fields) for fields in requests]
        return self._pool.ask(operation, requests)
