"""Messages of the control stream by which two parties cosign each other's logs (audit/SPEC.md, 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from veiljoin.bounds import check_bytes, check_text, require

HASH_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
# Why a checkpoint is not cosigned (audit/SPEC.md): it is not signed by the log, contradicts what was cosigned, or the
# log is not known.
LOG_REFUSALS: Final = frozenset({"malformed", "bad_signature", "fork", "unknown_log"})
MAX_LOG_NAME: Final = 640
MAX_NOTE_BYTES: Final = 16_384
MAX_LOG_SIZE: Final = 1 << 47
MAX_PROOF: Final = 128
UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class LogKeys:
    """The sender's log: its name, its C2SP verifier keys, and the identity's signature over them."""

    origin: str
    log_key: str
    witness_key: str
    proof: bytes

    def __post_init__(self) -> None:
        for text in (self.origin, self.log_key, self.witness_key):
            check_text(text, MAX_LOG_NAME, "a log's name or key")
        check_bytes(self.proof, SIGNATURE_BYTES, "a signature")


@dataclass(frozen=True, slots=True)
class LogOffer:
    """The sender asks for a cosignature of the checkpoint ``note``, with the proof from ``old_size`` entries on."""

    note: bytes
    old_size: int
    proof: tuple[bytes, ...]

    def __post_init__(self) -> None:
        require(0 < len(self.note) <= MAX_NOTE_BYTES, "a checkpoint of an impossible length")
        require(0 <= self.old_size <= MAX_LOG_SIZE, "an impossible size of a log")
        require(len(self.proof) <= MAX_PROOF, "a proof of an impossible length")
        for each in self.proof:
            check_bytes(each, HASH_BYTES, "a hash of a proof")


@dataclass(frozen=True, slots=True)
class LogCosigned:
    """The cosignature of the checkpoint with so many entries."""

    size: int
    line: bytes

    def __post_init__(self) -> None:
        require(0 < self.size <= MAX_LOG_SIZE, "an impossible size of a log")
        require(0 < len(self.line) <= MAX_NOTE_BYTES, "a cosignature of an impossible length")


@dataclass(frozen=True, slots=True)
class LogConflict:
    """The offer does not begin at the ``size`` that was cosigned last."""

    size: int

    def __post_init__(self) -> None:
        require(0 <= self.size <= MAX_LOG_SIZE, "an impossible size of a log")


@dataclass(frozen=True, slots=True)
class LogRefused:
    """The checkpoint with so many entries is not cosigned; the code is a word of ``LOG_REFUSALS``."""

    size: int
    code: str

    def __post_init__(self) -> None:
        require(0 <= self.size <= MAX_LOG_SIZE, "an impossible size of a log")
        if self.code not in LOG_REFUSALS:
            object.__setattr__(self, "code", UNKNOWN)
