"""New jobs by a guided form, and another text for a job that the partner has not seen."""

from __future__ import annotations

import re
import uuid
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from console import drafts, guided
from console.access import Right, Visitor, allowed
from console.cardtext import card_text
from console.jobform import (
    LIMITS,
    QUESTIONS,
    TITLES,
    USUAL_LIMITS,
    Answers,
    Step,
    answers_of,
    default_answers,
    policy_fields,
)
from console.jobwords import kind_name, short, state_name
from console.preview import preview
from console.render import done, page
from party.catalogue import Catalogue
from party.identifiers import parse_form
from party.jobrecords import JobRecord
from party.jobspec import DEFAULT_SCALE, JobKind
from party.redrafting import datasets_of
from psi.errors import VeiljoinError
from psi.suites import SUITES

# Before /jobs/{job}.
ORDER: Final = -1
router = APIRouter()
Analyst = Annotated[Visitor, Depends(allowed(Right.DRAFT))]
JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
_ID: Final = re.compile("[0-9a-f]{32}")
_NUMBER: Final = re.compile("-?[0-9]{1,2}")
_UNPROCESSABLE: Final = 422
_VALUE_ROWS: Final = 3
_STAGE_ROWS: Final = 4
_MOST_VALUES: Final = 8
_MOST_STAGES: Final = 16


@router.get("/jobs/new")
def begin(
    request: Request,
    visitor: Analyst,
    source: Annotated[str | None, Query(alias="from", pattern="^[0-9a-f]{32}$")] = None,
) -> Response:
    """Show the first step, filled in from another job where one is named."""
    if not visitor.place.is_bank:
        return page(request, visitor, "drafts/elsewhere.html")
    answers = Answers()
    if source is not None:
        record = visitor.place.jobs.get(source)
        table = drafts.read_text(record.source, f"job {short(record.id)}") if record.source else record.table
        own, theirs = datasets_of(record)
        answers = answers_of(table, own, record.partner, theirs or "")
    return _show(request, visitor, answers, Step.KIND)


@router.post("/jobs/new")
def go_on(request: Request, visitor: Analyst) -> Response:
    """Go to another step, or draft the job."""
    place = visitor.place
    drafts.bank_only(place)
    answers = Answers.of(visitor.form.multi_items())
    at, go = _step(visitor.field("at")), visitor.field("go")
    target = {"next": _step(str(at + 1)), "back": _step(str(at - 1)), "draft": Step.REVIEW}.get(
        go, _step(go) if _NUMBER.fullmatch(go) else at
    )
    fault = guided.first_fault(place, answers, target)
    if fault is not None:
        return _show(request, visitor, answers, *fault)
    if go != "draft":
        return _show(request, visitor, answers, target)
    job = visitor.field("job")
    record = drafts.entered(place, job, visitor.actor)
    if record is None:
        try:
            worked = drafts.work_out(
                place, guided.request_of(place, answers), guided.FORM, job if _ID.fullmatch(job) else None
            )
            drafts.same_as_shown(worked.seen, visitor.field("seen"))
            record = drafts.enter(place, worked, visitor.actor)
        except VeiljoinError as error:
            return _show(request, visitor, answers, Step.REVIEW, error)
    said = visitor.say(
        "The job is a draft. A second person approves it, then it is proposed to {partner}.",
        partner=record.partner,
    )
    return done(f"/jobs/{record.id}", said)


@router.get("/jobs/{job}/edit")
def look(request: Request, visitor: Analyst, job: JobId) -> Response:
    """Show the text of a job that may still be changed."""
    before = drafts.editable(visitor.place, job)
    own, theirs = datasets_of(before)
    facts: dict[str, Any] = {
        "text": before.source,
        "dataset": own,
        "partner_dataset": theirs or "",
        "days": str(drafts.DAYS),
        **_beside(visitor, before),
    }
    return page(request, visitor, "drafts/edit.html", record=before, edit=None, error=None, **facts)


@router.post("/jobs/{job}/edit")
def change(request: Request, visitor: Analyst, job: JobId) -> Response:
    """Show what another text changes, or put it in place."""
    place = visitor.place
    before = drafts.editable(place, job)
    # Browsers send line ends as a network has them (HTML, "construct entry list").
    text = visitor.field("text").replace("\r\n", "\n") + "\n"
    facts: dict[str, Any] = {"text": text} | {
        name: visitor.field(name) for name in ("dataset", "partner_dataset", "days")
    }
    edit: drafts.Edit | None = None
    error: VeiljoinError | None = None
    try:
        table = drafts.read_text(text, f"job {short(job)}")
        wanted = drafts.Request(
            table,
            text,
            before.partner,
            facts["dataset"] or None,
            facts["partner_dataset"] or None,
            drafts.days_of(facts["days"]),
        )
        edit = drafts.work_out_edit(place, before, wanted)
        if visitor.field("go") == "save":
            drafts.same_as_shown(edit.seen, visitor.field("seen"))
            record = drafts.enter_edit(place, edit, visitor.actor)
            said = visitor.say("The job was edited and is a draft again; a second person approves it.")
            return done(f"/jobs/{record.id}", said)
    except VeiljoinError as raised:
        error = raised
    if edit is not None:
        facts["card"] = card_text(edit.worked.card, visitor.words.language)
    return page(
        request,
        visitor,
        "drafts/edit.html",
        200 if error is None else _UNPROCESSABLE,
        record=before,
        edit=edit,
        error=error,
        **_beside(visitor, before),
        **facts,
    )


