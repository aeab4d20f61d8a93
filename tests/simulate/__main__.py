"""``python -m tests.simulate``: schedules from published seeds; exits 1 if anything was wrong in one of them."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.simulate.field import field_in
from tests.simulate.nodes import World
from tests.simulate.protocol import Places, Schedule
from tests.simulate.report import Report
from tests.simulate.uncut import known_proofs

_BREACHES: Final = 10
_TRACE: Final = 80
# After how many schedules a line tells that it goes on.
_TOLD: Final = 1_000
Simulate = Callable[[int, Callable[[str], None]], Report]


@contextmanager
def protocol() -> Iterator[Simulate]:
    """Give the simulation of protocol runs."""
    places = Places()
    try:
        with known_proofs():
            yield lambda seed, tell: Schedule(seed, places, tell).run()
    finally:
        places.close()


@contextmanager
def nodes() -> Iterator[Simulate]:
    """Give the simulation of standing nodes."""
    fast = Path("/dev/shm")  # noqa: S108 - nothing secret, and of a name of its own
    with TemporaryDirectory(dir=fast if fast.is_dir() else None) as folder, field_in(Path(folder)) as field:
        yield lambda seed, tell: World(seed, field.fresh(), field.loop, tell).run()


KINDS: Final = {"protocol": protocol, "nodes": nodes}


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulate", description=__doc__)
    parser.add_argument("--kind", choices=KINDS, default="protocol")
    parser.add_argument("--seed", type=int, help="repeat one schedule and print its trace")
    parser.add_argument("--seeds", type=int, default=1000, help="how many schedules")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    chosen = parser.parse_args()
    with KINDS[chosen.kind]() as simulate:
        if chosen.seed is not None:
            return _repeat(simulate, chosen.seed)
        return _many(simulate, chosen.kind, range(chosen.first, chosen.first + chosen.seeds))


def _repeat(simulate: Simulate, seed: int) -> int:
    report = simulate(seed, print)
    print(f"{report.outcome}{': ' + report.breach if report.breach else ''}")
    return report.breach is not None


def _many(simulate: Simulate, kind: str, seeds: range) -> int:
    outcomes: Counter[str] = Counter()
    happened: Counter[str] = Counter()
    breaches = 0
    began, worked = time.monotonic(), time.process_time()
    done = 0
    for seed in seeds:
        trace: list[str] = []
        report = simulate(seed, trace.append)
        done += 1
        outcomes[report.outcome] += 1
        happened += report.happened
        if report.breach is not None:
            breaches += 1
            print(f"\n{report.name}: {report.breach}. Repeat it: make simulate KIND={kind} SEED={seed}")
            print("\n".join(trace[-_TRACE:]), flush=True)
        if done % _TOLD == 0:
            print(f"{done} schedules, {breaches} wrong", flush=True)
        if breaches >= _BREACHES:
            print(f"\nStopped behind seed {seed}: {breaches} schedules were wrong.")
            break
    wall, cpu = time.monotonic() - began, time.process_time() - worked
    print(f"\nseeds {seeds.start} to {seeds.start + done - 1}: {done} schedules, {breaches} wrong")
    print(f"{wall:.0f} s, of which {cpu:.0f} s of processor time: {done / cpu * 60:.0f} a minute on one core")
    for title, counts in (("how they ended", outcomes), ("what happened in them", happened)):
        print(f"\n{title}")
        for what, count in counts.most_common():
            print(f"{count:>9} {what}")
    return breaches > 0


if __name__ == "__main__":
    sys.exit(main())
