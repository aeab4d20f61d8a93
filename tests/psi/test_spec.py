"""psi/SPEC.md against the code: the worked example, diagrams, tables, limits and the clauses that the code cites.

The example is computed twice: by the roles, and by a second reading of the specification that shares no code with
``psi`` beyond the reference arithmetic of the tests.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from party import session, statements, transport
from party.prepare import InputRoot
from psi import machine, messages, seed, terms
from psi import role as driving
from psi.engines import open_engine
from psi.errors import CODES, PEER_WORDS, PeerViolation
from psi.memory import MemoryKeep, MemorySet
from psi.messages import Announce, Chunk, Finish, Message, Stream, StreamEnd, Tier, TokenCommitment
from psi.participant import Participant
from psi.receiver import Receiver
from psi.results import AudienceResult
from psi.secret import Seed
from psi.seed import JobRandomness
from psi.sender import Sender
from psi.suites import SUITES, X25519_ELL2, domain_separation_tag
from psi.terms import Kind, Role, Terms
from tests.psi import reference as ref
from veiljoin.messages import MAX_CONTRACT_BYTES

ROOT = Path(__file__).resolve().parents[2]
SPEC = (ROOT / "psi" / "SPEC.md").read_text(encoding="utf-8")
TRANSPORT = (ROOT / "docs" / "transport.md").read_text(encoding="utf-8")

CONTRACT = hashlib.sha256(b"veiljoin example contract").digest()
RECEIVER_SEED, SENDER_SEED = bytes(range(32)), bytes(range(32, 64))
RECEIVER_SET = [("", [b"+8613800138000", b"+8613800138001", b"+8613912345678"])]
SENDER_SET = [
    ("gold", [b"+8613912345678", b"+8613800138009"]),
    ("silver", [b"+8613800138001", b"+8613700000007", b"+8613600000006"]),
]
CHUNK = 2
Tiers = Sequence[tuple[str, Sequence[bytes]]]


def table(heading: str, text: str = SPEC) -> list[list[str]]:
    """The cells of the first table below the heading that begins with ``heading``, without its head."""
    section = re.split(rf"^#+ {re.escape(heading)}.*$", text, maxsplit=1, flags=re.MULTILINE)[1]
    lines = re.search(r"(?:^\|.*\n)+", section, flags=re.MULTILINE)
    assert lines is not None, heading
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[0].splitlines()[2:]]


def code(cell: str) -> str:
    """The content of a cell that is written as code."""
    return cell.strip("| ").strip("`")


# The example by the roles ----------------------------------------------------------------------------------


def root_of(tiers: Tiers) -> bytes:
    root = InputRoot()
    identifiers = [each for _, members in tiers for each in members]
    numbers = np.repeat(np.arange(len(tiers), dtype=np.uint8), [len(members) for _, members in tiers])
    root.update(np.arange(len(identifiers), dtype=np.uint64), identifiers, numbers)
    return root.digest([label for label, _ in tiers])


def run(both: bool) -> tuple[dict[str, Message], Receiver, Sender, list[Message]]:
    """Run the example; returns its messages by name, the roles, and the messages in the order of arrival."""
    agreed = Terms(
        CONTRACT, X25519_ELL2, Kind.AUDIENCE, both=both, sender_tiered=True, min_group=1, chunk_elements=CHUNK
    )
    engine = open_engine(X25519_ELL2, "cryptography", 1)
    roles: list[Participant] = []
    for part, secret, tiers in ((Receiver, RECEIVER_SEED, RECEIVER_SET), (Sender, SENDER_SEED, SENDER_SET)):
        randomness = JobRandomness(Seed(secret), CONTRACT)
        own = MemorySet(agreed, randomness, engine, tiers)
        own.input_commitment = randomness.input_commitment(root_of(tiers))
        roles.append(part(agreed, randomness, own, engine, MemoryKeep(agreed)))
    receiver, sender = roles
    assert isinstance(receiver, Receiver)
    assert isinstance(sender, Sender)
    inboxes: dict[Participant, list[Message]] = {sender: [*receiver.start()], receiver: [*sender.start()]}
    said: list[Message] = []
    while any(inboxes.values()):
        for role, other in ((sender, receiver), (receiver, sender)):
            if inboxes[role]:
                message = inboxes[role].pop(0)
                said.append(message)
                inboxes[other] += role.receive(message)
    named: dict[str, Message] = {}
    for message in said:
        match message:
            case Announce(role=by):
                named[f"announce {by.name.lower()}"] = message
            case Chunk(stream=stream, sequence=number):
                named[f"chunk {stream.name.lower()} {number}"] = message
            case StreamEnd(stream=stream):
                named[f"end {stream.name.lower()}"] = message
            case TokenCommitment():
                named["commitment"] = message
            case Finish():
                named["finish receiver" if "finish receiver" not in named else "finish sender"] = message
    return named, receiver, sender, said


def example() -> Iterator[tuple[str, str]]:
    """The lines of section 12 as the code computes them."""
    named, receiver, sender, _ = run(both=False)
    engine = open_engine(X25519_ELL2, "cryptography", 1)
    yield "contract hash", CONTRACT.hex()
    tag = domain_separation_tag(X25519_ELL2, CONTRACT)
    yield "domain separation tag", tag.hex()
    for name, secret, tiers in (
        ("receiver", RECEIVER_SEED, RECEIVER_SET),
        ("sender", SENDER_SEED, SENDER_SET),
    ):
        randomness = JobRandomness(Seed(secret), CONTRACT)
        scalar = randomness.scalar(X25519_ELL2)
        identifiers = [each for _, members in tiers for each in members]
        yield f"{name} seed", secret.hex()
        yield f"{name} scalar", scalar.reveal().hex()
        yield f"{name} seed commitment", randomness.seed_commitment().hex()
        yield f"{name} input root", root_of(tiers).hex()
        yield f"{name} input commitment", randomness.input_commitment(root_of(tiers)).hex()
        for i, rank in enumerate(randomness.ranks(seed.LABEL_ORDER, 0, len(identifiers)).tolist()):
            yield f"{name} rank {i}", f"{rank:016x}"
        masked = engine.hash_and_mask(tag, identifiers, scalar)
        for i in range(len(identifiers)):
            yield f"{name} masked {i}", masked[32 * i : 32 * i + 32].hex()
    yield "session digest", receiver.session.digest.hex()
    for stream in (Stream.RECEIVER_POINTS, Stream.SENDER_POINTS, Stream.RECEIVER_TOKENS):
        name = stream.name.lower()
        for number in range(3):
            if chunk := named.get(f"chunk {name} {number}"):
                assert isinstance(chunk, Chunk)
                yield f"{name} chunk {number}", chunk.data.hex()
        end = named[f"end {name}"]
        assert isinstance(end, StreamEnd)
        yield f"{name} digest", end.digest.hex()
    for name in ("receiver", "sender"):
        finish = named[f"finish {name}"]
        assert isinstance(finish, Finish)
        yield f"{name} transcript", finish.transcript.hex()
    result = receiver.result
    assert isinstance(result, AudienceResult)
    assert result.tier_of is not None
    yield "matches by sending position", result.tier_of.tobytes().hex()
    assert sender.result is None
    commitment = run(both=True)[0]["commitment"]
    assert isinstance(commitment, TokenCommitment)
    yield "token commitment if both received", commitment.digest.hex()


def printed() -> dict[str, str]:
    """The worked example as the specification prints it; long values are broken over lines."""
    block = re.search(r"^## 12 .*?^```\n(.*?)^```", SPEC, flags=re.MULTILINE | re.DOTALL)
    assert block is not None
    joined = re.sub(r"\n +", "", block[1])
    return dict(line.split(" = ", 1) for line in joined.splitlines())


def as_text(lines: Iterator[tuple[str, str]]) -> str:
    """The block of section 12 for ``lines``."""
    out = []
    for name, value in lines:
        parts = [value[i : i + 64] for i in range(0, len(value), 64)]
        out.append(f"{name} = " + "\n    ".join(parts))
    return "\n".join(out) + "\n"


def test_the_worked_example_is_what_the_roles_do() -> None:
    # To write the block anew: print(as_text(example())).
    assert printed() == dict(example())


# The example by a second reading of the text ---------------------------------------------------------------


def hkdf(secret: bytes, label: bytes, length: int) -> bytes:
    key = hmac.digest(CONTRACT, secret, "sha256")
    output, block = b"", b""
    while len(output) < length:
        block = hmac.digest(key, block + label + bytes([len(output) // 32 + 1]), "sha256")
        output += block
    return output[:length]


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


class Reader:
    """One side, computed from the text of the specification and the slow arithmetic of the reference."""

    def __init__(self, secret: bytes, tiers: Tiers) -> None:
        uniform = bytearray(hkdf(secret, b"veiljoin/v1/psi/scalar", 64)[:32])
        uniform[0] &= 0b1111_1000
        uniform[31] = uniform[31] & 0b0111_1111 | 0b0100_0000
        self.scalar = bytes(uniform)
        key = hkdf(secret, b"veiljoin/v1/psi/order", 32)
        identifiers = [each for _, members in tiers for each in members]
        stream = (
            Cipher(algorithms.AES256(key), modes.CTR(bytes(16)))
            .encryptor()
            .update(bytes(8 * len(identifiers)))
        )
        self.ranks = struct.unpack(f"<{len(identifiers)}Q", stream)
        tag = b"VEILJOIN-V01-x25519-ell2-" + CONTRACT + b"-curve25519_XMD:SHA-512_ELL2_NU_"
        points = [ref.elligator2(ref.hash_to_field(each, tag)).to_bytes(32, "little") for each in identifiers]
        self.masked = [ref.x25519(self.scalar, point) for point in points]
        places = [place for place, (_, members) in enumerate(tiers) for _ in members]
        self.order = sorted(range(len(identifiers)), key=lambda i: (places[i], self.ranks[i], i))
        self.sent = [self.masked[i] for i in self.order]
        self.seed_commitment = sha(
            b"veiljoin/v1/commit-seed\0", hkdf(secret, b"veiljoin/v1/seed-salt", 32), secret
        )
        self.root = sha(
            sha(struct.pack(f"<{len(identifiers)}Q", *range(len(identifiers)))),
            sha(struct.pack(f"<{len(identifiers)}I", *map(len, identifiers))),
            sha(*identifiers),
            sha(bytes(places)),
            sha(*(sha(label.encode()) for label, _ in tiers)),
        )
        self.input_commitment = sha(
            b"veiljoin/v1/commit-input\0", hkdf(secret, b"veiljoin/v1/input-salt", 32), self.root
        )
        self.tiers = tiers

    def announcement(self, role: int) -> bytes:
        parts = [CONTRACT, bytes([role, len(self.tiers)])]
        for label, members in self.tiers:
            parts.append(struct.pack(">Q", len(members)) + bytes([len(label)]) + label.encode())
        return b"".join([*parts, self.seed_commitment, self.input_commitment])


def test_the_worked_example_follows_from_the_text_alone() -> None:
    r, s = Reader(RECEIVER_SEED, RECEIVER_SET), Reader(SENDER_SEED, SENDER_SET)
    shown = printed()
    for name, side in (("receiver", r), ("sender", s)):
        assert shown[f"{name} scalar"] == side.scalar.hex()
        assert shown[f"{name} seed commitment"] == side.seed_commitment.hex()
        assert shown[f"{name} input root"] == side.root.hex()
        assert shown[f"{name} input commitment"] == side.input_commitment.hex()
        assert [shown[f"{name} rank {i}"] for i in range(len(side.ranks))] == [
            f"{x:016x}" for x in side.ranks
        ]
        assert [shown[f"{name} masked {i}"] for i in range(len(side.ranks))] == [x.hex() for x in side.masked]
    digest = sha(b"veiljoin/v1/psi/session\0", r.announcement(1), s.announcement(2))
    assert shown["session digest"] == digest.hex()
    tokens = [ref.x25519(s.scalar, point)[:16] for point in r.sent]
    ended = b""
    for number, name, elements in (
        (1, "receiver_points", r.sent),
        (2, "sender_points", s.sent),
        (3, "receiver_tokens", tokens),
    ):
        chunks = [b"".join(elements[i : i + CHUNK]) for i in range(0, len(elements), CHUNK)]
        assert [shown[f"{name} chunk {i}"] for i in range(len(chunks))] == [chunk.hex() for chunk in chunks]
        stream = sha(b"veiljoin/v1/psi/stream\0", digest, bytes([number]), *elements)
        assert shown[f"{name} digest"] == stream.hex()
        ended += bytes([number]) + struct.pack(">Q", len(elements)) + stream
    for role, name in ((1, "receiver"), (2, "sender")):
        transcript = sha(b"veiljoin/v1/psi/transcript\0", bytes([role]), digest, ended)
        assert shown[f"{name} transcript"] == transcript.hex()
    theirs = [ref.x25519(r.scalar, point)[:16] for point in s.sent]
    tier = {token: 1 if i < len(SENDER_SET[0][1]) else 2 for i, token in enumerate(theirs)}
    found = bytes(tier.get(token, 0) for token in tokens)
    assert shown["matches by sending position"] == found.hex()
    # The plain intersection, by position: 0 is not there, 1 is silver, 2 is gold.
    assert [found[r.order.index(i)] for i in range(3)] == [0, 2, 1]
    committed = sha(b"veiljoin/v1/psi/commit-tokens\0", digest, *theirs)
    assert shown["token commitment if both received"] == committed.hex()


# Claims of the text ----------------------------------------------------------------------------------------


def test_the_map_reaches_half_of_the_curve_and_each_point_four_times() -> None:
    # Section 10.6. x is reached by u and -u with u^2 = -(A + x) / 2x, and by those with u^2 = -x / 2(A + x).
    draw = random.Random(3)
    for _ in range(20):
        x = ref.elligator2(draw.randrange(1, ref.P))
        squares = {-(ref.A + x) * pow(2 * x, -1, ref.P) % ref.P, -x * pow(2 * (ref.A + x), -1, ref.P) % ref.P}
        assert len(squares) == 2
        assert all(ref.is_square(each) for each in squares)
    xs = [
        x for x in (draw.randrange(1, ref.P) for _ in range(1200)) if ref.is_square(ref.curve_right_side(x))
    ]
    reached = sum(ref.is_square(-2 * x * (x + ref.A)) for x in xs)
    assert 0.4 < reached / len(xs) < 0.6


def test_a_small_order_part_vanishes_and_the_twist_keeps_to_itself() -> None:
    # Section 5.1. Adding the point (0, 0) of order 2 turns x into 1/x.
    scalar, draw = Reader(SENDER_SEED, SENDER_SET).scalar, random.Random(4)
    x = ref.elligator2(draw.randrange(1, ref.P))
    masks = {ref.x25519(scalar, each.to_bytes(32, "little")) for each in (x, pow(x, -1, ref.P))}
    assert len(masks) == 1
    for _ in range(8):
        x = draw.randrange(2, ref.P - 1)
        mask = int.from_bytes(ref.x25519(scalar, x.to_bytes(32, "little")), "little")
        assert ref.is_square(ref.curve_right_side(x)) == ref.is_square(ref.curve_right_side(mask))


@pytest.mark.parametrize("kind", list(Kind))
def test_one_person_in_two_encodings_is_a_repeat(kind: Kind) -> None:
    # Section 5.4, in an overlap before the sender lets any token go.
    agreed = Terms(CONTRACT, X25519_ELL2, kind, min_group=1, chunk_elements=CHUNK)
    engine = open_engine(X25519_ELL2, "cryptography", 1)
    ours, theirs = (JobRandomness(Seed(each), CONTRACT) for each in (SENDER_SEED, RECEIVER_SEED))
    own = MemorySet(agreed, ours, engine, [("", SENDER_SET[1][1])])
    sender = Sender(agreed, ours, own, engine, MemoryKeep(agreed))
    masked = MemorySet(agreed, theirs, engine, RECEIVER_SET).chunk(0)
    again = pow(int.from_bytes(masked[:32], "little"), -1, ref.P).to_bytes(32, "little")
    announce = Announce(
        CONTRACT, Role.RECEIVER, (Tier("", 3),), theirs.seed_commitment(), theirs.input_commitment(bytes(32))
    )
    list(sender.start())
    list(sender.receive(announce))
    chunks = [masked, again]
    answers: list[Message] = []
    for i, data in enumerate(chunks):
        answers += sender.receive(Chunk(sender.session.id, Stream.RECEIVER_POINTS, i, data))
    digest = sha(b"veiljoin/v1/psi/stream\0", sender.session.digest, b"\x01", *chunks)
    with pytest.raises(PeerViolation, match="repeated elements: 1 of its set"):
        sender.receive(StreamEnd(sender.session.id, Stream.RECEIVER_POINTS, 3, digest))
    assert len(answers) == (0 if kind is Kind.OVERLAP else 2)


# The text against the code ---------------------------------------------------------------------------------


def cited() -> list[tuple[str, str]]:
    """Every clause that a comment or docstring cites, with where."""
    found = []
    for path in sorted([*ROOT.glob("*/**/*.py"), *ROOT.glob("proto/**/*.proto")]):
        # The grouped sum and the log have specifications of their own.
        if {"audit", "federated", "tests", ".venv", "build"} & set(path.relative_to(ROOT).parts):
            continue
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(
            r"(?<!federated/)(?<!audit/)SPEC(?:\.md, section)? (\d+(?:\.\d+)?)"
            r"((?:(?:,| to| and) \d+(?:\.\d+)?)*)",
            text,
        ):
            clauses = [match[1], *re.findall(r"\d+(?:\.\d+)?", match[2])]
            found += [(clause, str(path.relative_to(ROOT))) for clause in clauses]
    return found


def test_every_clause_that_the_code_cites_exists() -> None:
    headings = set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?) ", SPEC, flags=re.MULTILINE))
    citations = cited()
    assert {"4.1", "4.5", "5.4", "8.2"} <= {clause for clause, _ in citations}
    assert [each for each in citations if each[0] not in headings] == []


def test_sections_are_numbered_without_a_gap() -> None:
    headings = re.findall(r"^#{2,3} (\d+(?:\.\d+)?) ", SPEC, flags=re.MULTILINE)
    tops = [int(each) for each in headings if "." not in each]
    assert tops == list(range(1, len(tops) + 1))
    for top in tops:
        subs = [int(each.split(".")[1]) for each in headings if each.startswith(f"{top}.")]
        assert subs == list(range(1, len(subs) + 1))


def test_references_within_the_text_lead_somewhere() -> None:
    headings = set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?) ", SPEC, flags=re.MULTILINE))
    # Sections of other documents are written "RFC 7748, section 5"; our own are "(5.4)" or "section 5.4" alone.
    own = re.findall(r"\((\d+\.\d+)\)", SPEC)
    assert own
    assert [each for each in own if each not in headings] == []


@pytest.mark.parametrize(
    ("title", "transitions"),
    [("Receiver", machine.RECEIVER), ("Sender", machine.SENDER), ("Sender, both", machine.SENDER_OF_BOTH)],
)
def test_the_diagrams_are_the_tables(title: str, transitions: machine.Table) -> None:
    assert f"{title}\n\n```mermaid\n{machine.diagram(transitions)}\n```\n" in SPEC


def test_the_table_of_suites() -> None:
    rows = [[code(cell) for cell in row] for row in table("2 Suites")]
    assert rows == [
        [
            suite.id,
            suite.group,
            suite.hash_to_curve,
            str(suite.element_size),
            str(suite.token_size),
            ", ".join(suite.engines),
        ]
        for suite in SUITES.values()
    ]


def test_the_table_of_labels() -> None:
    labels = {value for name, value in vars(seed).items() if name.startswith("LABEL_")}
    assert {code(row[0]) for row in table("3.1 Derivations")} == labels


def test_the_table_of_streams() -> None:
    assert [(int(row[0]), code(row[1]), row[2].lower()) for row in table("4.2 Chunks")] == [
        (stream.value, stream.name, stream.sent_by.name.lower()) for stream in Stream
    ]
    assert [(role.name, role.value) for role in Role] == [("RECEIVER", 1), ("SENDER", 2)]


def test_the_table_of_limits() -> None:
    stated = {code(row[0]): int(code(row[1]).replace(",", "")) for row in table("4.6 Limits")}
    assert stated == {
        "CHUNK_ELEMENTS": terms.CHUNK_ELEMENTS,
        "MAX_TIERS": terms.MAX_TIERS,
        "MAX_LABEL_BYTES": terms.MAX_LABEL_BYTES,
        "MAX_COPIES": driving.MAX_COPIES,
        "MAX_SET": terms.MAX_SET,
        "MAX_CHUNK_BYTES": messages.MAX_CHUNK_BYTES,
        "MAX_CONTRACT_BYTES": MAX_CONTRACT_BYTES,
        "MAX_MESSAGE": transport.MAX_MESSAGE,
    }


def test_the_table_of_abort_codes() -> None:
    rows = table("8.4 Abort codes")
    assert {code(row[0]) for row in rows} == PEER_WORDS
    for row in rows:
        codes = {name for name, each in CODES.items() if each.peer == code(row[0])}
        assert set(re.findall(r"`(\w+)`", row[1])) == codes, row[0]


def test_the_table_of_deadlines() -> None:
    stated = {code(row[0]): float(row[1].split()[0]) for row in table("8.5 Deadlines")}
    assert stated == {
        "GREETING_SECONDS": session.GREETING_SECONDS,
        "IDLE_SECONDS": session.IDLE_SECONDS,
        "REASON_SECONDS": session.REASON_SECONDS,
        "GOODBYE_SECONDS": transport.GOODBYE_SECONDS,
        "KEEPALIVE_TIME_MS": transport.KEEPALIVE_TIME_MS / 1000,
        "KEEPALIVE_TIMEOUT_MS": transport.KEEPALIVE_TIMEOUT_MS / 1000,
        "PING_TIMEOUT_MS": transport.PING_TIMEOUT_MS / 1000,
    }


def test_every_statement_of_the_card_is_in_the_leakage_table() -> None:
    stated = [code(row[0]) for row in table("9.2 Statements of the card")]
    assert sorted(stated) == sorted(statements.MATCH_STATEMENTS)


def test_the_transport_notes_name_every_channel_setting() -> None:
    stated = {code(row[0]): code(row[1]).replace(",", "") for row in table("Channel settings", TRANSPORT)}
    assert stated == {name: str(value) for name, value in transport.OPTIONS}
