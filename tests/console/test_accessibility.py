"""axe over every page in both languages, at a desk, on a tablet and on a telephone: nothing serious or critical."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

import console
from tests.console.browser import DESK, PHONE, TABLET, Window, barred, chromium, needs_chromium
from tests.console.furnished import Furnished, furnished
from tests.console.served import served

# How many charts are wider than their place, or written smaller than anybody can read.
_CHARTS = """() => [...document.querySelectorAll("figure")].filter(figure =>
    figure.scrollWidth > figure.clientWidth || [...figure.querySelectorAll("svg text")].some(
        text => text.getClientRects().length && text.getBoundingClientRect().height < 9)).length"""
pytestmark = [needs_chromium, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Furnished]:
    with furnished(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture(scope="module")
def base(house: Furnished) -> Iterator[str]:
    place = house.site.place
    with served(place.settings, place.node, place.people) as (base, _):
        yield base


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def test_no_page_is_loaded_again_under_the_eyes_of_its_reader() -> None:
    # Where scripts run they put in what is new; only without them may a page load itself again (WCAG 2.2.1).
    for path in sorted((Path(console.__file__).parent / "templates").rglob("*.html")):
        for part in re.split(r"<noscript>.*?</noscript>", path.read_text(encoding="utf-8"), flags=re.DOTALL):
            assert 'http-equiv="refresh"' not in part, path.name


@pytest.mark.parametrize(
    ("language", "screen", "size"),
    [("en", "desk", DESK), ("zh", "desk", DESK), ("zh", "tablet", TABLET), ("en", "phone", PHONE)],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_every_page_is_for_everybody(
    house: Furnished, base: str, browser: Browser, language: str, screen: str, size: dict[str, int]
) -> None:
    windows: dict[str, Window] = {}
    too_wide: dict[str, int] = {}
    for number, (who, address) in enumerate(house.pages(), start=1):
        if who not in windows:
            windows[who] = window = Window(browser, base, language, f"pages-{language}-{screen}", size)
            if who:
                window.enter(house.site.place, who)
        window = windows[who]
        window.go(address)
        # An id says nothing to who looks at pictures.
        name = "-".join(part for part in address.split("?")[0].split("/") if part and len(part) < 32)
        window.look(f"{number:02d}-{name or 'overview'}")
        if window.sideways() > 0:
            too_wide[address] = window.sideways()
        if window.page.evaluate(_CHARTS):
            too_wide[f"charts of {address}"] = window.page.evaluate(_CHARTS)
    seen = [each for window in windows.values() for each in window.seen]
    complaints: list[Any] = [each for window in windows.values() for each in window.complaints]
    for window in windows.values():
        window.context.close()
    assert barred(seen) == {}
    assert too_wide == {}
    assert complaints == []
