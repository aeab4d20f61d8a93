"""The report as one HTML page in two languages: no script, nothing loaded from anywhere.

The page is an element tree until the end, so that labels, which are the partner's text, are escaped by construction.
The language is switched by two radio buttons and CSS; where style sheets are off, both languages follow each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from xml.etree.ElementTree import Element, SubElement, tostring  # built here, never parsed

from party.disclosure import card_for
from party.jobspec import Job, JobKind
from party.report import drawings, tables
from party.report.cautions import cautions
from party.report.headlines import headlines
from party.report.method import method
from party.report.style import STYLE
from party.report.tables import MOST_ROWS, Table
from party.report.voice import Voice
from party.report.words import LANGUAGE_NAMES, LANGUAGES

GROUPS_FILE: Final = "groups.csv"
ARMS_FILE: Final = "arms.csv"
# Even a page that somebody tampered with loads nothing and runs nothing.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(result: Mapping[str, Any], job: Job, *, language: str) -> str:
    """Return the whole page; ``language`` is shown first."""
    voices = {name: voice(job, name) for name in LANGUAGES}
    html = Element("html", {"lang": language})
    head = SubElement(html, "head")
    SubElement(head, "meta", {"charset": "utf-8"})
    SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": _POLICY})
    SubElement(head, "meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"})
    SubElement(head, "meta", {"name": "referrer", "content": "no-referrer"})
    SubElement(head, "title").text = f"{_title(job, voices[language])}: {job.purpose}"
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


def voice(job: Job, language: str) -> Voice:
    """Return the voice of one language, with the thresholds of ``job``."""
    least = 0 if job.sums is None else job.sums.min_converters
    return Voice(language, {"min_group": job.min_group, "min_converters": least})


def _title(job: Job, voice: Voice) -> str:
    return voice.say(f"title_{job.kind.value}")


def _article(result: Mapping[str, Any], job: Job, voice: Voice) -> Element:
    article = Element("article", {"lang": voice.language, "class": voice.language})
    SubElement(article, "h1").text = _title(job, voice)
    SubElement(article, "p", {"class": "purpose"}).text = voice.say("purpose", purpose=job.purpose)
    _sentences(_section(article, "in_short", voice, "short"), headlines(result, job, voice))
    warnings = cautions(result, job, voice)
    if warnings:
        _sentences(_section(article, "cautions", voice, "cautions"), warnings)
    if job.kind is JobKind.LIFT and result["lift"] is not None:
        effect = _section(article, "effect", voice)
        _figure(effect, drawings.lift_chart(result, voice))
        _table(effect, tables.lift_table(result, voice))
        _table(_section(article, "money", voice), tables.money_table(result, voice))
    if job.kind is JobKind.LIFT and result["arms"]:
        arms = _section(article, "arms", voice)
        _figure(arms, drawings.arms_chart(result, job, voice))
        _table(arms, tables.arms_table(result, job, voice))
    if job.kind is JobKind.FUNNEL:
        funnel = _section(article, "funnel", voice)
        _figure(funnel, drawings.funnel_chart(result, job, voice))
        _table(funnel, tables.funnel_table(result, voice))
    if result["groups"]:
        _groups(_section(article, "groups", voice), result, job, voice)
    _table(_section(article, "totals", voice), tables.totals_table(result, job, voice))
    _sentences(_section(article, "method", voice), method(job, voice))
    _card(_section(article, "learned", voice), list(card_for(job).lines(voice.language)))
    _table(_section(article, "details", voice), tables.details_table(result, job, voice))
    return article


def _groups(section: Element, result: Mapping[str, Any], job: Job, voice: Voice) -> None:
    draw = drawings.tags_chart if job.kind is JobKind.PROFILE else drawings.groups_chart
    drawing, count = draw(result, voice)
    _figure(section, drawing)
    if count > drawings.MOST_BARS:
        shown = voice.count(drawings.MOST_BARS)
        SubElement(section, "p").text = voice.say("chart_first", shown=shown, count=voice.count(count))
    table = tables.groups_table(result, job, voice)
    _table(section, table)
    if table.whole > len(table.rows):
        SubElement(section, "p").text = voice.say(
            "first_rows", shown=voice.count(MOST_ROWS), count=voice.count(table.whole), file=GROUPS_FILE
        )


def _section(article: Element, key: str, voice: Voice, style: str = "") -> Element:
    section = SubElement(article, "section", {"class": style} if style else {})
    SubElement(section, "h2").text = voice.say(key)
    return section


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
