"""One test per lie: the honest side notices, says what it was, closes, and has given nothing away by then."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from psi.errors import PeerViolation
from psi.messages import (
    MAX_CHUNK_BYTES,
    Announce,
    Chunk,
    Finish,
    Message,
    Stream,
    StreamEnd,
    Tier,
    TokenCommitment,
)
from psi.points import LOW_ORDER_X
from psi.receiver import Receiver
from psi.results import AudienceResult, OverlapResult
from psi.role import MAX_COPIES
from psi.suites import RISTRETTO255, X25519_ELL2, Suite
from psi.terms import MAX_SET, MAX_TIERS, Kind, Role, Terms
from tests.psi import reference as ref
from tests.psi.lying import (
    RECEIVER_TIERS,
    SENDER_TIERS,
    Replace,
    Rewrite,
    assert_caught,
    assert_closed,
    chunk_of,
    end_of,
    line,
)
from tests.psi.pair import OTHER_CONTRACT, Conversation, cut, match, party, people, terms_for

OVERLAP, AUDIENCE, BOTH = terms_for(Kind.OVERLAP), terms_for(), terms_for(both=True)
MODES = [
    pytest.param(OVERLAP, id="overlap"),
    pytest.param(AUDIENCE, id="audience"),
    pytest.param(BOTH, id="both"),
]
every_mode = pytest.mark.parametrize("terms", MODES)
every_liar = pytest.mark.parametrize("liar", list(Role))
POINTS = {Role.RECEIVER: Stream.RECEIVER_POINTS, Role.SENDER: Stream.SENDER_POINTS}
SIZE = {Role.RECEIVER: 20, Role.SENDER: 16}

Elements = list[bytes]


def assert_no_tokens(talk: Conversation, liar: Role) -> None:
    """Check what the honest side had given away when it noticed a lie about points.

    A single receiver of a list gets its tokens chunk by chunk, but never the end that makes them usable by an
    honest node; every other sender, and every receiver, releases no token before all points were checked.
    """
    if liar is Role.SENDER:
        assert not talk.chunks(Stream.SENDER_TOKENS)
        assert not any(isinstance(each, Finish) for each in talk.by(Role.RECEIVER))
        return
    assert not any(end_of(Stream.RECEIVER_TOKENS)(each) for each in talk.by(Role.SENDER))
    terms = talk.sender.terms
    if terms.both or terms.kind is Kind.OVERLAP:
        assert not talk.chunks(Stream.RECEIVER_TOKENS)
    else:
        assert len(talk.chunks(Stream.RECEIVER_TOKENS)) <= len(talk.chunks(Stream.RECEIVER_POINTS))


# -- what a set is made of


@every_liar
@every_mode
@pytest.mark.parametrize(
    ("change", "count", "sentence"),
    [
        pytest.param(lambda e: e[:-1], None, "bytes, not the", id="one element short"),
        pytest.param(lambda e: e[:14], None, "14 elements after sending 14 of", id="one chunk short"),
        pytest.param(lambda e: e[:7], None, "7 elements after sending 7 of", id="ends early"),
        pytest.param(lambda e: [*e, e[0]], None, "bytes, not the", id="one element long"),
        pytest.param(lambda e: e * 10, None, "bytes, not the", id="ten times as many"),
        pytest.param(lambda e: e, 3, "with 3 elements after sending", id="too small a count"),
        pytest.param(lambda e: e, 21, "with 21 elements after sending", id="too large a count"),
        pytest.param(lambda e: [*e[:-1], e[0]], None, "repeated elements", id="one copy"),
        pytest.param(lambda e: [e[0]] * len(e), None, "repeated elements", id="all the same"),
        pytest.param(lambda e: [*e[:7], *e[:7], *e[14:]], None, "repeated elements", id="a chunk twice"),
    ],
)
def test_a_set_that_is_not_what_was_announced(
    terms: Terms, liar: Role, change: Callable[[Elements], Elements], count: int | None, sentence: str
) -> None:
    talk = line(terms, Rewrite(terms, POINTS[liar], change, count), liar=liar)
    assert_caught(talk, liar, sentence)
    assert_no_tokens(talk, liar)


@every_liar
@every_mode
def test_a_short_set_with_the_announced_count(terms: Terms, liar: Role) -> None:
    rewrite = Rewrite(terms, POINTS[liar], lambda e: e[:14], count=SIZE[liar])
    talk = line(terms, rewrite, liar=liar)
    assert_caught(talk, liar, f"with {SIZE[liar]} elements after sending 14 of {SIZE[liar]}")
    assert_no_tokens(talk, liar)


def encoded(value: int) -> bytes:
    """Write ``value`` little-endian."""
    return value.to_bytes(32, "little")


def not_on_ristretto() -> bytes:
    """Return an even value below p that does not decode."""
    return next(encoded(s) for s in range(2, 200, 2) if ref.ristretto_decode(encoded(s)) is None)


BAD_ELEMENTS = [
    *(
        pytest.param(X25519_ELL2, encoded(x), "has low order", id=f"low order {i}")
        for i, x in enumerate(LOW_ORDER_X)
    ),
    pytest.param(X25519_ELL2, encoded(ref.P), "not a canonical", id="zero again, as p"),
    pytest.param(X25519_ELL2, encoded(ref.P + 9), "not a canonical", id="nine again, as p + 9"),
    pytest.param(X25519_ELL2, encoded(2**255 - 1), "not a canonical", id="largest below the top bit"),
    pytest.param(X25519_ELL2, encoded(9 + 2**255), "not a canonical", id="top bit"),
    pytest.param(X25519_ELL2, b"\xff" * 32, "not a canonical", id="all ones"),
    pytest.param(RISTRETTO255, bytes(32), "is the identity", id="identity"),
    pytest.param(RISTRETTO255, encoded(ref.P), "not a canonical", id="identity, as p"),
    pytest.param(RISTRETTO255, encoded(1), "not a canonical", id="negative"),
    pytest.param(RISTRETTO255, not_on_ristretto(), "no ristretto255 point", id="not a point"),
    pytest.param(RISTRETTO255, b"\xff" * 32, "not a canonical", id="ristretto all ones"),
]


@every_liar
@every_mode
@pytest.mark.parametrize(("suite", "bad", "sentence"), BAD_ELEMENTS)
def test_an_element_that_must_not_be_masked(
    terms: Terms, liar: Role, suite: Suite, bad: bytes, sentence: str
) -> None:
    terms = dataclasses.replace(terms, suite=suite)
    talk = line(terms, Rewrite(terms, POINTS[liar], lambda e: [*e[:10], bad, *e[11:]]), liar=liar)
    error = assert_caught(talk, liar, sentence)
    assert "Element 3" in str(error)  # position 10 is the fourth element of the second chunk
    assert bad.hex() not in str(error)
    assert_no_tokens(talk, liar)
    assert len(talk.chunks(Stream.RECEIVER_TOKENS)) <= (1 if liar is Role.RECEIVER else 0)


# -- what comes back


def truncated(talk: Conversation, stream: Stream) -> Elements:
    """Return the points of ``stream`` as they were said, cut to tokens."""
    return [element[:16] for element in talk.elements(stream, 32)]


@every_mode
@pytest.mark.parametrize(
    ("change", "count", "sentence"),
    [
        pytest.param(lambda e: e[:-1], None, "bytes, not the", id="one short"),
        pytest.param(lambda e: e[:14], None, "14 elements after sending 14 of 20", id="a subset"),
        pytest.param(lambda e: e[:14], 20, "20 elements after sending 14 of 20", id="a subset, count right"),
        pytest.param(lambda e: [*e, *e[:1]], None, "bytes, not the", id="one more"),
        pytest.param(lambda e: [*e[:-1], e[0]], None, "1 of our returned", id="one copy"),
        pytest.param(lambda e: [e[0]] * len(e), None, "19 of our returned", id="all the same"),
        pytest.param(lambda e: e, 19, "19 elements after sending 20", id="wrong count"),
    ],
)
def test_returned_tokens_that_are_not_one_for_each_point(
    terms: Terms, change: Callable[[Elements], Elements], count: int | None, sentence: str
) -> None:
    rewrite = Rewrite(terms, Stream.RECEIVER_TOKENS, change, count)
    talk = line(terms, rewrite, liar=Role.SENDER)
    assert_caught(talk, Role.SENDER, sentence)
    assert not talk.chunks(Stream.SENDER_TOKENS)


@every_mode
@pytest.mark.parametrize("how", ["in order", "shuffled", "one of them"])
def test_a_sender_that_returns_our_points_unmasked(terms: Terms, how: str) -> None:
    def change(tokens: Elements) -> Elements:
        ours = truncated(talk, Stream.RECEIVER_POINTS)
        if how == "one of them":
            return [*tokens[:12], ours[0], *tokens[13:]]
        return random.Random(3).sample(ours, len(ours)) if how == "shuffled" else ours

    talk = line(terms, Rewrite(terms, Stream.RECEIVER_TOKENS, change), liar=Role.SENDER)
    assert_caught(talk, Role.SENDER, "our own points without masking")
    assert not talk.chunks(Stream.SENDER_TOKENS)


@every_mode
def test_our_own_points_as_the_partners_set_match_nobody(terms: Terms) -> None:
    # Not a violation that can be told from an honest set, but worth nothing: it lacks one mask.
    def change(points: Elements) -> Elements:
        return talk.elements(Stream.RECEIVER_POINTS, 32)[: len(points)]

    talk = line(terms, Rewrite(terms, Stream.SENDER_POINTS, change), liar=Role.SENDER)
    with pytest.raises(PeerViolation, match="transcript"):  # the rewritten side itself, at the very end
        talk.run()
    assert talk.failed is Role.SENDER
    result = talk.receiver._result
    if isinstance(result, OverlapResult):
        assert result.matched is None
    else:
        assert isinstance(result, AudienceResult)
        assert result.matched == 0


# -- order, gaps, ends: the same for every stream

STREAMS = [
    pytest.param(OVERLAP, Stream.RECEIVER_POINTS, id="overlap, receiver points"),
    pytest.param(OVERLAP, Stream.SENDER_POINTS, id="overlap, sender points"),
    pytest.param(OVERLAP, Stream.RECEIVER_TOKENS, id="overlap, receiver tokens"),
    pytest.param(AUDIENCE, Stream.RECEIVER_POINTS, id="audience, receiver points"),
    pytest.param(AUDIENCE, Stream.RECEIVER_TOKENS, id="audience, receiver tokens"),
    pytest.param(BOTH, Stream.RECEIVER_POINTS, id="both, receiver points"),
    pytest.param(BOTH, Stream.RECEIVER_TOKENS, id="both, receiver tokens"),
    pytest.param(BOTH, Stream.SENDER_TOKENS, id="both, sender tokens"),
]
every_stream = pytest.mark.parametrize(("terms", "stream"), STREAMS)


def spoken(stream: Stream) -> str:
    """Name a stream as the machine does."""
    return stream.name.lower().replace("_", " ")


@every_stream
def test_a_gap(terms: Terms, stream: Stream) -> None:
    talk = line(terms, Replace(chunk_of(stream, 1), lambda _: ()), liar=stream.sent_by)
    assert_caught(talk, stream.sent_by, f"chunk 2 of {stream.name.lower()} instead of 1")


@every_stream
def test_reordered_chunks(terms: Terms, stream: Stream) -> None:
    held: list[Message] = []

    def tamper(_: Role, message: Message) -> Iterable[Message]:
        if chunk_of(stream, 1)(message):
            held.append(message)
            return ()
        return (message, *held) if chunk_of(stream, 2)(message) else (message,)

    talk = line(terms, tamper, liar=stream.sent_by)
    assert_caught(talk, stream.sent_by, f"chunk 2 of {stream.name.lower()} instead of 1")


@every_stream
def test_the_same_number_with_other_bytes(terms: Terms, stream: Stream) -> None:
    def twice(message: Message) -> Iterable[Message]:
        assert isinstance(message, Chunk)
        flipped = bytes([message.data[0] ^ 1]) + message.data[1:]
        return message, dataclasses.replace(message, data=flipped)

    talk = line(terms, Replace(chunk_of(stream, 0), twice), liar=stream.sent_by)
    assert_caught(talk, stream.sent_by, f"chunk 0 of {stream.name.lower()} instead of 1")


@every_stream
@pytest.mark.parametrize("longer", [-16, -1, 1, 16, 32])
def test_a_chunk_of_another_length(terms: Terms, stream: Stream, longer: int) -> None:
    def resize(message: Message) -> Iterable[Message]:
        assert isinstance(message, Chunk)
        return (dataclasses.replace(message, data=(message.data + bytes(32))[: len(message.data) + longer]),)

    talk = line(terms, Replace(chunk_of(stream, 1), resize), liar=stream.sent_by)
    assert_caught(talk, stream.sent_by, f"Chunk 1 of {stream.name.lower()} has [0-9]+ bytes, not the [0-9]+")


@every_stream
def test_a_wrong_digest(terms: Terms, stream: Stream) -> None:
    def spoil(message: Message) -> Iterable[Message]:
        assert isinstance(message, StreamEnd)
        return (dataclasses.replace(message, digest=bytes(32)),)

    talk = line(terms, Replace(end_of(stream), spoil), liar=stream.sent_by)
    assert_caught(talk, stream.sent_by, f"digest of {stream.name.lower()} does not fit")


@every_stream
def test_other_elements_than_the_digest_says(terms: Terms, stream: Stream) -> None:
    # Somebody on the line changes elements; what arrives is well-formed, and not what was sent.
    def swap(message: Message) -> Iterable[Message]:
        assert isinstance(message, Chunk)
        size = 32 if stream in (Stream.RECEIVER_POINTS, Stream.SENDER_POINTS) else 16
        return (dataclasses.replace(message, data=b"".join(reversed(list(cut(message.data, size))))),)

    talk = line(terms, Replace(chunk_of(stream, 1), swap), liar=stream.sent_by)
    assert_caught(talk, stream.sent_by, f"digest of {stream.name.lower()} does not fit")


@every_stream
def test_an_end_before_the_end(terms: Terms, stream: Stream) -> None:
    def end(message: Message) -> Iterable[Message]:
        assert isinstance(message, Chunk)
        return (StreamEnd(message.session, stream, 7, bytes(32)),)

    talk = line(terms, Replace(chunk_of(stream, 1), end), liar=stream.sent_by)
    assert_caught(talk, stream.sent_by, f"ended {stream.name.lower()} with 7 elements after sending 7 of")


@every_stream
def test_a_chunk_more_than_announced(terms: Terms, stream: Stream) -> None:
    def more(message: Message) -> Iterable[Message]:
        assert isinstance(message, Chunk)
        return message, dataclasses.replace(message, sequence=3)

    talk = line(terms, Replace(chunk_of(stream, 2), more), liar=stream.sent_by)
    assert_caught(talk, stream.sent_by, f"more of {stream.name.lower()} than the [0-9]+ it announced")


@every_stream
def test_a_chunk_after_the_end(terms: Terms, stream: Stream) -> None:
    def more(message: Message) -> Iterable[Message]:
        assert isinstance(message, StreamEnd)
        return message, Chunk(message.session, stream, 3, bytes(range(32)))

    talk = line(terms, Replace(end_of(stream), more), liar=stream.sent_by)
    assert_caught(talk, stream.sent_by, f"sent {spoken(stream)} chunk while the protocol was at")


@every_stream
def test_a_second_end_that_differs(terms: Terms, stream: Stream) -> None:
    def twice(message: Message) -> Iterable[Message]:
        assert isinstance(message, StreamEnd)
        return message, dataclasses.replace(message, count=message.count + 1)

    talk = line(terms, Replace(end_of(stream), twice), liar=stream.sent_by)
    assert_caught(talk, stream.sent_by, f"sent {spoken(stream)} end while the protocol was at")


@every_stream
def test_a_last_word_instead_of_the_end(terms: Terms, stream: Stream) -> None:
    def finish(message: Message) -> Iterable[Message]:
        assert isinstance(message, StreamEnd)
        return (Finish(message.session, bytes(32)),)

    talk = line(terms, Replace(end_of(stream), finish), liar=stream.sent_by)
    assert_caught(talk, stream.sent_by, "sent finish while the protocol was at")


@every_mode
def test_points_without_an_end_before_tokens(terms: Terms) -> None:
    talk = line(terms, Replace(end_of(Stream.SENDER_POINTS), lambda _: ()), liar=Role.SENDER)
    if terms.both:
        # The receiver has nothing to commit to yet, so an honest line falls silent: no result, no token.
        talk.run()
        assert not talk.receiver.done
        assert not talk.chunks(Stream.SENDER_TOKENS)
        return
    assert_caught(talk, Role.SENDER, "sent receiver tokens chunk while the protocol was at points")


@every_mode
@every_liar
def test_a_line_that_falls_silent_anywhere_gives_no_result(terms: Terms, liar: Role) -> None:
    whole = len(line(terms, liar=liar).run().by(liar))
    for heard in range(whole):
        left = iter(range(heard))

        def tamper(speaker: Role, message: Message, left: Iterable[int] = left) -> Iterable[Message]:
            return (message,) if speaker is not liar or next(iter(left), None) is not None else ()

        talk = line(terms, tamper, liar=liar).run()
        honest = talk.part(liar.other)
        assert not honest.done
        with pytest.raises(RuntimeError, match="no result"):
            _ = honest.result


# -- copies


@every_mode
@pytest.mark.parametrize("how", ["at once", "late", "all so far"])
def test_exact_copies_are_ignored(terms: Terms, how: str) -> None:
    earlier: dict[Role, list[Message]] = {Role.RECEIVER: [], Role.SENDER: []}

    def tamper(speaker: Role, message: Message) -> Iterable[Message]:
        before = earlier[speaker]
        before.append(message)
        if how == "at once":
            return message, message
        return (message, before[0]) if how == "late" else (message, *before)

    talk = line(terms, tamper, liar=Role.SENDER).run()
    honest = match(terms, RECEIVER_TIERS, SENDER_TIERS)
    assert talk.receiver.done
    assert talk.sender.done
    assert str(talk.receiver.result) == str(honest.receiver.part.result)
    assert str(talk.sender.result) == str(honest.sender.part.result)
    # Not one answer more than without the copies.
    for role in Role:
        heard = [each for i, each in enumerate(talk.by(role)) if each not in talk.by(role)[:i]]
        assert heard == honest.talk.by(role)


@every_mode
@every_liar
def test_copies_without_end_end_the_session(terms: Terms, liar: Role) -> None:
    def again(message: Message) -> Iterable[Message]:
        return (message,) * (MAX_COPIES + 2)

    talk = line(terms, only(liar, Replace(lambda each: isinstance(each, Announce), again)), liar=liar)
    with pytest.raises(PeerViolation, match=f"repeated more than {MAX_COPIES:,} messages"):
        talk.run()
    assert talk.failed is liar.other
    assert talk.part(liar.other).copies == MAX_COPIES + 1
    assert_closed(talk.part(liar.other), [talk.by(liar)[0]])


# -- the announcement


def announced(**changes: object) -> Replace:
    """Say an announcement with ``changes`` made to it."""

    def change(message: Message) -> Iterable[Message]:
        assert isinstance(message, Announce)
        return (dataclasses.replace(message, **changes),)  # type: ignore[arg-type]

    return Replace(lambda each: isinstance(each, Announce), change)


def only(liar: Role, tamper: Replace) -> Callable[[Role, Message], Iterable[Message]]:
    """Let ``tamper`` stand on the liar's line alone."""
    return lambda speaker, message: tamper(speaker, message) if speaker is liar else (message,)


