"""``veiljoin console run``: serve the console of a party's node until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import ipaddress
import json
import logging
import os
import resource
import socket
import ssl
import sys
import threading
from pathlib import Path
from typing import Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from console.app import create_app
from console.place import Place
from console.problems import thread_fault
from console.settings import Settings
from party.address import Address, parse_address
from psi.errors import UsageError

_TEXT: Final = {
    "en": {
        "serving": "The console of {name} is at {address}",
        "nobody": "Nobody can log in yet: veiljoin console person add NAME --role administrator --home {home}",
        "stopped": "Stopped.",
    },
    "zh": {
        "serving": "{name} 的控制台位于 {address}",
        "nobody": "尚无可登录的人员：veiljoin console person add NAME --role administrator --home {home}",
        "stopped": "已停止。",
    },
}
# More than a party's staff; what comes beyond is told to come again.
_CONNECTIONS: Final = 400
_GRACE_SECONDS: Final = 5
_SILENCE_SECONDS: Final = 10


class _Lines(logging.Formatter):
    """One JSON object per line, on a terminal and elsewhere alike."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of ``record``; a traceback, which could quote a value, is left out."""
        message = record.getMessage()
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"time": now, "level": record.levelname.lower()}
        try:
            said = json.loads(message)
        except ValueError:
            said = None
        return json.dumps(line | (said if isinstance(said, dict) else {"text": message}), ensure_ascii=False)


class _Patient(H11Protocol):
    """HTTP/1.1 whose connections ask for something within ten seconds, or end: silent ones keep others out."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        super().connection_made(transport)
        self.loop.call_later(_SILENCE_SECONDS, self._close_if_silent)

    def _close_if_silent(self) -> None:
        # Its first request; the annotation there knows of no time before it.
        if getattr(self, "cycle", None) is None:
            self.transport.close()


def run(arguments: argparse.Namespace) -> int:
    """Serve; returns the exit status. Raises ``UsageError`` that names the address, file or home."""
    os.umask(0o077)
    # A core file would hold keys.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    address = parse_address(arguments.listen, "--listen", lowest=0)
    tls = _tls(arguments.tls_cert, arguments.tls_key)
    if not tls and not _is_loopback(address.host):
        raise UsageError(
            f"Without TLS the console listens on this machine alone, and {address.host} is more than that.",
            hint="give --tls-cert and --tls-key, or --listen 127.0.0.1:8443 behind a proxy that has the certificate",
        )
    if arguments.data is not None and not arguments.data.is_dir():
        raise UsageError(
            f"The folder {arguments.data} of --data is not there.", hint="name the folder with the data files"
        )
    with _bound(address) as listening:
        port = listening.getsockname()[1]
        origins = tuple(arguments.origin) or _own_origins(address.host, port, tls=tls)
        for origin in arguments.origin:
            _check_origin(origin)
        settings = Settings(
            arguments.home,
            origins,
            arguments.data,
            arguments.lang,
            trust_proxy=arguments.behind_proxy,
        )
        place = Place(settings)
        _log()
        config = uvicorn.Config(
            create_app(settings, place),
            ssl_certfile=arguments.tls_cert,
            ssl_keyfile=arguments.tls_key,
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            lifespan="on",
            http=_Patient,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        text = _TEXT[arguments.lang]
        name = place.node.file.name
        if arguments.json:
            print(json.dumps({"event": "console", "address": origins[0], "name": name}), flush=True)
        else:
            print(text["serving"].format(name=name, address=origins[0]), flush=True)
            if not place.people.all():
                print(text["nobody"].format(home=arguments.home), flush=True)
        # It raises the signal that ended it once more, when all is closed.
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
    if not arguments.json:
        print(text["stopped"], flush=True)
    return 0


def _tls(certificate: Path | None, key: Path | None) -> bool:
    if (certificate is None) != (key is None):
        raise UsageError("TLS takes a certificate and its key.", hint="give both --tls-cert and --tls-key")
    if certificate is None or key is None:
        return False
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror if not isinstance(error, ssl.SSLError) else "they are no pair in PEM form"
        raise UsageError(
            f"The certificate {certificate} and the key {key} cannot be used: {reason}.",
            hint="name the certificate with its chain and its unencrypted key, both as PEM files",
            code="unreadable_file",
        ) from None
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bound(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # With its protocol, by which asyncio knows that answers need not wait to be collected (TCP_NODELAY).
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address.host, address.port))
        # At once: its address is told before the server takes it over.
        listening.listen(socket.SOMAXCONN)
    except OSError as error:
        listening.close()
        raise UsageError(
            f"The console cannot listen on {address}: {error.strerror}.",
            hint="choose another port with --listen, or end what listens there",
            code="port_taken",
        ) from None
    return listening


def _own_origins(host: str, port: int, *, tls: bool) -> tuple[str, ...]:
    scheme = "https" if tls else "http"
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        raise UsageError(
            f"The console listens on all addresses of this machine ({host}), so it does not know its name.",
            hint="say what browsers call it: --origin https://console.bank.example",
        )
    names = [f"[{host}]" if ":" in host else host]
    if _is_loopback(host) and "localhost" not in names:
        names.append("localhost")
    return tuple(f"{scheme}://{name}:{port}" for name in names)


def _check_origin(origin: str) -> None:
    scheme, _, rest = origin.partition("://")
    loopback = _is_loopback(rest.rsplit(":", 1)[0])
    if not rest or "/" in rest or not (scheme == "https" or (scheme == "http" and loopback)):
        raise UsageError(
            f"--origin {origin} is not how browsers call a console.",
            hint="write it as https://console.bank.example, with the port where it is not 443 and without a path",
        )


def _log() -> None:
    threading.excepthook = thread_fault
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    for name, level in (("veiljoin.console", logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.addHandler(handler)
        logger.propagate = False
