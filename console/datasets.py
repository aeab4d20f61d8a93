"""The own datasets, with their health; what can be done with them is in ``console.datachecks``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from console.access import Visitor
from console.datafiles import inside
from console.place import Place
from party.catalogue import Catalogue, Registered
from party.datasethealth import Checked, known
from party.identifiers import REASON_TEXT
from party.jobstates import JobState
from party.tables import jobs
from psi.errors import UsageError

_MOST_JOBS = 10


class FileState(StrEnum):
    """How the file of a dataset stands against its registration."""

    SAME = "same"
    CHANGED = "changed"  # its rows may be others; jobs read them as they are then
    COLUMNS = "columns"  # jobs are refused
    GONE = "gone"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """One own dataset. ``told`` is the number of persons as partners see it, ``file`` its path in the data folder.

    ``file`` is ``None`` where it lies elsewhere; ``state`` is by the file's size and time alone until it is opened.
    ``modified`` is in seconds since 1970.
    """

    registered: Registered
    told: int
    file: str | None
    state: FileState
    modified: float | None
    checked: Checked | None


@dataclass(frozen=True, slots=True)
class Use:
    """A job over a dataset."""

    job: str
    partner: str
    kind: str
    state: JobState


def own_datasets(place: Place) -> tuple[DatasetFacts, ...]:
    """Return the own datasets by name. Their files are not opened."""
    found = known(place.node.home.store)
    return tuple(_facts(place, each, found.get(each.name)) for each in catalogue(place).all())


def own_dataset(place: Place, name: str) -> DatasetFacts | None:
    """Return the own dataset ``name``, with its file's head looked at; ``None`` if there is none."""
    registered = next((each for each in catalogue(place).all() if each.name == name), None)
    if registered is None:
        return None
    facts = _facts(place, registered, known(place.node.home.store).get(name))
    if facts.state is FileState.GONE:
        return facts
    try:
        registered.open()
    except UsageError as error:
        state = FileState.COLUMNS if error.code.name == "file_changed" else FileState.UNREADABLE
        return DatasetFacts(registered, facts.told, facts.file, state, facts.modified, facts.checked)
    return facts


def uses(place: Place, name: str) -> tuple[Use, ...]:
    """Return the last jobs over the own dataset ``name``, the newest first."""
    query = (
        sa.select(jobs.c.id, jobs.c.partner, jobs.c.kind, jobs.c.state)
        .where(jobs.c.dataset == name)
        .order_by(jobs.c.number.desc())
        .limit(_MOST_JOBS)
    )
    with place.node.home.store.reading() as connection:
        rows = connection.execute(query).all()
    return tuple(Use(row.id, row.partner, row.kind, JobState(row.state)) for row in rows)


def remove(visitor: Visitor, name: str) -> None:
    """Forget the own dataset ``name``. Raises ``UsageError`` (``wrong_state``) while something uses it."""
    catalogue(visitor.place).remove(name, str(visitor.actor))


def catalogue(place: Place) -> Catalogue:
    """Return the catalogue of this node."""
    return Catalogue(place.node.home.store, place.node.clock)


def reason(name: str, language: str) -> str:
    """Return why a row cannot be used, in words."""
    return REASON_TEXT[name][language] if name in REASON_TEXT else name


def _facts(place: Place, registered: Registered, checked: Checked | None) -> DatasetFacts:
    state, modified = _file_state(registered, checked)
    told, file = registered.entry().persons, inside(place, registered.path)
    return DatasetFacts(registered, told, file, state, modified, checked)


def _file_state(registered: Registered, checked: Checked | None) -> tuple[FileState, float | None]:
    try:
        status = registered.path.stat()
    except FileNotFoundError:
        return FileState.GONE, None
    except OSError:
        return FileState.UNREADABLE, None
    resized = checked is not None and status.st_size != checked.health.size
    later = status.st_mtime > registered.added.timestamp()
    return (FileState.CHANGED if resized or later else FileState.SAME), status.st_mtime
