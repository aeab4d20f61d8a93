"""The tables of the report, as text in one language: the page shows them, and a chart stands beside its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from party.jobspec import SIDES, Job, JobKind
from party.report.voice import Voice

Row = Mapping[str, Any]
# Rows of a table on the page; groups.csv has all of them.
MOST_ROWS: Final = 300
_COUNTS: Final = ("matched", "converters", "conversions")


@dataclass(frozen=True, slots=True)
class Table:
    """Column names, of which the first ``texts`` hold text, and rows of cells; ``whole`` counts all rows."""

    columns: tuple[str, ...]
    texts: int
    rows: tuple[tuple[str, ...], ...]
    whole: int
    remarks: bool = False


def groups_table(result: Row, job: Job, voice: Voice) -> Table:
    """Return the groups, withheld ones with their reason."""
    rows = result["groups"][:MOST_ROWS]
    cells = [
        _profile_row(row, job, voice) if _tagged(job) else _group_row(row, job, result["groups"], voice)
        for row in rows
    ]
    names = list(_group_columns(result, job, voice))
    texts = len(job.label_columns) + (2 if _tagged(job) else 0)
    return _table(names, texts, cells, [_remark(row, voice) for row in rows], len(result["groups"]), voice)


def totals_table(result: Row, job: Job, voice: Voice) -> Table:
    """Return both sides' sizes and the totals."""
    totals = result["totals"]
    rows = [(voice.say(f"{side}_persons"), voice.count(totals[f"{side}_persons"])) for side in SIDES]
    people = voice.say("persons_all" if totals["complete"] else "persons_shown")
    rows.append((people, _count(totals["persons"], voice)))
    for name in (*_COUNTS, "retained"):
        if name in totals:
            rows.append((voice.say(name), _count(totals[name], voice)))
    for stage, count in totals.get("stages", {}).items():
        rows.append((stage, _count(count, voice)))
    for column, amount in totals.get("sums", {}).items():
        rows.append((voice.say("sum_of", column=column), _decimal(amount, voice)))
    if "cost" in totals:
        rows.append((voice.say("cost"), voice.decimal(totals["cost"])))
    return Table((voice.say("figure"), voice.say("value")), 1, tuple(rows), len(rows))


def arms_table(result: Row, job: Job, voice: Voice) -> Table:
    """Return the arms of a lift."""
    arms = result["arms"]
    names = [voice.say("arm"), *_figure_columns(arms, voice)]
    cells = [(str(arm["arm"]), *_figure_cells(arm, arms, voice)) for arm in arms]
    return _table(names, 1, cells, [_remark(arm, voice) for arm in arms], len(arms), voice)


def lift_table(result: Row, voice: Voice) -> Table:
    """Return test against control per figure."""
    keys = ("metric", "control", "test", "absolute", "interval", "relative", "interval", "p_value")
    cells, remarks = [], []
    for name, lift in result["lift"].items():
        shares = name == "converters"
        title = voice.say("rate") if shares else voice.say("mean_of", column=name)
        if lift is None:
            cells.append((title, *[voice.say("nothing")] * (len(keys) - 1)))
            remarks.append("")
            continue
        kind = "percent" if shares else "amount"
        difference = _points(lift, voice) if shares else _amounts(lift, voice)
        relative = {"low": lift["relative_low"], "high": lift["relative_high"]}
        cells.append(
            (
                title,
                voice.figure(lift["control"], kind) or voice.say("nothing"),
                voice.figure(lift["test"], kind) or voice.say("nothing"),
                *difference,
                voice.figure(lift["relative"], "percent", signed=True) or voice.say("nothing"),
                voice.interval(relative, signed=True),
                voice.p_value(lift["p_value"]),
            )
        )
        remarks.append(voice.listed([voice.note(note) for note in lift["notes"]]))
    return _table([voice.say(key) for key in keys], 1, cells, remarks, len(cells), voice)


def money_table(result: Row, voice: Voice) -> Table:
    """Return what the campaign brought and cost."""
    evaluation = result["evaluation"]
    entries = [(voice.say("incremental_converters"), evaluation["incremental"], "count", True)]
    for column, added in evaluation["incremental_values"].items():
        entries.append((voice.say("incremental_value", column=column), added, "amount", True))
    if evaluation["cost_per_incremental"] is not None:
        entries.append((voice.say("cost_each"), evaluation["cost_per_incremental"], "amount", False))
    for column, returned in evaluation["return_on_spend"].items():
        entries.append((voice.say("return_of", column=column), returned, "amount", False))
    nothing = voice.say("nothing")
    cells, remarks = [], []
    if evaluation["cost"] is not None:
        cells.append((voice.say("cost"), voice.decimal(evaluation["cost"]), nothing))
        remarks.append("")
    for title, figure, kind, signed in entries:
        if figure is None:
            cells.append((title, nothing, nothing))
            remarks.append("")
            continue
        value = voice.figure(figure["value"], kind, signed=signed) or nothing
        cells.append((title, value, voice.interval(figure, kind, signed=signed)))
        remarks.append(voice.listed([voice.note(note) for note in figure.get("notes", [])]))
    names = [voice.say("figure"), voice.say("value"), voice.say("interval")]
    return _table(names, 1, cells, remarks, len(cells), voice)


def funnel_table(result: Row, voice: Voice) -> Table:
    """Return the stages of a funnel."""
    keys = ("stage", "side", "persons", "of_previous", "interval", "of_first", "interval")
    rows = []
    for step in result["funnel"]:
        shares: list[str] = []
        for key in ("of_previous", "of_first"):
            share = step[key]
            shown = None if share is None else voice.figure(share["value"], "percent")
            shares += [
                shown or voice.say("nothing"),
                voice.say("nothing") if share is None else voice.interval(share),
            ]
        rows.append((step["stage"], voice.say(step["side"]), _count(step["persons"], voice), *shares))
    return Table(tuple(voice.say(key) for key in keys), 2, tuple(rows), len(rows))


