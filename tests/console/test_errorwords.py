"""What errors say, in Chinese: how sentences are found again, and that there is one for each."""

from __future__ import annotations

import datetime
import errno
import importlib
import inspect
import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import SupportsIndex, cast

import pytest
from babel.messages.pofile import read_po

from console import preflightwords
from console.errorwords import MOST_CHARACTERS, Sentences
from console.render import ENVIRONMENT
from console.words import Words, catalogue
from party.jobrecords import JobRecord
from party.preflights import Preflight, PreflightState
from psi.errors import UsageError
from tests.console import errorsource
from tests.console.conftest import Site

LOCALE = Path(errorsource.ROOT, "console", "locale", "zh")
# Whose errors are shown on pages. The server's and the command's own are in the node's log and at a terminal.
PACKAGES = ("psi", "federated", "party", "console", "client")
# What they find is a text that is returned, not an error.
FINDERS = ("client/doctor.py", "party/preflight_agent.py")
# Where an error is made from another one, whose own sentence is in the list.
PASSED_ON = {
    ("console/jobsteps.py", "error.message"),
    ("console/problems.py", "message"),
    ("console/problems.py", "error.hint"),
    ("party/preflight.py", "error.message"),
    ("party/preflight.py", "error.hint"),
    ("party/rehearsal.py", "event['message']"),
    ("party/rehearsal.py", "event['hint']"),
    ("party/rehearsal.py", "self._errors[order[0]]"),
}
# Where a sentence is chosen or put together in a way that the reader cannot follow.
BY_HAND = {
    ("party/databases.py", "hint"),  # of the reasons that a server gives, in a table
    ("party/datasets/dataset.py", "self._hint(name)"),  # COMPOSED
    ("party/callers.py", "hint"),  # of party/partners.py, whose sentence comes with its hint or without
}
# Nothing but names and other sentences, which are found as values.
NAMES_ALONE = {"{1}: {2}", "{1} or {2}"}
# Sentences of the system and of the standard library that stand in ours as a value.
SYSTEM = {os.strerror(number) for number in errno.errorcode}
TOML = re.compile(r"(.*) \(at (line \{\d\}, column \{\d\}|end of document)\)")
# Texts that the source puts together bit by bit, so that no expression has them whole -> where it does.
COMPOSED = {
    "{1} on {2} processors (not {3}: {4})": "client/doctor.py",
    "{1} on {2} processors (not {3}: {4}; not {5}: {6})": "client/doctor.py",
    "Its columns are {1}.": "party/datasets/dataset.py",
    "Its columns are {1} and {2} more.": "party/datasets/dataset.py",
    "Did you mean {1}? Its columns are {2}.": "party/datasets/dataset.py",
    "Did you mean {1}? Its columns are {2} and {3} more.": "party/datasets/dataset.py",
    "Its columns are {1}. The header reads as one column; is the delimiter {2}?": "party/datasets/dataset.py",
    **{f"[{{1}}] of {what}": "party/jobkeys.py" for what in ("this form", "this request", "this schedule")},
    "[{1}] of job {2}": "party/jobkeys.py",
    "[{1}] of schedule {2}": "party/jobkeys.py",
    "use {1} or {2}": "party/jobsums.py",
    "use exactly that input again or wait until {1}": "party/ledger.py",
    "use exactly that input again, set epsilon in [policy] or wait until {1}": "party/ledger.py",
}
# With fewer around its holes a template of the source fits too much to be a proof of anything.
FEWEST_LETTERS = 5
CHINESE = re.compile(r"[\u4e00-\u9fff]")
# Commands, and what is in quotation marks or brackets, are the same in every language.
AS_IT_IS = re.compile(r"`[^`]*`|\"[^\"]*\"|\[[^\]]*\]|veiljoin [a-z -]+|postgresql\S*")


def entries() -> Iterator[tuple[str, str, str]]:
    """Yield (file, msgid, msgstr) of the catalogues of errors."""
    for path in sorted(LOCALE.glob("errors*.po")):
        with path.open("rb") as file:
            for message in read_po(file, locale="zh_CN", abort_invalid=True):
                if message.id:
                    yield path.name, str(message.id), str(message.string)


def letters(message: str) -> int:
    """Return how many letters stand around the holes."""
    return sum(map(str.isalpha, re.sub(r"\{\d+\}", "", message)))


