"""Jobs for tests of their life: contracts, actors and a clock."""

from __future__ import annotations

import datetime
import json
from typing import Any

import rfc8785

from party.contract import Contract, DatasetFacts, draft, parse_contract
from party.jobrecords import person
from tests.party.jobs import job, table

SOURCE = 'kind = "audience"  # and so on'
ANN, BEN, CUI = person("ann"), person("ben"), person("cui")
SIGNATURE = b"s" * 64
DAY = datetime.timedelta(days=1)
MINUTE = datetime.timedelta(minutes=1)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = datetime.datetime(2026, 11, 22, 12, 30, tzinfo=datetime.UTC)

    def __call__(self) -> datetime.datetime:
        return self.now


def contract(
    clock: Clock, identifier: str | None = None, lifetime: datetime.timedelta = DAY, **changes: Any
) -> Contract:
    """Return a contract of the plain job with ``changes``, under the job id ``identifier``."""
    drafted = draft(
        job(**changes),
        {"bank": DatasetFacts("cards", "a" * 64), "platform": DatasetFacts("users", "b" * 64)},
        {"bank": b"\1" * 32, "platform": b"\2" * 32},
        now=clock(),
        lifetime=lifetime,
    )
    if identifier is None:
        return drafted
    return parse_contract(rfc8785.dumps(json.loads(drafted.canonical) | {"job": identifier}))


__all__ = ["ANN", "BEN", "CUI", "DAY", "MINUTE", "SIGNATURE", "SOURCE", "Clock", "contract", "table"]
