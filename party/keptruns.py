"""The runs that a party keeps for its auditor: the seed, sealed, and the partner's messages, as they were received.

    work/<job>/kept.json              written when the run begins: the sealed seed, and what a replay prepares by
    kept/<job>/<number>/kept.json     the same once the run has ended, with the time
    kept/<job>/<number>/journal/      the partner's messages (party.journal), moved there

Only jobs whose contract says so (``keep_seed``) have any. A job whose run began anew has several; each had a seed of
its own. Nothing of the own set is kept: whoever replays brings the party's data.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from party.contract import Contract
from party.jobspec import Job
from party.journal import journal_size
from party.policy import Policy
from party.runfolder import JOURNAL
from party.seedkeeping import AuditorKey, seal, unseal
from party.spool import disk_error
from psi.errors import PolicyRefusal, UsageError
from psi.secret import Seed

KEPT: Final = "kept"
KEPT_FILE: Final = "kept.json"
_VERSION: Final = 1
# What is being moved; it becomes a number with the last step.
_PARTIAL: Final = "partial"
_PRIVATE: Final = 0o700


@dataclass(frozen=True, slots=True)
class KeptRun:
    """One run as it was kept. ``table`` is the parsed job file, ``contract`` its contract's canonical bytes.

    ``delimiter`` and ``encoding`` are how the party's catalogue said to read the file, where the job does not.
    ``auditor`` is the public key that ``sealed`` was sealed to; ``at`` is when the run ended, in seconds since 1970.
    """

    folder: Path
    number: int
    job: str
    side: str
    contract: bytes
    table: Mapping[str, Any]
    delimiter: str | None
    encoding: str | None
    auditor: bytes
    sealed: bytes
    at: float

    @property
    def journal(self) -> Path:
        """Where the partner's messages are."""
        return self.folder / JOURNAL

    def seed(self, key: AuditorKey, contract: bytes) -> Seed:
        """Open the seed; ``contract`` is the contract's hash. Raises ``UsageError`` if ``key`` is not the one."""
        if key.public != self.auditor:
            raise UsageError(
                f"The seed of job {self.job} was sealed to the auditor's key {self.auditor.hex()[:16]}, and this "
                f"is {key.public.hex()[:16]}.",
                hint="name the file of the private key whose public one stood in the policy when the job ran",
            )
        return unseal(self.sealed, key, job=self.job, side=self.side, contract=contract)


def check_auditor(job: Job, side: str, policy: Policy) -> None:
    """Refuse a job in which ``side`` keeps its seed while its ``policy`` names no auditor to seal it to."""
    if side in job.seed_keepers and policy.audit.key is None:
        raise no_auditor(side, policy)


def no_auditor(side: str, policy: Policy) -> PolicyRefusal:
    """Return the refusal of a job in which ``side`` keeps a seed that ``policy`` has nobody to seal to."""
    return PolicyRefusal(
        f"The job says that the {side} keeps its seed, and {policy.source} names no auditor to seal it to.",
        hint="write the public key that `veiljoin audit new-key` printed as key under [audit], or draft the job "
        "without keep_seed",
        code="bad_contract",
    )


def seal_run(
    run: Path,
    seed: Seed,
    *,
    auditor: bytes,
    side: str,
    contract: Contract,
    table: Mapping[str, Any],
    delimiter: str | None = None,
    encoding: str | None = None,
) -> str:
    """Seal the ``seed`` of a run that begins, into its folder ``run``; what is there already stays.

    Returns a name of what was sealed, 16 hex digits. It is done now, not when the run ends: whatever becomes of the
    node, what the partner was sent follows from this seed.
    """
    path = run / KEPT_FILE
    if path.exists():
        return _name_of(path)
    sealed = seal(seed, auditor, job=contract.job, side=side, contract=contract.hash)
    facts = {
        "version": _VERSION,
        "job": contract.job,
        "side": side,
        "contract": base64.b64encode(contract.canonical).decode("ascii"),
        "table": dict(table),
        "delimiter": delimiter,
        "encoding": encoding,
        "auditor": auditor.hex(),
        "sealed": base64.b64encode(sealed).decode("ascii"),
    }
    try:
        _write(path, facts)
    except OSError as error:
        raise disk_error(error, run) from None
    return _name_of(path)


def load_run(folder: Path) -> KeptRun:
    """Read a kept run. Raises ``UsageError`` that names the file."""
    path = folder / KEPT_FILE
    try:
        return _read(path, _numbered(folder.name))
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"{path} cannot be read as a kept run.",
            hint="take it from a copy of the home; nothing else can tell what this run was",
            code="bad_format",
        ) from None


