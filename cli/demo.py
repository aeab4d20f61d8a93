"""``veiljoin demo``: every kind of job on synthetic data, so that a newcomer sees what comes out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from audit.verify import verify
from cli.audit import NOT_VERIFIED
from cli.audit_files import Bundles
from cli.campaign import QUESTIONS
from cli.rehearse import run_job
from party.campaign_data import make_campaign
from party.rehearsal_logs import bundle_name
from party.spool import disk_error
from party.synthetic import make_pair
from psi.errors import UsageError

SEED: Final = 20_260
TIERS: Final = ("gold", "silver", "bronze")
SMALLEST: Final = 2_000
REPORT: Final = "report.html"

_HEAD: Final = """\
# Written by `veiljoin demo`. Run it again, or change it, with
#   veiljoin rehearse {name} --bank {bank} --platform {platform} --out FOLDER
kind = "{kind}"
"""
_JOB: Final = """\
purpose = "{purpose}"
identifier = "phone"
receiver = "{receiver}"
{more}
[bank]
identifier = "{bank_column}"
tier = "tier"
tiers = ["gold", "silver", "bronze"]

[platform]
identifier = "{platform_column}"
"""
# kind, receiver, further keys, (what the job is for), and a sentence for people in both languages
_JOBS: Final = (
    (
        "overlap",
        "bank",
        "",
        "estimate the reach of a campaign",
        (
            "How many of the bank's customers are on the platform, tier by tier?",
            "银行各层级客户中有多少在平台上？",
        ),
    ),
    (
        "audience",
        "platform",
        "holdout = 0.1\n",
        "reactivate dormant card holders",
        (
            "Which of the platform's users are to see the offer? A tenth is kept back as a control group.",
            "平台的哪些用户应看到优惠?随机保留十分之一作为对照组。",
        ),
    ),
    (
        "audience",
        "both",
        "",
        "bind cards to the platform's payment",
        (
            "Which customers do both have? Each side gets its own list.",
            "双方共同的客户有哪些?各得自己的名单。",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class _DemoJob:
    """A job of the demo: the text of its file below the first lines, its question, and the data it is asked over."""

    kind: str
    name: str
    text: str
    question: str
    bank: Path
    platform: Path

    def results(self, out: Path, number: int) -> Path:
        """The folder of its results."""
        return out / f"{number}-{self.name}"


def demo(arguments: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    if arguments.rows < SMALLEST:
        raise UsageError(
            f"--rows {arguments.rows} is too few for the demo's tiers.", hint=f"use {SMALLEST} or more"
        )
    out: Path = arguments.out
    try:
        (out / "data" / "campaign").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, out) from None
    speak = arguments.lang == "zh"
    pair = make_pair(out / "data", "phone", arguments.rows, seed=SEED, tiers=TIERS)
    jobs = []
    for kind, receiver, more, purpose, questions in _JOBS:
        text = _JOB.format(
            purpose=purpose,
            receiver=receiver,
            more=more,
            bank_column=pair.bank_column,
            platform_column=pair.platform_column,
        )
        jobs.append(_DemoJob(kind, f"{kind}-{receiver}", text, questions[speak], pair.bank, pair.platform))
    campaign = make_campaign(out / "data" / "campaign", arguments.rows, seed=SEED)
    jobs += [
        _DemoJob(each.kind, each.kind, each.job, each.text[speak], campaign.bank, campaign.platform)
        for each in QUESTIONS
    ]
    for number, job in enumerate(jobs, start=1):
        _run(arguments, number, job)
    if not arguments.json:
        print()
        print(_CLOSING[speak].format(out=out, data=out / "data"))
        for number, job in enumerate(jobs, start=1):
            report = job.results(out, number) / REPORT
            if report.exists():
                print(f"  {report}")
    return _verify(arguments, [job.results(out, number) for number, job in enumerate(jobs, start=1)])


def _verify(arguments: argparse.Namespace, folders: Sequence[Path]) -> int:
    """Verify both parties' logs of each job, as an auditor would; returns the exit status."""
    status = 0
    told = _VERIFIED[arguments.lang == "zh"]
    if not arguments.json:
        print(f"\n{told['head']}")
    for folder in folders:
        paths = [folder / side / bundle_name(side) for side in ("bank", "platform")]
        with Bundles(paths, arguments.lang, quiet=True) as opened:
            report = verify(opened.bundles)
        if not report.passed:
            status = NOT_VERIFIED
        if arguments.json:
            print(json.dumps({"event": "verified", "job": folder.name, "report": report.to_json()}))
            continue
        print(f"  {folder.name}: {list(report.lines(arguments.lang))[-1]}")
    if not arguments.json:
        print(told["tail"].format(bank=paths[0], platform=paths[1]))
    return status


def _run(arguments: argparse.Namespace, number: int, job: _DemoJob) -> None:
    """Write the job file and run it."""
    results = job.results(arguments.out, number)
    name = results.with_name(f"{results.name}.toml")
    head = _HEAD.format(name=name, bank=job.bank, platform=job.platform, kind=job.kind)
    name.write_text(head + job.text, encoding="utf-8")
    if not arguments.json:
        print(f"\n=== {number}. {job.question}\n", flush=True)
    run_job(arguments, name, job.bank, job.platform, results, "127.0.0.1:0")


_VERIFIED: Final = (
    {
        "head": "What an auditor finds in both parties' logs of each job:",
        "tail": "All that was checked of the last one: veiljoin audit verify {bank} {platform}",
    },
    {
        "head": "审计员核验双方日志的结果：",
        "tail": "查看最后一项的全部核验内容：veiljoin audit verify {bank} {platform}",
    },
)
_CLOSING: Final = (
    (
        "All customers above are synthetic; their files are in {data}. Each job has its results in {out}, split by "
        "party as they would be in real life. Reports of both together, to open in a browser:"
    ),
    "以上客户均为合成数据，文件在 {data}；各任务结果在 {out}，按实际归属分属双方。双方合并的报告，可用浏览器打开：",
)
