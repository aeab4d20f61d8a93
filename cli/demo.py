"""``veiljoin demo``: every kind of job on synthetic data, so that a newcomer sees what comes out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from cli.rehearse import run_job
from party.spool import disk_error
from party.synthetic import make_pair
from psi.errors import UsageError

SEED: Final = 20_260
TIERS: Final = ("gold", "silver", "bronze")
SMALLEST: Final = 2_000

_JOB: Final = """\
# Written by `veiljoin demo`. Run it again, or change it, with
#   veiljoin rehearse {name} --bank {bank} --platform {platform} --out FOLDER
kind = "{kind}"
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


def demo(arguments: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    if arguments.rows < SMALLEST:
        raise UsageError(
            f"--rows {arguments.rows} is too few for the demo's tiers.", hint=f"use {SMALLEST} or more"
        )
    out: Path = arguments.out
    try:
        (out / "data").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, out) from None
    pair = make_pair(out / "data", "phone", arguments.rows, seed=SEED, tiers=TIERS)
    speak = arguments.lang == "zh"
    quiet = arguments.json
    for number, (kind, receiver, more, purpose, questions) in enumerate(_JOBS, start=1):
        name = out / f"{number}-{kind}-{receiver}.toml"
        text = _JOB.format(
            name=name,
            kind=kind,
            purpose=purpose,
            receiver=receiver,
            more=more,
            bank=pair.bank,
            platform=pair.platform,
            bank_column=pair.bank_column,
            platform_column=pair.platform_column,
        )
        name.write_text(text, encoding="utf-8")
        if not quiet:
            print(f"\n=== {number}. {questions[speak]}\n", flush=True)
        run_job(arguments, name, pair.bank, pair.platform, out / f"{number}-{kind}-{receiver}", "127.0.0.1:0")
    if not quiet:
        print()
        print(_CLOSING[speak].format(out=out, data=out / "data"))
    return 0


_CLOSING: Final = (
    (
        "All customers above are synthetic. The two files are in {data}; each job has its results in {out}, "
        "split by party as they would be in real life."
    ),
    "以上客户均为合成数据。两份文件在 {data}；各任务结果在 {out}，按实际归属分属双方。",
)
