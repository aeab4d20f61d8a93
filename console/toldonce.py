"""Answers of the API that hold a secret: told once, and not kept for a request that is sent again."""

from __future__ import annotations

from typing import Final

from fastapi import Request

from console.repeats import Held

_CREATED: Final = 201


def told_once(request: Request, status: int = _CREATED) -> None:
    """Note, under the request's ``Idempotency-Key`` if it has one, that it was carried out, but not what it told.

    The same request again is then refused (409) and makes nothing a second time. Raises ``UsageError`` where the
    store fails.
    """
    held: Held | None = request.scope["state"].get("held")
    if held is not None:
        held.answers.finish(held.person, held.key, status, None)
        request.state.held = None
