"""Pages of joint jobs: the list, one job with its card, what people do to it, and how it goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse

from console.access import Right, Visitor, allowed
from console.cardtext import card_text
from console.joblive import THERE, Pace, live_of
from console.jobs import Action, find_jobs, view_of
from console.jobsteps import approve, cancel, preflight, refuse, retry
from console.jobwords import (
    KINDS,
    REFUSALS,
    ROLES,
    STATES,
    STEPS,
    WAITS,
    actor_name,
    kind_name,
    reason,
    short,
    state_name,
)
from console.preflightwords import MARKS, said
from console.render import ENVIRONMENT, done, page
from console.streams import Streams, events
from party.progress import PHASES, PHASES_THERE
from psi.errors import VeiljoinError

router = APIRouter()
JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
See = Annotated[Visitor, Depends(allowed(Right.SEE))]
Draft = Annotated[Visitor, Depends(allowed(Right.DRAFT))]
Decide = Annotated[Visitor, Depends(allowed(Right.DECIDE))]
Cancel = Annotated[Visitor, Depends(allowed(Right.CANCEL))]
PAGE: Final = 50
_LONGEST_CURSOR: Final = 15
# Errors that a person mends in the form: a wrong password, a preflight that is against it, a job that has changed.
_MENDED: Final = frozenset({"not_allowed", "form_mismatch", "wrong_state", "bad_setting"})
# Tables and functions of words that every template of jobs reads by.
WORDS: Final[dict[str, Any]] = {
    "state_name": state_name,
    "kind_name": kind_name,
    "reason": reason,
    "short": short,
    "actor_name": actor_name,
    "waits_text": WAITS,
    "step_text": STEPS,
    "role_text": ROLES,
    "mark_text": MARKS,
    "there": THERE,
    "phase_text": PHASES,
    "phase_text_there": PHASES_THERE,
}


@router.get("/jobs")
def listed(
    request: Request, visitor: See, state: str = "", kind: str = "", partner: str = "", after: str = ""
) -> Response:
    """Show the jobs, the newest first."""
    place = visitor.place
    # An address that somebody has changed by hand begins at the newest.
    before = int(after) if after.isascii() and after.isdecimal() and len(after) <= _LONGEST_CURSOR else None
    found = find_jobs(place, state=state, kind=kind, partner=partner, before=before, limit=PAGE)
    chosen = {"state": state, "kind": kind, "partner": partner}
    older = None
    if found.following is not None:
        older = "/jobs?" + urlencode(
            {name: text for name, text in chosen.items() if text} | {"after": found.following}
        )
    return page(
        request,
        visitor,
        "jobs/list.html",
        rows=found.rows,
        chosen=chosen,
        older=older,
        states=STATES,
        kinds=KINDS,
        partners=[each.name for each in place.node.partners.all()],
        **WORDS,
    )


@router.get("/jobs/{job}")
def shown(request: Request, visitor: See, job: JobId) -> Response:
    """Show one job."""
    return _show(request, visitor, job)


@router.get("/jobs/{job}/live")
async def live(request: Request, visitor: See, job: JobId) -> Response:
    """Tell how the job goes on, until it has ended or the session has (text/event-stream)."""
    place, streams = visitor.place, _streams(request)
    if streams.full(visitor.person.id):
        return Response("Too many pages follow jobs.", 429, media_type="text/plain")
    # Once a stream has begun, nothing can be answered but events.
    await run_in_threadpool(place.jobs.get, job)
    pace = Pace()

    def look() -> dict[str, Any]:
        now = live_of(place, place.jobs.get(job), pace)
        facts = {"live": now, "visitor": visitor, "words": visitor.words}
        html = ENVIRONMENT.get_template("jobs/live.html").render(facts | WORDS)
        return {
            "state": now.record.state.value,
            "phase": now.phase,
            "html": html,
            "end": now.over,
        }

    async def told() -> AsyncIterator[str]:
        with streams.one(visitor.person.id) as taken:
            if not taken:
                return
            async for each in events(look, lambda: _may(visitor)):
                yield each

    return StreamingResponse(told(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})


@router.post("/jobs/{job}/approve")
def approving(request: Request, visitor: Decide, job: JobId) -> Response:
    """Approve a draft, or accept a proposal."""
    text = "The job was approved." if visitor.place.is_bank else "The job was accepted."
    without = visitor.field("without_preflight") == "yes"

    def step() -> None:
        approve(visitor, job, visitor.field("digest"), _password(visitor), without_preflight=without)

    return _do(request, visitor, job, step, text)


@router.post("/jobs/{job}/refuse")
def refusing(request: Request, visitor: Decide, job: JobId) -> Response:
    """Refuse a job."""
    return _do(
        request, visitor, job, lambda: refuse(visitor, job, visitor.field("reason")), "The job was refused."
    )


@router.post("/jobs/{job}/cancel")
def cancelling(request: Request, visitor: Cancel, job: JobId) -> Response:
    """Take a job back."""
    return _do(request, visitor, job, lambda: cancel(visitor, job), "The job was cancelled.")


@router.post("/jobs/{job}/preflight")
def trying(request: Request, visitor: Draft, job: JobId) -> Response:
    """Ask for another preflight."""
    text = "The preflight runs again once the partner is on the line."
    return _do(request, visitor, job, lambda: preflight(visitor, job), text)


@router.post("/jobs/{job}/retry")
def repeating(request: Request, visitor: Draft, job: JobId) -> Response:
    """Draft a job again that came to nothing."""
    try:
        drafted = retry(visitor, job)
    except VeiljoinError as error:
        return _show(request, visitor, job, error)
    return done(f"/jobs/{drafted.id}", visitor.say("The job is drafted again; a second person approves it."))


def _do(request: Request, visitor: Visitor, job: str, step: Callable[[], object], text: str) -> Response:
    try:
        step()
    except VeiljoinError as error:
        if error.code.name not in _MENDED:
            raise
        return _show(request, visitor, job, error)
    return done(f"/jobs/{job}", visitor.say(text))


def _show(request: Request, visitor: Visitor, job: str, error: VeiljoinError | None = None) -> Response:
    view = view_of(visitor, job)
    card = None if view.card is None else card_text(view.card, visitor.words.language)
    return page(
        request,
        visitor,
        "jobs/show.html",
        _status(error),
        view=view,
        card=card,
        live=live_of(visitor.place, view.record, Pace()),
        preflight_said=said(view.preflight, view.record, visitor.place.role, visitor.words),
        refusals=REFUSALS,
        actions=view.actions,
        Action=Action,
        error=error,
        **WORDS,
    )


def _status(error: VeiljoinError | None) -> int:
    if error is None:
        return 200
    return 403 if error.code.name == "not_allowed" else 422


def _password(visitor: Visitor) -> str:
    # Not stripped: a blank may be part of it.
    value = visitor.form.get("password", "")
    return value if isinstance(value, str) else ""


def _may(visitor: Visitor) -> bool:
    """Return whether the visitor's session still stands."""
    session = visitor.session
    # Not by `find`, which would note that the session was used: who only watches is idle.
    return session is not None and any(
        each.id == session.id for each in visitor.place.sessions.list(visitor.person)
    )


def _streams(request: Request) -> Streams:
    """Return the application's count of streams, made with the first."""
    found: Streams | None = getattr(request.app.state, "streams", None)
    if found is None:
        found = request.app.state.streams = Streams()
    return found
