"""``veiljoin job``: draft, list, show, approve, refuse and cancel joint jobs.

All of it is done in the node's store, which a running node reads twice a second; none of it needs the node to run.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from cli import preflight
from cli.server import actor, shown_time
from cli.summary import card_lines
from party.agreement import REPEATS
from party.consent import approve as accept
from party.disclosure import card_for
from party.drafting import Draft, draft_with
from party.jobfile import load_job, parse_job
from party.jobrecords import JobRecord, person
from party.jobs import Jobs
from party.jobstates import JobState
from party.node import Node
from party.nodefile import BANK
from party.preflight import held_to, standing_of
from party.schedulerecords import ScheduleApproval, ScheduleRecord
from party.schedules import Schedules
from psi.errors import UsageError

_TEXT: Final = {
    "en": {
        "drafted": "Job {job} is a draft: {kind} with {partner}, {dataset} and {partner_dataset}, until {until}.",
        "approve": "A second person approves it: veiljoin job approve {short} --home {home} --as NAME",
        "told": "What {partner} told of itself is of {seen}.",
        "approved": "Job {short} was approved by {actor}; it is proposed to {partner} once its node is on the line.",
        "accepted": "Job {short} was accepted by {actor}; the bank begins it once both nodes are on the line.",
        "refused": "Job {short} was refused.",
        "cancelled": "Job {short} was cancelled.",
        "none": "There are no such jobs.",
        "purpose": "purpose: {purpose}",
        "attempts": "attempts: {attempts}",
        "expires": "until: {until}",
        "code": "reason: {code}",
        "approvals": "approvals:",
        "void": "void",
        "history": "history:",
        "schedule": "by schedule {schedule}, which {drafter} drafted and {actor} approved on {at}",
        "repeats": "repeats {job}",
    },
    "zh": {
        "drafted": "任务 {job} 已起草：{kind}，合作方 {partner}，数据集 {dataset} 与 {partner_dataset}，"
        "有效期至 {until}。",
        "approve": "由另一人批准：veiljoin job approve {short} --home {home} --as NAME",
        "told": "{partner} 的自述信息更新于 {seen}。",
        "approved": "任务 {short} 已由 {actor} 批准；{partner} 的节点连接后即发出提议。",
        "accepted": "任务 {short} 已由 {actor} 接受；双方节点连接后由银行启动。",
        "refused": "任务 {short} 已拒绝。",
        "cancelled": "任务 {short} 已取消。",
        "none": "没有符合条件的任务。",
        "purpose": "用途：{purpose}",
        "attempts": "运行次数：{attempts}",
        "expires": "有效期至：{until}",
        "code": "原因：{code}",
        "approvals": "批准记录：",
        "void": "已失效",
        "history": "历史：",
        "schedule": "由定期任务 {schedule} 产生：{drafter} 起草，{actor} 于 {at} 批准",
        "repeats": "重复任务 {job}",
    },
}
STATES: Final = {
    "en": {state.value: state.value for state in JobState},
    "zh": {
        "draft": "草稿",
        "approved": "银行已批准",
        "proposed": "已提议",
        "accepted": "已接受",
        "running": "运行中",
        "done": "完成",
        "failed": "失败",
        "refused": "已拒绝",
        "cancelled": "已取消",
        "expired": "已过期",
    },
}
_SHORT: Final = 8


def jobs_of(node: Node) -> Jobs:
    """Return the jobs of ``node``."""
    return Jobs(node.home.store, node.file.role, node.clock)


def new(arguments: argparse.Namespace) -> int:
    """Draft a job; returns the exit status."""
    job, table = load_job(arguments.file)
    who = person(actor(arguments))
    with Node.open(arguments.home, role=BANK) as node:
        drafted = draft_with(
            node,
            job,
            table,
            arguments.partner,
            dataset=arguments.dataset,
            partner_dataset=arguments.partner_dataset,
            lifetime=datetime.timedelta(days=arguments.days),
        )
        record = jobs_of(node).draft(
            drafted.table,
            arguments.file.read_text(encoding="utf-8-sig"),
            who,
            partner=arguments.partner,
            dataset=drafted.dataset,
            contract=drafted.contract,
        )
    tell_drafted(arguments, record, drafted)
    return 0


def tell_drafted(
    arguments: argparse.Namespace,
    record: JobRecord,
    drafted: Draft,
    lines: Sequence[str] = (),
    **more: Any,
) -> None:
    """Show a draft with its card: what policies changed, then ``lines``, then who goes on; ``more`` is for JSON."""
    if arguments.json:
        changes = [change.en for change in drafted.changes]
        facts = {"partner_dataset": drafted.partner_dataset, "changes": changes}
        print(json.dumps(as_data(record) | facts | more, ensure_ascii=False))
        return
    text = _TEXT[arguments.lang]
    for change in drafted.changes:
        print(change.zh if arguments.lang == "zh" else change.en)
    for line in card_lines(card_for(drafted.job), drafted.contract.hash, arguments.lang):
        print(line)
    print()
    for line in lines:
        print(line)
    facts = _facts(record) | {"home": arguments.home, "partner_dataset": drafted.partner_dataset}
    print(text["told"].format(partner=record.partner, seen=shown_time(drafted.seen)))
    print(text["drafted"].format(**facts))
    print(text["approve"].format(**facts))


def list_jobs(arguments: argparse.Namespace) -> int:
    """List jobs; returns the exit status."""
    states: tuple[JobState, ...] = ()
    if arguments.state is not None:
        if arguments.state not in list(JobState):
            raise UsageError(
                f"{arguments.state!r} is no state of a job.", hint=f"use one of {', '.join(JobState)}"
            )
        states = (JobState(arguments.state),)
    with Node.open(arguments.home) as node:
        found = jobs_of(node).list(states=states, partner=arguments.partner, limit=100).jobs
        marks = {record.id: preflight.mark(node, record, arguments.lang) for record in found}
    if arguments.json:
        print(json.dumps({"jobs": [as_data(record) for record in found]}, ensure_ascii=False))
        return 0
    for record in found:
        state = STATES[arguments.lang][record.state.value]
        when = shown_time(record.changed)
        line = f"{record.id[:_SHORT]}  {state:<10}  {record.kind:<9}  {record.partner:<20}  {when}"
        print(f"{line}  {marks[record.id]}".rstrip())
    if not found:
        print(_TEXT[arguments.lang]["none"])
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Show one job; returns the exit status."""
    with Node.open(arguments.home) as node:
        jobs = jobs_of(node)
        record = jobs.find(arguments.job)
        approvals, events = jobs.approvals(record.id), jobs.events(record.id)
        schedule, agreed = _schedule(node, record)
        tried, role = standing_of(node, record), node.file.role
    if arguments.json:
        facts = as_data(record) | {
            "card": card_for(parse_job(record.table, record.id)).as_data(),
            "preflight": preflight.as_data(tried),
            "approvals": [
                {
                    "actor": each.actor,
                    "role": each.role,
                    "at": each.at.isoformat(),
                    "void": each.voided is not None,
                }
                for each in approvals
            ],
            "events": [
                {
                    "at": each.at.isoformat(),
                    "actor": each.actor,
                    "step": each.step.value,
                    "state": each.after.value,
                    "note": each.note,
                }
                for each in events
            ],
        }
        if schedule is not None:
            facts["schedule"] = {
                "schedule": schedule.id,
                "drafter": schedule.drafter,
                "approvers": [each.actor for each in agreed],
            }
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    text = _TEXT[arguments.lang]
    for line in _shown(record, arguments.lang):
        print(line)
    for line in preflight.lines(tried, record, role, arguments.lang):
        print(line)
    if approvals:
        print(text["approvals"])
    for approval in approvals:
        void = f"  ({text['void']})" if approval.voided else ""
        print(f"  {shown_time(approval.at)}  {approval.actor} ({approval.role}){void}")
    if schedule is not None:
        for each in agreed:
            told = {"schedule": schedule.id[:_SHORT], "drafter": schedule.drafter, "actor": each.actor}
            print("  " + text["schedule"].format(**told, at=shown_time(each.at)))
    print(text["history"])
    for event in events:
        note = _note(event.note, arguments.lang)
        state = STATES[arguments.lang][event.after.value]
        print(f"  {shown_time(event.at)}  {event.actor}: {event.step.value}{note} -> {state}")
    return 0


