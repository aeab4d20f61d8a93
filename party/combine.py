"""The result of both sides of a grouped sum together: for who runs both, as a rehearsal does.

The figures are the reader's, the bank's where both read. Of a withheld group the reader may know no more than that it
exists; the group holder's own report adds its label.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from federated.results import BELOW_MIN_GROUP
from party.contract import Contract
from party.effects import funnel_entries
from party.jobspec import SIDES, Job, JobKind, SumSpec

Report = Mapping[str, Any]


def combine(job: Job, contract: Contract, reports: Mapping[str, Report]) -> dict[str, Any]:
    """Return the combined result.json of the two sides' reports (`party.figures`, each with its ``party``)."""
    spec = job.sums
    if spec is None:
        raise ValueError("only grouped sums are combined")
    reader, own = reports[job.receivers[0]], reports[spec.group_holder]
    groups = list(_groups(job, reader, own))
    result = {
        **header(job, contract),
        "totals": reader["totals"],
        "groups": [_guarded(job, row) for row in groups],
        **{key: reader[key] for key in ("arms", "lift", "evaluation") if key in reader},
    }
    if job.kind is JobKind.FUNNEL:
        result["funnel"] = funnel_entries(
            job,
            spec,
            groups,
            reader.get("noise", {}).get("standard_deviation", {}),
            untold=False,
        )
    result |= {key: reader[key] for key in ("suppressed_groups", "suppressed_by")}
    result["withheld"] = reader["withheld"]
    if "noise" in reader:
        result["noise"] = reader["noise"]
    if "moved" in own:
        result["moved"] = own["moved"]
    clipped = {
        side: count for report in reports.values() for side, count in report.get("clipped", {}).items()
    }
    if clipped:
        result["clipped"] = clipped
    return result | {"parties": {side: reports[side]["party"] for side in SIDES}}


def header(job: Job, contract: Contract) -> dict[str, Any]:
    """Return what every result of a grouped sum begins with: the job, and how its figures are to be read."""
    spec = job.sums
    if spec is None:
        raise ValueError("only grouped sums have this header")
    head: dict[str, Any] = {
        "kind": job.kind.value,
        "job": contract.job,
        "contract": contract.hash.hex(),
        "suite": job.suite.id,
        "identifier": job.form.text,
        "receiver": job.receiver,
        "value_holder": spec.value_holder,
        "base": spec.base,
    }
    return head | _window(spec)


def _window(spec: SumSpec) -> dict[str, Any]:
    window = spec.window
    if window is None:
        return {}
    told: dict[str, Any] = {
        "days": window.days,
        "exposure": window.exposure,
        "timezone": window.timezone,
    }
    if window.retention_days is not None:
        told["retention_days"] = window.retention_days
    return {"window": told}


def _groups(job: Job, reader: Report, own: Report) -> Iterator[Mapping[str, Any]]:
    """Yield the reader's rows in the group holder's order, and its own row of a group that the reader lacks."""
    told: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in reader["groups"]:
        told.setdefault(_cell(job, row), []).append(row)
    cells: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for row in own["groups"]:
        cells.setdefault(_cell(job, row), row)
    for cell, row in cells.items():
        yield from told.get(cell, [row])


def _cell(job: Job, row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the label of the group that ``row`` is of; a profile's rows name a tag beside it."""
    return tuple(row["group"][column] for column in job.label_columns)


def _guarded(job: Job, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``row``, without a number of persons that is below the threshold and what would tell it."""
    small = row.get("withheld") == BELOW_MIN_GROUP and row["persons"] < job.min_group
    if not small:
        return dict(row)
    return {**{key: value for key, value in row.items() if key != "cost"}, "persons": None}
