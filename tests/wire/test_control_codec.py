"""The control stream and enrolment: every message survives, and nothing else than a message gets through."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Protobuf
from hypothesis import given, settings
from hypothesis import strategies as st

from party.progress import PHASES
from psi.errors import PEER_WORDS, PeerViolation
from psi.messages import Announce, Chunk, Finish, Message, Stream, StreamEnd, Tier, TokenCommitment
from psi.terms import Role
from veiljoin import control_codec as codec
from veiljoin.control_messages import (
    ENROL_REFUSALS,
    JOB_PHASES,
    JOB_REFUSALS,
    JOB_STATES,
    MAX_ATTEMPTS,
    MAX_CERTIFICATE_BYTES,
    MAX_COLUMNS,
    MAX_CSR_BYTES,
    MAX_DATASETS,
    MAX_IDENTIFIERS,
    MAX_PERSONS,
    MAX_PREFLIGHT_BYTES,
    MAX_TABLE_BYTES,
    PREFLIGHT_WORDS,
    Accept,
    Cancel,
    CatalogueEntry,
    CheckReply,
    CheckRequest,
    ControlHello,
    ControlMessage,
    EnrolReply,
    EnrolRequest,
    EnrolState,
    JobProgress,
    JobState,
    Ping,
    PolicyLimits,
    PreflightAsk,
    PreflightPart,
    PreflightVerdict,
    Propose,
    Refuse,
    Renew,
    Renewed,
    Start,
    two_digits,
)
from veiljoin.log_messages import (
    LOG_REFUSALS,
    MAX_LOG_SIZE,
    MAX_NOTE_BYTES,
    MAX_PROOF,
    LogConflict,
    LogCosigned,
    LogKeys,
    LogOffer,
    LogRefused,
)
from veiljoin.messages import MAX_CONTRACT_BYTES, Abort
from veiljoin.v1 import control_pb2 as pb
from veiljoin.v1 import session_pb2

DIGEST, SIGNATURE = bytes(range(32)), bytes(range(64))
CATALOGUE = (
    CatalogueEntry("cardholders", ("phone", "sha256:phone:e164"), ("tier", "开户日期"), 1_200_000, DIGEST),
    CatalogueEntry("empty", ("oaid",), (), 0, DIGEST),
)
RUN = bytes(range(16))
PARTS: list[Message] = [
    Announce(DIGEST, Role.RECEIVER, (Tier("", 64),), DIGEST, DIGEST),
    Chunk(RUN, Stream.RECEIVER_POINTS, 0, bytes(MAX_PREFLIGHT_BYTES)),
    StreamEnd(RUN, Stream.SENDER_POINTS, 64, DIGEST),
    TokenCommitment(RUN, DIGEST),
    Finish(RUN, DIGEST),
]
ASK = PreflightAsk("job-1", RUN, DIGEST, "x25519-ell2", "phone", "users", DIGEST, "手机", "CN")
SAMPLES: list[ControlMessage] = [
    LogKeys(
        "veiljoin/bank/First%20Bank/0123456789abcdef", "origin+01234567+AQ", "origin+89abcdef+BA", SIGNATURE
    ),
    LogOffer(b"origin\n7\nroot\n\nline\n", 3, (DIGEST, DIGEST)),
    LogCosigned(7, b"line\n"),
    LogConflict(5),
    LogRefused(7, "fork"),
    ASK,
    PreflightPart(RUN, PARTS[0]),
    PreflightVerdict(RUN, "mismatch"),
    ControlHello(1, "veiljoin 0", 1_795_000_000, CATALOGUE, PolicyLimits(50, 10, 0, 10**6, "1/2")),
    Ping(2**64 - 1),
    Renew(b"csr"),
    Renewed(b"-----BEGIN"),
    Propose("job-1", b"{}", b"{}", DIGEST, SIGNATURE),
    Accept("job-1", DIGEST, SIGNATURE),
    Refuse("job-1", "purpose"),
    Cancel("job-1"),
    Start("job-1", 1),
    JobState("job-1", "failed", "link_lost", 2),
    JobProgress("job-1", 2, "encrypt", 100),
]
REQUEST = EnrolRequest("acme-ads", b"csr", DIGEST, SIGNATURE, SIGNATURE, "veiljoin 0")
ISSUED = EnrolReply(EnrolState.ISSUED, "", "bank", DIGEST, b"-----BEGIN", "bank.example:7443")
UNARY: list[tuple[Any, Callable[[Any], Protobuf], Callable[[Any], Any]]] = [
    (REQUEST, codec.encode_enrol, codec.decode_enrol),
    (EnrolReply(EnrolState.PENDING), codec.encode_reply, codec.decode_reply),
    (EnrolReply(EnrolState.REFUSED, "expired"), codec.encode_reply, codec.decode_reply),
    (ISSUED, codec.encode_reply, codec.decode_reply),
    (CheckRequest(1, "veiljoin 0"), codec.encode_check, codec.decode_check),
    (CheckReply(1, "veiljoin 0", "acme", 5), codec.encode_check_reply, codec.decode_check_reply),
]
each_sample = pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)


def decoded(data: bytes) -> ControlMessage:
    """Decode what came over the wire."""
    return codec.decode(pb.ControlEnvelope.FromString(data))


def unknown_field() -> bytes:
    """One length-delimited field of a number that no message has."""
    tag = 99 << 3 | 2
    return bytes([tag & 0x7F | 0x80, tag >> 7, 6]) + b"hidden"


def control_messages() -> st.SearchStrategy[ControlMessage]:
    """Every message with every field drawn over its whole range (data short)."""
    text = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=16)
    digest, signature = st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64)
    data, number = st.binary(min_size=1, max_size=200), st.integers(0, 2**32 - 1)
    run = st.binary(min_size=16, max_size=16)
    names = st.lists(text, min_size=1, max_size=5, unique=True).map(tuple)
    entry = st.builds(CatalogueEntry, text, names, names, st.integers(0, MAX_PERSONS).map(two_digits), digest)
    catalogue = st.lists(entry, max_size=4, unique_by=lambda each: each.name).map(tuple)
    limit = st.integers(1, MAX_PERSONS)
    epsilon = st.just("") | st.tuples(limit, limit).map(lambda each: f"{each[0]}/{each[1]}")
    limits = st.none() | st.builds(PolicyLimits, limit, limit, limit, limit, epsilon)
    return st.one_of(
        st.builds(ControlHello, number, text, st.integers(0, 2**33), catalogue, limits),
        st.builds(Ping, st.integers(0, 2**64 - 1)),
        st.builds(Renew, data),
        st.builds(Renewed, data),
        st.builds(Propose, text, data, data, digest, signature),
        st.builds(Accept, text, digest, signature),
        st.builds(Refuse, text, st.sampled_from(sorted(JOB_REFUSALS)) | text),
        st.builds(Cancel, text),
        st.builds(Start, text, st.integers(1, MAX_ATTEMPTS)),
        st.builds(
            PreflightAsk,
            text,
            run,
            digest,
            text,
            text,
            text,
            digest,
            text,
            st.from_regex("[A-Z]{2}", fullmatch=True),
        ),
        st.builds(PreflightPart, run, st.sampled_from(PARTS)),
        st.builds(PreflightVerdict, run, st.sampled_from(sorted(PREFLIGHT_WORDS)) | text),
        st.builds(LogKeys, text, text, text, st.binary(min_size=64, max_size=64)),
        st.builds(
            LogOffer,
            st.binary(min_size=1, max_size=200),
            st.integers(0, MAX_LOG_SIZE),
            st.lists(st.binary(min_size=32, max_size=32), max_size=5).map(tuple),
        ),
        st.builds(LogCosigned, st.integers(1, MAX_LOG_SIZE), st.binary(min_size=1, max_size=200)),
        st.builds(LogConflict, st.integers(0, MAX_LOG_SIZE)),
        st.builds(LogRefused, st.integers(0, MAX_LOG_SIZE), st.sampled_from(sorted(LOG_REFUSALS)) | text),
        st.builds(
            JobState,
            text,
            st.sampled_from(sorted(JOB_STATES)),
            st.sampled_from(sorted(PEER_WORDS)),
            st.integers(0, MAX_ATTEMPTS),
        ),
    )


@settings(max_examples=300)
@given(control_messages())
def test_every_message_survives_the_wire(message: ControlMessage) -> None:
    data = codec.encode(message).SerializeToString()
    assert decoded(data) == message
    assert codec.encode(decoded(data)).SerializeToString() == data


def test_there_is_a_sample_of_every_message() -> None:
    names = {codec.encode(message).WhichOneof("body") for message in SAMPLES}
    assert names == {field.name for field in pb.ControlEnvelope.DESCRIPTOR.oneofs_by_name["body"].fields}


@pytest.mark.parametrize(("message", "encode", "decode"), UNARY)
def test_every_question_and_answer_survives(message: Any, encode: Any, decode: Any) -> None:
    body = encode(message)
    assert decode(type(body).FromString(body.SerializeToString())) == message
    with pytest.raises(PeerViolation, match="field that this version does not know"):
        decode(type(body).FromString(body.SerializeToString() + unknown_field()))


@each_sample
def test_a_field_that_nobody_knows(message: ControlMessage) -> None:
    envelope = codec.encode(message)
    with pytest.raises(PeerViolation, match="field that this version does not know") as raised:
        decoded(envelope.SerializeToString() + unknown_field())
    assert "hidden" not in str(raised.value)
    getattr(envelope, str(envelope.WhichOneof("body"))).MergeFromString(unknown_field())
    with pytest.raises(PeerViolation, match="field that this version does not know"):
        decoded(envelope.SerializeToString())


@pytest.mark.parametrize(
    "part", [lambda hello: hello.catalogue[1], lambda hello: hello.limits], ids=["entry", "limits"]
)
def test_a_field_that_nobody_knows_inside_a_greeting(part: Callable[[pb.ControlHello], Protobuf]) -> None:
    (hello,) = (sample for sample in SAMPLES if isinstance(sample, ControlHello))
    envelope = codec.encode(hello)
    part(envelope.hello).MergeFromString(unknown_field())
    with pytest.raises(PeerViolation, match="field that this version does not know"):
        decoded(envelope.SerializeToString())


def test_an_empty_envelope() -> None:
    with pytest.raises(PeerViolation, match="empty envelope"):
        decoded(b"")


def entry(number: int) -> pb.CatalogueEntry:
    """An entry with so many columns."""
    return pb.CatalogueEntry(
        name=str(number), identifiers=["phone"], columns=[f"c{i}" for i in range(number)]
    )


@pytest.mark.parametrize(
    "catalogue",
    [
        [pb.CatalogueEntry(schema=DIGEST, name=str(i), identifiers=["x"]) for i in range(MAX_DATASETS + 1)],
        [entry(MAX_COLUMNS + 1)],
        [entry(MAX_COLUMNS // 2 + 1), entry(MAX_COLUMNS // 2)],
        [pb.CatalogueEntry(schema=DIGEST, name="d", identifiers=["x"] * (MAX_IDENTIFIERS + 1))],
        [pb.CatalogueEntry(schema=DIGEST, name="d", identifiers=[])],
        [pb.CatalogueEntry(schema=DIGEST, name="d", identifiers=["x", "x"])],
        [pb.CatalogueEntry(schema=DIGEST, name="d", identifiers=["x"], columns=["c", "c"])],
        [
            pb.CatalogueEntry(schema=DIGEST, name="d", identifiers=["x"]),
            pb.CatalogueEntry(schema=DIGEST, name="d", identifiers=["y"]),
        ],
        [pb.CatalogueEntry(schema=DIGEST, name="", identifiers=["x"])],
        [pb.CatalogueEntry(schema=DIGEST, name="d" * 129, identifiers=["x"])],
        [pb.CatalogueEntry(schema=DIGEST, name="d\n", identifiers=["x"])],
        [pb.CatalogueEntry(schema=DIGEST, name="d", identifiers=["x"], columns=["\x1b[2J"])],
        [pb.CatalogueEntry(schema=DIGEST, name="d", identifiers=["x"], persons=123)],
        [pb.CatalogueEntry(schema=DIGEST, name="d", identifiers=["x"], persons=MAX_PERSONS * 10)],
        [pb.CatalogueEntry(schema=DIGEST[1:], name="d", identifiers=["x"])],
    ],
    ids=range(15),
)
def test_a_catalogue_that_says_too_much(catalogue: list[pb.CatalogueEntry]) -> None:
    hello = pb.ControlHello(protocol_version=1, software="x", catalogue=catalogue)
    with pytest.raises(PeerViolation):
        decoded(pb.ControlEnvelope(hello=hello).SerializeToString())


@pytest.mark.parametrize(
    "body",
    [
        pb.LogKeys(origin="", log_key="k", witness_key="k", proof=SIGNATURE),
        pb.LogKeys(origin="o\n", log_key="k", witness_key="k", proof=SIGNATURE),
        pb.LogKeys(origin="o", log_key="k", witness_key="k", proof=SIGNATURE[1:]),
        pb.LogOffer(note=b"", old_size=0),
        pb.LogOffer(note=bytes(MAX_NOTE_BYTES + 1), old_size=0),
        pb.LogOffer(note=b"n", old_size=MAX_LOG_SIZE + 1),
        pb.LogOffer(note=b"n", old_size=0, proof=[DIGEST[1:]]),
        pb.LogOffer(note=b"n", old_size=0, proof=[DIGEST] * (MAX_PROOF + 1)),
        pb.LogCosigned(size=0, line=b"l"),
        pb.LogCosigned(size=1, line=b""),
        pb.LogConflict(size=MAX_LOG_SIZE + 1),
    ],
    ids=range(11),
)
def test_words_about_a_log_that_say_too_much(body: Any) -> None:
    name = {
        "LogKeys": "log_keys",
        "LogOffer": "log_offer",
        "LogCosigned": "log_cosigned",
        "LogConflict": "log_conflict",
    }[type(body).__name__]
    with pytest.raises(PeerViolation):
        decoded(pb.ControlEnvelope(**{name: body}).SerializeToString())


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, 0),
        (7, 7),
        (99, 99),
        (100, 100),
        (104, 100),
        (105, 110),
        (123_456, 120_000),
        (999, 1000),
        (10**12, 10**12),
    ],
)
def test_two_digits(number: int, shown: int) -> None:
    assert two_digits(number) == shown
    assert two_digits(shown) == shown


@pytest.mark.parametrize(
    "build",
    [
        lambda: ControlHello(1, "x" * 65, 0),
        lambda: ControlHello(1, "", 0),
        lambda: ControlHello(1, "x", -1),
        lambda: ControlHello(1, "x", 2**40),
        lambda: Renew(b""),
        lambda: Renew(bytes(MAX_CSR_BYTES + 1)),
        lambda: Renewed(b""),
        lambda: Renewed(bytes(MAX_CERTIFICATE_BYTES + 1)),
        lambda: Propose("", b"{}", b"{}", DIGEST, SIGNATURE),
        lambda: Propose("j" * 65, b"{}", b"{}", DIGEST, SIGNATURE),
        lambda: Propose("j\x00", b"{}", b"{}", DIGEST, SIGNATURE),
        lambda: Propose("j", b"", b"{}", DIGEST, SIGNATURE),
        lambda: Propose("j", bytes(MAX_TABLE_BYTES + 1), b"{}", DIGEST, SIGNATURE),
        lambda: Propose("j", b"{}", bytes(MAX_CONTRACT_BYTES + 1), DIGEST, SIGNATURE),
        lambda: Propose("j", b"{}", b"{}", DIGEST[1:], SIGNATURE),
        lambda: Propose("j", b"{}", b"{}", DIGEST, SIGNATURE[1:]),
        lambda: Accept("j", DIGEST + b"x", SIGNATURE),
        lambda: Accept("j", DIGEST, b""),
        lambda: JobState("j", "done", "", MAX_ATTEMPTS + 1),
        lambda: JobProgress("j", 0, "read", 1),
        lambda: JobProgress("j", MAX_ATTEMPTS + 1, "read", 1),
        lambda: JobProgress("j", 1, "read", 101),
        lambda: PolicyLimits(0, 1, 1, 1),
        lambda: PolicyLimits(1, 1, 1, MAX_PERSONS + 1),
        lambda: PolicyLimits(1, 1, 1, 1, "0.5"),
        lambda: PolicyLimits(1, 1, 1, 1, "1/0"),
        lambda: Start("j", 0),
        lambda: Start("j", MAX_ATTEMPTS + 1),
        lambda: Cancel(""),
        lambda: dataclasses.replace(ASK, job=""),
        lambda: dataclasses.replace(ASK, run=RUN[1:]),
        lambda: dataclasses.replace(ASK, contract=RUN),
        lambda: dataclasses.replace(ASK, schema=RUN),
        lambda: dataclasses.replace(ASK, suite="s" * 129),
        lambda: dataclasses.replace(ASK, form=""),
        lambda: dataclasses.replace(ASK, dataset="\x1b[2J"),
        lambda: dataclasses.replace(ASK, column=""),
        lambda: dataclasses.replace(ASK, region="cn"),
        lambda: dataclasses.replace(ASK, region="CHN"),
        lambda: PreflightPart(RUN[1:], PARTS[0]),
        lambda: PreflightPart(RUN, Chunk(RUN, Stream.RECEIVER_POINTS, 0, bytes(MAX_PREFLIGHT_BYTES + 32))),
        lambda: PreflightPart(RUN, Abort("failed")),  # type: ignore[arg-type]
        lambda: PreflightVerdict(b"", "passed"),
        lambda: EnrolRequest("Acme", b"c", DIGEST, SIGNATURE, SIGNATURE, "x"),
        lambda: EnrolRequest("acme", b"", DIGEST, SIGNATURE, SIGNATURE, "x"),
        lambda: EnrolRequest("acme", b"c", DIGEST[1:], SIGNATURE, SIGNATURE, "x"),
        lambda: EnrolRequest("acme", b"c", DIGEST, b"", SIGNATURE, "x"),
        lambda: EnrolRequest("acme", b"c", DIGEST, SIGNATURE, b"", "x"),
        lambda: EnrolRequest("acme", b"c", DIGEST, SIGNATURE, SIGNATURE, "\n"),
        lambda: EnrolReply(EnrolState.PENDING, "expired"),
        lambda: EnrolReply(EnrolState.PENDING, bank="bank"),
        lambda: EnrolReply(EnrolState.REFUSED, "expired", certificate=b"x"),
        lambda: EnrolReply(EnrolState.ISSUED, "", "bank", DIGEST, b"", "a:1"),
        lambda: EnrolReply(EnrolState.ISSUED, "", "bank", DIGEST, b"x", ""),
        lambda: EnrolReply(EnrolState.ISSUED, "", "", DIGEST, b"x", "a:1"),
        lambda: CheckReply(1, "x", "../x", 0),
    ],
    ids=range(56),
)
def test_a_message_that_cannot_be(build: Callable[[], object]) -> None:
    with pytest.raises(PeerViolation):
        build()


def test_words_that_are_on_no_list_read_as_unknown() -> None:
    for said in ("", "row 17", "\x1b[2J", "x" * 10_000):
        assert decoded(
            pb.ControlEnvelope(refuse=pb.Refuse(job="j", reason=said)).SerializeToString()
        ) == Refuse("j", "unknown")
        assert EnrolReply(EnrolState.REFUSED, said).code == "unknown"
        assert JobState("j", said).state == "unknown"
        assert JobProgress("j", 1, said, 1).phase == "unknown"
        assert PreflightVerdict(RUN, said).code == "unknown"
    assert JobState("j", "failed", "row 17").code == "unknown"
    assert {PreflightVerdict(RUN, word).code for word in PREFLIGHT_WORDS} == PREFLIGHT_WORDS
    assert {JobProgress("j", 1, word, 0).phase for word in PHASES} == JOB_PHASES == set(PHASES)
    assert {Refuse("j", word).reason for word in JOB_REFUSALS} == JOB_REFUSALS
    assert {EnrolReply(EnrolState.REFUSED, word).code for word in ENROL_REFUSALS} == ENROL_REFUSALS


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (session_pb2.Envelope(), "empty envelope"),
        (
            session_pb2.Envelope(hello=session_pb2.Hello(protocol_version=1, job="j", software="x")),
            "no preflight",
        ),
        (session_pb2.Envelope(abort=session_pb2.Abort(code="failed")), "no preflight"),
        (session_pb2.Envelope.FromString(unknown_field()), "field that this version does not know"),
    ],
    ids=["empty", "hello", "abort", "unknown"],
)
def test_a_preflight_carries_a_private_match_and_nothing_else(part: session_pb2.Envelope, told: str) -> None:
    envelope = pb.ControlEnvelope(preflight_part=pb.PreflightPart(run=RUN, message=part))
    with pytest.raises(PeerViolation, match=told):
        decoded(envelope.SerializeToString())


@pytest.mark.parametrize("number", [0, 4, 99, -1])
def test_a_state_that_does_not_exist(number: int) -> None:
    state: Any = number
    with pytest.raises(PeerViolation, match="state that does not exist"):
        codec.decode_reply(pb.EnrolReply(state=state))


def test_noise_is_a_message_or_a_violation_and_nothing_else() -> None:
    noise = random.Random(11)
    for message in SAMPLES:
        data = bytearray(codec.encode(message).SerializeToString())
        for _ in range(150):
            bent = bytearray(data)
            for _ in range(noise.randint(1, 4)):
                bent[noise.randrange(len(bent))] = noise.randrange(256)
            with contextlib.suppress(PeerViolation, DecodeError):
                decoded(bytes(bent[: noise.randint(1, len(bent))]))
