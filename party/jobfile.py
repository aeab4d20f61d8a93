"""The job file: what a bank operator writes to describe a joint job (README, "The job file").

``party.jobkeys`` says which keys exist and where they belong, ``party.jobsums`` reads what only grouped sums have,
and ``party.jobspec`` is what comes out.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import rfc8785

from party import jobkeys
from party.identifiers import parse_form
from party.jobkeys import (
    Place,
    check_keys,
    check_side_columns,
    choice,
    exact,
    nearest,
    out_of_range,
    shown,
    whole,
)
from party.jobspec import (
    DEFAULT_MAX_SET,
    DEFAULT_MIN_GROUP,
    KINDS,
    SIDES,
    Arms,
    Job,
    JobKind,
    SideSpec,
    SumSpec,
    ValueSpec,
    Window,
)
from party.jobsums import read_columns, read_sums, read_value_holder
from psi.errors import UsageError
from psi.suites import suite_by_id
from psi.terms import MAX_SET

__all__ = [
    "KINDS",
    "SIDES",
    "Arms",
    "Job",
    "JobKind",
    "SideSpec",
    "SumSpec",
    "ValueSpec",
    "Window",
    "load_job",
    "nearest",
    "parse_job",
    "read_table",
]

DEFAULT_SUITE: Final = "x25519-ell2"
MAX_PURPOSE: Final = 200
MAX_HOLDOUT: Final = Decimal("0.9")


def load_job(path: str | Path) -> tuple[Job, dict[str, Any]]:
    """Read and check a job file; returns the job and the parsed table that it was made from.

    Raises ``UsageError`` that names the file, the key and what to do.
    """
    source = Path(path)
    try:
        text = source.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(
            f"The job file {source} is not there.", hint="check the path", code="missing_file"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(
            f"The job file {source} cannot be read: {why}.", hint="a job file is TOML", code="unreadable_file"
        ) from None
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # tomllib's own error is a ValueError, and so is that of a number with thousands of digits.
        raise UsageError(
            f"The job file {source} is not valid TOML: {error}.",
            hint='text goes in quotes, as in kind = "audience"',
            code="bad_format",
        ) from None
    return parse_job(table, str(source)), table


def read_table(canonical: bytes) -> dict[str, Any]:
    """Read the table of a job as a partner sent it.

    Raises ``UsageError`` unless it is canonical JSON (RFC 8785).
    """
    try:
        table: Any = json.loads(canonical)
        same = isinstance(table, dict) and rfc8785.dumps(table) == canonical
    except (ValueError, RecursionError, rfc8785.CanonicalizationError):
        same = False
    if not same:
        raise UsageError(
            "The table of a job is not canonical JSON.",
            hint="both sides need the same version of Veiljoin; draft the job again",
            code="bad_format",
        )
    return dict(table)


def parse_job(table: Mapping[str, Any], source: str) -> Job:
    """Check ``table``, the parsed content of the job file ``source``.

    Raises ``UsageError`` that names the key, its section and the file.
    """
    kind = _kind(table, source)
    place = Place(source, kind=kind.value)
    check_keys(table, jobkeys.TOP, place)
    if "arms" in table:
        check_keys(table["arms"], jobkeys.ARMS, place.inside("arms"))
    holder = read_value_holder(table, place) if kind.is_sum else None
    sides = {name: _side(table, name, Place(source, name, kind.value, holder)) for name in SIDES}
    policy, at = table.get("policy", {}), place.inside("policy")
    check_keys(policy, jobkeys.POLICY, at)

    holdout = exact(table.get("holdout", 0))
    if holdout is None or not 0 <= holdout <= MAX_HOLDOUT:
        raise out_of_range("holdout", table["holdout"], place, f"use 0 to {MAX_HOLDOUT}")
    min_group = whole(policy, "min_group", DEFAULT_MIN_GROUP, at, least=1, most=MAX_SET)
    max_set = whole(policy, "max_set", DEFAULT_MAX_SET, at, least=1, most=MAX_SET)
    if min_group > max_set:
        raise UsageError(
            f"min_group = {min_group} in {at} is above max_set = {max_set}.",
            hint="no set could have that size; lower min_group or raise max_set",
        )
    keep_seed = choice(table, "keep_seed", (*SIDES, "both"), place) if "keep_seed" in table else None
    receivers = SIDES if kind is JobKind.OVERLAP else (*SIDES, "both")
    return Job(
        source=source,
        kind=kind,
        purpose=_purpose(table, source),
        form=parse_form(table["identifier"]),
        suite=suite_by_id(table.get("suite", DEFAULT_SUITE)),
        receiver=choice(table, "receiver", receivers, place, "bank" if kind.is_sum else None),
        output=choice(table, "output", ("matched", "unmatched"), place, "matched"),
        holdout=float(holdout),
        min_group=min_group,
        max_set=max_set,
        keep_seed=keep_seed,
        sums=read_sums(table, kind, sides, place) if kind.is_sum else None,
        **sides,
    )


def _kind(table: Mapping[str, Any], source: str) -> JobKind:
    value = table.get("kind")
    if not isinstance(value, str):
        # Missing, misspelt or not text: the table of keys says which.
        check_keys(table, jobkeys.TOP, Place(source))
    if value in KINDS:
        return JobKind(value)
    near = nearest(str(value), KINDS)
    hint = f'did you mean "{near}"?' if near else f"use one of {', '.join(KINDS)}"
    raise UsageError(f'kind = "{shown(str(value))}" in {source} is unknown.', hint=hint)


def _purpose(table: Mapping[str, Any], source: str) -> str:
    purpose = str(table["purpose"]).strip()
    if not purpose.isprintable():
        raise UsageError(
            f"purpose in {source} holds line breaks or control characters.",
            hint="write it as one line of text",
        )
    if not 0 < len(purpose) <= MAX_PURPOSE:
        raise UsageError(
            f"purpose in {source} has {len(purpose)} characters.",
            hint=f"say in 1 to {MAX_PURPOSE} characters what the result is used for",
        )
    return purpose


def _side(whole_table: Mapping[str, Any], name: str, place: Place) -> SideSpec:
    table = whole_table[name]
    check_keys(table, jobkeys.SIDE, place)
    tiers = table.get("tiers", [])
    if not all(isinstance(tier, str) and tier for tier in tiers) or len(set(tiers)) != len(tiers):
        raise UsageError(
            f"tiers in {place} is not a list of different names.",
            hint='write it highest first, as in tiers = ["gold", "silver"]',
        )
    if tiers and "tier" not in table:
        raise UsageError(f"tiers in {place} needs a tier column.", hint='add tier = "COLUMN"')
    choice(table, "keep", ("first", "last"), place, "first")
    spec = SideSpec(**{**table, "tiers": tuple(tiers), **read_columns(table, whole_table.get("arms"), place)})
    check_side_columns(_columns(spec), place)
    return spec


def _columns(spec: SideSpec) -> list[tuple[str, str]]:
    """Return (key, column) for each use of a column on one side."""
    single = (("identifier", spec.identifier), ("tier", spec.tier), ("time", spec.time), ("cost", spec.cost))
    several = (
        ("stages", spec.stages),
        ("tags", spec.tags),
        ("values", [value.column for value in spec.values]),
        ("groups", spec.groups),
    )
    return [(key, column) for key, column in single if column is not None] + [
        (key, column) for key, columns in several for column in columns
    ]
