"""A request of a program that is sent again with its ``Idempotency-Key`` is answered as it was the first time.

``console.access`` holds the key before the request is carried out (:func:`held`), the middleware keeps the answer.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from party.idempotency import LARGEST_BODY, Idempotency

HEADER: Final = "Idempotency-Key"


@dataclass(frozen=True, slots=True)
class Held:
    """A key that is held by a request which is being carried out."""

    answers: Idempotency
    person: int
    key: str


class RepeatedRequest(Exception):
    """The request was answered before; ``answer`` is what was said."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self.answer = answer


async def hold(request: Request, answers: Idempotency, person: int) -> None:
    """Hold the key of a POST that has one. Raises ``RepeatedRequest`` with its answer if it was carried out before.

    Raises ``UsageError`` (``wrong_state``) if the key was used for another request, or its first is still under way.
    """
    key = request.headers.get(HEADER)
    if key is None or request.method != "POST" or request.scope["state"].get("held") is not None:
        return
    parts = (
        request.method.encode(),
        request.url.path.encode(),
        request.url.query.encode(),
        await request.body(),
    )
    whole = b"".join(hashlib.sha256(part).digest() for part in parts)
    # Under the key, which the store does not have: a body may hold a password, and this is no hash for passwords.
    digest = hmac.digest(key.encode("latin-1"), whole, "sha256").hex()
    before = await run_in_threadpool(answers.begin, person, key, digest)
    if before is not None:
        kind = "application/json" if before.status < 400 else "application/problem+json"
        raise RepeatedRequest(Response(before.body, before.status, {"idempotent-replayed": "true"}, kind))
    request.state.held = Held(answers, person, key)


class Remembering:
    """ASGI middleware: keeps the answer of a request that holds a key, or lets the key go.

    A refusal and a fault of ours are not kept: nothing was changed, or nobody knows, and then the key stays held.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        status, body = 0, bytearray()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif len(body) <= LARGEST_BODY:
                body.extend(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, noted)
        held: Held | None = scope.get("state", {}).get("held")
        if held is None:
            return
        if status < 400:
            await run_in_threadpool(held.answers.finish, held.person, held.key, status, bytes(body))
        elif status < 500:
            await run_in_threadpool(held.answers.drop, held.person, held.key)
