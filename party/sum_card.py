"""What each side of a grouped sum learns: the part of the leakage table for profile, measure, lift and funnel.

It follows federated/SPEC.md, section 16; whoever changes what the roles reveal changes this with it.
"""

from __future__ import annotations

from collections.abc import Iterator

from party.jobspec import CUSTOMERS_BASE, Job, JobKind, SumSpec
from party.statements import Statement


def sum_settings(job: Job, spec: SumSpec) -> dict[str, str | int]:
    """Return the settings that the card of a grouped sum shows beside those of every card."""
    settings: dict[str, str | int] = {"value_holder": spec.value_holder, "base": spec.base}
    if job.kind is not JobKind.PROFILE:
        settings["min_converters"] = spec.min_converters
    if _dominance_holds(job, spec):
        settings["dominance"] = spec.dominance
    if spec.window is not None:
        settings |= {
            "days": spec.window.days,
            "exposure": spec.window.exposure,
            "timezone": spec.window.timezone,
        }
    if spec.arms is not None:
        settings |= {"arms": spec.arms.column, "control": spec.arms.control}
    return settings | {"key_bits": spec.key_bits}


def sum_sections(job: Job, spec: SumSpec) -> dict[str, tuple[Statement, ...]]:
    """Return the statements of a grouped sum by section: bank, platform, nobody, beyond."""
    learned = {
        spec.value_holder: tuple(_value_holder(job, spec)),
        spec.group_holder: tuple(_group_holder(job, spec)),
    }
    return {
        "bank": learned["bank"],
        "platform": learned["platform"],
        "nobody": tuple(_nobody(job, spec)),
        "beyond": tuple(_beyond(job, spec)),
    }


def _value_holder(job: Job, spec: SumSpec) -> Iterator[Statement]:
    other = spec.group_holder
    # The announcement: cells, their totals, units with day and size.
    if spec.window is None:
        yield Statement("cells", {"other": other})
    else:
        yield Statement("cells_by_day", {"other": other, "min_group": job.min_group})
    if spec.arms is not None:
        yield Statement("arms_of_cells", {})
    # What it decrypts in clear, whoever reads the table.
    counted = "matches_of_cells" if job.kind is JobKind.PROFILE else "counts_of_cells"
    yield Statement(counted, {"other": other})
    if spec.value_holder not in job.receivers:
        yield Statement("no_table", {})
        return
    yield Statement("labels", {})
    if spec.arms is not None:
        yield Statement("arm_names", {})
    yield from _table(job, spec)
    if job.side(other).cost is not None:
        yield Statement("costs", {"other": other})
    if spec.window is not None:
        yield Statement("moved", {})
    if _dominance_holds(job, spec):
        yield Statement("dominated_sums", {})
    if job.both:
        yield Statement("table_first", {"other": other})


def _group_holder(job: Job, spec: SumSpec) -> Iterator[Statement]:
    other = spec.value_holder
    yield Statement("other_size" if spec.base == CUSTOMERS_BASE else "other_converters", {"other": other})
    if job.side(other).tags:
        yield Statement("tag_values", {"other": other, "columns": _listed(job.side(other).tags)})
    yield Statement("hits" if spec.window is None else "hits_by_day", {"other": other})
    yield Statement("linked_rows", {"other": other})
    yield Statement("verdict", {})
    if spec.group_holder not in job.receivers:
        yield Statement("no_table", {})
        return
    yield from _table(job, spec)
    if _dominance_holds(job, spec) and not job.both:
        yield Statement("dominated_sums", {})


def _table(job: Job, spec: SumSpec) -> Iterator[Statement]:
    side = job.side(spec.value_holder)
    if job.kind is JobKind.PROFILE:
        yield Statement("tag_figures", {"columns": _listed(side.tags), "min_group": job.min_group})
    else:
        yield Statement("figures", {})
    if side.stages:
        yield Statement("stage_figures", {"columns": _listed(side.stages)})
    if spec.window is not None and spec.window.retention_days is not None:
        yield Statement("retained", {"days": spec.window.retention_days})
    if side.values:
        yield Statement("sums", {"columns": _listed([value.column for value in side.values])})
    yield Statement("totals", {})
    yield Statement("withheld", {})


def _nobody(job: Job, spec: SumSpec) -> Iterator[Statement]:
    yield Statement("unnamed", {})
    yield Statement("no_identifiers", {})
    yield Statement("one_sided", {})
    if job.kind is JobKind.PROFILE:
        yield Statement("thresholds_profile", {"min_group": job.min_group})
    else:
        matched = spec.base == CUSTOMERS_BASE
        least: dict[str, str | int] = {"min_group": job.min_group, "min_converters": spec.min_converters}
        yield Statement("thresholds_matched" if matched else "thresholds", least)
    if _dominance_holds(job, spec):
        yield Statement("dominance", {"dominance": spec.dominance})


def _beyond(job: Job, spec: SumSpec) -> Iterator[Statement]:
    parties: dict[str, str | int] = {"groups": spec.group_holder, "values": spec.value_holder}
    for keeper in job.seed_keepers:
        held = "values" if keeper == spec.value_holder else "groups"
        yield Statement(f"kept_seed_{held}", {"keeper": keeper})
    if spec.epsilon is None:
        yield Statement("exact_figures", {})
    else:
        yield Statement("noise", {"epsilon": f"{float(spec.epsilon):g}", "groups": spec.group_holder})
    yield Statement("differencing", {})
    yield Statement("last_member", {})
    if job.side(spec.value_holder).values:
        yield Statement("single_amounts", {})
        if spec.epsilon is None and spec.dominance == 0:
            yield Statement("no_dominance", {})
    yield Statement("padded_groups", parties)
    yield Statement("coded_values", {"values": spec.value_holder})
    if spec.group_holder in job.receivers:
        yield Statement("repeated_rows", {"groups": spec.group_holder})
    yield Statement("false_input", {})
    yield Statement("wrong_figures", {})
    yield Statement("stopping", {})
    yield Statement("wire_sums", {})


def _dominance_holds(job: Job, spec: SumSpec) -> bool:
    """Whether the dominance rule withholds anything: with noise it is off (federated/SPEC.md, section 14)."""
    return bool(job.side(spec.value_holder).values) and spec.dominance > 0 and spec.epsilon is None


def _listed(columns: tuple[str, ...] | list[str]) -> str:
    return ", ".join(columns)
