"""Backup and restore of a node's home: what an archive has and never has, what a restore refuses and changes."""

from __future__ import annotations

import io
import itertools
import json
import shutil
import sqlite3
import stat
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cli.main import main
from party import tables
from party.backup import save
from party.jobs import Jobs
from party.jobstates import JobState
from party.ledger import ledger_key
from party.node import Node
from party.nodefile import write_node
from party.restoring import RESTORED, restore
from party.store import Store
from party.tables import METADATA
from psi.errors import UsageError
from psi.secret import SecretBytes
from tests.party.postgres import PostgresServer
from tests.party.standing_pair import Pair

SEED = b"seed of a job that must not be used twice"
RESULT = "matches.csv"


class Made:
    """A bank's home with jobs in all states that matter; made once, copied for each test."""

    def __init__(self, folder: Path) -> None:
        pair = Pair(folder)
        pair.connect()
        node = pair.bank.node
        node.authority().renew_own(node.credentials)
        write_node(node.home.folder, node.file)
        (node.home.folder / "policy.toml").write_text("[budget]\nruns = 5\n")
        self.accepted, self.running, self.draft = (pair.draft().id for _ in range(3))
        for job in (self.accepted, self.running):
            record = pair.bank.jobs.get(job)
            with node.home.store.transaction() as connection:
                # As after the partner's word, which plays no part here.
                state = {"state": JobState.ACCEPTED.value}
                connection.execute(tables.jobs.update().where(tables.jobs.c.id == record.id).values(**state))
        # Both were cut when they were some way along; one runs again.
        for job in (self.accepted, self.running):
            pair.bank.jobs.start(job, "a")
            pair.bank.jobs.retry(job, "a", "link_lost", reached=7)
        pair.bank.jobs.start(self.running, "a")
        for job in (self.accepted, self.running):
            node.vault.seal(f"job/{job}/seed", SecretBytes(SEED))
        node.home.budget().reserve("customers", "acme", self.running, Fraction(1, 2))
        self.ledger_key = ledger_key(node.home.folder / "ledger").reveal()
        (node.home.folder / "ledger" / "ab.tags").write_bytes(b"tags" * 10)
        for place in ("results", "work"):
            (node.home.folder / place / self.draft).mkdir(parents=True)
            (node.home.folder / place / self.draft / RESULT).write_text("13800138000\n")
        self.home = node.home.folder
        self.identity = node.credentials.identity().reveal()
        pair.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


@pytest.fixture
def home(made: Made, tmp_path: Path) -> Path:
    shutil.copytree(made.home, tmp_path / "home")
    return tmp_path / "home"


def saved(home: Path, out: Path, **options: bool) -> Path:
    with Node.open(home) as node:
        save(node, out, **options)
    return out