def tiers(*sizes: int) -> tuple[Tier, ...]:
    """Return tiers of these sizes."""
    return tuple(Tier(f"tier {i}" if len(sizes) > 1 else "", size) for i, size in enumerate(sizes))


@every_liar
@every_mode
@pytest.mark.parametrize(
    ("limits", "changes", "sentence"),
    [
        pytest.param({}, {"contract": OTHER_CONTRACT}, "another contract", id="contract"),
        pytest.param({}, {"contract": bytes(32)}, "another contract", id="no contract"),
        pytest.param({}, {"tiers": tiers(26)}, "has 26 persons; the contract allows 25", id="size"),
        pytest.param({}, {"tiers": tiers(MAX_SET)}, "the contract allows 25", id="huge size"),
        pytest.param(
            {}, {"tiers": tiers(13, 13)}, "has 26 persons; the contract allows 25", id="sum of tiers"
        ),
        pytest.param({}, {"tiers": tiers(*[MAX_SET] * MAX_TIERS)}, "contract allows 25", id="huge sum"),
        pytest.param({"min_group": 5}, {"tiers": tiers(4)}, "fewer than min_group = 5", id="tiny set"),
        pytest.param({"min_group": 5}, {"tiers": tiers(16, 4)}, "fewer than min_group = 5", id="tiny tier"),
        pytest.param(
            {"tiered": False}, {"tiers": tiers(8, 8)}, "the contract does not say", id="untold tiers"
        ),
        pytest.param(
            {"tiered": False}, {"tiers": (Tier("gold", 16),)}, "the contract does not say", id="untold label"
        ),
    ],
)
def test_an_announcement_against_the_contract(
    terms: Terms, liar: Role, limits: dict[str, int], changes: dict[str, object], sentence: str
) -> None:
    tiered = bool(limits.get("tiered", True))
    terms = dataclasses.replace(
        terms,
        receiver_limit=25,
        sender_limit=25,
        min_group=limits.get("min_group", 1),
        receiver_tiered=tiered,
        sender_tiered=tiered,
    )
    talk = line(terms, only(liar, announced(**changes)), liar=liar)
    assert_caught(talk, liar, sentence)
    # Not one point, and nothing else but our own announcement.
    assert [type(each) for each in talk.by(liar.other)] == [Announce]