class KeptRuns:
    """The kept runs of the home ``home``. Raises ``UsageError`` if its folder can't be written."""

    def __init__(self, home: Path) -> None:
        self._folder = home / KEPT

    def runs(self, job: str) -> tuple[KeptRun, ...]:
        """Return what is kept of ``job``, in the order of the runs."""
        return tuple(load_run(folder) for folder in self._runs(job))

    def jobs(self) -> tuple[str, ...]:
        """Return the jobs of which there is any."""
        return tuple(sorted(each.name for each in self._folder.glob("*") if each.is_dir()))

    def keep(self, job: str, run: Path, at: float) -> bool:
        """Move what the auditor is to have out of the folder ``run`` of a run that has ended.

        Returns whether there was any: a seed that was sealed, and a partner that was heard, without whom nothing but
        an announcement was sent. Killed anywhere, it goes on from there when it is called again.
        """
        partial = self._folder / job / _PARTIAL
        sealed = run / KEPT_FILE
        try:
            if not (partial / KEPT_FILE).exists():
                if not sealed.exists() or (not journal_size(run / JOURNAL) and not partial.exists()):
                    return False
                for folder in (self._folder, partial.parent, partial):
                    folder.mkdir(mode=_PRIVATE, exist_ok=True)
                if not (partial / JOURNAL).exists():
                    (run / JOURNAL).rename(partial / JOURNAL)
                facts = json.loads(sealed.read_text(encoding="utf-8"))
                _write(partial / KEPT_FILE, facts | {"at": at})
                sealed.unlink()
            numbers = [_numbered(each.name) for each in partial.parent.glob("*")]
            partial.rename(partial.with_name(str(max(numbers, default=0) + 1)))
            _flush(partial.parent)
        except OSError as error:
            raise disk_error(error, self._folder) from None
        except (ValueError, TypeError):
            # Not what was written; the messages alone are of no use.
            shutil.rmtree(partial, ignore_errors=True)
            return False
        return True

    def expire(self, before: float) -> tuple[str, ...]:
        """Remove the runs that ended before the time ``before``, in seconds since 1970; returns their jobs."""
        gone = []
        for job in self.jobs():
            due = [each for each in self._runs(job) if _ended(each) < before]
            for folder in due:
                self._remove(folder)
            with contextlib.suppress(OSError):
                (self._folder / job).rmdir()  # unless another run is in it
            gone += [job] if due else []
        return tuple(gone)

    def remove(self, job: str) -> None:
        """Remove all that is kept of ``job``."""
        if (self._folder / job).exists():
            self._remove(self._folder / job)

    def _runs(self, job: str) -> list[Path]:
        folders = (each for each in (self._folder / job).glob("*") if _numbered(each.name))
        return sorted(folders, key=lambda each: _numbered(each.name))

    def _remove(self, folder: Path) -> None:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise disk_error(error, self._folder) from None


def _name_of(path: Path) -> str:
    """Return what tells one sealed seed from another; it is of the file, so of nothing secret."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _ended(folder: Path) -> float:
    """Return when the run in ``folder`` ended; of one that cannot be read any more, when its folder was made."""
    try:
        return load_run(folder).at
    except UsageError:
        return folder.stat().st_mtime


def _numbered(name: str) -> int:
    """Return the number that a kept run's folder is named by, 0 for another name."""
    return int(name) if name.isascii() and name.isdecimal() else 0


def _read(path: Path, number: int) -> KeptRun:
    facts = json.loads(path.read_text(encoding="utf-8"))
    if facts["version"] != _VERSION:
        raise ValueError("another version")
    return KeptRun(
        folder=path.parent,
        number=number,
        job=str(facts["job"]),
        side=str(facts["side"]),
        contract=base64.b64decode(facts["contract"], validate=True),
        table=dict(facts["table"]),
        delimiter=facts["delimiter"],
        encoding=facts["encoding"],
        auditor=bytes.fromhex(facts["auditor"]),
        sealed=base64.b64decode(facts["sealed"], validate=True),
        at=float(facts["at"]),
    )


def _write(path: Path, facts: Mapping[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(handle, "w", encoding="utf-8") as file:
        json.dump(facts, file, ensure_ascii=False)
        file.flush()
        os.fsync(handle)
    os.replace(partial, path)
    _flush(path.parent)


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
