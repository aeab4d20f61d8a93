"""A look at a party's own dataset before any job: how many rows can be used, and why the others cannot.

Nothing is sent anywhere. Persons are counted by a keyed hash whose key is thrown away.
"""

from __future__ import annotations

import contextlib
import secrets
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa

from party.datasets import Dataset, read_batches
from party.identifiers import REASONS, Form, Normaliser
from party.jobfile import SideSpec
from party.progress import Progress
from party.rejects import RejectsWriter
from party.tiers import TierColumn
from party.workspace import Workspace


@dataclass(slots=True)
class Inspection:
    """What was found; counts only. ``tiers`` counts persons by tier, highest first, if a tier column is named."""

    rows: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    persons: int = 0
    duplicates: int = 0
    tiers: dict[str, int] = field(default_factory=dict)


def inspect(
    dataset: Dataset, spec: SideSpec, form: Form, folder: Path, progress: Progress, rejects: Path | None
) -> Inspection:
    """Read ``dataset`` once and count. ``folder`` is a new private folder for working data, removed at the end;
    unusable rows go to the file ``rejects`` if it is given."""
    found = Inspection()
    normaliser = Normaliser(form, region=spec.region)
    tiers = TierColumn(spec, used=spec.tier is not None, path=dataset.path)
    key = secrets.token_bytes(32)
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(RejectsWriter(rejects, spec.identifier)) if rejects is not None else None
        workspace = stack.enter_context(Workspace(folder))
        table = workspace.table("input", "high UBIGINT, low UBIGINT, tier UTINYINT")
        for batch in read_batches(dataset, [spec.identifier, *tiers.columns]):
            cells = batch.columns[spec.identifier]
            normalised = normaliser(cells)
            numbers, reason = tiers.read(batch, normalised.reason)
            refused = np.flatnonzero(reason)
            if writer is not None and len(refused):
                writer.add(
                    (batch.first_row + refused).astype(np.uint64),
                    cells.take(pa.array(refused)),
                    reason[refused],
                )
            found.rejected.update(REASONS[code] for code in reason[refused])
            found.rows += len(batch)
            usable = np.flatnonzero(reason == 0)
            marks = b"".join(
                blake2b(identifier, key=key, digest_size=16).digest()
                for identifier in normalised.canonical.take(pa.array(usable)).to_pylist()
            )
            words = np.frombuffer(marks, dtype="<u8").reshape(-1, 2)
            columns = [words[:, 0].copy(), words[:, 1].copy(), numbers[usable]]
            table.insert(pa.record_batch([pa.array(each) for each in columns], names=["high", "low", "tier"]))
            progress.advance(len(batch))
        places = tiers.places()
        highest = f"SELECT min(list_extract({places}, tier + 1)) AS place FROM {{name}} GROUP BY high, low"  # noqa: S608
        if found.rows > found.rejected.total():
            sizes = table.pairs(f"SELECT place, count(*) FROM ({highest}) GROUP BY place")  # noqa: S608
            labels = tiers.ordered()
            found.persons = sum(sizes.values())
            found.tiers = {labels[place]: sizes[place] for place in sorted(sizes)} if spec.tier else {}
        found.duplicates = found.rows - found.rejected.total() - found.persons
        if writer is not None:
            writer.commit()
    return found
