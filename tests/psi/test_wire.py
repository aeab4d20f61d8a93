"""The framing between an engine and its workers: what is written is what is read, and nothing wraps."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psi.engines import kernel_of, worker
from psi.engines.wire import (
    MAX_IDENTIFIER,
    HashRequest,
    MaskRequest,
    Request,
    read_exactly,
    read_request,
    write_request,
)
from psi.hash_to_curve import hash_to_group
from psi.suites import RISTRETTO255, X25519_ELL2, Suite

SECRETS = st.binary(min_size=32, max_size=32)
MASKS = st.builds(
    MaskRequest, st.integers(0, 5).flatmap(lambda n: st.binary(min_size=32 * n, max_size=32 * n)), SECRETS
)
HASHES = st.builds(
    HashRequest, st.binary(min_size=1, max_size=255), st.lists(st.binary(max_size=300), max_size=20), SECRETS
)
REQUESTS = st.one_of(MASKS, HASHES)


def written(*requests: Request) -> bytes:
    stream = io.BytesIO()
    for request in requests:
        write_request(stream, request)
    return stream.getvalue()


@given(st.lists(REQUESTS, max_size=6))
def test_requests_come_back_as_they_were(requests: Sequence[Request]) -> None:
    stream = io.BytesIO(written(*requests))
    assert [read_request(stream) for _ in requests] == list(requests)
    with pytest.raises(EOFError):
        read_request(stream)


@given(REQUESTS, st.data())
def test_a_request_cut_anywhere_is_an_end_and_never_a_shorter_request(
    request: Request, data: st.DataObject
) -> None:
    whole = written(request)
    length = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(EOFError):
        read_request(io.BytesIO(whole[:length]))


def test_the_layout_is_as_described() -> None:
    secret = bytes(range(32))
    assert written(MaskRequest(b"\x07" * 64, secret)) == b"M" + secret + b"\x02\0\0\0" + b"\x07" * 64
    assert written(HashRequest(b"tag", [b"ab", b"", b"c"], secret)) == (
        b"H" + secret + b"\x03\0\0\0" + b"\x03tag" + b"\x02\0\0\0\x01\0" + b"\x03\0\0\0" + b"abc"
    )


def test_the_longest_identifier_passes_and_one_byte_more_is_refused() -> None:
    longest = [b"x", bytes(MAX_IDENTIFIER), b"y"]
    request = read_request(io.BytesIO(written(HashRequest(b"tag", longest, bytes(32)))))
    assert isinstance(request, HashRequest)
    assert request.identifiers == longest
    for length in (MAX_IDENTIFIER + 1, MAX_IDENTIFIER + 2, 2 * MAX_IDENTIFIER + 5):
        with pytest.raises(ValueError, match=f"an identifier has {length} bytes; 65535 are the most"):
            HashRequest(b"tag", [b"x", bytes(length)], bytes(32))


def test_a_batch_longer_than_its_total_can_say_is_refused() -> None:
    one = bytes(MAX_IDENTIFIER)
    HashRequest(b"tag", [one] * 65_537, bytes(32))  # 2^32 - 1 bytes; the list holds one object many times
    with pytest.raises(ValueError, match="a batch of 65538 identifiers is longer than 4294967295 bytes"):
        HashRequest(b"tag", [one] * 65_538, bytes(32))


@pytest.mark.parametrize("tag", [b"", bytes(256)])
def test_a_tag_of_another_length_is_refused(tag: bytes) -> None:
    with pytest.raises(ValueError, match=f"1 to 255 bytes, not {len(tag)}"):
        HashRequest(tag, [b"x"], bytes(32))


def test_requests_show_neither_points_nor_identifiers_nor_the_scalar() -> None:
    requests = MaskRequest(b"P" * 32, b"S" * 32), HashRequest(b"tag", [b"13800138000"], b"S" * 32)
    for request in requests:
        shown = f"{request} {request!r}"
        assert "SSSS" not in shown
        assert "PPPP" not in shown
        assert "138" not in shown


def test_read_exactly_never_returns_less() -> None:
    assert read_exactly(io.BytesIO(b"abc"), 3) == b"abc"
    assert read_exactly(io.BytesIO(b""), 0) == b""
    with pytest.raises(EOFError):
        read_exactly(io.BytesIO(b"ab"), 3)


@pytest.mark.parametrize(("suite", "name"), [(X25519_ELL2, "cryptography"), (RISTRETTO255, "sodium")])
def test_a_worker_answers_every_request_and_ends_with_its_input(suite: Suite, name: str) -> None:
    kernel, secret, identifiers = kernel_of(name), b"\x08" + bytes(30) + b"\x01", [b"a", b"b", b"c"]
    points = hash_to_group(suite, b"tag", identifiers)
    requests = written(
        HashRequest(b"tag", identifiers, secret), MaskRequest(b"", secret), MaskRequest(points[:64], secret)
    )
    answers = io.BytesIO()
    worker.serve(suite, kernel, io.BytesIO(requests + b"M cut short"), answers)
    assert answers.getvalue() == kernel(points, secret) + kernel(points[:64], secret)
