"""Results in the console: what is shown and withheld, in which order, what is handed out, and that the log knows."""

from __future__ import annotations

import datetime
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from audit.entry import Draft
from console.downloads import FILE_NAME
from console.resultparts import PAGE_ROWS, Sorting, view
from console.results import NAMES, SENTENCES, Figures, Missing, missing
from console.words import Words, catalogue
from party.auditlog import AuditLog
from party.cosigning import WITHHELD
from party.figures import NOT_TOLD
from party.jobfile import parse_job
from party.jobrecords import partner, person
from party.jobspec import Job
from party.report import write_reports
from party.results import MATCHES, RESULT, write_json
from party.tables import audit_cosigned, jobs
from psi.errors import UsageError
from tests.console.conftest import Site
from tests.party import sums
from tests.party.jobs import table
from tests.party.standing_pair import Pair
from tests.party.sum_jobs import sum_table
from tests.party.test_figures import told

API = "/api/v1"
NASTY = '</title><script>alert("x")</script><img src=x onerror=alert(1)>'
KINDS = {
    "measure": sums.measured,
    "lift": sums.lifted,
    "funnel": sums.funnelled,
    "profile": sums.profiled,
}
KEEP = datetime.timedelta(days=30)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both nodes for all tests here: each has jobs of its own."""
    pair = Pair(tmp_path_factory.mktemp("pair"))
    pair.bank.node.settle_log()
    pair.connect()
    yield pair
    pair.close()


@pytest.fixture(scope="module")
def bank(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The bank's console."""
    return Site(pair.bank, tmp_path_factory.mktemp("data"))


def summed(kind: str) -> dict[str, Any]:
    """The bank's figures of a grouped sum of ``kind``."""
    return told(sums.sum_job(kind), KINDS[kind]()) | {"suppressed_groups": 0, "parties": {"bank": {}}}


def matched(**changes: Any) -> dict[str, Any]:
    """The bank's figures of an overlap in tiers."""
    return {
        "totals": {"bank_persons": 900, "platform_persons": 1_200, "matched": 480},
        "groups": [
            {"group": {"tier": "9"}, "persons": 500, "matched": 300},
            {"group": {"tier": "10"}, "persons": 300, "matched": 180},
            {"group": {"tier": "vip"}, "persons": 100, "matched": None, "withheld": "below_min_group"},
        ],
        "suppressed_groups": 1,
        "withheld": [],
        "parties": {"bank": {"files": [MATCHES]}},
    } | changes


def tables(kind: str) -> dict[str, Any]:
    """The job file of ``kind``, as the made-up figures have it."""
    if kind in ("overlap", "audience"):
        return table(kind=kind, receiver="bank")
    changes: dict[str, Any] = {"platform__groups": ["creative"]}
    if kind == "lift":
        changes = {"arms__column": "arm", "platform__groups": ["arm", "creative"]}
    if kind == "profile":
        changes = {
            "value_holder": "bank",
            "bank__groups": None,
            "bank__tags": ["city", "device"],
            "platform__tags": None,
            "platform__groups": ["creative"],
        }
    return sum_table(kind, **changes)


def running(pair: Pair) -> str:
    """A job that runs at the bank; returns its id."""
    job = pair.draft(untried=True).id
    pair.talk()
    theirs, ours = pair.platform.jobs.get(job), pair.bank.jobs.get(job)
    pair.platform.jobs.accept(job, person("ben"), theirs.digest, b"s" * 64)
    pair.bank.jobs.accept(job, partner("acme"), ours.digest, b"s" * 64)
    pair.bank.jobs.start(job, "bank")
    return job


def done(pair: Pair, site: Site, kind: str = "measure", result: Mapping[str, Any] | None = None) -> str:
    """A job of ``kind`` that is done, with ``result`` in its place; returns its id."""
    job, written = running(pair), tables(kind)
    with site.place.node.home.store.transaction() as connection:
        changed = {"job_table": json.dumps(written), "kind": kind}
        connection.execute(jobs.update().where(jobs.c.id == job).values(changed))
    figures = summed(kind) if result is None else result
    head = {"kind": kind, "job": job, "contract": "00ff", "window": {"days": 7, "retention_days": 30}}
    folder = site.place.room.result(job)
    folder.mkdir(parents=True, mode=0o700)
    write_json(folder / RESULT, head | dict(figures))
    if kind in KINDS:
        write_reports(folder, head | dict(figures), parse_job(written, "JOB.toml"))
    else:
        (folder / MATCHES).write_text("mobile,tier\n13800138000,vip\n", encoding="utf-8")
    pair.bank.jobs.finish(job, "bank", keep=KEEP)
    return job


