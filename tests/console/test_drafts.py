"""The guided form of a new job, masked previews, edits of a draft, and what the API has for them."""

from __future__ import annotations

import html
import json
import re
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from console.jobform import FIELDS, Answers, Step, answers_of, table_of
from console.preview import SHARED, preview
from console.tomltext import toml_text
from party.campaign_data import make_campaign
from party.catalogue import Catalogue
from party.identifiers import parse_form
from party.jobfile import load_job, parse_job
from party.jobrecords import person
from party.jobstates import JobState
from psi.errors import UsageError
from tests.console.conftest import Site
from tests.party.joblife import Clock
from tests.party.standing_pair import Pair

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/JOB.toml"))
ANSWERS = {
    "kind": "audience",
    "purpose": "reactivate dormant card holders",
    "dataset": "customers",
    "offer": "acme/users",
    "bank_identifier": "mobile",
    "platform_identifier": "phone",
    "receiver": "platform",
    "min_group": "60",
    "days": "5",
}
LIFT = {
    "kind": "lift",
    "purpose": "what the campaign added",
    "dataset": "outcomes",
    "offer": "acme/exposures",
    "bank_identifier": "mobile",
    "platform_identifier": "phone",
    "bank_time": "at",
    "platform_time": "seen",
    "arm_column": "arm",
    "control": "control",
    "control_share": "0.2",
    "receiver": "both",
    "window_days": "7",
    "epsilon": "1",
}
TABLE = {
    "kind": "audience",
    "purpose": "test",
    "identifier": "phone",
    "receiver": "platform",
    "bank": {"identifier": "mobile"},
    "platform": {"identifier": "phone"},
}
TOML = toml_text(TABLE)
_SEEN = re.compile(r'name="seen" value="([0-9a-f]{64})"')
_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


def step(site: Site, client: TestClient, at: int, go: str, **answers: Any) -> Response:
    """Send one step of the form."""
    return site.post(client, "/jobs/new", **answers | {"at": str(at), "go": go})


def seen(answer: Response) -> str:
    """Return the digest of what a page showed."""
    found = _SEEN.search(answer.text)
    assert found is not None
    return found[1]


def current(answer: Response) -> int:
    """Return the step that a page shows."""
    found = re.search(r'aria-current="step">(\d)', answer.text)
    assert found is not None
    return int(found[1])


def jobs(site: Site) -> int:
    """Return how many jobs there are."""
    return len(site.place.jobs.list().jobs)


# From answers to a job file and back


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_form_makes_every_example_again(path: Path) -> None:
    job, table = load_job(path)
    answers = answers_of(table, "ours", "acme", "theirs")
    made = parse_job(table_of(answers, table["identifier"]), str(path))
    assert made == job
    assert (answers.partner, answers.partner_dataset, answers.one("dataset")) == ("acme", "theirs", "ours")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_a_table_as_text_reads_as_the_same_table(path: Path) -> None:
    table = tomllib.loads(path.read_text())
    assert tomllib.loads(toml_text(table)) == table


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_PLAIN = _TEXT | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
_LEAF = _PLAIN | st.lists(_TEXT, max_size=3)


@given(
    st.dictionaries(
        _TEXT, _LEAF | st.dictionaries(_TEXT, _LEAF | st.dictionaries(_TEXT, _LEAF, max_size=2)), max_size=4
    )
)
def test_any_table_as_text_reads_as_the_same_table(table: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(table)) == table


def test_half_a_character_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        toml_text({"purpose": "\ud800"})
    assert caught.value.code.name == "bad_encoding"


def test_fields_that_the_form_has_not_are_dropped() -> None:
    answers = Answers.of(
        [("kind", "lift"), ("csrf", "x"), ("groups", "a"), ("groups", "b"), ("purpose", b"x")]
    )
    assert answers.given == {"kind": ("lift",), "groups": ("a", "b")}
    assert dict(answers.hidden(Step.KIND)) == {"groups": "b"}
    assert set(FIELDS.values()) == set(Step)


# Masked previews


def catalogue_of(site: Site) -> Catalogue:
    """Return the datasets of a side."""
    return Catalogue(site.place.node.home.store, Clock())


