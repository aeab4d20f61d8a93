"""From a node with an empty console to a measured campaign with its report, in a browser, at both parties.

Two administrators of the bank let a partner in, its steward and the bank's analyst register files, the analyst
drafts, a second person approves, the partner accepts, the job runs between two standing nodes, and an auditor looks
at what was done. Once in English at a desk and once in Chinese on a tablet; every page on the way becomes a picture.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser

from party.campaign_data import make_campaign
from tests.console.browser import DESK, TABLET, Window, barred, chromium, needs_chromium, too_heavy
from tests.e2e.command import Sandbox
from tests.e2e.console import ADMINISTRATOR, ANALYST, APPROVER, AUDITOR, Consoles
from tests.e2e.standing import PARTNER, Standing

pytestmark = [needs_chromium, pytest.mark.timeout(900)]

_CHOSEN: Final = "four words of my own"
_WRONG: Final = "five words of somebody else"
_PERSONS: Final = 2_000


@dataclass(frozen=True)
class Cast:
    """The language of a walk, the screen, what the campaign is for, and who is who."""

    language: str
    size: dict[str, int]
    purpose: str
    inviter: str
    confirmer: str
    analyst: str
    approver: str
    auditor: str
    steward: str
    answerer: str


ENGLISH: Final = Cast(
    *("en", DESK, "see which creative binds most cards"),
    *("mia", "raj", "ann", "bob", "eve", "lee", "kim"),
)
CHINESE: Final = Cast(
    *("zh", TABLET, "春季信用卡活动：哪个素材带来绑卡"),
    *("米管理", "周管理", "安分析", "鲍审批", "叶审计", "李数据", "金审批"),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


class Walk:
    """One walk: the nodes, the consoles, and the windows that are open."""

    def __init__(self, cast: Cast, folder: Path, browser: Browser, stack: ExitStack) -> None:
        self.cast = cast
        self.browser = browser
        self.stack = stack
        self.standing = Standing(Sandbox(folder))
        self.consoles = Consoles(self.standing)
        (folder / "campaign").mkdir()
        campaign = make_campaign(folder / "campaign", _PERSONS, seed=20_260)
        shutil.copy(campaign.bank, self.consoles.data["bank"] / "segment.csv")
        shutil.copy(campaign.platform, self.consoles.data["platform"] / "users.csv")
        self.bases: dict[str, str] = {}
        self.windows: list[Window] = []

    def open(self, role: str) -> None:
        """Start the console of a party."""
        self.bases |= self.stack.enter_context(self.consoles.serving([role]))

    def come(self, role: str, name: str) -> Window:
        """Let a person log in for the first time: the one-time password opens the way to their own, and no other."""
        window = Window(
            self.browser, self.bases[role], self.cast.language, f"walk-{self.cast.language}", self.cast.size
        )
        self.windows.append(window)
        first = len(self.windows) == 1
        window.log_in(name, self.consoles.once[role, name])
        assert window.page.url.endswith("/account/password")
        window.go("/jobs")
        assert window.page.url.endswith("/account/password")
        if first:
            self.look(window, "one-time-password")
        window.write(password=self.consoles.once[role, name], new=_CHOSEN, again=_CHOSEN)
        window.press("Change it")
        return window

    def look(self, window: Window, name: str) -> None:
        """Keep a picture; a picture's number is its place in the whole walk."""
        number = sum(len(each.seen) for each in self.windows) + 1
        window.look(f"{number:02d}-{name}")

    def visit(self, window: Window, name: str, path: str) -> None:
        """Open a page and keep a picture of it."""
        window.go(path)
        self.look(window, name)

    # The steps

    def let_in(self) -> None:
        """Two administrators let the partner's node in."""
        inviting = self.come("bank", self.cast.inviter)
        self.visit(inviting, "overview-of-a-new-node", "/")
        self.visit(inviting, "partners-none", "/partners")
        inviting.write(partner=PARTNER)
        inviting.press("Make the token")
        self.look(inviting, "invited")
        found = re.search(r"vj1_\S+", inviting.text())
        assert found is not None
        join = ("client", "join", found[0], "--home", self.standing.home(), "--json")
        joining = self.stack.enter_context(self.standing.sandbox.start(*join))
        shown = joining.wait_for(lambda event: event["event"] == "fingerprint")["fingerprint"]
        confirming = self.come("bank", self.cast.confirmer)
        confirming.until(f"/partners/{PARTNER}", '[name="fingerprint"]')
        self.look(confirming, "partner-waits")
        confirming.write(fingerprint="0000 " * 7 + "0000", password=_CHOSEN)
        confirming.press("Confirm and let it in")
        self.look(confirming, "wrong-fingerprint")
        confirming.write(fingerprint=shown, password=_CHOSEN)
        confirming.press("Confirm and let it in")
        assert joining.finish().status == 0
        self.visit(confirming, "partner", f"/partners/{PARTNER}")

    def register(self, role: str, name: str, file: str, column: str, dataset: str) -> Window:
        """Let somebody register a file."""
        window = self.come(role, name)
        self.visit(window, f"{role}-files", "/datasets/-/new")
        window.follow(f"/datasets/-/new?file={file}")
        self.look(window, f"{role}-columns")
        window.write(column=column, form="phone")
        window.press("Check the whole file")
        window.wait('[name="basis"]')
        window.write(name=dataset, basis="consent")
        self.look(window, f"{role}-checked")
        window.press("Register")
        self.visit(window, f"{role}-dataset", f"/datasets/{dataset}")
        self.visit(window, f"{role}-datasets", "/datasets")
        return window

    def draft(self, window: Window) -> str:
        """Answer the guided form; returns the job's id."""
        window.until("/jobs/new", '[name="kind"]')
        window.tick("kind", "measure")
        window.write(purpose=self.cast.purpose)
        self.look(window, "draft-kind")
        window.press("Next")
        self.look(window, "draft-segment")
        window.press("Next")
        self.look(window, "draft-partner")
        window.press("Next")
        window.write(
            bank_identifier="mobile",
            bank_time="converted_at",
            value_column="amount",
            value_max="5000",
            platform_identifier="phone",
            platform_time="exposed_at",
            cost="cost",
            window_days="7",
            receiver="both",
        )
        window.tick("groups", "creative")
        self.look(window, "draft-columns")
        window.press("Next")
        self.look(window, "draft-policy")
        window.press("Next")
        self.look(window, "draft-review")
        assert self.cast.purpose in window.text()
        window.press("Draft it")
        found = re.search(r"/jobs/([0-9a-f]{32})$", window.page.url)
        assert found is not None, window.text()
        self.look(window, "drafted")
        return found[1]

    def decide(self, role: str, name: str, job: str, button: str) -> Window:
        """Let the approver of a party find the job, read it and agree to it."""
        window = self.come(role, name)
        window.until("/approvals", f'a[href="/jobs/{job}"]')
        self.look(window, f"{role}-approvals")
        window.follow(f"/jobs/{job}")
        window.until(f"/jobs/{job}", 'form[action$="/approve"]:not(:has([name="without_preflight"]))')
        self.look(window, f"{role}-to-decide")
        window.write('form[action$="/approve"]', password=_WRONG)
        window.press(button)
        self.look(window, f"{role}-wrong-password")
        window.go(f"/jobs/{job}")
        window.write('form[action$="/approve"]', password=_CHOSEN)
        window.press(button)
        self.look(window, f"{role}-decided")
        return window

    def audit(self, window: Window, job: str) -> None:
        """Let an auditor look at the log, verify it and take the evidence along."""
        self.visit(window, "audit", "/audit")
        self.visit(window, "auditor-job", f"/jobs/{job}")
        answer = window.context.request.get(f"/jobs/{job}/result")
        assert answer.status == 403
        self.visit(window, "audit-verify", "/audit/verify")
        window.press("Verify the log now")
        window.wait('[id^="section-"]')
        self.look(window, "audit-verified")
        self.visit(window, "audit-bundle", "/audit/bundle")
        bundle = window.download('form[action^="/audit/bundle"] button')
        assert json.loads(bundle.splitlines()[0])
        self.visit(window, "evidence", f"/jobs/{job}/evidence")
        assert window.download('form[action$="/evidence"] button').startswith(b"PK")


