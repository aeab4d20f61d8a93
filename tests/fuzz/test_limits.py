"""A message as long as gRPC lets through, all of it one list: refused before anything is built of the list."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message as Protobuf

from party.transport import MAX_MESSAGE
from psi.errors import PeerViolation
from veiljoin import codec, control_codec
from veiljoin.v1 import control_pb2, session_pb2

# Python objects only: protobuf's own arena is bounded by the message's length.
MOST_TRACED = 2_000_000
DECODERS: dict[Any, Any] = {
    session_pb2.Envelope: codec.decode,
    control_pb2.ControlEnvelope: control_codec.decode,
}
Path = tuple[str, ...]
_DELIMITED = (FieldDescriptor.TYPE_MESSAGE, FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)


def lists(kind: Descriptor | None, path: Path = ()) -> Iterator[Path]:
    """Yield the way to every list in messages of ``kind``; lists in lists too."""
    for field in () if kind is None else kind.fields:
        here = (*path, field.name)
        if field.is_repeated:
            yield here
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            yield from lists(field.message_type, here)


def filled(kind: type[Protobuf], path: Path) -> Protobuf:
    """Return a message in which the list at ``path`` is as long as a message can be."""
    message = kind()
    at: Any = message
    for name in path[:-1]:
        inner = getattr(at, name)
        at = inner.add() if at.DESCRIPTOR.fields_by_name[name].is_repeated else inner
        at.SetInParent()
    field = at.DESCRIPTOR.fields_by_name[path[-1]]
    count = MAX_MESSAGE // 2 - 64
    if field.type in _DELIMITED:
        at.MergeFromString((bytes([field.number << 3 | 2]) + b"\x00") * count)
    else:
        getattr(at, path[-1]).extend([1] * count)
    return message


CASES = [(kind, path) for kind in DECODERS for path in lists(kind.DESCRIPTOR)]


@pytest.mark.parametrize(("kind", "path"), CASES, ids=[".".join(path) for _, path in CASES])
def test_a_message_that_is_one_long_list(kind: type[Protobuf], path: Path) -> None:
    message = filled(kind, path)
    assert message.ByteSize() > MAX_MESSAGE // 4
    tracemalloc.start()
    try:
        with pytest.raises(PeerViolation):
            DECODERS[kind](message)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_TRACED
