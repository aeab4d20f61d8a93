"""Two real nodes: forms that meet are tried and run, others are found before an approval and cost nothing."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from party.identifiers import Normaliser, parse_form
from party.node import Node
from party.synthetic import Pair
from party.tables import budget_spent
from tests.e2e.command import PATIENCE, Sandbox
from tests.e2e.standing import PARTNER, Standing

FORMS = {"cn11": "sha256:phone:cn11", "e164": "sha256:phone:e164"}


def hashed(source: Path, target: Path, form: str) -> Path:
    """The file with its telephone numbers in a hashed form."""
    with open(source, newline="") as old, open(target, "w", newline="") as new:
        rows = csv.DictReader(old)
        out = csv.DictWriter(new, rows.fieldnames or [])
        out.writeheader()
        given = list(rows)
        cells = Normaliser(parse_form(form))(pa.array([row["phone"] for row in given])).canonical.to_pylist()
        for row, cell in zip(given, cells, strict=True):
            out.writerow(row | {"phone": (cell or b"").decode()})
    return target


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, small: Pair) -> Standing:
    """Two enrolled nodes; the platform has the same people raw, and hashed in two spellings."""
    nodes = Standing(Sandbox(tmp_path_factory.mktemp("preflight")))
    with nodes.serving(partner=False):
        nodes.enrol()
    nodes.add(nodes.bank, "customers", small.bank, "mobile")
    nodes.add(nodes.home(), "users", small.platform, "phone")
    for spelling, form in FORMS.items():
        file = hashed(small.platform, nodes.sandbox.folder / f"{spelling}.csv", form)
        nodes.command(
            *("dataset", "add", spelling, file, "--column", "phone"),
            *("--identifier", form, "--home", nodes.home()),
        )
    names = json.dumps(["users", *FORMS])
    rule = f'[[standing]]\nname = "usual"\nkinds = ["audience"]\ndatasets = {names}\n'
    (nodes.home() / "policy.toml").write_text(rule)
    return nodes


def draft(standing: Standing, form: str, partner_dataset: str) -> str:
    """Draft an audience."""
    file = standing.sandbox.job("audience", identifier=form)
    names = ("--dataset", "customers", "--partner-dataset", partner_dataset)
    told = standing.data(
        "job", "new", file, "--partner", PARTNER, *names, "--home", standing.bank, "--as", "ann"
    )
    return str(told["job"])


def tried(standing: Standing, job: str) -> dict[str, Any]:
    """The preflight of a job once it is over."""
    end = time.monotonic() + PATIENCE
    while (found := standing.data("job", "show", job, "--home", standing.bank)["preflight"])[
        "state"
    ] == "not_run":
        assert time.monotonic() < end, "the preflight does not end"
        time.sleep(0.2)
    return dict(found)


def bookings(home: Path) -> int:
    """How many runs a home has booked or reserved budget for."""
    with Node.open(home) as node, node.home.store.reading() as connection:
        return len(connection.execute(sa.select(budget_spent.c.id)).all())


def test_forms_are_tried_before_anything_is_spent(standing: Standing, small: Pair) -> None:
    with standing.serving():
        wrong = draft(standing, "sha256:phone:e164", "cn11")
        raw = draft(standing, "phone", "e164")
        right = draft(standing, "sha256:phone:e164", "e164")
        assert tried(standing, right)["state"] == "passed"
        found = tried(standing, wrong)
        assert (found["state"], found["code"], found["side"]) == ("failed", "mismatch", None)
        assert "'cn11' at acme as sha256:phone:cn11" in found["detail"]
        found = tried(standing, raw)
        assert (found["state"], found["code"], found["side"]) == ("failed", "form", "partner")
        # The partner has not heard of a job yet, and no budget is booked on either side.
        for home in (standing.bank, standing.home()):
            assert bookings(home) == 0
            assert standing.state(home, wrong) in ("draft", "unknown")
        standing.command("job", "approve", right, "--home", standing.bank, "--as", "bob")
        assert standing.wait(standing.home(), right, "done", "failed") == "done"
        told = standing.result(standing.home(), right)
        assert bookings(standing.home()) == 1
    with open(Path(told["folder"]) / "matches.csv", newline="") as file:
        assert len(list(csv.reader(file))) - 1 == small.common_persons
