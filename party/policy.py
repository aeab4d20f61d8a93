"""A party's own policy: the limits it holds every job to, from its file ``policy.toml``.

A policy is enforced by the party that wrote it. Drafting a contract takes the stricter of both sides' parameters
(:func:`stricter`); what a signed contract says is checked against the own policy once more (:func:`check_job`).

    [limits]
    min_group = 50             # fewest persons of a set, a tier, a group, a count and a list
    min_converters = 10        # fewest converters of a group
    dominance = 10             # least (sum)^2 / (sum of squares) of a released sum
    max_set = 50000000         # most persons of one side's set
    max_growth = 0.5           # a set may be this share larger than in the last job; without it, no such limit
    epsilon = 2                # most privacy loss of one grouped sum; with it, each of them needs noise
    [budget]                   # per dataset and partner
    period = "30 days"
    runs = 10
    epsilon = 10               # most of the runs' epsilons together; runs without noise have none
    [differencing]
    action = "noise"           # what an input that hardly differs from an earlier one needs: noise | refuse
    min_difference = 50        # without it, min_group of the job
    [lifetime]
    result_days = 90           # a standing node removes results after so many days
    [audit]
    key = "5866...2b4c"        # the auditor's public key: a job's kept seed is sealed to it (docs/audit-replay.md)
    unwitnessed = "closed"     # a result whose log the partner didn't cosign: closed | open
    [[standing]]               # a platform's jobs that need no person: see party.standing
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from party.jobfile import SIDES, Job
from party.jobkeys import Key, Place, check_keys, choice, out_of_range, whole
from party.jobspec import DEFAULT_DOMINANCE, DEFAULT_MAX_SET, DEFAULT_MIN_CONVERTERS, DEFAULT_MIN_GROUP
from party.seedkeeping import public_key
from party.standing import StandingRule, read_standing
from psi.errors import PolicyRefusal, UsageError
from psi.terms import MAX_SET

# As in a job file.
MIN_EPSILON: Final = Decimal("0.01")
MAX_EPSILON: Final = Decimal(20)
MAX_BUDGET: Final = Decimal(1000)
MAX_RUNS: Final = 1_000_000
MAX_DOMINANCE: Final = 10**6
MAX_GROWTH: Final = Decimal(1000)
MAX_PERIOD: Final = datetime.timedelta(days=3660)
MAX_RESULT_DAYS: Final = 3660
NOISE: Final = "noise"
REFUSE: Final = "refuse"
CLOSED: Final = "closed"
OPEN: Final = "open"

_PERIOD: Final = re.compile(r"([1-9][0-9]{0,5}) (hour|day|week)s?")
_NUMBER: Final = (int, Decimal)

_TOP: Final = {
    "limits": Key((dict,), "thresholds and sizes of every job"),
    "budget": Key((dict,), "what may be asked of a dataset by a partner, per period"),
    "differencing": Key((dict,), "inputs that hardly differ from an earlier one"),
    "lifetime": Key((dict,), "how long results are kept"),
    "audit": Key((dict,), "the auditor's key, and what becomes of a result that nobody witnessed"),
    "standing": Key((list,), "rules for jobs that need no person's approval, each under [[standing]]"),
}
_LIMITS: Final = {
    "min_group": Key((int,), "fewest persons of a set, a tier, a group, a count and a list"),
    "min_converters": Key((int,), "fewest converters of a group"),
    "dominance": Key((int,), "least (sum)^2 / (sum of squares) of a sum, 0 for no such rule"),
    "max_set": Key((int,), "most persons of one side's set"),
    "max_growth": Key(_NUMBER, "by which share a set may exceed that of the last job, such as 0.5"),
    "epsilon": Key(_NUMBER, "most privacy loss of one grouped sum, 0.01 to 20; with it each needs noise"),
}
_BUDGET: Final = {
    "period": Key((str,), 'a time after which a run no longer counts, such as "30 days"'),
    "runs": Key((int,), "most runs in a period"),
    "epsilon": Key(_NUMBER, "most privacy loss of all runs in a period"),
}
_DIFFERENCING: Final = {
    "action": Key((str,), "what an input needs that hardly differs from an earlier one: noise | refuse"),
    "min_difference": Key((int,), "fewest persons by which it has to differ"),
}
_LIFETIME: Final = {"result_days": Key((int,), "days after which results are removed")}
_AUDIT: Final = {
    "key": Key((str,), "the public key that veiljoin audit new-key printed: 64 hex digits"),
    "unwitnessed": Key((str,), "a result whose log the partner did not cosign: closed | open"),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Thresholds and sizes of one job; ``None`` is no limit, for ``epsilon`` no need of noise.

    ``max_growth`` is a share: with 1/2 a set of 1,000 may be followed by one of 1,500.
    """

    min_group: int = DEFAULT_MIN_GROUP
    min_converters: int = DEFAULT_MIN_CONVERTERS
    dominance: int = DEFAULT_DOMINANCE
    max_set: int = DEFAULT_MAX_SET
    max_growth: Fraction | None = None
    epsilon: Fraction | None = None