def read(site: Site, job: str) -> list[tuple[str, str]]:
    """Who read which part of a job's result, by the log."""
    log = AuditLog(site.place.node.home.store)
    entries = [json.loads(data) for _, _, data in log.entries(1, job=job)]
    return [(each["actor"], each["facts"]["part"]) for each in entries if each["type"] == "result_read"]


def shown(client: TestClient, job: str, query: str = "", language: str = "en") -> str:
    """The page of a result."""
    answer = client.get(f"/jobs/{job}/result{query}", headers={"Accept-Language": language})
    assert answer.status_code == 200, answer.text
    return answer.text


# -- the page


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_kind_has_its_page(pair: Pair, bank: Site, language: str) -> None:
    """Each chart has a title, a description and its table; the report's own words; nothing that the policy stops."""
    ann = bank.client("ann")
    expected = {
        "measure": ("550 of 80,000 people converted", "80,000 人中有 550 人转化"),
        "lift": ("The campaign made 200 more people convert", "活动使转化人数增加 200 人"),
        "funnel": ("people who reached", "到达"),
        "profile": ("1,000 people of the joint audience", "共同人群 1,000 人"),
        "overlap": ("480 people are in both sets", "双方集合中共有 480 人匹配"),
    }
    for kind, sentences in expected.items():
        job = done(pair, bank, kind, matched() if kind == "overlap" else None)
        text = shown(ann, job, language=language)
        assert sentences[language == "zh"] in text
        assert text.count("<svg") >= 1
        assert text.count("<svg") == text.count("<desc id=") == len(re.findall("<svg[^>]*><title id=", text))
        assert text.count("<table>") > text.count("<svg")
        assert not re.search(r"""<script|\sstyle=|\son\w+=|<style""", text)
        assert ">None<" not in text


def test_a_withheld_figure_is_a_reason_and_never_zero(pair: Pair, bank: Site) -> None:
    text = shown(bank.client("ann"), done(pair, bank, "overlap", matched()))
    row = re.search(r"<td[^>]*>vip</td>.*?</tr>", text, re.DOTALL)
    assert row is not None
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", row[0])
    assert cells == ["vip", "100", "—", "—", "withheld: fewer than 50 people"]
    assert "1 group is withheld: fewer than 50 people." in text


def test_what_the_contract_gives_to_the_other_side_is_not_told(pair: Pair, bank: Site) -> None:
    untold = matched(
        totals={"bank_persons": 900, "platform_persons": 1_200, "matched": None},
        groups=[],
        withheld=[{"figure": "matched", "reason": NOT_TOLD}],
    )
    text = shown(bank.client("ann"), done(pair, bank, "audience", untold))
    assert "The contract gives the figures of this job to the bank only." in text
    assert 'id="cautions"' not in text


def test_an_audience_says_who_is_not_there_and_where_the_list_is(pair: Pair, bank: Site) -> None:
    left_out = {"bank_persons": 900, "platform_persons": 1_200, "matched": 480, "unmatched": 420}
    text = shown(bank.client("ann"), done(pair, bank, "audience", matched(totals=left_out)))
    assert "420 people of the own set are not in the other one." in text
    assert "Which of the own rows they are is in matches.csv." in text
    small = matched(
        totals={"bank_persons": 900, "platform_persons": 1_200, "matched": None},
        groups=[],
        withheld=[{"figure": "list", "reason": "below_min_group"}],
    )
    text = shown(bank.client("ann"), done(pair, bank, "audience", small))
    assert "There is no list: fewer than 50 people." in text


def test_labels_of_the_partner_are_text(pair: Pair, bank: Site) -> None:
    result = matched()
    result["groups"][0]["group"]["tier"] = NASTY
    text = shown(bank.client("ann"), done(pair, bank, "overlap", result))
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;alert" in text


# -- the table of groups


