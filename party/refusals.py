"""Refused attempts in the party's log, where they stand although what was tried changed nothing.

What was refused was rolled back, so each is noted in a transaction of its own: at most once a minute for the same
thing, so that nobody fills the log by asking again.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa

from audit.entry import Draft
from party.auditlog import note
from party.budget import Clock
from party.store import Store
from party.tables import audit_entries, audit_logs
from psi.errors import VeiljoinError

_MINUTE: Final = 60
_JOB: Final = re.compile("[0-9a-f]{32}")
NOT_ALLOWED: Final = "not_allowed"
# The actor where nobody knows who it was.
STRANGER: Final = "stranger:unknown"


def once_a_minute(draft: Draft, at: float) -> Draft:
    """Return ``draft`` under a key that drops all but the first of its like within a minute of ``at`` (seconds)."""
    said = "/".join(f"{each}" for each in draft.facts.values())
    key = f"{draft.type}/{draft.actor}/{draft.job}/{said}/{int(at // _MINUTE)}"
    return dataclasses.replace(draft, key=key)


def note_refusal(store: Store, draft: Draft, at: float) -> None:
    """Append ``draft`` in a transaction of its own, once a minute. Raises ``UsageError`` where the store fails."""
    keyed = once_a_minute(draft, at)
    with store.reading() as connection:
        # A flood of the same is kept from the store's lock.
        newest = sa.select(sa.func.max(audit_logs.c.epoch)).scalar_subquery()
        known = connection.execute(
            sa.select(audit_entries.c.sequence).where(
                audit_entries.c.epoch == newest, audit_entries.c.mark == keyed.key
            )
        ).first()
    if known is None:
        with store.transaction() as connection:
            note(connection, keyed, at)


def note_access(store: Store, partner: str | None, code: str, actor: str, at: float) -> None:
    """Note that ``partner`` (``None``: nobody that is known) was not let in, for the reason ``code``."""
    note_refusal(store, Draft("access_refused", actor, None, {"partner": partner, "code": code}), at)


@contextmanager
def attempt(
    store: Store, clock: Clock, actor: str, step: str, job: str | None = None, *, hidden: bool = False
) -> Iterator[sa.Connection]:
    """Give the transaction of ``step``; where ``actor`` may not take it, that is noted once it was rolled back.

    With ``hidden`` a job that is said not to be there counts as well: so are others' jobs to a partner.
    """
    refused = (NOT_ALLOWED, "unknown_job") if hidden else (NOT_ALLOWED,)
    try:
        with store.transaction() as connection:
            yield connection
    except VeiljoinError as error:
        code = error.code.name
        if code in refused:
            named = job if job is not None and code == NOT_ALLOWED and _JOB.fullmatch(job) else None
            facts = {"step": step, "code": code}
            note_refusal(store, Draft("attempt_refused", actor, named, facts), clock().timestamp())
        raise
