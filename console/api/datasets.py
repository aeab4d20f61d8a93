"""The own datasets in the API: list, health, registration from the data folder, removal."""

from __future__ import annotations

import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from console.access import Right, Visitor, allowed
from console.datachecks import Check, CheckState, Wish, checks, register
from console.datafiles import ColumnLook, data_files, look
from console.datasets import DatasetFacts, FileState, own_dataset, own_datasets, remove, uses
from party.datasethealth import DatasetHealth

router = APIRouter(tags=["datasets"])
Sees = Annotated[Visitor, Depends(allowed(Right.SEE))]
Registers = Annotated[Visitor, Depends(allowed(Right.DATASETS))]
Name = Annotated[str, Path(min_length=1, max_length=64, description="what the dataset is called")]
CheckId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
Limit = Annotated[int, Query(ge=1, le=200)]
After = Annotated[str | None, Query(max_length=64, description="`next` of the page before")]


class Health(BaseModel):
    """What was found when the whole file was read. `rejected` counts rows by reason, `tiers` persons by tier."""

    rows: int
    usable: int
    persons: int
    duplicates: int
    rejected: dict[str, int]
    tiers: dict[str, int]
    at: datetime.datetime | None = Field(description="when it was kept; null before the file is registered")

    @classmethod
    def of(cls, health: DatasetHealth, at: datetime.datetime | None) -> Self:
        """Return it as the API tells it."""
        return cls(
            rows=health.rows,
            usable=health.usable,
            persons=health.persons,
            duplicates=health.duplicates,
            rejected=dict(health.rejected),
            tiers=dict(health.tiers),
            at=at,
        )


class Dataset(BaseModel):
    """One own dataset. `told` is the number of persons as partners see it, `file` its path in the data folder."""

    name: str
    form: str
    identifier: str
    columns: list[str]
    persons: int
    told: int
    basis: str | None
    added: datetime.datetime
    actor: str
    file: str | None
    state: FileState
    health: Health | None

    @classmethod
    def of(cls, facts: DatasetFacts) -> Self:
        """Return it as the API tells it."""
        one, checked = facts.registered, facts.checked
        return cls(
            name=one.name,
            form=one.form,
            identifier=one.identifier,
            columns=list(one.columns),
            persons=one.persons,
            told=facts.told,
            basis=one.basis,
            added=one.added,
            actor=one.actor,
            file=facts.file,
            state=facts.state,
            health=None if checked is None else Health.of(checked.health, checked.at),
        )


class DatasetUse(BaseModel):
    """A job over a dataset."""

    job: str
    partner: str
    kind: str
    state: str


class DatasetPage(Dataset):
    """One dataset with the last jobs over it."""

    jobs: list[DatasetUse]


class Datasets(BaseModel):
    """A page of datasets by name."""

    items: list[Dataset]
    next: str | None


class DataFileFacts(BaseModel):
    """A file of the data folder: its path inside, its size in bytes."""

    name: str
    size: int
    modified: datetime.datetime


class DataFiles(BaseModel):
    """A page of files by name."""

    items: list[DataFileFacts]
    next: str | None


class DataColumn(BaseModel):
    """A column of a file: raw forms that it may be in, hash algorithms that it may be of, shapes of its cells."""

    name: str
    forms: list[str]
    hashed: list[str]
    shapes: list[str]

    @classmethod
    def of(cls, column: ColumnLook) -> Self:
        """Return it as the API tells it."""
        return cls(
            name=column.name,
            forms=list(column.forms),
            hashed=list(column.hashed),
            shapes=list(column.shapes),
        )


class DataLook(BaseModel):
    """What the first rows of a file look like. `rows` is an estimate; `columns` are the first of `names`."""

    format: str
    encoding: str
    delimiter: str | None
    rows: int | None
    names: list[str]
    columns: list[DataColumn]


class CheckWish(BaseModel):
    """A file of the data folder that is to be read whole, and how."""

    model_config = ConfigDict(extra="forbid")

    file: str = Field(min_length=1, max_length=1000)
    column: str = Field(min_length=1, max_length=1000)
    form: str = Field(min_length=1, max_length=64, examples=["phone", "sha256:phone:e164"])
    region: str = Field("CN", pattern="^[A-Z]{2}$")
    tier: str | None = Field(None, max_length=1000)
    delimiter: str | None = Field(None, max_length=4)
    encoding: str | None = Field(None, max_length=32)


class DatasetCheck(BaseModel):
    """How a check stands. `total` is an estimate of the rows; `problem` says why it failed."""

    id: str
    file: str
    column: str
    form: str
    by: str
    started: datetime.datetime
    state: CheckState
    done: int
    total: int | None
    health: Health | None
    problem: str | None

    @classmethod
    def of(cls, check: Check) -> Self:
        """Return it as the API tells it."""
        return cls(
            id=check.id,
            file=check.wish.file,
            column=check.wish.column,
            form=check.form.text,
            by=check.by,
            started=check.started,
            state=check.state,
            done=check.done,
            total=check.total,
            health=None if check.health is None else Health.of(check.health, None),
            problem=None if check.error is None else str(check.error),
        )


