"""A contract as an auditor reads it: who signed what, with which thresholds, and what it lets either side send.

The checks here need no code of the parties: the contract's bytes are JSON, its hash is what was signed. SPEC 11.3
and 11.5; the streams are those of psi/SPEC.md 5 and federated/SPEC.md 11 and 12.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit import canonical
from audit.entry import ROLES
from audit.events import is_hex
from psi.suites import SUITES

MATCH_KINDS: Final = ("overlap", "audience")
SUM_KINDS: Final = ("profile", "measure", "lift", "funnel")
_SIGNED: Final = b"veiljoin/v1/contract\0"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The parameters that a decision names; ``None`` where the kind has no such one."""

    min_group: int
    max_set: int
    min_converters: int | None = None
    dominance: int | None = None
    epsilon: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """One stream or single message that a contract allows.

    ``element`` is bytes of an element, or what they are a multiple of with ``several``; ``None`` for a single
    message. ``like`` names the stream whose count this one repeats; ``release`` the decision it needs.
    """

    name: str
    sender: str
    element: int | None = None
    several: bool = False
    like: str | None = None
    release: str | None = None
    required: bool = True


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract that was read; identities are 32 bytes, ``flows`` by name."""

    hash: bytes
    job: str
    kind: str
    receiver: str
    identities: Mapping[str, bytes]
    datasets: Mapping[str, str]
    schemas: Mapping[str, str]
    thresholds: Thresholds
    customers: bool
    tagged: bool
    card: str
    flows: Mapping[str, Flow]

    def readers(self) -> tuple[str, ...]:
        """Return the sides that may read the result."""
        return ROLES if self.receiver == "both" else (self.receiver,)


def other(side: str) -> str:
    """Return the other of bank and platform."""
    return ROLES[1 - ROLES.index(side)]


def decoded(text: str) -> bytes:
    """Return the bytes of a contract line. Raises ``ValueError`` unless it is base64 in its one form."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a contract is not base64") from None
    if base64.b64encode(data).decode("ascii") != text:
        raise ValueError("a contract is not base64")
    return data


def read(data: bytes) -> Contract:
    """Read a contract's canonical bytes. Raises ``ValueError`` for what no contract can be."""
    try:
        body = json.loads(data)
        return _contract(data, body)
    except (KeyError, TypeError, AttributeError, RecursionError, ZeroDivisionError):
        raise ValueError("a contract lacks a part or has one of a wrong type") from None


def verify_signature(identity: bytes, contract_hash: bytes, side: str, signature: bytes) -> None:
    """Check the Ed25519 signature of ``side`` over a contract's hash. Raises ``ValueError``."""
    try:
        Ed25519PublicKey.from_public_bytes(identity).verify(
            signature, _SIGNED + side.encode("ascii") + b"\0" + contract_hash
        )
    except InvalidSignature:
        raise ValueError("the signature is not of this identity over this contract") from None


def check_card(contract: Contract, card: Mapping[str, Any]) -> None:
    """Check that ``card`` is the disclosure card that ``contract`` names, and speaks of the same thresholds.

    Raises ``ValueError``.
    """
    if sha256(canonical.encode(dict(card))).hexdigest() != contract.card:
        raise ValueError("the card is not the one whose hash the contract holds")
    settings = card.get("settings")
    if not isinstance(settings, dict):
        raise ValueError("the card has no settings")
    limits = contract.thresholds
    told = {
        "kind": contract.kind,
        "receiver": contract.receiver,
        "min_group": limits.min_group,
        "max_set": limits.max_set,
        "min_converters": limits.min_converters,
        "dominance": limits.dominance,
    }
    for name, value in told.items():
        if name in settings and value is not None and settings[name] != value:
            raise ValueError(f"the card's {name} is not the contract's")


