"""The receiver: sends its masked set, gets it back masked twice, learns which of its elements match (SPEC 5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from psi.engines import Engine
from psi.errors import PeerViolation
from psi.messages import Finish, Message, Stream, TokenCommitment
from psi.participant import Participant
from psi.ports import Keep, OwnSet
from psi.seed import JobRandomness
from psi.streams import TokenDigest, outgoing
from psi.terms import Role, Terms


class Receiver(Participant):
    """Learns its matches (``audience``) or how many there are (``overlap``)."""

    role = Role.RECEIVER
    points = Stream.RECEIVER_POINTS

    def __init__(
        self, terms: Terms, randomness: JobRandomness, own: OwnSet, engine: Engine, keep: Keep
    ) -> None:
        super().__init__(terms, randomness, own, engine, keep)
        # With both as receivers the tokens on the sender's points go back to it, but only once it has
        # released ours: until then they stay on this shelf, and their digest is promised (SPEC 5.3).
        self._for_sender = keep.shelf() if terms.both else None
        self._promise: TokenDigest | None = None

    def _on_chunk(self, stream: Stream, data: bytes) -> Iterable[Message]:
        if stream is Stream.SENDER_POINTS:
            tokens = self._mask_to_tokens(data)
            self._join.add_peer(tokens)
            if self._for_sender is not None:
                self._promise = self._promise or TokenDigest(self.session)
                self._promise.update(tokens)
                self._for_sender.append(tokens)
        else:
            if self._copies_of_ours(data):
                raise PeerViolation("The partner returned our own points without masking them.")
            self._join.add_own(data)
        return ()

    def _on_end(self, stream: Stream) -> Iterable[Message]:
        if stream is Stream.SENDER_POINTS:
            return () if self._promise is None else (self._commitment(self._promise),)
        self._learn()
        return self._last_messages()

    def _commitment(self, promise: TokenDigest) -> TokenCommitment:
        return TokenCommitment(self.session.id, promise.digest())

    def _last_messages(self) -> Iterator[Message]:
        if self._for_sender is not None:
            yield from outgoing(self.session, self._shape(Stream.SENDER_TOKENS), self._for_sender.ordered())
        yield from self._finish_message()

    def _on_commitment(self, message: TokenCommitment) -> Iterable[Message]:
        raise PeerViolation("The partner sent a token commitment, which is the receiver's to send.")

    def _on_finish(self, message: Finish) -> Iterable[Message]:
        self._check_transcript(message)
        self._scalar.destroy()
        return ()
