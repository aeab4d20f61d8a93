"""The real command gives exactly what plain SQL gives, over every kind, receiver, suite, form and file format."""

from __future__ import annotations

import csv
import json
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from party.synthetic import Pair, make_pair
from tests.e2e.command import Finished, Sandbox
from tests.e2e.oracle import CANONICAL, File, Oracle, Row, read_list

TIERS = ("gold", "silver", "basic")


@dataclass(frozen=True, slots=True)
class Run:
    """A finished job and the oracle of its files."""

    finished: Finished
    out: Path
    oracle: Oracle
    pair: Pair

    @property
    def result(self) -> dict[str, Any]:
        """The combined result."""
        content: dict[str, Any] = json.loads((self.out / "result.json").read_text(encoding="utf-8"))
        return content

    def listed(self, side: str, name: str = "matches.csv") -> tuple[list[str], list[Row]]:
        """Header and rows of a list."""
        return read_list(self.out / side / name)


def run_pair(sandbox: Sandbox, pair: Pair, tiers: tuple[str, ...] = (), **keys: Any) -> Run:
    """Run a job over a synthetic pair, with tiers at the bank if there are any."""
    bank: dict[str, Any] = {"identifier": pair.bank_column}
    if tiers:
        bank |= {"tier": "tier", "tiers": list(tiers)}
    sections: dict[str, Any] = {"bank": bank, "platform": {"identifier": pair.platform_column}}
    kind = keys.pop("kind", "audience")
    job = sandbox.job(kind, identifier=pair.identifier, **sections, **keys)
    finished = sandbox.rehearse(job, pair.bank, pair.platform).require_done()
    bank_file = File(pair.bank, pair.bank_column, tiers)
    oracle = Oracle(pair.identifier, bank_file, File(pair.platform, pair.platform_column))
    return Run(finished, sandbox.out, oracle, pair)


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """20,000 dirty phone numbers a side, tiers at the bank, one list for the platform."""
    sandbox = Sandbox(tmp_path_factory.mktemp("messy"))
    pair = make_pair(sandbox.folder, "phone", 20_000, seed=3, tiers=TIERS, duplicates=0.05, garbage=0.02)
    return run_pair(sandbox, pair, TIERS)


def test_the_list_is_the_oracles(messy: Run) -> None:
    header, rows = messy.listed("platform")
    assert header == [messy.pair.platform_column, "tier"]
    assert rows == messy.oracle.list_of("platform")
    assert len(rows) == messy.pair.common_persons


def test_the_parquet_file_holds_the_same_list(messy: Run) -> None:
    table = pq.read_table(messy.out / "platform" / "matches.parquet")
    assert table.column_names == [messy.pair.platform_column, "tier"]
    assert list(zip(*table.to_pydict().values(), strict=True)) == messy.oracle.list_of("platform")


def test_the_sender_has_no_list_and_no_count(messy: Run) -> None:
    assert sorted(path.name for path in (messy.out / "bank").iterdir()) == [
        "bank.veiljoin-log",
        "rejects.csv",
        "result.json",
    ]
    own = json.loads((messy.out / "bank" / "result.json").read_text(encoding="utf-8"))
    assert own["totals"]["matched"] is None
    assert own["withheld"] == [{"figure": "matched", "reason": "not_told_by_contract"}]
    assert list(own["parties"]) == ["bank"]
    assert own["groups"] == []


def test_the_result_has_the_shape_that_is_documented(messy: Run) -> None:
    result, oracle = messy.result, messy.oracle
    assert result["kind"] == "audience"
    assert result["totals"] == {
        "bank_persons": oracle.persons("bank"),
        "platform_persons": oracle.persons("platform"),
        "matched": messy.pair.common_persons,
    }
    matched = [tier for _, tier in oracle.list_of("platform")]
    sizes = oracle.tier_sizes("bank")
    assert result["groups"] == [
        {"group": {"tier": tier}, "persons": sizes[tier], "matched": matched.count(tier)} for tier in TIERS
    ]
    assert result["suppressed_groups"] == 0
    assert set(result["parties"]) == {"bank", "platform"}
    for side, party in result["parties"].items():
        rows = getattr(messy.pair, side).read_bytes().count(b"\n") - 1
        assert party["rows_read"] == rows
        assert sum(party["rejected"].values()) == rows - oracle.usable_rows(side)
        assert party["unique_persons"] == oracle.persons(side)
        assert party["duplicates"] == oracle.usable_rows(side) - oracle.persons(side)
        assert {"agree", "read", "order", "exchange", "write"} <= set(party["seconds"])
        assert party["engine"] in ("crypto_mb", "cryptography")
        assert party["peak_memory_mb"] > 0
    assert result["parties"]["bank"]["bytes_sent"] == result["parties"]["platform"]["bytes_received"]
    assert result["parties"]["platform"]["bytes_sent"] == result["parties"]["bank"]["bytes_received"]


