"""Identifiers: published vectors, an independent oracle, and what no spelling may change."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from party.identifiers import ALGORITHMS, REASON_TEXT, REASONS, TYPES, Normaliser, parse_form
from party.identifiers.hashing import _sm3, digester
from party.synthetic import canonical, messy
from psi.errors import UsageError

MOBILES = st.builds("1{}{:09d}".format, st.integers(3, 9), st.integers(0, 10**9 - 1))
WIDE_DIGITS = "".join(chr(0xFF10 + digit) for digit in range(10))  # as Chinese input methods type them
WIDE = str.maketrans("0123456789+@a", WIDE_DIGITS + "\uff0b\uff20\uff41")
NBSP, IDEOGRAPHIC, ZERO_WIDTH, BOM, BIDI = "\u00a0", "\u3000", "\u200b", "\ufeff", "\u202d"


def normalise(form: str, *cells: str | None, region: str = "CN") -> list[str]:
    """The canonical text of each cell, or its reason in angle brackets."""
    result = Normaliser(parse_form(form), region=region)(pa.array(cells, pa.string()))
    assert result.canonical.type == pa.binary()
    assert result.reason.dtype == np.uint8
    found = []
    for value, code in zip(result.canonical.to_pylist(), result.reason, strict=True):
        assert (value is None) == (code != 0)
        found.append(f"<{REASONS[code]}>" if value is None else value.decode())
    return found


# --- forms


@pytest.mark.parametrize("kind", TYPES)
def test_each_type_is_a_raw_form(kind: str) -> None:
    form = parse_form(kind)
    assert (form.text, form.type, form.algorithm, form.variant) == (kind, kind, None, None)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("sha256:phone:cn11", "sha256:phone:cn11"),
        (" SHA256:Phone:E164 ", "sha256:phone:e164"),
        ("sha256:email", "sha256:email"),
        ("md5:idfa", "md5:idfa:upper"),
        ("md5:gaid", "md5:gaid:lower"),
        ("sm3:national_id", "sm3:national_id"),
    ],
)
def test_a_default_spelling_is_written_out(written: str, text: str) -> None:
    assert parse_form(written).text == text
    assert parse_form(text) == parse_form(written)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("phon", "Did you mean 'phone'?"),
        ("sha256:phone", "sha256:phone:cn11"),
        ("sha256:phone:cn", "Did you mean 'sha256:phone:cn11'?"),
        ("phone:cn11", "sha256:phone:cn11"),
        ("sha1:phone:cn11", "algorithm:type:spelling"),
        ("sha256:email:lower", "Did you mean 'sha256:email'?"),
        ("", "Forms are a type"),
    ],
)
def test_a_wrong_form_is_one_error_with_a_hint(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_form(text)
    assert caught.value.code.name == "bad_setting"
    assert says in caught.value.hint


def test_reasons_have_texts_in_both_languages() -> None:
    assert REASONS[0] == ""
    assert len(set(REASONS)) == len(REASONS)
    assert set(REASON_TEXT) == set(REASONS)
    assert all(texts["en"] and texts["zh"] for texts in REASON_TEXT.values())


# --- phone


@pytest.mark.parametrize(
    "cell",
    [
        "13800138000",
        " 13800138000 ",
        "138 0013 8000",
        "138-0013-8000",
        "138.0013.8000",
        "(+86) 138 0013 8000",
        "+8613800138000",
        "008613800138000",
        "8613800138000",
        "013800138000",
        "+86 0138 0013 8000",
        "13800138000".translate(WIDE),
        "+8613800138000".translate(WIDE),
        f"{IDEOGRAPHIC}138{NBSP}0013{ZERO_WIDTH}8000{BOM}",
        f"{BIDI}13800138000\u202c",
        "138\u20130013\u20138000",
        "'13800138000",
        '="13800138000"',
        "13800138000.0",
        "13800138000.00",
        "\t13800138000\r\n",
    ],
)
def test_a_mobile_has_one_canonical_form(cell: str) -> None:
    assert normalise("phone", cell) == ["+8613800138000"]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (None, "empty"),
        ("", "empty"),
        (f" {IDEOGRAPHIC}{BOM}", "empty"),
        ("-", "empty"),
        ("NULL", "bad_characters"),
        ("13800138000/13900139000", "bad_characters"),
        ("1380013800", "bad_length"),
        ("138001380000", "bad_length"),
        ("12800138000", "not_a_mobile"),
        ("00000000000", "placeholder"),
        ("1.38E+10", "scientific_notation"),
        ("1.3800138E+10", "scientific_notation"),
        ("+999 123 456 789", "unknown_region"),
        ("+86 400 810 8888", "not_a_mobile"),
        ("d41d8cd98f00b204e9800998ecf8427e", "looks_hashed"),
        ("E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855", "looks_hashed"),
        ("+1 202 055 0123", "unassigned"),
    ],
)
def test_what_is_no_phone_has_a_reason(cell: str | None, reason: str) -> None:
    assert normalise("phone", cell) == [f"<{reason}>"]


def test_numbers_of_other_countries_and_landlines() -> None:
    # A company's published switchboard, and a number of the right shape for Shanghai.
    assert normalise("phone", "+1 (650) 253-0000", "001 650 253 0000") == ["+16502530000"] * 2
    assert normalise("phone", "021-62345678") == ["+862162345678"]
    assert normalise("phone", "62345678", "2162345678") == ["<bad_length>"] * 2
    assert normalise("phone", "650-253-0000", region="US") == ["+16502530000"]
    assert normalise("phone", "+86 138 0013 8000", region="US") == ["+8613800138000"]
    assert normalise("phone", "13800138000", region="US") != ["+8613800138000"]


def test_an_unknown_region_is_an_error() -> None:
    with pytest.raises(UsageError, match="'XX' is not a country code"):
        Normaliser(parse_form("phone"), region="XX")


@given(
    mobile=MOBILES,
    lead=st.sampled_from(["", "+86", "0086", "86", "0", "+86 ", "(+86)", "+86-", f"{BOM}+86{NBSP}"]),
    gaps=st.lists(
        st.sampled_from(["", " ", "-", ".", NBSP, IDEOGRAPHIC, ZERO_WIDTH]), min_size=10, max_size=10
    ),
    wide=st.booleans(),
    around=st.sampled_from(["", " ", "\t", IDEOGRAPHIC]),
)
def test_decoration_never_changes_a_mobile(
    mobile: str, lead: str, gaps: Sequence[str], wide: bool, around: str
) -> None:
    text = "".join(digit + gap for digit, gap in zip(mobile, [*gaps, ""], strict=True))
    # A single dot before one or two last zeros is the trace of a float, so dots stay out of the tail.
    text = text[:3] + text[3:].replace(".", "-")
    cell = around + lead + (text.translate(WIDE) if wide else text) + around
    assert normalise("phone", cell) == [f"+86{mobile}"]


@settings(max_examples=40)
@given(st.lists(st.one_of(st.none(), st.text(max_size=20), MOBILES), max_size=8))
def test_any_text_is_decided_and_batches_do_not_matter(cells: list[str | None]) -> None:
    for form in ("phone", "sha256:phone:cn11", "email", "national_id", "opaque", "md5:oaid", "uscc", "idfa"):
        together = normalise(form, *cells)
        assert together == [found for cell in cells for found in normalise(form, cell)]


@given(st.integers(1, 2**31), st.sampled_from(TYPES))
def test_canonical_stays_canonical(seed: int, kind: str) -> None:
    plain = canonical(kind, np.arange(20), seed)
    first = normalise(kind, *plain.to_pylist())
    assert not any(found.startswith("<") for found in first)
    assert normalise(kind, *first) == first
    spelled = messy(parse_form(kind), plain, np.random.default_rng(seed))
    assert normalise(kind, *spelled.to_pylist()) == first


def test_layout_of_the_column_does_not_matter() -> None:
    cells = ["13800138000", None, "+86 139 0013 9000", "x", "13800138001".translate(WIDE)]
    wanted = Normaliser(parse_form("phone"))(pa.array(cells)).canonical
    chunked = pa.chunked_array([cells[:2], cells[2:]], pa.string())
    sliced = pa.array(["junk", *cells, "junk"]).slice(1, len(cells))
    coded = pa.array(cells).dictionary_encode()
    for array in (chunked, sliced, coded, pa.array(cells, pa.large_string())):
        assert Normaliser(parse_form("phone"))(array).canonical.equals(wanted)
    for nothing in (pa.array([], pa.string()), pa.chunked_array([], pa.string())):
        assert len(Normaliser(parse_form("phone"))(nothing)) == 0


def test_duckdb_with_its_own_rules_agrees_on_messy_mobiles() -> None:
    """The oracle shares no code with the normaliser: another engine, another way to write the rule."""
    random = np.random.default_rng(20)
    plain = canonical("phone", np.arange(20_000), 5)
    cells = messy(parse_form("phone"), plain, random).to_pylist()
    for row in range(0, 20_000, 97):  # a share of broken cells, so that both must reject the same
        broken = ["", "12345", "abc", "1.38E+10", cells[row].strip() + "1", cells[row].strip()[:-1]]
        cells[row] = broken[random.integers(len(broken))]
    found = Normaliser(parse_form("phone"))(pa.array(cells))
    rows = pa.table({"cell": cells, "found": found.canonical.cast(pa.string())})
    with duckdb.connect() as database:
        database.register("rows", rows)
        agreed, disagreed, accepted = database.execute(
            r"""
            with cleaned as (
                select found, regexp_replace(
                    regexp_replace(translate(cell, $wide, '0123456789'), '\.0$', ''),
                    '[ .()-]', '', 'g') as text
                from rows),
            expected as (
                select found, case when regexp_matches(text, '^(\+86|0086|86|0)?1[3-9][0-9]{9}$')
                                   then '+86' || right(text, 11) end as wanted
                from cleaned)
            select count(*) filter (found is not distinct from wanted),
                   count(*) filter (found is distinct from wanted), count(wanted)
            from expected
            """,
            {"wide": WIDE_DIGITS},
        ).fetchall()[0]
    assert (agreed, disagreed) == (20_000, 0)
    assert 19_000 < accepted < 20_000


# --- other types


def test_email() -> None:
    spelled = [" A.B+c@QQ.com ", "a.b+c@qq.com", "a.b+c@qq.com".translate(WIDE)]
    assert normalise("email", *spelled) == ["a.b+c@qq.com"] * 3
    # The domain is IANA's test name in Chinese and its published ASCII form.
    assert normalise("email", "me@例子.测试") == ["me@xn--fsqu00a.xn--0zwm56d"]
    assert normalise("email", "a@b", "a@@b.cn", "a b@c.cn", ".a@b.cn", "a@-b.cn", "a") == ["<bad_syntax>"] * 6
    assert normalise("email", "用户@b.cn", "", "a" * 65 + "@b.cn", "ab" * 16) == [
        "<bad_characters>",
        "<empty>",
        "<bad_length>",
        "<looks_hashed>",
    ]


def test_national_id() -> None:
    # The worked example of GB 11643-1999.
    assert normalise("national_id", "11010519491231002X", " 11010519491231002x") == ["11010519491231002X"] * 2
    assert normalise("national_id", "110105491231002") == ["11010519491231002X"]  # as it was issued before
    assert normalise("national_id", "440524188001010014") == ["440524188001010014"]
    refused = {
        "110105194912310021": "bad_checksum",
        "1101051949123100": "bad_length",
        "1.10105E+17": "scientific_notation",
        "110105194912310020.0": "scientific_notation",
        "X10105194912310020": "bad_characters",
        "": "empty",
        "0" * 18: "placeholder",
    }
    assert normalise("national_id", *refused) == [f"<{reason}>" for reason in refused.values()]


def _id_check(body: str) -> str:
    """ISO 7064 MOD 11-2 in its recursive form, as an oracle for the weights."""
    remainder = 0
    for digit in body:
        remainder = (remainder + int(digit)) * 2 % 11
    check = (12 - remainder) % 11
    return "X" if check == 10 else str(check)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("11010519490229001", "bad_date"),  # 1949 was no leap year
        ("11010519491301001", "bad_date"),
        ("99010519491231001", "unknown_region"),
        ("16010519491231001", "unknown_region"),
    ],
)
def test_national_id_date_and_region(body: str, reason: str) -> None:
    assert normalise("national_id", body + _id_check(body)) == [f"<{reason}>"]
    leap = "11010520000229001"
    assert normalise("national_id", leap + _id_check(leap)) == [leap + _id_check(leap)]


def test_uscc() -> None:
    # A published company code.
    assert normalise("uscc", " 91350100m000100y43 ") == ["91350100M000100Y43"]
    assert normalise("uscc", "91350100M000100Y44", "91350100M000100Y4", "9135010OM000100Y43", "") == [
        "<bad_checksum>",
        "<bad_length>",
        "<bad_characters>",
        "<empty>",
    ]


def test_imei() -> None:
    # 49-015420-323751-8 is a widely published example with a valid Luhn digit.
    spelled = ["490154203237518", "49-015420-323751-8", "490154203237518.0"]
    assert normalise("imei", *spelled) == ["490154203237518"] * 3
    assert normalise("imei", "490154203237517", "49015420323751", "0" * 15, "4.9E+14", "x") == [
        "<bad_checksum>",
        "<bad_length>",
        "<placeholder>",
        "<scientific_notation>",
        "<bad_characters>",
    ]


@pytest.mark.parametrize("kind", ["national_id", "imei", "uscc"])
def test_one_wrong_digit_is_always_noticed(kind: str) -> None:
    cell = canonical(kind, np.array([7]), 3)[0].as_py()
    wrong = [
        cell[:place] + other + cell[place + 1 :]
        for place, digit in enumerate(cell)
        for other in "0123456789"
        if other != digit
    ]
    assert all(found.startswith("<") for found in normalise(kind, *wrong))
    assert normalise(kind, cell) == [cell]


def test_advertising_ids() -> None:
    cell = "6D92078A-8246-4BA4-AE5B-76104861E7DC"
    spelled = [cell, cell.lower(), cell.replace("-", ""), f" {{{cell}}} "]
    assert normalise("idfa", *spelled) == [cell] * 4
    assert normalise("gaid", *spelled) == [cell.lower()] * 4
    refused = {
        "00000000-0000-0000-0000-000000000000": "placeholder",
        "0" * 32: "placeholder",
        "d41d8cd98f00b204e9800998ecf8427e": "looks_hashed",
        "zz": "bad_characters",
        "abc": "bad_length",
        "": "empty",
    }
    assert normalise("idfa", *refused) == [f"<{reason}>" for reason in refused.values()]
    assert normalise("oaid", cell, cell.replace("-", "")) == [cell.lower().replace("-", "")] * 2
    assert normalise("oaid", "0123456789ABCDEF", "ab" * 32) == ["0123456789abcdef", "ab" * 32]
    assert normalise("oaid", "0" * 16, "ab" * 33, "0123") == ["<placeholder>", "<bad_length>", "<bad_length>"]


def test_opaque_keys_keep_case_and_zeros_but_not_padding() -> None:
    """Padding, or a leading zero lost, made matches vanish silently elsewhere; so did empty keys that met."""
    kept = [" 007 ", f"{BOM}007{NBSP}", "aB", "a b", "NA"]
    assert normalise("opaque", *kept) == ["007", "007", "aB", "a b", "NA"]
    assert normalise("opaque", "", None, "  ") == ["<empty>"] * 3
    assert normalise("opaque", "null", "N/A", "-") == ["<placeholder>"] * 3
    assert normalise("opaque", "x" * 1024, "x" * 1025) == ["x" * 1024, "<bad_length>"]
    assert normalise("openid", " oAbC_-9 ", "o b") == ["oAbC_-9", "<bad_characters>"]


# --- hashed forms


def test_sm3_has_the_published_vectors() -> None:
    # GB/T 32905-2016, annex A.1 and A.2.
    for sm3 in (digester("sm3"), _sm3):
        assert sm3(b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
        assert sm3(b"abcd" * 16).hex() == "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"


@pytest.mark.parametrize(
    ("form", "hashed"),
    [
        ("sha256:phone:e164", "+8613800138000"),
        ("sha256:phone:digits", "8613800138000"),
        ("sha256:phone:cn11", "13800138000"),
        ("md5:phone:cn11", "13800138000"),
    ],
)
def test_raw_mobiles_meet_hashes_of_the_stated_spelling(form: str, hashed: str) -> None:
    digest = hashlib.new(form.split(":")[0], hashed.encode()).hexdigest()
    cells = ["13800138000", "+86 138-0013-8000", digest, f"  {digest.upper()} ", f'"{digest}"']
    assert normalise(form, *cells) == [digest] * 5


@pytest.mark.parametrize(
    ("form", "cell", "hashed"),
    [
        ("md5:idfa", "6d92078a-8246-4ba4-ae5b-76104861e7dc", "6D92078A-8246-4BA4-AE5B-76104861E7DC"),
        ("md5:gaid:lower-bare", "6D92078A-8246-4BA4-AE5B-76104861E7DC", "6d92078a82464ba4ae5b76104861e7dc"),
        ("sha256:oaid", "6D92078A-8246-4BA4-AE5B-76104861E7DC", "6d92078a-8246-4ba4-ae5b-76104861e7dc"),
        ("sha256:email", " Me@QQ.com", "me@qq.com"),
        ("sha256:opaque", f" {WIDE_DIGITS} ", WIDE_DIGITS),  # an opaque key is not brought to NFKC
    ],
)
def test_each_variant_hashes_its_spelling(form: str, cell: str, hashed: str) -> None:
    assert normalise(form, cell) == [hashlib.new(form.split(":")[0], hashed.encode()).hexdigest()]


def test_rejects_in_hashed_columns() -> None:
    landline, md5 = "021-62345678", "ab" * 16
    assert normalise("sha256:phone:cn11", landline, md5, "", "12345") == [
        "<not_a_mobile>",
        "<wrong_hash>",
        "<empty>",
        "<bad_length>",
    ]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("word", [b"", b"NULL", b"null", b"None"])
def test_the_hash_of_nothing_is_nobody(algorithm: str, word: bytes) -> None:
    """A list hashed without cleaning has the same digest for each empty cell, and so has the other side's."""
    digest = digester(algorithm)(word).hex()
    zero = "0" * len(digest)
    assert normalise(f"{algorithm}:phone:cn11", digest, zero) == ["<placeholder>"] * 2


def test_results_show_no_identifier() -> None:
    result = Normaliser(parse_form("phone"))(pa.array(["13800138000", "x"]))
    assert repr(result) == str(result) == "Normalised(2 rows, 1 accepted)"
    assert result.counts() == {"bad_characters": 1}
    for cells in (pa.array([13800138000]), pa.array([["13800138000"]])):
        with pytest.raises(TypeError, match="as text") as caught:
            Normaliser(parse_form("phone"))(cells)
        assert not re.search(r"\d{9}", str(caught.value))
