"""Made-up identifiers for a preflight: persons who don't exist, and how each side's own data might write them.

Both sides derive the same persons from a public seed. Where a type has numbers that nobody can have, they are those
(docs/preflight.md). A dataset that is registered as hashed writes the hash in its own form.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from party.identifiers import Form, Normaliser
from party.identifiers.device import luhn_remainder
from party.identifiers.documents import PROVINCES, USCC_ALPHABET, id_check, uscc_check
from party.jobspec import SIDES

# Persons whom both sides have, and those of each side alone.
COMMON: Final = 32
ALONE: Final = 32
PERSONS: Final = COMMON + ALONE
_LABEL: Final = b"veiljoin/v1/preflight/canary\x00"

# Prefixes of Chinese mobiles that no operator has.
_NO_OPERATOR: Final = ("154", "161", "164", "179")
# Reserved by RFC 2606 and, the last, for tests of international names by IANA: here as ASCII and as people read it.
_DOMAINS: Final = ("example.com", "example.net", "example.org", "xn--fsqu00a.xn--0zwm56d")
_READ: Final = {"xn--fsqu00a.xn--0zwm56d": "例子.测试"}
# Below every province; no district has it.
_DISTRICT: Final = "9999"
_URL_LETTERS: Final = string.ascii_letters + string.digits
_FULL_WIDTH: Final = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


class _Draw:
    """Numbers that everybody draws alike for one person."""

    def __init__(self, seed: bytes, group: str, index: int) -> None:
        head = _LABEL + seed + f"{group}/{index}".encode()
        self._left = int.from_bytes(hashlib.shake_256(head).digest(64), "big")

    def below(self, limit: int) -> int:
        """Return a number below ``limit``; the draws of a person come from 512 bits."""
        self._left, number = divmod(self._left, limit)
        return number

    def text(self, alphabet: str, length: int) -> str:
        """Return ``length`` characters of ``alphabet``."""
        return "".join(alphabet[self.below(len(alphabet))] for _ in range(length))


def persons(form: Form, seed: bytes, side: str) -> list[str]:
    """Return the plain spelling of the 64 persons of ``side`` (bank | platform): the 32 of both, then its own 32."""
    if side not in SIDES:
        raise ValueError(f"no side is called {side!r}")
    make = _MAKERS[form.type]
    groups = (("both", COMMON), (side, ALONE))
    return [make(_Draw(seed, group, at), at, form) for group, count in groups for at in range(count)]


def cells(form: Form, declared: Form, seed: bytes, side: str, region: str) -> list[str]:
    """Return the cells that the data of ``side`` might have for its persons.

    ``form`` is the job's, ``declared`` the one that the side's dataset is registered in, of the same type. A person
    who can't be written in it is left in plain.
    """
    plain = persons(form, seed, side)
    turn = SIDES.index(side)
    if declared.algorithm is None:
        # Where one is another, as without a letter upper and lower case are, it counts once.
        ways = [list(dict.fromkeys(_NOTATIONS[form.type](each, form, region))) for each in plain]
    else:
        hashed = Normaliser(declared, region=region)(pa.array(plain, pa.large_string())).canonical.to_pylist()
        ways = [
            list(_digests(digest.decode())) if digest else [each]
            for each, digest in zip(plain, hashed, strict=True)
        ]
    # The other side is a step ahead or behind, so that both write a person differently.
    return [ways_of[(at + turn) % len(ways_of)] for at, ways_of in enumerate(ways)]


def _digests(digest: str) -> Iterator[str]:
    yield digest
    yield digest.upper()
    yield f"  {digest} "
    yield f'"{digest}"'


# -- persons


def _phone(draw: _Draw, at: int, _form: Form) -> str:
    # Numbers that other countries set aside, such as British ones for drama, count as unassigned and are refused.
    return f"+86{_NO_OPERATOR[at % 4]}{draw.below(10**8):08d}"


def _email(draw: _Draw, at: int, _form: Form) -> str:
    return f"vj.{draw.text('0123456789abcdef', 16)}+canary@{_DOMAINS[at % len(_DOMAINS)]}"


def _uuid(draw: _Draw, at: int, form: Form) -> str:
    text = f"{draw.below(1 << 128):032x}"
    # Version and variant of a random one (RFC 9562, section 5.4).
    text = f"{text[:12]}4{text[13:16]}{'89ab'[at % 4]}{text[17:]}"
    parts = (text[:8], text[8:12], text[12:16], text[16:20], text[20:])
    return "-".join(parts)


def _oaid(draw: _Draw, at: int, form: Form) -> str:
    # Longer ones without hyphens would pass for digests.
    return _uuid(draw, at, form) if at % 2 else f"{draw.below(1 << 64) | 1 << 60:016x}"


def _imei(draw: _Draw, _at: int, _form: Form) -> str:
    body = f"00{draw.below(10**12):012d}"
    digits = np.array([[*map(int, body), 0]])
    return f"{body}{-int(luhn_remainder(digits)[0]) % 10}"


def _national_id(draw: _Draw, _at: int, _form: Form) -> str:
    province = PROVINCES[draw.below(len(PROVINCES))]
    born = f"190{draw.below(10)}{1 + draw.below(12):02d}{1 + draw.below(28):02d}"
    body = f"{province}{_DISTRICT}{born}{draw.below(1_000):03d}"
    return body + chr(id_check(np.array([[*map(int, body)]]))[0])


def _uscc(draw: _Draw, _at: int, _form: Form) -> str:
    alphabet = USCC_ALPHABET.decode()
    province = PROVINCES[draw.below(len(PROVINCES))]
    body = f"Y1{province}{_DISTRICT}{draw.text(alphabet, 9)}"
    return body + chr(uscc_check(np.array([[alphabet.index(each) for each in body]]))[0])


def _openid(draw: _Draw, _at: int, _form: Form) -> str:
    return f"o{draw.text(_URL_LETTERS + '-_', 26)}{draw.text(_URL_LETTERS, 1)}"


def _opaque(draw: _Draw, _at: int, _form: Form) -> str:
    return f"Veiljoin-Canary-{draw.text(_URL_LETTERS, 24)}"


_MAKERS: Final[dict[str, Callable[[_Draw, int, Form], str]]] = {
    "phone": _phone,
    "email": _email,
    "oaid": _oaid,
    "idfa": _uuid,
    "gaid": _uuid,
    "imei": _imei,
    "national_id": _national_id,
    "uscc": _uscc,
    "openid": _openid,
    "unionid": _openid,
    "opaque": _opaque,
}


# -- notations: what people, spreadsheets and other programs make of the plain spelling


def _wide(text: str) -> str:
    return text.translate(_FULL_WIDTH)


def _grouped(text: str, mark: str, sizes: Sequence[int]) -> str:
    parts, at = [], 0
    for size in sizes:
        parts.append(text[at : at + size])
        at += size
    return mark.join([*parts, text[at:]])


def _write_phone(plain: str, _: Form, region: str) -> Iterator[str]:
    country, national = plain[:3], plain[3:]
    yield plain
    yield f"00{plain[1:]}"
    yield f"{country} {_grouped(national, ' ', (3, 4))}"
    yield f"({country}) {_grouped(national, '-', (3, 4))}"
    yield _wide(f"{country}-{national}")
    yield f" {country}.{_grouped(national, '.', (3, 4))}\t"
    if region == "CN":
        yield national
        yield _grouped(national, "-", (3, 4))
        yield f"86{national}"
        yield f"0{national}"
        yield _wide(national)
        yield f'="{national}"'
        yield f"{national}.0"


def _write_email(plain: str, _: Form, __: str) -> Iterator[str]:
    local, _at, domain = plain.partition("@")
    yield plain
    yield plain.upper()
    yield f"  {local.title()}@{_READ.get(domain, domain)}\u200b"
    yield _wide(plain)
    yield f"'{plain}"


def _write_uuid(plain: str, form: Form, _: str) -> Iterator[str]:
    yield plain
    yield plain.upper()
    yield f"{{{plain.upper()}}}"
    yield f" {_wide(plain)} "
    if form.algorithm != "md5":  # without hyphens it looks like one
        yield plain.replace("-", "")
        yield plain.replace("-", "").upper()


def _write_oaid(plain: str, form: Form, _: str) -> Iterator[str]:
    yield plain
    yield f'"{plain.upper()}"'
    yield f" {_wide(plain)} "
    if form.algorithm is None:  # else it is hashed with the hyphens that the device reported
        yield plain.replace("-", "").upper()


def _write_imei(plain: str, _: Form, __: str) -> Iterator[str]:
    yield plain
    yield _grouped(plain, "-", (2, 6, 6))
    yield _grouped(plain, " ", (6, 2, 6))
    yield _grouped(plain, "/", (8, 6))
    yield f"'{plain}"
    yield _wide(plain)


def _write_national_id(plain: str, _: Form, __: str) -> Iterator[str]:
    yield plain
    yield plain.lower()
    yield f"'{_grouped(plain, ' ', (6, 8))}"
    yield _grouped(plain, "-", (6, 8))
    yield _wide(plain)
    yield plain[:6] + plain[8:17]  # as it was written until 1999


def _write_uscc(plain: str, _: Form, __: str) -> Iterator[str]:
    yield plain
    yield plain.lower()
    yield f" {_grouped(plain, ' ', (8, 9))}"
    yield _grouped(plain, "-", (8, 9))
    yield _wide(plain)


def _write_opaque(plain: str, _: Form, __: str) -> Iterator[str]:
    yield plain
    yield f"  {plain}\t"
    yield f"\u3000{plain}\u00a0"
    yield f"\ufeff{plain}"


_NOTATIONS: Final[dict[str, Callable[[str, Form, str], Iterator[str]]]] = {
    "phone": _write_phone,
    "email": _write_email,
    "oaid": _write_oaid,
    "idfa": _write_uuid,
    "gaid": _write_uuid,
    "imei": _write_imei,
    "national_id": _write_national_id,
    "uscc": _write_uscc,
    "openid": _write_opaque,
    "unionid": _write_opaque,
    "opaque": _write_opaque,
}
