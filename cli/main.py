"""The ``veiljoin`` command: what there is, what each part takes, and how it ends.

Sub-commands import what they need when they run, so that ``--help`` is quick and works in the smallest install.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from cli.audit_options import add_audit
from cli.console_options import add_console
from cli.console_run_options import add_console_run
from cli.job_options import add_datasets, add_jobs, add_policy, add_runs
from cli.node_options import add_client, add_server
from cli.operation_options import add_backup
from psi.errors import UsageError, VeiljoinError

_DESCRIPTION = """\
Match audiences and measure conversion with a partner; neither side sees the other's customers.

  veiljoin demo                              both parties on this machine, on synthetic data
  veiljoin rehearse JOB.toml --bank BANK.csv --platform PLATFORM.csv --out FOLDER
                                             your own files, as a dry run before going live
  veiljoin dataset check FILE --column mobile --identifier phone
                                             how many rows of a file can be used, and why not the others
  veiljoin job power --control-rate 2% --lift 10%
                                             how many persons a campaign needs to show its effect
  veiljoin server --help, veiljoin client --help
                                             a standing node: the bank's, and the partner's
  veiljoin console --help                    the node in a browser, and who may log in there
  veiljoin audit verify BANK.veiljoin-log PLATFORM.veiljoin-log
                                             check what both parties logged, offline
"""
_POWER = """\
Says before launch whether a campaign is large enough, or how large it has to be. Three questions:

  --control-rate 2% --lift 10%                    how many persons are needed to show this effect
  --control-rate 2% --lift 10% --persons 50000    with what probability so many persons show it
  --control-rate 2% --find-lift --persons 50000   what the smallest effect is that so many persons show

