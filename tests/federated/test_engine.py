"""The batch engine against `phe` and plain integers: same numbers, same bytes on every way, right distribution."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st

from federated import crypto_mb, fixed_base, keys, powers, reference
from federated.ciphertexts import check_ciphertexts, decode, encode, split
from federated.decrypt import Decryptor
from federated.engine import PaillierEngine
from federated.fixed_base import Encryptor
from federated.keys import PaillierPrivateKey, PaillierPublicKey
from federated.stream import KeyStream, StreamKey
from psi.errors import PeerViolation, UsageError, VeiljoinError
from tests.federated.keys_for_tests import STREAM_KEY, prime, private_key, stream

PRIVATE = private_key()
PUBLIC = PRIVATE.public
N = PUBLIC.n
LIMIT = 1 << PUBLIC.plaintext_bits
EDGES = [0, 1, -1, LIMIT - 1, 1 - LIMIT, 2**64, -(2**64)]


@pytest.fixture(scope="module")
def engine() -> Iterator[PaillierEngine]:
    opened = PaillierEngine(threads=2, window=5)
    yield opened
    opened.close()
    opened.close()


def numbers(count: int, seed: int = 0) -> list[int]:
    """Return signed plaintexts, the edges first."""
    draw = random.Random(seed)
    return (EDGES + [draw.getrandbits(2000) - (1 << 1999) for _ in range(count)])[:count]


def portable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn the eight-lane library off in this process."""
    monkeypatch.setattr(crypto_mb, "can_power", lambda bits: False)
    monkeypatch.setattr(crypto_mb, "can_multiply", lambda bits: False)


# -- against phe


def test_phe_decrypts_what_we_encrypt_add_shift_and_rerandomise(engine: PaillierEngine) -> None:
    plain = [5, -7, 2**64, 0, -(2**100), 123_456_789]
    batch = engine.encrypt(PRIVATE, plain, STREAM_KEY, 0)
    key = reference.to_phe_private(PRIVATE)

    def read(result: bytes) -> list[int]:
        return [key.decrypt(number) for number in reference.to_phe_ciphertexts(PUBLIC, result)]

    assert read(batch) == plain
    assert read(engine.add(PUBLIC, [batch, batch[:1024], b""])) == [sum(plain), -2, 0]
    assert read(engine.shift(PUBLIC, batch, 37)) == [number << 37 for number in plain]
    assert read(engine.rerandomise(PUBLIC, batch, STREAM_KEY, 0)) == plain
    assert read(engine.add_plain(PUBLIC, batch, [1, 2, 3, 4, 5, -6])) == [
        number + more for number, more in zip(plain, [1, 2, 3, 4, 5, -6], strict=True)
    ]


def test_we_decrypt_and_add_what_phe_encrypts(engine: PaillierEngine) -> None:
    plain = [5, -7, 2**64, 0, -(2**100)]
    theirs = reference.to_phe_public(PUBLIC)
    batch = reference.from_phe_ciphertexts(PUBLIC, [theirs.encrypt(number) for number in plain])
    engine.check(PUBLIC, batch)
    assert engine.decrypt(PRIVATE, batch) == plain
    mixed = batch + engine.encrypt(PRIVATE, plain, STREAM_KEY, 0)
    assert engine.decrypt(PRIVATE, engine.add(PUBLIC, [mixed])) == [2 * sum(plain)]


def test_phe_and_we_agree_at_the_edges_of_the_plaintext(engine: PaillierEngine) -> None:
    batch = engine.encrypt(PRIVATE, EDGES, STREAM_KEY, 0)
    key = reference.to_phe_private(PRIVATE)
    assert [key.decrypt(number) for number in reference.to_phe_ciphertexts(PUBLIC, batch)] == EDGES
    assert engine.decrypt(PRIVATE, batch) == EDGES


def test_a_key_of_phe_decrypts_here() -> None:
    _, theirs = reference.paillier.generate_paillier_keypair(n_length=2048)
    ours = reference.from_phe_private(theirs)
    batch = reference.from_phe_ciphertexts(ours.public, [theirs.public_key.encrypt(n) for n in (3, -4)])
    assert Decryptor(ours).decrypt(batch) == [3, -4]


