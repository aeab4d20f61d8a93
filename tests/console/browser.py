"""Debian's Chromium over a console: what a person would do in it, and what each page looked like on the way."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, Page, Response, sync_playwright

from console.access import COOKIE
from console.place import Place
from console.words import Words
from tests.e2e.command import PATIENCE, ROOT

CHROMIUM: Final = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")
# An artefact of CI, to be looked at.
SHOTS: Final = ROOT / "build" / "screenshots"
TABLET: Final = {"width": 820, "height": 1180}
PHONE: Final = {"width": 390, "height": 844}
DESK: Final = {"width": 1280, "height": 900}
# A page that hands out no more than this is there at once on a slow line, too.
HEAVIEST: Final = 150_000
_BARRED: Final = ("serious", "critical")
_AXE: Final = """async () => (await axe.run({resultTypes: ["violations"]})).violations.map(
    each => [each.impact, each.id, each.help, each.nodes.slice(0, 3).map(node => node.html.slice(0, 200))])"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser of the system's own, ended with the block; Playwright fetches none.

    Open it for a module and no longer: its event loop is in the way of others in the same thread.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at a page found: ``barriers`` that axe calls serious or critical, ``weight`` in bytes of bodies."""

    address: str
    barriers: list[Any]
    weight: int


class Window:
    """One person's browser at the console ``base``, in ``language``; ``story`` names the folder of its pictures.

    Nothing may go wrong in it unnoticed: an error in a script, and whatever the Content-Security-Policy stopped, is
    in ``complaints``.
    """

    def __init__(
        self, browser: Browser, base: str, language: str, story: str, size: dict[str, int] = DESK
    ) -> None:
        self.base = base
        self.language = language
        self.words = Words(language)
        self.seen: list[Seen] = []
        self.complaints: list[str] = []
        self._story = story
        self._responses: list[Response] = []
        locale = {"en": "en-GB", "zh": "zh-CN"}[language]
        self.context: BrowserContext = browser.new_context(
            locale=locale, viewport=size, accept_downloads=True, base_url=base, timezone_id="Asia/Shanghai"
        )
        self.context.set_default_timeout(PATIENCE * 1000)
        self.page: Page = self.context.new_page()
        self.page.on("response", lambda answer: self._responses.append(answer))
        self.page.on("pageerror", lambda error: self.complaints.append(f"{self.page.url}: {error}"))
        self.page.on("console", self._complain)

    def _complain(self, message: Any) -> None:
        # A form that is refused answers 403 or 422, which Chromium notes too.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.complaints.append(f"{self.page.url}: {message.text}")

    def say(self, text: str, **values: object) -> str:
        """The words of the console for ``text``, in the language of this window."""
        return self.words.say(text, **values)

    def go(self, path: str) -> None:
        """Open a page, with nothing of it in a cache."""
        self._responses.clear()
        answer = self.page.goto(path)
        assert answer is not None
        assert answer.status == 200, f"{path}: {answer.status}\n{self.page.inner_text('body')}"

    def look(self, name: str) -> Seen:
        """Take a picture of the page that is open, and find the barriers in it."""
        folder = SHOTS / self._story
        folder.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=folder / f"{name}.png", full_page=True)
        self.page.evaluate(AXE_SCRIPT)
        found = [each for each in self.page.evaluate(_AXE) if each[0] in _BARRED]
        seen = Seen(self.page.url.removeprefix(self.base), found, self.weight())
        self.seen.append(seen)
        return seen

    def weight(self) -> int:
        """Bytes of all that the page took since :meth:`go`, as they are without compression."""
        return sum(each.request.sizes()["responseBodySize"] for each in self._responses if _has_body(each))

    def sideways(self) -> int:
        """By how many pixels the page is wider than the window: more than none, and it has to be moved about."""
        wider: int = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wider

    # What a person does.

    def log_in(self, name: str, password: str) -> None:
        """Log in at the form, and stay where that leads."""
        self.go("/login")
        self.write(name=name, password=password)
        self.press("Log in")

    def enter(self, place: Place, name: str) -> None:
        """Begin a session of ``name`` without the login, for what is not about that."""
        secret = place.sessions.begin(place.people.get(name), "127.0.0.1").reveal()
        # A cookie of this name is for https alone; Chromium takes loopback for as good as that.
        address = self.base.replace("http://", "https://", 1)
        cookie = {"name": COOKIE, "value": secret, "url": address, "secure": True, "httpOnly": True}
        self.context.add_cookies([cookie])

    def write(self, form: str = "main", /, **fields: str) -> None:
        """Type into fields of a form by their names, or choose in lists."""
        for name, value in fields.items():
            field = self.page.locator(f'{form} [name="{name}"]').first
            if field.evaluate("each => each.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)

    def tick(self, name: str, value: str) -> None:
        """Tick the box, or choose the radio button, of that name and value."""
        self.page.locator(f'main input[name="{name}"][value="{value}"]').check()

    def press(self, name: str, **values: object) -> None:
        """Press a button, by what is written on it, and wait for the page that comes."""
        self._responses.clear()
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=self.say(name, **values), exact=True).first.click()

    def follow(self, address: str) -> None:
        """Follow the link of the page that leads to ``address``."""
        self._responses.clear()
        with self.page.expect_navigation():
            self.page.locator(f'a[href="{address}"]').first.click()

    def wait(self, selector: str) -> None:
        """Wait until the page that is open shows ``selector``, by what its own script does."""
        self.page.locator(selector).first.wait_for(timeout=PATIENCE * 1000)

    def until(self, path: str, selector: str) -> None:
        """Open a page again and again until it shows ``selector``, as a person without scripts does."""
        end = time.monotonic() + PATIENCE
        self.go(path)
        while self.page.locator(selector).count() == 0:
            assert time.monotonic() < end, f"{path} never shows {selector}:\n{self.text()}"
            self.page.wait_for_timeout(300)
            self.go(path)

    def download(self, selector: str) -> bytes:
        """Follow a link or press a button that hands out a file, and return what it holds."""
        with self.page.expect_download() as started:
            self.page.locator(selector).first.click()
        return started.value.path().read_bytes()

    def text(self) -> str:
        """What the page says."""
        return self.page.inner_text("main")

    def close(self) -> None:
        """Close the window; whatever a page complained of fails the test."""
        self.context.close()
        assert self.complaints == []


def _has_body(answer: Response) -> bool:
    """Whether an answer came to an end with something in it; a live stream does not end."""
    return answer.status < 300 and answer.request.resource_type != "eventsource"


def too_heavy(seen: list[Seen]) -> dict[str, int]:
    """The pages that weigh more than they may."""
    return {each.address: each.weight for each in seen if each.weight >= HEAVIEST}


def barred(seen: list[Seen]) -> dict[str, list[Any]]:
    """The pages with barriers, and which."""
    return {each.address: each.barriers for each in seen if each.barriers}
