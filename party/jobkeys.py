"""The keys of a job file: which exist, on which side, for which kinds, and how a wrong one is told.

A key that is not in these tables is an error that suggests the nearest name, because a misspelt threshold that is
silently ignored would be worse; so is one that does not belong to this kind of job, or to this side. Only thresholds
are known to all grouped sums alike, so that jobs can share a [policy].
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from party.jobspec import KINDS, MATCH_KINDS, SUM_KINDS, other_side
from psi.errors import UsageError

# Grouped sums over outcomes; a profile has none, its persons count by their tags.
_OUTCOMES: Final = ("measure", "lift", "funnel")
VALUE_HOLDER: Final = "value_holder"
GROUP_HOLDER: Final = "group_holder"


# Integers beyond this many are told as huge: TOML has no bound on their digits.
_LONGEST_SHOWN: Final = 10**18


@dataclass(frozen=True, slots=True)
class Key:
    """One key: the Python types its value may have, what to write there, and where it belongs.

    ``kinds`` are the kinds that know it, ``required`` those that need it. ``holders`` are the roles in a grouped
    sum whose side has it. ``instead`` says what people who wrote it for another kind may have meant.
    """

    types: tuple[type, ...]
    help: str
    kinds: tuple[str, ...] = KINDS
    required: tuple[str, ...] = ()
    holders: tuple[str, ...] = (VALUE_HOLDER, GROUP_HOLDER)
    instead: str = "take it out"


TOP: Final = {
    "kind": Key((str,), " | ".join(KINDS), required=KINDS),
    "purpose": Key((str,), "why the data is used, as agreed with the people concerned", required=KINDS),
    "identifier": Key((str,), "canonical form both sides match on, such as phone", required=KINDS),
    "suite": Key((str,), "x25519-ell2 | ristretto255"),
    "receiver": Key((str,), "who learns the result: bank | platform | both", required=MATCH_KINDS),
    "output": Key((str,), "matched | unmatched", kinds=("audience",)),
    "holdout": Key((int, float), "share of the sender's set kept back, 0 to 0.9", kinds=("audience",)),
    "value_holder": Key((str,), "who has the outcomes, amounts or tags: bank | platform", kinds=SUM_KINDS),
    "base": Key((str,), "whom the value holder sends: converters | customers", kinds=_OUTCOMES),
    "keep_seed": Key(
        (str,), "whose auditor can recompute what it sent: bank | platform | both; else nobody's"
    ),
    "key_bits": Key((int,), "length of the Paillier key: 2048 | 3072", kinds=SUM_KINDS),
    "bank": Key((dict,), "the bank's columns", required=KINDS),
    "platform": Key((dict,), "the platform's columns", required=KINDS),
    "window": Key((dict,), "the attribution window", kinds=_OUTCOMES),
    "arms": Key((dict,), "which persons are test and control", kinds=("lift",), required=("lift",)),
    "policy": Key((dict,), "thresholds and limits"),
}
_TIERS_INSTEAD: Final = "grouped sums have groups on the group holder's side; take it out"
SIDE: Final = {
    "identifier": Key((str,), "the column with the identifier", required=KINDS),
    "tier": Key((str,), "the column with the tier", kinds=MATCH_KINDS, instead=_TIERS_INSTEAD),
    "tiers": Key((list,), "the tiers, highest first", kinds=MATCH_KINDS, instead=_TIERS_INSTEAD),
    "keep": Key((str,), "which row of a person counts: first | last"),
    "time": Key((str,), "the column with the time of the outcome or exposure", kinds=SUM_KINDS),
    "stages": Key(
        (list,),
        "the columns with 0 or 1 per stage, in order",
        kinds=("funnel",),
        required=("funnel",),
    ),
    "tags": Key(
        (list,), "the tag columns", kinds=("profile",), required=("profile",), holders=(VALUE_HOLDER,)
    ),
    "values": Key((dict,), "the value columns with their bounds", kinds=_OUTCOMES, holders=(VALUE_HOLDER,)),
    "groups": Key((list,), "the columns to group by", kinds=SUM_KINDS, holders=(GROUP_HOLDER,)),
    "cost": Key((str,), "the column with the cost of a row", kinds=_OUTCOMES, holders=(GROUP_HOLDER,)),
    "region": Key((str,), "country of phone numbers without a country code, such as CN"),
    "delimiter": Key((str,), "the CSV delimiter, where it cannot be guessed"),
    "encoding": Key((str,), "the text encoding, where it cannot be guessed"),
}
VALUE: Final = {
    "min": Key((int, float), "the least amount of one row"),
    "max": Key((int, float), "the greatest amount of one row", required=KINDS),
    "scale": Key((int,), "whole units per 1, such as 100 for cents"),
}
WINDOW: Final = {
    "days": Key((int,), "calendar days after the exposure that count, 0 to 366", required=KINDS),
    "exposure": Key((str,), "which exposure of a person decides: first | last"),
    "timezone": Key((str,), "the zone of the calendar days, such as Asia/Shanghai"),
    "retention_days": Key((int,), "active again after so many days, 1 to 366", kinds=("funnel",)),
}
ARMS: Final = {
    "column": Key((str,), "the group holder's column with the arm", required=KINDS),
    "control": Key((str,), "the value of that column for the control arm", required=KINDS),
    "control_share": Key((int, float), "planned share of persons in the control arm, between 0 and 1"),
}
POLICY: Final = {
    "min_group": Key((int,), "fewest persons of a set, a tier, a group, a count and a list"),
    "max_set": Key((int,), "most persons of one side's set"),
    "min_converters": Key((int,), "fewest converters of a group", kinds=SUM_KINDS),
    "dominance": Key((int,), "least (sum)^2 / (sum of squares) of a sum, 0 for none", kinds=SUM_KINDS),
    "max_rows": Key((int,), "most outcome rows of a person that count", kinds=_OUTCOMES),
    "epsilon": Key((int, float), "privacy loss by noise, 0.01 to 20", kinds=SUM_KINDS),
    "outside": Key((str,), "values outside their bounds: clip | reject", kinds=_OUTCOMES),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key stands: the job file ``source``, the section ('' for the top) and what is known of the job.

    ``kind`` is ``None`` while it is not known; ``value_holder`` is told where a side's keys depend on it.
    """

    source: str
    section: str = ""
    kind: str | None = None
    value_holder: str | None = None

    def __str__(self) -> str:
        return f"[{self.section}] of {self.source}" if self.section else self.source

    def inside(self, section: str) -> Place:
        """Return the place of another section of the same job."""
        return Place(self.source, section, self.kind, self.value_holder)

    @property
    def holder(self) -> str | None:
        """The role in a grouped sum of the side that this section is."""
        if self.value_holder is None:
            return None
        return VALUE_HOLDER if self.section == self.value_holder else GROUP_HOLDER


