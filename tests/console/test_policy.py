"""The policy in pages and API: what is in force, what is wrong with its file, what the budgets have left."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import pytest

from console.place import Place
from console.policy import budget_lines
from party.policydigest import policy_bytes
from tests.console.conftest import Site
from tests.party.standing_pair import Pair

FILE = """
[limits]
min_group = 70
epsilon = 2
max_growth = 0.5
[budget]
period = "12 hours"
runs = 3
epsilon = 4
[differencing]
action = "refuse"
[audit]
key = "{key}"
unwitnessed = "open"
[[standing]]
name = "monthly <lists>"
kinds = ["overlap", "audience"]
datasets = ["customers"]
max_set = 5000
"""


def edit(site: Site, monkeypatch: pytest.MonkeyPatch, text: str) -> Path:
    """Write the policy file, and let the console look at it at once."""
    monkeypatch.setattr("console.place._REFRESH_SECONDS", 0.0)
    path = site.side.folder / "policy.toml"
    path.write_text(text)
    # Two files of one size in one moment would pass for the same.
    os.utime(path, ns=(len(text), len(text) * 10**9))
    return path


def test_the_default_policy_is_told(bank: Site) -> None:
    shown = bank.client("eve").get("/policy").text
    assert "the default policy holds" in shown
    assert "every proposal waits for a person" in shown
    assert policy_bytes(bank.place.node.home.policy)[0] in shown


def test_the_policy_is_told_in_words(bank: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "58" * 32
    path = edit(bank, monkeypatch, FILE.format(key=key))
    shown = bank.client("bob").get("/policy").text
    assert str(path) in shown
    assert key in shown
    for words in (
        "70",
        "12 h",
        "50 %",
        "the job is refused",
        "is shown all the same",
        "monthly &lt;lists&gt;",
        "5,000",
    ):
        assert words in shown
    assert "<lists>" not in shown
    assert policy_bytes(bank.place.node.home.policy)[0] in shown
    view = bank.token("bob", "see").get("/api/v1/policy").json()
    assert view["policy"]["limits"]["max_growth"] == "1/2"
    assert view["policy"]["budget"] == {"hours": 12, "runs": 3, "epsilon": "4/1"}
    assert (view["problem"], view["policy"]["standing"][0]["max_set"]) == (None, 5000)


def test_a_file_that_cannot_be_read_leaves_the_last_good_policy(
    bank: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(bank, monkeypatch, "[limits]\nmin_group = 70\n")
    bob = bank.client("bob")
    assert ">70<" in bob.get("/policy").text
    edit(bank, monkeypatch, "[limits]\nmin_grop = 90\n")
    for _ in range(2):
        shown = bob.get("/policy").text
        assert "min_grop" in shown
        assert "What to do:" in shown
        assert ">70<" in shown
        assert "last good policy holds" in shown
    view = bob.get("/api/v1/policy").json()
    assert "min_grop" in view["problem"]
    assert view["policy"]["limits"]["min_group"] == 70


def spend(
    site: Site, job: str, epsilon: Fraction | None, *, wholly: bool = True, dataset: str = "customers"
) -> None:
    """Spend a run of the budget, or reserve it."""
    budget = site.place.node.home.budget()
    reserved = budget.reserve(dataset, "acme", job, epsilon)
    if wholly:
        budget.spend(reserved)


def test_what_is_left_is_what_the_budget_counts(bank: Site, pair: Pair) -> None:
    place: Place = bank.place
    for number, (hours, epsilon, wholly) in enumerate(
        [
            (0, Fraction(1, 2), True),
            (20, None, False),
            (5, Fraction(2), False),
            (24 * 15, None, True),
            (1, None, False),
        ]
    ):
        pair.clock.forward(hours=hours)
        spend(bank, f"job{number}", epsilon, wholly=wholly)
    spend(bank, "other", Fraction(1, 4), dataset="removed")
    for days in (0, 1, 14, 15, 31):
        pair.clock.forward(days=days)
        lines = {(line.dataset, line.partner): line for line in budget_lines(place)}
        assert ("customers", "other") in lines
        for (dataset, partner), line in lines.items():
            counted = place.node.home.budget().spent(dataset, partner)
            assert (line.runs, line.epsilon) == (counted.runs, counted.epsilon)
            assert (line.frees is None) == (counted.runs == 0)
            assert line.frees is None or line.frees > pair.clock()
            assert line.known == (dataset == "customers")
    assert ("removed", "acme") not in lines


def test_budgets_are_bars_beside_a_table(bank: Site) -> None:
    spend(bank, "one", Fraction(5, 2))
    spend(bank, "two", None)
    shown = bank.client("ann").get("/policy").text
    assert [shown.count(f'class="{each}"') for each in ("broad", "slim")] == [2, 2]
    assert "customers · acme: 8 of 10" in shown
    assert "customers · acme: 7.5 of 10" in shown
    program = bank.token("ann", "see")
    first = program.get("/api/v1/policy/budgets", params={"limit": 1}).json()
    assert first["items"][0] | {"frees": None} == {
        "dataset": "customers",
        "partner": "acme",
        "runs": 2,
        "runs_left": 8,
        "epsilon": "5/2",
        "epsilon_left": "15/2",
        "frees": None,
        "registered": True,
    }
    rest = program.get("/api/v1/policy/budgets", params={"after": first["next"]}).json()
    assert [each["partner"] for each in rest["items"]] == ["other"]


def test_the_policy_cannot_be_changed_from_here(bank: Site) -> None:
    adam = bank.client("adam")
    assert bank.post(adam, "/policy", min_group="1").status_code == 405
    assert adam.put("/api/v1/policy", json={}).status_code == 405