def names(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return tar.getnames()


@contextmanager
def jobs_of(home: Path) -> Iterator[Jobs]:
    with Node.open(home) as node:
        yield Jobs(node.home.store, node.file.role)


def test_an_archive_has_what_must_not_be_lost_and_no_key(home: Path, tmp_path: Path, made: Made) -> None:
    out = saved(home, tmp_path / "b.tar")
    assert names(out) == [
        "manifest.json",
        "manifest.mac",
        "ledger/ab.tags",
        "ledger/key.sealed",
        "node.toml",
        "policy.toml",
        "store.sqlite",
    ]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    content = out.read_bytes()
    assert (home / "node.key").read_bytes() not in content
    assert made.ledger_key not in content
    assert b"13800138000" not in content
    # Nothing of the snapshot stays behind.
    assert [path.name for path in home.iterdir() if path.name.startswith(".")] == []


def test_seeds_of_jobs_are_never_saved_not_even_in_free_pages(home: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(home / "store.sqlite")) as connection:
        sealed = [row[0] for row in connection.execute("SELECT sealed FROM secrets WHERE name LIKE 'job/%'")]
        others = [
            row[0] for row in connection.execute("SELECT sealed FROM secrets WHERE name NOT LIKE 'job/%'")
        ]
    assert len(sealed) == 2
    content = saved(home, tmp_path / "b.tar", with_results=True, with_key=True).read_bytes()
    assert not any(each in content for each in sealed)
    assert all(each in content for each in others)
    assert not any(name.startswith("work") for name in names(tmp_path / "b.tar"))
    with Node.open(home) as node:
        # The node itself keeps them: it goes on with its jobs.
        assert sum(name.startswith("job/") for name in node.vault.names()) == 2


def test_results_and_key_are_saved_where_asked_for(home: Path, tmp_path: Path, made: Made) -> None:
    out = saved(home, tmp_path / "b.tar", with_results=True, with_key=True)
    assert {f"results/{made.draft}/{RESULT}", "node.key"} <= set(names(out))
    restored = restore(out, tmp_path / "new")
    assert (restored.saved.with_key, restored.saved.with_results) == (True, True)
    assert (tmp_path / "new" / "results" / made.draft / RESULT).read_text() == "13800138000\n"


def test_a_restored_home_is_the_same_node(home: Path, tmp_path: Path, made: Made) -> None:
    out = saved(home, tmp_path / "b.tar")
    (tmp_path / "new").mkdir()
    restore(out, tmp_path / "new", home / "node.key")
    with Node.open(tmp_path / "new", role="bank") as node:
        assert node.credentials.identity().reveal() == made.identity
        assert node.credentials.current() is not None
        assert ledger_key(node.home.folder / "ledger").reveal() == made.ledger_key
        assert node.home.budget().spent("customers", "acme").runs == 1
        assert node.home.policy.budget.runs == 5
        assert node.authority().pin
    assert (tmp_path / "new" / "ledger" / "ab.tags").read_bytes() == b"tags" * 10
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").rglob("*")}
    assert modes <= {0o600, 0o700}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar", "home", "new"]


def test_what_had_not_ended_begins_anew_and_nothing_else_changes(
    home: Path, tmp_path: Path, made: Made
) -> None:
    out = saved(home, tmp_path / "b.tar", with_key=True)
    with jobs_of(home) as jobs:
        before = {record.id: record for record in jobs.list().jobs}
    restored = restore(out, tmp_path / "new")
    assert set(restored.jobs) == {made.accepted, made.running}
    with jobs_of(tmp_path / "new") as jobs:
        after = {record.id: record for record in jobs.list().jobs}
        notes = [event.note for event in jobs.events(made.running)]
    assert after[made.accepted] == before[made.accepted]
    assert after[made.draft] == before[made.draft]
    running = after[made.running]
    assert (running.state, running.code, running.holder) == (JobState.ACCEPTED, RESTORED, None)
    assert running.attempts == before[made.running].attempts == 2
    assert notes[-1] == RESTORED
    with Node.open(tmp_path / "new") as node, node.home.store.reading() as connection:
        assert not [name for name in node.vault.names() if name.startswith("job/")]
        progress = connection.execute(sa.select(tables.job_progress)).all()
        assert [(row.reached, row.idle) for row in progress] == [(0, 0), (0, 0)]


def test_store_and_ledger_are_of_one_moment_while_others_write(home: Path, tmp_path: Path) -> None:
    """As jobs do: a file of the ledger is there before the transaction that enters it ends, and goes with its row."""
    stop, rows = threading.Event(), tables.ledger_sketch
    row = {
        "dataset": "d",
        "partner": "p",
        "job": "j",
        "at": 0.0,
        "persons": 1,
        "digest": "",
        "released": True,
    }

    def write() -> None:
        with closing(Store(f"sqlite:///{home / 'store.sqlite'}")) as store:
            for number in itertools.count():
                name = f"{number:032x}.tags"
                with store.transaction() as connection:
                    (home / "ledger" / name).write_bytes(b"x")
                    connection.execute(rows.insert().values(file=name, **row))
                # Others have to have a turn, too.
                if stop.wait(0.002):
                    return
                with store.transaction() as connection:
                    connection.execute(rows.delete())
                    (home / "ledger" / name).unlink()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            out = saved(home, tmp_path / f"{number}.tar")
            restore(out, tmp_path / str(number), home / "node.key")
            with Node.open(tmp_path / str(number)) as node, node.home.store.reading() as connection:
                entered = set(connection.execute(sa.select(rows.c.file)).scalars())
            there = {path.name for path in (tmp_path / str(number) / "ledger").glob("*.tags")}
            assert there - {"ab.tags"} == entered
    finally:
        stop.set()
        writer.join()


def test_a_store_that_lay_elsewhere_lies_in_the_restored_home(home: Path, tmp_path: Path) -> None:
    (home / "store.sqlite").rename(tmp_path / "elsewhere.sqlite")
    with open(home / "node.toml", "a") as file:
        file.write(f'store = "sqlite:///{tmp_path}/elsewhere.sqlite"\n')
    out = saved(home, tmp_path / "b.tar", with_key=True)
    restore(out, tmp_path / "new")
    with Node.open(tmp_path / "new") as node:
        assert node.file.store is None
        assert node.home.store.path == tmp_path / "new" / "store.sqlite"


def test_a_store_on_postgresql_is_saved_by_its_own_means(
    made: Made, postgres: PostgresServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, url = tmp_path / "home", postgres.schema()
    schema = url.rpartition("%3D")[2]
    # The same node with its store on the other database.
    with (
        closing(Store(f"sqlite:///{made.home / 'store.sqlite'}")) as old,
        closing(Store(url)) as new,
        old.reading() as source,
        new.transaction() as target,
    ):
        for table in METADATA.sorted_tables:
            target.execute(table.delete())
            for row in source.execute(sa.select(table)).mappings():
                target.execute(table.insert().values(**row))
            for column in table.primary_key.columns:
                if isinstance(column.type, sa.Integer):
                    # Numbers that were given by hand are not counted.
                    text = f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), 1000)"
                    target.execute(sa.text(text))
    home.mkdir()
    for name in ("node.toml", "node.key", "policy.toml"):
        shutil.copy(made.home / name, home / name)
    shutil.copytree(made.home / "ledger", home / "ledger")
    with open(home / "node.toml", "a") as file:
        file.write(f"store = {json.dumps(url)}\n")
    out = tmp_path / "b.tar"
    assert main(["backup", "--home", str(home), "--out", str(out)]) == 0
    assert "pg_dump" in capsys.readouterr().out
    assert "store.sqlite" not in names(out)
    dump = postgres.dump(schema)
    postgres.execute(f"DROP SCHEMA {schema} CASCADE")
    refused(home, out, tmp_path / "new", home / "node.key", match="store")
    postgres.run_script(dump)
    restored = restore(out, tmp_path / "new", home / "node.key")
    assert restored.saved.database is not None
    assert set(restored.jobs) == {made.accepted, made.running}
    with Node.open(tmp_path / "new") as node:
        assert node.credentials.identity().reveal() == made.identity
        assert not [name for name in node.vault.names() if name.startswith("job/")]


