"""Names, people and addresses that are typed and that travel in tokens: one rule each, checked at every door."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from audit.keys import REHEARSAL
from psi.errors import UsageError
from veiljoin.control_messages import PARTY_NAME

# RFC 1123, section 2.1; an underscore is met in names of containers.
_HOST: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a TCP port; ``str`` gives host:port, with brackets around an IPv6 address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can mean it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(text: str, setting: str, *, lowest: int = 1) -> Address:
    """Return the address in ``text`` (host:port). Raises ``UsageError`` that names ``setting``."""
    host, colon, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    known = _is_ipv6(host) if bracketed else _HOST.fullmatch(host) is not None
    if not (colon and known and re.fullmatch(r"[0-9]{1,5}", port) and lowest <= int(port) <= 65_535):
        raise UsageError(
            f"{setting} is no address: {text[:80]!r}.",
            hint="write HOST:PORT, such as veiljoin.example.com:7443 or [2001:db8::1]:7443",
        )
    return Address(host.lower(), int(port))


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6 and "%" not in host
    except ValueError:
        return False


def check_name(name: str, what: str) -> str:
    """Return ``name`` if it can name a party. Raises ``UsageError`` that says ``what`` was to be named."""
    if name == REHEARSAL:
        raise UsageError(
            f"{name} is what the logs of rehearsals are called, so no {what} can be.",
            hint="give it another name",
        )
    if PARTY_NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name[:40]!r} cannot be the name of a {what}.",
            hint="use 1 to 32 small letters, digits and hyphens, such as acme-ads",
        )
    return name


# What is not drawn (Unicode, Default_Ignorable_Code_Point) and str.isprintable lets pass: two names would look alike.
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)


def check_person(name: str) -> str:
    """Return the name of the person who acts, as it is recorded. Raises ``UsageError``."""
    trimmed = unicodedata.normalize("NFC", name).strip()
    if not 0 < len(trimmed) <= 64 or not trimmed.isprintable() or _UNSEEN.search(trimmed):
        raise UsageError(
            "The name of the person who acts cannot be used.", hint="give 1 to 64 characters with --as"
        )
    return trimmed


def same_person(one: str, other: str) -> bool:
    """Tell whether two names mean one person: case, width and spaces make no second pair of eyes."""
    return spelling(one) == spelling(other)


def spelling(name: str) -> str:
    """Return ``name`` as it is compared with others."""
    # Folding may leave what is no longer normal, hence twice.
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(unicodedata.normalize("NFKC", folded).split())
