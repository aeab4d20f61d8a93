"""The console of a busy bank: how long its server takes for every page, and when a browser has painted something.

Pages are asked for over loopback, one at a time on one connection, so that the figures hold what a visitor waits for
but the network. The login is the measure beside them: a page without a store's rows. The browser is the system's
Chromium, which Playwright drives where both are installed.
"""

from __future__ import annotations

import html
import http.client
import re
import shutil
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin

import uvicorn

from bench.console_beside import BesideFigures, beside, fill
from bench.console_home import PARTNER, ConsoleHome, every_state, measured
from console.access import COOKIE, Right
from console.app import API, create_app
from console.place import Place
from console.settings import Settings
from party.people import Role

SMALLEST_JOBS: Final = 10
SMALLEST_GROUPS: Final = 100
# At the server, and in the browser; milliseconds.
BAR: Final = 200.0
PAINT_BAR: Final = 300.0
# Entries of the bank's log for each of its jobs.
LOG_ENTRIES_PER_JOB: Final = 30
_TIMES: Final = 15
_PAINTS: Final = 5
_TRIVIAL: Final = "/login"
# One person for each role.
_PEOPLE: Final = {
    "ann": Role.ANALYST,
    "bob": Role.APPROVER,
    "eve": Role.AUDITOR,
    "adam": Role.ADMINISTRATOR,
}
_PASSWORD: Final = "of a benchmark alone"  # noqa: S105 - of a home that is gone after it
_NEXT: Final = re.compile(r'href="([^"]+)" rel="next"')