def test_few_bytes_travel_per_pair_of_elements(messy: Run) -> None:
    # 32 bytes for each side's point and 16 for the returned token are 80; the rest is framing and contract.
    parties = messy.result["parties"].values()
    assert sum(party["bytes_sent"] for party in parties) / messy.pair.bank_persons <= 82


def test_rejected_rows_are_listed_for_their_owner(messy: Run) -> None:
    for side, party in messy.result["parties"].items():
        _, rows = read_list(messy.out / side / "rejects.csv")
        assert len(rows) == sum(party["rejected"].values())


def test_every_result_is_private(messy: Run) -> None:
    for path in messy.out.rglob("*"):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


@dataclass(frozen=True, slots=True)
class Case:
    """One job over a synthetic pair."""

    form: str
    receiver: str
    rows: int = 3_000
    format: Literal["csv", "parquet"] = "csv"
    tiers: tuple[str, ...] = ()
    hashed: bool = True
    overlap: float = 0.4
    keys: dict[str, Any] = field(default_factory=dict)


RISTRETTO = {"suite": "ristretto255"}
AUDIENCES = [
    Case("email", "bank", keys=RISTRETTO),
    Case("email", "platform", format="parquet", tiers=TIERS),
    Case("oaid", "both", tiers=TIERS, format="parquet"),
    Case("phone", "both", keys=RISTRETTO),
    Case("national_id", "platform", keys={"output": "unmatched"}),
    Case("national_id", "bank", keys={"output": "unmatched"} | RISTRETTO),
    Case("sha256:phone:cn11", "platform", tiers=TIERS, keys=RISTRETTO),
    Case("sha256:phone:cn11", "bank", hashed=False),
]


def name_of(case: Case) -> str:
    """The name of a case in pytest's output."""
    return "-".join(
        [case.form, case.receiver, case.format, *(str(value) for value in case.keys.values())]
    ).replace(":", "_")


@pytest.mark.parametrize("case", AUDIENCES, ids=name_of)
def test_audiences(sandbox: Sandbox, case: Case) -> None:
    pair = make_pair(
        sandbox.folder,
        case.form,
        case.rows,
        overlap=case.overlap,
        platform_rows=case.rows + 500,
        tiers=TIERS,
        format=case.format,
        platform_hashed=case.hashed,
    )
    run = run_pair(sandbox, pair, case.tiers, receiver=case.receiver, **case.keys)
    matched = case.keys.get("output") != "unmatched"
    for side in ("bank", "platform"):
        if case.receiver in (side, "both"):
            header, rows = run.listed(side)
            assert header == [getattr(pair, f"{side}_column"), "tier"]
            assert rows == run.oracle.list_of(side, matched=matched)
        else:
            assert not (run.out / side / "matches.csv").exists()
            assert not (run.out / side / "matches.parquet").exists()
    assert run.result["totals"]["matched"] == pair.common_persons
    assert run.result["suite"] == case.keys.get("suite", "x25519-ell2")


