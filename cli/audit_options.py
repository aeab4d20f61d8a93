"""Options of ``veiljoin audit``. What commands do is imported when they run: verifying works in the base install."""

from __future__ import annotations

import argparse
import datetime
import re
from pathlib import Path
from typing import Any, Final

from cli.replay_options import add_replay

_AUDIT: Final = """\
For auditors. A party's log is exported as one file, a bundle; verifying needs the bundles alone: no network, no key,
no customer data, and of Veiljoin only the smallest install.

  veiljoin audit verify bank.veiljoin-log platform.veiljoin-log
"""
_VERIFY: Final = """\
Checks what one or both parties logged: integrity (every entry's hash, every signature and cosignature), the same
story in both logs, approvals and contracts, decisions and budgets under the policy, what left each side, and says
what no log can prove. Ends with exit status 6 and the first bad entry if anything is wrong. Give both parties'
bundles where you can: only two show whether one of them dropped the end of its log. An evidence pack's folder will
do for a bundle.
"""
_EXPORT: Final = """\
Writes what an auditor asks for: the whole log, or with --job an evidence pack of one job, a folder (or an archive, if
FILE ends in .zip) with the contract, the disclosure card, who approved, what left each side, the decisions, and
index.html, a page for people. Nothing of it names a customer. That it was exported, and by whom, is itself in the
log.
"""
_SHOW: Final = """\
Shows entries as sentences, the newest last: of a node's own log (--home), or of a bundle. It verifies nothing;
`veiljoin audit verify` does.
"""
_PAGE: Final = """\
Makes the page of an evidence pack, index.html, again: from the pack, or from a whole bundle with --job. So nobody has
to take the page that came with a pack on trust.
"""


def add_audit(commands: Any) -> None:
    """Add ``audit`` with its actions."""
    parser = commands.add_parser(
        "audit",
        help="export, show, verify and replay what the parties' logs say",
        description=_AUDIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    verify = _action(actions, "verify", "verify one or both parties' bundles", _verify, _VERIFY)
    verify.add_argument(
        "bundle",
        type=Path,
        nargs="+",
        metavar="BUNDLE",
        help="one bundle, or one of each party, in any order",
    )
    verify.add_argument(
        "--policy",
        type=Path,
        metavar="POLICY.toml",
        help="hold contracts and budgets to the [limits] and the runs of [budget] in this file too",
    )

    verify.add_argument(
        "--identity",
        type=_identity,
        action="append",
        default=[],
        metavar="HEX",
        help="each log has to be of an identity given so, as its party reads it out; once per party",
    )

    export = _action(actions, "export", "write a bundle or a job's evidence pack", _export, _EXPORT)
    export.add_argument("--home", type=Path, required=True, metavar="FOLDER", help="the node's home")
    export.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="a file or folder that isn't there yet"
    )
    export.add_argument("--job", metavar="JOB", help="an evidence pack of this job; its first characters do")
    export.add_argument(
        "--details",
        action="store_true",
        help="open the commitments to the auditor: counts before thresholds, noise, numbers of rows",
    )
    export.add_argument(
        "--log",
        type=_number,
        metavar="N",
        help="an older log, which a restore has ended (default: the newest)",
    )
    export.add_argument(
        "--as", dest="actor", metavar="NAME", help="who exports (default: the login of this machine)"
    )

    show = _action(actions, "show", "list the entries of a log", _show, _SHOW)
    show.add_argument("bundle", type=Path, nargs="?", metavar="BUNDLE", help="a bundle or an evidence pack")
    show.add_argument("--home", type=Path, metavar="FOLDER", help="a node's home, instead of a bundle")
    show.add_argument("--job", metavar="JOB", help="only entries of this job; its first characters do")
    show.add_argument("--since", type=_moment, metavar="TIME", help="2026-11-22 or 2026-11-22T09:30, in UTC")
    show.add_argument("--until", type=_moment, metavar="TIME", help="entries before this moment")
    show.add_argument("--actor", metavar="NAME", help="only what this person, or node:NAME, did")
    show.add_argument("--type", metavar="TYPE", help="only entries of this type, such as decision")
    show.add_argument(
        "--limit", type=_number, default=100, metavar="N", help="the newest N of them (default 100; 0: all)"
    )

    page = _action(actions, "page", "make the page of an evidence pack from a bundle", _page, _PAGE)
    page.add_argument("bundle", type=Path, metavar="BUNDLE", help="an evidence pack, or a whole bundle")
    page.add_argument("--job", metavar="JOB", help="which job, where the bundle is of a whole log")
    page.add_argument(
        "--out", type=Path, required=True, metavar="FILE.html", help="a file that isn't there yet"
    )
    add_replay(actions)


def _action(actions: Any, name: str, summary: str, run: Any, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name,
        help=summary,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--lang", choices=("en", "zh"), default="en", help="language (default en)")
    parser.set_defaults(run=run)
    return parser


def _moment(text: str) -> int:
    """Read a moment as milliseconds since 1970; without an offset it is UTC, as logs are."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time; write 2026-11-22 or 2026-11-22T09:30"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return int(moment.timestamp() * 1000)


def _identity(text: str) -> str:
    """Read the fingerprint of an identity, in any grouping and case, or its whole key."""
    joined = re.sub(r"[\s:.-]+", "", text).lower()
    if re.fullmatch(r"[0-9a-f]{32,64}", joined) is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no identity; write the eight groups of four characters that the party reads out"
        )
    return joined


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return int(text)


def _verify(arguments: argparse.Namespace) -> int:
    from cli.audit import verify

    return verify(arguments)


def _export(arguments: argparse.Namespace) -> int:
    from cli.audit_export import export

    return export(arguments)


def _show(arguments: argparse.Namespace) -> int:
    from cli.audit_show import show

    return show(arguments)


def _page(arguments: argparse.Namespace) -> int:
    from cli.audit import make_page

    return make_page(arguments)