The control rate is the share of control persons who convert in the window without the campaign; an earlier
campaign's report has one. Shares can be written as 0.02 or 2%.
"""
_EXITS = """\
exit status: 0 done; 2 something here must be mended (file, column, setting, machine); 3 refused by a limit or
policy; 4 the partner broke the protocol or ended the job; 5 the connection or the partner's process was lost;
6 a log was verified and is wrong; 130 stopped by a person; 1 a fault in this program
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="veiljoin",
        description=_DESCRIPTION,
        epilog=_EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version="veiljoin 0.1.0")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    demo = commands.add_parser("demo", help="both parties on this machine, on synthetic data")
    demo.add_argument("--rows", type=int, default=20_000, help="persons per side (default 20000)")
    demo.add_argument("--out", type=Path, default=Path("veiljoin-demo"), help="folder for data and results")
    _shared(demo)
    demo.set_defaults(run=_demo)

    rehearse = commands.add_parser(
        "rehearse",
        help="run any job on local files, two real processes over mutual TLS",
        description="Runs JOB.toml with both parties on this machine and writes FOLDER/result.json, "
        "FOLDER/bank and FOLDER/platform. If anything fails, no result is written.",
    )
    rehearse.add_argument("job", type=Path, metavar="JOB.toml", help="the job file (see docs/job-file.md)")
    rehearse.add_argument("--bank", type=Path, required=True, metavar="FILE", help="the bank's data")
    rehearse.add_argument("--platform", type=Path, required=True, metavar="FILE", help="the platform's data")
    rehearse.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the results go")
    rehearse.add_argument(
        "--listen",
        default="127.0.0.1:0",
        metavar="HOST:PORT",
        help="the bank's address (default: a free port on loopback)",
    )
    for side in ("bank", "platform"):
        rehearse.add_argument(
            f"--{side}-home",
            type=Path,
            metavar="FOLDER",
            help=f"the {side}'s policy.toml, budget and ledger; without it the job file's own limits hold",
        )
    _shared(rehearse)
    rehearse.set_defaults(run=_rehearse)

    dataset = commands.add_parser("dataset", help="look at own data; nothing of it is sent anywhere")
    actions = dataset.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="count usable rows, rejects by reason, and duplicates")
    check.add_argument("file", type=Path, metavar="FILE", help="CSV, Parquet or JSON lines")
    check.add_argument("--column", required=True, help="the column with the identifier")
    check.add_argument("--identifier", required=True, help="its form, such as phone or sha256:phone:cn11")
    check.add_argument("--tier", help="the column with the tier, to see its sizes")
    check.add_argument("--region", default="CN", help="country of numbers without a country code")
    check.add_argument("--delimiter", help="the CSV delimiter, where it cannot be guessed")
    check.add_argument("--encoding", help="the text encoding, where it cannot be guessed")
    check.add_argument(
        "--rejects", type=Path, metavar="FILE", help="write the unusable rows to this CSV file"
    )
    check.add_argument("--json", action="store_true", help="print JSON")
    check.add_argument("--lang", choices=("en", "zh"), default="en", help="language (default en)")
    check.set_defaults(run=_dataset_check)
    add_datasets(actions)

    job = commands.add_parser("job", help="joint jobs: draft, approve, follow; is a campaign large enough")
    jobs = job.add_subparsers(dest="action", metavar="ACTION", required=True)
    _power_options(
        jobs.add_parser(
            "power",
            help="persons needed, or the effect that can be shown, before launch",
            description=_POWER,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )

    add_jobs(jobs)
    add_policy(commands)
    add_runs(add_server(commands), add_client(commands))
    add_backup(commands)
    add_audit(commands)
    add_console_run(add_console(commands))

    bench = commands.add_parser("bench", help="the project's own benchmarks")
    benches = bench.add_subparsers(dest="bench", metavar="BENCHMARK", required=True)
    match = benches.add_parser("match", help="a whole private match against the engine's own speed")
    match.add_argument("--rows", type=int, default=1_000_000, help="rows per side (default 1000000)")
    match.add_argument("--suite", default="x25519-ell2", help="the suite (default x25519-ell2)")
    match.add_argument("--identifier", default="phone", help="identifier type (default phone)")
    match.add_argument("--messy", action="store_true", help="dirty data instead of clean")
    match.add_argument("--out", type=Path, metavar="FOLDER", help="keep data and results here")
    _shared(match)
    match.set_defaults(run=_bench_match)
    total = benches.add_parser(
        "sum", help="Paillier encryption, addition and decryption beside the library phe"
    )
    total.add_argument("--rows", type=int, default=100_000, help="numbers to encrypt (default 100000)")
    total.add_argument("--bits", type=int, choices=(2048, 3072), default=2048, help="size of the modulus")
    total.add_argument("--threads", type=int, help="processes (default: all processors)")
    total.add_argument("--json", action="store_true", help="print JSON")
    total.set_defaults(run=_bench_sum)
    resume = benches.add_parser(
        "resume", help="a private match that is cut again and again, beside the same uncut"
    )
    resume.add_argument("--rows", type=int, default=1_000_000, help="rows per side (default 1000000)")
    resume.add_argument("--cuts", type=int, default=10, help="resets and kills, spread evenly (default 10)")
    resume.add_argument("--suite", default="x25519-ell2", help="the suite (default x25519-ell2)")
    _shared(resume)
    resume.set_defaults(run=_bench_resume)
    nodes = benches.add_parser(
        "nodes", help="a bank's node with several partners: jobs one by one, and all at once"
    )
    nodes.add_argument("--jobs", type=int, default=20, help="jobs at once (default 20)")
    nodes.add_argument("--partners", type=int, default=4, help="partners that share them (default 4)")
    nodes.add_argument("--rows", type=int, default=50_000, help="rows per side of each job (default 50000)")
    nodes.add_argument(
        "--alone", type=int, default=2, help="jobs of each partner before, one at a time (default 2)"
    )
    nodes.add_argument("--running", type=int, default=2, help="most that the bank's node runs (default 2)")
    nodes.add_argument("--out", type=Path, metavar="FOLDER", help="keep homes, data and logs here")
    nodes.add_argument("--json", action="store_true", help="print JSON")
    nodes.set_defaults(run=_bench_nodes)
    audit = benches.add_parser("audit", help="the offline verifier on a large made-up log bundle")
    audit.add_argument("--entries", type=int, default=1_000_000, metavar="N", help="entries of the log")
    audit.add_argument("--jobs", type=int, default=1_000, metavar="N", help="joint jobs among them")
    audit.add_argument("--json", action="store_true", help="print one JSON object")
    audit.set_defaults(run=_bench_audit)
    pages = benches.add_parser("console", help="every page of a busy bank's console, in milliseconds")
    pages.add_argument(
        "--jobs", type=int, default=10_000, metavar="N", help="jobs in its list (default 10000)"
    )
    pages.add_argument(
        "--groups", type=int, default=5_000, metavar="N", help="groups of a result (default 5000)"
    )
    pages.add_argument("--json", action="store_true", help="print one JSON object")
    pages.set_defaults(run=_bench_console)
    measure = benches.add_parser("measure", help="a whole grouped sum with windows, by phase")
    measure.add_argument(
        "--rows", type=int, default=1_000_000, help="persons at the platform (default 1000000)"
    )
    measure.add_argument(
        "--converters", type=int, default=100_000, help="converters at the bank (default 100000)"
    )
    measure.add_argument("--values", type=int, default=3, help="value columns (default 3)")
    measure.add_argument("--groups", type=int, default=200, help="groups (default 200)")
    measure.add_argument("--exposure-days", type=int, default=14, help="possible exposure days (default 14)")
    measure.add_argument("--window", type=int, default=14, help="days of the window (default 14)")
    measure.add_argument("--bits", type=int, choices=(2048, 3072), default=2048, help="size of the modulus")
    measure.add_argument("--out", type=Path, metavar="FOLDER", help="keep data and results here")
    _shared(measure)
    measure.set_defaults(run=_bench_measure)
    return parser


def _shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", help="force a masking engine: crypto_mb, cryptography, sodium")
    parser.add_argument("--threads", type=int, help="threads of each party (default: all processors)")
    parser.add_argument("--json", action="store_true", help="events and result as JSON lines")
    parser.add_argument("--lang", choices=("en", "zh"), default="en", help="language (default en)")


def _power_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--control-rate",
        type=_share,
        required=True,
        metavar="SHARE",
        help="share of control persons who convert",
    )
    effect = parser.add_mutually_exclusive_group(required=True)
    effect.add_argument(
        "--lift",
        type=_share,
        metavar="SHARE",
        help="the change to show, relative to the control rate (10%%: 2%% to 2.2%%)",
    )
    effect.add_argument(
        "--find-lift", action="store_true", help="ask for the smallest increase that --persons can show"
    )
    parser.add_argument("--persons", type=int, metavar="N", help="persons of both arms together, as assigned")
    parser.add_argument(
        "--control-share",
        type=_share,
        metavar="SHARE",
        help="share of the persons kept as control (default 50%%)",
    )
    parser.add_argument(
        "--job", type=Path, metavar="JOB.toml", help="take control_share from [arms] of this job file"
    )
    parser.add_argument(
        "--alpha",
        type=_share,
        default=0.05,
        metavar="SHARE",
        help="error of the two-sided test (default 5%%)",
    )
    parser.add_argument(
        "--power",
        type=_share,
        default=0.8,
        metavar="SHARE",
        help="wanted probability to show it (default 80%%)",
    )
    parser.add_argument(
        "--noise",
        type=float,
        metavar="SD",
        help="standard deviation of the privacy noise on each arm's converters (default 0)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--lang", choices=("en", "zh"), default="en", help="language (default en)")
    parser.set_defaults(run=_job_power)


