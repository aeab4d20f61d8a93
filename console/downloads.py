"""Files of results as downloads: by name from a list, noted in the log first, never shown in the console itself."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Final

from fastapi import Path
from fastapi.responses import Response, StreamingResponse
from starlette.exceptions import HTTPException

from console.access import Visitor
from console.results import media_type, note_read, open_file, part_of, pieces, require

JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
FILE_NAME: Final = "^[a-z]{1,20}\\.[a-z]{1,10}$"
FileName = Annotated[str, Path(pattern=FILE_NAME)]


def file_answer(visitor: Visitor, job: str, name: str) -> Response:
    """Return a file of a result as a download, once who takes it is in the log.

    Raises ``UsageError`` where there is no result, ``HTTPException`` (404) where it has no such file.
    """
    record = visitor.place.jobs.get(job)
    require(visitor.place, record)
    opened = open_file(visitor.place, record, name)
    if opened is None:
        raise HTTPException(404)
    file, size = opened
    with ExitStack() as undo:
        undo.callback(file.close)
        note_read(visitor.place, str(visitor.actor), job, part_of(name))
        undo.pop_all()
    # The name is one of ours: letters, a point, letters.
    headers = {
        "content-disposition": f'attachment; filename="{job[:8]}-{name}"',
        "content-length": str(size),
        "cache-control": "no-store",
    }
    return StreamingResponse(pieces(file, size), headers=headers, media_type=media_type(name))