def check_keys(table: Any, keys: Mapping[str, Key], place: Place) -> None:
    """Check the keys of one section and the types of their values.

    Raises ``UsageError`` that names the key, its section and the file, and says what belongs there.
    """
    if not isinstance(table, Mapping):
        raise UsageError(
            f"{place.section} in {place.source} is not a section.", hint=f"write it as [{place.section}]"
        )
    for name, value in table.items():
        key = keys.get(name)
        if key is None:
            raise UsageError(
                f"{shown(name)} in {place} is an unknown key.",
                hint=_nearest_key(name, keys, place),
                code="unknown_key",
            )
        _check_belongs(name, key, place)
        if not isinstance(value, key.types) or isinstance(value, bool):
            raise UsageError(f"{name} in {place} has a value of a wrong type.", hint=f"{name}: {key.help}")
        if value == "":
            raise UsageError(f"{name} in {place} is empty.", hint=f"{name}: {key.help}")
    for name, key in keys.items():
        needed = key.required == KINDS or place.kind in key.required
        if needed and name not in table and _held(key, place):
            raise UsageError(f"{name} is missing in {place}.", hint=f"{name}: {key.help}")


def check_side_columns(columns: Iterable[tuple[str, str]], place: Place) -> None:
    """Check (key, column) of one side: plain names, and no column with two uses.

    An identifier that is also a group, a tier or a tag would be told to the partner in clear.
    """
    used: dict[str, str] = {}
    for key, column in columns:
        if not column.isprintable():
            raise UsageError(
                f"{key} in {place} names a column with line breaks or control characters.",
                hint="give the column a plain name in the file",
            )
        if column in used:
            raise UsageError(
                f'The column "{column}" in {place} is named as {used[column]} and as {key}.',
                hint="a column has one use; take one of the two out",
            )
        used[column] = key