def test_a_key_of_unknown_order_is_not_encrypted_with_here_or_on_workers(engine: PaillierEngine) -> None:
    foreign = PaillierPrivateKey.of(prime(1024), prime(1024, 1))
    assert [keys.generator(p) for p in foreign.primes] == [None, None]
    for call in (
        lambda: engine.prepare(foreign),
        lambda: engine.encrypt(foreign, [1], STREAM_KEY, 0),
        lambda: engine.encrypt(foreign, [1] * 600, STREAM_KEY, 0),
    ):
        with pytest.raises(UsageError, match="was not made by Veiljoin") as caught:
            call()
        assert caught.value.code.name == "bad_setting"
        assert "Generate a key here" in caught.value.hint


def test_nothing_but_the_reference_needs_phe() -> None:
    # README, "Licence": who passes Veiljoin on may leave phe out.
    script = (
        "import sys; sys.modules['phe'] = None\n"
        "from federated import engine, noise, proof, windows, worker\n"
        "try:\n    from federated import reference\nexcept ImportError:\n    print('without phe')"
    )
    root = str(Path(fixed_base.__file__).resolve().parents[1])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "without phe\n"


def test_fractions_and_other_keys_of_phe_are_not_taken_over() -> None:
    theirs = reference.to_phe_public(PUBLIC)
    for number in (theirs.encrypt(0.5), reference.to_phe_public(private_key(2048, 2).public).encrypt(1)):
        with pytest.raises(ValueError, match="only integers"):
            reference.from_phe_ciphertexts(PUBLIC, [number])


# -- encryption: definition, replay, distribution


def test_encryption_is_the_specified_formula() -> None:
    plain, start = [12345, -678, 0], 41
    records = KeyStream(STREAM_KEY).read(start * 304, 3 * 304)
    expected = []
    for index, plaintext in enumerate(plain):
        residues = []
        for half, p in enumerate(PRIVATE.primes):
            at = index * 304 + half * 152
            exponent = int.from_bytes(records[at : at + 152], "big") % (p - 1)
            h = gmpy2.powmod(keys.generator(p), p, p * p)
            residues.append((gmpy2.powmod(h, exponent, p * p), p * p))
        (one, p2), (other, q2) = residues
        mask = (one * q2 * gmpy2.invert(q2, p2) + other * p2 * gmpy2.invert(p2, q2)) % (p2 * q2)
        expected.append((1 + N * plaintext) * mask % (N * N))
    assert Encryptor(PRIVATE).encrypt(plain, KeyStream(STREAM_KEY), start) == encode(PUBLIC, expected)


