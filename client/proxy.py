"""HTTP CONNECT proxies (RFC 9110, section 9.3.6): which one is on the way, for every connection of a node.

One rule for gRPC's channels and for our own sockets: the first of ``grpc_proxy``, ``https_proxy``, ``http_proxy``
and ``HTTPS_PROXY`` that is set, but not for the hosts of ``no_grpc_proxy``, ``no_proxy`` or ``NO_PROXY``. gRPC alone
would pass over capital letters and a proxy without ``http://``, so it is told (:func:`channel_options`). A loopback
address is never sent to a proxy, which has another loopback.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from party.address import Address
from psi.errors import LinkLost, UsageError
from psi.secret import SecretBytes

# HTTP_PROXY is left out, as a web server may set it from a request's header.
_VARIABLES: Final = ("grpc_proxy", "https_proxy", "http_proxy", "HTTPS_PROXY")
_EXCEPTIONS: Final = ("no_grpc_proxy", "no_proxy", "NO_PROXY")
_MAX_ANSWER: Final = 16 * 1024
_HTTP_PORT: Final = 80


class UnknownHost(LinkLost):
    """A name, the bank's or the proxy's, that this machine can't resolve."""


class ProxyLogin(SecretBytes):
    """User and password of a proxy: ``user:password`` in UTF-8."""

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
            hint="write it as http://HOST:PORT or http://USER:PASSWORD@HOST:PORT",
        )
    login = None
    if parts.username is not None:
        login = ProxyLogin(f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode())
    return Proxy(Address(host, port or _HTTP_PORT), variable, login)


def _excepted(host: str, environment: Mapping[str, str]) -> bool:
    listed = next((environment[name] for name in _EXCEPTIONS if environment.get(name)), "")
    return any(_covers(entry.strip().lower(), host) for entry in listed.split(","))


def _covers(entry: str, host: str) -> bool:
    """Tell whether an entry of ``no_proxy`` means ``host``: ``*``, a network, an address, or the end of a name."""
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        # A leading dot or star changes nothing, and only whole labels count.
        name = entry.lstrip("*.")
        return bool(name) and (host == name or host.endswith(f".{name}"))


def channel_options(address: Address, environment: Mapping[str, str] = os.environ) -> list[tuple[str, Any]]:
    """Return the options with which a gRPC channel goes the way of :func:`proxy_for`.

    They hold the proxy's login, so they are not to be shown. Raises ``UsageError`` as :func:`proxy_for` does.
    """
    proxy = proxy_for(address, environment)
    if proxy is None:
        return [("grpc.enable_http_proxy", 0)]
    login = ""
    if proxy.login is not None:
        user, _, password = proxy.login.reveal().decode().partition(":")
        login = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    return [("grpc.http_proxy", f"http://{login}{proxy.address}")]


def connect(address: Address, timeout: float, environment: Mapping[str, str] = os.environ) -> socket.socket:
    """Return a TCP connection to ``address``, through the proxy where there is one; ``timeout`` in seconds.

    Raises ``LinkLost`` (``peer_absent``) that says which step failed.
    """
    proxy = proxy_for(address, environment)
    first = address if proxy is None else proxy.address
    try:
        connection = socket.create_connection((first.host, first.port), timeout)
    except socket.gaierror:
        where = "with the bank" if proxy is None else f"in {proxy.variable}"
        raise UnknownHost(
            f"The host name {first.host} is not known here.",
            hint=f"check the name {where}, and this machine's DNS",
            code="peer_absent",
        ) from None
    except OSError as error:
        why = error.strerror or "no answer in time"
        if proxy is not None:
            raise LinkLost(
                f"The proxy {first} of {proxy.variable} did not answer: {why}.",
                hint=f"check {proxy.variable}, and that the proxy runs",
                code="peer_absent",
            ) from None
        raise LinkLost(
            f"The bank did not answer at {first}: {why}.",
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
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(proxy.login.reveal()).decode('ascii')}")
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
        # Shown to a person, so digits only: what answers there may be anything.
        number = status[0][:3].decode("ascii") if status and status[0].isdigit() else ""
        told = f"status {number}" if number else "no answer"
        raise LinkLost(
            f"The proxy {proxy.address} of {proxy.variable} does not connect to {address} ({told}).",
            hint=_hint(number, address, proxy),
            code="peer_absent",
        )


def _hint(status: str, address: Address, proxy: Proxy) -> str:
    """Return how to mend what a proxy answered (RFC 9110, section 15)."""
    around = f"or name {address.host} in no_proxy where this machine may dial it directly"
    match status:
        # 401 should come from a server only; tinyproxy answers a wrong password with it.
        case "401" | "407" if proxy.login is None:
            return f"it wants a login: set {proxy.variable} to http://USER:PASSWORD@{proxy.address}"
        case "401" | "407":
            return f"it refuses the user or the password in {proxy.variable}, or takes no basic login; correct it"
        case "403" | "405":
            return f"have it allow CONNECT to {address} (many allow port 443 only), {around}"
        case "500" | "502" | "503" | "504":
            return f"the proxy itself cannot reach {address}: have its own firewall let it, {around}"
    return f"check that it is an HTTP proxy that allows CONNECT to {address}, {around}"
