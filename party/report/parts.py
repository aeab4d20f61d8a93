"""What a report consists of, in the order of reading: the page and the console show the same parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree.ElementTree import Element  # built here, never parsed

from party.disclosure import card_for
from party.jobspec import Job, JobKind
from party.report import drawings, tables
from party.report.cautions import cautions
from party.report.headlines import headlines
from party.report.method import method
from party.report.tables import MOST_ROWS, Table
from party.report.voice import Voice

GROUPS_FILE: Final = "groups.csv"


@dataclass(frozen=True, slots=True)
class Part:
    """One section. ``key`` is its heading's in ``party.report.words``; what follows is empty where there is none.

    ``card`` are the lines of the disclosure card; ``undrawn`` says what ``drawing`` leaves out, ``unlisted`` what
    ``table`` does.
    """

    key: str
    sentences: tuple[str, ...] = ()
    card: tuple[str, ...] = ()
    drawing: Element | None = None
    undrawn: str = ""
    table: Table | None = None
    unlisted: str = ""


def voice(job: Job, language: str) -> Voice:
    """Return the voice of one language, with the thresholds of ``job``."""
    least = 0 if job.sums is None else job.sums.min_converters
    return Voice(language, {"min_group": job.min_group, "min_converters": least})


def title(job: Job, voice: Voice) -> str:
    """Return what kind of report it is."""
    return voice.say(f"title_{job.kind.value}")


def parts(
    result: Mapping[str, Any], job: Job, voice: Voice, rows: Sequence[Mapping[str, Any]] | None = None
) -> Iterator[Part]:
    """Yield the parts of the report of ``result``, a grouped sum.

    The table of groups has the first ones, or those in ``rows`` where they are given: a page of them.
    """
    yield Part("in_short", tuple(headlines(result, job, voice)))
    warnings = cautions(result, job, voice)
    if warnings:
        yield Part("cautions", tuple(warnings))
    if job.kind is JobKind.LIFT and result["lift"] is not None:
        yield Part(
            "effect", drawing=drawings.lift_chart(result, voice), table=tables.lift_table(result, voice)
        )
        yield Part("money", table=tables.money_table(result, voice))
    if job.kind is JobKind.LIFT and result["arms"]:
        yield Part(
            "arms",
            drawing=drawings.arms_chart(result, job, voice),
            table=tables.arms_table(result, job, voice),
        )
    if job.kind is JobKind.FUNNEL:
        yield Part(
            "funnel",
            drawing=drawings.funnel_chart(result, job, voice),
            table=tables.funnel_table(result, voice),
        )
    if result["groups"]:
        yield _groups(result, job, voice, rows)
    yield Part("totals", table=tables.totals_table(result, job, voice))
    yield Part("method", tuple(method(job, voice)))
    yield Part("learned", card=tuple(card_for(job).lines(voice.language)))
    yield Part("details", table=tables.details_table(result, job, voice))


def _groups(
    result: Mapping[str, Any], job: Job, voice: Voice, rows: Sequence[Mapping[str, Any]] | None
) -> Part:
    draw = drawings.tags_chart if job.kind is JobKind.PROFILE else drawings.groups_chart
    drawing, count = draw(result, voice)
    undrawn = unlisted = ""
    if count > drawings.MOST_BARS:
        shown = voice.count(drawings.MOST_BARS)
        undrawn = voice.say("chart_first", shown=shown, count=voice.count(count))
    table = tables.groups_table(result if rows is None else {**result, "groups": rows}, job, voice)
    if rows is None and table.whole > len(table.rows):
        unlisted = voice.say(
            "first_rows", shown=voice.count(MOST_ROWS), count=voice.count(table.whole), file=GROUPS_FILE
        )
    return Part("groups", drawing=drawing, undrawn=undrawn, table=table, unlisted=unlisted)
