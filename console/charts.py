"""Bars of ``party.report.charts`` as pages take them in; every chart has its table beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from xml.etree.ElementTree import tostring  # of a tree that was built here

from markupsafe import Markup

from party.report.charts import Bar, chart


def drawn(bars: Sequence[Bar], *, name: str, title: str, axis: Callable[[float], str]) -> Markup | None:
    """Return the chart of ``bars`` as inline SVG, ``None`` without any; ``axis`` writes a tick.

    ``name`` is unique in the page. The element tree has escaped what it holds.
    """
    if not bars:
        return None
    return Markup(tostring(chart(bars, name=name, title=title, axis=axis), encoding="unicode"))  # noqa: S704
