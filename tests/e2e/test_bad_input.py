"""Every mistake a person can make gets one sentence that names the thing, one hint and the documented status.

Each case runs over an older result, which must come out of it untouched.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from party.synthetic import Pair
from psi.errors import CODES
from tests.e2e.command import Finished, Sandbox, snapshot

OLDER = {
    "result.json": b'{"kind": "audience"}\n',
    "bank/result.json": b"{}\n",
    "bank/rejects.csv": b"row,reason,mobile\n",
    "platform/matches.csv": b"phone,tier\n13900000000,\n",
    "platform/matches.parquet": b"PAR1",
}


@dataclass(slots=True)
class Table:
    """What a case sets up: a job file and two data files, each of which it may replace."""

    sandbox: Sandbox
    job: Path
    bank: Path
    platform: Path

    def data(self, side: str, content: str | bytes, name: str = "") -> Path:
        """Replace the file of one side."""
        path = self.sandbox.folder / (name or f"{side}-bad.csv")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        setattr(self, side, path)
        return path

    def write_job(self, **keys: Any) -> None:
        """Replace the job file."""
        self.job = self.sandbox.job(keys.pop("kind", "audience"), **keys)

    def write_text(self, text: str) -> None:
        """Replace the job file by text."""
        self.job.write_text(text, encoding="utf-8")


Options = list[str | Path] | None
Arrange = Callable[[Table], Options]


def column(header: str, cells: list[str]) -> str:
    """A file of one column."""
    return "\n".join([header, *cells]) + "\n"


def mobiles(count: int) -> list[str]:
    """Distinct mobile numbers."""
    return [f"139{number:08d}" for number in range(count)]


def tiered(cells: list[str], labels: list[str]) -> str:
    """A file of mobiles, labels in turn."""
    rows = [f"{cell},{labels[row % len(labels)]}" for row, cell in enumerate(cells)]
    return column("mobile,tier", rows)


# -- the files


def missing_file(table: Table) -> Options:
    table.bank = table.sandbox.folder / "nowhere.csv"
    return None


def misspelt_file(table: Table) -> Options:
    table.data("bank", column("mobile", mobiles(60)), "customers.csv")
    table.bank = table.sandbox.folder / "custumers.csv"
    return None


def empty_file(table: Table) -> Options:
    table.data("platform", "")
    return None


def header_only(table: Table) -> Options:
    table.data("bank", "mobile,tier\n")
    return None


def no_header(table: Table) -> Options:
    table.data("bank", "\n".join(mobiles(60)))
    return None


def missing_column(table: Table) -> Options:
    table.data("platform", column("phonne", mobiles(60)))
    return None


def missing_tier_column(table: Table) -> Options:
    table.write_job(bank={"identifier": "mobile", "tier": "level"})
    return None


def wrong_delimiter(table: Table) -> Options:
    table.data("bank", tiered(mobiles(60), ["a"]))
    table.write_job(bank={"identifier": "mobile", "delimiter": ";"})
    return None


def ragged_rows(table: Table) -> Options:
    table.data("bank", column("mobile,city", [*(f"{cell},xian" for cell in mobiles(60)), "13911111111"]))
    return None


def open_quote(table: Table) -> Options:
    table.data("bank", column("mobile,city", [f'{cell},"xian' for cell in mobiles(1)]))
    return None


def broken_encoding(table: Table) -> Options:
    table.data("bank", column("mobile", mobiles(60)).encode() + b"\xff\xfe\xfd\n")
    return None


def broken_late(table: Table) -> Options:
    # Past the first megabyte, which is what is looked at before the job begins.
    table.data("bank", column("mobile", mobiles(120_000)).encode() + b"\xff\xff\n")
    return None


def wrong_encoding_named(table: Table) -> Options:
    table.data("bank", "mobile,城市\n13900000000,西安\n".encode("gb18030"))
    table.write_job(bank={"identifier": "mobile", "encoding": "utf-8"})
    return None


def a_spreadsheet(table: Table) -> Options:
    table.data("bank", b"PK\x03\x04" + bytes(100), "bank.xlsx")
    return None


def damaged_parquet(table: Table) -> Options:
    table.data("bank", b"PAR1" + bytes(100), "bank.parquet")
    return None


def a_folder(table: Table) -> Options:
    table.bank = table.sandbox.folder / "data"
    table.bank.mkdir()
    return None


# -- what is in them


def nothing_usable(table: Table) -> Options:
    table.data("bank", column("mobile", ["unknown", "n/a", "12345"] * 30))
    return None


def hashes_where_raw_was_said(table: Table) -> Options:
    table.data("platform", column("phone", [f"{number:064x}" for number in range(1, 100)]))
    return None


def another_hash(table: Table) -> Options:
    table.data("platform", column("phone", [f"{number:032x}" for number in range(1, 100)]))
    table.write_job(identifier="sha256:phone:cn11")
    return None


def too_large(table: Table) -> Options:
    table.write_job(policy={"max_set": 2_999})
    return None


def too_small(table: Table) -> Options:
    table.data("platform", column("phone", mobiles(49)))
    return None


def small_tier(table: Table) -> Options:
    table.data("bank", tiered(mobiles(100), ["plus"] * 9 + ["vip"]))
    table.write_job(bank={"identifier": "mobile", "tier": "tier"})
    return None


def too_many_tiers(table: Table) -> Options:
    table.data("bank", tiered(mobiles(3_300), [f"level {number}" for number in range(33)]))
    table.write_job(bank={"identifier": "mobile", "tier": "tier"})
    return None


# -- the job file


def no_job_file(table: Table) -> Options:
    table.job = table.sandbox.folder / "NOWHERE.toml"
    return None


def bad_toml(table: Table) -> Options:
    table.write_text("kind = audience\n")
    return None


def unknown_key(table: Table) -> Options:
    table.write_job(policy={"min_gruop": 10})
    return None


def unknown_top_key(table: Table) -> Options:
    table.write_job(recipient="platform")
    return None


def unknown_kind(table: Table) -> Options:
    table.write_job(kind="audiance")
    return None


def unknown_identifier(table: Table) -> Options:
    table.write_job(identifier="fone")
    return None


def unnamed_spelling(table: Table) -> Options:
    table.write_job(identifier="sha256:phone")
    return None


def unknown_suite(table: Table) -> Options:
    table.write_job(suite="x25519-ell")
    return None


def unknown_receiver(table: Table) -> Options:
    table.write_job(receiver="plattform")
    return None


def no_purpose(table: Table) -> Options:
    table.write_job(purpose="")
    return None


def overlap_with_holdout(table: Table) -> Options:
    table.write_job(kind="overlap", receiver="bank", holdout=0.1)
    return None


# -- the machine


def file_in_the_way(table: Table) -> Options:
    blocker = table.sandbox.folder / "blocker"
    blocker.write_text("in the way")
    return ["--out", blocker / "results"]


def out_is_a_file(table: Table) -> Options:
    blocker = table.sandbox.folder / "blocker"
    blocker.write_text("in the way")
    return ["--out", blocker]


def unwritable_out(table: Table) -> Options:
    return ["--out", "/proc/veiljoin-results"]


def unknown_engine(table: Table) -> Options:
    return ["--engine", "cryptograhpy"]


def engine_of_another_suite(table: Table) -> Options:
    return ["--engine", "sodium"]


def no_threads(table: Table) -> Options:
    return ["--threads", "0"]


def foreign_address(table: Table) -> Options:
    return ["--listen", "192.0.2.1:0"]  # RFC 5737: nobody's address


@dataclass(frozen=True, slots=True)
class Case:
    """A mistake, the code of its error, and what sentence and hint must name."""

    arrange: Arrange
    code: str
    names: tuple[str, ...]
    hints: tuple[str, ...] = ()


CASES = [
    Case(missing_file, "missing_file", ("nowhere.csv",)),
    Case(misspelt_file, "missing_file", ("custumers.csv",), ("customers.csv",)),
    Case(empty_file, "empty_file", ("platform-bad.csv",), ("header",)),
    Case(header_only, "empty_file", ("bank-bad.csv",)),
    Case(no_header, "bad_format", ("bank-bad.csv",), ("header",)),
    Case(missing_column, "missing_column", ("platform-bad.csv", "phone"), ("phonne",)),
    Case(missing_tier_column, "missing_column", ("bank.csv", "level")),
    Case(wrong_delimiter, "missing_column", ("bank-bad.csv", "mobile"), ("delimiter",)),
    Case(ragged_rows, "bad_format", ("bank-bad.csv", "row 61"), ("delimiter",)),
    Case(open_quote, "bad_format", ("bank-bad.csv",), ("quotation mark",)),
    Case(broken_encoding, "bad_encoding", ("bank-bad.csv",), ("UTF-8",)),
    Case(broken_late, "bad_encoding", ("bank-bad.csv", "line 120002"), ("encoding",)),
    Case(wrong_encoding_named, "bad_encoding", ("bank-bad.csv", "UTF-8"), ("encoding",)),
    Case(a_spreadsheet, "bad_format", ("bank.xlsx",), ("CSV",)),
    Case(damaged_parquet, "bad_format", ("bank.parquet",)),
    Case(a_folder, "unreadable_file", ("data",)),
    Case(nothing_usable, "all_rejected", ("bank-bad.csv", "mobile", "90 rows"), ("column",)),
    Case(hashes_where_raw_was_said, "form_mismatch", ("platform-bad.csv", "phone"), ("sha256",)),
    Case(another_hash, "form_mismatch", ("platform-bad.csv", "phone"), ("md5",)),
    Case(too_large, "over_limit", ("3,000", "max_set", "2,999"), ("max_set",)),
    Case(too_small, "too_small", ("platform-bad.csv", "49", "min_group = 50"), ("min_group",)),
    Case(small_tier, "too_small", ("bank-bad.csv", "'vip'", "10"), ("tier",)),
    Case(too_many_tiers, "bad_setting", ("bank-bad.csv", "tier", "32"), ("column",)),
    Case(no_job_file, "missing_file", ("NOWHERE.toml",)),
    Case(bad_toml, "bad_format", ("JOB.toml", "line 1"), ("quotes",)),
    Case(unknown_key, "unknown_key", ("min_gruop", "JOB.toml", "[policy]"), ("min_group",)),
    Case(unknown_top_key, "unknown_key", ("recipient", "JOB.toml"), ("receiver",)),
    Case(unknown_kind, "bad_setting", ("audiance", "JOB.toml"), ("audience",)),
    Case(unknown_identifier, "bad_setting", ("fone",), ("phone",)),
    Case(unnamed_spelling, "bad_setting", ("sha256:phone",), ("sha256:phone:cn11",)),
    Case(unknown_suite, "bad_setting", ("x25519-ell",), ("x25519-ell2",)),
    Case(unknown_receiver, "bad_setting", ("plattform", "receiver"), ("platform",)),
    Case(no_purpose, "bad_setting", ("purpose", "JOB.toml")),
    Case(overlap_with_holdout, "unknown_key", ("holdout", "JOB.toml"), ("audience",)),
    Case(file_in_the_way, "unwritable", ("blocker",)),
    Case(out_is_a_file, "unwritable", ("blocker",)),
    Case(unwritable_out, "unwritable", ("/proc/veiljoin-results",)),
    Case(unknown_engine, "bad_setting", ("cryptograhpy",), ("cryptography",)),
    Case(engine_of_another_suite, "bad_setting", ("sodium", "x25519-ell2")),
    Case(no_threads, "bad_setting", ("0 threads",)),
    Case(foreign_address, "port_taken", ("192.0.2.1",), ("port",)),
]


def one_sentence(text: str) -> bool:
    """Whether ``text`` is one line that ends like a sentence and holds no other one's beginning."""
    return text.endswith(".") and not re.search(r"[a-z]\. [A-Z]", text)


