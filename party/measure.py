"""What a process used: its peak memory."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterable
from pathlib import Path


def peak_memory_mb(workers: Iterable[int] = ()) -> float:
    """Return the peak memory of this process and of the processes ``workers``, added up, in MB (10^6 bytes).

    An upper bound of what they held at once, since their peaks need not coincide.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    own = _high_water("self") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return round((own + sum(_high_water(str(process)) for process in workers)) / 1e6, 1)


def _high_water(process: str) -> int:
    """Return VmHWM in bytes, or 0 where it is not told.

    ``ru_maxrss`` would count the parent's memory from before exec on Linux.
    """
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
