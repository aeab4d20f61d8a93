"""The figures of a grouped sum as each side reads them, and both sides' together."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from federated.results import BELOW_MIN_CONVERTERS, BELOW_MIN_GROUP, DOMINATED, SumResult
from federated.statistics import RateArm, lift_of_rates, rate
from party.combine import combine
from party.contract import Contract
from party.effects import cost_text, decimal_text
from party.figures import figures
from party.jobspec import Job
from tests.party.sums import (
    SIZES,
    TAGS,
    Facts,
    cell,
    funnelled,
    hidden,
    lifted,
    measured,
    own_view,
    profiled,
    sum_job,
    total,
)


def told(job: Job, result: SumResult, side: str = "bank", **facts: Any) -> dict[str, Any]:
    """Return the figures of ``side``; they must be plain JSON."""
    found = figures(job, side, result, sizes=SIZES, tags=TAGS, facts=Facts(**facts))
    plain: dict[str, Any] = json.loads(json.dumps(found, allow_nan=False))
    return plain


def test_groups_and_totals_of_a_measure() -> None:
    found = told(sum_job("measure"), measured())
    second, first = found["groups"]
    assert first["group"] == {"creative": "A"}
    assert (first["persons"], first["matched"], first["converters"], first["conversions"]) == (
        50_000,
        900,
        400,
        450,
    )
    assert first["sums"] == {"amount": "20000.50", "points": "-40"}
    assert first["cost"] == "250.00"
    assert first["rate"]["value"] == 0.008
    assert first["mean"]["amount"]["value"] == pytest.approx(20_000.50 / 50_000)
    assert first["mean"]["points"]["value"] == pytest.approx(-40 / 50_000)
    assert second["group"] == {"creative": "(none)"}
    totals = found["totals"]
    assert totals.pop("rate")["value"] == 550 / 80_000
    assert totals.pop("mean")["amount"]["value"] == pytest.approx(26_000.5 / 80_000)
    assert totals == {
        "bank_persons": 40_000,
        "platform_persons": 100_000,
        "persons": 80_000,
        "matched": 1_400,
        "converters": 550,
        "conversions": 600,
        "sums": {"amount": "26000.50", "points": "-28"},
        "cost": "350.00",
        "complete": False,
    }
    assert found["suppressed_groups"] == 1
    assert found["suppressed_by"] == {BELOW_MIN_CONVERTERS: 1}
    assert found["withheld"] == [
        {"figure": "totals", "reason": BELOW_MIN_CONVERTERS, "covers": "not all groups"}
    ]
    assert found["moved"] == {"persons": 42, "days": {"1": 12, "2": 30}}
    assert "noise" not in found
    assert "clipped" not in found


def test_groups_are_in_the_order_that_people_read() -> None:
    def labels(kind: str, *label: tuple[str, ...]) -> list[str]:
        cells = tuple(hidden(each, 100) for each in label)
        groups = told(sum_job(kind), SumResult(cells, (), {}, {}))["groups"]
        return [" ".join(row["group"].values()) for row in groups]

    assert labels("measure", ("10",), ("b",), ("9",), ("a",)) == ["9", "10", "a", "b"]
    assert labels("lift", ("a", "x"), ("control", "y"), ("z", "x"), ("control", "x")) == [
        "control x",
        "control y",
        "a x",
        "z x",
    ]
    stages = labels("funnel", ("clicked", "a"), ("exposed", "b"), ("none", "c"), ("exposed", "a"))
    assert stages == ["none c", "exposed a", "exposed b", "clicked a"]


def test_rates_are_wilsons() -> None:
    row = told(sum_job("measure"), measured())["groups"][1]
    expected = rate(400, 50_000)
    assert (row["rate"]["low"], row["rate"]["high"]) == (expected.low, expected.high)


def test_noise_widens_intervals_and_is_told() -> None:
    exact = measured()
    noisy = replace(
        exact, noise={"converters": 400.0, "matched": 400.0, "sum:amount": 1e10, "square:amount": 9.0}
    )
    job = sum_job("measure", epsilon=Fraction(1, 2))
    found, plain = told(job, noisy), told(sum_job("measure"), exact)
    assert found["groups"][0]["rate"]["low"] < plain["groups"][0]["rate"]["low"]
    assert found["groups"][0]["mean"]["amount"]["high"] > plain["groups"][0]["mean"]["amount"]["high"]
    assert found["noise"]["epsilon"] == 0.5
    deviations = found["noise"]["standard_deviation"]
    assert deviations["converters"] == 20.0
    assert deviations["sum:amount"] == pytest.approx(1_000.0)  # of 100,000 cents
    assert "square:amount" not in deviations


def test_hidden_figure_of_a_released_group() -> None:
    one = cell(
        ("A",), 500, matched=40, converters=30, sum_amount=5, square_amount=25, sum_points=0, square_points=0
    )
    found = told(sum_job("measure"), SumResult((one,), (total(one),), {}, {}))
    assert found["groups"][0]["conversions"] is None
    assert found["totals"]["conversions"] is None
    entry = {"figure": "conversions", "group": {"creative": "A"}, "reason": BELOW_MIN_CONVERTERS}
    assert entry in found["withheld"]


def test_the_side_that_does_not_read_has_only_its_own_groups() -> None:
    view = own_view(measured(), hidden(("C",), 20_000))
    found = told(sum_job("measure"), view, "platform", clipped=4)
    assert [row["converters"] for row in found["groups"]] == [None] * 3
    assert [row["withheld"] for row in found["groups"]] == [
        "not_told_by_contract",
        "not_told_by_contract",
        BELOW_MIN_CONVERTERS,
    ]
    assert found["totals"]["converters"] is None
    assert found["withheld"] == [{"figure": "totals", "reason": "not_told_by_contract"}]
    assert found["suppressed_by"] == {BELOW_MIN_CONVERTERS: 1}
    assert found["suppressed_groups"] == 1
    assert found["clipped"] == {"platform": 4}
    assert found["moved"] == {"persons": 42, "days": {"1": 12, "2": 30}}


def test_lift_is_that_of_the_statistics() -> None:
    found = told(sum_job("lift"), lifted())
    expected = lift_of_rates(RateArm(50_000, 500), RateArm(50_000, 700))
    lift = found["lift"]["converters"]
    assert (lift["control"], lift["test"]) == (0.01, 0.014)
    assert (lift["low"], lift["high"]) == (expected.absolute.low, expected.absolute.high)
    assert lift["relative"] == pytest.approx(0.4)
    assert lift["relative_low"] == expected.relative.low
    assert lift["p_value"] == expected.p_value
    amount = found["lift"]["amount"]
    assert amount["control"] == pytest.approx(25_000 / 50_000)
    assert amount["absolute"] == pytest.approx(12_000 / 50_000)
    evaluation = found["evaluation"]
    assert evaluation["incremental"]["value"] == pytest.approx(200)
    assert evaluation["incremental"]["low"] == pytest.approx(50_000 * lift["low"])
    assert evaluation["incremental_values"]["amount"]["value"] == pytest.approx(12_000)
    assert evaluation["cost"] == "6000.00"
    assert evaluation["cost_per_incremental"]["value"] == pytest.approx(30)
    assert evaluation["return_on_spend"]["amount"]["value"] == pytest.approx(2)
    assert evaluation["sample_ratio"]["passed"] is True
    assert evaluation["enough_conversions"] is True
    assert evaluation["notes"] == []
    assert [arm["arm"] for arm in found["arms"]] == ["control", "test"]
    assert [arm["converters"] for arm in found["arms"]] == [500, 700]
    assert found["totals"]["converters"] == 1_200


def test_costs_that_refunds_outweigh_have_no_price() -> None:
    result = lifted()
    refunded = replace(result, totals=(replace(result.totals[0], cost=-50_000), result.totals[1]))
    evaluation = told(sum_job("lift"), refunded)["evaluation"]
    assert evaluation["cost"] == "-5.00"
    assert evaluation["cost_per_incremental"] is None
    assert evaluation["return_on_spend"] == {}


def test_noise_of_a_total_is_that_of_all_its_groups() -> None:
    """The test arm has two groups, so twice the variance of the control arm."""
    found = told(sum_job("lift", epsilon=Fraction(1)), lifted(Fraction(1)))
    arms = found["arms"]
    assert arms[0]["rate"]["low"] == rate(500, 50_000, converters_noise=100.0).low
    assert arms[1]["rate"]["low"] == rate(700, 50_000, converters_noise=200.0).low
    expected = lift_of_rates(
        RateArm(50_000, 500, converters_noise=100.0), RateArm(50_000, 700, converters_noise=200.0)
    )
    assert found["lift"]["converters"]["low"] == expected.absolute.low


def test_planned_shares_are_checked() -> None:
    job = sum_job("lift")
    assert job.sums is not None
    assert job.sums.arms is not None
    planned = replace(job, sums=replace(job.sums, arms=replace(job.sums.arms, control_share=0.1)))
    unplanned = replace(job, sums=replace(job.sums, arms=replace(job.sums.arms, control_share=None)))
    assert told(planned, lifted())["evaluation"]["notes"] == ["sample_ratio_mismatch"]
    assert "sample_ratio_mismatch" in told(planned, lifted())["lift"]["amount"]["notes"]
    assert told(unplanned, lifted())["evaluation"]["sample_ratio"] is None


def test_incomplete_arm_is_said_and_not_held_against_the_plan() -> None:
    result = lifted()
    partial = cell(("test", "A"), 25_000, "test", **dict(result.cells[1].figures or {}))
    totals = (total(partial, scope="test", complete=False), result.totals[1])
    out = hidden(("test", "B"), 25_000, "test", DOMINATED)
    cut = SumResult((result.cells[0], partial, out), totals, {DOMINATED: 1}, {})
    found = told(sum_job("lift"), cut)
    assert found["lift"]["converters"]["notes"][0] == "incomplete_arm"
    assert found["evaluation"]["sample_ratio"] is None
    entry = {"figure": "arm", "arm": "test", "reason": DOMINATED, "covers": "not all groups"}
    assert entry in found["withheld"]


def test_lift_without_a_control_arm_or_figures() -> None:
    result = lifted()
    alone = SumResult(result.cells[1:], result.totals[:1], {}, {})
    found = told(sum_job("lift"), alone)
    assert found["lift"] is None
    assert {"figure": "lift", "reason": "no_such_arm"} in found["withheld"]
    nothing = replace(result.totals[1], figures=None, complete=False)
    found = told(sum_job("lift"), replace(result, totals=(result.totals[0], nothing)))
    assert found["lift"] is None
    assert found["arms"][0]["persons"] is None
    assert found["totals"]["complete"] is False
    assert {"figure": "lift", "reason": "all_withheld"} in found["withheld"]


def test_funnel_is_nested_and_counts_who_came_through_the_platform() -> None:
    found = told(sum_job("funnel"), funnelled())["funnel"]
    assert [(step["stage"], step["side"], step["persons"]) for step in found] == [
        ("exposed", "platform", 8_000),
        ("clicked", "platform", 3_000),
        ("bound", "bank", 280),
        ("activated", "bank", 140),
    ]
    assert found[0]["of_previous"] is None
    assert found[2]["of_previous"]["value"] == pytest.approx(280 / 3_000)
    assert found[2]["of_first"]["value"] == pytest.approx(280 / 8_000)
    assert found[3]["of_previous"]["value"] == 0.5
    assert found[3]["of_first"]["value"] == pytest.approx(140 / 8_000)
    assert all(step["complete"] for step in found)


def test_funnel_with_an_untold_group_does_not_pretend() -> None:
    found = told(sum_job("funnel"), funnelled(last_released=False))["funnel"]
    assert [step["persons"] for step in found] == [None, None, 200, 100]
    assert found[2]["of_previous"]["value"] == 0.1  # of the 2,000 in the same group
    assert found[2]["of_first"]["value"] is None
    assert not any(step["complete"] for step in found)


def test_funnel_of_a_side_that_is_told_nothing() -> None:
    unread = SumResult((), (), {}, {}, readable=False)
    found = told(sum_job("funnel", receiver="platform"), unread)
    assert [step["persons"] for step in found["funnel"]] == [None] * 4
    assert "moved" not in found


def test_figure_that_a_total_hides() -> None:
    result = funnelled()
    whole = dict(result.totals[0].figures or {})
    del whole["stage:activated"]
    found = told(sum_job("funnel"), replace(result, totals=(replace(result.totals[0], figures=whole),)))
    assert found["totals"]["stages"] == {"bound": 350, "activated": None}
    assert {"figure": "totals.stages.activated", "reason": BELOW_MIN_CONVERTERS} in found["withheld"]


def test_stages_and_retained_of_a_funnel() -> None:
    row = told(sum_job("funnel"), funnelled())["groups"][2]
    assert row["group"] == {"stage": "clicked", "creative": "A"}
    assert row["stages"] == {"bound": 200, "activated": 100}
    assert row["retained"] == 50


def test_profile_has_one_row_per_tag() -> None:
    found = told(sum_job("profile"), profiled(), "platform")
    assert [(row["group"], row["matched"], row.get("withheld")) for row in found["groups"]] == [
        ({"creative": "A", "city": "上海"}, 600, None),
        ({"creative": "A", "city": "北京"}, None, BELOW_MIN_GROUP),
        ({"creative": "A", "device": "phone"}, 900, None),
        ({"creative": "B"}, None, BELOW_MIN_GROUP),
    ]
    assert found["groups"][0]["share"]["value"] == 0.6
    assert found["totals"] == {
        "bank_persons": 40_000,
        "platform_persons": 100_000,
        "persons": 20_000,
        "matched": 1_000,
        "complete": False,
    }


def test_tag_column_of_the_same_name_as_a_group_column() -> None:
    job = sum_job("profile")
    same = replace(job, platform=replace(job.platform, groups=("city",)))
    groups = [row["group"] for row in told(same, profiled(), "platform")["groups"]]
    assert groups[0] == {"city": "A", "bank_city": "上海"}


@pytest.mark.parametrize(
    ("whole", "scale", "text"),
    [
        (0, 100, "0.00"),
        (-5, 100, "-0.05"),
        (-105, 100, "-1.05"),
        (7, 1, "7"),
        (10**20 + 1, 10, "1" + "0" * 19 + ".1"),
    ],
)
def test_exact_decimals(whole: int, scale: int, text: str) -> None:
    assert decimal_text(whole, scale) == text


@pytest.mark.parametrize(
    ("cost", "text"), [(12_300, "1.23"), (12_000, "1.20"), (12_345, "1.2345"), (12_340, "1.234"), (0, "0.00")]
)
def test_costs_keep_what_they_have(cost: int, text: str) -> None:
    assert cost_text(cost) == text


# -- both sides together


def contract() -> Contract:
    """Return a contract with nothing but an id."""
    return Contract(b"{}", {"job": "j-1"})


def both(job: Job, bank: SumResult, platform: SumResult) -> dict[str, Any]:
    """Return the combined result."""
    sides = {"bank": told(job, bank, clipped=7), "platform": told(job, platform, "platform")}
    reports = {side: {**report, "party": {"side": side}} for side, report in sides.items()}
    plain: dict[str, Any] = json.loads(json.dumps(combine(job, contract(), reports)))
    return plain


def test_combined_result_names_withheld_groups() -> None:
    job = sum_job("measure")
    found = both(job, measured(), own_view(measured(), hidden(("C",), 20_000)))
    assert [row["group"]["creative"] for row in found["groups"]] == ["(none)", "A", "C"]
    assert [row["converters"] for row in found["groups"]] == [150, 400, None]
    assert found["groups"][2]["withheld"] == BELOW_MIN_CONVERTERS
    assert found["groups"][2]["persons"] == 20_000
    assert found["suppressed_groups"] == 1
    assert found["moved"]["persons"] == 42
    assert found["clipped"] == {"bank": 7}
    assert found["totals"]["converters"] == 550
    assert found["window"] == {"days": 7, "exposure": "first", "timezone": "Asia/Shanghai"}
    assert (found["value_holder"], found["base"], found["kind"]) == ("bank", "converters", "measure")
    assert found["parties"] == {"bank": {"side": "bank"}, "platform": {"side": "platform"}}


def test_combined_result_hides_small_numbers_of_persons() -> None:
    result = SumResult((), (), {BELOW_MIN_GROUP: 1}, {})
    found = both(sum_job("measure"), result, own_view(result, hidden(("A",), 20, reason=BELOW_MIN_GROUP)))
    assert found["groups"][0]["persons"] is None
    assert found["totals"]["converters"] is None


def test_combined_funnel_knows_every_label() -> None:
    job = sum_job("funnel")
    bank = funnelled(last_released=False)
    found = both(job, bank, own_view(bank, hidden(("clicked", "B"), 1_000)))
    assert [step["persons"] for step in found["funnel"]] == [8_000, 3_000, 200, 100]
    assert [step["complete"] for step in found["funnel"]] == [True, True, False, False]
    small = hidden(("clicked", "C"), 20, reason=BELOW_MIN_GROUP)
    short = both(job, bank, own_view(bank, hidden(("clicked", "B"), 1_000), small))
    assert [step["persons"] for step in short["funnel"]] == [8_020, 3_020, 200, 100]
    assert [step["complete"] for step in short["funnel"]] == [True, True, False, False]
    whole = both(job, funnelled(), own_view(funnelled()))
    assert whole["funnel"] == told(job, funnelled())["funnel"]


def test_combined_profile_read_by_the_platform() -> None:
    job = sum_job("profile", receiver="platform")
    bank = SumResult((), (), {}, {}, readable=False)
    found = both(job, bank, profiled())
    assert len(found["groups"]) == 4
    assert found["groups"][0]["matched"] == 600


def test_a_match_has_no_such_figures() -> None:
    job = replace(sum_job("measure"), sums=None)
    with pytest.raises(ValueError, match="grouped sums"):
        told(job, measured())
    with pytest.raises(ValueError, match="grouped sums"):
        combine(job, contract(), {})