def test_a_preview_shows_nothing_that_few_persons_have(bank: Site, tmp_path: Path) -> None:
    campaign = make_campaign(tmp_path, 2_000, seed=3)
    registered = catalogue_of(bank).add(
        "campaign", campaign.bank, "mobile", parse_form("phone"), 2_000, "person:ann"
    )
    look = preview(registered)
    columns = {column.name: column for column in look.columns}
    assert next(iter(columns)) == "mobile"
    assert look.sampled == 1_000
    assert look.rows is not None
    assert look.rows > 1_000
    lines = campaign.bank.read_text().splitlines()
    header = lines[0].split(",")
    cells = {name: [line.split(",")[at] for line in lines[1:1001]] for at, name in enumerate(header)}
    numbers = {cell for cell in cells["mobile"] if len(cell) >= 7}
    for column in look.columns:
        for cell in column.cells:
            assert cell.text not in numbers
            same = sum(value == cell.text for value in cells[column.name])
            assert not same or same >= SHARED
    assert {cell.text for cell in columns["segment"].cells} <= {"mass", "affluent", "private"}
    assert all(re.fullmatch(r"1[3-9]\d•{8}", cell.text) or cell.kind for cell in columns["mobile"].cells)
    assert all(
        re.fullmatch(r"2026-\d\d-••", c.text) or c.kind == "empty" for c in columns["converted_at"].cells
    )
    assert all(re.fullmatch(r"≈ \d+(,000)?", c.text) or c.kind for c in columns["amount"].cells)


def test_rare_values_names_hashes_and_second_identifiers_are_told_by_their_form(bank: Site) -> None:
    rows = [
        (
            f"1380013{n:04}",
            f"Person {n}",
            sha256(b"%d" % n).hexdigest(),
            "gold" if n else "unique",
            f"p@r{n}.example",
            10**7 + n,
        )
        for n in range(40)
    ]
    path = bank.side.folder / "masks.csv"
    head = "mobile,name,device,tier,mail,account"
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n")
    registered = catalogue_of(bank).add("masks", path, "mobile", parse_form("phone"), 40, "person:ann")
    columns = {column.name: column for column in preview(registered).columns}
    assert {(c.text, c.kind) for c in columns["name"].cells} == {("", "text")}
    assert {(c.text, c.kind, c.length) for c in columns["device"].cells} == {("", "hex", 64)}
    assert {c.text for c in columns["tier"].cells} == {"", "gold"}
    assert {(c.text, c.kind) for c in columns["mail"].cells} == {("", "address")}
    assert {c.text for c in columns["account"].cells} == {""}
    assert {c.text for c in columns["mobile"].cells} == {"138" + "•" * 8}


def test_one_person_in_many_rows_and_spellings_is_one(bank: Site) -> None:
    path = bank.side.folder / "one.csv"
    spelt = (
        "13800138000",
        "+8613800138000",
        "138 0013 8000",
        "138-0013-8000",
        "008613800138000",
        "86 13800138000",
    )
    path.write_text("\n".join(["mobile,city", *(f"{number},beijing" for number in spelt)]) + "\n")
    registered = catalogue_of(bank).add("one", path, "mobile", parse_form("phone"), 1, "person:ann")
    assert all(not cell.text for column in preview(registered).columns for cell in column.cells)


# The guided form


def test_a_job_from_the_first_step_to_the_draft(bank: Site) -> None:
    ann = bank.client("ann")
    first = ann.get("/jobs/new")
    assert first.status_code == 200
    assert current(first) == 1
    for kind in ("overlap", "audience", "profile", "measure", "lift", "funnel"):
        assert f'value="{kind}"' in first.text
    for at in range(1, 6):
        answer = step(bank, ann, at, "next", **ANSWERS)
        assert (answer.status_code, current(answer)) == (200, at + 1)
    review = answer.text
    assert "which of its own rows match" in review
    assert "60 persons" in review
    assert "min_group = 60" in review
    assert jobs(bank) == 0
    done = step(bank, ann, 6, "draft", seen=seen(answer), **ANSWERS)
    assert done.status_code == 303
    record = bank.place.jobs.get(done.headers["location"].removeprefix("/jobs/"))
    assert (record.state, record.drafter, record.dataset) == (JobState.DRAFT, "ann", "customers")
    assert tomllib.loads(record.source) == record.table
    assert record.expires is not None
    assert round((record.expires - record.created).total_seconds() / 86_400) == 5


