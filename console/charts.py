"""Drawings of ``party.report.charts`` as pages take them in, for both widths; every chart has its table beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from xml.etree.ElementTree import (
    Element,
    tostring,
)  # of trees that are built here and by the report, never parsed

from markupsafe import Markup

from party.report.charts import Bar, chart, narrowed


def drawn(bars: Sequence[Bar], *, name: str, title: str, axis: Callable[[float], str]) -> Markup | None:
    """Return the chart of ``bars`` as inline SVG, ``None`` without any; ``axis`` writes a tick.

    ``name`` is unique in the page.
    """
    return inline(chart(bars, name=name, title=title, axis=axis)) if bars else None


def inline(drawing: Element) -> Markup:
    """Return a drawing as inline SVG: as it is, and once more for a telephone; the style sheet shows one of them."""
    narrow = narrowed(drawing)
    drawing.set("class", "broad")
    narrow.set("class", "slim")
    # Every label in an element tree is escaped as it is written out.
    return Markup("".join(tostring(each, encoding="unicode") for each in (drawing, narrow)))  # noqa: S704
