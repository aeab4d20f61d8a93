"""What waits for a person: jobs with their cards, and a line for everything else."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from console.access import Right, Visitor, allowed
from console.cardtext import card_text
from console.jobs import card_of, waiting_for
from console.pages.jobs import WORDS
from console.render import page
from console.waiting import lines

router = APIRouter()
# Each is shown with its card, which is long.
_MOST_JOBS: Final = 20


@router.get("/approvals")
def approvals(request: Request, visitor: Annotated[Visitor, Depends(allowed(Right.SEE))]) -> Response:
    """Show what waits for a person."""
    found = waiting_for(visitor, limit=_MOST_JOBS)
    items = []
    for row in found.rows:
        card = card_of(row.record)
        text = None if card is None else card_text(card, visitor.words.language)
        items.append({"row": row, "card": text})
    more = found.following is not None
    return page(
        request,
        visitor,
        "approvals/approvals.html",
        items=items,
        more=more,
        lines=lines(visitor),
        **WORDS,
    )