@pytest.fixture(scope="module", params=["platform", "both"])
def holdout(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A job whose sender keeps a fifth back."""
    sandbox = Sandbox(tmp_path_factory.mktemp("holdout"))
    pair = make_pair(sandbox.folder, "phone", 6_000, seed=8, tiers=TIERS)
    return run_pair(sandbox, pair, TIERS, receiver=request.param, holdout=0.2)


def test_who_is_held_back_is_listed_at_the_sender_and_matches_nobody(holdout: Run) -> None:
    header, held = holdout.listed("bank", "holdout.csv")
    cells = [cell for cell, _ in held]
    persons, first_rows = holdout.oracle.held_by("bank", cells)
    assert header == [holdout.pair.bank_column, "tier"]
    assert cells == first_rows
    assert len(held) == persons
    assert {tier for _, tier in held} == set(TIERS)
    assert not (holdout.out / "platform" / "holdout.csv").exists()
    assert holdout.listed("platform")[1] == holdout.oracle.list_of("platform", without=cells)


def test_the_share_held_back_is_about_right(holdout: Run) -> None:
    held = holdout.result["parties"]["bank"]["held_back"]
    # Five standard deviations of a binomial with 6,000 trials are 155.
    assert 1_200 - 155 < held < 1_200 + 155
    assert held == len(holdout.listed("bank", "holdout.csv")[1])
    assert holdout.result["totals"]["bank_persons"] == 6_000 - held


# Phone numbers by hand: the same person in several spellings, with another tier each time.
TWO_TIERS = [("13800000000", "basic"), ("+86 138 0000 0000", "gold"), ("0086-138-0000-0000", "silver")]


def write_csv(path: Path, header: str, rows: list[str]) -> Path:
    """Write a CSV file from finished lines."""
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def phones(start: int, count: int) -> list[str]:
    """Distinct Chinese mobile numbers."""
    return [f"139{start + number:08d}" for number in range(count)]


@pytest.mark.parametrize("keep", ["first", "last"])
def test_who_has_two_tiers_takes_the_highest(sandbox: Sandbox, keep: str) -> None:
    others = [f"{phone},{tier}" for tier in TIERS for phone in phones(TIERS.index(tier) * 1_000, 100)]
    mine = [f"{phone},{tier}" for phone, tier in TWO_TIERS]
    bank = write_csv(sandbox.folder / "bank.csv", "mobile,tier", [*mine[:2], *others, mine[2]])
    theirs = ["138 0000 0000", *phones(0, 60), *phones(1_000, 60), *phones(2_000, 60), "+8613800000000"]
    platform = write_csv(sandbox.folder / "platform.csv", "phone", theirs)
    job = sandbox.job(
        bank={"identifier": "mobile", "tier": "tier", "tiers": list(TIERS)},
        platform={"identifier": "phone", "keep": keep},
    )
    sandbox.rehearse(job, bank, platform).require_done()
    _, rows = read_list(sandbox.out / "platform" / "matches.csv")
    expected = Oracle("phone", File(bank, "mobile", TIERS), File(platform, "phone")).list_of("platform")
    if keep == "last":
        expected = [*expected[1:], ("+8613800000000", "gold")]
    else:
        assert expected[0] == ("138 0000 0000", "gold")
    assert rows == expected
    assert len(rows) == 181


@pytest.fixture(scope="module")
def tiered_pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A pair whose platform file has the bank's columns too, so that either side can have tiers."""
    folder = tmp_path_factory.mktemp("overlap")
    pair = make_pair(folder, "phone", 4_000, overlap=0.6, seed=4, tiers=TIERS)
    table = pacsv.read_csv(
        pair.platform, convert_options=pacsv.ConvertOptions(column_types={"phone": pa.string()})
    )
    pacsv.write_csv(table.rename_columns({"city": "tier"}), pair.platform)
    return pair


CITIES = ("beijing", "shanghai", "chengdu", "xian")


@pytest.mark.parametrize(
    ("receiver", "bank_tiers", "platform_tiers", "suite"),
    [
        ("bank", True, False, "x25519-ell2"),
        ("platform", True, True, "x25519-ell2"),
        ("bank", False, False, "ristretto255"),
    ],
)
def test_overlaps(
    sandbox: Sandbox, tiered_pair: Pair, receiver: str, bank_tiers: bool, platform_tiers: bool, suite: str
) -> None:
    pair = tiered_pair
    split = {"bank": (bank_tiers, TIERS), "platform": (platform_tiers, CITIES)}
    columns = {"bank": pair.bank_column, "platform": pair.platform_column}
    sections: dict[str, Any] = {
        side: {"identifier": columns[side]} | ({"tier": "tier", "tiers": list(labels)} if used else {})
        for side, (used, labels) in split.items()
    }
    job = sandbox.job("overlap", receiver=receiver, suite=suite, **sections)
    sandbox.rehearse(job, pair.bank, pair.platform).require_done()
    oracle = Oracle("phone", File(pair.bank, "mobile", TIERS), File(pair.platform, "phone", CITIES))
    counts = oracle.overlap(bank_tiers, platform_tiers)

    result = json.loads((sandbox.out / "result.json").read_text(encoding="utf-8"))
    assert result["totals"]["matched"] == sum(counts.values()) == pair.common_persons
    if bank_tiers and platform_tiers:
        told = {
            (group["group"]["bank_tier"], group["group"]["platform_tier"]): group["matched"]
            for group in result["groups"]
        }
        assert told == counts
    elif bank_tiers:
        sizes = oracle.tier_sizes("bank")
        assert result["groups"] == [
            {"group": {"tier": tier}, "persons": sizes[tier], "matched": counts[tier, ""]} for tier in TIERS
        ]
    else:
        assert result["groups"] == []
    assert result["suppressed_groups"] == 0
    # Counting names nobody, at either side.
    assert not list(sandbox.out.rglob("matches.*"))


def test_a_list_below_min_group_is_withheld(sandbox: Sandbox) -> None:
    bank = write_csv(sandbox.folder / "bank.csv", "mobile", phones(0, 200))
    platform = write_csv(sandbox.folder / "platform.csv", "phone", phones(151, 200))
    sandbox.rehearse(sandbox.job(), bank, platform).require_done()
    result = json.loads((sandbox.out / "result.json").read_text(encoding="utf-8"))
    assert result["totals"]["matched"] is None
    assert result["withheld"] == [{"figure": "list", "reason": "below_min_group"}]
    assert not list(sandbox.out.rglob("matches.*"))


def test_nobody_in_common_is_an_empty_list_and_a_zero(sandbox: Sandbox) -> None:
    bank = write_csv(sandbox.folder / "bank.csv", "mobile", phones(0, 200))
    platform = write_csv(sandbox.folder / "platform.csv", "phone", phones(500, 200))
    sandbox.rehearse(sandbox.job(), bank, platform).require_done()
    result = json.loads((sandbox.out / "result.json").read_text(encoding="utf-8"))
    assert result["totals"]["matched"] == 0
    assert read_list(sandbox.out / "platform" / "matches.csv") == (["phone", "tier"], [])


def rewritten(pair: Pair, side: str, folder: Path, shape: str) -> Path:
    """The file of ``side`` in another shape; all of them are recognised without a word in the job file."""
    source: Path = getattr(pair, side)
    text = source.read_text(encoding="utf-8")
    if shape == "semicolon-bom":
        target = folder / f"{side}.csv"
        target.write_text(text.replace(",", ";"), encoding="utf-8-sig")
    elif shape == "gb18030":
        target = folder / f"{side}-gb.csv"
        lines = text.splitlines()
        lines = [f"{lines[0]},备注", *(f"{line},客户" for line in lines[1:])]
        target.write_text("\n".join(lines) + "\n", encoding="gb18030")
    else:
        names = next(csv.reader(text.splitlines()[:1]))
        table = pacsv.read_csv(
            source, convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
        )
        if shape == "parquet":
            target = folder / f"{side}.parquet"
            pq.write_table(table, target)
        else:
            target = folder / f"{side}.jsonl"
            lines = [json.dumps(row, ensure_ascii=False) for row in table.to_pylist()]
            target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


@pytest.mark.parametrize(
    ("bank_shape", "platform_shape"),
    [("semicolon-bom", "gb18030"), ("parquet", "jsonl"), ("gb18030", "parquet")],
)
def test_every_file_format_gives_the_same(
    sandbox: Sandbox, small: Pair, bank_shape: str, platform_shape: str
) -> None:
    bank = rewritten(small, "bank", sandbox.folder, bank_shape)
    platform = rewritten(small, "platform", sandbox.folder, platform_shape)
    sandbox.rehearse(sandbox.job(), bank, platform).require_done()
    _, rows = read_list(sandbox.out / "platform" / "matches.csv")
    # The oracle reads the plain twins: what a file is written in changes nothing in what it says.
    oracle = Oracle("phone", File(small.bank, "mobile"), File(small.platform, "phone"))
    assert rows == oracle.list_of("platform")
    assert len(rows) == small.common_persons


def test_the_oracle_knows_every_form_used_here() -> None:
    assert {case.form for case in AUDIENCES} <= set(CANONICAL)
