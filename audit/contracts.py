"""A contract as an auditor reads it: who signed what, with which thresholds, and what it lets either side send.

The checks here need no code of the parties: the contract's bytes are JSON, its hash is what was signed. SPEC 11.3
and 11.5; the streams are those of psi/SPEC.md 5 and federated/SPEC.md 11 and 12.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from typing import Any, Final

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit import canonical
from audit.entry import ROLES
from audit.events import is_hex
from audit.steps import Step
from psi.suites import SUITES

MATCH_KINDS: Final = ("overlap", "audience")
SUM_KINDS: Final = ("profile", "measure", "lift", "funnel")
# What only happens once both have signed.
MOVES: Final = ("stream", "decision", "budget_spent", "dataset_used", "result_released")
_SIGNED: Final = b"veiljoin/v1/contract\0"
_KEY_BITS: Final = (2_048, 3_072)
# The one form of a contract's epsilon: short enough that reckoning with it costs nothing.
_EPSILON: Final = re.compile("[1-9][0-9]{0,39}/[1-9][0-9]{0,39}")
_TIME: Final = re.compile(
    "([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?P<sign>[+-])([0-9]{2}):([0-9]{2})"
)
_PARTS: Final = (1, 2, 3, 4, 5, 6, 8, 9)
# federated/SPEC 11: a ciphertext of a person covers one exposure day or more; cells, tags and units have a limit.
_MOST_DAYS: Final = 366
_MOST_CELLS: Final = 5_000
_MOST_SUMS: Final = 2 * _MOST_CELLS
_ANNOUNCED: Final = 32 + 64  # the contract's hash and both commitments
_MASK: Final = 2 + 1_024
_NAMED: Final = 2 + 128
_ROW: Final = (5 + 8 * 8) + (2 + 2 * 1_024) + _MASK


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

    ``element`` is bytes of an element, of which one person has up to ``several``; ``None`` for a single message,
    whose bytes are ``least`` to ``most`` in steps of ``step``. ``like`` names the stream whose count this one
    repeats; ``release`` the decision it needs.
    """

    name: str
    sender: str
    element: int | None = None
    several: int = 1
    like: str | None = None
    release: str | None = None
    required: bool = True
    least: int = 0
    most: int = 0
    step: int = 1

    def fits(self, count: int, size: int) -> bool:
        """Return whether ``count`` elements, or a single message, can have ``size`` bytes."""
        if self.element is None:
            return count == 1 and self.least <= size <= self.most and (size - self.least) % self.step == 0
        if self.several == 1 or count == 0:
            return size == count * self.element
        # As many ciphertexts for one person as for another.
        each, rest = divmod(size, count * self.element)
        return rest == 0 and 1 <= each <= self.several


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract that was read; identities are 32 bytes, ``flows`` by name, ``ends`` in milliseconds since 1970."""

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
    value_holder: str | None
    flows: Mapping[str, Flow]
    ends: int

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
        # Other bytes could say two things: a key that is there twice, for one. Contracts have fractions, which
        # entries have not: ``audit.canonical`` would refuse them.
        same = rfc8785.dumps(body) == data
    except (ValueError, RecursionError):  # ValueError: of rfc8785 too, as for half of a surrogate pair
        same = False
    if not same:
        raise ValueError("a contract is not canonical JSON")
    try:
        return _contract(data, body)
    except (KeyError, TypeError, AttributeError):
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
    settings, sections = card.get("settings"), card.get("sections")
    if not isinstance(settings, dict) or not isinstance(sections, dict):
        raise ValueError("the card has no settings or no statements")
    limits = contract.thresholds
    told: dict[str, str | int | None] = {
        "kind": contract.kind,
        "receiver": contract.receiver,
        "min_group": limits.min_group,
        "max_set": limits.max_set,
    }
    if contract.kind in SUM_KINDS and contract.kind != "profile":
        told["min_converters"] = limits.min_converters
    for name, value in told.items():
        if type(settings.get(name)) is not type(value) or settings[name] != value:
            raise ValueError(f"the card's {name} is not the contract's")
    # Told only where it holds.
    if "dominance" in settings and settings["dominance"] != limits.dominance:
        raise ValueError("the card's dominance is not the contract's")
    noise = {
        str(params.get("epsilon")) if isinstance(params := each.get("params"), dict) else ""
        for section in sections.values()
        if isinstance(section, list)
        for each in section
        if isinstance(each, dict) and each.get("id") == "noise"
    }
    if noise != (set() if limits.epsilon is None else {f"{float(limits.epsilon):g}"}):
        raise ValueError("the card's epsilon is not the contract's")


def moment(text: str) -> int:
    """Return the milliseconds since 1970 UTC of a contract's time, such as 2026-12-24T00:00:00+08:00.

    By hand, for this package imports no clock. Raises ``ValueError``.
    """
    written = _TIME.fullmatch(text)
    if written is None:
        raise ValueError("a contract's time is not written as one")
    year, month, day, hour, minute, second, ahead, behind = (int(each) for each in written.group(*_PARTS))
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60):
        raise ValueError("a contract's time is none")
    # Days of the Gregorian calendar, in years that begin on 1 March: the leap day is the last of its year.
    past, since = year - (month <= 2), (month + 9) % 12
    days = 365 * past + past // 4 - past // 100 + past // 400 + (153 * since + 2) // 5 + day - 719_469
    offset = (60 * ahead + behind) * (-1 if written["sign"] == "-" else 1)
    return 1_000 * (86_400 * days + 3_600 * hour + 60 * (minute - offset) + second)


def check_line(contract: Contract, fields: Mapping[str, Any]) -> None:
    """Check the line of a bundle that holds ``contract``: its card, and both signatures where they are there.

    The card's texts are not bound to anything. Raises ``ValueError``.
    """
    check_card(contract, fields["card"])
    for side in ROLES:
        if (signature := fields[f"{side}_signature"]) is not None:
            verify_signature(contract.identities[side], contract.hash, side, bytes.fromhex(signature))


def agreed(steps: Sequence[Step]) -> bytes | None:
    """Return the hash of the contract that a job ran under: the one last signed before anything moved.

    Of a job in which nothing moved it is the one signed last. What is signed behind the first move changes nothing
    (SPEC 11.4); ``None`` where nothing was signed in time.
    """
    digest: bytes | None = None
    for step in steps:
        if step.type in MOVES:
            break
        if step.type in ("job_propose", "job_accept"):
            digest = step["digest"]
    return digest


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
        value_holder=holder,
        flows={flow.name: flow for flow in flows},
        ends=moment(_text(body["expires"])),
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
        None if epsilon is None else _fraction(epsilon),
    )


def _fraction(text: Any) -> Fraction:
    if _EPSILON.fullmatch(_text(text)) is None:
        raise ValueError("a contract's epsilon is not a fraction")
    return Fraction(text)


def _match_flows(body: Mapping[str, Any], sizes: tuple[int, int]) -> list[Flow]:
    point, token = sizes
    receiver = _side(body["protocol_receiver"])
    sender = other(receiver)
    flows = [
        _announce("receiver_announce", receiver, 2, 255 * (9 + 255)),
        _announce("sender_announce", sender, 2, 255 * (9 + 255)),
        Flow("receiver_points", receiver, point, release="points"),
        Flow("sender_points", sender, point, release="points"),
        Flow("receiver_tokens", sender, token, like="receiver_points", release="tokens"),
        _short("finish_of_receiver", receiver),
        _short("finish_of_sender", sender),
    ]
    if body["receiver"] == "both":
        flows += [
            _short("token_commitment", receiver),
            Flow("sender_tokens", receiver, token, like="sender_points", release="tokens"),
        ]
    return flows


def _announce(name: str, side: str, fixed: int, more: int) -> Flow:
    """Return an announcement: of ``fixed`` bytes beside the contract and the commitments, and up to ``more``."""
    least = _ANNOUNCED + fixed
    return Flow(name, side, required=False, least=least, most=least + more)


def _short(name: str, side: str) -> Flow:
    """Return a message of a few digests."""
    return Flow(name, side, required=False, least=1, most=128)


def _sum_flows(body: Mapping[str, Any], sizes: tuple[int, int]) -> list[Flow]:
    point, token = sizes
    values = _side(body["value_holder"])
    groups = other(values)
    if body["key_bits"] not in _KEY_BITS:
        raise ValueError("a contract's key has a length that is not offered")
    # A ciphertext is a number below n^2.
    ciphertext = 2 * _whole(body["key_bits"]) // 8
    days = 1 if body["window"] is None else _MOST_DAYS
    readers = ROLES if body["receiver"] == "both" else (_side(body["receiver"]),)
    opening = (4 + 1 + 8 * _NAMED + 9 + _MASK, 1 + 9 + _MASK + _NAMED + 4)
    flows = [
        # Size, key, proof and 128 tags; days, cells and 100,000 units (federated/SPEC 11.1).
        _announce("value_announce", values, 15, 9 * 1_024 + 128 * 2 * _NAMED),
        _announce("group_announce", groups, 15, 4 * _MOST_CELLS + 14 * 100_000),
        Flow("nonce_of_value_holder", values, least=32, most=32),
        Flow("nonce_of_group_holder", groups, least=32, most=32),
        Flow("value_points", values, point, release="points"),
        Flow("value_sums", values, ciphertext, several=days, like="value_points", release="points"),
        Flow("group_points", groups, point, release="points"),
        Flow("group_tokens", values, token, like="group_points", release="tokens"),
        # A place and a ciphertext for each sum.
        Flow(
            *("cell_sums", groups),
            release="sums",
            least=4,
            most=4 + _MOST_SUMS * (4 + ciphertext),
            step=4 + ciphertext,
        ),
        Flow("verdict", values, least=8, most=8 + _MOST_SUMS + _MOST_CELLS),
        _short("finish_of_value_holder", values),
        _short("finish_of_group_holder", groups),
    ]
    if values in readers:
        most = 18 + _MOST_SUMS * opening[0] + _MOST_CELLS * opening[1] + 10 * 65_535
        flows.append(Flow("openings", groups, release="openings", least=18, most=most))
    if groups in readers:
        most = 12 + _MOST_SUMS * _ROW + _MOST_CELLS * (1 + _ROW + 4)
        flows.append(Flow("table", values, release="table", least=12, most=most))
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
