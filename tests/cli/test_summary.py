"""What the terminal says of a finished grouped sum."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from cli.sum_summary import MOST_ROWS, learned_lines, sum_lines
from cli.summary import summary_lines
from federated.results import SumResult
from party.combine import combine
from party.contract import Contract
from party.disclosure import card_for
from party.jobspec import Job
from party.rehearsal import Outcome
from tests.party.sums import cell, funnelled, hidden, lifted, measured, own_view, profiled, sum_job, total
from tests.party.test_figures import told

NAMES = {"en": {"bank": "bank", "platform": "platform"}, "zh": {"bank": "银行", "platform": "平台"}}
PARTY = {
    "rows_read": 41_000,
    "rejected": {"bad_time": 3},
    "duplicates": 10,
    "unique_persons": 40_000,
    "held_back": 0,
    "engine": "crypto_mb",
    "threads": 2,
    "seconds": {"read": 1.5},
    "bytes_sent": 2_000_000,
    "peak_memory_mb": 300,
    "files": ["report.html"],
}


def lines(job: Job, result: SumResult, language: str = "en") -> list[str]:
    """Return the lines on a result as the bank reads it."""
    shown = {"kind": job.kind.value, "window": {"days": 7, "retention_days": 30}} | told(job, result)
    return list(sum_lines(shown, job, language))


def test_lift_begins_with_what_it_added() -> None:
    found = lines(sum_job("lift"), lifted())
    assert found[0].startswith("The campaign made 200 more people convert (95 % interval ")
    assert any(line.startswith("Caution: ") for line in found)
    assert lines(sum_job("lift"), lifted(), "zh")[0].startswith("活动使转化人数增加 200 人")


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("kind", "make"), [("lift", lifted), ("funnel", funnelled), ("profile", profiled)])
def test_tables_are_aligned(kind: str, make: Any, language: str) -> None:
    """Numbers end in one column, also below and beside Chinese labels, which are twice as wide."""
    table = [line for line in lines(sum_job(kind), make(), language) if line.startswith("  ")]
    whole = [line for line in table if "withheld" not in line and "不显示" not in line]
    assert len(whole) > 2
    assert len({cell_len(line) for line in whole}) == 1


def test_withheld_group_says_why() -> None:
    result = measured()
    found = lines(sum_job("measure"), replace(result, cells=(*result.cells, hidden(("C",), 20_000))))
    row = next(line for line in found if line.startswith("  C"))
    assert row.split()[:5] == ["C", "20,000", "—", "—", "—"]
    assert row.endswith("withheld: fewer than 10 converters")
    assert "Caution: 1 group is withheld: fewer than 10 converters." in found


def test_amounts_are_exact() -> None:
    row = next(line for line in lines(sum_job("measure"), measured()) if line.startswith("  A"))
    assert row.split()[-2:] == ["20,000.50", "\N{MINUS SIGN}40"]


def test_long_tables_end_with_where_the_rest_is() -> None:
    counts = {"matched": 40, "converters": 30, "conversions": 33, "sum_amount": 0, "square_amount": 0}
    cells = tuple(cell((f"c{number}",), 500, "", **counts) for number in range(MOST_ROWS + 5))
    job = sum_job("measure")
    job = replace(job, bank=replace(job.bank, values=job.bank.values[:1]))
    found = lines(job, SumResult(cells, (total(*cells),), {}, {}))
    assert found[-1] == "  5 more groups in groups.csv"


def test_each_side_learned_what_its_own_report_holds() -> None:
    job = sum_job("measure")
    sides = {"bank": told(job, measured()), "platform": told(job, own_view(measured()), "platform")}
    assert list(learned_lines(sides, job, "en", NAMES["en"])) == [
        "the bank learned: the platform's set has 100,000 persons; the figures of 2 groups",
        "the platform learned: 40,000 of the bank's persons have an outcome; no figure of the table",
    ]
    assert "未得知表中任何数字" in list(learned_lines(sides, job, "zh", NAMES["zh"]))[1]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_whole_summary_of_a_sum(language: str) -> None:
    job, contract = sum_job("measure"), Contract(b"{}", {"job": "j-1"})
    sides = {
        "bank": told(job, measured()) | {"party": PARTY},
        "platform": told(job, own_view(measured(), hidden(("C",), 20_000)), "platform") | {"party": PARTY},
    }
    outcome = Outcome(combine(job, contract, sides), sides, Path("out"), card_for(job), contract)
    found = list(summary_lines(outcome, language, job))
    assert any("report.html" in line and "out" in line for line in found)
    assert any("result.json" in line for line in found)
    assert any("bad_time 3" in line for line in found)
    assert any(line.startswith("  C") for line in found)
