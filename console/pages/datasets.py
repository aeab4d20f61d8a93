"""Pages of the own datasets: list, health, registration from the data folder, removal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, FastAPI, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup
from starlette.exceptions import HTTPException

from console.access import Right, Visitor, allowed
from console.charts import drawn
from console.datachecks import Check, Wish, checks, register
from console.datafiles import MOST_FILES, data_files, known_forms, look
from console.datasets import DatasetFacts, own_dataset, own_datasets, reason, remove, uses
from console.jobwords import kind_name, short, state_name
from console.render import done, page
from console.words import Words
from party.datasethealth import DatasetHealth
from party.report.charts import Bar
from psi.errors import VeiljoinError


@asynccontextmanager
async def _living(app: FastAPI) -> AsyncIterator[None]:
    yield
    await run_in_threadpool(checks(app.state.place).end)


router = APIRouter(lifespan=_living)
Sees = Annotated[Visitor, Depends(allowed(Right.SEE))]
Registers = Annotated[Visitor, Depends(allowed(Right.DATASETS))]
CheckId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


@router.get("/datasets")
def show_all(request: Request, visitor: Sees) -> Response:
    """List the own datasets."""
    found = own_datasets(visitor.place)
    return page(request, visitor, "datasets/list.html", datasets=found, data=visitor.place.settings.data)


@router.get("/datasets/-/new")
def choose(
    request: Request,
    visitor: Registers,
    file: str = "",
    replace: str = "",
    region: str = "CN",
    delimiter: str = "",
    encoding: str = "",
) -> Response:
    """Show the files of the data folder; of one that was chosen, its columns."""
    if file:
        typed = {"region": region, "delimiter": delimiter, "encoding": encoding, "replace": replace}
        return _columns(request, visitor, file, typed)
    if visitor.place.settings.data is None:
        return page(request, visitor, "datasets/none.html")
    facts = {"files": data_files(visitor.place), "most": MOST_FILES, "replace": replace}
    return page(request, visitor, "datasets/files.html", running=checks(visitor.place).running, **facts)


@router.post("/datasets/-/new")
def begin(request: Request, visitor: Registers) -> Response:
    """Begin to check a file."""
    wish = Wish(
        file=visitor.field("file"),
        column=visitor.field("column"),
        form=visitor.field("form"),
        region=visitor.field("region").upper() or "CN",
        tier=visitor.field("tier") or None,
        delimiter=visitor.field("delimiter") or None,
        encoding=visitor.field("encoding") or None,
    )
    try:
        check = checks(visitor.place).begin(visitor.place, wish, visitor.person.name)
    except VeiljoinError as error:
        names = ("column", "form", "region", "tier", "delimiter", "encoding", "replace")
        typed = {name: visitor.field(name) for name in names}
        return _columns(request, visitor, wish.file, typed, error)
    replaced = visitor.field("replace")
    return RedirectResponse(
        f"/datasets/-/new/{check.id}" + (f"?replace={quote(replaced, safe='')}" if replaced else ""), 303
    )


@router.get("/datasets/-/new/{number}")
def checked(request: Request, visitor: Registers, number: CheckId, replace: str = "") -> Response:
    """Show how a check goes, and what it found."""
    typed = {"name": replace, "replace": bool(replace)}
    return _check(request, visitor, _known(visitor, number), typed)


@router.post("/datasets/-/new/{number}")
def enter(request: Request, visitor: Registers, number: CheckId) -> Response:
    """Register the file that was checked."""
    check = _known(visitor, number)
    name, basis, replace = visitor.field("name"), visitor.field("basis"), visitor.field("replace") == "yes"
    try:
        added = register(visitor, check, name, basis or None, replace=replace)
    except VeiljoinError as error:
        typed = {"name": name, "basis": basis, "replace": replace}
        return _check(request, visitor, check, typed, error)
    return done(_address(added.name), visitor.say("Dataset {name} is registered.", name=added.name))


@router.post("/datasets/-/new/{number}/stop")
def stop(visitor: Registers, number: CheckId) -> Response:
    """Stop a check, or drop what it found."""
    check, known = _known(visitor, number), checks(visitor.place)
    known.stop(check)
    known.forget(check)
    return done("/datasets/-/new", visitor.say("The check of {file} is dropped.", file=check.wish.file))


@router.get("/datasets/{name}")
def show(request: Request, visitor: Sees, name: str) -> Response:
    """Show one dataset with its health."""
    facts = _dataset(visitor, name)
    health = None if facts.checked is None else facts.checked.health
    return page(
        request,
        visitor,
        "datasets/dataset.html",
        facts=facts,
        uses=uses(visitor.place, name),
        state_name=state_name,
        kind_name=kind_name,
        short=short,
        **_drawn(health, visitor.words),
    )


@router.get("/datasets/{name}/remove")
def ask_remove(request: Request, visitor: Registers, name: str) -> Response:
    """Ask once more before a dataset is removed."""
    return page(request, visitor, "datasets/remove.html", facts=_dataset(visitor, name), error=None)


@router.post("/datasets/{name}/remove")
def take_out(request: Request, visitor: Registers, name: str) -> Response:
    """Remove a dataset; its file stays."""
    facts = _dataset(visitor, name)
    try:
        remove(visitor, name)
    except VeiljoinError as error:
        return page(request, visitor, "datasets/remove.html", error.code.http, facts=facts, error=error)
    return done("/datasets", visitor.say("Dataset {name} is removed; its file stays where it is.", name=name))


def _columns(
    request: Request,
    visitor: Visitor,
    file: str,
    typed: Mapping[str, str],
    error: VeiljoinError | None = None,
) -> Response:
    """Show the columns of a file; one that can't be read is said so, with the settings that may help."""
    seen = None
    try:
        seen = look(
            visitor.place,
            file,
            typed["region"] or "CN",
            typed["delimiter"] or None,
            typed["encoding"] or None,
        )
    except VeiljoinError as unreadable:
        error = error or unreadable
    column, form = seen.likeliest if seen is not None else ("", "")
    fields = {"column": column, "form": form, "tier": ""} | dict(typed)
    return page(
        request,
        visitor,
        "datasets/columns.html",
        200 if error is None else error.code.http,
        file=file,
        seen=seen,
        fields=fields,
        forms=known_forms(),
        error=error,
    )


