"""The bundle: what a party hands to an auditor, one file of lines, written and read as a stream.

SPEC 9. The first line is the header; then one line per entry, its leaf hash in hexadecimal, a space and the entry's
bytes; then lines of canonical JSON, each of a kind of :data:`KINDS`; last the end line, with the number of lines and
the SHA-256 over all before it. An evidence pack is a bundle with a job's entries only, and with proofs in place of
the others.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from audit import canonical
from audit.entry import ROLES, is_log
from audit.events import KINDS as FACT_KINDS
from audit.events import is_count, is_hex, is_name
from audit.merkle import leaf_hash

VERSION: Final = 1
# A line of a million-entry log takes some hundred bytes; a contract with its card some ten thousand. A longer line is
# refused before it is read, so that a file without line ends costs no memory.
LONGEST_LINE: Final = 1 << 24
# The end line is of kind ``end``; it is the reader's own business.
_END: Final = "end"
_LEAF: Final = 64


class BundleFault(ValueError):
    """The bundle cannot be read on: ``label`` is the file, ``line`` counts from 1, ``what`` says what is wrong."""

    def __init__(self, label: str, line: int, what: str) -> None:
        super().__init__(f"{label}, line {line}: {what}")
        self.label = label
        self.line = line
        self.what = what


# -- header


@dataclass(frozen=True, slots=True)
class Header:
    """Whose log it is, and its keys: ``identity`` and ``proof`` in hexadecimal, the two others as C2SP verifier keys.

    ``size`` is the number of entries of the log, ``exported`` milliseconds since 1970 UTC; ``pack`` the job of an
    evidence pack, or ``None`` for a whole log.
    """

    log: str
    role: str
    name: str
    identity: str
    log_key: str
    witness_key: str
    proof: str
    size: int
    exported: int
    pack: str | None = None

    def as_data(self) -> dict[str, Any]:
        """Return the header as its line holds it."""
        data: dict[str, Any] = {
            "veiljoin_bundle": VERSION,
            "log": self.log,
            "role": self.role,
            "name": self.name,
            "identity": self.identity,
            "log_key": self.log_key,
            "witness_key": self.witness_key,
            "proof": self.proof,
            "size": self.size,
            "entries_from": 0,
            "exported": self.exported,
        }
        return data if self.pack is None else data | {"pack": self.pack}


def _text(value: Any) -> bool:
    return type(value) is str


def _texts(value: Any) -> bool:
    return type(value) is list and all(type(each) is str for each in value)


def _object(value: Any) -> bool:
    return type(value) is dict


def _role(value: Any) -> bool:
    return type(value) is str and value in ROLES


def _log(value: Any) -> bool:
    return any(is_log(value, role) for role in ROLES)


def _hashes(value: Any) -> bool:
    # A tree of 2^63 leaves has proofs of twice as many hashes at the most.
    return type(value) is list and len(value) <= 128 and all(is_hex(each, 64) for each in value)


_key: Final = FACT_KINDS["key"][1]


def _hex(length: int) -> Callable[[Any], bool]:
    return lambda value: is_hex(value, length)


def _or_null(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


_Shape = Mapping[str, Callable[[Any], bool]]
_HEADER: Final[_Shape] = {
    "veiljoin_bundle": lambda value: type(value) is int and value == VERSION,
    "log": _log,
    "role": _role,
    "name": is_name,
    "identity": _hex(64),
    "log_key": _key,
    "witness_key": _key,
    "proof": _hex(128),
    "size": is_count,
    "entries_from": lambda value: type(value) is int and value == 0,
    "exported": is_count,
}
_KEYS_OF_A_LOG: Final[_Shape] = {
    "log": _log,
    "identity": _hex(64),
    "log_key": _key,
    "witness_key": _key,
    "proof": _hex(128),
}
# SPEC 9.2: the kinds of line that may follow the entries.
KINDS: Final[Mapping[str, _Shape]] = {
    "checkpoint": {"size": is_count, "note": _text},
    "partner": {"name": is_name, **_KEYS_OF_A_LOG},
    "witnessed": {"log": _log, "size": is_count, "note": _text},
    "contract": {
        "hash": _hex(64),
        "contract": _text,
        "bank_signature": _or_null(_hex(128)),
        "platform_signature": _or_null(_hex(128)),
        "card": _object,
        "card_en": _texts,
        "card_zh": _texts,
    },
    "evidence": {"log": _log, "reason": FACT_KINDS["word"][1], "note": _text},
    "details": {"sequence": is_count, "salt": _hex(64), "details": _object},
    "policy": {"digest": _hex(64), "policy": _object},
    "inclusion": {"sequence": is_count, "size": is_count, "proof": _hashes},
    "consistency": {"old": is_count, "new": is_count, "proof": _hashes},
}


def _misshapen(data: Mapping[str, Any], shape: _Shape) -> str:
    """Return what is wrong with ``data``, or an empty string. Names keys of ours, never a value."""
    for key, check in shape.items():
        if key not in data:
            return f"{key} is missing"
        if not check(data[key]):
            return f"{key} is not what it must be"
    return "there is a key that this version does not know" if len(data) > len(shape) else ""


# -- writing


def write(
    header: Header, entries: Iterable[tuple[bytes, bytes]], extras: Iterable[Mapping[str, Any]]
) -> Iterator[bytes]:
    """Yield the lines of a bundle, each with its line end.

    ``entries`` are pairs of leaf hash (32 bytes) and entry in sequence; ``extras`` are made by the functions below,
    in the order of :data:`KINDS`. Raises ``ValueError`` for what no reader would take.
    """
    digest, count = hashlib.sha256(), 0
    for line in _lines(header, entries, extras):
        count += 1
        digest.update(line)
        yield line
    yield canonical.encode({"kind": _END, "lines": count + 1, "sha256": digest.hexdigest()}) + b"\n"


def _lines(
    header: Header, entries: Iterable[tuple[bytes, bytes]], extras: Iterable[Mapping[str, Any]]
) -> Iterator[bytes]:
    head = header.as_data()
    if wrong := _misshapen({key: value for key, value in head.items() if key != "pack"}, _HEADER):
        raise ValueError(f"header: {wrong}")
    yield canonical.encode(head) + b"\n"
    for leaf, data in entries:
        if b"\n" in data:
            raise ValueError("an entry holds a line end")
        yield leaf.hex().encode("ascii") + b" " + data + b"\n"
    for extra in extras:
        shape = KINDS.get(extra["kind"])
        if shape is None:
            raise ValueError("a line is of no known kind")
        if wrong := _misshapen(extra, {"kind": _text, **shape}):
            raise ValueError(f"{extra['kind']}: {wrong}")
        yield canonical.encode(dict(extra)) + b"\n"


def checkpoint(size: int, note: bytes) -> dict[str, Any]:
    """Return the line of an own signed checkpoint over ``size`` entries, with the cosignatures it has."""
    return {"kind": "checkpoint", "size": size, "note": note.decode("utf-8")}


def partner(
    name: str, log: str, identity: bytes, log_key: str, witness_key: str, proof: bytes
) -> dict[str, Any]:
    """Return the line of a partner: its log's name and keys, certified by its identity."""
    keys = {"log": log, "identity": identity.hex(), "log_key": log_key, "witness_key": witness_key}
    return {"kind": "partner", "name": name, **keys, "proof": proof.hex()}


