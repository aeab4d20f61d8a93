"""The first page."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from console.access import Right, Visitor, allowed
from console.campaignfigures import Campaign, Known, Outcomes
from console.charts import drawn
from console.overview import CONCERNS, overview_of
from console.pages.jobs import WORDS
from console.render import page
from console.words import Words
from party.report.charts import Bar

router = APIRouter()


@router.get("/")
def overview(request: Request, visitor: Annotated[Visitor, Depends(allowed(Right.SEE))]) -> Response:
    """Show how things stand."""
    found = overview_of(visitor, outcomes_of(request))
    latest = found.campaigns.campaigns if found.campaigns is not None else ()
    return page(
        request,
        visitor,
        "overview/index.html",
        found=found,
        concerns=CONCERNS,
        latest=latest,
        charts=_charts(latest, visitor.words),
        **WORDS,
    )


def outcomes_of(request: Request) -> Outcomes:
    """Return the application's results that were read, made with the first look."""
    found: Outcomes | None = getattr(request.app.state, "outcomes", None)
    if found is None:
        found = request.app.state.outcomes = Outcomes()
    return found


def _charts(latest: tuple[Campaign, ...], words: Words) -> list[tuple[str, Any]]:
    persons, returns = [], []
    for each in latest:
        label, outcome = each.record.purpose, each.outcome
        if outcome.converters.known is Known.TOLD and outcome.converters.value is not None:
            value = outcome.converters.value
            persons.append(Bar(label, words.number(value), float(value), accent=True))
        kind = words.say("added by the campaign" if outcome.added else "attributed")
        for column, figure in outcome.returned.items():
            if figure.value is not None:
                # What a lift added and what was merely attributed stand side by side, and look it.
                text = f"{words.money(figure.value)} · {kind}"
                name = label if len(outcome.returned) == 1 else f"{label} · {column}"
                returns.append(
                    Bar(name, text, float(figure.value), figure.low, figure.high, accent=outcome.added)
                )
    drawings = (
        ("converters", words.say("Converters per campaign"), persons, words.number),
        (
            "returns",
            words.say("Return for each unit of spend"),
            returns,
            lambda at: words.number(round(at, 2)),
        ),
    )
    return [
        (title, drawn(bars, name=name, title=title, axis=axis))
        for name, title, bars, axis in drawings
        if bars
    ]