@pytest.mark.parametrize("kind", [*KINDS, "overlap"])
def test_each_column_knows_what_it_sorts_by(kind: str) -> None:
    """As many keys as columns, but for the remarks; every key gives an order of the same groups."""
    result = (matched() if kind == "overlap" else summed(kind)) | {"kind": kind, "job": "j", "contract": "c"}
    result |= {"window": {"days": 7, "retention_days": 30}}
    job = parse_job(tables(kind), "JOB.toml")
    words = Words("en")
    seen = view(result, job, words, Sorting(), 1)
    groups = next(part.table for part in seen.parts if part.key == "groups")
    assert groups is not None
    assert len(seen.keys) == len(groups.columns) - groups.remarks
    assert [key for key, name in zip(seen.keys, groups.columns, strict=False) if "interval" in name] == [
        None
    ] * sum("interval" in name for name in groups.columns)
    for key in filter(None, seen.keys):
        for down in (False, True):
            sorted_view = view(result, job, words, Sorting(key, down), 1)
            rows = next(part.table for part in sorted_view.parts if part.key == "groups")
            assert rows is not None
            assert sorted(rows.rows) == sorted(groups.rows)
            assert sorted_view.sorting == Sorting(key, down)


def many(count: int) -> dict[str, Any]:
    """The figures of an overlap in many tiers, every tenth of them withheld."""
    groups = [
        {"group": {"tier": str(number)}, "persons": 1_000 + number, "matched": (7 * number) % 900 + 50}
        for number in range(count)
    ]
    for row in groups[::10]:
        row |= {"matched": None, "withheld": "below_min_group"}
    return matched(groups=groups, suppressed_groups=len(groups[::10]))


def first_cells(text: str) -> list[str]:
    """The labels of the groups on a page, in its order."""
    section = text[text.index('id="groups"') :]
    return re.findall(r'<tr><td class="text">([^<]*)</td>', section[: section.index("</section>")])


def test_five_thousand_groups_come_in_pages(pair: Pair, bank: Site) -> None:
    job, ann = done(pair, bank, "overlap", many(5_000)), bank.client("ann")
    text = shown(ann, job)
    assert first_cells(text) == [str(number) for number in range(PAGE_ROWS)]
    assert "Page 1 of 100, 5,000 groups" in text
    assert "The 24 largest of 4,500 groups; the table has more." in text
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert [drawing.count("<rect") for drawing in drawings] == [24, 24]
    assert len(text.encode()) < 150_000
    assert first_cells(shown(ann, job, "?page=100"))[-1] == "4999"
    assert first_cells(shown(ann, job, "?page=999999")) == first_cells(shown(ann, job, "?page=100"))


def test_sorting_is_by_size_and_what_is_withheld_comes_last(pair: Pair, bank: Site) -> None:
    job, ann = done(pair, bank, "overlap", many(60)), bank.client("ann")
    up = first_cells(shown(ann, job, "?sort=matched&order=up"))
    down = first_cells(shown(ann, job, "?sort=matched&order=down"))
    assert up[:2] == ["1", "2"]
    assert down[:2] == ["59", "58"]
    withheld = ["0", "10", "20", "30", "40", "50"]
    for order in ("up", "down"):
        assert first_cells(shown(ann, job, f"?sort=matched&order={order}&page=2"))[-6:] == withheld
    text = shown(ann, job, "?sort=matched&order=down")
    assert text.count('aria-sort="descending"') == 1
    assert "?sort=matched&amp;order=up#groups" in text
    assert first_cells(shown(ann, job, "?sort=label.tier&order=down"))[0] == "59"


def test_a_key_that_no_column_has_changes_nothing(pair: Pair, bank: Site) -> None:
    job, ann = done(pair, bank, "overlap", many(60)), bank.client("ann")
    assert first_cells(shown(ann, job, "?sort=__class__&order=down")) == first_cells(shown(ann, job))


# -- no result


def test_each_reason_has_a_sentence_in_both_languages() -> None:
    assert set(SENTENCES) == set(Missing)
    for sentence, hint in SENTENCES.values():
        assert sentence in catalogue("zh")
        assert hint in catalogue("zh")


def said(site: Site, job: str) -> Missing:
    """Why there is no result, as page and API say alike."""
    why = missing(site.place, site.place.jobs.get(job))
    assert why is not None
    sentence, _ = SENTENCES[why]
    assert sentence.replace("'", "&#39;") in shown(site.client("ann"), job)
    answer = site.token("ann", "results").get(f"{API}/jobs/{job}/result")
    assert (answer.status_code, answer.json()["code"], answer.json()["detail"]) == (
        409,
        "wrong_state",
        sentence,
    )
    return why


