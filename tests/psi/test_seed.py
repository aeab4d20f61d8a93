"""One seed per job and side: what derives from it is the same each time, and nothing of it fits another job."""

from __future__ import annotations

import copy
import hmac
import pickle

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from psi import seed as seeds
from psi.hash_to_curve import RISTRETTO255_ORDER
from psi.messages import Stream
from psi.secret import Seed
from psi.seed import LABEL_ORDER, LABEL_SHUFFLE, JobRandomness, new_seed
from psi.suites import RISTRETTO255, SUITES, X25519_ELL2, Suite
from psi.terms import Kind, Role, Terms
from tests.psi import reference as ref
from tests.psi.pair import (
    CONTRACT,
    OTHER_CONTRACT,
    RECEIVER_SEED,
    SENDER_SEED,
    Tiers,
    match,
    party,
    people,
    terms_for,
)

LABELS = sorted(value for name, value in vars(seeds).items() if name.startswith("LABEL_"))
RECEIVER_SET: Tiers = [("a", people(*range(30))), ("b", people(*range(30, 50)))]
SENDER_SET: Tiers = [("x", people(*range(20, 40))), ("y", people(*range(40, 75)))]
POINT_STREAMS = (Stream.RECEIVER_POINTS, Stream.SENDER_POINTS)
TOKEN_STREAMS = (Stream.RECEIVER_TOKENS, Stream.SENDER_TOKENS)
every_suite = pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
KINDS = [(Kind.OVERLAP, False), (Kind.AUDIENCE, False), (Kind.AUDIENCE, True)]


def randomness(seed: bytes = RECEIVER_SEED, contract: bytes = CONTRACT) -> JobRandomness:
    """Return the derivations of one seed."""
    return JobRandomness(Seed(seed), contract)


# -- derivation


def test_labels_differ_and_are_of_this_version() -> None:
    assert len(LABELS) == len(set(LABELS)) == 6
    assert all(label.startswith("veiljoin/v1/") for label in LABELS)


@given(st.sampled_from(LABELS), st.sampled_from(LABELS))
def test_each_label_has_its_own_key(one: str, other: str) -> None:
    assert (randomness().derive(one, 32) == randomness().derive(other, 32)) == (one == other)


def test_seed_and_contract_both_decide() -> None:
    variants = [
        randomness(),
        randomness(seed=SENDER_SEED),
        randomness(contract=OTHER_CONTRACT),
        randomness(seed=SENDER_SEED, contract=OTHER_CONTRACT),
    ]
    for derived in (
        [each.derive("label", 64) for each in variants],
        [each.seed_commitment() for each in variants],
        [each.input_commitment(bytes(32)) for each in variants],
        [each.scalar(X25519_ELL2).reveal() for each in variants],
        [each.scalar(RISTRETTO255).reveal() for each in variants],
        [each.key(LABEL_ORDER).reveal() for each in variants],
        [each.ranks(LABEL_ORDER, 0, 4).tobytes() for each in variants],
    ):
        assert len(set(derived)) == len(variants)


def test_hkdf_is_that_of_rfc_5869() -> None:
    # By hand, from section 2: extract with the contract as salt, expand with the label as info.
    extracted = hmac.digest(CONTRACT, RECEIVER_SEED, "sha256")
    first = hmac.digest(extracted, b"label" + b"\x01", "sha256")
    second = hmac.digest(extracted, first + b"label" + b"\x02", "sha256")
    assert randomness().derive("label", 48) == (first + second)[:48]


def test_the_scalars_are_usable() -> None:
    clamped = randomness().scalar(X25519_ELL2).reveal()
    assert clamped[0] & 7 == 0
    assert clamped[31] & 0xC0 == 0x40
    reduced = int.from_bytes(randomness().scalar(RISTRETTO255).reveal(), "little")
    assert 0 < reduced < RISTRETTO255_ORDER == ref.L


def test_commitments_hide_and_bind() -> None:
    own = randomness()
    assert own.input_commitment(bytes(32)) != own.input_commitment(b"\x01" + bytes(31))
    for commitment in (own.seed_commitment(), own.input_commitment(bytes(32))):
        assert len(commitment) == 32
        assert RECEIVER_SEED not in commitment
    # Salted: the same input has another commitment in another job.
    assert own.input_commitment(bytes(32)) != randomness(contract=OTHER_CONTRACT).input_commitment(bytes(32))