@every_liar
@pytest.mark.parametrize(
    ("sent", "accepted"),
    [
        (("gold", "silver", "bronze"), True),
        (("gold", "bronze"), True),  # nobody is in the other
        (("silver",), True),
        (("silver", "gold"), False),
        (("gold", "silver", "bronze", "more"), False),
        (("Gold",), False),
        (("",), False),
    ],
    ids=str,
)
def test_tiers_that_the_contract_declares(liar: Role, sent: tuple[str, ...], accepted: bool) -> None:
    declared: dict[str, Any] = {
        "receiver_labels" if liar is Role.RECEIVER else "sender_labels": ("gold", "silver", "bronze")
    }
    honest = party(liar.other, terms_for(**declared), [("", people(*range(20)))]).part
    announcement = next(iter(party(liar, terms_for(), [("", people(*range(5)))]).part.start()))
    assert isinstance(announcement, Announce)
    told = dataclasses.replace(
        announcement, contract=honest.terms.contract, tiers=tuple(Tier(label, 5) for label in sent)
    )
    honest.start()
    if accepted:
        assert list(honest.receive(told))
        return
    with pytest.raises(PeerViolation, match="other tiers, or another order of them"):
        honest.receive(told)
    assert_closed(honest, [told])


@every_liar
@every_mode
def test_both_sides_in_the_same_role(terms: Terms, liar: Role) -> None:
    talk = line(terms, only(liar, announced(role=liar.other)), liar=liar)
    assert_caught(talk, liar, "same role as ours")
    assert [type(each) for each in talk.by(liar.other)] == [Announce]


