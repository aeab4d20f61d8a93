"""Pages of results: figures with their charts and tables, and the files to download."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from console.access import Right, Visitor, allowed
from console.charts import inline
from console.downloads import FileName, JobId, file_answer
from console.jobwords import kind_name
from console.render import page
from console.resultparts import LABELS, Sorting, view
from console.results import SENTENCES, figures, files, missing, note_read
from party.jobfile import parse_job
from party.report import REPORT

router = APIRouter()
Reads = Annotated[Visitor, Depends(allowed(Right.RESULTS))]
_DOWN: Final = "down"


@router.get("/jobs/{job}/result")
def show(
    request: Request,
    visitor: Reads,
    job: JobId,
    shown: Annotated[int, Query(alias="page", ge=1, le=1_000_000)] = 1,
    sort: Annotated[str, Query(max_length=200)] = "",
    order: Annotated[str, Query(max_length=10)] = "",
) -> Response:
    """Show the result of a job, or why there is none."""
    record = visitor.place.jobs.get(job)
    why = missing(visitor.place, record)
    if why is not None:
        sentence, hint = SENTENCES[why]
        return page(request, visitor, "results/none.html", job=record, sentence=sentence, hint=hint)
    result = figures(visitor.place, record)
    note_read(visitor.place, str(visitor.actor), job, "result", each=False)
    sorting = Sorting(sort or None, order == _DOWN)
    seen = view(result, parse_job(record.table, record.id), visitor.words, sorting, shown)

    def turned(number: int) -> str:
        return _address(seen.sorting, number)

    def sorted_by(key: str) -> str:
        """Return where a click on a column leads: figures with the largest first, then the other way round."""
        again = seen.sorting.key == key
        down = not seen.sorting.down if again else not key.startswith(LABELS)
        return _address(Sorting(key, down), 1)

    return page(
        request,
        visitor,
        "results/show.html",
        job=record,
        kind=kind_name(record.kind, visitor.words),
        seen=seen,
        files=files(visitor.place, record),
        drawing=inline,
        kinds=_kinds,
        turned=turned,
        sorted_by=sorted_by,
    )


@router.get("/jobs/{job}/files/{name}")
def download(visitor: Reads, job: JobId, name: FileName) -> Response:
    """Hand out a file of a result."""
    return file_answer(visitor, job, name)


@router.get("/jobs/{job}/report")
def report(visitor: Reads, job: JobId) -> Response:
    """Hand out the report, one page that stands for itself. Not shown here: its style is its own."""
    return file_answer(visitor, job, REPORT)


def _address(sorting: Sorting, number: int) -> str:
    asked: dict[str, str | int] = {}
    if sorting.key is not None:
        asked = {"sort": sorting.key, "order": _DOWN if sorting.down else "up"}
    if number > 1:
        asked["page"] = number
    return f"?{urlencode(asked)}#groups"


def _kinds(texts: int, columns: Sequence[str], remarks: bool) -> list[str]:
    """Return the class of each column's cells."""
    kinds = ["text" if place < texts else "number" for place in range(len(columns))]
    return [*kinds[:-1], "remark"] if remarks else kinds