def _share(text: str) -> float:
    """Read a share: ``0.02`` or ``2%``."""
    number = text.strip()
    try:
        return float(number[:-1]) / 100.0 if number.endswith("%") else float(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no share; write 0.02 or 2%") from None


def _demo(arguments: argparse.Namespace) -> int:
    from cli.demo import demo

    return demo(arguments)


def _rehearse(arguments: argparse.Namespace) -> int:
    from cli.rehearse import rehearse

    return rehearse(arguments)


def _dataset_check(arguments: argparse.Namespace) -> int:
    from cli.dataset import check

    return check(arguments)


def _job_power(arguments: argparse.Namespace) -> int:
    from cli.job import job_power

    return job_power(arguments)


def _bench_match(arguments: argparse.Namespace) -> int:
    from cli.bench import match

    return match(arguments)


def _bench_sum(arguments: argparse.Namespace) -> int:
    from cli.bench import paillier

    return paillier(arguments)


def _bench_resume(arguments: argparse.Namespace) -> int:
    from cli.bench import resume

    return resume(arguments)


def _bench_nodes(arguments: argparse.Namespace) -> int:
    from cli.bench import nodes

    return nodes(arguments)


def _bench_console(arguments: argparse.Namespace) -> int:
    from cli.bench import console

    return console(arguments)


def _bench_audit(arguments: argparse.Namespace) -> int:
    from cli.bench import audit

    return audit(arguments)


def _bench_measure(arguments: argparse.Namespace) -> int:
    from cli.bench import measure

    return measure(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status. Errors are one sentence and one hint on standard error."""
    parsed = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = parsed.run
    for ending in (signal.SIGTERM, signal.SIGHUP):
        # Like Ctrl-C, so that a service manager or a closed terminal leaves nothing behind either. Where the
        # caller chose otherwise (nohup), that stands.
        if signal.getsignal(ending) is signal.SIG_DFL:
            signal.signal(ending, signal.default_int_handler)
    as_json = bool(getattr(parsed, "json", False))
    try:
        return run(parsed)
    except VeiljoinError as error:
        return _tell(error, as_json)
    except ModuleNotFoundError as error:
        missing = UsageError(
            f"This part of Veiljoin needs the package {error.name}, which is not installed.",
            hint="install what is missing: pip install 'veiljoin[node,console]'",
            code="missing_package",
        )
        return _tell(missing, as_json)
    except KeyboardInterrupt:
        stopped = VeiljoinError(
            "The command was stopped before it was done.",
            hint="start it again; nothing was written where results go",
            code="cancelled",
        )
        return _tell(stopped, as_json)


def _tell(error: VeiljoinError, as_json: bool) -> int:
    if as_json:
        import json

        event = {"event": "failed", "code": error.code.name, "message": error.message, "hint": error.hint}
        print(json.dumps(event, ensure_ascii=False), flush=True)
    for line in getattr(error, "sides", ()):
        print(line, file=sys.stderr)
    print(f"Error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"Hint:  {error.hint}", file=sys.stderr)
    return error.code.exit


def command() -> NoReturn:
    """Run the command, and end this process at once.

    All that was opened is closed by then. What libraries do at the end of an interpreter goes wrong once in fifty: a
    thread of theirs that still runs then aborts the process, after the command has done its work.
    """
    status = main()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    command()
