"""Job files of the grouped sums: what they become, and how every mistake in them is told."""

from __future__ import annotations

import contextlib
import math
import re
import tomllib
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from party import jobkeys
from party.jobfile import Arms, Job, JobKind, SideSpec, SumSpec, ValueSpec, Window, load_job, parse_job
from party.jobspec import MATCH_KINDS, SUM_KINDS
from psi.errors import UsageError
from psi.terms import MAX_SET
from tests.party.jobs import SOURCE, job
from tests.party.sum_jobs import WHOLE, sum_job, sum_table

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "job-file.md"
FILE = """
kind = "lift"
purpose = "reactivate dormant card holders"
identifier = "phone"
receiver = "both"
value_holder = "platform"
base = "customers"
key_bits = 3072

[platform]
identifier = "mobile"
keep = "first"
time = "converted_at"
[platform.values]
amount = { min = -12.5, max = 50000, scale = 100 }
items = { max = 20, scale = 1 }

[bank]
identifier = "phone"
groups = ["creative", "arm"]
time = "exposed_at"
cost = "cost"
keep = "last"

[window]
days = 7
exposure = "last"
timezone = "America/New_York"

[arms]
column = "arm"
control = " control "
control_share = 0.25

[policy]
min_group = 60
max_set = 1000000
min_converters = 20
dominance = 0
max_rows = 5
epsilon = 0.1
outside = "reject"
"""


def test_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text(FILE, encoding="utf-8")
    read, parsed = load_job(path)
    assert (read.kind, read.receiver, read.receivers) == (JobKind.LIFT, "both", ("bank", "platform"))
    assert (read.min_group, read.max_set) == (60, 1_000_000)
    assert read.platform == SideSpec(
        "mobile",
        time="converted_at",
        values=(ValueSpec("amount", -1250, 5_000_000, 100), ValueSpec("items", 0, 20, 1)),
    )
    assert read.bank == SideSpec(
        "phone", keep="last", time="exposed_at", groups=("creative", "arm"), cost="cost"
    )
    assert read.sums == SumSpec(
        value_holder="platform",
        base="customers",
        key_bits=3072,
        window=Window(7, "last", "America/New_York", None),
        arms=Arms("arm", "control", 0.25),
        min_converters=20,
        dominance=0,
        max_rows=5,
        epsilon=Fraction(1, 10),
        outside="reject",
    )
    assert read.sums.group_holder == "bank"
    assert parse_job(parsed, str(path)) == read


