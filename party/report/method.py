"""How the figures were made."""

from __future__ import annotations

from collections.abc import Iterator

from party.jobspec import Job, JobKind, SumSpec
from party.report.voice import Voice


def method(job: Job, voice: Voice) -> list[str]:
    """Return how the figures were made."""
    spec = job.sums
    if spec is None:
        raise ValueError("only grouped sums have this report")
    return list(_method(job, spec, voice))


def _method(job: Job, spec: SumSpec, voice: Voice) -> Iterator[str]:
    names = {"holder": voice.say(spec.group_holder), "values": voice.say(spec.value_holder)}
    yield voice.method("sum")
    people = "people_profile" if job.kind is JobKind.PROFILE else "people"
    yield voice.method(people, base=voice.method(f"base_{spec.base}"), **names)
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
    if job.side(spec.value_holder).values or job.side(spec.group_holder).cost is not None:
        yield voice.method("unit")
