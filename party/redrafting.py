"""A job's text beside the one before it: what an edit changes, and over which datasets a job was drafted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from party.jobrecords import JobRecord


def changes(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield each setting of a job file that differs: its name, the old and the new value, ``None`` where not set."""
    old, new = dict(_flat(before)), dict(_flat(after))
    for name in (*old, *(each for each in new if each not in old)):
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)


def datasets_of(record: JobRecord) -> tuple[str, str | None]:
    """Return the bank's dataset of a bank's job and the partner's, as far as it has a contract."""
    if record.contract is None:
        return record.dataset, None
    # Not parsed as one: it may be of a version that this program doesn't speak any more.
    return record.dataset, str(json.loads(record.contract)["parties"]["platform"]["dataset"])


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in sorted(table.items()):
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, _value(value)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)
