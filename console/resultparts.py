"""What a result page shows: the parts of the report, with the table of groups sorted and cut into pages.

Grouped sums have the parts of ``party.report``; an overlap or an audience, which have no report, get parts of the
same form here. Figures that are withheld have their reason and are never 0; sorted, they come last either way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from console.words import Words
from party.disclosure import card_for
from party.figures import NOT_TOLD
from party.jobspec import SIDES, Job, JobKind
from party.report.charts import Bar, chart
from party.report.drawings import MOST_BARS
from party.report.parts import Part, parts, voice
from party.report.tables import Table, details_table
from party.report.voice import Voice
from party.results import MATCHES

PAGE_ROWS: Final = 50
# Keys that sort by words.
LABELS: Final = ("label.", "tag", "value")

Row = Mapping[str, Any]
_Value = Callable[[Row], Any]


@dataclass(frozen=True, slots=True)
class Sorting:
    """The order of the groups: by ``key`` (``None``: as the result has them), the largest first if ``down``."""

    key: str | None = None
    down: bool = False


@dataclass(frozen=True, slots=True)
class Pages:
    """Which page of the groups is shown, of how many, of ``rows`` groups in all. Pages count from 1."""

    page: int
    pages: int
    rows: int


@dataclass(frozen=True, slots=True)
class ResultView:
    """All parts of a result in one language. ``keys`` are what the columns of the groups sort by, where they do."""

    voice: Voice
    parts: tuple[Part, ...]
    keys: tuple[str | None, ...]
    sorting: Sorting
    pages: Pages


def view(result: Row, job: Job, words: Words, sorting: Sorting, page: int) -> ResultView:
    """Return the parts of ``result``; a ``page`` or key that there is none of gives the nearest there is."""
    columns = _columns(result, job)
    values = {key: value for key, value in columns if key is not None}
    if sorting.key not in values:
        sorting = Sorting()
    groups: Sequence[Row] = result["groups"]
    last = max(1, -(-len(groups) // PAGE_ROWS))
    pages = Pages(min(max(1, page), last), last, len(groups))
    if sorting.key is not None:
        groups = _sorted(groups, values[sorting.key], down=sorting.down)
    rows = groups[(pages.page - 1) * PAGE_ROWS : pages.page * PAGE_ROWS]
    # The table has costs only where a row of it has.
    keys = [key for key, _ in columns if key != "cost" or any("cost" in row for row in rows)]
    speaker = voice(job, words.language)
    summed = job.kind.is_sum
    made = parts(result, job, speaker, rows) if summed else _match_parts(result, job, speaker, words, rows)
    return ResultView(speaker, tuple(made), tuple(keys), sorting, pages)


# -- order


def _sorted(groups: Sequence[Row], value: _Value, *, down: bool) -> list[Row]:
    known = [(value(row), row) for row in groups]
    shown = sorted((pair for pair in known if pair[0] is not None), key=lambda pair: pair[0], reverse=down)
    return [row for _, row in shown] + [row for each, row in known if each is None]


def _columns(result: Row, job: Job) -> list[tuple[str | None, _Value]]:
    """Return per column of the table of groups its key and value; intervals and remarks sort by nothing."""
    if not job.kind.is_sum:
        names = list(result["groups"][0]["group"]) if result["groups"] else []
        return [
            *((f"label.{name}", _label(name)) for name in names),
            *((name, _figure(name)) for name in ("persons", "matched")),
            ("share", _matched_share),
        ]
    labels = [(f"label.{name}", _label(name)) for name in job.label_columns]
    if job.kind is JobKind.PROFILE:
        beside = len(job.label_columns)
        tag: list[tuple[str | None, _Value]] = [("tag", _tag(beside, 0)), ("value", _tag(beside, 1))]
        figures = [(name, _figure(name)) for name in ("persons", "matched")]
        return [*labels, *tag, *figures, ("share", _estimate("share")), _UNSORTED]
    found: list[tuple[str | None, _Value]] = [*labels]
    found += [(name, _figure(name)) for name in ("persons", "matched", "converters", "conversions")]
    found += [("rate", _estimate("rate")), _UNSORTED]
    example = result["groups"][0] if result["groups"] else {}
    found += [(f"stage.{name}", _within("stages", name)) for name in example.get("stages", {})]
    if "retained" in example:
        found.append(("retained", _figure("retained")))
    for name in example.get("sums", {}):
        found += [(f"sum.{name}", _amount(name)), (f"mean.{name}", _mean(name)), _UNSORTED]
    return [*found, ("cost", _cost)]


def _unsorted(row: Row) -> None:
    return None


_UNSORTED: Final[tuple[None, _Value]] = (None, _unsorted)


def _label(name: str) -> _Value:
    return lambda row: _natural(str(row["group"].get(name, "")))


def _natural(text: str) -> tuple[float, str]:
    """Return what ``text`` sorts by: numbers by their size, before words."""
    return float(text) if text.isascii() and text.isdigit() else math.inf, text


def _figure(name: str) -> _Value:
    return lambda row: row.get(name)


def _estimate(name: str) -> _Value:
    return lambda row: None if row.get(name) is None else row[name]["value"]


def _within(section: str, name: str) -> _Value:
    return lambda row: row.get(section, {}).get(name)


def _amount(name: str) -> _Value:
    return lambda row: None if row["sums"][name] is None else Decimal(row["sums"][name])


def _mean(name: str) -> _Value:
    return lambda row: None if row["mean"][name] is None else row["mean"][name]["value"]


def _cost(row: Row) -> Decimal | None:
    return None if row.get("cost") is None else Decimal(row["cost"])


def _tag(labels: int, place: int) -> _Value:
    """Return a tag's column or value, which a row of a profile has behind the ``labels`` of its group."""
    return lambda row: str(list(row["group"].items())[labels][place]) if len(row["group"]) > labels else None


