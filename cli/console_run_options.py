"""Options of ``veiljoin console run``. What it does is imported when it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_RUN = """\
Serve the console of this node until it is told to stop. The node itself need not run, but nothing goes on without it.

  veiljoin console run --home BANK           on this machine alone: http://127.0.0.1:8443
  veiljoin console run --home BANK --data /srv/segments
                                             files of that folder can be registered as datasets
  veiljoin console run --home BANK --listen 0.0.0.0:8443 --tls-cert console.pem --tls-key console.key \\
      --origin https://console.bank.example:8443
                                             for the house, with a certificate of its own
  veiljoin console run --home BANK --origin https://console.bank.example --behind-proxy
                                             behind a proxy on this machine that has the certificate

Who may log in: veiljoin console person --help
"""


def add_console_run(console: Any) -> None:
    """Add ``run`` to the sub-commands of ``console``."""
    run = console.add_parser(
        "run",
        help="serve the console",
        description=_RUN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("--home", type=Path, required=True, metavar="FOLDER", help="the node's home")
    run.add_argument(
        "--listen",
        default="127.0.0.1:8443",
        metavar="HOST:PORT",
        help="where it listens (default 127.0.0.1:8443); without TLS this machine alone",
    )
    run.add_argument(
        "--origin",
        action="append",
        default=[],
        metavar="URL",
        help="what browsers call it, such as https://console.bank.example; may be given more than once",
    )
    run.add_argument("--tls-cert", type=Path, metavar="FILE", help="the certificate with its chain, PEM")
    run.add_argument("--tls-key", type=Path, metavar="FILE", help="the key of the certificate, PEM")
    run.add_argument(
        "--behind-proxy",
        action="store_true",
        help="only a proxy speaks to it: believe its X-Forwarded-For",
    )
    run.add_argument(
        "--data", type=Path, metavar="FOLDER", help="whose files may be registered as datasets there"
    )
    run.add_argument("--json", action="store_true", help="print events as JSON")
    run.add_argument("--lang", choices=("en", "zh"), default="en", help="language (default en)")
    run.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from cli.console_run import run

    return run(arguments)
