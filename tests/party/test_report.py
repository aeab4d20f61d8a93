"""The report that people read: whole, closed to the outside, escaped, and in both languages."""

from __future__ import annotations

import csv
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, tostring

import pytest

from federated.results import BELOW_MIN_CONVERTERS, BELOW_MIN_GROUP, DOMINATED, RULES, SumResult
from federated.statistics import Note, RateArm, lift_of_rates
from party.jobspec import Job
from party.report import ARMS_FILE, GROUPS_FILE, REPORT, write_reports
from party.report.charts import Bar, chart, narrowed
from party.report.page import voice
from party.report.reasons import METHOD, NOTES, REASONS
from party.report.words import LANGUAGES, WORDS
from psi.errors import UsageError
from tests.party.sums import cell, funnelled, hidden, lifted, measured, own_view, profiled, sum_job, total
from tests.party.test_figures import told

# Elements without an end tag, as HTML has them.
VOID = {"meta", "input"}
NASTY = '</title><script>alert("x")</script><img src=x onerror=alert(1)>'
KINDS = {"measure": measured, "lift": lifted, "funnel": funnelled, "profile": profiled}


class Page(HTMLParser):
    """Reads a page; fails on a tag that is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {language: [] for language in (*LANGUAGES, "")}
        self._open: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            language = dict(attributes).get("lang") or (self._open[-1][1] if self._open else "")
            self._open.append((tag, "" if tag == "html" else language))

    def handle_endtag(self, tag: str) -> None:
        opened, _ = self._open.pop()
        assert opened == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts[self._open[-1][1] if self._open else ""].append(data)

    def words(self, language: str) -> str:
        """Return all text of one language."""
        return "\n".join(self.texts[language])


def written(folder: Path, job: Job, result: SumResult, side: str = "bank", **more: Any) -> Page:
    """Write the reports of one side and read the page."""
    write_reports(folder, complete(job, result, side) | more, job)
    return Page((folder / REPORT).read_text(encoding="utf-8"))


def complete(job: Job, result: SumResult, side: str = "bank") -> dict[str, Any]:
    """Return what lies in result.json, as far as reports read it."""
    head = {"kind": job.kind.value, "job": "j-1", "contract": "00ff"}
    return head | told(job, result, side) | {"window": {"days": 7, "retention_days": 30}}


@pytest.mark.parametrize("kind", KINDS)
def test_page_is_closed_and_loads_nothing(tmp_path: Path, kind: str) -> None:
    page = written(tmp_path, sum_job(kind), KINDS[kind]())
    names = {name for name, _ in page.tags}
    assert not names & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "use",
        "image",
        "a",
        "form",
        "base",
    }
    for _, attributes in page.tags:
        assert not any(name.startswith("on") or name in ("src", "href", "style") for name in attributes)
    raw = (tmp_path / REPORT).read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|url\(|@import|javascript:", raw)
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("kind", KINDS)
def test_both_languages_are_whole(tmp_path: Path, kind: str) -> None:
    """Each language has the same structure and the same numbers; Chinese holds no English sentence."""
    page = written(tmp_path, sum_job(kind, purpose="促活"), KINDS[kind]())
    english, chinese = page.words("en"), page.words("zh")
    assert len(page.texts["en"]) == len(page.texts["zh"])
    numbers = re.compile(r"\d[\d,]*\.\d+")
    assert sorted(numbers.findall(english)) == sorted(numbers.findall(chinese))
    assert not re.search(
        "[一-鿿]", english.replace("促活", "").replace("上海", "").replace("北京", "").replace("中文", "")
    )
    assert not re.search(r"[a-z]+ [a-z]+ [a-z]+", re.sub(r"[A-Z][a-z]+|SHA-256", "", chinese))


@pytest.mark.parametrize("words", [WORDS, REASONS, NOTES, METHOD])
def test_parameters_are_the_same_in_both_languages(words: dict[str, tuple[str, str]]) -> None:
    for key, (english, chinese) in words.items():
        holes = [set(re.findall(r"{(\w+)}", text)) for text in (english, chinese)]
        assert holes[0] == holes[1], key
        assert english.strip(), key
        assert chinese.strip(), key


def test_every_reason_and_note_has_words() -> None:
    assert set(RULES) <= REASONS.keys()
    assert {note.value for note in Note} <= NOTES.keys()


def test_words_are_all_used() -> None:
    """A text that nothing says any more would rot."""
    source = "".join(path.read_text(encoding="utf-8") for path in code())
    made = {"title_": "title_", "chart_": "chart_", "base_": "base_"}
    for key in (*WORDS, *METHOD):
        assert f'"{key}"' in source or any(key.startswith(start) for start in made) or key in direct(), key


def code() -> Iterator[Path]:
    """Yield the modules that speak, without those that hold the words."""
    folder = Path(__file__).parents[2] / "party" / "report"
    yield from (path for path in folder.glob("*.py") if path.name not in ("words.py", "reasons.py"))


def direct() -> set[str]:
    """Return words that are looked up by a name of the job or the result."""
    names = {"bank", "platform", "bank_persons", "platform_persons", "first", "last"}
    return names | {"d_job", "d_contract"}


def test_lift_says_what_the_campaign_added(tmp_path: Path) -> None:
    page = written(tmp_path, sum_job("lift"), lifted())
    english, chinese = page.words("en"), page.words("zh")
    added = lift_of_rates(RateArm(50_000, 500), RateArm(50_000, 700)).absolute
    low, high = (round(50_000 * (bound or 0)) for bound in (added.low, added.high))
    sentence = (
        f"The campaign made 200 more people convert (95 % interval {low} to {high}), at a cost of 30.00 each"
    )
    assert sentence in english
    assert "1.40 % of the test group converted, 1.00 % of the control group: a change of +40.0 %" in english
    assert "Each 1 of cost brought back 2.00 of amount" in english
    assert f"活动使转化人数增加 200 人（95% 区间 {low} 至 {high}）" in chinese
    assert "sizes of the arms" not in english


@pytest.mark.parametrize(
    ("converters", "words"), [(505, "No clear effect"), (380, "The campaign lost conversions: 120 fewer")]
)
def test_lift_does_not_boast(tmp_path: Path, converters: int, words: str) -> None:
    result = lifted()
    test = replace(result.totals[0], figures={**(result.totals[0].figures or {}), "converters": converters})
    page = written(tmp_path, sum_job("lift"), replace(result, totals=(test, result.totals[1])))
    assert words in page.words("en")
    assert "more people convert (" not in page.words("en")


def test_lift_with_a_broken_split_begins_with_it(tmp_path: Path) -> None:
    job = sum_job("lift")
    assert job.sums is not None
    assert job.sums.arms is not None
    skewed = replace(job, sums=replace(job.sums, arms=replace(job.sums.arms, control_share=0.2)))
    page = written(tmp_path, skewed, lifted())
    short = page.texts["en"].index("In short")
    assert page.texts["en"][short + 1].startswith("Do not use this comparison")
    assert "Sample ratio: 20,000 people in control and 80,000 in test were expected" in page.words("en")


def test_cautions(tmp_path: Path) -> None:
    one = cell(("A",), 900, matched=60, converters=40, **{"stage:bound": 30, "retained": 12})
    result = SumResult(
        (one, hidden(("B",), 70, reason=DOMINATED), hidden(("C",), 20, reason=BELOW_MIN_GROUP)),
        (total(one, complete=False),),
        {DOMINATED: 1, BELOW_MIN_GROUP: 1},
        {"converters": 25.0},
        ((2, 30),),
    )
    job = sum_job("measure", epsilon=Fraction(1, 2))
    page = written(tmp_path, job, result, clipped={"bank": 12})
    english, chinese = page.words("en"), page.words("zh")
    for words in (
        "2 groups are withheld: a few people make up most of an amount (1), fewer than 50 people (1).",
        "conversions is not shown for A",
        "Totals leave out groups",
        "Noise was added to protect individuals (epsilon = 0.5): a group's number of converters is off by about 5",
        "For 30 people the window begins up to 2 days after exposure",
        "The bank cut 12 outcomes to the bounds of the contract.",
        "Only a comparison with a control group",
        "withheld: fewer than 50 people",
    ):
        assert words in english
    for words in (
        "2 个分组不显示",
        "合计未计入",
        "30 人的窗口",
        "银行有 12 条",
        "不显示：不足 50 人",
    ):
        assert words in chinese


def test_many_gaps_are_one_caution(tmp_path: Path) -> None:
    cells = tuple(cell((f"c{number}",), 500, matched=40, converters=30) for number in range(4))
    job = sum_job("measure")
    job = replace(job, bank=replace(job.bank, values=()))
    page = written(tmp_path, job, SumResult(cells, (total(*cells),), {}, {}))
    assert "Single figures of 4 groups are not shown" in page.words("en")
    assert "not shown for" not in page.words("en")


def test_profile_names_the_most_frequent_tags(tmp_path: Path) -> None:
    page = written(tmp_path, sum_job("profile"), profiled())
    assert "city: 上海 is the most frequent, 60.0 %." in page.words("en")
    other = replace(profiled().cells[0], label=("B",))
    both = SumResult((profiled().cells[0], other), profiled().totals, {}, {})
    page = written(tmp_path, sum_job("profile"), both)
    assert "device of B: phone is the most frequent, 90.0 %." in page.words("en")


def test_funnel_leads_with_the_whole_way(tmp_path: Path) -> None:
    page = written(tmp_path, sum_job("funnel"), funnelled())
    short = page.texts["en"].index("In short")
    assert page.texts["en"][short + 1].startswith(
        "Of 8,000 people who reached exposed, 140 reached activated: 1.75 %"
    )
    assert "280 people reached bound: 9.33 % of those who reached clicked." in page.words("en")
    page = written(tmp_path, sum_job("funnel"), funnelled(last_released=False))
    assert "200 people reached bound: 10.0 % of those who reached clicked." in page.words("en")
    assert "people who reached exposed" not in page.words("en")


@pytest.mark.parametrize("kind", KINDS)
def test_every_group_and_figure_is_shown(tmp_path: Path, kind: str) -> None:
    job = sum_job(kind)
    page, result = written(tmp_path, job, KINDS[kind]()), complete(job, KINDS[kind]())
    for language in LANGUAGES:
        speech, shown = voice(job, language), page.words(language)
        for row in result["groups"]:
            counts = [
                row.get(name) for name in ("persons", "matched", "converters", "conversions", "retained")
            ]
            for count in (*counts, *row.get("stages", {}).values()):
                assert count is None or f"\n{speech.count(count)}\n" in shown
            for amount in row.get("sums", {}).values():
                assert f"\n{speech.decimal(amount)}\n" in shown
            for part in row["group"].values():
                assert part in shown
        for step in result.get("funnel", []):
            assert step["stage"] in shown
            assert speech.count(step["persons"]) in shown
        for column, lift in (result.get("lift") or {}).items():
            assert column == "converters" or column in shown
            assert speech.percent(lift["relative"], signed=True) in shown


def test_labels_are_escaped_everywhere(tmp_path: Path) -> None:
    one = cell((NASTY,), 500, matched=40, converters=30, conversions=33, sum_amount=5, square_amount=25)
    job = sum_job("measure", purpose=NASTY)
    job = replace(job, bank=replace(job.bank, values=(replace(job.bank.values[0], column=NASTY),)))
    renamed = replace(
        one, figures={name.replace("amount", NASTY): x for name, x in (one.figures or {}).items()}
    )
    page = written(tmp_path, job, SumResult((renamed,), (total(renamed),), {}, {}))
    assert not {name for name, _ in page.tags} & {"script", "img"}
    assert NASTY in page.words("en")  # as text
    raw = (tmp_path / REPORT).read_text(encoding="utf-8")
    assert "<script" not in raw
    assert "<img" not in raw


def test_charts_have_names_and_words(tmp_path: Path) -> None:
    page = written(tmp_path, sum_job("lift"), lifted())
    drawings = [attributes for name, attributes in page.tags if name == "svg"]
    assert len(drawings) == 3 * len(LANGUAGES)
    identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identities) == len(set(identities))
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert all(name in identities for name in (drawing["aria-labelledby"] or "").split())
    assert "control: 1.00 % (0.92 % to 1.09 %); test: 1.40 % (1.30 % to 1.51 %)" in page.words("en")


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize(
    "bars",
    [
        [Bar("a", "0", 0.0)],
        [Bar("a", "x", -0.3, -0.5, None), Bar("b", "y", 1e9, None, 2e9)],
        [Bar("很长的" * 40, "z" * 80, 1e-9, 0.0, 1e-8)],
    ],
)
def test_charts_stay_within_their_frame(bars: list[Bar], narrow: bool) -> None:
    drawing = chart(bars, name="n", title="t", axis=str)
    if narrow:
        drawing = narrowed(drawing)
    _, _, width, height = map(float, drawing.attrib["viewBox"].split())
    for element in drawing.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert 0 <= float(element.get(name, "0")) <= width
        for name in ("y", "y1", "y2", "cy"):
            assert 0 <= float(element.get(name, "0")) <= height
        assert float(element.get("width", "0")) >= 0


@pytest.mark.parametrize("dots", [False, True])
def test_a_narrow_chart_tells_the_same(dots: bool) -> None:
    bars = [
        Bar("control", "1.00 % (0.92 % to 1.09 %)", 1.0, 0.92, 1.09),
        Bar("test & <b>", "1.40 %", 1.4, 1.3, None, accent=True),
    ]
    wide = chart(bars, name="n", title="Rates & more", axis=lambda tick: f"{tick:g} %", dots=dots)
    before = tostring(wide)
    narrow = narrowed(wide)
    assert tostring(wide) == before
    for name in ("title", "desc"):
        assert narrow.findtext(name) == wide.findtext(name)
    ids = [
        {each.attrib["id"] for each in drawing.iter() if "id" in each.attrib} for drawing in (wide, narrow)
    ]
    assert len(ids[0] | ids[1]) == 4
    assert set(narrow.attrib["aria-labelledby"].split()) == ids[1]
    words = [{each.text for each in drawing.iter("text")} for drawing in (wide, narrow)]
    assert words[1] <= words[0]
    assert {"control", "test & <b>", "1.40 %", "1.00 % (0.92 % to 1.09 %)"} <= words[1]

    def places(drawing: Element) -> list[list[float]]:
        """Where values are, as shares of the way between the first and the last line of the scale."""
        scale = [float(each.attrib["x1"]) for each in drawing.findall("line")]
        found = []
        for row in drawing.findall("g"):
            ends = []
            for each in row:
                if each.tag == "rect":
                    ends += [float(each.attrib["x"]), float(each.attrib["x"]) + float(each.attrib["width"])]
                ends += [
                    float(each.attrib[key])
                    for key in ("x1", "x2", "cx")
                    if each.tag != "text" and key in each.attrib
                ]
            found.append([(end - scale[0]) / (scale[-1] - scale[0]) for end in ends])
        return found

    assert places(narrow) == [pytest.approx(row, abs=0.002) for row in places(wide)]
    assert all(places(wide))


def test_side_that_does_not_read_is_told_so(tmp_path: Path) -> None:
    page = written(tmp_path, sum_job("lift"), own_view(lifted()), "platform")
    assert "The contract gives the figures of this job to the bank only." in page.words("en")
    assert "按合同，本任务的数字只提供给银行。" in page.words("zh")


def test_result_with_nothing_released(tmp_path: Path) -> None:
    result = SumResult((), (), {BELOW_MIN_CONVERTERS: 3}, {})
    for kind in KINDS:
        page = written(tmp_path, sum_job(kind), result)
        assert "Every figure of this job was withheld." in page.words("en")


def test_many_groups_are_cut_on_the_page_and_whole_in_the_file(tmp_path: Path) -> None:
    counts = {"matched": 40, "converters": 30, "conversions": 33}
    cells = tuple(cell((f"c{number}",), 500 + number, **counts) for number in range(400))
    job = sum_job("measure")
    job = replace(job, bank=replace(job.bank, values=()))
    page = written(tmp_path, job, SumResult(cells, (total(*cells),), {}, {}))
    assert "The first 300 of 400 rows. groups.csv has all of them." in page.words("en")
    assert "The 24 largest of 400 groups" in page.words("en")
    with open(tmp_path / GROUPS_FILE, encoding="utf-8-sig", newline="") as file:
        assert len(list(csv.DictReader(file))) == 400


# -- sheets


def sheet(path: Path) -> list[dict[str, str]]:
    """Read a CSV file as a spreadsheet would."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_sheets_hold_plain_numbers_and_reasons(tmp_path: Path) -> None:
    job = sum_job("measure")
    result = measured()
    written(tmp_path, job, replace(result, cells=(*result.cells, hidden(("C",), 20_000))))
    _, first, last = sheet(tmp_path / GROUPS_FILE)
    assert (first["creative"], first["persons"], first["converters"]) == ("A", "50000", "400")
    assert (first["sum_amount"], first["sum_points"], first["cost"]) == ("20000.50", "-40", "250.00")
    assert float(first["rate"]) == 0.008
    assert float(first["rate_low"]) < 0.008 < float(first["rate_high"])
    assert (last["creative"], last["converters"], last["withheld"]) == ("C", "", BELOW_MIN_CONVERTERS)
    assert not (tmp_path / ARMS_FILE).exists()


