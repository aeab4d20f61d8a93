"""Options of ``veiljoin server`` and ``veiljoin client``. What they do is imported when they run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_SERVER = """\
The bank's node: its certificate authority, its partners and their access.

  veiljoin server init --home BANK --listen 0.0.0.0:7443 --address veiljoin.bank.example:7443
                                             once: identity, authority and certificate; with --run it then runs
  veiljoin server invite acme-ads --home BANK
                                             prints a token for the partner, good for 15 minutes and one node
  veiljoin server confirm acme-ads --home BANK --as second
                                             another person types the fingerprint that the partner reads out
  veiljoin server run --home BANK            the node: leave it running; all other commands work with and without it
  veiljoin server partners --home BANK       who has access, until when, and who waits
  veiljoin server revoke acme-ads --home BANK
                                             takes access away; open streams end within seconds

The node listens on two ports: the first asks every caller for its certificate and carries control and jobs; on the
second (enrolment, by default the next number) a node without a certificate may ask for one, and do nothing else.
The commands work whether the node runs or not.
"""
_CLIENT = """\
The partner's node. It only dials out: no port has to be opened, an HTTP proxy (https_proxy) will do.

  veiljoin client join TOKEN --home ACME     makes keys here, shows a fingerprint, waits for the bank to confirm it
  veiljoin client doctor --home ACME         checks everything that a job needs, and says how to mend what fails
  veiljoin client run --home ACME            the node: keeps the line to the bank and runs the jobs that were agreed

Read the fingerprint out to the bank on a line that you know, such as the telephone number in your contract.
"""


def add_server(commands: Any) -> Any:
    """Add ``server``; returns its sub-commands, so that others can be added."""
    server = _group(commands, "server", "the bank's node: partners and their access", _SERVER)
    init = _action(server, "init", "make a bank's node in a new home", _init)
    init.add_argument(
        "--listen", required=True, metavar="HOST:PORT", help="where the node listens, such as 0.0.0.0:7443"
    )
    init.add_argument(
        "--enrol-listen", metavar="HOST:PORT", help="where it listens for enrolment (default: next port)"
    )
    init.add_argument("--address", metavar="HOST:PORT", help="what partners dial (default: --listen)")
    init.add_argument("--enrol-address", metavar="HOST:PORT", help="what partners dial to enrol")
    init.add_argument(
        "--run",
        dest="run_now",
        action="store_true",
        help="run the node at once, as `veiljoin server run` does",
    )
    init.add_argument("--name", default="bank", help="the bank's name in every certificate (default bank)")
    _store(init)
    invite = _action(server, "invite", "print a token with which a partner's node can join once", _invite)
    _partner(invite)
    confirm = _action(server, "confirm", "let a node in that used its token", _confirm)
    _partner(confirm)
    confirm.add_argument(
        "--fingerprint", metavar="HEX", help="what the partner reads out; without it the command asks for it"
    )
    _partner(_action(server, "refuse", "refuse a node that waits", _refuse))
    _partner(_action(server, "revoke", "take a partner's access away, at once", _revoke))
    _action(server, "partners", "list partners, their certificates, and who waits", _partners)
    return server


def add_client(commands: Any) -> Any:
    """Add ``client``; returns its sub-commands, so that others can be added."""
    client = _group(commands, "client", "the partner's node: join a bank, find faults", _CLIENT)
    join = _action(client, "join", "join a bank with its token", _join)
    join.add_argument("token", metavar="TOKEN", help="the line from the bank; - reads it from standard input")
    join.add_argument(
        "--wait",
        type=float,
        default=1_800,
        metavar="SECONDS",
        help="for the bank's confirmation (default 1800)",
    )
    _store(join)
    _action(client, "doctor", "check everything that a job needs", _doctor)
    return client


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
        help="who acts, for the history (default: the login of this machine)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--lang", choices=("en", "zh"), default="en", help="language (default en)")
    parser.set_defaults(run=run)
    return parser


def _partner(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("partner", metavar="PARTNER", help="its name: small letters, digits and hyphens")


def _store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store", metavar="URL", help="a store elsewhere, such as postgresql+psycopg://USER@HOST/NAME"
    )


def _init(arguments: argparse.Namespace) -> int:
    from cli.server import init

    return init(arguments)


def _invite(arguments: argparse.Namespace) -> int:
    from cli.server import invite

    return invite(arguments)


def _confirm(arguments: argparse.Namespace) -> int:
    from cli.server import confirm

    return confirm(arguments)


def _refuse(arguments: argparse.Namespace) -> int:
    from cli.server import refuse

    return refuse(arguments)


def _revoke(arguments: argparse.Namespace) -> int:
    from cli.server import revoke

    return revoke(arguments)


def _partners(arguments: argparse.Namespace) -> int:
    from cli.server import partners

    return partners(arguments)


def _join(arguments: argparse.Namespace) -> int:
    from cli.client import join

    return join(arguments)


def _doctor(arguments: argparse.Namespace) -> int:
    from cli.client import doctor

    return doctor(arguments)
