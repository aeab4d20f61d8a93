"""The sender: masks the receiver's points a second time and sends its own masked set (SPEC 5)."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from psi.engines import Engine
from psi.errors import PeerViolation
from psi.messages import Chunk, Finish, Message, Stream, StreamEnd, TokenCommitment
from psi.participant import Participant
from psi.ports import Keep, OwnSet
from psi.seed import LABEL_SHUFFLE, JobRandomness
from psi.streams import StreamDigest, TokenDigest, element_size, outgoing
from psi.terms import Kind, Role, Terms


class Sender(Participant):
    """Learns the receiver's size and nothing else, or its own matches too where the terms say ``both``."""

    role = Role.SENDER
    points = Stream.SENDER_POINTS

    def __init__(
        self, terms: Terms, randomness: JobRandomness, own: OwnSet, engine: Engine, keep: Keep
    ) -> None:
        super().__init__(terms, randomness, own, engine, keep)
        # Tokens go straight back only to a single receiver of a list. An overlap shuffles them all first,
        # and with two receivers they wait for the other one's commitment.
        self._waits = terms.both or terms.kind is Kind.OVERLAP
        self._for_receiver = keep.shelf()
        self._returned: StreamDigest | None = None
        self._sequence = 0
        self._promised = b""
        self._opened: TokenDigest | None = None

    def _on_chunk(self, stream: Stream, data: bytes) -> Iterable[Message]:
        if stream is Stream.SENDER_TOKENS:
            return self._on_own_tokens(data)
        tokens = self._mask_to_tokens(data)
        self._join.add_peer(tokens)
        if self._waits:
            self._for_receiver.append(tokens)
            return ()
        return (self._return_at_once(tokens),)

    def _digest_of_returned(self) -> StreamDigest:
        if self._returned is None:
            size = element_size(self.terms, Stream.RECEIVER_TOKENS)
            self._returned = StreamDigest(self.session, Stream.RECEIVER_TOKENS, size)
        return self._returned

    def _return_at_once(self, tokens: bytes) -> Chunk:
        self._digest_of_returned().update(tokens)
        chunk = Chunk(self.session.id, Stream.RECEIVER_TOKENS, self._sequence, tokens)
        self._sequence += 1
        return chunk

    def _on_end(self, stream: Stream) -> Iterable[Message]:
        if stream is Stream.SENDER_TOKENS:
            return self._on_opening()
        _, repeated = self._join.repeated()
        if repeated:
            # SPEC 5.4: one person entered min_group times would be told apart by a count above the threshold.
            raise PeerViolation(f"The partner repeated elements: {repeated} of its set are copies.")
        if self.terms.both:
            return ()  # the receiver's commitment comes first
        if self._waits:
            sizes = [tier.size for tier in self.peer.tiers]
            shuffled = self._for_receiver.shuffled(sizes, self._shuffle_ranks)
            return outgoing(self.session, self._shape(Stream.RECEIVER_TOKENS), shuffled)
        returned = self._digest_of_returned()
        count, digest = returned.count, returned.digest()
        self.session.ended(Stream.RECEIVER_TOKENS, count, digest, self._digest_of_returned().bytes)
        return (StreamEnd(self.session.id, Stream.RECEIVER_TOKENS, count, digest),)

    def _shuffle_ranks(self, start: int, count: int) -> npt.NDArray[np.uint64]:
        return self._randomness.ranks(LABEL_SHUFFLE, start, count)

    # -- both receive (SPEC 5.3)

    def _on_commitment(self, message: TokenCommitment) -> Iterable[Message]:
        self._promised = message.digest
        tokens = self._for_receiver.ordered()
        return outgoing(self.session, self._shape(Stream.RECEIVER_TOKENS), tokens)

    def _digest_of_opened(self) -> TokenDigest:
        self._opened = self._opened or TokenDigest(self.session)
        return self._opened

    def _on_own_tokens(self, data: bytes) -> Iterable[Message]:
        if self._copies_of_ours(data):
            raise PeerViolation("The partner returned our own points without masking them.")
        self._digest_of_opened().update(data)
        self._join.add_own(data)
        return ()

    def _on_opening(self) -> Iterable[Message]:
        if not hmac.compare_digest(self._digest_of_opened().digest(), self._promised):
            # SPEC 5.3: it changed its tokens after it had seen ours, so its matches may be made up.
            raise PeerViolation("The partner opened other tokens than it had committed to.")
        self._learn()
        return ()

    def _on_finish(self, message: Finish) -> Iterable[Message]:
        self._check_transcript(message)
        self._scalar.destroy()
        return self._finish_message()
