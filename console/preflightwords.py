"""What pages say of a job's preflight: whether it ran, what is wrong and at which side (docs/preflight.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from console.jobs import OPEN
from console.words import Words
from party.jobrecords import JobRecord
from party.nodefile import BANK
from party.preflights import Preflight, PreflightState

MARKS: Final[Mapping[PreflightState, str]] = {
    PreflightState.NOT_RUN: "not tried yet",
    PreflightState.PASSED: "preflight passed",
    PreflightState.FAILED: "preflight failed",
    PreflightState.WITHOUT: "without a preflight",
}
STANDING: Final[Mapping[PreflightState, str]] = {
    PreflightState.NOT_RUN: "It has not run yet.",
    PreflightState.PASSED: "It passed at {at}.",
    PreflightState.FAILED: "It failed at {at} ({code}).",
    PreflightState.WITHOUT: "{actor} went on without it, at {at}.",
}
HELD: Final = "It has not run yet; the job is proposed once it has passed."
# Neither side's data was wrong by itself, but the test identifiers of both did not meet.
MISMATCH: Final = "Each side's data looks right by itself, but the test identifiers of both did not match."
# What is wrong at the partner's side; of the own side there is a sentence in the store.
AT_PARTNER: Final[Mapping[str, str]] = {
    "dataset": "At {partner} the dataset is not there, or its columns are not those of the job any more.",
    "column": "At {partner} the dataset is registered by another column than the job names.",
    "content": "At {partner} the column does not look like the form that it is registered as.",
    "unreadable": "At {partner} the file of the dataset cannot be read.",
    "form": "At {partner} the dataset is in a form that cannot be brought to the job's.",
    "unknown": "{partner} gave a reason that this version does not know.",
}


def said(found: Preflight, record: JobRecord, role: str, words: Words) -> tuple[str, ...]:
    """Return the sentences about a preflight, the first of them how it stands."""
    if found.state is PreflightState.NOT_RUN and role == BANK and record.state in OPEN:
        return (words.say(HELD),)
    first = words.say(STANDING[found.state], at=words.moment(found.at), actor=found.actor, code=found.code)
    if found.state is not PreflightState.FAILED:
        return (first,)
    if found.detail:
        hint = f"{words.say('What to do:')} {words.error(found.hint)}" if found.hint else ""
        return tuple(text for text in (first, words.error(found.detail), hint) if text)
    if found.own is None:
        return first, words.say(MISMATCH)
    there = AT_PARTNER.get(found.code, AT_PARTNER["unknown"])
    return first, words.say(there, partner=record.partner)
