"""The partner's messages of one run on disk, one file each, so that the run outlives its link and its process.

Only what the partner sent comes here: masked points, tokens, ciphertexts, digests and sizes. A message is durable
(written under a temporary name, flushed, renamed, the folder flushed) before anything that follows from it is sent
(psi/SPEC 8.6). A file that is not as it was written, and all behind it, counts as not received.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from party.spool import disk_error
from psi.errors import UsageError, VeiljoinError
from psi.replay import Entry
from veiljoin import codec
from veiljoin.messages import WireMessage
from veiljoin.v1 import session_pb2 as pb

_DIGEST: Final = 32
# Own messages made, bytes of the own announcement's fingerprint.
_HEAD: Final = struct.Struct(">QB")
_SUFFIX: Final = ".message"
_PARTIAL: Final = ".partial"


class DiskJournal:
    """A ``psi.replay.Journal`` in ``folder``; what is held back goes to ``aside``, which ends with the process.

    Steps that write raise ``UsageError`` (``no_space``, ``unwritable``).
    """

    def __init__(self, folder: Path, aside: Path) -> None:
        self._folder = folder
        self._aside = aside
        self._held = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._size = self._sound()
        except OSError as error:
            raise disk_error(error, folder) from None

    def __len__(self) -> int:
        """How many messages there are."""
        return self._size

    def entries(self) -> Iterator[Entry[WireMessage]]:
        """Yield the messages from the first on."""
        for number in range(self._size):
            entry = _read(self._folder / _name(number))
            if entry is None:
                raise disk_error(OSError("a file changed while it was in use"), self._folder)
            yield entry

    def add(self, entry: Entry[WireMessage]) -> None:
        """Add a message; durable once this returns."""
        body = _packed(entry)
        try:
            _write(self._folder / _name(self._size), body, durable=True)
        except OSError as error:
            raise disk_error(error, self._folder) from None
        self._size += 1

    def hold(self, message: WireMessage) -> None:
        """Put an own message aside."""
        try:
            self._aside.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(self._aside / _name(self._held), _packed(Entry(0, message)), durable=False)
        except OSError as error:
            raise disk_error(error, self._aside) from None
        self._held += 1

    def held(self) -> Iterator[WireMessage]:
        """Yield what was put aside."""
        for number in range(self._held):
            entry = _read(self._aside / _name(number))
            if entry is None:
                raise disk_error(OSError("a file changed while it was in use"), self._aside)
            yield entry.message

    def _sound(self) -> int:
        """Return how many files are whole, and remove what is behind them."""
        files = sorted(self._folder.glob(f"*{_SUFFIX}"))
        size = 0
        while size < len(files) and files[size].name == _name(size) and _read(files[size]) is not None:
            size += 1
        for path in (*files[size:], *self._folder.glob(f"*{_PARTIAL}")):
            path.unlink()
        return size


class ReadOnlyJournal:
    """The journal of a run that has ended, in ``folder``, to play it once more: nothing in it is changed.

    Raises ``UsageError`` that names the first message which is not as it was written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._size = journal_size(folder)

    def __len__(self) -> int:
        """How many messages there are."""
        return self._size

    def entries(self) -> Iterator[Entry[WireMessage]]:
        """Yield the messages from the first on."""
        for number in range(self._size):
            path = self._folder / _name(number)
            try:
                entry = _read(path)
            except (OSError, VeiljoinError):
                entry = None
            if entry is None:
                raise UsageError(
                    f"{path} is not as it was written.",
                    hint="take it from a copy of the home; the messages behind it cannot be judged without it",
                    code="bad_format",
                )
            yield entry

    def add(self, entry: Entry[WireMessage]) -> None:
        """Refuse: the run has ended."""
        raise RuntimeError("the journal of a run that has ended takes no message")

    def hold(self, message: WireMessage) -> None:
        """Refuse: whoever plays a run that has ended lacks nothing."""
        raise RuntimeError("nobody waits for the messages of a run that has ended")

    def held(self) -> Iterator[WireMessage]:
        """Yield nothing."""
        return iter(())


def journal_size(folder: Path) -> int:
    """Return how many messages are in ``folder``, without reading them: how far a run has come."""
    return sum(1 for _ in folder.glob(f"*{_SUFFIX}"))


def _name(number: int) -> str:
    return f"{number:08d}{_SUFFIX}"


def _packed(entry: Entry[WireMessage]) -> bytes:
    message = codec.encode(entry.message).SerializeToString()
    return _HEAD.pack(entry.made, len(entry.announced)) + entry.announced + message


def _write(target: Path, body: bytes, *, durable: bool) -> None:
    partial = target.with_suffix(_PARTIAL)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(handle, "wb") as file:
        file.write(hashlib.sha256(body).digest() + body)
        file.flush()
        if durable:
            os.fsync(handle)
    os.replace(partial, target)
    if durable:
        folder = os.open(target.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _read(path: Path) -> Entry[WireMessage] | None:
    """Return what :func:`_write` wrote, ``None`` for a file that is not as it was written."""
    content = path.read_bytes()
    digest, body = content[:_DIGEST], content[_DIGEST:]
    if len(body) < _HEAD.size or hashlib.sha256(body).digest() != digest:
        return None
    made, length = _HEAD.unpack_from(body)
    rest = body[_HEAD.size :]
    try:
        envelope = pb.Envelope.FromString(rest[length:])
    except DecodeError:
        return None
    return Entry(made, codec.decode(envelope), rest[:length])
