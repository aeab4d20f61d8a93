"""The parts of a job file that only grouped sums have: columns with their use, window, arms and policy."""

from __future__ import annotations

import functools
import zoneinfo
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from federated.keys import DEFAULT_BITS, KEY_BITS
from federated.messages import text_fault
from federated.terms import CONVERTERS, MAX_DAYS
from party import jobkeys
from party.jobkeys import Place, check_keys, choice, exact, names, nearest, out_of_range, shown, whole
from party.jobspec import (
    CONVERTERS_BASE,
    CUSTOMERS_BASE,
    DEFAULT_DOMINANCE,
    DEFAULT_MAX_ROWS,
    DEFAULT_MIN_CONVERTERS,
    DEFAULT_SCALE,
    DEFAULT_TIMEZONE,
    SIDES,
    Arms,
    JobKind,
    SideSpec,
    SumSpec,
    ValueSpec,
    Window,
)
from psi.errors import UsageError
from psi.terms import MAX_SET

# Columns under one key; each value column takes two slots of a plaintext, each group column a part of a label.
MAX_COLUMNS: Final = 8
MAX_STAGES: Final = 16
SCALES: Final = tuple(10**digits for digits in range(7))
# Whole units: exact in JSON, and no sum over one person leaves 64 bits.
MAX_AMOUNT: Final = 10**15
MAX_PERSON_TOTAL: Final = 1 << 62
MAX_ROWS: Final = 10_000
MAX_DOMINANCE: Final = 10**6
MIN_EPSILON: Final = Decimal("0.01")
MAX_EPSILON: Final = Decimal(20)
# What a funnel calls a person's highest stage in a label, and the stage of who reached none.
STAGE_PART: Final = "stage"
NO_STAGE: Final = "none"


def read_sums(
    table: Mapping[str, Any], kind: JobKind, sides: Mapping[str, SideSpec], place: Place
) -> SumSpec:
    """Read what a grouped sum has beside its sides; ``table`` is the whole job file, whose keys were checked."""
    value_holder = read_value_holder(table, place)
    policy, at = table.get("policy", {}), place.inside("policy")
    base = CUSTOMERS_BASE if kind is JobKind.PROFILE else CONVERTERS_BASE
    bits = table.get("key_bits", DEFAULT_BITS)
    if bits not in KEY_BITS:
        offered = " or ".join(map(str, KEY_BITS))
        raise UsageError(f"key_bits = {bits} in {place} is not offered.", hint=f"use {offered}")
    spec = SumSpec(
        value_holder=value_holder,
        base=choice(table, "base", (CONVERTERS_BASE, CUSTOMERS_BASE), place, base),
        key_bits=bits,
        window=_window(table, place),
        arms=_arms(table, place),
        min_converters=whole(policy, "min_converters", DEFAULT_MIN_CONVERTERS, at, least=1, most=MAX_SET),
        dominance=whole(policy, "dominance", DEFAULT_DOMINANCE, at, least=0, most=MAX_DOMINANCE),
        max_rows=whole(policy, "max_rows", DEFAULT_MAX_ROWS, at, least=1, most=MAX_ROWS),
        epsilon=_epsilon(policy, at),
        outside=choice(policy, "outside", ("clip", "reject"), at, "clip"),
    )
    if spec.window is not None:
        for name in SIDES:
            if sides[name].time is None:
                raise UsageError(
                    f"time is missing in {place.inside(name)}, and [window] needs it on both sides.",
                    hint='add time = "COLUMN", or take [window] out',
                )
    _check_totals(sides[value_holder], spec, place)
    _check_label_columns(kind, sides, spec, place)
    return spec


def read_value_holder(table: Mapping[str, Any], place: Place) -> str:
    """Return the side that holds the values, the bank unless the job file says otherwise."""
    return choice(table, "value_holder", SIDES, place, "bank")


def read_columns(table: Mapping[str, Any], arms: Any, place: Place) -> dict[str, Any]:
    """Return the fields of ``SideSpec`` that come from lists and values of one side's section.

    ``arms`` is the table of [arms]; its column is put in front of the group holder's groups.
    """
    groups = names(table, "groups", place, MAX_COLUMNS)
    if place.holder == jobkeys.GROUP_HOLDER and isinstance(arms, Mapping):
        column = str(arms["column"])
        groups = groups if column in groups else (column, *groups)
    stages = names(table, "stages", place, MAX_STAGES)
    for stage in stages:
        if stage == NO_STAGE or text_fault(stage):
            raise UsageError(
                f'stages in {place} names a column "{shown(stage)}", which cannot stand as a stage in a report.',
                hint="give the column another name in the file, a short plain one",
            )
    return {
        "stages": stages,
        "tags": names(table, "tags", place, MAX_COLUMNS),
        "values": _values(table.get("values", {}), place.inside(f"{place.section}.values")),
        "groups": groups,
    }


def _values(table: Any, place: Place) -> tuple[ValueSpec, ...]:
    if len(table) > MAX_COLUMNS:
        raise UsageError(
            f"{place} has {len(table)} columns, and {MAX_COLUMNS} are the most.", hint="ask for fewer values"
        )
    return tuple(_value(column, bounds, place) for column, bounds in table.items())


