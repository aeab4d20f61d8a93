"""What has run out goes, on both sides, however long no node was there to see it."""

from __future__ import annotations

import pytest

from party.drafting import draft_with
from party.jobfile import parse_job
from party.jobprocess import Ending
from party.jobrecords import person
from tests.party.standing_pair import TABLE, Pair
from tests.party.test_running import Nodes, nodes, run

__all__ = ["nodes"]


@pytest.mark.parametrize("days", [91, 4_000])
def test_a_node_that_was_away_for_long_removes_what_ran_out_when_it_is_back(nodes: Nodes, days: int) -> None:
    pair = nodes.pair

    async def test() -> None:
        for process in await nodes.begin():
            process.end(Ending(True))
        await nodes.settle()
        results = [side.node.home.folder / "results" for side in nodes.sides]
        for folder in results:
            # Reports and lists lie beside the figures.
            (folder / nodes.job / "report.html").write_text("a report")
        waits = pair.draft(kind="overlap").id
        pair.connect()
        assert pair.states(waits) == ("proposed", "proposed")
        approved, bare = pair.draft().id, pair.draft().id
        # Nobody has drawn up a contract for this one again.
        pair.bank.jobs.edit(bare, pair.bank.jobs.get(bare).table, "", person("ann"))
        draft = _draft(pair)

        pair.clock.forward(days=days)
        for side in nodes.sides:
            runs = nodes.anew(side)
            await runs.recover()
            await runs.tidy()
        assert pair.states(nodes.job) == ("expired", "expired")
        assert [list(folder.iterdir()) for folder in results] == [[], []]
        assert nodes.folders() == [(False, []), (False, [])]
        assert pair.states(waits) == ("expired", "expired")
        assert [pair.bank.state(job) for job in (draft, approved)] == ["expired", "expired"]
        # Without a contract there is nothing that could run out.
        assert pair.bank.state(bare) == "draft"

    run(test())


def _draft(pair: Pair) -> str:
    """A job with a contract that nobody approved."""
    drafted = draft_with(pair.bank.node, parse_job(TABLE, "JOB.toml"), TABLE, "acme")
    record = pair.bank.jobs.draft(
        *(drafted.table, "", person("ann")),
        partner="acme",
        dataset=drafted.dataset,
        contract=drafted.contract,
    )
    return record.id
