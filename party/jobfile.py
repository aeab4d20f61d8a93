"""The job file: what a bank operator writes to describe a joint job (README, "The job file").

One table says which keys exist, for which kinds and with which defaults. A key that is not in it is an error
that suggests the nearest name, because a misspelt threshold that is silently ignored would be worse.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from party.identifiers import Form, parse_form
from psi.errors import UsageError
from psi.suites import Suite, suite_by_id
from psi.terms import MAX_SET, Kind

SIDES: Final = ("bank", "platform")
# Kinds that are planned but run over the other primitive, the private grouped sum.
LATER_KINDS: Final = ("profile", "measure", "lift", "funnel")
KINDS: Final = tuple(kind.value for kind in Kind)
DEFAULT_SUITE: Final = "x25519-ell2"
DEFAULT_MIN_GROUP: Final = 50
DEFAULT_MAX_SET: Final = 50_000_000
MAX_PURPOSE: Final = 200


@dataclass(frozen=True, slots=True)
class _Key:
    """One key: the Python types its value may have, the kinds it belongs to, and what to write there."""

    types: tuple[type, ...]
    help: str
    kinds: tuple[str, ...] = KINDS
    required: bool = False


_TOP: Final = {
    "kind": _Key((str,), "overlap | audience", required=True),
    "purpose": _Key((str,), "why the data is used, as agreed with the people concerned", required=True),
    "identifier": _Key((str,), "canonical form both sides match on, such as phone", required=True),
    "suite": _Key((str,), "x25519-ell2 | ristretto255"),
    "receiver": _Key((str,), "who learns the result: bank | platform | both", required=True),
    "output": _Key((str,), "matched | unmatched", kinds=("audience",)),
    "holdout": _Key((int, float), "share of the sender's set kept back, 0 to 0.9", kinds=("audience",)),
    "bank": _Key((dict,), "the bank's columns", required=True),
    "platform": _Key((dict,), "the platform's columns", required=True),
    "policy": _Key((dict,), "thresholds and limits"),
}
_SIDE: Final = {
    "identifier": _Key((str,), "the column with the identifier", required=True),
    "tier": _Key((str,), "the column with the tier"),
    "tiers": _Key((list,), "the tiers, highest first"),
    "keep": _Key((str,), "which row of a person counts: first | last"),
    "region": _Key((str,), "country of phone numbers without a country code, such as CN"),
    "delimiter": _Key((str,), "the CSV delimiter, where it cannot be guessed"),
    "encoding": _Key((str,), "the text encoding, where it cannot be guessed"),
}
_POLICY: Final = {
    "min_group": _Key((int,), "fewest persons of a set, a tier, a count and a list"),
    "max_set": _Key((int,), "most persons of one side's set"),
}


@dataclass(frozen=True, slots=True)
class SideSpec:
    """One party's part of a job file: which column is what, and how its file is read."""

    identifier: str
    tier: str | None = None
    tiers: tuple[str, ...] = ()
    keep: str = "first"
    region: str = "CN"
    delimiter: str | None = None
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job file that was read and checked; ``source`` is its path, for messages."""

    source: str
    kind: Kind
    purpose: str
    form: Form
    suite: Suite
    receiver: str
    bank: SideSpec
    platform: SideSpec
    output: str = "matched"
    holdout: float = 0.0
    min_group: int = DEFAULT_MIN_GROUP
    max_set: int = DEFAULT_MAX_SET

    def side(self, name: str) -> SideSpec:
        """Return the part of ``bank`` or ``platform``."""
        return self.bank if name == "bank" else self.platform

    @property
    def both(self) -> bool:
        """Whether both parties receive their matches."""
        return self.receiver == "both"

    @property
    def protocol_receiver(self) -> str:
        """The party in the receiver's role; with two receivers the platform, so the bank sends first."""
        return "platform" if self.both else self.receiver

    @property
    def protocol_sender(self) -> str:
        """The party in the sender's role."""
        return "bank" if self.protocol_receiver == "platform" else "platform"


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
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"The job file {source} is not valid TOML: {error}.",
            hint='text goes in quotes, as in kind = "audience"',
            code="bad_format",
        ) from None
    return parse_job(table, str(source)), table