def test_a_page_that_is_sent_twice_drafts_one_job(bank: Site) -> None:
    ann = bank.client("ann")
    review = step(bank, ann, 5, "next", **ANSWERS)
    fields = {name: value for name, value in _HIDDEN.findall(review.text) if name not in ("at", "csrf")}
    sent = [step(bank, ann, 6, "draft", **fields) for _ in range(2)]
    assert [answer.status_code for answer in sent] == [303, 303]
    assert sent[0].headers["location"] == sent[1].headers["location"] == f"/jobs/{fields['job']}"
    assert jobs(bank) == 1
    assert step(bank, bank.client("zoe"), 6, "draft", **fields).status_code == 422
    assert [record.drafter for record in bank.place.jobs.list().jobs] == ["ann"]


def test_going_back_keeps_what_was_answered(bank: Site) -> None:
    ann = bank.client("ann")
    answer = step(bank, ann, 4, "back", **ANSWERS)
    assert (answer.status_code, current(answer)) == (200, 3)
    kept = dict(_HIDDEN.findall(answer.text))
    assert {name: kept[name] for name in ("kind", "purpose", "dataset", "min_group")} == {
        name: ANSWERS[name] for name in ("kind", "purpose", "dataset", "min_group")
    }
    assert re.search(r'value="acme/users" checked', answer.text)


FAULTS: list[tuple[dict[str, str], int, str]] = [
    ({"kind": ""}, 1, "No question was chosen."),
    ({"purpose": ""}, 1, "purpose"),
    ({"purpose": "x" * 201}, 1, "201 characters"),
    ({"dataset": "nothing"}, 2, "There is no dataset"),
    ({"dataset": ""}, 2, "No segment was chosen."),
    ({"offer": "acme/none"}, 3, "No dataset of a partner was chosen."),
    ({"offer": "stranger/users"}, 3, "No dataset of a partner was chosen."),
    ({"bank_tier": "level"}, 4, "has no column"),
    ({"bank_identifier": ""}, 4, "identifier is missing"),
    ({"holdout": "half"}, 4, "holdout in this form has a value of a wrong type"),
    ({"receiver": "everybody"}, 4, "not possible here"),
    ({"min_group": "0"}, 5, "out of range"),
    ({"min_group": "many"}, 5, "wrong type"),
    ({"days": "31"}, 5, "lifetime"),
    ({"days": "soon"}, 5, "no number"),
]


def test_a_fault_is_told_at_its_step(bank: Site) -> None:
    ann = bank.client("ann")
    for changed, at, said in FAULTS:
        answer = step(bank, ann, 5, "next", **ANSWERS | changed)
        assert (answer.status_code, current(answer)) == (422, at), changed
        text = html.unescape(answer.text)
        assert said in text, changed
        assert "What to do:" in text
    assert jobs(bank) == 0


def test_a_file_that_is_gone_is_told_where_it_was_chosen(bank: Site) -> None:
    ann = bank.client("ann")
    (bank.side.folder / "customers.csv").unlink()
    answer = step(bank, ann, 5, "next", **ANSWERS)
    assert (answer.status_code, current(answer)) == (422, 2)
    assert "does not exist" in answer.text


def test_what_changed_since_it_was_shown_is_shown_again(bank: Site) -> None:
    ann = bank.client("ann")
    shown = seen(step(bank, ann, 5, "next", **ANSWERS))
    answer = step(bank, ann, 6, "draft", seen=shown, **ANSWERS | {"min_group": "70"})
    assert (answer.status_code, current(answer)) == (422, 6)
    assert "not any more what was shown" in answer.text
    assert jobs(bank) == 0
    assert step(bank, ann, 6, "draft", seen=seen(answer), **ANSWERS | {"min_group": "70"}).status_code == 303


