"""Standing rules: what they cover, and how a wrong one is told."""

from __future__ import annotations

from typing import Any

import pytest

from party.jobfile import parse_job
from party.standing import first_covering, read_standing
from psi.errors import UsageError
from tests.party.standing_pair import TABLE

RULE: dict[str, Any] = {"name": "usual", "kinds": ["audience"], "datasets": ["users"]}


def covered(changes: dict[str, Any], *, partner: str = "bank", dataset: str = "users", **job: Any) -> bool:
    """Whether the rule with ``changes`` covers the job with ``job``."""
    rules = read_standing([RULE | changes], "policy.toml")
    return first_covering(rules, parse_job(TABLE | job, "JOB.toml"), partner, dataset) is not None


def test_a_rule_covers_what_it_names_and_nothing_else() -> None:
    assert covered({})
    assert not covered({}, dataset="others")
    assert not covered({}, kind="overlap", receiver="bank")
    assert covered({"kinds": ["overlap", "audience"]}, kind="overlap", receiver="bank")
    assert covered({"partners": ["bank"]})
    assert not covered({"partners": ["bank"]}, partner="other-bank")
    assert covered({"purposes": [" test "]})
    assert not covered({"purposes": ["test"]}, purpose="another test")
    assert covered({"max_set": 1_000}, policy={"max_set": 1_000})
    assert not covered({"max_set": 1_000}, policy={"max_set": 1_001})
    assert not covered({"max_set": 1_000})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kinds": []}, "kinds in [[standing 1]] of policy.toml is not a list of names"),
        ({"kinds": ["lists"]}, "names a kind that there is not"),
        ({"datasets": [1]}, "datasets in [[standing 1]] of policy.toml is not a list of names"),
        ({"partners": []}, "partners in [[standing 1]] of policy.toml is not a list of names"),
        ({"max_set": 0}, "max_set"),
        ({"purpose": ["test"]}, "purpose in [[standing 1]] of policy.toml is an unknown key"),
        ({"name": " "}, "name in [[standing 1]] of policy.toml cannot be used"),
    ],
)
def test_a_wrong_rule_is_told(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        covered(changes)
    assert told in caught.value.message
