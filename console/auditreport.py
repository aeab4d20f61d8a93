"""A report of the verifier on its way from the process that made it; its JSON for auditors leaves parts out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from audit.report import Check, Note, Place, Problem, Report, Section, State, Traffic


def packed(report: Report) -> bytes:
    """Return ``report`` as bytes for :func:`unpacked`."""
    return json.dumps(asdict(report), ensure_ascii=False, separators=(",", ":")).encode()


def unpacked(data: bytes) -> Report:
    """Return the report that was :func:`packed`. Raises ``ValueError``, ``KeyError`` or ``TypeError`` for others."""
    told = json.loads(data)
    return Report(
        bundles=tuple(told["bundles"]),
        sections=tuple(Section(each["id"], tuple(map(_check, each["checks"]))) for each in told["sections"]),
        traffic=tuple(map(_traffic, told["traffic"])),
        unproven=tuple(told["unproven"]),
        scope=tuple(Note(**each) for each in told["scope"]),
        identities=tuple(told["identities"]),
    )


def _check(told: Mapping[str, Any]) -> Check:
    problems = tuple(
        Problem(each["code"], Place(**each["place"]), each["params"]) for each in told["problems"]
    )
    notes = tuple(Note(**each) for each in told["notes"])
    return Check(**{**told, "state": State(told["state"]), "problems": problems, "notes": notes})


def _traffic(told: Mapping[str, Any]) -> Traffic:
    messages = {name: (count, size) for name, (count, size) in told["messages"].items()}
    return Traffic(**{**told, "messages": messages})
