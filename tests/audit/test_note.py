"""Signed notes: what is well formed, which signatures count, and that every bit of them does."""

from __future__ import annotations

import base64
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.note import (
    COSIGNATURE_V1,
    ED25519,
    LONGEST_NOTE,
    MOST_LINES,
    Line,
    NoteError,
    SignatureError,
    Signer,
    Verifier,
    join,
    open_note,
    parse_line,
    parse_verifier,
    split,
    verifier_of,
)
from psi.secret import SigningSeed

SIGNER = Signer("log.example/a", SigningSeed(bytes(range(32))))
OTHER = Signer("log.example/b", SigningSeed(bytes(range(1, 33))))
VERIFIER = parse_verifier(SIGNER.verifier)
TEXT = b"one\n\nthree\n"
NOTE = TEXT + b"\n" + SIGNER.sign(TEXT)


def test_a_note_is_text_an_empty_line_and_signatures() -> None:
    text, lines = split(NOTE)
    assert (text, lines) == (TEXT, [SIGNER.sign(TEXT)])
    assert join(text, lines) == NOTE
    assert NOTE.splitlines()[4].startswith("— log.example/a ".encode())


def test_the_key_id_is_computed_over_name_type_and_key() -> None:
    public = VERIFIER.public
    for kind in (ED25519, COSIGNATURE_V1):
        expected = sha256(b"log.example/a\n" + bytes([kind]) + public).digest()[:4]
        verifier = verifier_of("log.example/a", kind, public)
        assert verifier.key_id == expected
        assert (
            str(verifier)
            == f"log.example/a+{expected.hex()}+{base64.b64encode(bytes([kind]) + public).decode()}"
        )
        assert parse_verifier(str(verifier)) == verifier


def test_a_note_needs_its_key_s_signature() -> None:
    assert open_note(NOTE, VERIFIER) == TEXT
    with pytest.raises(SignatureError, match="does not carry"):
        open_note(NOTE, parse_verifier(OTHER.verifier))
    # The same name or the same key id alone is an unknown key: its line is ignored.
    name_only = bytes(Line(VERIFIER.name, b"\0\0\0\0", bytes(64)))
    id_only = bytes(Line("elsewhere", VERIFIER.key_id, bytes(64)))
    assert open_note(NOTE + name_only + id_only, VERIFIER) == TEXT
    with pytest.raises(SignatureError, match="does not carry"):
        open_note(TEXT + b"\n" + name_only + id_only, VERIFIER)


def test_one_wrong_signature_of_the_key_spoils_the_note() -> None:
    wrong = bytes(Line(VERIFIER.name, VERIFIER.key_id, bytes(64)))
    for note in (TEXT + b"\n" + wrong, NOTE + wrong, TEXT + b"\n" + wrong + SIGNER.sign(TEXT)):
        with pytest.raises(SignatureError, match="wrong"):
            open_note(note, VERIFIER)


def test_every_bit_of_a_note_counts() -> None:
    for place in range(len(NOTE)):
        for bit in range(8):
            changed = bytearray(NOTE)
            changed[place] ^= 1 << bit
            with pytest.raises(NoteError):
                open_note(bytes(changed), VERIFIER)
    for end in range(len(NOTE)):
        with pytest.raises(NoteError):
            open_note(NOTE[:end], VERIFIER)


@given(st.binary(max_size=200) | st.text("—\n ab+=/A\t\r", max_size=60).map(str.encode))
def test_whatever_splits_is_the_same_note_when_joined(data: bytes) -> None:
    try:
        text, lines = split(data)
    except NoteError:
        return
    assert text + b"\n" + b"".join(lines) == data
    assert text.endswith(b"\n")
    assert lines
    assert [bytes(parse_line(line)) for line in lines] == lines


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a+b", "a\u00a0b", "a\u2003", "a\tb", "a\nb", "a\x00", "a\x1b", "a\x85"],
    ids=ascii,
)
def test_names_with_spaces_pluses_or_control_characters_are_refused(name: str) -> None:
    with pytest.raises(NoteError, match="name of a key"):
        Signer(name, SigningSeed(bytes(32)))
    with pytest.raises(NoteError):
        parse_line(bytes(Line(name, bytes(4), bytes(64))))


def test_half_of_a_surrogate_pair_is_no_name() -> None:
    with pytest.raises(NoteError, match="name of a key"):
        verifier_of("a\ud800", ED25519, bytes(32))
    with pytest.raises(NoteError, match="name of a key"):
        parse_verifier(SIGNER.verifier.replace("log", "\udfff"))


