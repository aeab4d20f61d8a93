"""What every answer carries and no request gets past: headers, hosts, sizes."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY: Final = 1024 * 1024
# Of a login: reading a form takes half a second for a megabyte, and this one is anybody's.
MAX_LOGIN: Final = 16 * 1024
PROBLEM_TYPE: Final = "https://www.rfc-editor.org/rfc/rfc9457"
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
            await _refused(scope, 421, "This console has another name.")(scope, receive, guarded)
            return
        if "transfer-encoding" in headers:
            # Its length would be known at its end; browsers and programs know it before.
            await _refused(scope, 411, "A request says how long it is.")(scope, receive, guarded)
            return
        length = headers.get("content-length", "0")
        longest = MAX_LOGIN if scope["path"] == "/login" else MAX_BODY
        if not length.isdecimal() or int(length) > longest:
            await _refused(scope, 413, "This is longer than anything that is sent here.")(
                scope, receive, guarded
            )
            return
        await self._app(scope, receive, guarded)


def _refused(scope: Scope, status: int, sentence: str) -> Response:
    """Return what is said before anybody looks at a request; it names no one, and has no page around it."""
    if not scope["path"].startswith("/api/"):
        return PlainTextResponse(sentence, status)
    problem = {
        "type": PROBLEM_TYPE,
        "title": sentence,
        "status": status,
        "code": "bad_setting",
        "detail": sentence,
        "hint": f"send a body of at most {MAX_BODY:,} bytes with its Content-Length to the console's own name",
    }
    return JSONResponse(problem, status, media_type="application/problem+json")