def details_table(result: Row, job: Job, voice: Voice) -> Table:
    """Return which job this was, and what became of the rows."""
    rows = [(voice.say(f"d_{key}"), str(result[key])) for key in ("job", "contract") if key in result]
    rows += [
        (voice.say("d_identifier"), job.form.text),
        (voice.say("d_suite"), job.suite.id),
        (voice.say("d_receiver"), voice.say("and").join(voice.say(side) for side in job.receivers)),
    ]
    for side, party in result.get("parties", {}).items():
        if "rows_read" in party:
            rejected = sum(party.get("rejected", {}).values())
            rows.append((voice.say("d_rows", side=voice.say(side)), voice.count(party["rows_read"])))
            rows.append((voice.say("d_rejected", side=voice.say(side)), voice.count(rejected)))
    return Table((voice.say("figure"), voice.say("value")), 2, tuple(rows), len(rows))


# -- rows of groups and arms


def _tagged(job: Job) -> bool:
    return job.kind is JobKind.PROFILE


def _group_columns(result: Row, job: Job, voice: Voice) -> Iterator[str]:
    yield from job.label_columns
    if _tagged(job):
        yield from map(voice.say, ("tag", "tag_value", "persons", "matched", "share", "interval"))
    else:
        yield from _figure_columns(result["groups"], voice)


def _profile_row(row: Row, job: Job, voice: Voice) -> tuple[str, ...]:
    group = dict(row["group"])
    parts = [str(group.pop(column)) for column in job.label_columns]
    column, value = next(iter(group.items())) if group else (voice.say("nothing"), voice.say("nothing"))
    share = row.get("share")
    return (
        *parts,
        str(column),
        str(value),
        _count(row["persons"], voice),
        _count(row["matched"], voice),
        voice.say("nothing")
        if share is None
        else (voice.figure(share["value"], "percent") or voice.say("nothing")),
        voice.say("nothing") if share is None else voice.interval(share),
    )


def _group_row(row: Row, job: Job, rows: Sequence[Row], voice: Voice) -> tuple[str, ...]:
    parts = [str(row["group"][column]) for column in job.label_columns]
    return (*parts, *_figure_cells(row, rows, voice))


def _figure_columns(rows: Sequence[Row], voice: Voice) -> Iterator[str]:
    yield from map(voice.say, ("persons", *_COUNTS, "rate", "interval"))
    example = rows[0] if rows else {}
    yield from example.get("stages", {})
    if "retained" in example:
        yield voice.say("retained")
    for column in example.get("sums", {}):
        yield voice.say("sum_of", column=column)
        yield voice.say("mean_of", column=column)
        yield voice.say("interval")
    if any("cost" in row for row in rows):
        yield voice.say("cost")


def _figure_cells(row: Row, rows: Sequence[Row], voice: Voice) -> Iterator[str]:
    nothing = voice.say("nothing")
    for name in ("persons", *_COUNTS):
        yield _count(row[name], voice)
    yield from _estimate_cells(row.get("rate"), "percent", voice)
    for count in row.get("stages", {}).values():
        yield _count(count, voice)
    if "retained" in row:
        yield _count(row["retained"], voice)
    for column, amount in row["sums"].items():
        yield _decimal(amount, voice)
        yield from _estimate_cells(row["mean"][column], "amount", voice)
    if any("cost" in each for each in rows):
        yield voice.decimal(row["cost"]) if "cost" in row else nothing


def _estimate_cells(estimate: Row | None, kind: str, voice: Voice) -> tuple[str, str]:
    if estimate is None:
        return voice.say("nothing"), voice.say("nothing")
    return voice.figure(estimate["value"], kind) or voice.say("nothing"), voice.interval(estimate, kind)


def _remark(row: Row, voice: Voice) -> str:
    """Return why the row, or some of its figures, are withheld."""
    if "withheld" in row:
        return voice.say("withheld", reason=voice.reason(row["withheld"]))
    missing = [name for name in (*_COUNTS, "retained") if name in row and row[name] is None]
    missing += [f"stages.{name}" for name, count in row.get("stages", {}).items() if count is None]
    missing += [f"sums.{name}" for name, amount in row.get("sums", {}).items() if amount is None]
    if not missing:
        return ""
    names = voice.listed([voice.named(name) for name in missing])
    return names + voice.say("colon") + voice.say("withheld", reason=voice.reason("below_min_converters"))


def _points(lift: Row, voice: Voice) -> tuple[str, str]:
    value = lift["absolute"]
    return voice.say("nothing") if value is None else voice.points(value), voice.interval(lift, "points")


def _amounts(lift: Row, voice: Voice) -> tuple[str, str]:
    value = voice.figure(lift["absolute"], "amount", signed=True) or voice.say("nothing")
    return value, voice.interval(lift, "amount", signed=True)


def _count(count: int | None, voice: Voice) -> str:
    return voice.say("nothing") if count is None else voice.count(count)


def _decimal(amount: str | None, voice: Voice) -> str:
    return voice.say("nothing") if amount is None else voice.decimal(amount)


def _table(
    names: Sequence[str],
    texts: int,
    cells: Sequence[tuple[str, ...]],
    remarks: Sequence[str],
    whole: int,
    voice: Voice,
) -> Table:
    """Return a table, with a column of remarks where there are any."""
    if not any(remarks):
        return Table(tuple(names), texts, tuple(cells), whole)
    rows = tuple((*row, remark) for row, remark in zip(cells, remarks, strict=True))
    return Table((*names, voice.say("remarks")), texts, rows, whole, remarks=True)
