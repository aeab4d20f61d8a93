"""The datasets that a node knows by name: its own, with the files behind them, and what its partners told of theirs.

A partner sees of a dataset its name, the form of its identifiers, the names of its columns and its size to two
digits. Where the file lies, how it is read and what is in it stays here.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from audit.entry import Draft
from party.auditlog import note
from party.budget import Clock, local_clock
from party.datasethealth import DatasetHealth, keep
from party.datasets import Dataset, open_dataset
from party.identifiers import Form, parse_form
from party.jobspec import SideSpec
from party.jobstates import JobState
from party.logged import dataset_facts
from party.policy import NO_POLICY, Limits, Policy
from party.store import Store
from party.tables import datasets, jobs, partner_hellos, schedules
from psi.errors import UsageError
from veiljoin.control_messages import (
    MAX_COLUMNS,
    MAX_DATASETS,
    MAX_TEXT_BYTES,
    CatalogueEntry,
    ControlHello,
    PolicyLimits,
    two_digits,
)

MAX_NAME: Final = 64
# What a consent basis is called: a word, as the log has no place for a sentence.
_BASIS: Final = re.compile("[a-z][a-z0-9_]{0,39}")
# States of ``party.schedulerecords``, which can't be imported: schedules are made of drafts, drafts of datasets.
_LIVING_SCHEDULES: Final = ("draft", "active", "paused")
D = TypeVar("D", "Registered", CatalogueEntry)


@dataclass(frozen=True, slots=True)
class Registered:
    """One own dataset. ``identifier`` is the column with identifiers of ``form``; ``persons`` were counted then.

    ``basis`` is the word for what allows the use of its persons' data, where it was stated.
    """

    name: str
    path: Path = field(repr=False)
    form: str
    identifier: str
    columns: tuple[str, ...]
    schema: str
    persons: int
    delimiter: str | None
    encoding: str | None
    added: datetime.datetime
    actor: str
    basis: str | None = None

    def open(self) -> Dataset:
        """Open the file as it is now. Raises ``UsageError`` if it can't be read or its columns changed."""
        dataset = open_dataset(self.path, delimiter=self.delimiter, encoding=self.encoding)
        if dataset.schema_fingerprint() != self.schema:
            raise UsageError(
                f"The columns of {self.path} are not those of dataset {self.name!r} any more.",
                hint="add it again with --replace; contracts that were drafted over the old columns are refused",
                code="file_changed",
            )
        return dataset

    def entry(self) -> CatalogueEntry:
        """Return what a partner may see."""
        return CatalogueEntry(
            self.name, (self.form,), self.columns, two_digits(self.persons), bytes.fromhex(self.schema)
        )


@dataclass(frozen=True, slots=True)
class Told:
    """What a partner's node said last, and when. ``skew`` is by how many seconds its clock was ahead."""

    partner: str
    software: str
    catalogue: tuple[CatalogueEntry, ...]
    limits: PolicyLimits | None
    skew: float
    at: datetime.datetime

    def policy(self) -> Policy:
        """Return its limits as a policy to draft by; one that told none asks for nothing, and may refuse."""
        told = self.limits
        if told is None:
            return NO_POLICY
        limits = Limits(
            min_group=told.min_group,
            min_converters=told.min_converters,
            dominance=told.dominance,
            max_set=told.max_set,
            epsilon=Fraction(told.epsilon) if told.epsilon else None,
        )
        return Policy(limits=limits, source=f"the policy of {self.partner}")


