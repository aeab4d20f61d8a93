"""What a store says of its recurring jobs: schedules, who approved them, and what was made of each due time.

Nothing here changes any. A schedule's states, and the steps between them, are one table: a pair that is not in it is
refused.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from party.budget import Clock, local_clock
from party.scheduleterms import Terms, parse_terms
from party.store import Store
from party.tables import schedule_approvals, schedule_events, schedule_runs, schedules
from psi.errors import UsageError

_SHORTEST_PREFIX: Final = 4
_HEX: Final = frozenset("0123456789abcdef")


class ScheduleState(StrEnum):
    """Where a schedule is."""

    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    REFUSED = "refused"
    REMOVED = "removed"
    ENDED = "ended"  # its last time has come


class ScheduleStep(StrEnum):
    """What is done to a schedule."""

    DRAFT = "draft"
    EDIT = "edit"  # approvals are void
    APPROVE = "approve"
    REFUSE = "refuse"
    PAUSE = "pause"  # a person, or the node for one of the reasons below
    RESUME = "resume"
    REMOVE = "remove"  # its history stays
    END = "end"


_S, _T = ScheduleState, ScheduleStep
SCHEDULE_TRANSITIONS: Final[Mapping[tuple[ScheduleState, ScheduleStep], ScheduleState]] = {
    (_S.DRAFT, _T.EDIT): _S.DRAFT,
    (_S.DRAFT, _T.APPROVE): _S.ACTIVE,
    (_S.DRAFT, _T.REFUSE): _S.REFUSED,
    (_S.DRAFT, _T.REMOVE): _S.REMOVED,
    (_S.ACTIVE, _T.EDIT): _S.DRAFT,
    (_S.ACTIVE, _T.PAUSE): _S.PAUSED,
    (_S.ACTIVE, _T.REMOVE): _S.REMOVED,
    (_S.ACTIVE, _T.END): _S.ENDED,
    (_S.PAUSED, _T.EDIT): _S.DRAFT,
    (_S.PAUSED, _T.RESUME): _S.ACTIVE,
    (_S.PAUSED, _T.REMOVE): _S.REMOVED,
}


class Outcome(StrEnum):
    """What was made of a due time."""

    DRAFTED = "drafted"  # its job has not ended
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"  # by a policy or budget, a person, or the partner
    CANCELLED = "cancelled"
    EXPIRED = "expired"  # nobody decided, or the partner was not there
    SKIPPED = "skipped"  # the job before it had not ended
    MISSED = "missed"  # the last day had passed when a node was there again
    PAUSED = "paused"  # it could not be drafted as it was approved


# Why a schedule is paused, or a due time passed over: code -> English, Chinese.
REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "person": ("a person paused it", "由人员暂停"),
    "failures": ("three of its jobs in a row came to nothing", "连续三个任务未成功"),
    "approver": (
        "its approval is not that of a second person any more",
        "其批准已不是由第二人作出",
    ),
    "partner": (
        "the partner has no access any more, or another identity than when it was approved",
        "合作方已无访问权限，或其身份与批准时不同",
    ),
    "dataset": (
        "the own dataset is not there any more, can't be read, or has other columns than when it was approved",
        "自己的数据集已不存在、无法读取，或其列与批准时不同",
    ),
    "partner_dataset": (
        "the partner's dataset is not there any more, or has other columns than when it was approved",
        "合作方的数据集已不存在，或其列与批准时不同",
    ),
    "terms": (
        "the job would not be the one that was approved: a policy became stricter, or the program is another version",
        "任务将与批准时不同：策略变得更严格，或程序版本已变",
    ),
    "policy": ("the policies leave no such job", "策略不允许此任务"),
    "previous": ("the job before it had not ended", "上一个任务尚未结束"),
    "until": ("the last day had passed", "已过截止日期"),
}


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """One schedule as the store has it. Times are timezone-aware.

    ``digest`` is what an approval is of, ``code`` a word of ``REASONS`` while it is paused. ``drafted`` counts the
    jobs that it made, ``failures`` those in a row that came to nothing. ``text`` is ``terms`` as they were approved.
    """

    id: str
    number: int
    partner: str
    kind: str
    purpose: str
    state: ScheduleState
    code: str | None
    revision: int
    drafter: str
    editor: str
    created: datetime.datetime
    changed: datetime.datetime
    next_due: datetime.datetime | None
    drafted: int
    failures: int
    digest: str
    terms: Terms = field(repr=False)
    text: str = field(repr=False)
    source: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ScheduleApproval:
    """Who approved the schedule whose digest was ``digest``; ``voided`` is when an edit took it back."""

    actor: str
    digest: str
    at: datetime.datetime
    voided: datetime.datetime | None


@dataclass(frozen=True, slots=True)
class ScheduleEvent:
    """One step of a schedule."""

    at: datetime.datetime
    actor: str
    step: ScheduleStep
    after: ScheduleState
    note: str | None


@dataclass(frozen=True, slots=True)
class ScheduledRun:
    """One due time: ``at`` is when a node saw to it, ``missed`` how many before it had passed with no node there."""

    schedule: str
    due: datetime.datetime
    at: datetime.datetime
    outcome: Outcome
    code: str | None
    missed: int
    job: str | None


class ScheduleList:
    """The schedules of ``store``, to be read; ``clock`` gives timezone-aware times."""

    def __init__(self, store: Store, clock: Clock = local_clock) -> None:
        self._store = store
        self._clock = clock

    def find(self, text: str) -> ScheduleRecord:
        """Return the schedule whose id starts with ``text``. Raises ``UsageError`` unless it is exactly one."""
        start = text.strip().lower()
        if len(start) < _SHORTEST_PREFIX or not set(start) <= _HEX:
            raise unknown_schedule(text)
        query = sa.select(schedules).where(schedules.c.id.startswith(start)).limit(2)
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        if not rows:
            raise unknown_schedule(text)
        if len(rows) > 1:
            raise UsageError(
                f"More than one schedule has an id that starts with {start}.",
                hint="write more of the id",
                code="unknown_job",
            )
        return self._record(rows[0])

    def list(
        self, states: Collection[ScheduleState] = (), *, partner: str | None = None
    ) -> tuple[ScheduleRecord, ...]:
        """Return the schedules in ``states`` (none: all but the removed), the newest first."""
        query = sa.select(schedules).order_by(schedules.c.number.desc())
        wanted = states or [state for state in ScheduleState if state is not ScheduleState.REMOVED]
        query = query.where(schedules.c.state.in_([state.value for state in wanted]))
        if partner is not None:
            query = query.where(schedules.c.partner == partner)
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return tuple(self._record(row) for row in rows)

    def approvals(self, schedule: str) -> tuple[ScheduleApproval, ...]:
        """Return the approvals of a schedule, voided ones among them, the oldest first."""
        table = schedule_approvals
        query = sa.select(table).where(table.c.schedule == schedule).order_by(table.c.id)
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return tuple(
            ScheduleApproval(
                row.actor,
                row.digest,
                self._time(row.at),
                None if row.voided is None else self._time(row.voided),
            )
            for row in rows
        )

    def events(self, schedule: str) -> tuple[ScheduleEvent, ...]:
        """Return the steps of a schedule, the oldest first."""
        table = schedule_events
        query = sa.select(table).where(table.c.schedule == schedule).order_by(table.c.id)
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return tuple(
            ScheduleEvent(
                self._time(row.at), row.actor, ScheduleStep(row.step), ScheduleState(row.after), row.note
            )
            for row in rows
        )

    def runs(self, schedule: str, limit: int = 20) -> tuple[ScheduledRun, ...]:
        """Return what was made of the last ``limit`` due times, the latest first."""
        table = schedule_runs
        query = sa.select(table).where(table.c.schedule == schedule).order_by(table.c.due.desc()).limit(limit)
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return tuple(self._run(row) for row in rows)

    def of_job(self, job: str) -> ScheduleRecord | None:
        """Return the schedule that made ``job``, if one did."""
        query = (
            sa.select(schedules)
            .join(schedule_runs, schedule_runs.c.schedule == schedules.c.id)
            .where(schedule_runs.c.job == job)
        )
        with self._store.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else self._record(row)

    def _run(self, row: sa.Row[Any]) -> ScheduledRun:
        return ScheduledRun(
            schedule=row.schedule,
            due=self._time(row.due),
            at=self._time(row.at),
            outcome=Outcome(row.outcome),
            code=row.code,
            missed=row.missed,
            job=row.job,
        )

    def _record(self, row: sa.Row[Any]) -> ScheduleRecord:
        values = dict(row._mapping)
        for name in ("created", "changed", "next_due"):
            at = values[name]
            values[name] = None if at is None else self._time(at)
        text = values.pop("terms")
        return ScheduleRecord(
            **values | {"state": ScheduleState(values["state"]), "terms": parse_terms(text), "text": text}
        )

    def _time(self, at: float) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(at, datetime.UTC).astimezone(self._clock().tzinfo)


def unknown_schedule(text: str) -> UsageError:
    """Return the error for a schedule that isn't there."""
    shown = text if text.isprintable() and len(text) <= 64 else "of that name"
    return UsageError(
        f"There is no schedule {shown}.",
        hint=f"`veiljoin job schedule list` shows them; {_SHORTEST_PREFIX} or more first characters of an id do",
        code="unknown_job",
    )
