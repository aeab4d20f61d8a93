"""Options of ``veiljoin audit replay`` and ``veiljoin audit new-key``; what they do is imported when they run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

_REPLAY: Final = """\
Computes once more what this party sent in a job, from the seed that it kept for its auditor, its data and the
messages that it received, and compares every stream with the log. Run it where the party's data is. Verify the logs
first (veiljoin audit verify), best with the partner's: a party can write into its own log what it likes.

exit status: 0 all is equal; 6 something differs, and which stream is said; 2 there is something to mend first
"""
_NEW_KEY: Final = """\
Makes the key pair of an auditor: writes the private key to FILE, which stays with the auditor, and prints the public
one for the party's policy.toml. Seeds of jobs are sealed to it (keep_seed in the job file, docs/audit-replay.md).
"""


def add_replay(actions: Any) -> None:
    """Add ``replay`` and ``new-key`` to the actions of ``veiljoin audit``."""
    replay = _command(actions, "replay", "recompute what this party sent in a job", _run_replay, _REPLAY)
    replay.add_argument("job", metavar="JOB", help="the job's id, or how it begins")
    replay.add_argument(
        "--input", type=Path, required=True, metavar="FILE", help="the party's data, as it was in the job"
    )
    replay.add_argument(
        "--key", type=Path, required=True, metavar="FILE", help="the auditor's private key (new-key)"
    )
    replay.add_argument("--home", type=Path, required=True, metavar="FOLDER", help="the node's home")
    replay.add_argument(
        "--log",
        type=Path,
        metavar="BUNDLE",
        help="compare with this log, the party's or its partner's, instead of the one in the home",
    )
    replay.add_argument("--run", type=int, dest="number", metavar="N", help="only this run of the job")
    replay.add_argument("--threads", type=int, help="processor threads (default: all)")
    new_key = _command(actions, "new-key", "make an auditor's key pair", _run_new_key, _NEW_KEY)
    new_key.add_argument("file", type=Path, metavar="FILE", help="a file that isn't there yet")


def _command(actions: Any, name: str, summary: str, run: Any, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=summary, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--lang", choices=("en", "zh"), default="en", help="language (default en)")
    parser.set_defaults(run=run)
    return parser


def _run_replay(arguments: argparse.Namespace) -> int:
    from cli.replay import replay

    return replay(arguments)


def _run_new_key(arguments: argparse.Namespace) -> int:
    from cli.replay import new_key

    return new_key(arguments)