@every_liar
def test_a_second_announcement_that_differs(liar: Role) -> None:
    def twice(message: Message) -> Iterable[Message]:
        assert isinstance(message, Announce)
        return message, dataclasses.replace(message, seed_commitment=bytes(32))

    tamper = only(liar, Replace(lambda each: isinstance(each, Announce), twice))
    assert_caught(line(AUDIENCE, tamper, liar=liar), liar, "sent announce while the protocol was at points")


@pytest.mark.parametrize("size", [0, -1, MAX_SET + 1])
def test_a_tier_of_impossible_size_is_no_message(size: int) -> None:
    with pytest.raises(PeerViolation, match="impossible tier size"):
        Tier("", size)


def test_too_many_tiers_are_no_message() -> None:
    with pytest.raises(PeerViolation, match=f"{MAX_TIERS + 1} tiers"):
        Announce(bytes(32), Role.SENDER, tiers(*[50] * (MAX_TIERS + 1)), bytes(32), bytes(32))


def test_an_oversized_chunk_is_no_message() -> None:
    with pytest.raises(PeerViolation, match="impossible length"):
        Chunk(bytes(16), Stream.SENDER_POINTS, 0, bytes(MAX_CHUNK_BYTES + 1))


# -- other sessions, other runs


def kinds_of(messages: Iterable[Message]) -> dict[str, Message]:
    """Return one message of each kind, by its name; of chunks the first of each stream."""
    named: dict[str, Message] = {}
    for each in messages:
        stream = f" {each.stream.name}" if isinstance(each, Chunk | StreamEnd) else ""
        named.setdefault(type(each).__name__ + stream, each)
    return named