def parse_job(table: Mapping[str, Any], source: str) -> Job:
    """Check ``table``, the parsed content of the job file ``source``."""
    kind = _kind(table, source)
    _check(table, _TOP, "", kind.value, source)
    sides = {}
    for name in SIDES:
        _check(table[name], _SIDE, name, kind.value, source)
        sides[name] = _side(table[name], name, source)
    policy = table.get("policy", {})
    _check(policy, _POLICY, "policy", kind.value, source)

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
    receivers = SIDES if kind is Kind.OVERLAP else (*SIDES, "both")
    holdout = float(table.get("holdout", 0))
    if not 0 <= holdout <= 0.9:
        raise UsageError(f"holdout = {holdout:g} in {source} is out of range.", hint="use 0 to 0.9")
    min_group = _persons(policy, "min_group", DEFAULT_MIN_GROUP, source)
    max_set = _persons(policy, "max_set", DEFAULT_MAX_SET, source)
    if min_group > max_set:
        raise UsageError(
            f"min_group = {min_group} in [policy] of {source} is above max_set = {max_set}.",
            hint="no set could have that size; lower min_group or raise max_set",
        )
    return Job(
        source=source,
        kind=kind,
        purpose=purpose,
        form=parse_form(table["identifier"]),
        suite=suite_by_id(table.get("suite", DEFAULT_SUITE)),
        receiver=_choice(table, "receiver", receivers, source),
        output=_choice(table, "output", ("matched", "unmatched"), source, "matched"),
        holdout=holdout,
        min_group=min_group,
        max_set=max_set,
        **sides,
    )


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name most like ``name``, if one is near."""
    close = difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=0.6)
    return close[0] if close else None


def _kind(table: Mapping[str, Any], source: str) -> Kind:
    value = table.get("kind")
    if not isinstance(value, str):
        # Missing, misspelt or not text: the table of keys says which.
        _check(table, _TOP, "", None, source)
    if value in KINDS:
        return Kind(value)
    known = ", ".join(KINDS)
    if value in LATER_KINDS:
        raise UsageError(
            f'kind = "{value}" in {source} is not in this version.', hint=f"this version knows {known}"
        )
    near = nearest(str(value), KINDS)
    hint = f'did you mean "{near}"?' if near else f"use one of {known}"
    raise UsageError(f'kind = "{value}" in {source} is unknown.', hint=hint)


def _check(table: Any, keys: Mapping[str, _Key], section: str, kind: str | None, source: str) -> None:
    """Check the keys of one section; ``kind`` is ``None`` while it is not known."""
    where = f"[{section}] of {source}" if section else source
    if not isinstance(table, Mapping):
        raise UsageError(f"{section} in {source} is not a section.", hint=f"write it as [{section}]")
    for name, value in table.items():
        key = keys.get(name)
        if key is None:
            near = nearest(name, keys)
            hint = f"did you mean {near}?" if near else f"the keys here are {', '.join(keys)}"
            raise UsageError(f"{name} in {where} is an unknown key.", hint=hint, code="unknown_key")
        if kind is not None and kind not in key.kinds:
            raise UsageError(
                f"{name} in {where} does not belong to kind = {kind!r}.",
                hint=f"it belongs to {', '.join(key.kinds)}; take it out",
                code="unknown_key",
            )
        if not isinstance(value, key.types) or isinstance(value, bool):
            raise UsageError(f"{name} in {where} has a value of a wrong type.", hint=f"{name}: {key.help}")
        if value == "":
            raise UsageError(f"{name} in {where} is empty.", hint=f"{name}: {key.help}")
    for name, key in keys.items():
        if key.required and name not in table:
            raise UsageError(f"{name} is missing in {where}.", hint=f"{name}: {key.help}")


def _side(table: Mapping[str, Any], name: str, source: str) -> SideSpec:
    tiers = table.get("tiers", [])
    if not all(isinstance(tier, str) and tier for tier in tiers) or len(set(tiers)) != len(tiers):
        raise UsageError(
            f"tiers in [{name}] of {source} is not a list of different names.",
            hint='write it highest first, as in tiers = ["gold", "silver"]',
        )
    if tiers and "tier" not in table:
        raise UsageError(f"tiers in [{name}] of {source} needs a tier column.", hint='add tier = "COLUMN"')
    _choice(table, "keep", ("first", "last"), f"[{name}] of {source}", "first")
    return SideSpec(**{**table, "tiers": tuple(tiers)})


def _choice(
    table: Mapping[str, Any], key: str, choices: tuple[str, ...], where: str, default: str | None = None
) -> str:
    value = str(table.get(key, default))
    if value not in choices:
        near = nearest(value, choices)
        hint = f'did you mean "{near}"?' if near else f"use one of {', '.join(choices)}"
        raise UsageError(f'{key} = "{value}" in {where} is not possible here.', hint=hint)
    return value


def _persons(table: Mapping[str, Any], key: str, default: int, source: str) -> int:
    value = int(table.get(key, default))
    if not 1 <= value <= MAX_SET:
        raise UsageError(
            f"{key} = {value} in [policy] of {source} is out of range.", hint=f"use 1 to {MAX_SET}"
        )
    return value
