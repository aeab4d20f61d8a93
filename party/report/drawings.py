"""Which charts a result gets, with what in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from xml.etree.ElementTree import Element  # built here, never parsed

from party.jobspec import Job
from party.report.charts import Bar, chart
from party.report.voice import Voice

Row = Mapping[str, Any]
# Bars of one chart: more can't be read at a glance.
MOST_BARS: Final = 24


def lift_chart(result: Row, voice: Voice) -> Element | None:
    """Return the relative changes with their intervals; all in per cent, so that figures can stand together."""
    bars = []
    for name, lift in (result.get("lift") or {}).items():
        if lift is None or lift["relative"] is None:
            continue
        title = voice.say("rate") if name == "converters" else voice.say("mean_of", column=name)
        span = voice.interval({"low": lift["relative_low"], "high": lift["relative_high"]}, signed=True)
        text = voice.beside(voice.percent(lift["relative"], signed=True), span)
        bars.append(Bar(title, text, lift["relative"], lift["relative_low"], lift["relative_high"]))
    return _drawn(bars, "lift", voice, dots=True)


def arms_chart(result: Row, job: Job, voice: Voice) -> Element | None:
    """Return the arms' rates; control stands out."""
    control = job.sums.arms.control if job.sums is not None and job.sums.arms is not None else None
    bars = [
        bar
        for arm in result.get("arms", [])
        if (bar := _rated(str(arm["arm"]), arm.get("rate"), voice, accent=arm["arm"] != control)) is not None
    ]
    return _drawn(bars, "arms", voice)


def groups_chart(result: Row, voice: Voice) -> tuple[Element | None, int]:
    """Return the largest groups' rates, in the order of the table, and how many groups could be drawn."""
    rows = [row for row in result["groups"] if _has(row.get("rate"))]
    largest = sorted(rows, key=lambda row: -int(row["persons"]))[:MOST_BARS]
    kept = {id(row) for row in largest}
    bars = [_rated(voice.group(row), row["rate"], voice) for row in rows if id(row) in kept]
    return _drawn([bar for bar in bars if bar is not None], "groups", voice), len(rows)


def tags_chart(result: Row, voice: Voice) -> tuple[Element | None, int]:
    """Return the most frequent tags' shares, and how many could be drawn."""
    rows = [row for row in result["groups"] if _has(row.get("share"))]
    largest = sorted(rows, key=lambda row: -float(row["share"]["value"]))[:MOST_BARS]
    kept = {id(row) for row in largest}
    bars = [_rated(voice.group(row), row["share"], voice) for row in rows if id(row) in kept]
    return _drawn([bar for bar in bars if bar is not None], "tags", voice), len(rows)


def funnel_chart(result: Row, job: Job, voice: Voice) -> Element | None:
    """Return the persons per stage; the value holder's stages stand out."""
    bars = []
    for step in result.get("funnel", []):
        if step["persons"] is None:
            continue
        text = voice.count(step["persons"])
        if _has(step["of_previous"]):
            text = voice.beside(text, voice.percent(step["of_previous"]["value"]))
        accent = job.sums is not None and step["side"] == job.sums.value_holder
        name = voice.beside(str(step["stage"]), voice.say(step["side"]))
        bars.append(Bar(name, text, float(step["persons"]), accent=accent))
    return _drawn(bars, "funnel", voice, counts=True)


def _has(estimate: Row | None) -> bool:
    return estimate is not None and estimate["value"] is not None


def _rated(name: str, estimate: Row | None, voice: Voice, *, accent: bool = False) -> Bar | None:
    if estimate is None or estimate["value"] is None:
        return None
    text = voice.beside(voice.percent(estimate["value"]), voice.interval(estimate))
    return Bar(name, text, estimate["value"], estimate["low"], estimate["high"], accent)


def _drawn(
    bars: Sequence[Bar], name: str, voice: Voice, *, dots: bool = False, counts: bool = False
) -> Element | None:
    if not bars:
        return None

    def axis(tick: float) -> str:
        return voice.count(tick) if counts else voice.percent(tick, signed=dots)

    title = voice.say(f"chart_{name}")
    return chart(bars, name=f"{name}-{voice.language}", title=title, axis=axis, dots=dots)
