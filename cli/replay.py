"""``veiljoin audit replay`` and ``veiljoin audit new-key``: what an auditor does with a seed that a party kept."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from audit import canonical
from audit.bundle import BundleFault
from audit.entry import parse
from audit.merkle import leaf_hash
from cli.audit_files import Bundles, unreadable
from cli.replay_words import (
    ANNOUNCEMENTS,
    DIRECTIONS,
    NAMES,
    NOTHING_SAID,
    OUTCOMES,
    SENT,
    STREAM_ENDINGS,
    UNLOGGED,
    UNMADE,
    VERDICTS,
)
from party.auditlog import AuditLog
from party.keptruns import KeptRun, KeptRuns
from party.node import Node
from party.progress import PHASES
from party.replaying import LoggedRun, Outcome, Replayed, Verdict
from party.replaying import replay as replay_run
from party.seedkeeping import new_auditor_key, read_auditor_key, write_auditor_key
from party.spool import disk_error
from psi.errors import UsageError

# Something differs: the exit status of a log or a replay that does not hold.
FAULT: Final = 6
_TEXT: Final = {
    "en": {
        "key": "The private key is in {file}. Keep it with the auditor, away from the node.",
        "policy": "In the party's policy.toml:",
        "run": "Job {job}, run {run}, the {side}'s side",
        "session": "in the log as session {session}",
        "stream": "{count:,} elements, {bytes:,} bytes",
        "message": "{bytes:,} bytes",
    },
    "zh": {
        "key": "私钥在 {file} 中。请由审计方保管，不要放在节点上。",
        "policy": "写入该方的 policy.toml：",
        "run": "任务 {job}，第 {run} 次运行，{side}一侧",
        "session": "日志中的会话 {session}",
        "stream": "{count:,} 个元素，{bytes:,} 字节",
        "message": "{bytes:,} 字节",
    },
}
_SIDES: Final = {"bank": ("bank", "银行"), "platform": ("platform", "平台")}


def new_key(arguments: argparse.Namespace) -> int:
    """Make an auditor's key pair; returns the exit status."""
    key = new_auditor_key()
    write_auditor_key(arguments.file, key)
    public = key.public.hex()
    if arguments.json:
        print(json.dumps({"file": str(arguments.file), "public": public}, ensure_ascii=False))
        return 0
    text = _TEXT[arguments.lang]
    print(text["key"].format(file=arguments.file))
    print(text["policy"])
    print(f'\n[audit]\nkey = "{public}"')
    return 0


def replay(arguments: argparse.Namespace) -> int:
    """Replay the kept runs of a job; returns the exit status."""
    key = read_auditor_key(arguments.key)
    if not arguments.home.is_dir():
        raise UsageError(
            f"There is no folder {arguments.home}.", hint="name the node's home", code="missing_file"
        )
    runs = _runs(KeptRuns(arguments.home.absolute()), arguments.job, arguments.number)
    job, side = runs[0].job, runs[0].side
    if arguments.log is None:
        with Node.open(arguments.home) as node:
            logged = LoggedRun.of(_own_log(AuditLog(node.home.store), job), job, side)
    else:
        entries = _bundled(arguments.log, job, arguments.lang, quiet=arguments.json)
        logged = LoggedRun.of(entries, job, side)
    results = []
    for run in runs:
        with ExitStack() as closing:
            work = closing.enter_context(_scratch(arguments.home))
            result = replay_run(
                run,
                key,
                arguments.input,
                logged,
                Path(work),
                emit=(lambda event: None) if arguments.json else _Phases(arguments.lang),
                threads=arguments.threads,
            )
        results.append(result)
        if not arguments.json:
            _tell(result, arguments.lang)
    if arguments.json:
        print(json.dumps({"job": job, "runs": [_as_data(each) for each in results]}, ensure_ascii=False))
    return 0 if all(each.verdict is Verdict.EQUAL for each in results) else FAULT


def _runs(kept: KeptRuns, job: str, number: int | None) -> tuple[KeptRun, ...]:
    """Return the kept runs of the one job that begins with ``job``."""
    found = [each for each in kept.jobs() if job and each.startswith(job)]
    if len(found) > 1:
        raise UsageError(
            f"Runs of {len(found)} jobs are kept whose ids begin with {job!r}.", hint="write more of the id"
        )
    runs = kept.runs(found[0]) if found else ()
    if not runs:
        raise UsageError(
            f"No run of a job {job!r} is kept for the auditor.",
            hint="a run is kept if the job file said keep_seed, from its end until result_days later",
            code="unknown_job",
        )
    wanted = tuple(run for run in runs if number in (None, run.number))
    if not wanted:
        raise UsageError(
            f"Of job {runs[0].job[:8]} no run {number} is kept.",
            hint=f"kept are {', '.join(str(run.number) for run in runs)}",
        )
    return wanted