def test_why_there_is_no_result(pair: Pair, bank: Site) -> None:
    draft = pair.draft().id
    assert said(bank, draft) is Missing.NOT_YET
    job = running(pair)
    assert said(bank, job) is Missing.RUNNING
    bank.place.node.log.cosigning().note_refusal("acme", 1, WITHHELD)
    assert said(bank, job) is Missing.WAITS
    with bank.place.node.home.store.transaction() as connection:
        connection.execute(audit_cosigned.update().values(code=None))
    pair.bank.jobs.fail(job, "bank", "cosign_refused")
    assert said(bank, job) is Missing.CLOSED
    other = running(pair)
    pair.bank.jobs.fail(other, "bank", "link_lost")
    assert said(bank, other) is Missing.NONE
    last = running(pair)
    pair.bank.jobs.finish(last, "bank", keep=datetime.timedelta(seconds=1))
    assert said(bank, last) is Missing.UNPUBLISHED
    pair.clock.forward(minutes=1)
    pair.bank.jobs.expire(last, "bank")
    assert said(bank, last) is Missing.REMOVED


def test_a_result_opens_once_its_release_is_in_the_log(pair: Pair, bank: Site) -> None:
    """What is opened before would be a result that was never released, to an auditor."""
    job, log = done(pair, bank), AuditLog(bank.place.node.home.store)
    now = pair.clock().timestamp()
    decided = {"release": "result", "outcome": "allow", "code": None, "session": "a" * 32, "min_group": 50}
    decided |= {"min_converters": 10, "dominance": None, "epsilon": None}
    log.append([Draft("decision", "node:bank", job, decided)], now)
    assert said(bank, job) is Missing.UNPUBLISHED
    assert read(bank, job) == []
    log.append([Draft("result_released", "node:bank", job, {"session": "a" * 32, "to": "bank"})], now)
    assert missing(bank.place, bank.place.jobs.get(job)) is None


def test_figures_that_cannot_be_read_are_told_without_a_path(pair: Pair, bank: Site) -> None:
    job = done(pair, bank)
    (bank.place.room.result(job) / RESULT).write_text("[1, 2", encoding="utf-8")
    answer = bank.client("ann").get(f"/jobs/{job}/result")
    assert answer.status_code == 422
    assert f"The figures of job {job[:8]} cannot be read." in answer.text
    assert str(bank.side.folder) not in answer.text


def test_an_unknown_job_is_not_found(bank: Site) -> None:
    for path in ("result", "report", "files/result.json"):
        assert bank.client("ann").get(f"/jobs/{'0' * 32}/{path}").status_code == 404
    assert bank.token("ann", "results").get(f"{API}/jobs/{'0' * 32}/files").status_code == 404


def test_figures_are_parsed_once_for_each_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    loads = json.loads

    def counted(text: str) -> Any:
        parsed.append(text)
        return loads(text)

    monkeypatch.setattr("console.results.json.loads", counted)
    paths = [tmp_path / f"{number}.json" for number in range(3)]
    for path in paths:
        path.write_text("{}")
    kept = Figures(2)
    assert [kept.read(path) for path in (paths[0], paths[0], paths[1])] == [{}, {}, {}]
    assert len(parsed) == 2
    paths[0].write_text('{"new": 1}')
    assert kept.read(paths[0]) == {"new": 1}
    kept.read(paths[2])  # there is room for two
    kept.read(paths[1])
    assert len(parsed) == 5
    with pytest.raises(UsageError, match="cannot be read"):
        kept.read(tmp_path / "none.json")


# -- the log


