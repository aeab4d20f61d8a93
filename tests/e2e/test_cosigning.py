"""Two standing nodes of which one does not cosign: nothing is released, and it is told why, until it does again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from audit.entry import parse
from party.auditlog import AuditLog
from party.node import Node
from party.synthetic import Pair
from tests.e2e.command import NOTICED, Sandbox
from tests.e2e.standing import PARTNER, Standing, rule


class Withholding(Standing):
    """Nodes of which the platform's cosigns no more while the file ``refuses`` is there."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.refuses = sandbox.folder / "refuses"

    def start(self, role: str) -> Any:
        """Start a node; the bank's waits for a cosignature for ten seconds only."""
        # The platform's as long as ever: a bank that is slow to cosign is not what this is about.
        environment = (
            {"VEILJOIN_TEST_PATIENCE": "10"}
            if role == "server"
            else {"VEILJOIN_TEST_WITHHOLD": str(self.refuses)}
        )
        home = self.bank if role == "server" else self.home()
        return self.sandbox.start(
            *(role, "run", "--home", home, "--json"), hooks=("withhold",), environment=environment
        )


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, small: Pair) -> Withholding:
    """Two enrolled partners whose jobs need no person at the platform; no node runs."""
    standing = Withholding(Sandbox(tmp_path_factory.mktemp("withholding")))
    with standing.serving(partner=False):
        standing.enrol()
    standing.add(standing.bank, "customers", small.bank, "mobile")
    standing.add(standing.home(), "users", small.platform, "phone")
    (standing.home() / "policy.toml").write_text(rule(["users"], "audience"))
    return standing


def types(home: Path, job: str | None = None) -> list[str]:
    """The types of the entries in the log of ``home``."""
    with Node.open(home) as node:
        log = AuditLog(node.home.store)
        facts = log.facts()
        assert facts is not None
        return [str(parse(entry)["type"]) for _, _, entry in log.entries(facts.epoch, job=job)]


def test_a_withheld_cosignature_keeps_the_result_closed_and_blocks_new_jobs(nodes: Withholding) -> None:
    with nodes.serving() as (bank, _):
        nodes.refuses.touch()
        job = nodes.draft(nodes.sandbox.job())
        assert nodes.wait(nodes.bank, job, "done", "failed") == "failed"
        shown = nodes.data("job", "show", job, "--home", nodes.bank)
        assert shown["code"] == "cosign_refused"
        said = bank.wait_for(lambda event: event["event"] == "not_cosigned")
        assert PARTNER in said["text"]
        assert nodes.wait(nodes.home(), job, "done", "failed") == "failed"
        for home in (nodes.bank, nodes.home()):
            assert not (home / "results").exists() or not list((home / "results").iterdir())
            assert "result_released" not in types(home, job)
        assert "cosign_refused" in types(nodes.bank)
        # Nothing left the bank but its announcement: what it would have sent was never cosigned.
        assert "stream" in types(nodes.bank, job)

        waiting = nodes.draft(nodes.sandbox.job())
        assert nodes.wait(nodes.bank, waiting, "accepted") == "accepted"
        bank.wait_for(lambda event: event["event"] == "not_started")
        assert nodes.state(nodes.bank, waiting) == "accepted"

        nodes.refuses.unlink()
        assert nodes.wait(nodes.bank, waiting, "done", "failed") == "done"
        assert nodes.wait(nodes.home(), waiting, "done", "failed") == "done"
        end = time.monotonic() + NOTICED
        while "cosign_resumed" not in types(nodes.bank):
            assert time.monotonic() < end
            time.sleep(0.2)
