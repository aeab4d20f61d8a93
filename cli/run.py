"""``veiljoin server run`` and ``veiljoin client run``: a standing node, until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import datetime
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Final

from party.node import Node
from party.nodefile import BANK, PLATFORM
from party.nodelog import LogFile, Writer, entry
from party.runner import SOFTWARE
from party.running import Tell
from party.stopping import Drain, Stop
from party.supervisor import Supervisor

_TEXT: Final = {
    "en": {
        "listening": "{name} listens on {address}, for enrolment on {enrol}.",
        "started": "{name} has started.",
        "metrics": "Metrics and health are at http://{address}/metrics, /healthz and /readyz.",
        "online": "{partner} is on the line.",
        "offline": "{partner} has left the line.",
        "unreached": "No connection: {text} ({hint})",
        "certificate": "The certificate was renewed.",
        "waits": "job {job}: {partner} proposes {kind}; read it and decide: veiljoin job approve {job} --home {home}",
        "job": "job {job}: {state}{why}",
        "process": "job {job}: attempt {attempt} runs as process {pid}",
        "result": "job {job}: the result is in {folder}",
        "ended": "job {job}: the attempt ended ({code}): {text} ({hint})",
        "schedule": "schedule {schedule}: {state}{of_job}{because}",
        "not_cosigned": "{text} ({hint})",
        "cosigned": "{partner} cosigns our log again; jobs with it go on.",
        "fault": "{text} ({hint})",
        "other": "job {job}: {text} ({hint})",
        "stopping": "Stopping; jobs under way: {running}. A second signal stops at once.",
        "stopped": "Stopped.",
    },
    "zh": {
        "listening": "{name} 正在监听 {address}，注册端口为 {enrol}。",
        "started": "{name} 已启动。",
        "metrics": "指标与健康状态见 http://{address}/metrics、/healthz 和 /readyz。",
        "online": "{partner} 已连接。",
        "offline": "{partner} 已断开。",
        "unreached": "未能连接：{text}（{hint}）",
        "certificate": "证书已续期。",
        "waits": "任务 {job}：{partner} 提议 {kind}；请阅读后决定：veiljoin job approve {job} --home {home}",
        "job": "任务 {job}：{state}{why}",
        "process": "任务 {job}：第 {attempt} 次运行，进程 {pid}",
        "result": "任务 {job}：结果位于 {folder}",
        "ended": "任务 {job}：本次运行结束（{code}）：{text}（{hint}）",
        "schedule": "定期任务 {schedule}：{state}{of_job}{because}",
        "not_cosigned": "{text}（{hint}）",
        "cosigned": "{partner} 已恢复共同签署我方日志，与其的任务将继续。",
        "fault": "{text}（{hint}）",
        "other": "任务 {job}：{text}（{hint}）",
        "stopping": "正在停止；进行中的任务：{running}。再次发出信号将立即停止。",
        "stopped": "已停止。",
    },
}


_Run = Callable[[asyncio.Event, Drain], Coroutine[Any, Any, None]]


def server(arguments: argparse.Namespace) -> int:
    """Run a bank's node; returns the exit status."""
    from server.node import BankNode

    with Node.open(arguments.home, role=BANK) as node, _telling(arguments, node) as tell:
        bank = BankNode(node, SOFTWARE, tell, running=arguments.jobs)
        return _until_told(arguments, bank.run, tell)


def client(arguments: argparse.Namespace) -> int:
    """Run a partner's node; returns the exit status."""
    from client.node import PartnerNode

    with Node.open(arguments.home, role=PLATFORM) as node, _telling(arguments, node) as tell:
        partner = PartnerNode(node, SOFTWARE, tell)
        return _until_told(arguments, partner.run, tell)


def _until_told(arguments: argparse.Namespace, run: _Run, tell: Tell) -> int:
    async def serve() -> None:
        stop = Stop(arguments.grace, tell)
        loop = asyncio.get_running_loop()
        for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(ending, stop.ask)
        await run(stop.begun, stop.drain)

    asyncio.run(serve())
    tell({"event": "stopped"})
    return 0


@contextlib.contextmanager
def _telling(arguments: argparse.Namespace, node: Node) -> Iterator[Tell]:
    """Give what the node tells its events to: its logs, its metrics, the service manager. Closes them in the end."""
    os.umask(0o077)
    # A core file would hold keys.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    with contextlib.ExitStack() as closing:
        log, lost = _logs(arguments, node, closing)
        hearers = [log, Supervisor().tell]

        def tell(event: dict[str, Any]) -> None:
            for hear in hearers:
                hear(event)

        if arguments.metrics is not None:
            from party.endpoint import Endpoint
            from party.health import Health
            from party.metrics import Metrics

            metrics = Metrics(node.file.role, SOFTWARE)
            health = Health(node, metrics, lost)
            endpoint = Endpoint.open(arguments.metrics, metrics, health)
            closing.callback(endpoint.close)
            hearers.append(health.tell)
            host = arguments.metrics.strip().rpartition(":")[0]
            tell({"event": "metrics", "address": f"{host}:{endpoint.port}"})
        yield tell


def _logs(
    arguments: argparse.Namespace, node: Node, closing: contextlib.ExitStack
) -> tuple[Tell, Callable[[], int]]:
    """Return what writes the logs that were asked for, and how many of their lines were lost."""
    form = arguments.log_format
    text = form == "text" or (form is None and sys.stderr.isatty())
    writers: list[tuple[Writer, bool, bool]] = []

    def add(write: Callable[[str], None], *, text: bool, whole_ids: bool = False) -> None:
        writer = Writer(write)
        closing.callback(writer.close)
        writers.append((writer, text, whole_ids))

    if arguments.json:
        # For the program that started the node: on standard output, and ids as other commands take them.
        add(_printing(sys.stdout), text=False, whole_ids=True)
    if form is not None or not arguments.json:
        add(_printing(sys.stderr), text=text)
    if arguments.log_file is not None:
        file = LogFile(arguments.log_file)
        closing.callback(file.close)
        add(file.line, text=form == "text")
    words = _TEXT[arguments.lang]

    def log(event: dict[str, Any]) -> None:
        now = datetime.datetime.now().astimezone()
        for writer, text, whole_ids in writers:
            line = entry(event, now, whole_ids=whole_ids)
            if line is None:
                return
            if text:
                writer.put(f"{now:%Y-%m-%d %H:%M:%S} {words_of(line, words, node.file.name)}")
            else:
                writer.put(json.dumps({**line, "node": node.file.name}, ensure_ascii=False))

    return log, lambda: sum(writer.lost for writer, _, _ in writers)


def _printing(stream: Any) -> Callable[[str], None]:
    return lambda line: print(line, file=stream, flush=True)


def words_of(event: Mapping[str, Any], words: Mapping[str, str], name: str) -> str:
    """Return ``event`` as a line of the log; ids of jobs are shortened to what tells them apart."""
    facts = collections.defaultdict(str, {"name": name, **event})
    if "job" in facts:
        facts["job"] = str(facts["job"])[:8]
    code = facts.get("code")
    facts["why"] = f" ({code})" if code else ""
    facts["of_job"] = f" {facts['job']}" if "job" in facts else ""
    facts["because"] = f" ({facts['text']})" if facts["text"] else ""
    return words.get(str(event["event"]), words["other"]).format_map(facts)