@dataclass(frozen=True, slots=True)
class BudgetRules:
    """What one partner may ask of one dataset within ``period``: runs, and the epsilons of those with noise."""

    period: datetime.timedelta = datetime.timedelta(days=30)
    runs: int = 10
    epsilon: Fraction = Fraction(10)


@dataclass(frozen=True, slots=True)
class Differencing:
    """What an input needs that differs from an earlier one by 1 to ``min_difference - 1`` persons.

    ``action``: ``noise`` (the job needs an epsilon) or ``refuse``. ``min_difference`` ``None``: the job's min_group.
    """

    action: str = NOISE
    min_difference: int | None = None

    def least(self, min_group: int) -> int:
        """Return the fewest persons by which two inputs have to differ."""
        return min_group if self.min_difference is None else self.min_difference


@dataclass(frozen=True, slots=True)
class AuditRules:
    """What the party's auditor needs: ``key``, the X25519 public key (32 bytes) that kept seeds are sealed to.

    ``unwitnessed``: a result whose log the partner did not cosign in time stays ``closed``, or is shown all the
    same (``open``).
    """

    key: bytes | None = None
    unwitnessed: str = CLOSED


@dataclass(frozen=True, slots=True)
class Policy:
    """One party's policy; ``source`` is its file, for messages."""

    limits: Limits = Limits()
    budget: BudgetRules = BudgetRules()
    differencing: Differencing = Differencing()
    result_days: int = 90
    source: str = "the default policy"
    standing: tuple[StandingRule, ...] = ()
    audit: AuditRules = AuditRules()


DEFAULT_POLICY: Final = Policy()
# Asks for nothing: a side whose policy is not known yet, in :func:`stricter`.
NO_POLICY: Final = Policy(
    limits=Limits(min_group=1, min_converters=1, dominance=0, max_set=MAX_SET), source="no policy"
)


@dataclass(frozen=True, slots=True)
class Change:
    """A parameter that :func:`stricter` changed: from ``before`` to ``after``, for the policies of ``sides``."""

    key: str
    before: str
    after: str
    sides: tuple[str, ...]

    @property
    def en(self) -> str:
        """The change as a sentence."""
        owner = " and ".join(f"the {side}'s" for side in self.sides)
        return f"{self.key} is {self.after} instead of {self.before}, as {owner} policy requires."

    @property
    def zh(self) -> str:
        """The change as a Chinese sentence."""
        owner = "和".join({"bank": "银行", "platform": "平台"}[side] for side in self.sides)
        before = "无" if self.before == _NONE else self.before
        return f"按{owner}策略的要求，{self.key} 由 {before} 改为 {self.after}。"


_NONE: Final = "none"


