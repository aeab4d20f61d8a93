"""What a party keeps of a finished job, in its own folder: lists as CSV and Parquet, figures as JSON.

Everything is written into a staging folder first; whoever runs the job moves it to its place once both sides are
done, so that a job that fails leaves no half result.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from party.datasets import Dataset, read_rows
from party.jobfile import SIDES, Job
from party.prepare import PreparedSet
from party.spool import disk_error
from psi.messages import Announce, Tier
from psi.results import BELOW_MIN_GROUP, AudienceResult, MatchResult, OverlapResult

MATCHES: Final = "matches.csv"
HOLDOUT: Final = "holdout.csv"
REJECTS: Final = "rejects.csv"
RESULT: Final = "result.json"
# Every file that a job may leave in a party's folder; an older run's are replaced as a whole.
FILES: Final = (MATCHES, "matches.parquet", HOLDOUT, "holdout.parquet", REJECTS, RESULT)

Rows = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.uint8]


def write_json(path: Path, content: object) -> None:
    """Write ``content`` as JSON for machines that people can read too; mode 0600."""
    with _private(path) as file:
        json.dump(content, file, ensure_ascii=False, indent=2)
        file.write("\n")


def write_list(path: Path, dataset: Dataset, column: str, rows: Rows, tiers: list[str]) -> None:
    """Write ``rows`` (sorted data row numbers) to ``path`` and to a Parquet file beside it.

    One row per person in file order: the original cell under the original column name, and ``tier``, which is
    empty where there are no tiers. Mode 0600.
    """
    names = _unique_names(column)
    schema = pa.schema([(name, pa.string()) for name in names])
    parquet_path = path.with_suffix(".parquet")
    try:
        with (
            _private(path) as file,
            open(os.open(parquet_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as parquet,
            pq.ParquetWriter(parquet, schema) as columnar,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(names)
            start = 0
            for _, cells in read_rows(dataset, column, rows):
                labels = tiers[start : start + len(cells)]
                start += len(cells)
                writer.writerows(zip(cells.to_pylist(), labels, strict=True))
                columnar.write_batch(pa.record_batch([cells, pa.array(labels, pa.string())], schema=schema))
    except OSError as error:
        raise disk_error(error, path.parent) from None


def audience_rows(
    tier_of: Numbers, peer_tiers: Sequence[Tier], prepared: PreparedSet, output: str
) -> tuple[Rows, list[str]]:
    """Return the data row numbers of a list, sorted, and the partner's tier of each ('' without tiers).

    ``tier_of`` and ``peer_tiers`` are those of :class:`psi.results.AudienceResult`.
    """
    matched = tier_of > 0
    chosen = np.flatnonzero(matched if output == "matched" else ~matched)
    rows = np.asarray(prepared.origin[chosen], dtype=np.uint64)
    order = np.argsort(rows, kind="stable")
    names = ["", *(tier.label for tier in peer_tiers)]
    return rows[order], [names[number] for number in tier_of[chosen][order]]


def holdout_rows(prepared: PreparedSet) -> tuple[Rows, list[str]]:
    """Return the data row numbers kept back and the own tier of each."""
    rows, tiers = prepared.held_back
    return rows, [prepared.labels[number] for number in tiers]


def figures(
    job: Job, side: str, prepared: PreparedSet, peer: Announce, result: MatchResult | None
) -> dict[str, Any]:
    """Return the ``totals``, ``groups`` and ``withheld`` of one side: what it learned and no more."""
    own_size = sum(tier.size for tier in prepared.tiers)
    other = "platform" if side == "bank" else "bank"
    sizes = {side: own_size, other: peer.size}
    totals: dict[str, Any] = {f"{name}_persons": sizes[name] for name in SIDES}
    withheld: list[dict[str, Any]] = []
    groups: list[dict[str, Any]] = []
    if result is None:
        totals["matched"] = None
        withheld.append({"figure": "matched", "reason": "not_told_by_contract"})
    elif isinstance(result, OverlapResult):
        totals["matched"] = result.matched
        groups = list(_overlap_groups(side, other, prepared, peer, result))
        if not result.complete:
            withheld.append(
                {"figure": "totals.matched", "reason": BELOW_MIN_GROUP, "covers": "released groups"}
            )
    else:
        totals["matched"] = result.matched
        if result.matched is None:
            withheld.append({"figure": "list", "reason": BELOW_MIN_GROUP})
        if job.output == "unmatched":
            totals["unmatched"] = None if result.matched is None else own_size - result.matched
        groups = list(_audience_groups(result))
    return {
        "totals": totals,
        "groups": groups,
        "suppressed_groups": sum(group["matched"] is None for group in groups),
        "withheld": withheld,
    }


def _overlap_groups(
    side: str, other: str, prepared: PreparedSet, peer: Announce, result: OverlapResult
) -> Iterator[dict[str, Any]]:
    own = {tier.label: tier.size for tier in prepared.tiers}
    theirs = {tier.label: tier.size for tier in peer.tiers}
    own_split, their_split = "" not in own, "" not in theirs
    if not own_split and not their_split:
        return
    for cell in result.cells:
        if own_split and their_split:
            group = {f"{side}_tier": cell.own_tier, f"{other}_tier": cell.peer_tier}
        else:
            group = {"tier": cell.own_tier if own_split else cell.peer_tier}
        persons = own[cell.own_tier] if own_split else theirs[cell.peer_tier]
        yield _group(group, persons, cell.matched)


def _audience_groups(result: AudienceResult) -> Iterator[dict[str, Any]]:
    if len(result.peer_tiers) == 1 and result.peer_tiers[0].label == "":
        return
    counts = (
        None if result.tier_of is None else np.bincount(result.tier_of, minlength=len(result.peer_tiers) + 1)
    )
    for number, tier in enumerate(result.peer_tiers, start=1):
        yield _group({"tier": tier.label}, tier.size, None if counts is None else int(counts[number]))


def _group(group: dict[str, str], persons: int, matched: int | None) -> dict[str, Any]:
    row: dict[str, Any] = {"group": group, "persons": persons, "matched": matched}
    if matched is None:
        row["withheld"] = BELOW_MIN_GROUP
    return row


def _unique_names(column: str) -> tuple[str, str]:
    return column, "tier" if column != "tier" else "partner_tier"


def _private(path: Path) -> TextIO:
    """Open ``path`` for writing text that only its owner may read, from the first byte on."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise disk_error(error, path.parent) from None
    return open(descriptor, "w", encoding="utf-8", newline="")
