"""Job tables of the grouped sums for tests: a whole one per kind, and the same with changes."""

from __future__ import annotations

import copy
from typing import Any

from party.jobfile import Job, parse_job
from tests.party.jobs import SOURCE

_TOP: dict[str, Any] = {"purpose": "reactivate dormant card holders", "identifier": "phone"}
WHOLE: dict[str, dict[str, Any]] = {
    "measure": {
        "bank": {
            "identifier": "mobile",
            "time": "converted_at",
            "values": {"amount": {"max": 50000}, "points": {"min": -3, "max": 10, "scale": 1}},
        },
        "platform": {
            "identifier": "phone",
            "groups": ["campaign", "creative"],
            "time": "exposed_at",
            "cost": "cost",
        },
        "window": {"days": 7},
    },
    "lift": {
        "bank": {"identifier": "mobile", "time": "converted_at", "values": {"amount": {"max": 50000}}},
        "platform": {"identifier": "phone", "groups": ["creative"], "time": "assigned_at", "cost": "cost"},
        "window": {"days": 14, "exposure": "last", "timezone": "Europe/Berlin"},
        "arms": {"column": "arm", "control": "control", "control_share": 0.2},
    },
    "funnel": {
        "bank": {"identifier": "mobile", "time": "at", "stages": ["bound", "activated"]},
        "platform": {
            "identifier": "phone",
            "time": "at",
            "stages": ["exposed", "clicked"],
            "groups": ["creative"],
        },
        "window": {"days": 30, "retention_days": 20},
    },
    "profile": {
        "value_holder": "platform",
        "bank": {"identifier": "mobile", "groups": ["segment"]},
        "platform": {"identifier": "phone", "tags": ["age", "interest"]},
    },
}


def sum_table(kind: str, /, **changes: Any) -> dict[str, Any]:
    """Return the whole table of ``kind`` with ``changes``: a__b reaches into a section, ``None`` takes out."""
    changed = copy.deepcopy({"kind": kind, **_TOP, **WHOLE[kind]})
    for name, value in changes.items():
        *sections, key = name.split("__")
        target = changed
        for section in sections:
            target = target.setdefault(section, {})
        if value is None:
            target.pop(key, None)
        else:
            target[key] = value
    return changed


def sum_job(kind: str, /, **changes: Any) -> Job:
    """Return the whole job of ``kind`` with ``changes``."""
    return parse_job(sum_table(kind, **changes), SOURCE)
