"""Two roles joined by a list: no network, and no files unless a test brings its own keeps."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from psi.engines import Engine, open_engine
from psi.memory import MemoryKeep, MemorySet
from psi.messages import Chunk, Message, Stream
from psi.participant import Participant
from psi.ports import Keep, OwnSet
from psi.receiver import Receiver
from psi.results import AudienceResult
from psi.secret import Seed
from psi.seed import JobRandomness
from psi.sender import Sender
from psi.suites import X25519_ELL2, Suite
from psi.terms import Kind, Role, Terms

CONTRACT = hashlib.sha256(b"the contract of the tests").digest()
OTHER_CONTRACT = hashlib.sha256(b"another contract").digest()
RECEIVER_SEED, SENDER_SEED = b"r" * 32, b"s" * 32

Tiers = Sequence[tuple[str, Sequence[bytes]]]
# (who speaks, what it says) to what arrives instead
Tamper = Callable[[Role, Message], Iterable[Message]]


@cache
def engine_for(suite: Suite) -> Engine:
    """Return one engine per suite; batches this small never start a worker process."""
    return open_engine(suite, threads=1)


def people(*numbers: int) -> list[bytes]:
    """Return made-up identifiers."""
    return [b"person %d" % number for number in numbers]


def terms_for(kind: Kind = Kind.AUDIENCE, **changes: Any) -> Terms:
    """Return terms with small chunks, so that streams have many of them."""
    plain = Terms(
        contract=CONTRACT,
        suite=X25519_ELL2,
        kind=kind,
        receiver_tiered=True,
        sender_tiered=True,
        min_group=1,
        chunk_elements=7,
    )
    return replace(plain, **changes)


@dataclass
class Party:
    """One side: its role, the set it was made from, and the identifiers by sending position."""

    part: Participant
    own: MemorySet
    randomness: JobRandomness
    identifiers: list[bytes]

    def matches(self) -> dict[bytes, str]:
        """Return the identifiers that this side learned to match, each with the partner's tier."""
        result = self.part.result
        assert isinstance(result, AudienceResult)
        assert result.tier_of is not None
        found = zip(self.identifiers, result.tier_of.tolist(), strict=True)
        return {each: result.peer_tiers[tier - 1].label for each, tier in found if tier}


def party(
    role: Role,
    terms: Terms,
    tiers: Tiers,
    *,
    seed: bytes | None = None,
    keep: Keep | None = None,
    part: type[Participant] | None = None,
    own: Callable[[MemorySet], OwnSet] | None = None,
) -> Party:
    """Build one side. ``part`` and ``own`` put a liar's class and set in the place of the honest ones."""
    default_seed, default_part = {
        Role.RECEIVER: (RECEIVER_SEED, Receiver),
        Role.SENDER: (SENDER_SEED, Sender),
    }[role]
    engine = engine_for(terms.suite)
    randomness = JobRandomness(Seed(default_seed if seed is None else seed), terms.contract)
    honest = MemorySet(terms, randomness, engine, tiers)
    given = [identifier for _, members in tiers for identifier in members]
    build = part or default_part
    played = build(terms, randomness, own(honest) if own else honest, engine, keep or MemoryKeep(terms))
    return Party(played, honest, randomness, [given[i] for i in honest.origin.tolist()])


@dataclass
class Conversation:
    """Carries messages between two roles until neither has anything to say.

    ``said`` has what was delivered, in that order; ``failed`` is the role that raised. ``tamper`` stands on the
    line. ``first`` makes one side speak for as long as it can; without it ``order`` decides whose turn it is.
    """

    receiver: Participant
    sender: Participant
    tamper: Tamper | None = None
    first: Role | None = None
    order: random.Random = field(default_factory=lambda: random.Random(1))
    said: list[tuple[Role, Message]] = field(default_factory=list)
    failed: Role | None = None

    def part(self, role: Role) -> Participant:
        """Return the participant in ``role``."""
        return self.receiver if role is Role.RECEIVER else self.sender

    def run(self) -> Conversation:
        """Deliver everything; whatever a role raises comes through."""
        outboxes: dict[Role, deque[Iterator[Message]]] = {
            role: deque([self.part(role).start()]) for role in (Role.RECEIVER, Role.SENDER)
        }
        while waiting := [role for role in outboxes if outboxes[role]]:
            speaker = self.first if self.first in waiting else self.order.choice(waiting)
            assert speaker is not None
            message = next(outboxes[speaker][0], None)
            if message is None:
                outboxes[speaker].popleft()
                continue
            for arriving in self.tamper(speaker, message) if self.tamper else (message,):
                outboxes[speaker.other].append(self._deliver(speaker.other, arriving))
        return self

    def _deliver(self, to: Role, message: Message) -> Iterator[Message]:
        self.said.append((to.other, message))
        try:
            return self.part(to).receive(message)
        except Exception:
            self.failed = to
            raise

    def by(self, role: Role) -> list[Message]:
        """Return what ``role`` said."""
        return [message for speaker, message in self.said if speaker is role]

    def chunks(self, stream: Stream) -> list[Chunk]:
        """Return the chunks of ``stream`` that were delivered."""
        return [each for _, each in self.said if isinstance(each, Chunk) and each.stream is stream]

    def elements(self, stream: Stream, size: int) -> list[bytes]:
        """Return the elements of ``stream``, ``size`` bytes each."""
        return list(cut(b"".join(chunk.data for chunk in self.chunks(stream)), size))


def cut(data: bytes, size: int) -> Iterator[bytes]:
    """Yield ``data`` in pieces of ``size`` bytes, the last one maybe shorter."""
    return (data[start : start + size] for start in range(0, len(data), size))


@dataclass
class Pair:
    """Two honest parties and their conversation."""

    receiver: Party
    sender: Party
    talk: Conversation

    def party(self, role: Role) -> Party:
        """Return the party in ``role``."""
        return self.receiver if role is Role.RECEIVER else self.sender


def pair(
    terms: Terms,
    receiver: Tiers,
    sender: Tiers,
    *,
    seeds: tuple[bytes, bytes] = (RECEIVER_SEED, SENDER_SEED),
    keeps: tuple[Keep, Keep] | None = None,
    order: int = 1,
) -> Pair:
    """Return two honest parties, joined and not yet started."""
    keep = keeps or (None, None)
    left = party(Role.RECEIVER, terms, receiver, seed=seeds[0], keep=keep[0])
    right = party(Role.SENDER, terms, sender, seed=seeds[1], keep=keep[1])
    return Pair(left, right, Conversation(left.part, right.part, order=random.Random(order)))


def match(terms: Terms, receiver: Tiers, sender: Tiers, **settings: Any) -> Pair:
    """Run an honest match to its end and return both parties."""
    both = pair(terms, receiver, sender, **settings)
    both.talk.run()
    assert both.receiver.part.done
    assert both.sender.part.done
    return both
