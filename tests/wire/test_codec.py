"""One codec both ways: every message survives it, and nothing else than a message gets through."""

from __future__ import annotations

import random
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.messages import (
    MAX_PARTS,
    MAX_PLACES,
    CellSums,
    GroupAnnounce,
    Nonce,
    Opening,
    Openings,
    Row,
    SumStream,
    SumTable,
    ValueAnnounce,
    Verdict,
    fingerprint,
    text_fault,
)
from federated.ports import Tag, Unit
from federated.terms import MAX_CELLS, MAX_DAYS, MAX_TAGS, MAX_UNITS
from psi.errors import PEER_WORDS, PeerViolation
from psi.messages import (
    MAX_CHUNK_BYTES,
    SESSION,
    Announce,
    Chunk,
    Finish,
    Stream,
    StreamEnd,
    Tier,
    TokenCommitment,
    label_fault,
)
from psi.replay import Position
from psi.terms import MAX_SET, MAX_TIERS, Role
from veiljoin import codec, sum_codec
from veiljoin.messages import MAX_CONTRACT_BYTES, SIGNATURE_BYTES, Abort, Hello, SignedContract, WireMessage
from veiljoin.v1 import session_pb2 as pb

ID, DIGEST = bytes(range(SESSION)), bytes(range(32))
SAMPLES: list[WireMessage] = [
    Hello(1, "job", "veiljoin 0"),
    SignedContract(b"{}", bytes(SIGNATURE_BYTES)),
    Position(DIGEST, DIGEST, 7),
    Abort("cancelled"),
    Announce(DIGEST, Role.SENDER, (Tier("gold", 60), Tier("银卡", 70)), DIGEST, DIGEST),
    Chunk(ID, Stream.SENDER_POINTS, 3, b"x" * 64),
    StreamEnd(ID, Stream.RECEIVER_TOKENS, 3, DIGEST),
    TokenCommitment(ID, DIGEST),
    Finish(ID, DIGEST),
    ValueAnnounce(
        DIGEST, 900, b"n" * 256, b"p" * 2048, (Tag("age", "30-39"), Tag("city", "上海")), DIGEST, DIGEST
    ),
    GroupAnnounce(
        DIGEST,
        -3,
        14,
        (0, 1, 0),
        (Unit(0, 2, 60), Unit(0, 13, 50), Unit(1, 0, 50), Unit(2, 5, 70)),
        DIGEST,
        DIGEST,
    ),
    Nonce(ID, DIGEST),
    CellSums(ID, (0, 2, 4), b"c" * 3 * 512),
    Verdict(ID, (True, False, True), (False, True)),
    Openings(
        ID,
        (Opening(0, ("test", "银卡"), -5, b"m" * 20), Opening(1, None, None, b""), Opening(2, (), 7, b"m")),
        ((b"j" * 20, None), None, (b"j", -1)),
        ("test", "control", ""),
        (0, 2, 1),
        3,
        4,
        ((1, 50), (13, 9)),
    ),
    SumTable(
        ID,
        (Row(0, (60, -2), b"r" * 20, (0, 3)), Row(2, (70, 12), b"r" * 20)),
        (None, Row(5, (1, 2), b"r" * 20), Row(6, (), b"", (1,))),
        (1, 3),
    ),
]
each_sample = pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)


def decoded(data: bytes) -> WireMessage:
    """Decode what came over the wire."""
    return codec.decode(pb.Envelope.FromString(data))


