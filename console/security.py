"""What every answer carries and no request gets past: headers, hosts, sizes."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY: Final = 1024 * 1024
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
    "cache-control": "no-store",
}


class Guarded:
    """ASGI middleware: refuses other hosts' names and bodies over a megabyte, and sets the headers of every answer.

    A name that is not ours would let a page of another site pass for this one (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        self._app = app
        self._hosts = {urlsplit(origin).netloc for origin in origins}
        self._strict = all(origin.startswith("https://") for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                if scope["path"].startswith("/static/"):
                    # The same for everybody: kept, and asked for again only to hear that it did not change.
                    answer["cache-control"] = "no-cache"
                for name, value in HEADERS.items():
                    answer.setdefault(name, value)
                if self._strict:
                    answer.setdefault("strict-transport-security", "max-age=31536000")
            await send(message)

        if headers.get("host") not in self._hosts:
            await PlainTextResponse("This console has another name.", 421)(scope, receive, guarded)
            return
        if "transfer-encoding" in headers:
            # Its length would be known at its end; browsers and programs know it before.
            await PlainTextResponse("Say how long it is.", 411)(scope, receive, guarded)
            return
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY:
            await PlainTextResponse("This is longer than anything that is sent here.", 413)(
                scope, receive, guarded
            )
            return
        await self._app(scope, receive, guarded)
