"""The ``veiljoin`` command: what there is, what each part takes, and how it ends.

Sub-commands import what they need when they run, so that ``--help`` is quick and works in the smallest install.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from psi.errors import UsageError, VeiljoinError

_DESCRIPTION = """\
Match audiences with a partner; neither side sees the other's customers.

  veiljoin demo                              both parties on this machine, on synthetic data
  veiljoin rehearse JOB.toml --bank BANK.csv --platform PLATFORM.csv --out FOLDER
                                             your own files, as a dry run before going live
  veiljoin dataset check FILE --column mobile --identifier phone
                                             how many rows of a file can be used, and why not the others
"""
_EXITS = """\
exit status: 0 done; 2 something here must be mended (file, column, setting, machine); 3 refused by a limit or
policy; 4 the partner broke the protocol or ended the job; 5 the connection or the partner's process was lost;
130 stopped by a person; 1 a fault in this program
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
    rehearse.add_argument("job", type=Path, metavar="JOB.toml", help="the job file (see README)")
    rehearse.add_argument("--bank", type=Path, required=True, metavar="FILE", help="the bank's data")
    rehearse.add_argument("--platform", type=Path, required=True, metavar="FILE", help="the platform's data")
    rehearse.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the results go")
    rehearse.add_argument(
        "--listen",
        default="127.0.0.1:0",
        metavar="HOST:PORT",
        help="the bank's address (default: a free port on loopback)",
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
    return parser


def _shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", help="force a masking engine: crypto_mb, cryptography, sodium")
    parser.add_argument("--threads", type=int, help="threads of each party (default: all processors)")
    parser.add_argument("--json", action="store_true", help="events and result as JSON lines")
    parser.add_argument("--lang", choices=("en", "zh"), default="en", help="language (default en)")


def _demo(arguments: argparse.Namespace) -> int:
    from cli.demo import demo

    return demo(arguments)


def _rehearse(arguments: argparse.Namespace) -> int:
    from cli.rehearse import rehearse

    return rehearse(arguments)


def _dataset_check(arguments: argparse.Namespace) -> int:
    from cli.dataset import check

    return check(arguments)


def _bench_match(arguments: argparse.Namespace) -> int:
    from cli.bench import match

    return match(arguments)


def _bench_sum(arguments: argparse.Namespace) -> int:
    from cli.bench import paillier

    return paillier(arguments)


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
            hint="install the node: pip install 'veiljoin[node]'",
            code="missing_package",
        )
        return _tell(missing, False)
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


if __name__ == "__main__":
    sys.exit(main())