def test_both_policies_stand_beside_the_limits_and_what_they_change_is_said(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    pair = Pair(tmp_path / "two", policy="[limits]\nmin_group = 80\n")
    try:
        pair.connect()
        site = Site(pair.bank, tmp_path)
        ann = site.client("ann")
        limits = step(site, ann, 4, "next", **ANSWERS).text
        assert re.search(r'<td class="number">50</td>\s*<td class="number">80</td>', limits)
        review = step(site, ann, 5, "next", **ANSWERS).text
        assert "min_group is 80 instead of 60" in html.unescape(review)
        assert "fewer than 80 persons" in review
    finally:
        pair.close()


def test_a_lift_is_drafted_with_what_it_can_show(pair: Pair, bank: Site) -> None:
    pair.bank.add("outcomes", "mobile", "at", "amount")
    pair.platform.add("exposures", "phone", "seen", "arm", "cost")
    pair.connect()
    ann = bank.client("ann")
    columns = step(bank, ann, 3, "next", **LIFT).text
    assert 'name="arm_column"' in columns
    assert 'name="value_max"' in columns
    values = {"value_column": ["amount", ""], "value_min": ["0", "0"], "value_max": ["5,000", ""]}
    review = step(bank, ann, 5, "next", **LIFT, **values, plan_persons="20000", plan_rate="4", plan_lift="40")
    text = html.unescape(review.text)
    assert review.status_code == 200
    assert "max = 5000" in text
    assert "4,000 in control, 16,000 in the test arms" in text
    assert "standard deviation" in text
    chance = re.search(r"Chance to find a lift of 40.0 %</dt><dd>([\d.]+) %", text)
    assert chance is not None
    assert 50 < float(chance[1]) <= 100
    for plan, said in (
        ({"plan_persons": "everybody"}, "no number"),
        ({"plan_rate": "some"}, "The rate in the control arm is no percentage"),
        ({"plan_rate": "nan"}, "baseline"),
        ({"plan_lift": "1e400"}, "relative_lift"),
    ):
        wrong = step(bank, ann, 5, "next", **LIFT, **plan)
        assert (wrong.status_code, current(wrong)) == (200, 6)
        assert said in html.unescape(wrong.text)


def test_a_step_that_is_not_there_is_the_nearest_one(bank: Site) -> None:
    ann = bank.client("ann")
    for at, go, shown in ((1, "--5", 1), (-7, "next", 2), (99, "here", 6), (2, "", 2), (3, "\u0663", 3)):
        assert current(step(bank, ann, at, go, **ANSWERS)) == shown


def test_another_form_of_identifiers_cannot_be_chosen(pair: Pair, bank: Site) -> None:
    path = bank.side.folder / "hashed.csv"
    path.write_text("key\n" + "ab" * 32 + "\n")
    catalogue_of(bank).add("hashed", path, "key", parse_form("sha256:phone:e164"), 1, "person:ann")
    ann = bank.client("ann")
    offers = step(bank, ann, 2, "next", **ANSWERS | {"dataset": "hashed"}).text
    assert re.search(r'value="acme/users" disabled', offers)
    answer = step(bank, ann, 3, "next", **ANSWERS | {"dataset": "hashed"})
    assert (answer.status_code, current(answer)) == (422, 3)
    assert "another form" in answer.text


def test_a_form_is_filled_from_another_job(bank: Site) -> None:
    ann = bank.client("ann")
    shown = seen(step(bank, ann, 5, "next", **ANSWERS))
    job = step(bank, ann, 6, "draft", seen=shown, **ANSWERS).headers["location"].removeprefix("/jobs/")
    again = ann.get(f"/jobs/new?from={job}")
    assert 'value="audience" checked' in again.text
    kept = dict(_HIDDEN.findall(again.text))
    assert (kept["offer"], kept["dataset"], kept["min_group"]) == ("acme/users", "customers", "60")
    assert ann.get("/jobs/new?from=" + "0" * 32).status_code == 404


def test_a_platform_says_that_it_drafts_nothing(platform: Site) -> None:
    ann = platform.client("ann")
    page = ann.get("/jobs/new")
    assert page.status_code == 200
    assert "Jobs are drafted at the bank" in page.text
    assert step(platform, ann, 6, "draft", **ANSWERS).status_code == 403
    program = platform.token("ann", "draft")
    answer = program.post("/api/v1/jobs", json={"partner": "bank", "toml": TOML})
    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


def test_only_analysts_draft(bank: Site) -> None:
    for name in ("bob", "eve", "adam"):
        client = bank.client(name)
        assert client.get("/jobs/new").status_code == 403
        assert step(bank, client, 6, "draft", **ANSWERS).status_code == 403
    assert jobs(bank) == 0


def test_every_step_in_chinese(bank: Site) -> None:
    ann = bank.client("ann")
    ann.headers["accept-language"] = "zh-CN"
    for at, said in enumerate(("同意依据", "人数（约）", "标识列", "本方策略", "披露卡"), start=2):
        answer = step(bank, ann, at - 1, "next", **ANSWERS)
        assert (answer.status_code, current(answer)) == (200, at)
        assert 'lang="zh-CN"' in answer.text
        assert said in answer.text


def test_column_names_of_the_partner_are_text_not_markup(pair: Pair, bank: Site) -> None:
    pair.platform.add("odd", "phone", "<script>alert(1)</script>", "'><b>")
    pair.connect()
    ann = bank.client("ann")
    for at in (2, 3):
        text = step(bank, ann, at, "next", **ANSWERS | {"offer": "acme/odd"}).text
        assert "<script>alert" not in text
        assert "'><b>" not in text
        assert "&lt;script&gt;alert" in text


# Edits


def drafted(bank: Site, **keys: Any) -> str:
    """Draft a job as Ann; returns its id."""
    answer = bank.token("ann", "draft").post("/api/v1/jobs", json={"partner": "acme", "job": TABLE | keys})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["job"])


