"""The guided form of a new job: which answers it asks for, and the job file that they make.

The answers travel from step to step as fields of the form; the server keeps none. An answer that was left empty is a
key that the job file does not have, so that its default holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from party.jobspec import (
    DEFAULT_DOMINANCE,
    DEFAULT_MAX_ROWS,
    DEFAULT_MAX_SET,
    DEFAULT_MIN_CONVERTERS,
    DEFAULT_MIN_GROUP,
    DEFAULT_SCALE,
    DEFAULT_TIMEZONE,
    JobKind,
    other_side,
)

MOST_ROWS: Final = 16
_LONGEST: Final = 500
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,18}\.[0-9]{1,18}")
_LIST: Final = re.compile(r"[,;\n\uff0c\uff1b\u3001]")


class Step(IntEnum):
    """The steps of the form, in order."""

    KIND = 1
    SEGMENT = 2
    PARTNER = 3
    COLUMNS = 4
    POLICY = 5
    REVIEW = 6


TITLES: Final[Mapping[Step, str]] = {
    Step.KIND: "Question",
    Step.SEGMENT: "Your segment",
    Step.PARTNER: "Partner",
    Step.COLUMNS: "Columns",
    Step.POLICY: "Limits",
    Step.REVIEW: "Review",
}
# kind -> what is asked and what comes out, in a sentence each
QUESTIONS: Final[Mapping[JobKind, str]] = {
    JobKind.OVERLAP: "How many persons do both have? You get one count, by tier if you wish; nobody is named.",
    JobKind.AUDIENCE: "Which of its own persons should a side address, or leave out? "
    "Each receiver gets a list of its own rows, with a random holdout if you wish.",
    JobKind.PROFILE: "Which tags does the joint audience have? You get counts and shares per tag and group.",
    JobKind.MEASURE: "What did each campaign or creative bring? "
    "You get converters, conversions and amounts per group, within a window.",
    JobKind.LIFT: "What did the campaign add that would not have happened anyway? "
    "You get test against control, with intervals, cost per added conversion and return.",
    JobKind.FUNNEL: "Where do people stop between the exposure and the last step at the bank? "
    "You get counts and rates from step to step.",
}

# key of [policy] -> what it limits, and what counts where it is left out
LIMITS: Final[Mapping[str, str]] = {
    "min_group": "Fewest persons of a set, a tier, a group, a count and a list",
    "max_set": "Most persons of one side's set",
    "min_converters": "Fewest converters of a group",
    "dominance": "Dominance: least (sum)² / sum of squares",
    "max_rows": "Most outcome rows of a person that count",
    "outside": "A value outside its bounds",
    "epsilon": "Epsilon, for noise",
}
USUAL_LIMITS: Final[Mapping[str, int | None]] = {
    "min_group": DEFAULT_MIN_GROUP,
    "max_set": DEFAULT_MAX_SET,
    "min_converters": DEFAULT_MIN_CONVERTERS,
    "dominance": DEFAULT_DOMINANCE,
    "max_rows": DEFAULT_MAX_ROWS,
    "epsilon": None,
}

_SIDE_FIELDS: Final = ("identifier", "keep", "region", "tier", "tiers", "time")
# Every answer and the step that asks for it; what is not here is not taken from a form.
FIELDS: Final[Mapping[str, Step]] = {
    "kind": Step.KIND,
    "purpose": Step.KIND,
    "dataset": Step.SEGMENT,
    "offer": Step.PARTNER,
    "value_holder": Step.PARTNER,
    **{f"{side}_{name}": Step.COLUMNS for side in ("bank", "platform") for name in _SIDE_FIELDS},
    **dict.fromkeys(
        (
            *("receiver", "output", "holdout", "base", "suite", "key_bits", "keep_seed"),
            *("value_column", "value_min", "value_max", "value_scale", "groups", "tags", "cost"),
            *("bank_stages", "platform_stages", "window_days", "exposure", "timezone", "retention_days"),
            *("arm_column", "control", "control_share"),
        ),
        Step.COLUMNS,
    ),
    **dict.fromkeys(
        (
            *("min_group", "max_set", "min_converters", "dominance", "max_rows", "epsilon", "outside"),
            "days",
        ),
        Step.POLICY,
    ),
    **dict.fromkeys(("plan_rate", "plan_lift", "plan_persons"), Step.REVIEW),
}


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered so far: field -> its values as they were typed."""

    given: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, pairs: Sequence[tuple[str, object]]) -> Answers:
        """Take the fields of a form, in order; those that the form doesn't have are dropped."""
        found: dict[str, list[str]] = {}
        for name, value in pairs:
            if name in FIELDS and isinstance(value, str) and len(found.get(name, ())) < MOST_ROWS:
                found.setdefault(name, []).append(value.strip()[:_LONGEST])
        return cls({name: tuple(values) for name, values in found.items()})

    def __contains__(self, name: str) -> bool:
        return name in self.given

    def one(self, name: str, default: str = "") -> str:
        """Return the answer to ``name``; ``default`` where it was never asked."""
        values = self.given.get(name, ())
        return values[0] if values else default

    def many(self, name: str) -> tuple[str, ...]:
        """Return all that was filled in under ``name``."""
        return tuple(value for value in self.given.get(name, ()) if value)

    def rows(self, *names: str) -> list[tuple[str, ...]]:
        """Return fields that stand in rows, row by row; rows without the first field are left out."""
        columns = [self.given.get(name, ()) for name in names]
        width = len(columns[0])
        filled = [[*column[:width], *[""] * (width - len(column))] for column in columns]
        return [row for row in zip(*filled, strict=True) if row[0]]

    def hidden(self, step: Step) -> Iterator[tuple[str, str]]:
        """Yield the fields that another step than ``step`` shows, to travel along."""
        for name, values in self.given.items():
            if FIELDS[name] is not step:
                for value in values:
                    yield name, value

    def replaced(self, **values: str) -> Answers:
        """Return the answers with others in place of some."""
        return Answers({**self.given, **{name: (value,) for name, value in values.items()}})

    @property
    def kind(self) -> JobKind | None:
        """The job's kind, once it was chosen."""
        value = self.one("kind")
        return JobKind(value) if value in list(JobKind) else None

    @property
    def value_holder(self) -> str:
        """Who has the outcomes, amounts or tags: for a profile mostly the platform."""
        usual = "platform" if self.kind is JobKind.PROFILE else "bank"
        value = self.one("value_holder", usual)
        return value if value in ("bank", "platform") else usual

    @property
    def group_holder(self) -> str:
        """The side whose persons are in groups."""
        return other_side(self.value_holder)

    @property
    def partner(self) -> str:
        """The partner of the dataset that was chosen."""
        return self.one("offer").partition("/")[0]

    @property
    def partner_dataset(self) -> str:
        """The partner's dataset that was chosen."""
        return self.one("offer").partition("/")[2]


