"""How a running job looks: bars at a terminal, plain lines elsewhere, JSON lines for machines."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Final, Protocol

from party.progress import PHASES, remaining

_SIDES: Final = {
    "en": {"bank": "bank", "platform": "platform", "own": "own data"},
    "zh": {"bank": "银行", "platform": "平台", "own": "自有数据"},
}
_LINE_EVERY: Final = 5.0  # seconds


class Display(Protocol):
    """Shows the events of both parties; a context manager."""

    def __enter__(self) -> Display: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, side: str, event: dict[str, Any]) -> None:
        """Show one event."""


def open_display(as_json: bool, language: str) -> Display:
    """Return the display that fits where the output goes."""
    if as_json:
        return JsonLines()
    if sys.stderr.isatty():
        return Bars(language)
    return PlainLines(language)


class JsonLines:
    """Every event as one line of JSON on standard output."""

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, side: str, event: dict[str, Any]) -> None:
        """Print the event with its side."""
        if event["event"] != "result":
            print(json.dumps({"side": side, **event}, ensure_ascii=False), flush=True)


def _phase_name(phase: str, language: str) -> str:
    return PHASES[phase][0 if language == "en" else 1] if phase in PHASES else phase


def _rate(done: int, seconds: float, language: str) -> str:
    rate = done / seconds if seconds > 0 else 0
    return f"{rate:,.0f} rows/s" if language == "en" else f"{rate:,.0f} 行/秒"


def _left(seconds: float, language: str) -> str:
    return f"{seconds:.0f} s left" if language == "en" else f"剩余 {seconds:.0f} 秒"


def engine_lines(name: str, event: dict[str, Any], language: str) -> list[str]:
    """Say which engine a party masks with, and why not a faster one."""
    chosen = {
        "en": f"{name}: masking with {event['engine']} in {event['threads']} processes",
        "zh": f"{name}：掩码引擎 {event['engine']}，{event['threads']} 个进程",
    }
    instead = {"en": "not with", "zh": "未使用"}
    return [chosen[language], *(f"{name}: {instead[language]} {why}" for why in event["passed_over"])]


class PlainLines:
    """Log lines on standard error: each phase, and where a long one stands every few seconds."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._state: dict[str, tuple[str, int | None, float, float]] = {}

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, side: str, event: dict[str, Any]) -> None:
        """Print a line if the event is worth one."""
        name, now = _SIDES[self._language][side], time.monotonic()
        match event["event"]:
            case "phase":
                before = self._state.get(side)
                if before and before[0] == event["phase"]:
                    self._state[side] = (event["phase"], event["total"], before[2], before[3])
                    return
                self._state[side] = (event["phase"], event["total"], now, now)
                self._print(f"{name}: {_phase_name(event['phase'], self._language)}")
            case "progress" if side in self._state:
                phase, total, started, told = self._state[side]
                if now - told < _LINE_EVERY or not event["done"]:
                    return
                self._state[side] = (phase, total, started, now)
                left = remaining(event["done"], total, now - started)
                facts = [f"{event['done']:,}", _rate(event["done"], now - started, self._language)]
                if left is not None:
                    facts.append(_left(left, self._language))
                self._print(f"{name}: {_phase_name(phase, self._language)}: {', '.join(facts)}")
            case "engine":
                for line in engine_lines(name, event, self._language):
                    self._print(line)

    @staticmethod
    def _print(line: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


class Bars:
    """One live bar per party: phase, rows, rows/s, time left."""

    def __init__(self, language: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Task as RichTask
        from rich.text import Text

        self._language = language

        class Facts(ProgressColumn):
            def render(self, task: RichTask) -> Text:
                done, elapsed = int(task.completed), task.elapsed or 0.0
                if not done:
                    return Text("")
                total = int(task.total) if task.total else None
                left = remaining(done, total, elapsed)
                words = [f"{done:,}", _rate(done, elapsed, language)]
                if left is not None:
                    words.append(_left(left, language))
                return Text("  ".join(words))

        self._progress = Progress(
            TextColumn("{task.description}", table_column=None),
            BarColumn(bar_width=24),
            Facts(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, Any] = {}
        self._phase: dict[str, str] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, side: str, event: dict[str, Any]) -> None:
        """Move the bar of ``side``."""
        match event["event"]:
            case "phase":
                self._enter_phase(side, event["phase"], event["total"])
            case "progress" if side in self._tasks:
                self._progress.update(self._tasks[side], completed=event["done"])
            case "engine":
                name = _SIDES[self._language][side]
                for line in engine_lines(name, event, self._language)[1:]:
                    self._progress.console.print(line, highlight=False)
            case "result" if side in self._tasks:
                self._progress.update(self._tasks[side], description=self._label(side, "✓"))

    def _enter_phase(self, side: str, phase: str, total: int | None) -> None:
        if self._phase.get(side) == phase:
            self._progress.update(self._tasks[side], total=total)
            return
        self._phase[side] = phase
        label = self._label(side, _phase_name(phase, self._language))
        if side not in self._tasks:
            self._tasks[side] = self._progress.add_task(label, total=total)
        else:
            self._progress.reset(self._tasks[side], total=total, description=label)

    def _label(self, side: str, text: str) -> str:
        return f"{_SIDES[self._language][side]:<9} {text:<32}"