@pytest.mark.parametrize("window", [2, 5, 8, 11])
def test_windows_tables_slices_and_processes_change_no_byte(
    engine: PaillierEngine, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = numbers(600)
    whole = engine.encrypt(PRIVATE, plain, STREAM_KEY, 7)
    assert len(engine.processes) == 2
    monkeypatch.setattr(fixed_base, "SMALLEST_FOR_TABLES", 1)
    encryptor = Encryptor(PRIVATE, window)
    part = encryptor.encrypt(plain[40:44], KeyStream(STREAM_KEY), 47)
    assert encryptor.encrypt([], KeyStream(STREAM_KEY), 47) == b""
    assert part == whole[40 * 512 : 44 * 512]


def test_any_chunk_replays_alone(engine: PaillierEngine) -> None:
    plain = numbers(300)
    whole = engine.encrypt(PRIVATE, plain, STREAM_KEY, 0)
    assert engine.encrypt(PRIVATE, plain[290:], STREAM_KEY, 290) == whole[290 * 512 :]
    other = engine.encrypt(PRIVATE, plain[:5], StreamKey(b"o" * 32), 0)
    assert not set(split(PUBLIC, other)) & set(split(PUBLIC, whole))


def test_equal_plaintexts_have_different_ciphertexts(engine: PaillierEngine) -> None:
    batch = engine.encrypt(PRIVATE, [1] * 300, STREAM_KEY, 0)
    assert len(set(split(PUBLIC, batch))) == 300


def test_the_masks_are_n_th_powers_and_the_base_has_full_order() -> None:
    batch = Encryptor(PRIVATE).encrypt([0] * 4, KeyStream(STREAM_KEY), 0)
    for number in decode(PUBLIC, batch):
        for p in PRIVATE.primes:
            # The subgroup of order p - 1 mod p^2 is that of the n-th powers.
            assert gmpy2.powmod(number, p - 1, p * p) == 1


def test_over_small_primes_the_construction_gives_every_mask_equally_often() -> None:
    # The proof of SPEC 5.1 counted out: r^n over all r against h^a, g^b over all a, b.
    p, q = 11, 17
    n = p * q
    textbook = Counter(pow(r, n, n * n) for r in range(n) if gmpy2.gcd(r, n) == 1)
    masks: Counter[int] = Counter()
    bases = [pow(int(keys.generator(mpz(prime))), prime, prime * prime) for prime in (p, q)]
    for a in range(p - 1):
        for b in range(q - 1):
            one, other = pow(bases[0], a, p * p), pow(bases[1], b, q * q)
            join = pow(q * q, -1, p * p)
            masks[other + q * q * ((one - other) * join % (p * p))] += 1
    assert masks == textbook
    assert set(masks.values()) == {1}


@pytest.mark.parametrize("plaintext", [LIMIT, -LIMIT, N])
def test_plaintexts_that_do_not_fit_are_refused(engine: PaillierEngine, plaintext: int) -> None:
    with pytest.raises(ValueError, match="2045 bits at most"):
        engine.encrypt(PRIVATE, [0, plaintext], STREAM_KEY, 0)
    with pytest.raises(ValueError, match="2045 bits at most"):
        Encryptor(PRIVATE).encrypt([plaintext], KeyStream(STREAM_KEY), 0)


# -- sums, shifts, re-randomisation


@pytest.mark.parametrize("lanes", [True, False])
def test_sums_of_many_groups_of_uneven_sizes(
    engine: PaillierEngine, lanes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not lanes:  # then worker processes take the groups
        portable(monkeypatch)
    plain = [random.Random(3).getrandbits(100) - (1 << 99) for _ in range(300)]
    batch = engine.encrypt(PRIVATE, plain, STREAM_KEY, 0)
    elements = split(PUBLIC, batch)
    draw = random.Random(4)
    picks = [[draw.randrange(300) for _ in range(size)] for size in (0, 1, 2, 63, 64, 65, 5000, 3, 0, 4500)]
    groups = [b"".join(elements[i] for i in pick) for pick in picks]
    sums = engine.add(PUBLIC, groups)
    assert engine.decrypt(PRIVATE, sums) == [sum(plain[i] for i in pick) for pick in picks]
    # The product is a number, whoever computed it.
    assert engine.add(PUBLIC, groups[:6]) == sums[: 6 * 512]
    assert engine.add(PUBLIC, []) == b""


@pytest.mark.parametrize("count", [1, 7, 8, 9, 64, 255, 256, 257, 300, 521])
def test_eight_lane_products_equal_gmp(count: int) -> None:
    if not crypto_mb.can_multiply(4096):
        pytest.skip("this machine has no eight-lane products")
    draw = random.Random(count)
    for modulus in (mpz(N) ** 2, mpz(draw.getrandbits(4096)) | 1 | mpz(1) << 4095, mpz(2) ** 4096 - 3):
        near = [modulus - 1 - (1 << draw.randrange(4000)) for _ in range(count)]
        batch = b"".join(number.to_bytes(512, "big") for number in near)
        assert crypto_mb.product(batch, 512, modulus) == powers.product(near, modulus)


@pytest.mark.parametrize(("bits", "exponent_bits"), [(2048, 1024), (3072, 1536), (4096, 2048), (4096, 1)])
def test_eight_lane_powers_equal_gmp(bits: int, exponent_bits: int) -> None:
    if not crypto_mb.can_power(bits):
        pytest.skip("this machine has no eight-lane powers")
    draw = random.Random(bits)
    exponent = mpz(draw.getrandbits(exponent_bits)) | 1
    for modulus in (
        mpz(draw.getrandbits(bits)) | 1 | mpz(1) << (bits - 1),
        mpz(2) ** bits - 1,
        mpz(1 << bits - 1) + 1,
    ):
        # Where carries ripple: 0, 1, the ends of the range, long runs of equal bits.
        bases = [mpz(0), mpz(1), modulus - 1, modulus - 2, modulus // 2, modulus - (mpz(1) << bits // 2)]
        bases += [(mpz(1) << draw.randrange(1, bits - 1)) - 1 for _ in range(5)]
        bases += [modulus - (mpz(1) << draw.randrange(bits - 1)) for _ in range(6)]
        assert crypto_mb.powers(bases, exponent, modulus) == gmpy2.powmod_base_list(bases, exponent, modulus)


def test_moduli_that_are_a_bit_shorter_go_through_the_same_lanes() -> None:
    if not (crypto_mb.can_power(4095) and crypto_mb.can_multiply(4095)):
        pytest.skip("this machine has no eight-lane arithmetic")
    modulus = mpz(2) ** 4095 - 19
    bases = [modulus - number for number in range(1, 80)]
    assert crypto_mb.powers(bases, mpz(65537), modulus) == gmpy2.powmod_base_list(bases, 65537, modulus)
    batch = b"".join(number.to_bytes(512, "big") for number in bases)
    assert crypto_mb.product(batch, 512, modulus) == powers.product(bases, modulus)


def test_without_the_library_everything_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, own = numbers(80), PaillierEngine(1)
    batch = own.encrypt(PRIVATE, plain, STREAM_KEY, 0)
    small = own.encrypt(PRIVATE, [number >> 200 for number in plain], STREAM_KEY, 0)

    def everything() -> list[object]:
        return [
            own.add(PUBLIC, [small, small[:1024]]),
            own.shift(PUBLIC, small[:4096], 50),
            own.rerandomise(PUBLIC, batch[:2048], STREAM_KEY, 3),
            own.decrypt(PRIVATE, batch),
        ]

    with_library = everything()
    portable(monkeypatch)
    assert everything() == with_library
    assert with_library[3] == plain


def test_products_stay_with_gmp_in_releases_that_were_not_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    crypto_mb._products_are_right.cache_clear()
    monkeypatch.setattr(crypto_mb, "_RELEASES_WITH_PRODUCTS", frozenset({"1999.0.0"}))
    assert not crypto_mb.can_multiply(4096)
    crypto_mb._products_are_right.cache_clear()


def test_a_library_that_computes_wrongly_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    crypto_mb._powers_are_right.cache_clear()
    monkeypatch.setattr(crypto_mb, "powers", lambda bases, exponent, modulus: list(bases))
    assert not crypto_mb._powers_are_right(2048)
    crypto_mb._powers_are_right.cache_clear()


def test_rerandomising_is_a_full_n_th_power_and_replays(engine: PaillierEngine) -> None:
    batch = engine.encrypt(PRIVATE, [1, 2, 3], STREAM_KEY, 0)
    key = StreamKey(b"r" * 32)
    fresh = engine.rerandomise(PUBLIC, batch, key, 10)
    assert engine.decrypt(PRIVATE, fresh) == [1, 2, 3]
    for index, (old, new) in enumerate(zip(decode(PUBLIC, batch), decode(PUBLIC, fresh), strict=True)):
        record = KeyStream(key).read((10 + index) * 280, 280)
        r = int.from_bytes(record, "big") % N
        assert new == old * gmpy2.powmod(r, N, mpz(N) ** 2) % mpz(N) ** 2
    assert engine.rerandomise(PUBLIC, batch[512:], key, 11) == fresh[512:]


def test_a_sum_shows_its_parts_until_it_is_rerandomised(engine: PaillierEngine) -> None:
    # SECURITY 1: subset search on four ciphertexts.
    elements = split(PUBLIC, engine.encrypt(PRIVATE, [10, 20, 30, 40], STREAM_KEY, 0))
    total = engine.add(PUBLIC, [elements[0] + elements[2]])
    subsets = {
        engine.add(PUBLIC, [b"".join(e for i, e in enumerate(elements) if chosen >> i & 1)])
        for chosen in range(16)
    }
    assert total in subsets
    assert engine.rerandomise(PUBLIC, total, STREAM_KEY, 0) not in subsets


def test_large_batches_of_powers_keep_their_order_on_workers(engine: PaillierEngine) -> None:
    plain = list(range(-20, 20))
    batch = engine.encrypt(PRIVATE, plain, STREAM_KEY, 0)
    assert engine.decrypt(PRIVATE, engine.shift(PUBLIC, batch, 9)) == [number << 9 for number in plain]
    assert engine.shift(PUBLIC, batch, 0) == batch
    with pytest.raises(ValueError, match="goes up"):
        engine.shift(PUBLIC, batch, -1)


@settings(max_examples=20)
@given(st.lists(st.integers(-(1 << 1000), 1 << 1000), max_size=6), st.integers(0, 900))
def test_homomorphic_results_equal_plain_ones(plain: list[int], bits: int) -> None:
    own = PaillierEngine(1)
    batch = own.encrypt(PRIVATE, plain, STREAM_KEY, 0)
    shifted = own.shift(PUBLIC, batch, bits)
    total = own.add_plain(PUBLIC, own.add(PUBLIC, [shifted]), [-5])
    assert own.decrypt(PRIVATE, total) == [(sum(plain) << bits) - 5]


def test_3072_bits(engine: PaillierEngine) -> None:
    private = private_key(3072)
    plain = [*range(-40, 40), (1 << 3069) - 1]
    batch = engine.encrypt(private, plain, STREAM_KEY, 0)
    assert len(batch) == 81 * 768
    engine.check(private.public, batch)
    assert engine.decrypt(private, batch) == plain
    total = engine.add(private.public, [batch[: 80 * 768]])
    assert engine.decrypt(private, engine.rerandomise(private.public, total, STREAM_KEY, 0)) == [-40]
    key = reference.to_phe_private(private)
    assert [key.decrypt(n) for n in reference.to_phe_ciphertexts(private.public, batch[-2 * 768 :])] == plain[
        -2:
    ]


# -- checks, faults, errors

P = int(PRIVATE.primes[0])
SQUARE = N * N
BAD_CIPHERTEXTS = {
    "zero": (0, "is zero"),
    "n": (N, "shares a factor"),
    "7p": (7 * P, "shares a factor"),
    "n^2": (SQUARE, "is out of range"),
    "n^2 + 1": (SQUARE + 1, "is out of range"),
    "all ones": ((1 << 4096) - 1, "is out of range"),
}


@pytest.mark.parametrize("kind", BAD_CIPHERTEXTS)
def test_bad_ciphertexts_are_refused_by_number(engine: PaillierEngine, kind: str) -> None:
    number, why = BAD_CIPHERTEXTS[kind]
    good = engine.encrypt(PRIVATE, [1, 2, 3], STREAM_KEY, 0)
    batch = good + number.to_bytes(512, "big") + good
    with pytest.raises(PeerViolation, match=f"Ciphertext 103 {why}") as caught:
        engine.check(PUBLIC, batch, start=100)
    if number > 9:
        assert str(number) not in str(caught.value)
    check_ciphertexts(PUBLIC, good)
    check_ciphertexts(PUBLIC, b"")
    check_ciphertexts(PUBLIC, (1).to_bytes(512, "big") + (SQUARE - 1).to_bytes(512, "big"))


def test_a_bad_ciphertext_in_a_large_batch_is_found_on_workers(engine: PaillierEngine) -> None:
    good = engine.encrypt(PRIVATE, list(range(300)), STREAM_KEY, 0) * 30
    engine.check(PUBLIC, good)
    place = 8700
    batch = good[: place * 512] + (5 * P).to_bytes(512, "big") + good[(place + 1) * 512 :]
    with pytest.raises(PeerViolation, match=f"Ciphertext {place} shares a factor"):
        engine.check(PUBLIC, batch)


def test_wrong_lengths(engine: PaillierEngine) -> None:
    with pytest.raises(PeerViolation, match="513 bytes are not a whole number of 512-byte ciphertexts"):
        engine.check(PUBLIC, bytes(513))
    for call in (
        lambda: engine.decrypt(PRIVATE, bytes(511)),
        lambda: engine.add(PUBLIC, [bytes(1)]),
        lambda: engine.shift(PUBLIC, bytes(3), 1),
    ):
        with pytest.raises(ValueError, match="whole number of 512-byte"):
            call()


def test_a_faulty_power_is_noticed_before_a_plaintext_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # A plaintext that is right mod q and wrong mod p would give p away.
    batch = PaillierEngine(1).encrypt(PRIVATE, [5], STREAM_KEY, 0)

    def faulty(bases: list[mpz], exponent: mpz, modulus: mpz, *, secret: bool) -> list[mpz]:
        return [gmpy2.powmod(base, exponent, modulus) ^ 2 for base in bases]

    monkeypatch.setattr("federated.decrypt.powers", faulty)
    with pytest.raises(VeiljoinError, match="failed its check"):
        Decryptor(PRIVATE).decrypt(batch)


def test_an_error_in_a_worker_comes_back_as_the_same_sentence(engine: PaillierEngine) -> None:
    # Multiples of p are no ciphertexts; the caller skipped the check.
    with pytest.raises(VeiljoinError, match="A decryption failed its check"):
        engine.decrypt(PRIVATE, P.to_bytes(512, "big") * 128)
    assert engine.decrypt(PRIVATE, (1).to_bytes(512, "big") * 128) == [0] * 128


def test_a_killed_worker_is_one_clear_error_and_the_next_batch_works() -> None:
    own = PaillierEngine(2)
    try:
        batch = (1).to_bytes(512, "big") * 128
        assert own.decrypt(PRIVATE, batch) == [0] * 128
        os.kill(own.processes[0], signal.SIGKILL)
        with pytest.raises(UsageError, match="worker process of the Paillier engine") as caught:
            own.decrypt(PRIVATE, batch)
        assert caught.value.code.name == "engine_unavailable"
        assert own.processes == ()
        assert own.decrypt(PRIVATE, batch) == [0] * 128
    finally:
        own.close()
    assert own.processes == ()


def test_settings_are_checked() -> None:
    with pytest.raises(UsageError, match="0 threads"):
        PaillierEngine(0)
    for window in (0, 1, 15):
        with pytest.raises(UsageError, match=f"window of {window} bits"):
            PaillierEngine(1, window)
    PaillierEngine(1, 4).prepare(PRIVATE)


def test_decrypting_with_another_key_gives_other_numbers(engine: PaillierEngine) -> None:
    batch = engine.encrypt(PRIVATE, [1], STREAM_KEY, 0)
    other: PaillierPrivateKey = private_key(2048, 2)
    assert isinstance(other.public, PaillierPublicKey)
    assert engine.decrypt(other, batch) != [1]


# -- streams


@given(st.integers(0, 5000), st.integers(0, 300))
def test_any_part_of_a_stream_is_that_of_the_whole(offset: int, length: int) -> None:
    whole = stream().read(0, 5400)
    assert stream().read(offset, length) == whole[offset : offset + length]


@given(st.integers(0, 1000), st.integers(1, 400))
def test_bits_are_the_leading_bits_of_the_bytes(offset: int, count: int) -> None:
    number = stream().bits(offset, count)
    assert number < 1 << count
    taken = f"{int.from_bytes(stream().read(offset, 60), 'big'):0480b}"[:count]
    assert f"{number:0{count}b}" == taken


def test_stream_keys_are_secret_and_whole() -> None:
    assert "6b6b" not in repr(STREAM_KEY)
    assert "kkkk" not in repr(STREAM_KEY)
    with pytest.raises(ValueError, match="32 bytes"):
        KeyStream(StreamKey(b"short"))


def test_bytes_of_a_stream_are_even() -> None:
    counts = np.bincount(np.frombuffer(stream(7).read(0, 1 << 18), np.uint8), minlength=256)
    expected = (1 << 18) / 256
    assert 256 - 6 * 22.6 < ((counts - expected) ** 2 / expected).sum() < 256 + 6 * 22.6
