"""What one run of a job keeps on its party's disk until it ends, so that a cut costs little (psi/SPEC 8.6).

    prepared/   the prepared set: masked points, row numbers, own outcomes; rejects.csv
    journal/    the partner's messages
    masks/      masks of the partner's points, and ciphertexts, that were computed
    sets/       masks of the own set, until it is prepared
    kept.json   the seed sealed to the auditor, in a job that keeps it (party.keptruns)

No identifier, no hash of one and no key comes here; the run's seed is sealed in the store. The folder is removed when
the run ends, however it ends; what the auditor is to have is moved out of it before.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any, Final

from party.checkpoint import PREPARED_FILE, Checkpoint
from party.journal import DiskJournal, journal_size
from party.memo import LABEL_MEMO, Memo
from party.spool import Spool, disk_error
from psi.seed import JobRandomness

_PREPARED: Final = "prepared"
JOURNAL: Final = "journal"
_MASKS: Final = "masks"
_SETS: Final = "sets"
# More than the batches of any own set.
_BEYOND: Final = 1_000_000


class RunFolder:
    """The folder of one run; raises ``UsageError`` where it can't be written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.prepared = folder / _PREPARED
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, folder) from None

    def checkpoint(self, **bound: Any) -> Checkpoint:
        """Return the place of the prepared set."""
        return Checkpoint(self.prepared, Spool(self.prepared / "out"), **bound)

    def prepare_again(self) -> None:
        """Drop what a preparation left that did not come to its end."""
        try:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self.prepared)
            self.prepared.mkdir(mode=0o700)
        except OSError as error:
            raise disk_error(error, self.prepared) from None

    def memos(self, randomness: JobRandomness, *, keep: bool) -> tuple[Memo, Memo]:
        """Return what remembers masks of the own set, and those of the partner's points with the ciphertexts.

        Without ``keep`` both only count: the run ends with its process.
        """
        key = randomness.key(LABEL_MEMO)
        return Memo(self._folder / _SETS, key, keep=keep), Memo(self._folder / _MASKS, key, keep=keep)

    def journal(self, aside: Path) -> DiskJournal:
        """Return the journal; what it holds back for one link goes to the folder ``aside``."""
        return DiskJournal(self._folder / JOURNAL, aside)


def reached(folder: Path) -> int:
    """Return a number that grows with what of the run in ``folder`` is on the disk; 0 for none."""
    if (folder / _PREPARED / PREPARED_FILE).exists():
        return _BEYOND + journal_size(folder / JOURNAL)
    return sum(1 for _ in (folder / _SETS).glob("*"))
