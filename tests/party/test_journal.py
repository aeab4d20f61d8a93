"""The journal of a run on disk: what is whole counts, what is torn and all behind it does not."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from party import journal as module
from party.journal import DiskJournal, journal_size
from psi.errors import UsageError
from psi.messages import Chunk, Finish, Stream
from psi.replay import Entry
from veiljoin.messages import WireMessage

MESSAGES: list[WireMessage] = [
    *(Chunk(b"s" * 16, Stream.SENDER_POINTS, number, bytes([number + 1]) * 64) for number in range(4)),
    Finish(b"s" * 16, b"t" * 32),
]
ANNOUNCED = b"a" * 32


def opened(folder: Path) -> DiskJournal:
    """Return the journal in ``folder``, as a new process finds it."""
    return DiskJournal(folder / "journal", folder / "aside")


def filled(folder: Path) -> DiskJournal:
    """Return a journal with all messages."""
    journal = opened(folder)
    for number, message in enumerate(MESSAGES):
        journal.add(Entry(number * 3, message, ANNOUNCED))
    return journal


def files(folder: Path) -> list[Path]:
    """Return its files."""
    return sorted((folder / "journal").iterdir())


def test_it_is_there_for_the_next_process(tmp_path: Path) -> None:
    filled(tmp_path)
    journal = opened(tmp_path)
    assert len(journal) == len(MESSAGES) == journal_size(tmp_path / "journal")
    assert list(journal.entries()) == [
        Entry(number * 3, message, ANNOUNCED) for number, message in enumerate(MESSAGES)
    ]


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    journal.hold(MESSAGES[0])
    for folder in (tmp_path / "journal", tmp_path / "aside"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def short(path: Path) -> None:
    """Cut a file off."""
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    """Leave nothing in it, as after a power loss."""
    path.write_bytes(b"")


def zeroed(path: Path) -> None:
    """Leave its length."""
    path.write_bytes(bytes(path.stat().st_size))


def digest_changed(path: Path) -> None:
    """Change a bit of the digest."""
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def body_changed(path: Path) -> None:
    """Change a bit of the message."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def made_changed(path: Path) -> None:
    """Change the number of own messages."""
    content = path.read_bytes()
    path.write_bytes(content[:39] + bytes([content[39] ^ 1]) + content[40:])


def gone(path: Path) -> None:
    """Remove a file."""
    path.unlink()


TEARS = [short, emptied, zeroed, digest_changed, body_changed, made_changed, gone]


@pytest.mark.parametrize("tear", TEARS)
@pytest.mark.parametrize("place", [0, 2, len(MESSAGES) - 1])
def test_what_is_not_whole_and_all_behind_it_was_not_received(
    tmp_path: Path, tear: Callable[[Path], None], place: int
) -> None:
    filled(tmp_path)
    tear(files(tmp_path)[place])
    journal = opened(tmp_path)
    assert len(journal) == place
    assert [entry.message for entry in journal.entries()] == MESSAGES[:place]
    # What was behind does not come back once the gap is filled.
    assert len(files(tmp_path)) == place
    journal.add(Entry(0, MESSAGES[place]))
    assert len(opened(tmp_path)) == place + 1


def test_two_files_that_changed_places_are_still_whole_but_a_number_twice_is_not(tmp_path: Path) -> None:
    filled(tmp_path)
    first, second = files(tmp_path)[1:3]
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    # Nothing on the disk tells the order but the names; the role refuses what is out of order.
    assert [entry.message for entry in opened(tmp_path).entries()][1:3] == [MESSAGES[2], MESSAGES[1]]
    first.rename(first.with_name("00000009.message"))
    assert len(opened(tmp_path)) == 1


def test_what_was_written_in_part_is_removed(tmp_path: Path) -> None:
    filled(tmp_path)
    partial = tmp_path / "journal" / "00000005.partial"
    partial.write_bytes(b"half")
    assert len(opened(tmp_path)) == len(MESSAGES)
    assert not partial.exists()


def test_a_file_that_changes_in_use_is_an_error(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    body_changed(files(tmp_path)[1])
    with pytest.raises(UsageError):
        list(journal.entries())


def test_what_is_held_back_comes_in_order_and_ends_with_the_process(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    for message in MESSAGES[:3]:
        journal.hold(message)
    assert list(journal.held()) == MESSAGES[:3]
    assert list(opened(tmp_path).held()) == []
    body_changed(sorted((tmp_path / "aside").iterdir())[1])
    with pytest.raises(UsageError):
        list(journal.held())


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, "no_space"), (errno.EIO, "unwritable")])
def test_a_disk_that_fails_is_told_and_nothing_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    journal = filled(tmp_path)

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module.os, "fsync", fail)
    with pytest.raises(UsageError) as raised:
        journal.add(Entry(9, MESSAGES[0]))
    assert raised.value.code.name == code
    monkeypatch.undo()
    assert len(journal) == len(MESSAGES)
    assert len(opened(tmp_path)) == len(MESSAGES)
    journal.add(Entry(9, MESSAGES[0]))
    assert len(opened(tmp_path)) == len(MESSAGES) + 1


def test_a_message_is_flushed_before_it_counts_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    monkeypatch.setattr(
        module.os, "fsync", lambda handle: steps.append(os.readlink(f"/proc/self/fd/{handle}"))
    )
    replace = os.replace

    def renamed(source: Path, target: Path) -> None:
        steps.append("renamed")
        replace(source, target)

    monkeypatch.setattr(module.os, "replace", renamed)
    opened(tmp_path).add(Entry(0, MESSAGES[0]))
    folder = tmp_path / "journal"
    assert steps == [str(folder / "00000000.partial"), "renamed", str(folder)]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file")
    with pytest.raises(UsageError, match="journal"):
        opened(tmp_path)


def test_how_far_a_run_is_needs_no_folder(tmp_path: Path) -> None:
    assert journal_size(tmp_path / "nowhere") == 0
