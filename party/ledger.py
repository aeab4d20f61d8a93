"""The differencing ledger: does an input hardly differ from that of an earlier job with the partner?

The results of two jobs whose inputs differ by one person tell about that person. A party can see that of its own
inputs, so it keeps a sketch of each: for every person the first 8 bytes of an HMAC-SHA256 of the canonical identifier
under a key that never leaves this party's home, sorted in a file of mode 0600, 8 bytes per person. The comparison
is exact (two of a million persons share a tag with a chance of 3e-8), and lasts as long as the budget's period.

What it does not see: an input in another identifier form, a difference to two earlier inputs taken together, and a
partner that changes *its* input. The budget and noise stand against those.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from party.budget import Clock, local_clock
from party.policy import NOISE, Differencing
from party.spool import disk_error
from party.store import Store, ledger_sketch
from psi.errors import PolicyRefusal, UsageError
from psi.secret import SecretBytes

KEY_BYTES: Final = 32
TAG_BYTES: Final = 8
# Tags compared at a time.
_BLOCK: Final = 65_536
_KEY_FILE: Final = "key"
_SUFFIX: Final = ".tags"

Tags = npt.NDArray[np.uint64]


class LedgerKey(SecretBytes):
    """The key of one party's sketches, 32 bytes."""

    __slots__ = ()


class LedgerSketch:
    """Collects the tags of one input, batch by batch; the identifiers are forgotten at once."""

    def __init__(self, key: LedgerKey) -> None:
        # RFC 2104 with both halves of the key hashed once, which takes less than half the time of `hmac.digest`.
        padded = key.reveal().ljust(hashlib.sha256().block_size, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))
        self._parts: list[Tags] = []

    def add(self, identifiers: Iterable[bytes]) -> None:
        """Add canonical identifiers; a person may come more than once."""
        tags = bytearray()
        for identifier in identifiers:
            inner, outer = self._inner.copy(), self._outer.copy()
            inner.update(identifier)
            outer.update(inner.digest())
            tags += outer.digest()[:TAG_BYTES]
        self._parts.append(np.frombuffer(tags, dtype="<u8").astype(np.uint64, copy=False))

    def finish(self) -> Tags:
        """Return the tags, sorted and without copies: dtype uint64, shape (persons,)."""
        tags = np.unique(np.concatenate([np.empty(0, np.uint64), *self._parts]))
        self._parts.clear()
        return tags


@dataclass(frozen=True, slots=True)
class Nearest:
    """The earlier input that differs least, but not by nothing: by ``difference`` persons, in or out."""

    difference: int
    job: str
    at: datetime.datetime

    def __repr__(self) -> str:
        # A small difference is itself a figure below the threshold.
        return f"Nearest(job={self.job!r}, at={self.at.isoformat()})"


def difference(first: Tags, second: Tags, stop: int | None = None) -> int:
    """Return how many tags are in one of two sorted arrays without copies and not in the other.

    Once it is ``stop`` or more the count may end there: tags are random, so two inputs that have little in common
    show it within a block.
    """
    apart, low = 0, 0
    for start in range(0, len(first), _BLOCK):
        block = first[start : start + _BLOCK]
        high = int(np.searchsorted(second, block[-1], side="right"))
        common = len(np.intersect1d(block, second[low:high], assume_unique=True))
        apart += len(block) + high - low - 2 * common
        low = high
        if stop is not None and apart >= stop:
            return apart
    return apart + len(second) - low