def test_fresh_seeds_differ() -> None:
    fresh = [new_seed() for _ in range(50)]
    assert len({each.reveal() for each in fresh}) == 50
    assert {len(each.reveal()) for each in fresh} == {32}


def test_nothing_is_derived_from_a_destroyed_seed() -> None:
    own = randomness()
    own.destroy()
    for use in (own.seed_commitment, lambda: own.scalar(X25519_ELL2), lambda: own.ranks(LABEL_ORDER, 0, 1)):
        with pytest.raises(ValueError, match="Seed was destroyed"):
            use()


def test_randomness_shows_and_gives_away_nothing() -> None:
    own = randomness()
    assert RECEIVER_SEED.decode() not in repr(own)
    for give in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="Seed is not pickled"):
            give(own)


# -- ranks


def test_ranks_are_the_key_stream_of_aes_256_ctr() -> None:
    own = randomness()
    cipher = Cipher(algorithms.AES256(own.derive(LABEL_ORDER, 32)), modes.CTR(bytes(16))).encryptor()
    stream = cipher.update(bytes(8 * 100))
    expected = [int.from_bytes(stream[i : i + 8], "little") for i in range(0, 800, 8)]
    ranks = own.ranks(LABEL_ORDER, 0, 100)
    assert ranks.dtype == np.uint64
    assert ranks.tolist() == expected


@given(st.integers(0, 2000), st.integers(0, 500))
def test_ranks_of_any_window_are_those_of_the_whole(start: int, count: int) -> None:
    whole = randomness().ranks(LABEL_SHUFFLE, 0, 2600)
    window = randomness().ranks(LABEL_SHUFFLE, start, count)
    assert window.shape == (count,)
    assert window.tolist() == whole[start : start + count].tolist()


@pytest.mark.parametrize("start", [2**32 - 3, 2**33 - 1, 2**40, 2**62 + 5])
def test_ranks_far_out_agree_across_a_counter_that_carries(start: int) -> None:
    long = randomness().ranks(LABEL_ORDER, start, 11)
    for offset in range(10):
        assert randomness().ranks(LABEL_ORDER, start + offset, 1)[0] == long[offset]
    assert len(set(long.tolist())) == 11


def test_ranks_under_two_labels_are_unrelated() -> None:
    order, shuffle = (randomness().ranks(label, 0, 1000) for label in (LABEL_ORDER, LABEL_SHUFFLE))
    assert not set(order.tolist()) & set(shuffle.tolist())


def test_the_order_of_a_set_is_a_permutation_that_hides_the_files_order() -> None:
    terms = terms_for(chunk_elements=500)
    sides = [
        party(Role.RECEIVER, terms, [("", people(*range(2000)))], seed=seed)
        for seed in (b"1" * 32, b"2" * 32)
    ]
    for side in sides:
        origin = side.own.origin
        assert sorted(origin.tolist()) == list(range(2000))
        # A secret shuffle: hardly anybody stays, and place and row are uncorrelated (about 1/sqrt(n)).
        assert np.count_nonzero(origin == np.arange(2000)) < 12
        assert abs(np.corrcoef(origin, np.arange(2000))[0, 1]) < 0.12
    assert np.count_nonzero(sides[0].own.origin == sides[1].own.origin) < 12


def test_the_order_keeps_to_the_tiers() -> None:
    side = party(Role.SENDER, terms_for(), SENDER_SET)
    assert sorted(side.identifiers[:20]) == sorted(SENDER_SET[0][1])
    assert sorted(side.identifiers[20:]) == sorted(SENDER_SET[1][1])
    assert side.identifiers[:20] != list(SENDER_SET[0][1])


# -- whole runs


def elements(terms: Terms, seed_pair: tuple[bytes, bytes]) -> tuple[set[bytes], set[bytes]]:
    """Return all points and all tokens that a run puts on the wire."""
    talk = match(terms, RECEIVER_SET, SENDER_SET, seeds=seed_pair).talk
    points = {each for stream in POINT_STREAMS for each in talk.elements(stream, 32)}
    tokens = {each for stream in TOKEN_STREAMS for each in talk.elements(stream, 16)}
    return points, tokens


