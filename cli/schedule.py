"""``veiljoin job schedule``: recurring jobs of the bank, drafted by one person, approved as a whole by a second.

All of it is done in the node's store; the running node drafts the jobs when they are due.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Iterator
from typing import Any, Final

from cli.joint import STATES as JOB_STATES
from cli.server import actor, shown_time
from party.disclosure import card_for
from party.drafting import draft_with
from party.jobfile import load_job, parse_job
from party.jobrecords import Actor, person
from party.node import Node
from party.nodefile import BANK
from party.redrafting import changes
from party.schedulerecords import REASONS, Outcome, ScheduledRun, ScheduleRecord, ScheduleState
from party.schedules import Schedules
from party.scheduleterms import Terms, Timetable, new_timetable

_TEXT: Final = {
    "en": {
        "drafted": "Schedule {short} is a draft: {kind} with {partner}, {dataset} and {partner_dataset}.",
        "when": "{every}, {timezone}, until {until}{runs}; each job is to be run within {days} days.",
        "runs": ", at most {runs} times",
        "times": "If it is approved now, it is due at:",
        "approve": "A second person approves it as a whole: veiljoin job schedule approve {short} --home {home} "
        "--as NAME",
        "edited": "Schedule {short} was edited by {actor} and is a draft again; its approvals are void.",
        "approved": "Schedule {short} was approved by {actor}; it is due first at {due}.",
        "refused": "Schedule {short} was refused by {actor}.",
        "paused": "Schedule {short} was paused by {actor}; jobs that it drafted go on.",
        "resumed": "Schedule {short} was resumed by {actor}; it is due next at {due}.",
        "removed": "Schedule {short} was removed by {actor}; jobs that it drafted go on.",
        "none": "There are no schedules.",
        "purpose": "purpose: {purpose}",
        "next": "next: {due}",
        "because": "paused: {reason}",
        "failures": "jobs in a row that came to nothing: {failures}",
        "approvals": "approvals:",
        "void": "void",
        "runs_head": "due times:",
        "missed": "{missed} before it passed with no node at work",
        "history": "history:",
        "digest": "What is approved, SHA-256: {digest}",
    },
    "zh": {
        "drafted": "定期任务 {short} 已起草：{kind}，合作方 {partner}，数据集 {dataset} 与 {partner_dataset}。",
        "when": "{every}，时区 {timezone}，截止 {until}{runs}；每个任务须在 {days} 天内运行。",
        "runs": "，最多 {runs} 次",
        "times": "若现在批准，执行时间为：",
        "approve": "由另一人整体批准：veiljoin job schedule approve {short} --home {home} --as NAME",
        "edited": "定期任务 {short} 已由 {actor} 修改，重新成为草稿；原批准已失效。",
        "approved": "定期任务 {short} 已由 {actor} 批准；首次执行时间为 {due}。",
        "refused": "定期任务 {short} 已由 {actor} 拒绝。",
        "paused": "定期任务 {short} 已由 {actor} 暂停；已起草的任务继续进行。",
        "resumed": "定期任务 {short} 已由 {actor} 恢复；下次执行时间为 {due}。",
        "removed": "定期任务 {short} 已由 {actor} 移除；已起草的任务继续进行。",
        "none": "没有定期任务。",
        "purpose": "用途：{purpose}",
        "next": "下次：{due}",
        "because": "已暂停：{reason}",
        "failures": "连续未成功的任务：{failures}",
        "approvals": "批准记录：",
        "void": "已失效",
        "runs_head": "执行时间：",
        "missed": "此前有 {missed} 次因节点未运行而错过",
        "history": "历史：",
        "digest": "批准内容 SHA-256：{digest}",
    },
}
_STATES: Final = {
    "en": {state.value: state.value for state in ScheduleState},
    "zh": {
        "draft": "草稿",
        "active": "生效中",
        "paused": "已暂停",
        "refused": "已拒绝",
        "removed": "已移除",
        "ended": "已结束",
    },
}
_OUTCOMES: Final = {
    "en": {outcome.value: outcome.value for outcome in Outcome},
    "zh": {
        **JOB_STATES["zh"],
        "drafted": "已起草",
        "skipped": "已跳过",
        "missed": "已错过",
        "paused": "已暂停",
    },
}
_SHORT: Final = 8
_FIRST_TIMES: Final = 3


def new(arguments: argparse.Namespace) -> int:
    """Draft a schedule; returns the exit status."""
    who = person(actor(arguments))
    with Node.open(arguments.home, role=BANK) as node:
        now = node.clock()
        timetable = new_timetable(
            arguments.every, arguments.timezone, arguments.until, arguments.runs, arguments.days, now
        )
        terms = _terms(arguments, node, timetable, arguments.partner)
        source = arguments.file.read_text(encoding="utf-8-sig")
        record = _schedules(node).draft(terms, source, who)
    _tell_draft(arguments, record, now, ())
    return 0


def edit(arguments: argparse.Namespace) -> int:
    """Put another job file or timetable in place of a schedule's; returns the exit status."""
    who = person(actor(arguments))
    with Node.open(arguments.home, role=BANK) as node:
        schedules, now = _schedules(node), node.clock()
        before = schedules.find(arguments.schedule)
        kept, recurrence = before.terms.timetable, before.terms.timetable.recurrence
        timetable = new_timetable(
            arguments.every or str(recurrence),
            arguments.timezone or recurrence.timezone,
            arguments.until or kept.until.isoformat(),
            arguments.runs if arguments.runs is not None else kept.runs,
            arguments.days or kept.days,
            now,
        )
        terms = _terms(arguments, node, timetable, before.partner, before.terms)
        source = arguments.file.read_text(encoding="utf-8-sig")
        record = schedules.edit(before.id, terms, source, who)
    text = _TEXT[arguments.lang]
    lines = [text["edited"].format(short=record.id[:_SHORT], actor=who)]
    old, new_terms = json.loads(before.text), json.loads(record.text)
    lines += [f"  {name}: {was or '-'} -> {now_is or '-'}" for name, was, now_is in changes(old, new_terms)]
    _tell_draft(arguments, record, now, [*lines, ""])
    return 0


