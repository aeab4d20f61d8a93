"""Pages of the audit: the log, its verification here and now, and what is handed to an auditor."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from audit.events import EVENTS
from audit.report import MOST_JOBS, Report, fingerprint_of
from audit.sentences import LANGUAGES, NOTES, SECTIONS, UNPROVEN, VERDICTS
from console.access import Right, Visitor, allowed
from console.auditexports import bundle_answer, pack_answer, pack_file, stop_work
from console.auditing import (
    bundle_file,
    commands,
    fingerprint,
    line_of,
    log_entry,
    log_page,
    log_state,
    verifier,
    wanted,
)
from console.render import done, page
from party.logview import LogPage
from psi.errors import UsageError, VeiljoinError


@asynccontextmanager
async def _until_stopped(app: FastAPI) -> AsyncIterator[None]:
    """Leave no process behind when the console stops. (One that is killed takes them with it, by their pipes.)"""
    try:
        yield
    finally:
        await run_in_threadpool(stop_work, app.state.place)


router = APIRouter(lifespan=_until_stopped)
Audits = Annotated[Visitor, Depends(allowed(Right.AUDIT))]
JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
Log = Annotated[int | None, Query(ge=1, le=10_000)]
Text = Annotated[str, Query(max_length=160)]
_SHOWN: Final = 50
_WRONG: Final = 422


@router.get("/audit")
def show(
    request: Request,
    visitor: Audits,
    job: Text = "",
    type: Text = "",
    actor: Text = "",
    since: Text = "",
    until: Text = "",
    before: Annotated[int | None, Query(ge=0, lt=2**53)] = None,
    log: Log = None,
) -> Response:
    """Show the log, the newest entries first."""
    asked = {"job": job, "type": type, "actor": actor, "since": since, "until": until}
    state = log_state(visitor.place, log)
    found, error = LogPage((), None), None
    try:
        what = wanted(
            visitor.place, job=job, type=type, actor=actor, since=_day(since, "From"), until=_day(until, "To")
        )
        found = log_page(visitor.place, state.facts.epoch, what, before=before, limit=_SHOWN)
    except UsageError as wrong:
        if wrong.code.name not in ("bad_setting", "unknown_job", "bad_format"):
            raise
        error = wrong
    given = {name: text for name, text in asked.items() if text} | ({} if log is None else {"log": log})
    older = None if found.following is None else f"/audit?{urlencode(given | {'before': found.following})}"
    return page(
        request,
        visitor,
        "audit/log.html",
        200 if error is None else _WRONG,
        state=state,
        fingerprint=fingerprint_of(state.facts.identity.hex()),
        lines=[(entry, line_of(entry, visitor.words.language)) for entry in found.entries],
        looked_to=found.looked_to,
        older=older,
        asked=asked,
        log=log,
        types=sorted(EVENTS),
        error=error,
        by=lambda name: f"/audit?{urlencode({'actor': name})}",
    )


@router.get("/audit/entries/{sequence}")
def entry(
    request: Request,
    visitor: Audits,
    sequence: Annotated[int, Path(ge=0, lt=2**53)],
    log: Log = None,
) -> Response:
    """Show one entry, in the bytes that are in the tree."""
    state = log_state(visitor.place, log)
    found, leaf = log_entry(visitor.place, state.facts.epoch, sequence)
    return page(
        request,
        visitor,
        "audit/entry.html",
        state=state,
        entry=found,
        line=line_of(found, visitor.words.language),
        text=found.data.decode("utf-8", "replace"),
        leaf=leaf.hex(),
        log=log,
    )


@router.get("/audit/verify")
def verification(request: Request, visitor: Audits) -> Response:
    """Show the last verification, and how both logs are verified together."""
    latest = verifier(visitor.place).latest
    report = None if latest is None else latest.report
    return page(
        request,
        visitor,
        "audit/verify.html",
        latest=latest,
        told=None if report is None else _told(report, visitor.words.language),
        commands=commands(visitor.place),
    )


@router.post("/audit/verify")
def verify_now(visitor: Audits) -> Response:
    """Begin to verify the own log."""
    try:
        verifier(visitor.place).begin(visitor.place, str(visitor.actor))
    except UsageError as error:
        if error.code.name != "wrong_state":
            raise
        return done("/audit/verify", visitor.say("The log is being verified already."), good=False)
    return done("/audit/verify", visitor.say("The log is being verified."))


@router.get("/audit/bundle")
def offer_bundle(request: Request, visitor: Audits, log: Log = None) -> Response:
    """Say what the bundle holds, before it is made."""
    state = log_state(visitor.place, log)
    return page(
        request,
        visitor,
        "audit/bundle.html",
        state=state,
        log=log,
        file=bundle_file(visitor.place, log),
        checked=bundle_file(visitor.place, log),
        fingerprint=fingerprint(visitor.place),
    )


@router.post("/audit/bundle")
def bundle(visitor: Audits, log: Log = None) -> Response:
    """Hand out the whole log."""
    return bundle_answer(visitor, details=_opened(visitor), epoch=log)


@router.get("/jobs/{job}/evidence")
def offer_pack(request: Request, visitor: Audits, job: JobId) -> Response:
    """Say what the evidence pack of a job holds, before it is made."""
    return _offered_pack(request, visitor, job, None)


@router.post("/jobs/{job}/evidence")
def pack(request: Request, visitor: Audits, job: JobId) -> Response:
    """Hand out the evidence pack of a job."""
    visitor.place.jobs.get(job)
    try:
        return pack_answer(visitor, job, details=_opened(visitor))
    except VeiljoinError as error:
        if error.code.name != "unknown_job":
            raise
        return _offered_pack(request, visitor, job, error)


def _offered_pack(request: Request, visitor: Visitor, job: str, error: VeiljoinError | None) -> Response:
    return page(
        request,
        visitor,
        "audit/evidence.html",
        200 if error is None else _WRONG,
        job=visitor.place.jobs.get(job),
        file=pack_file(job),
        checked=pack_file(job).removesuffix(".zip"),
        fingerprint=fingerprint(visitor.place),
        error=error,
    )


def _opened(visitor: Visitor) -> bool:
    return visitor.field("details") == "yes"


def _day(text: str, name: str) -> datetime.date | None:
    """Return the day that was typed. Raises ``UsageError`` for what is none."""
    if not text:
        return None
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"The day in {name} is not one of the calendar.", hint="write it as 2026-11-22"
        ) from None


def _told(report: Report, language: str) -> dict[str, Any]:
    """Return a report in the words of ``language``, for the page."""
    column = LANGUAGES.index(language)
    first = report.first
    verdict = (
        VERDICTS["passed"][column]
        if first is None
        else VERDICTS["failed"][column].format(first=first.text(language))
    )
    sections = []
    for section in report.sections:
        checks = [
            {
                "state": check.state.value,
                "text": check.text(language),
                "problems": [problem.text(language) for problem in check.problems],
                "more": check.more,
                "notes": [note.text(language) for note in check.notes],
            }
            for check in section.checks
        ]
        sections.append({"id": section.id, "title": SECTIONS[section.id][column], "checks": checks})
    return {
        "passed": report.passed,
        "verdict": verdict,
        "scope": [note.text(language) for note in report.scope],
        "sections": sections,
        "traffic": report.traffic[:MOST_JOBS],
        "more_traffic": max(0, len(report.traffic) - MOST_JOBS),
        "side": {side: NOTES[f"side_{side}"][column] for side in ("bank", "platform")},
        "unproven_title": SECTIONS["unproven"][column],
        "unproven": [UNPROVEN[code][column] for code in report.unproven],
    }
