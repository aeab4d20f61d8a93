"""The report's style sheet. Fonts are the reader's own: an embedded Chinese font would add megabytes."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1d2530; --soft: #5c6878; --line: #d9dfe7; --paper: #ffffff;
  --plain: #8aa0b8; --accent: #1f6fb2; --shade: #f3f6f9; --warn: #fff6e0; --edge: #d79b1c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf2; --soft: #a3afbf; --line: #39424f; --paper: #161b22;
  --plain: #6d8199; --accent: #5aa7e6; --shade: #1f2630; --warn: #33290f; --edge: #d79b1c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 70rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1rem 0 0.2rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.5rem; }
h3 { font-size: 1rem; margin: 1rem 0 0.2rem; }
.purpose { color: var(--soft); margin: 0; }
ul { margin: 0; padding-left: 1.2rem; }
li { margin: 0.3rem 0; overflow-wrap: anywhere; }
.short ul { list-style: none; padding: 0; font-size: 1.1rem; }
.short li:first-child { font-size: 1.35rem; font-weight: 600; line-height: 1.35; }
.cautions { background: var(--warn); border-left: 4px solid var(--edge); padding: 0.1rem 1rem 0.8rem;
  margin-top: 1.5rem; }
.cautions h2 { margin-top: 0.8rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.87rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.35rem 0.6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; background: var(--shade); vertical-align: bottom; }
th:first-child, td:first-child { padding-left: 0.5rem; }
.text { text-align: left; overflow-wrap: break-word; max-width: 22rem; }
.number { text-align: right; white-space: nowrap; }
th.number { white-space: normal; word-break: keep-all; }
td.remark { min-width: 14rem; color: var(--soft); }
figure { margin: 0.5rem 0 1rem; }
figcaption { color: var(--soft); font-size: 0.85rem; }
figure { overflow-x: auto; }
svg { width: 100%; min-width: 36rem; max-width: 940px; height: auto; display: block; font-size: 13px; }
svg text { fill: var(--ink); }
.label, .figure { text-anchor: end; }
.tick { text-anchor: middle; fill: var(--soft); font-size: 11px; }
.grid { stroke: var(--line); }
.zero { stroke: var(--soft); stroke-width: 1.5; }
.bar.plain, .dot.plain { fill: var(--plain); }
.bar.accent, .dot.accent { fill: var(--accent); }
.interval { stroke: var(--ink); stroke-width: 1.5; }
.switch { position: absolute; opacity: 0; }
body > label { display: inline-block; padding: 0.15rem 0.8rem; border: 1px solid var(--line); border-radius: 1rem;
  margin-right: 0.4rem; cursor: pointer; font-size: 0.9rem; }
.switch:checked + label { background: var(--accent); border-color: var(--accent); color: #ffffff; }
.switch:focus-visible + label { outline: 3px solid var(--edge); }
#show-en:checked ~ .zh, #show-zh:checked ~ .en { display: none; }
@media print { body > label { display: none; } body { padding: 0; max-width: none; }
  .scroll { overflow: visible; } figure, tr { break-inside: avoid; } }
"""
