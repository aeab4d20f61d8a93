"""What goes over the pipes to and from worker processes: one operation byte and a few byte strings.

A frame is one byte (operation), one byte (number of fields), and per field a 4-byte little-endian length and
that many bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO, Final

_LENGTH: Final = 4
MAX_FIELD: Final = 2 ** (8 * _LENGTH) - 1
MAX_FIELDS: Final = 255

ENCRYPT: Final = b"E"
DECRYPT: Final = b"D"
POWERS: Final = b"P"
PRODUCTS: Final = b"S"
CHECK: Final = b"C"
ANSWER: Final = b"A"
FAILED: Final = b"F"


def write(stream: BinaryIO, operation: bytes, fields: Sequence[bytes]) -> None:
    """Write one frame. Raises ``OSError`` when the other end is gone, ``ValueError`` for what a frame cannot hold."""
    if len(fields) > MAX_FIELDS or max(map(len, fields), default=0) > MAX_FIELD:
        raise ValueError(f"a frame holds {MAX_FIELDS} fields of {MAX_FIELD} bytes at most")
    stream.write(operation + bytes([len(fields)]))
    for field in fields:
        stream.write(len(field).to_bytes(_LENGTH, "little"))
        stream.write(field)
    stream.flush()


def read(stream: BinaryIO) -> tuple[bytes, list[bytes]]:
    """Read one frame. Raises ``EOFError`` when the stream ends."""
    operation = _exactly(stream, 1)
    count = _exactly(stream, 1)[0]
    return operation, [
        _exactly(stream, int.from_bytes(_exactly(stream, _LENGTH), "little")) for _ in range(count)
    ]


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data
