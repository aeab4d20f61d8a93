"""Errors as people and programs meet them: one sentence and one hint, as a page or as problem+json (RFC 9457).

What an error says is made without data (``psi.errors``). Of a fault in this program only a number is shown, under
which the console's log has its kind and place.
"""

from __future__ import annotations

import logging
import secrets
import threading
import traceback
from types import TracebackType
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from console.access import NotLoggedInError, PasswordDueError, Visitor, language_of, login_address
from console.place import place
from console.render import plain_page
from console.repeats import RepeatedRequest
from console.security import HEADERS, PROBLEM_TYPE
from console.words import Words
from psi.errors import VeiljoinError

LOG: Final = logging.getLogger("veiljoin.console")
_STATUS: Final = {
    404: ("There is nothing here.", "go back to the overview, or check the address"),
    405: ("That is not done this way here.", "open the page again and use its buttons"),
}
# What went wrong in a few words, for pages: the sentence below it is the error's own.
TITLES: Final = {
    400: "Not readable",
    401: "Please log in",
    403: "Not allowed",
    404: "Not found",
    405: "Not possible here",
    409: "That has changed meanwhile",
    411: "Of no told length",
    413: "Too long",
    421: "Another console",
    422: "That does not fit",
    429: "Too often",
    500: "A fault in this program",
    502: "The partner did something unexpected",
    503: "Not available just now",
    504: "The partner is away",
    507: "The disk is full",
}


# Names that are not known here are as many as whoever asks sends.
_MOST_NAMES: Final = 8


class Problem(BaseModel):
    """An error of the API (RFC 9457): ``detail`` is one sentence, ``hint`` says what to do, ``code`` is stable."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str


def wants_json(request: Request) -> bool:
    """Return whether it is a program that asks."""
    return request.url.path.startswith("/api/")


def respond(request: Request, status: int, code: str, detail: str, hint: str) -> Response:
    """Return an error for whoever asks."""
    title = TITLES.get(status, TITLES[422 if status < 500 else 500])
    if wants_json(request):
        problem = Problem(type=PROBLEM_TYPE, title=title, status=status, code=code, detail=detail, hint=hint)
        headers = {"www-authenticate": "Bearer"} if status == 401 else None
        return JSONResponse(
            problem.model_dump(), status, headers=headers, media_type="application/problem+json"
        )
    visitor: Visitor | None = getattr(request.state, "visitor", None)
    words = Words(language_of(request, place(request))) if visitor is None else visitor.words
    told = {"code": code, "detail": words.error(detail), "hint": words.error(hint)}
    return plain_page(request, words, "error.html", status, title=title, status=status, **told)


def install(app: FastAPI) -> None:
    """Add the handlers of all errors to ``app``."""

    @app.exception_handler(VeiljoinError)
    def known(request: Request, error: VeiljoinError) -> Response:
        status = 403 if error.code.name == "not_allowed" else error.code.http
        message = error.message
        if getattr(request.state, "visitor", None) is None and error.code.name != "not_allowed":
            # The store failed before anybody was known: where it lies is for who runs this, not for strangers.
            LOG.error("nobody can be let in: %s", message)
            message = message.replace(f" {place(request).node.home.store.name}", "")
        # 499 is what servers note of callers who hung up; nobody is answered with it.
        return respond(request, 409 if status == 499 else status, error.code.name, message, error.hint)

    @app.exception_handler(NotLoggedInError)
    def stranger(request: Request, error: NotLoggedInError) -> Response:
        if wants_json(request):
            return respond(
                request,
                401,
                "not_allowed",
                "Nobody is logged in.",
                "send a token: Authorization: Bearer vjt_…",
            )
        return RedirectResponse(login_address(request), 303)

    @app.exception_handler(PasswordDueError)
    def due(request: Request, error: PasswordDueError) -> Response:
        if wants_json(request):
            sentence = "The one-time password has not been changed yet."
            return respond(request, 403, "not_allowed", sentence, "log in with a browser and choose another")
        return RedirectResponse("/account/password", 303)

    @app.exception_handler(RepeatedRequest)
    def repeated(request: Request, error: RepeatedRequest) -> Response:
        return error.answer

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        names = sorted({str(each["loc"][-1])[:64] for each in error.errors()})
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        sentence = f"The request has values that cannot be used: {', '.join(names[:_MOST_NAMES])}{more}."
        return respond(request, 422, "bad_setting", sentence, "see the description of this address")

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> Response:
        detail, hint = _STATUS.get(error.status_code, ("The request cannot be read.", "send it again"))
        answer = respond(request, error.status_code, "bad_setting", detail, hint)
        for name, value in (error.headers or {}).items():
            answer.headers[name] = value
        return answer

    @app.exception_handler(Exception)
    def fault(request: Request, error: Exception) -> Response:
        answer = faulted(request, error)
        # This answer goes out past every middleware of ours.
        answer.headers.update(HEADERS)
        return answer


def thread_fault(fault: threading.ExceptHookArgs) -> None:
    """Note a fault in a thread, as ``threading.excepthook``; the last line of a traceback could quote a cell."""
    _note("in a thread", fault.exc_type, fault.exc_traceback)


def _note(number: str, kind: type[BaseException], trace: TracebackType | None) -> None:
    frames = traceback.extract_tb(trace)
    where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-4:]))
    LOG.error("fault %s: %s in %s", number, kind.__name__, where)


def faulted(request: Request, error: Exception) -> Response:
    """Note a fault of this program by kind and place, without any value, and show its number."""
    number = secrets.token_hex(4)
    _note(number, type(error), error.__traceback__)
    detail = f"Something went wrong in this program; its log calls it fault {number}."
    return respond(request, 500, "internal", detail, "try again; if it stays, tell who runs this console")


# What every address of the API may answer with, for its description.
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    status: {
        "description": TITLES[status],
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status in (400, 401, 403, 404, 405, 409, 411, 413, 421, 422, 429, 500, 502, 503, 504, 507)
}
