"""``veiljoin audit show``: a log's entries as sentences, of a bundle or of a node's own store."""

from __future__ import annotations

import argparse
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from audit.bundle import BundleFault
from audit.entry import parse
from audit.events import EVENTS
from audit.words import actor, moment, sentence
from cli.audit_files import Bundles, say, unreadable
from psi.errors import UsageError

_SHORT: Final = 8
_SHORTEST: Final = 4
_HEX: Final = frozenset("0123456789abcdef")
_TEXT: Final = {
    "en": {
        "head": ("entry", "time (UTC)", "job", "who", "what"),
        "none": "There are no such entries.",
        "more": "These are the newest {shown:,} of {found:,}; --limit 0 shows all.",
        "unverified": "Shown as it is written, not verified: veiljoin audit verify {bundle}",
    },
    "zh": {
        "head": ("条目", "时间（UTC）", "任务", "操作者", "内容"),
        "none": "没有符合条件的条目。",
        "more": "共 {found:,} 条，以上为最新 {shown:,} 条；--limit 0 显示全部。",
        "unverified": "以上按原文显示，未经核验：veiljoin audit verify {bundle}",
    },
}

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which entries are asked for. ``marks`` are bytes that each of them has, so that few have to be parsed."""

    job: str | None
    since: int | None
    until: int | None
    actor: str | None
    type: str | None
    marks: tuple[bytes, ...]

    def holds(self, entry: Mapping[str, Any]) -> bool:
        """Return whether ``entry`` is asked for."""
        return (
            (self.job is None or str(entry["job"]).startswith(self.job))
            and (self.since is None or entry["time"] >= self.since)
            and (self.until is None or entry["time"] < self.until)
            and (self.actor is None or entry["actor"] == self.actor)
            and (self.type is None or entry["type"] == self.type)
        )


def show(arguments: argparse.Namespace) -> int:
    """Show entries; returns the exit status."""
    wanted = _wanted(arguments)
    if (arguments.bundle is None) == (arguments.home is None):
        raise UsageError(
            "Which log is meant is not clear.",
            hint="name a bundle, or a node's home with --home, one of the two",
        )
    found, count = _newest(arguments, wanted)
    if arguments.json:
        say(json.dumps(entry, ensure_ascii=False) for entry in found)
    else:
        say(_lines(list(found), count, arguments.bundle, arguments.lang))
    return 0


def _wanted(arguments: argparse.Namespace) -> _Wanted:
    job, kind = arguments.job, arguments.type
    marks = []
    if job is not None:
        job = job.strip().lower()
        if len(job) < _SHORTEST or not set(job) <= _HEX:
            raise UsageError(
                f"{arguments.job!r} is not the beginning of a job's id.",
                hint=f"write {_SHORTEST} or more of its hexadecimal digits",
                code="unknown_job",
            )
        marks.append(b'"job":"' + job.encode("ascii"))
    if kind is not None:
        if kind not in EVENTS:
            raise UsageError(f"{kind!r} is no type of entry.", hint=f"use one of {', '.join(EVENTS)}")
        marks.append(b'"type":"' + kind.encode("ascii") + b'"')
    return _Wanted(job, arguments.since, arguments.until, arguments.actor, kind, tuple(marks))


def _newest(arguments: argparse.Namespace, wanted: _Wanted) -> tuple[deque[Entry], int]:
    """Return the newest entries that are asked for, in sequence, and how many there are in all."""
    found: deque[Entry] = deque(maxlen=arguments.limit or None)
    count = 0
    read = _of_home(arguments.home) if arguments.home is not None else _of_bundle(arguments)
    for place, data in read:
        if not all(mark in data for mark in wanted.marks):
            continue
        try:
            entry = parse(data)
        except ValueError as error:
            raise UsageError(
                f"{place} is not an entry of a log: {error}.",
                hint="`veiljoin audit verify` says what is wrong with the log",
                code="bad_format",
            ) from None
        if wanted.holds(entry):
            found.append(entry)
            count += 1
    return found, count


def _of_bundle(arguments: argparse.Namespace) -> Iterator[tuple[str, bytes]]:
    with Bundles([arguments.bundle], arguments.lang, quiet=arguments.json) as opened:
        (bundle,) = opened.bundles
        try:
            for line in bundle.entries():
                yield f"{bundle.label}, line {line.line},", line.data
        except BundleFault as fault:
            raise unreadable(fault) from None


def _of_home(home: Path) -> Iterator[tuple[str, bytes]]:
    # Not above: a store needs the packages of the node, a bundle does not.
    from party.auditlog import AuditLog
    from party.node import Node

    with Node.open(home) as node:
        log = AuditLog(node.home.store)
        for epoch in log.epochs():
            for sequence, _, data in log.entries(epoch):
                yield f"Entry {sequence:,} of log {epoch}", data


def _lines(entries: list[Entry], count: int, bundle: Path | None, language: str) -> Iterator[str]:
    text = _TEXT[language]
    if not entries:
        yield str(text["none"])
        return
    yield from _table(entries, text["head"], language)
    if count > len(entries):
        yield str(text["more"]).format(shown=len(entries), found=count)
    if bundle is not None:
        yield str(text["unverified"]).format(bundle=bundle)


def _table(entries: list[Entry], head: Sequence[str], language: str) -> Iterator[str]:
    # The command's own `rich`; here, so that --help and JSON do without.
    from rich.cells import cell_len

    rows = [
        (
            f"{entry['sequence']:,}",
            moment(entry["time"]).removesuffix(" UTC"),
            "" if entry["job"] is None else entry["job"][:_SHORT],
            actor(entry["actor"], language),
            sentence(entry, language),
        )
        for entry in entries
    ]
    widths = [max(cell_len(row[place]) for row in (head, *rows)) for place in range(len(head) - 1)]
    for row in (head, *rows):
        number, *cells = [(width - cell_len(cell), cell) for width, cell in zip(widths, row, strict=False)]
        aligned = [" " * number[0] + number[1], *(cell + " " * space for space, cell in cells)]
        yield "  ".join([*aligned, row[-1]])
