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
from federated import keys, machine, messages, noise, proof, slots, stream, terms, windows
from federated.ciphertexts import decode
from federated.engine import PaillierEngine
from federated.holder import CIPHERTEXT_CHUNK_BYTES, LABEL_NONCE
from federated.keys import PaillierPrivateKey
from federated.stream import KeyStream, StreamKey, stream_key
from party.groups import LABEL_CELL_ORDER
from party.statements import SUM_STATEMENTS
from psi.machine import diagram
from psi.secret import Seed
from psi.seed import JobRandomness
from psi.suites import suite_by_id

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
    labels |= {LABEL_NONCE, LABEL_CELL_ORDER}
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_CELLS", terms.MAX_CELLS),
        ("MAX_UNITS", terms.MAX_UNITS),
        ("MAX_DAYS", terms.MAX_DAYS),
        ("MAX_TAGS", terms.MAX_TAGS),
        ("MAX_VALUE_BYTES", terms.MAX_VALUE_BYTES),
        ("MAX_PARTS", messages.MAX_PARTS),
        ("CIPHERTEXT_CHUNK_BYTES", CIPHERTEXT_CHUNK_BYTES),
    ],
)
def test_the_table_of_limits(name: str, value: int) -> None:
    assert rows("10 The grouped sum: terms")[name] == f"{value:,}"


def test_the_tables_of_streams_and_single_messages() -> None:
    table = rows("11 Messages")
    assert {int(number): name.strip("` ") for number, name in table.items() if number in "5678"} == {
        int(each): each.name for each in messages.SumStream
    }
    said = {int(number): name for number, name in table.items() if number.isdecimal() and int(number) > 8}
    assert said == {
        messages.Said.CELL_SUMS: "cell sums",
        messages.Said.VERDICT: "verdict",
        messages.Said.OPENINGS: "openings",
        messages.Said.TABLE: "table",
    }
    nonces = messages.Said.NONCE_OF_VALUE_HOLDER, messages.Said.NONCE_OF_GROUP_HOLDER
    assert f"| {nonces[0]}, {nonces[1]} | nonce of V, of G |" in SPEC


@pytest.mark.parametrize("role", list(terms.SumRole))
@pytest.mark.parametrize("reads", [True, False])
def test_the_diagrams_are_those_of_the_code(role: terms.SumRole, reads: bool) -> None:
    assert f"```mermaid\n{diagram(machine.table_for(role, reads))}\n```" in SPEC


def test_every_statement_of_a_card_is_in_the_text() -> None:
    assert sorted(list(rows("16 What each side learns"))[1:]) == sorted(SUM_STATEMENTS)


def test_the_fields_are_those_of_the_code() -> None:
    every = terms.SumTerms(
        contract=bytes(32),
        suite=suite_by_id("x25519-ell2"),
        readers=frozenset(terms.SumRole),
        stages=("bound",),
        values=(terms.ValueColumn("amount", 0, 5),),
        window=terms.WindowTerms(7, 3),
    )
    counts, values = every.fields(tags=1)
    named = re.findall(r"^\| `([^|]+)` \| (count|value) \|", SPEC, re.MULTILINE)
    told = {name: slot for group, slot in named for name in group.split("`, `")}
    shown = {"stage:<name>": "stage:bound", "tag:<number>": "tag:0"}
    shown |= {"sum:<column>": "sum:amount", "square:<column>": "square:amount"}
    assert {shown.get(name, name) for name, slot in told.items() if slot == "count"} == {
        each.name for each in counts
    }
    assert {shown.get(name, name) for name, slot in told.items() if slot == "value"} == {
        each.name for each in values
    }