def wire_messages() -> st.SearchStrategy[WireMessage]:
    """Every message with every field drawn over its whole range (data short)."""
    session, digest = st.binary(min_size=SESSION, max_size=SESSION), st.binary(min_size=32, max_size=32)
    text = st.text(max_size=64)
    any_text = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=16)
    label = any_text.filter(lambda each: not label_fault(each))
    tier = st.builds(Tier, label, st.integers(1, MAX_SET))
    tiers = st.lists(tier, min_size=1, max_size=MAX_TIERS, unique_by=lambda each: each.label).map(tuple)
    alone = st.builds(Tier, st.just(""), st.integers(1, MAX_SET)).map(lambda each: (each,))
    data, number = st.binary(min_size=1, max_size=200), st.integers(0, MAX_SET)
    signature = st.binary(min_size=SIGNATURE_BYTES, max_size=SIGNATURE_BYTES)
    streams = st.sampled_from([*Stream, *SumStream])
    return st.one_of(
        sum_messages(),
        st.builds(Hello, st.integers(0, 2**32 - 1), text, text),
        st.builds(SignedContract, data, signature),
        st.builds(Abort, st.sampled_from(sorted(PEER_WORDS)) | text),
        st.builds(Announce, digest, st.sampled_from(Role), tiers | alone, digest, digest),
        st.builds(Chunk, session, streams, number, data),
        st.builds(StreamEnd, session, streams, st.integers(1, MAX_SET), digest),
        st.builds(TokenCommitment, session, digest),
        st.builds(Finish, session, digest),
    )


def rising(limit: int, most: int = 6) -> st.SearchStrategy[tuple[int, ...]]:
    """Different numbers in order."""
    return st.sets(st.integers(0, limit - 1), max_size=most).map(lambda each: tuple(sorted(each)))


@st.composite
def openings(draw: st.DrawFn) -> Openings:
    """Openings of a few places and totals."""
    part = st.text(max_size=16).filter(lambda each: not text_fault(each))
    cost, mask = st.none() | st.integers(-(2**62) + 1, 2**62 - 1), st.binary(max_size=40)
    label = st.none() | st.lists(part, max_size=MAX_PARTS).map(tuple)
    opened = tuple(Opening(place, draw(label), draw(cost), draw(mask)) for place in draw(rising(MAX_PLACES)))
    names = tuple(draw(st.lists(part, min_size=1, max_size=4)))
    number = st.integers(0, 2**32 - 1)
    joint = tuple(draw(st.none() | st.tuples(mask, cost)) for _ in names)
    dropped = tuple(draw(number) for _ in names)
    moved = tuple((days + 1, draw(st.integers(1, MAX_SET))) for days in draw(rising(MAX_DAYS - 1)))
    session = draw(st.binary(min_size=SESSION, max_size=SESSION))
    return Openings(session, opened, joint, names, dropped, draw(number), draw(number), moved)


@st.composite
def groups(draw: st.DrawFn) -> GroupAnnounce:
    """Units of a few cells, each with one or more days."""
    days, size = draw(st.integers(1, MAX_DAYS)), st.integers(1, 1 << 20)
    chosen = st.sets(st.integers(0, days - 1), min_size=1, max_size=3).map(sorted)
    cells = draw(st.integers(1, 5))
    units = tuple(Unit(cell, day, draw(size)) for cell in range(cells) for day in draw(chosen))
    scopes = tuple(min(cell, draw(st.integers(0, 2))) for cell in range(cells))
    order = sorted(set(scopes))
    digests = [draw(st.binary(min_size=32, max_size=32)) for _ in range(3)]
    first = draw(st.integers(-25_567, 84_006))
    return GroupAnnounce(
        digests[0], first, days, tuple(map(order.index, scopes)), units, digests[1], digests[2]
    )


def sum_messages() -> st.SearchStrategy[WireMessage]:
    """Every message of a grouped sum."""
    session, digest = st.binary(min_size=SESSION, max_size=SESSION), st.binary(min_size=32, max_size=32)
    text = st.text(min_size=1, max_size=12).filter(lambda each: not text_fault(each))
    tags = st.lists(st.builds(Tag, text, text), max_size=5, unique=True).map(tuple)
    key, flags = (
        st.binary(min_size=1, max_size=300),
        st.lists(st.booleans(), min_size=1, max_size=6).map(tuple),
    )
    count = st.integers(-(2**62) + 1, 2**62 - 1)
    counts, region = st.lists(count, max_size=8).map(tuple), st.binary(max_size=40)

    def row(place: int) -> st.SearchStrategy[Row]:
        return st.builds(Row, st.just(place), counts, region, rising(1_024))

    rows = rising(MAX_PLACES).flatmap(lambda places: st.tuples(*map(row, places)))
    joint = st.lists(st.none() | row(7), min_size=1, max_size=4).map(tuple)
    sums = rising(MAX_PLACES).flatmap(
        lambda places: st.builds(CellSums, session, st.just(places), st.binary(max_size=300 * len(places)))
    )
    return st.one_of(
        st.builds(ValueAnnounce, digest, st.integers(1, MAX_SET), key, key, tags, digest, digest),
        groups(),
        st.builds(Nonce, session, digest),
        sums,
        st.builds(Verdict, session, st.lists(st.booleans(), max_size=6).map(tuple), flags),
        openings(),
        st.builds(SumTable, session, rows, joint, rising(MAX_PLACES)),
    )


