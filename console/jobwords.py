"""How jobs are spoken of: states, kinds, steps, actors, reasons. English here, other languages in catalogues."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from console.words import Words
from party.agreement import REPEATS
from party.jobspec import JobKind
from party.jobstates import ActorKind, JobState, Step
from psi.errors import CODES

STATES: Final[Mapping[JobState, str]] = {
    JobState.DRAFT: "Draft",
    JobState.APPROVED: "Approved by the bank",
    JobState.PROPOSED: "Proposed",
    JobState.ACCEPTED: "Accepted",
    JobState.RUNNING: "Running",
    JobState.DONE: "Done",
    JobState.FAILED: "Failed",
    JobState.REFUSED: "Refused",
    JobState.CANCELLED: "Cancelled",
    JobState.EXPIRED: "Expired",
}
KINDS: Final[Mapping[JobKind, str]] = {
    JobKind.OVERLAP: "Overlap",
    JobKind.AUDIENCE: "Audience",
    JobKind.PROFILE: "Profile",
    JobKind.MEASURE: "Measurement",
    JobKind.LIFT: "Lift",
    JobKind.FUNNEL: "Funnel",
}
STEPS: Final[Mapping[Step, str]] = {
    Step.DRAFT: "drafted",
    Step.RECEIVE: "proposed to this side",
    Step.EDIT: "edited",
    Step.APPROVE: "approved",
    Step.PROPOSE: "proposed to the partner",
    Step.ACCEPT: "accepted",
    Step.REFUSE: "refused",
    Step.START: "started",
    Step.RETRY: "cut, to go on",
    Step.FINISH: "finished",
    Step.FAIL: "failed",
    Step.CANCEL: "cancelled",
    Step.EXPIRE: "expired",
}


class Waits(StrEnum):
    """What a job waits for, if anything; the words of the API."""

    SECOND_PERSON = "second_person"
    PREFLIGHT = "preflight"
    PARTNER_ON_LINE = "partner_on_line"
    PARTNER_ANSWER = "partner_answer"
    OWN_ANSWER = "own_answer"
    START = "start"
    NEXT_ATTEMPT = "next_attempt"
    END = "end"
    NOTHING = "nothing"


WAITS: Final[Mapping[Waits, str]] = {
    Waits.SECOND_PERSON: "waits for a second person to approve it",
    Waits.PREFLIGHT: "held until its preflight has passed",
    Waits.PARTNER_ON_LINE: "proposed once {partner} is on the line",
    Waits.PARTNER_ANSWER: "waits for the answer of {partner}",
    Waits.OWN_ANSWER: "waits for an approver of this side",
    Waits.START: "begins once both nodes are on the line",
    Waits.NEXT_ATTEMPT: "was cut, and goes on by itself",
    Waits.END: "is running",
    Waits.NOTHING: "",
}
# Words that a person may refuse by; the partner is told the word.
REFUSALS: Final[Mapping[str, str]] = {
    "person": "No reason given",
    "kind": "Not this kind of job",
    "purpose": "Not for this purpose",
    "dataset": "Not with this dataset",
    "columns": "Not with these columns",
    "limit": "Its limits are not ours",
}
# Why a job was refused, cut, cancelled or failed, beside the codes of errors.
REASONS: Final[Mapping[str, str]] = {
    **{name: code.meaning for name, code in CODES.items()},
    "person": "a person refused it",
    "kind": "this kind of job is not wanted",
    "purpose": "this purpose is not wanted",
    "dataset": "the dataset is not there, or not for this",
    "columns": "the columns are not there, or not for this",
    "limit": "its limits do not suit the other side",
    "policy": "a policy stands against it",
    "contract": "the contract cannot be accepted",
    "canary": "the preflight failed",
    "version": "the versions of both nodes do not fit",
    "cancelled": "a person took it back",
    "expired": "its time ran out",
    "node_stopped": "the node was stopped",
    "node_died": "the node died",
    "lease_lapsed": "its process did not answer any more",
    "process_died": "its process died",
    "peer_cut": "it was cut at the partner's side",
    "result_lost": "the own part of the result was lost",
    "restored": "the store was put back from a backup",
    "not_noted": "the store could not be written",
    "unknown": "the partner gave a reason that this version does not know",
}
ROLES: Final[Mapping[str, str]] = {
    "approver": "second person",
    "partner": "partner",
    "standing_rule": "standing rule",
    "schedule": "schedule",
}
_ACTORS: Final[Mapping[str, str]] = {
    ActorKind.NODE: "this node",
    ActorKind.RULE: "standing rule {name}",
    ActorKind.SCHEDULE: "schedule {name}",
}
_SHORT: Final = 8
# A job that repeats another: the note of its first step.
REPEATED: Final = "repeats job {job}"


def short(job: str) -> str:
    """Return the beginning of a job's id, which tells it apart."""
    return job[:_SHORT]


def state_name(state: JobState, words: Words) -> str:
    """Return how people call ``state``."""
    return words.say(STATES[state])


def kind_name(kind: str, words: Words) -> str:
    """Return how people call the kind of a job; one of a newer version as it is."""
    return words.say(KINDS[JobKind(kind)]) if kind in KINDS else kind


def reason(code: str | None, words: Words) -> str:
    """Return why a job came to nothing; the note of a repeated one names that; a word without words as it is."""
    if not code:
        return ""
    if code.startswith(REPEATS):
        return words.say(REPEATED, job=short(code.removeprefix(REPEATS)))
    return words.say(REASONS[code]) if code in REASONS else code


def actor_name(actor: str, words: Words) -> str:
    """Return who took a step: a person by name, anybody else by what it is."""
    kind, _, name = actor.partition(":")
    if kind == ActorKind.PARTNER and name:
        return name
    if not name or kind not in _ACTORS:
        return actor
    return words.say(_ACTORS[kind], name=short(name) if kind == ActorKind.SCHEDULE else name)
