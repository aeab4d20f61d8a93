"""What the figures say, in the sentences that a reader sees first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from party.effects import ALL_WITHHELD
from party.figures import NOT_TOLD
from party.jobspec import Job, JobKind
from party.report.voice import Voice

Row = Mapping[str, Any]
# A group is called the best by its rate only with so many converters at least.
_ENOUGH_FOR_BEST: Final = 30
# The most frequent tag is named for so many groups and columns at most.
_MOST_TOP_TAGS: Final = 6


def headlines(result: Row, job: Job, voice: Voice) -> list[str]:
    """Return what a reader has to know first."""
    reasons = {entry["reason"] for entry in result["withheld"] if entry["figure"] == "totals"}
    if NOT_TOLD in reasons:
        readers = [voice.say(side) for side in job.receivers]
        return [voice.say("h_untold", reader=voice.say("and").join(readers))]
    if ALL_WITHHELD in reasons:
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
            group=voice.group(best),
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
    elif first["persons"] is not None:
        yield voice.say("h_step_first", persons=voice.count(first["persons"]), stage=first["stage"])
    previous = first["stage"]
    for step in result["funnel"][1:]:
        if step["persons"] is not None:
            share = step["of_previous"]
            if share is None or share["value"] is None:
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
            converters=voice.count(totals["converters"]),
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
    # (label of the group, tag column) -> its tags
    columns: dict[tuple[str, str], list[Row]] = {}
    for row in result["groups"]:
        if row["matched"] is not None:
            name = voice.listed([str(row["group"][column]) for column in job.label_columns])
            columns.setdefault((name, list(row["group"])[-1]), []).append(row)
    if len(columns) > _MOST_TOP_TAGS:
        return
    alone = len({name for name, _ in columns}) == 1
    for (name, column), rows in columns.items():
        top = max(rows, key=lambda row: int(row["matched"]))
        if top["share"]["value"] is not None:
            share = voice.percent(top["share"]["value"])
            told = {"column": column, "value": top["group"][column], "share": share}
            yield voice.say("h_top_tag", **told) if alone else voice.say("h_top_tag_of", group=name, **told)
