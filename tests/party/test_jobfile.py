"""Every mistake in a job file is told in one sentence that names the key, with a hint how to mend it."""

from __future__ import annotations

import contextlib
import datetime
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from party import jobkeys
from party.jobfile import Job, JobKind, SideSpec, load_job, nearest, parse_job
from party.jobspec import MATCH_KINDS
from psi.errors import UsageError
from psi.suites import RISTRETTO255, X25519_ELL2
from psi.terms import MAX_SET
from tests.party.jobs import SOURCE, job, table

FILE = """
kind = "overlap"                  # a comment
purpose = " find out how many 客户 overlap "
identifier = "sha256:phone:cn11"
suite = "ristretto255"
receiver = "bank"

[bank]
identifier = "mobile"
tier = "level"
tiers = ["gold", "silver"]
keep = "last"
region = "HK"
delimiter = ";"
encoding = "gb18030"

[platform]
identifier = "phone"

[policy]
min_group = 100
max_set = 2000
"""


def test_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text(FILE, encoding="utf-8")
    read, parsed = load_job(path)
    assert read == Job(
        source=str(path),
        kind=JobKind.OVERLAP,
        purpose="find out how many 客户 overlap",
        form=read.form,
        suite=RISTRETTO255,
        receiver="bank",
        bank=SideSpec("mobile", "level", ("gold", "silver"), "last", "HK", ";", "gb18030"),
        platform=SideSpec("phone"),
        min_group=100,
        max_set=2000,
    )
    assert read.form.text == "sha256:phone:cn11"
    assert parse_job(parsed, str(path)) == read


def test_defaults() -> None:
    plain = job()
    assert plain.suite is X25519_ELL2
    assert (plain.output, plain.holdout, plain.min_group, plain.max_set) == ("matched", 0.0, 50, 50_000_000)
    assert plain.bank == SideSpec("mobile", None, (), "first", "CN", None, None)
    assert plain.side("bank") is plain.bank
    assert plain.side("platform") is plain.platform


@pytest.mark.parametrize(
    ("receiver", "both", "protocol_receiver", "protocol_sender"),
    [
        ("bank", False, "bank", "platform"),
        ("platform", False, "platform", "bank"),
        ("both", True, "platform", "bank"),
    ],
)
def test_who_plays_which_role(
    receiver: str, both: bool, protocol_receiver: str, protocol_sender: str
) -> None:
    read = job(receiver=receiver)
    assert (read.both, read.protocol_receiver, read.protocol_sender) == (
        both,
        protocol_receiver,
        protocol_sender,
    )


@pytest.mark.parametrize(
    "text", ["\ufeff" + FILE, FILE.replace("\n", "\r\n")], ids=["byte order mark", "CRLF"]
)
def test_files_as_editors_write_them(tmp_path: Path, text: str) -> None:
    path = tmp_path / "job.toml"
    path.write_bytes(text.encode())
    assert load_job(path)[0].kind is JobKind.OVERLAP


@pytest.mark.parametrize("name", ["with space.toml", "semi;colon.toml", "名.toml"])
def test_any_file_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(FILE, encoding="utf-8")
    assert load_job(str(path))[0].source == str(path)


# -- files that are none


def told(error: UsageError, *names: str) -> None:
    """Check the form that every error has: one sentence that names the thing, one hint."""
    assert error.message.endswith(".")
    assert error.message.count(". ") == 0, error.message
    assert "\n" not in error.message + error.hint
    assert error.hint
    for name in names:
        assert name in error.message


