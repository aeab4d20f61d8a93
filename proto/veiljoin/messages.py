"""Messages around a protocol run: greeting, contract, and the end of a job that fails."""

from __future__ import annotations

from dataclasses import dataclass

from federated.messages import SumMessage
from psi.errors import PEER_WORDS, PeerViolation
from psi.messages import Message
from psi.replay import Position

MAX_CONTRACT_BYTES = 256 * 1024
SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Hello:
    """First message of each side: what it speaks and which job it means."""

    protocol_version: int
    job: str
    software: str

    def __post_init__(self) -> None:
        if len(self.job) > 64 or len(self.software) > 64:
            raise PeerViolation("The partner's greeting is too long.")


@dataclass(frozen=True, slots=True)
class SignedContract:
    """The contract's canonical bytes and the sender's Ed25519 signature over their hash."""

    contract: bytes
    signature: bytes

    def __post_init__(self) -> None:
        if not 0 < len(self.contract) <= MAX_CONTRACT_BYTES:
            raise PeerViolation("The partner's contract has an impossible length.")
        if len(self.signature) != SIGNATURE_BYTES:
            raise PeerViolation("The partner's signature has a wrong length.")


@dataclass(frozen=True, slots=True)
class Abort:
    """The sender ends the job; a word that is not on the list reads as ``unknown``."""

    code: str

    def __post_init__(self) -> None:
        if self.code not in PEER_WORDS:
            object.__setattr__(self, "code", "unknown")


WireMessage = Hello | SignedContract | Position | Abort | Message | SumMessage
