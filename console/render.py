"""Pages from templates: one Jinja environment that escapes everything, with the words of who reads."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any, Final

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from console.access import Visitor
from console.words import Words
from party.version import SOFTWARE

FLASH: Final = "__Host-flash"
_FOLDER: Final = Path(__file__).parent / "templates"
# Where a page belongs in the navigation: (address, name, right that shows it).
NAVIGATION: Final = (
    ("/", "Overview", "see"),
    ("/jobs", "Jobs", "see"),
    ("/approvals", "Approvals", "see"),
    ("/schedules", "Schedules", "see"),
    ("/datasets", "Datasets", "see"),
    ("/partners", "Partners", "see"),
    ("/policy", "Policy", "see"),
    ("/audit", "Audit", "audit"),
    ("/people", "People", "people"),
)


@pass_context
def _say(context: Context, message: str, **values: object) -> str:
    words: Words = context["words"]
    return words.say(message, **values)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["_"] = _say
    environment.globals["navigation"] = NAVIGATION
    environment.globals["software"] = SOFTWARE
    return environment


ENVIRONMENT: Final = _environment()


def page(
    request: Request, visitor: Visitor, template: str, http_status: int = 200, /, **facts: Any
) -> Response:
    """Return the page ``template`` for ``visitor``: it has ``words``, ``visitor``, ``here`` and ``facts``."""
    return plain_page(request, visitor.words, template, http_status, **facts)


def plain_page(
    request: Request, words: Words, template: str, http_status: int = 200, /, **facts: Any
) -> Response:
    """Return a page that may have no visitor, such as the login or an error."""
    place = request.app.state.place
    shared = {
        "words": words,
        "visitor": getattr(request.state, "visitor", None),
        "here": request.url.path,
        "side": place.role,
        "party": place.node.file.name,
        "flash": _flash(request),
    }
    answer = HTMLResponse(ENVIRONMENT.get_template(template).render(shared | facts), http_status)
    if FLASH in request.cookies:
        answer.delete_cookie(FLASH, secure=True, httponly=True, samesite="lax")
    return answer


def done(address: str, text: str, *, good: bool = True) -> Response:
    """Return the answer to a form that was carried out: the next page says ``text`` once."""
    answer = RedirectResponse(address, 303)
    packed = base64.urlsafe_b64encode(json.dumps({"text": text[:500], "good": good}).encode()).decode()
    answer.set_cookie(FLASH, packed, max_age=60, secure=True, httponly=True, samesite="lax")
    return answer


def _flash(request: Request) -> dict[str, Any] | None:
    packed = request.cookies.get(FLASH)
    if packed is None:
        return None
    try:
        said = json.loads(base64.urlsafe_b64decode(packed))
    except (ValueError, binascii.Error):
        return None
    if not isinstance(said, dict) or not isinstance(said.get("text"), str):
        return None
    return {"text": said["text"], "good": said.get("good") is True}
