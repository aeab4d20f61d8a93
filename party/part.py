"""One side's part in one primitive: prepare the own set, play the role, write down what was learned.

``party.runner`` drives a part; ``party.match_part`` and ``party.sum_part`` are the two there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from party.checkpoint import Checkpoint
from party.contract import Contract
from party.datasets import Dataset
from party.intake import InputFacts
from party.jobspec import Job
from party.memo import Memo
from party.progress import Progress
from party.sketch import LedgerSketch
from party.workspace import Workspace
from psi.engines import Engine
from psi.role import ProtocolRole
from psi.seed import JobRandomness


@dataclass(frozen=True, slots=True)
class Setting:
    """What every part works with. ``closing`` ends with the job, however it ends.

    ``memo`` remembers ciphertexts that the run has made.
    ``sketch``, if there is one, is told each person of the own input once and what the job depends on beside it.
    """

    job: Job
    side: str
    contract: Contract
    dataset: Dataset
    randomness: JobRandomness
    engine: Engine
    workspace: Workspace
    progress: Progress
    threads: int | None
    memo: Memo
    closing: ExitStack
    sketch: LedgerSketch | None = None


class Part(Protocol):
    """One side's part: :meth:`prepare`, or :meth:`load` what an earlier attempt saved; then role and write."""

    def prepare(self, rejects: Path) -> InputFacts:
        """Read the dataset and prepare the own set; rejected rows go to the file ``rejects``.

        Raises ``UsageError`` or ``PolicyRefusal`` that names the file, the column or the setting.
        """

    def save(self, checkpoint: Checkpoint, extra: Mapping[str, int]) -> None:
        """Save what was prepared, and a few numbers beside it."""

    def load(self, checkpoint: Checkpoint) -> InputFacts | None:
        """Take up what was saved; ``None`` if it is not whole."""

    def role(self) -> ProtocolRole[Any]:
        """Return the role, which has not started."""

    def write(self, staging: Path) -> tuple[dict[str, Any], list[str]]:
        """Write result files below ``staging``; returns the figures for result.json and the names of the files."""

    @property
    def phase(self) -> str:
        """The phase (``party.progress.PHASES``) in which the messages go back and forth."""

    @property
    def peer_persons(self) -> int:
        """Persons of the partner's set, once it has announced itself."""

    @property
    def processes(self) -> Sequence[int]:
        """Process ids of the part's own workers."""

    @property
    def details(self) -> dict[str, Any]:
        """Further facts of this side for its report: sizes and engines, no figure."""