def test_an_edit_shows_what_it_changes_before_it_is_made(bank: Site) -> None:
    job = drafted(bank)
    record = bank.place.jobs.get(job)
    bank.place.jobs.approve(job, person("bob"), record.digest)
    ann = bank.client("ann")
    assert "identifier = &#34;mobile&#34;" in ann.get(f"/jobs/{job}/edit").text
    text = TOML + "\n[policy]\nmin_group = 75\n"
    checked = bank.post(ann, f"/jobs/{job}/edit", text=text, go="check", days="7")
    assert checked.status_code == 200
    assert "policy.min_group" in checked.text
    assert "Approvals that become void: 1" in checked.text
    assert bank.place.jobs.get(job).digest == record.digest
    unseen = bank.post(
        ann, f"/jobs/{job}/edit", text=text + "max_set = 1000\n", go="save", seen=seen(checked)
    )
    assert unseen.status_code == 422
    saved = bank.post(ann, f"/jobs/{job}/edit", text=text, go="save", seen=seen(checked), days="7")
    assert (saved.status_code, saved.headers["location"]) == (303, f"/jobs/{job}")
    after = bank.place.jobs.get(job)
    assert (after.state, after.table["policy"]["min_group"]) == (JobState.DRAFT, 75)
    assert [each.voided is not None for each in bank.place.jobs.approvals(job)] == [True]


def test_an_edit_is_of_the_job_that_was_shown(bank: Site) -> None:
    job, ann = drafted(bank), bank.client("ann")
    checked = bank.post(ann, f"/jobs/{job}/edit", text=TOML + 'output = "unmatched"', go="check")
    assert checked.status_code == 422  # a key below [platform]
    text = 'output = "unmatched"\n' + TOML
    checked = bank.post(ann, f"/jobs/{job}/edit", text=text, go="check")
    other = bank.token("zoe", "draft").put(f"/api/v1/jobs/{job}", json={"job": TABLE | {"holdout": 0.1}})
    assert other.status_code == 200
    late = bank.post(ann, f"/jobs/{job}/edit", text=text, go="save", seen=seen(checked))
    assert late.status_code == 422
    assert bank.place.jobs.get(job).table["holdout"] == 0.1


def test_a_text_that_is_no_job_is_kept_and_its_fault_is_told(bank: Site) -> None:
    job, ann = drafted(bank), bank.client("ann")
    for text, said in (
        ("kind = ", "not valid TOML"),
        ('kind = "overlap"', "missing"),
        (TOML + "[policy]\nmin_grup = 3", "min_group"),
    ):
        answer = bank.post(ann, f"/jobs/{job}/edit", text=text, go="save", seen="")
        assert answer.status_code == 422
        assert said in html.unescape(answer.text)
        assert text.splitlines()[0].strip() in html.unescape(answer.text)


