"""A bank's standing node with several partners: jobs one at a time, then many at once, in the same run.

All nodes are real processes over mutual TLS on loopback. Every job is the same private match. It is drafted and
tried on test identifiers before any time is taken; from its approval on the nodes do everything. Times come from the
history of the jobs in the nodes' stores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from bench.house import APPROVER, COLUMN, DRAFTER, House, peak_memory_mb
from party.catalogue import Catalogue
from party.drafting import draft_with
from party.jobfile import load_job
from party.jobrecords import JobRecord, person
from party.jobs import Jobs
from party.jobspec import SIDES
from party.jobstates import JobState, Step
from party.node import Node
from party.nodefile import BANK
from party.policy import DEFAULT_POLICY
from party.preflight import standing_of
from party.preflights import PER_PARTNER, PreflightState
from psi.errors import UsageError, VeiljoinError

# Most that all jobs together may take, as a share of what they take one after the other.
BAR: Final = 1.3
# A set and a match of half of it have to be larger than what policies let through.
LEAST_ROWS: Final = 2 * DEFAULT_POLICY.limits.min_group
_JOB: Final = f"""\
kind = "audience"
purpose = "benchmark"
identifier = "phone"
receiver = "platform"
[bank]
identifier = "{COLUMN}"
[platform]
identifier = "{COLUMN}"
"""

Observe = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class JobTimes:
    """When a job of ``partner`` was approved, started and done at the bank, and done on both sides."""

    partner: str
    approved: datetime
    started: datetime
    done: datetime
    done_everywhere: datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """What jobs took: ``alone``, one at a time, and ``together``, all approved at once.

    ``processor_alone`` and ``processor_together`` are processor seconds per job on both sides, with what the nodes
    themselves took meanwhile; ``peak_memory_mb`` is that of the bank's node without its jobs' processes. They are
    ``None`` where the system does not tell.
    """

    rows: int
    running: int
    alone: tuple[JobTimes, ...]
    together: tuple[JobTimes, ...]
    processor_alone: float | None
    processor_together: float | None
    peak_memory_mb: float | None

    @property
    def mean_alone(self) -> float:
        """Seconds from start to end of a job alone, on average."""
        return _mean([_seconds(job.started, job.done) for job in self.alone])

    @property
    def mean_alone_wall(self) -> float:
        """Seconds from the approval of a job alone until it is done on both sides, on average."""
        return _mean([_seconds(job.approved, job.done_everywhere) for job in self.alone])

    @property
    def wall(self) -> float:
        """Seconds from the first approval until the last of the jobs together is done on both sides."""
        first = min(job.approved for job in self.together)
        return _seconds(first, max(job.done_everywhere for job in self.together))

    @property
    def ratio(self) -> float:
        """What the jobs together took, as a share of what they take one after the other with no gaps."""
        return self.wall / (self.mean_alone * len(self.together))

    @property
    def done_at_half(self) -> dict[str, int]:
        """Per partner, how many jobs are done when half of all are."""
        ended = sorted(self.together, key=lambda job: job.done)
        counts = Counter(job.partner for job in ended[: (len(ended) + 1) // 2])
        return {partner: counts[partner] for partner in self._partners}

    @property
    def mean_until_done(self) -> dict[str, float]:
        """Per partner, seconds from the first approval of all until a job is done at the bank, on average."""
        first = min(job.approved for job in self.together)
        return {
            partner: _mean([_seconds(first, job.done) for job in self.together if job.partner == partner])
            for partner in self._partners
        }

    @property
    def spread(self) -> float:
        """The longest of :attr:`mean_until_done` by the shortest."""
        means = self.mean_until_done.values()
        return max(means) / min(means)

    @property
    def _partners(self) -> list[str]:
        return sorted({job.partner for job in self.together})

    def as_data(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return {
            "rows": self.rows,
            "jobs": len(self.together),
            "partners": len(self._partners),
            "running": self.running,
            "alone": {
                "jobs": len(self.alone),
                "mean_seconds": round(self.mean_alone, 2),
                "mean_seconds_from_approval": round(self.mean_alone_wall, 2),
            },
            "seconds_alone": round(self.mean_alone * len(self.together), 1),
            "seconds_together": round(self.wall, 1),
            "ratio": round(self.ratio, 3),
            "bar": BAR,
            "processor_seconds_alone": self.processor_alone,
            "processor_seconds_together": self.processor_together,
            "attempts": sum(job.attempts for job in self.together),
            "done_at_half": self.done_at_half,
            "mean_seconds_until_done": {name: round(each, 1) for name, each in self.mean_until_done.items()},
            "spread": round(self.spread, 3),
            "peak_memory_mb": self.peak_memory_mb,
        }


def _seconds(first: datetime, last: datetime) -> float:
    return (last - first).total_seconds()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _per_job(before: float | None, after: float | None, jobs: int) -> float | None:
    return None if before is None or after is None else round((after - before) / jobs, 2)


def bench_nodes(
    jobs: int, partners: int, rows: int, folder: Path, *, running: int, alone: int, observe: Observe
) -> NodeFigures:
    """Run ``alone`` jobs of each of ``partners`` one at a time, then ``jobs`` at once, ``running`` at a time.

    Each side of a job has ``rows`` persons, half of them common. ``folder`` holds homes, data and logs. Raises
    ``UsageError`` if a partner would get more jobs than nodes try in an hour, ``VeiljoinError`` for a node or
    a job that ends otherwise than it should.
    """
    names = [f"partner-{number}" for number in range(1, partners + 1)]
    # In blocks: whoever is first in the queue must not be served first alone.
    share = [name for at, name in enumerate(names) for _ in range(at, jobs, partners)]
    if alone + -(-jobs // partners) > PER_PARTNER:
        raise UsageError(
            f"That is more than {PER_PARTNER} jobs for one partner, which is what nodes try on test "
            "identifiers in an hour.",
            hint="use more partners, or fewer jobs",
        )
    job_file = folder / "job.toml"
    job_file.write_text(_JOB, encoding="utf-8")
    house = House(folder, rows)
    house.open_bank()
    with ExitStack() as stack:
        bank = stack.enter_context(house.serving("server", house.bank, "--jobs", str(running)))
        house.enrol(names)
        for name in names:
            stack.enter_context(house.serving("client", house.home(name)))
        desk = stack.enter_context(_Desk(house, job_file, names))
        desk.wait_until_online()
        observe(f"{partners} partners are on the line")
        singles = [desk.draft(name) for _ in range(alone) for name in names]
        many = [desk.draft(name) for name in share]
        desk.wait_until_tried(singles + many)
        spent = [house.processor_seconds()]
        for number, job in enumerate(singles, 1):
            desk.approve(job)
            desk.wait_until_done([job])
            observe(f"alone: {number} of {len(singles)} done")
        spent.append(house.processor_seconds())
        for job in many:
            desk.approve(job)
        desk.wait_until_done(many, lambda done: observe(f"together: {done} of {jobs} done"))
        spent.append(house.processor_seconds())
        return NodeFigures(
            rows=rows,
            running=running,
            alone=tuple(map(desk.times, singles)),
            together=tuple(map(desk.times, many)),
            processor_alone=_per_job(spent[0], spent[1], len(singles)),
            processor_together=_per_job(spent[1], spent[2], len(many)),
            peak_memory_mb=peak_memory_mb(bank.pid),
        )


class _Desk:
    """What people do and see at the open homes of all nodes; a context manager."""

    def __init__(self, house: House, file: Path, partners: Sequence[str]) -> None:
        self._house = house
        self._file = file
        self._open = ExitStack()
        self._bank = self._open.enter_context(Node.open(house.bank, role=BANK))
        self._jobs = _jobs_of(self._bank)
        # Per home, the last step that was read; per job, the homes where it is done.
        self._heard: dict[str, int] = {}
        self._done: dict[str, set[str]] = {}
        self._theirs = {
            partner: _jobs_of(self._open.enter_context(Node.open(house.home(partner))))
            for partner in partners
        }

    def __enter__(self) -> _Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def wait_until_online(self) -> None:
        """Wait until every partner's node has told the bank's of its data."""
        catalogue = Catalogue(self._bank.home.store, self._bank.clock)
        for partner in self._theirs:
            self._house.wait(
                lambda partner=partner: catalogue.told(partner) is not None,  # type: ignore[misc]
                f"{partner} does not come on the line.",
            )

    def draft(self, partner: str) -> str:
        """Draft the job with ``partner``; returns its id."""
        job, table = load_job(self._file)
        drafted = draft_with(self._bank, job, table, partner)
        record = self._jobs.draft(
            drafted.table,
            self._file.read_text(encoding="utf-8"),
            person(DRAFTER),
            partner=partner,
            dataset=drafted.dataset,
            contract=drafted.contract,
        )
        return record.id

    def wait_until_tried(self, jobs: Sequence[str]) -> None:
        """Wait until the preflights of drafts have passed."""
        for job in jobs:
            self._house.wait(
                lambda job=job: self._is_tried(self._jobs.get(job)),  # type: ignore[misc]
                f"Job {job} is not tried on test identifiers.",
            )

    def _is_tried(self, record: JobRecord) -> bool:
        found = standing_of(self._bank, record)
        if found.state is PreflightState.FAILED:
            raise VeiljoinError(f"The preflight of job {record.id} failed ({found.code}).")
        return found.clear

    def approve(self, job: str) -> None:
        """Approve a draft at the bank; the platforms' standing rule does the rest."""
        self._jobs.approve(job, person(APPROVER), self._jobs.get(job).digest)

    def wait_until_done(self, jobs: Sequence[str], tell: Callable[[int], None] | None = None) -> None:
        """Wait until jobs are done on both sides, each within the patience after the one before."""
        done: set[str] = set()
        while len(done) < len(jobs):
            before = len(done)
            self._house.wait(
                lambda: len(self._both_done(jobs)) > before,  # noqa: B023 - it is called here only
                f"{len(jobs) - before} jobs do not come to an end.",
            )
            done = self._both_done(jobs)
            if tell is not None:
                tell(len(done))

    def _both_done(self, jobs: Sequence[str]) -> set[str]:
        """Return those of ``jobs`` that are done on both sides. Reads new steps alone: it is asked all the time."""
        for name, home in {BANK: self._jobs, **self._theirs}.items():
            for event in home.events(after=self._heard.get(name, 0)):
                self._heard[name] = event.id
                if event.after is JobState.DONE:
                    self._done.setdefault(event.job, set()).add(name)
                elif event.after.ended:
                    raise VeiljoinError(f"Job {event.job} ended at {name} as {event.after} ({event.note}).")
        return {job for job in jobs if len(self._done.get(job, ())) == len(SIDES)}

    def times(self, job: str) -> JobTimes:
        """Return the times of a job that is done on both sides."""
        record, steps = self._jobs.get(job), self._jobs.events(job)
        theirs = self._theirs[record.partner].events(job)
        first = {event.step: event.at for event in reversed(steps)}
        there = next(event.at for event in theirs if event.step is Step.FINISH)
        done = first[Step.FINISH]
        return JobTimes(
            record.partner,
            first[Step.APPROVE],
            first[Step.START],
            done,
            max(done, there),
            sum(event.step is Step.START for event in steps),
        )


def _jobs_of(node: Node) -> Jobs:
    return Jobs(node.home.store, node.file.role, node.clock)
