"""The specification and the code say the same: constants, labels, known answers."""

from __future__ import annotations

import hashlib
import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import federated
from federated import keys, noise, proof, slots, stream, windows
from federated.ciphertexts import decode
from federated.engine import PaillierEngine
from federated.keys import PaillierPrivateKey
from federated.stream import KeyStream, StreamKey, stream_key
from psi.secret import Seed
from psi.seed import JobRandomness

SPEC = (Path(federated.__file__).parent / "SPEC.md").read_text()
VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "paillier.json").read_text())


def rows(section: str) -> dict[str, str]:
    """Return the first two columns of a section's table."""
    text = re.split(r"\n## ", SPEC.partition(f"\n## {section}\n")[2])[0]
    return dict(re.findall(r"^\| `?([^`|]+?)`? \| ([^|]+?) \|", text, re.MULTILINE))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALPHA_BITS", keys.ALPHA_BITS),
        ("ROOTS", proof.ROOTS),
        ("PLAINTEXT_MARGIN", keys.PLAINTEXT_MARGIN),
        ("EXCESS_BYTES", stream.EXCESS_BYTES),
        ("MASK_BITS", slots.MASK_BITS),
        ("GUARD_BITS", slots.GUARD_BITS),
        ("TAIL_BITS", noise.TAIL_BITS),
        ("key lengths", keys.KEY_BITS),
    ],
)
def test_the_table_of_constants(name: str, value: object) -> None:
    assert rows("1 Constants")[name] == str(value).strip("()")


def test_the_table_of_labels() -> None:
    labels = {value for name, value in vars(stream).items() if name.startswith("LABEL_")}
    assert {label for label in rows("2 Streams") if label.startswith("veiljoin/")} == labels


def test_stream_keys_are_derived_as_specified() -> None:
    randomness = JobRandomness(Seed(b"s" * 32), bytes(32))
    plain = stream_key(randomness, stream.LABEL_NOISE)
    assert plain.reveal() == randomness.derive("veiljoin/v1/noise", 32)
    mixed = stream_key(randomness, stream.LABEL_NOISE, b"nonce")
    # HMAC (RFC 2104) by hand.
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in plain.reveal().ljust(64, b"\0")) + b"nonce").digest()
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in plain.reveal().ljust(64, b"\0")) + inner).digest()
    assert mixed.reveal() == outer


def known() -> tuple[PaillierPrivateKey, StreamKey]:
    """Return key and stream of the vectors."""
    private = PaillierPrivateKey.of(int(VECTORS["p"], 16), int(VECTORS["q"], 16))
    return private, StreamKey(bytes.fromhex(VECTORS["stream_key"]))


def digest(data: bytes) -> str:
    """Return SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def test_known_answers() -> None:
    private, key = known()
    engine, plain = PaillierEngine(1), [int(text) for text in VECTORS["plaintexts"]]
    batch = engine.encrypt(private, plain, key, VECTORS["first_record"])
    assert batch[:512].hex() == VECTORS["first_ciphertext"]
    assert digest(batch) == VECTORS["ciphertexts_sha256"]
    again = engine.rerandomise(private.public, batch, key, 0)
    assert digest(again) == VECTORS["rerandomised_sha256"]
    contract = bytes.fromhex(VECTORS["contract_hash"])
    assert digest(proof.prove_modulus(private, contract)) == VECTORS["proof_sha256"]


def test_the_known_ciphertext_by_plain_integers() -> None:
    # No code of the package but the stream: the formula of SPEC 5.1 with Python's pow.
    private, key = known()
    p, q = map(int, private.primes)
    n = p * q
    record = KeyStream(key).read(VECTORS["first_record"] * 304, 304)
    a, b = (int.from_bytes(part, "big") for part in (record[:152], record[152:]))
    one = pow(pow(VECTORS["generator_p"], p, p * p), a % (p - 1), p * p)
    other = pow(pow(VECTORS["generator_q"], q, q * q), b % (q - 1), q * q)
    mask = (one * q * q * pow(q * q, -1, p * p) + other * p * p * pow(p * p, -1, q * q)) % (n * n)
    expected = (1 + int(VECTORS["plaintexts"][0]) * n) * mask % (n * n)
    assert f"{expected:01024x}" == VECTORS["first_ciphertext"]
    assert decode(private.public, expected.to_bytes(512, "big")) == [expected]


def test_known_noise_and_cover() -> None:
    _, key = known()
    for case in VECTORS["noise"]:
        drawn = [
            noise.discrete_laplace(KeyStream(key), index, Fraction(case["scale"])) for index in range(12)
        ]
        assert drawn == case["draws"]
        assert noise.tail(Fraction(case["scale"])) == case["tail"]
    layout = slots.plan_layout(
        [slots.Field("converters", 0, 1)],
        [slots.Field("amount", -100, 5000)],
        rows=1000,
        modulus_bits=2048,
        days=14,
    )
    cover = windows.cover(layout, KeyStream(key), 3)
    assert VECTORS["cover"] == {
        "block": layout.block,
        "days_per_ciphertext": layout.days_per_ciphertext,
        "mask": f"{cover.mask:x}",
        "opening": f"{cover.opening:x}",
    }
