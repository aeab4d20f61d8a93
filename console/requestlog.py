"""One line for every request: who, which address of the table, what came of it. Never a value of a form or a path."""

from __future__ import annotations

import json
import logging
import time
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOG: Final = logging.getLogger("veiljoin.console")


class RequestLog:
    """ASGI middleware. The address is the route's pattern, such as ``/jobs/{job}``, so that no id is written."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request and note it once its answer has begun."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                _note(scope, message["status"], time.monotonic() - began)
            await send(message)

        await self._app(scope, receive, noted)


def _note(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", None)
    if route == "/healthz" or scope["path"].startswith("/static/"):
        return
    visitor = scope.get("state", {}).get("visitor")
    line: dict[str, Any] = {
        "event": "request",
        "person": None if visitor is None else visitor.person.name,
        "by": None if visitor is None else "token" if visitor.token is not None else "session",
        "method": scope["method"],
        "route": route,
        "status": status,
        "ms": round(seconds * 1000),
    }
    LOG.info(json.dumps(line, ensure_ascii=False))