def approve(arguments: argparse.Namespace) -> int:
    """Approve a job for this side; returns the exit status. What is approved is shown, with its hash."""
    who = actor(arguments)
    with Node.open(arguments.home) as node:
        jobs = jobs_of(node)
        record = jobs.find(arguments.job)
        if not arguments.json:
            for line in _shown(record, arguments.lang):
                print(line)
            for line in preflight.lines(standing_of(node, record), record, node.file.role, arguments.lang):
                print(line)
        with held_to(node, record, person(who), without=arguments.without_preflight):
            if node.file.role == BANK:
                record, said = jobs.approve(record.id, person(who), record.digest), "approved"
            else:
                record, said = accept(node, jobs, record, who), "accepted"
    _tell(arguments, record, said, who)
    return 0


def refuse(arguments: argparse.Namespace) -> int:
    """Refuse a job; returns the exit status."""
    who = actor(arguments)
    with Node.open(arguments.home) as node:
        jobs = jobs_of(node)
        record = jobs.refuse(jobs.find(arguments.job).id, person(who), arguments.reason)
    _tell(arguments, record, "refused", who)
    return 0


def cancel(arguments: argparse.Namespace) -> int:
    """Cancel a job; returns the exit status."""
    who = actor(arguments)
    with Node.open(arguments.home) as node:
        jobs = jobs_of(node)
        record = jobs.cancel(jobs.find(arguments.job).id, person(who))
    _tell(arguments, record, "cancelled", who)
    return 0