def test_names_of_other_alphabets_are_names() -> None:
    verifier = verifier_of("日志.example/ñ", ED25519, bytes(32))
    assert parse_verifier(str(verifier)) == verifier


@pytest.mark.parametrize(
    "text", [b"", b"no newline", b"tab\there\n", b"return\r\n", b"zero\0\n", b"\xff\n", b"\x1b[2J\n"]
)
def test_text_that_is_no_note_is_not_signed(text: bytes) -> None:
    with pytest.raises(NoteError, match="text of a note"):
        SIGNER.sign(text)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        "— \n".encode(),
        "— a\n".encode(),
        "— a \n".encode(),
        "— a AAAA\n".encode(),  # no key id
        "— a AAAAAA==\n".encode(),  # a key id and no signature
        "— a AAAAAAB=\n".encode(),  # bits that decoding drops
        "— a AAAAAAA\n".encode(),
        "— a AAAAAAA=".encode(),
        "— a AAAAAAA= \n".encode(),
        "— a  AAAAAAA=\n".encode(),
        "—  AAAAAAA=\n".encode(),
        b"- a AAAAAAA=\n",
        "—a AAAAAAA=\n".encode(),
        "— a AAAAA-_=\n".encode(),  # the other alphabet
        "— a AAAA\nAAA=\n".encode(),
        "— a AAAAAAA=\r\n".encode(),
        "— a AAAAAAA=\n\n".encode(),
        "— a ÄAAAAAA=\n".encode(),
        b"\xe2\x80 a AAAAAAA=\n",
    ],
    ids=repr,
)
def test_malformed_lines_spoil_a_note_of_any_key(line: bytes) -> None:
    with pytest.raises(NoteError):
        parse_line(line)
    if line:
        with pytest.raises(NoteError) as caught:
            open_note(NOTE + line, VERIFIER)
        assert not isinstance(caught.value, SignatureError)
        with pytest.raises(NoteError):
            join(TEXT, [SIGNER.sign(TEXT), line])


def test_the_shortest_line_is_read() -> None:
    assert parse_line("— a AAAAAAA=\n".encode()) == Line("a", bytes(4), bytes(1))


def test_as_many_lines_as_the_specification_asks_for_pass_and_the_bounds_hold() -> None:
    large = bytes(Line("witness.example", b"\1\2\3\4", bytes(5_000)))  # as large as post-quantum ones
    assert open_note(NOTE + large * 16, VERIFIER) == TEXT
    with pytest.raises(NoteError, match=f"more than {LONGEST_NOTE} bytes"):
        open_note(NOTE + large * 20, VERIFIER)
    small = bytes(Line("witness.example", b"\1\2\3\4", b"\0"))
    assert len(split(NOTE + small * (MOST_LINES - 1))[1]) == MOST_LINES
    with pytest.raises(NoteError, match=f"more than {MOST_LINES} signature lines"):
        split(NOTE + small * MOST_LINES)


def test_a_witness_key_does_not_open_notes() -> None:
    with pytest.raises(NoteError, match="plain Ed25519"):
        open_note(NOTE, verifier_of(VERIFIER.name, COSIGNATURE_V1, VERIFIER.public))


@pytest.mark.parametrize("kind", [0x00, 0x02, 0x05, 0x06, 0xFF])
def test_keys_of_other_types_are_refused(kind: int) -> None:
    with pytest.raises(NoteError, match="not known"):
        parse_verifier(str(verifier_of("a", kind, bytes(32))))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_keys_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(NoteError, match="32 bytes"):
        verifier_of("a", ED25519, bytes(length))


def test_a_key_that_is_no_point_verifies_nothing() -> None:
    # y = 2 is on no point of the curve; the key id is right.
    verifier = Verifier("a", verifier_of("a", ED25519, b"\2" + bytes(31)).key_id, ED25519, b"\2" + bytes(31))
    line = bytes(Line("a", verifier.key_id, bytes(64)))
    with pytest.raises(SignatureError):
        open_note(TEXT + b"\n" + line, verifier)


def test_a_signer_shows_no_key() -> None:
    assert bytes(range(32)).hex() not in repr(SIGNER) + repr(vars(type(SIGNER)))
    assert not hasattr(SIGNER, "__dict__")