def load_policy(path: str | Path) -> Policy:
    """Read a policy file. Raises ``UsageError`` that names the file, the key and what to do."""
    source = Path(path)
    try:
        table = tomllib.loads(source.read_text(encoding="utf-8-sig"), parse_float=Decimal)
    except FileNotFoundError:
        raise UsageError(
            f"The policy file {source} is not there.", hint="check the path", code="missing_file"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"The policy file {source} is not valid TOML: {error}.",
            hint="write one key on a line, as in min_group = 50 under [limits]",
            code="bad_format",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(
            f"The policy file {source} cannot be read: {why}.",
            hint="a policy file is TOML",
            code="unreadable_file",
        ) from None
    return parse_policy(table, str(source))


def parse_policy(table: Mapping[str, Any], source: str) -> Policy:
    """Check ``table``, the parsed content of the policy file ``source``; decimals are ``Decimal``."""
    top = Place(source)
    check_keys(table, _TOP, top)
    sections = {}
    for name, keys in {
        "limits": _LIMITS,
        "budget": _BUDGET,
        "differencing": _DIFFERENCING,
        "lifetime": _LIFETIME,
        "audit": _AUDIT,
    }.items():
        sections[name] = table.get(name, {})
        check_keys(sections[name], keys, top.inside(name))
    policy = Policy(
        limits=_limits(sections["limits"], top.inside("limits")),
        budget=_budget(sections["budget"], top.inside("budget")),
        differencing=_differencing(sections["differencing"], top.inside("differencing")),
        result_days=whole(
            sections["lifetime"],
            "result_days",
            DEFAULT_POLICY.result_days,
            top.inside("lifetime"),
            least=1,
            most=MAX_RESULT_DAYS,
        ),
        standing=read_standing(table.get("standing", []), source),
        audit=_audit(sections["audit"], top.inside("audit")),
        source=source,
    )
    if policy.limits.min_group > policy.limits.max_set:
        raise UsageError(
            f"min_group in [limits] of {source} is above max_set.", hint="no set could have that size"
        )
    limit = policy.limits.epsilon
    if limit is not None and limit > policy.budget.epsilon:
        raise UsageError(
            f"epsilon in [limits] of {source} is above epsilon in [budget].",
            hint="one run may cost what a period has, no more",
        )
    return policy


def stricter(job: Job, bank: Policy, platform: Policy) -> tuple[Job, tuple[Change, ...]]:
    """Return ``job`` with the stricter of its own parameters and both policies', and what that changed.

    Raises ``PolicyRefusal`` if the policies leave no set size at all.
    """
    policies = dict(zip(SIDES, (bank, platform), strict=True))
    changes: list[Change] = []

    def bound(key: str, before: int, *, upward: bool) -> int:
        asked = {side: int(getattr(policy.limits, key)) for side, policy in policies.items()}
        after = max(before, *asked.values()) if upward else min(before, *asked.values())
        if after != before:
            sides = tuple(side for side in SIDES if asked[side] == after)
            changes.append(Change(key, str(before), str(after), sides))
        return after

    min_group = bound("min_group", job.min_group, upward=True)
    max_set = bound("max_set", job.max_set, upward=False)
    if min_group > max_set:
        raise PolicyRefusal(
            f"The policies of the two sides leave no set size: at least {min_group} and at most {max_set} persons.",
            hint="agree on min_group and max_set with the partner",
            code="bad_contract",
        )
    sums = job.sums
    if sums is not None:
        sums = dataclasses.replace(
            sums,
            min_converters=bound("min_converters", sums.min_converters, upward=True),
            dominance=bound("dominance", sums.dominance, upward=True),
            epsilon=_least_epsilon(sums.epsilon, policies, changes),
        )
    return dataclasses.replace(job, min_group=min_group, max_set=max_set, sums=sums), tuple(changes)


def check_job(job: Job, policy: Policy) -> None:
    """Hold a job that somebody else drafted to the own ``policy``.

    Raises ``PolicyRefusal`` that names the first parameter which is looser than the policy allows.
    """
    _, changes = stricter(job, policy, policy)
    if changes:
        first = changes[0]
        raise PolicyRefusal(
            f"The job has {first.key} = {first.before}, and {policy.source} requires {first.after}.",
            hint=f"ask for a contract with {first.key} = {first.after}, or change the policy",
            code="bad_contract",
        )


def check_growth(policy: Policy, whose: str, last: int | None, size: int) -> None:
    """Hold a set of ``size`` persons against the ``last`` one, if there was one.

    A partner that enumerates identifiers has sets that grow. Raises ``PolicyRefusal``; ``whose`` names the set's
    owner in it.
    """
    growth = policy.limits.max_growth
    if growth is None or last is None or size <= last * (1 + growth):
        return
    raise PolicyRefusal(
        f"The {whose}'s set has {size:,} persons after {last:,} in the last job, "
        f"and {policy.source} allows it to grow by {float(growth):.0%}.",
        hint="ask why it grew, then raise max_growth in [limits] for this job",
    )


def _least_epsilon(
    asked: Fraction | None, policies: Mapping[str, Policy], changes: list[Change]
) -> Fraction | None:
    known = {side: policy.limits.epsilon for side, policy in policies.items()}
    limits = [each for each in known.values() if each is not None]
    if not limits or (asked is not None and asked <= min(limits)):
        return asked
    least = min(limits)
    sides = tuple(side for side in SIDES if known[side] == least)
    before = _NONE if asked is None else _decimal(asked)
    changes.append(Change("epsilon", before, _decimal(least), sides))
    return least


def _decimal(number: Fraction) -> str:
    """Return a number that was written as a decimal as it was written, so that who reads it gets the same one."""
    return format((Decimal(number.numerator) / Decimal(number.denominator)).normalize(), "f")


def _limits(table: Mapping[str, Any], place: Place) -> Limits:
    default = DEFAULT_POLICY.limits
    return Limits(
        min_group=whole(table, "min_group", default.min_group, place, least=1, most=MAX_SET),
        min_converters=whole(table, "min_converters", default.min_converters, place, least=1, most=MAX_SET),
        dominance=whole(table, "dominance", default.dominance, place, least=0, most=MAX_DOMINANCE),
        max_set=whole(table, "max_set", default.max_set, place, least=1, most=MAX_SET),
        max_growth=_optional(table, "max_growth", default.max_growth, place, Decimal(0), MAX_GROWTH),
        epsilon=_optional(table, "epsilon", default.epsilon, place, MIN_EPSILON, MAX_EPSILON),
    )


def _budget(table: Mapping[str, Any], place: Place) -> BudgetRules:
    default = DEFAULT_POLICY.budget
    epsilon = default.epsilon
    if "epsilon" in table:
        epsilon = _number(table, "epsilon", place, MIN_EPSILON, MAX_BUDGET)
    return BudgetRules(
        period=_period(table, default.period, place),
        runs=whole(table, "runs", default.runs, place, least=0, most=MAX_RUNS),
        epsilon=epsilon,
    )


def _differencing(table: Mapping[str, Any], place: Place) -> Differencing:
    least = None
    if "min_difference" in table:
        least = whole(table, "min_difference", 1, place, least=1, most=MAX_SET)
    return Differencing(choice(table, "action", (NOISE, REFUSE), place, NOISE), least)


def _audit(table: Mapping[str, Any], place: Place) -> AuditRules:
    key = None
    if "key" in table:
        key = public_key(table["key"])
        if key is None:
            raise UsageError(
                f"key in {place} is not an auditor's public key.",
                hint="copy the 64 hex digits that veiljoin audit new-key printed",
            )
    return AuditRules(key, choice(table, "unwitnessed", (CLOSED, OPEN), place, CLOSED))


def _period(table: Mapping[str, Any], default: datetime.timedelta, place: Place) -> datetime.timedelta:
    if "period" not in table:
        return default
    written = _PERIOD.fullmatch(table["period"].strip())
    if written is None:
        raise UsageError(
            f"period in {place} is not a length of time.",
            hint='write a number and hours, days or weeks: "30 days"',
        )
    period = datetime.timedelta(**{f"{written[2]}s": int(written[1])})
    if period > MAX_PERIOD:
        raise UsageError(f"period in {place} is out of range.", hint=f"use at most {MAX_PERIOD.days} days")
    return period


def _optional(
    table: Mapping[str, Any], key: str, default: Fraction | None, place: Place, least: Decimal, most: Decimal
) -> Fraction | None:
    return _number(table, key, place, least, most) if key in table else default


def _number(table: Mapping[str, Any], key: str, place: Place, least: Decimal, most: Decimal) -> Fraction:
    value = Decimal(table[key])
    if not value.is_finite() or not least <= value <= most:
        raise out_of_range(key, float(value), place, f"use {least} to {most}")
    return Fraction(value)