def _value(column: str, bounds: Any, place: Place) -> ValueSpec:
    if not column or not column.isprintable():
        raise UsageError(
            f"{place} names a column without a plain name.", hint="give the column a plain name in the file"
        )
    if not isinstance(bounds, Mapping):
        raise UsageError(
            f"{column} in {place} has no bounds.",
            hint=f"declare them, as in {column} = {{ min = 0, max = 50000, scale = 100 }}",
        )
    place = place.inside(f"{place.section}.{column}")
    check_keys(bounds, jobkeys.VALUE, place)
    scale = int(bounds.get("scale", DEFAULT_SCALE))
    if scale not in SCALES:
        raise UsageError(
            f"scale = {scale} in {place} is no power of ten from 1 to {SCALES[-1]}.",
            hint="use 1 for whole numbers, 100 for amounts with cents",
        )
    low, high = _units(bounds, "min", scale, place), _units(bounds, "max", scale, place)
    if low >= high:
        raise UsageError(
            f"min = {bounds.get('min', 0)} in {place} is not below max = {bounds['max']}.",
            hint="declare the range that one row's amount can have",
        )
    return ValueSpec(column, low, high, scale)


def _units(bounds: Mapping[str, Any], key: str, scale: int, place: Place) -> int:
    """Return a bound in whole units of 1/scale; a TOML float stands for the decimal that was written."""
    written = bounds.get(key, 0)
    amount = exact(written)
    if amount is None or abs(amount) * scale > MAX_AMOUNT:
        most = MAX_AMOUNT // scale
        raise out_of_range(key, written, place, f"use -{most} to {most} at scale = {scale}")
    units = amount * scale
    if units % 1:
        raise UsageError(
            f"{key} = {written} in {place} has more decimals than scale = {scale} keeps.",
            hint="write the bound with fewer decimals, or raise scale",
        )
    return int(units)


def _window(table: Mapping[str, Any], place: Place) -> Window | None:
    if "window" not in table:
        return None
    window, place = table["window"], place.inside("window")
    check_keys(window, jobkeys.WINDOW, place)
    retention = None
    if "retention_days" in window:
        retention = whole(window, "retention_days", 0, place, least=1, most=MAX_DAYS)
    return Window(
        days=whole(window, "days", 0, place, least=0, most=MAX_DAYS),
        exposure=choice(window, "exposure", ("first", "last"), place, "first"),
        timezone=_timezone(window.get("timezone", DEFAULT_TIMEZONE), place),
        retention_days=retention,
    )


def _timezone(name: str, place: Place) -> str:
    zones = _zones()
    if name in zones.values():
        return name
    near = nearest(name, zones)
    hint = f'did you mean "{zones[near]}"?' if near else "use an IANA name such as Asia/Shanghai"
    raise UsageError(f"timezone in {place} is not a known zone.", hint=hint)


@functools.cache
def _zones() -> Mapping[str, str]:
    """Return the zones by their name in lower case, without the ones that each machine has its own way."""
    return {name.lower(): name for name in zoneinfo.available_timezones() - {"localtime", "Factory"}}


def _arms(table: Mapping[str, Any], place: Place) -> Arms | None:
    if "arms" not in table:
        return None
    # Its keys were checked before the sides were read, which need the column.
    arms, place = table["arms"], place.inside("arms")
    control = str(arms["control"]).strip()
    if not control or text_fault(control):
        raise UsageError(
            f"control in {place} cannot stand in a report.",
            hint="use the short plain name of the control arm",
        )
    written = arms.get("control_share")
    if written is None:
        return Arms(str(arms["column"]), control)
    share = exact(written)
    if share is None or not 0 < share < 1:
        hint = "use the control arm's share of all persons, above 0 and below 1"
        raise out_of_range("control_share", written, place, hint)
    return Arms(str(arms["column"]), control, float(share))


def _epsilon(policy: Mapping[str, Any], place: Place) -> Fraction | None:
    written = policy.get("epsilon")
    if written is None:
        return None
    epsilon = exact(written)
    if epsilon is None or not MIN_EPSILON <= epsilon <= MAX_EPSILON:
        hint = "use 0.01 (much noise) to 20 (little noise), or take it out for none"
        raise out_of_range("epsilon", written, place, hint)
    return Fraction(epsilon)


def _check_totals(side: SideSpec, spec: SumSpec, place: Place) -> None:
    for value in side.values:
        if max(abs(value.low), abs(value.high)) * spec.max_rows > MAX_PERSON_TOTAL:
            raise UsageError(
                f"{value.column} in {place.inside(f'{spec.value_holder}.values')} can sum up to more than 64 bits "
                "for one person.",
                hint=f"lower its bounds or scale, or max_rows = {spec.max_rows} in [policy]",
            )


def _check_label_columns(kind: JobKind, sides: Mapping[str, SideSpec], spec: SumSpec, place: Place) -> None:
    """Refuse names that would stand twice in one group of a result."""
    groups = sides[spec.group_holder].groups
    at = place.inside(spec.group_holder)
    if kind is JobKind.FUNNEL and STAGE_PART in groups:
        raise UsageError(
            f'groups in {at} names a column "{STAGE_PART}", as a funnel calls the highest stage reached.',
            hint="give the column another name in the file",
        )
    if kind is JobKind.LIFT and any(value.column == CONVERTERS for value in sides[spec.value_holder].values):
        raise UsageError(
            f'A value column of {place.inside(spec.value_holder)} is called "{CONVERTERS}", as a lift calls the '
            "persons who convert.",
            hint="give the column another name in the file",
        )
    both = [column for column in sides[spec.value_holder].tags if column in groups]
    if both:
        raise UsageError(
            f'groups in {at} names a column "{both[0]}", and so does tags on the other side.',
            hint="give one of the two another name in its file, so that a result can tell them apart",
        )
