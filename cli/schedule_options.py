"""Options of ``veiljoin job edit``, ``retry`` and ``schedule``. What they do is imported when they run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

_EDIT = """\
Puts another job file in place of that of a job which the partner was not asked about yet (draft or approved), shows
what changed, and draws up a new contract and disclosure card. Approvals are void, also if nothing changed: a second
person, neither who drafted nor who edited it, approves again. The void ones stay in the history.
"""
_RETRY = """\
Drafts a job again that failed, was refused or cancelled, or has expired: the same job file and datasets under a new
id, with a new contract. It needs both sides' approval like any job; the history says which job it repeats.
"""
_SCHEDULE = """\
Recurring jobs, at the bank. One person drafts a schedule, a second one approves it as a whole; from then on the
running node drafts a job at each due time, with a new id, keys and contract, and proposes it. The platform's
standing rules or its people decide on each.

  veiljoin job schedule new JOB.toml --partner acme-ads --every "monthly on 1 at 06:00" \\
      --timezone Asia/Shanghai --until 2027-12-31 --home bank --as ann
  veiljoin job schedule approve 3f2a --home bank --as bob

Of the times that pass while the node is down, the last one is made up for. A time is skipped while the job before it
has not ended. What a policy, a budget or the platform refuses is noted, and the schedule goes on; three failures in a
row pause it, and so does whatever makes the job another than was approved: other columns of a dataset, a stricter
policy, a partner with another key.
"""
_NEW = """\
Drafts a schedule. --every is one of

  "monthly on 1 at 06:00"    "monthly on 1, 15"    "monthly on last at 23:30"
  "weekly on mon at 06:00"   "weekly on mon, thu"
  "daily at 06:00"           "every 4 hours"

Without "at" it is 06:00. A month without such a day has its last one instead. A time that the clock skips in spring
is as much later; one that comes twice in autumn counts once.
"""

_MOST: Final = 1_000


def add_redrafts(jobs: Any, action: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``edit``, ``retry`` and ``schedule`` to the sub-commands of ``job``; ``action`` makes one of a node's."""
    edit = action(jobs, "edit", "put another job file in place of a draft's (bank)", _edit, _EDIT)
    edit.add_argument("job", metavar="JOB", help="its id; the first four characters or more do")
    edit.add_argument("file", type=Path, metavar="FILE.toml", help="the new job file")
    _datasets(edit, "that of the draft")
    edit.add_argument("--days", type=_count, default=7, metavar="N", help="days to be run in (default 7)")
    retry = action(jobs, "retry", "draft a job again that came to nothing (bank)", _retry, _RETRY)
    retry.add_argument("job", metavar="JOB", help="its id; the first four characters or more do")
    retry.add_argument("--days", type=_count, default=7, metavar="N", help="days to be run in (default 7)")
    _add_schedule(jobs, action)


def _add_schedule(jobs: Any, action: Callable[..., argparse.ArgumentParser]) -> None:
    parser = jobs.add_parser(
        "schedule",
        help="recurring jobs (bank)",
        description=_SCHEDULE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    steps = parser.add_subparsers(dest="step", metavar="STEP", required=True)
    new = action(steps, "new", "draft a schedule", _run("new"), _NEW)
    new.add_argument("file", type=Path, metavar="JOB.toml", help="the job file (see docs/job-file.md)")
    new.add_argument("--partner", required=True, metavar="PARTNER", help="with whom")
    _datasets(new, "the one that fits")
    new.add_argument("--every", required=True, metavar="WHEN", help="when jobs are due, as above")
    new.add_argument("--until", required=True, metavar="DATE", help="the last day, such as 2027-06-30")
    new.add_argument(
        "--timezone", default="Asia/Shanghai", metavar="ZONE", help="whose clock (default Asia/Shanghai)"
    )
    new.add_argument("--days", type=_count, default=7, metavar="N", help="days to run each in (default 7)")
    new.add_argument("--runs", type=_count, metavar="N", help="jobs in all (default: until the last day)")
    edit = _one(action(steps, "edit", "change a schedule; it needs a new approval", _run("edit")))
    edit.add_argument(
        "file", type=Path, metavar="JOB.toml", help="the job file, also if only the times change"
    )
    _datasets(edit, "as it was")
    for name, metavar in (("--every", "WHEN"), ("--until", "DATE"), ("--timezone", "ZONE")):
        edit.add_argument(name, metavar=metavar, help="as for new (default: as it was)")
    for name in ("--days", "--runs"):
        edit.add_argument(name, type=_count, metavar="N", help="as for new (default: as it was)")
    listed = action(steps, "list", "list schedules, the newest first", _run("list_schedules"), actor=False)
    listed.add_argument("--partner", metavar="PARTNER", help="only those with this partner")
    listed.add_argument("--all", action="store_true", help="also those that were removed")
    _one(action(steps, "show", "show a schedule: card, approvals, due times", _run("show"), actor=False))
    _one(action(steps, "approve", "approve a schedule as a whole: a second person", _run("approve")))
    _one(action(steps, "refuse", "refuse a schedule", _run("refuse")))
    _one(action(steps, "pause", "draft no more jobs until it is resumed", _run("pause")))
    _one(action(steps, "resume", "go on with the next time that is due", _run("resume")))
    _one(action(steps, "remove", "draft no more jobs, for good; its history stays", _run("remove")))


def _one(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("schedule", metavar="SCHEDULE", help="its id; the first four characters or more do")
    return parser


def _datasets(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--dataset", metavar="NAME", help=f"own dataset (default: {default})")
    parser.add_argument(
        "--partner-dataset", metavar="NAME", help=f"the partner's dataset (default: {default})"
    )


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= _MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {_MOST}")
    return int(text)


def _edit(arguments: argparse.Namespace) -> int:
    from cli.redraft import edit

    return edit(arguments)


def _retry(arguments: argparse.Namespace) -> int:
    from cli.redraft import retry

    return retry(arguments)


def _run(name: str) -> Callable[[argparse.Namespace], int]:
    def run(arguments: argparse.Namespace) -> int:
        from cli import schedule

        step: Callable[[argparse.Namespace], int] = getattr(schedule, name)
        return step(arguments)

    return run
