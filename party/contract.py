"""The contract: what both parties sign before any data moves.

It is canonical JSON (RFC 8785), so both sides hash the same bytes. It holds settings, column names and
fingerprints, never a data value. Its hash is the job's ``scope_id``: it enters the domain separation tag and
every message, so that nothing of one job fits another.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import rfc8785

from federated.keys import KEY_BITS
from federated.terms import MAX_DAYS, SumRole, SumTerms, ValueColumn, WindowTerms
from party.contract_body import VERSIONS, fault, settled
from party.disclosure import card_for
from party.jobspec import CUSTOMERS_BASE, SIDES, Job, JobKind, other_side
from psi.errors import UsageError, VeiljoinError
from psi.suites import PROTOCOL_VERSION, suite_by_id
from psi.terms import CHUNK_ELEMENTS, Kind, Role, Terms

MAX_LIFETIME: Final = datetime.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What a contract says of one side's dataset: its name and the fingerprint of its columns."""

    name: str
    schema: str


@dataclass(frozen=True, slots=True)
class Contract:
    """A drafted contract: its canonical bytes, and the parsed form of exactly those bytes."""

    canonical: bytes
    body: Mapping[str, Any]

    @property
    def hash(self) -> bytes:
        """SHA-256 of the canonical bytes: what is signed, and the job's ``scope_id``."""
        return hashlib.sha256(self.canonical).digest()

    @property
    def job(self) -> str:
        """The job's id."""
        return str(self.body["job"])

    def identity(self, side: str) -> bytes:
        """Return the public identity of ``side``."""
        return bytes.fromhex(self.body["parties"][side]["identity"])

    def schema(self, side: str) -> str:
        """Return the schema fingerprint of the dataset of ``side``."""
        return str(self.body["parties"][side]["schema"])

    @property
    def kind(self) -> JobKind:
        """The job's kind."""
        return JobKind(self.body["kind"])

    def keeps_seed(self, side: str) -> bool:
        """Whether ``side`` keeps its seed of the job, sealed to its auditor."""
        return self.body.get("keep_seed") in (side, "both")

    def role(self, side: str) -> Role:
        """Return the role of ``side`` in the private match. Raises ``UsageError`` for a grouped sum."""
        self._require(sums=False)
        return Role.RECEIVER if self.body["protocol_receiver"] == side else Role.SENDER

    def terms(self) -> Terms:
        """Return what the roles of a private match enforce.

        Raises ``UsageError`` for parameters that cannot be, and for the contract of a grouped sum.
        """
        self._require(sums=False)
        body = self.body
        receiver = body["protocol_receiver"]
        sender = "bank" if receiver == "platform" else "platform"
        parties, policy = body["parties"], body["policy"]
        return Terms(
            contract=self.hash,
            suite=suite_by_id(body["suite"]),
            kind=Kind(body["kind"]),
            both=body["receiver"] == "both",
            receiver_tiered=parties[receiver]["tiered"],
            sender_tiered=parties[sender]["tiered"],
            receiver_labels=tuple(parties[receiver]["tiers"]) if parties[receiver]["tiered"] else (),
            sender_labels=tuple(parties[sender]["tiers"]) if parties[sender]["tiered"] else (),
            unmatched=body["output"] == "unmatched",
            receiver_limit=policy["max_set"],
            sender_limit=policy["max_set"],
            min_group=policy["min_group"],
            chunk_elements=body["chunk_elements"],
        )

    def sum_role(self, side: str) -> SumRole:
        """Return the role of ``side`` in the grouped sum. Raises ``UsageError`` for a private match."""
        self._require(sums=True)
        return SumRole.VALUE_HOLDER if self.body["value_holder"] == side else SumRole.GROUP_HOLDER

    def sum_terms(self) -> SumTerms:
        """Return what the roles of a grouped sum enforce.

        Raises ``UsageError`` for parameters that cannot be, and for the contract of a private match.
        """
        self._require(sums=True)
        body = self.body
        policy, window = body["policy"], body["window"]
        columns = body["parties"][body["value_holder"]]["columns"]
        groups = body["parties"][other_side(body["value_holder"])]["columns"]["groups"]
        readers = SIDES if body["receiver"] == "both" else (body["receiver"],)
        return SumTerms(
            contract=self.hash,
            suite=suite_by_id(body["suite"]),
            readers=frozenset(self.sum_role(side) for side in readers),
            customers=body["base"] == CUSTOMERS_BASE,
            stages=tuple(columns["stages"]),
            values=tuple(ValueColumn(each["column"], each["min"], each["max"]) for each in columns["values"]),
            tag_columns=tuple(columns["tags"]),
            window=None if window is None else WindowTerms(window["days"], window["retention_days"]),
            max_rows=policy["max_rows"],
            value_limit=policy["max_set"],
            group_limit=policy["max_set"],
            min_group=policy["min_group"],
            min_converters=policy["min_converters"],
            dominance=policy["dominance"],
            epsilon=None if policy["epsilon"] is None else Fraction(policy["epsilon"]),
            # A funnel's labels begin with the highest stage reached.
            label_parts=len(groups) + (self.kind is JobKind.FUNNEL),
            arm_part=None if body["arms"] is None else groups.index(body["arms"]["column"]),
            key_bits=body["key_bits"],
            chunk_elements=body["chunk_elements"],
        )

    def _require(self, *, sums: bool) -> None:
        if self.kind.is_sum != sums:
            primitive = ("private match", "private grouped sum")
            raise UsageError(
                f"The contract of job {self.job} is for a {primitive[self.kind.is_sum]}, not for a "
                f"{primitive[sums]}.",
                hint="draft the job again with the kind that is meant",
                code="bad_contract",
            )

    def seconds_left(self, now: datetime.datetime) -> float:
        """Return how long the contract holds from ``now`` (timezone-aware) on.

        Raises ``VeiljoinError`` if it has expired, or would hold longer than ``MAX_LIFETIME``.
        """
        expires = datetime.datetime.fromisoformat(self.body["expires"])
        if expires - now > MAX_LIFETIME:
            raise VeiljoinError(
                f"The contract of job {self.job} would hold until {self.body['expires']}.",
                hint=f"a contract holds {MAX_LIFETIME.days} days at most; check both clocks",
                code="bad_contract",
            )
        if now >= expires:
            raise VeiljoinError(
                f"The contract of job {self.job} expired at {self.body['expires']}.",
                hint="draft the job again",
                code="bad_contract",
            )
        return (expires - now).total_seconds()