def marked(messages: Iterable[str]) -> Sentences:
    """Return a catalogue that translates each message into something else, whatever it is."""
    return Sentences({text: "\N{CHECK MARK}" + "".join(re.findall(r"\{\d+\}", text)) for text in messages})


def of_toml(message: str) -> bool:
    """Return whether the standard library says so of a text that is no TOML."""
    place = TOML.fullmatch(message)
    source = inspect.getsource(importlib.import_module("tomllib._parser"))
    return place is not None and all(
        part.replace("\\", "\\\\") in source for part in re.split(r"\{\d+\}", place[1])
    )


# -- how a sentence is found


def test_values_stand_where_the_translation_has_them() -> None:
    found = Sentences({"Stage {1} is above {2}.": "{2} 小于 {1}，{2}。", "Stage is full.": "已满。"})
    assert found.translate("Stage a b is above c.") == "c 小于 a b，c。"
    assert found.translate("Stage is full.") == "已满。"
    assert found.translate("Stage a is below c.") == "Stage a is below c."
    assert found.translate("") == ""


def test_the_pattern_with_the_most_text_counts() -> None:
    found = Sentences(
        {
            "{1} cannot be read: {2}.": "甲 {1} {2}",
            "The file {1} cannot be read: {2}.": "乙 {1} {2}",
            "The file {1} cannot be read: it is {2}.": "丙 {1} {2}",
        }
    )
    assert found.translate("x.csv cannot be read: gone.") == "甲 x.csv gone"
    assert found.translate("The file x cannot be read: gone.") == "乙 x gone"
    assert found.translate("The file x cannot be read: it is gone.") == "丙 x gone"
    assert found.translate("The  cannot be read: gone.") == "甲 The  gone"


def test_a_hole_holds_something() -> None:
    found = Sentences({"Column {1} of {2} is empty.": "{2} {1}"})
    assert found.translate("Column  of x is empty.") == "Column  of x is empty."
    assert found.translate("Column a of  is empty.") == "Column a of  is empty."
    assert found.translate("Column of is empty.") == "Column of is empty."
    assert found.translate("Column a of b of c is empty.") == "b of c a"


def test_a_value_that_is_a_message_is_translated_once() -> None:
    found = Sentences(
        {
            "It failed: {1}.": "失败：{1}。",
            "No such file": "没有文件",
            "disk {1} of {2} is full": "{2} 的 {1} 已满",
            "full": "满",
        }
    )
    assert found.translate("It failed: No such file.") == "失败：没有文件。"
    assert found.translate("It failed: disk a of b is full.") == "失败：b 的 a 已满。"
    # Not within a value of a value, and a single word is mostly a name.
    assert found.translate("It failed: disk No such file of b is full.") == "失败：b 的 No such file 已满。"
    assert found.translate("It failed: full.") == "失败：full。"


def test_a_word_of_ours_is_translated_where_the_translation_says_so() -> None:
    found = Sentences({"Job {1} is {2}.": "任务 {1}：{2:word}", "Running": "运行中", "approved": "批准"})
    assert found.translate("Job running is running.") == "任务 running：运行中"
    assert found.translate("Job x is approved.") == "任务 x：批准"
    assert found.translate("Job x is elsewhere.") == "任务 x：elsewhere"
    assert found.translate("Job x is running, approved, elsewhere.") == "任务 x：运行中, 批准, elsewhere"


@pytest.mark.parametrize(
    ("message", "text"),
    [("{1} of {3}", "{1} {3}"), ("{2} of {1}", "{1} {2}"), ("{1} of {2}", "{1}"), ("{1}", "{1} {2}")],
)
def test_holes_have_to_agree(message: str, text: str) -> None:
    with pytest.raises(ValueError, match="do not agree"):
        Sentences({message: text})


class Counted(str):
    """A text that counts how often it is searched."""

    searches = 0

    def find(self, sub: str, start: SupportsIndex | None = None, end: SupportsIndex | None = None, /) -> int:
        """Search, and count it."""
        self.searches += 1
        return super().find(sub, start, end)