@dataclass(frozen=True, slots=True)
class PageFigures:
    """One page: milliseconds of its first answer here, the median and the worst of those after, and its bytes."""

    address: str
    first: float
    median: float
    worst: float
    size: int

    def as_data(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return {
            "address": self.address,
            "first_ms": round(self.first, 1),
            "median_ms": round(self.median, 1),
            "worst_ms": round(self.worst, 1),
            "bytes": self.size,
        }


@dataclass(frozen=True, slots=True)
class ConsoleFigures:
    """All pages. ``paints`` maps an address to the median of first paints in milliseconds; ``None``: not measured.

    ``beside`` are a few pages while the log of ``entries`` entries is verified and exported.
    """

    jobs: int
    groups: int
    entries: int
    pages: tuple[PageFigures, ...]
    paints: dict[str, float] | None
    beside: tuple[BesideFigures, ...]

    @property
    def trivial(self) -> PageFigures:
        """The login."""
        return next(page for page in self.pages if page.address == _TRIVIAL)

    def as_data(self) -> dict[str, Any]:
        """Return the figures as plain data; ``ratio`` is to the median of the login."""
        trivial = self.trivial.median
        paints = None if self.paints is None else {name: round(ms) for name, ms in self.paints.items()}
        return {
            "jobs": self.jobs,
            "groups": self.groups,
            "bar_ms": BAR,
            "paint_bar_ms": PAINT_BAR,
            "pages": [page.as_data() | {"ratio": round(page.median / trivial, 1)} for page in self.pages],
            "slowest_ms": round(max(page.worst for page in self.pages), 1),
            "first_paint_ms": paints,
            "log_entries": self.entries,
            "beside": [each.as_data() for each in self.beside],
        }


def bench_console(
    jobs: int, groups: int, folder: Path, observe: Callable[[str], None] = lambda text: None
) -> ConsoleFigures:
    """Make a bank's home with ``jobs`` jobs and a result of ``groups`` groups in ``folder``, and ask for every page.

    Then its log is made thirty times as long as its list of jobs, and a few pages are asked for while it is verified
    and exported.

    Raises ``RuntimeError`` for a page that does not answer with 200: the figures would be of something else.
    """
    with ConsoleHome(folder) as home:
        observe("making the jobs")
        few, many = measured(3), measured(groups)
        made = every_state(home, {"overlap": few, "measure": many})
        usual = home.run(home.accept(home.approve(home.draft("measure"))), few)
        alike = [usual, *(made[name] for name in ("draft", "proposed", "failed", "cancelled"))]
        home.copies(alike, jobs - len(home.jobs.list(limit=200).jobs))
        with _serving(home) as (place, port):
            cookies = {name: _session(place, name, role) for name, role in _PEOPLE.items()}
            asked = _Asked(port)
            pages = []
            for who, address in _addresses(asked, cookies, {name: job.id for name, job in made.items()}):
                observe(address)
                pages.append(asked.measure(address, cookies.get(who, "")))
            observe("first paints")
            paints = _paints(port, cookies["ann"], made["measure"].id)
            entries = jobs * LOG_ENTRIES_PER_JOB
            observe(f"making a log of {entries:,} entries")
            fill(home.bank, entries)
            eve = place.people.get("eve")
            token = place.tokens.make(eve, "benchmark", {str(Right.AUDIT)}, 1, "person:eve")
            busy = beside(port, cookies, token.reveal(), observe)
            for each in busy:
                observe(f"beside {each.what}: median {each.median:.0f} ms, worst {each.worst:.0f} ms")
    return ConsoleFigures(jobs, groups, entries, tuple(pages), paints, busy)


def _addresses(asked: _Asked, cookies: dict[str, str], made: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (who, address) of every page that reads the store or a result, the login first."""
    yield "", _TRIVIAL
    done, draft = made["measure"], made["draft"]
    for address in (
        "/",
        "/jobs",
        "/jobs?kind=measure",
        "/jobs?state=failed",
        f"/jobs/{done}",
        f"/jobs/{draft}",
    ):
        yield "ann", address
    for address in ("/jobs", f"/jobs/{done}/result"):
        # Where paging leads: the page after the first.
        following = _NEXT.search(asked.ask(address, cookies["ann"]).decode())
        if following is not None:
            yield "ann", urljoin(address, html.unescape(following[1])).partition("#")[0]
    for address in (f"/jobs/{done}/result", "/jobs/new", f"/jobs/new?from={done}", f"/jobs/{draft}/edit"):
        yield "ann", address
    for address in ("/schedules", "/datasets", "/datasets/-/new", "/datasets/customers", "/partners"):
        yield "ann", address
    for address in (f"/partners/{PARTNER}", "/policy", "/account"):
        yield "ann", address
    yield "bob", "/approvals"
    yield "bob", f"/jobs/{made['proposed']}"
    yield "eve", "/audit"
    yield "eve", "/audit/verify"
    yield "adam", "/people"
    for address in ("/overview", "/jobs?limit=200", f"/jobs/{done}", f"/jobs/{done}/result"):
        yield "ann", API + address


class _Asked:
    """One connection to the console on ``port``, kept open as a browser keeps it."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, address: str, cookie: str) -> bytes:
        """Return the body of an answer. Raises ``RuntimeError`` unless it is 200."""
        self._connection.request("GET", address, headers={"Cookie": f"{COOKIE}={cookie}"} if cookie else {})
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{address} answered {answer.status}")
        return body

    def measure(self, address: str, cookie: str) -> PageFigures:
        """Ask for a page again and again."""
        taken = []
        for _ in range(_TIMES + 1):
            started = time.perf_counter()
            size = len(self.ask(address, cookie))
            taken.append((time.perf_counter() - started) * 1000)
        return PageFigures(address, taken[0], statistics.median(taken[1:]), max(taken[1:]), size)


@contextmanager
def _serving(home: ConsoleHome) -> Iterator[tuple[Place, int]]:
    """Serve the bank's console from a thread, as ``console run`` serves it."""
    # Of a socket that says so itself asyncio takes the delay away by which small packets wait for each other.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        settings = Settings(home.home("bank"), (f"http://127.0.0.1:{port}",), home.folder)
        place = Place(settings, home.bank)
        config = uvicorn.Config(
            create_app(settings, place),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield place, port
        finally:
            server.should_exit = True
            thread.join()


def _session(place: Place, name: str, role: Role) -> str:
    """Make an account and begin a session; returns its secret."""
    person = place.people.add(name, _PASSWORD, {role}, "person:root", must_change=False)
    return place.sessions.begin(person, "127.0.0.1").reveal()


def _paints(port: int, cookie: str, job: str) -> dict[str, float] | None:
    """Return the median first paint of a few pages, each time in a browser that has nothing of it yet."""
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import Error, sync_playwright
    except ModuleNotFoundError:
        return None
    if chromium is None:
        return None
    base = f"http://127.0.0.1:{port}"
    found = {}
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=chromium)
        except Error:
            return None
        for address in (_TRIVIAL, "/", "/jobs", f"/jobs/{job}", f"/jobs/{job}/result"):
            taken = []
            for number in range(_PAINTS + 1):
                context = browser.new_context(base_url=base)
                # Chromium takes loopback for as good as https, for which alone this cookie may be set.
                address_of_cookie = f"https://127.0.0.1:{port}"
                context.add_cookies(
                    [{"name": COOKIE, "value": cookie, "url": address_of_cookie, "secure": True}]
                )
                page = context.new_page()
                page.goto(address)
                painted: float = page.evaluate(_PAINTED)
                context.close()
                if number > 0:  # the first one starts processes of the browser
                    taken.append(painted)
            found[address] = statistics.median(taken)
        browser.close()
    return found


# Milliseconds from the start of the navigation; a page may have been loaded before it is painted.
_PAINTED: Final = """() => new Promise(done => {
    const told = list => { const [first] = list.getEntriesByName("first-contentful-paint");
                           if (first) done(first.startTime); };
    new PerformanceObserver(told).observe({type: "paint", buffered: true});
})"""