@settings(max_examples=60)
@given(sum_messages())
def test_what_can_be_said_of_a_sum_can_be_told_from_all_else(message: WireMessage) -> None:
    # A message that is valid has a fingerprint: no number in it is too large for the bytes that it has there.
    assert not isinstance(message, Hello | SignedContract | Position | Abort | Announce | TokenCommitment)
    again = decoded(codec.encode(message).SerializeToString())
    assert not isinstance(again, Hello | SignedContract | Position | Abort | Announce | TokenCommitment)
    assert fingerprint(again) == fingerprint(message)


@settings(max_examples=400)
@given(wire_messages())
def test_every_message_survives_the_wire(message: WireMessage) -> None:
    data = codec.encode(message).SerializeToString()
    again = decoded(data)
    assert again == message
    assert type(again) is type(message)
    assert codec.encode(again).SerializeToString() == data


def test_there_is_a_sample_of_every_message_on_the_wire() -> None:
    names = {codec.encode(message).WhichOneof("body") for message in SAMPLES}
    assert names == {field.name for field in pb.Envelope.DESCRIPTOR.oneofs_by_name["body"].fields}


def test_the_largest_messages_survive() -> None:
    chunk = Chunk(ID, Stream.SENDER_POINTS, MAX_SET, bytes(MAX_CHUNK_BYTES))
    contract = SignedContract(bytes(MAX_CONTRACT_BYTES), bytes(SIGNATURE_BYTES))
    for message in (chunk, contract):
        assert decoded(codec.encode(message).SerializeToString()) == message


def test_numbers_on_the_wire_are_those_of_the_protocol() -> None:
    for stream in (*Stream, *SumStream):
        assert pb.Stream.Name(int(stream)) == f"STREAM_{stream.name}"
    for role in Role:
        assert pb.Role.Name(int(role)) == f"ROLE_{role.name}"
    assert len(pb.Stream.keys()) == len(Stream) + len(SumStream) + 1
    assert len(pb.Role.keys()) == len(Role) + 1


def test_an_abort_tells_a_word_of_the_list_or_unknown() -> None:
    assert {Abort(word).code for word in PEER_WORDS} == PEER_WORDS
    for said in ("", "row 17 of customers.csv", "unknown", "\x1b[2J"):
        assert decoded(pb.Envelope(abort=pb.Abort(code=said)).SerializeToString()) == Abort("unknown")


# -- what is not a message


def test_an_empty_envelope() -> None:
    for data in (b"", pb.Envelope().SerializeToString()):
        with pytest.raises(PeerViolation, match="empty envelope"):
            decoded(data)


def unknown_field(number: int) -> bytes:
    """Return one length-delimited field of a number that no message has."""
    tag = number << 3 | 2
    return bytes([tag & 0x7F | 0x80, tag >> 7, 6]) + b"hidden"


@each_sample
def test_a_field_that_nobody_knows_beside_a_message(message: WireMessage) -> None:
    with pytest.raises(PeerViolation, match="field that this version does not know") as raised:
        decoded(codec.encode(message).SerializeToString() + unknown_field(99))
    assert "hidden" not in str(raised.value)


@each_sample
def test_a_field_that_nobody_knows_inside_a_message(message: WireMessage) -> None:
    envelope = codec.encode(message)
    name = envelope.WhichOneof("body")
    assert name is not None
    getattr(envelope, name).MergeFromString(unknown_field(99))
    with pytest.raises(PeerViolation, match="field that this version does not know"):
        decoded(envelope.SerializeToString())