def witnessed(log: str, size: int, note: bytes) -> dict[str, Any]:
    """Return the line of a partner's checkpoint that this party cosigned, its own cosignature in it."""
    return {"kind": "witnessed", "log": log, "size": size, "note": note.decode("utf-8")}


def contract(
    canonical_bytes: bytes,
    bank_signature: bytes | None,
    platform_signature: bytes | None,
    card: Mapping[str, Any],
    card_en: Sequence[str],
    card_zh: Sequence[str],
) -> dict[str, Any]:
    """Return the line of a contract.

    ``card`` is the disclosure card as the data whose hash the contract holds, the two others its text in English and
    Chinese, for people.
    """
    return {
        "kind": "contract",
        "hash": hashlib.sha256(canonical_bytes).hexdigest(),
        "contract": base64.b64encode(canonical_bytes).decode("ascii"),
        "bank_signature": None if bank_signature is None else bank_signature.hex(),
        "platform_signature": None if platform_signature is None else platform_signature.hex(),
        "card": dict(card),
        "card_en": list(card_en),
        "card_zh": list(card_zh),
    }


def evidence(log: str, reason: str, note: bytes) -> dict[str, Any]:
    """Return the line of a note that was refused: ``reason`` is the code of the refusal."""
    return {"kind": "evidence", "log": log, "reason": reason, "note": note.decode("utf-8")}