def draft(
    job: Job,
    datasets: Mapping[str, DatasetFacts],
    identities: Mapping[str, bytes],
    *,
    now: datetime.datetime,
    lifetime: datetime.timedelta = datetime.timedelta(days=1),
    chunk_elements: int = CHUNK_ELEMENTS,
    job_id: str | None = None,
) -> Contract:
    """Write the contract of ``job`` between two parties with these datasets and public identities.

    ``job_id`` is the job's id where it has one already: that of a job which is edited. Otherwise it is a new one.

    Raises ``UsageError`` for a grouped sum whose figures do not fit a plaintext.
    """
    body = settled(job, card_hash(job)) | {
        "job": job_id or uuid.uuid4().hex,
        "chunk_elements": chunk_elements,
        "expires": (now + lifetime).isoformat(timespec="seconds"),
    }
    for side in SIDES:
        facts = {"dataset": datasets[side].name, "schema": datasets[side].schema}
        body["parties"][side] |= facts | {"identity": identities[side].hex()}
    canonical = rfc8785.dumps(body)
    contract = Contract(canonical, json.loads(canonical))
    if job.sums is not None:
        _check_fits(contract, job.source, "bad_setting")
    return contract


def check_agrees(contract: Contract, job: Job, side: str, own: DatasetFacts, identity: bytes) -> None:
    """Check that ``contract`` is ``job`` as this side knows it, over its own dataset and identity.

    Raises ``VeiljoinError`` that names what differs: nobody signs what it did not mean.
    """
    body = contract.body
    agreed = settled(job, card_hash(job))
    mine = {"dataset": own.name, "schema": own.schema, "identity": identity.hex()}
    differs = [key for key, value in agreed.items() if key != "parties" and body.get(key) != value]
    for name in SIDES:
        party = body["parties"][name]
        expected = agreed["parties"][name] | (mine if name == side else {})
        differs += [f"{name}.{key}" for key, value in expected.items() if party.get(key) != value]
    if body["chunk_elements"] != CHUNK_ELEMENTS:
        differs.append("chunk_elements")
    if body["parties"]["bank"]["identity"] == body["parties"]["platform"]["identity"]:
        differs.append("identity")
    if differs:
        raise VeiljoinError(
            f"The contract differs from the job on the {side}'s side in {', '.join(differs)}.",
            hint="both sides need the same job file, and a dataset whose columns did not change",
            code="bad_contract",
        )


def card_hash(job: Job) -> str:
    """Return the hex SHA-256 of the job's disclosure card in canonical JSON."""
    return hashlib.sha256(rfc8785.dumps(card_for(job).as_data())).hexdigest()  # type: ignore[arg-type]


def parse_contract(canonical: bytes) -> Contract:
    """Read a contract from its bytes.

    Raises ``VeiljoinError`` unless they are its one canonical form, of a version that this node speaks, with every
    key and no other.
    """
    try:
        body = json.loads(canonical)
        same = isinstance(body, dict) and rfc8785.dumps(body) == canonical
    except (ValueError, RecursionError, rfc8785.CanonicalizationError):
        same = False
    if not same:
        raise VeiljoinError(
            "The contract is not canonical JSON.", hint="draft the job again", code="bad_contract"
        )
    _check_version(body)
    wrong = fault(body)
    if wrong:
        raise VeiljoinError(
            f"The contract is malformed: {wrong}.",
            hint="both sides need the same version of Veiljoin; draft the job again",
            code="bad_contract",
        )
    contract = Contract(canonical, body)
    if contract.kind.is_sum:
        _check_fits(contract, f"the contract of job {contract.job}", "bad_contract")
    return contract


def _check_fits(contract: Contract, source: str, code: str) -> None:
    """Check before anything runs that the figures fit a plaintext; how many tags there are is known only later."""
    terms = contract.sum_terms()
    days = 1 if terms.window is None else MAX_DAYS
    rows = min(terms.value_limit, terms.group_limit)
    try:
        terms.layout(rows=rows, days=days, tags=len(terms.tag_columns))
    except UsageError:
        longer = "" if terms.key_bits == KEY_BITS[-1] else f", or set key_bits = {KEY_BITS[-1]}"
        raise UsageError(
            f"The figures of {source} do not fit into one number of a {terms.key_bits}-bit key.",
            hint=f"lower max_set or max_rows in [policy], or max or scale of a value; name fewer values{longer}",
            code=code,
        ) from None


def _check_version(body: Mapping[str, Any]) -> None:
    # Before the shape, which a later version may change. True == 1 in Python, hence the types.
    version, protocol = told = (body.get("version"), body.get("protocol_version"))
    typed = all(type(number) is int for number in told)
    if not typed or version not in VERSIONS or protocol != PROTOCOL_VERSION:
        raise VeiljoinError(
            "The contract is of a version that this node does not speak.",
            hint=f"this node speaks contract {VERSIONS[0]} and {VERSIONS[1]}, protocol {PROTOCOL_VERSION}; "
            "update the older node",
            code="bad_contract",
        )
