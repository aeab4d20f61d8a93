"""Checkpoints and cosignatures: the signed bytes, what is refused, and what a second line of one key does."""

from __future__ import annotations

import base64
import re

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit.checkpoint import (
    LARGEST,
    Checkpoint,
    Cosigner,
    check_cosignature,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
    with_cosignature,
)
from audit.note import Line, NoteError, SignatureError, Signer, parse_line, parse_verifier, split
from psi.secret import SigningSeed

ORIGIN = "veiljoin/bank/bank/0123456789abcdef"
ROOT = bytes(range(32))
SEED = SigningSeed(bytes([7]) * 32)
WITNESS_SEED = SigningSeed(bytes([8]) * 32)
LOG = Signer(ORIGIN, SEED)
WITNESS = Cosigner("veiljoin/platform/acme/fedcba9876543210/witness", WITNESS_SEED)
CHECKPOINT = Checkpoint(ORIGIN, 12, ROOT)
NOTE = sign_checkpoint(CHECKPOINT, LOG)
TEXT = CHECKPOINT.text()
TIME = 1_679_315_147


def test_a_checkpoint_is_three_lines() -> None:
    assert f"{ORIGIN}\n12\n{base64.b64encode(ROOT).decode()}\n".encode() == TEXT
    assert open_checkpoint(NOTE, LOG.verifier) == parse_checkpoint(TEXT) == CHECKPOINT


@given(st.integers(0, LARGEST), st.binary(min_size=32, max_size=32))
def test_every_checkpoint_comes_back(size: int, root: bytes) -> None:
    checkpoint = Checkpoint(ORIGIN, size, root)
    assert open_checkpoint(sign_checkpoint(checkpoint, LOG), LOG.verifier) == checkpoint


ENCODED = base64.b64encode(ROOT)
NAME = ORIGIN.encode()


@pytest.mark.parametrize(
    "text",
    [
        b"\n",
        NAME + b"\n12\n",
        NAME + b"\n12\n" + ENCODED + b"\nextension\n",
        NAME + b"\n12\n" + ENCODED + b"\n\n",
        b"\n12\n" + ENCODED + b"\n",
        NAME + b"\n012\n" + ENCODED + b"\n",
        NAME + b"\n00\n" + ENCODED + b"\n",
        NAME + b"\n+12\n" + ENCODED + b"\n",
        NAME + b"\n-1\n" + ENCODED + b"\n",
        NAME + b"\n 12\n" + ENCODED + b"\n",
        NAME + b"\n1_2\n" + ENCODED + b"\n",
        NAME + "\n１２\n".encode() + ENCODED + b"\n",
        NAME + b"\n\n" + ENCODED + b"\n",
        NAME + b"\n9007199254740992\n" + ENCODED + b"\n",
        NAME + b"\n" + b"9" * 5_000 + b"\n" + ENCODED + b"\n",
        NAME + b"\n12\n\n",
        NAME + b"\n12\n" + ENCODED[:-1] + b"\n",
        NAME + b"\n12\n" + ENCODED[:-2] + b"9=\n",  # bits that decoding drops
        NAME + b"\n12\n" + base64.b64encode(bytes(31)) + b"\n",
        NAME + b"\n12\n" + base64.b64encode(bytes(33)) + b"\n",
        NAME + b"\n12\n" + base64.urlsafe_b64encode(b"\xff" * 32) + b"\n",
        NAME + b"\n12\n" + ENCODED + b" \n",
        NAME + "\n12\né\n".encode(),
        NAME.replace(b"acme", b"\xff") + b"\xff\n12\n" + ENCODED + b"\n",
    ],
    ids=lambda text: repr(text[-60:]),
)
def test_other_texts_are_no_checkpoint(text: bytes) -> None:
    with pytest.raises(NoteError):
        parse_checkpoint(text)


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [
        ("", 1, ROOT),
        ("a\nb", 1, ROOT),
        (ORIGIN, -1, ROOT),
        (ORIGIN, LARGEST + 1, ROOT),
        (ORIGIN, 1, ROOT[:31]),
    ],
)
def test_values_that_no_checkpoint_has_are_refused(origin: str, size: int, root: bytes) -> None:
    with pytest.raises(NoteError, match="checkpoint"):
        Checkpoint(origin, size, root)


def test_a_checkpoint_is_signed_and_opened_by_its_own_log() -> None:
    other = Signer("veiljoin/bank/other/0123456789abcdef", SEED)
    with pytest.raises(NoteError, match="another log"):
        sign_checkpoint(CHECKPOINT, other)
    # A log that signs another's origin under its own key name.
    forged = TEXT + b"\n" + other.sign(TEXT)
    with pytest.raises(NoteError, match="another log"):
        open_checkpoint(forged, other.verifier)
    with pytest.raises(SignatureError):
        open_checkpoint(forged, LOG.verifier)
    with pytest.raises(NoteError, match="plain Ed25519"):
        open_checkpoint(NOTE, WITNESS.verifier)


def test_a_signed_note_that_is_no_checkpoint_is_refused() -> None:
    text = b"veiljoin\nhello\n"
    with pytest.raises(NoteError, match="not three lines"):
        open_checkpoint(text + b"\n" + LOG.sign(text), LOG.verifier)


