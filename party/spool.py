"""Numbered chunks on disk, one file each: the own set as it is sent, and sent again after a cut.

Only masked points come here, never an identifier, a hash of one or a key. A chunk is whole or not there: written
under a temporary name, flushed to the disk, renamed.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from psi.errors import UsageError


class Spool:
    """Chunk files below ``folder``, which must be private to this party."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(self, stream: str, sequence: int, data: bytes) -> None:
        """Write chunk ``sequence`` of ``stream``; returns once it is durable."""
        folder = self._folder / stream
        folder.mkdir(mode=0o700, exist_ok=True)
        target = folder / f"{sequence:08d}.chunk"
        partial = target.with_suffix(".partial")
        try:
            with open(partial, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, target)
        except OSError as error:
            raise disk_error(error, folder) from None

    def get(self, stream: str, sequence: int) -> bytes:
        """Return chunk ``sequence`` of ``stream``."""
        try:
            return (self._folder / stream / f"{sequence:08d}.chunk").read_bytes()
        except FileNotFoundError:
            raise UsageError(
                f"A chunk of the prepared set in {self._folder} is gone.",
                hint="between nodes the run begins anew by itself; leave working folders alone",
                code="begun_anew",
            ) from None


def disk_error(error: OSError, folder: Path) -> UsageError:
    """Return the sentence for a failed write below ``folder``."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return UsageError(
        f"The folder {folder} cannot be written: {error.strerror or type(error).__name__}.",
        hint="free some space or choose another output folder" if full else "check the folder's permissions",
        code="no_space" if full else "unwritable",
    )