SPLICES = {
    "other contract": ({"contract": OTHER_CONTRACT}, {}),
    "other run": ({}, {"seeds": (b"R" * 32, b"S" * 32)}),
    "other partner": ({}, {"seeds": (b"r" * 32, b"S" * 32)}),
}


@every_liar
@every_mode
@pytest.mark.parametrize("source", SPLICES)
def test_messages_spliced_in_from_another_session(terms: Terms, liar: Role, source: str) -> None:
    changes, settings = SPLICES[source]
    elsewhere = match(dataclasses.replace(terms, **changes), RECEIVER_TIERS, SENDER_TIERS, **settings)  # type: ignore[arg-type]
    foreign = kinds_of(elsewhere.talk.by(liar))
    own = kinds_of(match(terms, RECEIVER_TIERS, SENDER_TIERS).talk.by(liar))
    assert foreign.keys() == own.keys()
    tried = 0
    for name, message in foreign.items():
        if isinstance(message, Announce):
            continue  # how a session begins: that of another contract is refused, see above

        def swap(_: Message, instead: Message = message) -> Iterable[Message]:
            return (instead,)

        def picked(each: Message, meant: Message = own[name]) -> bool:
            return each == meant

        assert_caught(line(terms, Replace(picked, swap), liar=liar), liar, "another session")
        tried += 1
    assert tried >= 3


