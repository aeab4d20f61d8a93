"""What a contract's body holds: the part that follows from a job, and the checks on one that arrives.

There are two shapes, one for private matches and one for grouped sums, and each of them once more with ``keep_seed``:
that is version 2, which only jobs have where a party keeps its seed, so that all others go on between nodes old and
new. Nothing in a shape is optional and nothing may stand beside it, so that nobody signs what no code looks at.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from federated.keys import KEY_BITS
from federated.terms import MAX_DAYS
from party.disclosure import tiered
from party.jobspec import (
    CONVERTERS_BASE,
    CUSTOMERS_BASE,
    KINDS,
    MATCH_KINDS,
    SIDES,
    Arms,
    Job,
    SideSpec,
    SumSpec,
    Window,
    other_side,
)
from party.jobsums import MAX_AMOUNT, MAX_DOMINANCE, MAX_EPSILON, MAX_ROWS, MIN_EPSILON, SCALES
from psi.suites import PROTOCOL_VERSION
from psi.terms import MAX_SET

VERSION: Final = 1
WITH_KEPT_SEED: Final = 2
VERSIONS: Final = (VERSION, WITH_KEPT_SEED)
RECEIVERS: Final = (*SIDES, "both")
_LONGEST_ID: Final = 64


def settled(job: Job, card: str) -> dict[str, Any]:
    """Return the part of a contract that follows from the job alone; ``card`` is the hash of its disclosure card."""
    common = {
        "version": VERSION,
        "protocol_version": PROTOCOL_VERSION,
        "kind": job.kind.value,
        "purpose": job.purpose,
        "identifier": job.form.text,
        "suite": job.suite.id,
        "receiver": job.receiver,
    }
    if job.keep_seed is not None:
        common |= {"version": WITH_KEPT_SEED, "keep_seed": job.keep_seed}
    return common | (_match(job) if job.sums is None else _sums(job, job.sums)) | {"card": card}


def fault(body: Mapping[str, Any]) -> str:
    """Return what is wrong with the shape or a value of ``body``, or an empty string. Quotes none of its values."""
    kind = body.get("kind")
    if kind not in KINDS:
        if "kind" in body and type(kind) is not str:
            return "kind has a value of a wrong type"
        return "kind is not one that this version knows" if "kind" in body else "kind is missing"
    shape = _MATCH if kind in MATCH_KINDS else _SUMS
    if body.get("version") == WITH_KEPT_SEED:
        shape = {**shape, "keep_seed": (str,)}
    wrong = _misshapen(body, shape, "") or _impossible(body)
    if not wrong and kind not in MATCH_KINDS:
        wrong = next(_impossible_sums(body), "")
    return wrong


# -- from a job


def _match(job: Job) -> dict[str, Any]:
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
        "protocol_receiver": job.protocol_receiver,
        "output": job.output,
        "holdout": job.holdout,
        "policy": {"min_group": job.min_group, "max_set": job.max_set},
        "parties": parties,
    }


def _sums(job: Job, spec: SumSpec) -> dict[str, Any]:
    return {
        "value_holder": spec.value_holder,
        "base": spec.base,
        "key_bits": spec.key_bits,
        "window": _window(spec.window),
        "arms": _arms(spec.arms),
        "policy": {
            "min_group": job.min_group,
            "max_set": job.max_set,
            "min_converters": spec.min_converters,
            "dominance": spec.dominance,
            "max_rows": spec.max_rows,
            # Exact: as a fraction, not as a float.
            "epsilon": None if spec.epsilon is None else "{}/{}".format(*spec.epsilon.as_integer_ratio()),
            "outside": spec.outside,
        },
        "parties": {side: _sum_party(job.side(side)) for side in SIDES},
    }


def _sum_party(spec: SideSpec) -> dict[str, Any]:
    values = [
        {"column": value.column, "min": value.low, "max": value.high, "scale": value.scale}
        for value in spec.values
    ]
    columns = {
        "identifier": spec.identifier,
        "time": spec.time,
        "stages": list(spec.stages),
        "tags": list(spec.tags),
        # Bounds in whole units of 1/scale.
        "values": values,
        "groups": list(spec.groups),
        "cost": spec.cost,
    }
    return {"columns": columns, "keep": spec.keep}


def _window(window: Window | None) -> dict[str, Any] | None:
    if window is None:
        return None
    return {
        "days": window.days,
        "exposure": window.exposure,
        "timezone": window.timezone,
        "retention_days": window.retention_days,
    }


def _arms(arms: Arms | None) -> dict[str, Any] | None:
    if arms is None:
        return None
    return {"column": arms.column, "control": arms.control, "control_share": arms.control_share}


# -- shapes


@dataclass(frozen=True, slots=True)
class _ListOf:
    """A list whose members all have one shape."""

    member: _Shape


@dataclass(frozen=True, slots=True)
class _OrNull:
    """An object, or null."""

    shape: Mapping[str, _Shape]


# Types are exact: a JSON true would pass for the number 1.
_Shape = tuple[type, ...] | Mapping[str, "_Shape"] | _ListOf | _OrNull
_TEXTS: Final = _ListOf((str,))
_TEXT_OR_NULL: Final = (str, type(None))
_COMMON: Final[Mapping[str, _Shape]] = {
    "card": (str,),
    "chunk_elements": (int,),
    "expires": (str,),
    "identifier": (str,),
    "job": (str,),
    "kind": (str,),
    "protocol_version": (int,),
    "purpose": (str,),
    "receiver": (str,),
    "suite": (str,),
    "version": (int,),
}
_PARTY: Final[Mapping[str, _Shape]] = {
    "dataset": (str,),
    "identity": (str,),
    "keep": (str,),
    "schema": (str,),
}
_MATCH: Final[Mapping[str, _Shape]] = {
    **_COMMON,
    "holdout": (int, float),
    "output": (str,),
    "parties": {
        side: {**_PARTY, "columns": (dict,), "tier_rule": (str,), "tiered": (bool,), "tiers": (list,)}
        for side in SIDES
    },
    "policy": {"max_set": (int,), "min_group": (int,)},
    "protocol_receiver": (str,),
}
_COLUMNS: Final[Mapping[str, _Shape]] = {
    "cost": _TEXT_OR_NULL,
    "groups": _TEXTS,
    "identifier": (str,),
    "stages": _TEXTS,
    "tags": _TEXTS,
    "time": _TEXT_OR_NULL,
    "values": _ListOf({"column": (str,), "max": (int,), "min": (int,), "scale": (int,)}),
}
_SUMS: Final[Mapping[str, _Shape]] = {
    **_COMMON,
    "arms": _OrNull({"column": (str,), "control": (str,), "control_share": (float, int, type(None))}),
    "base": (str,),
    "key_bits": (int,),
    "parties": {side: {**_PARTY, "columns": _COLUMNS} for side in SIDES},
    "policy": {
        "dominance": (int,),
        "epsilon": _TEXT_OR_NULL,
        "max_rows": (int,),
        "max_set": (int,),
        "min_converters": (int,),
        "min_group": (int,),
        "outside": (str,),
    },
    "value_holder": (str,),
    "window": _OrNull(
        {
            "days": (int,),
            "exposure": (str,),
            "retention_days": (int, type(None)),
            "timezone": (str,),
        }
    ),
}


def _misshapen(value: Any, shape: _Shape, where: str) -> str:
    """Return what is wrong with ``value``, or an empty string. Only keys of ours are quoted."""
    name = where.rstrip(".")
    if isinstance(shape, tuple):
        return "" if type(value) in shape else f"{name} has a value of a wrong type"
    if isinstance(shape, _OrNull):
        return "" if value is None else _misshapen(value, shape.shape, where)
    if isinstance(shape, _ListOf):
        if type(value) is not list:
            return f"{name} has a value of a wrong type"
        faults = (_misshapen(each, shape.member, where) for each in value)
        return next((each for each in faults if each), "")
    if type(value) is not dict:
        return f"{name} is not an object"
    for key, expected in shape.items():
        if key not in value:
            return f"{where}{key} is missing"
        if told := _misshapen(value[key], expected, f"{where}{key}."):
            return told
    if len(value) > len(shape):
        return f"{name or 'it'} has a key that this version does not know"
    return ""


# -- values


def _impossible(body: Mapping[str, Any]) -> str:
    """Return which value of any contract cannot be read as what it stands for, or an empty string."""
    if body["receiver"] not in RECEIVERS:
        return "receiver is nobody"
    if body.get("keep_seed", RECEIVERS[0]) not in RECEIVERS:
        return "keep_seed is nobody"
    if body.get("protocol_receiver", SIDES[0]) not in SIDES:
        return "protocol_receiver is nobody"
    for side in SIDES:
        if not re.fullmatch("[0-9a-f]{64}", body["parties"][side]["identity"]):
            return f"parties.{side}.identity is not a public key"
    # Both are shown to people, in errors too.
    if not 0 < len(body["job"]) <= _LONGEST_ID or not body["job"].isprintable():
        return "job is no id"
    try:
        expires = datetime.datetime.fromisoformat(body["expires"])
    except ValueError:
        return "expires is not a time"
    if expires.isoformat(timespec="seconds") != body["expires"]:
        # Python reads a time with anything between date and hour.
        return "expires is not written as a time is here"
    return "" if expires.tzinfo else "expires has no time zone"


def _impossible_sums(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield which values of a grouped sum's contract cannot be."""
    if body["value_holder"] not in SIDES:
        yield "value_holder is nobody"
        return
    policy, window, arms = body["policy"], body["window"], body["arms"]
    ranges = [
        ("policy.max_set", policy["max_set"], 1, MAX_SET),
        ("policy.min_group", policy["min_group"], 1, policy["max_set"]),
        ("policy.min_converters", policy["min_converters"], 1, MAX_SET),
        ("policy.dominance", policy["dominance"], 0, MAX_DOMINANCE),
        ("policy.max_rows", policy["max_rows"], 1, MAX_ROWS),
    ]
    choices = [
        ("base", body["base"], (CONVERTERS_BASE, CUSTOMERS_BASE)),
        ("key_bits", body["key_bits"], KEY_BITS),
        ("policy.outside", policy["outside"], ("clip", "reject")),
    ]
    if window is not None:
        ranges.append(("window.days", window["days"], 0, MAX_DAYS))
        if window["retention_days"] is not None:
            ranges.append(("window.retention_days", window["retention_days"], 1, MAX_DAYS))
        choices.append(("window.exposure", window["exposure"], ("first", "last")))
    yield from (
        f"{name} is out of range" for name, value, least, most in ranges if not least <= value <= most
    )
    yield from (f"{name} is not one of its values" for name, value, known in choices if value not in known)
    if policy["epsilon"] is not None and not _is_epsilon(policy["epsilon"]):
        yield "policy.epsilon is not a fraction in range"
    yield from _misplaced(body)
    if (arms is not None) != (body["kind"] == "lift"):
        yield "arms belong to a lift, and a lift has them"
    elif arms is not None and arms["control_share"] is not None and not 0 < arms["control_share"] < 1:
        yield "arms.control_share is out of range"
    elif arms is not None and arms["column"] not in _group_columns(body):
        yield "arms.column is not a group column"


