"""The policy in force and what its budgets have left, in the API."""

from __future__ import annotations

import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from console.access import Right, Visitor, allowed
from console.policy import budget_lines, policy_facts
from party.logged import fraction
from party.policydigest import effective_policy

router = APIRouter(tags=["policy"])
Sees = Annotated[Visitor, Depends(allowed(Right.SEE))]


class PolicyLimits(BaseModel):
    """Thresholds and sizes of every job; shares and epsilon are fractions such as `1/2`, null for no such limit."""

    min_group: int
    min_converters: int
    dominance: int
    max_set: int
    max_growth: str | None
    epsilon: str | None


class PolicyBudget(BaseModel):
    """What a partner may ask of a dataset within `hours`; `epsilon` is a fraction."""

    hours: int
    runs: int
    epsilon: str


class PolicyDifferencing(BaseModel):
    """What an input needs that hardly differs from an earlier one: `noise` or `refuse`."""

    action: str
    min_difference: int | None


class PolicyLifetime(BaseModel):
    """Days after which results are removed."""

    result_days: int


class PolicyAudit(BaseModel):
    """The auditor's public key, and whether a result that nobody witnessed stays `closed` or is shown (`open`)."""

    key: str | None
    unwitnessed: str


class PolicyRule(BaseModel):
    """A standing rule; empty `partners` or `purposes` stand for any."""

    name: str
    kinds: list[str]
    datasets: list[str]
    partners: list[str]
    purposes: list[str]
    max_set: int


class PolicySections(BaseModel):
    """All that a policy sets, defaults included."""

    limits: PolicyLimits
    budget: PolicyBudget
    differencing: PolicyDifferencing
    lifetime: PolicyLifetime
    audit: PolicyAudit
    standing: list[PolicyRule]


class PolicyView(BaseModel):
    """The policy in force. `problem` is what is wrong with its file now, while the last good one holds."""

    file: str
    written: bool
    digest: str
    problem: str | None
    policy: PolicySections


class BudgetView(BaseModel):
    """What one partner may still ask of one own dataset; epsilons are fractions.

    `frees` is when the oldest run that counts no longer does.
    """

    dataset: str
    partner: str
    runs: int
    runs_left: int
    epsilon: str
    epsilon_left: str
    frees: datetime.datetime | None
    registered: bool


class Budgets(BaseModel):
    """A page of budgets by dataset and partner."""

    items: list[BudgetView]
    next: str | None


@router.get("/policy", operation_id="get_policy")
def get_policy(visitor: Sees) -> PolicyView:
    """Show the policy in force; it is changed in its file, at the node."""
    facts = policy_facts(visitor.place)
    return PolicyView(
        file=str(facts.file),
        written=facts.written,
        digest=facts.digest,
        problem=None if facts.problem is None else str(facts.problem),
        policy=PolicySections.model_validate(effective_policy(facts.policy)),
    )


@router.get("/policy/budgets", operation_id="list_budgets")
def list_budgets(
    visitor: Sees,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(max_length=120, description="`next` of the page before")] = None,
) -> Budgets:
    """List what is left of the budgets, by dataset and partner."""
    # Neither name has a slash.
    start = ("", "") if after is None else (after.partition("/")[0], after.partition("/")[2])
    rest = [line for line in budget_lines(visitor.place) if (line.dataset, line.partner) > start]
    items = [
        BudgetView(
            dataset=line.dataset,
            partner=line.partner,
            runs=line.runs,
            runs_left=line.runs_left,
            epsilon=fraction(line.epsilon),
            epsilon_left=fraction(line.epsilon_left),
            frees=line.frees,
            registered=line.known,
        )
        for line in rest[:limit]
    ]
    more = f"{items[-1].dataset}/{items[-1].partner}" if len(rest) > limit else None
    return Budgets(items=items, next=more)
