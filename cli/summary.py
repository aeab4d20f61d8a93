"""What an operator reads when a job is done: figures, where the lists lie, what each side learned."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from cli.sum_summary import learned_lines, sum_lines
from party.disclosure import Card
from party.jobspec import SIDES, Job
from party.rehearsal import Outcome
from party.rehearsal_logs import bundle_name
from party.report import REPORT
from party.results import MATCHES

_TEXT = {
    "en": {
        "bank": "bank",
        "platform": "platform",
        "rows": "{side}: {rows_read:,} rows, {rejected:,} rejected{reasons}, {duplicates:,} {repeats}, "
        "{unique_persons:,} persons{held}",
        "duplicates": "duplicates",
        "further": "further rows of the same persons",
        "held": ", {held_back:,} of them kept back",
        "matched": "matched: {count} persons",
        "withheld": "withheld ({reason})",
        "tier": "  {group}: {matched} of {persons:,}",
        "effort": "{side}: {engine} x {threads}, {seconds:.1f} s, {sent:.1f} MB sent, peak memory {peak:.0f} MB",
        "files": "{side}'s files: {files}",
        "none": "none",
        "result": "Everything for machines: {path}",
        "below_min_group": "below min_group",
        "learned": "the {side} learned: {what}",
        "size": "the {other}'s set has {size:,} persons",
        "untold": "nothing about matches",
        "told": "{count} match",
        "listed": "which of its own rows they are",
        "and": "; ",
        "report": "Report for people: {path}",
        "logs": "What both parties' logs say of it: veiljoin audit verify {bank} {platform}",
    },
    "zh": {
        "bank": "银行",
        "platform": "平台",
        "rows": "{side}：{rows_read:,} 行，剔除 {rejected:,} 行{reasons}，{repeats} {duplicates:,} 行，"
        "{unique_persons:,} 人{held}",
        "duplicates": "重复",
        "further": "同一人的其他行",
        "held": "，其中保留 {held_back:,} 人",
        "matched": "匹配人数：{count}",
        "withheld": "不显示（{reason}）",
        "tier": "  {group}：{persons:,} 人中 {matched}",
        "effort": "{side}：{engine} x {threads}，{seconds:.1f} 秒，发送 {sent:.1f} MB，内存峰值 {peak:.0f} MB",
        "files": "{side}的文件：{files}",
        "none": "无",
        "result": "供程序读取的结果：{path}",
        "below_min_group": "低于最小群体",
        "learned": "{side}得知：{what}",
        "size": "{other}集合有 {size:,} 人",
        "untold": "未得知任何匹配信息",
        "told": "匹配 {count} 人",
        "listed": "匹配者是自己的哪些行",
        "and": ";",
        "report": "供人阅读的报告：{path}",
        "logs": "核验双方日志：veiljoin audit verify {bank} {platform}",
    },
}


def summary_lines(outcome: Outcome, language: str, job: Job) -> Iterator[str]:
    """Yield the lines for people."""
    text = _TEXT[language]
    result, out = outcome.result, outcome.folder
    for side in SIDES:
        party = result["parties"][side]
        rejected = party["rejected"]
        reasons = (
            f" ({', '.join(f'{name} {count:,}' for name, count in rejected.items())})" if rejected else ""
        )
        yield text["rows"].format(
            side=text[side],
            rows_read=party["rows_read"],
            rejected=sum(rejected.values()),
            reasons=reasons,
            duplicates=party["duplicates"],
            # In a sum they are no mistake: a person's outcomes and costs add up.
            repeats=text["further" if job.kind.is_sum else "duplicates"],
            unique_persons=party["unique_persons"],
            held=text["held"].format(held_back=party["held_back"]) if party["held_back"] else "",
        )
    if job.kind.is_sum:
        yield from sum_lines(result, job, language)
        yield from learned_lines(outcome.sides, job, language, text)
    else:
        yield from _match_lines(outcome, text)
    for side in SIDES:
        party = result["parties"][side]
        yield text["effort"].format(
            side=text[side],
            engine=party["engine"],
            threads=party["threads"],
            seconds=sum(party["seconds"].values()),
            sent=party["bytes_sent"] / 1e6,
            peak=party["peak_memory_mb"],
        )
    for side in SIDES:
        files = ", ".join(str(out / side / name) for name in result["parties"][side]["files"])
        yield text["files"].format(side=text[side], files=files or text["none"])
    if job.kind.is_sum:
        yield text["report"].format(path=out / REPORT)
    yield text["result"].format(path=out / "result.json")
    bundles = {side: shlex.quote(str(out / side / bundle_name(side))) for side in SIDES}
    yield text["logs"].format(**bundles)


def _match_lines(outcome: Outcome, text: Mapping[str, str]) -> Iterator[str]:
    yield text["matched"].format(count=_count(outcome.result["totals"]["matched"], text))
    for group in outcome.result["groups"]:
        name = ", ".join(str(value) for value in group["group"].values())
        yield text["tier"].format(
            group=name, matched=_count(group["matched"], text), persons=group["persons"]
        )
    for side in SIDES:
        yield _learned(side, outcome.sides[side], text)


def _learned(side: str, report: Mapping[str, Any], text: Mapping[str, str]) -> str:
    """Return what ``side`` was told in this run, from its own report and not from the other's."""
    other = "platform" if side == "bank" else "bank"
    parts = [text["size"].format(other=text[other], size=report["totals"][f"{other}_persons"])]
    untold = any(each["reason"] == "not_told_by_contract" for each in report["withheld"])
    if untold:
        parts.append(text["untold"])
    else:
        parts.append(text["told"].format(count=_count(report["totals"]["matched"], text)))
    if MATCHES in report["party"]["files"]:
        parts.append(text["listed"])
    return text["learned"].format(side=text[side], what=text["and"].join(parts))


def card_lines(card: Card, contract_hash: bytes, language: str) -> Iterator[str]:
    """Yield the disclosure card and the hash of the contract that holds it."""
    yield from card.lines(language)
    yield f"{'Contract' if language == 'en' else '合同'} SHA-256: {contract_hash.hex()}"


def _count(value: int | None, text: Mapping[str, str]) -> str:
    return text["withheld"].format(reason=text["below_min_group"]) if value is None else f"{value:,}"
