"""One side's part in a private match: an overlap or an audience."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from party.checkpoint import Checkpoint
from party.intake import InputFacts
from party.part import Setting
from party.prepare import Preparation, PreparedSet
from party.results import HOLDOUT, MATCHES, audience_rows, figures, holdout_rows, write_list
from party.workspace import DiskKeep
from psi.participant import Participant
from psi.receiver import Receiver
from psi.results import AudienceResult
from psi.sender import Sender
from psi.terms import Role


class MatchPart:
    """A ``party.part.Part``."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._terms = setting.contract.terms()
        self._prepared: PreparedSet | None = None
        self._role: Participant | None = None

    def prepare(self, rejects: Path) -> InputFacts:
        """Read the dataset and prepare the own set."""
        own = self._setting
        preparation = Preparation(
            own.job,
            own.side,
            own.dataset,
            self._terms,
            own.randomness,
            own.engine,
            own.workspace,
            own.progress,
            own.sketch,
        )
        self._prepared = preparation.run(rejects)
        return self._prepared.facts

    def save(self, checkpoint: Checkpoint, extra: Mapping[str, int]) -> None:
        """Save what was prepared."""
        checkpoint.save(self._done(), extra)

    def load(self, checkpoint: Checkpoint) -> InputFacts | None:
        """Take up what was saved."""
        self._prepared = checkpoint.load(PreparedSet)
        return None if self._prepared is None else self._prepared.facts

    def role(self) -> Participant:
        """Return the role of this side."""
        own = self._setting
        part = Receiver if own.contract.role(own.side) is Role.RECEIVER else Sender
        keep = DiskKeep(own.workspace, self._terms)
        self._role = part(self._terms, own.randomness, self._done(), own.engine, keep)
        return self._role

    def _done(self) -> PreparedSet:
        if self._prepared is None:
            raise RuntimeError("prepare() comes first")
        return self._prepared

    def _played(self) -> Participant:
        if self._role is None:
            raise RuntimeError("role() comes first")
        return self._role

    def write(self, staging: Path) -> tuple[dict[str, Any], list[str]]:
        """Write the lists that this side received or held back."""
        own, prepared, role = self._setting, self._done(), self._played()
        column = own.job.side(own.side).identifier
        files, result = [], role.result
        if isinstance(result, AudienceResult) and result.tier_of is not None:
            rows, tiers = audience_rows(result.tier_of, result.peer_tiers, prepared, own.job.output)
            write_list(staging / MATCHES, own.dataset, column, rows, tiers)
            files.append(MATCHES)
        if len(prepared.held_back[0]):
            rows, tiers = holdout_rows(prepared)
            write_list(staging / HOLDOUT, own.dataset, column, rows, tiers)
            files.append(HOLDOUT)
        return figures(own.job, own.side, prepared, role.peer, result), files

    @property
    def phase(self) -> str:
        """Masking the partner's rows is the long part."""
        return "exchange"

    @property
    def peer_persons(self) -> int:
        """Persons of the partner's set."""
        return self._played().peer.size

    @property
    def processes(self) -> Sequence[int]:
        """A match has no workers beside the engine's."""
        return ()

    @property
    def details(self) -> dict[str, Any]:
        """Nothing beyond what every report has."""
        return {}