def test_a_field_that_nobody_knows_inside_a_tier() -> None:
    envelope = codec.encode(SAMPLES[4])
    envelope.announce.tiers[1].MergeFromString(unknown_field(99))
    with pytest.raises(PeerViolation, match="field that this version does not know"):
        decoded(envelope.SerializeToString())


NESTED = [
    ("value_announce", "tags[1]"),
    ("openings", "openings[0]"),
    ("openings", "openings[0].label"),
    ("openings", "scopes[1]"),
    ("openings", "scopes[0].joint"),
    ("openings", "moved[1]"),
    ("sum_table", "rows[1]"),
    ("sum_table", "joint[0]"),
    ("sum_table", "joint[1].row"),
]


@pytest.mark.parametrize(("name", "path"), NESTED)
def test_a_field_that_nobody_knows_inside_a_part_of_a_message(name: str, path: str) -> None:
    envelope = next(codec.encode(each) for each in SAMPLES if codec.encode(each).WhichOneof("body") == name)
    part = getattr(envelope, name)
    for step in path.replace("]", "").split("."):
        field, _, place = step.partition("[")
        part = getattr(part, field)[int(place)] if place else getattr(part, field)
    part.MergeFromString(unknown_field(99))
    with pytest.raises(PeerViolation, match="field that this version does not know"):
        decoded(envelope.SerializeToString())


def test_every_part_of_a_message_was_tried() -> None:
    within = {"Tier", "Tag", "Opening", "Label", "Scope", "Joint", "Moved", "Row", "JointRow"}
    bodies = {each.message_type.name for each in pb.Envelope.DESCRIPTOR.fields if each.message_type}
    assert set(pb.DESCRIPTOR.message_types_by_name) - bodies - {"Envelope"} == within


def test_a_body_that_a_later_version_might_have() -> None:
    with pytest.raises(PeerViolation, match="field that this version does not know"):
        decoded(unknown_field(42))


@pytest.mark.parametrize("number", [0, max(SumStream) + 1, 99, -1, 2**31 - 1])
def test_a_stream_that_does_not_exist(number: int) -> None:
    any_number: Any = number  # the stubs know the named ones only
    chunk = pb.Chunk(session=ID, stream=any_number, data=b"x")
    end = pb.StreamEnd(session=ID, stream=any_number, count=1, digest=DIGEST)
    for envelope in (pb.Envelope(chunk=chunk), pb.Envelope(stream_end=end)):
        with pytest.raises(PeerViolation, match="stream that does not exist"):
            decoded(envelope.SerializeToString())


@pytest.mark.parametrize("number", [0, 3, 99, -1, 2**31 - 1])
def test_a_role_that_does_not_exist(number: int) -> None:
    announce = pb.Announce(**{**ANNOUNCE, "role": number}, tiers=[pb.Tier(size=50)])
    with pytest.raises(PeerViolation, match="role that does not exist"):
        decoded(pb.Envelope(announce=announce).SerializeToString())


def test_two_bodies_are_read_as_the_last_one() -> None:
    # protobuf's rule for oneof: it cannot carry two, so there is nothing to hide a message behind.
    both = codec.encode(SAMPLES[0]).SerializeToString() + codec.encode(SAMPLES[-1]).SerializeToString()
    assert decoded(both) == SAMPLES[-1]


TIERS: list[dict[str, Any]] = [{"label": f"tier {i}", "size": 50} for i in range(MAX_TIERS + 1)]
ANNOUNCE: dict[str, Any] = {
    "contract": DIGEST,
    "role": 1,
    "seed_commitment": DIGEST,
    "input_commitment": DIGEST,
}
CONTRACT = {"contract": b"{}", "signature": bytes(SIGNATURE_BYTES)}
VALUES: dict[str, Any] = {
    "contract": DIGEST,
    "persons": 50,
    "modulus": bytes(256),
    "proof": bytes(2048),
    "seed_commitment": DIGEST,
    "input_commitment": DIGEST,
}
OPENED: dict[str, Any] = {"session": ID, "scopes": [{}]}
TABLE: dict[str, Any] = {"session": ID, "joint": [{}]}


