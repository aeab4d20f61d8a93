"""``veiljoin audit export``: the bundle of a node's log, or the evidence pack of a job."""

from __future__ import annotations

import argparse
import json
from typing import Final

from audit.report import fingerprint_of
from cli.joint import jobs_of
from cli.server import actor
from party.evidence import Evidence, contracts_of, write_bundle, write_pack
from party.identity import public_identity
from party.jobrecords import person
from party.node import Node
from psi.errors import UsageError

_TEXT: Final = {
    "en": {
        "log": "{out}: the log of the {role} {node}, {entries:,} entries.",
        "pack": "{out}: the evidence pack of job {job}. Open index.html in a browser.",
        "details": "Commitments are opened in it, with counts that policy withholds. Give it to the auditor alone.",
        "identity": "Read this out to the auditor, by another way than the file takes: identity {identity}",
        "check": "The auditor checks it with: veiljoin audit verify {out}",
    },
    "zh": {
        "log": "{out}：{role} {node} 的日志，共 {entries:,} 条。",
        "pack": "{out}：任务 {job} 的证据包。请用浏览器打开 index.html。",
        "details": "其中已打开承诺，含有策略不允许公开的数字：请只交给审计方。",
        "identity": "请通过其他渠道（不要随文件）告知审计方本方身份：{identity}",
        "check": "审计方核验命令：veiljoin audit verify {out}",
    },
}
_ROLES: Final = {
    "en": {"bank": "bank", "platform": "platform"},
    "zh": {"bank": "银行", "platform": "平台"},
}


def export(arguments: argparse.Namespace) -> int:
    """Export a log or a job; returns the exit status."""
    who = str(person(actor(arguments)))
    if arguments.out.exists():
        raise UsageError(
            f"There is something at {arguments.out} already.", hint="give each export a new name"
        )
    with Node.open(arguments.home) as node:
        store = node.home.store
        evidence = Evidence(store, node.log.cosigning(), lambda: contracts_of(store), arguments.log)
        what = "whole_log" if arguments.job is None else "evidence_pack"
        job = None if arguments.job is None else jobs_of(node).find(arguments.job).id
        evidence.note(who, f"{what}_with_details" if arguments.details else what)
        if job is None:
            size = write_bundle(arguments.out, evidence.whole(details=arguments.details))
        else:
            size = write_pack(arguments.out, evidence.pack(job, details=arguments.details))
        facts = {
            "out": str(arguments.out),
            "role": node.file.role,
            "node": node.file.name,
            "job": job,
            "entries": size,
            "identity": fingerprint_of(public_identity(node.credentials.identity()).hex()),
            "details": bool(arguments.details),
        }
    if arguments.json:
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    text = _TEXT[arguments.lang]
    shown = facts | {"role": _ROLES[arguments.lang][node.file.role], "job": (job or "")[:8]}
    print(text["log" if job is None else "pack"].format(**shown))
    if arguments.details:
        print(text["details"])
    print(text["identity"].format(**shown))
    if arguments.out.suffix.lower() != ".zip":
        print(text["check"].format(**shown))
    return 0
