"""Checkpoints and their cosignatures (C2SP tlog-checkpoint, tlog-cosignature v1; SPEC 5).

A checkpoint commits a log to its size and root. A cosignature is a witness's: it says that up to this time the
witness saw the log only ever grow.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.merkle import HASH_SIZE
from audit.note import (
    COSIGNATURE_V1,
    SIGNATURE_SIZE,
    Line,
    NoteError,
    SignatureError,
    Signer,
    Verifier,
    check_signature,
    join,
    open_note,
    parse_line,
    parse_verifier,
    split,
    verifier_of,
)
from psi.secret import SigningSeed

# Sizes and times of the log are integers of canonical JSON (SPEC 2.1).
LARGEST: Final = 2**53 - 1

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,15}")
_TIME_SIZE: Final = 8


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The log ``origin`` has ``size`` entries and the Merkle tree over them the root ``root`` (32 bytes).

    Raises ``NoteError`` for values that no checkpoint can have.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not self.origin or "\n" in self.origin:
            raise NoteError("the origin of a checkpoint is one line of text")
        if not 0 <= self.size <= LARGEST:
            raise NoteError("the size of a checkpoint is out of range")
        if len(self.root) != HASH_SIZE:
            raise NoteError("the root of a checkpoint has not 32 bytes")

    def text(self) -> bytes:
        """Return the text that is signed: origin, size and root, a line each."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode('ascii')}\n".encode()


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> bytes:
    """Return ``checkpoint`` as a note signed by its log. Raises ``NoteError`` if the key is another log's."""
    if parse_verifier(signer.verifier).name != checkpoint.origin:
        raise NoteError("a checkpoint is signed by the key of another log")
    text = checkpoint.text()
    return join(text, [signer.sign(text)])


def open_checkpoint(note: bytes, vkey: str) -> Checkpoint:
    """Return the checkpoint in ``note`` once the signature of the log's key ``vkey`` was checked.

    Raises ``NoteError`` unless note and checkpoint are well formed and of that key's log, ``SignatureError`` if the
    signature is missing or wrong. Extension lines are refused: our logs write none, and nobody signs here what it
    cannot read.
    """
    verifier = parse_verifier(vkey)
    checkpoint = parse_checkpoint(open_note(note, verifier))
    if checkpoint.origin != verifier.name:
        raise NoteError("a checkpoint is of another log than its key")
    return checkpoint


def parse_checkpoint(text: bytes) -> Checkpoint:
    """Return the checkpoint that ``text`` writes. Raises ``NoteError`` unless ``text()`` of it is the same bytes."""
    lines = text.decode(errors="replace").split("\n")
    if len(lines) != 4 or not _DECIMAL.fullmatch(lines[1]):
        raise NoteError("a checkpoint is not three lines of origin, size and root")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        raise NoteError("the root of a checkpoint is not base64") from None
    checkpoint = Checkpoint(lines[0], int(lines[1]), root)
    if checkpoint.text() != text:
        raise NoteError("a checkpoint is not written as its values are")
    return checkpoint


class Cosigner:
    """Cosigns checkpoints as the witness ``name``. Raises ``NoteError`` for a name no key can have."""

    __slots__ = ("_key", "_verifier")

    def __init__(self, name: str, key: SigningSeed) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(key.reveal())
        self._verifier = verifier_of(name, COSIGNATURE_V1, self._key.public_key().public_bytes_raw())

    @property
    def verifier(self) -> str:
        """The verifier key (C2SP signed-note, type 0x04)."""
        return str(self._verifier)

    def cosign(self, note: bytes, seconds: int) -> bytes:
        """Return the cosignature line, newline included, over the checkpoint in ``note`` at ``seconds`` since 1970.

        Only for notes that :func:`audit.witness.judge` accepted. Raises ``NoteError`` unless it is a checkpoint.
        """
        text, _ = split(note)
        parse_checkpoint(text)
        signature = self._key.sign(_cosigned(text, seconds))
        body = seconds.to_bytes(_TIME_SIZE, "big") + signature
        return bytes(Line(self._verifier.name, self._verifier.key_id, body))


def check_cosignature(note_text: bytes, line: bytes, vkey: str) -> int:
    """Check that ``line`` is the cosignature of the witness key ``vkey`` over ``note_text``; return its time.

    The time is in seconds since 1970. Raises ``NoteError`` unless line and key are well formed, ``SignatureError``
    if the line is of another key or its signature wrong.
    """
    verifier, parsed = _witness(vkey), parse_line(line)
    if (parsed.name, parsed.key_id) != (verifier.name, verifier.key_id):
        raise SignatureError("a cosignature is of another key")
    if len(parsed.signature) != _TIME_SIZE + SIGNATURE_SIZE:
        raise NoteError("a cosignature has not 72 bytes")
    seconds = int.from_bytes(parsed.signature[:_TIME_SIZE], "big")
    check_signature(verifier, parsed.signature[_TIME_SIZE:], _cosigned(note_text, seconds))
    return seconds


def with_cosignature(note: bytes, line: bytes) -> bytes:
    """Return ``note`` with ``line`` as the only line of its key: adding it twice changes nothing.

    Raises ``NoteError`` unless both are well formed.
    """
    text, lines = split(note)
    added = parse_line(line)
    others = []
    for present in lines:
        parsed = parse_line(present)
        if (parsed.name, parsed.key_id) != (added.name, added.key_id):
            others.append(present)
    return join(text, [*others, line])


def _witness(vkey: str) -> Verifier:
    verifier = parse_verifier(vkey)
    if verifier.type != COSIGNATURE_V1:
        raise NoteError("a cosignature is checked with a key of the cosignature type")
    return verifier


def _cosigned(text: bytes, seconds: int) -> bytes:
    if not 0 <= seconds <= LARGEST:
        raise NoteError("the time of a cosignature is out of range")
    return b"cosignature/v1\ntime %d\n" % seconds + text