def check(finished: Finished, code: str, names: tuple[str, ...], hints: tuple[str, ...] = ()) -> None:
    """Check the status of ``code``, and what sentence and hint must name."""
    told = finished.stderr
    assert finished.status == CODES[code].exit, told
    assert finished.foreign_lines == []
    assert one_sentence(finished.error), finished.error
    assert finished.hint
    for word in names:
        assert word in finished.error
    for word in hints:
        assert word in finished.hint
    # A message names files, columns, settings and counts; a cell it never shows.
    assert not re.search(r"\d{11}", told)


def older_result(out: Path) -> dict[str, bytes | None]:
    """Put the result of an earlier run into ``out`` and return what lies there."""
    for name, content in OLDER.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return snapshot(out)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.arrange.__name__)
def test_a_mistake_is_named(sandbox: Sandbox, small: Pair, case: Case) -> None:
    table = Table(sandbox, sandbox.job(), small.bank, small.platform)
    before = older_result(sandbox.out)
    options = case.arrange(table)
    finished = sandbox.rehearse(table.job, table.bank, table.platform, *(options or []))
    check(finished, case.code, case.names, case.hints)
    assert snapshot(sandbox.out) == before
    assert sandbox.leftovers() == []


def test_a_port_that_is_taken_is_named(sandbox: Sandbox, small: Pair) -> None:
    before = older_result(sandbox.out)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        finished = sandbox.rehearse(sandbox.job(), small.bank, small.platform, "--listen", address)
    check(finished, "port_taken", (address,), ("another",))
    assert snapshot(sandbox.out) == before
    assert sandbox.leftovers() == []


