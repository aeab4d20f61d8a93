"""What of a node's events is written, and that nothing else is."""

from __future__ import annotations

import ast
import datetime
import errno
import json
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from party import nodelog
from party.nodelog import EVENTS, LogFile, Writer, entry
from psi.errors import UsageError

NOW = datetime.datetime(
    2026, 11, 22, 20, 30, 1, 234_567, tzinfo=datetime.timezone(datetime.timedelta(hours=8))
)
JOB = "3f2a" * 8
ROOT = Path(__file__).resolve().parents[2]
# Where standing nodes tell what happens.
TELLERS = [
    *(
        "party/running.py",
        "party/stopping.py",
        "party/scheduling.py",
        "server/node.py",
        "client/node.py",
        "cli/run.py",
    ),
]


def test_a_line_has_time_level_event_and_the_fields_of_that_event() -> None:
    event = {
        "event": "process",
        "job": JOB,
        "attempt": 2,
        "pid": 77,
        "contract": "x",
        "text": "not of this event",
    }
    assert entry(event, NOW) == {
        "time": "2026-11-22T12:30:01.234Z",
        "level": "info",
        "event": "process",
        "job": "3f2a3f2a",
        "attempt": 2,
        "pid": 77,
    }
    whole = entry(event, NOW, whole_ids=True)
    assert whole is not None
    assert whole["job"] == JOB


@pytest.mark.parametrize(
    "event",
    [
        {"event": "job", "job": "13800138000", "state": "running"},
        {"event": "job", "job": ["a"], "state": "running", "code": "a b", "attempt": "13800138000"},
        {"event": "online", "partner": "zhang.wei@example.com"},
        {"event": "process", "pid": True},
        {"event": "listening", "address": "13800138000@there"},
    ],
)
def test_a_field_that_has_not_its_form_is_left_out(event: dict[str, Any]) -> None:
    line = json.dumps(entry(event, NOW))
    assert not any(trace in line for trace in ("1380013", "zhang", "a b", "true"))


@pytest.mark.parametrize(
    "trace",
    [
        "13800138000",
        "+8613800138000",
        "110101199003078515",
        "zhang.wei@example.com",
        "d41d8cd98f00b204e9800998ecf8427e",
        "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
        "123e4567-e89b-12d3-a456-426614174000",
        "Zm9vYmFyYmF6Zm9vYmFyYmF6Zm9vYmFyYmF6Zm9vYmF6",
    ],
)
@pytest.mark.parametrize("name", ["ended", "fault", "never_heard_of"])
def test_what_looks_like_an_identifier_or_a_hash_is_taken_out_of_sentences(name: str, trace: str) -> None:
    line = entry({"event": name, "text": f"Row {trace} is bad.", "hint": f"see '{trace}'"}, NOW)
    assert line is not None
    digits = trace.removeprefix("+")
    assert digits not in json.dumps(line)
    assert line["text"].startswith("Row ")
    assert line["text"].endswith(" is bad.")


def test_the_own_job_is_named_shortly_in_sentences() -> None:
    line = entry({"event": "ended", "job": JOB, "text": f"Job {JOB} was cut.", "hint": "wait"}, NOW)
    assert line is not None
    assert line["text"] == "Job 3f2a3f2a was cut."


def test_a_line_is_one_line() -> None:
    line = entry({"event": "fault", "text": "a\nb\x1b[31mc\u2028d", "hint": ""}, NOW)
    assert line is not None
    assert line["text"] == "a b [31mc d"


def test_a_schedule_is_named_by_its_short_id() -> None:
    line = entry({"event": "schedule", "schedule": "0a1b2c3d", "state": "drafted", "job": JOB}, NOW)
    assert line is not None
    assert (line["schedule"], line["job"]) == ("0a1b2c3d", "3f2a3f2a")


def test_levels_say_what_to_look_at() -> None:
    def level(**event: Any) -> str | None:
        line = entry(event, NOW)
        return None if line is None else line["level"]

    assert level(event="job", job=JOB, state="done") == "info"
    assert level(event="job", job=JOB, state="failed", code="too_small") == "warning"
    assert level(event="job", job=JOB, state="expired") == "info"
    assert level(event="fault", text="t") == "error"
    assert level(event="tick") is None
    assert level(event="Not A Word") is None
    assert level() is None


@pytest.mark.parametrize("path", TELLERS)
def test_every_event_that_a_node_tells_has_its_fields(path: str) -> None:
    """An event that is not in the table is written with few fields: add it, with those that people need."""
    told = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "event" and isinstance(value, ast.Constant):
                    told.add(value.value)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_say":
            told |= {each.value for each in node.args if isinstance(each, ast.Constant)}
    assert {each for each in told if isinstance(each, str)} <= set(EVENTS)


def test_a_writer_keeps_the_order_and_writes_all_before_it_closes() -> None:
    lines: list[str] = []
    writer = Writer(lines.append)
    for number in range(1_000):
        writer.put(str(number))
    writer.close()
    assert lines == [str(number) for number in range(1_000)]
    assert writer.lost == 0


def test_a_reader_that_does_not_read_costs_lines_and_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodelog, "_WAITING_LINES", 10)
    monkeypatch.setattr(nodelog, "_CLOSING_SECONDS", 0.05)
    paused = threading.Event()

    def wait(line: str) -> None:
        paused.wait()

    writer = Writer(wait)
    for number in range(100):
        writer.put(str(number))
    assert 88 <= writer.lost <= 90
    writer.close()
    paused.set()


def test_a_log_that_cannot_be_written_is_counted() -> None:
    def broken(line: str) -> None:
        raise BrokenPipeError

    writer = Writer(broken)
    writer.put("a")
    writer.put("b")
    writer.close()
    assert writer.lost == 2


def test_a_log_file_is_private_and_begins_anew_when_it_is_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodelog, "FILE_BYTES", 200)
    path = tmp_path / "node.log"
    path.write_text("from before, for everybody\n")
    path.chmod(0o644)
    file = LogFile(path)
    for number in range(20):
        file.line(f"{number:03} 100% of a line %s")
    file.close()
    files = sorted(tmp_path.iterdir())
    assert [each.name for each in files] == ["node.log", "node.log.1", "node.log.2"]
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    text = "".join(each.read_text() for each in reversed(files))
    assert text.splitlines()[1:] == [f"{number:03} 100% of a line %s" for number in range(20)]


def test_a_log_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing"):
        LogFile(tmp_path / "missing" / "node.log")


class Full:
    """A file on a disk that is full."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    flush = close = write  # type: ignore[assignment]


def test_a_full_disk_costs_lines_and_prints_none_of_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = LogFile(tmp_path / "log")
    opened, file.stream = file.stream, Full()  # type: ignore[assignment]
    writer = Writer(file.line)
    writer.put("a")
    writer.close()
    assert writer.lost == 1
    assert capsys.readouterr().err == ""
    file.stream = opened
    file.line("b")
    file.close()
    assert (tmp_path / "log").read_text() == "b\n"