class Catalogue:
    """The catalogue in ``store``; ``clock`` gives timezone-aware times."""

    def __init__(self, store: Store, clock: Clock = local_clock) -> None:
        self._store = store
        self._clock = clock

    def add(
        self,
        name: str,
        path: Path,
        identifier: str,
        form: Form,
        persons: int,
        actor: str,
        *,
        delimiter: str | None = None,
        encoding: str | None = None,
        basis: str | None = None,
        replace: bool = False,
        health: DatasetHealth | None = None,
    ) -> Registered:
        """Register the file ``path`` as ``name``; ``persons`` is how many usable persons it holds.

        ``health`` is kept with it, what was kept of a dataset that it replaces goes.

        Raises ``UsageError`` for a name that is taken (unless ``replace``) or none, a ``basis`` that is no word, a
        file that can't be read, a column that isn't there or that the protocol has no room for.
        """
        _check_dataset_name(name)
        _check_basis(basis)
        dataset = open_dataset(path, delimiter=delimiter, encoding=encoding)
        dataset.require(identifier)
        for column in dataset.names:
            if not column.isprintable() or not 0 < len(column.encode()) <= MAX_TEXT_BYTES:
                raise UsageError(
                    f"{path} has a column whose name is empty, longer than {MAX_TEXT_BYTES} bytes or not printable.",
                    hint="rename it: partners are shown the names of columns",
                )
        settings = {
            "identifier": identifier,
            "columns": list(dataset.names),
            "schema": dataset.schema_fingerprint(),
            "delimiter": delimiter,
            "encoding": encoding,
            "basis": basis,
        }
        row = {
            "path": str(dataset.path.resolve()),
            "form": form.text,
            "settings": json.dumps(settings, ensure_ascii=False),
            "rows": persons,
            "at": self._clock().timestamp(),
            "actor": actor,
        }
        with self._store.transaction() as connection:
            known = {one.name: one for one in map(_registered, connection.execute(sa.select(datasets)))}
            if name in known and not replace:
                raise UsageError(
                    f"There is a dataset {name!r} already.", hint="choose another name, or add --replace"
                )
            others = [one for one in known.values() if one.name != name]
            columns = sum(len(one.columns) for one in others) + len(dataset.names)
            if len(others) >= MAX_DATASETS or columns > MAX_COLUMNS:
                raise UsageError(
                    f"A catalogue holds {MAX_DATASETS} datasets with {MAX_COLUMNS:,} columns, and this is more.",
                    hint="register fewer, or files with fewer columns",
                )
            if name in known:
                connection.execute(datasets.update().where(datasets.c.name == name).values(**row))
            else:
                connection.execute(datasets.insert().values(name=name, **row))
            what = "dataset_changed" if name in known else "dataset_added"
            facts = dataset_facts(name, dataset.schema_fingerprint(), form.text, basis)
            note(connection, Draft(what, actor, None, facts), self._clock().timestamp())
            keep(connection, name, health, self._clock().timestamp())
        return self.get(name)

    def remove(self, name: str, actor: str) -> None:
        """Forget the own dataset ``name``; its file stays where it is, and what it cost of budgets stays spent.

        Raises ``UsageError`` if there is none, or (``wrong_state``) while a job or a schedule that has not ended
        uses it.
        """
        now = self._clock().timestamp()
        self.get(name)
        with self._store.transaction() as connection:
            _check_unused(connection, name)
            if connection.execute(datasets.delete().where(datasets.c.name == name)).rowcount:
                keep(connection, name, None, now)
                note(connection, Draft("dataset_removed", actor, None, {"dataset": name}), now)

    def all(self) -> tuple[Registered, ...]:
        """Return the own datasets by name."""
        with self._store.reading() as connection:
            rows = connection.execute(sa.select(datasets).order_by(datasets.c.name)).all()
        return tuple(_registered(row) for row in rows)

    def get(self, name: str) -> Registered:
        """Return the own dataset ``name``. Raises ``UsageError`` if there is none."""
        return pick(self.all(), name, None, None, "this node")

    def entries(self) -> tuple[CatalogueEntry, ...]:
        """Return what partners are told."""
        return tuple(registered.entry() for registered in self.all())

    def remember(self, partner: str, hello: ControlHello) -> None:
        """Keep what ``partner`` said."""
        now = self._clock().timestamp()
        limits = hello.limits
        told = {
            "catalogue": [
                {
                    "name": entry.name,
                    "identifiers": entry.identifiers,
                    "columns": entry.columns,
                    "persons": entry.persons,
                    "schema": entry.schema.hex(),
                }
                for entry in hello.catalogue
            ],
            "limits": None
            if limits is None
            else [limits.min_group, limits.min_converters, limits.dominance, limits.max_set, limits.epsilon],
        }
        row = {
            "software": hello.software,
            "hello": json.dumps(told, ensure_ascii=False),
            "skew": hello.time - now,
            "at": now,
        }
        mine = partner_hellos.c.partner == partner
        with self._store.transaction() as connection:
            if not connection.execute(partner_hellos.update().where(mine).values(**row)).rowcount:
                connection.execute(partner_hellos.insert().values(partner=partner, **row))

    def told(self, partner: str) -> Told | None:
        """Return what ``partner`` said last, if it ever was on the line."""
        with self._store.reading() as connection:
            row = connection.execute(
                sa.select(partner_hellos).where(partner_hellos.c.partner == partner)
            ).first()
        if row is None:
            return None
        hello = json.loads(row.hello)
        catalogue = tuple(
            CatalogueEntry(
                entry["name"],
                tuple(entry["identifiers"]),
                tuple(entry["columns"]),
                entry["persons"],
                bytes.fromhex(entry["schema"]),
            )
            for entry in hello["catalogue"]
        )
        limits = None if hello["limits"] is None else PolicyLimits(*hello["limits"])
        return Told(partner, row.software, catalogue, limits, row.skew, self._moment(row.at))

    def _moment(self, at: float) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(at, self._clock().tzinfo)


