"""What a platform's node makes of a proposal: refuse it, wait for a person, or accept it by a standing rule."""

from __future__ import annotations

import json

from party.catalogue import MAX_NAME, Catalogue, Registered, pick
from party.contract import Contract, DatasetFacts, check_agrees, parse_contract
from party.identity import public_identity, sign_contract, verify_contract
from party.jobfile import Job, parse_job, read_table
from party.jobrecords import JobRecord, partner, person, rule
from party.jobs import Jobs
from party.jobstates import JobState
from party.keptruns import check_auditor
from party.node import Node
from party.policy import check_job
from party.preflight import standing_of
from party.standing import first_covering
from psi.errors import PeerViolation, PolicyRefusal, UsageError, VeiljoinError
from veiljoin.control_messages import Propose

# Names of automatic refusals in the history.
_POLICY = "policy"


def consider(node: Node, jobs: Jobs, catalogue: Catalogue, bank: str, proposal: Propose) -> str | None:
    """Enter a proposal of ``bank`` and decide what can be decided without a person.

    Returns the reason of a refusal (a word of ``JOB_REFUSALS``), or ``None``. A proposal that is not even readable is
    refused without a trace in the store. Raises ``PeerViolation`` if it isn't signed by the bank that was enrolled.
    """
    node.home.refresh()
    try:
        contract = parse_contract(proposal.contract)
        table = read_table(proposal.table)
        job = parse_job(table, f"job {contract.job[:8]}")
    except VeiljoinError:
        return "contract"
    _check_signed(node, bank, contract, proposal)
    name = str(contract.body["parties"]["platform"]["dataset"])
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        return "dataset"  # none that this node can have, and nothing to enter or to show
    record = jobs.receive(
        table,
        json.dumps(table, ensure_ascii=False, indent=2),
        partner(bank),
        dataset=name,
        contract=contract,
        signature=proposal.signature,
    )
    if record.state is not JobState.PROPOSED:
        return None
    reason = _objection(node, catalogue, job, contract, name)
    if reason is not None:
        jobs.refuse(record.id, rule(_POLICY), reason)
        return None  # the store has it, and it is told from there
    covering = first_covering(node.home.policy.standing, job, bank, name)
    # A person decides on a job that was not tried, or whose test identifiers did not meet.
    if covering is not None and standing_of(node, record).clear:
        jobs.accept(record.id, rule(covering.name), record.digest, signed(node, record))
    return None


def approve(node: Node, jobs: Jobs, record: JobRecord, actor: str) -> JobRecord:
    """Accept a proposal in the name of the person ``actor``.

    Raises ``PolicyRefusal`` or ``UsageError`` if policy, dataset or contract stand against it by now.
    """
    contract = parse_contract(record.contract or b"")
    job = parse_job(record.table, f"job {record.id[:8]}")
    _check_own(node, Catalogue(node.home.store, node.clock).get(record.dataset), job, contract)
    check_job(job, node.home.policy)
    check_auditor(job, "platform", node.home.policy)
    return jobs.accept(record.id, person(actor), record.digest, signed(node, record))


def signed(node: Node, record: JobRecord) -> bytes:
    """Return the platform's signature over the contract of ``record``."""
    return sign_contract(node.credentials.identity(), bytes.fromhex(record.digest), "platform")


def _check_signed(node: Node, bank: str, contract: Contract, proposal: Propose) -> None:
    known = node.partners.get(bank).identity
    if known is None or contract.identity("bank") != known or contract.job != proposal.job:
        raise PeerViolation(
            f"{bank} proposed a contract under another identity or id than its own.",
            hint="ask the bank whether its node was set up anew; then join again with a new token",
            code="peer_identity",
        )
    verify_contract(known, contract.hash, proposal.signature, "bank")
    if proposal.card.hex() != contract.body["card"]:
        raise PeerViolation(f"{bank} proposed a contract with another disclosure card than it names.")


def _objection(node: Node, catalogue: Catalogue, job: Job, contract: Contract, name: str) -> str | None:
    try:
        own = pick(catalogue.all(), name, job.platform, job.form, "this node")
    except UsageError as error:
        return "dataset" if error.code.name == "missing_file" else "columns"
    try:
        _check_own(node, own, job, contract)
        contract.seconds_left(node.clock())
        check_job(job, node.home.policy)
        check_auditor(job, "platform", node.home.policy)
    except PolicyRefusal:
        return "policy"
    except VeiljoinError:
        return "contract"
    return None


def _check_own(node: Node, own: Registered, job: Job, contract: Contract) -> None:
    facts = DatasetFacts(own.name, own.schema)
    check_agrees(contract, job, "platform", facts, public_identity(node.credentials.identity()))
