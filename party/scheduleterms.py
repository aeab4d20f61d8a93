"""What a recurring job is, word for word: all that a second person approves, and its digest.

An approval is of the digest over the job's table as both policies left it, both datasets with the fingerprints of
their columns, the partner's identity, the disclosure card and the timetable. When a job is due, its draft has to give
the same terms again; so nothing of it can change behind the approver's back, on either side.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from party.contract import MAX_LIFETIME
from party.drafting import Draft
from party.recurrence import Recurrence, parse_recurrence
from psi.errors import UsageError

MAX_SPAN: Final = datetime.timedelta(days=731)
MAX_RUNS: Final = 10_000
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Timetable:
    """When jobs are due: by ``recurrence``, the last on the day ``until`` of its zone, at most ``runs`` in all.

    The contract of each is to be run within ``days``.
    """

    recurrence: Recurrence
    until: datetime.date
    runs: int | None
    days: int

    def following(self, after: datetime.datetime) -> datetime.datetime | None:
        """Return the first due time later than ``after`` (timezone-aware), in UTC, ``None`` if there is none."""
        due = self.recurrence.following(after)
        return None if self._past(due) else due

    def latest(self, first: datetime.datetime, now: datetime.datetime) -> tuple[datetime.datetime, int]:
        """Return the last due time up to ``now``, and how many came before it, counted from the due time ``first``.

        ``first`` is not later than ``now``.
        """
        due, before = first, 0
        while (following := self.following(due)) is not None and following <= now:
            due, before = following, before + 1
        return due, before

    def over(self, now: datetime.datetime) -> bool:
        """Return whether the last day has passed at ``now``."""
        return self._past(now)

    def _past(self, moment: datetime.datetime) -> bool:
        return moment.astimezone(self.recurrence.zone).date() > self.until


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a recurring job with ``partner``. Fingerprints, identity and card are hexadecimal."""

    table: Mapping[str, Any] = field(repr=False)
    partner: str
    identity: str
    dataset: str
    schema: str
    partner_dataset: str
    partner_schema: str
    card: str
    timetable: Timetable

    @classmethod
    def of(cls, drafted: Draft, partner: str, timetable: Timetable) -> Self:
        """Return the terms of a job as it was drafted just now."""
        body = drafted.contract.body
        sides = body["parties"]
        return cls(
            table=drafted.table,
            partner=partner,
            identity=sides["platform"]["identity"],
            dataset=drafted.dataset,
            schema=sides["bank"]["schema"],
            partner_dataset=drafted.partner_dataset,
            partner_schema=sides["platform"]["schema"],
            card=body["card"],
            timetable=timetable,
        )

    def canonical(self) -> str:
        """Return them as text, the same for the same terms."""
        timetable = self.timetable
        values = {
            "version": _VERSION,
            "job": self.table,
            "partner": self.partner,
            "identity": self.identity,
            "dataset": self.dataset,
            "schema": self.schema,
            "partner_dataset": self.partner_dataset,
            "partner_schema": self.partner_schema,
            "card": self.card,
            "every": str(timetable.recurrence),
            "timezone": timetable.recurrence.timezone,
            "until": timetable.until.isoformat(),
            "runs": timetable.runs,
            "days": timetable.days,
        }
        return json.dumps(values, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """The hex SHA-256 of the canonical text: what an approval is of."""
        return digest_of(self.canonical())

    def differs(self, other: Terms) -> str | None:
        """Return in one code word (of ``REASONS``) what ``other`` has otherwise, ``None`` if nothing."""
        for code, own, its in (
            ("partner", (self.partner, self.identity), (other.partner, other.identity)),
            ("dataset", (self.dataset, self.schema), (other.dataset, other.schema)),
            (
                "partner_dataset",
                (self.partner_dataset, self.partner_schema),
                (other.partner_dataset, other.partner_schema),
            ),
            ("terms", self.canonical(), other.canonical()),
        ):
            if own != its:
                return code
        return None


def digest_of(canonical: str) -> str:
    """Return the hex SHA-256 of canonical terms."""
    return hashlib.sha256(canonical.encode()).hexdigest()


def parse_terms(canonical: str) -> Terms:
    """Read terms that the store holds. Raises ``UsageError`` if this program can't."""
    values = json.loads(canonical)
    if values["version"] != _VERSION:
        raise UsageError(
            f"The terms of a schedule are of version {values['version']}, and this program knows {_VERSION}.",
            hint="update the program",
            code="bad_format",
        )
    recurrence = parse_recurrence(values["every"], values["timezone"])
    until = datetime.date.fromisoformat(values["until"])
    return Terms(
        table=values["job"],
        partner=values["partner"],
        identity=values["identity"],
        dataset=values["dataset"],
        schema=values["schema"],
        partner_dataset=values["partner_dataset"],
        partner_schema=values["partner_schema"],
        card=values["card"],
        timetable=Timetable(recurrence, until, values["runs"], values["days"]),
    )


def new_timetable(
    every: str, timezone: str, until: str, runs: int | None, days: int, now: datetime.datetime
) -> Timetable:
    """Read a timetable as a person writes it; ``now`` is timezone-aware.

    Raises ``UsageError`` that names what can't be read or is out of range, and for one that is never due.
    """
    recurrence = parse_recurrence(every, timezone)
    try:
        last = datetime.date.fromisoformat(until.strip())
    except ValueError:
        raise UsageError("The last day of the schedule is no date.", hint="write it as 2027-06-30") from None
    today = now.astimezone(recurrence.zone).date()
    if last > today + MAX_SPAN:
        raise UsageError(
            f"The schedule would go on until {last}.",
            hint=f"use a day until {today + MAX_SPAN}, and approve it anew then: an approval is not for ever",
        )
    if runs is not None and not 1 <= runs <= MAX_RUNS:
        raise UsageError("The number of runs is out of range.", hint=f"use 1 to {MAX_RUNS}, or leave it out")
    if not 1 <= days <= MAX_LIFETIME.days:
        raise UsageError(
            "The contracts' lifetime is out of range.", hint=f"use 1 to {MAX_LIFETIME.days} days"
        )
    timetable = Timetable(recurrence, last, runs, days)
    if timetable.following(now) is None:
        raise UsageError(
            f"The schedule {str(recurrence)!r} is not due once until {last}.",
            hint="choose a later last day",
        )
    return timetable