def pick(known: Sequence[D], name: str | None, side: SideSpec | None, form: Form | None, whose: str) -> D:
    """Return the dataset ``name``, or without a name the only one that has the columns of ``side`` and the ``form``.

    Raises ``UsageError`` that lists the datasets of ``whose``.
    """
    if name is not None:
        found = [one for one in known if one.name == name]
    else:
        found = [one for one in known if _fits(one, side, form)]
    if len(found) == 1:
        one = found[0]
        if side is not None:
            _require_columns(one, side.columns, whose)
        return one
    names = ", ".join(one.name for one in known) or "none"
    if name is not None:
        raise UsageError(
            f"There is no dataset {name!r} at {whose}.",
            hint=f"its datasets: {names}; `veiljoin dataset add` registers one of your own",
            code="missing_file",
        )
    several = "more than one dataset" if found else "no dataset"
    raise UsageError(
        f"There is {several} at {whose} with the columns and identifiers of this job.",
        hint=f"its datasets: {names}; name the one that is meant with --dataset or --partner-dataset",
        code="missing_column",
    )


def _fits(one: Registered | CatalogueEntry, side: SideSpec | None, form: Form | None) -> bool:
    forms: Collection[str] = (one.form,) if isinstance(one, Registered) else one.identifiers
    columns = () if side is None else side.columns
    return set(columns) <= set(one.columns) and (form is None or form.text in forms)


def _require_columns(one: Registered | CatalogueEntry, columns: Sequence[str], whose: str) -> None:
    for column in columns:
        if column not in one.columns:
            raise UsageError(
                f"Dataset {one.name!r} of {whose} has no column {column!r}.",
                hint=f"its columns: {', '.join(one.columns[:30])}",
                code="missing_column",
            )


def _check_unused(connection: sa.Connection, name: str) -> None:
    """Raise ``UsageError`` if something that has not ended uses the own dataset ``name``."""
    over = [state for state in JobState if state.ended]
    job = connection.execute(
        sa.select(jobs.c.id).where(jobs.c.dataset == name, jobs.c.state.not_in(over)).limit(1)
    ).scalar()
    if job is not None:
        raise UsageError(
            f"Dataset {name!r} is used by job {job}, which has not ended.",
            hint="wait for its end, or cancel it",
            code="wrong_state",
        )
    living = sa.select(schedules.c.id, schedules.c.terms).where(schedules.c.state.in_(_LIVING_SCHEDULES))
    for row in connection.execute(living):
        if json.loads(row.terms)["dataset"] == name:
            raise UsageError(
                f"Dataset {name!r} is used by schedule {row.id}, which has not ended.",
                hint="remove the schedule first",
                code="wrong_state",
            )


def _check_dataset_name(name: str) -> None:
    # Browsers take two of them for folders.
    odd = name != name.strip() or "/" in name or name in (".", "..")
    if not 0 < len(name) <= MAX_NAME or not name.isprintable() or odd:
        raise UsageError(
            "The name of the dataset cannot be used.",
            hint=f"give 1 to {MAX_NAME} plain characters without a slash, such as card-holders",
        )


def _check_basis(basis: str | None) -> None:
    if basis is not None and not _BASIS.fullmatch(basis):
        raise UsageError(
            "The consent basis of the dataset is not one word.",
            hint="use small letters, digits and underscores, 40 at most, such as consent or contract_2026",
        )


def _registered(row: Any) -> Registered:
    settings = json.loads(row.settings)
    return Registered(
        name=row.name,
        path=Path(row.path),
        form=parse_form(row.form).text,
        identifier=settings["identifier"],
        columns=tuple(settings["columns"]),
        schema=settings["schema"],
        persons=row.rows or 0,
        delimiter=settings["delimiter"],
        encoding=settings["encoding"],
        added=datetime.datetime.fromtimestamp(row.at, datetime.UTC),
        actor=row.actor,
        # Datasets that were added by an earlier version have none.
        basis=settings.get("basis"),
    )
