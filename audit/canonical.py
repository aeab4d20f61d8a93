"""Canonical JSON (RFC 8785) for what the log hashes: integers, no floats, ASCII keys (SPEC 2.1).

On this domain orjson with sorted keys writes the bytes of RFC 8785, many times faster than pure Python does. The
domain is what makes them equal: RFC 8785 sorts keys by UTF-16 code units and writes numbers as ECMAScript does.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

# SPEC 2.1: a bound that every reader can keep; entries need three.
MAX_DEPTH: Final = 32
MAX_INTEGER: Final = 2**53 - 1

_OPTIONS: Final = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER


class CanonicalError(ValueError):
    """A value that has no canonical form here, or bytes that are not the canonical form of what they say."""


def encode(value: object) -> bytes:
    """Return the canonical JSON (RFC 8785) of ``value``.

    ``value`` is made of ``dict`` with ASCII keys, ``list``, ``str``, ``int`` (at most 53 bits), ``bool`` and
    ``None``, nested at most 32 deep. Raises ``CanonicalError`` for anything else, tuples and subclasses included.
    """
    _check(value, 0)
    return _dump(value)


def decode(data: bytes) -> dict[str, Any]:
    """Return the object that ``data`` is the canonical JSON of.

    Raises ``CanonicalError`` unless ``encode`` would give the same bytes: other spacing, order or escapes, a key
    twice, a float and a top level that is no object are all refused.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        # Without the cause: it carries the whole text.
        raise CanonicalError("this is not JSON") from None
    if type(value) is not dict:
        raise CanonicalError("the top level of this JSON is not an object")
    # A key given twice comes back once, so this finds it too.
    if _dump(value) != data:
        raise CanonicalError("this JSON is not in its canonical form")
    if data.isascii():
        _check_read(value, 0)
    else:
        _check(value, 0)
    return value


def _dump(value: object) -> bytes:
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except orjson.JSONEncodeError:
        # Half of a surrogate pair, an integer above 53 bits, too deep: without the cause, which may quote it.
        raise CanonicalError(
            "a value has no canonical form: bad text, a large integer or deep nesting"
        ) from None


def _check(value: object, depth: int) -> None:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return
    if kind is int:
        if not -MAX_INTEGER <= value <= MAX_INTEGER:  # type: ignore[operator]  # an int, by its type above
            raise CanonicalError("an integer has more than 53 bits")
        return
    if depth == MAX_DEPTH:
        raise CanonicalError(f"values are nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict) and kind is dict:
        for key, item in value.items():
            if type(key) is not str or not key.isascii():
                raise CanonicalError("a key is not ASCII text")
            _check(item, depth + 1)
    elif isinstance(value, list) and kind is list:
        for item in value:
            _check(item, depth + 1)
    else:
        raise CanonicalError(f"a value of type {kind.__name__} has no canonical form")


def _check_read(value: dict[str, Any] | list[Any], depth: int) -> None:
    # What was read and written back as the same ASCII can be wrong in two ways only: a float, and nesting. A million
    # entries go through here; most values are texts.
    if depth == MAX_DEPTH:
        raise CanonicalError(f"values are nested more than {MAX_DEPTH} deep")
    for item in value.values() if isinstance(value, dict) else value:
        kind = type(item)
        if kind is str or kind is int:
            continue
        if kind is dict or kind is list:
            _check_read(item, depth + 1)
        elif kind is float:
            raise CanonicalError("a number is not an integer")