def test_an_engine_that_cannot_run_is_named_with_the_reason(sandbox: Sandbox, small: Pair) -> None:
    before = older_result(sandbox.out)
    finished = sandbox.rehearse(
        sandbox.job(), small.bank, small.platform, "--engine", "crypto_mb", hooks=["without_accel"]
    )
    check(finished, "engine_unavailable", ("crypto_mb", "not installed"), ("engine",))
    assert snapshot(sandbox.out) == before


@contextlib.contextmanager
def write_protected(folder: Path) -> Iterator[None]:
    """Take the permission to write into a folder away."""
    folder.chmod(0o500)
    try:
        yield
    finally:
        folder.chmod(0o700)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission_is_named(sandbox: Sandbox, small: Pair) -> None:
    before = older_result(sandbox.out)
    with write_protected(sandbox.out):
        finished = sandbox.rehearse(sandbox.job(), small.bank, small.platform)
    check(finished, "unwritable", ("out",), ("permission",))
    assert snapshot(sandbox.out) == before


def test_a_good_run_replaces_the_older_result_as_a_whole(sandbox: Sandbox, small: Pair) -> None:
    older_result(sandbox.out)
    sandbox.rehearse(sandbox.job(receiver="bank"), small.bank, small.platform).require_done()
    # The platform received nothing this time, so its list of last time would mislead.
    assert not (sandbox.out / "platform" / "matches.csv").exists()
    assert not (sandbox.out / "platform" / "matches.parquet").exists()
    assert (sandbox.out / "bank" / "matches.csv").exists()
