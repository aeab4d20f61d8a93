"""What a page weighs with all that it loads, as the bytes that come over the line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from bench.console_home import measured
from tests.console.browser import HEAVIEST, Window, chromium, needs_chromium
from tests.console.furnished import Furnished, furnished
from tests.console.served import served

pytestmark = [needs_chromium, pytest.mark.timeout(600)]
_JOBS = 300


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Furnished]:
    """Full lists: their pages are as long as they become."""
    with furnished(tmp_path_factory.mktemp("house"), groups=5_000) as house:
        house.home.copies([house.made[name] for name in ("overlap", "draft", "proposed", "failed")], _JOBS)
        yield house


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def test_every_page_is_light(house: Furnished, browser: Browser) -> None:
    place, weights = house.site.place, {}
    with served(place.settings, place.node, place.people) as (base, _):
        for who in sorted({who for who, _ in house.pages()}):
            # Nothing is in its cache but what the pages before brought, and those are not to be kept either.
            window = Window(browser, base, "zh", "weight")
            if who:
                window.enter(place, who)
            for each, address in house.pages():
                if each == who:
                    window.go(address)
                    weights[address] = window.weight()
            window.close()
    assert weights
    assert min(weights.values()) > 1_000, "a page brings its style along, and all of it was counted"
    assert {address: weight for address, weight in weights.items() if weight >= HEAVIEST} == {}


def test_a_result_of_many_groups_is_really_one(house: Furnished) -> None:
    assert len(measured(5_000)["groups"]) == 5_000
    page = house.site.client("ann").get(f"/jobs/{house.made['measure'].id}/result")
    assert page.status_code == 200
    assert "5,000" in page.text
