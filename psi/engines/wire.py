"""What goes over the pipe to a worker process: requests to mask, or to hash and mask.

All integers little-endian. A request is one operation byte, the 32-byte scalar, a 4-byte count n, and then for
``mask`` n x 32 bytes of points; for ``hash and mask`` one byte of tag length, the tag, n 2-byte lengths, a 4-byte
total and that many bytes of identifiers, back to back. An answer is n x 32 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import BinaryIO, Final

import numpy as np

_SIZE: Final = 32
# What two bytes of length can say. The longest canonical identifier has 1,024 bytes, so whoever meets this has
# handed in something that is none.
MAX_IDENTIFIER: Final = 0xFFFF
_MAX_TAG: Final = 0xFF  # RFC 9380, section 5.3.3
_MAX_TOTAL: Final = 0xFFFF_FFFF
_MASK: Final = b"M"
_HASH: Final = b"H"


@dataclass(frozen=True, slots=True)
class MaskRequest:
    """n x 32 bytes of points, to be multiplied by the scalar."""

    points: bytes = field(repr=False)
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class HashRequest:
    """Identifiers to be hashed to the group under ``tag`` and multiplied by the scalar.

    Raises ``ValueError`` for what the lengths on the pipe cannot say: they would wrap, and the worker would hash
    something else.
    """

    tag: bytes
    identifiers: Sequence[bytes] = field(repr=False)
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.tag) <= _MAX_TAG:
            raise ValueError(f"a domain separation tag is 1 to {_MAX_TAG} bytes, not {len(self.tag)}")
        longest = max(map(len, self.identifiers), default=0)
        if longest > MAX_IDENTIFIER:
            raise ValueError(
                f"an identifier has {longest} bytes; {MAX_IDENTIFIER} are the most that is hashed"
            )
        if len(self.identifiers) * longest > _MAX_TOTAL and sum(map(len, self.identifiers)) > _MAX_TOTAL:
            raise ValueError(
                f"a batch of {len(self.identifiers)} identifiers is longer than {_MAX_TOTAL} bytes"
            )


Request = MaskRequest | HashRequest


def write_request(stream: BinaryIO, request: Request) -> None:
    """Write one request. Raises ``OSError`` when the worker is gone."""
    match request:
        case MaskRequest(points, secret):
            stream.write(_MASK + secret + _u32(len(points) // _SIZE))
            stream.write(points)
        case HashRequest(tag, identifiers, secret):
            blob = b"".join(identifiers)
            lengths = np.fromiter(map(len, identifiers), dtype="<u2", count=len(identifiers))
            stream.write(_HASH + secret + _u32(len(identifiers)) + bytes([len(tag)]) + tag)
            stream.write(lengths.tobytes() + _u32(len(blob)))
            stream.write(blob)
    stream.flush()


def read_request(stream: BinaryIO) -> Request:
    """Read one request. Raises ``EOFError`` when the stream ends."""
    operation = read_exactly(stream, 1)
    secret = read_exactly(stream, _SIZE)
    count = _read_u32(stream)
    if operation == _MASK:
        return MaskRequest(read_exactly(stream, count * _SIZE), secret)
    tag = read_exactly(stream, read_exactly(stream, 1)[0])
    lengths = np.frombuffer(read_exactly(stream, 2 * count), dtype="<u2").tolist()
    blob = read_exactly(stream, _read_u32(stream))
    bounds = pairwise(accumulate(lengths, initial=0))
    return HashRequest(tag, [blob[start:stop] for start, stop in bounds], secret)


def read_exactly(stream: BinaryIO, size: int) -> bytes:
    """Read ``size`` bytes. Raises ``EOFError`` when the stream ends before."""
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _read_u32(stream: BinaryIO) -> int:
    return int.from_bytes(read_exactly(stream, 4), "little")
