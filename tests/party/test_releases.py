"""Gates of a job's process at its node: what is noted, what it is answered, when a policy lets a result out."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from typing import Any, cast

import pytest

from audit.entry import Draft
from party.jobstates import JobState
from party.notary import refused
from party.policy import AuditRules
from party.releases import Releases
from party.run import Run, Stage
from psi.errors import LinkLost

JOB = "ab" * 16


class Process:
    """What a job's process is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    async def answer(self, line: Any) -> None:
        self.told.append(line)


class Closing:
    """A notary that notes what it is told, and whose gate ends as it was told."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
        self.noted: list[Draft] = []

    async def note(self, drafts: Sequence[Draft]) -> int:
        self.noted += drafts
        return len(self.noted)

    async def gate(self, _: str, drafts: Sequence[Draft], __: Any) -> None:
        await self.note(drafts)
        if self.error is not None:
            raise self.error


@dataclasses.dataclass
class Held:
    """The job's store: it runs, and ``holder`` holds it."""

    holder: str = "bank-1"
    state: JobState = JobState.RUNNING

    def get(self, _: str) -> Held:
        return self


@dataclasses.dataclass
class _Policy:
    audit: AuditRules


@dataclasses.dataclass
class _Home:
    policy: _Policy


@dataclasses.dataclass
class _Node:
    home: _Home


def asked(
    notary: Closing, release: str, unwitnessed: str, *, cosigned: bool = True, holder: str = "bank-1"
) -> Any:
    """Ask for a release; returns what the process was answered."""
    node = _Node(_Home(_Policy(AuditRules(None, unwitnessed))))
    releases = Releases(
        cast(Any, node), cast(Any, Held(holder)), "bank-1", cast(Any, notary), lambda *_: None
    )
    run = Run(JOB, "acme", 1, Stage.WORKING, time.monotonic())
    process = Process()
    run.process = cast(Any, process)
    draft = Draft("decision", "node:bank", JOB, {"release": release})
    event = {"event": "gate", "number": 3, "drafts": [dataclasses.asdict(draft)], "cosigned": cosigned}
    asyncio.run(releases.answer(run, event, lambda: True))
    (answer,) = process.told
    return answer


def test_what_was_cosigned_goes_out() -> None:
    notary = Closing(None)
    assert asked(notary, "tokens", "closed") == {"gate": 3}
    assert [draft.type for draft in notary.noted] == ["decision"]


def test_what_only_has_to_be_noted_waits_for_nobody() -> None:
    notary = Closing(refused("acme", "withheld"))
    assert asked(notary, "points", "closed", cosigned=False) == {"gate": 3}
    assert len(notary.noted) == 1


@pytest.mark.parametrize(
    ("release", "unwitnessed", "out"),
    [
        ("result", "closed", False),
        ("result", "open", True),
        ("tokens", "open", False),
        ("table", "open", False),
    ],
)
def test_a_policy_lets_only_the_own_result_out_without_a_cosignature(
    release: str, unwitnessed: str, out: bool
) -> None:
    answer = asked(Closing(refused("acme", "withheld")), release, unwitnessed)
    assert ("code" not in answer) is out
    if not out:
        assert answer["code"] == "cosign_refused"
        assert "acme" in answer["message"]
        assert answer["hint"]


def test_who_lost_the_job_releases_nothing() -> None:
    notary = Closing(None)
    assert asked(notary, "tokens", "closed", holder="another")["code"] == "cancelled"
    assert notary.noted == []


def test_a_partner_that_is_away_is_no_refusal() -> None:
    away = LinkLost("acme is away.", hint="wait", code="peer_absent")
    assert asked(Closing(away), "result", "open")["code"] == "peer_absent"


def test_a_fault_answers_all_the_same() -> None:
    node = _Node(_Home(_Policy(AuditRules(None, "closed"))))
    broken = Closing(RuntimeError("unforeseen"))
    releases = Releases(cast(Any, node), cast(Any, Held()), "bank-1", cast(Any, broken), lambda *_: None)
    run = Run(JOB, "acme", 1, Stage.WORKING, time.monotonic())
    process = Process()
    run.process = cast(Any, process)
    event = {"event": "gate", "number": 1, "drafts": [], "cosigned": True}
    with pytest.raises(RuntimeError, match="unforeseen"):
        asyncio.run(releases.answer(run, event, lambda: True))
    assert process.told[0]["code"] == "internal"