def _contract(data: bytes, body: Mapping[str, Any]) -> Contract:
    kind, receiver, job, card = (_text(body[key]) for key in ("kind", "receiver", "job", "card"))
    if kind not in (*MATCH_KINDS, *SUM_KINDS) or receiver not in (*ROLES, "both"):
        raise ValueError("a contract is of no known kind, or nobody receives its result")
    if not is_hex(job, 32) or not is_hex(card, 64):
        raise ValueError("a contract's job or card is not what it must be")
    suite = SUITES.get(_text(body["suite"]))
    if suite is None:
        raise ValueError("a contract names a suite that is not known here")
    parties = {side: body["parties"][side] for side in ROLES}
    for side in ROLES:
        if not is_hex(parties[side]["identity"], 64) or not is_hex(parties[side]["schema"], 64):
            raise ValueError("a contract's identity or schema is not 64 hexadecimal digits")
    sizes = (suite.element_size, suite.token_size)
    flows = _match_flows(body, sizes) if kind in MATCH_KINDS else _sum_flows(body, sizes)
    holder = None if kind in MATCH_KINDS else _side(body["value_holder"])
    return Contract(
        hash=sha256(data).digest(),
        job=job,
        kind=kind,
        receiver=receiver,
        identities={side: bytes.fromhex(parties[side]["identity"]) for side in ROLES},
        datasets={side: _text(parties[side]["dataset"]) for side in ROLES},
        schemas={side: _text(parties[side]["schema"]) for side in ROLES},
        thresholds=_thresholds(body["policy"], holder is not None),
        customers=holder is not None and body["base"] == "customers",
        tagged=holder is not None and bool(parties[holder]["columns"]["tags"]),
        card=card,
        flows={flow.name: flow for flow in flows},
    )


def _thresholds(policy: Mapping[str, Any], sums: bool) -> Thresholds:
    limits = _whole(policy["min_group"]), _whole(policy["max_set"])
    if not sums:
        return Thresholds(*limits)
    epsilon = policy["epsilon"]
    return Thresholds(
        *limits,
        _whole(policy["min_converters"]),
        _whole(policy["dominance"]),
        None if epsilon is None else Fraction(_text(epsilon)),
    )


def _match_flows(body: Mapping[str, Any], sizes: tuple[int, int]) -> list[Flow]:
    point, token = sizes
    receiver = _side(body["protocol_receiver"])
    sender = other(receiver)
    flows = [
        Flow("receiver_announce", receiver, required=False),
        Flow("sender_announce", sender, required=False),
        Flow("receiver_points", receiver, point, release="points"),
        Flow("sender_points", sender, point, release="points"),
        Flow("receiver_tokens", sender, token, like="receiver_points", release="tokens"),
        Flow("finish_of_receiver", receiver, required=False),
        Flow("finish_of_sender", sender, required=False),
    ]
    if body["receiver"] == "both":
        flows += [
            Flow("token_commitment", receiver, required=False),
            Flow("sender_tokens", receiver, token, like="sender_points", release="tokens"),
        ]
    return flows


def _sum_flows(body: Mapping[str, Any], sizes: tuple[int, int]) -> list[Flow]:
    point, token = sizes
    values = _side(body["value_holder"])
    groups = other(values)
    # A ciphertext is a number below n^2.
    ciphertext = 2 * _whole(body["key_bits"]) // 8
    readers = ROLES if body["receiver"] == "both" else (_side(body["receiver"]),)
    flows = [
        Flow("value_announce", values, required=False),
        Flow("group_announce", groups, required=False),
        Flow("nonce_of_value_holder", values),
        Flow("nonce_of_group_holder", groups),
        Flow("value_points", values, point, release="points"),
        Flow("value_sums", values, ciphertext, several=True, like="value_points", release="points"),
        Flow("group_points", groups, point, release="points"),
        Flow("group_tokens", values, token, like="group_points", release="tokens"),
        Flow("cell_sums", groups, release="sums"),
        Flow("verdict", values),
        Flow("finish_of_value_holder", values, required=False),
        Flow("finish_of_group_holder", groups, required=False),
    ]
    if values in readers:
        flows.append(Flow("openings", groups, release="openings"))
    if groups in readers:
        flows.append(Flow("table", values, release="table"))
    return flows


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value


def _side(value: Any) -> str:
    if value not in ROLES:
        raise TypeError
    return str(value)
