"""A disclosure card as a page shows it: its settings, then what each side learns, as headed lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from party.disclosure import Card

_POINT: Final = "  - "


@dataclass(frozen=True, slots=True)
class CardText:
    """``settings`` in one line, ``sections`` as (heading, sentences), in one language."""

    settings: str
    sections: tuple[tuple[str, tuple[str, ...]], ...]


def card_text(card: Card, language: str) -> CardText:
    """Return ``card`` in ``language`` (en | zh)."""
    first, *rest = card.lines(language)
    sections: list[tuple[str, list[str]]] = []
    for line in rest:
        if line.startswith(_POINT):
            sections[-1][1].append(line.removeprefix(_POINT))
        else:
            sections.append((line.rstrip(":"), []))
    # Its title is the page's heading.
    settings = first.partition(": ")[2]
    return CardText(settings, tuple((heading, tuple(said)) for heading, said in sections))
