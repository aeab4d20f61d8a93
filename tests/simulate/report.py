"""What came of one simulated schedule."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass
class Report:
    """``name`` says what was simulated; ``happened`` how often what went wrong; ``breach`` which invariant broke."""

    seed: int
    name: str
    outcome: str
    happened: Counter[str]
    breach: str | None = None
