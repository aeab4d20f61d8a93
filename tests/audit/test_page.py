"""The words of a log, and the page and files of an evidence pack: whole, closed, escaped, in both languages."""

from __future__ import annotations

import datetime
import io
import json
import random
import re
import string
from collections.abc import Iterator
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from audit import bundle as writing
from audit import canonical
from audit.bundle import Bundle, Header, lines_of
from audit.entry import STREAM_NAMES, Draft
from audit.events import EVENTS, OUTCOMES, READERS, RELEASES
from audit.pack import APPROVALS_FILE, CONTRACT_FILE, DECISIONS_FILE, Pack, PackFault, files, read_pack
from audit.page import page
from audit.pagewords import PAGE
from audit.words import LANGUAGES, SENTENCES, STREAMS, WORDS, actor, moment, sentence
from party.contract import Contract
from tests.party.evidence_pair import LogPair
from tests.party.jobs import job

NASTY = '</title><script>alert("x")</script><img src=x onerror=alert(1)>'
VOID = {"meta", "input"}
# A value of each kind of fact.
SAMPLES: dict[str, Any] = {
    "word": "some_word",
    "name": "Ännä 客户",
    "hex32": "0" * 32,
    "hex64": "1" * 64,
    "hex128": "2" * 128,
    "key": "a/b+01234567+AQ++" + "A" * 40,
    "count": 1_234_567,
    "moment": 1_763_803_800_000,
    "fraction": "3/2",
    "version": "veiljoin 0.1.0",
    "release": "tokens",
    "outcome": "allow",
    "readers": "both",
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogPair]:
    made = LogPair(tmp_path_factory.mktemp("logs"))
    made.set_policy()
    yield made
    made.close()


@pytest.fixture(scope="module")
def contract(pair: LogPair) -> Contract:
    """A job that was agreed and run."""
    agreed = pair.agree(job(purpose=f"spring {NASTY}"))
    pair.run_audience(agreed)
    return agreed


@pytest.fixture(scope="module", params=["bank", "platform"])
def pack(pair: LogPair, contract: Contract, request: pytest.FixtureRequest) -> Pack:
    """The evidence pack of the job, as either side exports it."""
    return opened(b"".join(pair.evidence(request.param).pack(contract.job, details=True)))


def opened(content: bytes, wanted: str | None = None) -> Pack:
    """Read a pack out of a bundle's bytes."""
    return read_pack(Bundle("pack.veiljoin-log", lines_of(io.BytesIO(content))), wanted)


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


# -- words


def sample(type: str, *, nulls: bool) -> dict[str, Any]:
    """Return an entry of ``type`` with made-up facts; ``nulls`` where they may be null."""
    event = EVENTS[type]
    facts = {
        key: None if nulls and kind.endswith("?") else SAMPLES[kind.rstrip("?")]
        for key, kind in event.facts.items()
    }
    shared = {
        "job": "0" * 32,
        "session": "0" * 32,
        "name": "receiver_points",
        "from": "bank",
        "to": "platform",
        "count": 20_000,
        "bytes": 640_000,
        "sha256": "1" * 64,
    }
    return {"type": type, "facts": facts, "shared": shared if event.shared else None}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("type", EVENTS)
def test_every_type_has_a_sentence_with_all_its_facts(type: str, language: str) -> None:
    said = sentence(sample(type, nulls=False), language)
    assert "{" not in said
    for kind in EVENTS[type].facts.values():
        shown = {"count": "1,234,567", "moment": "2025-11-22", "name": "Ännä", "fraction": "3/2"}
        assert shown.get(kind.rstrip("?"), "") in said
    assert "None" not in sentence(sample(type, nulls=True), language)


def test_no_sentence_is_of_a_type_that_is_gone() -> None:
    assert SENTENCES.keys() == EVENTS.keys()
    assert STREAMS.keys() == STREAM_NAMES
    assert {*RELEASES, *OUTCOMES, *READERS} <= WORDS.keys()


