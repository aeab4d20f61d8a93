"""From nothing to a first match, by the README's commands, between two machines of which one has no open port.

The machines are network namespaces: the partner's has a route to the bank's two ports and to nothing else.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from party.synthetic import Pair
from party.workroom import Workroom
from tests.e2e.command import PATIENCE, ROOT
from tests.e2e.namespaces import lay_cable, machines, why_not
from tests.e2e.typed import Person
from tests.e2e.walking import BANK_HOST, Walk, listed, walkthrough

# How long the cable stays cut after the bank has noticed.
CUT_SECONDS: Final = 4.0

# The walk itself is part of the first test.
pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "possible here"),
    pytest.mark.timeout(900),
]


class Walked(Walk):
    """The walk between two machines, done, and what listened at the partner's after each of its steps."""

    def __init__(self, folder: Path, pair: Pair, stack: ExitStack) -> None:
        bank, acme = stack.enter_context(machines("bank", "acme"))
        self.cable = lay_cable(bank, acme, "10.77.1", "7443-7444")
        acme.know(BANK_HOST, "10.77.1.1")
        super().__init__(Person(bank, folder / "bank-desk"), Person(acme, folder / "acme-desk"), pair, stack)
        self.listened = [port for _ in self.all() for port in acme.listening()]
        self.result = self.done()
        self.listened += acme.listening()


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory, small: Pair) -> Iterator[Walked]:
    """The walk, with both nodes still running."""
    with ExitStack() as stack:
        yield Walked(tmp_path_factory.mktemp("walk"), small, stack)


def test_six_commands_and_four_lead_to_the_list(walk: Walked, small: Pair) -> None:
    assert len(walk.bank.typed) <= 6
    assert len(walk.acme.typed) <= 4
    assert listed(walk.result) == small.common_persons


def test_the_partner_listens_on_nothing(walk: Walked) -> None:
    assert walk.listened == []
    # And the bank on its two ports only.
    local = [line.split()[4] for line in walk.bank.machine.listening()]
    assert sorted(address.rpartition(":")[2] for address in local) == ["7443", "7444"]


def test_the_partner_reaches_nothing_but_the_banks_two_ports(walk: Walked) -> None:
    dial = "import socket, sys; print(socket.socket().connect_ex(('10.77.1.1', int(sys.argv[1]))))"
    reached = [
        walk.acme.machine.run("python3", "-c", dial, port).strip() for port in ("7443", "7444", "22", "443")
    ]
    assert reached == ["0", "0", "101", "101"]  # ENETUNREACH


def test_a_cable_that_is_cut_in_the_middle_costs_no_job(walk: Walked, small: Pair) -> None:
    gate = walk.bank.gates / "order"
    gate.touch()
    walk.another_job()
    room, end = Workroom(walk.bank.folder / "bank"), time.monotonic() + PATIENCE
    while (room.progress(walk.words["JOB"]) or {}).get("phase") != "order":
        assert time.monotonic() < end
        time.sleep(0.05)
    # The bank's end: there the route comes back with the cable by itself.
    walk.bank.machine.link(walk.cable, "down")
    try:
        walk.nodes["bank"].find("(has left the line)")
        gate.unlink()
        time.sleep(CUT_SECONDS)
    finally:
        walk.bank.machine.link(walk.cable, "up")
    assert listed(walk.done()) == small.common_persons
    assert len(list((walk.acme.folder / "acme" / "results").iterdir())) == 2


def test_the_walkthrough_of_the_operators_page_is_the_same() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page.partition("\n## From nothing to a match\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert [line for block in blocks for line in block.splitlines()] == [line for _, line in walkthrough()]
