"""One attempt of a job under a standing node, and what is remembered of it when it was cut."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from party.jobprocess import JobProcess
from psi.errors import VeiljoinError


class Stage(StrEnum):
    """How far an attempt is."""

    WAITING = "waiting"  # at the bank, for the partner's stream
    WORKING = "working"
    COMPLETE = "complete"  # the own part is whole, the other side's may not be


@dataclass(slots=True)
class Run:
    """One attempt. ``partner_complete``: whether the other side's part is whole, and at the platform the job done.

    ``certificate`` is the one that its process has at the platform. ``at`` is the phase of the own part, empty before
    the first, and how many percent of it are done.
    """

    job: str
    partner: str
    attempt: int
    stage: Stage
    since: float
    partner_complete: bool = False
    process: JobProcess | None = None
    fault: VeiljoinError | None = None
    certificate: bytes | None = None
    at: tuple[str, int] = ("", 0)


class Rest(NamedTuple):
    """How many attempts in a row were cut without progress, how far they were, and until when the job rests."""

    cuts: int
    reached: int
    until: float
