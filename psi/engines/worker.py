"""The X25519 loop of engine ``cryptography``, and the worker process around it.

``python -m psi.engines.worker`` reads requests from its standard input and writes answers to its standard
output until the input ends, which it does when the parent closes it or is gone, however the parent ended.
Request: 4-byte little-endian count n, 32-byte scalar, n x 32 bytes; answer: n x 32 bytes, all-zero for an
element of low order.
"""

from __future__ import annotations

import signal
import sys
from typing import BinaryIO, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

_SIZE: Final = 32
_COUNT_BYTES: Final = 4
_ZERO: Final = bytes(_SIZE)


def multiply(points: bytes, secret: bytes) -> bytes:
    """Return X25519 (RFC 7748, section 5) of ``secret`` and each 32-byte element; zeros for low order."""
    exchange = X25519PrivateKey.from_private_bytes(secret).exchange
    load = X25519PublicKey.from_public_bytes
    masks = []
    for start in range(0, len(points), _SIZE):
        element = load(points[start : start + _SIZE])
        try:
            masks.append(exchange(element))
        except ValueError:
            # The one error exchange() has: the result is all zero (RFC 7748, section 6.1).
            masks.append(_ZERO)
    return b"".join(masks)


def send_request(stream: BinaryIO, points: bytes, secret: bytes) -> None:
    """Write one request. Raises ``OSError`` when the worker is gone."""
    stream.write((len(points) // _SIZE).to_bytes(_COUNT_BYTES, "little"))
    stream.write(secret)
    stream.write(points)
    stream.flush()


def read_exactly(stream: BinaryIO, size: int) -> bytes:
    """Read ``size`` bytes. Raises ``EOFError`` when the stream ends before."""
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until they end; a parent that is gone ends them too."""
    while True:
        try:
            count = int.from_bytes(read_exactly(requests, _COUNT_BYTES), "little")
            secret = read_exactly(requests, _SIZE)
            points = read_exactly(requests, count * _SIZE)
            answers.write(multiply(points, secret))
            answers.flush()
        except (EOFError, BrokenPipeError):
            return


if __name__ == "__main__":
    # Ctrl-C in a terminal reaches the whole process group; the parent decides, and closes our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(sys.stdin.buffer, sys.stdout.buffer)