def tag(column: str, value: str) -> dict[str, str]:
    """Return one tag's fields."""
    return {"column": column, "value": value}


def units(places: list[tuple[int, int]]) -> dict[str, Any]:
    """Return the fields of an announcement with units at these (cell, day), all of one cell."""
    return {
        "contract": DIGEST,
        "days": 3,
        "cell_scopes": [0],
        "unit_cells": [cell for cell, _ in places],
        "unit_days": [day for _, day in places],
        "unit_sizes": [50] * len(places),
        "seed_commitment": DIGEST,
        "input_commitment": DIGEST,
    }


GROUPS = units([(0, 1)])
INVALID: list[tuple[str, dict[str, Any], str]] = [
    ("hello", {"job": "x" * 65}, "greeting is too long"),
    ("hello", {"software": "x" * 65}, "greeting is too long"),
    ("signed_contract", {**CONTRACT, "contract": b""}, "contract has an impossible length"),
    ("signed_contract", {**CONTRACT, "contract": bytes(MAX_CONTRACT_BYTES + 1)}, "impossible length"),
    ("signed_contract", {**CONTRACT, "signature": b""}, "signature has a wrong length"),
    ("signed_contract", {**CONTRACT, "signature": bytes(65)}, "signature has a wrong length"),
    ("announce", {**ANNOUNCE}, "0 tiers"),
    ("announce", {**ANNOUNCE, "tiers": TIERS}, "33 tiers"),
    ("announce", {**ANNOUNCE, "tiers": TIERS[:1] * 2}, "same tier twice"),
    ("announce", {**ANNOUNCE, "tiers": [{"label": "x"}]}, "impossible tier size"),
    ("announce", {**ANNOUNCE, "tiers": [{"size": 2**64 - 1}]}, "impossible tier size"),
    ("announce", {**ANNOUNCE, "tiers": TIERS[:1], "contract": b""}, "wrong length"),
    ("chunk", {"session": ID, "stream": 1}, "impossible length"),
    ("chunk", {"session": ID, "stream": 1, "data": bytes(MAX_CHUNK_BYTES + 1)}, "impossible length"),
    ("chunk", {"session": ID, "stream": 1, "data": b"x", "sequence": 2**64 - 1}, "impossible chunk number"),
    ("chunk", {"stream": 1, "data": b"x"}, "session identifier of a wrong length"),
    ("stream_end", {"session": ID, "stream": 1, "digest": DIGEST}, "impossible element count"),
    ("stream_end", {"session": ID, "stream": 1, "count": 2**64 - 1, "digest": DIGEST}, "impossible element"),
    ("token_commitment", {"session": ID}, "commitment of a wrong length"),
    ("finish", {"session": ID}, "transcript digest of a wrong length"),
    ("finish", {}, "session identifier of a wrong length"),
    ("value_announce", {**VALUES, "contract": b""}, "contract hash of a wrong length"),
    ("value_announce", {**VALUES, "persons": 0}, "impossible number of persons"),
    ("value_announce", {**VALUES, "persons": 2**64 - 1}, "impossible number of persons"),
    ("value_announce", {**VALUES, "modulus": b""}, "modulus of an impossible length"),
    ("value_announce", {**VALUES, "modulus": bytes(1025)}, "modulus of an impossible length"),
    ("value_announce", {**VALUES, "proof": bytes(8193)}, "proof of an impossible length"),
    (
        "value_announce",
        {**VALUES, "tags": [tag("x", str(i)) for i in range(MAX_TAGS + 1)]},
        "list that is longer",
    ),
    ("value_announce", {**VALUES, "tags": [tag("age", "1"), tag("age", "1")]}, "same tag twice"),
    ("value_announce", {**VALUES, "tags": [tag("age", "")]}, "tag without a value"),
    ("value_announce", {**VALUES, "tags": [tag("age", "=1+1")]}, "begins with one of"),
    ("value_announce", {**VALUES, "tags": [tag("a\x1b[2J", "1")]}, "control characters"),
    ("value_announce", {**VALUES, "tags": [tag("age", "金" * 43)]}, "more than 128 bytes"),
    ("group_announce", {**GROUPS, "first_day": 2**31 - 1}, "impossible first exposure day"),
    ("group_announce", {**GROUPS, "days": 0}, "impossible number of exposure days"),
    ("group_announce", {**GROUPS, "days": MAX_DAYS + 1}, "impossible number of exposure days"),
    ("group_announce", {**GROUPS, "cell_scopes": []}, "impossible number of cells"),
    ("group_announce", {**GROUPS, "cell_scopes": [0] * (MAX_CELLS + 1)}, "list that is longer"),
    ("group_announce", {**GROUPS, "cell_scopes": [1]}, "totals without cells"),
    ("group_announce", {**GROUPS, "cell_scopes": [0, 2**32 - 1]}, "totals without cells"),
    ("group_announce", {**GROUPS, "cell_scopes": [0, 0]}, "a cell without units"),
    ("group_announce", {**GROUPS, "unit_cells": [1]}, "a cell without units"),
    ("group_announce", {**GROUPS, "unit_days": [3]}, "a unit of another day"),
    ("group_announce", {**GROUPS, "unit_sizes": [0]}, "a unit of an impossible size"),
    ("group_announce", {**GROUPS, "unit_sizes": [2**64 - 1]}, "a unit of an impossible size"),
    ("group_announce", {**GROUPS, "unit_sizes": [50, 50]}, "something is missing"),
    ("group_announce", {**GROUPS, "unit_sizes": []}, "something is missing"),
    ("group_announce", units([(0, 1), (0, 1)]), "units out of order"),
    ("group_announce", units([(0, 1), (0, 0)]), "units out of order"),
    ("group_announce", units([(0, 0)] * (MAX_UNITS + 1)), "list that is longer"),
    (
        "group_announce",
        {**units([(0, 0), (0, 1)]), "unit_sizes": [MAX_SET, 1]},
        "impossible number of persons",
    ),
    ("nonce", {"session": ID, "nonce": bytes(31)}, "nonce of a wrong length"),
    ("cell_sums", {"session": ID, "places": [1, 0]}, "sums out of order"),
    ("cell_sums", {"session": ID, "places": [1, 1]}, "sums out of order"),
    ("cell_sums", {"session": ID, "places": [MAX_PLACES]}, "impossible sum"),
    ("cell_sums", {"session": ID, "places": range(2 * MAX_CELLS + 1)}, "list that is longer"),
    ("cell_sums", {"session": ID, "places": [0], "ciphertexts": bytes(769)}, "ciphertexts of an impossible"),
    ("verdict", {"session": ID}, "impossible number of totals"),
    ("verdict", {"session": ID, "joint": [True] * (MAX_CELLS + 1)}, "impossible number of totals"),
    (
        "verdict",
        {"session": ID, "passes": [True] * (2 * MAX_CELLS + 1), "joint": [True]},
        "list that is longer",
    ),
    ("openings", {"session": ID}, "impossible number of totals"),
    ("openings", {**OPENED, "openings": [{"place": 1}, {"place": 1}]}, "openings out of order"),
    ("openings", {**OPENED, "openings": [{"place": 2**32 - 1}]}, "impossible sum"),
    ("openings", {**OPENED, "openings": [{"mask": bytes(1025)}]}, "mask of an impossible length"),
    ("openings", {**OPENED, "openings": [{"cost": 2**62}]}, "impossible cost"),
    (
        "openings",
        {**OPENED, "openings": [{"label": {"parts": ["x"] * (MAX_PARTS + 1)}}]},
        "list that is longer",
    ),
    ("openings", {**OPENED, "openings": [{"label": {"parts": ["@x"]}}]}, "begins with one of"),
    ("openings", {**OPENED, "openings": [{}] * (2 * MAX_CELLS + 1)}, "list that is longer"),
    ("openings", {**OPENED, "scopes": [{"name": "-1"}]}, "begins with one of"),
    ("openings", {**OPENED, "scopes": [{"joint": {"mask": bytes(1025)}}]}, "mask of an impossible length"),
    ("openings", {**OPENED, "scopes": [{"joint": {"cost": -(2**62)}}]}, "impossible cost"),
    ("openings", {**OPENED, "scopes": [{}] * (MAX_CELLS + 1)}, "list that is longer"),
    ("openings", {**OPENED, "moved": [{"days": 1, "persons": 1}] * 2}, "moved days out of order"),
    ("openings", {**OPENED, "moved": [{"days": 0, "persons": 1}]}, "impossible number of days"),
    ("openings", {**OPENED, "moved": [{"days": 65_536, "persons": 1}]}, "impossible number of days"),
    ("openings", {**OPENED, "moved": [{"days": 1, "persons": 2**64 - 1}]}, "impossible number of persons"),
    ("openings", {**OPENED, "moved": [{"days": 1}] * (MAX_DAYS + 1)}, "list that is longer"),
    ("sum_table", {"session": ID}, "impossible number of totals"),
    ("sum_table", {**TABLE, "rows": [{"place": 3}, {"place": 2}]}, "rows out of order"),
    ("sum_table", {**TABLE, "rows": [{"place": 2**32 - 1}]}, "impossible sum"),
    ("sum_table", {**TABLE, "rows": [{"region": bytes(1025)}]}, "values of an impossible length"),
    ("sum_table", {**TABLE, "rows": [{"counts": [1] * 9}]}, "too many counts"),
    ("sum_table", {**TABLE, "rows": [{"counts": [1] * 1_025}]}, "list that is longer"),
    ("sum_table", {**TABLE, "rows": [{"counts": [2**62]}]}, "impossible count"),
    ("sum_table", {**TABLE, "rows": [{"counts": [-(2**63)]}]}, "impossible count"),
    ("sum_table", {**TABLE, "rows": [{"hidden": [1, 1]}]}, "hidden fields out of order"),
    ("sum_table", {**TABLE, "rows": [{"hidden": [65_536]}]}, "impossible field"),
    ("sum_table", {**TABLE, "joint": [{"row": {"counts": [2**62]}}]}, "impossible count"),
    ("sum_table", {**TABLE, "joint": [{}] * (MAX_CELLS + 1)}, "impossible number of totals"),
    ("sum_table", {**TABLE, "dominated": [2, 2]}, "rows out of order"),
    ("sum_table", {**TABLE, "dominated": [2**32 - 1]}, "impossible sum"),
    ("sum_table", {**TABLE, "rows": [{}] * (2 * MAX_CELLS + 1)}, "list that is longer"),
]


