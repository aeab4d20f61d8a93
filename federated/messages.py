"""The messages of a grouped sum: frozen, and valid once built (SPEC 11).

Chunks, stream ends and finishes are those of ``psi.messages``, over streams of their own numbers. A message that
exists has passed every check that needs no context; what depends on the contract, the session or the state is
checked by the roles.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise
from typing import Final

from federated.keys import KEY_BITS
from federated.ports import Tag, Unit
from federated.terms import MAX_CELLS, MAX_DAYS, MAX_TAGS, MAX_UNITS, MAX_VALUE_BYTES, SumRole
from psi.errors import PeerViolation
from psi.messages import DIGEST, FORMULA_STARTS, SESSION, Chunk, Finish, StreamEnd
from psi.messages import fingerprint as psi_fingerprint
from psi.terms import MAX_SET

SUM: Final = "sum"
NONCE: Final = 32
# Group columns of one label.
MAX_PARTS: Final = 8
# Numbers of sums: cells, the rests of their scopes, and the joint sums of these.
MAX_PLACES: Final = 3 * MAX_CELLS
# Value fields of one layout: far above what a plaintext has room for.
MAX_FIELDS: Final = 1_024
# Days since 1970-01-01 that can be an exposure day: 1900 to 2200.
FIRST_DAY: Final = -25_567
LAST_DAY: Final = 84_006


class SumStream(IntEnum):
    """The four streams; their numbers follow those of ``psi.messages.Stream``."""

    VALUE_POINTS = 5
    VALUE_SUMS = 6
    GROUP_POINTS = 7
    GROUP_TOKENS = 8

    @property
    def sent_by(self) -> SumRole:
        """The role that sends this stream."""
        return SumRole.GROUP_HOLDER if self is SumStream.GROUP_POINTS else SumRole.VALUE_HOLDER


class Said(IntEnum):
    """Numbers of the single messages, in fingerprints and in the transcript."""

    VALUE_ANNOUNCE = 16
    GROUP_ANNOUNCE = 17
    NONCE_OF_VALUE_HOLDER = 18
    NONCE_OF_GROUP_HOLDER = 19
    CELL_SUMS = 20
    VERDICT = 21
    OPENINGS = 22
    TABLE = 23


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise PeerViolation(f"The partner sent {what}.", hint="both sides need the same version of Veiljoin")


def text_fault(text: str) -> str:
    """Return what keeps ``text`` from being part of a cell's label or a tag, or an empty string (SPEC 11.1)."""
    if len(text.encode()) > MAX_VALUE_BYTES:
        return f"has more than {MAX_VALUE_BYTES} bytes"
    if text and not text.isprintable():
        return "has control characters"
    if text.startswith(FORMULA_STARTS):
        # It is shown in tables that people open in a spreadsheet.
        return f"begins with one of {' '.join(FORMULA_STARTS)}, which a spreadsheet takes for a formula"
    return ""


def _check_text(text: str) -> None:
    fault = text_fault(text)
    _require(fault == "", f"a text that {fault}")


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


@dataclass(frozen=True, slots=True)
class ValueAnnounce:
    """First message of the value holder: its size, its key with the proof, its tags (SPEC 11.1)."""

    contract: bytes
    persons: int
    modulus: bytes
    proof: bytes
    tags: tuple[Tag, ...]
    seed_commitment: bytes
    input_commitment: bytes

    def __post_init__(self) -> None:
        _require(len(self.contract) == DIGEST, "a contract hash of a wrong length")
        _require(len(self.seed_commitment) == DIGEST, "a seed commitment of a wrong length")
        _require(len(self.input_commitment) == DIGEST, "an input commitment of a wrong length")
        _require(0 < self.persons <= MAX_SET, "an impossible number of persons")
        _require(0 < len(self.modulus) <= 1024, "a modulus of an impossible length")
        _require(0 < len(self.proof) <= 8 * 1024, "a proof of an impossible length")
        _require(len(self.tags) <= MAX_TAGS, "too many tags")
        for tag in self.tags:
            _check_text(tag.column)
            _check_text(tag.value)
            _require(tag.value != "", "a tag without a value")
        _require(len(set(self.tags)) == len(self.tags), "the same tag twice")

    def encode(self) -> bytes:
        """Return the bytes that enter the session identifier."""
        tags = b"".join(_text(tag.column) + _text(tag.value) for tag in self.tags)
        return b"".join(
            (
                self.contract,
                struct.pack(
                    ">BQHHH",
                    SumRole.VALUE_HOLDER,
                    self.persons,
                    len(self.modulus),
                    len(self.proof),
                    len(self.tags),
                ),
                self.modulus,
                self.proof,
                tags,
                self.seed_commitment,
                self.input_commitment,
            )
        )