class Registration(BaseModel):
    """A check that is ready, and what its file is to be called. `basis` is one word, such as `consent`."""

    model_config = ConfigDict(extra="forbid")

    check: str = Field(pattern="^[0-9a-f]{32}$")
    name: str = Field(min_length=1, max_length=64)
    basis: str | None = Field(None, max_length=40)
    replace: bool = False


@router.get("/datasets", operation_id="list_datasets")
def list_datasets(visitor: Sees, limit: Limit = 50, after: After = None) -> Datasets:
    """List the own datasets by name."""
    found = sorted(own_datasets(visitor.place), key=lambda each: each.registered.name)
    rest = [each for each in found if after is None or each.registered.name > after]
    more = rest[limit - 1].registered.name if len(rest) > limit else None
    return Datasets(items=[Dataset.of(each) for each in rest[:limit]], next=more)


@router.post("/datasets", operation_id="register_dataset", status_code=201)
def register_dataset(visitor: Registers, wish: Registration) -> Dataset:
    """Register the file of a check that is ready, with what it found."""
    added = register(visitor, _check(visitor, wish.check), wish.name, wish.basis, replace=wish.replace)
    return Dataset.of(_dataset(visitor, added.name))


@router.get("/datasets/{name}", operation_id="get_dataset")
def get_dataset(visitor: Sees, name: Name) -> DatasetPage:
    """Show one own dataset; its file's head is compared with what was registered."""
    facts = Dataset.of(_dataset(visitor, name))
    over = [
        DatasetUse(job=use.job, partner=use.partner, kind=use.kind, state=use.state.value)
        for use in uses(visitor.place, name)
    ]
    return DatasetPage(**facts.model_dump(), jobs=over)


@router.delete("/datasets/{name}", operation_id="remove_dataset", status_code=204)
def remove_dataset(visitor: Registers, name: Name) -> Response:
    """Remove a dataset that nothing uses; its file stays where it is."""
    _dataset(visitor, name)
    remove(visitor, name)
    return Response(status_code=204)


@router.get("/dataset-files", operation_id="list_dataset_files")
def list_files(
    visitor: Registers,
    limit: Limit = 50,
    after: Annotated[str | None, Query(max_length=1000, description="`next` of the page before")] = None,
) -> DataFiles:
    """List the files of the data folder by name."""
    rest = [each for each in data_files(visitor.place) if after is None or each.name > after]
    items = [
        DataFileFacts(
            name=each.name,
            size=each.size,
            modified=datetime.datetime.fromtimestamp(each.modified, datetime.UTC),
        )
        for each in rest[:limit]
    ]
    return DataFiles(items=items, next=items[-1].name if len(rest) > limit else None)


@router.get("/dataset-files/look", operation_id="look_at_dataset_file")
def look_at(
    visitor: Registers,
    file: Annotated[str, Query(min_length=1, max_length=1000)],
    region: Annotated[str, Query(pattern="^[A-Z]{2}$")] = "CN",
    delimiter: Annotated[str | None, Query(max_length=4)] = None,
    encoding: Annotated[str | None, Query(max_length=32)] = None,
) -> DataLook:
    """Say what the first rows of a file look like; no cell is shown, only shapes."""
    seen = look(visitor.place, file, region, delimiter, encoding)
    return DataLook(
        format=seen.format,
        encoding=seen.encoding,
        delimiter=seen.delimiter,
        rows=seen.rows,
        names=list(seen.names),
        columns=[DataColumn.of(column) for column in seen.columns],
    )


@router.post("/dataset-checks", operation_id="begin_dataset_check", status_code=202)
def begin_check(visitor: Registers, wish: CheckWish) -> DatasetCheck:
    """Begin to read a whole file, one at a time; ask for the check until it is no longer `running`."""
    begun = checks(visitor.place).begin(visitor.place, Wish(**wish.model_dump()), visitor.person.name)
    return DatasetCheck.of(begun)


@router.get("/dataset-checks/{number}", operation_id="get_dataset_check")
def get_check(visitor: Registers, number: CheckId) -> DatasetCheck:
    """Say how a check stands."""
    return DatasetCheck.of(_check(visitor, number))


@router.delete("/dataset-checks/{number}", operation_id="stop_dataset_check", status_code=204)
def stop_check(visitor: Registers, number: CheckId) -> Response:
    """Stop a check, or drop what it found."""
    check, known = _check(visitor, number), checks(visitor.place)
    known.stop(check)
    known.forget(check)
    return Response(status_code=204)


def _check(visitor: Visitor, number: str) -> Check:
    found = checks(visitor.place).get(number)
    if found is None:
        raise HTTPException(404)
    return found


def _dataset(visitor: Visitor, name: str) -> DatasetFacts:
    facts = own_dataset(visitor.place, name)
    if facts is None:
        raise HTTPException(404)
    return facts
