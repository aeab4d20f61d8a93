"""Whether a column looks like the form that its dataset is registered in, judged by a sample of it.

The sample is the first rows and some that are spread over the file; the whole file is never read. Of compressed text,
UTF-16 and a Parquet file of one row group it is the first rows alone.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from party.catalogue import Registered
from party.datasets import Batch, Dataset, jsonlines, parquet, read_batches
from party.datasets.head import roomy_csv
from party.identifiers import ALGORITHMS, REASON_TEXT, REASONS, Form, Normaliser, parse_form
from party.identifiers.hashing import digest_shaped
from psi.errors import UsageError

FIRST_ROWS: Final = 1_000
PLACES: Final = 8
ROWS_PER_PLACE: Final = 125
_PLACE_BYTES: Final = 1 << 16
# Below this share of the filled cells it is more likely the wrong form than dirt.
LEAST_SHARE: Final = 0.5
_MISFIT: Final = "form_mismatch"


@dataclass(frozen=True, slots=True)
class Sample:
    """Counts of a sample: ``filled`` cells that aren't empty, those of them that are ``fitting`` the form.

    ``raw`` counts, in a hashed form, the cells that are unhashed identifiers of its type. ``reasons`` says why others
    do not fit, in a raw form.
    """

    filled: int
    fitting: int
    raw: int
    reasons: Counter[str]

    @property
    def plausible(self) -> bool:
        """Whether the column can be what it is registered as; one without a filled cell can."""
        return self.fitting >= LEAST_SHARE * self.filled


def check_content(registered: Registered, region: str) -> None:
    """Raise ``UsageError`` (``form_mismatch``) if the dataset's identifier column does not look like its form.

    Raises what opening and reading raises, too. ``region`` is where telephone numbers without a country code belong.
    """
    declared = parse_form(registered.form)
    cells = sampled(registered.open(), registered.identifier)
    found = judge(cells, declared, region)
    if found.plausible:
        return
    known = f"Column {registered.identifier!r} of {registered.path} is registered as {declared.text}, but of "
    again = "; then add it again with --replace, in the form that it has"
    check = f"`veiljoin dataset check {registered.path} --column {registered.identifier} --identifier "
    if declared.algorithm is None:
        why, _ = found.reasons.most_common(1)[0]
        raise UsageError(
            f"{known}{found.filled:,} sampled cells {found.fitting:,} can be read as that: mostly, a cell "
            f"{REASON_TEXT[why]['en']}.",
            hint=f"{check}{declared.text}` shows why{again}",
            code=_MISFIT,
        )
    plain = f", and {found.raw:,} hold a {declared.type} that isn't hashed" if found.raw else ""
    raise UsageError(
        f"{known}{found.filled:,} sampled cells {found.fitting:,} are {2 * ALGORITHMS[declared.algorithm]} "
        f"hexadecimal digits{plain}.",
        hint=f"{check}{declared.type}` shows what it holds{again}",
        code=_MISFIT,
    )


def judge(cells: pa.Array, declared: Form, region: str) -> Sample:
    """Count how many of ``cells`` look like ``declared``."""
    cells = cells.drop_null()
    if declared.algorithm is None:
        reason = Normaliser(declared, region=region)(cells).reason
        why = Counter(REASONS[code] for code in reason[reason != 0])
        filled = len(cells) - why.pop("empty", 0)
        return Sample(filled, int(np.count_nonzero(reason == 0)), 0, why)
    shaped = digest_shaped(cells, declared.algorithm)
    raw = Normaliser(parse_form(declared.type), region=region)(cells.filter(pa.array(~shaped)))
    unhashed = int(np.count_nonzero(raw.reason == 0))
    filled = len(cells) - raw.counts().get("empty", 0)
    return Sample(filled, int(np.count_nonzero(shaped)), unhashed, Counter())


def sampled(dataset: Dataset, column: str) -> pa.Array:
    """Return the sample of ``column`` as Arrow strings; at most 2,000 cells."""
    parts = [batch.columns[column] for batch in _first(dataset, column)]
    if sum(map(len, parts)) == FIRST_ROWS:
        parts += _spread(dataset, column)
    return pa.concat_arrays([part.cast(pa.large_string()) for part in parts])


def _first(dataset: Dataset, column: str) -> Iterator[Batch]:
    batches = read_batches(dataset, [column], batch_rows=FIRST_ROWS)
    for batch in batches:
        yield batch
        return


def _spread(dataset: Dataset, column: str) -> list[pa.Array]:
    """Return cells from places far apart. A place that can't be read is left out: a run names the row."""
    if dataset.format == "parquet":
        try:
            return parquet.spread(dataset.path, column, ROWS_PER_PLACE, PLACES)
        except (pa.ArrowException, OSError, UsageError):
            return []
    if dataset.compressed or dataset.encoding == "utf-16":
        return []
    found = []
    with open(dataset.path, "rb") as file:
        for place in range(1, PLACES + 1):
            # Far behind the first rows, and not beyond the end.
            file.seek(max(0, dataset.size_bytes - _PLACE_BYTES) * place // PLACES)
            lines = file.read(_PLACE_BYTES).split(b"\n")[1:-1][:ROWS_PER_PLACE]
            found.append(_cells(dataset, column, b"\n".join(lines)))
    return found


def _cells(dataset: Dataset, column: str, block: bytes) -> pa.Array:
    """Return the cells of whole lines from the middle of a text file."""
    if dataset.format == "jsonl":
        try:
            return pa.concat_arrays(
                [pa.array([], pa.string())]
                + [arrays[0] for arrays in jsonlines.read(dataset.path, io.BytesIO(block), [column], 1 << 16)]
            )
        except UsageError:
            return pa.array([], pa.string())
    at, width = dataset.names.index(column), len(dataset.names)
    text = io.StringIO(block.decode(dataset.encoding, "replace"), newline="")
    with roomy_csv():
        rows = list(csv.reader(text, delimiter=dataset.delimiter or ","))
    # A place inside a quoted cell gives lines of another width.
    return pa.array([row[at] for row in rows if len(row) == width], pa.string())