@every_liar
@every_mode
def test_a_replayed_announcement_binds_nothing_of_its_old_session(terms: Terms, liar: Role) -> None:
    # Same contract, a whole run of earlier replayed: the fresh side's commitments are in the session's name.
    old = match(terms, RECEIVER_TIERS, SENDER_TIERS, seeds=(b"1" * 32, b"2" * 32)).talk.by(liar)
    honest = line(terms, liar=liar).part(liar.other)
    list(honest.start())
    list(honest.receive(old[0]))
    with pytest.raises(PeerViolation, match="another session"):
        honest.receive(old[1])
    assert_closed(honest, old)


# -- the end


@every_liar
@every_mode
def test_another_transcript(terms: Terms, liar: Role) -> None:
    def spoil(message: Message) -> Iterable[Message]:
        assert isinstance(message, Finish)
        return (dataclasses.replace(message, transcript=bytes(32)),)

    tamper = only(liar, Replace(lambda each: isinstance(each, Finish), spoil))
    assert_caught(line(terms, tamper, liar=liar), liar, "transcript of this session differs")


@pytest.mark.parametrize("terms", MODES[:2])
def test_a_last_word_before_everything_was_said(terms: Terms) -> None:
    # The sender has heard all there is to hear, but not yet said all: this finish can vouch for nothing.
    def hurry(message: Message) -> Iterable[Message]:
        assert isinstance(message, StreamEnd)
        return message, Finish(message.session, bytes(32))

    talk = line(terms, Replace(end_of(Stream.RECEIVER_POINTS), hurry), liar=Role.RECEIVER)
    talk.first = Role.RECEIVER
    assert_caught(talk, Role.RECEIVER, "finished before everything was said")


