"""Where both sides' parts of an attempt are, kept for the people who watch it; nothing else depends on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from party.progress import percent
from party.run import Run
from party.workroom import Workroom
from psi.errors import UsageError, VeiljoinError

# job, event, error
Say = Callable[[str, str, VeiljoinError], None]


class Showing:
    """Keeps it in ``workroom``; ``say`` is told where that fails."""

    def __init__(self, workroom: Workroom, say: Say) -> None:
        self._workroom = workroom
        self._say = say

    def own(self, run: Run, event: Mapping[str, Any]) -> None:
        """Keep a progress event of the own part, of which the partner is told phase and share."""
        run.at = str(event.get("phase")), percent(event)
        self._keep(run, lambda: self._workroom.note_progress(run.job, run.attempt, event))

    def partner(self, run: Run, phase: str, share: int) -> None:
        """Keep what the partner says of its part; ``share`` is in percent of the phase."""
        self._keep(run, lambda: self._workroom.note_partner(run.job, run.attempt, phase, share))

    def _keep(self, run: Run, note: Callable[[], None]) -> None:
        try:
            note()
        except UsageError as error:
            self._say(run.job, "not_shown", error)
