"""An evidence pack as one HTML page in two languages: no script, nothing loaded from anywhere.

Made from a bundle alone, so that an auditor can make it again. An element tree until the end: names in a log are
other people's text, and are escaped by construction. The language is switched by two radio buttons and CSS; where
style sheets are off, both languages follow each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring  # built here, never parsed

from audit.contracts import other
from audit.drawing import STYLE, bars
from audit.entry import ROLES
from audit.pack import AGREEMENT, BUNDLE_FILE, CONTRACT_FILE, COURSE, Pack
from audit.pagefacts import (
    Said,
    agreed_rows,
    attempts,
    budget,
    cautions,
    decisions,
    drawn,
    headline,
    sent,
    short,
)
from audit.words import LANGUAGE_NAMES, LANGUAGES, actor, moment, sentence

# Even a page that somebody tampered with loads nothing and runs nothing.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_NUMBER: Final = "number"
_TIME: Final = "time"
_TEXT: Final = "text"


def page(pack: Pack, *, language: str = "en", bundle: str = BUNDLE_FILE) -> str:
    """Return the page of ``pack``; ``language`` is shown first, ``bundle`` is the file that is to be verified."""
    html = Element("html", {"lang": language})
    head = SubElement(html, "head")
    SubElement(head, "meta", {"charset": "utf-8"})
    SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": _POLICY})
    SubElement(head, "meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"})
    SubElement(head, "meta", {"name": "referrer", "content": "no-referrer"})
    SubElement(head, "title").text = headline(pack, Said(language))
    SubElement(head, "style").text = STYLE
    body = SubElement(html, "body")
    for name in LANGUAGES:
        radio = {"type": "radio", "name": "language", "id": f"show-{name}", "class": "switch"}
        if name == language:
            radio["checked"] = "checked"
        SubElement(body, "input", radio)
        SubElement(body, "label", {"for": f"show-{name}", "lang": name}).text = LANGUAGE_NAMES[name]
    for name in LANGUAGES:
        body.append(_article(pack, Said(name), bundle))
    return "<!doctype html>\n" + tostring(html, encoding="unicode", method="html") + "\n"


def _article(pack: Pack, said: Said, bundle: str) -> Element:
    article = Element("article", {"lang": said.language, "class": said.language})
    SubElement(article, "h1").text = headline(pack, said)
    if pack.agreed is not None:
        _soft(article, said("purpose", purpose=pack.agreed.texts["purpose"]))
    header = pack.header
    source = {"name": header.name, "log": header.log, "exported": moment(header.exported)}
    _soft(article, said("source", role=said.word(header.role), **source))
    _sentences(_section(article, "in_short", said, "short"), list(short(pack, said)))
    warnings = list(cautions(pack, said))
    if warnings:
        _sentences(_section(article, "cautions", said, "cautions"), warnings)
    if pack.agreed is not None:
        _pairs(_section(article, "agreed", said), list(agreed_rows(pack, said)))
    _course(_section(article, "course", said), pack, said)
    if pack.agreed is not None and pack.agreed.card[said.language]:
        _card(_section(article, "card", said), pack.agreed.card[said.language], said)
    _left(_section(article, "left", said), pack, said)
    _decisions(_section(article, "decisions", said), pack, said)
    _checking(_section(article, "checking", said), pack, said, bundle)
    unproven = [said(key) for key in ("u_inputs", "u_channels", "u_collusion", "u_tail", "u_actors")]
    _sentences(_section(article, "unproven", said), unproven)
    _entries(_section(article, "entries", said), pack, said)
    return article


def _course(section: Element, pack: Pack, said: Said) -> None:
    """Add the steps of people, nodes and rules on a line of time."""
    listed = SubElement(section, "ol", {"class": "course"})
    for entry in pack.of(*AGREEMENT, *COURSE):
        kind = "agreement" if entry["type"] in AGREEMENT else "run"
        item = SubElement(listed, "li", {"class": kind})
        when = f"{moment(entry['time'])} · {actor(entry['actor'], said.language)}"
        SubElement(item, "span", {"class": "soft"}).text = when
        SubElement(item, "span").text = sentence(entry, said.language)


def _left(section: Element, pack: Pack, said: Said) -> None:
    runs = attempts(pack)
    if not runs:
        SubElement(section, "p").text = said("no_messages")
        return
    rows = drawn(pack, said)
    title = said("chart")
    figure = SubElement(section, "figure")
    figure.append(bars(rows, name=f"left-{said.language}", title=title))
    SubElement(figure, "figcaption").text = title
    columns = [
        ("t_sequence", _NUMBER),
        ("t_time", _TIME),
        ("t_message", _TEXT),
        ("t_count", _NUMBER),
        ("t_bytes", _NUMBER),
        ("t_allowed", _TEXT),
    ]
    for number, session in enumerate(runs, start=1):
        if len(runs) > 1:
            SubElement(section, "h3").text = said("attempt", number=str(number), session=session[:12])
        for side in ROLES:
            lines = sent(pack, session, side, said)
            if lines:
                sides = {"side": said.word(side), "other": said.word(other(side))}
                SubElement(section, "h3").text = said("left_side", **sides)
                _table(section, columns, lines, said)
    SubElement(section, "p", {"class": "soft"}).text = said("left_note")


def _decisions(section: Element, pack: Pack, said: Said) -> None:
    lines = decisions(pack, said)
    if not lines:
        SubElement(section, "p").text = said("no_decisions")
    else:
        columns = [
            ("t_sequence", _NUMBER),
            ("t_time", _TIME),
            ("t_release", _TEXT),
            ("t_outcome", _TEXT),
            ("t_thresholds", _TEXT),
            ("t_cosigned", _TEXT),
        ]
        _table(section, columns, lines, said)
    spent = budget(pack, said)
    if spent:
        SubElement(section, "h3").text = said("budget")
        _sentences(section, spent)


def _checking(section: Element, pack: Pack, said: Said, bundle: str) -> None:
    steps = SubElement(section, "ol", {"class": "steps"})
    SubElement(steps, "li").text = said("h_page", bundle=bundle)
    SubElement(steps, "li").text = said("h_install")
    _command(steps, said("h_verify"), f"veiljoin audit verify {bundle}")
    named = "" if pack.header.pack is not None else f" --job {pack.job}"
    _command(steps, said("h_remake"), f"veiljoin audit page {bundle}{named} --out page.html")
    if pack.agreed is not None:
        SubElement(steps, "li").text = said("h_contract", file=CONTRACT_FILE, hash=pack.agreed.hash)
    SubElement(steps, "li").text = _proofs(pack, said)
    SubElement(steps, "li").text = said("h_both")


def _proofs(pack: Pack, said: Said) -> str:
    if pack.header.pack is None or not pack.inclusions:
        return said("h_whole")
    size = max(pack.inclusions.values())
    counts = {"count": f"{len(pack.inclusions):,}", "entries": f"{len(pack.entries):,}", "size": f"{size:,}"}
    signed = next((each for each in pack.cosigned if each.size == size), None)
    if signed is None:
        return said("h_unsigned", **counts)
    return said("h_proofs", partner=signed.partner, time=moment(signed.seconds * 1000), **counts)


def _entries(section: Element, pack: Pack, said: Said) -> None:
    proved = bool(pack.inclusions)
    columns = [("t_sequence", _NUMBER), ("t_time", _TIME), ("t_actor", _TEXT), ("t_said", _TEXT)]
    if proved:
        columns.append(("t_proof", _NUMBER))
    lines = []
    for entry in pack.entries:
        size = pack.inclusions.get(entry["sequence"])
        line = [
            f"{entry['sequence']:,}",
            moment(entry["time"]).removesuffix(" UTC"),
            actor(entry["actor"], said.language),
            sentence(entry, said.language),
        ]
        lines.append([*line, "—" if size is None else f"{size:,}"] if proved else line)
    _table(section, columns, lines, said)


# -- elements


def _section(article: Element, key: str, said: Said, style: str = "") -> Element:
    section = SubElement(article, "section", {"class": style} if style else {})
    SubElement(section, "h2").text = said(key)
    return section


def _soft(parent: Element, text: str) -> None:
    SubElement(parent, "p", {"class": "soft"}).text = text


def _sentences(section: Element, sentences: Sequence[str]) -> None:
    listed = SubElement(section, "ul")
    for each in sentences:
        SubElement(listed, "li").text = each


def _command(steps: Element, text: str, command: str) -> None:
    item = SubElement(steps, "li")
    item.text = f"{text} "
    SubElement(item, "code").text = command


def _card(section: Element, lines: Sequence[str], said: Said) -> None:
    """Add the disclosure card: what it is of, then headings, and statements that begin with a dash."""
    _soft(section, said("card_told"))
    _soft(section, lines[0])
    listed = section
    for line in map(str.strip, lines[1:]):
        if line.startswith("- "):
            SubElement(listed, "li").text = line.removeprefix("- ")
        else:
            SubElement(section, "h3").text = line
            listed = SubElement(section, "ul")


def _pairs(section: Element, rows: Sequence[tuple[str, str]]) -> None:
    body = SubElement(SubElement(SubElement(section, "div", {"class": "scroll"}), "table"), "tbody")
    for name, value in rows:
        line = SubElement(body, "tr")
        SubElement(line, "th", {"scope": "row"}).text = name
        SubElement(line, "td").text = value


def _table(
    section: Element,
    columns: Sequence[tuple[str, str]],
    lines: Sequence[Sequence[str]],
    said: Said,
) -> None:
    table = SubElement(SubElement(section, "div", {"class": "scroll"}), "table")
    head = SubElement(SubElement(table, "thead"), "tr")
    for key, kind in columns:
        SubElement(head, "th", {"scope": "col", "class": kind}).text = said(key)
    body = SubElement(table, "tbody")
    for line in lines:
        row = SubElement(body, "tr")
        for (_, kind), cell in zip(columns, line, strict=True):
            SubElement(row, "td", {"class": kind}).text = cell
