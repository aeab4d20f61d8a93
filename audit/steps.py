"""Entries as the checks of a whole log keep them: few bytes each, since a log has a million.

Of an entry's facts the values are kept, in the order of the event table; digests and signatures as bytes, repeated
texts once. Types that no check looks at are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from audit.events import EVENTS

# The order of a stream's values. Its job is that of the entry.
_SHARED: Final = ("session", "name", "from", "to", "count", "bytes", "sha256")
_OF_JOBS: Final = (
    "dataset_used",
    "job_draft",
    "job_edit",
    "job_approve",
    "job_void",
    "job_propose",
    "job_accept",
    "job_refuse",
    "job_start",
    "job_retry",
    "job_fail",
    "job_cancel",
    "job_expire",
    "job_finish",
    "stream",
    "decision",
    "budget_spent",
    "result_released",
    "result_closed",
)
_OTHERS: Final = ("policy_set", "schedule_step", "cosign_refused", "cosign_resumed", "fork_seen")
KEPT: Final = frozenset((*_OF_JOBS, *_OTHERS))
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    name: _SHARED if EVENTS[name].shared else tuple(EVENTS[name].facts) for name in KEPT
}
_INDEX: Final[Mapping[str, Mapping[str, int]]] = {
    name: {key: place for place, key in enumerate(keys)} for name, keys in _KEYS.items()
}
_BINARY: Final = ("hex64", "hex128")
# Which values are kept as bytes.
_HEX: Final[Mapping[str, tuple[bool, ...]]] = {
    name: tuple(key == "sha256" for key in keys)
    if EVENTS[name].shared
    else tuple(EVENTS[name].facts[key].rstrip("?") in _BINARY for key in keys)
    for name, keys in _KEYS.items()
}


class Step:
    """One entry: ``step["digest"]`` is a fact, of a stream a key of its shared object; hexadecimal ones are bytes."""

    __slots__ = ("_values", "actor", "sequence", "time", "type")

    def __init__(self, sequence: int, time: int, type: str, actor: str, values: tuple[Any, ...]) -> None:
        self.sequence = sequence
        self.time = time
        self.type = type
        self.actor = actor
        self._values = values

    def __getitem__(self, key: str) -> Any:
        return self._values[_INDEX[self.type][key]]


class Texts:
    """Makes steps of parsed entries that passed their checks, and keeps each repeated text once."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def step(self, entry: Mapping[str, Any]) -> Step:
        """Return the step of an entry whose type is one of :data:`KEPT`."""
        known, kind = self._known, entry["type"]
        facts = entry["shared"] or entry["facts"]
        values = tuple(
            [
                (bytes.fromhex(value) if binary else known.setdefault(value, value))
                if value.__class__ is str
                else value
                for value, binary in zip([facts[key] for key in _KEYS[kind]], _HEX[kind], strict=True)
            ]
        )
        actor = entry["actor"]
        return Step(
            entry["sequence"],
            entry["time"],
            known.setdefault(kind, kind),
            known.setdefault(actor, actor),
            values,
        )
