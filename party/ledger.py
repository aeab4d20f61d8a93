"""The differencing ledger: does an input hardly differ from that of an earlier job with the partner?

The results of two jobs whose inputs differ in one person tell about that person. A party can see that of its own
inputs, so it keeps a sketch of each (``party.sketch``) in a file of mode 0600, 8 bytes per person, for as long as the
budget's period. Every earlier input is compared, whatever its file was called.

What it does not see:

- a partner that changes *its* input; against that only the budget and noise stand;
- an input in another identifier form, and a difference to two earlier inputs taken together;
- the same persons asked something else (other groups, columns, a longer window), where the answers differ by few;
- a change of many persons of whom only few are in one group.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import sqlalchemy as sa

from party.budget import RESERVED_FOR, Clock, local_clock
from party.policy import NOISE, Differencing
from party.sketch import KEY_BYTES, LedgerKey, LedgerSketch, Tags, difference
from party.spool import disk_error
from party.store import Store
from party.tables import ledger_sketch
from psi.errors import PolicyRefusal, UsageError

_KEY_FILE: Final = "key"
_SUFFIX: Final = ".tags"


@dataclass(frozen=True, slots=True)
class Nearest:
    """The earlier input that differs least, but not by nothing: in ``difference`` persons."""

    difference: int
    job: str
    at: datetime.datetime

    def __repr__(self) -> str:
        # A small difference is itself a figure below the threshold.
        return f"Nearest(job={self.job!r}, at={self.at.isoformat()})"


class Ledger:
    """The sketches of jobs with ``partner``, this one's over ``dataset``, in ``folder`` (private to this party).

    ``period`` is how long an input is remembered, ``clock`` gives timezone-aware times. An input is entered when it
    is admitted and counts for a day; once the job releases something, for the period.
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
        """Return the earlier input that counts and differs least from ``tags``, but not by nothing.

        Raises ``UsageError`` if a file of the ledger is gone or damaged: then nobody knows what was asked before.
        """
        with self._store.transaction() as connection:
            return self._nearest(connection, tags)

    def admit(self, tags: Tags, job: str, rules: Differencing, min_group: int, *, noised: bool | None) -> int:
        """Compare and enter in one step; returns the number of the entry, in place of those ``job`` left before.

        ``noised`` says whether the job's figures carry noise, ``None`` that its kind has none. Raises
        ``PolicyRefusal`` if the input differs from an earlier one by fewer persons than ``rules`` allow. The same
        input once more is admitted: it tells nothing new without noise, and the budget counts it.
        """
        table = ledger_sketch
        with self._store.transaction() as connection:
            # Its file goes with the next purge.
            connection.execute(
                table.delete().where(self._mine(), table.c.job == job, table.c.released.is_(False))
            )
            self._hold(connection, tags, rules, min_group, noised)
            return self._insert(connection, tags, job)

    def release(self, entry: int, rules: Differencing, min_group: int, *, noised: bool | None) -> None:
        """Let an admitted input count for the whole period: its job releases something now.

        One that waited for more than a day no longer held others off, so it is compared again, which may raise what
        :meth:`admit` does.
        """
        now, table = self._clock(), ledger_sketch
        with self._store.transaction() as connection:
            row = connection.execute(sa.select(table).where(table.c.id == entry)).first()
            if row is None:
                raise UsageError(
                    f"The input from dataset {self._dataset} waited for the partner for longer than the ledger "
                    "keeps it.",
                    hint="start the job again",
                    code="begun_anew",
                )
            if row.released:
                return  # by an earlier attempt of the same run
            if row.at <= (now - RESERVED_FOR).timestamp():
                tags = self._read(row.file, row.persons, row.digest)
                self._hold(connection, tags, rules, min_group, noised)
            values = {"released": True, "at": now.timestamp()}
            connection.execute(table.update().where(table.c.id == entry).values(**values))

    def forget(self, entry: int) -> None:
        """Remove the entry of a job that ended before it released anything."""
        table = ledger_sketch
        with self._store.transaction() as connection:
            file = connection.execute(sa.select(table.c.file).where(table.c.id == entry)).scalar_one_or_none()
            connection.execute(table.delete().where(table.c.id == entry))
        # After the row: a file without one is garbage, a row without its file an error.
        if file is not None:
            self._unlink(file)

    def abandon(self, job: str) -> None:
        """Remove what ``job``, which has ended, had entered and not released; the files go with the next purge."""
        table = ledger_sketch
        with self._store.transaction() as connection:
            connection.execute(table.delete().where(table.c.job == job, table.c.released.is_(False)))

    def purge(self) -> int:
        """Remove entries that no longer count and files of killed processes; returns the number of entries."""
        table = ledger_sketch
        with self._store.transaction() as connection:
            gone = connection.execute(table.delete().where(self._mine(), sa.not_(self._counts()))).rowcount
        with self._store.transaction() as connection:
            known = set(connection.execute(sa.select(table.c.file)).scalars())
            # Under the lock nobody else is between writing a file and its row.
            for path in self._folder.glob(f"*{_SUFFIX}*"):
                if path.name not in known:
                    self._unlink(path.name)
        return gone

    def _unlink(self, file: str) -> None:
        try:
            (self._folder / file).unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(error, self._folder) from None

    def _mine(self) -> sa.ColumnElement[bool]:
        """Rows of this partner: of any dataset, since the next export of the same one has another file name."""
        return ledger_sketch.c.partner == self._partner

    def _counts(self) -> sa.ColumnElement[bool]:
        now, table = self._clock(), ledger_sketch
        since = sa.case(
            (table.c.released, (now - self._period).timestamp()), else_=(now - RESERVED_FOR).timestamp()
        )
        return table.c.at > since

    def _hold(
        self,
        connection: sa.Connection,
        tags: Tags,
        rules: Differencing,
        min_group: int,
        noised: bool | None,
    ) -> None:
        """Raise ``PolicyRefusal`` if ``tags`` differ too little from an earlier input."""
        if noised and rules.action == NOISE:
            return
        least = rules.least(min_group)
        nearest = self._nearest(connection, tags, least)
        if nearest is None:
            return
        ways = ["use exactly that input again"]
        if rules.action == NOISE and noised is not None:
            ways.append("set epsilon in [policy]")
        ways.append(f"wait until {nearest.at + self._period:%Y-%m-%d}")
        raise PolicyRefusal(
            f"The input from dataset {self._dataset} differs from that of job {nearest.job} on "
            f"{nearest.at:%Y-%m-%d} with partner {self._partner} by fewer than {least} persons, "
            "and the two results would tell about those.",
            hint=f"{', '.join(ways[:-1])} or {ways[-1]}",
            code="too_small",
        )

    def _nearest(self, connection: sa.Connection, tags: Tags, below: int | None = None) -> Nearest | None:
        """Return the nearest earlier input, of those that differ by fewer than ``below`` persons."""
        now = self._clock()
        rows = connection.execute(sa.select(ledger_sketch).where(self._mine(), self._counts())).all()
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
            "released": False,
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
