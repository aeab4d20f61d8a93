"""``veiljoin client``: join a bank, and find what keeps the node from working."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Final

from cli.server import shown_time
from client import enrolment
from client.doctor import Doctor, Finding, Verdict
from party.home import Home
from party.invitation import grouped, read_token
from party.node import Node
from party.nodefile import NODE_FILE, PLATFORM, NodeFile, load_node, write_node
from party.runner import SOFTWARE
from psi.errors import UsageError, VeiljoinError

_TEXT: Final = {
    "en": {
        "fingerprint": "Read this fingerprint out to the bank, on a line that you know:",
        "waiting": "Waiting for the bank to confirm it (up to {minutes:.0f} minutes; the same command goes on).",
        "joined": "{partner} has joined {bank}. The certificate is good until {until}; the node renews it by itself.",
        "next": "Next: veiljoin client doctor --home {home}",
    },
    "zh": {
        "fingerprint": "请通过您已知的线路向银行读出这个指纹：",
        "waiting": "正在等待银行确认（最多 {minutes:.0f} 分钟；中断后用同一命令继续）。",
        "joined": "{partner} 已加入 {bank}。证书有效期至 {until}；节点会自动续期。",
        "next": "下一步：veiljoin client doctor --home {home}",
    },
}
_CHECKS: Final = {
    "en": {
        "home": "home",
        "enrolment": "enrolment",
        "certificate": "certificate",
        "name": "name resolution",
        "port": "port",
        "tls": "TLS",
        "access": "access",
        "version": "version",
        "clock": "clock",
        "disk": "disk",
        "processor": "processor",
        "policy": "policy",
        "dataset": "dataset",
        "ok": "ok",
        "failed": "failed",
        "skipped": "not tried",
        "because": "{0} failed",
        "hint": "mend",
    },
    "zh": {
        "home": "主目录",
        "enrolment": "注册",
        "certificate": "证书",
        "name": "域名解析",
        "port": "端口",
        "tls": "TLS",
        "access": "访问权限",
        "version": "版本",
        "clock": "时钟",
        "disk": "磁盘",
        "processor": "处理器",
        "policy": "策略",
        "dataset": "数据集",
        "ok": "正常",
        "failed": "失败",
        "skipped": "未检查",
        "because": "{0}失败",
        "hint": "处理",
    },
}
_UNWELL: Final = 2


def join(arguments: argparse.Namespace) -> int:
    """Join a bank; returns the exit status."""
    # On standard input a token shows neither in the shell's history nor in the list of processes.
    text = sys.stdin.read() if arguments.token == "-" else arguments.token  # noqa: S105 - not a password
    invitation = read_token(text)
    file = NodeFile(invitation.partner, PLATFORM, None, arguments.store)
    known = (arguments.home / NODE_FILE).exists()
    if known:
        file = _same(arguments.home, invitation.partner)
    words = _TEXT[arguments.lang]

    def show(fingerprint: str) -> None:
        if arguments.json:
            print(json.dumps({"event": "fingerprint", "fingerprint": fingerprint}), flush=True)
            return
        print(words["fingerprint"])
        print(f"\n    {grouped(fingerprint)}\n")
        print(words["waiting"].format(minutes=arguments.wait / 60), flush=True)

    with Node.assemble(file, Home.open(arguments.home, store=file.store)) as node:
        # First, so that the log which it certifies holds what follows.
        node.credentials.ensure_identity()
        node.settle_log()
        joined = asyncio.run(
            enrolment.join(
                invitation, node.home.store, node.credentials, SOFTWARE, show, patience=arguments.wait
            )
        )
    if not known:
        write_node(arguments.home, file)
    facts = {
        "bank": joined.bank,
        "partner": joined.partner,
        "until": shown_time(joined.certificate.not_valid_after_utc),
        "home": str(arguments.home),
    }
    if arguments.json:
        print(json.dumps({"event": "joined", **facts}, ensure_ascii=False))
        return 0
    print(words["joined"].format(**facts))
    print(words["next"].format(**facts))
    return 0


def _same(home: Path, partner: str) -> NodeFile:
    """Return the settings of a home that joins again. Raises ``UsageError`` if it is another node's."""
    file = load_node(home)
    if file.role != PLATFORM or file.name != partner:
        raise UsageError(
            f"{home} is the home of the {file.role} {file.name!r}, and the token is for {partner!r}.",
            hint="use another --home, or ask the bank for a token with that name",
        )
    return file


def doctor(arguments: argparse.Namespace) -> int:
    """Check the node; returns the exit status: 2 when something has to be mended."""
    try:
        with Node.open(arguments.home, role=PLATFORM) as node:
            well = asyncio.run(Doctor(node, SOFTWARE).examine(lambda finding: _show(arguments, finding)))
    except VeiljoinError as error:
        # A home that can't be opened has no other checks.
        _show(arguments, Finding("home", Verdict.FAILED, error.message, error.hint))
        return error.code.exit
    return 0 if well else _UNWELL


def _show(arguments: argparse.Namespace, finding: Finding) -> None:
    if arguments.json:
        event = {
            "check": finding.check,
            "verdict": finding.verdict.value,
            "text": finding.text,
            "hint": finding.hint,
        }
        print(json.dumps(event, ensure_ascii=False), flush=True)
        return
    words = _CHECKS[arguments.lang]
    kind, _, rest = finding.check.partition(" ")
    name = f"{words[kind]} {rest}".strip()
    text = finding.text
    if finding.verdict is Verdict.SKIPPED:
        text = words["because"].format(words[finding.text])
    print(f"{words[finding.verdict.value]:<10} {name}: {text}", flush=True)
    if finding.hint:
        print(f"{'':<10} {words['hint']}: {finding.hint}", flush=True)
