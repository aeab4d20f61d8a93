"""A standing node's settings, ``node.toml`` in its home: who it is and where it listens.

    name = "bank"
    role = "bank"                          # bank | platform
    listen = "0.0.0.0:7443"                # bank: the port of mutual TLS
    enrol_listen = "0.0.0.0:7444"          # bank: the port where partners without a certificate ask for one
    address = "veiljoin.bank.example:7443"         # bank: what partners dial, if that is another address
    enrol_address = "veiljoin.bank.example:7444"
    store = "postgresql+psycopg://..."     # without it store.sqlite in the home

The file is private (0600), because the store's address may hold a password.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from party.address import Address, check_name, parse_address
from party.jobkeys import Key, Place, check_keys, choice
from party.ledger import write_private
from psi.errors import UsageError

NODE_FILE: Final = "node.toml"
BANK: Final = "bank"
PLATFORM: Final = "platform"
_ANYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on

_KEYS: Final = {
    "name": Key((str,), "the node's name: small letters, digits and hyphens"),
    "role": Key((str,), "bank | platform"),
    "listen": Key((str,), "HOST:PORT of the port of mutual TLS"),
    "enrol_listen": Key((str,), "HOST:PORT of the port for enrolment"),
    "address": Key((str,), "HOST:PORT that partners dial"),
    "enrol_address": Key((str,), "HOST:PORT that partners dial to enrol"),
    "store": Key((str,), "the store's address, such as postgresql+psycopg://USER@HOST/NAME"),
}


@dataclass(frozen=True, slots=True)
class Ports:
    """A bank's two ports: where it listens, and what partners dial."""

    listen: Address
    enrol_listen: Address
    address: Address
    enrol_address: Address


@dataclass(frozen=True, slots=True)
class NodeFile:
    """What the file says; ``ports`` is None at a platform, which only dials."""

    name: str
    role: str
    ports: Ports | None
    store: str | None = field(default=None, repr=False)


def bank_ports(
    listen: str, enrol_listen: str | None, address: str | None, enrol_address: str | None
) -> Ports:
    """Return the ports of a bank from what was written; the second port is the next one.

    Raises ``UsageError`` that names the setting, also where partners would be told an address that none can dial.
    """
    first = parse_address(listen, "listen")
    second = (
        parse_address(enrol_listen, "enrol_listen") if enrol_listen else Address(first.host, first.port + 1)
    )
    told = parse_address(address, "address") if address else first
    if told.host in _ANYWHERE:
        raise UsageError(
            f"No partner can dial {told.host}, which only says where to listen.",
            hint="give --address HOST:PORT, the name or address under which partners reach this node",
        )
    if enrol_address:
        enrol = parse_address(enrol_address, "enrol_address")
    else:
        # Under the same name, unless the second port listens at an address of its own.
        enrol = second if second.host not in (*_ANYWHERE, first.host) else Address(told.host, second.port)
    if first == second:
        raise UsageError(
            f"Both ports of the node would listen on {first}.", hint="give enrolment a port of its own"
        )
    return Ports(first, second, told, enrol)


def load_node(folder: Path) -> NodeFile:
    """Read the settings of the home ``folder``. Raises ``UsageError`` that names the file and the key."""
    path = folder / NODE_FILE
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UsageError(
            f"{folder} is not the home of a node: it has no {NODE_FILE}.",
            hint="a bank makes it with `veiljoin server init`, a partner with `veiljoin client join TOKEN`",
            code="missing_file",
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"{path} is not valid TOML: {error}.", hint="mend the line", code="bad_format"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(
            f"{path} cannot be read: {why}.", hint="check its permissions", code="unreadable_file"
        ) from None
    return parse_node(table, str(path))


def parse_node(table: Mapping[str, Any], source: str) -> NodeFile:
    """Check the parsed content of the file ``source``."""
    place = Place(source)
    check_keys(table, _KEYS, place)
    role = choice(table, "role", (BANK, PLATFORM), place)
    needed = ("name", "listen") if role == BANK else ("name",)
    for name in needed:
        if name not in table:
            raise UsageError(f"{name} is missing in {source}.", hint=f"{name}: {_KEYS[name].help}")
    ports = None
    if role == BANK:
        ports = bank_ports(
            table["listen"], table.get("enrol_listen"), table.get("address"), table.get("enrol_address")
        )
    return NodeFile(check_name(table["name"], "node"), role, ports, table.get("store"))


def refuse_taken(folder: Path) -> None:
    """Raise ``UsageError`` if ``folder`` is the home of a node already."""
    if (folder / NODE_FILE).exists():
        raise UsageError(
            f"{folder} is the home of a node already.",
            hint="use it as it is, or another folder for another node",
        )


def write_node(folder: Path, node: NodeFile) -> None:
    """Write the settings, mode 0600. Raises ``UsageError`` if there are some, or the folder can't be written."""
    refuse_taken(folder)
    rows = {"name": node.name, "role": node.role}
    if node.ports is not None:
        rows |= {
            "listen": str(node.ports.listen),
            "enrol_listen": str(node.ports.enrol_listen),
            "address": str(node.ports.address),
            "enrol_address": str(node.ports.enrol_address),
        }
    if node.store is not None:
        rows["store"] = node.store
    # JSON's strings are TOML's basic strings.
    text = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in rows.items())
    write_private(folder / NODE_FILE, text.encode(), replace=False)
