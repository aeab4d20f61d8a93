"""The offline verifier: from one or two bundles to a report, with nothing but the bundles.

SPEC 11. Pure: bundles are lines that somebody else read, the time is nobody's. One bundle proves less than two, and
the report says what it does not prove.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from audit import approvals, decisions, egress, integrity, story
from audit.bundle import Bundle
from audit.reading import Reading, read
from audit.report import FINGERPRINT_HEX, Check, Checking, Note, Place, Report, Section, Traffic
from audit.sentences import UNPROVEN

MOST_BUNDLES: Final = 2


def verify(
    bundles: Sequence[Bundle], policy: Mapping[str, Any] | None = None, identities: Sequence[str] = ()
) -> Report:
    """Verify one bundle, or the two of a bank and a platform in any order; whole logs or evidence packs.

    ``policy`` is a parsed policy file: contracts and budgets are held to its ``[limits]`` and ``[budget]`` too. With
    ``identities`` each log has to be of one of them: lower-case hexadecimal, a public key or the beginning of its
    SHA-256 that :func:`audit.report.fingerprint_of` shows, or more of it.
    Raises ``ValueError`` for no bundle and for more than two; whatever is wrong with a bundle is in the report.
    """
    if not 1 <= len(bundles) <= MOST_BUNDLES:
        raise ValueError("one or two bundles are verified at a time")
    readings: list[Reading] = []
    whole: list[Check] = []
    for bundle in bundles:
        reading, checks = read(bundle)
        checks += integrity.check(reading)
        if identities:
            checks.append(_identity(reading, identities))
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
    return Report(
        tuple(reading.label for reading in readings),
        sections,
        tuple(traffic),
        tuple(_unproven(readings, compared=bool(identities))),
        tuple(_scope(readings, sections)),
        tuple(reading.header.identity for reading in readings),
    )


def _identity(reading: Reading, identities: Sequence[str]) -> Check:
    """Check that the log is of one of the identities that the auditor was told."""
    check, identity = Checking("identity", reading.label), reading.header.identity
    digest = sha256(bytes.fromhex(identity)).hexdigest()
    if not any(each == identity or _is_fingerprint(each, digest) for each in identities):
        check.fail("other_identity", Place(reading.label, "line", 1))
    return check.done()


def _is_fingerprint(given: str, digest: str) -> bool:
    return len(given) >= FINGERPRINT_HEX and digest.startswith(given)


def _unproven(readings: Sequence[Reading], *, compared: bool) -> Iterator[str]:
    packs = any(reading.header.pack is not None for reading in readings)
    out = {"dropped_tail": len(readings) > 1, "rest_of_pack": not packs, "identities": compared}
    return (code for code in UNPROVEN if not out.get(code, False))


def _scope(readings: Sequence[Reading], sections: Sequence[Section]) -> Iterator[Note]:
    """Yield what a reader of the verdict alone has to know: that it is about less than two whole logs."""
    for reading in readings:
        if reading.header.pack is not None:
            yield Note("scope_pack", {"name": reading.label})
        if reading.rehearsal:
            yield Note("scope_rehearsal", {"name": reading.label})
    for section in sections:
        for check in section.checks:
            yield from (note for note in check.notes if note.code == "further_log")


# Reading order: keys before entries, entries before what stands behind them.
_ORDER: Final = (
    "keys",
    "identity",
    "entries",
    "entries_of_pack",
    "file",
    "checkpoints",
    "cosignatures",
    "witnessed",
    "evidence",
    "attached",
    "proofs",
)
