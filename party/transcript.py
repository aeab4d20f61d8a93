"""What a run's log says of its messages: for each stream and single message how much went which way, with its digest.

Both parties make the same records of the same run. The session's own digest stays between the two: it salts the
digests of short messages, and what the log names the session by is a hash of it (audit/SPEC 8).
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from federated.holder import Holder
from federated.messages import CellSums, Openings, Said, SumStream, SumTable
from federated.terms import SumRole
from party.contract import Contract
from party.jobspec import other_side
from psi.messages import Chunk, Stream
from psi.participant import Participant
from psi.role import ProtocolRole
from psi.streams import Ended, Session
from psi.terms import Role

_SESSION: Final = b"veiljoin/v1/audit/session\x00"
_SINGLE: Final = b"veiljoin/v1/audit/single\x00"
_SESSION_HEX: Final = 32

# What a message releases, in the words of the log; of a stream its first chunk does.
POINTS: Final = "points"
TOKENS: Final = "tokens"
SUMS: Final = "sums"
OPENINGS: Final = "openings"
TABLE: Final = "table"
RESULT: Final = "result"
_STREAMS: Final = {
    Stream.RECEIVER_POINTS: POINTS,
    Stream.SENDER_POINTS: POINTS,
    SumStream.VALUE_POINTS: POINTS,
    SumStream.GROUP_POINTS: POINTS,
    Stream.RECEIVER_TOKENS: TOKENS,
    Stream.SENDER_TOKENS: TOKENS,
    SumStream.GROUP_TOKENS: TOKENS,
}
_SUM_STREAMS: Final = frozenset(int(stream) for stream in SumStream)
_BY_VALUE_HOLDER: Final = frozenset(
    {Said.VALUE_ANNOUNCE, Said.NONCE_OF_VALUE_HOLDER, Said.VERDICT, Said.TABLE}
)


def release_of(message: Any) -> str | None:
    """Return what ``message`` of ours would release to the partner; ``None`` for one that releases nothing."""
    match message:
        case Chunk():
            return _STREAMS.get(message.stream)
        case CellSums():
            return SUMS
        case Openings():
            return OPENINGS
        case SumTable():
            return TABLE
    return None


def session_name(session: Session) -> str:
    """Return what the log names ``session`` by, 32 hex digits."""
    return hashlib.sha256(_SESSION + session.digest).hexdigest()[:_SESSION_HEX]


def records(role: ProtocolRole[Any], contract: Contract, side: str) -> list[dict[str, Any]]:
    """Return what was said so far in the session of ``role``, which ``side`` plays, both directions, by number.

    Each record is a ``shared`` object of the log (audit/SPEC 8). Empty before both sides have announced themselves.
    """
    if not role.announced_by_peer:
        return []
    session = role.session
    name = session_name(session)
    # It holds two commitments of 32 random bytes, so that its digest tells nothing of the rest.
    made = [
        (number, label, by, Ended(1, len(body), _single(session, number, body)))
        for number, label, by, body in _announcements(role, contract, side)
    ]
    for number, ended in session.said().items():
        if isinstance(role, Participant):
            stream = Stream(number)
            made.append((number, stream.name, _match_side(contract, stream.sent_by), ended))
        elif number in _SUM_STREAMS:
            flow = SumStream(number)
            made.append((number, flow.name, _sum_side(contract, flow.sent_by), ended))
        else:
            said = Said(number)
            salted = Ended(1, ended.size, _single(session, number, ended.digest))
            made.append((number, said.name, _said_by(contract, said), salted))
    return [
        {
            "job": contract.job,
            "session": name,
            "name": label.lower(),
            "from": by,
            "to": other_side(by),
            "count": ended.count,
            "bytes": ended.size,
            "sha256": ended.digest.hex(),
        }
        for _, label, by, ended in sorted(made, key=lambda each: each[:2])
    ]


def _announcements(
    role: ProtocolRole[Any], contract: Contract, side: str
) -> list[tuple[int, str, str, bytes]]:
    """Return number, name, side and bytes of both announcements."""
    if isinstance(role, Participant):
        pairs = ((role.role, role.announced, side), (role.role.other, role.peer, other_side(side)))
        return [
            (0, "receiver_announce" if each is Role.RECEIVER else "sender_announce", by, announce.encode())
            for each, announce, by in pairs
        ]
    if not isinstance(role, Holder):
        raise TypeError("a role is of one of the two protocols")
    return [
        (
            Said.VALUE_ANNOUNCE,
            "value_announce",
            _sum_side(contract, SumRole.VALUE_HOLDER),
            role.values.encode(),
        ),
        (
            Said.GROUP_ANNOUNCE,
            "group_announce",
            _sum_side(contract, SumRole.GROUP_HOLDER),
            role.groups.encode(),
        ),
    ]


def _match_side(contract: Contract, role: Role) -> str:
    return "bank" if contract.role("bank") is role else "platform"


def _sum_side(contract: Contract, role: SumRole) -> str:
    return "bank" if contract.sum_role("bank") is role else "platform"


def _said_by(contract: Contract, said: Said) -> str:
    return _sum_side(contract, SumRole.VALUE_HOLDER if said in _BY_VALUE_HOLDER else SumRole.GROUP_HOLDER)


def _single(session: Session, number: int, body: bytes) -> bytes:
    """Return the digest of a single message: under the session's digest, so that nobody else can try short ones."""
    return hashlib.sha256(_SINGLE + session.digest + bytes([number]) + body).digest()
