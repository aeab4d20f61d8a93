"""Reading a whole file before it is registered: in a thread of its own, one at a time, stopped when somebody asks.

What is found are counts. They stay in memory until the file is registered with them or the console ends, which costs
no more than checking again.
"""

from __future__ import annotations

import datetime
import secrets
import tempfile
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

from console.access import Visitor
from console.datafiles import data_path
from console.datasets import catalogue
from console.place import Place
from party.catalogue import Registered
from party.datasethealth import DatasetHealth
from party.datasets import Dataset, check_unchanged, open_dataset
from party.estimate import rows_estimate
from party.identifiers import Form, Normaliser, parse_form
from party.inspection import inspect
from party.jobspec import SideSpec
from party.progress import Progress
from psi.errors import UsageError, VeiljoinError

# Checks that ended and were not registered, kept for whoever comes back to their page.
_REMEMBERED: Final = 20
# How long the console waits at its end for a check to notice that it was stopped.
_STOP_SECONDS: Final = 10.0


class CheckState(StrEnum):
    """How a check stands."""

    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants checked: ``file`` is a path in the data folder, the rest as ``dataset add`` takes it."""

    file: str
    column: str
    form: str
    region: str = "CN"
    tier: str | None = None
    delimiter: str | None = None
    encoding: str | None = None


@dataclass(slots=True)
class Check:
    """One check. ``total`` is an estimate of its rows, ``None`` where there is none; ``error`` says why it failed."""

    id: str
    wish: Wish
    form: Form
    by: str
    started: datetime.datetime
    dataset: Dataset = field(repr=False)
    total: int | None
    done: int = 0
    state: CheckState = CheckState.RUNNING
    health: DatasetHealth | None = None
    error: VeiljoinError | None = None


class Checks:
    """The checks of one console. Threads share it."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._known: dict[str, Check] = {}
        self._thread: threading.Thread | None = None
        self._progress: Progress | None = None

    def begin(self, place: Place, wish: Wish, by: str) -> Check:
        """Begin a check for the person ``by``.

        Raises ``UsageError`` for a file, column or form that can't be, ``wrong_state`` while another check runs.
        """
        form = parse_form(wish.form)
        spec = _spec(wish)
        dataset = open_dataset(data_path(place, wish.file), delimiter=wish.delimiter, encoding=wish.encoding)
        dataset.require(wish.column, *((wish.tier,) if wish.tier else ()))
        Normaliser(form, region=wish.region)  # knows which regions there are
        check = Check(
            secrets.token_hex(16), wish, form, by, place.node.clock(), dataset, rows_estimate(dataset)
        )
        with self._turn:
            running = self.running
            if running is not None:
                raise UsageError(
                    f"The file {running.wish.file} is being checked, and one check runs at a time.",
                    hint="wait until it is done, or stop it",
                    code="wrong_state",
                )
            ended = list(self._known)[: max(0, len(self._known) + 1 - _REMEMBERED)]
            for old in ended:
                del self._known[old]
            self._known[check.id] = check
            progress = Progress(lambda event: _tell(check, event))
            work = threading.Thread(target=_work, args=(check, spec, progress), daemon=True)
            self._thread, self._progress = work, progress
            work.start()
        return check

    @property
    def running(self) -> Check | None:
        """The check that runs now."""
        return next((each for each in tuple(self._known.values()) if each.state is CheckState.RUNNING), None)

    def get(self, number: str) -> Check | None:
        """Return the check with this id."""
        return self._known.get(number)

    def stop(self, check: Check) -> None:
        """End a check; it notices at its next rows."""
        with self._turn:
            if check is self.running and self._progress is not None:
                self._progress.stop()

    def wait(self, seconds: float) -> None:
        """Wait until no check runs, or for so long."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def end(self) -> None:
        """Stop what runs, as the console ends; its working folder goes with it."""
        running = self.running
        if running is not None:
            self.stop(running)
            self.wait(_STOP_SECONDS)

    def forget(self, check: Check) -> None:
        """Drop a check that ended."""
        with self._turn:
            if check.state is not CheckState.RUNNING:
                self._known.pop(check.id, None)


_ALL: Final[WeakKeyDictionary[Place, Checks]] = WeakKeyDictionary()
_ALL_TURN: Final = threading.Lock()


def checks(place: Place) -> Checks:
    """Return the checks of ``place``'s console."""
    with _ALL_TURN:
        return _ALL.setdefault(place, Checks())


def register(
    visitor: Visitor, check: Check, name: str, basis: str | None, *, replace: bool = False
) -> Registered:
    """Register the file of a check that is ready, with what it found.

    Raises ``UsageError``: ``wrong_state`` for a check that isn't ready, ``all_rejected`` for a file without a usable
    row, ``file_changed`` if it was written to since, and what ``Catalogue.add`` raises.
    """
    health, wish = check.health, check.wish
    if check.state is not CheckState.READY or health is None:
        raise UsageError(
            f"The check of {wish.file} has found nothing yet.",
            hint="wait until it is done, or check the file again",
            code="wrong_state",
        )
    if health.persons == 0:
        raise UsageError(
            f"None of the {health.rows:,} rows of {wish.file} can be used: column {wish.column!r} holds no valid "
            f"{check.form.text}.",
            hint="check it again with the right column and form",
            code="all_rejected",
        )
    # Once more, as a link may have been put in its place.
    path = data_path(visitor.place, wish.file)
    check_unchanged(check.dataset)
    added = catalogue(visitor.place).add(
        name,
        path,
        wish.column,
        check.form,
        health.persons,
        str(visitor.actor),
        delimiter=wish.delimiter,
        encoding=wish.encoding,
        basis=basis,
        replace=replace,
        health=health,
    )
    checks(visitor.place).forget(check)
    return added


def _spec(wish: Wish) -> SideSpec:
    return SideSpec(
        identifier=wish.column,
        tier=wish.tier,
        region=wish.region,
        delimiter=wish.delimiter,
        encoding=wish.encoding,
    )


def _tell(check: Check, event: dict[str, Any]) -> None:
    if event["event"] == "progress":
        check.done = int(event["done"])


def _work(check: Check, spec: SideSpec, progress: Progress) -> None:
    state, error = CheckState.FAILED, _fault()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="veiljoin-") as scratch,
            progress.phase("check", check.total),
        ):
            found = inspect(check.dataset, spec, check.form, Path(scratch) / "work", progress, None)
        check.health = DatasetHealth.of(found, check.dataset)
        state, error = CheckState.READY, None
    except VeiljoinError as known:
        state, error = CheckState.STOPPED if known.code.name == "cancelled" else CheckState.FAILED, known
    finally:
        # Also after a fault that nobody foresaw, which the process notes by its kind: the page says that it is over.
        check.error, check.state = error, state


def _fault() -> VeiljoinError | None:
    return VeiljoinError(
        "Something went wrong in this program while it read the file.",
        hint="`veiljoin dataset check` over the same file may say more; tell who runs this console",
    )
