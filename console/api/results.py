"""Results in the API: figures as they are kept, and the files."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict

from console.access import Right, Visitor, allowed
from console.downloads import FileName, JobId, file_answer
from console.results import figures, files, note_read, require

router = APIRouter(tags=["results"])
Reads = Annotated[Visitor, Depends(allowed(Right.RESULTS))]
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/csv": _BINARY,
            "text/html": _BINARY,
            "application/json": {"schema": {"type": "object"}},
            "application/vnd.apache.parquet": _BINARY,
        }
    }
}


class GroupFigures(BaseModel):
    """One group. Which further figures there are follows from the kind; one that is withheld is null."""

    model_config = ConfigDict(extra="allow")

    group: dict[str, str]
    persons: int | None
    matched: int | None


class Withheld(BaseModel):
    """A figure that policy or contract withholds, and why."""

    model_config = ConfigDict(extra="allow")

    figure: str
    reason: str


class Result(BaseModel):
    """result.json as this party keeps it; docs/results.md says what each key holds."""

    model_config = ConfigDict(extra="allow")

    kind: str
    job: str
    contract: str
    totals: dict[str, Any]
    groups: list[GroupFigures]
    suppressed_groups: int
    withheld: list[Withheld]
    parties: dict[str, dict[str, Any]]


class File(BaseModel):
    """A file of a result; `personal` ones hold rows of persons."""

    name: str
    size: int
    personal: bool


class FilePage(BaseModel):
    """All files of a result."""

    items: list[File]
    next: str | None = None


@router.get("/jobs/{job}/result", operation_id="job_result", response_model=Result)
def result(visitor: Reads, job: JobId) -> Response:
    """Return the figures of a job that is done. That they were read is an entry of the log."""
    record = visitor.place.jobs.get(job)
    require(visitor.place, record)
    told = figures(visitor.place, record)
    note_read(visitor.place, str(visitor.actor), job, "result")
    # As it was written: it can have thousands of groups, and nothing is gained by reading it through once more.
    return JSONResponse(told)


@router.get("/jobs/{job}/files", operation_id="job_files")
def file_list(visitor: Reads, job: JobId) -> FilePage:
    """List the files of a result."""
    record = visitor.place.jobs.get(job)
    require(visitor.place, record)
    return FilePage(
        items=[
            File(name=each.name, size=each.size, personal=each.personal)
            for each in files(visitor.place, record)
        ]
    )


@router.get(
    "/jobs/{job}/files/{name}",
    operation_id="job_file",
    response_class=StreamingResponse,
    responses=_FILE,
)
def download(visitor: Reads, job: JobId, name: FileName) -> Response:
    """Hand out a file of a result. Who took it is an entry of the log."""
    return file_answer(visitor, job, name)
