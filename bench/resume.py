"""A private match that is cut again and again: what going on costs, beside the same match uncut in the same run.

Both parties are real processes over mutual TLS, with a relay between them. Cuts are spread evenly over the masks that
the match needs; in turn the relay resets the connection, and a side's process is killed (SIGKILL). Each attempt
goes on with its side's seed and run folder, as between standing nodes.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from bench.match import MASKS_PER_PAIR
from party.jobfile import parse_job
from party.jobspec import SIDES
from party.rehearsal import Plan, plan
from party.synthetic import clean_csv
from psi.errors import VeiljoinError
from psi.seed import new_seed

_POLL: Final = 0.02
_PATIENCE: Final = 600.0
_CUT_CODES: Final = frozenset({"link_lost", "peer_absent", "cancelled", "peer_aborted", "killed"})

Observe = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class ResumeFigures:
    """Masks computed by both sides, and seconds, of the match uncut and of the one that was cut ``cuts`` times."""

    rows: int
    cuts: tuple[str, ...]
    masks: int
    masks_uncut: int
    seconds: float
    seconds_uncut: float
    matched: int
    matched_uncut: int

    def as_data(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return {
            "rows": self.rows,
            "cuts": list(self.cuts),
            "masks": self.masks,
            "masks_uncut": self.masks_uncut,
            "more_masks": round(self.masks / self.masks_uncut - 1, 4),
            "seconds": round(self.seconds, 1),
            "seconds_uncut": round(self.seconds_uncut, 1),
            "matched": self.matched,
            "matched_uncut": self.matched_uncut,
        }


def bench_resume(
    rows: int,
    cuts: int,
    folder: Path,
    *,
    suite: str,
    engine: str | None = None,
    threads: int | None = None,
    observe: Observe,
) -> ResumeFigures:
    """Match ``rows`` persons per side, half of them common, uncut and then with ``cuts`` cuts."""
    data = {side: folder / f"{side}.csv" for side in SIDES}
    clean_csv(data["bank"], rows)
    clean_csv(data["platform"], rows, first_person=rows // 2)
    table = {
        "kind": "audience",
        "purpose": "benchmark",
        "identifier": "phone",
        "suite": suite,
        "receiver": "platform",
        "bank": {"identifier": "id"},
        "platform": {"identifier": "id"},
        "policy": {"min_group": 1, "max_set": 1 << 40},
    }
    job = parse_job(table, "the benchmark's job")
    runs = {}
    for name, wanted in (("uncut", 0), ("cut", cuts)):
        drafted = plan(job, table, data, folder / name, engine=engine, threads=threads)
        runs[name] = _Match(drafted, folder / name, rows, wanted, observe).run()
    (uncut, seconds_uncut, _), (cut, seconds, done) = runs["uncut"], runs["cut"]
    return ResumeFigures(
        rows=rows,
        cuts=done,
        masks=sum(report["party"]["masks"] for report in cut.values()),
        masks_uncut=sum(report["party"]["masks"] for report in uncut.values()),
        seconds=seconds,
        seconds_uncut=seconds_uncut,
        matched=cut["platform"]["totals"]["matched"],
        matched_uncut=uncut["platform"]["totals"]["matched"],
    )


class _Match:
    """One match over as many attempts as it takes."""

    def __init__(self, drafted: Plan, folder: Path, rows: int, cuts: int, observe: Observe) -> None:
        self._plan = drafted
        self._folder = folder
        self._observe = observe
        self._marks = [MASKS_PER_PAIR * rows * number // (cuts + 1) for number in range(1, cuts + 1)]
        self._seeds = {side: new_seed() for side in SIDES}
        self._kept = {side: folder / f"{side}-run" for side in SIDES}

    def run(self) -> tuple[dict[str, dict[str, Any]], float, tuple[str, ...]]:
        """Return each side's report, the seconds, and what the cuts were."""
        started, done = time.perf_counter(), []
        ways = itertools.cycle(("link", "bank killed", "link", "platform killed"))
        for attempt in itertools.count():
            with _Relay() as relay, self._processes(relay, attempt) as sides:
                while all(side.ending is None for side in sides.values()):
                    if self._marks and self._masks() >= self._marks[0]:
                        self._marks.pop(0)
                        way = next(ways)
                        done.append(way)
                        relay.cut() if way == "link" else sides[way.split()[0]].kill()
                    time.sleep(_POLL)
                endings = {name: side.wait() for name, side in sides.items()}
            if all("party" in ending for ending in endings.values()):
                return endings, time.perf_counter() - started, tuple(done)
            for name, ending in endings.items():
                if "party" not in ending and ending["code"] not in _CUT_CODES:
                    raise VeiljoinError(f"The {name} ended with {ending['message']}")
        raise AssertionError("attempts are endless")

    def _masks(self) -> int:
        total = 0
        for kept in self._kept.values():
            for part in ("sets", "masks"):
                with contextlib.suppress(OSError, ValueError):
                    total += int((kept / part / "computed").read_text(encoding="ascii"))
        return total

    @contextmanager
    def _processes(self, relay: _Relay, attempt: int) -> Iterator[dict[str, _Side]]:
        sides: dict[str, _Side] = {}
        try:
            for name in SIDES:
                address = "127.0.0.1:0" if name == "bank" else f"127.0.0.1:{relay.port}"
                config = self._plan.configs[name](self._folder / f"attempt-{attempt}", address)
                config = replace(config, seed=self._seeds[name], run=self._kept[name])
                sides[name] = _Side(name, config.to_json(), self._observe)
                if name == "bank":
                    relay.lead_to(sides[name].port())
            yield sides
        finally:
            for side in sides.values():
                side.kill()


class _Side:
    """One party's process; a thread reads what it says."""

    def __init__(self, name: str, config: str, observe: Observe) -> None:
        self._name = name
        self._observe = observe
        self._port: int | None = None
        self._listening = threading.Event()
        # Its result, or how it failed.
        self.ending: dict[str, Any] | None = None
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cli.node"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if self._process.stdin is not None:
            self._process.stdin.write(config.encode() + b"\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        ending: dict[str, Any] = {"code": "killed", "message": "its process was killed"}
        for line in self._process.stdout or ():
            try:
                event = json.loads(line)
            except ValueError:
                break  # killed in the middle of a line
            match event["event"]:
                case "listening":
                    self._port = event["port"]
                    self._listening.set()
                case "result":
                    ending = event["report"]
                case "error":
                    ending = event
                case _:
                    self._observe(self._name, event)
        self._listening.set()
        self.ending = ending

    def port(self) -> int:
        """Wait for the port that it listens on."""
        self._listening.wait(_PATIENCE)
        if self._port is None:
            raise VeiljoinError(f"The {self._name} did not listen.")
        return self._port

    def kill(self) -> None:
        """Kill the process with its workers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self) -> dict[str, Any]:
        """Wait for the end of the process and return how it ended."""
        self._reader.join(_PATIENCE)
        self._process.wait(_PATIENCE)
        return self.ending or {"code": "killed", "message": "it did not end"}


class _Relay:
    """Passes bytes between both parties until it is cut, which resets both connections."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._target = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> _Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        self.cut()

    def lead_to(self, port: int) -> None:
        """Say where connections go."""
        self._target = port

    def cut(self) -> None:
        """Reset every connection."""
        for each in self._open:
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.shutdown(socket.SHUT_RDWR)
                each.close()
        self._open.clear()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it was cut
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