def table_of(answers: Answers, form: str, *, policy: bool = True) -> dict[str, Any]:
    """Return the job file's table that ``answers`` make, not checked; ``form`` is that of the identifiers.

    Without ``policy`` its limits are left at their defaults.
    """
    kind = answers.kind
    table: dict[str, Any] = {
        "kind": answers.one("kind"),
        "purpose": answers.one("purpose"),
        "identifier": form,
    }
    _put(table, answers, "suite", "receiver")
    summed = kind is not None and kind.is_sum
    if kind is JobKind.AUDIENCE:
        _put(table, answers, "output")
        _put(table, answers, "holdout", number=True)
    if summed:
        table["value_holder"] = answers.value_holder
        if kind is not JobKind.PROFILE:
            _put(table, answers, "base")
        _put(table, answers, "key_bits", number=True)
    _put(table, answers, "keep_seed")
    for side in ("bank", "platform"):
        table[side] = _side(answers, side, kind)
    if summed and kind is not JobKind.PROFILE and answers.one("window_days"):
        window: dict[str, Any] = {"days": _number(answers.one("window_days"))}
        _put(window, answers, "exposure", "timezone")
        if kind is JobKind.FUNNEL:
            _put(window, answers, "retention_days", number=True)
        table["window"] = window
    if kind is JobKind.LIFT:
        arms: dict[str, Any] = {}
        if answers.one("arm_column"):
            arms["column"] = answers.one("arm_column")
        _put(arms, answers, "control")
        _put(arms, answers, "control_share", number=True)
        table["arms"] = arms
    limits = _limits(answers, kind) if policy else {}
    return table | ({"policy": limits} if limits else {})


def policy_fields(kind: JobKind | None) -> tuple[str, ...]:
    """Return the keys of [policy] that jobs of this kind have."""
    common = ("min_group", "max_set")
    if kind is None or not kind.is_sum:
        return common
    if kind is JobKind.PROFILE:
        return (*common, "epsilon")
    return (*common, "min_converters", "dominance", "max_rows", "outside", "epsilon")