def names(table: Mapping[str, Any], key: str, place: Place, most: int) -> tuple[str, ...]:
    """Return the list of different names under ``key``; without the key an empty one."""
    listed = table.get(key)
    if listed is None:
        return ()
    if not listed or not all(isinstance(each, str) and each for each in listed):
        raise UsageError(
            f"{key} in {place} is not a list of names.", hint=f'write it as in {key} = ["one", "two"]'
        )
    if len(set(listed)) != len(listed):
        raise UsageError(f"{key} in {place} has a name twice.", hint="take one of them out")
    if len(listed) > most:
        raise UsageError(
            f"{key} in {place} has {len(listed)} names, and {most} are the most.", hint="name fewer columns"
        )
    return tuple(listed)


def choice(
    table: Mapping[str, Any], key: str, choices: tuple[str, ...], place: Place, default: str | None = None
) -> str:
    """Return the value under ``key``, one of ``choices``."""
    value = str(table.get(key, default))
    if value not in choices:
        near = nearest(value, choices)
        hint = f'did you mean "{near}"?' if near else f"use one of {', '.join(choices)}"
        raise UsageError(f'{key} = "{shown(value)}" in {place} is not possible here.', hint=hint)
    return value


def whole(table: Mapping[str, Any], key: str, default: int, place: Place, *, least: int, most: int) -> int:
    """Return the whole number under ``key``, from ``least`` to ``most``."""
    value = int(table.get(key, default))
    if not least <= value <= most:
        raise out_of_range(key, value, place, f"use {least} to {most}")
    return value


def exact(written: int | float) -> Decimal | None:
    """Return a number as the decimal that was written, or ``None`` for one that is not finite."""
    if isinstance(written, int):
        return Decimal(written)
    # The shortest text of a float is what was written, up to 15 digits.
    return Decimal(repr(written)) if math.isfinite(written) else None


def out_of_range(key: str, written: int | float, place: Place, hint: str) -> UsageError:
    """Return the error for a number that is too small, too large or none."""
    if isinstance(written, float):
        number = f"{written:g}"
    else:
        number = str(written) if abs(written) <= _LONGEST_SHOWN else "a huge number"
    return UsageError(f"{key} = {number} in {place} is out of range.", hint=hint)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the name most like ``name``, if one is near."""
    close = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def shown(text: str) -> str:
    """Return what was written, fit for a terminal."""
    return text if text.isprintable() else ascii(text)[1:-1]


def _check_belongs(name: str, key: Key, place: Place) -> None:
    if place.kind is not None and place.kind not in key.kinds:
        raise UsageError(
            f"{name} in {place} does not belong to kind = {place.kind!r}.",
            hint=f"it belongs to {', '.join(key.kinds)}; {key.instead}",
            code="unknown_key",
        )
    if not _held(key, place):
        other = other_side(place.section)
        told = "groups" if place.holder == GROUP_HOLDER else "values"
        raise UsageError(
            f"{name} in {place} is on the wrong side, because the {place.section} holds the {told}.",
            hint=f'write it under [{other}], or set value_holder = "{other_side(place.value_holder or "")}"',
            code="unknown_key",
        )


def _held(key: Key, place: Place) -> bool:
    return place.holder is None or place.holder in key.holders


def _nearest_key(name: str, keys: Mapping[str, Key], place: Place) -> str:
    known = list(_known(keys, place))
    near = nearest(name, known)
    return f"did you mean {near}?" if near else f"the keys here are {', '.join(known)}"


def _known(keys: Mapping[str, Key], place: Place) -> Iterator[str]:
    for name, key in keys.items():
        if place.kind in (None, *key.kinds) and _held(key, place):
            yield name