def test_hostile_values_make_no_more_work_than_there_are_pieces() -> None:
    messages = {f"A {{1}} a {{2}} a {{3}} a {{4}} {number}.": "{1}{2}{3}{4}" for number in range(100)}
    hostile = Counted("A " + "a " * ((MOST_CHARACTERS - 4) // 2) + "!.")
    assert Sentences(messages).translate(hostile) == hostile
    # None ends as the patterns do, so none is searched.
    assert hostile.searches == 0
    hostile = Counted("A " + "a " * ((MOST_CHARACTERS - 8) // 2) + "7.")
    translated = Sentences(messages | {"A {1} a {2} b {3} 7.": "{1}{2}{3}"}).translate(hostile)
    assert translated != hostile
    # Each literal between two holes is looked for once: three of the pattern that fits, two of the one that doesn't.
    assert hostile.searches <= 3 + 2


def test_longer_sentences_are_left_as_they_are() -> None:
    found = Sentences({"It is {1}.": "是 {1}。"})
    longest = "It is " + "x" * (MOST_CHARACTERS - 7) + "."
    assert found.translate(longest) != longest
    longer = longest.replace("x.", "xx.")
    assert found.translate(longer) == longer


# -- the catalogues


@pytest.mark.parametrize("package", PACKAGES)
def test_every_error_that_a_page_can_show_has_its_chinese(package: str) -> None:
    words = Words("zh")
    missing = []
    for each in errorsource.told(package):
        if each.text in NAMES_ALONE:
            continue
        said = words.error(each.sample())
        rest = AS_IT_IS.sub("", said)
        if not CHINESE.search(said) or re.search(r"[a-z]{2,} [a-z]{2,} [a-z]{2,}", rest):
            missing.append(f"{each.file}:{each.line}: {each.text}")
    assert not missing, "\n".join(missing)


def test_what_a_preflight_finds_has_its_chinese() -> None:
    words = Words("zh")
    told = errorsource.returned("party/preflight_agent.py")
    assert any("test identifiers" in each.text for each in told)
    assert all(CHINESE.search(words.error(each.sample())) for each in told)


def test_what_the_doctor_finds_has_its_chinese() -> None:
    words = Words("zh")
    told = {each.text: words.error(each.sample()) for each in errorsource.returned("client/doctor.py")}
    # Names and addresses alone say the same in both languages.
    assert [text for text, said in told.items() if not CHINESE.search(said)] == [
        "{1} at {2}, {3}",
        "{1}: {2}",
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_sentence_is_to_be_read_in_the_source(package: str) -> None:
    assert errorsource.unread(package) <= PASSED_ON | BY_HAND


def test_every_entry_is_said_somewhere() -> None:
    said = [each for package in (*PACKAGES, "server", "audit") for each in errorsource.told(package)]
    known = {each.text for each in said} | SYSTEM | set(COMPOSED)
    known |= {each.text for file in FINDERS for each in errorsource.returned(file)}
    for package in (*PACKAGES, "audit"):
        known |= errorsource.texts(package)
    assert set(COMPOSED) <= {text for _, text, _ in entries()}
    # The words of a choice are told one by one where the source's reader leaves a hole.
    source = marked(each.text for each in said if letters(each.text) >= FEWEST_LETTERS)
    dead = [
        f"{file}: {text}"
        for file, text, _ in entries()
        if text not in known
        and not of_toml(text)
        and source.translate(text.replace("{", "(")) == text.replace("{", "(")
    ]
    assert not dead, "\n".join(dead)


@pytest.mark.parametrize(
    "text",
    [
        "kind = audience",
        "kind 'audience'",
        "kind = 'a' name = 'b'",
        "[bank",
        "[[tags",
        "kind = 'a'\nkind = 'b'",
        "[bank]\n[bank]",
        "= 3",
        "tags = ['a', ",
        "tags = {a = 1",
        "tags = {a = 1, a = 2}",
        'path = "C:\\data"',
        'path = "a',
        "path = 'a\nb'",
        "days = 2026-13-45",
        "\x01",
    ],
)
def test_what_is_wrong_in_a_job_file_is_said_in_chinese(text: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    said = Words("zh").error(f"The text of the job file is not valid TOML: {caught.value}.")
    assert not re.search(r"[a-z]+ [a-z]+ [a-z]+", said.replace("the job file", "")), said


def test_an_entry_says_enough_to_be_known_by() -> None:
    assert list(entries())
    for _, message, text in entries():
        assert text.strip(), message
        if message in NAMES_ALONE:
            continue
        assert CHINESE.search(text), message
        # Nobody knows where the first of two holes ends that touch.
        assert all(touching in text for touching in re.findall(r"(?:\{\d+\}){2,}", message)), message
        assert letters(message) >= 2, f"too little to be known by: {message}"


def test_a_message_has_one_translation() -> None:
    found: dict[str, set[str]] = {}
    for path in LOCALE.glob("*.po"):
        with path.open("rb") as file:
            for message in read_po(file, locale="zh_CN"):
                found.setdefault(str(message.id), set()).add(str(message.string))
    assert not [message for message, texts in found.items() if message and len(texts) > 1]


def test_commands_stay_as_they_are() -> None:
    command = re.compile(r"`[^`]*`")
    wrong = [
        message
        for _, message, text in entries()
        if Counter(command.findall(message)) != Counter(command.findall(text))
    ]
    assert not wrong


# -- on pages


def test_pages_speak_chinese_and_the_api_english(bank: Site) -> None:
    browser = bank.client("ann")
    browser.headers["Accept-Language"] = "zh-CN"
    page = browser.get("/jobs?state=x")
    assert page.status_code == 422
    assert "筛选条件 state 的取值不对应任何任务。" in page.text
    assert "has a value" not in page.text
    answer = bank.token("ann", "see").get("/api/v1/jobs?state=x", headers={"Accept-Language": "zh-CN"})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "The request has values that cannot be used: state."


def test_a_policy_that_cannot_be_read_is_told_in_chinese(bank: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.place._REFRESH_SECONDS", 0.0)
    path = bank.side.folder / "policy.toml"
    path.write_text("[limits]\nmin_group 50\n")
    browser = bank.client("eve")
    browser.headers["Accept-Language"] = "zh-CN"
    shown = browser.get("/policy").text
    assert str(path) in shown
    assert "键之后应为“=”（第 2 行第 11 列）" in shown
    assert "not valid TOML" not in shown
    assert "write one key" not in shown


def test_the_real_doctor_speaks_chinese(platform: Site) -> None:
    browser = platform.client("adam")
    browser.headers["Accept-Language"] = "zh-CN"
    shown = platform.post(browser, "/partners/bank/examine").text
    # This home never enrolled, has a dataset, and has engines.
    assert "列，与登记时一致" in shown
    assert "个处理器" in shown
    assert "columns, as they were" not in shown


def test_what_a_preflight_found_here_is_said_in_chinese() -> None:
    found = Preflight(
        PreflightState.FAILED,
        "dataset",
        own=True,
        at=datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC),
        detail="There is no dataset 'cards' at this node.",
        hint="`veiljoin dataset add` registers it",
    )
    # Of the job only the partner and the state are asked for, and neither where the fault is on this side.
    record = cast(JobRecord, None)
    for language, chinese in (("en", False), ("zh", True)):
        said = preflightwords.said(found, record, "bank", Words(language))
        assert len(said) == 3
        assert [bool(CHINESE.search(each)) for each in said] == [chinese] * 3
    assert "'cards'" in said[1]


def test_values_are_escaped_in_every_language() -> None:
    error = UsageError("The text of <b>x</b> is too long.", hint="use one of <i>")
    template = '{% import "parts.html" as parts with context %}{{ parts.problem(error) }}'
    said = ENVIRONMENT.from_string(template).render(words=Words("zh"), error=error)
    assert "&lt;b&gt;x&lt;/b&gt; 的文本过长。" in said
    assert "请使用以下之一：&lt;i&gt;" in said
    assert "<b>" not in said


def test_no_page_shows_an_error_past_its_translation() -> None:
    shown = re.compile(r"\{\{[^}]*\b(?:error|problem|finding|wrong)\w*\.(?:message|hint)\b[^}]*\}\}")
    for path in sorted(Path(errorsource.ROOT, "console", "templates").rglob("*.html")):
        for place in shown.findall(path.read_text(encoding="utf-8")):
            assert "words.error(" in place, f"{path.name}: {place}"


def test_the_catalogue_of_english_is_empty() -> None:
    assert catalogue("en") == {}
    assert Words("en").error("The text of x is too long.") == "The text of x is too long."
