"""A partner's node that was off until its certificate had ended: what it says, and how it comes back."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from party.authority import StandingAuthority
from party.budget import Clock, local_clock
from party.identity import public_identity
from party.node import Node
from party.partners import Kind, newest
from party.store import Store
from party.synthetic import Pair
from party.vault import Vault
from tests.e2e.command import Sandbox
from tests.e2e.standing import PARTNER, Standing

# In place of a week; a node takes its certificate within a few seconds of the confirmation.
LIFETIME: Final = datetime.timedelta(seconds=20)


@contextmanager
def short_lives(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within the block, confirming in this process issues certificates that end soon."""
    load = StandingAuthority.load

    def soon(store: Store, vault: Vault, clock: Clock = local_clock) -> StandingAuthority:
        return load(store, vault, clock, LIFETIME)

    with monkeypatch.context() as patch:
        patch.setattr(StandingAuthority, "load", soon)
        yield


def own(standing: Standing) -> tuple[bytes, datetime.datetime]:
    """A partner's identity, and when its certificate ends."""
    with Node.open(standing.home()) as node:
        held = node.credentials.current()
        assert held is not None
        return public_identity(node.credentials.identity()), held.expires


@pytest.mark.timeout(600)  # three enrolments, and waiting for an end
def test_a_node_that_was_off_too_long_joins_again_and_has_lost_nothing(
    sandbox: Sandbox, small: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing = Standing(sandbox)
    standing.add(standing.bank, "customers", small.bank, "mobile")
    with standing.serving(partner=False):
        standing.enrol()
        standing.add(standing.home(), "users", small.platform, "phone")
        with standing.start("client") as node:
            node.wait_for(lambda event: event["event"] == "online")
            job = standing.draft(sandbox.job("overlap"))
            standing.wait(standing.home(), job, "proposed")
        # The node is off from here on, with a certificate that ends while it is.
        with short_lives(monkeypatch):
            standing.enrol()
        identity, ends = own(standing)
        time.sleep(max(0.0, (ends - datetime.datetime.now(datetime.UTC)).total_seconds()))

        # What it says when it is started, and what the doctor and the bank say.
        with standing.start("client") as node:
            finished = node.finish()
        assert finished.status == 2
        assert finished.error == f"The certificate of this node expired on {ends:%Y-%m-%d %H:%M} UTC."
        assert "veiljoin client join TOKEN" in finished.hint
        with sandbox.start("client", "doctor", "--home", standing.home(), "--json") as doctor:
            found = {event["check"]: event for event in doctor.finish().events}
        assert found["certificate"]["text"] == finished.error
        assert found["certificate"]["hint"] == finished.hint
        assert found["access"] == {
            "check": "access", "verdict": "skipped", "text": "certificate", "hint": ""
        }  # fmt: skip
        assert "its certificate ended on" in standing.command("server", "partners", "--home", standing.bank)

        # The same commands as the first time, over the same home.
        standing.enrol()
        again, until = own(standing)
        assert again == identity
        assert until > ends
        (dataset,) = standing.data("dataset", "list", "--home", standing.home())["datasets"]
        assert dataset["name"] == "users"
        standing.command("job", "approve", job, "--home", standing.home(), "--as", "carol")
        with standing.start("client"):
            for home in (standing.bank, standing.home()):
                assert standing.wait(home, job, "done", "failed") == "done"
    # What it held before is worth nothing.
    with Node.open(standing.bank) as bank, bank.home.store.reading() as connection:
        held = newest(connection, Kind.PARTNER, PARTNER)
    assert held is not None
    assert held.expires == until