def test_a_job_that_the_partner_has_seen_is_not_edited(pair: Pair, bank: Site) -> None:
    record = pair.draft(untried=True)
    pair.talk()
    assert bank.place.jobs.get(record.id).state is not JobState.DRAFT
    ann = bank.client("ann")
    assert ann.get(f"/jobs/{record.id}/edit").status_code == 409
    answer = bank.token("ann", "draft").put(f"/api/v1/jobs/{record.id}", json={"toml": TOML})
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")


# The API


def test_a_program_checks_and_drafts_exactly_that(bank: Site) -> None:
    program = bank.token("ann", "draft")
    checked = program.post("/api/v1/jobs/check", json={"partner": "acme", "toml": TOML})
    assert checked.status_code == 200
    assert jobs(bank) == 0
    told = checked.json()
    assert told["card"]["settings"]["kind"] == "audience"
    assert told["sections"][0]["heading"] == "The bank learns"
    asked = {"partner": "acme", "toml": TOML, "digest": told["digest"]}
    stale = program.post("/api/v1/jobs", json=asked | {"days": 3})
    assert (stale.status_code, stale.json()["code"]) == (409, "wrong_state")
    made = program.post("/api/v1/jobs", json=asked)
    assert made.status_code == 201
    assert made.headers["location"] == f"/api/v1/jobs/{made.json()['job']}"
    assert bank.place.jobs.get(made.json()["job"]).digest == made.json()["contract"]


def test_a_program_edits_a_draft(bank: Site) -> None:
    job = drafted(bank)
    program = bank.token("ann", "draft")
    answer = program.put(f"/api/v1/jobs/{job}", json={"job": TABLE | {"output": "unmatched"}, "days": 2})
    assert answer.status_code == 200
    assert answer.json()["changed"] == [{"setting": "output", "before": None, "after": '"unmatched"'}]
    assert bank.place.jobs.get(job).table["output"] == "unmatched"


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"partner": "acme"}, 422, "bad_setting"),
    ({"partner": "acme", "toml": TOML, "job": TABLE}, 422, "bad_setting"),
    ({"partner": "acme", "toml": "kind = "}, 422, "bad_format"),
    ({"partner": "acme", "toml": TOML, "days": 31}, 422, "bad_setting"),
    ({"partner": "acme", "toml": TOML, "more": 1}, 422, "bad_setting"),
    ({"partner": "nobody", "toml": TOML}, 422, "bad_setting"),
    ({"partner": "acme", "job": {}}, 422, "bad_setting"),
    ({"partner": "acme", "job": TABLE | {"kind": ["audience"]}}, 422, "bad_setting"),
    ({"partner": "acme", "job": TABLE | {"purpse": "x"}}, 422, "unknown_key"),
    ({"partner": "acme", "job": TABLE | {"bank": 3}}, 422, "bad_setting"),
    ({"partner": "acme", "toml": TOML, "dataset": "none"}, 422, "missing_file"),
    ({"partner": "acme", "job": TABLE | {"bank": {"identifier": "phone"}}}, 422, "missing_column"),
    ({"partner": "acme", "toml": TOML, "digest": "0" * 64}, 409, "wrong_state"),
]


def test_a_request_that_cannot_be_is_refused_in_words(bank: Site) -> None:
    program = bank.token("ann", "draft")
    for body, status, code in REFUSED:
        answer = program.post("/api/v1/jobs", json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), body
        assert answer.json()["detail"].endswith(".")
        assert answer.json()["hint"]
    assert jobs(bank) == 0


def test_half_a_character_from_a_program_is_refused(bank: Site) -> None:
    program = bank.token("ann", "draft")
    for body in (r'{"partner": "acme", "toml": "# \ud800"}', r'{"partner": "acme", "job": {"a\ud800": 1}}'):
        answer = program.post("/api/v1/jobs", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422
    tiers = TABLE | {"bank": {"identifier": "mobile", "tier": "mobile2", "tiers": ["\ud800"]}}
    body = json.dumps({"partner": "acme", "job": tiers})
    answer = program.post("/api/v1/jobs/check", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_encoding")


def test_a_token_without_the_scope_drafts_nothing(bank: Site) -> None:
    answer = bank.token("ann", "see").post("/api/v1/jobs", json={"partner": "acme", "toml": TOML})
    assert answer.status_code == 403
    assert jobs(bank) == 0
