"""Where a simulated side keeps what outlives its process: stand-ins in memory for files, with what can go wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from party.journal import DiskJournal
from psi.errors import UsageError
from psi.replay import Entry, Journal, MemoryJournal

# A point of a side's work at which it may be killed, or its other thread may have its turn.
Moment = Callable[[str], None]


class DictMemo:
    """``party.memo.Memo`` in a dictionary: results by what they were computed from, and how much was computed."""

    def __init__(self) -> None:
        self.known: dict[tuple[bytes, ...], bytes] = {}
        self.computed = 0
        self.moment: Moment = lambda _: None

    def parts(self, elements: int) -> range:
        """Where the parts begin: one for all."""
        return range(0, elements, max(1, elements))

    def get(self, inputs: Sequence[bytes], elements: int, compute: Callable[[], bytes]) -> bytes:
        """Return what is known, or compute and keep it."""
        self.moment("computing")
        key = tuple(inputs)
        if key not in self.known:
            made = compute()
            self.moment("computed")
            self.known[key] = made
            self.computed += elements
        return self.known[key]

    def lose(self, pick: random.Random) -> None:
        """Lose some of it: nothing of a memo is flushed to the disk."""
        self.known = {key: made for key, made in self.known.items() if pick.random() < 0.5}


class WatchedJournal:
    """A journal of one attempt over ``inner``, with moments; ``full`` says whether the disk is."""

    def __init__(self, inner: Journal[Any], moment: Moment, full: Callable[[], bool]) -> None:
        self._inner = inner
        self._moment = moment
        self._full = full

    def __len__(self) -> int:
        return len(self._inner)

    def entries(self) -> Iterator[Entry[Any]]:
        """Yield the messages."""
        for entry in self._inner.entries():
            self._moment("replaying")
            yield entry

    def add(self, entry: Entry[Any]) -> None:
        """Add a message; a kill is possible before and behind."""
        self._moment("accepted")
        if self._full():
            raise UsageError("The folder cannot be written.", hint="free some space", code="no_space")
        self._inner.add(entry)
        self._moment("journalled")

    def hold(self, message: Any) -> None:
        """Put an own message aside."""
        self._moment("holding")
        self._inner.hold(message)

    def held(self) -> Iterator[Any]:
        """Yield what was put aside."""
        return self._inner.held()


class ListBook:
    """The journal of one run in a list."""

    def __init__(self) -> None:
        self._kept: list[Entry[Any]] = []

    def open(self) -> Journal[Any]:
        """Return the journal of an attempt, which adds to the list."""
        journal: MemoryJournal[Any] = MemoryJournal()
        journal.kept = self._kept
        return journal

    def __len__(self) -> int:
        return len(self._kept)

    def tear(self, pick: random.Random, first: int) -> None:
        """Lose the last entries, but none before number ``first``."""
        if len(self._kept) > first:
            del self._kept[pick.randrange(first, len(self._kept)) :]

    def close(self) -> None:
        """Nothing is left of a list."""


class DiskBook:
    """The journal of one run on disk: the product's own, in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._attempts = 0

    def open(self) -> Journal[Any]:
        """Return the journal of an attempt, as a new process finds it."""
        self._attempts += 1
        return DiskJournal(self._folder / "journal", self._folder / f"aside{self._attempts}")

    def __len__(self) -> int:
        return len(self._files())

    def _files(self) -> list[Path]:
        return sorted((self._folder / "journal").glob("*.message"))

    def tear(self, pick: random.Random, first: int) -> None:
        """Tear a file, or remove it, and leave what is behind it; none before number ``first``."""
        files = self._files()[first:]
        if not files:
            return
        path = pick.choice(files)
        content = path.read_bytes()
        how = pick.choice(("short", "changed", "empty", "gone", "partial"))
        if how == "gone":
            path.unlink()
        elif how == "partial":
            path.rename(path.with_suffix(".partial"))
        elif how == "changed":
            place = pick.randrange(len(content))
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        else:
            path.write_bytes(content[: pick.randrange(len(content)) if how == "short" else 0])

    def close(self) -> None:
        """The folder goes with the schedule's."""


Book = ListBook | DiskBook
