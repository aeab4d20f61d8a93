"""The part of the codec that carries the messages of a grouped sum (federated/SPEC.md, section 11).

Used by ``veiljoin.codec`` alone, which checks envelopes. Lists are counted before anything is built of them: a
message has room for a million entries.
"""

from __future__ import annotations

from collections.abc import Sized
from enum import IntEnum
from typing import Final

from google.protobuf.message import Message as Protobuf
from google.protobuf.unknown_fields import UnknownFieldSet

from federated.messages import (
    MAX_PARTS,
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
)
from federated.ports import Tag, Unit
from federated.terms import MAX_CELLS, MAX_DAYS, MAX_TAGS, MAX_UNITS
from psi.errors import PeerViolation
from veiljoin.v1 import session_pb2 as pb

STREAMS: Final[dict[IntEnum, pb.Stream]] = {
    SumStream.VALUE_POINTS: pb.STREAM_VALUE_POINTS,
    SumStream.VALUE_SUMS: pb.STREAM_VALUE_SUMS,
    SumStream.GROUP_POINTS: pb.STREAM_GROUP_POINTS,
    SumStream.GROUP_TOKENS: pb.STREAM_GROUP_TOKENS,
}
# Value fields of one layout: far above what a plaintext has room for.
_MAX_FIELDS: Final = 1_024

SumOnly = ValueAnnounce | GroupAnnounce | Nonce | CellSums | Verdict | Openings | SumTable


def no_unknown_fields(*messages: Protobuf) -> None:
    """Refuse a message with a field that this version does not know: nothing travels beside the specification."""
    if any(len(UnknownFieldSet(message)) for message in messages):
        raise PeerViolation(
            "The partner sent a field that this version does not know.",
            hint="both sides need the same version of Veiljoin",
        )


def _at_most(limit: int, *lists: Sized) -> None:
    if any(len(each) > limit for each in lists):
        raise PeerViolation("The partner sent a list that is longer than the protocol allows.")


def encode_sum(message: SumOnly) -> pb.Envelope:
    """Return ``message`` as an envelope."""
    match message:
        case ValueAnnounce():
            value_announce = pb.ValueAnnounce(
                contract=message.contract,
                persons=message.persons,
                modulus=message.modulus,
                proof=message.proof,
                tags=[pb.Tag(column=tag.column, value=tag.value) for tag in message.tags],
                seed_commitment=message.seed_commitment,
                input_commitment=message.input_commitment,
            )
            return pb.Envelope(value_announce=value_announce)
        case GroupAnnounce():
            group_announce = pb.GroupAnnounce(
                contract=message.contract,
                first_day=message.first_day,
                days=message.days,
                cell_scopes=message.cell_scopes,
                unit_cells=[unit.cell for unit in message.units],
                unit_days=[unit.day for unit in message.units],
                unit_sizes=[unit.size for unit in message.units],
                seed_commitment=message.seed_commitment,
                input_commitment=message.input_commitment,
            )
            return pb.Envelope(group_announce=group_announce)
        case Nonce(session, nonce):
            return pb.Envelope(nonce=pb.Nonce(session=session, nonce=nonce))
        case CellSums(session, places, ciphertexts):
            return pb.Envelope(cell_sums=pb.CellSums(session=session, places=places, ciphertexts=ciphertexts))
        case Verdict(session, passes, joint):
            return pb.Envelope(verdict=pb.Verdict(session=session, passes=passes, joint=joint))
        case Openings():
            return pb.Envelope(openings=_encode_openings(message))
        case SumTable():
            table = pb.SumTable(
                session=message.session,
                rows=[_encode_row(row) for row in message.rows],
                joint=[pb.JointRow(row=None if row is None else _encode_row(row)) for row in message.joint],
                dominated=message.dominated,
            )
            return pb.Envelope(sum_table=table)


def _encode_openings(message: Openings) -> pb.Openings:
    openings = [
        pb.Opening(
            place=each.place,
            label=None if each.label is None else pb.Label(parts=each.label),
            cost=each.cost,
            mask=each.mask,
        )
        for each in message.openings
    ]
    scopes = [
        pb.Scope(
            joint=None if joint is None else pb.Joint(mask=joint[0], cost=joint[1]),
            name=name,
            dropped=dropped,
        )
        for joint, name, dropped in zip(message.joint, message.scope_names, message.dropped, strict=True)
    ]
    moved = [pb.Moved(days=days, persons=persons) for days, persons in message.moved]
    return pb.Openings(
        session=message.session,
        openings=openings,
        scopes=scopes,
        small=message.small,
        few=message.few,
        moved=moved,
    )