@pytest.mark.parametrize(("name", "fields", "sentence"), INVALID)
def test_a_message_that_is_not_valid(name: str, fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PeerViolation, match=sentence):
        decoded(pb.Envelope(**{name: fields}).SerializeToString())


def test_a_flood_of_tiers_is_refused_before_any_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    # A message may hold a million of them; building each first would take seconds and hundreds of megabytes.
    built: list[object] = []
    monkeypatch.setattr(codec, "Tier", lambda *arguments: built.append(arguments))
    envelope = pb.Envelope(announce=pb.Announce(**ANNOUNCE, tiers=[pb.Tier(size=1)] * 10_000))
    with pytest.raises(PeerViolation, match="10000 tiers, where 1 to 32 may be"):
        decoded(envelope.SerializeToString())
    assert built == []


def test_what_the_invalid_ones_were_made_of_is_valid() -> None:
    for name, fields in (
        ("value_announce", VALUES),
        ("group_announce", GROUPS),
        ("openings", OPENED),
        ("sum_table", TABLE),
    ):
        decoded(pb.Envelope(**{name: fields}).SerializeToString())


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        ("Tag", {"value_announce": {**VALUES, "tags": [{}] * 10_000}}),
        ("Unit", {"group_announce": units([(0, 0)] * (MAX_UNITS + 1))}),
        ("Opening", {"openings": {**OPENED, "openings": [{}] * (2 * MAX_CELLS + 1)}}),
        ("Row", {"sum_table": {**TABLE, "rows": [{}] * (2 * MAX_CELLS + 1)}}),
    ],
)
def test_a_flood_is_refused_before_any_part_is_looked_at(
    part: str, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[object] = []
    monkeypatch.setattr(sum_codec, part, lambda *arguments: built.append(arguments))
    with pytest.raises(PeerViolation, match="list that is longer than the protocol allows"):
        decoded(pb.Envelope(**fields).SerializeToString())
    assert built == []


# -- whatever bytes arrive: a message, protobuf's own refusal, or a violation


def outcome(data: bytes) -> str:
    """Decode ``data`` and say how that went; any other exception than the two fails the test."""
    try:
        decoded(data)
    except DecodeError:
        return "not protobuf"
    except PeerViolation:
        return "violation"
    return "message"


def mutated(data: bytearray, draw: random.Random) -> bytes:
    """Return ``data`` with a few bytes changed, cut, doubled or put in."""
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(data) + 1)
        match draw.randrange(5):
            case 0 if place < len(data):
                data[place] ^= 1 << draw.randrange(8)
            case 1 if place < len(data):
                data[place] = draw.randrange(256)
            case 2:
                del data[place:]
            case 3:
                data[place:place] = data[place : place + draw.randrange(12)]
            case _:
                data[place:place] = draw.randbytes(draw.randrange(1, 6))
    return bytes(data)


