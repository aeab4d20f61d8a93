"""What a console is told when it starts."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LANGUAGES: Final = ("en", "zh")


@dataclass(frozen=True, slots=True)
class Settings:
    """``home`` is the node's folder; ``origins`` are what browsers call this console, such as
    ``https://console.bank.example``: requests that change something come from one of them, and for its host.

    ``data`` is the folder whose files may be registered as datasets (``None``: none from here). ``trust_proxy`` says
    that a proxy in front of the console, and nobody else, speaks to it, so that its ``X-Forwarded-For`` is believed.
    """

    home: Path
    origins: tuple[str, ...]
    data: Path | None = None
    language: str = "en"
    idle: datetime.timedelta = datetime.timedelta(minutes=30)
    absolute: datetime.timedelta = datetime.timedelta(hours=12)
    trust_proxy: bool = False
