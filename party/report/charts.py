"""Horizontal charts with intervals as inline SVG: an element tree, so that every label is escaped by construction.

No chart library: of those on PyPI that write SVG, pygal puts a script into every chart and lets an interval run out
of its plot, matplotlib adds nearly 100 MB and can't measure Chinese text without a font of its own, and svg.py does
not escape text. One kind of chart is all that a report needs.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, SubElement  # built here, never parsed

_WIDTH: Final = 940.0
_ROW: Final = 34.0
_BAR: Final = 18.0
_TOP: Final = 8.0
_AXIS: Final = 28.0
_GAP: Final = 12.0
_FONT: Final = 13.0
# Longest label or figure, in widths of a Chinese character; the rest is in its tooltip.
_LONGEST: Final = 18.0
_TICKS: Final = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a chart. ``text`` is the figure as words; an interval with one bound missing is open there."""

    label: str
    text: str
    value: float
    low: float | None = None
    high: float | None = None
    accent: bool = False


def chart(
    bars: Sequence[Bar],
    *,
    name: str,
    title: str,
    axis: Callable[[float], str],
    dots: bool = False,
) -> Element:
    """Return the chart of ``bars``; ``name`` is unique in the page, ``axis`` writes a tick.

    ``dots`` draws values as dots rather than bars from zero: for changes, where zero is the line to look at.
    """
    labels = [_cut(bar.label) for bar in bars]
    left = 1.5 * _GAP + _FONT * max(_widths(label) for label in labels)
    right = _GAP + _FONT * max(_widths(bar.text) for bar in bars)
    height = _TOP + _ROW * len(bars) + _AXIS
    root = Element(
        "svg",
        {
            "viewBox": f"0 0 {_WIDTH:g} {height:g}",
            "role": "img",
            "aria-labelledby": f"{name}-title {name}-text",
        },
    )
    _text(root, "title", title, id=f"{name}-title")
    _text(root, "desc", "; ".join(f"{bar.label}: {bar.text}" for bar in bars), id=f"{name}-text")
    ticks = _ticks(bars)
    low, high = ticks[0], ticks[-1]

    def at(value: float) -> float:
        share = (min(high, max(low, value)) - low) / (high - low)
        return left + share * (_WIDTH - left - right)

    bottom = height - _AXIS
    for tick in ticks:
        kind = "zero" if tick == 0 else "grid"
        SubElement(root, "line", _line(at(tick), _TOP, at(tick), bottom, kind))
        _text(root, "text", axis(tick), x=f"{at(tick):.1f}", y=f"{bottom + 18:.1f}", **{"class": "tick"})
    for number, (bar, label) in enumerate(zip(bars, labels, strict=True)):
        middle = _TOP + _ROW * (number + 0.5)
        _row(root, bar, label, middle, left, at, dots)
    return root


def _row(
    root: Element, bar: Bar, label: str, middle: float, left: float, at: Callable[[float], float], dots: bool
) -> None:
    group = SubElement(root, "g")
    _text(group, "title", f"{bar.label}: {bar.text}")
    baseline = f"{middle + 0.35 * _FONT:.1f}"
    _text(group, "text", label, x=f"{left - _GAP:.1f}", y=baseline, **{"class": "label"})
    kind = "accent" if bar.accent else "plain"
    start, end = sorted((at(0.0), at(bar.value)))
    if not dots:
        box = {
            "x": f"{start:.1f}",
            "y": f"{middle - _BAR / 2:.1f}",
            "width": f"{end - start:.1f}",
            "height": f"{_BAR:g}",
            "class": f"bar {kind}",
        }
        SubElement(group, "rect", box)
    if bar.low is not None or bar.high is not None:
        ends = (-math.inf if bar.low is None else bar.low, math.inf if bar.high is None else bar.high)
        SubElement(group, "line", _line(at(ends[0]), middle, at(ends[1]), middle, "interval"))
        for bound in (bar.low, bar.high):
            if bound is not None:
                SubElement(group, "line", _line(at(bound), middle - 5, at(bound), middle + 5, "interval"))
    if dots:
        dot = {"cx": f"{at(bar.value):.1f}", "cy": f"{middle:.1f}", "r": "5", "class": f"dot {kind}"}
        SubElement(group, "circle", dot)
    _text(group, "text", bar.text, x=f"{_WIDTH:g}", y=baseline, **{"class": "figure"})


def _ticks(bars: Sequence[Bar]) -> list[float]:
    """Return round numbers that span all values, intervals and zero."""
    ends = [end for bar in bars for end in (bar.value, bar.low, bar.high) if end is not None]
    low, high = min(0.0, *ends), max(0.0, *ends)
    if low == high:
        high = low + 1.0
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> dict[str, str]:
    return {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}", "class": kind}


def _text(parent: Element, tag: str, text: str, **attributes: str) -> None:
    SubElement(parent, tag, attributes).text = text


def _widths(text: str) -> float:
    """Return about how wide ``text`` is, in widths of a Chinese character."""
    return sum(1.0 if unicodedata.east_asian_width(sign) in "WF" else 0.66 for sign in text)


def _cut(text: str) -> str:
    if _widths(text) <= _LONGEST:
        return text
    kept = text
    while _widths(kept) > _LONGEST - 1:
        kept = kept[:-1]
    return kept + "…"
