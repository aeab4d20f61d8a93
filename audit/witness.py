"""What a witness cosigns (SPEC 6): one log, only ever growing.

The rule is a function of the offer and of what the witness kept. The caller reads and writes that in one
transaction, and stores before it cosigns: a witness that forgot could be shown a fork.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from audit.checkpoint import Checkpoint, open_checkpoint
from audit.merkle import EMPTY_ROOT, ProofError, verify_consistency
from audit.note import NoteError, SignatureError, parse_verifier

# Codes of a refusal. A fork's note is evidence, for the log signed it; the others prove nothing.
MALFORMED: Final = "malformed"
BAD_SIGNATURE: Final = "bad_signature"
FORK: Final = "fork"


@dataclass(frozen=True, slots=True)
class Offer:
    """A signed checkpoint offered to a witness, with the proof that it continues the tree of ``old_size``."""

    note: bytes
    old_size: int
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """Size and root (32 bytes) of the log's last checkpoint that the witness cosigned."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Accept:
    """Store the checkpoint, then cosign it."""

    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Conflict:
    """The log takes another size for the one last cosigned, which is ``size``: it may offer again from there."""

    size: int


@dataclass(frozen=True, slots=True)
class Refused:
    """No cosignature; ``code`` is ``malformed``, ``bad_signature`` or ``fork``. Keep the note of a fork."""

    code: str


def judge(offer: Offer, known: Known | None, log_vkey: str) -> Accept | Conflict | Refused:
    """Return what a witness that last cosigned ``known`` does about ``offer`` of the log with key ``log_vkey``.

    ``known`` is ``None`` for a log never cosigned. Raises ``NoteError`` for a bad ``log_vkey`` only.
    """
    last = known if known is not None else Known(0, EMPTY_ROOT)
    parse_verifier(log_vkey)  # here, so that a fault of the caller is not taken for one of the offer
    # SPEC 6.1: the signature first, so that only the log itself learns what was cosigned.
    try:
        checkpoint = open_checkpoint(offer.note, log_vkey)
    except SignatureError:
        return Refused(BAD_SIGNATURE)
    except NoteError:
        return Refused(MALFORMED)
    # SPEC 6.2
    if offer.old_size != last.size or checkpoint.size < last.size:
        return Conflict(last.size)
    # SPEC 6.3: the same size with another root is a fork, too.
    try:
        verify_consistency(last.size, checkpoint.size, offer.proof, last.root, checkpoint.root)
    except ProofError:
        return Refused(FORK)
    return Accept(checkpoint)
