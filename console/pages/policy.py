"""The page of the policy and of what its budgets have left."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from markupsafe import Markup

from console.access import Right, Visitor, allowed
from console.charts import drawn
from console.jobwords import kind_name
from console.policy import BudgetLine, budget_lines, policy_facts
from console.render import page
from console.words import Words
from party.report.charts import Bar
from psi.terms import MAX_SET

router = APIRouter()
# Those with the least left.
MOST_BARS: Final = 20
# Lines of the table, of which there is one for every dataset and partner; the API has all.
MOST_LINES: Final = 100


@router.get("/policy")
def show(request: Request, visitor: Annotated[Visitor, Depends(allowed(Right.SEE))]) -> Response:
    """Show the policy in force and the budgets."""
    facts, lines, words = policy_facts(visitor.place), budget_lines(visitor.place), visitor.words
    return page(
        request,
        visitor,
        "policy/policy.html",
        facts=facts,
        policy=facts.policy,
        lines=sorted(lines, key=lambda line: line.runs_left)[:MOST_LINES],
        more=max(0, len(lines) - MOST_LINES),
        period=words.span(facts.policy.budget.period.total_seconds()),
        runs_chart=_runs(lines, words),
        epsilon_chart=_epsilons(lines, words),
        most_bars=MOST_BARS,
        any_set=MAX_SET,
        kind_name=kind_name,
    )


def _runs(lines: tuple[BudgetLine, ...], words: Words) -> Markup | None:
    least = sorted(lines, key=lambda line: line.runs_left)[:MOST_BARS]
    bars = [
        Bar(
            f"{line.dataset} · {line.partner}",
            words.say("{n} of {m}", n=words.number(line.runs_left), m=words.number(line.run_limit)),
            float(line.runs_left),
            accent=True,
        )
        for line in least
    ]
    title = words.say("Runs left in the period")
    return drawn(bars, name="runs", title=title, axis=lambda tick: words.number(round(tick, 1)))


def _epsilons(lines: tuple[BudgetLine, ...], words: Words) -> Markup | None:
    spent = [line for line in lines if line.epsilon]
    least = sorted(spent, key=lambda line: line.epsilon_left)[:MOST_BARS]
    bars = [
        Bar(
            f"{line.dataset} · {line.partner}",
            words.say(
                "{n} of {m}",
                n=words.number(float(line.epsilon_left)),
                m=words.number(float(line.epsilon_limit)),
            ),
            float(line.epsilon_left),
            accent=True,
        )
        for line in least
    ]
    title = words.say("Epsilon left in the period")
    return drawn(bars, name="epsilon", title=title, axis=lambda tick: words.number(round(tick, 2)))
