"""No identifier, hash of one, unmasked point or key is left in anything that a run prints, names or writes.

Exempt are the lists that a party gets about its own rows: matches, holdout and rejects.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from party.synthetic import Pair, make_pair
from psi.suites import suite_by_id
from tests.e2e.command import NOTICED, Finished, Running, Sandbox, is_held, needs_proc
from tests.e2e.traces import Search, Seen, capture, cells, curve_points, phone_forms

PERSONS = 6_000
# Every row so often that the tables no longer fit the working database's memory and go to disk.
COPIES = 30
TIGHT = "10MB"
KEYS = (b"-----BEGIN", b"PRIVATE KEY")


@dataclass(slots=True)
class Watched:
    """A run, and all that was on disk while it was held: folders, working data, spilled tables."""

    pair: Pair
    finished: Finished
    search: Search
    points: Search
    seen: list[Seen] = field(default_factory=list)
    processes: list[bytes] = field(default_factory=list)
    out: Path = Path()


def identifiers(pair: Pair) -> tuple[Search, list[str]]:
    """A search for every form of every identifier in both files, and the numbers themselves."""
    texts = set(cells(pair.bank, pair.bank_column)) | set(cells(pair.platform, pair.platform_column))
    forms: set[bytes] = set()
    for text in texts:
        forms |= phone_forms(text)
    numbers = sorted(form.decode() for form in forms if len(form) == 11 and form.isdigit())
    return Search(forms), numbers


def contract_of(events: list[dict[str, Any]]) -> bytes:
    """The contract hash that the run printed before it began."""
    return bytes.fromhex(next(event["contract"] for event in events if event["event"] == "card"))


def process_texts(job: Running) -> list[bytes]:
    """Arguments and environment of every process of a run, which others on the machine may see."""
    texts = []
    for pid in job.processes():
        for name in ("cmdline", "environ"):
            texts.append(Path(f"/proc/{pid}/{name}").read_bytes())
    return texts


def watched_run(sandbox: Sandbox, pair: Pair, suite: str, **keys: Any) -> Watched:
    """Run a job with both parties held before ordering and before writing, and look at the disk then."""
    held = [f"{side}:{phase}" for phase in ("order", "write") for side in ("bank", "platform")]
    environment = sandbox.holding(*held) | {"VEILJOIN_TEST_MEMORY": TIGHT}
    arguments = sandbox.arguments(
        sandbox.job(suite=suite, **keys), pair.bank, pair.platform, "--json", "--threads", "1"
    )
    seen: list[Seen] = []
    processes: list[bytes] = []
    with sandbox.start(*arguments, hooks=["hold"], environment=environment) as job:
        for phase in ("order", "write"):
            for side in ("bank", "platform"):
                job.wait_for(is_held(side, phase))
            seen += capture(sandbox.out, sandbox.temporary, sandbox.home, sandbox.cwd)
            processes += process_texts(job)
            sandbox.release(phase)
        finished = job.finish().require_done()
    search, numbers = identifiers(pair)
    points = curve_points(suite_by_id(suite), contract_of(finished.events), numbers)
    return Watched(pair, finished, search, Search(points), seen, processes, sandbox.out)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Dirty telephone numbers, with more rows than fit the memory that the run gets."""
    pair = make_pair(tmp_path_factory.mktemp("people"), "phone", PERSONS, seed=5)
    for path in (pair.bank, pair.platform):
        header, _, rows = path.read_bytes().partition(b"\n")
        path.write_bytes(header + b"\n" + rows * COPIES)
    return pair