@dataclass(frozen=True, slots=True)
class GroupAnnounce:
    """First message of the group holder: its units and the days that they can have (SPEC 11.1).

    ``cell_scopes`` has, per cell, the number of the total that it belongs to. Units are in order of cell and day,
    every cell has at least one.
    """

    contract: bytes
    first_day: int
    days: int
    cell_scopes: tuple[int, ...]
    units: tuple[Unit, ...]
    seed_commitment: bytes
    input_commitment: bytes

    def __post_init__(self) -> None:
        _require(len(self.contract) == DIGEST, "a contract hash of a wrong length")
        _require(len(self.seed_commitment) == DIGEST, "a seed commitment of a wrong length")
        _require(len(self.input_commitment) == DIGEST, "an input commitment of a wrong length")
        _require(FIRST_DAY <= self.first_day <= LAST_DAY, "an impossible first exposure day")
        _require(1 <= self.days <= MAX_DAYS, "an impossible number of exposure days")
        _require(1 <= len(self.cell_scopes) <= MAX_CELLS, "an impossible number of cells")
        _require(1 <= len(self.units) <= MAX_UNITS, "an impossible number of units")
        scopes = sorted(set(self.cell_scopes))
        _require(scopes == list(range(len(scopes))), "totals without cells")
        places = [(unit.cell, unit.day) for unit in self.units]
        _require(all(one < two for one, two in pairwise(places)), "units out of order")
        _require({cell for cell, _ in places} == set(range(len(self.cell_scopes))), "a cell without units")
        _require(all(0 <= unit.day < self.days for unit in self.units), "a unit of another day")
        _require(all(0 < unit.size <= MAX_SET for unit in self.units), "a unit of an impossible size")
        _require(self.persons <= MAX_SET, "an impossible number of persons")

    @property
    def persons(self) -> int:
        """Persons of all units."""
        return sum(unit.size for unit in self.units)

    @property
    def scopes(self) -> int:
        """Number of totals."""
        return max(self.cell_scopes) + 1

    def cell_persons(self) -> list[int]:
        """Return the persons of each cell."""
        sizes = [0] * len(self.cell_scopes)
        for unit in self.units:
            sizes[unit.cell] += unit.size
        return sizes

    def encode(self) -> bytes:
        """Return the bytes that enter the session identifier."""
        cells, units = len(self.cell_scopes), len(self.units)
        parts = [
            self.contract,
            struct.pack(">BiHII", SumRole.GROUP_HOLDER, self.first_day, self.days, cells, units),
            struct.pack(f">{cells}I", *self.cell_scopes),
        ]
        parts += [struct.pack(">IHQ", unit.cell, unit.day, unit.size) for unit in self.units]
        return b"".join((*parts, self.seed_commitment, self.input_commitment))


@dataclass(frozen=True, slots=True)
class Nonce:
    """The sender's share of the other side's noise, revealed once both seeds are committed to (SPEC 13)."""

    session: bytes
    nonce: bytes

    def __post_init__(self) -> None:
        _require(len(self.session) == SESSION, "a session identifier of a wrong length")
        _require(len(self.nonce) == NONCE, "a nonce of a wrong length")


