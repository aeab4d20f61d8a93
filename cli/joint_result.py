"""``veiljoin job watch`` and ``result``: how a joint job goes on, and what came of it."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, Final

from audit.entry import Draft
from cli.joint import STATES, as_data, jobs_of
from cli.server import actor
from party.auditlog import AuditLog
from party.jobrecords import JobRecord
from party.jobstates import JobState
from party.node import Node
from party.progress import PHASES, PHASES_THERE
from party.results import RESULT
from party.workroom import Workroom
from psi.errors import UsageError, VeiljoinError

_TEXT: Final = {
    "en": {
        "progress": "{phase}: {done:,} rows",
        "partner": "{partner}, {phase}: {percent} %",
        "folder": "The result of job {job} is in {folder}:",
        "matched": "matched: {matched:,} persons",
        "groups": "groups: {groups:,}, withheld: {withheld:,}",
    },
    "zh": {
        "progress": "{phase}：{done:,} 行",
        "partner": "{partner}，{phase}：{percent} %",
        "folder": "任务 {job} 的结果位于 {folder}：",
        "matched": "匹配人数：{matched:,}",
        "groups": "分组：{groups:,}，不显示：{withheld:,}",
    },
}
# What a partner says that this version knows no word for.
_UNTOLD: Final = ("at work", "运行中")
_LOOK_SECONDS: Final = 0.5
_PUBLISH_SECONDS: Final = 10.0
# Exit statuses of what a watched job came to, beside that of an error.
_ENDS: Final = {JobState.DONE: 0, JobState.REFUSED: 3, JobState.CANCELLED: 130, JobState.EXPIRED: 3}
_FAILED: Final = 4


def watch(arguments: argparse.Namespace) -> int:
    """Follow a job; returns the exit status: 0 once it is done."""
    deadline = None if arguments.timeout is None else time.monotonic() + arguments.timeout
    with Node.open(arguments.home) as node:
        jobs, room = jobs_of(node), Workroom(node.home.folder)
        job = jobs.find(arguments.job).id
        seen, last, partner = 0, None, None
        while True:
            record = jobs.get(job)
            for event in jobs.events(job, after=seen):
                seen = event.id
                _line(
                    arguments, {"event": "state", "state": event.after.value, "note": event.note}, event.note
                )
            progress = room.progress(job) if record.state is JobState.RUNNING else None
            if progress is not None and progress != last:
                last = progress
                _line(arguments, progress, None)
            told = room.partner(job) if record.state is JobState.RUNNING else None
            if told is not None and told != partner:
                partner = told
                fact = {"event": "partner", "partner": record.partner, "phase": told[0], "percent": told[1]}
                _line(arguments, fact, None)
            if record.state.ended:
                return _ENDS.get(record.state, _FAILED)
            if deadline is not None and time.monotonic() >= deadline:
                raise VeiljoinError(
                    f"Job {job[:8]} is {record.state} after {arguments.timeout:g} seconds.",
                    hint="watch it again; if nothing moves, see whether both nodes run",
                    code="peer_absent",
                )
            time.sleep(_LOOK_SECONDS)


def _line(arguments: argparse.Namespace, event: dict[str, Any], note: str | None) -> None:
    if arguments.json:
        print(json.dumps(event, ensure_ascii=False), flush=True)
        return
    if event["event"] == "state":
        why = f" ({note})" if note else ""
        print(f"{STATES[arguments.lang][event['state']]}{why}", flush=True)
    elif event["event"] == "progress":
        phase = PHASES[event["phase"]][arguments.lang == "zh"]
        print("  " + _TEXT[arguments.lang]["progress"].format(phase=phase, done=event["done"]), flush=True)
    elif event["event"] == "partner":
        phase = PHASES_THERE.get(event["phase"], _UNTOLD)[arguments.lang == "zh"]
        print("  " + _TEXT[arguments.lang]["partner"].format(**event | {"phase": phase}), flush=True)


def result(arguments: argparse.Namespace) -> int:
    """Say where the result lies; returns the exit status. Who asked is in the log before anything is shown."""
    who = actor(arguments)
    with Node.open(arguments.home) as node:
        record = jobs_of(node).find(arguments.job)
        folder = Workroom(node.home.folder.absolute()).result(record.id)
        log = AuditLog(node.home.store)
        deadline = time.monotonic() + _PUBLISH_SECONDS
        while not (folder.is_dir() and log.released(record.id)):
            # A job is done a moment before its node has put the result there and noted that.
            if record.state is not JobState.DONE or time.monotonic() > deadline:
                raise _none(record)
            time.sleep(_LOOK_SECONDS)
        files = sorted(path.name for path in folder.iterdir())
        figures = _figures(folder / RESULT)
        read = Draft("result_read", who, record.id, {"part": "result"})
        log.append((read,), node.clock().timestamp())
    if arguments.json:
        facts = as_data(record) | {"folder": str(folder), "files": files, "result": figures}
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    text = _TEXT[arguments.lang]
    print(text["folder"].format(job=record.id[:8], folder=folder))
    for name in files:
        print(f"  {name}")
    matched = (figures.get("totals") or {}).get("matched")
    if matched is not None:
        print(text["matched"].format(matched=matched))
    if figures.get("groups"):
        withheld = figures.get("suppressed_groups") or 0
        print(text["groups"].format(groups=len(figures["groups"]), withheld=withheld))
    return 0


def _figures(path: Path) -> dict[str, Any]:
    try:
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(
            f"The result {path} cannot be read.", hint="check its permissions", code="unreadable_file"
        ) from None
    return figures


def _none(record: JobRecord) -> UsageError:
    hints = {
        JobState.DONE: "its node publishes it when it starts again",
        JobState.FAILED: "`veiljoin job show` has the reason",
        JobState.EXPIRED: "results are removed after result_days of policy.toml",
    }
    return UsageError(
        f"Job {record.id[:8]} is {record.state} and has no result here.",
        hint=hints.get(record.state, "`veiljoin job watch` follows it"),
        code="wrong_state",
    )
