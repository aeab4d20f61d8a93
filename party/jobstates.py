"""The states of a joint job, the steps between them, and who may take them: (state, step) -> next state.

A pair that is not in the table is refused. Both parties walk the same table, each in its own store: the bank from
``draft`` on, the platform from ``proposed`` on, where a proposal arrives. ``python -m party.jobstates`` prints it as
a diagram.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class JobState(StrEnum):
    """Where a joint job is."""

    DRAFT = "draft"
    APPROVED = "approved"
    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def ended(self) -> bool:
        """Whether nothing can be done with the job any more, but that a result expires."""
        return self in _ENDED


class Step(StrEnum):
    """What is done to a joint job."""

    DRAFT = "draft"  # the bank writes it
    RECEIVE = "receive"  # the platform is asked
    EDIT = "edit"  # approvals are void
    APPROVE = "approve"  # a second person of the bank
    PROPOSE = "propose"  # the partner is asked
    ACCEPT = "accept"  # the platform agrees: a person, or a standing rule
    REFUSE = "refuse"
    START = "start"  # a node process takes the lease and runs it
    RETRY = "retry"  # the attempt was cut; the next one takes a new seed
    FINISH = "finish"
    FAIL = "fail"
    CANCEL = "cancel"
    EXPIRE = "expire"  # the contract, or after the end the result


_ENDED: Final = frozenset(
    (JobState.DONE, JobState.FAILED, JobState.REFUSED, JobState.CANCELLED, JobState.EXPIRED)
)

# How a job comes into being.
BEGINNINGS: Final[Mapping[Step, JobState]] = {
    Step.DRAFT: JobState.DRAFT,
    Step.RECEIVE: JobState.PROPOSED,
}

TRANSITIONS: Final[Mapping[tuple[JobState, Step], JobState]] = {
    (JobState.DRAFT, Step.EDIT): JobState.DRAFT,
    (JobState.DRAFT, Step.APPROVE): JobState.APPROVED,
    (JobState.DRAFT, Step.REFUSE): JobState.REFUSED,
    (JobState.DRAFT, Step.CANCEL): JobState.CANCELLED,
    (JobState.DRAFT, Step.EXPIRE): JobState.EXPIRED,
    (JobState.APPROVED, Step.EDIT): JobState.DRAFT,
    (JobState.APPROVED, Step.REFUSE): JobState.REFUSED,
    (JobState.APPROVED, Step.PROPOSE): JobState.PROPOSED,
    (JobState.APPROVED, Step.CANCEL): JobState.CANCELLED,
    (JobState.APPROVED, Step.EXPIRE): JobState.EXPIRED,
    # From here on the partner has the contract: there is nothing to edit, only to take back.
    (JobState.PROPOSED, Step.ACCEPT): JobState.ACCEPTED,
    (JobState.PROPOSED, Step.REFUSE): JobState.REFUSED,
    (JobState.PROPOSED, Step.CANCEL): JobState.CANCELLED,
    (JobState.PROPOSED, Step.EXPIRE): JobState.EXPIRED,
    (JobState.ACCEPTED, Step.START): JobState.RUNNING,
    (JobState.ACCEPTED, Step.FAIL): JobState.FAILED,
    (JobState.ACCEPTED, Step.CANCEL): JobState.CANCELLED,
    (JobState.ACCEPTED, Step.EXPIRE): JobState.EXPIRED,
    (JobState.RUNNING, Step.RETRY): JobState.ACCEPTED,
    (JobState.RUNNING, Step.FINISH): JobState.DONE,
    (JobState.RUNNING, Step.FAIL): JobState.FAILED,
    (JobState.RUNNING, Step.CANCEL): JobState.CANCELLED,
    # A job that ended without a result has nothing that could expire.
    (JobState.DONE, Step.EXPIRE): JobState.EXPIRED,
}


class ActorKind(StrEnum):
    """What may take a step."""

    PERSON = "person"
    NODE = "node"  # a process of this node; its name is the instance's
    PARTNER = "partner"
    RULE = "rule"  # a standing rule of the policy
    SCHEDULE = "schedule"  # a recurring job that two persons of the bank agreed to; see party.schedules


_PEOPLE: Final = frozenset({ActorKind.PERSON})
_NODE: Final = frozenset({ActorKind.NODE})
_PARTNER: Final = frozenset({ActorKind.PARTNER})
_BOTH_SIDES: Final[Mapping[Step, frozenset[ActorKind]]] = {
    **dict.fromkeys((Step.START, Step.RETRY, Step.FINISH, Step.FAIL, Step.EXPIRE), _NODE),
    Step.CANCEL: _PEOPLE | _PARTNER,
}
_BY_SIDE: Final[Mapping[tuple[str, Step], frozenset[ActorKind]]] = {
    ("bank", Step.DRAFT): _PEOPLE | {ActorKind.SCHEDULE},
    ("bank", Step.EDIT): _PEOPLE,
    ("bank", Step.APPROVE): _PEOPLE | {ActorKind.SCHEDULE},
    ("bank", Step.PROPOSE): _PEOPLE | _NODE,
    ("bank", Step.ACCEPT): _PARTNER,
    ("platform", Step.RECEIVE): _PARTNER,
    ("platform", Step.ACCEPT): _PEOPLE | {ActorKind.RULE},
    ("platform", Step.REFUSE): _PEOPLE | {ActorKind.RULE},
}


def actors_for(side: str, step: Step, state: JobState | None = None) -> frozenset[ActorKind]:
    """Return who may take ``step`` on ``side`` (bank | platform) at ``state``; nobody, where it isn't that side's."""
    if side == "bank" and step is Step.REFUSE:
        # Before the proposal it is a person's of the bank to say no, after it only the partner's. What was approved
        # and fails its preflight ends by the node.
        if state is JobState.PROPOSED:
            return _PARTNER
        return _PEOPLE | _NODE if state is JobState.APPROVED else _PEOPLE
    return _BOTH_SIDES.get(step) or _BY_SIDE.get((side, step), frozenset())


def states_for(step: Step) -> tuple[JobState, ...]:
    """Return the states in which ``step`` is possible."""
    return tuple(state for state, each in TRANSITIONS if each is step)


def diagram() -> str:
    """Return the table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {state}: {step}" for step, state in BEGINNINGS.items()]
    lines += [f"    {old} --> {new}: {step}" for (old, step), new in TRANSITIONS.items()]
    ends = (state for state in JobState if state not in {old for old, _ in TRANSITIONS})
    return "\n".join([*lines, *(f"    {state} --> [*]" for state in ends)])


if __name__ == "__main__":
    print(diagram())  # noqa: T201
