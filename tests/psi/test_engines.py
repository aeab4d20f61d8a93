"""All engines of a suite give the same bytes and refuse the same elements; one is chosen or says why it is not."""

from __future__ import annotations

import platform
import random
import sys
from collections.abc import Iterator
from importlib import metadata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psi import engines
from psi.engines import Engine, crypto_mb, pyca, sodium
from psi.errors import PeerViolation, UsageError
from psi.hash_to_curve import derive_scalar, hash_to_group
from psi.secret import Scalar
from psi.suites import RISTRETTO255, SUITES, X25519_ELL2, Suite
from tests.psi import reference as ref

TAG = b"test tag of the engines"
SMALLEST = {"crypto_mb": crypto_mb.SMALLEST, "cryptography": pyca.SMALLEST, "sodium": sodium.SMALLEST}
USABLE = [
    pytest.param(suite, status.name, threads, id=f"{status.name}-{threads}")
    for suite in SUITES.values()
    for status in engines.available(suite)
    if status.usable
    for threads in (1, 2)
]
X25519_USABLE = [param for param in USABLE if param.values[0] is X25519_ELL2]
every_engine = pytest.mark.parametrize(("suite", "name", "threads"), USABLE)


@pytest.fixture(scope="module", autouse=True)
def opened() -> Iterator[dict[tuple[str, int], Engine]]:
    """Engines are shared by the tests of this module: starting workers takes a while."""
    table: dict[tuple[str, int], Engine] = {}
    for param in USABLE:
        suite, name, threads = param.values
        assert isinstance(suite, Suite)
        assert isinstance(name, str)
        assert isinstance(threads, int)
        table[name, threads] = engines.open_engine(suite, name, threads)
    yield table
    for engine in table.values():
        engine.close()
        engine.close()


Opened = dict[tuple[str, int], Engine]


def scalar_of(suite: Suite, seed: int) -> Scalar:
    return derive_scalar(suite, random.Random(seed).randbytes(64))


def points_of(suite: Suite, count: int) -> bytes:
    return hash_to_group(suite, TAG, [b"%d" % i for i in range(count)])


def oracle(suite: Suite, points: bytes, scalar: Scalar) -> bytes:
    multiply = ref.x25519 if suite is X25519_ELL2 else ref.ristretto_multiply
    masks = [multiply(scalar.reveal(), points[i : i + 32]) for i in range(0, len(points), 32)]
    return b"".join(mask or bytes(32) for mask in masks)


@every_engine
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 130])
def test_masks_equal_the_reference(opened: Opened, suite: Suite, name: str, threads: int, count: int) -> None:
    points, scalar = points_of(suite, count), scalar_of(suite, count)
    expected = oracle(suite, points[: 32 * 9], scalar)
    masks = opened[name, threads].mask(points, scalar)
    assert len(masks) == 32 * count
    assert masks[: 32 * 9] == expected
    assert masks[-32 * 2 :] == oracle(suite, points[-32 * 2 :], scalar)


