"""The offline verifier: from one or two bundles to a report, with nothing but the bundles.

SPEC 11. Pure: bundles are lines that somebody else read, the time is nobody's. One bundle proves less than two, and
the report says what it does not prove.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from audit import approvals, decisions, egress, integrity, story
from audit.bundle import Bundle
from audit.reading import Reading, read
from audit.report import Check, Report, Section, Traffic

MOST_BUNDLES: Final = 2


def verify(bundles: Sequence[Bundle], policy: Mapping[str, Any] | None = None) -> Report:
    """Verify one bundle, or the two of a bank and a platform in any order; whole logs or evidence packs.

    ``policy`` is a parsed policy file: contracts and budgets are held to its ``[limits]`` and ``[budget]`` too.
    Raises ``ValueError`` for no bundle and for more than two; whatever is wrong with a bundle is in the report.
    """
    if not 1 <= len(bundles) <= MOST_BUNDLES:
        raise ValueError("one or two bundles are verified at a time")
    readings: list[Reading] = []
    whole: list[Check] = []
    for bundle in bundles:
        reading, checks = read(bundle)
        checks += integrity.check(reading)
        readings.append(reading)
        whole += sorted(checks, key=lambda check: _ORDER.index(check.id))
    traffic: list[Traffic] = []
    left: list[Check] = []
    for reading in readings:
        checks, told = egress.check(reading)
        left += checks
        traffic += told
    sections = (
        Section("integrity", tuple(whole)),
        Section("story", tuple(story.check(readings))),
        Section("approvals", tuple(each for one in readings for each in approvals.check(one, policy))),
        Section("policy", tuple(each for one in readings for each in decisions.check(one, policy))),
        Section("egress", tuple(left)),
    )
    return Report(tuple(bundle.label for bundle in bundles), sections, tuple(traffic))


# Reading order: keys before entries, entries before what stands behind them.
_ORDER: Final = (
    "keys",
    "entries",
    "file",
    "checkpoints",
    "cosignatures",
    "witnessed",
    "evidence",
    "attached",
    "proofs",
)