@pytest.mark.parametrize(
    ("content", "code", "sentence"),
    [
        (None, "missing_file", "is not there"),
        (b"\xff\xfe\x00bad", "unreadable_file", "it is not UTF-8 text"),
        (b'kind = "overlap"\nkind = "audience"', "bad_format", "not valid TOML"),
        (b"kind = overlap", "bad_format", "not valid TOML"),
        (b"[bank", "bad_format", "not valid TOML"),
        (b"", "bad_setting", "kind is missing"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, code: str, sentence: str) -> None:
    path = tmp_path / "job.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=sentence) as raised:
        load_job(path)
    assert raised.value.code.name == code
    told(raised.value, str(path))


def test_a_folder_is_no_job_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read") as raised:
        load_job(tmp_path)
    assert raised.value.code.name == "unreadable_file"
    told(raised.value, str(tmp_path))


# -- one mistake each: changes to the plain job, what the sentence says, what the hint says

MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    # kind
    ({"kind": None}, "kind is missing in", "overlap | audience"),
    ({"kind": None, "output": "unmatched"}, "kind is missing in", "overlap | audience"),
    ({"kind": None, "knd": "overlap"}, "knd in .* is an unknown key", "did you mean kind"),
    ({"kind": "overlp"}, 'kind = "overlp" in .* is unknown', 'did you mean "overlap"'),
    ({"kind": "Audience"}, 'kind = "Audience" in .* is unknown', 'did you mean "audience"'),
    ({"kind": "xyz"}, 'kind = "xyz" in .* is unknown', "use one of overlap, audience"),
    ({"kind": ""}, 'kind = "" in .* is unknown', "use one of overlap, audience"),
    ({"kind": True}, "kind in .* wrong type", "overlap | audience"),
    ({"kind": ["overlap"]}, "kind in .* wrong type", "overlap | audience"),
    # unknown keys, everywhere
    ({"purpos": "x"}, "purpos in .* is an unknown key", "did you mean purpose"),
    ({"Receiver": "bank"}, "Receiver in .* is an unknown key", "did you mean receiver"),
    ({"reciever": "bank"}, "reciever in .* is an unknown key", "did you mean receiver"),
    ({"zzz": 1}, "zzz in .* is an unknown key", "the keys here are kind, purpose"),
    ({"bank__identifer": "x"}, r"identifer in \[bank\] of .* is an unknown key", "did you mean identifier"),
    ({"platform__column": "x"}, r"column in \[platform\] of .* is an unknown key", "the keys here are"),
    ({"policy__mingroup": 50}, r"mingroup in \[policy\] of .* is an unknown key", "did you mean min_group"),
    # keys of grouped sums
    (
        {"bank__values": {}},
        r"values in \[bank\] of .* does not belong to kind = 'audience'",
        "measure, lift, funnel",
    ),
    ({"window": {}}, "window in .* does not belong to kind = 'audience'", "measure, lift, funnel"),
    # keys of the other kind
    (
        {"kind": "overlap", "output": "matched"},
        "output in .* does not belong to kind = 'overlap'",
        "audience",
    ),
    ({"kind": "overlap", "holdout": 0.1}, "holdout in .* does not belong to kind = 'overlap'", "take it out"),
    # missing ones
    *(({name: None}, f"{name} is missing in", f"{name}: ") for name in ("purpose", "identifier", "receiver")),
    ({"bank": None}, "bank is missing in", "bank: "),
    ({"platform": None}, "platform is missing in", "platform: "),
    ({"bank__identifier": None}, r"identifier is missing in \[bank\] of", "the column"),
    ({"platform__identifier": None}, r"identifier is missing in \[platform\] of", "the column"),
    # types
    ({"purpose": 5}, "purpose in .* wrong type", "purpose: "),
    ({"identifier": 5}, "identifier in .* wrong type", "such as phone"),
    ({"suite": []}, "suite in .* wrong type", "x25519-ell2"),
    ({"receiver": False}, "receiver in .* wrong type", "bank | platform | both"),
    ({"keep_seed": True}, "keep_seed in .* wrong type", "bank | platform | both"),
    ({"keep_seed": "nobody"}, 'keep_seed = "nobody" in', "use one of bank, platform, both"),
    ({"holdout": "0.1"}, "holdout in .* wrong type", "0 to 0.9"),
    ({"holdout": True}, "holdout in .* wrong type", "0 to 0.9"),
    ({"bank": "mobile"}, "bank in .* wrong type", "bank: "),
    ({"platform": [{"identifier": "x"}]}, "platform in .* wrong type", "platform: "),
    ({"policy": 50}, "policy in .* wrong type", "thresholds"),
    ({"bank__identifier": 1}, r"identifier in \[bank\] of .* wrong type", "the column"),
    ({"bank__tier": 1}, r"tier in \[bank\] of .* wrong type", "tier: "),
    ({"bank__tiers": "gold"}, r"tiers in \[bank\] of .* wrong type", "highest first"),
    ({"bank__keep": datetime.date(2026, 1, 1)}, r"keep in \[bank\] of .* wrong type", "first | last"),
    ({"policy__min_group": True}, r"min_group in \[policy\] of .* wrong type", "fewest persons"),
    ({"policy__min_group": 50.0}, r"min_group in \[policy\] of .* wrong type", "fewest persons"),
    ({"policy__min_group": "50"}, r"min_group in \[policy\] of .* wrong type", "fewest persons"),
    ({"policy__max_set": False}, r"max_set in \[policy\] of .* wrong type", "most persons"),
    # values
    ({"purpose": ""}, "purpose in .* is empty", "purpose: "),
    ({"purpose": "  \t "}, "purpose in .* has 0 characters", "1 to 200 characters"),
    ({"purpose": "x" * 201}, "purpose in .* has 201 characters", "1 to 200 characters"),
    ({"identifier": "phon"}, "'phon' is not a known form", "'phone'"),
    ({"identifier": "sha256:phone"}, "does not say which spelling", "sha256:phone:e164"),
    ({"suite": "x25519"}, "no suite called 'x25519'", "x25519-ell2"),
    ({"suite": "X25519-ELL2"}, "no suite called", ""),
    ({"receiver": "platfrom"}, 'receiver = "platfrom" in .* not possible here', 'did you mean "platform"'),
    (
        {"receiver": "nobody"},
        'receiver = "nobody" in .* not possible here',
        "use one of bank, platform, both",
    ),
    (
        {"kind": "overlap", "receiver": "both"},
        'receiver = "both" in .* not possible',
        "use one of bank, platform",
    ),
    ({"output": "unmatch"}, 'output = "unmatch" in .* not possible here', 'did you mean "unmatched"'),
    ({"holdout": -0.1}, "holdout = -0.1 in .* out of range", "0 to 0.9"),
    ({"holdout": 0.91}, "holdout = 0.91 in .* out of range", "0 to 0.9"),
    ({"holdout": 1}, "holdout = 1 in .* out of range", "0 to 0.9"),
    ({"holdout": math.nan}, "holdout = nan in .* out of range", "0 to 0.9"),
    ({"holdout": math.inf}, "holdout = inf in .* out of range", "0 to 0.9"),
    ({"bank__identifier": ""}, r"identifier in \[bank\] of .* is empty", "the column"),
    ({"bank__tier": ""}, r"tier in \[bank\] of .* is empty", "tier: "),
    ({"bank__keep": "frist"}, r'keep = "frist" in \[bank\] of .* not possible', 'did you mean "first"'),
    ({"bank__tiers": ["a"]}, r"tiers in \[bank\] of .* needs a tier column", "tier = "),
    (
        {"bank__tier": "t", "bank__tiers": ["a", "a"]},
        r"tiers in \[bank\] .* different names",
        "highest first",
    ),
    ({"bank__tier": "t", "bank__tiers": ["a", ""]}, r"tiers in \[bank\] .* different names", "highest first"),
    ({"bank__tier": "t", "bank__tiers": ["a", 1]}, r"tiers in \[bank\] .* different names", "highest first"),
    ({"bank__tier": "t", "bank__tiers": [[], {}]}, r"tiers in \[bank\] .* different names", "highest first"),
    ({"policy__min_group": 0}, r"min_group = 0 in \[policy\] of .* out of range", "1 to"),
    ({"policy__min_group": -5}, r"min_group = -5 in \[policy\] of .* out of range", "1 to"),
    ({"policy__min_group": MAX_SET + 1}, r"min_group = .* in \[policy\] of .* out of range", str(MAX_SET)),
    ({"policy__max_set": 0}, r"max_set = 0 in \[policy\] of .* out of range", "1 to"),
    ({"policy__max_set": 10**18}, r"max_set = .* in \[policy\] of .* out of range", str(MAX_SET)),
    ({"policy__max_set": 49}, r"min_group = 50 in \[policy\] of .* above max_set = 49", "raise max_set"),
]


@pytest.mark.parametrize(
    ("changes", "sentence", "hint"),
    [pytest.param(*row, id=" ".join(f"{k}={v!r:.20}" for k, v in row[0].items())) for row in MISTAKES],
)
def test_a_mistake_is_told_with_its_key(changes: dict[str, Any], sentence: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_job(table(**changes), SOURCE)
    error = raised.value
    assert re.search(sentence, error.message), error.message
    assert hint in error.hint, error.hint
    told(error)
    assert error.code.name == (
        "unknown_key" if "unknown key" in sentence or "belong" in sentence else "bad_setting"
    )
    # Where the sentence is ours and not of the identifier's form or the suite, it names the file.
    if " in " in sentence:
        assert SOURCE in error.message


def test_there_is_a_mistake_for_every_key_of_matches() -> None:
    tried = {name for changes, _, _ in MISTAKES for name in changes}
    # region, delimiter and encoding are read when the file is opened, and tried with datasets.
    left = {"region", "delimiter", "encoding"}
    for prefix, keys in (("", jobkeys.TOP), ("bank__", jobkeys.SIDE), ("policy__", jobkeys.POLICY)):
        known = {name for name, key in keys.items() if set(key.kinds) & set(MATCH_KINDS)}
        assert {prefix + name for name in known - left} <= tried


@pytest.mark.parametrize("receiver", ["bank", "platform", "both"])
@pytest.mark.parametrize("output", ["matched", "unmatched"])
@pytest.mark.parametrize("holdout", [0, 0.0, 0.05, 0.9])
def test_what_an_audience_may_say(receiver: str, output: str, holdout: float) -> None:
    read = job(receiver=receiver, output=output, holdout=holdout)
    assert (read.receiver, read.output, read.holdout) == (receiver, output, holdout)


@pytest.mark.parametrize("delimiter", ["\t", " ", ";"])
def test_a_delimiter_may_be_blank(delimiter: str) -> None:
    assert job(bank__delimiter=delimiter).bank.delimiter == delimiter


@pytest.mark.parametrize("size", [1, MAX_SET])
def test_sizes_at_their_bounds(size: int) -> None:
    read = job(policy__min_group=size, policy__max_set=size)
    assert (read.min_group, read.max_set) == (size, size)


def test_the_nearest_name() -> None:
    names = ("min_group", "max_set")
    assert nearest("mingroup", names) == "min_group"
    assert nearest("MAX-SET", names) == "max_set"
    assert nearest("colour", names) is None


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.dates()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(
    [*jobkeys.TOP]
    + [f"{side}__{key}" for side in ("bank", "platform") for key in jobkeys.SIDE]
    + ["policy__min_group", "policy__max_set"]
)


@given(st.dictionaries(keys, values, min_size=1, max_size=4))
def test_any_value_under_any_key_is_a_job_or_a_usage_error(changes: dict[str, Any]) -> None:
    sections = {key.partition("__")[0] for key in changes if "__" in key}
    read = table(**{key: value for key, value in changes.items() if key not in sections})
    with contextlib.suppress(UsageError):  # any other error fails the test
        assert isinstance(parse_job(read, SOURCE), Job)