@every_suite
@pytest.mark.parametrize(
    ("contract", "seed_pair"),
    [
        pytest.param(
            OTHER_CONTRACT, (RECEIVER_SEED, SENDER_SEED), id="other contract, even with the same seeds"
        ),
        pytest.param(CONTRACT, (b"R" * 32, b"S" * 32), id="restart with new seeds"),
        pytest.param(OTHER_CONTRACT, (b"R" * 32, b"S" * 32), id="other job"),
    ],
)
def test_two_jobs_over_the_same_data_share_nothing(
    suite: Suite, contract: bytes, seed_pair: tuple[bytes, bytes]
) -> None:
    first = elements(terms_for(both=True, suite=suite), (RECEIVER_SEED, SENDER_SEED))
    second = elements(terms_for(both=True, suite=suite, contract=contract), seed_pair)
    assert len(first[0]) == len(second[0]) == 105
    for kind in (0, 1):
        assert not first[kind] & second[kind]
    assert not first[1] & {point[:16] for point in second[0]}


@every_suite
def test_within_one_job_the_points_of_both_sides_share_nothing(suite: Suite) -> None:
    talk = match(terms_for(both=True, suite=suite), RECEIVER_SET, SENDER_SET).talk
    receiver, sender = (set(talk.elements(stream, 32)) for stream in POINT_STREAMS)
    assert (len(receiver), len(sender)) == (50, 55)
    assert not receiver & sender


@pytest.mark.parametrize(("kind", "both"), KINDS)
@every_suite
def test_the_same_seed_and_contract_say_the_same_bytes(suite: Suite, kind: Kind, both: bool) -> None:
    terms = terms_for(kind, both=both, suite=suite)
    runs = [match(terms, RECEIVER_SET, SENDER_SET, order=order).talk for order in (1, 2, 3)]
    for role in Role:
        assert runs[0].by(role) == runs[1].by(role) == runs[2].by(role)


# -- what a single receiver that only counts can see (SPEC 5.2: the shuffle)


def overlap_tokens(sender_seed: bytes) -> tuple[list[bytes], list[bytes], tuple[int, ...]]:
    """Return the tokens on the receiver's points in its own order, those that it got, and its tier sizes."""
    settings_ = {"seeds": (RECEIVER_SEED, sender_seed)}
    plain = match(terms_for(), RECEIVER_SET, SENDER_SET, **settings_).talk
    shuffled = match(terms_for(Kind.OVERLAP), RECEIVER_SET, SENDER_SET, **settings_).talk
    # One contract and one seed pair, so both runs send the same points and make the same tokens.
    assert plain.chunks(Stream.RECEIVER_POINTS)[0].data == shuffled.chunks(Stream.RECEIVER_POINTS)[0].data
    return (
        plain.elements(Stream.RECEIVER_TOKENS, 16),
        shuffled.elements(Stream.RECEIVER_TOKENS, 16),
        (30, 20),
    )


def test_a_counter_gets_the_same_tokens_within_each_tier_in_another_order() -> None:
    ordered, told, sizes = overlap_tokens(SENDER_SEED)
    start = 0
    for size in sizes:
        mine, shuffled = ordered[start : start + size], told[start : start + size]
        assert sorted(mine) == sorted(shuffled)
        assert mine != shuffled
        start += size
    assert start == len(told)


def test_where_a_counters_token_lands_says_nothing() -> None:
    # Over many senders, each position's token lands anywhere in its tier: on average one of a tier stays,
    # whatever its size (a random permutation has one fixed point), so two per run over both tiers.
    # The senders' seeds are fixed, so the figures are the same each time.
    runs, stayed, places = 90, 0, np.zeros((30, 30), dtype=np.int64)
    for run in range(runs):
        ordered, told, _ = overlap_tokens(b"sender %025d" % run)
        stayed += sum(a == b for a, b in zip(ordered, told, strict=True))
        for position, token in enumerate(ordered[:30]):
            places[position, told.index(token)] += 1
    assert 1.4 < stayed / runs < 2.6
    # 90 runs over 30 x 30 cells, 3 expected in each: chi-square with 29 x 29 degrees of freedom.
    expected = runs / 30
    chi_square = float(((places - expected) ** 2 / expected).sum())
    assert 29 * 29 - 6 * np.sqrt(2 * 841) < chi_square < 29 * 29 + 6 * np.sqrt(2 * 841)