def test_a_large_batch_is_the_same_from_every_x25519_engine_and_thread_count(opened: Opened) -> None:
    count = 65536 + 3
    distinct = points_of(X25519_ELL2, 4099)
    points = (distinct * (count // 4099 + 1))[: 32 * count]
    scalar = scalar_of(X25519_ELL2, 3)
    # The kernel alone, in this process, is the plainest way through.
    plain = pyca.multiply(distinct, scalar.reveal())
    expected = (plain * (count // 4099 + 1))[: 32 * count]
    for param in X25519_USABLE:
        _, name, threads = param.values
        engine = opened[str(name), int(str(threads))]
        size = count if name != "cryptography" else 8200
        assert engine.mask(points[: 32 * size], scalar) == expected[: 32 * size], param.id


def test_a_large_ristretto_batch_keeps_its_order_on_workers(opened: Opened) -> None:
    count = 2 * sodium.SMALLEST + 5
    points, scalar = points_of(RISTRETTO255, count), scalar_of(RISTRETTO255, 4)
    masks = opened["sodium", 2].mask(points, scalar)
    assert masks == opened["sodium", 1].mask(points, scalar)
    assert masks[-32:] == oracle(RISTRETTO255, points[-32:], scalar)
    assert len(opened["sodium", 2].processes) == 2


@every_engine
def test_masks_commute(opened: Opened, suite: Suite, name: str, threads: int) -> None:
    engine, points = opened[name, threads], points_of(suite, 40)
    r, s = scalar_of(suite, 5), scalar_of(suite, 6)
    assert engine.mask(engine.mask(points, r), s) == engine.mask(engine.mask(points, s), r)


@settings(max_examples=30)
@given(
    st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=20),
    st.binary(min_size=32, max_size=32),
)
def test_x25519_engines_agree_with_the_reference_on_any_bytes(elements: list[bytes], secret: bytes) -> None:
    points, scalar = b"".join(elements), Scalar(secret)
    expected = oracle(X25519_ELL2, points, scalar)
    for param in X25519_USABLE:
        engine = engines.open_engine(X25519_ELL2, str(param.values[1]), 1)
        if any(expected[i : i + 32] == bytes(32) for i in range(0, len(expected), 32)):
            with pytest.raises(PeerViolation):
                engine.mask(points, scalar)
        else:
            assert engine.mask(points, scalar) == expected


@pytest.mark.parametrize(("suite", "name", "threads"), X25519_USABLE)
def test_wycheproof(opened: Opened, suite: Suite, name: str, threads: int) -> None:
    engine = opened[name, threads]
    for number, _, public, private, shared in ref.vectors("wycheproof_x25519")["cases"]:
        # Amid good points, at a lane that changes from case to case.
        place = number % 8
        batch = points_of(suite, place) + bytes.fromhex(public)
        scalar = Scalar(bytes.fromhex(private))
        if shared == "00" * 32:
            with pytest.raises(PeerViolation, match=f"^Element {place} of the chunk"):
                engine.mask(batch, scalar)
        else:
            assert engine.mask(batch, scalar)[-32:].hex() == shared, number


@pytest.mark.parametrize(("suite", "name", "threads"), X25519_USABLE)
def test_points_with_long_runs_of_equal_bits(opened: Opened, suite: Suite, name: str, threads: int) -> None:
    # Where carries ripple: around powers of two and around p, where crypto_mb's library alone is wrong.
    near = [(sign * 2**e + j) % ref.P for e in range(4, 256, 3) for j in (-10, -3, 3) for sign in (1, -1)]
    near += [2**e - 1 for e in range(2, 256)] + [2**255 - 2**e for e in range(6, 254)]
    near += [ref.P - j for j in range(2, 300, 7)] + [pow(j, -1, ref.P) for j in range(2, 40)]
    points = b"".join(x.to_bytes(32, "little") for x in near)
    scalar = scalar_of(X25519_ELL2, 11)
    plain = b"".join(
        ref.ladder(int.from_bytes(scalar.reveal(), "little"), x).to_bytes(32, "little") for x in near[::9]
    )
    masks = opened[name, threads].mask(points, scalar)
    assert masks == pyca.multiply(points, scalar.reveal())
    assert b"".join(masks[32 * i : 32 * i + 32] for i in range(0, len(near), 9)) == plain


@pytest.mark.parametrize(("suite", "name", "threads"), X25519_USABLE)
def test_rfc_7748(opened: Opened, suite: Suite, name: str, threads: int) -> None:
    engine, file = opened[name, threads], ref.vectors("rfc7748_x25519")
    for case in file["vectors"]:
        output = engine.mask(bytes.fromhex(case["u"]), Scalar(bytes.fromhex(case["scalar"])))
        assert output.hex() == case["output"]
    k = u = bytes.fromhex(file["iterated"]["start"])
    for _ in range(file["iterated"]["count"]):
        k, u = engine.mask(u, Scalar(k)), k
    assert k.hex() == file["iterated"]["output"]


def test_rfc_9497_blind_and_evaluate(opened: Opened) -> None:
    file = ref.vectors("rfc9497_ristretto255_sha512_oprf")
    tag, engine = bytes.fromhex(file["hash_to_group_dst"]), opened["sodium", 1]
    for case in file["vectors"]:
        point = hash_to_group(RISTRETTO255, tag, [bytes.fromhex(case["input"])])
        blinded = engine.mask(point, Scalar(bytes.fromhex(case["blind"])))
        assert blinded.hex() == case["blinded_element"]
        evaluated = engine.mask(blinded, Scalar(bytes.fromhex(file["secret_key"])))
        assert evaluated.hex() == case["evaluation_element"]


def test_libsodium_does_not_clamp(opened: Opened) -> None:
    generator = bytes.fromhex(ref.vectors("rfc9496_ristretto255")["multiples_of_generator"][1])
    for number in (1, 2, 7, ref.L - 1, ref.L + 5, 2**255 - 1, 2**255 + 3):
        kept = (number % 2**255).to_bytes(32, "little")
        mask = opened["sodium", 1].mask(generator, Scalar(number.to_bytes(32, "little")))
        assert mask == ref.ristretto_multiply(kept, generator)


@pytest.mark.parametrize(("suite", "name"), [(X25519_ELL2, "cryptography"), (RISTRETTO255, "sodium")])
def test_kernels_write_zeros_where_there_is_no_product(suite: Suite, name: str) -> None:
    secret, good = scalar_of(suite, 21).reveal(), points_of(suite, 3)
    masks = engines.kernel_of(name)(good + bytes(32) + good, secret)
    assert masks == engines.kernel_of(name)(good, secret) + bytes(32) + engines.kernel_of(name)(good, secret)
    assert engines.kernel_of(name)(b"", secret) == b""


@pytest.mark.skipif(
    not any(p.values[1] == "crypto_mb" for p in USABLE), reason="this machine has no crypto_mb"
)
def test_the_crypto_mb_kernel_writes_zeros_too() -> None:
    secret, good = scalar_of(X25519_ELL2, 22).reveal(), points_of(X25519_ELL2, 11)
    masks = crypto_mb.multiply(good + bytes(32) + good, secret)
    assert masks == pyca.multiply(good, secret) + bytes(32) + pyca.multiply(good, secret)
    assert crypto_mb.multiply(b"", secret) == b""


@every_engine
@pytest.mark.parametrize("count", [0, 1, 9, 300])
def test_hash_and_mask_is_hashing_then_masking(
    opened: Opened, suite: Suite, name: str, threads: int, count: int
) -> None:
    identifiers, scalar = [b"%d" % i for i in range(count)], scalar_of(suite, 13)
    engine = opened[name, threads]
    assert engine.hash_and_mask(TAG, identifiers, scalar) == engine.mask(points_of(suite, count), scalar)


@pytest.mark.parametrize("threads", [1, 2])
def test_sodium_refuses_every_invalid_encoding_of_rfc_9496(opened: Opened, threads: int) -> None:
    good, scalar = points_of(RISTRETTO255, 150), scalar_of(RISTRETTO255, 8)
    invalid = ref.vectors("rfc9496_ristretto255")["invalid_encodings"]
    for encoding in ["00" * 32, *(each for kind in invalid.values() for each in kind)]:
        chunk = good[: 32 * 77] + bytes.fromhex(encoding) + good[32 * 77 :]
        with pytest.raises(PeerViolation, match=r"^Element 77 of the chunk") as caught:
            opened["sodium", threads].mask(chunk, scalar)
        assert encoding not in str(caught.value)


@every_engine
def test_the_first_bad_element_is_named_across_slices(
    opened: Opened, suite: Suite, name: str, threads: int
) -> None:
    # Large enough for two slices of every engine; one bad element in each.
    count = 2 * SMALLEST[name] + 50
    points = bytearray(points_of(suite, 50) * (count // 50 + 1))
    first, second = count // 2 - 5, count - 3
    points[32 * first : 32 * first + 32] = points[32 * second : 32 * second + 32] = bytes(32)
    with pytest.raises(PeerViolation, match=f"^Element {first} of the chunk"):
        opened[name, threads].mask(bytes(points), scalar_of(suite, 9))
    # The engine still works after a refusal.
    assert len(opened[name, threads].mask(bytes(points[:64]), scalar_of(suite, 9))) == 64


@every_engine
def test_wrong_lengths_are_our_fault(opened: Opened, suite: Suite, name: str, threads: int) -> None:
    with pytest.raises(ValueError, match="33 bytes"):
        opened[name, threads].mask(bytes(33), scalar_of(suite, 1))
    with pytest.raises(ValueError, match="not 31") as caught:
        opened[name, threads].mask(points_of(suite, 1), Scalar(b"\xa5" * 31))
    assert "a5a5" not in str(caught.value)


def test_open_engine_takes_the_first_usable_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crypto_mb, "reason_unusable", lambda: "no such instructions.")
    statuses = engines.available(X25519_ELL2)
    assert [(each.name, each.usable) for each in statuses] == [("crypto_mb", False), ("cryptography", True)]
    assert statuses[0].reason == "no such instructions."
    assert engines.open_engine(X25519_ELL2).name == "cryptography"
    assert engines.open_engine(X25519_ELL2, threads=3).threads == 3
    with pytest.raises(UsageError, match="'crypto_mb' cannot run here: no such instructions") as caught:
        engines.open_engine(X25519_ELL2, "crypto_mb")
    assert caught.value.code.name == "engine_unavailable"
    monkeypatch.setattr(pyca, "reason_unusable", lambda: "not installed.")
    with pytest.raises(UsageError, match=r"No masking engine of suite x25519-ell2.*not installed") as caught:
        engines.open_engine(X25519_ELL2)
    assert caught.value.code.name == "engine_unavailable"


def test_open_engine_refuses_unknown_names_and_thread_counts() -> None:
    with pytest.raises(UsageError, match=r"called 'crypto-mb'.*Did you mean 'crypto_mb'"):
        engines.open_engine(X25519_ELL2, "crypto-mb")
    with pytest.raises(UsageError, match="Suite ristretto255 has no masking engine called 'crypto_mb'"):
        engines.open_engine(RISTRETTO255, "crypto_mb")
    with pytest.raises(UsageError, match="0 threads"):
        engines.open_engine(X25519_ELL2, threads=0)


def test_crypto_mb_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> None:
        raise metadata.PackageNotFoundError(package)

    crypto_mb.load_library.cache_clear()
    monkeypatch.setattr(metadata, "files", missing)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(sys, "platform", "linux")
    assert crypto_mb.reason_unusable() == "the package intel-cmplr-lib-rt is not installed (extra 'accel')."
    monkeypatch.setattr(metadata, "files", lambda package: [])
    assert crypto_mb.reason_unusable() == "the package intel-cmplr-lib-rt does not bring libintlc.so.5."
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert crypto_mb.reason_unusable() == "it is built for Linux on x86-64 only."


def test_sodium_and_cryptography_say_when_their_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "rbcl is not installed" in (sodium.reason_unusable() or "")
    assert "cryptography is not installed" in (pyca.reason_unusable() or "")
