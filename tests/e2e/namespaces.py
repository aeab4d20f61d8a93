"""Machines of a test: Linux network namespaces (iproute2), each with interfaces, routes, ports and names of its own.

A namespace reaches another one only where a cable was laid between them, and only the ports that the cable was laid
for: a rule that looks at the destination port leads to the only route there is.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

# What `ip netns exec` lays over /etc inside a namespace.
_OVERLAY: Final = Path("/etc/netns")
_TABLE: Final = "100"


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def why_not() -> str:
    """Return why this machine makes no namespaces, or nothing if it does."""
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("ss") is None:
        return "network namespaces need root and Debian's package iproute2"
    name = f"vj-{uuid.uuid4().hex[:6]}"
    try:
        _ip("netns", "add", name)
        _ip("netns", "delete", name)
    except subprocess.CalledProcessError:
        return "this machine's kernel or container lets nobody make network namespaces"
    return ""


class Namespace:
    """One machine. ``hosts`` of :meth:`know` are names that only it resolves."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.overlay = _OVERLAY / name
        self.overlay.mkdir(parents=True)
        (self.overlay / "hosts").write_text("127.0.0.1 localhost\n")
        # No name server: what is not in the hosts file is not known.
        (self.overlay / "resolv.conf").write_text("")
        _ip("netns", "add", name)
        _ip("-n", name, "link", "set", "lo", "up")

    def know(self, host: str, address: str) -> None:
        """Add a line to the hosts file."""
        with open(self.overlay / "hosts", "a") as hosts:
            hosts.write(f"{address} {host}\n")

    def listening(self) -> list[str]:
        """The TCP and UDP ports that anything listens on here."""
        return self.run("ss", "-Hltun").splitlines()

    def run(self, *arguments: str) -> str:
        """Run a short command here."""
        return _ip("netns", "exec", self.name, *arguments)

    def link(self, interface: str, state: str) -> None:
        """Set a cable's end ``up`` or ``down``."""
        _ip("-n", self.name, "link", "set", interface, state)

    def start(
        self, line: str, folder: Path, environment: Mapping[str, str], terminal: int
    ) -> subprocess.Popen[bytes]:
        """Start ``line`` in a shell here, in ``folder``, at a ``terminal``."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, "sh", "-c", f"exec {line}"],
            cwd=folder,
            env=dict(environment),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )

    def remove(self) -> None:
        """End what still runs here, and remove it."""
        with suppress(subprocess.CalledProcessError):
            for pid in _ip("netns", "pids", self.name).split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            _ip("netns", "delete", self.name)
        shutil.rmtree(self.overlay, ignore_errors=True)


def lay_cable(listener: Namespace, dialler: Namespace, network: str, ports: str) -> str:
    """Connect two namespaces: ``dialler`` gets a route to the TCP ``ports`` of ``listener`` (such as ``7443-7444``).

    In ``network``, such as ``10.77.1``, ``listener`` is 1 and ``dialler`` 2. Returns the interface's name at both.
    """
    cable = f"vj{network.rpartition('.')[2]}"
    _ip(
        "link",
        "add",
        cable,
        "netns",
        listener.name,
        "type",
        "veth",
        "peer",
        "name",
        cable,
        "netns",
        dialler.name,
    )
    _ip("-n", listener.name, "address", "add", f"{network}.1/24", "dev", cable)
    _ip("-n", dialler.name, "address", "add", f"{network}.2/32", "dev", cable)
    for each in (listener, dialler):
        each.link(cable, "up")
    route = ("route", "add", f"{network}.1/32", "dev", cable, "src", f"{network}.2", "table", _TABLE)
    _ip("-n", dialler.name, *route)
    _ip("-n", dialler.name, "rule", "add", "ipproto", "tcp", "dport", ports, "lookup", _TABLE)
    return cable


@contextmanager
def machines(*names: str) -> Iterator[list[Namespace]]:
    """Make namespaces, and remove them and their processes at the end of the block."""
    mark, made = uuid.uuid4().hex[:6], list[Namespace]()
    try:
        for name in names:
            made.append(Namespace(f"vj-{mark}-{name}"))
        yield made
    finally:
        for each in made:
            each.remove()
