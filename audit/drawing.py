"""Bars as inline SVG, and the style sheet of an evidence pack's page. An element tree, so that labels are escaped.

The reports of `party` have a chart of their own with intervals and axes; this package may not import that one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, SubElement  # built here, never parsed

_WIDTH: Final = 940.0
_ROW: Final = 30.0
_BAR: Final = 16.0
_GAP: Final = 12.0
_FONT: Final = 13.0
_THINNEST: Final = 1.5


@dataclass(frozen=True, slots=True)
class Bar:
    """A row: ``text`` is the figure in words; ``accent`` tells one side's bars from the other's."""

    label: str
    text: str
    value: int
    accent: bool


def bars(rows: Sequence[Bar], *, name: str, title: str) -> Element:
    """Return the drawing of ``rows``, from zero, on one scale; ``name`` is unique in the page."""
    left = _GAP + _FONT * max(_widths(row.label) for row in rows)
    right = _GAP + _FONT * max(_widths(row.text) for row in rows)
    height = _ROW * len(rows)
    root = Element(
        "svg",
        {
            "viewBox": f"0 0 {_WIDTH:g} {height:g}",
            "role": "img",
            "aria-labelledby": f"{name}-title {name}-text",
        },
    )
    _text(root, "title", title, id=f"{name}-title")
    _text(root, "desc", "; ".join(f"{row.label}: {row.text}" for row in rows), id=f"{name}-text")
    most = max(1, *(row.value for row in rows))
    for number, row in enumerate(rows):
        middle = _ROW * (number + 0.5)
        baseline = f"{middle + 0.35 * _FONT:.1f}"
        length = max(_THINNEST, (_WIDTH - left - right) * row.value / most)
        group = SubElement(root, "g")
        _text(group, "text", row.label, x=f"{left - _GAP:.1f}", y=baseline, **{"class": "label"})
        box = {
            "x": f"{left:.1f}",
            "y": f"{middle - _BAR / 2:.1f}",
            "width": f"{length:.1f}",
            "height": f"{_BAR:g}",
            "class": "accent" if row.accent else "plain",
        }
        SubElement(group, "rect", box)
        _text(group, "text", row.text, x=f"{left + length + _GAP / 2:.1f}", y=baseline)
    return root


def _text(parent: Element, tag: str, text: str, **attributes: str) -> None:
    SubElement(parent, tag, attributes).text = text


def _widths(text: str) -> float:
    """Return about how wide ``text`` is, in widths of a Chinese character."""
    return sum(1.0 if unicodedata.east_asian_width(sign) in "WF" else 0.6 for sign in text)


# Fonts are the reader's own: an embedded Chinese font would add megabytes.
STYLE: Final = """
:root { color-scheme: light dark; --ink: #1d2530; --soft: #5c6878; --line: #d9dfe7; --paper: #ffffff;
  --plain: #8aa0b8; --accent: #1f6fb2; --shade: #f3f6f9; --warn: #fff6e0; --edge: #d79b1c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf2; --soft: #a3afbf; --line: #39424f; --paper: #161b22;
  --plain: #6d8199; --accent: #5aa7e6; --shade: #1f2630; --warn: #33290f; --edge: #d79b1c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 70rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1rem 0 0.2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.5rem; }
h3 { font-size: 1rem; margin: 1rem 0 0.2rem; }
.soft { color: var(--soft); margin: 0; overflow-wrap: anywhere; }
ul, .steps { margin: 0; padding-left: 1.2rem; }
li { margin: 0.3rem 0; overflow-wrap: anywhere; }
code { font-family: ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; font-size: 0.85em;
  background: var(--shade); padding: 0.1rem 0.3rem; overflow-wrap: anywhere; }
.short ul { list-style: none; padding: 0; font-size: 1.05rem; }
.cautions { background: var(--warn); border-left: 4px solid var(--edge); padding: 0.1rem 1rem 0.8rem;
  margin-top: 1.5rem; }
.cautions h2 { margin-top: 0.8rem; }
.course { list-style: none; margin: 0; padding: 0 0 0 1.4rem; border-left: 2px solid var(--line); }
.course li { position: relative; margin: 0 0 0.7rem; }
.course li::before { content: ""; position: absolute; left: -1.4rem; top: 0.5rem; width: 0.7rem; height: 0.7rem;
  margin-left: -0.4rem; border-radius: 50%; background: var(--plain); border: 2px solid var(--paper); }
.course li.agreement::before { background: var(--accent); }
.course .soft { display: block; font-size: 0.85rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.87rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.35rem 0.6rem; border-bottom: 1px solid var(--line); vertical-align: top; text-align: left; }
th { color: var(--soft); font-weight: 600; background: var(--shade); vertical-align: bottom; }
td { overflow-wrap: break-word; }
.number { text-align: right; }
td.number { white-space: nowrap; }
.time { white-space: nowrap; }
figure { margin: 0.5rem 0 1rem; overflow-x: auto; }
figcaption { color: var(--soft); font-size: 0.85rem; }
svg { width: 100%; min-width: 36rem; max-width: 940px; height: auto; display: block; font-size: 13px; }
svg text { fill: var(--ink); }
.label { text-anchor: end; }
rect.plain { fill: var(--plain); }
rect.accent { fill: var(--accent); }
.switch { position: absolute; opacity: 0; }
body > label { display: inline-block; padding: 0.15rem 0.8rem; border: 1px solid var(--line); border-radius: 1rem;
  margin-right: 0.4rem; cursor: pointer; font-size: 0.9rem; }
.switch:checked + label { background: var(--accent); border-color: var(--accent); color: #ffffff; }
.switch:focus-visible + label { outline: 3px solid var(--edge); }
#show-en:checked ~ .zh, #show-zh:checked ~ .en { display: none; }
@media print { body > label { display: none; } body { padding: 0; max-width: none; font-size: 11pt; }
  .scroll { overflow: visible; } figure, tr, li { break-inside: avoid; } h2, h3 { break-after: avoid; }
  svg { min-width: 0; } rect { print-color-adjust: exact; } .course li::before { print-color-adjust: exact; } }
"""
