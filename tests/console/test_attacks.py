"""Attacks on the console, one by one: what a page of another site, a partner, a colleague or a stranger may try."""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from console.access import COOKIE, CSRF_HEADER, right_of
from console.app import API
from party.catalogue import Catalogue
from party.drafting import draft_with
from party.identifiers import parse_form
from party.jobfile import parse_job
from party.jobrecords import person
from party.people import Role
from party.results import RESULT, write_json
from tests.console.conftest import ORIGIN, PASSWORD, Site
from tests.console.furnished import WHO, Furnished, furnished
from tests.console.test_rights import WAYS, Way, a_session, ask
from tests.party.standing_pair import TABLE, Pair

NASTY: Final = "</title></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{7*7}}${7*7}"
_CHANGING: Final = [
    way for way in WAYS if way.method not in ("GET", "HEAD") and right_of(way.route) is not None
]
_READING: Final = [way for way in WAYS if way.method == "GET" and not way.api]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Furnished]:
    """A console with everything on it, in which tests change nothing."""
    with furnished(tmp_path_factory.mktemp("house")) as house:
        yield house


class Markup(HTMLParser):
    """What a browser would run or load of a page, or be led to."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.active: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in ("script", "img", "iframe", "object", "embed", "link") or (tag == "style"):
            place = values.get("src") or values.get("href") or "inline"
            if not place.startswith(("/static/", "data:image/")):
                self.active.append(f"<{tag}> {place}")
        for name, value in values.items():
            if name.startswith("on") or name == "style":
                self.active.append(f"{name} of <{tag}>")
            if name in ("href", "src", "action", "formaction", "xlink:href"):
                scheme = urlsplit(value.strip()).scheme
                outside = value.startswith("//") or scheme not in ("", "data")
                if outside or (scheme == "data" and tag != "img"):
                    self.active.append(f"{name}={value}")

    def handle_data(self, data: str) -> None:
        self.text += data


def harmless(answer: Response) -> None:
    """Check that a page runs nothing but our own files, and that nothing in it was taken for a template."""
    if answer.headers.get("content-type", "").startswith("text/html"):
        assert Markup(answer.text).active == [], answer.url
        assert "<script>alert" not in answer.text
        assert "onerror=alert(1)>" not in answer.text
        assert "\"'49" not in answer.text


# Script of others


def test_no_page_holds_script_or_style_of_its_own(house: Furnished) -> None:
    for who, address in house.pages():
        client = house.site.client(who) if who else house.site.browser()
        answer = client.get(address)
        assert answer.status_code == 200, f"{address}: {answer.status_code} {answer.text[:2000]}"
        harmless(answer)


def test_names_from_files_partners_and_people_are_text(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with furnished(tmp_path_factory.mktemp("nasty")) as house:
        drafted = house.home.draft("measure", purpose=NASTY[:120])
        done = house.home.run(
            house.home.accept(house.home.approve(house.home.draft("measure", purpose=NASTY[:120]))), {}
        )
        told = json.loads(
            (house.home.home("bank") / "results" / house.made["measure"].id / RESULT).read_text()
        )
        for number, group in enumerate(told["groups"]):
            group["group"] = {"creative": f"{NASTY} {number}"}
        told["parties"]["bank"]["engine"] = NASTY
        write_json(house.home.home("bank") / "results" / done.id / RESULT, told | {"job": done.id})
        house.home.folder.joinpath("customers.csv").rename(
            house.home.folder / "<img src=x onerror=alert(1)>.csv"
        )
        columns = ["mobile", NASTY.replace(",", "")]
        path = house.home.folder / "odd.csv"
        path.write_text(",".join(f'"{each}"'.replace(">\"'", ">'") for each in columns) + "\n13800138000,1\n")
        found = house.site.place.node
        Catalogue(found.home.store, found.clock).add("odd", path, "mobile", parse_form("phone"), 1, "ann")
        pages = [
            ("ann", "/"),
            ("ann", "/jobs"),
            ("ann", f"/jobs/{drafted.id}"),
            ("ann", f"/jobs/{drafted.id}/edit"),
            ("ann", f"/jobs/new?from={drafted.id}"),
            ("bob", "/approvals"),
            ("ann", f"/jobs/{done.id}"),
            ("ann", f"/jobs/{done.id}/result"),
            ("ann", "/datasets"),
            ("ann", "/datasets/odd"),
            ("ann", "/datasets/customers"),
            ("eve", "/audit"),
        ]
        for who, address in pages:
            answer = house.site.client(who).get(address)
            assert answer.status_code == 200, f"{address}: {answer.status_code}"
            harmless(answer)
        shown = house.site.client("ann").get(f"/jobs/{done.id}/result")
        assert "<script>alert(1)</script>" in Markup(shown.text).text


@pytest.mark.parametrize("way", _READING, ids=str)
def test_what_an_address_says_comes_back_as_text(house: Furnished, way: Way) -> None:
    names = {each.alias for each in way.route.dependant.query_params} | {"next", "error", "q", "message"}
    right = right_of(way.route)
    for address in house.addresses(way):
        client = house.site.client(WHO[right.value]) if right is not None else house.site.browser()
        answer = client.get(address, params=dict.fromkeys(names, NASTY))
        assert answer.status_code < 500
        harmless(answer)


def test_a_path_that_is_not_there_comes_back_as_text(house: Furnished) -> None:
    client = house.site.client("ann")
    for address in (
        "/<script>alert(1)</script>",
        "/jobs/<img src=x onerror=alert(1)>",
        "/datasets/<script>alert(1)</script>",
    ):
        answer = client.get(address)
        assert answer.status_code in (404, 422)
        harmless(answer)


def test_the_flash_says_only_what_is_text(house: Furnished) -> None:
    client = house.site.client("ann")
    for content in (NASTY, json.dumps({"text": NASTY, "good": True}), "[1]", '{"text": 1}', "\u0000"):
        client.cookies.set(
            "__Host-flash", base64.urlsafe_b64encode(content.encode()).decode(), domain="console.test"
        )
        answer = client.get("/")
        assert answer.status_code == 200
        harmless(answer)


# Requests of other sites


@pytest.mark.parametrize("way", _CHANGING, ids=str)
def test_a_change_needs_the_form_of_this_session_and_this_origin(house: Furnished, way: Way) -> None:
    right = right_of(way.route)
    assert right is not None
    client, good = a_session(house.site, WHO[right.value])
    _, others = a_session(house.site, "eve" if WHO[right.value] != "eve" else "ann")
    for headers in (
        {"Origin": ORIGIN},
        {"Origin": ORIGIN, CSRF_HEADER: ""},
        {"Origin": ORIGIN, CSRF_HEADER: others[CSRF_HEADER]},
        {CSRF_HEADER: good[CSRF_HEADER]},
        good | {"Origin": "https://evil.example"},
        good | {"Origin": "null"},
        good | {"Origin": ORIGIN + ".evil.example"},
        good | {"Sec-Fetch-Site": "cross-site"},
        good | {"Sec-Fetch-Site": "same-site"},
    ):
        answer = ask(client, way, **headers)
        assert answer.status_code == 403, headers
        assert "did not come from a page of this console" in answer.text
    # And then the session is what it was.
    assert client.get("/account").status_code == 200


def test_a_login_form_of_another_site_is_refused(house: Furnished) -> None:
    fields = {"name": "ann", "password": PASSWORD}
    for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        answer = house.site.browser().post("/login", data=fields, headers=headers)
        assert answer.status_code == 403
        assert COOKIE not in answer.cookies


def test_nothing_changes_by_a_link(house: Furnished) -> None:
    client = house.site.client("bob")
    for step in ("approve", "refuse", "cancel", "retry", "preflight"):
        answer = client.get(f"/jobs/{house.made['draft'].id}/{step}")
        assert answer.status_code in (404, 405), step
    assert client.get("/logout").status_code in (404, 405)
    assert client.get("/account").status_code == 200


def test_no_other_site_may_read_or_frame_an_answer(house: Furnished) -> None:
    client = house.site.client("ann")
    for address in ("/", f"{API}/jobs"):
        answer = client.get(address, headers={"Origin": "https://evil.example"})
        assert not any(name.startswith("access-control-") for name in answer.headers)
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


# Sessions


def _log_in(site: Site, client: TestClient, name: str = "ann", password: str = PASSWORD) -> Response:
    return client.post("/login", data={"name": name, "password": password}, headers={"Origin": ORIGIN})


def _secret(answer: Response) -> str:
    found = re.search(rf"{COOKIE}=([^;]+)", answer.headers["set-cookie"])
    assert found is not None
    return found[1]


def test_a_session_is_never_one_that_the_browser_came_with(bank: Site) -> None:
    planted = "A" * 43
    browser = bank.browser()
    browser.cookies.set(COOKIE, planted, domain="console.test")
    first = _secret(_log_in(bank, browser))
    assert first != planted
    thief = bank.browser()
    thief.cookies.set(COOKIE, planted, domain="console.test")
    assert thief.get("/account").status_code == 303
    # Nor does the one before it live on.
    second = _secret(_log_in(bank, browser))
    assert second != first
    thief.cookies.clear()
    thief.cookies.set(COOKIE, first, domain="console.test")
    assert thief.get("/account").status_code == 303


def test_a_session_ends_with_the_logout(bank: Site) -> None:
    browser = bank.client("ann")
    kept = browser.cookies.get(COOKIE)
    assert bank.post(browser, "/logout").status_code == 303
    thief = bank.browser()
    thief.cookies.set(COOKIE, str(kept), domain="console.test")
    assert thief.get("/account").status_code == 303


def test_who_is_disabled_is_out_at_once_with_their_tokens(bank: Site) -> None:
    browser, program = bank.client("ann"), bank.token("ann", "see")
    assert browser.get("/jobs").status_code == program.get(f"{API}/jobs").status_code == 200
    bank.place.people.disable("ann", "person:adam")
    assert browser.get("/jobs").status_code == 303
    assert program.get(f"{API}/jobs").status_code == 401
    bank.place.people.enable("ann", "person:adam")
    assert browser.get("/jobs").status_code == 303


def test_a_role_that_was_taken_is_gone_at_once(bank: Site) -> None:
    browser, program = bank.client("zoe"), bank.token("zoe", "draft", "see")
    assert browser.get("/jobs/new").status_code == 200
    bank.place.people.set_roles("zoe", {Role.APPROVER}, "person:adam")
    # Whether the session goes on without it or ends: what the role allowed is over.
    assert browser.get("/jobs/new").status_code in (303, 403)
    assert program.post(f"{API}/jobs", json={}).status_code in (401, 403)


def test_a_new_password_ends_the_other_sessions(bank: Site) -> None:
    browser = bank.client("ann")
    bank.place.people.set_password("ann", "another horse battery", "person:ann")
    assert browser.get("/jobs").status_code == 303


def test_a_session_ends_when_nobody_uses_it(bank: Site, pair: Pair) -> None:
    browser = bank.client("ann")
    pair.clock.forward(minutes=31)
    assert browser.get("/jobs").status_code == 303


def test_a_session_ends_however_much_it_is_used(bank: Site, pair: Pair) -> None:
    browser = bank.client("ann")
    for _ in range(12 * 60 // 25):
        pair.clock.forward(minutes=25)
        browser.get("/login")
        last = browser.get("/jobs").status_code
    pair.clock.forward(minutes=25)
    assert (last, browser.get("/jobs").status_code) == (200, 303)


def test_a_one_time_password_opens_nothing_but_the_way_to_another(bank: Site) -> None:
    bank.place.people.add("new", PASSWORD, frozenset({Role.ANALYST}), "person:adam", must_change=True)
    browser = bank.browser()
    assert _log_in(bank, browser, "new").status_code == 303
    for address in ("/", "/jobs", "/datasets", "/jobs/new"):
        answer = browser.get(address)
        assert (answer.status_code, answer.headers["location"]) == (303, "/account/password")
    program = bank.token("new", "see")
    assert program.get(f"{API}/jobs").status_code == 403


# Others' things


def test_a_job_of_others_is_no_job(bank: Site, platform: Site, pair: Pair) -> None:
    # Only the bank knows it: a draft was proposed to nobody.
    record = pair.bank.jobs.draft(
        TABLE, "", person("ann"), partner="other", dataset="customers", contract=None
    )
    own = bank.client("ann").get(f"/jobs/{record.id}")
    assert own.status_code == 200
    missing = "0" * 32
    for way in WAYS:
        right = right_of(way.route)
        if "{job" not in way.route.path or right is None:
            continue
        client, headers = a_session(platform, WHO[right.value])
        told = []
        for job in (record.id, missing):
            address = way.address.replace(missing, job)
            fields: dict[str, Any] = {"json": {}} if way.api else {"data": {"nothing": "0"}}
            sent = {} if way.method == "GET" else fields
            answer = client.request(way.method, address, headers=headers, **sent)
            told.append((answer.status_code, answer.text.replace(job, "JOB")))
        assert told[0] == told[1], str(way)
        # A platform drafts nothing, and says so whatever the id.
        assert told[0][0] in (403, 404, 422), str(way)


def test_a_short_id_finds_no_job(house: Furnished) -> None:
    client = house.site.client("ann")
    whole = house.made["measure"].id
    for text in (whole[:8], whole[:31], whole.upper(), whole + "0", f"{whole}%00", f" {whole}"):
        for address in (f"/jobs/{text}", f"{API}/jobs/{text}"):
            assert client.get(address).status_code in (404, 422), address


def test_a_token_is_revoked_by_its_owner_alone(bank: Site) -> None:
    bank.token("bob", "see")
    (token,) = bank.place.tokens.list(bank.place.people.get("bob"))
    ways = [way for way in WAYS if re.search(r"(token|session)s?/\{", way.route.path)]
    assert ways, "tokens are revoked by an address"
    for way in ways:
        client, headers = a_session(bank, "ann")
        address = re.sub(r"\{\w+(:\w+)?\}", str(token.id), (API if way.api else "") + way.route.path)
        answer = client.request(way.method, address, headers=headers)
        assert answer.status_code in (303, 403, 404, 422), str(way)
    assert [each.id for each in bank.place.tokens.list(bank.place.people.get("bob"))] == [token.id]


def test_a_token_makes_no_token_without_the_password(bank: Site) -> None:
    for way in WAYS:
        if way.api and way.method == "POST" and way.route.path.startswith("/tokens"):
            body = {"name": "more", "scopes": ["see", "draft"], "days": 1}
            program = bank.token("ann", "see")
            assert program.post(API + way.route.path, json=body).status_code in (403, 422)
            assert program.post(API + way.route.path, json=body | {"password": "x" * 12}).status_code == 403


def test_no_list_goes_to_who_may_not_read_results(house: Furnished) -> None:
    job = house.made["audience"].id
    for name in ("eve", "adam"):
        client = house.site.client(name)
        for address in (f"/jobs/{job}/files/matches.csv", f"/jobs/{job}/result", f"{API}/jobs/{job}/result"):
            answer = client.get(address)
            assert answer.status_code == 403
            assert "13800138000" not in answer.text


# Files


_OUTSIDE: Final = (
    "..%2Fnode.toml",
    "..%2f..%2fstore.sqlite",
    "%2e%2e%2f%2e%2e%2fstore.sqlite",
    "%2e%2e/%2e%2e/store.sqlite",
    "..%252f..%252fstore.sqlite",
    "..%5c..%5cstore.sqlite",
    "....%2f%2f....%2f%2fstore.sqlite",
    "%2Fetc%2Fpasswd",
    "matches.csv%00.txt",
    "result.json%2F..%2F..%2F..%2Fstore.sqlite",
    "%2e",
    "MATCHES.CSV",
    "matches.csv%20",
    "~root",
    "store.sqlite",
    "%E2%80%A6",
)


@pytest.mark.parametrize("name", _OUTSIDE)
def test_no_name_leads_out_of_the_results_of_a_job(house: Furnished, name: str) -> None:
    (house.home.home("bank") / "results" / "store.sqlite").write_text("not for anybody")
    client = house.site.client("ann")
    job = house.made["audience"].id
    for address in (f"/jobs/{job}/files/{name}", f"{API}/jobs/{job}/files/{name}"):
        answer = client.get(address)
        assert answer.status_code in (400, 404, 405, 422), f"{address}: {answer.status_code}"
        assert "SQLite format" not in answer.text


@pytest.mark.parametrize(
    "name", ["..%2fapp.py", "%2e%2e/app.py", "..%5capp.py", "%2fetc%2fpasswd", "console.css%00"]
)
def test_no_name_leads_out_of_the_static_files(house: Furnished, name: str) -> None:
    answer = house.site.browser().get(f"/static/{name}")
    assert answer.status_code in (400, 404)


def test_a_link_among_the_results_is_not_followed(house: Furnished) -> None:
    job = house.made["overlap"].id
    folder = house.home.home("bank") / "results" / job
    link = folder / "rejects.csv"
    link.symlink_to(house.home.home("bank") / "store.sqlite")
    try:
        answer = house.site.client("ann").get(f"/jobs/{job}/files/rejects.csv")
        assert answer.status_code in (404, 422)
        assert "SQLite format" not in answer.text
    finally:
        link.unlink()


def test_a_download_is_a_file_under_its_own_plain_name(house: Furnished) -> None:
    job = house.made["audience"].id
    answer = house.site.client("ann").get(f"/jobs/{job}/files/matches.csv")
    assert answer.status_code == 200
    said = answer.headers["content-disposition"]
    assert re.fullmatch(r'attachment; filename="[A-Za-z0-9._-]+"', said), said
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not answer.headers["content-type"].startswith("text/html")


def test_files_to_register_are_those_of_one_folder(house: Furnished, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("mobile\n13800138000\n")
    data = house.site.place.settings.data
    assert data is not None
    (data / "out.csv").symlink_to(tmp_path / "secret.csv")
    client = house.site.client("ann")
    try:
        for file in (
            "../homes/customers.csv",
            "out.csv",
            str(tmp_path / "secret.csv"),
            "..%2fhomes%2fcustomers.csv",
        ):
            for way in WAYS:
                if way.method == "GET" and way.route.path.startswith(
                    ("/datasets/-/new", "/dataset-files/look")
                ):
                    answer = client.get((API if way.api else "") + way.route.path, params={"file": file})
                    assert "1380013" not in answer.text
                    assert answer.status_code != 500
            listed = client.get(f"{API}/dataset-files").text
            assert "secret" not in listed
            assert "out.csv" not in listed
    finally:
        (data / "out.csv").unlink()


# Guessing


def _tried(site: Site, name: str, password: str, **headers: str) -> Response:
    return site.browser().post(
        "/login", data={"name": name, "password": password}, headers={"Origin": ORIGIN} | headers
    )


def test_guessing_a_password_is_stopped_and_the_right_one_with_it(bank: Site, pair: Pair) -> None:
    said = [_tried(bank, "ann", f"wrong but long {number}") for number in range(5)]
    stopped = _tried(bank, "ann", PASSWORD)
    assert [each.status_code for each in (*said, stopped)] == [403] * 6
    # Nobody learns from the answer that this one was right.
    assert stopped.text == said[-1].text
    pair.clock.forward(minutes=16)
    assert _tried(bank, "ann", PASSWORD).status_code == 303


def test_a_name_that_is_not_there_is_told_like_one_that_is(bank: Site) -> None:
    for number in range(7):
        said = [_tried(bank, name, f"wrong but long {number}") for name in ("ann", "nobody")]
        assert said[0].status_code == said[1].status_code == 403
        assert said[0].text.replace("ann", "NAME") == said[1].text.replace("nobody", "NAME")


def test_many_names_from_one_place_are_stopped_too(bank: Site, pair: Pair) -> None:
    for number in range(40):
        _tried(bank, f"nobody{number}", "wrong but long")
    assert _tried(bank, "bob", PASSWORD).status_code == 403
    pair.clock.forward(minutes=16)
    assert _tried(bank, "bob", PASSWORD).status_code == 303


def test_an_address_that_a_stranger_writes_is_not_believed(bank: Site) -> None:
    for number in range(6):
        _tried(bank, f"nobody{number % 3}", "wrong but long", **{"X-Forwarded-For": f"10.0.0.{number}"})
    assert _tried(bank, "ann", PASSWORD, **{"X-Forwarded-For": "10.9.9.9"}).status_code == 403


def test_guessing_within_a_session_is_stopped_as_well(bank: Site, pair: Pair) -> None:
    drafted = draft_with(pair.bank.node, parse_job(TABLE, "JOB.toml"), TABLE, "acme")
    record = pair.bank.jobs.draft(
        *(drafted.table, "", person("ann")),
        partner="acme",
        dataset=drafted.dataset,
        contract=drafted.contract,
    )
    client = bank.client("bob")
    fields = {"digest": record.digest, "without_preflight": "1"}
    for number in range(5):
        answer = bank.post(
            client, f"/jobs/{record.id}/approve", password=f"wrong but long {number}", **fields
        )
        assert answer.status_code in (403, 422)
    answer = bank.post(client, f"/jobs/{record.id}/approve", password=PASSWORD, **fields)
    assert answer.status_code in (403, 422)
    assert pair.bank.state(record.id) == "draft"


# Requests that are out of shape


def test_a_line_break_in_an_address_makes_no_header(bank: Site) -> None:
    browser = bank.browser()
    for text in ("/\r\nSet-Cookie: a=b", "/%0d%0aSet-Cookie:%20a=b", "/\nx", "/\u2028x"):
        answer = browser.post(
            "/login", data={"name": "ann", "password": PASSWORD, "next": text}, headers={"Origin": ORIGIN}
        )
        assert answer.status_code == 303
        assert "a=b" not in str(answer.headers.get_list("set-cookie"))
        assert "\n" not in answer.headers["location"]
        answer = browser.get("/language/zh", params={"next": text})
        assert "a=b" not in str(answer.headers.get_list("set-cookie"))


def test_a_body_that_is_too_long_is_not_read(house: Furnished) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * 65_536

    client, headers = a_session(house.site, "ann")
    program = house.site.token("ann", "draft")
    program_headers = {"Content-Type": "application/json"}
    for content in (b"x" * 2_000_000, endless()):
        answer = program.post(f"{API}/jobs", content=content, headers=program_headers)
        assert answer.status_code in (400, 411, 413, 422)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client.post("/jobs/new", content=b"a=" + b"x" * 2_000_000, headers=headers | form)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("application/x-www-form-urlencoded", "&".join(f"f{number}=1" for number in range(5_000)).encode()),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\nx\r\n--b--',
        ),
        ("multipart/form-data", b"no boundary"),
        ("application/x-www-form-urlencoded", b"a=%ff%fe&b=\x00"),
        ("text/plain", b"a=1"),
        ("application/json", b'{"csrf":"x"}'),
    ],
)
def test_a_form_of_another_shape_is_refused_and_no_fault(house: Furnished, kind: str, content: bytes) -> None:
    client, headers = a_session(house.site, "ann")
    for given in (headers, {"Origin": ORIGIN}):
        answer = client.post("/jobs/new", content=content, headers=given | {"Content-Type": kind})
        assert answer.status_code < 500
        harmless(answer)


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b"{", b'"\xff"', b"NaN", b"1e999999", b'{"toml": "' + b"[" * 9_000 + b'"}', b""],
)
def test_json_of_another_shape_is_refused_and_no_fault(house: Furnished, content: bytes) -> None:
    program = house.site.token("ann", "draft")
    answer = program.post(f"{API}/jobs", content=content, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "host", ["evil.example", "console.test:444", "console.test.evil.example", "console.test@evil.example", ""]
)
def test_another_host_is_not_answered(house: Furnished, host: str) -> None:
    answer = house.site.browser().get("/login", headers={"Host": host})
    assert answer.status_code == 421


def test_a_host_that_is_forwarded_is_not_believed(house: Furnished) -> None:
    headers = {
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "host=evil.example",
        "X-Original-URL": "/people",
    }
    answer = house.site.browser().get("/jobs", headers=headers)
    assert answer.headers["location"] == "/login?next=%2Fjobs"


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "PATCH", "DELETE"])
def test_a_method_that_is_not_used_is_refused(house: Furnished, method: str) -> None:
    answer = house.site.client("ann").request(method, "/jobs")
    assert answer.status_code in (403, 405)


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Basic YW5uOng=",
        "Bearer vjt_" + "A" * 43,
        "Bearer \u00ff",
        "Bearer " + "A" * 9_000,
    ],
)
def test_a_header_that_is_no_token_lets_nobody_in(house: Furnished, header: str) -> None:
    answer = house.site.browser().get(f"{API}/jobs", headers={"Authorization": header.encode("latin-1")})
    assert answer.status_code == 401
    # Nor does it fall back to the cookie of a session.
    client = house.site.client("ann")
    answer = client.get(f"{API}/jobs", headers={"Authorization": header.encode("latin-1")})
    assert answer.status_code == 401


# What stays behind


def test_no_password_token_or_session_is_written_down(bank: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    browser = bank.browser()
    secret = _secret(_log_in(bank, browser))
    program = bank.token("ann", "see")
    program.get(f"{API}/jobs")
    _tried(bank, "ann", "wrong but telling")
    token = program.headers["Authorization"].removeprefix("Bearer ")
    store = bank.side.folder / "store.sqlite"
    files = b"".join(path.read_bytes() for path in store.parent.glob("store.sqlite*"))
    for hidden in (secret, token, PASSWORD, "wrong but telling"):
        assert hidden not in caplog.text
        assert hidden.encode() not in files