class Ledger:
    """The sketches of ``dataset`` in jobs with ``partner``, in ``folder`` (private to this party).

    ``period`` is how long an input is remembered, ``clock`` gives timezone-aware times.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        dataset: str,
        partner: str,
        period: datetime.timedelta,
        clock: Clock = local_clock,
    ) -> None:
        self._store = store
        self._folder = folder
        self._dataset = dataset
        self._partner = partner
        self._period = period
        self._clock = clock
        self._key = ledger_key(folder)

    def sketch(self) -> LedgerSketch:
        """Return an empty sketch for the input of one job."""
        return LedgerSketch(self._key)

    def compare(self, tags: Tags) -> Nearest | None:
        """Return the earlier input in the period that differs least from ``tags``, but not by nothing.

        Raises ``UsageError`` if a file of the ledger is gone or damaged: then nobody knows what was asked before.
        """
        with self._store.transaction() as connection:
            return self._nearest(connection, tags)

    def record(self, tags: Tags, job: str) -> int:
        """Remember the input of ``job``; returns the number of the entry."""
        with self._store.transaction() as connection:
            return self._insert(connection, tags, job)

    def admit(self, tags: Tags, job: str, rules: Differencing, min_group: int, *, noised: bool) -> int:
        """Compare and remember in one step; ``noised`` says that the job's figures carry noise.

        Raises ``PolicyRefusal`` if the input differs from an earlier one by fewer persons than ``rules`` allow.
        The same input once more is admitted: it tells nothing new without noise, and the budget counts it.
        """
        least = rules.least(min_group)
        with self._store.transaction() as connection:
            nearest = self._nearest(connection, tags, least)
            allowed = rules.action == NOISE and noised
            if nearest is not None and not allowed:
                forgotten = nearest.at + self._period
                ways = [
                    "use exactly that input again",
                    *(["set epsilon in [policy]"] if rules.action == NOISE else []),
                    f"wait until {forgotten:%Y-%m-%d}",
                ]
                raise PolicyRefusal(
                    f"The input from dataset {self._dataset} differs from that of job {nearest.job} on "
                    f"{nearest.at:%Y-%m-%d} with partner {self._partner} by fewer than {least} persons, "
                    "and the two results would tell about those.",
                    hint=f"{', '.join(ways[:-1])} or {ways[-1]}",
                    code="too_small",
                )
            return self._insert(connection, tags, job)

    def forget(self, entry: int) -> None:
        """Remove the entry of a job that ended before it released anything."""
        self._remove([entry])

    def purge(self) -> int:
        """Remove entries the period no longer covers and files of killed processes; returns the number of entries."""
        before = (self._clock() - self._period).timestamp()
        table = ledger_sketch
        with self._store.transaction() as connection:
            old = connection.execute(sa.select(table.c.id).where(self._mine(), table.c.at <= before))
            entries = [int(row.id) for row in old]
            known = set(connection.execute(sa.select(table.c.file)).scalars())
            # Under the lock nobody else is between writing a file and its row.
            for path in self._folder.glob(f"*{_SUFFIX}*"):
                if path.name not in known:
                    self._unlink(path.name)
        self._remove(entries)
        return len(entries)

    def _remove(self, entries: Iterable[int]) -> None:
        table = ledger_sketch
        for entry in entries:
            with self._store.transaction() as connection:
                file = connection.execute(
                    sa.select(table.c.file).where(table.c.id == entry)
                ).scalar_one_or_none()
                connection.execute(table.delete().where(table.c.id == entry))
            # After the row: a file without one is garbage, a row without its file an error.
            if file is not None:
                self._unlink(file)

    def _unlink(self, file: str) -> None:
        try:
            (self._folder / file).unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(error, self._folder) from None

    def _mine(self) -> sa.ColumnElement[bool]:
        return sa.and_(ledger_sketch.c.dataset == self._dataset, ledger_sketch.c.partner == self._partner)

    def _nearest(self, connection: sa.Connection, tags: Tags, below: int | None = None) -> Nearest | None:
        """Return the nearest earlier input, of those that differ by fewer than ``below`` persons."""
        now, table = self._clock(), ledger_sketch
        rows = connection.execute(
            sa.select(table).where(self._mine(), table.c.at > (now - self._period).timestamp())
        ).all()
        nearest = None
        for row in sorted(rows, key=lambda row: (abs(row.persons - len(tags)), -row.at)):
            # Sizes bound the difference from below, so most files need not be read.
            if below is not None and abs(row.persons - len(tags)) >= below:
                break
            found = difference(tags, self._read(row.file, row.persons, row.digest), below)
            if found and (below is None or found < below):
                at = datetime.datetime.fromtimestamp(row.at, now.tzinfo)
                nearest, below = Nearest(found, row.job, at), found
        return nearest

    def _insert(self, connection: sa.Connection, tags: Tags, job: str) -> int:
        content = np.ascontiguousarray(tags, dtype="<u8").tobytes()
        name = f"{secrets.token_hex(16)}{_SUFFIX}"
        write_private(self._folder / name, content)
        row = {
            "dataset": self._dataset,
            "partner": self._partner,
            "job": job,
            "at": self._clock().timestamp(),
            "persons": len(tags),
            "file": name,
            "digest": hashlib.sha256(content).hexdigest(),
        }
        key = connection.execute(ledger_sketch.insert().values(row)).inserted_primary_key
        if key is None:
            raise RuntimeError("an inserted row has a key")
        return int(key[0])

    def _read(self, file: str, persons: int, digest: str) -> Tags:
        path = self._folder / file
        if persons == 0:
            return np.empty(0, np.uint64)
        try:
            # Mapped, so that a large input need not fit in memory twice.
            tags = np.memmap(path, dtype="<u8", mode="r")
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "its size is wrong"
            raise UsageError(
                f"The ledger's file {path} cannot be read: {why}.",
                hint="restore the party's home from its backup",
                code="unreadable_file",
            ) from None
        if len(tags) != persons or hashlib.sha256(tags.data).hexdigest() != digest:
            raise UsageError(
                f"The ledger's file {path} is not as it was written.",
                hint="restore the party's home from its backup",
                code="bad_format",
            )
        return tags


def ledger_key(folder: Path) -> LedgerKey:
    """Return the key of the ledger in ``folder``, made at first use with mode 0600."""
    path = folder / _KEY_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        if any(folder.glob(f"*{_SUFFIX}")):
            raise UsageError(
                f"The ledger's key {path} is gone, and without it earlier inputs are not recognised.",
                hint="restore the party's home from its backup",
                code="missing_file",
            ) from None
        write_private(path, secrets.token_bytes(KEY_BYTES), replace=False)
        return ledger_key(folder)
    except OSError as error:
        raise disk_error(error, folder) from None
    if len(content) != KEY_BYTES:
        raise UsageError(
            f"The ledger's key {path} has {len(content)} bytes instead of {KEY_BYTES}.",
            hint="restore the party's home from its backup",
            code="bad_format",
        )
    return LedgerKey(content)


def write_private(path: Path, content: bytes, *, replace: bool = True) -> None:
    """Write a file of mode 0600; it is whole and durable once this returns, or not there.

    Without ``replace`` a file that is already there stays, whoever made it.
    """
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        try:
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                os.replace(partial, path)
            elif not path.exists():
                # A hard link fails if another process was faster; its file is as good.
                os.link(partial, path)
        except FileExistsError:
            if replace:
                raise
        finally:
            partial.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise disk_error(error, path.parent) from None
