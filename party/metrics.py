"""What a standing node counts, in the form that Prometheus collects.

Everything comes from the node's own events and from one look at its store every few seconds. Labels are words of this
program and the names of partners: never a job's id, text of anybody's, a dataset or a purpose. The registry is our
own: the library's default one belongs to the whole process, so that two nodes in one (as in tests) would count
together, and it brings the collectors of whatever else was imported.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from party.jobspec import JobKind
from party.jobstates import JobState
from party.nodelog import EVENTS
from party.progress import PHASES
from party.results import RESULT
from party.store import Store
from party.tables import jobs_seen
from psi.errors import CODES

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
# Why an attempt or a job ended, beside the codes of errors.
_REASONS: Final = frozenset(CODES) | {
    *(
        "node_stopped",
        "node_died",
        "lease_lapsed",
        "peer_cut",
        "peer_absent",
        "result_lost",
        "restored",
        "expired",
    )
}
_REFUSED: Final = frozenset(name for name, code in CODES.items() if code.exit == 3)
_KINDS: Final = frozenset(kind.value for kind in JobKind)
# A result of ten thousand groups has a few megabytes.
_LONGEST_RESULT: Final = 64 * 1024 * 1024
_OTHER: Final = "other"
_STATES: Final = frozenset(state.value for state in JobState)


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a node. ``jobs``: state -> number; ``expires``: since 1970; ``skews``: partner -> seconds."""

    jobs: Mapping[str, int]
    expires: float | None
    free_bytes: int
    partners: Collection[str]
    skews: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Figures:
    """What one job cost this side: bytes, seconds by phase, elements masked."""

    kind: str
    sent: int = 0
    received: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    masks: int = 0


