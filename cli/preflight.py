"""What the commands say of preflights, and ``veiljoin job preflight``, which asks for another run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any, Final

from cli.server import actor, shown_time
from party.jobrecords import JobRecord, person
from party.jobs import Jobs
from party.jobstates import JobState
from party.node import Node
from party.nodefile import BANK
from party.preflight import standing_of
from party.preflights import Preflight, Preflights, PreflightState
from psi.errors import UsageError

_OPEN: Final = (JobState.DRAFT, JobState.APPROVED, JobState.PROPOSED)
_TEXT: Final = {
    "en": {
        "passed": "preflight: passed at {at}",
        "not_run": "preflight: not run yet",
        "held": "preflight: not run yet; the job is proposed once it has passed",
        "without": "preflight: {actor} went without, at {at}",
        "failed": "preflight: failed at {at} ({code})",
        "hint": "  Hint: {hint}",
        "asked": "The preflight of job {short} runs again once {partner} is on the line.",
    },
    "zh": {
        "passed": "预检：已于 {at} 通过",
        "not_run": "预检：尚未运行",
        "held": "预检：尚未运行；通过后才会发出提议",
        "without": "预检：{actor} 于 {at} 决定不做预检",
        "failed": "预检：{at} 未通过（{code}）",
        "hint": "  提示：{hint}",
        "asked": "{partner} 的节点连接后，将再次运行任务 {short} 的预检。",
    },
}
_MARKS: Final = {
    "en": {"not_run": "untried", "passed": "tried", "failed": "misfit", "without": "no trial"},
    "zh": {"not_run": "未预检", "passed": "预检通过", "failed": "预检未过", "without": "免预检"},
}
# What is wrong at the partner's side; of the own side there is a sentence in the store.
_THERE: Final = {
    "en": {
        "dataset": "At {partner} the dataset is not there, or its columns are not those of the job any more.",
        "column": "At {partner} the dataset is registered by another column than the job names.",
        "content": "At {partner} the column does not look like the form that it is registered as.",
        "unreadable": "At {partner} the file of the dataset cannot be read.",
        "form": "At {partner} the dataset is in a form that cannot be brought to the job's.",
        "unknown": "{partner} gave a reason that this version does not know.",
    },
    "zh": {
        "dataset": "{partner} 一侧没有该数据集，或其列与任务不符。",
        "column": "{partner} 一侧的数据集登记的标识列与任务所用的列不同。",
        "content": "{partner} 一侧的列内容与登记的标识形式不符。",
        "unreadable": "{partner} 一侧的数据文件无法读取。",
        "form": "{partner} 一侧的数据集形式无法转换为任务所用的形式。",
        "unknown": "{partner} 给出了本版本不认识的原因。",
    },
}


def mark(node: Node, record: JobRecord, language: str) -> str:
    """Return the mark of an open job in a list; empty for others."""
    if record.state not in _OPEN:
        return ""
    return _MARKS[language][standing_of(node, record).state.value]


def lines(found: Preflight, record: JobRecord, role: str, language: str) -> Iterator[str]:
    """Yield what is known of a job's preflight, for people; nothing of a job that has ended without one."""
    text = _TEXT[language]
    if found.state is PreflightState.NOT_RUN:
        if record.state in _OPEN:
            yield text["held" if role == BANK else "not_run"]
        return
    at = "" if found.at is None else shown_time(found.at)
    yield text[found.state.value].format(at=at, actor=found.actor, code=found.code)
    if found.detail:
        yield f"  {found.detail}"
        if found.hint:
            yield text["hint"].format(hint=found.hint)
    elif found.own is False:
        there = _THERE[language]
        yield "  " + there.get(found.code, there["unknown"]).format(partner=record.partner)


def as_data(found: Preflight) -> dict[str, Any]:
    """Return what ``--json`` says of a preflight."""
    side = None if found.own is None else ("own" if found.own else "partner")
    return {
        "state": found.state.value,
        "code": found.code or None,
        "side": side,
        "at": None if found.at is None else found.at.isoformat(),
        "actor": found.actor or None,
        "detail": found.detail or None,
        "hint": found.hint or None,
    }


def again(arguments: argparse.Namespace) -> int:
    """Ask for another preflight; returns the exit status."""
    who = person(actor(arguments))
    with Node.open(arguments.home, role=BANK) as node:
        record = Jobs(node.home.store, node.file.role, node.clock).find(arguments.job)
        if record.state not in _OPEN or record.contract is None:
            raise UsageError(
                f"Job {record.id} is {record.state}, where a preflight is of no use.",
                hint="jobs are tried before their partner has accepted them",
                code="wrong_state",
            )
        Preflights(node.home.store, node.clock).again(record.id, record.digest, record.partner, str(who))
    if arguments.json:
        print(json.dumps({"job": record.id, "preflight": "not_run"}))
    else:
        print(_TEXT[arguments.lang]["asked"].format(short=record.id[:8], partner=record.partner))
    return 0
