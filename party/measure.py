"""What a process used: its peak memory."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_memory_mb() -> float:
    """Return the most memory this process and any one of its children held at once, in MB (10^6 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024
    own = _high_water() or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    return round(max(own, children) / 1e6, 1)


def _high_water() -> int:
    """Return VmHWM in bytes; ru_maxrss would count the parent's memory before exec on Linux."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