def _encode_row(row: Row) -> pb.Row:
    return pb.Row(place=row.place, counts=row.counts, region=row.region, hidden=row.hidden)


def decode_sum(body: Protobuf) -> SumOnly | None:
    """Return the message in the envelope's ``body``, or ``None`` if it is not one of a grouped sum."""
    match body:
        case pb.ValueAnnounce():
            _at_most(MAX_TAGS, body.tags)
            no_unknown_fields(*body.tags)
            return ValueAnnounce(
                contract=body.contract,
                persons=body.persons,
                modulus=body.modulus,
                proof=body.proof,
                tags=tuple(Tag(tag.column, tag.value) for tag in body.tags),
                seed_commitment=body.seed_commitment,
                input_commitment=body.input_commitment,
            )
        case pb.GroupAnnounce():
            return _decode_groups(body)
        case pb.Nonce():
            return Nonce(body.session, body.nonce)
        case pb.CellSums():
            _at_most(2 * MAX_CELLS, body.places)
            return CellSums(body.session, tuple(body.places), body.ciphertexts)
        case pb.Verdict():
            _at_most(2 * MAX_CELLS, body.passes, body.joint)
            return Verdict(body.session, tuple(body.passes), tuple(body.joint))
        case pb.Openings():
            return _decode_openings(body)
        case pb.SumTable():
            _at_most(2 * MAX_CELLS, body.rows, body.joint, body.dominated)
            no_unknown_fields(*body.joint)
            return SumTable(
                session=body.session,
                rows=tuple(_decode_row(row) for row in body.rows),
                joint=tuple(_decode_row(each.row) if each.HasField("row") else None for each in body.joint),
                dominated=tuple(body.dominated),
            )
    return None


def _decode_groups(body: pb.GroupAnnounce) -> GroupAnnounce:
    _at_most(MAX_CELLS, body.cell_scopes)
    _at_most(MAX_UNITS, body.unit_cells, body.unit_days, body.unit_sizes)
    if not len(body.unit_cells) == len(body.unit_days) == len(body.unit_sizes):
        raise PeerViolation("The partner announced units of which something is missing.")
    parts = zip(body.unit_cells, body.unit_days, body.unit_sizes, strict=True)
    return GroupAnnounce(
        contract=body.contract,
        first_day=body.first_day,
        days=body.days,
        cell_scopes=tuple(body.cell_scopes),
        units=tuple(Unit(cell, day, size) for cell, day, size in parts),
        seed_commitment=body.seed_commitment,
        input_commitment=body.input_commitment,
    )


def _decode_openings(body: pb.Openings) -> Openings:
    _at_most(2 * MAX_CELLS, body.openings)
    _at_most(MAX_CELLS, body.scopes)
    _at_most(MAX_DAYS, body.moved)
    no_unknown_fields(*body.openings, *body.scopes, *body.moved)
    openings: list[Opening] = []
    joint: list[tuple[bytes, int | None] | None] = []
    for each in body.openings:
        label = None
        if each.HasField("label"):
            no_unknown_fields(each.label)
            _at_most(MAX_PARTS, each.label.parts)
            label = tuple(each.label.parts)
        cost = each.cost if each.HasField("cost") else None
        openings.append(Opening(each.place, label, cost, each.mask))
    for scope in body.scopes:
        if not scope.HasField("joint"):
            joint.append(None)
            continue
        no_unknown_fields(scope.joint)
        joint.append((scope.joint.mask, scope.joint.cost if scope.joint.HasField("cost") else None))
    return Openings(
        session=body.session,
        openings=tuple(openings),
        joint=tuple(joint),
        scope_names=tuple(scope.name for scope in body.scopes),
        dropped=tuple(scope.dropped for scope in body.scopes),
        small=body.small,
        few=body.few,
        moved=tuple((moved.days, moved.persons) for moved in body.moved),
    )


def _decode_row(row: pb.Row) -> Row:
    no_unknown_fields(row)
    _at_most(_MAX_FIELDS, row.counts, row.hidden)
    return Row(row.place, tuple(row.counts), row.region, tuple(row.hidden))
