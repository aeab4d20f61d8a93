"""The report as one HTML page in two languages: no script, nothing loaded from anywhere.

The page is an element tree until the end, so that labels, which are the partner's text, are escaped by construction.
The language is switched by two radio buttons and CSS; where style sheets are off, both languages follow each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from xml.etree.ElementTree import Element, SubElement, tostring  # built here, never parsed

from party.jobspec import Job
from party.report.parts import parts, title
from party.report.parts import voice as voice
from party.report.style import STYLE
from party.report.tables import Table
from party.report.voice import Voice
from party.report.words import LANGUAGE_NAMES, LANGUAGES

# Even a page that somebody tampered with loads nothing and runs nothing.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
# Sections that look otherwise.
_STYLES: Final = {"in_short": "short", "cautions": "cautions"}


def page(result: Mapping[str, Any], job: Job, *, language: str) -> str:
    """Return the whole page; ``language`` is shown first."""
    voices = {name: voice(job, name) for name in LANGUAGES}
    html = Element("html", {"lang": language})
    head = SubElement(html, "head")
    SubElement(head, "meta", {"charset": "utf-8"})
    SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": _POLICY})
    SubElement(head, "meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"})
    SubElement(head, "meta", {"name": "referrer", "content": "no-referrer"})
    SubElement(head, "title").text = f"{title(job, voices[language])}: {job.purpose}"
    SubElement(head, "style").text = STYLE
    body = SubElement(html, "body")
    for name in LANGUAGES:
        radio = {"type": "radio", "name": "language", "id": f"show-{name}", "class": "switch"}
        if name == language:
            radio["checked"] = "checked"
        SubElement(body, "input", radio)
        SubElement(body, "label", {"for": f"show-{name}", "lang": name}).text = LANGUAGE_NAMES[name]
    for name in LANGUAGES:
        body.append(_article(result, job, voices[name]))
    return "<!doctype html>\n" + tostring(html, encoding="unicode", method="html") + "\n"


def _article(result: Mapping[str, Any], job: Job, voice: Voice) -> Element:
    article = Element("article", {"lang": voice.language, "class": voice.language})
    SubElement(article, "h1").text = title(job, voice)
    SubElement(article, "p", {"class": "purpose"}).text = voice.say("purpose", purpose=job.purpose)
    for part in parts(result, job, voice):
        section = _section(article, part.key, voice)
        if part.sentences:
            _sentences(section, part.sentences)
        if part.card:
            _card(section, part.card)
        _figure(section, part.drawing)
        _remark(section, part.undrawn)
        if part.table is not None:
            _table(section, part.table)
        _remark(section, part.unlisted)
    return article


def _section(article: Element, key: str, voice: Voice) -> Element:
    section = SubElement(article, "section", {"class": _STYLES[key]} if key in _STYLES else {})
    SubElement(section, "h2").text = voice.say(key)
    return section


def _remark(section: Element, text: str) -> None:
    if text:
        SubElement(section, "p").text = text


def _sentences(section: Element, sentences: Sequence[str]) -> None:
    listed = SubElement(section, "ul")
    for sentence in sentences:
        SubElement(listed, "li").text = sentence


def _card(section: Element, lines: Sequence[str]) -> None:
    """Add the disclosure card: what it is of, then headings, and statements that begin with a dash."""
    SubElement(section, "p", {"class": "purpose"}).text = lines[0]
    listed = section
    for line in map(str.strip, lines[1:]):
        if line.startswith("- "):
            SubElement(listed, "li").text = line.removeprefix("- ")
        else:
            SubElement(section, "h3").text = line
            listed = SubElement(section, "ul")


def _figure(section: Element, drawing: Element | None) -> None:
    if drawing is not None:
        frame = SubElement(section, "figure")
        frame.append(drawing)
        title = drawing.find("title")
        SubElement(frame, "figcaption").text = None if title is None else title.text


def _table(section: Element, table: Table) -> None:
    frame = SubElement(section, "div", {"class": "scroll"})
    body = SubElement(frame, "table")
    head = SubElement(SubElement(body, "thead"), "tr")
    kinds = ["text" if place < table.texts else "number" for place in range(len(table.columns))]
    if table.remarks:
        kinds[-1] = "text remark"
    for kind, column in zip(kinds, table.columns, strict=True):
        SubElement(head, "th", {"scope": "col", "class": kind}).text = column
    rows = SubElement(body, "tbody")
    for row in table.rows:
        line = SubElement(rows, "tr")
        for kind, cell in zip(kinds, row, strict=True):
            SubElement(line, "td", {"class": kind}).text = cell