def test_sheet_of_arms_and_of_tags(tmp_path: Path) -> None:
    written(tmp_path, sum_job("lift"), lifted())
    assert [(row["arm"], row["converters"]) for row in sheet(tmp_path / ARMS_FILE)] == [
        ("control", "500"),
        ("test", "700"),
    ]
    written(tmp_path, sum_job("profile"), profiled())
    rows = sheet(tmp_path / GROUPS_FILE)
    assert [(row["creative"], row["tag"], row["value"], row["matched"]) for row in rows] == [
        ("A", "city", "上海", "600"),
        ("A", "city", "北京", ""),
        ("A", "device", "phone", "900"),
        ("B", "", "", ""),
    ]


def test_sheets_guard_formulas(tmp_path: Path) -> None:
    one = cell(('=HYPERLINK("x")',), 500, matched=40, converters=30, conversions=33)
    job = sum_job("measure")
    job = replace(job, bank=replace(job.bank, values=()), platform=replace(job.platform, groups=("@column",)))
    written(tmp_path, job, SumResult((one,), (total(one),), {}, {}))
    assert sheet(tmp_path / GROUPS_FILE)[0]["'@column"] == '\'=HYPERLINK("x")'


def test_files_are_the_owners_alone(tmp_path: Path) -> None:
    job = sum_job("lift")
    names = write_reports(tmp_path, complete(job, lifted()), job, language="zh")
    assert names == [REPORT, GROUPS_FILE, ARMS_FILE]
    for name in names:
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    page = Page((tmp_path / REPORT).read_text(encoding="utf-8"))
    assert next(attributes for name, attributes in page.tags if name == "html")["lang"] == "zh"
    assert [a["id"] for name, a in page.tags if name == "input" and "checked" in a] == ["show-zh"]