@dataclass(frozen=True, slots=True)
class CellSums:
    """One ciphertext per entry of ``places``: a cell's number, or cells + scope for a scope's rest (SPEC 12.3)."""

    session: bytes
    places: tuple[int, ...]
    ciphertexts: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _require(len(self.session) == SESSION, "a session identifier of a wrong length")
        _require(len(self.places) <= 2 * MAX_CELLS, "too many sums")
        _require(_ascending(self.places), "sums out of order")
        _require(all(place < MAX_PLACES for place in self.places), "an impossible sum")
        longest = len(self.places) * KEY_BITS[-1] // 4
        _require(len(self.ciphertexts) <= longest, "ciphertexts of an impossible length")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Per sum, whether its counts pass; per scope, whether what is hidden may be totalled (SPEC 12.4)."""

    session: bytes
    passes: tuple[bool, ...]
    joint: tuple[bool, ...]

    def __post_init__(self) -> None:
        _require(len(self.session) == SESSION, "a session identifier of a wrong length")
        _require(len(self.passes) <= 2 * MAX_CELLS, "too many verdicts")
        _require(1 <= len(self.joint) <= MAX_CELLS, "an impossible number of totals")


@dataclass(frozen=True, slots=True)
class Opening:
    """What the value holder needs to read one passing sum: the mask of its values, its label and its cost.

    ``place`` as in :class:`CellSums`. ``label`` is ``None`` for a remainder and for a scope's rest.
    """

    place: int
    label: tuple[str, ...] | None
    cost: int | None
    mask: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Openings:
    """The group holder's masks of what passes, joint masks of what is totalled only, and its own facts (SPEC 12.5).

    ``joint`` has per scope the sum of the hidden sums' masks and their cost, or ``None``. ``dropped`` counts per
    scope the cells that were not sent and that no total covers. ``small`` and ``few`` count the cells that are
    withheld for too few persons and for too few converters. ``moved`` has (days, persons): how far the window of
    how many persons moved.
    """

    session: bytes
    openings: tuple[Opening, ...]
    joint: tuple[tuple[bytes, int | None] | None, ...]
    scope_names: tuple[str, ...]
    dropped: tuple[int, ...]
    small: int
    few: int
    moved: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        _require(len(self.session) == SESSION, "a session identifier of a wrong length")
        _require(len(self.openings) <= 2 * MAX_CELLS, "too many openings")
        _require(_ascending([each.place for each in self.openings]), "openings out of order")
        for opening in self.openings:
            _require(opening.place < MAX_PLACES, "an impossible sum")
            _require(len(opening.mask) <= 1024, "a mask of an impossible length")
            _check_cost(opening.cost)
            if opening.label is not None:
                _require(len(opening.label) <= MAX_PARTS, "a label of too many parts")
                for part in opening.label:
                    _check_text(part)
        for scope in self.joint:
            if scope is not None:
                _require(len(scope[0]) <= 1024, "a mask of an impossible length")
                _check_cost(scope[1])
        for name in self.scope_names:
            _check_text(name)
        _require(len(self.joint) == len(self.scope_names) == len(self.dropped), "totals of different numbers")
        _require(1 <= len(self.joint) <= MAX_CELLS, "an impossible number of totals")
        _require(all(0 <= n < 1 << 32 for n in (*self.dropped, self.small, self.few)), "an impossible count")
        _require(_ascending([days for days, _ in self.moved]), "moved days out of order")
        _require(all(0 < days < MAX_DAYS for days, _ in self.moved), "an impossible number of days")
        _require(all(0 < persons <= MAX_SET for _, persons in self.moved), "an impossible number of persons")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: a passing sum as the group holder reads it (SPEC 12.6).

    ``place`` as in :class:`CellSums`, for the joint sum of a scope's hidden cells places + scope. ``region`` is
    the packed values, still masked where the value holder does not read. ``hidden`` has the numbers of the value
    fields that policy withheld.
    """

    place: int
    counts: tuple[int, ...] = field(repr=False)
    region: bytes = field(repr=False)
    hidden: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SumTable:
    """The table for a group holder that reads; ``dominated`` are places withheld by the dominance rule."""

    session: bytes
    rows: tuple[Row, ...]
    joint: tuple[Row | None, ...]
    dominated: tuple[int, ...]

    def __post_init__(self) -> None:
        _require(len(self.session) == SESSION, "a session identifier of a wrong length")
        _require(len(self.rows) <= 2 * MAX_CELLS, "too many rows")
        _require(_ascending([row.place for row in self.rows]), "rows out of order")
        _require(_ascending(self.dominated), "rows out of order")
        _require(all(place < MAX_PLACES for place in self.dominated), "an impossible sum")
        _require(1 <= len(self.joint) <= MAX_CELLS, "an impossible number of totals")
        for row in (*self.rows, *(row for row in self.joint if row is not None)):
            _require(0 <= row.place < MAX_PLACES, "an impossible sum")
            _require(len(row.region) <= 1024, "values of an impossible length")
            _require(len(row.counts) <= 8, "too many counts")
            _require(all(abs(count) < 1 << 62 for count in row.counts), "an impossible count")
            _require(_ascending(row.hidden), "hidden fields out of order")
            _require(all(number < MAX_FIELDS for number in row.hidden), "an impossible field")


