"""How many rows a dataset has, about: for progress bars, from its head alone."""

from __future__ import annotations

from typing import Final

import pyarrow.parquet as pq

from party.datasets import Dataset

_SAMPLE: Final = 1 << 18


def rows_estimate(dataset: Dataset) -> int | None:
    """Return the number of rows of a Parquet file, an estimate for text, ``None`` for compressed text."""
    if dataset.format == "parquet":
        return int(pq.read_metadata(dataset.path).num_rows)
    if dataset.compressed:
        return None
    with open(dataset.path, "rb") as file:
        head = file.read(_SAMPLE)
    lines = max(1, head.count(b"\n"))
    return max(1, dataset.size_bytes * lines // len(head)) if head else None
