"""From a job file to a draft that both nodes can sign: the bank's side, before anything is sent.

The contract takes its dataset facts and its limits from what the partner's node said when it was last on the line.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from party.catalogue import Catalogue, pick
from party.contract import MAX_LIFETIME, Contract, DatasetFacts, draft
from party.identity import public_identity
from party.jobfile import Job, parse_job
from party.keptruns import check_auditor
from party.node import Node
from party.partners import PartnerState
from party.policy import Change, Policy, stricter
from psi.errors import UsageError

LIFETIME: Final = datetime.timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Draft:
    """A job as it would be proposed. ``changes``: what the two policies made stricter; ``seen``: how old the
    partner's word is that it rests on."""

    job: Job
    table: Mapping[str, Any]
    contract: Contract
    dataset: str
    partner_dataset: str
    changes: tuple[Change, ...]
    seen: datetime.datetime


def under(
    job: Job, table: Mapping[str, Any], bank: Policy, platform: Policy
) -> tuple[Job, Mapping[str, Any], tuple[Change, ...]]:
    """Return the job and its table with the stricter of its own parameters and both policies', and what changed."""
    _, changes = stricter(job, bank, platform)
    if not changes:
        return job, table, ()
    values = {change.key: _toml_value(change.after) for change in changes}
    changed = dict(table) | {"policy": dict(table.get("policy", {})) | values}
    return parse_job(changed, job.source), changed, changes


def _toml_value(text: str) -> int | float:
    """Return a number as a job file would have it."""
    return int(text) if text.isdecimal() else float(text)


def draft_with(
    node: Node,
    job: Job,
    table: Mapping[str, Any],
    partner: str,
    *,
    dataset: str | None = None,
    partner_dataset: str | None = None,
    lifetime: datetime.timedelta = LIFETIME,
    job_id: str | None = None,
) -> Draft:
    """Draft the contract of ``job`` between the bank's ``node`` and ``partner``.

    Without names, the datasets are the only ones with the job's columns and identifiers. ``job_id`` is that of a job
    which is edited. Raises ``UsageError`` if the
    partner has no access or was never on the line, or no dataset fits; ``PolicyRefusal`` if the policies leave no
    set size.
    """
    known = node.partners.get(partner)
    if known.state is not PartnerState.ACTIVE or known.identity is None:
        raise UsageError(
            f"{partner} has no access, so there is nobody to propose a job to.",
            hint=f"`veiljoin server invite {partner}`, then confirm it",
        )
    if not datetime.timedelta(0) < lifetime <= MAX_LIFETIME:
        raise UsageError(
            "The contract's lifetime is out of range.", hint=f"use at most {MAX_LIFETIME.days} days"
        )
    catalogue = Catalogue(node.home.store, node.clock)
    told = catalogue.told(partner)
    if told is None:
        raise UsageError(
            f"{partner} has not been on the line yet, so its datasets are not known.",
            hint="run `veiljoin server run` here and `veiljoin client run` there, then draft the job",
        )
    check_auditor(job, "bank", node.home.policy)
    job, table, changes = under(job, table, node.home.policy, told.policy())
    own = pick(catalogue.all(), dataset, job.bank, job.form, "this node")
    theirs = pick(told.catalogue, partner_dataset, job.platform, job.form, partner)
    # Now, rather than when the job runs: the file may have changed since it was registered.
    own.open()
    facts = {
        "bank": DatasetFacts(own.name, own.schema),
        "platform": DatasetFacts(theirs.name, theirs.schema.hex()),
    }
    identities = {"bank": public_identity(node.credentials.identity()), "platform": known.identity}
    now = node.clock().astimezone(datetime.UTC)
    contract = draft(job, facts, identities, now=now, lifetime=lifetime, job_id=job_id)
    return Draft(job, table, contract, own.name, theirs.name, changes, told.at)
