"""Published vectors: Merkle proofs of transparency-dev, signed notes of Go and C2SP. The files name their origin."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from audit.checkpoint import parse_checkpoint
from audit.merkle import ProofError, verify_consistency, verify_inclusion
from audit.note import (
    COSIGNATURE_V1,
    ED25519,
    NoteError,
    SignatureError,
    Signer,
    lines_of,
    open_note,
    parse_line,
    parse_verifier,
    split,
)
from psi.secret import SigningSeed

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
MERKLE: dict[str, Any] = json.loads((VECTORS / "transparency_dev_merkle.json").read_text())
NOTES: dict[str, Any] = json.loads((VECTORS / "signed_notes.json").read_text())
TEXT: bytes = NOTES["text"].encode()
PETER: bytes = NOTES["signer"]["line"].encode()
ENOCH: bytes = NOTES["other"]["line"].encode()

# Upstream any two equal roots of size 0 pass; here the empty tree has one root (RFC 6962, 2.1).
STRICTER = {"consistency/additional/sizes are equal and proof is empty where both sizes are zero"}


def _hash(text: str) -> bytes:
    value = base64.b64decode(text)
    # Stand-ins of 12 bytes that upstream compares and never hashes. Every other length is part of the case.
    return sha256(value).digest() if value.startswith(b"don't care") else value


def _ids(cases: list[dict[str, Any]]) -> list[str]:
    return [case["desc"] for case in cases]


def test_all_cases_are_there() -> None:
    assert (len(MERKLE["inclusion"]), len(MERKLE["consistency"])) == (98, 97)
    assert sum(not case["wantErr"] for case in MERKLE["inclusion"]) == 6
    assert sum(not case["wantErr"] for case in MERKLE["consistency"]) == 7


@pytest.mark.parametrize("case", MERKLE["inclusion"], ids=_ids(MERKLE["inclusion"]))
def test_inclusion(case: dict[str, Any]) -> None:
    arguments = (
        case["leafIdx"],
        case["treeSize"],
        _hash(case["leafHash"]),
        [_hash(step) for step in case["proof"]],
        _hash(case["root"]),
    )
    if case["wantErr"]:
        with pytest.raises(ProofError):
            verify_inclusion(*arguments)
    else:
        verify_inclusion(*arguments)


@pytest.mark.parametrize("case", MERKLE["consistency"], ids=_ids(MERKLE["consistency"]))
def test_consistency(case: dict[str, Any]) -> None:
    arguments = (
        case["size1"],
        case["size2"],
        [_hash(step) for step in case["proof"]],
        _hash(case["root1"]),
        _hash(case["root2"]),
    )
    if case["wantErr"] or case["desc"] in STRICTER:
        with pytest.raises(ProofError):
            verify_consistency(*arguments)
    else:
        verify_consistency(*arguments)


def test_a_published_key_signs_the_published_note() -> None:
    encoded = NOTES["signer"]["key"].split("+", 4)[4]
    data = base64.b64decode(encoded)
    assert data[0] == ED25519
    signer = Signer(NOTES["signer"]["name"], SigningSeed(data[1:]))
    assert signer.verifier == NOTES["signer"]["verifier"]
    assert signer.sign(TEXT) == PETER


def test_a_note_is_opened_by_each_of_its_keys_and_by_no_other() -> None:
    peter, enoch = (parse_verifier(NOTES[who]["verifier"]) for who in ("signer", "other"))
    both = TEXT + b"\n" + PETER + ENOCH
    assert open_note(both, peter) == open_note(both, enoch) == TEXT
    assert open_note(TEXT + b"\n" + PETER, peter) == TEXT
    with pytest.raises(SignatureError, match="does not carry"):
        open_note(TEXT + b"\n" + PETER, enoch)


def test_every_part_of_a_verifier_key_is_needed() -> None:
    key: str = NOTES["signer"]["verifier"]
    assert str(parse_verifier(key)) == key
    parts = [key[start:end] for start in range(len(key) + 1) for end in range(start, len(key) + 1)]
    for part in parts:
        if part != key:
            with pytest.raises(NoteError):
                parse_verifier(part)
    for place, character in enumerate(key):
        with pytest.raises(NoteError):
            parse_verifier(key[:place] + chr(ord(character) + 1) + key[place + 1 :])


@pytest.mark.parametrize("why", NOTES["bad_verifiers"])
def test_bad_verifier_keys_are_refused(why: str) -> None:
    with pytest.raises(NoteError):
        parse_verifier(NOTES["bad_verifiers"][why])


def test_verifier_keys_of_other_projects_have_the_computed_key_id() -> None:
    assert [parse_verifier(key).type for key in NOTES["cosigners"]] == [COSIGNATURE_V1]
    assert [parse_verifier(key).type for key in NOTES["verifiers"]] == [ED25519]


# The malformed notes of sumdb/note's TestOpen.
@pytest.mark.parametrize(
    "note",
    [
        TEXT,
        TEXT + b"\n",
        TEXT + b"\n" + PETER[:-1],
        b"\x01" + TEXT + b"\n" + PETER,
        b"\xff" + TEXT + b"\n" + PETER,
        TEXT + b"\n" + PETER.replace(b"PeterNeumann", b"Bad Name")[:-1],
        TEXT + b"\n" + PETER.replace(b"PeterNeumann", b"Bad Name"),
        TEXT + b"\n" + PETER + b"Unexpected line.\n",
        TEXT + b"\n" + PETER * 101,
    ],
    ids=[
        "no lines",
        "empty lines",
        "cut",
        "control",
        "not UTF-8",
        "bad name cut",
        "bad name",
        "line",
        "many",
    ],
)
def test_malformed_notes_are_refused(note: bytes) -> None:
    with pytest.raises(NoteError) as caught:
        open_note(note, parse_verifier(NOTES["signer"]["verifier"]))
    assert not isinstance(caught.value, SignatureError)


def test_an_invalid_signature_is_refused() -> None:
    line = PETER.decode()
    longer = (line[:60] + "ABCD" + line[60:]).encode()
    with pytest.raises(SignatureError, match="wrong"):
        open_note(TEXT + b"\n" + longer, parse_verifier(NOTES["signer"]["verifier"]))


def test_doubled_lines_of_known_and_unknown_keys_pass() -> None:
    enoch = ENOCH.decode()
    longer = (enoch[:60] + "ABCD" + enoch[60:]).encode()
    note = TEXT + b"\n" + PETER + PETER + ENOCH + ENOCH + longer
    assert open_note(note, parse_verifier(NOTES["signer"]["verifier"])) == TEXT


@pytest.mark.parametrize(
    ("name", "text_lines", "keys"),
    [
        ("signed-note", 4, ["quasimodo.example/salvatore"]),
        ("tlog-cosignature", 3, ["example.com/behind-the-sofa", "witness.example.com/w1"]),
        ("tlog-witness", 3, ["example.com/behind-the-sofa", "example.com/behind-the-sofa"]),
    ],
)
def test_the_examples_of_the_specifications_are_read(name: str, text_lines: int, keys: list[str]) -> None:
    text, lines = split(NOTES["examples"][name].encode())
    assert text.count(b"\n") == text_lines
    assert [parse_line(line).name for line in lines] == keys
    assert b"".join(bytes(parse_line(line)) for line in lines) == b"".join(lines)


def test_the_example_checkpoint_is_read_with_its_cosignature_s_time() -> None:
    text, lines = split(NOTES["examples"]["tlog-cosignature"].encode())
    checkpoint = parse_checkpoint(text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text() == text
    cosignature = parse_line(lines[1]).signature
    assert (len(cosignature), int.from_bytes(cosignature[:8], "big")) == (72, 1679315147)


def test_a_published_cosignature_has_its_time_in_front() -> None:
    data = base64.b64decode(NOTES["cosignature"]["signature"])
    assert int.from_bytes(data[4:12], "big") == NOTES["cosignature"]["seconds"]
    line = "— witness.example " + NOTES["cosignature"]["signature"] + "\n"
    assert parse_line(line.encode()).signature == data[4:]
    assert lines_of([line.encode()], parse_verifier(NOTES["cosigners"][0])) == []