@pytest.mark.parametrize("cast", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_from_nothing_to_a_report(cast: Cast, tmp_path: Path, browser: Browser) -> None:
    with ExitStack() as stack:
        walk = Walk(cast, tmp_path, browser, stack)
        consoles, standing = walk.consoles, walk.standing
        for name, role in (
            (cast.inviter, ADMINISTRATOR),
            (cast.confirmer, ADMINISTRATOR),
            (cast.analyst, ANALYST),
            (cast.approver, APPROVER),
            (cast.auditor, AUDITOR),
        ):
            consoles.add_person("bank", name, role)
        bank = stack.enter_context(standing.start("server"))
        bank.wait_for(lambda event: event["event"] == "listening")
        walk.open("bank")
        walk.let_in()

        # The partner's side begins once it has joined.
        consoles.add_person("platform", cast.steward, ANALYST)
        consoles.add_person("platform", cast.answerer, APPROVER)
        walk.open("platform")
        steward = walk.register("platform", cast.steward, "users.csv", "phone", "users")
        client = stack.enter_context(standing.start("client"))
        client.wait_for(lambda event: event["event"] == "online")
        walk.visit(steward, "platform-partner", "/partners/bank")
        walk.visit(steward, "platform-drafts-nothing", "/jobs/new")

        analyst = walk.register("bank", cast.analyst, "segment.csv", "mobile", "customers")
        job = walk.draft(analyst)
        approver = walk.decide("bank", cast.approver, job, "Approve")
        # Held, so that somebody sees it at work.
        gate = standing.hold("exchange")
        answerer = walk.decide("platform", cast.answerer, job, "Accept")
        analyst.go(f"/jobs/{job}")
        # This side's part, and the partner's as its own node tells it.
        for number in (1, 2):
            analyst.wait(f".sides section:nth-child({number}) .phases .current")
        walk.look(analyst, "running")
        gate.unlink()
        # By the live stream alone: nothing opens the page again but its own script.
        analyst.wait(f'a[href="/jobs/{job}/result"]')
        walk.look(analyst, "done")
        analyst.follow(f"/jobs/{job}/result")
        walk.look(analyst, "result")
        for side, window in (("bank", analyst), ("platform", answerer)):
            window.until(f"/jobs/{job}", f'a[href="/jobs/{job}/result"]')
            window.follow(f"/jobs/{job}/result")
            report = window.download('a[href$="/files/report.html"]').decode()
            assert cast.purpose in report
            figures = json.loads(window.download('a[href$="/files/result.json"]'))
            assert figures["kind"] == "measure"
            assert len(figures["groups"]) == 3
            if side == "platform":
                walk.look(window, "platform-result")

        auditor = walk.come("bank", cast.auditor)
        walk.audit(auditor, job)
        for name, path in (
            ("overview", "/"),
            ("jobs", "/jobs"),
            ("schedules", "/schedules"),
            ("policy", "/policy"),
        ):
            walk.visit(approver, name, path)
        walk.visit(walk.windows[0], "people", "/people")
        walk.visit(analyst, "account", "/account")
        walk.visit(answerer, "platform-overview", "/")
        analyst.press("Log out")
        walk.look(analyst, "login")

        for window in walk.windows:
            window.close()
        for node in (client, bank):
            node.process.terminate()
            assert node.finish().status == 0
    seen = [each for window in walk.windows for each in window.seen]
    assert barred(seen) == {}
    assert too_heavy(seen) == {}