def _schedule(node: Node, record: JobRecord) -> tuple[ScheduleRecord | None, tuple[ScheduleApproval, ...]]:
    """Return the schedule that made the job, if one did, and by whose approval."""
    schedules = Schedules(node.home.store, node.clock)
    schedule = schedules.of_job(record.id)
    if schedule is None:
        return None, ()
    made = record.created
    agreed = schedules.approvals(schedule.id)
    return schedule, tuple(
        each for each in agreed if each.at <= made and (each.voided is None or each.voided > made)
    )


def _note(note: str | None, language: str) -> str:
    if not note:
        return ""
    if note.startswith(REPEATS):
        note = _TEXT[language]["repeats"].format(job=note.removeprefix(REPEATS)[:_SHORT])
    return f" ({note})"


def as_data(record: JobRecord) -> dict[str, Any]:
    """Return what ``--json`` says of a job."""
    return {
        "job": record.id,
        "state": record.state.value,
        "code": record.code,
        "kind": record.kind,
        "purpose": record.purpose,
        "partner": record.partner,
        "dataset": record.dataset,
        "contract": record.digest,
        "attempts": record.attempts,
        "created": record.created.isoformat(),
        "changed": record.changed.isoformat(),
        "expires": None if record.expires is None else record.expires.isoformat(),
    }


def _facts(record: JobRecord) -> dict[str, Any]:
    until = "" if record.expires is None else shown_time(record.expires)
    return as_data(record) | {"short": record.id[:_SHORT], "until": until}


def _shown(record: JobRecord, language: str) -> Iterator[str]:
    text, facts = _TEXT[language], _facts(record)
    state = STATES[language][record.state.value]
    yield f"{record.id}  {state}  {record.kind}  {record.partner}  {record.dataset}"
    yield text["purpose"].format(**facts)
    if record.expires is not None:
        yield text["expires"].format(**facts)
    if record.attempts:
        yield text["attempts"].format(**facts)
    if record.code:
        yield text["code"].format(**facts)
    card = card_for(parse_job(record.table, record.id))
    yield from card_lines(card, bytes.fromhex(record.digest), language)
    yield ""


def _tell(arguments: argparse.Namespace, record: JobRecord, said: str, who: str) -> None:
    if arguments.json:
        print(json.dumps(as_data(record), ensure_ascii=False))
        return
    print(_TEXT[arguments.lang][said].format(**_facts(record), actor=who))
