"""Canonical JSON: the same bytes as the reference for RFC 8785 on our domain, and nothing outside it."""

from __future__ import annotations

import enum
import json
import uuid
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from audit.canonical import MAX_DEPTH, MAX_INTEGER, CanonicalError, decode, encode

KEYS = st.text(st.characters(max_codepoint=127), max_size=8)
# Without lone surrogates, which no UTF-8 holds; characters beyond the basic plane are surrogate pairs in RFC 8785.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text(
    st.sampled_from('\x00\x08\t\n\x0b\x0c\r\x1b\x1f "\\/\x7f\x80\xa0é￿\ue000\U00010000\U0001f600\U0010ffff'),
    max_size=8,
)
SCALARS = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=6)


@given(VALUES)
def test_encoding_is_that_of_the_reference(value: Any) -> None:
    assert encode(value) == rfc8785.dumps(value)


@given(OBJECTS)
def test_an_object_comes_back_from_its_bytes(value: dict[str, Any]) -> None:
    data = encode(value)
    assert decode(data) == value
    assert encode(decode(data)) == data


@given(OBJECTS)
def test_only_the_canonical_spelling_is_read(value: dict[str, Any]) -> None:
    data = encode(value)
    for other in (
        json.dumps(value).encode(),
        json.dumps(value, indent=1).encode(),
        data + b"\n",
        b" " + data,
    ):
        if other != data:
            with pytest.raises(CanonicalError):
                decode(other)


@given(st.binary(max_size=40) | st.text('{}[]",:0123456789.eE+- \\untrefalsk', max_size=24).map(str.encode))
def test_what_is_read_is_canonical(data: bytes) -> None:
    try:
        value = decode(data)
    except CanonicalError:
        return
    assert rfc8785.dumps(value) == data
    assert encode(value) == data


class _Word(enum.StrEnum):
    WORD = "word"


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        0.5,
        float("nan"),
        float("inf"),
        MAX_INTEGER + 1,
        -MAX_INTEGER - 1,
        2**64,
        (1, 2),
        {1},
        b"bytes",
        uuid.UUID(int=0),
        _Word.WORD,
        "\ud800",
        "\udfff\ud800",
        {"é": 1},
        {1: 1},
        {"\ud800": 1},
        {_Word.WORD: 1},
        object(),
    ],
    ids=lambda value: "object" if type(value) is object else repr(value),
)
def test_foreign_values_are_refused_at_every_place(value: object) -> None:
    for whole in (value, [value], {"a": value}, {"a": [{"b": value}]}):
        with pytest.raises(CanonicalError):
            encode(whole)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"text"',
        "1",
        "{",
        '{"a":1.5}',
        '{"a":[{"b":1.5}]}',
        '{"a":1.0}',
        '{"a":1e3}',
        '{"a":1e+30}',
        '{"a":1e300}',
        '{"a":-0}',
        '{"a":-0.0}',
        '{"é":"é","a":0.5}',
        '{"a":"é","b":0.5}',
        '{"a":9007199254740992}',
        '{"a":-9007199254740992}',
        '{"a":100000000000000000000}',
        '{"a":1,"a":1}',
        '{"a":1,"a":2}',
        '{"b":1,"a":1}',
        '{"é":1}',
        '{"\\u00e9":1}',
        '{"a":"\\u0041"}',
        '{"a":"\\/"}',
        '{"a":"\\u001F"}',
        '{"a":"\\ud800"}',
        '{"a":"\\ud83d\\ude00"}',
        '{"a": 1}',
        '{"a":1}\n',
        '{"a":01}',
        '{"a":NaN}',
        '{"a":Infinity}',
        "{\"a\":'b'}",
        '{"a":1,}',
        "\ufeff{}",
        '{"a":' + "[" * 2_000 + "]" * 2_000 + "}",
        '{"a":' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "}",
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(CanonicalError):
        decode(text.encode())


def test_bytes_that_are_no_utf8_are_refused() -> None:
    with pytest.raises(CanonicalError):
        decode(b'{"a":"\xff"}')
    with pytest.raises(CanonicalError):
        decode(b'{"a":"\xed\xa0\x80"}')


def test_the_bounds_are_inside() -> None:
    value: Any = []
    for _ in range(MAX_DEPTH - 2):
        value = [value]
    for item in (value, MAX_INTEGER, -MAX_INTEGER, "\U0010ffff"):
        assert decode(encode({"a": item})) == {"a": item}
    with pytest.raises(CanonicalError, match="nested"):
        encode({"a": [value]})


def test_an_error_quotes_nothing_of_the_value() -> None:
    for attempt in (b'{"a":"13800138000"', b'{"b":"13800138000","a":1}', b'{"a":13800138000.5}'):
        with pytest.raises(CanonicalError) as caught:
            decode(attempt)
        assert "138" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
