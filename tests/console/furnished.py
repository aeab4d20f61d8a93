"""A bank's console with something on every page: jobs in every state, results of every kind, and who may see them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

from bench.console_home import ConsoleHome, every_state, measured
from console.access import right_of
from party.jobrecords import JobRecord
from party.results import MATCHES
from tests.console.conftest import Site
from tests.console.test_rights import WAYS, Way
from tests.party import sums
from tests.party.standing_pair import Side
from tests.party.test_figures import told

# Who may do what a route asks for.
WHO: Final = {
    "see": "ann",
    "draft": "ann",
    "datasets": "ann",
    "results": "ann",
    "cancel": "ann",
    "own": "ann",
    "decide": "bob",
    "audit": "eve",
    "partners": "adam",
    "people": "adam",
}


@dataclass(frozen=True)
class Furnished:
    """The console of the bank, and its jobs by state and, where they are done, by kind."""

    home: ConsoleHome
    site: Site
    made: dict[str, JobRecord]

    def pages(self) -> list[tuple[str, str]]:
        """(who, address) of every page there is, with things that exist in the place of parameters."""
        found = []
        for way in WAYS:
            if way.method != "GET" or way.api or way.route.path in ("/healthz", "/language/{language}"):
                continue
            right = right_of(way.route)
            who = "" if right is None else WHO[right.value]
            found += [(who, address) for address in self.addresses(way)]
        return found

    def addresses(self, way: Way) -> Iterator[str]:
        """The addresses of one route that answer with a page; what is downloaded or goes on for ever is none."""
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", way.route.path)
        if path.endswith(("/live", "/bundle", "/evidence", "/files/{name}", "/report")):
            return
        if path == "/jobs/{job}/result":
            for kind in ("measure", "lift", "funnel", "profile", "overlap", "audience"):
                yield f"/jobs/{self.made[kind].id}/result"
        elif path == "/jobs/{job}/edit":
            yield f"/jobs/{self.made['draft'].id}/edit"
        elif path.startswith("/jobs/{job}"):
            for state in self.made if path == "/jobs/{job}" else ("measure",):
                yield path.replace("{job}", self.made[state].id)
        elif path.startswith("/datasets/{"):
            yield re.sub(r"\{\w+\}", "customers", path, count=1)
        elif path.startswith("/partners/{"):
            yield re.sub(r"\{\w+\}", "acme", path, count=1)
        elif path.startswith("/people/{"):
            number = self.site.place.people.get("bob").id
            yield re.sub(r"\{\w+\}", str(number) if "{number}" in path else "bob", path, count=1)
        elif path.startswith("/audit/{"):
            yield re.sub(r"\{\w+\}", "1", path)
        elif "{" not in path:
            yield path


def results(groups: int) -> dict[str, Mapping[str, Any]]:
    """A result of each kind, as the bank would have it."""
    matched = {
        "totals": {"bank_persons": 900, "platform_persons": 1_200, "matched": 480},
        "groups": [
            {"group": {"tier": "gold"}, "persons": 500, "matched": 480},
            {"group": {"tier": "plain"}, "persons": 400, "matched": None, "withheld": "below_min_group"},
        ],
        "suppressed_groups": 1,
        "withheld": [],
    }
    split = {
        "totals": {
            "bank_persons": 900, "platform_persons": 1_200, "persons": 900, "matched": 480, "complete": False,
        },
        "groups": [
            {
                "group": {"tier": "gold", "interest": "cooking"},
                "persons": 500,
                "matched": 480,
                "share": {"value": 0.6, "low": 0.55, "high": 0.65},
            },
            {"group": {"tier": "plain", "interest": "cooking"}, "persons": 400, "matched": None,
             "withheld": "below_min_group"},
        ],
        "suppressed_groups": 1,
        "suppressed_by": {"below_min_group": 1},
        "withheld": [],
    }  # fmt: skip
    # Of a list that the partner has, the bank knows sizes alone.
    untold = matched | {
        "totals": {"bank_persons": 900, "platform_persons": 1_200, "matched": None},
        "groups": [],
        "suppressed_groups": 0,
        "withheld": [{"figure": "matched", "reason": "not_told_by_contract"}],
    }
    whole = measured(groups)
    facts = {
        name: whole[name] for name in ("suite", "identifier", "receiver", "value_holder", "base", "parties")
    }
    figures = {
        "measure": whole,
        "lift": told(sums.sum_job("lift"), sums.lifted()),
        "funnel": told(sums.sum_job("funnel"), sums.funnelled()),
        "profile": split,
        "overlap": matched,
        "audience": untold,
    }
    return {kind: facts | each for kind, each in figures.items()}


@contextmanager
def furnished(folder: Path, *, groups: int = 40) -> Iterator[Furnished]:
    """Make it below ``folder``, with a measurement over ``groups`` groups."""
    data = folder / "data"
    data.mkdir()
    (data / "more.csv").write_text("mobile,tier\n13800138000,gold\n", encoding="utf-8")
    (folder / "homes").mkdir()
    with ConsoleHome(folder / "homes") as home:
        made = every_state(home, results(groups))
        lists = home.home("bank") / "results" / made["audience"].id / MATCHES
        lists.write_text("mobile,tier\n13800138000,gold\n", encoding="utf-8")
        side = SimpleNamespace(folder=home.home("bank"), node=home.bank)
        yield Furnished(home, Site(cast(Side, side), data), made)
