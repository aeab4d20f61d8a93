"""Job tables for tests: a plain one, and the same with changes."""

from __future__ import annotations

import copy
from typing import Any

from party.jobfile import Job, parse_job

SOURCE = "jobs/spring.toml"
PLAIN: dict[str, Any] = {
    "kind": "audience",
    "purpose": "reactivate dormant card holders",
    "identifier": "phone",
    "receiver": "platform",
    "bank": {"identifier": "mobile"},
    "platform": {"identifier": "phone"},
}


def table(**changes: Any) -> dict[str, Any]:
    """Return the plain table with ``changes``: a key with ``None`` goes, a dotted one reaches into a section."""
    changed = copy.deepcopy(PLAIN)
    for name, value in changes.items():
        section, _, key = name.rpartition("__")
        target = changed.setdefault(section, {}) if section else changed
        if value is None:
            target.pop(key, None)
        else:
            target[key] = value
    return changed


def job(**changes: Any) -> Job:
    """Return the plain job with ``changes``."""
    return parse_job(table(**changes), SOURCE)
