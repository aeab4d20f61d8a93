"""The two roles of a grouped sum as transition tables: (state, what arrived) -> next state (SPEC 15).

A pair that is not in the table is a violation. ``python -m federated.machine`` prints the diagrams of SPEC.md.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from federated.messages import (
    CellSums,
    GroupAnnounce,
    Nonce,
    Openings,
    SumMessage,
    SumStream,
    SumTable,
    ValueAnnounce,
    Verdict,
)
from federated.terms import SumRole
from psi.machine import ANNOUNCE, FINISH, Event, State, Table, chunk_of, diagram, end_of, reading
from psi.messages import Chunk, Finish, StreamEnd

NONCE: Final[Event] = "nonce"
SUMS: Final[Event] = "cell sums"
VERDICT: Final[Event] = "verdict"
OPENINGS: Final[Event] = "openings"
TABLE: Final[Event] = "table"


class SumState(Enum):
    """What a role waits for next, between announcement and finish."""

    NONCE = "nonce"
    POINTS = "points"
    VALUES = "values"
    TOKENS = "tokens"
    SUMS = "sums"
    VERDICT = "verdict"
    OPENINGS = "openings"
    TABLE = "table"


def event_of(message: SumMessage) -> Event:
    """Name the arrival of ``message``."""
    match message:
        case ValueAnnounce() | GroupAnnounce():
            return ANNOUNCE
        case Nonce():
            return NONCE
        case Chunk(stream=stream):
            return chunk_of(stream)
        case StreamEnd(stream=stream):
            return end_of(stream)
        case CellSums():
            return SUMS
        case Verdict():
            return VERDICT
        case Openings():
            return OPENINGS
        case SumTable():
            return TABLE
        case Finish():
            return FINISH


def value_holder(reads: bool) -> Table:
    """Return the table of a value holder that reads the table, or does not."""
    return {
        (State.ANNOUNCEMENT, ANNOUNCE): SumState.NONCE,
        (SumState.NONCE, NONCE): SumState.POINTS,
        **reading(SumState.POINTS, SumStream.GROUP_POINTS, SumState.SUMS),
        (SumState.SUMS, SUMS): SumState.OPENINGS if reads else State.FINISH,
        **({(SumState.OPENINGS, OPENINGS): State.FINISH} if reads else {}),
        (State.FINISH, FINISH): State.DONE,
    }


def group_holder(reads: bool) -> Table:
    """Return the table of a group holder that reads the table, or does not."""
    return {
        (State.ANNOUNCEMENT, ANNOUNCE): SumState.NONCE,
        (SumState.NONCE, NONCE): SumState.POINTS,
        **reading(SumState.POINTS, SumStream.VALUE_POINTS, SumState.VALUES),
        **reading(SumState.VALUES, SumStream.VALUE_SUMS, SumState.TOKENS),
        **reading(SumState.TOKENS, SumStream.GROUP_TOKENS, SumState.VERDICT),
        (SumState.VERDICT, VERDICT): SumState.TABLE if reads else State.FINISH,
        **({(SumState.TABLE, TABLE): State.FINISH} if reads else {}),
        (State.FINISH, FINISH): State.DONE,
    }


def table_for(role: SumRole, reads: bool) -> Table:
    """Return the table of ``role``."""
    return value_holder(reads) if role is SumRole.VALUE_HOLDER else group_holder(reads)


if __name__ == "__main__":
    for title, table in (
        ("Value holder that reads", value_holder(True)),
        ("Value holder that does not read", value_holder(False)),
        ("Group holder that reads", group_holder(True)),
        ("Group holder that does not read", group_holder(False)),
    ):
        print(f"{title}\n\n```mermaid\n{diagram(table)}\n```\n")  # noqa: T201