def _group_columns(body: Mapping[str, Any]) -> list[str]:
    columns: list[str] = body["parties"][other_side(body["value_holder"])]["columns"]["groups"]
    return columns


def _misplaced(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield columns on the side that cannot have them, and bounds that are none."""
    for side in SIDES:
        columns = body["parties"][side]["columns"]
        foreign = ("groups",) if side == body["value_holder"] else ("tags", "values")
        yield from (f"parties.{side}.columns.{name} is the other side's" for name in foreign if columns[name])
        if side == body["value_holder"] and columns["cost"] is not None:
            yield f"parties.{side}.columns.cost is the other side's"
        if body["window"] is not None and columns["time"] is None:
            yield f"parties.{side}.columns.time is missing for the window"
        for value in columns["values"]:
            if value["scale"] not in SCALES or not -MAX_AMOUNT <= value["min"] < value["max"] <= MAX_AMOUNT:
                yield f"parties.{side}.columns.values has impossible bounds"


def _is_epsilon(text: str) -> bool:
    # Its one form: in lowest terms, and short enough that reading it costs nothing.
    if not re.fullmatch(r"[1-9][0-9]{0,39}/[1-9][0-9]{0,39}", text):
        return False
    epsilon = Fraction(text)
    return MIN_EPSILON <= epsilon <= MAX_EPSILON and "{}/{}".format(*epsilon.as_integer_ratio()) == text
