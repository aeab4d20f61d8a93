"""How a long job tells what it is doing: phases, rows done, and a way to be stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from psi.errors import VeiljoinError

# phase -> (English, Chinese), in order
PHASES: Final[dict[str, tuple[str, str]]] = {
    "check": ("checking", "检查"),
    "connect": ("connecting", "连接"),
    "agree": ("signing the contract", "签署合同"),
    "read": ("reading and masking own rows", "读取并加密自有数据"),
    "order": ("merging duplicates and shuffling", "去重并打乱顺序"),
    "exchange": ("masking the partner's rows", "加密对方数据"),
    "match": ("matching", "匹配"),
    "encrypt": ("encrypting and sending own outcomes", "加密并发送自有结果数据"),
    "collect": ("receiving encrypted outcomes and adding them up", "接收密文并汇总"),
    "write": ("writing results", "写出结果"),
}

# The same of the partner's part, as this side says it.
PHASES_THERE: Final[dict[str, tuple[str, str]]] = PHASES | {
    "read": ("reading and masking its rows", "读取并加密其数据"),
    "exchange": ("masking our rows", "加密我方数据"),
    "encrypt": ("encrypting and sending its outcomes", "加密并发送其结果数据"),
}

# The phases of whose share the partner is told: their length follows from what both sides announce, or from the file.
_SHARED: Final = frozenset({"read", "exchange", "encrypt", "collect"})

Emit = Callable[[dict[str, Any]], None]


class Progress:
    """Emits ``{"event": "phase" | "progress", ...}`` and keeps the seconds of each phase.

    ``advance`` is called from worker threads too; it emits at most ``per_second`` times a second.
    """

    def __init__(self, emit: Emit, per_second: float = 5.0) -> None:
        self._emit = emit
        self._interval = 1 / per_second
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._phase = ""
        self._done = 0
        self._total: int | None = None
        self._last = 0.0
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str, total: int | None = None) -> Iterator[None]:
        """Run a block as phase ``name`` of ``total`` rows (``None`` where nobody can know)."""
        self.check()
        with self._lock:
            self._phase, self._done, self._total, self._last = name, 0, total, 0.0
        self._emit({"event": "phase", "phase": name, "total": total})
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started
        self._emit({"event": "progress", "phase": name, "done": self._done, "total": self._total})

    def expect(self, total: int) -> None:
        """Say how many rows the current phase has, once that is known."""
        with self._lock:
            self._total = total
        self._emit({"event": "phase", "phase": self._phase, "total": total})

    def advance(self, rows: int) -> None:
        """Count ``rows`` more as done in the current phase. Raises ``VeiljoinError`` once stopped."""
        self.check()
        now = time.monotonic()
        with self._lock:
            self._done += rows
            due = now - self._last >= self._interval
            if due:
                self._last = now
            phase, done, total = self._phase, self._done, self._total
        if due:
            # Of how many: a node keeps the last event alone, for people who come later.
            self._emit({"event": "progress", "phase": phase, "done": done, "total": total})

    @property
    def current(self) -> str:
        """The running phase."""
        return self._phase

    def stop(self) -> None:
        """Make the next ``check`` or ``advance`` raise, in whatever thread it runs."""
        self._stop.set()

    def check(self) -> None:
        """Raise ``VeiljoinError`` (code ``cancelled``) if the job was stopped."""
        if self._stop.is_set():
            raise VeiljoinError("The job was stopped.", code="cancelled")


def percent(event: Mapping[str, Any]) -> int:
    """Return how many percent of its phase a progress event says are done, rounded down; 0 where nobody is to know.

    It is for the partner: how fast lists are written, for one, would say how long they are.
    """
    if event.get("phase") not in _SHARED:
        return 0
    done, total = event.get("done"), event.get("total")
    if not isinstance(done, int) or not isinstance(total, int) or total <= 0:
        return 0
    return max(0, min(100, 100 * done // total))


def remaining(done: int, total: int | None, elapsed: float) -> float | None:
    """Return the estimated seconds left, or ``None`` while nothing can be said."""
    if not total or done <= 0 or elapsed <= 0:
        return None
    return max(0.0, (total - done) * elapsed / done)
