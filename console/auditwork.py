"""The process that verifies the log or makes what is handed out, beside the console and after it in priority.

    python -m console.auditwork < task

The task is one line of JSON on standard input (``console.auditing`` makes it) and holds no key of the node: what has
to be signed was signed before. Standard output carries frames: pieces of what was asked for, then the end, or an
error. When standard input ends, the console is gone, and so is this process.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import struct
import sys
import threading
import traceback
from typing import Final

from psi.errors import UsageError, VeiljoinError

# A frame is its kind, the length of its content, and the content.
HEAD: Final = struct.Struct(">cI")
PIECE: Final = b"P"
DONE: Final = b"D"
ERROR: Final = b"E"
# Pages, jobs and the node go first; on a machine with nothing else to do it costs nothing.
_NICE: Final = 10


def main() -> int:
    """Do what the task says; returns the exit status."""
    os.umask(0o077)
    # A core file would hold what the log keeps for this party alone.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # a hardened service may forbid it; the work is the same
        os.nice(_NICE)
    line = _first_line()
    if not line:
        return 1  # the console went away before there was anything to do
    threading.Thread(target=_end_with_the_console, daemon=True).start()
    task = json.loads(line)
    # Its default is to end the process, wherever it is, also where it waits for somebody to read.
    signal.alarm(task["seconds"])
    try:
        # Here and not above: this takes most of a second, at the lower priority now.
        from console.auditmaking import made

        for piece in made(task):
            _send(PIECE, piece)
        _send(DONE, b"")
    except BrokenPipeError:
        return 1  # nobody reads any more
    except VeiljoinError as error:
        _send_error(error)
    except Exception as error:  # noqa: BLE001 - the last stop: told without values, never swallowed
        where = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__} at {os.path.basename(where.filename)}:{where.lineno}"
        _send_error(
            VeiljoinError(f"A fault in this program: {kind}.", hint="please report it with this sentence")
        )
    return 0


def _send(kind: bytes, content: bytes) -> None:
    """Write a frame; waits for who reads."""
    for part in (HEAD.pack(kind, len(content)), content):
        rest = memoryview(part)
        while rest:
            rest = rest[os.write(1, rest) :]


def _send_error(error: VeiljoinError) -> None:
    told = {
        "code": error.code.name,
        "message": error.message,
        "hint": error.hint,
        "usage": isinstance(error, UsageError),
    }
    try:
        _send(ERROR, json.dumps(told).encode())
    except BrokenPipeError:
        return  # nobody reads any more


def _first_line() -> bytes:
    """Read the task, unbuffered, so that the end of the same pipe can be waited for afterwards."""
    line = bytearray()
    while not line.endswith(b"\n"):
        part = os.read(0, 65_536)
        if not part:
            return b""
        line += part
    return bytes(line)


def _end_with_the_console() -> None:
    while os.read(0, 65_536):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
