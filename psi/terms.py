"""What a private match has to hold to: the part of the signed contract that the roles enforce."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from psi.errors import UsageError
from psi.suites import Suite

# Elements of one chunk: 65,536 points are 2 MiB, half of gRPC's default message limit.
CHUNK_ELEMENTS: Final = 65_536
# A tier's label is told to the partner, so there are few of them and each stands for many persons.
MAX_TIERS: Final = 32
MAX_LABEL_BYTES: Final = 64
# Positions are 64 bits on the wire; nobody matches more than 2^40 persons, and sums of sizes stay exact.
MAX_SET: Final = 1 << 40


class Kind(Enum):
    """The two results of a private match (contract key ``kind``)."""

    OVERLAP = "overlap"
    AUDIENCE = "audience"


class Role(IntEnum):
    """Who learns: the receiver does, the sender does not (unless the terms say ``both``)."""

    RECEIVER = 1
    SENDER = 2

    @property
    def other(self) -> Role:
        return Role.SENDER if self is Role.RECEIVER else Role.RECEIVER


@dataclass(frozen=True, slots=True)
class Terms:
    """Parameters of one private match, equal on both sides because both derive them from one contract.

    ``contract`` is the contract's hash (32 bytes); ``both`` lets the sender learn its matches too;
    ``receiver_tiered`` and ``sender_tiered`` say which side may split its set; ``receiver_limit`` and
    ``sender_limit`` are the largest sets (persons); ``receiver_labels`` and ``sender_labels`` are the tiers that
    the contract declares, highest first (none: any); ``unmatched`` says that lists hold who does not match;
    ``min_group`` is the fewest persons of any tier, of an overlap count and of a list.
    """

    contract: bytes
    suite: Suite
    kind: Kind
    both: bool = False
    receiver_tiered: bool = False
    sender_tiered: bool = False
    receiver_limit: int = MAX_SET
    sender_limit: int = MAX_SET
    receiver_labels: tuple[str, ...] = ()
    sender_labels: tuple[str, ...] = ()
    unmatched: bool = False
    min_group: int = 50
    chunk_elements: int = CHUNK_ELEMENTS

    def __post_init__(self) -> None:
        if len(self.contract) != 32:
            raise UsageError("a contract hash has 32 bytes", code="bad_contract")
        if self.both and self.kind is Kind.OVERLAP:
            raise UsageError(
                "an overlap has one receiver, who counts",
                hint='set receiver to "bank" or "platform", or kind to "audience"',
            )
        if not 1 <= self.min_group <= MAX_SET:
            raise UsageError(f"min_group = {self.min_group} is out of range", hint="use 1 or more")
        if not 1 <= self.chunk_elements <= CHUNK_ELEMENTS:
            raise UsageError(f"chunks hold 1 to {CHUNK_ELEMENTS} elements, not {self.chunk_elements}")

    def limit(self, role: Role) -> int:
        """Largest set of ``role``, in persons."""
        return self.receiver_limit if role is Role.RECEIVER else self.sender_limit

    def tiered(self, role: Role) -> bool:
        """Whether ``role`` may split its set into tiers."""
        return self.receiver_tiered if role is Role.RECEIVER else self.sender_tiered

    def labels(self, role: Role) -> tuple[str, ...]:
        """The tiers that the contract declares for ``role``, highest first; empty where it declares none."""
        return self.receiver_labels if role is Role.RECEIVER else self.sender_labels

    def chunk_count(self, elements: int) -> int:
        """Number of chunks that ``elements`` take."""
        return -(-elements // self.chunk_elements)

    def chunk_length(self, elements: int, sequence: int) -> int:
        """Elements in chunk ``sequence`` of a stream of ``elements``; 0 past its end."""
        return max(0, min(self.chunk_elements, elements - sequence * self.chunk_elements))