def refill(body: Any, draw: random.Random) -> None:
    """Give one field of ``body``, or of a part of it, any value of its type."""
    field = draw.choice(body.DESCRIPTOR.fields)
    numbers = (0, 1, 2, 5, draw.randrange(2**31), 2**31 - 1)
    value: Any
    match field.type:
        case field.TYPE_MESSAGE:
            part = getattr(body, field.name)
            if field.is_repeated:
                part = draw.choice(part) if part and draw.randrange(2) else part.add()
            refill(part, draw)
            return
        case field.TYPE_BYTES:
            value = draw.randbytes(draw.choice((0, 1, 15, 16, 31, 32, 33, 64, 200)))
        case field.TYPE_STRING:
            value = draw.choice("x金\n\x00") * draw.randrange(80)
        case field.TYPE_UINT64 | field.TYPE_SINT64:
            value = draw.choice((*numbers, 2**63 - 1))
        case field.TYPE_BOOL:
            value = draw.randrange(2) == 1
        case _:
            value = draw.choice(numbers)
    if field.is_repeated:
        getattr(body, field.name).extend([value] * draw.randrange(4))
    else:
        setattr(body, field.name, value)


def refilled(envelope: pb.Envelope, draw: random.Random) -> bytes:
    """Return ``envelope`` with one field of its body given any value of its type, so that it parses."""
    name = envelope.WhichOneof("body")
    assert name is not None
    body = getattr(envelope, name)
    refill(body, draw)
    return envelope.SerializeToString()


def test_twenty_thousand_strings_of_bytes() -> None:
    draw = random.Random(20_000)
    samples = [codec.encode(message) for message in SAMPLES]
    seen = dict.fromkeys(("not protobuf", "violation", "message"), 0)
    for number in range(20_000):
        sample = draw.choice(samples)
        match number % 4:
            case 0:
                data = draw.randbytes(draw.randrange(80))
            case 1 | 2:
                data = mutated(bytearray(sample.SerializeToString()), draw)
            case _:
                copied = pb.Envelope()
                copied.CopyFrom(sample)
                data = refilled(copied, draw)
        seen[outcome(data)] += 1
    # All three happen, or the strings would not reach what they are meant to try.
    assert min(seen.values()) > 1000, seen


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    outcome(data)


@settings(max_examples=300)
@given(wire_messages(), st.randoms(use_true_random=False))
def test_any_message_damaged(message: WireMessage, draw: random.Random) -> None:
    outcome(mutated(bytearray(codec.encode(message).SerializeToString()), draw))
