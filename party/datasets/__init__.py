"""A party's own files, read as text in batches: CSV, Parquet and JSON Lines.

    dataset = open_dataset("customers.csv")
    dataset.require("mobile", "tier")
    for batch in read_batches(dataset, ["mobile", "tier"]):
        ...

Every value arrives as text (leading zeros stay, "NULL" is a word); only an empty cell is null, in each
format.
"""

from party.datasets.dataset import Column, Dataset, check_unchanged, open_dataset
from party.datasets.reading import Batch, read_batches, read_rows

__all__ = [
    "Batch",
    "Column",
    "Dataset",
    "check_unchanged",
    "open_dataset",
    "read_batches",
    "read_rows",
]
