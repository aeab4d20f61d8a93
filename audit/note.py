"""Signed notes with Ed25519 keys (C2SP signed-note; SPEC 4).

A note is text that ends in a newline, an empty line, and signature lines ``— <key name> <base64>``. The format is
that of the Go checksum database and of transparency logs, so that their tools read ours.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from psi.secret import SigningSeed

# Signature types of C2SP signed-note.
ED25519: Final = 0x01
COSIGNATURE_V1: Final = 0x04

PUBLIC_KEY_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64
KEY_ID_SIZE: Final = 4
# C2SP signed-note asks for 16 signatures of up to 5 kB; a checkpoint here has some 400 bytes and two lines.
LONGEST_NOTE: Final = 131_072
MOST_LINES: Final = 100

_DASH: Final = "— "


class NoteError(ValueError):
    """A note, a key or a line of a note is not well formed."""


class SignatureError(NoteError):
    """A note is well formed, but the signature that it needs is missing or wrong."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """The public half of a key: its ``name``, four-byte ``key_id``, signature ``type`` and 32 ``public`` bytes."""

    name: str
    key_id: bytes
    type: int
    public: bytes

    def __str__(self) -> str:
        """The verifier key as C2SP signed-note writes it."""
        return f"{self.name}+{self.key_id.hex()}+{_base64(bytes((self.type,)) + self.public)}"


@dataclass(frozen=True, slots=True)
class Line:
    """A signature line: who signed, by name and key id, and the bytes that the signature's type defines."""

    name: str
    key_id: bytes
    signature: bytes

    def __bytes__(self) -> bytes:
        """The line as a note holds it, newline included."""
        return f"{_DASH}{self.name} {_base64(self.key_id + self.signature)}\n".encode()


class Signer:
    """Signs notes with an Ed25519 key under ``name``. Raises ``NoteError`` for a name no key can have."""

    __slots__ = ("_key", "_verifier")

    def __init__(self, name: str, key: SigningSeed) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(key.reveal())
        self._verifier = verifier_of(name, ED25519, self._key.public_key().public_bytes_raw())

    @property
    def verifier(self) -> str:
        """The verifier key (C2SP signed-note)."""
        return str(self._verifier)

    def sign(self, text: bytes) -> bytes:
        """Return the signature line, newline included, over ``text``. Raises ``NoteError`` for no note's text."""
        check_text(text)
        return bytes(Line(self._verifier.name, self._verifier.key_id, self._key.sign(text)))


def verifier_of(name: str, kind: int, public: bytes) -> Verifier:
    """Return the verifier of the key ``public`` (32 bytes) of signature type ``kind`` under ``name``.

    The key id is what C2SP signed-note computes. Raises ``NoteError`` for a bad name or length.
    """
    _check_name(name)
    if len(public) != PUBLIC_KEY_SIZE:
        raise NoteError("an Ed25519 public key has 32 bytes, this one has not")
    key_id = sha256(name.encode() + b"\n" + bytes((kind,)) + public).digest()[:KEY_ID_SIZE]
    return Verifier(name, key_id, kind, public)


def parse_verifier(vkey: str) -> Verifier:
    """Return the verifier that ``vkey`` (``<name>+<key id>+<base64>``) writes.

    Raises ``NoteError`` unless it is well formed, of a type known here and its key id is the computed one.
    """
    name, _, rest = vkey.partition("+")
    key_id, _, encoded = rest.partition("+")
    data = _unbase64(encoded)
    if data[:1] not in (bytes((ED25519,)), bytes((COSIGNATURE_V1,))):
        raise NoteError("a verifier key has a signature type that is not known here")
    verifier = verifier_of(name, data[0], data[1:])
    if verifier.key_id.hex() != key_id:
        raise NoteError("a verifier key names a key id that is not its own")
    return verifier