def _own_log(log: AuditLog, job: str) -> Iterator[dict[str, Any]]:
    for epoch in log.epochs():
        for _, _, data in log.entries(epoch, job=job):
            yield canonical.decode(data)


def _bundled(path: Path, job: str, language: str, *, quiet: bool) -> Iterator[dict[str, Any]]:
    """Yield the entries of ``job`` in a bundle or an evidence pack's."""
    mark = f'"job":"{job}"'.encode()
    with Bundles((path,), language, quiet=quiet) as opened:
        (bundle,) = opened.bundles
        try:
            for line in bundle.entries():
                if mark not in line.data:
                    continue
                if leaf_hash(line.data).hex().encode() != line.leaf:
                    raise BundleFault(bundle.label, line.line, "the leaf hash is not that of the entry")
                try:
                    yield parse(line.data)
                except ValueError:
                    raise BundleFault(bundle.label, line.line, "this is not an entry") from None
        except BundleFault as fault:
            raise unreadable(fault) from None


def _scratch(home: Path) -> tempfile.TemporaryDirectory[str]:
    # In the home, which is private and has room for a masked set: the job had it there as well.
    try:
        return tempfile.TemporaryDirectory(prefix="replay-", dir=home, ignore_cleanup_errors=True)
    except OSError as error:
        raise disk_error(error, home) from None


class _Phases:
    """Says on standard error which phase a long replay is in."""

    def __init__(self, language: str) -> None:
        self._column = int(language == "zh")
        self._last = ""

    def __call__(self, event: dict[str, Any]) -> None:
        if event["phase"] != self._last:
            self._last = event["phase"]
            print(f"{PHASES[self._last][self._column]} …", file=sys.stderr)


def _tell(result: Replayed, language: str) -> None:
    text, column = _TEXT[language], int(language == "zh")
    side = _SIDES[result.side][column]
    head = text["run"].format(job=result.job[:8], run=result.run, side=side)
    session = "" if result.session is None else ", " + text["session"].format(session=result.session)
    print(head + (session if column == 0 else session.replace(", ", "，")))
    for line in result.compared:
        stream = line.name.endswith(STREAM_ENDINGS)
        figures = text["stream" if stream else "message"].format_map(line.logged or line.made or {})
        outcome, way = OUTCOMES[line.outcome][column], DIRECTIONS[line.sent][column]
        print(f"  {_wide(outcome, 15)}{_wide(way, 10)}{_name(line.name, column)} ({figures})")
    name = "" if result.first is None else _name(result.first, column)
    print(VERDICTS[result.verdict][column].format(side=side, name=name))
    meaning = _meaning(result)
    if meaning is not None:
        print(meaning[column].format(side=side))


def _wide(text: str, columns: int) -> str:
    """Return ``text`` with spaces up to so many columns of a terminal, where a Chinese character takes two."""
    return text + " " * (columns - len(text) - sum(not each.isascii() for each in text))


def _name(name: str, column: int) -> str:
    return NAMES[name][column] if name in NAMES else name


def _meaning(result: Replayed) -> tuple[str, str] | None:
    """Return what a verdict means, where there is more to say than the verdict."""
    match result.verdict:
        case Verdict.ANNOUNCEMENT:
            return ANNOUNCEMENTS[result.input_known]
        case Verdict.KEPT:
            return NOTHING_SAID
        case Verdict.SENT:
            (outcome,) = {line.outcome for line in result.compared if line.name == result.first}
            if outcome is Outcome.DIFFERS:
                return SENT.get(str(result.first))
            return UNMADE if outcome is Outcome.UNMADE else UNLOGGED
    return None


def _as_data(result: Replayed) -> dict[str, Any]:
    streams: list[Mapping[str, Any]] = [
        {
            "name": line.name,
            "sent": line.sent,
            "outcome": line.outcome.value,
            "logged": line.logged,
            "computed": line.made,
        }
        for line in result.compared
    ]
    return {
        "run": result.run,
        "side": result.side,
        "session": result.session,
        "verdict": result.verdict.value,
        "first": result.first,
        "input_known": result.input_known,
        "streams": streams,
    }
