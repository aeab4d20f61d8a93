"""The proxy does to a connection what a trial asks of it, and nothing where it asks nothing."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.proxy import Proxy

HELLO = b"hello, this is a block of bytes"


@contextmanager
def echoing() -> Iterator[tuple[int, int]]:
    """A server that sends back what it gets; gives its port and a free one."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as free:
        ports = server.getsockname()[1], free.getsockname()[1]
        free.close()

        def answer(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                while data := connection.recv(65_536):
                    connection.sendall(data)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield ports
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy() -> Iterator[tuple[Proxy, int]]:
    """A proxy before an echo, and its port."""
    with echoing() as (target, port), Proxy(port, target) as between:
        yield between, port


def dialled(port: int) -> socket.socket:
    """A connection on which a block has gone both ways."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    try:
        assert exchanged(connection, HELLO) == HELLO
    except OSError:
        connection.close()
        raise
    return connection


def exchanged(connection: socket.socket, data: bytes, size: int | None = None) -> bytes:
    """Send ``data`` and return ``size`` bytes of what comes back, or fewer where the connection ends."""
    connection.sendall(data)
    got = b""
    while len(got) < (len(data) if size is None else size) and (part := connection.recv(65_536)):
        got += part
    return got


def test_it_passes_everything_on(proxy: tuple[Proxy, int]) -> None:
    data = bytes(range(256)) * 4_096
    with socket.create_connection(("127.0.0.1", proxy[1]), timeout=5) as connection:
        threading.Thread(target=connection.sendall, args=(data,)).start()
        assert exchanged(connection, b"", len(data)) == data


def test_a_cut_ends_the_newest_or_all(proxy: tuple[Proxy, int]) -> None:
    with dialled(proxy[1]) as first, dialled(proxy[1]) as second:
        assert proxy[0].cut("fin", newest=True) == 1
        assert second.recv(1) == b""
        assert exchanged(first, HELLO) == HELLO
        assert proxy[0].cut("rst") == 1
        with pytest.raises(ConnectionResetError):
            first.recv(1)


def test_a_link_that_hangs_loses_nothing(proxy: tuple[Proxy, int]) -> None:
    with dialled(proxy[1]) as connection:
        proxy[0].hang()
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            exchanged(connection, HELLO)
        connection.settimeout(5)
        proxy[0].heal()
        assert exchanged(connection, b"", len(HELLO)) == HELLO


def test_it_refuses_until_it_heals(proxy: tuple[Proxy, int]) -> None:
    proxy[0].refuse()
    with pytest.raises(ConnectionResetError):
        dialled(proxy[1])
    proxy[0].heal()
    dialled(proxy[1]).close()


def test_a_slow_link_is_slow(proxy: tuple[Proxy, int]) -> None:
    with dialled(proxy[1]) as connection:
        proxy[0].slow(rate=1.0)
        connection.settimeout(0.3)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            exchanged(connection, HELLO)
        assert time.monotonic() - began < 20
        assert proxy[0].passed < 3 * len(HELLO)


@pytest.mark.parametrize(
    ("how", "blocks", "wanted"),
    [
        ("corrupt", [HELLO], HELLO[:15] + bytes([HELLO[15] ^ 1]) + HELLO[16:]),
        ("duplicate", [HELLO], HELLO + HELLO),
        ("reorder", [b"first", b"second"], b"secondfirst"),
        ("drop", [b"first", b"second"], b"second"),
    ],
)
def test_bytes_are_spoilt_once(
    proxy: tuple[Proxy, int], how: str, blocks: list[bytes], wanted: bytes
) -> None:
    with dialled(proxy[1]) as connection:
        proxy[0].spoil(how)
        for block in blocks:
            connection.sendall(block)
            time.sleep(0.1)  # so that each is a block of its own
        assert exchanged(connection, b"", len(wanted)) == wanted
        assert exchanged(connection, HELLO) == HELLO
