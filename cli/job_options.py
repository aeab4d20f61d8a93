"""Options of the commands for a standing node's jobs, datasets and policy. What they do is imported when they run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cli.operation_options import add_operation
from cli.schedule_options import add_redrafts

_RUN_SERVER = """\
Runs the bank's node until it is told to stop (Ctrl-C, SIGTERM): lets partners enrol, proposes approved jobs to those
that are on the line, and runs what they accept, each job in a process of its own. Jobs that a stop cuts short go
on at the next start, where they were.
"""
_RUN_CLIENT = """\
Runs the partner's node until it is told to stop (Ctrl-C, SIGTERM): keeps one connection to the bank, accepts proposed
jobs that a [[standing]] rule of policy.toml covers, leaves the others for `veiljoin job approve`, and runs them.
"""


def add_runs(server: Any, client: Any) -> None:
    """Add ``run`` to both commands of a node."""
    run = _action(server, "run", "run the bank's node", _run_server, _RUN_SERVER, actor=False)
    run.add_argument("--jobs", type=_count, default=2, metavar="N", help="jobs at once (default 2)")
    add_operation(run)
    add_operation(_action(client, "run", "run the partner's node", _run_client, _RUN_CLIENT, actor=False))


def add_jobs(jobs: Any) -> None:
    """Add what is done with joint jobs to the sub-commands of ``job``."""
    new = _action(jobs, "new", "draft a job with a partner (bank)", _new)
    new.add_argument("file", type=Path, metavar="JOB.toml", help="the job file (see docs/job-file.md)")
    new.add_argument("--partner", required=True, metavar="PARTNER", help="with whom")
    new.add_argument("--dataset", metavar="NAME", help="own dataset (default: the one that fits)")
    new.add_argument(
        "--partner-dataset", metavar="NAME", help="the partner's dataset (default: the one that fits)"
    )
    new.add_argument("--days", type=_count, default=7, metavar="N", help="days to be run in (default 7)")
    add_redrafts(jobs, _action)
    listed = _action(jobs, "list", "list jobs, the newest first", _list, actor=False)
    listed.add_argument("--state", metavar="STATE", help="only jobs in this state")
    listed.add_argument("--partner", metavar="PARTNER", help="only jobs with this partner")
    _job(_action(jobs, "show", "show a job: disclosure card, approvals, history", _show, actor=False))
    approve = _job(
        _action(
            jobs,
            "approve",
            "approve a job: a second person of the bank, or a person of the platform",
            _approve,
        )
    )
    approve.add_argument(
        "--without-preflight",
        action="store_true",
        help="although the trial on test identifiers failed, or there was none; the history says who did so",
    )
    _job(_action(jobs, "preflight", "try a job on test identifiers again (bank)", _preflight))
    refuse = _job(_action(jobs, "refuse", "refuse a job", _refuse))
    refuse.add_argument(
        "--reason",
        choices=("person", "kind", "purpose", "dataset", "columns", "limit"),
        default="person",
        help="the one word that the other side is told (default person)",
    )
    _job(_action(jobs, "cancel", "cancel a job at any time before it is done", _cancel))
    watch = _job(_action(jobs, "watch", "follow a job until it ends", _watch, actor=False))
    watch.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="give up after so long (default: never)"
    )
    _job(_action(jobs, "result", "where the result of a job lies, and its main figures", _result))


def add_datasets(actions: Any) -> None:
    """Add what is done with registered datasets to the sub-commands of ``dataset``."""
    add = _action(actions, "add", "register a file under a name that jobs can use", _dataset_add)
    add.add_argument("name", metavar="NAME", help="the dataset's name, which partners see")
    add.add_argument(
        "file", type=Path, metavar="FILE", help="CSV, Parquet or JSON lines; it stays where it is"
    )
    add.add_argument("--column", required=True, help="the column with the identifier")
    add.add_argument("--identifier", required=True, help="its form, such as phone or sha256:phone:cn11")
    add.add_argument("--region", default="CN", help="country of numbers without a country code")
    add.add_argument("--delimiter", help="the CSV delimiter, where it cannot be guessed")
    add.add_argument("--encoding", help="the text encoding, where it cannot be guessed")
    add.add_argument(
        "--basis",
        metavar="WORD",
        help="what allows the use of these persons' data, in a word for the log, such as consent",
    )
    add.add_argument("--replace", action="store_true", help="put this file in place of the one of that name")
    remove = _action(actions, "remove", "forget a dataset; its file stays where it is", _dataset_remove)
    remove.add_argument("name", metavar="NAME", help="what it is called")
    listed = _action(
        actions, "list", "list the own datasets, and those of partners", _dataset_list, actor=False
    )
    listed.add_argument("--partner", metavar="PARTNER", help="a partner's datasets, as its node told them")


def add_policy(commands: Any) -> None:
    """Add ``policy``."""
    parser = commands.add_parser("policy", help="the own limits, budget and standing rules")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _action(actions, "show", "show the policy that holds", _policy_show, actor=False)
    check = _action(actions, "check", "say what the policy makes of a job file", _policy_check, actor=False)
    check.add_argument("file", type=Path, metavar="JOB.toml", help="the job file")


def _action(
    actions: Any, name: str, summary: str, run: Any, description: str = "", *, actor: bool = True
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name,
        help=summary,
        description=description or f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--home", type=Path, required=True, metavar="FOLDER", help="the node's home")
    if actor:
        parser.add_argument(
            "--as",
            dest="actor",
            metavar="NAME",
            help="who acts, for the history (default: the login of this machine)",
        )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--lang", choices=("en", "zh"), default="en", help="language (default en)")
    parser.set_defaults(run=run)
    return parser


def _job(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("job", metavar="JOB", help="its id; the first four characters or more do")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 1000")
    return int(text)


def _run_server(arguments: argparse.Namespace) -> int:
    from cli.run import server

    return server(arguments)


def _run_client(arguments: argparse.Namespace) -> int:
    from cli.run import client

    return client(arguments)


def _new(arguments: argparse.Namespace) -> int:
    from cli.joint import new

    return new(arguments)


def _list(arguments: argparse.Namespace) -> int:
    from cli.joint import list_jobs

    return list_jobs(arguments)


def _show(arguments: argparse.Namespace) -> int:
    from cli.joint import show

    return show(arguments)


def _approve(arguments: argparse.Namespace) -> int:
    from cli.joint import approve

    return approve(arguments)


def _preflight(arguments: argparse.Namespace) -> int:
    from cli.preflight import again

    return again(arguments)


def _refuse(arguments: argparse.Namespace) -> int:
    from cli.joint import refuse

    return refuse(arguments)


def _cancel(arguments: argparse.Namespace) -> int:
    from cli.joint import cancel

    return cancel(arguments)


def _watch(arguments: argparse.Namespace) -> int:
    from cli.joint_result import watch

    return watch(arguments)


def _result(arguments: argparse.Namespace) -> int:
    from cli.joint_result import result

    return result(arguments)


def _dataset_add(arguments: argparse.Namespace) -> int:
    from cli.catalogue import add

    return add(arguments)


def _dataset_remove(arguments: argparse.Namespace) -> int:
    from cli.catalogue import remove

    return remove(arguments)


def _dataset_list(arguments: argparse.Namespace) -> int:
    from cli.catalogue import list_datasets

    return list_datasets(arguments)


def _policy_show(arguments: argparse.Namespace) -> int:
    from cli.policy import show

    return show(arguments)


def _policy_check(arguments: argparse.Namespace) -> int:
    from cli.policy import check

    return check(arguments)
