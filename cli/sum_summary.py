"""A finished grouped sum on the terminal: what it says, what to beware of, and its groups as an aligned table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.cells import cell_len

from party.jobspec import CONVERTERS_BASE, SIDES, Job, JobKind
from party.report import GROUPS_FILE
from party.report.cautions import cautions
from party.report.headlines import headlines
from party.report.page import voice
from party.report.voice import Voice

Row = Mapping[str, Any]
# Groups on the terminal; the report and groups.csv have more.
MOST_ROWS: Final = 30
_TEXT: Final = {
    "en": {
        "caution": "Caution: {text}",
        "learned": "the {side} learned: {set}; {what}",
        "size": "the {other}'s set has {size} persons",
        "converters": "{size} of the {other}'s persons have an outcome",
        "figures": "the figures of {count} groups",
        "nothing": "no figure of the table",
        "more": "{count} more groups in {file}",
        "group": "group",
    },
    "zh": {
        "caution": "注意：{text}",
        "learned": "{side}得知：{set}；{what}",
        "size": "{other}集合有 {size} 人",
        "converters": "{other}有 {size} 人有结果",
        "figures": "{count} 个分组的数字",
        "nothing": "未得知表中任何数字",
        "more": "另有 {count} 个分组见 {file}",
        "group": "分组",
    },
}


def sum_lines(result: Row, job: Job, language: str) -> Iterator[str]:
    """Yield the figures of ``result`` for people."""
    speech, text = voice(job, language), _TEXT[language]
    yield from headlines(result, job, speech)
    yield from (text["caution"].format(text=each) for each in cautions(result, job, speech))
    yield from _table(result, job, speech, text)


def learned_lines(
    sides: Mapping[str, Row], job: Job, language: str, names: Mapping[str, str]
) -> Iterator[str]:
    """Yield what each side was told, from its own report; ``names`` are the parties' in ``language``."""
    text = _TEXT[language]
    for side in SIDES:
        report, other = sides[side], SIDES[1 - SIDES.index(side)]
        unread = any(
            each["figure"] == "totals" and each["reason"] == "not_told_by_contract"
            for each in report["withheld"]
        )
        shown = sum("withheld" not in row for row in report["groups"])
        sums = job.sums
        converters = sums is not None and sums.value_holder == other and sums.base == CONVERTERS_BASE
        yield text["learned"].format(
            side=names[side],
            set=text["converters" if converters else "size"].format(
                other=names[other], size=f"{report['totals'][f'{other}_persons']:,}"
            ),
            what=text["nothing"] if unread else text["figures"].format(count=f"{shown:,}"),
        )


def _table(result: Row, job: Job, speech: Voice, text: Mapping[str, str]) -> Iterator[str]:
    rows = result["groups"][:MOST_ROWS]
    if not rows:
        return
    profile = job.kind is JobKind.PROFILE
    counts = ("persons", "matched") if profile else ("persons", "matched", "converters", "conversions")
    rate = "share" if profile else "rate"
    columns = () if profile else tuple(job.side(job.sums.value_holder).values) if job.sums is not None else ()
    stages = () if profile or not rows else tuple(rows[0].get("stages", {}))
    head = [text["group"], *map(speech.say, (*counts, rate, "interval")), *stages]
    head += [speech.named(f"sums.{column.column}") for column in columns]
    body = []
    for row in rows:
        cells = [speech.group(row), *(_count(row[name], speech) for name in counts)]
        estimate = row.get(rate)
        if estimate is None or estimate["value"] is None:
            cells += [speech.say("nothing")] * 2
        else:
            cells += [speech.percent(estimate["value"]), speech.interval(estimate)]
        cells += [_count(row["stages"][stage], speech) for stage in stages]
        for column in columns:
            amount = row["sums"][column.column]
            cells.append(speech.say("nothing") if amount is None else speech.decimal(amount))
        reason = speech.say("withheld", reason=speech.reason(row["withheld"])) if "withheld" in row else ""
        body.append((cells, reason))
    yield from _aligned(head, body)
    more = len(result["groups"]) - len(rows)
    if more:
        yield "  " + text["more"].format(count=f"{more:,}", file=GROUPS_FILE)


def _aligned(head: Sequence[str], body: Sequence[tuple[list[str], str]]) -> Iterator[str]:
    """Yield the table's lines: the first column to the left, numbers to the right, Chinese counted as wide."""
    widths = [max(map(cell_len, column)) for column in zip(head, *(cells for cells, _ in body), strict=True)]
    for cells, remark in ((list(head), ""), *body):
        first = cells[0] + " " * (widths[0] - cell_len(cells[0]))
        rest = [
            " " * (width - cell_len(cell)) + cell for width, cell in zip(widths[1:], cells[1:], strict=True)
        ]
        yield ("  " + "  ".join([first, *rest, remark])).rstrip()


def _count(count: int | None, speech: Voice) -> str:
    return speech.say("nothing") if count is None else speech.count(count)