def test_our_own_last_word_sent_back() -> None:
    def echo(_: Message) -> Iterable[Message]:
        return (talk.by(Role.RECEIVER)[-1],)

    tamper = only(Role.SENDER, Replace(lambda each: isinstance(each, Finish), echo))
    talk = line(AUDIENCE, tamper, liar=Role.SENDER)
    assert_caught(talk, Role.SENDER, "transcript of this session differs")


def test_a_partner_that_was_told_other_elements_is_found_by_its_transcript() -> None:
    # Both ends hear consistent streams, but not the same: only the transcripts can tell.
    talk = line(AUDIENCE, Rewrite(AUDIENCE, Stream.SENDER_POINTS, lambda e: e[::-1]), liar=Role.SENDER)
    with pytest.raises(PeerViolation, match="transcript of this session differs"):
        talk.run()


# -- both receive: the commitment


def test_tokens_other_than_those_committed_to() -> None:
    seen: list[int] = []

    def change(tokens: Elements) -> Elements:
        # What the commitment is there against: to copy the partner's tokens, now that they are known.
        theirs = talk.elements(Stream.RECEIVER_TOKENS, 16)
        seen.append(len(theirs))
        return [*theirs[:5], *tokens[5:]]

    talk = line(BOTH, Rewrite(BOTH, Stream.SENDER_TOKENS, change), liar=Role.RECEIVER)
    assert_caught(talk, Role.RECEIVER, "other tokens than it had committed to")
    assert seen == [20]


def test_the_committed_tokens_in_another_order() -> None:
    talk = line(BOTH, Rewrite(BOTH, Stream.SENDER_TOKENS, lambda e: e[::-1]), liar=Role.RECEIVER)
    assert_caught(talk, Role.RECEIVER, "other tokens than it had committed to")


def test_another_commitment_than_to_the_tokens() -> None:
    def other(message: Message) -> Iterable[Message]:
        assert isinstance(message, TokenCommitment)
        return (dataclasses.replace(message, digest=bytes(32)),)

    tamper = Replace(lambda each: isinstance(each, TokenCommitment), other)
    assert_caught(
        line(BOTH, tamper, liar=Role.RECEIVER), Role.RECEIVER, "other tokens than it had committed to"
    )


class CommitsTo(Receiver):
    """A receiver that commits to made-up tokens, and then opens exactly those."""

    def tokens(self, data: bytes) -> bytes:
        """Make up tokens for a chunk of the sender's points."""
        raise NotImplementedError

    def _mask_to_tokens(self, data: bytes) -> bytes:
        return self.tokens(data)

    def _learn(self) -> None:
        """Not look at what it gets."""


class CommitsToOneToken(CommitsTo):
    """The same token for every point."""

    def tokens(self, data: bytes) -> bytes:
        """Return copies."""
        return b"the same token !" * (len(data) // 32)


class CommitsToUnmasked(CommitsTo):
    """The sender's own points, cut short."""

    def tokens(self, data: bytes) -> bytes:
        """Return the points cut short."""
        return b"".join(point[:16] for point in cut(data, 32))


class CommitsToTooFew(CommitsTo):
    """One token less than there are points in each chunk."""

    def tokens(self, data: bytes) -> bytes:
        """Return distinct tokens, one too few."""
        return b"".join(point[16:] for point in cut(data, 32))[:-16]


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        (CommitsToOneToken, "15 of our returned"),
        (CommitsToUnmasked, "our own points without masking"),
        (CommitsToTooFew, "bytes, not the"),
    ],
)
def test_a_commitment_that_is_opened_right_to_tokens_that_are_wrong(
    part: type[CommitsTo], sentence: str
) -> None:
    assert_caught(line(BOTH, liar=Role.RECEIVER, part=part), Role.RECEIVER, sentence)


@pytest.mark.parametrize("when", ["first", "amid points", "before the end"])
def test_a_commitment_too_early(when: str) -> None:
    picks = {
        "first": chunk_of(Stream.RECEIVER_POINTS, 0),
        "amid points": chunk_of(Stream.RECEIVER_POINTS, 1),
        "before the end": end_of(Stream.RECEIVER_POINTS),
    }

    def commit(message: Message) -> Iterable[Message]:
        assert isinstance(message, Chunk | StreamEnd)
        return TokenCommitment(message.session, bytes(32)), message

    talk = line(BOTH, Replace(picks[when], commit), liar=Role.RECEIVER)
    assert_caught(talk, Role.RECEIVER, "sent token commitment while the protocol was at points")
    assert not talk.chunks(Stream.RECEIVER_TOKENS)


