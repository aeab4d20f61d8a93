"""Prepares one side of a grouped sum from rows of text, for the tests of both preparations."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from federated.memory import MemoryValueSet
from federated.terms import SumRole, SumTerms, ValueColumn, WindowTerms
from party.datasets import open_dataset
from party.groups import GroupPreparation, PreparedGroups
from party.jobspec import Job
from party.progress import Progress
from party.values import PreparedValues, ValuePreparation
from party.workspace import Workspace
from psi.engines import open_engine
from psi.secret import Seed
from psi.seed import JobRandomness
from psi.suites import X25519_ELL2, domain_separation_tag

CONTRACT = bytes(range(32))


def phone(number: int) -> str:
    """Return the mobile number of a person."""
    return f"138{number:08d}"


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    """Write rows as CSV."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def terms_of(job: Job, chunk_elements: int = 64) -> SumTerms:
    """Return the terms that a contract over ``job`` would have, in small chunks."""
    assert job.sums is not None
    side, window = job.side(job.sums.value_holder), job.sums.window
    return SumTerms(
        contract=CONTRACT,
        suite=X25519_ELL2,
        readers=frozenset({SumRole.VALUE_HOLDER}),
        customers=job.sums.base == "customers",
        stages=side.stages,
        values=tuple(ValueColumn(value.column, value.low, value.high) for value in side.values),
        tag_columns=side.tags,
        window=WindowTerms(window.days, window.retention_days) if window else None,
        max_rows=job.sums.max_rows,
        min_group=job.min_group,
        chunk_elements=chunk_elements,
    )


def randomness(seed: int = 1) -> JobRandomness:
    """Return the derivations of a seed."""
    return JobRandomness(Seed(seed.to_bytes(32, "big")), CONTRACT)


def points_of(people: Sequence[str], seed: int = 1) -> list[bytes]:
    """Return the masked points of mobile numbers."""
    engine = open_engine(X25519_ELL2, "cryptography", 1)
    canonical = [f"+86{number}".encode() for number in people]
    tag = domain_separation_tag(X25519_ELL2, CONTRACT)
    masked = engine.hash_and_mask(tag, canonical, randomness(seed).scalar(X25519_ELL2))
    return [masked[start : start + 32] for start in range(0, len(masked), 32)]


def sent_points(
    prepared: PreparedValues | PreparedGroups | MemoryValueSet, size: int, chunk_elements: int = 64
) -> list[bytes]:
    """Return the points of a prepared set in sending order."""
    chunks = [prepared.chunk(number) for number in range(-(-size // chunk_elements))]
    assert {len(chunk) for chunk in chunks[:-1]} <= {32 * chunk_elements}
    data = b"".join(chunks)
    assert len(data) == 32 * size
    return [data[start : start + 32] for start in range(0, len(data), 32)]


@contextmanager
def prepared_values(job: Job, data: Path, work: Path, seed: int = 1) -> Iterator[PreparedValues]:
    """Prepare the value holder's side of ``job`` from ``data``."""
    assert job.sums is not None
    side = job.sums.value_holder
    with closing(open_engine(X25519_ELL2, "cryptography", 1)) as engine, Workspace(work, 1) as workspace:
        preparation = ValuePreparation(
            job,
            side,
            open_dataset(data),
            terms_of(job),
            randomness(seed),
            engine,
            workspace,
            Progress(_ignore),
        )
        yield preparation.run(data.with_name("rejects.csv"))


@contextmanager
def prepared_groups(job: Job, data: Path, work: Path, seed: int = 1) -> Iterator[PreparedGroups]:
    """Prepare the group holder's side of ``job`` from ``data``."""
    assert job.sums is not None
    side = job.sums.group_holder
    with closing(open_engine(X25519_ELL2, "cryptography", 1)) as engine, Workspace(work, 1) as workspace:
        preparation = GroupPreparation(
            job,
            side,
            open_dataset(data),
            terms_of(job),
            randomness(seed),
            engine,
            workspace,
            Progress(_ignore),
        )
        yield preparation.run(data.with_name("rejects.csv"))


def _ignore(_: dict[str, Any]) -> None:
    """Take an event of the progress."""