def answers_of(table: Mapping[str, Any], dataset: str, partner: str, partner_dataset: str) -> Answers:
    """Return the answers that make ``table``, a job's that was checked, as far as the form has a place for them."""
    found: dict[str, tuple[str, ...]] = {
        "dataset": (dataset,),
        "offer": (f"{partner}/{partner_dataset}",),
    }

    def take(section: Mapping[str, Any], *names: str, prefix: str = "") -> None:
        for name in names:
            if name in section:
                found[prefix + name] = (_text(section[name]),)

    take(
        table, "kind", "purpose", "receiver", "output", "holdout", "value_holder", "base", "suite", "key_bits"
    )
    take(table, "keep_seed")
    for side in ("bank", "platform"):
        section = table.get(side, {})
        take(section, "identifier", "keep", "region", "tier", "tiers", "time", prefix=f"{side}_")
        take(section, "cost")
        for name in ("groups", "tags"):
            if name in section:
                found[name] = tuple(section[name])
        if "stages" in section:
            found[f"{side}_stages"] = tuple(section["stages"])
        values = section.get("values", {})
        if values:
            found["value_column"] = tuple(values)
            for name, default in (("min", 0), ("max", ""), ("scale", DEFAULT_SCALE)):
                found[f"value_{name}"] = tuple(_text(each.get(name, default)) for each in values.values())
    window, arms = table.get("window", {}), table.get("arms", {})
    take(window, "exposure", "timezone", "retention_days")
    take(window, "days", prefix="window_")
    take(arms, "control", "control_share")
    take(arms, "column", prefix="arm_")
    take(table.get("policy", {}), *policy_fields(JobKind.MEASURE))
    return Answers(found)


def _side(answers: Answers, side: str, kind: JobKind | None) -> dict[str, Any]:
    """Return one side's section: only what the kind, and in a grouped sum the side's role, has."""
    table: dict[str, Any] = {}

    def named(key: str, field: str) -> None:
        if answers.one(field):
            table[key] = answers.one(field)

    named("identifier", f"{side}_identifier")
    for key in ("keep", "region"):
        named(key, f"{side}_{key}")
    if kind is None or not kind.is_sum:
        named("tier", f"{side}_tier")
        tiers = [part.strip() for part in _LIST.split(answers.one(f"{side}_tiers")) if part.strip()]
        if tiers:
            table["tiers"] = tiers
        return table
    named("time", f"{side}_time")
    if kind is JobKind.FUNNEL:
        stages = list(answers.many(f"{side}_stages"))
        if stages:
            table["stages"] = stages
    if side == answers.value_holder:
        if kind is JobKind.PROFILE and answers.many("tags"):
            table["tags"] = list(answers.many("tags"))
        values = _values(answers)
        if kind is not JobKind.PROFILE and values:
            table["values"] = values
        return table
    if answers.many("groups"):
        table["groups"] = list(answers.many("groups"))
    if kind is not JobKind.PROFILE:
        named("cost", "cost")
    return table


def _values(answers: Answers) -> dict[str, dict[str, Any]]:
    found = {}
    for column, low, high, scale in answers.rows("value_column", "value_min", "value_max", "value_scale"):
        bounds = (("min", low), ("max", high), ("scale", scale))
        found[column] = {name: _number(text) for name, text in bounds if text}
    return found


def _limits(answers: Answers, kind: JobKind | None) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for name in policy_fields(kind):
        _put(limits, answers, name, number=name != "outside")
    return limits


def _put(table: dict[str, Any], answers: Answers, *names: str, number: bool = False) -> None:
    for name in names:
        text = answers.one(name)
        if text:
            table[name] = _number(text) if number else text


def _number(text: str) -> int | float | str:
    """Return a number as a job file has it; what is none stays text, which the job file's own check names."""
    plain = text.replace(",", "").replace("\N{FULLWIDTH COMMA}", "").strip()
    if _WHOLE.fullmatch(plain):
        return int(plain)
    return float(plain) if _DECIMAL.fullmatch(plain) else text


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def default_answers(kind: JobKind | None) -> Mapping[str, str]:
    """Return what the form shows where nothing was answered yet."""
    return {
        "receiver": "bank" if kind is not JobKind.AUDIENCE else "platform",
        "window_days": "7" if kind in (JobKind.MEASURE, JobKind.LIFT, JobKind.FUNNEL) else "",
        "timezone": DEFAULT_TIMEZONE,
        "days": "7",
        "plan_rate": "2",
        "plan_lift": "10",
    }