def details(sequence: int, salt: bytes, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the line that opens the commitment of entry ``sequence``."""
    return {"kind": "details", "sequence": sequence, "salt": salt.hex(), "details": dict(told)}


def policy(effective: Mapping[str, Any]) -> dict[str, Any]:
    """Return the line of an effective policy, under the digest that entries name it by."""
    data = dict(effective)
    return {
        "kind": "policy",
        "digest": hashlib.sha256(canonical.encode(data)).hexdigest(),
        "policy": data,
    }


def inclusion(sequence: int, size: int, proof: Sequence[bytes]) -> dict[str, Any]:
    """Return the line that proves entry ``sequence`` of a pack to be in the checkpoint of ``size``."""
    return {"kind": "inclusion", "sequence": sequence, "size": size, "proof": [each.hex() for each in proof]}


def consistency(old: int, new: int, proof: Sequence[bytes]) -> dict[str, Any]:
    """Return the line that proves the checkpoint of ``old`` to be a prefix of that of ``new``, in a pack."""
    return {"kind": "consistency", "old": old, "new": new, "proof": [each.hex() for each in proof]}


def hashed(entries: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Pair entries with their leaf hashes, for :func:`write`."""
    return ((leaf_hash(data), data) for data in entries)


# -- reading


class EntryLine(NamedTuple):
    """An entry as its line gives it: line number from 1, leaf hash in hexadecimal, bytes. Nothing is checked."""

    line: int
    leaf: bytes
    data: bytes


class Extra(NamedTuple):
    """A line behind the entries: its number, kind and fields, in the shape of :data:`KINDS`."""

    line: int
    kind: str
    fields: dict[str, Any]


class _Readable(Protocol):
    def readline(self, limit: int, /) -> bytes: ...


def lines_of(stream: _Readable) -> Iterator[bytes]:
    """Yield the lines of an open binary file, none longer than the reader takes in memory."""
    return iter(partial(stream.readline, LONGEST_LINE + 1), b"")


class Bundle:
    """A bundle being read, once and in order: the header at once, then :meth:`entries`, then :meth:`extras`.

    ``label`` names it in reports (the file's name). What cannot be read raises :class:`BundleFault`; whether what was
    read is true is the verifier's business.
    """

    def __init__(self, label: str, lines: Iterable[bytes]) -> None:
        self.label = label
        self._lines = iter(lines)
        self._line = 0
        self._digest = hashlib.sha256()
        self._first_extra: bytes | None = None
        self._entries_over = False
        self.header = self._header()

    @property
    def line(self) -> int:
        """The number of lines that were read."""
        return self._line

    def entries(self) -> Iterator[EntryLine]:
        """Yield the entry lines. Raises :class:`BundleFault` for a line that is neither one nor the next part."""
        if self._entries_over:
            return
        update, length = self._digest.update, _LEAF
        number = self._line
        for line in self._lines:
            if line[:1] == b"{":
                self._first_extra = line
                break
            number += 1
            self._line = number
            # A line of ``readline`` is cut where it is too long, and then has no end.
            if line[length : length + 2] != b" {" or line[-1:] != b"\n":
                raise BundleFault(self.label, number, "this is not the line of an entry")
            update(line)
            yield EntryLine(number, line[:length], line[length + 1 : -1])
        else:
            raise BundleFault(self.label, number + 1, "the file ends before its end line")
        self._entries_over = True

    def extras(self) -> Iterator[Extra]:
        """Yield the lines behind the entries, and check the end line. Reads over entries that are still there."""
        for _ in self.entries():
            pass
        line, self._first_extra = self._first_extra, None
        if line is None:
            return
        while True:
            self._line += 1
            fields = self._json(line)
            kind = fields.pop("kind", None)
            if kind == _END:
                self._end(fields)
                return
            shape = KINDS.get(kind) if type(kind) is str else None
            if shape is None:
                raise BundleFault(self.label, self._line, "this line is of no kind that this version knows")
            if wrong := _misshapen(fields, shape):
                raise BundleFault(self.label, self._line, f"in a line of kind {kind}, {wrong}")
            self._digest.update(line)
            yield Extra(self._line, str(kind), fields)
            line = next(self._lines, b"")
            if not line:
                raise BundleFault(self.label, self._line + 1, "the file ends before its end line")

    def _header(self) -> Header:
        line = next(self._lines, b"")
        if not line:
            raise BundleFault(self.label, 1, "the file is empty")
        self._line = 1
        fields = self._json(line)
        if "veiljoin_bundle" not in fields:
            raise BundleFault(self.label, 1, "this is not the header of a log bundle")
        if fields["veiljoin_bundle"] != VERSION:
            raise BundleFault(self.label, 1, f"the bundle is not of version {VERSION}")
        shape = _HEADER if "pack" not in fields else {**_HEADER, "pack": _hex(32)}
        if wrong := _misshapen(fields, shape):
            raise BundleFault(self.label, 1, f"in the header, {wrong}")
        if not is_log(fields["log"], fields["role"]):
            raise BundleFault(self.label, 1, "in the header, role is not that of log")
        self._digest.update(line)
        names = (name for name in Header.__dataclass_fields__ if name != "pack")
        return Header(**{name: fields[name] for name in names}, pack=fields.get("pack"))

    def _json(self, line: bytes) -> dict[str, Any]:
        if line[-1:] != b"\n":
            raise BundleFault(self.label, self._line, "the line is cut short or too long")
        try:
            return canonical.decode(line[:-1])
        except ValueError:
            raise BundleFault(self.label, self._line, "the line is not canonical JSON") from None

    def _end(self, fields: Mapping[str, Any]) -> None:
        if wrong := _misshapen(fields, {"lines": is_count, "sha256": _hex(64)}):
            raise BundleFault(self.label, self._line, f"in the end line, {wrong}")
        if fields["lines"] != self._line:
            raise BundleFault(self.label, self._line, "the end line counts another number of lines")
        if fields["sha256"] != self._digest.hexdigest():
            raise BundleFault(self.label, self._line, "the end line's digest is not that of the file")
        if next(self._lines, b""):
            raise BundleFault(self.label, self._line + 1, "there is something behind the end line")