def split(note: bytes) -> tuple[bytes, list[bytes]]:
    """Return the text of ``note`` and its signature lines, newlines included.

    Raises ``NoteError`` unless all of it is well formed; signatures are not checked.
    """
    if len(note) > LONGEST_NOTE:
        raise NoteError(f"a note has more than {LONGEST_NOTE} bytes")
    # The text may hold empty lines itself: the last one ends it.
    text, mark, block = note.rpartition(b"\n\n")
    text += b"\n"
    if not mark or not block.endswith(b"\n"):
        raise NoteError("a note has no signature lines after an empty line")
    check_text(text)
    lines = [line + b"\n" for line in block[:-1].split(b"\n")]
    if len(lines) > MOST_LINES:
        raise NoteError(f"a note has more than {MOST_LINES} signature lines")
    for line in lines:
        parse_line(line)
    return text, lines


def join(text: bytes, lines: Iterable[bytes]) -> bytes:
    """Return the note of ``text`` and signature lines. Raises ``NoteError`` as :func:`split` does."""
    note = text + b"\n" + b"".join(lines)
    split(note)
    return note


def parse_line(line: bytes) -> Line:
    """Return what a signature line, newline included, says. Raises ``NoteError`` unless it is well formed."""
    try:
        said = line.decode()
    except UnicodeDecodeError:
        raise NoteError("a signature line of a note is not UTF-8") from None
    if not said.startswith(_DASH) or not said.endswith("\n"):
        raise NoteError("a signature line of a note does not start with a dash or end with a newline")
    name, _, encoded = said[len(_DASH) : -1].partition(" ")
    _check_name(name)
    data = _unbase64(encoded)
    if len(data) <= KEY_ID_SIZE:
        raise NoteError("a signature line of a note has no signature")
    return Line(name, data[:KEY_ID_SIZE], data[KEY_ID_SIZE:])


def open_note(note: bytes, verifier: Verifier) -> bytes:
    """Return the text of ``note`` once ``verifier``'s signature on it was checked; other keys' lines are ignored.

    Raises ``NoteError`` unless the note is well formed, ``SignatureError`` if its signature is missing or wrong,
    one of several wrong ones included.
    """
    if verifier.type != ED25519:
        raise NoteError("a note is opened with a key of the plain Ed25519 type")
    text, lines = split(note)
    own = lines_of(lines, verifier)
    if not own:
        raise SignatureError("a note does not carry the signature of the key that it needs")
    for line in own:
        check_signature(verifier, line.signature, text)
    return text


def lines_of(lines: Iterable[bytes], verifier: Verifier) -> list[Line]:
    """Return the signature lines with the name and key id of ``verifier``."""
    parsed = [parse_line(line) for line in lines]
    return [line for line in parsed if (line.name, line.key_id) == (verifier.name, verifier.key_id)]


def check_signature(verifier: Verifier, signature: bytes, message: bytes) -> None:
    """Check the Ed25519 signature (RFC 8032) of ``verifier``'s key. Raises ``SignatureError``."""
    try:
        Ed25519PublicKey.from_public_bytes(verifier.public).verify(signature, message)
    except InvalidSignature:
        raise SignatureError("a signature on a note is wrong") from None


def check_text(text: bytes) -> None:
    """Raise ``NoteError`` unless ``text`` can be signed: UTF-8, newline at its end, no other control characters."""
    try:
        said = text.decode()
    except UnicodeDecodeError:
        raise NoteError("the text of a note is not UTF-8") from None
    if not said.endswith("\n"):
        raise NoteError("the text of a note does not end with a newline")
    if any(character < " " and character != "\n" for character in said):
        raise NoteError("the text of a note has a control character")


def _check_name(name: str) -> None:
    spoiled = any(
        character.isspace() or character < " " or "\ud800" <= character <= "\udfff" for character in name
    )
    if not name or "+" in name or spoiled:
        raise NoteError("the name of a key is empty or has a space, a plus or a character that no text has")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unbase64(encoded: str) -> bytes:
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        raise NoteError("a key or signature of a note is not base64") from None
    # One spelling only: the last characters could hold bits that decoding drops.
    if _base64(data) != encoded:
        raise NoteError("a key or signature of a note is not base64")
    return data
