"""``veiljoin backup`` and ``veiljoin restore``: a node's home in one file, and back."""

from __future__ import annotations

import argparse
import json
from typing import Any, Final

from cli.server import actor, shown_time
from party.backup import save
from party.node import Node
from party.restoring import restore as restore_home

_TEXT: Final = {
    "en": {
        "saved": "{out}: {files} files, {size:,} bytes, of the {role} {node} at {at}.",
        "database": "The store is the database {database}, and not in it: save that with pg_dump, at the same time.",
        "with_key": "The node key is in it: whoever has this file can be this node. Keep it as safe as the home.",
        "without_key": "The node key is not in it, and it can't be restored without: keep {key} somewhere else.",
        "with_results": "The results are in it, with customers' data that nothing encrypts.",
        "restored": "{home} is the {role} {node} as it was at {at}.",
        "again": "Jobs that had not ended and begin anew, with new keys: {jobs}.",
        "behind": "What happened after that is not known here:",
        "one_node": "- The node that was saved must not run any more: two would answer with one identity.",
        "budget": "- Runs since then are missing from budget and ledger, and their partners keep the results. "
        "Compare `veiljoin job list` with the partners'; until then, lower [budget] runs in policy.toml by as many.",
        "bank": "- Partners that joined or renewed since then have to be invited again, and access that was taken "
        "away since then has to be taken away again: veiljoin server partners --home {home}",
        "platform": "- If the certificate was renewed since then or has ended, ask the bank for a new token.",
        "next": "Then: veiljoin {command} run --home {home}",
    },
    "zh": {
        "saved": "{out}：{files} 个文件，{size:,} 字节，{role} {node}，时间 {at}。",
        "database": "存储是数据库 {database}，不在其中：请同时用 pg_dump 保存。",
        "with_key": "其中含有节点密钥：持有此文件者可冒充本节点。请像保护主目录一样保护它。",
        "without_key": "其中不含节点密钥，没有它无法恢复：请把 {key} 另行保存。",
        "with_results": "其中含有结果，内有未加密的客户数据。",
        "restored": "{home} 是 {role} {node}，恢复到 {at} 的状态。",
        "again": "尚未结束、将以新密钥重新开始的任务：{jobs}。",
        "behind": "此后发生的事，这里不知道：",
        "one_node": "- 被保存的节点不得再运行：否则两个节点会使用同一身份。",
        "budget": "- 此后的运行未计入预算和差分账本，而合作方已有其结果。请将 `veiljoin job list` 与合作方的列表"
        "比对；在此之前，请把 policy.toml 中 [budget] 的 runs 减少相应次数。",
        "bank": "- 此后加入或续期的合作方需要重新邀请，此后取消的访问权限需要再次取消："
        "veiljoin server partners --home {home}",
        "platform": "- 如果证书在此后续期或已到期，请向银行索取新的令牌。",
        "next": "然后：veiljoin {command} run --home {home}",
    },
}


def backup(arguments: argparse.Namespace) -> int:
    """Save a node; returns the exit status."""
    who = actor(arguments)
    with Node.open(arguments.home) as node:
        saved = save(
            node,
            arguments.out,
            with_results=arguments.with_results,
            with_key=arguments.with_key,
            actor=who,
        )
    facts: dict[str, Any] = {
        "out": str(arguments.out),
        "node": saved.node,
        "role": saved.role,
        "at": shown_time(saved.at),
        "files": saved.files,
        "size": saved.size,
        "with_key": saved.with_key,
        "with_results": saved.with_results,
        "database": saved.database,
    }
    lines = ["saved", "with_key" if saved.with_key else "without_key"]
    if saved.database is not None:
        lines.insert(1, "database")
    if saved.with_results:
        lines.append("with_results")
    _tell(arguments, facts, lines, key=arguments.home / "node.key")
    return 0


def restore(arguments: argparse.Namespace) -> int:
    """Make a home from a backup; returns the exit status."""
    restored = restore_home(arguments.file, arguments.home, arguments.key, actor=actor(arguments))
    saved = restored.saved
    facts = {
        "home": str(arguments.home),
        "node": saved.node,
        "role": saved.role,
        "at": shown_time(saved.at),
        "begin_anew": list(restored.jobs),
    }
    _tell(arguments, facts, ["restored"])
    if arguments.json:
        return 0
    if restored.jobs:
        _tell(arguments, {}, ["again"], jobs=", ".join(job[:8] for job in restored.jobs))
    command = "server" if saved.role == "bank" else "client"
    _tell(arguments, facts, ["behind", "one_node", "budget", saved.role, "next"], command=command)
    return 0


def _tell(arguments: argparse.Namespace, facts: dict[str, Any], lines: list[str], **more: Any) -> None:
    if arguments.json:
        print(json.dumps(facts, ensure_ascii=False))
        return
    for line in lines:
        print(_TEXT[arguments.lang][line].format(**facts, **more))