@pytest.mark.parametrize("texts", [SENTENCES, PAGE, STREAMS, WORDS])
def test_parameters_are_the_same_in_both_languages(texts: dict[str, tuple[str, str]]) -> None:
    for name, (english, chinese) in texts.items():
        fields = [
            {field for _, field, _, _ in string.Formatter().parse(text) if field}
            for text in (english, chinese)
        ]
        assert fields[0] == fields[1], name
        assert english
        assert re.search("[一-鿿]", chinese) or english == chinese, name


def test_moments_are_dates_of_the_calendar() -> None:
    numbers = random.Random(5)
    last = int(datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC).timestamp())
    for seconds in (0, 951_782_400, 4_107_542_400, *(numbers.randrange(last) for _ in range(2_000))):
        expected = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
        assert moment(seconds * 1000 + 999) == f"{expected:%Y-%m-%d %H:%M:%S} UTC"
    assert moment(2**53 - 1).startswith("287396-10-12")


def test_who_acted_is_told_apart() -> None:
    assert [actor(name, "en") for name in ("ann", "node:bank", "partner:acme", "rule:weekly")] == [
        "ann",
        "node bank",
        "partner acme",
        "standing rule weekly",
    ]


# -- the page


def test_page_is_closed_and_loads_nothing(pack: Pack) -> None:
    text = page(pack)
    shown = Page(text)
    forbidden = {"script", "link", "img", "iframe", "object", "embed", "use", "image", "a", "form", "base"}
    assert not {name for name, _ in shown.tags} & forbidden
    for _, attributes in shown.tags:
        assert not any(name.startswith("on") or name in ("src", "href", "style") for name in attributes)
    assert not re.search(r"https?:|url\(|@import|javascript:", text)
    policy = next(a["content"] for _, a in shown.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_both_languages_say_the_same(pack: Pack) -> None:
    shown = Page(page(pack))
    english, chinese = shown.words("en"), shown.words("zh")
    numbers = re.compile(r"\d[\d,]*\d{3}|[0-9a-f]{12,}")
    assert sorted(numbers.findall(english)) == sorted(numbers.findall(chinese))
    assert not re.search("[一-鿿]", english.replace("中文", ""))
    assert not re.search(r"[a-z]+ [a-z]+ [a-z]+", chinese.replace(NASTY, "").replace("veiljoin audit", ""))


@pytest.mark.parametrize("language", LANGUAGES)
def test_language_that_is_asked_for_is_shown_first(pack: Pack, language: str) -> None:
    shown = Page(page(pack, language=language))
    checked = [attributes["id"] for tag, attributes in shown.tags if "checked" in attributes]
    assert checked == [f"show-{language}"]


def test_page_says_whose_words_the_card_has(pack: Pack) -> None:
    shown = Page(page(pack))
    assert "These sentences are this party's wording of that card, which nothing here checks." in shown.words(
        "en"
    )
    assert "此处未作核对" in shown.words("zh")


def test_page_says_who_agreed_and_what_left(pack: Pack) -> None:
    said = Page(page(pack)).words("en")
    approver = "bob" if pack.header.role == "bank" else "zhang.wei"
    assert f"by {approver} on " in said
    assert "The contract carries the signatures of both parties, and both hold." in said
    assert "4 messages left the bank, 1,280,220 bytes in all." in said
    assert "3 messages left the platform, 1,280,220 bytes in all." in said
    assert "2 decisions allowed a release; 2 of them are in a checkpoint that the partner signed." in said
    assert "To be looked at" not in said
    assert "no identifier leaves either side" in said  # the disclosure card
    assert NASTY in said  # as text, not as tags
    entries = len(pack.entries)
    assert f"{entries} of {entries} entries carry a proof" in said


def test_page_of_a_whole_bundle_is_that_of_the_pack(pair: LogPair, contract: Contract) -> None:
    whole = b"".join(pair.evidence("bank").whole())
    from_whole = Page(page(opened(whole, contract.job[:6]))).words("en")
    from_pack = Page(page(opened(b"".join(pair.evidence("bank").pack(contract.job))))).words("en")
    for line in ("Approved for the bank by bob", "4 messages left the bank", "Signed by the platform"):
        assert line in from_whole
        assert line in from_pack
    assert f"--job {contract.job}" in from_whole
    assert "made from a whole log" in from_whole


def test_page_warns_of_what_is_not_as_it_should_be(pair: LogPair) -> None:
    agreed = pair.agree(job(purpose="cut short"))
    side, of = "bank", agreed.job
    shared = {
        "job": of,
        "session": "ab" * 16,
        "name": "value_sums",
        "from": "bank",
        "to": "platform",
        "count": 10,
        "bytes": 5_120,
        "sha256": "1" * 64,
    }
    refused = {
        "release": "points",
        "outcome": "refuse",
        "code": "over_budget",
        "session": "ab" * 16,
        "min_group": 50,
        "min_converters": None,
        "dominance": None,
        "epsilon": None,
    }
    pair.note(side, "rehearsal", None, of)
    pair.note(side, "job_start", None, of, attempt=1)
    pair.note(side, "job_start", None, of, attempt=2)
    pair.append(side, Draft("decision", "node:bank", of, refused))
    pair.append(side, Draft("decision", "node:bank", of, refused | {"outcome": "allow", "code": None}))
    pair.append(side, Draft("stream", "node:bank", of, shared=shared))
    said = Page(page(opened(b"".join(pair.evidence(side).pack(of))))).words("en")
    assert "the release of masked identifiers was refused." in said
    assert "no checkpoint that the partner signed covers the decision" in said
    assert "the value holder's values, encrypted is not among the messages" in said
    assert "The run was begun 2 times" in said
    assert "This was a rehearsal" in said
    assert "The log does not say that the job was done." in said
    assert "which no partner has signed" in said


def test_page_of_a_bundle_without_the_contract_says_so(pair: LogPair, contract: Contract) -> None:
    lines = list(pair.evidence("bank").whole())
    log = Bundle("x", lines)
    entries = [(bytes.fromhex(line.leaf.decode()), line.data) for line in log.entries()]
    extras = [{"kind": extra.kind, **extra.fields} for extra in log.extras() if extra.kind != "contract"]
    pack = opened(b"".join(writing.write(log.header, entries, extras)), contract.job)
    said = Page(page(pack)).words("en")
    assert pack.agreed is None
    assert "The bundle holds no contract of this job." in said


# -- packs


def test_files_hold_what_was_signed_and_decided(pack: Pack, contract: Contract) -> None:
    made = files(pack)
    assert sha256(made[CONTRACT_FILE]).digest() == contract.hash
    decisions = json.loads(made[DECISIONS_FILE])
    decided = [each for each in decisions if each["type"] == "decision"]
    assert [each["cosigned"]["by"] for each in decided] == [
        "acme-ads" if pack.header.role == "bank" else "bank"
    ] * 2
    assert all({"own_persons", "peer_persons"} == each["details"].keys() for each in decided)
    assert {"job_draft", "job_finish"} <= {each["type"] for each in json.loads(made[APPROVALS_FILE])}
    assert b"covers" not in made["card.en.txt"]
    assert made["card.zh.txt"].decode().startswith("披露卡")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (None, "the job has to be named"),
        ("xyz", "by the first 4 to 32 hexadecimal digits"),
        ("ffffffff", "has no entry of a job ffffffff"),
    ],
)
def test_job_that_is_not_there_is_told(
    pair: LogPair, contract: Contract, wanted: str | None, said: str
) -> None:
    with pytest.raises(PackFault, match=said):
        opened(b"".join(pair.evidence("bank").whole()), wanted)


def test_beginning_of_several_jobs_is_refused(pair: LogPair) -> None:
    log = Bundle("x", list(pair.evidence("bank").whole()))
    header: Header = log.header
    entries = []
    for line in log.entries():
        entry = json.loads(line.data)
        if entry["type"] == "job_draft":
            entries += [dict(entry, job=f"aaaa{end:028x}") for end in (1, 2)]
    lines = writing.write(header, writing.hashed(canonical.encode(entry) for entry in entries), ())
    with pytest.raises(PackFault, match="more than one job"):
        opened(b"".join(lines), "aaaa")


def test_page_can_be_written_to_a_file(pack: Pack, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(page(pack, bundle="bank.veiljoin-log"), encoding="utf-8")
    assert "veiljoin audit verify bank.veiljoin-log" in (tmp_path / "page.html").read_text(encoding="utf-8")
