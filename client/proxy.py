"""HTTP CONNECT proxies for the one connection that is not gRPC's: found by the rules that gRPC goes by.

gRPC reads ``grpc_proxy``, ``https_proxy`` and ``http_proxy``, the first that is set, and leaves out the hosts of
``no_grpc_proxy`` or ``no_proxy``. A loopback address is never sent to a proxy, which has another loopback.
"""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from party.address import Address
from psi.errors import LinkLost, UsageError
from psi.secret import SecretBytes

_VARIABLES: Final = ("grpc_proxy", "https_proxy", "http_proxy")
_EXCEPTIONS: Final = ("no_grpc_proxy", "no_proxy")
_MAX_ANSWER: Final = 16 * 1024


class ProxyLogin(SecretBytes):
    """User and password of a proxy, as HTTP's Basic scheme sends them."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy and which variable named it."""

    address: Address
    variable: str
    login: ProxyLogin | None = field(default=None, repr=False)


def proxy_for(address: Address, environment: Mapping[str, str] = os.environ) -> Proxy | None:
    """Return the proxy on the way to ``address``. Raises ``UsageError`` that names the variable."""
    if address.loopback:
        return None
    variable = next((name for name in _VARIABLES if environment.get(name)), None)
    if variable is None or _excepted(address.host, environment):
        return None
    text = environment[variable]
    try:
        parts = urlsplit(text if "//" in text else f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in ("", "http"):
        # Not quoted: it may hold a password.
        raise UsageError(
            f"The proxy in the environment variable {variable} cannot be used.",
            hint="write it as http://HOST:PORT",
        )
    login = None
    if parts.username is not None:
        plain = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        login = ProxyLogin(base64.b64encode(plain))
    return Proxy(Address(host, port or 80), variable, login)


def _excepted(host: str, environment: Mapping[str, str]) -> bool:
    listed = next((environment[name] for name in _EXCEPTIONS if environment.get(name)), "")
    # Like gRPC: an entry is the end of a host's name; a leading dot or star changes nothing.
    entries = (entry.strip().lstrip("*.").lower() for entry in listed.split(","))
    return any(entry and (host == entry or host.endswith(f".{entry}")) for entry in entries)


def connect(address: Address, timeout: float, environment: Mapping[str, str] = os.environ) -> socket.socket:
    """Return a TCP connection to ``address``, through the proxy where there is one; ``timeout`` in seconds.

    Raises ``LinkLost`` (``peer_absent``) that says which step failed.
    """
    proxy = proxy_for(address, environment)
    first = address if proxy is None else proxy.address
    try:
        connection = socket.create_connection((first.host, first.port), timeout)
    except socket.gaierror:
        raise LinkLost(
            f"The host name {first.host} is not known here.",
            hint="check the name with the bank, and this machine's DNS",
            code="peer_absent",
        ) from None
    except OSError as error:
        what = "The bank" if proxy is None else "The proxy"
        raise LinkLost(
            f"{what} did not answer at {first}: {error.strerror or 'no answer in time'}.",
            hint="check the address, that the bank's node runs, and that a firewall lets this machine dial out",
            code="peer_absent",
        ) from None
    if proxy is not None:
        try:
            _ask(connection, address, proxy)
        except BaseException:
            connection.close()
            raise
    return connection


def _ask(connection: socket.socket, address: Address, proxy: Proxy) -> None:
    """Ask the proxy for a tunnel (RFC 9110, section 9.3.6)."""
    lines = [f"CONNECT {address} HTTP/1.1", f"Host: {address}"]
    if proxy.login is not None:
        lines.append(f"Proxy-Authorization: Basic {proxy.login.reveal().decode('ascii')}")
    answer = b""
    try:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
        while b"\r\n\r\n" not in answer and len(answer) < _MAX_ANSWER:
            # One byte at a time: what follows the answer belongs to the tunnel.
            part = connection.recv(1)
            if not part:
                break
            answer += part
    except OSError:
        answer = b""
    status = answer.split(b" ", 2)[1:2]
    if not answer.startswith(b"HTTP/1.") or not status or not status[0].startswith(b"2"):
        told = f"status {status[0].decode('ascii', 'replace')[:3]}" if status else "no answer"
        raise LinkLost(
            f"The proxy {proxy.address} of {proxy.variable} does not connect to {address} ({told}).",
            hint=f"let it through there, or name the host in no_proxy; the proxy is the one of {proxy.variable}",
            code="peer_absent",
        )
