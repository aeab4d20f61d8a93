"""Where a standing node works and keeps results: a folder per run of a job and per attempt of it, one per result.

    work/<job>                       what the run goes on with after a cut (party.runfolder)
    work/<job>.<attempt>/staging     what the job's process writes
    work/<job>.<attempt>/complete    the same, once it is whole and on the disk
    results/<job>                    the same, once the job is done
    kept/<job>                       what the party's auditor is to have of its runs (party.keptruns)

Each arrow between staging, complete and results is one rename, so that a result is there whole or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from party.keptruns import KeptRuns
from party.runfolder import reached
from party.spool import disk_error

WORK: Final = "work"
RESULTS: Final = "results"
_STAGING: Final = "staging"
_COMPLETE: Final = "complete"
_PROGRESS: Final = "progress.json"
_PARTNER: Final = "partner.json"
_PRIVATE: Final = 0o700


class Workroom:
    """The working and result folders of the home ``folder``. Raises ``UsageError`` if they can't be written."""

    def __init__(self, folder: Path) -> None:
        self._work = folder / WORK
        self._results = folder / RESULTS
        self.kept = KeptRuns(folder)

    def room(self, job: str, attempt: int) -> Path:
        """Return the folder of one attempt, which need not exist."""
        return self._work / f"{job}.{attempt}"

    def run(self, job: str) -> Path:
        """Return the folder of the job's run, which need not exist."""
        return self._work / job

    def reached(self, job: str) -> int:
        """Return a number that grows with what of the job's run is on the disk."""
        return reached(self.run(job))

    def begin_run(self, job: str) -> None:
        """Make the folder of a new run."""
        try:
            self.end_run(job)
            self.run(job).mkdir(mode=_PRIVATE, parents=True)
            _to_disk(self._work)
        except OSError as error:
            raise disk_error(error, self._work) from None

    def end_run(self, job: str) -> None:
        """Remove the folder of the job's run, without what the auditor is to have."""
        self.kept.keep(job, self.run(job), time.time())
        shutil.rmtree(self.run(job), ignore_errors=True)

    def staging(self, job: str, attempt: int) -> Path:
        """Return where the attempt's process writes."""
        return self.room(job, attempt) / _STAGING

    def result(self, job: str) -> Path:
        """Return where the result of a job lies, once there is one."""
        return self._results / job

    def prepare(self, job: str, attempt: int) -> None:
        """Make the folder of a new attempt; what earlier ones left goes."""
        self.discard(job)
        try:
            for folder in (self._work, self._results, self.room(job, attempt)):
                folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, self._work) from None

    def complete(self, job: str, attempt: int) -> None:
        """Note that the attempt's process has written all it had to."""
        staging = self.staging(job, attempt)
        try:
            for path in (*sorted(staging.iterdir()), staging):
                _to_disk(path)
            staging.rename(self.room(job, attempt) / _COMPLETE)
            _to_disk(self.room(job, attempt))
        except OSError as error:
            raise disk_error(error, self._work) from None

    def is_complete(self, job: str, attempt: int) -> bool:
        """Return whether the attempt's part is whole."""
        return (self.room(job, attempt) / _COMPLETE).is_dir()

    def is_any_complete(self, job: str) -> bool:
        """Return whether the part of any attempt is whole."""
        return any((folder / _COMPLETE).is_dir() for folder in self._work.glob(f"{job}.*"))

    def publish(self, job: str, attempt: int) -> Path:
        """Move what is complete to the results, unless they are there already, and return where they lie."""
        target = self.result(job)
        try:
            if not target.exists():
                self._results.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
                (self.room(job, attempt) / _COMPLETE).rename(target)
                _to_disk(self._results)
        except OSError as error:
            raise disk_error(error, self._results) from None
        self.discard(job)
        return target

    def discard(self, job: str) -> None:
        """Remove what the attempts of a job left; its run and its result stay."""
        for folder in self._work.glob(f"{job}.*"):
            shutil.rmtree(folder, ignore_errors=True)

    def remove_result(self, job: str) -> None:
        """Remove the result of a job. Raises ``UsageError`` if it is still there then."""
        target = self.result(job)
        try:
            shutil.rmtree(target)
        except FileNotFoundError:
            return
        except OSError as error:
            raise disk_error(error, self._results) from None

    def recover(self, fate: Callable[[str], str], goes_on: Callable[[str], bool]) -> list[str]:
        """Put in order what a node that died left; returns the jobs whose result was published.

        ``fate`` says of a job publish, keep or discard, ``goes_on`` whether its run may be needed again.
        """
        published = []
        for folder in sorted(self._work.glob("*")):
            if "." not in folder.name:
                if not goes_on(folder.name):
                    self.end_run(folder.name)
                continue
            job, _, number = folder.name.rpartition(".")
            attempt = int(number) if number.isdecimal() else 0
            wish = fate(job)
            if wish == "publish" and self.is_complete(job, attempt):
                self.publish(job, attempt)
                published.append(job)
            elif wish != "keep" or not self.is_complete(job, attempt):
                shutil.rmtree(folder, ignore_errors=True)
        return published

    def note_progress(self, job: str, attempt: int, event: Mapping[str, Any]) -> None:
        """Keep the last progress event of an attempt, for people who watch."""
        self._note(self.room(job, attempt) / _PROGRESS, event)

    def note_partner(self, job: str, attempt: int, phase: str, percent: int) -> None:
        """Keep how far the partner says that its part of an attempt is, for people who watch."""
        self._note(self.room(job, attempt) / _PARTNER, {"phase": phase, "percent": percent})

    def _note(self, path: Path, event: Mapping[str, Any]) -> None:
        try:
            path.with_suffix(".new").write_text(json.dumps(event), encoding="utf-8")
            os.replace(path.with_suffix(".new"), path)
        except OSError as error:
            raise disk_error(error, self._work) from None

    def progress(self, job: str) -> dict[str, Any] | None:
        """Return the last progress event of the attempt that runs, if there is one."""
        return self._noted(job, _PROGRESS)

    def partner(self, job: str) -> tuple[str, int] | None:
        """Return the phase that the partner's part of a running attempt is in, and its percent, once it said so."""
        told = self._noted(job, _PARTNER)
        return None if told is None else (str(told["phase"]), int(told["percent"]))

    def _noted(self, job: str, name: str) -> dict[str, Any] | None:
        for folder in self._work.glob(f"{job}.*"):
            try:
                event: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue  # it has just begun, or just ended
            return event
        return None


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
