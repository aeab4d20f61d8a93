"""``veiljoin server run`` and ``veiljoin client run``: a standing node, until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import json
import os
import resource
import signal
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from party.node import Node
from party.nodefile import BANK, PLATFORM
from party.runner import SOFTWARE
from party.running import Tell

_TEXT: Final = {
    "en": {
        "listening": "{name} listens on {address}, for enrolment on {enrol}.",
        "online": "{partner} is on the line.",
        "offline": "{partner} has left the line.",
        "unreached": "No connection: {text} ({hint})",
        "certificate": "The certificate was renewed.",
        "job": "job {job}: {state}{why}",
        "process": "job {job}: attempt {attempt} runs as process {pid}",
        "result": "job {job}: the result is in {folder}",
        "ended": "job {job}: the attempt ended ({code}): {text} ({hint})",
        "fault": "{text} ({hint})",
        "other": "job {job}: {text} ({hint})",
        "stopped": "Stopped.",
    },
    "zh": {
        "listening": "{name} 正在监听 {address}，注册端口为 {enrol}。",
        "online": "{partner} 已连接。",
        "offline": "{partner} 已断开。",
        "unreached": "未能连接：{text}（{hint}）",
        "certificate": "证书已续期。",
        "job": "任务 {job}：{state}{why}",
        "process": "任务 {job}：第 {attempt} 次运行，进程 {pid}",
        "result": "任务 {job}：结果位于 {folder}",
        "ended": "任务 {job}：本次运行结束（{code}）：{text}（{hint}）",
        "fault": "{text}（{hint}）",
        "other": "任务 {job}：{text}（{hint}）",
        "stopped": "已停止。",
    },
}


def server(arguments: argparse.Namespace) -> int:
    """Run a bank's node; returns the exit status."""
    from server.node import BankNode

    with Node.open(arguments.home, role=BANK) as node:
        bank = BankNode(node, SOFTWARE, _log(arguments, node), running=arguments.jobs)
        return _until_told(arguments, bank.run)


def client(arguments: argparse.Namespace) -> int:
    """Run a partner's node; returns the exit status."""
    from client.node import PartnerNode

    with Node.open(arguments.home, role=PLATFORM) as node:
        partner = PartnerNode(node, SOFTWARE, _log(arguments, node))
        return _until_told(arguments, partner.run)


def _until_told(
    arguments: argparse.Namespace, run: Callable[[asyncio.Event], Coroutine[Any, Any, None]]
) -> int:
    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(ending, stop.set)
        await run(stop)

    os.umask(0o077)
    # A core file would hold keys.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    asyncio.run(serve())
    if not arguments.json:
        print(_TEXT[arguments.lang]["stopped"], flush=True)
    return 0


def _log(arguments: argparse.Namespace, node: Node) -> Tell:
    words = _TEXT[arguments.lang]

    def tell(event: dict[str, Any]) -> None:
        now = datetime.datetime.now().astimezone()
        if arguments.json:
            line = json.dumps({"time": now.isoformat(timespec="milliseconds"), **event}, ensure_ascii=False)
        else:
            line = f"{now:%Y-%m-%d %H:%M:%S} {words_of(event, words, node.file.name)}"
        # A log that nobody reads any more is no reason to stop.
        with contextlib.suppress(OSError):
            print(line, flush=True)

    return tell


def words_of(event: Mapping[str, Any], words: Mapping[str, str], name: str) -> str:
    """Return ``event`` as a line of the log; ids of jobs are shortened to what tells them apart."""
    facts = {"name": name, "text": "", "hint": "", **event}
    if "job" in facts:
        facts["job"] = str(facts["job"])[:8]
    code = facts.get("code")
    facts["why"] = f" ({code})" if code else ""
    return words.get(str(event["event"]), words["other"]).format(**facts)
