"""A console of these tests behind a real socket, for what only a real browser can see."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from console.app import create_app
from console.place import Place
from console.settings import Settings
from party.node import Node
from party.people import People


@contextmanager
def served(settings: Settings, node: Node, people: People) -> Iterator[tuple[str, Place]]:
    """Serve the console of ``node`` on loopback until the block ends; gives its address and its place."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        settings = Settings(settings.home, (base,), settings.data)
        place = Place(settings, node, people)
        app = create_app(settings, place)
        server = uvicorn.Server(
            # Without its lifespan: whoever opened the node closes it.
            uvicorn.Config(app, log_config=None, access_log=False, server_header=False, lifespan="off")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield base, place
        finally:
            server.should_exit = True
            thread.join(30)
