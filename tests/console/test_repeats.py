"""The API as programs use it: the documented examples run, and a request that is sent again is not done again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from console.access import Right
from tests.console.conftest import Site
from tests.console.served import served
from tests.party.standing_pair import Pair

ROOT: Final = Path(__file__).parents[2]
TOML: Final = """\
kind = "audience"
purpose = "leave existing customers out"
identifier = "phone"
receiver = "platform"

[bank]
identifier = "mobile"

[platform]
identifier = "phone"
"""


@pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("jq") is None, reason="needs curl and jq (Debian packages)"
)
def test_the_examples_of_the_documentation_run(bank: Site, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "console.md").read_text(encoding="utf-8")
    script = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    assert script.count("curl") >= 5
    (tmp_path / "job.toml").write_text(TOML, encoding="utf-8")
    ann = bank.place.people.get("ann")
    secret = bank.place.tokens.make(ann, "examples", {Right.SEE, Right.DRAFT}, 1, "person:ann")
    with served(bank.place.settings, bank.side.node, bank.place.people) as (base, _):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "CONSOLE": base, "TOKEN": secret.reveal()},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [job.purpose for job in bank.place.jobs.list().jobs] == ["leave existing customers out"]


def test_a_request_that_is_sent_again_is_answered_as_before(bank: Site) -> None:
    program = bank.token("ann", "draft", "see")
    body = {"partner": "acme", "toml": TOML}
    key = {"Idempotency-Key": "one"}
    first = program.post("/api/v1/jobs", json=body, headers=key)
    again = program.post("/api/v1/jobs", json=body, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert len(bank.place.jobs.list().jobs) == 1
    other = program.post("/api/v1/jobs", json=body | {"days": 2}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "wrong_state")
    # Of another person the same key is another one.
    assert bank.token("zoe", "draft").post("/api/v1/jobs", json=body, headers=key).status_code == 201


def test_a_refused_request_lets_its_key_go(bank: Site) -> None:
    program = bank.token("ann", "draft")
    key = {"Idempotency-Key": "two"}
    assert (
        program.post("/api/v1/jobs", json={"partner": "nobody", "toml": TOML}, headers=key).status_code == 422
    )
    assert (
        program.post("/api/v1/jobs", json={"partner": "acme", "toml": TOML}, headers=key).status_code == 201
    )


def test_a_fault_keeps_the_key(bank: Site, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    program = bank.token("ann", "draft")
    key = {"Idempotency-Key": "three"}

    def broken(*given: object) -> None:
        raise RuntimeError("nobody knows how far this got")

    body = {"partner": "acme", "toml": TOML}
    with monkeypatch.context() as patched:
        patched.setattr("console.drafts.enter", broken)
        with pytest.raises(RuntimeError):
            program.post("/api/v1/jobs", json=body, headers=key)
    answer = program.post("/api/v1/jobs", json=body, headers=key)
    assert answer.status_code == 409
    assert "no answer yet" in answer.json()["detail"]