def list_schedules(arguments: argparse.Namespace) -> int:
    """List the schedules; returns the exit status."""
    with Node.open(arguments.home, role=BANK) as node:
        states = tuple(ScheduleState) if arguments.all else ()
        found = _schedules(node).list(states, partner=arguments.partner)
    if arguments.json:
        print(json.dumps({"schedules": [_as_data(record) for record in found]}, ensure_ascii=False))
        return 0
    text = _TEXT[arguments.lang]
    for record in found:
        state = _STATES[arguments.lang][record.state.value]
        due = "" if record.next_due is None else text["next"].format(due=_zoned(record, record.next_due))
        told = due or _because(record, arguments.lang)
        every = str(record.terms.timetable.recurrence)
        print(
            f"{record.id[:_SHORT]}  {state:<8}  {record.kind:<9}  {record.partner:<20}  {every}  {told}".rstrip()
        )
    if not found:
        print(text["none"])
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Show a schedule; returns the exit status."""
    with Node.open(arguments.home, role=BANK) as node:
        schedules = _schedules(node)
        record = schedules.find(arguments.schedule)
        approvals, events = schedules.approvals(record.id), schedules.events(record.id)
        runs = schedules.runs(record.id)
    if arguments.json:
        facts = _as_data(record) | {
            "approvals": [
                {"actor": each.actor, "at": each.at.isoformat(), "void": each.voided is not None}
                for each in approvals
            ],
            "due_times": [_run_data(run) for run in runs],
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
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    text = _TEXT[arguments.lang]
    for line in _shown(record, arguments.lang):
        print(line)
    if approvals:
        print(text["approvals"])
    for approval in approvals:
        void = f"  ({text['void']})" if approval.voided else ""
        print(f"  {shown_time(approval.at)}  {approval.actor}{void}")
    if runs:
        print(text["runs_head"])
    for run in runs:
        print(f"  {_zoned(record, run.due)}  {_run_line(run, arguments.lang)}")
    print(text["history"])
    for event in events:
        note = f" ({event.note})" if event.note else ""
        state = _STATES[arguments.lang][event.after.value]
        print(f"  {shown_time(event.at)}  {event.actor}: {event.step.value}{note} -> {state}")
    return 0


def approve(arguments: argparse.Namespace) -> int:
    """Approve a schedule as a whole; returns the exit status. What is approved is shown, with its hash."""
    who = person(actor(arguments))
    with Node.open(arguments.home, role=BANK) as node:
        schedules = _schedules(node)
        record = schedules.find(arguments.schedule)
        if not arguments.json:
            for line in _shown(record, arguments.lang):
                print(line)
        record = schedules.approve(record.id, who, record.digest)
    _tell(arguments, record, "approved", who)
    return 0


def refuse(arguments: argparse.Namespace) -> int:
    """Refuse a schedule; returns the exit status."""
    return _step(arguments, "refused")


def pause(arguments: argparse.Namespace) -> int:
    """Pause a schedule; returns the exit status."""
    return _step(arguments, "paused")


def resume(arguments: argparse.Namespace) -> int:
    """Resume a schedule; returns the exit status."""
    return _step(arguments, "resumed")


def remove(arguments: argparse.Namespace) -> int:
    """Remove a schedule; returns the exit status."""
    return _step(arguments, "removed")


def _step(arguments: argparse.Namespace, said: str) -> int:
    who = person(actor(arguments))
    with Node.open(arguments.home, role=BANK) as node:
        schedules = _schedules(node)
        schedule = schedules.find(arguments.schedule).id
        steps = {
            "refused": schedules.refuse,
            "paused": schedules.pause,
            "resumed": schedules.resume,
            "removed": schedules.remove,
        }
        record = steps[said](schedule, who)
    _tell(arguments, record, said, who)
    return 0


def _schedules(node: Node) -> Schedules:
    return Schedules(node.home.store, node.clock)


def _terms(
    arguments: argparse.Namespace,
    node: Node,
    timetable: Timetable,
    partner: str,
    before: Terms | None = None,
) -> Terms:
    """Draft the job as if it were due now, and keep what it would be; its contract is thrown away."""
    job, table = load_job(arguments.file)
    drafted = draft_with(
        node,
        job,
        table,
        partner,
        dataset=arguments.dataset or (before.dataset if before else None),
        partner_dataset=arguments.partner_dataset or (before.partner_dataset if before else None),
        lifetime=datetime.timedelta(days=timetable.days),
    )
    if not arguments.json:
        for change in drafted.changes:
            print(change.zh if arguments.lang == "zh" else change.en)
    return Terms.of(drafted, partner, timetable)


def _tell_draft(
    arguments: argparse.Namespace,
    record: ScheduleRecord,
    now: datetime.datetime,
    lines: tuple[str, ...] | list[str],
) -> None:
    if arguments.json:
        print(json.dumps(_as_data(record), ensure_ascii=False))
        return
    text = _TEXT[arguments.lang]
    for line in (*lines, *_shown(record, arguments.lang)):
        print(line)
    print(text["times"])
    due: datetime.datetime | None = now
    for _ in range(min(_FIRST_TIMES, record.terms.timetable.runs or _FIRST_TIMES)):
        due = None if due is None else record.terms.timetable.following(due)
        if due is not None:
            print(f"  {_zoned(record, due)}")
    facts = _as_data(record) | {"short": record.id[:_SHORT], "home": arguments.home}
    print(text["drafted"].format(**facts))
    print(text["approve"].format(**facts))


def _tell(arguments: argparse.Namespace, record: ScheduleRecord, said: str, who: Actor) -> None:
    if arguments.json:
        print(json.dumps(_as_data(record), ensure_ascii=False))
        return
    due = "" if record.next_due is None else _zoned(record, record.next_due)
    print(_TEXT[arguments.lang][said].format(short=record.id[:_SHORT], actor=who, due=due))


def _shown(record: ScheduleRecord, language: str) -> Iterator[str]:
    text, facts = _TEXT[language], _as_data(record)
    state = _STATES[language][record.state.value]
    yield (
        f"{record.id}  {state}  {record.kind}  {record.partner}  {record.terms.dataset}  "
        f"{record.terms.partner_dataset}"
    )
    yield text["purpose"].format(**facts)
    runs = "" if record.terms.timetable.runs is None else text["runs"].format(**facts)
    yield text["when"].format(**facts | {"runs": runs})
    if record.next_due is not None:
        yield text["next"].format(due=_zoned(record, record.next_due))
    because = _because(record, language)
    if because:
        yield because
    if record.failures:
        yield text["failures"].format(**facts)
    job = parse_job(record.terms.table, f"schedule {record.id[:_SHORT]}")
    yield from card_for(job).lines(language)
    yield text["digest"].format(**facts)
    yield ""


def _because(record: ScheduleRecord, language: str) -> str:
    if record.state is not ScheduleState.PAUSED:
        return ""
    return _TEXT[language]["because"].format(reason=_reason(record.code, language))


def _reason(code: str | None, language: str) -> str:
    """Return a reason as a sentence; a code that a job ended with is told as it is."""
    return REASONS[code][language == "zh"] if code is not None and code in REASONS else (code or "")


def _run_line(run: ScheduledRun, language: str) -> str:
    parts = [_OUTCOMES[language][run.outcome.value]]
    if run.job is not None:
        parts.append(run.job[:_SHORT])
    why = [_reason(run.code, language)] if run.code else []
    if run.missed:
        why.append(_TEXT[language]["missed"].format(missed=run.missed))
    if why:
        parts.append(f"({'; '.join(why)})")
    return " ".join(parts)


def _run_data(run: ScheduledRun) -> dict[str, Any]:
    return {
        "due": run.due.isoformat(),
        "at": run.at.isoformat(),
        "outcome": run.outcome.value,
        "code": run.code,
        "missed": run.missed,
        "job": run.job,
    }


def _as_data(record: ScheduleRecord) -> dict[str, Any]:
    terms, timetable = record.terms, record.terms.timetable
    return {
        "schedule": record.id,
        "state": record.state.value,
        "code": record.code,
        "kind": record.kind,
        "purpose": record.purpose,
        "partner": record.partner,
        "dataset": terms.dataset,
        "partner_dataset": terms.partner_dataset,
        "every": str(timetable.recurrence),
        "timezone": timetable.recurrence.timezone,
        "until": timetable.until.isoformat(),
        "runs": timetable.runs,
        "days": timetable.days,
        "drafted": record.drafted,
        "failures": record.failures,
        "digest": record.digest,
        "next_due": None if record.next_due is None else record.next_due.isoformat(),
    }


def _zoned(record: ScheduleRecord, moment: datetime.datetime) -> str:
    """Return a due time as its schedule's zone has it."""
    return f"{moment.astimezone(record.terms.timetable.recurrence.zone):%a %Y-%m-%d %H:%M %Z}"
