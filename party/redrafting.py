"""A job's text beside the one before it: what an edit changes, and a job that came to nothing drafted again."""

from __future__ import annotations

import datetime
import json
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from party.drafting import Draft, draft_with
from party.jobfile import parse_job
from party.jobrecords import Actor, JobRecord
from party.jobs import Jobs
from party.jobstates import JobState
from party.node import Node
from party.nodefile import BANK
from psi.errors import UsageError

# What came to nothing, and may be drafted again.
REPEATABLE: Final = (JobState.FAILED, JobState.REFUSED, JobState.CANCELLED, JobState.EXPIRED)
_SHORT: Final = 8


def changes(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield each setting of a job file that differs: its name, the old and the new value, ``None`` where not set."""
    old, new = dict(_flat(before)), dict(_flat(after))
    for name in (*old, *(each for each in new if each not in old)):
        if old.get(name) != new.get(name):
            yield name, old.get(name), new.get(name)


def datasets_of(record: JobRecord) -> tuple[str, str | None]:
    """Return the bank's dataset of a bank's job and the partner's, as far as it has a contract."""
    if record.contract is None:
        return record.dataset, None
    # Not parsed as one: it may be of a version that this program doesn't speak any more.
    return record.dataset, str(json.loads(record.contract)["parties"]["platform"]["dataset"])


def draft_again(
    node: Node, before: JobRecord, actor: Actor, lifetime: datetime.timedelta
) -> tuple[JobRecord, Draft]:
    """Draft ``before`` again at the bank, from its text and over its datasets; returns the new job and its draft.

    Raises ``UsageError`` (``wrong_state``) for a job that did not come to nothing, and what drafting raises.
    """
    short = before.id[:_SHORT]
    if node.file.role != BANK or before.state not in REPEATABLE:
        raise UsageError(
            f"Job {short} is {before.state}, and is not repeated.",
            hint=f"at the bank jobs are repeated that are {', '.join(REPEATABLE)}; any other is drafted anew",
            code="wrong_state",
        )
    # The text as it was written, not what policies had made of it then.
    table = tomllib.loads(before.source)
    own, theirs = datasets_of(before)
    drafted = draft_with(
        node,
        parse_job(table, f"job {short}"),
        table,
        before.partner,
        dataset=own,
        partner_dataset=theirs,
        lifetime=lifetime,
    )
    record = Jobs(node.home.store, BANK, node.clock).draft(
        drafted.table,
        before.source,
        actor,
        partner=before.partner,
        dataset=drafted.dataset,
        contract=drafted.contract,
        repeats=before.id,
    )
    return record, drafted


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in sorted(table.items()):
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, _value(value)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)