def test_no_token_is_released_without_a_commitment() -> None:
    tamper = Replace(lambda each: isinstance(each, TokenCommitment), lambda _: ())
    talk = line(BOTH, tamper, liar=Role.RECEIVER).run()
    assert not talk.chunks(Stream.RECEIVER_TOKENS)
    assert not talk.sender.done


def test_tokens_instead_of_a_commitment() -> None:
    def skip(message: Message) -> Iterable[Message]:
        assert isinstance(message, TokenCommitment)
        return (Chunk(message.session, Stream.SENDER_TOKENS, 0, bytes(16 * 7)),)

    tamper = Replace(lambda each: isinstance(each, TokenCommitment), skip)
    talk = line(BOTH, tamper, liar=Role.RECEIVER)
    assert_caught(talk, Role.RECEIVER, "sent sender tokens chunk while the protocol was at commitment")
    assert not talk.chunks(Stream.RECEIVER_TOKENS)


def test_a_second_commitment() -> None:
    def twice(message: Message) -> Iterable[Message]:
        assert isinstance(message, TokenCommitment)
        return message, dataclasses.replace(message, digest=bytes(32))

    tamper = Replace(lambda each: isinstance(each, TokenCommitment), twice)
    assert_caught(
        line(BOTH, tamper, liar=Role.RECEIVER), Role.RECEIVER, "token commitment while .* at tokens"
    )


@every_mode
@pytest.mark.parametrize("where", [Stream.SENDER_POINTS, Stream.RECEIVER_TOKENS])
def test_a_commitment_from_the_sender(terms: Terms, where: Stream) -> None:
    def commit(message: Message) -> Iterable[Message]:
        assert isinstance(message, Chunk)
        return TokenCommitment(message.session, bytes(32)), message

    talk = line(terms, Replace(chunk_of(where, 0), commit), liar=Role.SENDER)
    assert_caught(talk, Role.SENDER, "sent token commitment while the protocol was at")
    assert not talk.chunks(Stream.SENDER_TOKENS)


@pytest.mark.parametrize("terms", MODES[:2])
def test_a_commitment_where_only_one_side_receives(terms: Terms) -> None:
    def commit(message: Message) -> Iterable[Message]:
        assert isinstance(message, StreamEnd)
        return message, TokenCommitment(message.session, bytes(32))

    talk = line(terms, Replace(end_of(Stream.RECEIVER_POINTS), commit), liar=Role.RECEIVER)
    assert_caught(talk, Role.RECEIVER, "sent token commitment while the protocol was at finish")


@pytest.mark.parametrize("place", [0, 2])
def test_tokens_released_before_all_points_are_there(place: int) -> None:
    # With both as receivers ours would come before our commitment; with one, it is out of order all the same.
    def early(message: Message) -> Iterable[Message]:
        assert isinstance(message, Chunk)
        return Chunk(message.session, Stream.RECEIVER_TOKENS, 0, bytes(16 * 7)), message

    for terms in (OVERLAP, AUDIENCE, BOTH):
        talk = line(terms, Replace(chunk_of(Stream.SENDER_POINTS, place), early), liar=Role.SENDER)
        assert_caught(talk, Role.SENDER, "sent receiver tokens chunk while the protocol was at points")
        assert not any(isinstance(each, TokenCommitment) for each in talk.by(Role.RECEIVER))


@pytest.mark.parametrize("terms", MODES[:2])
def test_the_senders_tokens_where_only_the_receiver_learns(terms: Terms) -> None:
    def extra(message: Message) -> Iterable[Message]:
        assert isinstance(message, StreamEnd)
        return message, Chunk(message.session, Stream.SENDER_TOKENS, 0, bytes(16 * 7))

    talk = line(terms, Replace(end_of(Stream.RECEIVER_POINTS), extra), liar=Role.RECEIVER)
    assert_caught(talk, Role.RECEIVER, "sent sender tokens chunk while the protocol was at finish")


# -- what an error tells


@every_mode
@every_liar
def test_errors_hold_no_element(terms: Terms, liar: Role) -> None:
    lies: list[Callable[[Elements], Elements]] = [
        lambda e: [*e[:-1], e[0]],
        lambda e: [encoded(1), *e[1:]],
        lambda e: [encoded(ref.P), *e[1:]],
    ]
    for change in lies:
        talk = line(terms, Rewrite(terms, POINTS[liar], change), liar=liar)
        error = assert_caught(talk, liar, "[Ee]lement")
        told = f"{error!r} {error} {error.code.peer}"
        for element in talk.elements(POINTS[liar], 32):
            assert element.hex() not in told
            assert str(int.from_bytes(element, "little")) not in told
        assert error.code.peer == "protocol_violation"
