"""``veiljoin job edit`` and ``retry``: another text for a job that the partner has not seen, and a job once more."""

from __future__ import annotations

import argparse
import datetime
from typing import Final

from cli.joint import STATES, jobs_of, tell_drafted
from cli.server import actor, shown_time
from party.drafting import draft_with
from party.jobfile import load_job
from party.jobrecords import JobRecord, person
from party.jobstates import TRANSITIONS, Step
from party.node import Node
from party.nodefile import BANK
from party.redrafting import changes, datasets_of, draft_again
from psi.errors import UsageError

_TEXT: Final = {
    "en": {
        "edited": "Job {short} was edited by {actor} and is a draft again; approvals that are void: {void}.",
        "changed": "What changed:",
        "same": "No setting changed; the contract is a new one all the same.",
        "absent": "not set",
        "dataset": "dataset",
        "partner_dataset": "partner's dataset",
        "until": "until",
        "repeats": "This repeats job {short} ({state}), which stays as it is.",
    },
    "zh": {
        "edited": "任务 {short} 已由 {actor} 修改，重新成为草稿；失效的批准：{void}。",
        "changed": "改动：",
        "same": "设置没有变化；但合同是新的。",
        "absent": "未设置",
        "dataset": "数据集",
        "partner_dataset": "合作方数据集",
        "until": "有效期至",
        "repeats": "本任务重复任务 {short}（{state}），原任务保持不变。",
    },
}
_SHORT: Final = 8


def edit(arguments: argparse.Namespace) -> int:
    """Put another text in place of a job's; returns the exit status."""
    job, table = load_job(arguments.file)
    who = person(actor(arguments))
    with Node.open(arguments.home, role=BANK) as node:
        jobs = jobs_of(node)
        before = jobs.find(arguments.job)
        if (before.state, Step.EDIT) not in TRANSITIONS:
            raise _too_late(before)
        own, theirs = datasets_of(before)
        drafted = draft_with(
            node,
            job,
            table,
            before.partner,
            dataset=arguments.dataset or own,
            partner_dataset=arguments.partner_dataset or theirs,
            lifetime=datetime.timedelta(days=arguments.days),
            job_id=before.id,
        )
        void = [each for each in jobs.approvals(before.id) if each.voided is None]
        record = jobs.edit(
            before.id,
            drafted.table,
            arguments.file.read_text(encoding="utf-8-sig"),
            who,
            dataset=drafted.dataset,
            contract=drafted.contract,
        )
    text = _TEXT[arguments.lang]
    changed = list(changes(before.table, record.table))
    for name, old, new in (
        ("dataset", own, drafted.dataset),
        ("partner_dataset", theirs, drafted.partner_dataset),
        ("until", _until(before), _until(record)),
    ):
        if old != new:
            changed.append((text[name], old, new))
    lines = [text["edited"].format(short=record.id[:_SHORT], actor=who, void=len(void))]
    lines += [text["changed"]] if len(changed) > (_until(before) != _until(record)) else [text["same"]]
    lines += [f"  {name}: {old or text['absent']} -> {new or text['absent']}" for name, old, new in changed]
    told = [{"setting": name, "before": old, "after": new} for name, old, new in changed]
    tell_drafted(arguments, record, drafted, [*lines, ""], changed=told, void_approvals=len(void))
    return 0


def retry(arguments: argparse.Namespace) -> int:
    """Draft a job again that came to nothing; returns the exit status."""
    who = person(actor(arguments))
    with Node.open(arguments.home, role=BANK) as node:
        jobs = jobs_of(node)
        before = jobs.find(arguments.job)
        record, drafted = draft_again(node, before, who, datetime.timedelta(days=arguments.days))
    state = STATES[arguments.lang][before.state.value]
    line = _TEXT[arguments.lang]["repeats"].format(short=before.id[:_SHORT], state=state)
    tell_drafted(arguments, record, drafted, [line], repeats=before.id)
    return 0


def _until(record: JobRecord) -> str | None:
    return None if record.expires is None else shown_time(record.expires)


def _too_late(record: JobRecord) -> UsageError:
    hint = (
        "draft another with `veiljoin job new`"
        if record.state.ended
        else "the partner has its contract by now: cancel the job and draft another"
    )
    return UsageError(
        f"Job {record.id[:_SHORT]} is {record.state}, and can't be edited any more.",
        hint=hint,
        code="wrong_state",
    )