@pytest.fixture(scope="module")
def watched(people: Pair, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """A run that uses every kind of working data: both receive, some are held back, there are tiers."""
    sandbox = Sandbox(tmp_path_factory.mktemp("watched"))
    tiered = {"identifier": people.bank_column, "tier": "tier"}
    return watched_run(sandbox, people, "x25519-ell2", receiver="both", holdout=0.1, bank=tiered)


pytestmark = needs_proc


def test_the_search_finds_what_is_there(watched: Watched) -> None:
    # Without this, a search that finds nothing would say nothing.
    for side in ("bank", "platform"):
        for name in ("matches.csv", "matches.parquet", "rejects.csv"):
            content = (watched.out / side / name).read_bytes()
            assert name == "rejects.csv" or watched.search.first_in(content) is not None
    number = phone_forms("13800000000")
    assert all(Search(number).first_in(b"\x00\x01\x02" + form + b"\xff") == 3 for form in number)
    (point,) = curve_points(suite_by_id("x25519-ell2"), bytes(32), ["13800000000"])
    assert Search([point]).first_in(bytes(1000) + point) == 1000


def test_the_working_data_was_there_to_be_searched(watched: Watched) -> None:
    names = {seen.name.rpartition("/.veiljoin-")[2].partition("/")[2] for seen in watched.seen}
    for side in ("bank", "platform"):
        run = "/".join((side, "work", "run"))
        assert f"{run}/prepared/out/own-points/00000000.chunk" in names
        assert any(name.startswith(f"{run}/journal/") for name in names)
    spilled = [seen for seen in watched.seen if "/spill/" in seen.name and len(seen.content) > 0]
    assert spilled, "the working database spilled nothing; give it less memory"


def test_working_data_holds_no_identifier_and_no_point(watched: Watched) -> None:
    for seen in watched.seen:
        if not seen.exempt:
            assert watched.search.first_in(seen.content) is None, seen.name
            assert watched.points.first_in(seen.content) is None, seen.name


def test_no_key_is_ever_on_disk(watched: Watched) -> None:
    for seen in watched.seen:
        assert not any(key in seen.content for key in KEYS), seen.name


def test_arguments_and_environment_hold_no_key_and_no_identifier(watched: Watched) -> None:
    assert len(watched.processes) >= 2 * 2 * 3  # the command and both parties, twice
    for text in watched.processes:
        assert not any(key in text for key in KEYS)
        assert watched.search.first_in(text) is None


def test_working_data_is_private_while_the_job_runs(watched: Watched) -> None:
    for seen in watched.seen:
        if "/.veiljoin-" in seen.name:
            assert seen.mode == (0o700 if seen.is_folder else 0o600), seen.name


def nothing_told(search: Search, finished: Finished, out: Path) -> None:
    """Neither output, nor result files, nor names tell an identifier."""
    assert search.first_in(finished.stdout.encode()) is None
    assert search.first_in(finished.stderr.encode()) is None
    for seen in capture(out):
        assert search.first_in(seen.name.encode()) is None
        if not seen.exempt:
            assert search.first_in(seen.content) is None, seen.name
            assert not any(key in seen.content for key in KEYS), seen.name


def test_what_is_printed_and_kept_names_nobody(watched: Watched) -> None:
    nothing_told(watched.search, watched.finished, watched.out)
    assert watched.points.first_in(watched.finished.stdout.encode()) is None
    for seen in watched.seen:
        assert watched.search.first_in(seen.name.encode()) is None


@pytest.fixture(scope="module")
def few(small: Pair) -> tuple[Pair, Search]:
    """The small pair and the search for its identifiers."""
    return small, identifiers(small)[0]


@pytest.mark.parametrize("engine", ["cryptography", "sodium"])
def test_plain_output_names_nobody(sandbox: Sandbox, few: tuple[Pair, Search], engine: str) -> None:
    pair, search = few
    suite = "ristretto255" if engine == "sodium" else "x25519-ell2"
    job = sandbox.job("overlap", receiver="bank", suite=suite)
    finished = sandbox.rehearse(job, pair.bank, pair.platform, "--engine", engine).require_done()
    nothing_told(search, finished, sandbox.out)


# What is wrong with the job, and whether the output is JSON.
FAILURES: dict[str, tuple[dict[str, Any], bool]] = {
    "another identifier": ({"identifier": "national_id"}, True),
    "tiers that are persons": ({"bank": {"identifier": "mobile", "tier": "mobile"}}, False),
    "a set that is too large": ({"policy": {"max_set": 100}}, False),
    "tiers that are persons, at the other side": (
        {"receiver": "both", "platform": {"identifier": "phone", "tier": "phone"}},
        True,
    ),
}


@pytest.mark.parametrize(("keys", "as_json"), FAILURES.values(), ids=FAILURES)
def test_failures_name_nobody(
    sandbox: Sandbox, few: tuple[Pair, Search], keys: dict[str, Any], as_json: bool
) -> None:
    pair, search = few
    options = ["--json"] if as_json else []
    finished = sandbox.rehearse(sandbox.job(**keys), pair.bank, pair.platform, *options)
    assert finished.status in (2, 3)
    assert finished.error
    nothing_told(search, finished, sandbox.out)


HEADLESS = "a file without a header", "a row with too many cells"


@pytest.mark.parametrize("fault", HEADLESS)
def test_messages_about_broken_files_show_no_cell(
    sandbox: Sandbox, few: tuple[Pair, Search], fault: str
) -> None:
    pair, search = few
    numbers = [cell for cell in cells(pair.bank, "mobile") if cell.isdigit() and len(cell) == 11]
    lines = numbers if fault == HEADLESS[0] else ["mobile,name", numbers[0] + ",a", numbers[1] + ",a,b"]
    bank = sandbox.folder / "bank.csv"
    bank.write_text("\n".join(lines) + "\n", encoding="utf-8")
    finished = sandbox.rehearse(sandbox.job(), bank, pair.platform)
    assert finished.status == 2
    nothing_told(search, finished, sandbox.out)


def test_a_crash_of_everything_leaves_nothing_that_tells(sandbox: Sandbox, small: Pair) -> None:
    # The machine loses power: nobody cleans up, and what is left on disk stays there.
    environment = sandbox.holding("bank:write", "platform:write")
    arguments = sandbox.arguments(sandbox.job(receiver="both"), small.bank, small.platform, "--json")
    with sandbox.start(*arguments, hooks=["hold"], environment=environment) as job:
        job.wait_for(is_held("bank", "write"))
        job.wait_for(is_held("platform", "write"))
        for pid in job.processes():
            os.kill(pid, signal.SIGSTOP)  # so that none of them outlives another by an instant
        for pid in job.processes():
            os.kill(pid, signal.SIGKILL)
        job.process.wait()
        assert job.gone_within(NOTICED)
    search, _ = identifiers(small)
    left = capture(sandbox.out, sandbox.temporary, sandbox.home, sandbox.cwd)
    assert any("/own-points/" in seen.name for seen in left), "there should be something left to look at"
    for seen in left:
        assert not any(key in seen.content for key in KEYS), seen.name
        assert search.first_in(seen.name.encode()) is None
        assert seen.exempt or search.first_in(seen.content) is None, seen.name
        assert seen.mode & 0o077 == 0, seen.name
    # The next run clears it away.
    (sandbox.folder / "gates" / "write").unlink()
    sandbox.rehearse(sandbox.job(), small.bank, small.platform).require_done()
    assert sandbox.leftovers() == []
