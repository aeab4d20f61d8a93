"""A log as people read it: what is asked for and nothing else, the newest first, each entry once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from audit.entry import Draft
from audit.merkle import leaf_hash
from party import logview
from party.auditlog import AuditLog, note
from party.cosigning import LogSecrets, begin_log
from party.identity import new_identity
from party.logview import LogView, Wanted
from party.store import Store
from party.tables import audit_entries
from psi.errors import UsageError
from tests.party.blankstore import write_store

START = 1_790_000_000
JOBS = [f"{number:08x}" + "0" * 24 for number in range(10)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 201 entries: after its beginning, ten jobs in turn, one entry a second, every seventh by ann."""
    path = tmp_path_factory.mktemp("made") / "store.sqlite"
    write_store(path)
    store = Store(f"sqlite:///{path}")
    log, secrets = AuditLog(store), LogSecrets(new_identity(), new_identity())
    begin_log(log, secrets, new_identity(), "bank", "bank", "veiljoin 0", START)
    with store.transaction() as connection:
        for number in range(1, 201):
            who = "ann" if number % 7 == 0 else "node:bank"
            kind, facts = ("job_start", {"attempt": 1}) if number % 2 else ("job_finish", {})
            note(connection, Draft(kind, who, JOBS[number % 10], facts), START + number)
    store.close()
    return path


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Iterator[Store]:
    """A copy of it for each test."""
    store = Store(f"sqlite:///{shutil.copy(made, tmp_path)}")
    yield store
    store.close()


def numbers(view: LogView, wanted: Wanted, limit: int = 7) -> list[int]:
    """All entries that are wanted, page by page."""
    found: list[int] = []
    before = None
    while True:
        page = view.page(1, wanted, before=before, limit=limit)
        assert len(page.entries) <= limit
        found += [entry.sequence for entry in page.entries]
        if page.following is None:
            return found
        before = page.following


def test_pages_lead_through_all_entries_once(store: Store) -> None:
    assert numbers(LogView(store), Wanted()) == list(range(200, -1, -1))


@pytest.mark.parametrize("limit", [1, 7, 200])
def test_each_filter_and_all_together(store: Store, limit: int) -> None:
    view = LogView(store)
    downwards = range(200, 0, -1)
    assert numbers(view, Wanted(job=JOBS[3]), limit) == [each for each in downwards if each % 10 == 3]
    assert numbers(view, Wanted(type="job_start"), limit) == [each for each in downwards if each % 2]
    assert numbers(view, Wanted(actor="ann"), limit) == [each for each in downwards if each % 7 == 0]
    assert numbers(view, Wanted(job=JOBS[3], type="job_finish"), limit) == []
    since, until = (START + 50) * 1000, (START + 150) * 1000
    assert numbers(view, Wanted(since=since, until=until), limit) == list(range(149, 49, -1))
    together = Wanted(JOBS[1], "job_start", "ann", since, until)
    assert numbers(view, together, limit) == [
        each for each in range(149, 49, -1) if each % 10 == 1 and each % 7 == 0
    ]


def test_times_before_and_after_the_log(store: Store) -> None:
    view = LogView(store)
    assert numbers(view, Wanted(until=START * 1000)) == []
    assert numbers(view, Wanted(since=(START + 201) * 1000)) == []
    assert len(numbers(view, Wanted(since=0, until=2**52))) == 201


def test_a_page_looks_so_far_and_says_how_far(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logview, "MOST_LOOKED", 60)
    view = LogView(store)
    page = view.page(1, Wanted(actor="nobody"))
    assert (page.entries, page.following, page.looked_to) == ((), 141, 141)
    assert numbers(view, Wanted(actor="nobody")) == []
    assert numbers(view, Wanted(actor="ann"), 50) == [each for each in range(200, 0, -1) if each % 7 == 0]


def test_an_actor_named_elsewhere_in_an_entry_did_not_act(store: Store) -> None:
    AuditLog(store).append(
        (Draft("partner_invited", "bob", None, {"partner": "ann", "identity": None}),), START
    )
    assert 201 not in numbers(LogView(store), Wanted(actor="ann"))


def test_a_job_is_found_by_how_its_id_begins(store: Store) -> None:
    view = LogView(store)
    assert view.job_like("00000003") == JOBS[3]
    for start, sentence in (("0000", "More than one job"), ("ffff", "No job")):
        with pytest.raises(UsageError, match=sentence) as caught:
            view.job_like(start)
        assert caught.value.code.name == "unknown_job"


def test_bytes_that_are_no_entry_are_shown_as_such(store: Store) -> None:
    with store.transaction() as connection:
        of = audit_entries.c.sequence == 100
        connection.execute(sa.update(audit_entries).where(of).values(entry=b'{"spoilt": 1}'))
    view = LogView(store)
    found = view.entry(1, 100)
    assert found is not None
    assert found[0].said is None
    assert len(numbers(view, Wanted())) == 201
    with pytest.raises(UsageError, match="Entry 100 of the log cannot be read"):
        view.page(1, Wanted(since=(START + 100) * 1000))


def test_an_entry_comes_with_its_leaf(store: Store) -> None:
    view = LogView(store)
    found = view.entry(1, 5)
    assert found is not None
    assert found[1] == leaf_hash(found[0].data)
    assert view.entry(1, 201) is None


def test_the_state_names_the_log_and_its_checkpoint(store: Store) -> None:
    view = LogView(store)
    AuditLog(store).keep_checkpoint(1, 150, b"note", START + 150.0)
    AuditLog(store).keep_checkpoint(1, 90, b"note", START + 90.0)
    state = view.state()
    assert (state.size, state.last_time, state.newest) == (201, (START + 200) * 1000, True)
    assert (state.checkpoint, state.checkpoint_at, state.witnesses) == (150, START + 150.0, ())
    with pytest.raises(UsageError, match="There is no log 2 in this home"):
        view.state(2)