def _ascending(numbers: Sequence[int]) -> bool:
    return all(one < two for one, two in pairwise(numbers)) and all(n >= 0 for n in numbers[:1])


def _check_cost(cost: int | None) -> None:
    _require(cost is None or abs(cost) < 1 << 62, "an impossible cost")


SumMessage = (
    ValueAnnounce
    | GroupAnnounce
    | Nonce
    | Chunk
    | StreamEnd
    | CellSums
    | Verdict
    | Openings
    | SumTable
    | Finish
)


def encode_body(message: CellSums | Verdict | Openings | SumTable) -> bytes:
    """Return the one encoding of a single message that fingerprints and transcript are made of (SPEC 11.4)."""
    match message:
        case CellSums():
            count = len(message.places)
            return struct.pack(f">I{count}I", count, *message.places) + message.ciphertexts
        case Verdict():
            flags = bytes([*message.passes, *message.joint])
            return struct.pack(">II", len(message.passes), len(message.joint)) + flags
        case Openings():
            parts = [struct.pack(">II", len(message.openings), len(message.joint))]
            for opening in message.openings:
                label = b"\x00" if opening.label is None else bytes([1 + len(opening.label)])
                label += b"".join(map(_text, opening.label or ()))
                parts.append(
                    struct.pack(">I", opening.place) + label + _cost(opening.cost) + _bytes(opening.mask)
                )
            for scope, name, dropped in zip(message.joint, message.scope_names, message.dropped, strict=True):
                told = b"\x00" if scope is None else b"\x01" + _cost(scope[1]) + _bytes(scope[0])
                parts.append(told + _text(name) + struct.pack(">I", dropped))
            parts.append(struct.pack(">IIH", message.small, message.few, len(message.moved)))
            parts += [struct.pack(">HQ", days, persons) for days, persons in message.moved]
            return b"".join(parts)
        case SumTable():
            parts = [struct.pack(">III", len(message.rows), len(message.joint), len(message.dominated))]
            parts += [_row(row) for row in message.rows]
            parts += [b"\x00" if row is None else b"\x01" + _row(row) for row in message.joint]
            parts += [struct.pack(">I", place) for place in message.dominated]
            return b"".join(parts)


def _row(row: Row) -> bytes:
    counts = struct.pack(f">IB{len(row.counts)}q", row.place, len(row.counts), *row.counts)
    hidden = struct.pack(f">H{len(row.hidden)}H", len(row.hidden), *row.hidden)
    return counts + hidden + _bytes(row.region)


def _cost(cost: int | None) -> bytes:
    return b"\x00" if cost is None else b"\x01" + struct.pack(">q", cost)


def _bytes(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def said(message: CellSums | Verdict | Openings | SumTable) -> Said:
    """Return the number of a single message."""
    match message:
        case CellSums():
            return Said.CELL_SUMS
        case Verdict():
            return Said.VERDICT
        case Openings():
            return Said.OPENINGS
        case SumTable():
            return Said.TABLE


def body_digest(message: CellSums | Verdict | Openings | SumTable) -> bytes:
    """Return SHA-256 of a single message, which enters the transcript (SPEC 11.4)."""
    return hashlib.sha256(encode_body(message)).digest()


def fingerprint(message: SumMessage) -> bytes:
    """Return a digest by which an exact copy of ``message`` is known (psi/SPEC 4.4)."""
    match message:
        case Chunk() | StreamEnd() | Finish():
            return psi_fingerprint(message)
        case ValueAnnounce():
            body = bytes([Said.VALUE_ANNOUNCE]) + message.encode()
        case GroupAnnounce():
            body = bytes([Said.GROUP_ANNOUNCE]) + message.encode()
        case Nonce(session, nonce):
            body = bytes([Said.NONCE_OF_VALUE_HOLDER]) + session + nonce
        case _:
            body = bytes([said(message)]) + message.session + encode_body(message)
    return hashlib.sha256(body).digest()
