"""What limits the use of the figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from federated.statistics import MINIMUM_CONVERSIONS
from party.figures import NOT_TOLD
from party.jobspec import Job, JobKind
from party.report.voice import Voice

Row = Mapping[str, Any]
# Groups with single figures withheld that are named one by one at most.
_MOST_NAMED: Final = 3


def cautions(result: Row, job: Job, voice: Voice) -> list[str]:
    """Return what limits the use of the figures, the gravest first; nothing where there are none to use."""
    if any(entry["figure"] == "totals" and entry["reason"] == NOT_TOLD for entry in result["withheld"]):
        return []
    return [
        *_lift_cautions(result, voice),
        *_released(result, voice),
        *_noise(result, voice),
        *_window_and_bounds(result, voice),
        *_no_effect(job, voice),
    ]


def _lift_cautions(result: Row, voice: Voice) -> Iterator[str]:
    evaluation = result.get("evaluation")
    if evaluation is None:
        return
    notes, ratio = evaluation["notes"], evaluation["sample_ratio"]
    if "sample_ratio_mismatch" in notes and ratio is not None:
        yield voice.say(
            "c_mismatch",
            control=voice.count(ratio["expected"]["control"]),
            test=voice.count(ratio["expected"]["test"]),
            p=voice.p_value(ratio["p_value"]),
        )
    if "incomplete_arm" in notes:
        yield voice.say("c_incomplete_arm")
    if "sample_ratio_unchecked" in notes:
        why = "c_incomplete_plan" if "incomplete_arm" in notes else "c_no_plan"
        yield voice.say("c_unchecked", why=voice.say(why))
    if not evaluation["enough_conversions"]:
        yield voice.say("c_few", least=voice.count(MINIMUM_CONVERSIONS))
    for column, lift in result["lift"].items():
        if lift is not None and "few_large_amounts" in lift["notes"]:
            yield voice.say("c_large", column=column)


def _released(result: Row, voice: Voice) -> Iterator[str]:
    partly = {voice.group(entry) for entry in result["withheld"] if "group" in entry}
    if len(partly) > _MOST_NAMED:
        yield voice.say("c_figures", count=voice.count(len(partly)))
    for entry in result["withheld"]:
        if "group" in entry and len(partly) > _MOST_NAMED:
            continue
        if entry.get("covers") is not None:
            if entry["figure"] == "totals":
                yield voice.say("c_released")
            continue
        where = ""
        name = str(entry["figure"])
        if "group" in entry:
            where = voice.say("c_where", group=voice.group(entry))
        elif "arm" in entry:
            where = voice.say("c_where", group=voice.say("arm_name", arm=str(entry["arm"])))
        elif name.startswith("totals."):
            where = voice.say("c_in_totals")
            name = name.removeprefix("totals.")
        figure = voice.named(name)
        yield voice.say("c_figure", figure=figure, where=where, reason=voice.reason(entry["reason"]))
    rules = result["suppressed_by"]
    if rules:
        parts = [
            voice.say("c_reason", count=voice.count(count), reason=voice.reason(rule))
            for rule, count in rules.items()
        ]
        key = "c_groups_one" if result["suppressed_groups"] == 1 else "c_groups"
        count = voice.count(result["suppressed_groups"])
        inner = voice.reason(next(iter(rules))) if len(rules) == 1 else voice.listed(parts)
        yield voice.say(key, count=count, reasons=inner)


def _noise(result: Row, voice: Voice) -> Iterator[str]:
    noise = result.get("noise")
    if noise is None:
        return
    matched_only = result["kind"] == "profile"
    key, name = ("c_noise_matched", "matched") if matched_only else ("c_noise", "converters")
    deviation = noise["standard_deviation"].get(name, 0.0)
    yield voice.say(key, epsilon=f"{noise['epsilon']:g}", deviation=voice.count(max(1.0, deviation)))


def _window_and_bounds(result: Row, voice: Voice) -> Iterator[str]:
    moved = result.get("moved")
    if moved is not None and moved["persons"]:
        days = max(int(days) for days in moved["days"])
        yield voice.say("c_moved", persons=voice.count(moved["persons"]), days=str(days))
    for side, clipped in result.get("clipped", {}).items():
        yield voice.say("c_clipped", side=voice.say(side), count=voice.count(clipped))


def _no_effect(job: Job, voice: Voice) -> Iterator[str]:
    if job.kind in (JobKind.MEASURE, JobKind.FUNNEL):
        yield voice.say("c_no_control")
    elif job.kind is JobKind.LIFT and len(job.label_columns) > 1:
        yield voice.say("c_order")
