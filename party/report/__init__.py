"""What people read of a grouped sum: one HTML page with charts, and tables for spreadsheets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from party.jobspec import Job
from party.report.page import page
from party.report.parts import GROUPS_FILE
from party.report.sheets import arms_csv, groups_csv
from party.report.words import LANGUAGES
from party.spool import disk_error

__all__ = ["ARMS_FILE", "GROUPS_FILE", "LANGUAGES", "REPORT", "REPORT_FILES", "write_reports"]

REPORT: Final = "report.html"
ARMS_FILE: Final = "arms.csv"
# Every file that a report may consist of.
REPORT_FILES: Final = (REPORT, GROUPS_FILE, ARMS_FILE)


def write_reports(folder: Path, result: Mapping[str, Any], job: Job, *, language: str = "en") -> list[str]:
    """Write the reports of ``result`` (a side's figures, or both sides' together) and return their file names.

    ``report.html`` holds both languages and shows ``language`` first; ``groups.csv`` is written where there
    are groups, ``arms.csv`` for a lift. Mode 0600. Raises ``UsageError`` when the folder cannot be written.
    """
    files = {REPORT: page(result, job, language=language)}
    if result["groups"]:
        files[GROUPS_FILE] = groups_csv(result, job)
    if result.get("arms"):
        files[ARMS_FILE] = arms_csv(result)
    for name, text in files.items():
        _write(folder / name, text)
    return list(files)


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from the first byte on.

    A byte order mark leads in CSV files: without one, spreadsheets on Windows read Chinese text in another encoding.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        encoding = "utf-8-sig" if path.suffix == ".csv" else "utf-8"
        with open(descriptor, "w", encoding=encoding, newline="") as file:
            file.write(text)
    except OSError as error:
        raise disk_error(error, path.parent) from None
