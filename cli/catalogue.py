"""``veiljoin dataset add``, ``remove`` and ``list``: files under names, and what partners told of theirs."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Final

from cli.display import open_display
from cli.server import actor, shown_time
from party.catalogue import Catalogue, Registered
from party.datasethealth import DatasetHealth
from party.estimate import rows_estimate
from party.identifiers import parse_form
from party.inspection import inspect
from party.jobspec import SideSpec
from party.node import Node
from party.progress import Progress
from party.runner import open_side
from party.sample import check_content
from psi.errors import UsageError

_TEXT: Final = {
    "en": {
        "added": "{name}: {persons:,} persons with {form} in {path}; {rejected:,} of {rows:,} rows cannot be used.",
        "shown": "Partners are shown the name, the columns ({columns}) and the size to two digits.",
        "own": "{name:<24}  {form:<20}  {persons:>12,}  {stated:<16}  {path}",
        "unstated": "no basis",
        "no_basis": "Its consent basis is not stated, and the auditor is told so; --basis states it.",
        "theirs": "{name:<24}  {form:<20}  about {persons:>10,}  {columns}",
        "seen": "as {partner} told at {seen}:",
        "warning": "Warning: {warning}",
        "removed": "Dataset {name} is removed; its file stays where it is.",
        "none": "There are no datasets; `veiljoin dataset add` registers one.",
        "never": "{partner} has told of no datasets.",
    },
    "zh": {
        "added": "{name}：{path} 中有 {persons:,} 人，标识为 {form}；{rows:,} 行中有 {rejected:,} 行不可用。",
        "shown": "合作方可见名称、列名（{columns}）和两位有效数字的规模。",
        "own": "{name:<24}  {form:<20}  {persons:>12,}  {stated:<16}  {path}",
        "unstated": "未说明依据",
        "no_basis": "未说明数据使用依据，审计方会看到这一点；可用 --basis 说明。",
        "theirs": "{name:<24}  {form:<20}  约 {persons:>10,}  {columns}",
        "seen": "{partner} 于 {seen} 告知：",
        "warning": "警告：{warning}",
        "removed": "数据集 {name} 已移除；文件保持不变。",
        "none": "没有数据集；用 `veiljoin dataset add` 登记。",
        "never": "{partner} 没有告知任何数据集。",
    },
}


def add(arguments: argparse.Namespace) -> int:
    """Register a file; returns the exit status. It is read once, so that what can't be used shows now."""
    spec = SideSpec(
        identifier=arguments.column,
        region=arguments.region,
        delimiter=arguments.delimiter,
        encoding=arguments.encoding,
    )
    form, who = parse_form(arguments.identifier), actor(arguments)
    with Node.open(arguments.home) as node:
        dataset = open_side(spec, arguments.file)
        with (
            tempfile.TemporaryDirectory(prefix="veiljoin-") as scratch,
            open_display(arguments.json, arguments.lang) as display,
        ):
            progress = Progress(lambda event: display.show("own", event))
            with progress.phase("check", rows_estimate(dataset)):
                found = inspect(dataset, spec, form, Path(scratch) / "work", progress, None)
        if found.persons == 0:
            raise UsageError(
                f"None of the {found.rows:,} rows of {dataset.path} can be used: column {spec.identifier!r} "
                f"holds no valid {form.text}.",
                hint="check that the column is right and that --identifier says its form",
                code="all_rejected",
            )
        added = Catalogue(node.home.store, node.clock).add(
            arguments.name,
            arguments.file,
            spec.identifier,
            form,
            found.persons,
            who,
            delimiter=arguments.delimiter,
            encoding=arguments.encoding,
            basis=arguments.basis,
            replace=arguments.replace,
            health=DatasetHealth.of(found, dataset),
        )
    facts = {
        "name": added.name,
        "path": str(added.path),
        "form": added.form,
        "persons": added.persons,
        "rows": found.rows,
        "rejected": found.rejected.total(),
        "basis": added.basis,
    }
    warning = _doubt(added, arguments.region)
    if arguments.json:
        told = {"event": "added", **facts, "columns": added.columns, "warning": warning}
        print(json.dumps(told, ensure_ascii=False))
        return 0
    text = _TEXT[arguments.lang]
    print(text["added"].format(**facts))
    print(text["shown"].format(columns=", ".join(added.columns)))
    if added.basis is None:
        print(text["no_basis"])
    if warning is not None:
        print(text["warning"].format(warning=warning))
    return 0


def _doubt(added: Registered, region: str) -> str | None:
    """Return what a preflight would say of the column's content, while it is easy to mend."""
    try:
        check_content(added, region)
    except UsageError as error:
        if error.code.name != "form_mismatch":
            raise
        return str(error)
    return None


def remove(arguments: argparse.Namespace) -> int:
    """Forget a dataset, not its file; returns the exit status."""
    who = actor(arguments)
    with Node.open(arguments.home) as node:
        Catalogue(node.home.store, node.clock).remove(arguments.name, who)
    if arguments.json:
        print(json.dumps({"event": "removed", "name": arguments.name}, ensure_ascii=False))
        return 0
    print(_TEXT[arguments.lang]["removed"].format(name=arguments.name))
    return 0


def list_datasets(arguments: argparse.Namespace) -> int:
    """List the own datasets, or a partner's; returns the exit status."""
    text = _TEXT[arguments.lang]
    with Node.open(arguments.home) as node:
        catalogue = Catalogue(node.home.store, node.clock)
        if arguments.partner is None:
            own = catalogue.all()
        else:
            told = catalogue.told(node.partners.get(arguments.partner).name)
    if arguments.partner is None:
        rows = [
            {
                "name": one.name,
                "form": one.form,
                "persons": one.persons,
                "path": str(one.path),
                "basis": one.basis,
            }
            for one in own
        ]
        head, line, nothing = "", text["own"], text["none"]
    else:
        rows = [
            {
                "name": entry.name,
                "form": ", ".join(entry.identifiers),
                "persons": entry.persons,
                "columns": ", ".join(entry.columns),
            }
            for entry in (told.catalogue if told is not None else ())
        ]
        seen = "" if told is None else shown_time(told.at)
        head = text["seen"].format(partner=arguments.partner, seen=seen) if rows else ""
        line, nothing = text["theirs"], text["never"].format(partner=arguments.partner)
    if arguments.json:
        print(json.dumps({"datasets": rows}, ensure_ascii=False))
        return 0
    if head:
        print(head)
    for row in rows:
        print(line.format(**row, stated=row.get("basis") or text["unstated"]))
    if not rows:
        print(nothing)
    return 0