def blocks(path: Path) -> list[str]:
    """The job files that a page shows; other TOML, such as a policy, has no kind."""
    found = re.findall(
        r"^```toml\n(.*?)^```", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    return [block for block in found if "kind" in tomllib.loads(block)]


def test_the_examples_of_the_pages_are_jobs() -> None:
    reference = [parse_job(tomllib.loads(block), "job-file.md").kind.value for block in blocks(REFERENCE)]
    assert sorted(reference) == sorted(["audience", *SUM_KINDS])
    readme = [parse_job(tomllib.loads(block), "README.md").kind.value for block in blocks(ROOT / "README.md")]
    assert readme == ["audience", "lift"]


def test_every_key_of_sums_is_in_the_reference() -> None:
    section = REFERENCE.read_text(encoding="utf-8").split("## Grouped sums", 1)[1]
    tables = (jobkeys.TOP, jobkeys.SIDE, jobkeys.VALUE, jobkeys.WINDOW, jobkeys.ARMS, jobkeys.POLICY)
    named = {name for keys in tables for name, key in keys.items() if not set(key.kinds) & set(MATCH_KINDS)}
    named |= {*jobkeys.VALUE, *jobkeys.WINDOW, *jobkeys.ARMS} - {"window", "arms"}
    assert {name for name in named if not re.search(rf"`\[?{name}\]?`", section)} == set()


def test_defaults() -> None:
    plain = sum_job("measure", window=None, bank__values=None, platform__groups=None)
    assert plain.sums == SumSpec("bank", "converters", 2048, None, None, 10, 10, 100, None, "clip")
    assert (plain.receiver, plain.min_group, plain.max_set) == ("bank", 50, 50_000_000)
    assert plain.platform.groups == ()
    assert sum_job("measure").sums.window == Window(7, "first", "Asia/Shanghai", None)  # type: ignore[union-attr]
    assert sum_job("measure").bank.values[0] == ValueSpec("amount", 0, 5_000_000, 100)
    assert sum_job("profile").sums.base == "customers"  # type: ignore[union-attr]


def test_which_kinds_are_sums() -> None:
    assert [kind.value for kind in JobKind if kind.is_sum] == list(SUM_KINDS)
    assert MATCH_KINDS == ("overlap", "audience")
    assert job().sums is None
    assert job().label_columns == ()


@pytest.mark.parametrize(
    ("kind", "changes", "columns"),
    [
        ("measure", {}, ("campaign", "creative")),
        ("measure", {"platform__groups": None}, ()),
        ("lift", {}, ("arm", "creative")),
        ("lift", {"platform__groups": None}, ("arm",)),
        # Where the arm's column is named already, it stays in its place.
        ("lift", {"platform__groups": ["creative", "arm"]}, ("creative", "arm")),
        ("funnel", {}, ("stage", "creative")),
        ("funnel", {"platform__groups": None}, ("stage",)),
        ("profile", {}, ("segment",)),
    ],
)
def test_the_parts_of_a_label(kind: str, changes: dict[str, Any], columns: tuple[str, ...]) -> None:
    assert sum_job(kind, **changes).label_columns == columns


@pytest.mark.parametrize(
    ("written", "units"),
    [
        ({"max": 1, "scale": 1}, (0, 1)),
        ({"max": 0.1}, (0, 10)),
        ({"min": -0.29, "max": 0.29}, (-29, 29)),
        ({"min": 1.005, "max": 2.675, "scale": 1000}, (1005, 2675)),
        ({"max": 10**9, "scale": 10**6}, (0, 10**15)),
        ({"min": -5, "max": -1, "scale": 1}, (-5, -1)),
        ({"max": 1e5}, (0, 10_000_000)),
    ],
)
def test_bounds_are_whole_units(written: dict[str, Any], units: tuple[int, int]) -> None:
    value = sum_job("measure", bank__values={"amount": written}).bank.values[0]
    assert (value.low, value.high) == units


@pytest.mark.parametrize(
    ("written", "exact"),
    [(0.01, Fraction(1, 100)), (20, Fraction(20)), (0.3, Fraction(3, 10)), (1.0, Fraction(1))],
)
def test_epsilon_is_the_decimal_that_was_written(written: float, exact: Fraction) -> None:
    sums = sum_job("measure", policy__epsilon=written).sums
    assert sums is not None
    assert sums.epsilon == exact


def test_a_sum_needs_neither_time_nor_values_nor_groups() -> None:
    for kind in ("measure", "lift"):
        read = sum_job(kind, window=None, bank={"identifier": "m"}, platform={"identifier": "p"})
        assert read.bank == SideSpec("m")
    # Each stages list belongs to its own side, so the same name on both is fine.
    sum_job("funnel", window=None, bank__stages=["seen"], platform__stages=["seen"])


# -- one mistake each: kind, changes, what the sentence says, what the hint says

NINE = [f"column {number}" for number in range(9)]
MISTAKES: list[tuple[str, dict[str, Any], str, str]] = [
    # keys of another kind
    (
        "measure",
        {"output": "matched"},
        "output in .* does not belong to kind = 'measure'",
        "audience; take it out",
    ),
    ("lift", {"holdout": 0.1}, "holdout in .* does not belong to kind = 'lift'", "audience"),
    ("measure", {"platform__tier": "t"}, r"tier in \[platform\] of .* does not belong", "have groups"),
    ("funnel", {"bank__tiers": ["a"]}, r"tiers in \[bank\] of .* does not belong", "have groups"),
    (
        "profile",
        {"base": "customers"},
        "base in .* does not belong to kind = 'profile'",
        "measure, lift, funnel",
    ),
    ("profile", {"window": {"days": 1}}, "window in .* does not belong to kind = 'profile'", "take it out"),
    (
        "measure",
        {"arms": {"column": "a", "control": "c"}},
        "arms in .* does not belong",
        "it belongs to lift",
    ),
    ("measure", {"bank__stages": ["a"]}, r"stages in \[bank\] of .* does not belong", "belongs to funnel"),
    ("measure", {"bank__tags": ["a"]}, r"tags in \[bank\] of .* does not belong", "belongs to profile"),
    ("profile", {"platform__values": {}}, r"values in \[platform\] of .* does not belong", "measure"),
    ("profile", {"bank__cost": "c"}, r"cost in \[bank\] of .* does not belong", "measure, lift, funnel"),
    ("profile", {"policy__max_rows": 5}, r"max_rows in \[policy\] of .* does not belong", "measure"),
    ("profile", {"policy__outside": "clip"}, r"outside in \[policy\] of .* does not belong", "measure"),
    ("measure", {"window__retention_days": 9}, r"retention_days in \[window\] .* does not belong", "funnel"),
    # keys on the wrong side
    (
        "measure",
        {"bank__groups": ["a"]},
        r"groups in \[bank\] of .* is on the wrong side, because the bank holds the values",
        'write it under [platform], or set value_holder = "platform"',
    ),
    ("measure", {"bank__cost": "c"}, r"cost in \[bank\] of .* is on the wrong side", "under [platform]"),
    (
        "measure",
        {"platform__values": {}},
        r"values in \[platform\] of .* is on the wrong side, because the platform holds the groups",
        'write it under [bank], or set value_holder = "platform"',
    ),
    (
        "profile",
        {"bank__tags": ["a"]},
        r"tags in \[bank\] of .* the bank holds the groups",
        "under [platform]",
    ),
    (
        "profile",
        {"platform__groups": ["a"]},
        r"groups in \[platform\] .* holds the values",
        'set value_holder = "bank"',
    ),
    # unknown ones
    ("measure", {"bank__value": {}}, r"value in \[bank\] of .* unknown key", "did you mean values?"),
    (
        "measure",
        {"platform__group": ["a"]},
        r"group in \[platform\] of .* unknown key",
        "did you mean groups?",
    ),
    ("measure", {"windows": {}}, "windows in .* unknown key", "did you mean window?"),
    ("measure", {"window__zone": "UTC"}, r"zone in \[window\] of .* unknown key", "timezone"),
    ("lift", {"arms__controll": "c"}, r"controll in \[arms\] of .* unknown key", "did you mean control?"),
    ("measure", {"policy__epsilom": 1}, r"epsilom in \[policy\] of .* unknown key", "did you mean epsilon?"),
    (
        "measure",
        {"bank__values__amount__maxi": 1},
        r"maxi in \[bank.values.amount\] of .* unknown key",
        "did you mean max?",
    ),
    ("measure", {"bank__a\x1b[2J": 1}, r"a\\x1b\[2J in \[bank\] of .* unknown key", "the keys here are"),
    # missing ones
    ("lift", {"arms": None}, "arms is missing in", "test and control"),
    ("lift", {"arms__column": None}, r"column is missing in \[arms\]", "with the arm"),
    ("lift", {"arms__control": None}, r"control is missing in \[arms\]", "control arm"),
    ("measure", {"window__days": None}, r"days is missing in \[window\]", "0 to 366"),
    ("measure", {"bank__values__amount__max": None}, r"max is missing in \[bank.values.amount\]", "greatest"),
    ("funnel", {"bank__stages": None}, r"stages is missing in \[bank\]", "in order"),
    ("funnel", {"platform__stages": None}, r"stages is missing in \[platform\]", "in order"),
    ("profile", {"platform__tags": None}, r"tags is missing in \[platform\]", "the tag columns"),
    (
        "measure",
        {"bank__time": None},
        r"time is missing in \[bank\] of .* \[window\] needs it",
        'add time = "COLUMN"',
    ),
    (
        "lift",
        {"platform__time": None},
        r"time is missing in \[platform\] of .* on both sides",
        "take [window] out",
    ),
    # types
    ("measure", {"value_holder": True}, "value_holder in .* wrong type", "bank | platform"),
    ("measure", {"base": 1}, "base in .* wrong type", "converters | customers"),
    ("measure", {"key_bits": "2048"}, "key_bits in .* wrong type", "2048 | 3072"),
    ("measure", {"window": 7}, "window in .* wrong type", "attribution window"),
    ("measure", {"platform__groups": "campaign"}, r"groups in \[platform\] of .* wrong type", "group by"),
    ("measure", {"platform__cost": 5}, r"cost in \[platform\] of .* wrong type", "cost of a row"),
    ("measure", {"bank__values": ["amount"]}, r"values in \[bank\] of .* wrong type", "with their bounds"),
    (
        "measure",
        {"bank__values": {"amount": 5}},
        r"amount in \[bank.values\] of .* has no bounds",
        "max = 50000",
    ),
    (
        "measure",
        {"bank__values__amount__max": "9"},
        r"max in \[bank.values.amount\] .* wrong type",
        "greatest",
    ),
    (
        "measure",
        {"bank__values__amount__scale": 1.5},
        r"scale in \[bank.values.amount\] .* wrong type",
        "cents",
    ),
    ("measure", {"window__days": 7.0}, r"days in \[window\] .* wrong type", "0 to 366"),
    ("lift", {"arms": "arm"}, "arms in .* wrong type", "test and control"),
    ("lift", {"arms__control_share": "half"}, r"control_share in \[arms\] .* wrong type", "between 0 and 1"),
    ("measure", {"policy__epsilon": True}, r"epsilon in \[policy\] .* wrong type", "0.01 to 20"),
    ("measure", {"policy__dominance": 9.5}, r"dominance in \[policy\] .* wrong type", "0 for none"),
    ("measure", {"bank__time": ""}, r"time in \[bank\] of .* is empty", "the column"),
    # lists
    (
        "measure",
        {"platform__groups": []},
        r"groups in \[platform\] of .* is not a list of names",
        '["one", "two"]',
    ),
    ("measure", {"platform__groups": ["a", ""]}, r"groups in .* is not a list of names", ""),
    ("measure", {"platform__groups": ["a", 1]}, r"groups in .* is not a list of names", ""),
    ("measure", {"platform__groups": ["a", "a"]}, r"groups in .* has a name twice", "take one"),
    ("measure", {"platform__groups": NINE}, r"groups in .* has 9 names, and 8 are the most", "fewer columns"),
    ("profile", {"platform__tags": [*NINE]}, r"tags in .* has 9 names", "fewer columns"),
    (
        "measure",
        {"bank__values": {name: {"max": 1} for name in NINE}},
        r"\[bank.values\] of .* has 9 columns, and 8",
        "fewer values",
    ),
    # columns
    (
        "measure",
        {"platform__groups": ["phone"]},
        r'The column "phone" in \[platform\] of .* named as identifier and as groups',
        "one use",
    ),
    ("profile", {"platform__tags": ["phone"]}, 'column "phone" .* identifier and as tags', "one use"),
    ("measure", {"bank__values": {"mobile": {"max": 1}}}, 'column "mobile" .* and as values', "one use"),
    ("funnel", {"bank__stages": ["at"]}, 'column "at" .* as time and as stages', "one use"),
    ("measure", {"platform__cost": "phone"}, 'column "phone" .* as cost', "one use"),
    ("lift", {"arms__column": "phone"}, 'column "phone" .* as groups', "one use"),
    (
        "measure",
        {"bank__time": "a\nb"},
        r"time in \[bank\] .* line breaks or control characters",
        "plain name",
    ),
    (
        "measure",
        {"bank__values": {"a\x07": {"max": 1}}},
        r"\[bank.values\] .* without a plain name",
        "plain name",
    ),
    ("funnel", {"platform__stages": ["none"]}, 'stages in .* "none", which cannot stand', "another name"),
    ("funnel", {"bank__stages": ["a\x1b"]}, r'stages in .* "a\\x1b", which cannot stand', "plain one"),
    ("measure", {"window__timezone": "localtime"}, r"timezone in \[window\] .* not a known zone", ""),
    ("funnel", {"bank__stages": ["=cmd"]}, 'stages in .* "=cmd", which cannot stand', "another name"),
    ("funnel", {"platform__groups": ["stage"]}, 'groups in .* "stage", as a funnel calls', "another name"),
    ("profile", {"bank__groups": ["age"]}, 'groups in .* "age", and so does tags', "another name"),
    # values of keys
    (
        "measure",
        {"value_holder": "banks"},
        'value_holder = "banks" in .* not possible',
        'did you mean "bank"',
    ),
    ("measure", {"base": "customer"}, 'base = "customer" in .* not possible', 'did you mean "customers"'),
    ("measure", {"receiver": "nobody"}, 'receiver = "nobody" in .* not possible', "bank, platform, both"),
    ("measure", {"key_bits": 1024}, "key_bits = 1024 in .* not offered", "use 2048 or 3072"),
    ("measure", {"window__days": -1}, r"days = -1 in \[window\] .* out of range", "use 0 to 366"),
    ("measure", {"window__days": 367}, r"days = 367 in \[window\] .* out of range", "use 0 to 366"),
    (
        "funnel",
        {"window__retention_days": 0},
        r"retention_days = 0 in \[window\] .* out of range",
        "1 to 366",
    ),
    ("measure", {"window__exposure": "frist"}, r'exposure = "frist" in \[window\]', 'did you mean "first"'),
    (
        "measure",
        {"window__timezone": "asia/shanghi"},
        r"timezone in \[window\] .* not a known zone",
        "Asia/Shanghai",
    ),
    ("measure", {"window__timezone": "Asia"}, r"timezone in \[window\] .* not a known zone", ""),
    ("measure", {"window__timezone": "../etc/passwd"}, r"timezone in \[window\] .* not a known zone", "IANA"),
    ("lift", {"arms__control": "  "}, r"control in \[arms\] .* cannot stand", "plain name"),
    ("lift", {"arms__control": "=1+1"}, r"control in \[arms\] .* cannot stand", "plain name"),
    *(
        ("lift", {"arms__control_share": share}, r"control_share = .* in \[arms\] .* out of range", "below 1")
        for share in (0, 1, -0.1, math.nan, math.inf, 10**400)
    ),
    *(
        (
            "measure",
            {"policy__epsilon": epsilon},
            r"epsilon = .* in \[policy\] .* out of range",
            "little noise",
        )
        for epsilon in (0, 0.009, 20.1, -1, math.nan, math.inf, 10**400)
    ),
    ("measure", {"policy__dominance": -1}, r"dominance = -1 in \[policy\] .* out of range", "use 0 to"),
    (
        "measure",
        {"policy__min_converters": 0},
        r"min_converters = 0 in \[policy\] .* out of range",
        "use 1 to",
    ),
    ("measure", {"policy__min_converters": MAX_SET + 1}, "min_converters = .* out of range", "use 1 to"),
    ("measure", {"policy__max_rows": 0}, r"max_rows = 0 in \[policy\] .* out of range", "use 1 to 10000"),
    ("measure", {"policy__max_rows": 10_001}, "max_rows = 10001 in .* out of range", "use 1 to 10000"),
    ("measure", {"policy__outside": "drop"}, r'outside = "drop" in \[policy\]', "clip, reject"),
    ("measure", {"bank__values__amount__scale": 50}, "scale = 50 in .* no power of ten", "100 for amounts"),
    ("measure", {"bank__values__amount__scale": 0}, "scale = 0 in .* no power of ten", "whole numbers"),
    ("measure", {"bank__values__amount__scale": 10**7}, "scale = 10000000 in .* no power of ten", ""),
    ("measure", {"bank__values__amount__max": 0}, "min = 0 in .* is not below max = 0", "one row"),
    (
        "measure",
        {"bank__values__amount__min": 50_001},
        "min = 50001 in .* is not below max = 50000",
        "one row",
    ),
    (
        "measure",
        {"bank__values__amount__max": 0.005},
        "max = 0.005 in .* more decimals than scale = 100",
        "fewer",
    ),
    (
        "measure",
        {"bank__values__points__max": 1.5},
        "max = 1.5 in .* more decimals than scale = 1",
        "raise scale",
    ),
    *(
        (
            "measure",
            {"bank__values__amount__max": most},
            r"max = .* in \[bank.values.amount\] .* out of range",
            "use -",
        )
        for most in (math.nan, math.inf, 1e300, 10**400, 10**13 + 1)
    ),
    ("measure", {"bank__values__amount__min": -math.inf}, "min = -inf in .* out of range", "use -"),
    (
        "measure",
        {"bank__values__amount__max": 10**13, "policy__max_rows": 10_000},
        r"amount in \[bank.values\] .* more than 64 bits for one person",
        "max_rows = 10000 in",
    ),
]


@pytest.mark.parametrize(
    ("kind", "changes", "sentence", "hint"),
    [
        pytest.param(*row, id=f"{row[0]} " + " ".join(f"{k}={v!r:.20}" for k, v in row[1].items()))
        for row in MISTAKES
    ],
)
def test_a_mistake_is_told_with_its_key(kind: str, changes: dict[str, Any], sentence: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_job(sum_table(kind, **changes), SOURCE)
    error = raised.value
    assert re.search(sentence, error.message), error.message
    assert error.hint
    assert hint in error.hint, error.hint
    assert SOURCE in error.message
    assert error.message.endswith(".")
    assert not re.search(r"\. ", error.message)
    assert (error.message + error.hint).isprintable()
    wrong_key = any(
        each in sentence for each in ("unknown key", "does not belong", "the wrong side", "holds the")
    )
    assert error.code.name == ("unknown_key" if wrong_key else "bad_setting")


def test_there_is_a_mistake_for_every_key_of_sums() -> None:
    tried = {name.split("__")[-1] for _, changes, _, _ in MISTAKES for name in changes}
    tables = (jobkeys.TOP, jobkeys.SIDE, jobkeys.VALUE, jobkeys.WINDOW, jobkeys.ARMS, jobkeys.POLICY)
    # The others are tried with the matches.
    own = {name for keys in tables for name, key in keys.items() if not set(key.kinds) & set(MATCH_KINDS)}
    assert own - tried == set()
    assert {*jobkeys.VALUE, *jobkeys.WINDOW, *jobkeys.ARMS} - tried == set()


@pytest.mark.parametrize("column", ["mobile", "phone"])
def test_an_identifier_is_no_tier(column: str) -> None:
    side = "bank" if column == "mobile" else "platform"
    with pytest.raises(UsageError, match=f'"{column}" .* as identifier and as tier'):
        job(**{f"{side}__tier": column})


def test_a_number_of_thousands_of_digits_is_bad_toml(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text(f"key_bits = 1{'0' * 5000}", encoding="utf-8")
    with pytest.raises(UsageError, match="not valid TOML") as raised:
        load_job(path)
    assert raised.value.code.name == "bad_format"


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.dates()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
SECTIONS = {"window": jobkeys.WINDOW, "arms": jobkeys.ARMS, "policy": jobkeys.POLICY}
keys = st.sampled_from(
    [*jobkeys.TOP]
    + [f"{side}__{key}" for side in ("bank", "platform") for key in jobkeys.SIDE]
    + [f"{section}__{key}" for section, known in SECTIONS.items() for key in known]
    + [f"bank__values__amount__{key}" for key in jobkeys.VALUE]
)


@given(st.sampled_from(list(WHOLE)), st.dictionaries(keys, values, min_size=1, max_size=4))
def test_any_value_under_any_key_is_a_job_or_a_usage_error(kind: str, changes: dict[str, Any]) -> None:
    # A section that is changed inside is not also replaced as a whole.
    inside = {name for key in changes for name in [key.partition("__")[0]] if "__" in key}
    deeper = {"bank__values"} & {"__".join(key.split("__")[:2]) for key in changes if key.count("__") > 1}
    table = sum_table(kind, **{key: value for key, value in changes.items() if key not in inside | deeper})
    with contextlib.suppress(UsageError):  # any other error fails the test
        assert isinstance(parse_job(table, SOURCE), Job)
