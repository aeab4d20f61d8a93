"""What a disclosure card says, for each kind and receiver, in both languages.

The cards lie in ``tests/vectors/disclosure_cards.txt``, so that a change of what people approve is read as text
in a review. To write them anew: ``python -m tests.party.test_disclosure``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from party.contract import card_hash
from party.disclosure import Card, card_for, holds_back, tiered
from party.jobfile import SIDES, Job, JobKind
from party.jobspec import SUM_KINDS
from party.statements import LANGUAGES, MATCH_STATEMENTS, STATEMENTS, SUM_STATEMENTS
from tests.party.jobs import job
from tests.party.sum_jobs import sum_job

GOLDEN = Path(__file__).resolve().parents[1] / "vectors" / "disclosure_cards.txt"
TIERS = {"bank__tier": "level", "platform__tier": "grade"}
CASES: dict[str, dict[str, Any]] = {
    "overlap counted by the bank": {"kind": "overlap", "receiver": "bank"},
    "overlap counted by the platform, tiers on both sides": {
        "kind": "overlap",
        "receiver": "platform",
        **TIERS,
    },
    "audience for the platform": {"receiver": "platform"},
    "audience for the bank, tiers on both sides": {"receiver": "bank", **TIERS},
    "audience for both, tiers on both sides": {"receiver": "both", **TIERS},
    "audience for the platform, unmatched": {"receiver": "platform", "output": "unmatched"},
    "audience for the platform with a holdout": {"receiver": "platform", "holdout": 0.125},
    "audience for both, unmatched, with a holdout": {
        "receiver": "both",
        "output": "unmatched",
        "holdout": 0.1,
    },
    "audience for the bank, both keep their seeds": {"receiver": "bank", "keep_seed": "both"},
    "small groups of hashes on ristretto255": {
        "identifier": "sha256:phone:cn11",
        "suite": "ristretto255",
        "policy__min_group": 7,
        "policy__max_set": 1000,
    },
}
SUM_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "measure for the bank, with values and a window": ("measure", {}),
    "measure for the platform, exact, without window, dominance off": (
        "measure",
        {"receiver": "platform", "window": None, "policy__dominance": 0},
    ),
    "lift for both, with noise": ("lift", {"receiver": "both", "policy__epsilon": 0.5}),
    "lift for both, exact, over all customers": ("lift", {"receiver": "both", "base": "customers"}),
    "funnel for the bank, with retention": ("funnel", {}),
    "profile of the bank's segments by the platform's tags": ("profile", {}),
    "measure for the bank, both keep their seeds": ("measure", {"keep_seed": "both"}),
}


def rendered() -> str:
    """Return all cards as text."""
    parts = []
    jobs = {name: job(**changes) for name, changes in CASES.items()}
    jobs |= {name: sum_job(kind, **changes) for name, (kind, changes) in SUM_CASES.items()}
    for name, of in jobs.items():
        for language in LANGUAGES:
            parts.append(f"=== {name} ({language})")
            parts += card_for(of).lines(language)
    return "\n".join(parts) + "\n"


def every_job() -> Iterator[Job]:
    """Return a job for every way a card can differ."""
    flags = (False, True)
    for receiver, own, theirs in product(SIDES, flags, flags):
        sides = _tiers(own, theirs)
        yield job(kind="overlap", receiver=receiver, **sides)
    for receiver, output, holdout, own, theirs in product(
        (*SIDES, "both"), ("matched", "unmatched"), (0, 0.2), flags, flags
    ):
        yield job(receiver=receiver, output=output, holdout=holdout, **_tiers(own, theirs))
    for keeper in (*SIDES, "both"):
        yield job(keep_seed=keeper)


def every_sum() -> Iterator[Job]:
    """Return a grouped sum for every way a card can differ."""
    policies: tuple[dict[str, Any], ...] = ({}, {"policy__epsilon": 2}, {"policy__dominance": 0})
    for kind, receiver, policy in product(SUM_KINDS, (*SIDES, "both"), policies):
        changes = {"receiver": receiver, **policy}
        yield sum_job(kind, **changes)
        yield sum_job(kind, **changes, keep_seed=receiver)
        if kind == "profile":
            continue
        side = {"platform__groups": ["g"]}
        yield sum_job(kind, **changes, window=None, base="customers", platform__cost=None, **side)
        yield sum_job(kind, **changes, bank__values=None)
        if kind == "funnel":
            yield sum_job(kind, **changes, bank__values={"paid": {"max": 9}}, window__retention_days=None)


def _tiers(bank: bool, platform: bool) -> dict[str, str]:
    return {key: value for (key, value), used in zip(TIERS.items(), (bank, platform), strict=True) if used}


JOBS = list(every_job())
SUMS = list(every_sum())


def ids(card: Card, section: str) -> list[str]:
    """Return the statements of one section."""
    return [statement.id for statement in card.sections[section]]


def test_the_cards_are_those_that_were_reviewed() -> None:
    assert rendered() == GOLDEN.read_text(encoding="utf-8")


# -- the table of statements


@pytest.mark.parametrize("name", list(STATEMENTS))
def test_a_statement_says_the_same_in_both_languages(name: str) -> None:
    texts = STATEMENTS[name]
    assert len(texts) == len(LANGUAGES)
    fields = [sorted({field for _, field, _, _ in Formatter().parse(text) if field}) for text in texts]
    assert fields[0] == fields[1]
    assert all(texts)
    assert texts[0].isascii()
    assert re.search("[\u4e00-\u9fff]", texts[1])


def test_every_statement_is_used_and_every_used_one_exists() -> None:
    for jobs, table in ((JOBS, MATCH_STATEMENTS), (SUMS, SUM_STATEMENTS)):
        used = {statement.id for of in jobs for part in card_for(of).sections.values() for statement in part}
        assert used == set(table)
    assert set(STATEMENTS) == {*MATCH_STATEMENTS, *SUM_STATEMENTS}
    assert len(SUM_STATEMENTS) == len(set(SUM_STATEMENTS))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_card_formats_without_a_gap(language: str) -> None:
    for of in [*JOBS, *SUMS]:
        lines = list(card_for(of).lines(language))
        assert not any("{" in line or "}" in line for line in lines)
        assert len(lines) == 1 + 4 + sum(map(len, card_for(of).sections.values()))
        if language == "en":
            assert all(line.isascii() for line in lines)
        else:
            # No party keeps its English name in a Chinese sentence.
            assert not any(re.search("bank|platform|both|converters|first|last", line) for line in lines)


# -- the card as data


def test_the_hash_does_not_depend_on_the_language() -> None:
    for of in [*JOBS, *SUMS]:
        before = card_hash(of)
        card = card_for(of)
        assert {language: len(list(card.lines(language))) for language in LANGUAGES}
        assert card_hash(of) == before
        assert "银行" not in str(card.as_data())
        assert "learns" not in str(card.as_data())


def test_cards_that_say_something_else_have_another_hash() -> None:
    texts: dict[str, set[str]] = {}
    for of in [*JOBS, *SUMS, *(job(**changes) for changes in CASES.values())]:
        texts.setdefault(card_hash(of), set()).add("\n".join(card_for(of).lines()))
    assert all(len(each) == 1 for each in texts.values())
    assert len(texts) == len(set().union(*texts.values()))


@pytest.mark.parametrize(
    "changes",
    [
        {"policy__min_group": 51},
        {"policy__max_set": 49_999_999},
        {"suite": "ristretto255"},
        {"identifier": "email"},
        {"receiver": "bank"},
        {"output": "unmatched"},
        {"holdout": 0.01},
        {"keep_seed": "bank"},
        {"bank__tier": "level"},
    ],
    ids=str,
)
def test_whatever_changes_what_is_learned_changes_the_hash(changes: dict[str, Any]) -> None:
    assert card_hash(job(**changes)) != card_hash(job())


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("measure", {"policy__min_group": 51}),
        ("measure", {"policy__min_converters": 11}),
        ("measure", {"policy__dominance": 11}),
        ("measure", {"policy__dominance": 0}),
        ("measure", {"policy__epsilon": 1}),
        ("measure", {"receiver": "platform"}),
        ("measure", {"receiver": "both"}),
        ("measure", {"base": "customers"}),
        ("measure", {"key_bits": 3072}),
        ("measure", {"window": None}),
        ("measure", {"window__days": 8}),
        ("measure", {"window__exposure": "last"}),
        ("measure", {"window__timezone": "UTC"}),
        ("measure", {"bank__values__tips": {"max": 5}}),
        ("measure", {"platform__cost": None}),
        ("lift", {"arms__column": "cell"}),
        ("lift", {"arms__control": "holdout"}),
        ("funnel", {"bank__stages": ["bound"]}),
        ("funnel", {"window__retention_days": 10}),
        ("profile", {"platform__tags": ["age"]}),
    ],
    ids=str,
)
def test_whatever_changes_what_a_sum_tells_changes_the_hash(kind: str, changes: dict[str, Any]) -> None:
    assert card_hash(sum_job(kind, **changes)) != card_hash(sum_job(kind))


def test_what_nobody_learns_from_does_not_change_the_hash() -> None:
    for changes in ({"purpose": "another"}, {"bank__keep": "last"}, {"platform__tier": "grade"}):
        assert card_hash(job(**changes)) == card_hash(job())


# -- what it says of each side


@pytest.mark.parametrize("of", JOBS, ids=range(len(JOBS)))
def test_each_side_is_told_what_it_will_learn(of: Job) -> None:
    card = card_for(of)
    for side, other in (SIDES, SIDES[::-1]):
        learned = ids(card, side)
        receives = of.receiver in (side, "both")
        # Everybody learns the other's size, and its tiers exactly where they travel.
        assert learned[0] == "other_size"
        assert ("other_tiers" in learned) == tiered(of, other)
        lists = {"own_matches", "own_unmatched"} & set(learned)
        if of.kind is JobKind.OVERLAP:
            assert not lists
            assert ("count" in learned) == receives
            assert ("count_by_tier" in learned) == (receives and (tiered(of, side) or tiered(of, other)))
        else:
            wanted = "own_matches" if of.output == "matched" else "own_unmatched"
            assert lists == ({wanted} if receives else set())
            assert ("tier_of_match" in learned) == (receives and tiered(of, other))
        assert ("no_count" in learned) == (not receives)
        assert ("first" in learned) == (of.both and side == "platform")
        assert ("holdout_list" in learned) == holds_back(of, side)
        assert len(set(learned)) == len(learned)
    assert ("no_names" in ids(card, "nobody")) == (of.kind is JobKind.OVERLAP)
    assert ("deviating_counter" in ids(card, "beyond")) == (of.kind is JobKind.OVERLAP)
    assert ("holdout_hidden" in ids(card, "beyond")) == (of.holdout > 0)
    assert ("unfair" in ids(card, "beyond")) == of.both
    assert {"wire", "false_input", "last_member"} <= set(ids(card, "beyond"))


@pytest.mark.parametrize("of", SUMS, ids=range(len(SUMS)))
def test_each_side_of_a_sum_is_told_what_it_will_learn(of: Job) -> None:
    card, spec = card_for(of), of.sums
    assert spec is not None
    values, groups = set(ids(card, spec.value_holder)), set(ids(card, spec.group_holder))
    side = of.side(spec.value_holder)
    profile, windowed = of.kind is JobKind.PROFILE, spec.window is not None
    # What the protocol tells whoever reads: sizes of cells, counts in clear, hits, rows that go together.
    assert {
        "cells_by_day" if windowed else "cells",
        "matches_of_cells" if profile else "counts_of_cells",
    } <= values
    assert {"hits_by_day" if windowed else "hits", "linked_rows", "verdict"} <= groups
    assert ("arms_of_cells" in values) == (of.kind is JobKind.LIFT)
    assert ("other_size" in groups) == (spec.base == "customers")
    assert ("other_converters" in groups) == (spec.base == "converters")
    assert ("tag_values" in groups) == profile
    # What only readers are told.
    for name, learned in ((spec.value_holder, values), (spec.group_holder, groups)):
        reads = name in of.receivers
        assert ("no_table" in learned) == (not reads)
        assert ({"totals", "withheld"} <= learned) == reads
        assert ("figures" in learned) == (reads and not profile)
        assert ("tag_figures" in learned) == (reads and profile)
        assert ("sums" in learned) == (reads and bool(side.values))
        assert ("stage_figures" in learned) == (reads and bool(side.stages))
        retention = spec.window.retention_days if spec.window else None
        assert ("retained" in learned) == (reads and retention is not None)
    # Names and costs are the group holder's own.
    reads = spec.value_holder in of.receivers
    assert ("labels" in values) == reads
    assert ("costs" in values) == (reads and of.side(spec.group_holder).cost is not None)
    assert ("moved" in values) == (reads and windowed)
    assert ("arm_names" in values) == (reads and of.kind is JobKind.LIFT)
    assert not groups & {"labels", "costs", "moved", "arm_names", "table_first"}
    assert ("table_first" in values) == of.both
    # One side decides on dominance, and so sees the sums that it withholds.
    rule = bool(side.values) and spec.dominance > 0 and spec.epsilon is None
    assert ("dominance" in ids(card, "nobody")) == rule
    assert ("dominance" in card.settings) == rule
    assert ("dominated_sums" in values) == (rule and reads)
    assert ("dominated_sums" in groups) == (rule and not reads)


@pytest.mark.parametrize("of", SUMS, ids=range(len(SUMS)))
def test_what_stays_possible_in_a_sum(of: Job) -> None:
    beyond, spec = ids(card_for(of), "beyond"), of.sums
    assert spec is not None
    always = {"differencing", "last_member", "padded_groups", "coded_values", "false_input", "wrong_figures"}
    assert {*always, "stopping", "wire_sums"} <= set(beyond)
    assert ("noise" in beyond) != ("exact_figures" in beyond)
    assert ("noise" in beyond) == (spec.epsilon is not None)
    has_values = bool(of.side(spec.value_holder).values)
    assert ("single_amounts" in beyond) == has_values
    assert ("no_dominance" in beyond) == (has_values and spec.dominance == 0 and spec.epsilon is None)
    for section in card_for(of).sections:
        assert len(set(ids(card_for(of), section))) == len(ids(card_for(of), section))


def test_the_card_names_parties_and_columns_as_they_are() -> None:
    # A column that is called like a party stays a column in every language.
    of = sum_job("measure", bank__values={"bank": {"max": 1}, "first": {"max": 1}})
    assert any("bank, first" in line for line in card_for(of).lines("zh"))
    mirrored = sum_job("profile", receiver="platform")
    assert "no_table" in ids(card_for(mirrored), "bank")
    assert any("bank that fills a group" in line for line in card_for(mirrored).lines())


def test_the_thresholds_shown_are_those_of_the_job() -> None:
    for of in (job(policy__min_group=77), job(kind="overlap", policy__min_group=77)):
        lines = list(card_for(of).lines())
        assert "smallest group: 77" in lines[0]
        assert any("fewer than 77" in line for line in lines[1:])
        assert not any("50 " in line for line in lines[1:])


def test_who_keeps_people_back() -> None:
    for receiver, keeper in (("platform", "bank"), ("bank", "platform"), ("both", "bank")):
        of = job(receiver=receiver, holdout=0.05)
        assert [side for side in SIDES if holds_back(of, side)] == [keeper]
        assert any("at random (5 %)" in line for line in card_for(of).lines())
    assert not any(holds_back(job(), side) for side in SIDES)


if __name__ == "__main__":
    GOLDEN.write_text(rendered(), encoding="utf-8")
