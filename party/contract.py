"""The contract: what both parties sign before any data moves.

It is canonical JSON (RFC 8785), so both sides hash the same bytes. It holds settings, column names and
fingerprints, never a data value. Its hash is the job's ``scope_id``: it enters the domain separation tag and
every message, so that nothing of one job fits another.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import rfc8785

from party.disclosure import card_for, tiered
from party.jobfile import KINDS, SIDES, Job
from psi.errors import VeiljoinError
from psi.suites import PROTOCOL_VERSION, suite_by_id
from psi.terms import CHUNK_ELEMENTS, Kind, Role, Terms

VERSION: Final = 1
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

    def role(self, side: str) -> Role:
        """Return the role of ``side`` in the private match."""
        return Role.RECEIVER if self.body["protocol_receiver"] == side else Role.SENDER

    def terms(self) -> Terms:
        """Return what the roles enforce. Raises ``UsageError`` for parameters that cannot be."""
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
) -> Contract:
    """Write the contract of ``job`` between two parties with these datasets and public identities."""
    body = _settled(job) | {
        "job": uuid.uuid4().hex,
        "chunk_elements": chunk_elements,
        "expires": (now + lifetime).isoformat(timespec="seconds"),
    }
    for side in SIDES:
        facts = {"dataset": datasets[side].name, "schema": datasets[side].schema}
        body["parties"][side] |= facts | {"identity": identities[side].hex()}
    canonical = rfc8785.dumps(body)
    return Contract(canonical, json.loads(canonical))


def check_agrees(contract: Contract, job: Job, side: str, own: DatasetFacts, identity: bytes) -> None:
    """Check that ``contract`` is ``job`` as this side knows it, over its own dataset and identity.

    Raises ``VeiljoinError`` that names what differs: nobody signs what it did not mean.
    """
    body = contract.body
    settled = _settled(job)
    mine = {"dataset": own.name, "schema": own.schema, "identity": identity.hex()}
    differs = [key for key, value in settled.items() if key != "parties" and body.get(key) != value]
    for name in SIDES:
        party = body["parties"][name]
        expected = settled["parties"][name] | (mine if name == side else {})
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


def _settled(job: Job) -> dict[str, Any]:
    """The part of a contract that follows from the job file alone."""
    parties = {}
    for side in SIDES:
        spec = job.side(side)
        parties[side] = {
            "columns": {"identifier": spec.identifier} | ({"tier": spec.tier} if spec.tier else {}),
            "tiered": tiered(job, side),
            # Which row stands for a person, and that a person with two tiers has the higher one.
            "keep": spec.keep,
            "tier_rule": "highest",
            "tiers": list(spec.tiers),
        }
    return {
        "version": VERSION,
        "protocol_version": PROTOCOL_VERSION,
        "kind": job.kind.value,
        "purpose": job.purpose,
        "identifier": job.form.text,
        "suite": job.suite.id,
        "receiver": job.receiver,
        "protocol_receiver": job.protocol_receiver,
        "output": job.output,
        "holdout": job.holdout,
        "policy": {"min_group": job.min_group, "max_set": job.max_set},
        "parties": parties,
        "card": card_hash(job),
    }


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
    fault = _misshapen(body, _SHAPE, "") or _impossible(body)
    if fault:
        raise VeiljoinError(
            f"The contract is malformed: {fault}.",
            hint="both sides need the same version of Veiljoin; draft the job again",
            code="bad_contract",
        )
    return Contract(canonical, body)


def _check_version(body: Mapping[str, Any]) -> None:
    # Before the shape, which a later version may change. True == 1 in Python, hence the types.
    spoken = (VERSION, PROTOCOL_VERSION)
    told = (body.get("version"), body.get("protocol_version"))
    if told != spoken or any(type(number) is not int for number in told):
        raise VeiljoinError(
            "The contract is of a version that this node does not speak.",
            hint=f"this node speaks contract {VERSION}, protocol {PROTOCOL_VERSION}; update the older node",
            code="bad_contract",
        )


# Every key of a contract with the types of its value; nothing is optional and nothing may stand beside it, so
# that nobody signs what no code looks at.
_Shape = Mapping[str, "tuple[type, ...] | _Shape"]
_PARTY: Final[_Shape] = {
    "columns": (dict,),
    "dataset": (str,),
    "identity": (str,),
    "keep": (str,),
    "schema": (str,),
    "tier_rule": (str,),
    "tiered": (bool,),
    "tiers": (list,),
}
_SHAPE: Final[_Shape] = {
    "card": (str,),
    "chunk_elements": (int,),
    "expires": (str,),
    "holdout": (int, float),
    "identifier": (str,),
    "job": (str,),
    "kind": (str,),
    "output": (str,),
    "parties": dict.fromkeys(SIDES, _PARTY),
    "policy": {"max_set": (int,), "min_group": (int,)},
    "protocol_receiver": (str,),
    "protocol_version": (int,),
    "purpose": (str,),
    "receiver": (str,),
    "suite": (str,),
    "version": (int,),
}


def _misshapen(value: Any, shape: _Shape, where: str) -> str:
    """Return what is wrong with the keys of ``value``, or an empty string. Only keys of ours are quoted."""
    if type(value) is not dict:
        return f"{where.rstrip('.')} is not an object"
    for key, expected in shape.items():
        name = where + key
        if key not in value:
            return f"{name} is missing"
        if isinstance(expected, tuple):
            # Exact types: a JSON true would pass for the number 1.
            if type(value[key]) not in expected:
                return f"{name} has a value of a wrong type"
        elif fault := _misshapen(value[key], expected, f"{name}."):
            return fault
    if len(value) > len(shape):
        return f"{where.rstrip('.') or 'it'} has a key that this version does not know"
    return ""


def _impossible(body: Mapping[str, Any]) -> str:
    """Return which value cannot be read as what it stands for, or an empty string."""
    if body["kind"] not in KINDS:
        return "kind is not one that this version knows"
    if body["receiver"] not in (*SIDES, "both"):
        return "receiver is nobody"
    if body["protocol_receiver"] not in SIDES:
        return "protocol_receiver is nobody"
    for side in SIDES:
        if not re.fullmatch("[0-9a-f]{64}", body["parties"][side]["identity"]):
            return f"parties.{side}.identity is not a public key"
    try:
        expires = datetime.datetime.fromisoformat(body["expires"])
    except ValueError:
        return "expires is not a time"
    return "" if expires.tzinfo else "expires has no time zone"
