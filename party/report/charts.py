"""Horizontal charts with intervals as inline SVG: an element tree, so that every label is escaped by construction.

No chart library: of those on PyPI that write SVG, pygal puts a script into every chart and lets an interval run out
of its plot, matplotlib adds nearly 100 MB and can't measure Chinese text without a font of its own, and svg.py does
not escape text. One kind of chart is all that a report needs.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
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
# On a telephone: a label and its figure stand above their bar, in one line or two.
_NARROW: Final = 320.0
_LINE: Final = 19.0
# The middle of a bar below the line above it, and what is left free below.
_UNDER: Final = 16.0
_APART: Final = 12.0
_TICK_FONT: Final = 11.0


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


def narrowed(drawing: Element) -> Element:
    """Return what :func:`chart` drew for a narrow screen: the same figures and ticks, each label above its bar.

    Its text is as large as the wide one's where a pixel is a unit. It may stand in the same page: its ids are others.
    """
    lines = [each for each in drawing if each.tag == "line"]
    rows = drawing.findall("g")
    texts = [(_class(row, "label"), _class(row, "figure")) for row in rows]
    # A figure is never cut; one that is longer still makes all of it smaller.
    width = max(_NARROW, _FONT * max(_widths(text) for both in texts for text in both))
    ticks = [each.text or "" for each in drawing.findall("text")]
    left, right = (find(float(each.attrib["x1"]) for each in lines) for find in (min, max))
    # Half of the first and of the last tick's text stands out on either side.
    edge = _TICK_FONT * max(map(_widths, (ticks[0], ticks[-1]))) / 2

    def at(x: float) -> float:
        return edge + (x - left) / (right - left) * (width - 2 * edge)

    widest = max(_widths(label) + _widths(figure) for label, figure in texts)
    above = 1 if _FONT * widest + _GAP <= width else 2
    height = above * _LINE + _UNDER + _BAR / 2 + _APART
    bottom = _TOP + height * len(rows)
    title, text = (f"{each}-narrow" for each in drawing.attrib["aria-labelledby"].split())
    root = Element(
        "svg",
        {
            "viewBox": f"0 0 {width:g} {bottom + _AXIS:g}",
            "role": "img",
            "aria-labelledby": f"{title} {text}",
        },
    )
    _text(root, "title", drawing.findtext("title") or "", id=title)
    _text(root, "desc", drawing.findtext("desc") or "", id=text)
    room = (width - 2 * edge) / (len(ticks) - 1)
    every = math.ceil(_TICK_FONT * (max(map(_widths, ticks)) + 1) / room)
    for number, (line, tick) in enumerate(zip(lines, ticks, strict=True)):
        x = at(float(line.attrib["x1"]))
        SubElement(root, "line", _line(x, _TOP, x, bottom, line.attrib["class"]))
        if number % every == 0:
            _text(root, "text", tick, x=f"{x:.1f}", y=f"{bottom + 18:.1f}", **{"class": "tick"})
    for number, (row, (label, figure)) in enumerate(zip(rows, texts, strict=True)):
        top = _TOP + height * number
        group = SubElement(root, "g")
        _text(group, "title", row.findtext("title") or "")
        _text(group, "text", label, x="0", y=f"{top + _FONT:.1f}", **{"class": "above"})
        baseline = f"{top + _FONT + (above - 1) * _LINE:.1f}"
        _text(group, "text", figure, x=f"{width:g}", y=baseline, **{"class": "figure"})
        down = top + above * _LINE + _UNDER - (_TOP + _ROW * (number + 0.5))
        for each in row:
            if each.tag not in ("title", "text"):
                SubElement(group, each.tag, _moved(each.attrib, at, down))
    return root


def _moved(attributes: Mapping[str, str], at: Callable[[float], float], down: float) -> dict[str, str]:
    """Return the attributes of a shape that is ``down`` further below, with its ends where ``at`` says."""
    moved = dict(attributes)
    for name in ("x1", "x2", "cx"):
        if name in moved:
            moved[name] = f"{at(float(moved[name])):.1f}"
    for name in ("y", "y1", "y2", "cy"):
        if name in moved:
            moved[name] = f"{float(moved[name]) + down:.1f}"
    if "width" in moved:
        start = float(moved["x"])
        end = start + float(moved["width"])
        moved |= {"x": f"{at(start):.1f}", "width": f"{at(end) - at(start):.1f}"}
    return moved


def _class(row: Element, name: str) -> str:
    return next(each.text or "" for each in row.findall("text") if each.attrib["class"] == name)


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
