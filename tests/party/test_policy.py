"""A party's policy file: what it reads, what it refuses, and the stricter of two policies."""

from __future__ import annotations

import dataclasses
import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from party.jobfile import Job, JobKind, SumSpec
from party.policy import (
    DEFAULT_POLICY,
    NO_POLICY,
    AuditRules,
    BudgetRules,
    Differencing,
    Limits,
    Policy,
    check_growth,
    check_job,
    load_policy,
    stricter,
)
from psi.errors import PolicyRefusal, UsageError
from tests.party.jobs import job

WHOLE = """
[limits]
min_group = 100
min_converters = 20
dominance = 12
max_set = 2_000_000
max_growth = 0.25
epsilon = 1.1
[budget]
period = "2 weeks"
runs = 3
epsilon = 4.4
[differencing]
action = "refuse"
min_difference = 70
[lifetime]
result_days = 14
[audit]
key = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
unwitnessed = "open"
"""
# The public key of the second party in RFC 7748, section 6.1.
KEY = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")


def written(folder: Path, text: str) -> Path:
    """Write a policy file."""
    path = folder / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return path


def limited(**changes: Any) -> Policy:
    """Return a policy with these limits, and no others that matter."""
    loose = Limits(min_group=1, min_converters=1, dominance=0, max_set=10**9)
    return Policy(limits=dataclasses.replace(loose, **changes), source="policy.toml")


def sum_job(**changes: Any) -> Job:
    """Return a job over a grouped sum."""
    return dataclasses.replace(job(), kind=JobKind.MEASURE, sums=SumSpec(**changes))


def test_a_whole_file(tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE)
    assert load_policy(path) == Policy(
        # Exactly what was written: 1.1 is no binary fraction.
        Limits(100, 20, 12, 2_000_000, Fraction(1, 4), Fraction(11, 10)),
        BudgetRules(datetime.timedelta(days=14), 3, Fraction(22, 5)),
        Differencing("refuse", 70),
        14,
        str(path),
        audit=AuditRules(KEY, "open"),
    )


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    assert dataclasses.replace(load_policy(path), source=DEFAULT_POLICY.source) == DEFAULT_POLICY


@pytest.mark.parametrize(
    ("written_period", "days"), [("1 day", 1), ("30 days", 30), ("4 weeks", 28), ("12 hours", 0.5)]
)
def test_periods(tmp_path: Path, written_period: str, days: float) -> None:
    policy = load_policy(written(tmp_path, f'[budget]\nperiod = "{written_period}"'))
    assert policy.budget.period == datetime.timedelta(days=days)