def test_folder_that_is_not_there_is_an_error_for_people(tmp_path: Path) -> None:
    job = sum_job("lift")
    with pytest.raises(UsageError, match=re.escape(os.fspath(tmp_path / "gone"))):
        write_reports(tmp_path / "gone", complete(job, lifted()), job)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.4, "40.0 %"), (0.0123, "1.23 %"), (0.00123, "0.12 %"), (0.0, "0.00 %"), (1e-6, "0.00010 %")],
)
def test_percentages(share: float, text: str) -> None:
    assert voice(sum_job("lift"), "en").percent(share) == text


def test_numbers_as_people_read_them() -> None:
    speech = voice(sum_job("lift"), "en")
    assert speech.amount(0.5) == "0.500"
    assert speech.amount(-12_345.6, signed=True) == "\N{MINUS SIGN}12,346"
    assert speech.count(-0.2, signed=True) == "0"
    assert speech.decimal("-1234.50") == "\N{MINUS SIGN}1,234.50"
    assert speech.interval({"low": 0.0834, "high": 0.104}) == "8.3 % to 10.4 %"
    assert speech.interval({"low": 8_354.2, "high": 15_646.0}, "amount") == "8,354 to 15,646"
    assert speech.interval({"low": 1.0, "high": None}, "amount") == "at least 1.00"
    assert speech.p_value(0.0004) == "< 0.001"
    assert speech.reason("something_new") == "something_new"
