"""The API asked for what its own description allows, and for what it does not: no fault, no answer it does not name.

schemathesis makes the requests from the description; a part of them is then led to things that exist, with a right
password, so that more than refusals is reached. `make console-fuzz EXAMPLES=5000` asks more than CI does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from console.access import COOKIE, Right, right_of
from console.app import API
from console.tomltext import toml_text
from party.people import Role
from party.tables import login_tries
from tests.console.conftest import ORIGIN, PASSWORD, Site
from tests.console.test_rights import WAYS, a_session
from tests.party.standing_pair import TABLE, Pair

# In all, over every address; CI asks for a few of each.
EXAMPLES: Final = int(os.environ.get("VEILJOIN_FUZZ_EXAMPLES", "250"))
SEED: Final = int(os.environ.get("VEILJOIN_FUZZ_SEED", "1"))
_CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_RIGHTS: Final = {(way.method.upper(), API + way.route.path): right_of(way.route) for way in WAYS if way.api}


@dataclass(frozen=True)
class Known:
    """A site with things that exist: what a parameter or field of a name may be led to."""

    site: Site
    values: dict[str, list[Any]]
    programs: dict[Right, TestClient]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    """A bank with jobs in several states, datasets, a partner, and people whose tokens may do everything together."""
    folder = tmp_path_factory.mktemp("pair")
    pair = Pair(folder)
    pair.connect()
    data = folder / "data"
    data.mkdir()
    (data / "more.csv").write_text("mobile,tier\n13800138000,gold\n13900139000,silver\n")
    site = Site(pair.bank, data)
    people = site.place.people
    everyone = frozenset({Role.ANALYST, Role.APPROVER, Role.AUDITOR})
    people.add("wen", PASSWORD, everyone, "person:root", must_change=False)
    people.add("spare", PASSWORD, frozenset({Role.ANALYST}), "person:root", must_change=False)
    records = [pair.draft(purpose=f"purpose {number}") for number in range(4)]
    pair.talk()
    programs = {}
    for right in Right:
        program = TestClient(site.app, base_url=ORIGIN, follow_redirects=False, raise_server_exceptions=False)
        if right is Right.OWN:
            # For people alone, and for one whose password may change here.
            session, headers = a_session(site, "spare")
            program.headers.update(headers | {"Cookie": f"{COOKIE}={session.cookies.get(COOKIE)}"})
        else:
            owner = "adam" if right in (Right.PARTNERS, Right.PEOPLE) else "wen"
            program.headers["Authorization"] = site.token(owner, right.value).headers["Authorization"]
        programs[right] = program
    values = {
        "job": [each.id for each in records],
        "digest": [each.digest for each in records],
        "name": ["customers", "acme", "result.json", "matches.csv"],
        "partner": ["acme", "other"],
        "dataset": ["customers"],
        "partner_dataset": ["users"],
        "password": [PASSWORD],
        "path": ["more.csv", "../store.sqlite"],
        "file": ["more.csv", "../store.sqlite"],
        "column": ["mobile"],
        "identifier": ["phone"],
        "form": ["phone"],
        "job_table": [TABLE],
        "toml": [
            'kind = "audience"\npurpose = "more"\nidentifier = "phone"\n[bank]\nidentifier = "mobile"\n',
            toml_text(TABLE),
        ],
        "scopes": [["see"], ["see", "results"]],
        "roles": [["analyst"], ["auditor"]],
        "type": ["job_draft", "login"],
        "actor": ["ann"],
        "limit": [1, 3],
    }
    yield Known(site, values, programs)
    pair.close()


def lead(given_values: dict[str, Any], known: Known, draw: int) -> dict[str, Any]:
    """Return ``given_values`` with every value of a known name replaced by one that exists."""
    led = {}
    for place, (name, value) in enumerate(sorted(given_values.items())):
        choices = known.values.get(name, [value])
        led[name] = choices[(draw + place) % len(choices)]
    return led


def ask(known: Known, operation: Any, examples: int) -> None:
    """Ask for one operation in ``examples`` ways. Raises what schemathesis finds in an answer."""
    right = _RIGHTS.get((operation.method.upper(), operation.full_path), Right.SEE)
    assert right is not None
    program, store = known.programs[right], known.site.place.node.home.store
    cases = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if operation.path_parameters or operation.query or operation.body:
        cases |= operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @settings(
        max_examples=examples,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @seed(SEED)
    @given(case=cases, draw=st.integers(0, 11))
    def one(case: Any, draw: int) -> None:
        if draw % 3 != 0:
            if case.path_parameters:
                case.path_parameters.update(lead(dict(case.path_parameters), known, draw))
            if isinstance(case.body, dict):
                case.body.update(lead(case.body, known, draw))
        # Many wrong passwords would leave nothing but refusals.
        with store.transaction() as connection:
            connection.execute(login_tries.delete())
        sent = case.as_transport_kwargs(base_url=ORIGIN)
        program.cookies.clear()
        program.cookies.update(sent.pop("cookies", None) or {})
        sent["content"] = sent.pop("data", None)
        answer = program.request(**{key: value for key, value in sent.items() if value is not None})
        case.validate_response(answer, checks=_CHECKS)

    one()


def test_the_api_keeps_to_its_description(known: Known, subtests: pytest.Subtests) -> None:
    schema = schemathesis.openapi.from_dict(json.loads(json.dumps(known.site.app.openapi())))
    operations = [result.ok() for result in schema.get_all_operations()]
    for operation in operations:
        with subtests.test(operation=operation.label):
            ask(known, operation, max(2, -(-EXAMPLES // len(operations))))


def test_every_operation_is_named_and_explained(known: Known) -> None:
    description = known.site.app.openapi()
    operations = [
        (f"{method} {path}", operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    assert [name for name, each in operations if not each.get("description")] == []
    names = [each["operationId"] for _, each in operations]
    assert len(names) == len(set(names))
    assert [name for name in names if not name.replace("_", "").isalnum() or "_api_" in name] == []


def test_every_operation_tells_its_errors_as_problems(known: Known) -> None:
    description = known.site.app.openapi()
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert list(answer["content"]) == ["application/problem+json"], (
                        f"{method} {path} {status}"
                    )