def test_reading_is_noted_before_anything_is_shown(
    pair: Pair, bank: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who turns the pages of a table within a minute reads once; what can't be noted is not shown."""
    job = done(pair, bank, "overlap", many(60))
    ann, bob = bank.client("ann"), bank.client("bob")
    for query in ("", "?page=2", "?sort=matched&order=up"):
        shown(ann, job, query)
    shown(bob, job)
    assert read(bank, job) == [("ann", "result"), ("bob", "result")]
    pair.clock.forward(minutes=2)
    shown(ann, job)
    assert read(bank, job)[2:] == [("ann", "result")]

    def locked(*_: object) -> int:
        raise UsageError("The store is locked.", code="store_unavailable")

    monkeypatch.setattr(AuditLog, "append", locked)
    for path in ("result", f"files/{MATCHES}"):
        answer = ann.get(f"/jobs/{job}/{path}")
        assert answer.status_code == 503
        assert "480" not in answer.text
        assert "13800138000" not in answer.text


# -- files


def test_files_are_handed_out_as_downloads(pair: Pair, bank: Site) -> None:
    job, ann = done(pair, bank, "overlap", matched()), bank.client("ann")
    answer = ann.get(f"/jobs/{job}/files/{MATCHES}")
    assert answer.text == "mobile,tier\n13800138000,vip\n"
    assert answer.headers["content-disposition"] == f'attachment; filename="{job[:8]}-matches.csv"'
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert read(bank, job) == [("ann", "matches_csv")]
    text = shown(ann, job)
    assert f'href="/jobs/{job}/files/matches.csv"' in text
    assert text.count("personal data") == 1


def test_the_report_is_never_shown_inside_the_console(pair: Pair, bank: Site) -> None:
    job, ann = done(pair, bank), bank.client("ann")
    for path in ("report", "files/report.html"):
        answer = ann.get(f"/jobs/{job}/{path}")
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.text.startswith("<!doctype html>")
        assert "style-src 'self'" in answer.headers["content-security-policy"]
    assert read(bank, job) == [("ann", "report_html")] * 2


@pytest.mark.parametrize(
    "name",
    [
        "node.key",
        "store.sqlite",
        "..%2f..%2fnode.toml",
        "%2e%2e%2fnode.toml",
        "....//node.toml",
        "%2fetc%2fpasswd",
        "matches.csv%00",
        "MATCHES.CSV",
        "arms.csv",
    ],
)
def test_nothing_but_the_files_of_a_result_is_opened(pair: Pair, bank: Site, name: str) -> None:
    job, ann = done(pair, bank, "overlap", matched()), bank.client("ann")
    (bank.place.room.result(job) / "store.sqlite").write_text("secret")
    for address in (f"/jobs/{job}/files/{name}", f"{API}/jobs/{job}/files/{name}"):
        answer = ann.get(address)
        assert answer.status_code in (404, 422), answer.text
        assert "secret" not in answer.text
    assert read(bank, job) == []


def test_a_link_in_the_place_of_a_file_leads_nowhere(pair: Pair, bank: Site, tmp_path: Path) -> None:
    job, ann = done(pair, bank, "overlap", matched()), bank.client("ann")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("secret")
    file = bank.place.room.result(job) / MATCHES
    file.unlink()
    file.symlink_to(elsewhere)
    assert "matches.csv</a>" not in shown(ann, job)
    answer = ann.get(f"/jobs/{job}/files/{MATCHES}")
    assert answer.status_code == 422
    assert "secret" not in answer.text
    file.unlink()
    os.mkfifo(file)
    assert ann.get(f"/jobs/{job}/files/{MATCHES}").status_code == 404


def test_every_name_fits_the_address() -> None:
    assert all(re.fullmatch(FILE_NAME, name) for name in NAMES)


# -- API


def test_the_api_gives_the_same(pair: Pair, bank: Site) -> None:
    job = done(pair, bank)
    program = bank.token("ann", "results")
    told_to_it = program.get(f"{API}/jobs/{job}/result")
    assert told_to_it.json() == json.loads((bank.place.room.result(job) / RESULT).read_text())
    listed = program.get(f"{API}/jobs/{job}/files").json()
    assert [each["name"] for each in listed["items"]] == ["report.html", "groups.csv", "result.json"]
    assert listed["next"] is None
    for each in listed["items"]:
        answer = program.get(f"{API}/jobs/{job}/files/{each['name']}")
        assert len(answer.content) == each["size"]
    parts = ["result", "report_html", "groups_csv", "result_json"]
    assert read(bank, job) == [("ann", part) for part in parts]
    assert bank.token("ann", "see").get(f"{API}/jobs/{job}/result").status_code == 403


def test_a_job_of_a_result_is_parsed_as_it_was_agreed() -> None:
    """The tables here are of the kinds that the made-up figures are of."""
    for kind in (*KINDS, "overlap", "audience"):
        job: Job = parse_job(tables(kind), "JOB.toml")
        assert job.kind.value == kind