def _beside(visitor: Visitor, record: JobRecord) -> dict[str, Any]:
    """Return what the page of an edit has beside the text."""
    choices = guided.partner_choices(visitor.place)
    offers = [offer.name for choice in choices if choice.name == record.partner for offer in choice.offers]
    return {
        "short": short,
        "state_name": state_name,
        "kind_name": kind_name,
        "own": [each.name for each in guided.own_datasets(visitor.place)],
        "offers": offers,
    }


def _step(text: str) -> Step:
    """Return the step of that number, the nearest one for another number."""
    number = int(text) if _NUMBER.fullmatch(text) else Step.KIND
    return Step(max(Step.KIND, min(number, Step.REVIEW)))


def _show(
    request: Request, visitor: Visitor, answers: Answers, step: Step, error: VeiljoinError | None = None
) -> Response:
    """Return the page of one step, with what it needs to ask."""
    try:
        facts = _FACTS[step](visitor, answers)
    except VeiljoinError as raised:
        error, step = raised, guided.step_of(raised)
        facts = _FACTS[step](visitor, answers)
    return page(
        request,
        visitor,
        "drafts/form.html",
        200 if error is None else _UNPROCESSABLE,
        step=step,
        steps=TITLES,
        answers=answers,
        usual=default_answers(answers.kind),
        error=error,
        kind=answers.kind,
        kind_name=kind_name,
        **facts,
    )


def _kind(visitor: Visitor, answers: Answers) -> dict[str, Any]:
    return {"questions": QUESTIONS}


def _segment(visitor: Visitor, answers: Answers) -> dict[str, Any]:
    datasets = guided.own_datasets(visitor.place)
    chosen = next((each for each in datasets if each.name == answers.one("dataset")), None)
    if chosen is None and datasets:
        chosen = datasets[0]
    look, unreadable = None, None
    if chosen is not None:
        try:
            look = preview(chosen)
        except VeiljoinError as error:
            unreadable = error
    return {"datasets": datasets, "chosen": chosen, "look": look, "unreadable": unreadable}


def _partner(visitor: Visitor, answers: Answers) -> dict[str, Any]:
    own = Catalogue(visitor.place.node.home.store, visitor.place.node.clock).get(answers.one("dataset"))
    choices = guided.partner_choices(visitor.place, own.form)
    fitting = [offer for choice in choices for offer in choice.offers if offer.fits]
    only = f"{fitting[0].partner}/{fitting[0].name}" if len(fitting) == 1 else ""
    return {"choices": choices, "own": own, "only": only}


def _columns(visitor: Visitor, answers: Answers) -> dict[str, Any]:
    own = Catalogue(visitor.place.node.home.store, visitor.place.node.clock).get(answers.one("dataset"))
    _, offer = guided.offer_of(visitor.place, answers)
    guess = guided.identifier_guess(offer.columns, own.form, own.identifier)
    kind = answers.kind
    values = len(answers.rows("value_column"))
    stages = {side: len(answers.many(f"{side}_stages")) for side in ("bank", "platform")}
    return {
        "own": own,
        "offer": offer,
        "columns": {"bank": own.columns, "platform": offer.columns},
        "identifiers": {"bank": own.identifier, "platform": guess},
        "raw_phone": parse_form(own.form).type == "phone",
        "value_rows": min(_MOST_VALUES, max(_VALUE_ROWS, values + 1)),
        "values": answers.rows("value_column", "value_min", "value_max", "value_scale"),
        "default_scale": DEFAULT_SCALE,
        "stage_rows": {side: min(_MOST_STAGES, max(_STAGE_ROWS, n + 2)) for side, n in stages.items()},
        "suites": [(name, name) for name in SUITES],
        "summed": kind is not None and kind.is_sum,
        "outcomes": kind in (JobKind.MEASURE, JobKind.LIFT, JobKind.FUNNEL),
    }


def _policy(visitor: Visitor, answers: Answers) -> dict[str, Any]:
    choice, _ = guided.offer_of(visitor.place, answers)
    return {
        "names": policy_fields(answers.kind),
        "labels": LIMITS,
        "usual_limits": USUAL_LIMITS,
        "own_limits": visitor.place.node.home.policy.limits,
        "their_limits": choice.limits,
        "partner": choice.name,
    }


def _review(visitor: Visitor, answers: Answers) -> dict[str, Any]:
    place, language = visitor.place, visitor.words.language
    worked = drafts.work_out(place, guided.request_of(place, answers), guided.FORM)
    choice, offer = guided.offer_of(place, answers)
    expected, plan_error = None, None
    try:
        persons = guided.group_persons(place, worked, offer)
        expected = guided.expected_power(worked, answers, persons)
    except VeiljoinError as error:
        plan_error = error
    return {
        "worked": worked,
        # The id of the job to be, so that a page which is sent twice drafts one.
        "job": uuid.uuid4().hex,
        "changes": worked.changes(language),
        "card": card_text(worked.card, language),
        "expected": expected,
        "plan_error": plan_error,
        "partner": choice,
    }


_FACTS: Final = {
    Step.KIND: _kind,
    Step.SEGMENT: _segment,
    Step.PARTNER: _partner,
    Step.COLUMNS: _columns,
    Step.POLICY: _policy,
    Step.REVIEW: _review,
}