# -- what is refused


def refused(home: Path, *arguments: Any, match: str) -> None:
    """A restore into ``home`` that fails with one sentence, and leaves nothing behind."""
    before = sorted(home.parent.rglob("*"))
    with pytest.raises(UsageError, match=match) as caught:
        restore(*arguments)
    assert caught.value.hint
    assert caught.value.message.count(". ") == 0
    assert sorted(home.parent.rglob("*")) == before


def test_a_home_that_is_not_empty_is_refused(home: Path, tmp_path: Path) -> None:
    out = saved(home, tmp_path / "b.tar", with_key=True)
    refused(home, out, home, match="is not empty")
    refused(home, out, out, match="is not empty")
    refused(home, out, tmp_path / "no" / "folder", match="is not there")


def test_the_node_key_is_asked_for_and_has_to_be_the_right_one(home: Path, tmp_path: Path) -> None:
    out, new = saved(home, tmp_path / "b.tar"), tmp_path / "new"
    refused(home, out, new, match="without the node key")
    other = tmp_path / "other.key"
    for content, match in ((b"k" * 32, "not made with this node key"), (b"short", "does not have 32 bytes")):
        other.write_bytes(content)
        refused(home, out, new, other, match=match)
    refused(home, out, new, tmp_path / "nowhere.key", match="cannot be read")