def test_a_cosignature_is_what_the_specification_says() -> None:
    line = WITNESS.cosign(NOTE, TIME)
    signature = parse_line(line).signature
    assert signature[:8] == TIME.to_bytes(8, "big")
    message = b"cosignature/v1\ntime 1679315147\n" + TEXT
    assert signature[8:] == Ed25519PrivateKey.from_private_bytes(WITNESS_SEED.reveal()).sign(message)
    verifier = parse_verifier(WITNESS.verifier)
    assert (verifier.type, verifier.key_id) == (0x04, parse_line(line).key_id)
    assert check_cosignature(TEXT, line, WITNESS.verifier) == TIME


def test_a_cosignature_leaves_other_lines_out() -> None:
    assert WITNESS.cosign(with_cosignature(NOTE, WITNESS.cosign(NOTE, 1)), TIME) == WITNESS.cosign(NOTE, TIME)


def test_every_bit_of_a_cosignature_counts() -> None:
    body = parse_line(WITNESS.cosign(NOTE, TIME))
    for place in range(len(body.signature)):
        changed = bytearray(body.signature)
        changed[place] ^= 1
        with pytest.raises(NoteError):
            check_cosignature(TEXT, bytes(Line(body.name, body.key_id, bytes(changed))), WITNESS.verifier)
    for place in range(len(TEXT)):
        text = bytearray(TEXT)
        text[place] ^= 1
        with pytest.raises(SignatureError):
            check_cosignature(bytes(text), bytes(body), WITNESS.verifier)


@pytest.mark.parametrize("length", [1, 64, 71, 73])
def test_cosignatures_of_another_length_are_refused(length: int) -> None:
    verifier = parse_verifier(WITNESS.verifier)
    with pytest.raises(NoteError, match="72 bytes"):
        check_cosignature(TEXT, bytes(Line(verifier.name, verifier.key_id, bytes(length))), WITNESS.verifier)


def test_a_cosignature_of_another_witness_is_refused() -> None:
    stranger = Cosigner("veiljoin/platform/acme/fedcba9876543210/witness", SEED)
    renamed = Cosigner("veiljoin/platform/other/fedcba9876543210/witness", WITNESS_SEED)
    for other in (stranger, renamed):
        with pytest.raises(SignatureError, match="another key"):
            check_cosignature(TEXT, other.cosign(NOTE, TIME), WITNESS.verifier)


def test_the_log_s_own_signature_is_no_cosignature() -> None:
    with pytest.raises(NoteError, match="cosignature type"):
        check_cosignature(TEXT, split(NOTE)[1][0], LOG.verifier)
    # Even of one key under one name the two types of signature never pass for each other.
    both = Cosigner(ORIGIN, SEED)
    with pytest.raises(SignatureError, match="another key"):
        check_cosignature(TEXT, split(NOTE)[1][0], both.verifier)
    assert parse_verifier(both.verifier).key_id != parse_verifier(LOG.verifier).key_id


@pytest.mark.parametrize("seconds", [-1, LARGEST + 1, 2**64])
def test_times_out_of_range_are_refused(seconds: int) -> None:
    with pytest.raises(NoteError, match="time of a cosignature"):
        WITNESS.cosign(NOTE, seconds)


def test_a_time_out_of_range_in_a_line_is_refused() -> None:
    verifier = parse_verifier(WITNESS.verifier)
    line = bytes(Line(verifier.name, verifier.key_id, b"\xff" * 8 + bytes(64)))
    with pytest.raises(NoteError, match="time of a cosignature"):
        check_cosignature(TEXT, line, WITNESS.verifier)


def test_only_checkpoints_are_cosigned() -> None:
    text = b"a\nb\n"
    with pytest.raises(NoteError, match="not three lines"):
        WITNESS.cosign(text + b"\n" + LOG.sign(text), TIME)


def test_adding_a_cosignature_twice_changes_nothing() -> None:
    line = WITNESS.cosign(NOTE, TIME)
    once = with_cosignature(NOTE, line)
    assert once == NOTE + line
    assert with_cosignature(once, line) == once
    assert open_checkpoint(once, LOG.verifier) == CHECKPOINT


def test_a_key_has_one_line_and_other_keys_keep_theirs() -> None:
    first, second = WITNESS.cosign(NOTE, TIME), WITNESS.cosign(NOTE, TIME + 1)
    third = Cosigner("third.example", SEED).cosign(NOTE, TIME)
    note = with_cosignature(with_cosignature(NOTE, first), third)
    assert with_cosignature(note, second) == NOTE + third + second
    junk = bytes(Line(parse_line(first).name, parse_line(first).key_id, b"junk"))
    assert with_cosignature(NOTE + junk, first) == NOTE + first


def test_a_malformed_line_is_not_added() -> None:
    for line in (b"", b"\n", WITNESS.cosign(NOTE, TIME)[:-1], WITNESS.cosign(NOTE, TIME) * 2):
        with pytest.raises(NoteError):
            with_cosignature(NOTE, line)


def test_errors_hold_nothing_of_a_note() -> None:
    for note in (NOTE[:-9], NOTE.replace(b"12", b"13"), NOTE.replace(b"bank", b"blank")):
        with pytest.raises(NoteError) as caught:
            open_checkpoint(note, LOG.verifier)
        assert not re.search(r"[A-Za-z0-9+/]{12,}|veiljoin/", str(caught.value))