class Metrics:
    """The metrics of the node of ``role`` (bank | platform) that runs ``software``. Threads may share it."""

    def __init__(self, role: str, software: str) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self.registry)
        build = self._gauge("build_info", "1, with what runs here", "version", "role", "python")
        build.labels(software.rpartition(" ")[2], role, platform.python_version()).set(1)
        self._jobs = self._gauge("jobs", "Jobs in the store", "state")
        self._running = self._gauge("attempts_running", "Processes of jobs that run now")
        self._attempts = self._counter("attempts", "Processes of jobs that were started")
        self._cuts = self._counter("attempts_cut", "Attempts that were cut and go on or begin again", "code")
        self._ended = self._counter("jobs_ended", "Jobs that ended while this node ran", "state", "code")
        self._refused = self._counter("policy_refusals", "Attempts that a limit or the policy ended", "code")
        self._results = self._counter("results", "Results published", "kind")
        self._bytes = self._counter(
            "job_bytes", "Bytes on the wire of jobs that are done", "kind", "direction"
        )
        self._seconds = self._counter(
            "phase_seconds", "Seconds by phase of jobs that are done", "kind", "phase"
        )
        self._masks = self._counter("masks", "Masks computed for jobs that are done", "kind")
        self._connected = self._counter("control_connections", "Control streams begun", "partner")
        self._lost = self._counter("control_losses", "Control streams that ended", "partner")
        self._unreached = self._counter(
            "control_failures", "Tries to reach the bank that failed, and streams that broke"
        )
        self._online = self._gauge("partner_online", "1 while the partner's control stream stands", "partner")
        self._sum_online = self._gauge("partners_online", "Partners whose control stream stands")
        self._skew = self._gauge("clock_skew_seconds", "By how much the partner's clock is ahead", "partner")
        self._expiry = self._gauge("certificate_expires_timestamp_seconds", "When the own certificate ends")
        self._free = self._gauge("disk_free_bytes", "Free space where the home is")
        self._store = self._gauge("store_up", "1 if the store answered when it was last asked")
        self._faults = self._counter("faults", "Faults that a node's loop went on after")
        self._log_lost = self._gauge("log_lines_lost", "Lines of the log that could not be written")
        self._tick = self._gauge("last_tick_timestamp_seconds", "When the node's loop last turned")
        for code in ("over_budget", "too_small"):
            self._refused.labels(code)
        for state in JobState:
            self._jobs.labels(state.value)
        self._processes: set[str] = set()
        self._standing: set[str] = set()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"veiljoin_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"veiljoin_{name}", text, labels, registry=self.registry)

    def tell(self, event: Mapping[str, Any]) -> None:
        """Count what happened. Quick: called in the node's loop."""
        name = event.get("event")
        if name not in EVENTS:
            return
        match name:
            case "tick":
                self._tick.set_to_current_time()
            case "online":
                self._stands(str(event["partner"]), True)
            case "offline":
                self._stands(str(event["partner"]), False)
            case "unreached":
                self._unreached.inc()
                # A platform has one partner; its node says so when the bank can't be reached any more.
                for partner in tuple(self._standing):
                    self._stands(partner, False)
            case "process":
                self._attempts.inc()
                self._processes.add(str(event["job"]))
            case "ended" if event.get("code") in _REFUSED:
                self._refused.labels(str(event["code"])).inc()
            case "job":
                self._step(str(event.get("job")), str(event.get("state")), event.get("code"))
            case "fault":
                self._faults.inc()
        self._running.set(len(self._processes))

    def _stands(self, partner: str, online: bool) -> None:
        if online:
            self._standing.add(partner)
            self._connected.labels(partner).inc()
        elif partner in self._standing:
            self._standing.discard(partner)
            self._lost.labels(partner).inc()
        self._online.labels(partner).set(online)
        self._sum_online.set(len(self._standing))

    def _step(self, job: str, state: str, code: Any) -> None:
        if state == JobState.RUNNING or state not in _STATES:
            return
        self._processes.discard(job)
        # A job that is done may still carry why its last attempt but one was cut.
        done = state == JobState.DONE or code is None
        why = "" if done else str(code) if code in _REASONS else _OTHER
        if state == JobState.ACCEPTED:
            self._cuts.labels(why or _OTHER).inc()
        elif JobState(state).ended:
            self._ended.labels(state, why).inc()

    def look(self, sample: Sample | None, log_lost: int = 0) -> None:
        """Take over what was seen; ``None``: the store did not answer."""
        self._store.set(sample is not None)
        self._log_lost.set(log_lost)
        if sample is None:
            return
        for state in JobState:
            self._jobs.labels(state.value).set(sample.jobs.get(state.value, 0))
        self._expiry.set(float("nan") if sample.expires is None else sample.expires)
        self._free.set(sample.free_bytes)
        for partner in sample.partners:
            self._online.labels(partner).set(partner in self._standing)
        for partner, seconds in sample.skews.items():
            self._skew.labels(partner).set(seconds)

    def result(self, figures: Figures) -> None:
        """Count what a job that is done has cost."""
        kind = figures.kind
        self._results.labels(kind).inc()
        self._bytes.labels(kind, "sent").inc(figures.sent)
        self._bytes.labels(kind, "received").inc(figures.received)
        self._masks.labels(kind).inc(figures.masks)
        for phase, seconds in figures.seconds.items():
            self._seconds.labels(kind, phase).inc(seconds)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self.registry)


def figures_of(folder: Path, role: str, store: Store) -> Figures:
    """Return what the job whose result lies in ``folder`` has cost the party of ``role``; reads files and the store.

    What can't be read is 0: metrics are no reason for a fault. Each side masks its own persons and the partner's.
    """
    try:
        path = folder / RESULT
        result = json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size < _LONGEST_RESULT else {}
    except (OSError, ValueError):
        result = {}
    party = _below(_below(result, "parties"), role)
    kind = result.get("kind") if isinstance(result, dict) else None
    with store.reading() as connection:
        query = (
            sa.select(jobs_seen)
            .where(jobs_seen.c.job == folder.name)
            .order_by(jobs_seen.c.id.desc())
            .limit(1)
        )
        seen = connection.execute(query).first()
    if kind not in _KINDS and seen is not None:
        kind = seen.kind
    return Figures(
        kind=kind if kind in _KINDS else _OTHER,
        sent=int(party.get("bytes_sent", 0)),
        received=int(party.get("bytes_received", 0)),
        seconds={
            name: max(0.0, float(value)) for name, value in _below(party, "seconds").items() if name in PHASES
        },
        masks=0 if seen is None else seen.own_persons + seen.peer_persons,
    )


def _below(table: Any, name: str) -> dict[str, Any]:
    """Return the table ``name`` of ``table``, empty where there is none."""
    found = table.get(name) if isinstance(table, dict) else None
    return found if isinstance(found, dict) else {}