def _check(
    request: Request,
    visitor: Visitor,
    check: Check,
    typed: Mapping[str, Any],
    error: VeiljoinError | None = None,
) -> Response:
    fields = {"name": "", "basis": "", "replace": False} | dict(typed)
    return page(
        request,
        visitor,
        "datasets/check.html",
        200 if error is None else error.code.http,
        check=check,
        fields=fields,
        error=error,
        **_drawn(check.health, visitor.words),
    )


def _drawn(health: DatasetHealth | None, words: Words) -> dict[str, Any]:
    """Return what the pages show of a health: charts, and reasons in words."""
    if health is None:
        return {"health": None, "rejects": (), "rows_chart": None, "rejects_chart": None, "tiers_chart": None}
    rejects = [(name, reason(name, words.language), rows) for name, rows in health.rejected.items()]
    parts = (
        (words.say("persons"), health.persons),
        (words.say("duplicate rows"), health.duplicates),
        (words.say("rejected rows"), health.rows - health.usable),
    )
    return {
        "health": health,
        "rejects": rejects,
        "rows_chart": _bars("rows", words.say("What the rows hold"), parts, words, accent=0),
        "rejects_chart": _bars(
            "rejects",
            words.say("Rejected rows by reason"),
            [(text, rows) for _, text, rows in rejects],
            words,
        ),
        "tiers_chart": _bars("tiers", words.say("Persons by tier"), health.tiers.items(), words),
    }


def _bars(name: str, title: str, counts: Any, words: Words, accent: int | None = None) -> Markup | None:
    bars = [
        Bar(label, words.number(count), float(count), accent=number == accent)
        for number, (label, count) in enumerate(counts)
    ]
    return drawn(bars, name=name, title=title, axis=lambda tick: words.number(round(tick, 1)))


def _known(visitor: Visitor, number: str) -> Check:
    check = checks(visitor.place).get(number)
    if check is None:
        raise HTTPException(404)
    return check


def _dataset(visitor: Visitor, name: str) -> DatasetFacts:
    facts = own_dataset(visitor.place, name)
    if facts is None:
        raise HTTPException(404)
    return facts


def _address(name: str) -> str:
    return f"/datasets/{quote(name, safe='')}"
