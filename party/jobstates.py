"""The states of a joint job and the steps between them: (state, step) -> next state.

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