@pytest.mark.parametrize(
    ("text", "code", "sentence", "hint"),
    [
        ("[limit]\n", "unknown_key", "limit in .*policy.toml is an unknown key", "did you mean limits?"),
        (
            "[limits]\nmin_grup = 5",
            "unknown_key",
            r"min_grup in \[limits\] of .*policy.toml is an unknown",
            "min_group",
        ),
        ("[limits]\nmin_group = 0", "bad_setting", r"min_group = 0 in \[limits\]", "use 1 to"),
        ("[limits]\nmin_group = 1.5", "bad_setting", "min_group in .* wrong type", "fewest persons"),
        ("[limits]\nmin_group = true", "bad_setting", "min_group in .* wrong type", "fewest persons"),
        ("[limits]\nmin_group = 9\nmax_set = 8", "bad_setting", "min_group in .* above max_set", "no set"),
        ("[limits]\nepsilon = 0", "bad_setting", "epsilon = 0 in", "use 0.01 to 20"),
        ("[limits]\nepsilon = nan", "bad_setting", "epsilon = nan in", "use 0.01 to 20"),
        ("[limits]\nepsilon = 11", "bad_setting", r"above epsilon in \[budget\]", "no more"),
        ("[limits]\nmax_growth = -0.1", "bad_setting", "max_growth = -0.1 in", "use 0 to"),
        ("[budget]\nruns = -1", "bad_setting", r"runs = -1 in \[budget\]", "use 0 to"),
        ('[budget]\nperiod = "a month"', "bad_setting", "period in .* is not a length", '"30 days"'),
        ('[budget]\nperiod = "999999 weeks"', "bad_setting", "period in .* is out of range", "at most"),
        ('[differencing]\naction = "nois"', "bad_setting", 'action = "nois" in', 'did you mean "noise"?'),
        ("[differencing]\nmin_difference = 0", "bad_setting", "min_difference = 0 in", "use 1 to"),
        ("[lifetime]\nresult_days = 0", "bad_setting", "result_days = 0 in", "use 1 to"),
        ('[audit]\nkey = "abc"', "bad_setting", r"key in \[audit\] of .* is not an auditor's", "new-key"),
        (f'[audit]\nkey = "{"0" * 64}"', "bad_setting", "is not an auditor's public key", "new-key"),
        ('[audit]\nunwitnessed = "ope"', "bad_setting", 'unwitnessed = "ope" in', 'did you mean "open"?'),
        ("limits = 5", "bad_setting", "limits in .* wrong type", "thresholds"),
        ("[limits\n", "bad_format", "policy.toml is not valid TOML", "one key on a line"),
    ],
)
def test_a_wrong_file_is_told_in_one_sentence(
    tmp_path: Path, text: str, code: str, sentence: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        load_policy(written(tmp_path, text))
    assert caught.value.code.name == code
    assert hint in caught.value.hint


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml is not there") as caught:
        load_policy(tmp_path / "nowhere.toml")
    assert caught.value.code.name == "missing_file"
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        load_policy(tmp_path / "latin.toml")
    with pytest.raises(UsageError, match="cannot be read"):
        load_policy(tmp_path)


def test_the_stricter_of_both_sides() -> None:
    bank = limited(min_group=80, min_converters=30, max_set=500_000)
    platform = limited(min_group=60, min_converters=30, dominance=20, epsilon=Fraction(2))
    changed, changes = stricter(sum_job(), bank, platform)
    assert (changed.min_group, changed.max_set) == (80, 500_000)
    assert changed.sums is not None
    assert (changed.sums.min_converters, changed.sums.dominance) == (30, 20)
    assert changed.sums.epsilon == 2
    assert [each.en for each in changes] == [
        "min_group is 80 instead of 50, as the bank's policy requires.",
        "max_set is 500000 instead of 50000000, as the bank's policy requires.",
        "min_converters is 30 instead of 10, as the bank's and the platform's policy requires.",
        "dominance is 20 instead of 10, as the platform's policy requires.",
        "epsilon is 2 instead of none, as the platform's policy requires.",
    ]
    assert changes[0].zh == "按银行策略的要求，min_group 由 50 改为 80。"
    assert changes[4].zh == "按平台策略的要求，epsilon 由 无 改为 2。"


def test_a_side_without_a_policy_asks_for_nothing() -> None:
    assert stricter(sum_job(), NO_POLICY, NO_POLICY) == (sum_job(), ())
    _, changes = stricter(sum_job(), NO_POLICY, limited(min_group=60))
    assert [(each.key, each.sides) for each in changes] == [("min_group", ("platform",))]


@pytest.mark.parametrize("text", ["0.1234567", "2", "20", "1.5", "0.01"])
def test_an_epsilon_is_told_as_it_was_written(text: str) -> None:
    _, changes = stricter(sum_job(), limited(epsilon=Fraction(text)), limited())
    assert changes[0].after == text


def test_a_job_that_is_strict_already_stays() -> None:
    strict = sum_job(epsilon=Fraction(1, 2), min_converters=50)
    assert stricter(strict, limited(epsilon=Fraction(1)), limited(min_converters=20)) == (strict, ())


def test_matches_have_no_limits_of_sums() -> None:
    changed, changes = stricter(job(), limited(min_converters=99, epsilon=Fraction(1)), limited())
    assert (changed, changes) == (job(), ())


def test_policies_that_leave_no_size() -> None:
    with pytest.raises(PolicyRefusal, match="leave no set size: at least 900 and at most 800") as caught:
        stricter(job(), limited(min_group=900), limited(max_set=800))
    assert caught.value.code.name == "bad_contract"


limits = st.builds(
    Limits,
    min_group=st.integers(1, 100),
    min_converters=st.integers(1, 40),
    dominance=st.integers(0, 20),
    max_set=st.integers(100, 1000),
    epsilon=st.none() | st.integers(1, 20).map(Fraction),
)


@given(limits, limits)
def test_the_stricter_job_passes_both_policies(bank: Limits, platform: Limits) -> None:
    changed, _ = stricter(sum_job(), Policy(limits=bank), Policy(limits=platform))
    check_job(changed, Policy(limits=bank))
    check_job(changed, Policy(limits=platform))
    assert stricter(changed, Policy(limits=platform), Policy(limits=bank)) == (changed, ())


def test_a_looser_job_is_refused() -> None:
    with pytest.raises(PolicyRefusal, match=r"has min_group = 50, and policy\.toml requires 60") as caught:
        check_job(sum_job(), limited(min_group=60))
    assert caught.value.code.name == "bad_contract"
    assert "min_group = 60" in caught.value.hint
    with pytest.raises(PolicyRefusal, match="has epsilon = none, and"):
        check_job(sum_job(), limited(epsilon=Fraction(1)))


def test_growth() -> None:
    policy = limited(max_growth=Fraction(1, 2))
    check_growth(policy, "platform", None, 10**9)
    check_growth(policy, "platform", 1000, 1500)
    check_growth(policy, "platform", 1000, 1)
    check_growth(limited(), "platform", 1000, 10**9)
    with pytest.raises(
        PolicyRefusal, match=r"platform's set has 1,501 persons after 1,000 in the last job.*by 50%"
    ) as caught:
        check_growth(policy, "platform", 1000, 1501)
    assert caught.value.code.name == "over_limit"


def test_the_least_difference_is_the_jobs_min_group_unless_said() -> None:
    assert Differencing().least(70) == 70
    assert Differencing(min_difference=5).least(70) == 5