def _matched_share(row: Row) -> float | None:
    return None if row["matched"] is None or not row["persons"] else row["matched"] / row["persons"]


# -- overlap and audience


def _match_parts(result: Row, job: Job, voice: Voice, words: Words, rows: Sequence[Row]) -> Iterator[Part]:
    yield Part("in_short", tuple(_headlines(result, job, voice, words)))
    held = tuple(_withheld(result, voice, words))
    if held:
        yield Part("cautions", held)
    if result["groups"]:
        yield _groups(result, voice, words, rows)
    yield Part("totals", table=_totals(result, voice, words))
    yield Part("learned", card=tuple(card_for(job).lines(voice.language)))
    yield Part("details", table=details_table(result, job, voice))


def _headlines(result: Row, job: Job, voice: Voice, words: Words) -> Iterator[str]:
    totals, matched = result["totals"], result["totals"]["matched"]
    if _untold(result):
        reader = voice.say("and").join(voice.say(side) for side in job.receivers)
        yield voice.say("h_untold", reader=reader)
        return
    if matched is None:
        yield voice.say("h_all_withheld")
        return
    sizes = {side: voice.count(totals[f"{side}_persons"]) for side in SIDES}
    yield words.say(
        "{matched} people are in both sets (bank: {bank}, platform: {platform}).",
        matched=voice.count(matched),
        **sizes,
    )
    if "unmatched" in totals and totals["unmatched"] is not None:
        yield words.say(
            "{count} people of the own set are not in the other one.",
            count=voice.count(totals["unmatched"]),
        )
    if MATCHES in _own_files(result):
        yield words.say("Which of the own rows they are is in {file}.", file=MATCHES)


def _withheld(result: Row, voice: Voice, words: Words) -> Iterator[str]:
    if _untold(result):
        return
    for each in result["withheld"]:
        if each.get("covers") is not None:
            yield voice.say("c_released")
        elif each["figure"] == "list":
            yield words.say("There is no list: {reason}.", reason=voice.reason(each["reason"]))
    small = [row for row in result["groups"] if row["matched"] is None]
    if small:
        reasons = voice.reason(small[0]["withheld"])
        key = "c_groups_one" if len(small) == 1 else "c_groups"
        yield voice.say(key, count=voice.count(len(small)), reasons=reasons)


def _totals(result: Row, voice: Voice, words: Words) -> Table:
    totals, nothing = result["totals"], voice.say("nothing")
    rows = [(voice.say(f"{side}_persons"), voice.count(totals[f"{side}_persons"])) for side in SIDES]
    names = {"matched": voice.say("matched"), "unmatched": words.say("not matched")}
    for name, title in names.items():
        if name in totals:
            rows.append((title, nothing if totals[name] is None else voice.count(totals[name])))
    return Table((voice.say("figure"), voice.say("value")), 1, tuple(rows), len(rows))


def _groups(result: Row, voice: Voice, words: Words, rows: Sequence[Row]) -> Part:
    groups: Sequence[Row] = result["groups"]
    known = [row for row in groups if _matched_share(row) is not None]
    largest = sorted(known, key=lambda row: -int(row["persons"]))[:MOST_BARS]
    kept = {id(row) for row in largest}
    bars = [_bar(row, voice) for row in known if id(row) in kept]
    title, undrawn = words.say("Share of each group that matched"), ""
    drawing = chart(bars, name=f"groups-{voice.language}", title=title, axis=voice.percent) if bars else None
    if len(known) > MOST_BARS:
        shown, count = voice.count(MOST_BARS), voice.count(len(known))
        undrawn = voice.say("chart_first", shown=shown, count=count)
    names = list(groups[0]["group"])
    heads = {
        "tier": words.say("tier"),
        "bank_tier": words.say("tier of the bank"),
        "platform_tier": words.say("tier of the platform"),
    }
    columns = [heads[name] for name in names]
    columns += [voice.say("persons"), voice.say("matched"), words.say("share that matched")]
    cells = [(*(str(row["group"][name]) for name in names), *_cells(row, voice)) for row in rows]
    remarks = [
        "" if row["matched"] is not None else voice.say("withheld", reason=voice.reason(row["withheld"]))
        for row in rows
    ]
    if any(remarks):
        columns.append(voice.say("remarks"))
        cells = [(*cell, remark) for cell, remark in zip(cells, remarks, strict=True)]
    table = Table(tuple(columns), len(names), tuple(cells), len(groups), remarks=any(remarks))
    return Part("groups", drawing=drawing, undrawn=undrawn, table=table)


def _bar(row: Row, voice: Voice) -> Bar:
    share = row["matched"] / row["persons"]
    return Bar(voice.group(row), voice.beside(voice.percent(share), voice.count(row["matched"])), share)


def _cells(row: Row, voice: Voice) -> tuple[str, str, str]:
    share, nothing = _matched_share(row), voice.say("nothing")
    return (
        voice.count(row["persons"]),
        nothing if row["matched"] is None else voice.count(row["matched"]),
        nothing if share is None else voice.percent(share),
    )


def _untold(result: Row) -> bool:
    return any(each["reason"] == NOT_TOLD for each in result["withheld"])


def _own_files(result: Row) -> Sequence[str]:
    return [name for party in result.get("parties", {}).values() for name in party.get("files", ())]
