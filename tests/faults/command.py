"""Random faults against two standing nodes: which seeds, what is printed, and the table at the end."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults.schedule import Fault, schedule_of
from tests.faults.trial import Outcome, run_trial
from tests.faults.world import has_postgres, make_world


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials that the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="how many seeds (default 10)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the first seed (default 0)")
    parser.add_argument("--seed", type=int, action="append", metavar="N", help="this seed, or these")
    parser.add_argument("--json", type=Path, metavar="FILE", help="add one line per trial to FILE")
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="keep homes and logs of bad trials below DIR"
    )
    parser.add_argument("--list", action="store_true", help="print the schedules and run nothing")
    asked = parser.parse_args(arguments)
    seeds = asked.seed or range(asked.first, asked.first + asked.seeds)
    schedules = [schedule_of(seed) for seed in seeds]
    if asked.list:
        _say("\n".join(map(str, schedules)))
        return 0
    # However the run is ended, its nodes are too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asked.folder = asked.folder or Path(tempfile.mkdtemp(prefix="veiljoin-faults-"))
    outcomes = []
    with make_world(asked.folder / f"world-{time.time_ns():x}") as world:
        _say(f"homes and logs of bad trials: {world.folder}")
        for schedule in schedules:
            if schedule.store == "postgresql" and not has_postgres():
                _say(f"{schedule}\n  skipped: no PostgreSQL server is installed")
                continue
            _say(str(schedule))
            outcome = run_trial(world, schedule)
            outcomes.append(outcome)
            _say(f"  {told(outcome)}")
            for problem in outcome.problems:
                _say(f"  WRONG: {problem}")
            if asked.json is not None:
                with open(asked.json, "a", encoding="utf-8") as file:
                    file.write(json.dumps(as_data(outcome)) + "\n")
    _say("\n".join(table(outcomes)))
    bad = [outcome.schedule.seed for outcome in outcomes if outcome.problems]
    if bad:
        _say(f"wrong: {len(bad)} of {len(outcomes)} seeds: {' '.join(map(str, bad))}")
    return 1 if bad else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def told(outcome: Outcome) -> str:
    """One line about a trial."""
    states = ", ".join(f"{side} {state}" for side, state in outcome.states.items())
    attempts = "/".join(map(str, outcome.attempts.values()))
    fell = ", ".join(f"{side} node ended with {codes}" for side, codes in outcome.exits.items() if codes)
    return (
        f"{states}; attempts {attempts}; faults {' '.join(outcome.done)}; rest after {outcome.rest_seconds:.1f} s, "
        f"{outcome.seconds:.1f} s in all{'; ' + fell if fell else ''}"
    )


def as_data(outcome: Outcome) -> dict[str, Any]:
    """One trial for machines."""
    return {
        "seed": outcome.schedule.seed,
        "schedule": str(outcome.schedule),
        "faults": [
            [*_label(fault), done] for fault, done in zip(outcome.schedule.faults, outcome.done, strict=False)
        ],
        "states": outcome.states,
        "attempts": outcome.attempts,
        "problems": outcome.problems,
        "rest_seconds": round(outcome.rest_seconds, 1),
        "seconds": round(outcome.seconds, 1),
    }


def _label(fault: Fault) -> tuple[str, str, str]:
    return fault.kind, fault.how, f"{fault.moment.side}:{fault.moment.phase}"


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """The faults by kind and target: how many were done, in how many phases, and how their trials ended."""
    rows: dict[tuple[str, str], list[tuple[Fault, str, Outcome]]] = defaultdict(list)
    for outcome in outcomes:
        for fault, done in zip(outcome.schedule.faults, outcome.done, strict=False):
            rows[(fault.kind, fault.how)].append((fault, done, outcome))
    lines = ["", f"{'fault':<26}{'done':>6}{'missed':>8}{'places':>8}   trials ended as"]
    for (kind, how), entries in sorted(rows.items()):
        met = [fault.moment for fault, done, _ in entries if done == "done"]
        places = {(moment.side, moment.phase) for moment in met}
        ends = Counter("wrong" if outcome.problems else outcome.states["bank"] for *_, outcome in entries)
        ended = ", ".join(f"{end} {count}" for end, count in sorted(ends.items()))
        label = f"{kind} {how}"
        lines.append(f"{label:<26}{len(met):>6}{len(entries) - len(met):>8}{len(places):>8}   {ended}")
    seconds = sum(outcome.seconds for outcome in outcomes)
    rests = sorted(outcome.rest_seconds for outcome in outcomes)
    if rests:
        lines.append(
            f"{len(outcomes)} trials in {seconds:.0f} s; rest after {rests[len(rests) // 2]:.1f} s (median), "
            f"{rests[-1]:.1f} s (longest)"
        )
    return lines
