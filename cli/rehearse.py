"""``veiljoin rehearse``: any job on local files, both parties as real processes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cli.display import open_display
from cli.summary import card_lines, summary_lines
from party.disclosure import tiered
from party.jobfile import SIDES, load_job
from party.rehearsal import Outcome, plan, run

_UNUSED_TIER: Final = {
    "en": "Note: tier = {column!r} in [{side}] is not used; a list is split by the tiers of the side that sends.",
    "zh": "注意：[{side}] 中的 tier = {column!r} 未被使用；名单按发送方的层级划分。",
}


def rehearse(arguments: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    homes = {side: getattr(arguments, f"{side}_home") for side in SIDES}
    run_job(
        arguments,
        arguments.job,
        arguments.bank,
        arguments.platform,
        arguments.out,
        arguments.listen,
        homes={side: home for side, home in homes.items() if home is not None},
    )
    return 0


def run_job(
    arguments: argparse.Namespace,
    job_path: Path,
    bank: Path,
    platform: Path,
    out: Path,
    listen: str,
    homes: Mapping[str, Path] | None = None,
) -> Outcome:
    """Run one job file and print its card, its progress and its summary."""
    job, table = load_job(job_path)
    data = {"bank": bank, "platform": platform}
    drafted = plan(job, table, data, out, engine=arguments.engine, threads=arguments.threads, homes=homes)
    job = drafted.job
    language, as_json = arguments.lang, arguments.json
    if as_json:
        event = {
            "event": "card",
            "contract": drafted.contract.hash.hex(),
            "card": drafted.card.as_data(),
            "changes": [change.en for change in drafted.changes],
        }
        print(json.dumps(event, ensure_ascii=False), flush=True)
    else:
        for change in drafted.changes:
            print(change.zh if language == "zh" else change.en)
        for line in card_lines(drafted.card, drafted.contract.hash, language):
            print(line)
        for side in SIDES:
            if job.side(side).tier is not None and not tiered(job, side):
                print(_UNUSED_TIER[language].format(side=side, column=job.side(side).tier))
        print(flush=True)
    with open_display(as_json, language) as display:
        outcome = run(drafted, listen=listen, observe=display.show, language=language)
    if as_json:
        print(json.dumps({"event": "done", "result": outcome.result}, ensure_ascii=False), flush=True)
    else:
        for line in summary_lines(outcome, language, job):
            print(line)
        sys.stdout.flush()
    return outcome
