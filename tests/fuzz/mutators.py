"""Mutations that know a format, so that inputs get past its outermost parser: bytes, protobuf, JSON, DER.

A mutator is called with an input, a seeded generator and the longest output; the same three give the same output.
One input in five is mutated as plain bytes, because a parser's own errors are inputs, too.
"""

from __future__ import annotations

import contextlib
import copy
import json
import random
from collections.abc import Callable
from typing import Any, Final

import rfc8785
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Protobuf

Mutator = Callable[[bytes, random.Random, int], bytes]

_PLAIN: Final = 0.2
_NUMBERS: Final = (
    *(0, 1, 2, 3, 4, 7, 8, 9, 16, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 257, 366, 367, 1000, 1001),
    *(4999, 5000, 5001, 65535, 65536, 65537, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**40 + 1),
    *(2**62, 2**63 - 1, 2**63, 2**64 - 1),
)
_TEXTS: Final = (
    *(
        "",
        "x",
        " ",
        "\n",
        "\x00",
        "\x1b[2J",
        "=1+1",
        "@x",
        "-1",
        "0",
        "\x7f",
        "\u202e",
        "\ufeff",
        "é",
        "上海",
    ),
    *("\U0001f600", "x" * 63, "x" * 64, "x" * 65, "x" * 128, "x" * 129, "é" * 64, "é" * 65, "y" * 300),
    *("bank", "platform", "both", "phone", "audience", "lift", "x25519-ell2", "ristretto255", "1/2", "1/0"),
    *("2999-01-01T00:00:00+00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "../x", "NaN"),
)


def plain(data: bytes, rng: random.Random, limit: int) -> bytes:
    """Flip, cut, repeat and insert bytes."""
    buffer = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(buffer) + 1)
        end = min(len(buffer), at + rng.choice((1, 1, 2, 4, 8, 32)))
        match rng.randrange(7):
            case 0 if at < len(buffer):
                buffer[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(buffer):
                buffer[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2:
                del buffer[at:end]
            case 3:
                buffer[at:at] = buffer[at:end] * rng.choice((1, 2, 16))
            case 4:
                buffer[at:at] = rng.randbytes(rng.choice((1, 2, 4, 32)))
            case 5:
                number = rng.choice(_NUMBERS)
                buffer[at:end] = number.to_bytes(8, rng.choice(("big", "little")))[
                    -rng.choice((1, 2, 4, 8)) :
                ]
            case _:
                del buffer[at:]
    return bytes(buffer[:limit])


# -- protobuf


def protobuf(kind: type[Protobuf]) -> Mutator:
    """Return a mutator for encoded messages of ``kind``: it changes fields, not bytes."""

    def mutate(data: bytes, rng: random.Random, limit: int) -> bytes:
        message = kind()
        if rng.random() < _PLAIN:
            return plain(data, rng, limit)
        try:
            message.ParseFromString(data)
        except DecodeError:
            return plain(data, rng, limit)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            _change_message(message, rng)
        changed = message.SerializeToString()
        return changed if len(changed) <= limit else plain(data, rng, limit)

    return mutate


def _change_message(message: Protobuf, rng: random.Random) -> None:
    there: list[Any] = [field for field, _ in message.ListFields()]
    if rng.random() < 0.03:
        # A field of a number that no message has.
        message.MergeFromString(b"\x9a\x06" + bytes([6]) + b"hidden")
        return
    fields = there if there and rng.random() < 0.9 else list(message.DESCRIPTOR.fields)
    if not fields:
        return
    field = rng.choice(fields)
    if field.is_repeated:
        _change_list(message, field, rng)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        if rng.random() < 0.1:
            message.ClearField(field.name)
        else:
            inner = getattr(message, field.name)
            inner.SetInParent()
            _change_message(inner, rng)
    else:
        setattr(message, field.name, _value(field, getattr(message, field.name), rng))


def _change_list(message: Protobuf, field: FieldDescriptor, rng: random.Random) -> None:
    values: Any = getattr(message, field.name)
    items = list(values)
    at = rng.randrange(len(items)) if items else 0
    of_messages = field.type == FieldDescriptor.TYPE_MESSAGE
    match rng.randrange(6):
        case 0 if items:
            del items[at]
        case 1 if items:
            items[at:at] = [items[at]] * rng.choice((1, 1, 2, 8, 40))
        case 2 if len(items) > 1:
            other = rng.randrange(len(items))
            items[at], items[other] = items[other], items[at]
        case 3 if of_messages:
            items.append(values.add())
        case _ if of_messages:
            if items:
                _change_message(items[at], rng)
            return
        case _:
            items[at : at + 1] = [_value(field, items[at] if items else _ZERO[field.type], rng)]
    if of_messages:
        # Clearing the list takes the messages in it along.
        items = [copy.deepcopy(item) for item in items]
    message.ClearField(field.name)
    getattr(message, field.name).extend(items)


_T: Final = FieldDescriptor
_RANGES: Final = {
    _T.TYPE_INT32: (-(2**31), 2**31 - 1),
    _T.TYPE_SINT32: (-(2**31), 2**31 - 1),
    _T.TYPE_ENUM: (-(2**31), 2**31 - 1),
    _T.TYPE_INT64: (-(2**63), 2**63 - 1),
    _T.TYPE_SINT64: (-(2**63), 2**63 - 1),
    _T.TYPE_UINT32: (0, 2**32 - 1),
    _T.TYPE_UINT64: (0, 2**64 - 1),
}
_ZERO: Final[dict[int, Any]] = {
    **dict.fromkeys(_RANGES, 0),
    _T.TYPE_BOOL: False,
    _T.TYPE_STRING: "",
    _T.TYPE_BYTES: b"",
}


def _value(field: FieldDescriptor, value: Any, rng: random.Random) -> Any:
    if field.type == _T.TYPE_BOOL:
        return not value
    if field.type == _T.TYPE_STRING:
        return _text(value, rng).encode("utf-8", "ignore").decode()
    if field.type == _T.TYPE_BYTES:
        return _octets(value, rng)
    low, high = _RANGES[field.type]
    return min(high, max(low, _number(value, rng)))


def _number(value: int, rng: random.Random) -> int:
    small = value + rng.choice((-1, 1, -2, 2, 10, -10))
    return rng.choice((small, small, rng.choice(_NUMBERS), -rng.choice(_NUMBERS), rng.randrange(20)))


def _octets(value: bytes, rng: random.Random) -> bytes:
    match rng.randrange(5):
        case 0:
            return value[:-1]
        case 1:
            return value + b"\x00"
        case 2:
            return rng.randbytes(rng.choice((0, 1, 16, 32, 64, len(value))))
        case _:
            return plain(value, rng, len(value) + 64) if rng.random() < 0.5 else _flipped(value, rng)


def _flipped(value: bytes, rng: random.Random) -> bytes:
    if not value:
        return b"\x01"
    at = rng.randrange(len(value))
    return value[:at] + bytes([value[at] ^ 1 << rng.randrange(8)]) + value[at + 1 :]


def _text(value: str, rng: random.Random) -> str:
    match rng.randrange(4):
        case 0:
            at = rng.randrange(len(value) + 1)
            return value[:at] + rng.choice(_TEXTS) + value[at:]
        case 1:
            return value[: rng.randrange(len(value) + 1)]
        case 2:
            at = rng.randrange(len(value) + 1)
            return value[:at] + chr(rng.choice((rng.randrange(128), rng.randrange(0x3000)))) + value[at + 1 :]
        case _:
            return rng.choice(_TEXTS)


# -- JSON


def json_text(data: bytes, rng: random.Random, limit: int) -> bytes:
    """Change one to four nodes of a JSON text; the result is canonical (RFC 8785) wherever that is possible."""
    if rng.random() < _PLAIN:
        return plain(data, rng, limit)
    try:
        root = [json.loads(data)]
    except (ValueError, RecursionError):
        return plain(data, rng, limit)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _change_node(root, rng)
    changed = json.dumps(root[0]).encode()
    if rng.random() < 0.9:
        # Without a canonical form, such as a lone surrogate or a NaN, it stays as it is.
        with contextlib.suppress(ValueError, rfc8785.CanonicalizationError):
            changed = rfc8785.dumps(root[0])
    return changed if len(changed) <= limit else plain(data, rng, limit)


def _change_node(holder: Any, rng: random.Random) -> None:
    """Walk down to a random node and change it where it hangs."""
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    if not keys:
        if isinstance(holder, dict):
            holder[rng.choice(_TEXTS)] = _node(rng)
        else:
            holder.append(_node(rng))
        return
    key = rng.choice(keys)
    value = holder[key]
    if isinstance(value, dict | list) and rng.random() < 0.85:
        _change_node(value, rng)
        return
    match rng.randrange(8):
        case 0 if isinstance(holder, dict):
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[_text(str(key), rng)] = holder.pop(key)
        case 2 if isinstance(holder, dict):
            holder[rng.choice(keys)] = copy.deepcopy(value)
        case 3:
            holder[key] = _node(rng)
        case _:
            holder[key] = _like(value, rng)


def _like(value: Any, rng: random.Random) -> Any:
    match value:
        case bool():
            return not value
        case str():
            return _text(value, rng)
        case int():
            return rng.choice((_number(value, rng), 2**53 - 1, 10**15, 10**15 + 1))
        case float():
            return rng.choice((value + 0.1, -value, 1e-300, 1e300, 0.5))
        case list() if value:
            return rng.choice((value[:-1], value * 2, value * 40, [value], sorted(map(str, value))))
    return _node(rng)


def _node(rng: random.Random) -> Any:
    numbers = (rng.choice(_NUMBERS), -1, 0.5, -0.0, 1e308, float("inf"), float("nan"), 10**400)
    texts = (rng.choice(_TEXTS), rng.choice(_TEXTS), "\ud800")
    nested: Any = []
    for _ in range(rng.choice((1, 1, 40))):
        nested = [nested]
    return rng.choice(
        (None, True, False, rng.choice(numbers), rng.choice(texts), [], {}, nested, {"": None}, ["x"])
    )


# -- DER

_CONSTRUCTED: Final = 0x20
_Der = list[Any]  # [tag, bytes or list of nodes]


def der(data: bytes, rng: random.Random, limit: int) -> bytes:
    """Change values of a DER structure (X.690); lengths are right again afterwards."""
    if rng.random() < _PLAIN:
        return plain(data, rng, limit)
    nodes = read_der(data)
    if not nodes:
        return plain(data, rng, limit)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _change_der(nodes, rng)
    changed = write_der(nodes)
    return changed if len(changed) <= limit else plain(data, rng, limit)


def read_der(data: bytes) -> list[_Der]:
    """Return the values in ``data`` as [tag, content] lists; an empty list for what is no such sequence."""
    nodes: list[_Der] = []
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            return []
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            width = length & 0x7F
            length = int.from_bytes(data[at : at + width], "big")
            at += width
        content = data[at : at + length]
        if len(content) < length:
            return []
        at += length
        inner = read_der(content) if tag & _CONSTRUCTED else []
        nodes.append([tag, inner or content])
    return nodes


def write_der(nodes: list[_Der]) -> bytes:
    """Return ``nodes`` encoded."""
    parts = []
    for tag, content in nodes:
        body = content if isinstance(content, bytes) else write_der(content)
        size = len(body)
        width = -(-size.bit_length() // 8)
        head = bytes([size]) if size < 0x80 else bytes([0x80 | width]) + size.to_bytes(width, "big")
        parts.append(bytes([tag]) + head + body)
    return b"".join(parts)


def _change_der(nodes: list[_Der], rng: random.Random) -> None:
    at = rng.randrange(len(nodes))
    node = nodes[at]
    if isinstance(node[1], list) and node[1] and rng.random() < 0.9:
        _change_der(node[1], rng)
        return
    match rng.randrange(6):
        case 0 if len(nodes) > 1:
            del nodes[at]
        case 1:
            nodes.insert(at, copy.deepcopy(node))
        case 2:
            node[0] = rng.choice(
                (0x02, 0x03, 0x04, 0x05, 0x06, 0x0C, 0x13, 0x16, 0x17, 0x18, 0x30, 0x31, 0xA0, 0xA3)
            )
        case 3:
            nodes[at] = copy.deepcopy(rng.choice(nodes))
        case _ if isinstance(node[1], bytes):
            node[1] = _octets(node[1], rng)
        case _:
            node[1] = b""
