"""The tables of a grouped sum for spreadsheets: one row per group, one per arm."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from party.jobspec import Job, JobKind
from party.rejects import guard_formula

Row = Mapping[str, Any]


def groups_csv(result: Row, job: Job) -> str:
    """Return groups.csv: label columns, then figures; empty where a figure was withheld, with the reason.

    A profile has ``tag`` and ``value`` beside the label. Cells that a spreadsheet would run as a formula are
    guarded. Numbers are plain: no grouping, a point before the decimals.
    """
    names = list(job.label_columns)
    tagged = job.kind is JobKind.PROFILE
    rows = []
    for row in result["groups"]:
        group = dict(row["group"])
        labels = [str(group.pop(name)) for name in names]
        if tagged:
            labels += [str(part) for part in next(iter(group.items()), ("", ""))]
        rows.append((labels, row))
    heads = [*names, *(("tag", "value") if tagged else ())]
    return _sheet(heads, rows)


def arms_csv(result: Row) -> str:
    """Return arms.csv, as :func:`groups_csv` with one column ``arm``."""
    return _sheet(["arm"], [([str(arm["arm"])], arm) for arm in result["arms"]])


def _sheet(heads: Sequence[str], rows: Sequence[tuple[list[str], Row]]) -> str:
    flat = [(labels, dict(_flat(row))) for labels, row in rows]
    # Withheld rows lack some figures: the columns are those of all rows, in the order of the first that has them.
    columns = list(dict.fromkeys(name for _, figures in flat for name in figures))
    if "withheld" in columns:
        columns.remove("withheld")
        columns.append("withheld")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([guard_formula(name) for name in (*heads, *columns)])
    for labels, figures in flat:
        cells = ["" if figures.get(name) is None else str(figures[name]) for name in columns]
        writer.writerow([*map(guard_formula, labels), *cells])
    return text.getvalue()


def _flat(row: Row) -> Iterator[tuple[str, Any]]:
    """Yield the figures of ``row`` under names of their own."""
    for name, figure in row.items():
        if name in ("group", "arm"):
            continue
        if name in ("rate", "share"):
            yield from _ends(name, figure)
        elif name == "sums":
            yield from ((f"sum_{column}", amount) for column, amount in figure.items())
        elif name == "stages":
            yield from ((f"stage_{stage}", count) for stage, count in figure.items())
        elif name == "mean":
            for column, estimate in figure.items():
                yield from _ends(f"mean_{column}", estimate)
        else:
            yield name, figure


def _ends(name: str, estimate: Row | None) -> Iterator[tuple[str, Any]]:
    for part, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
        yield name + suffix, None if estimate is None else estimate[part]