def test_an_archive_is_not_written_over(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.tar"
    out.write_text("somebody's")
    with pytest.raises(UsageError, match="already"):
        saved(home, out)
    with pytest.raises(UsageError, match="cannot be written"):
        saved(home, tmp_path / "nowhere" / "b.tar")
    assert out.read_text() == "somebody's"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar", "home"]


def test_no_byte_can_be_cut_off_or_changed(home: Path, tmp_path: Path) -> None:
    out, key = saved(home, tmp_path / "b.tar").read_bytes(), home / "node.key"
    broken = tmp_path / "broken.tar"
    with tarfile.open(tmp_path / "b.tar") as tar:
        members = tar.getmembers()
    end = members[-1].offset_data + members[-1].size
    cuts = {0, 1, 511, 512, 600, *(member.offset_data + member.size // 2 for member in members), end - 1}
    for length in sorted(cuts):
        broken.write_bytes(out[:length])
        refused(home, broken, tmp_path / "new", key, match=r"broken\.tar")
    for member in members:
        for at in (member.offset_data, member.offset_data + member.size - 1, member.offset + 2):
            changed = bytearray(out)
            changed[at] ^= 1
            broken.write_bytes(changed)
            refused(home, broken, tmp_path / "new", key, match=r"broken\.tar")


Change = Callable[[dict[str, Any], dict[str, bytes]], None]


def rewritten(archive: Path, out: Path, change: Change) -> Path:
    """An archive with another manifest or other files, as somebody without the node key can make it."""
    with tarfile.open(archive) as tar:
        members = {each.name: tar.extractfile(each).read() for each in tar.getmembers()}  # type: ignore[union-attr]
    head = json.loads(members.pop("manifest.json"))
    change(head, members)
    with tarfile.open(out, "w") as tar:
        for name, content in (("manifest.json", json.dumps(head).encode()), *members.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda head, _: head.update(at="2020-01-01T00:00:00+00:00"), "changed since"),
        (lambda head, files: files.update({"manifest.mac": b"x" * 32}), "changed since"),
        (lambda head, _: head.update(version=2), "version 2"),
        (lambda head, _: head.update(format="other"), "not a backup"),
        (lambda head, _: head.update(files=[]), "manifest cannot be read"),
        (lambda head, _: head.pop("at"), "manifest cannot be read"),
        (lambda head, _: head["files"].update({"../evil": {"size": 1, "sha256": "x"}}), "not a backup"),
        (lambda head, _: head["files"].update({"/evil": {"size": 1, "sha256": "x"}}), "not a backup"),
        (lambda head, _: head["files"].update({"work/a": {"size": 1, "sha256": "x"}}), "not a backup"),
        (lambda head, _: head["files"].update({"node.lock": {"size": 1, "sha256": "x"}}), "not a backup"),
        (lambda head, _: head["files"].update({"ledger/..": {"size": 1, "sha256": "x"}}), "not a backup"),
        (lambda head, files: files.update(more=b"x"), "more than its manifest"),
        (lambda head, files: files.pop("policy.toml"), "missing or of another size"),
    ],
    ids=[
        *("time", "mac", "version", "format", "list", "no time", "above", "root", "work", "lock", "dots"),
        *("more", "fewer"),
    ],
)
def test_an_archive_that_somebody_made_is_refused(
    home: Path, tmp_path: Path, change: Change, match: str
) -> None:
    out = rewritten(saved(home, tmp_path / "b.tar"), tmp_path / "evil.tar", change)
    refused(home, out, tmp_path / "new", home / "node.key", match=match)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_only_plain_files_are_restored(home: Path, tmp_path: Path, kind: bytes) -> None:
    out = tmp_path / "evil.tar"
    with tarfile.open(saved(home, tmp_path / "b.tar")) as tar, tarfile.open(out, "w") as evil:
        for member in tar.getmembers():
            content = tar.extractfile(member)
            if member.name == "policy.toml":
                member.type, member.linkname, member.size = kind, "node.toml", 0
                content = None
            evil.addfile(member, content)
    refused(home, out, tmp_path / "new", home / "node.key", match=r"its policy\.toml is missing")


# -- the command


def test_the_command_says_what_the_backup_can_not_know(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], made: Made
) -> None:
    out = tmp_path / "b.tar"
    assert main(["backup", "--home", str(home), "--out", str(out)]) == 0
    assert "node key is not in it" in capsys.readouterr().out
    key = str(home / "node.key")
    assert main(["restore", str(out), "--home", str(tmp_path / "new"), "--key", key]) == 0
    told = capsys.readouterr().out
    for wanted in ("must not run any more", "budget", "taken away", made.accepted[:8], made.running[:8]):
        assert wanted in told
    assert main(["restore", str(out), "--home", str(tmp_path / "new"), "--key", key, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["event"] == "failed"
    assert main(["restore", str(out), "--home", str(tmp_path / "zh"), "--key", key, "--lang", "zh"]) == 0
    assert "预算" in capsys.readouterr().out
    assert main(["restore", str(out), "--home", str(tmp_path / "json"), "--key", key, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["begin_anew"] == [made.running, made.accepted]
