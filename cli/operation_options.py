"""Options of what keeps a node well: its log, metrics and stopping; backup and restore. Imported when they run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

# As in party.stopping, which is not imported for --help.
_GRACE: Final = 10.0
_BACKUP: Final = """\
Saves what a node must not lose: its settings, policy, store and ledger, as they are at one moment, while it runs or
not. Keys of jobs are never in it, and the node's own key only with --with-key: keep that one apart, because with both
somebody else can be this node.
"""
_RESTORE: Final = """\
Makes a home from what `veiljoin backup` saved. Jobs that had not ended begin anew, with new keys. The node that was
saved must not run any more.
"""


def add_operation(run: argparse.ArgumentParser) -> None:
    """Add to ``run`` how a node logs, is watched and stops."""
    run.add_argument(
        "--log-format",
        choices=("json", "text"),
        help="of the log on standard error (default: text on a terminal, JSON lines elsewhere)",
    )
    run.add_argument(
        "--log-file",
        type=Path,
        metavar="FILE",
        help="also write the log here; renamed and begun anew at 10 MiB",
    )
    run.add_argument(
        "--metrics",
        metavar="HOST:PORT",
        help="serve /metrics, /healthz and /readyz here, such as 127.0.0.1:9464 (default: nowhere)",
    )
    run.add_argument(
        "--grace",
        type=_seconds,
        default=_GRACE,
        metavar="SECONDS",
        help=f"when told to stop, wait so long for jobs under way (default {_GRACE:g})",
    )


def add_backup(commands: Any) -> None:
    """Add ``backup`` and ``restore``."""
    backup = _command(commands, "backup", "save a node's home", _backup, _BACKUP)
    backup.add_argument("--home", type=Path, required=True, metavar="FOLDER", help="the node's home")
    backup.add_argument(
        "--out", type=Path, required=True, metavar="FILE.tar", help="a file that isn't there yet"
    )
    backup.add_argument(
        "--with-results", action="store_true", help="also results, which hold customers' data"
    )
    backup.add_argument(
        "--with-key", action="store_true", help="also node.key; then keep the file as safe as the home"
    )
    _actor(backup)
    restore = _command(commands, "restore", "make a node's home from a backup", _restore, _RESTORE)
    restore.add_argument("file", type=Path, metavar="FILE.tar", help="what `veiljoin backup` wrote")
    restore.add_argument(
        "--home", type=Path, required=True, metavar="FOLDER", help="a folder that is new or empty"
    )
    restore.add_argument("--key", type=Path, metavar="NODE.KEY", help="the node.key that was kept apart")
    _actor(restore)


def _actor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--as",
        dest="actor",
        metavar="NAME",
        help="who acts, for the log (default: the login of this machine)",
    )


def _command(commands: Any, name: str, summary: str, run: Any, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--lang", choices=("en", "zh"), default="en", help="language (default en)")
    parser.set_defaults(run=run)
    return parser


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 3_600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to 3600")
    return number


def _backup(arguments: argparse.Namespace) -> int:
    from cli.backup import backup

    return backup(arguments)


def _restore(arguments: argparse.Namespace) -> int:
    from cli.backup import restore

    return restore(arguments)
