"""The sentences of the report: what the figures say, what to beware of, how they were made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from federated.statistics import MINIMUM_CONVERSIONS
from party.jobspec import Job, JobKind, SumSpec
from party.report.voice import Voice

Row = Mapping[str, Any]
# A group is called the best by its rate only with so many converters at least.
_ENOUGH_FOR_BEST: Final = 30
_NOT_TOLD: Final = "not_told_by_contract"


def headlines(result: Row, job: Job, voice: Voice) -> list[str]:
    """Return what a reader has to know first."""
    reasons = {entry["reason"] for entry in result["withheld"] if entry["figure"] == "totals"}
    if _NOT_TOLD in reasons:
        readers = [voice.say(side) for side in job.receivers]
        return [voice.say("h_untold", reader=voice.say("and").join(readers))]
    if "all_withheld" in reasons:
        return [voice.say("h_all_withheld")]
    match job.kind:
        case JobKind.LIFT:
            return list(_lift(result, voice))
        case JobKind.FUNNEL:
            return list(_funnel(result, voice))
        case JobKind.PROFILE:
            return list(_profile(result, job, voice))
        case _:
            return list(_measure(result, voice))


def label(row: Row, voice: Voice) -> str:
    """Return the name of a group."""
    return voice.listed([str(part) for part in row["group"].values()]) or voice.say("totals")


def _lift(result: Row, voice: Voice) -> Iterator[str]:
    if result["lift"] is None:
        yield voice.say("h_all_withheld")
        return
    evaluation, rates = result["evaluation"], result["lift"]["converters"]
    if "sample_ratio_mismatch" in evaluation["notes"]:
        yield voice.say("h_mismatch")
    added = evaluation["incremental"]
    if added["value"] is not None:
        span = voice.interval(added, "count", signed=True)
        if added["low"] <= 0 <= added["high"]:
            yield voice.say("h_unclear", added=voice.count(added["value"], signed=True), span=span)
        elif added["value"] > 0:
            yield voice.say(
                "h_gain",
                added=voice.count(added["value"]),
                span=voice.interval(added, "count"),
                price=_price(evaluation, voice),
            )
        else:
            yield voice.say("h_loss", added=voice.count(-added["value"]), span=span)
    if rates["control"] is not None and rates["test"] is not None:
        relative = ""
        if rates["relative"] is not None:
            bounds = {"low": rates["relative_low"], "high": rates["relative_high"]}
            relative = voice.say(
                "h_relative",
                relative=voice.percent(rates["relative"], signed=True),
                span=voice.interval(bounds, signed=True),
            )
        yield voice.say(
            "h_rates",
            test=voice.percent(rates["test"]),
            control=voice.percent(rates["control"]),
            relative=relative,
        )
    for column, figure in evaluation["incremental_values"].items():
        if figure is not None and figure["value"] is not None:
            yield voice.say(
                "h_value",
                column=column,
                added=voice.amount(figure["value"], signed=True),
                span=voice.interval(figure, "amount", signed=True),
            )
        returned = evaluation["return_on_spend"].get(column)
        if returned is not None and returned["value"] is not None:
            yield voice.say(
                "h_return",
                column=column,
                value=voice.amount(returned["value"]),
                span=voice.interval(returned, "amount"),
            )


def _price(evaluation: Row, voice: Voice) -> str:
    price = evaluation["cost_per_incremental"]
    if price is None or price["value"] is None:
        return ""
    return voice.say("h_price", cost=voice.amount(price["value"]), span=voice.interval(price, "amount"))


def _measure(result: Row, voice: Voice) -> Iterator[str]:
    totals = result["totals"]
    window = result.get("window")
    rate = totals.get("rate")
    if rate is not None and rate["value"] is not None:
        within = "" if window is None else voice.say("h_window", days=str(window["days"]))
        yield voice.say(
            "h_converted",
            converters=voice.count(totals["converters"]),
            persons=voice.count(totals["persons"]),
            window=within,
            rate=voice.percent(rate["value"]),
            span=voice.interval(rate),
        )
    if totals["conversions"] is not None:
        yield voice.say("h_conversions", conversions=voice.count(totals["conversions"]))
    for column, amount in totals["sums"].items():
        if amount is not None:
            yield voice.say("h_sum", column=column, amount=voice.decimal(amount))
    yield from _best(result["groups"], voice)


def _best(groups: list[Row], voice: Voice) -> Iterator[str]:
    rated = [row for row in groups if row.get("rate") is not None and row["rate"]["value"] is not None]
    enough = [row for row in rated if row["converters"] >= _ENOUGH_FOR_BEST]
    if len(rated) > 1 and enough:
        best = max(enough, key=lambda row: float(row["rate"]["value"]))
        yield voice.say(
            "h_best",
            group=label(best, voice),
            rate=voice.percent(best["rate"]["value"]),
            span=voice.interval(best["rate"]),
        )


def _funnel(result: Row, voice: Voice) -> Iterator[str]:
    first, last = result["funnel"][0], result["funnel"][-1]
    if last["of_first"] is not None and last["of_first"]["value"] is not None:
        yield voice.say(
            "h_funnel",
            persons=voice.count(first["persons"]),
            first=first["stage"],
            reached=voice.count(last["persons"]),
            last=last["stage"],
            share=voice.percent(last["of_first"]["value"]),
            span=voice.interval(last["of_first"]),
        )
    previous = None
    for step in result["funnel"]:
        if step["persons"] is not None:
            share = step["of_previous"]
            if previous is None or share is None or share["value"] is None:
                yield voice.say("h_step_first", persons=voice.count(step["persons"]), stage=step["stage"])
            else:
                yield voice.say(
                    "h_step",
                    persons=voice.count(step["persons"]),
                    stage=step["stage"],
                    share=voice.percent(share["value"]),
                    previous=previous,
                )
        previous = step["stage"]
    totals, window = result["totals"], result.get("window", {})
    if totals.get("retained") is not None and totals["converters"]:
        yield voice.say(
            "h_retained",
            retained=voice.count(totals["retained"]),
            share=voice.percent(totals["retained"] / totals["converters"]),
            days=str(window.get("retention_days")),
        )


def _profile(result: Row, job: Job, voice: Voice) -> Iterator[str]:
    totals, spec = result["totals"], job.sums
    if spec is not None and totals["matched"] is not None:
        yield voice.say(
            "h_matched",
            matched=voice.count(totals["matched"]),
            persons=voice.count(totals["persons"]),
            holder=voice.say(spec.group_holder),
        )
    labels = {tuple(row["group"][name] for name in job.label_columns) for row in result["groups"]}
    if len(labels) != 1:
        return
    columns: dict[str, list[Row]] = {}
    for row in result["groups"]:
        if row["matched"] is not None:
            columns.setdefault(list(row["group"])[-1], []).append(row)
    for column, rows in columns.items():
        top = max(rows, key=lambda row: int(row["matched"]))
        if top["share"]["value"] is not None:
            share = voice.percent(top["share"]["value"])
            yield voice.say("h_top_tag", column=column, value=top["group"][column], share=share)


# -- cautions


def cautions(result: Row, job: Job, voice: Voice) -> list[str]:
    """Return what limits the use of the figures, the gravest first; nothing where there are none to use."""
    if any(entry["figure"] == "totals" and entry["reason"] == _NOT_TOLD for entry in result["withheld"]):
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
    for entry in result["withheld"]:
        if entry.get("covers") is not None:
            if entry["figure"] == "totals":
                yield voice.say("c_released")
            continue
        where = ""
        name = str(entry["figure"])
        if "group" in entry:
            where = voice.say("c_where", group=label(entry, voice))
        elif "arm" in entry:
            where = voice.say("c_where", group=voice.say("arm_name", arm=str(entry["arm"])))
        elif name.startswith("totals."):
            where = voice.say("c_where", group=voice.say("totals"))
            name = name.removeprefix("totals.")
        figure = figure_name(name, voice)
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


def figure_name(name: str, voice: Voice) -> str:
    """Return how a person calls the figure ``name`` of result.json."""
    kind, _, column = name.partition(".")
    match kind:
        case "sums":
            return voice.say("sum_of", column=column)
        case "stages":
            return column
        case "totals" | "conversions" | "converters" | "retained":
            return voice.say(kind)
        case "lift":
            return voice.say("effect")
        case _:
            return name


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


# -- method


def method(job: Job, voice: Voice) -> list[str]:
    """Return how the figures were made."""
    spec = job.sums
    if spec is None:
        raise ValueError("only grouped sums have this report")
    return list(_method(job, spec, voice))


def _method(job: Job, spec: SumSpec, voice: Voice) -> Iterator[str]:
    names = {"holder": voice.say(spec.group_holder), "values": voice.say(spec.value_holder)}
    yield voice.method("sum")
    yield voice.method("people", base=voice.method(f"base_{spec.base}"), **names)
    if spec.window is not None:
        yield voice.method(
            "window",
            exposure=voice.method(spec.window.exposure),
            days=str(spec.window.days),
            timezone=spec.window.timezone,
        )
    elif job.kind is not JobKind.PROFILE:
        yield voice.method("no_window", values=names["values"])
    if job.kind is JobKind.PROFILE:
        yield voice.method("tags")
        yield voice.method("thresholds_profile", min_group=voice.count(job.min_group))
    else:
        yield voice.method("wilson")
        if spec.arms is not None:
            yield voice.method("itt", control=spec.arms.control)
            yield voice.method("difference")
        if job.kind is JobKind.FUNNEL:
            yield voice.method("nested", **names)
        yield voice.method(
            "thresholds",
            min_group=voice.count(job.min_group),
            min_converters=voice.count(spec.min_converters),
            dominance=voice.method("dominance") if spec.dominance else "",
        )
    if spec.epsilon is None:
        yield voice.method("exact")
    yield voice.method("unit")
