"""What a verification found: sections of checks with their outcomes, counts and first bad places.

SPEC 11. A report is data; the words are in ``audit.sentences``. It says what was checked as well as what was found,
and which checks the given bundles did not allow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

from audit.sentences import (
    CHECKS,
    LANGUAGES,
    NOTES,
    PLACES,
    PROBLEMS,
    REASONS,
    SECTIONS,
    STATES,
    UNPROVEN,
    VERDICTS,
)

# Problems and notes of one check that are listed; how many more there are is told.
MOST_LISTED: Final = 20
# Jobs whose traffic is printed; as data the report has all of them.
MOST_JOBS: Final = 20
# Hexadecimal digits of an identity's fingerprint.
FINGERPRINT_HEX: Final = 32

Param = str | int


class State(StrEnum):
    """The outcome of a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a bundle: ``what`` is entry, checkpoint, line, job or file.

    ``number`` is an entry's sequence, a checkpoint's size or a line from 1; ``job`` a job's id, where there is one.
    """

    bundle: str
    what: str
    number: int | None = None
    job: str | None = None

    def text(self, language: str = "en") -> str:
        """Return the place in words."""
        number = "" if self.number is None else f"{self.number:,}"
        shown = PLACES[self.what][LANGUAGES.index(language)].format(number=number, job=self.job or "")
        return f"{self.bundle}, {shown}"

    def as_data(self) -> dict[str, Any]:
        """Return the place as plain data."""
        return {"bundle": self.bundle, "what": self.what, "number": self.number, "job": self.job}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: a ``code`` of ``sentences.PROBLEMS``, where, and what its sentence names."""

    code: str
    place: Place
    params: Mapping[str, Param]

    def text(self, language: str = "en") -> str:
        """Return place and sentence."""
        return f"{self.place.text(language)}: {_filled(PROBLEMS[self.code], self.params, language)}"

    def as_data(self) -> dict[str, Any]:
        """Return the problem as plain data, with its English sentence."""
        place = self.place.as_data()
        return {"code": self.code, "place": place, "params": dict(self.params), "text": self.text()}


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a reader should know and that is no failure: a ``code`` of ``sentences.NOTES``."""

    code: str
    params: Mapping[str, Param]

    def text(self, language: str = "en") -> str:
        """Return the sentence."""
        return _filled(NOTES[self.code], self.params, language)


@dataclass(frozen=True, slots=True)
class Check:
    """One check over one bundle, or over both (``bundle`` empty). ``reason`` says why it was not made."""

    id: str
    bundle: str
    state: State
    counts: Mapping[str, int]
    problems: tuple[Problem, ...] = ()
    more: int = 0
    notes: tuple[Note, ...] = ()
    reason: str = ""

    def text(self, language: str = "en") -> str:
        """Return in one sentence what was checked, or why it was not."""
        if self.state is State.NOT_CHECKED:
            return REASONS[self.reason][LANGUAGES.index(language)]
        return _filled(CHECKS[self.id], self.counts, language)

    def as_data(self) -> dict[str, Any]:
        """Return the check as plain data."""
        return {
            "id": self.id,
            "bundle": self.bundle,
            "state": self.state.value,
            "text": self.text(),
            "counts": dict(self.counts),
            "problems": [each.as_data() for each in self.problems],
            "more_problems": self.more,
            "notes": [
                {"code": each.code, "params": dict(each.params), "text": each.text()} for each in self.notes
            ],
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Section:
    """Checks on one question of an auditor; ``id`` is a key of ``sentences.SECTIONS``."""

    id: str
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What left one side in one job, as the log of ``bundle`` has it: message name to (count, bytes)."""

    bundle: str
    job: str
    kind: str
    side: str
    messages: Mapping[str, tuple[int, int]]

    @property
    def bytes(self) -> int:
        """Bytes that left the side."""
        return sum(size for _, size in self.messages.values())

    def as_data(self) -> dict[str, Any]:
        """Return the traffic as plain data."""
        messages = {
            name: {"count": count, "bytes": size} for name, (count, size) in sorted(self.messages.items())
        }
        return {
            "bundle": self.bundle,
            "job": self.job,
            "kind": self.kind,
            "side": self.side,
            "bytes": self.bytes,
            "messages": messages,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome over one or two bundles; ``passed`` if no check failed.

    ``unproven`` are keys of ``sentences.UNPROVEN``; ``scope`` says with the verdict what it is about; ``identities``
    are the parties' public keys (hexadecimal), one per bundle.
    """

    bundles: tuple[str, ...]
    sections: tuple[Section, ...]
    traffic: tuple[Traffic, ...]
    unproven: tuple[str, ...] = ()
    scope: tuple[Note, ...] = ()
    identities: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return self.first is None

    @property
    def first(self) -> Problem | None:
        """The first problem in reading order: by section, then bundle, then the line it is found at."""
        return next((check.problems[0] for check in self._checks() if check.problems), None)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        first = self.first
        return {
            "veiljoin_audit_report": 1,
            "verdict": "passed" if self.passed else "failed",
            "first_problem": None if first is None else first.as_data(),
            "scope": [{"code": each.code, "text": each.text()} for each in self.scope],
            "bundles": list(self.bundles),
            "identities": [
                {"bundle": bundle, "identity": identity, "fingerprint": fingerprint_of(identity)}
                for bundle, identity in zip(self.bundles, self.identities, strict=True)
            ],
            "sections": [
                {"id": section.id, "checks": [check.as_data() for check in section.checks]}
                for section in self.sections
            ],
            "traffic": [each.as_data() for each in self.traffic],
            "unproven": list(self.unproven),
        }

    def lines(self, language: str = "en") -> Iterator[str]:
        """Yield the report as text in ``language`` (en or zh): sections, checks, what went out, the verdict."""
        column = LANGUAGES.index(language)
        for section in self.sections:
            yield SECTIONS[section.id][column]
            for check in section.checks:
                name = f"{check.bundle}: " if check.bundle else ""
                yield f"  {STATES[check.state.value][column]}  {name}{check.text(language)}"
                for problem in check.problems:
                    yield f"      {problem.text(language)}"
                if check.more:
                    yield f"      {_filled(NOTES['more'], {'count': check.more}, language)}"
                for note in check.notes:
                    yield f"      {note.text(language)}"
            if section.id == "egress":
                yield from (f"      {line}" for line in self._traffic(language))
        yield SECTIONS["unproven"][column]
        yield from (f"  -  {UNPROVEN[code][column]}" for code in self.unproven)
        first = self.first
        if first is None:
            verdict = VERDICTS["passed"][column]
        else:
            verdict = VERDICTS["failed"][column].format(first=first.text(language))
        yield " ".join((verdict, *(each.text(language) for each in self.scope)))

    def _checks(self) -> Iterator[Check]:
        for section in self.sections:
            yield from section.checks

    def _traffic(self, language: str) -> Iterator[str]:
        for each in self.traffic[:MOST_JOBS]:
            named = ", ".join(f"{name} {count:,}" for name, (count, _) in sorted(each.messages.items()))
            params: dict[str, Param] = {
                "job": each.job[:8],
                "kind": each.kind,
                "side": _filled(NOTES[f"side_{each.side}"], {}, language),
                "bytes": each.bytes,
                "messages": named,
            }
            yield _filled(NOTES["traffic"], params, language)
        if len(self.traffic) > MOST_JOBS:
            yield _filled(NOTES["more"], {"count": len(self.traffic) - MOST_JOBS}, language)


def fingerprint_of(identity: str) -> str:
    """Return what people compare of an identity's public key (hexadecimal): half of its SHA-256, in groups."""
    digest = sha256(bytes.fromhex(identity)).hexdigest()[:FINGERPRINT_HEX]
    return " ".join(digest[at : at + 4] for at in range(0, FINGERPRINT_HEX, 4))


@dataclass(slots=True)
class Checking:
    """A check that is being made. ``fail`` keeps problems in the order of their places."""

    id: str
    bundle: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    _problems: list[Problem] = field(default_factory=list)
    _notes: list[Note] = field(default_factory=list)
    _reason: str = ""

    @property
    def failed(self) -> bool:
        """Whether a problem was found."""
        return bool(self._problems)

    def fail(self, code: str, place: Place, **params: Param) -> None:
        """Add a problem."""
        self._problems.append(Problem(code, place, params))

    def note(self, code: str, **params: Param) -> None:
        """Add something that a reader should know."""
        self._notes.append(Note(code, params))

    def skip(self, reason: str) -> Checking:
        """Say why the check is not made: a key of ``sentences.REASONS``."""
        self._reason = reason
        return self

    def done(self) -> Check:
        """Return the check."""
        order = sorted(self._problems, key=lambda each: (each.place.bundle, each.place.number or 0))
        state = State.FAILED if order else State.NOT_CHECKED if self._reason else State.PASSED
        notes = tuple(self._notes[:MOST_LISTED])
        if len(self._notes) > MOST_LISTED:
            notes += (Note("more", {"count": len(self._notes) - MOST_LISTED}),)
        more = max(0, len(order) - MOST_LISTED)
        return Check(
            self.id,
            self.bundle,
            state,
            dict(self.counts),
            tuple(order[:MOST_LISTED]),
            more,
            notes,
            self._reason,
        )


class _Zero(dict[str, Param]):
    """Params of a sentence; a count that nothing was counted under is 0."""

    def __missing__(self, key: str) -> Param:
        return 0


def _filled(sentence: Sequence[str], params: Mapping[str, Param], language: str) -> str:
    shown = _Zero({key: f"{value:,}" if type(value) is int else value for key, value in params.items()})
    return sentence[LANGUAGES.index(language)].format_map(shown)
