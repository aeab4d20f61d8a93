"""``veiljoin dataset check``: how much of a file can be used, and why not the rest."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cli.display import open_display
from party.estimate import rows_estimate
from party.identifiers import REASON_TEXT, parse_form
from party.inspection import Inspection, inspect
from party.jobfile import SideSpec
from party.progress import Progress
from party.runner import open_side
from psi.errors import UsageError

_TEXT: Final = {
    "en": {
        "file": "{path}: {format}, {encoding}{delimiter}, {columns} columns",
        "rows": "rows            {0:>12,}",
        "usable": "usable          {0:>12,}  ({1:.2%})",
        "persons": "persons         {0:>12,}",
        "duplicates": "duplicate rows  {0:>12,}",
        "rejected": "rejected rows   {0:>12,}",
        "tier": "  tier {label}: {count:,} persons",
        "written": "The rejected rows are in {path}.",
        "delimiter": ", delimiter {0!r}",
    },
    "zh": {
        "file": "{path}：{format}，{encoding}{delimiter}，{columns} 列",
        "rows": "行数      {0:>12,}",
        "usable": "可用行    {0:>12,}  ({1:.2%})",
        "persons": "人数      {0:>12,}",
        "duplicates": "重复行    {0:>12,}",
        "rejected": "剔除行    {0:>12,}",
        "tier": "  层级 {label}：{count:,} 人",
        "written": "剔除的行已写入 {path}。",
        "delimiter": "，分隔符 {0!r}",
    },
}


def check(arguments: argparse.Namespace) -> int:
    """Run the command; returns the exit status: 2 when no row can be used."""
    spec = SideSpec(
        identifier=arguments.column,
        tier=arguments.tier,
        region=arguments.region,
        delimiter=arguments.delimiter,
        encoding=arguments.encoding,
    )
    form = parse_form(arguments.identifier)
    dataset = open_side(spec, arguments.file)
    with (
        tempfile.TemporaryDirectory(prefix="veiljoin-") as scratch,
        open_display(arguments.json, arguments.lang) as display,
    ):
        progress = Progress(lambda event: display.show("own", event))
        with progress.phase("check", rows_estimate(dataset)):
            found = inspect(dataset, spec, form, Path(scratch) / "work", progress, arguments.rejects)
    if arguments.json:
        print(json.dumps(_as_data(found, str(dataset.path)), ensure_ascii=False))
    else:
        facts = {
            "path": dataset.path,
            "format": dataset.format,
            "encoding": dataset.encoding,
            "delimiter": dataset.delimiter,
            "columns": len(dataset.columns),
        }
        for line in _lines(found, facts, arguments.lang, arguments.rejects):
            print(line)
    if found.persons == 0:
        raise UsageError(
            f"None of the {found.rows:,} rows of {dataset.path} can be used: column {spec.identifier!r} "
            f"holds no valid {form.text}.",
            hint="check that the column is right and that --identifier says its form",
            code="all_rejected",
        )
    return 0


def _as_data(found: Inspection, path: str) -> dict[str, Any]:
    return {
        "file": path,
        "rows": found.rows,
        "rejected": dict(found.rejected),
        "unique_persons": found.persons,
        "duplicates": found.duplicates,
        "tiers": found.tiers,
    }


def _lines(found: Inspection, facts: dict[str, Any], language: str, rejects: Path | None) -> Iterator[str]:
    text = _TEXT[language]
    delimiter = text["delimiter"].format(facts["delimiter"]) if facts["delimiter"] else ""
    yield text["file"].format(**{**facts, "delimiter": delimiter})
    rejected = found.rejected.total()
    usable = found.rows - rejected
    yield text["rows"].format(found.rows)
    yield text["usable"].format(usable, usable / found.rows if found.rows else 0)
    yield text["persons"].format(found.persons)
    yield text["duplicates"].format(found.duplicates)
    yield text["rejected"].format(rejected)
    for name, count in found.rejected.most_common():
        yield f"  {count:>12,}  {name}: {REASON_TEXT[name][language]}"
    for label, count in found.tiers.items():
        yield text["tier"].format(label=label, count=count)
    if rejects is not None and rejected:
        yield text["written"].format(path=rejects)
