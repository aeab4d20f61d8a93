"""Real rehearsals under both parties' policies, budgets and ledgers: what is refused, who says so, what it leaves."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import pytest

from party.budget import Spent
from party.home import Home
from tests.e2e.command import Finished, Sandbox, is_held, needs_proc, snapshot
from tests.e2e.nodes import configuration, drafted, node

SIDES: Final = ("bank", "platform")
# Campaign: first person and the one after the last.
CELLS: Final = {"spring": (0, 200), "summer": (200, 320)}
EVERY_THIRD: Final = range(0, 600, 3)


def phone(person: int) -> str:
    """The mobile number of a person."""
    return f"138{person:08d}"


@dataclass(slots=True)
class Parties:
    """Two parties with a home each, and their files."""

    sandbox: Sandbox

    def home(self, side: str) -> Path:
        """The home of a side."""
        return self.sandbox.folder / f"{side}-home"

    def policy(self, side: str, written: str) -> None:
        """Give a side its policy."""
        self.home(side).mkdir(exist_ok=True)
        (self.home(side) / "policy.toml").write_text(written, encoding="utf-8")

    def data(self, side: str) -> Path:
        """The file of a side."""
        return self.sandbox.folder / f"{side}.csv"

    def write(self, side: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Write the file of a side."""
        with open(self.data(side), "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])

    def customers(self, persons: Sequence[int]) -> None:
        """Give the bank customers with an amount each."""
        self.write("bank", ["mobile", "amount"], [[phone(each), "10.00"] for each in persons])

    def campaigns(self, cells: dict[str, tuple[int, int]]) -> None:
        """Give the platform persons in campaigns."""
        rows = [[phone(each), name] for name, (first, end) in cells.items() for each in range(first, end)]
        self.write("platform", ["phone", "campaign"], rows)

    def rehearse(self, job: Path) -> Finished:
        """Run a job with both homes."""
        homes = [part for side in SIDES for part in (f"--{side}-home", self.home(side))]
        return self.sandbox.rehearse(job, self.data("bank"), self.data("platform"), *homes)

    def measure(self, policy: dict[str, Any] | None = None, **keys: Any) -> Path:
        """A job file: amounts by campaign, read by the bank."""
        bank = {"identifier": "mobile", "values": {"amount": {"max": 100}}}
        platform = {"identifier": "phone", "groups": ["campaign"]}
        sections: dict[str, Any] = {"bank": bank, "platform": platform}
        sections |= {"policy": policy} if policy else {}
        return self.sandbox.job("measure", receiver="bank", **(sections | keys))

    def audience(self) -> Path:
        """A job file: the platform learns who of its users the bank has."""
        return self.sandbox.job("audience")

    def result(self) -> dict[str, Any]:
        """The combined result that is published at present."""
        content: dict[str, Any] = json.loads((self.sandbox.out / "result.json").read_text(encoding="utf-8"))
        return content

    def spent(self, side: str) -> Spent:
        """What a side has spent on its partner."""
        with Home.open(self.home(side)) as home:
            partner = "platform" if side == "bank" else "bank"
            return home.budget().spent(self.data(side).name, partner)

    def refuses(self, job: Path, side: str, sentence: str, hint: str) -> None:
        """Run a job that ``side`` refuses: nothing is published and nobody pays for it."""
        published = snapshot(self.sandbox.out)
        before = [self.spent(each) for each in SIDES]
        done = self.rehearse(job)
        assert done.status == 3, done.stdout + done.stderr
        assert sentence in done.error
        assert hint in done.hint
        assert f"{side}: {done.error}" in done.stderr.splitlines()
        assert snapshot(self.sandbox.out) == published
        assert [self.spent(each) for each in SIDES] == before
        assert self.sandbox.leftovers() == []


@pytest.fixture
def parties(sandbox: Sandbox) -> Parties:
    """Two parties with a home each and files that match in part."""
    parties = Parties(sandbox)
    parties.customers(EVERY_THIRD)
    parties.campaigns(CELLS)
    return parties


def width(result: dict[str, Any]) -> float:
    """The width of the confidence interval of the first campaign's rate."""
    (rate,) = (row["rate"] for row in result["groups"] if row["group"] == {"campaign": "spring"})
    return float(rate["high"] - rate["low"])


def test_a_cell_of_49_stays_hidden_through_two_jobs(parties: Parties) -> None:
    """The promise of min_group = 50: not by its figures, not by a total, not by asking again with one more."""
    parties.campaigns({**CELLS, "small": (320, 369)})
    parties.rehearse(parties.measure()).require_done()
    first = parties.result()
    cells = {row["group"]["campaign"]: row for row in first["groups"]}
    assert cells["small"]["withheld"] == "below_min_group"
    assert {cells["small"][name] for name in ("persons", "matched", "converters", "conversions")} == {None}
    assert cells["small"]["sums"] == {"amount": None}
    assert first["suppressed_groups"] == 1
    # The total is that of the other cells, whichever figure one looks at.
    totals = first["totals"]
    assert totals["complete"] is False
    for name in ("persons", "matched", "converters", "conversions"):
        assert totals[name] == cells["spring"][name] + cells["summer"][name]
    assert (totals["platform_persons"], totals["sums"]) == (320, {"amount": f"{totals['matched'] * 10}.00"})
    assert '"small"' not in (parties.sandbox.out / "bank" / "result.json").read_text(encoding="utf-8")

    parties.campaigns({**CELLS, "small": (320, 370)})
    parties.refuses(
        parties.measure(), "platform", "by fewer than 50 persons, and the two results would tell", "epsilon"
    )
    assert parties.result() == first


def test_a_match_of_49_customers_stays_hidden_through_two_jobs(parties: Parties) -> None:
    """The same where the platform's cell is large and the bank has 49 of its persons."""
    hits = [*range(80), *range(200, 249)]
    parties.customers(hits)
    job = parties.measure(base="customers")
    parties.rehearse(job).require_done()
    first = parties.result()
    (hidden,) = (row for row in first["groups"] if row["matched"] is None)
    assert hidden["withheld"] == "below_min_group"
    assert first["totals"]["matched"] == 80
    assert first["totals"]["sums"] == {"amount": "800.00"}

    parties.customers([*hits, 249])
    parties.refuses(
        job, "bank", "The input from dataset bank.csv differs from that of job", "exactly that input"
    )
    assert parties.result() == first


def test_an_honest_second_job_over_sums(parties: Parties) -> None:
    """One person more or elsewhere is refused without noise, and admitted with it while the budget lasts."""
    parties.policy("bank", "[budget]\nepsilon = 1.5\n")
    exact, noised = parties.measure(name="exact.toml"), parties.measure({"epsilon": 1}, name="noised.toml")
    parties.rehearse(exact).require_done()
    first = width(parties.result())
    assert "noise" not in parties.result()

    parties.customers([*EVERY_THIRD, 1])
    parties.refuses(exact, "bank", "by fewer than 50 persons", "set epsilon in [policy]")

    # With noise both may differ: the bank's customers by one, the platform's groups by one.
    parties.campaigns({"spring": (0, 199), "summer": (199, 320)})
    parties.rehearse(noised).require_done()
    result = parties.result()
    assert result["noise"]["epsilon"] == 1
    assert result["noise"]["standard_deviation"]["converters"] > 0
    assert width(result) > first
    assert [parties.spent(side) for side in SIDES] == [Spent(2, Fraction(1))] * 2

    needs = "2 of 10 runs and 1 of 1.5 epsilon are spent in 30 days; this run needs epsilon 1"
    parties.refuses(noised, "bank", needs, "it renews on 20")


def test_an_honest_second_job_over_an_audience(parties: Parties) -> None:
    """One person less on either side is refused, and no noise can help; the same job again costs a run."""
    job = parties.audience()
    for runs in (1, 2):
        parties.rehearse(job).require_done()
        assert [parties.spent(side).runs for side in SIDES] == [runs, runs]
    parties.campaigns({**CELLS, "summer": (200, 319)})
    parties.refuses(
        job, "platform", "by fewer than 50 persons", "use exactly that input again or wait until 20"
    )
    # The next export has another name and is the same dataset to the ledger.
    parties.campaigns(CELLS)
    parties.customers(EVERY_THIRD[:-1])
    renamed = parties.data("bank").rename(parties.sandbox.folder / "bank-2026-12.csv")
    homes = [part for side in SIDES for part in (f"--{side}-home", parties.home(side))]
    done = parties.sandbox.rehearse(job, renamed, parties.data("platform"), *homes)
    assert "dataset bank-2026-12.csv differs" in done.error


def test_a_spent_budget_says_when_it_renews(parties: Parties) -> None:
    parties.policy("platform", '[budget]\nruns = 1\nperiod = "7 days"\n[limits]\nmax_growth = 0.1\n')
    job = parties.audience()
    parties.rehearse(job).require_done()
    spent = "The privacy budget of dataset platform.csv for partner bank does not allow this run: 1 of 1 runs"
    parties.refuses(job, "platform", f"{spent} are spent in 7 days.", "it renews on 20")
    # With a run left, a set that grew too much is refused by whoever has the rule: first its own, then the other's.
    parties.policy("platform", "[limits]\nmax_growth = 0.1\n")
    parties.campaigns({**CELLS, "autumn": (700, 760)})
    grown = "set has 380 persons after 320 in the last job"
    parties.refuses(job, "platform", f"The platform's {grown}", "raise max_growth")


def test_the_stricter_of_both_policies_is_in_contract_and_card(parties: Parties) -> None:
    parties.policy("bank", "[limits]\nmin_group = 60\nmin_converters = 15\n")
    parties.policy("platform", "[limits]\nmin_group = 70\nepsilon = 0.5\n")
    done = parties.rehearse(parties.measure({"min_group": 55})).require_done()
    for sentence in (
        "min_group is 70 instead of 55, as the platform's policy requires.",
        "min_converters is 15 instead of 10, as the bank's policy requires.",
        "epsilon is 0.5 instead of none, as the platform's policy requires.",
    ):
        assert sentence in done.stdout.splitlines()
    (heading,) = (line for line in done.stdout.splitlines() if line.startswith("Disclosure card:"))
    for part in ("smallest group: 70", "fewest converters: 15"):
        assert part in heading
    assert "fewer than 70 persons or 15 converters" in done.stdout
    assert parties.result()["noise"]["epsilon"] == 0.5


def test_a_looser_job_of_somebody_else_is_refused_by_whom_it_concerns(parties: Parties) -> None:
    """The bank drafts without asking for the platform's policy; the platform holds the contract to its own."""
    parties.policy("platform", "[limits]\nmin_group = 70\n")
    sandbox = parties.sandbox
    plan = drafted(sandbox, parties.audience(), parties.data("bank"), parties.data("platform"))
    with ExitStack() as stack:
        bank = stack.enter_context(node(sandbox, configuration(sandbox, plan, "bank", "127.0.0.1:0")))
        port = bank.wait_for(lambda event: event["event"] == "listening")["port"]
        config = configuration(sandbox, plan, "platform", f"127.0.0.1:{port}", home=parties.home("platform"))
        platform = stack.enter_context(node(sandbox, config))
        told = platform.wait_for(lambda event: event["event"] == "error")
        assert told["message"].startswith("The job has min_group = 50, and ")
        assert told["message"].endswith("policy.toml requires 70.")
        assert told["hint"] == "ask for a contract with min_group = 70, or change the policy"
        heard = bank.wait_for(lambda event: event["event"] == "error")
        assert heard["message"] == "The platform ended the job with code contract_refused."
    assert parties.spent("platform").runs == 0


@needs_proc
@pytest.mark.parametrize(("phase", "runs"), [("order", 0), ("write", 1)])
def test_a_partner_that_dies_costs_a_run_once_something_was_released(
    parties: Parties, phase: str, runs: int
) -> None:
    sandbox, held = parties.sandbox, f"platform:{phase}"
    homes = [part for side in SIDES for part in (f"--{side}-home", parties.home(side))]
    arguments = sandbox.arguments(parties.audience(), parties.data("bank"), parties.data("platform"), *homes)
    with sandbox.start(*arguments, "--json", hooks=["hold"], environment=sandbox.holding(held)) as job:
        job.wait_for(is_held("platform", phase))
        os.kill(job.pid("platform"), signal.SIGKILL)
        assert job.finish().status != 0
    assert parties.spent("bank").runs == runs
    # The one that was killed could not give its run back: it counts, in one case until it lapses.
    assert parties.spent("platform").runs == 1
