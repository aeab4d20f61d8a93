"""Options of ``veiljoin console``. What they do is imported when they run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

# As in party.people, which is not imported for --help.
_ROLES: Final = ("analyst", "approver", "auditor", "administrator")
_CONSOLE: Final = """\
The console: a party's own node in a browser, at the bank and at the partner alike.

  veiljoin console person add mary --role administrator --home BANK
                                             the first account; prints a password for one login
  veiljoin console run --home BANK           serves the console; mary adds the others there
"""
_PERSON: Final = """\
Who may log in to the console, and as what.

  veiljoin console person add mary --role administrator --home BANK
  veiljoin console person add ann --role analyst --home BANK
  veiljoin console person add bob --role analyst --role approver --home BANK
  veiljoin console person list --home BANK
  veiljoin console person roles bob --role auditor --home BANK
  veiljoin console person password ann --home BANK
  veiljoin console person disable bob --home BANK

analyst        drafts jobs, registers datasets, reads results
approver       approves or refuses what others drafted, reads results
auditor        reads and verifies the log, exports it; no results
administrator  people and partners; no drafts, no approvals, no results

A person may have several roles, but an administrator is nothing besides except auditor. Nobody approves what they
drafted, whatever their roles. Every change is in the party's log, under the name of who made it.
"""
_FROM_FILE: Final = (
    "take the first line of this file as the password, which then need not be changed (- is standard input); without "
    "it one is made and printed, good for one login"
)


def add_console(commands: Any) -> Any:
    """Add ``console``; returns its sub-commands, so that others can be added."""
    console = _group(commands, "console", "the node in a browser: serve it, and who may log in", _CONSOLE)
    _add_people(_group(console, "person", "who may log in to the console, and as what", _PERSON))
    return console


def _add_people(person: Any) -> None:
    add = _action(person, "add", "make an account", _add)
    _name(add)
    _role(add)
    _password_file(add)
    _action(person, "list", "list the accounts", _list)
    roles = _action(person, "roles", "give a person other roles, instead of those that they have", _roles)
    _name(roles)
    _role(roles)
    password = _action(person, "password", "set a new password, and end the person's sessions", _password)
    _name(password)
    _password_file(password)
    _name(_action(person, "disable", "keep a person out, at once", _disable))
    _name(_action(person, "enable", "let a disabled person log in again", _enable))


def _group(commands: Any, name: str, summary: str, description: str) -> Any:
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser.add_subparsers(dest="action", metavar="ACTION", required=True)


def _action(actions: Any, name: str, summary: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=summary, description=summary.capitalize() + "."
    )
    parser.add_argument("--home", type=Path, required=True, metavar="FOLDER", help="the node's home")
    parser.add_argument(
        "--as",
        dest="actor",
        metavar="NAME",
        help="who acts, for the log (default: the login of this machine)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--lang", choices=("en", "zh"), default="en", help="language (default en)")
    parser.set_defaults(run=run)
    return parser


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the person's name, as it will be in history and log")


def _role(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--role",
        dest="roles",
        action="append",
        required=True,
        choices=_ROLES,
        help="may be given more than once",
    )


def _password_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--password-file", type=Path, metavar="FILE", help=_FROM_FILE)


def _add(arguments: argparse.Namespace) -> int:
    from cli.console import add

    return add(arguments)


def _list(arguments: argparse.Namespace) -> int:
    from cli.console import show

    return show(arguments)


def _roles(arguments: argparse.Namespace) -> int:
    from cli.console import roles

    return roles(arguments)


def _password(arguments: argparse.Namespace) -> int:
    from cli.console import password

    return password(arguments)


def _disable(arguments: argparse.Namespace) -> int:
    from cli.console import disable

    return disable(arguments)


def _enable(arguments: argparse.Namespace) -> int:
    from cli.console import enable

    return enable(arguments)
