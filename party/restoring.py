"""A home made from a node's backup (``party.backup``): whole or not at all, and without keys of jobs."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import tarfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from party import tables
from party.archive import (
    BLOCK,
    FORMAT,
    JOB_SECRETS,
    LEDGER_KEY,
    MAC,
    MANIFEST,
    NAMES,
    SEALED_KEY,
    VERSION,
    Saved,
    damaged,
    mac_of,
    saved_of,
    staging,
    to_disk,
    unseal,
)
from party.auditlog import AuditLog, notes
from party.budget import Clock, local_clock
from party.credentials import Credentials
from party.home import STORE_FILE
from party.jobentries import of_standing
from party.jobs import Jobs
from party.jobstates import JobState, Step
from party.ledger import write_private
from party.logged import note_copied, note_key
from party.nodefile import NODE_FILE, load_node, write_node
from party.ownlog import OwnLog
from party.spool import disk_error
from party.store import Store
from party.vault import KEY_FILE, node_key, open_vault
from psi.errors import UsageError

# Why a job that had not ended begins anew, in its history.
RESTORED: Final = "restored"
_LONGEST_MANIFEST: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Restored:
    """What was made of an archive; ``jobs`` are the ids of those that had not ended and begin anew."""

    saved: Saved
    jobs: tuple[str, ...]


def restore(
    archive: Path,
    folder: Path,
    key_file: Path | None = None,
    clock: Clock = local_clock,
    *,
    actor: str | None = None,
) -> Restored:
    """Make the home ``folder`` from ``archive``; ``key_file`` is the node key where the archive has none.

    A new log begins, as the partners have cosigned what the old one held after the backup: its first entries say so,
    and that it was ``actor`` who restored, if known.

    The home is there whole or not at all. A store on PostgreSQL has to be there, restored by its own means.
    Raises ``UsageError`` if ``folder`` isn't empty, the archive is none, is cut short or was changed, the node key
    is missing or another node's, or the store can't be reached.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} is not empty, and a restore never writes into a home that is there.",
            hint="name a new folder, or move the old home away",
        )
    if not folder.absolute().parent.is_dir():
        raise UsageError(
            f"The folder {folder.absolute().parent} is not there.", hint="make it first", code="unwritable"
        )
    with staging(folder.absolute().parent, f"{folder.name}.restore") as stage:
        saved = _unpack(archive, stage, key_file)
        key = node_key(stage)
        if (stage / SEALED_KEY).exists():
            write_private(stage / LEDGER_KEY, unseal(key, (stage / SEALED_KEY).read_bytes(), archive))
            (stage / SEALED_KEY).unlink()
        file = load_node(stage)
        if saved.database is None and file.store is not None:
            # A file that lay elsewhere: it lies in the home now.
            (stage / NODE_FILE).unlink()
            write_node(stage, replace(file, store=None))
        own = sa.URL.create("sqlite", database=str(stage / STORE_FILE))
        address = own if saved.database is None or file.store is None else file.store
        with closing(Store(address)) as store:
            # Before anything is changed in a database that may be another node's.
            vault = open_vault(stage, store, clock)
            credentials = Credentials(store, vault, clock)
            credentials.identity()
            _new_log(store, OwnLog(file, store, vault, credentials, clock), actor, clock)
            _carry_over(store, saved.role, clock)
            again = _begin_anew(store, saved.role, clock)
        try:
            stage.rename(folder.absolute())
            to_disk(folder.absolute().parent)
        except OSError as error:
            raise disk_error(error, folder) from None
    return Restored(saved, again)


def _unpack(archive: Path, stage: Path, key_file: Path | None) -> Saved:
    """Write the files of ``archive`` and the node key into ``stage``."""
    try:
        with tarfile.open(archive, "r:") as tar:
            manifest = _small(tar, archive, MANIFEST, _LONGEST_MANIFEST)
            head = _parse(manifest, archive)
            mac = _small(tar, archive, MAC, 64)
            files = dict(head["files"])
            if KEY_FILE in files:
                _write_member(tar, archive, stage, KEY_FILE, files.pop(KEY_FILE))
            elif key_file is not None:
                write_private(stage / KEY_FILE, _read_key(key_file))
            _authenticate(archive, stage, manifest, mac)
            for name, facts in files.items():
                _write_member(tar, archive, stage, name, facts)
            if tar.next() is not None:
                raise damaged(archive, "it holds more than its manifest says")
    except FileNotFoundError:
        raise UsageError(f"{archive} is not there.", hint="check the path", code="missing_file") from None
    except tarfile.TarError:
        raise damaged(archive, "it is no tar archive, or is cut short") from None
    except OSError as error:
        raise UsageError(
            f"{archive} cannot be restored: {error.strerror or 'it is cut short'}.",
            hint="check the file, its permissions and the disk",
            code="unreadable_file",
        ) from None
    return saved_of(head)


def _authenticate(archive: Path, stage: Path, manifest: bytes, mac: bytes) -> None:
    """Raise ``UsageError`` unless the node key is there and made the MAC."""
    if not (stage / KEY_FILE).exists():
        raise UsageError(
            f"{archive} was made without the node key, and no secret in it can be read without that.",
            hint=f"give --key with the {KEY_FILE} that was kept apart",
            code="missing_file",
        )
    own = mac_of(node_key(stage), manifest)
    if not hmac.compare_digest(mac, own):
        raise UsageError(
            f"{archive} was not made with this node key, or was changed since.",
            hint="check which node.key belongs to it; if it does, take another backup",
            code="bad_format",
        )


def _small(tar: tarfile.TarFile, archive: Path, name: str, longest: int) -> bytes:
    member = tar.next()
    source = None if member is None or member.name != name or not member.isreg() else tar.extractfile(member)
    if member is None or source is None or member.size > longest:
        raise damaged(archive, f"its {name} is not where it should be")
    content = source.read(longest)
    if len(content) != member.size:
        raise damaged(archive, "it is cut short")
    return content


def _parse(manifest: bytes, archive: Path) -> dict[str, Any]:
    try:
        head = json.loads(manifest)
        known = head["format"] == FORMAT
        version = head["version"]
        whole = (
            all(
                NAMES.fullmatch(name)
                for name, facts in head["files"].items()
                if isinstance(facts["size"], int) and isinstance(facts["sha256"], str)
            )
            and KEY_FILE not in list(head["files"])[1:]
        )
        saved_of(head)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise damaged(archive, "its manifest cannot be read") from None
    if not known or not whole:
        raise damaged(archive, "it is not a backup of a node")
    if version != VERSION:
        raise UsageError(
            f"{archive} is a backup of version {version}, and this program knows {VERSION}.",
            hint="restore it with the version of the program that wrote it, or a newer one",
            code="bad_format",
        )
    return dict(head)


def _write_member(
    tar: tarfile.TarFile, archive: Path, stage: Path, name: str, facts: Mapping[str, Any]
) -> None:
    member = tar.next()
    source = None if member is None or member.name != name or not member.isreg() else tar.extractfile(member)
    if member is None or source is None or member.size != facts["size"]:
        raise damaged(archive, f"its {name} is missing or of another size")
    target = stage / name
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while block := source.read(BLOCK):
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != facts["sha256"]:
        raise damaged(archive, f"its {name} is not as it was saved")


def _new_log(store: Store, log: OwnLog, actor: str | None, clock: Clock) -> None:
    """Begin another log, and note in it how long the old one was that the archive had."""
    old = AuditLog(store).facts()
    size = AuditLog(store).size()
    log.begin_again()
    if old is not None:
        with store.transaction() as connection:
            note_copied(connection, "restored", actor, clock().timestamp(), size)


def _carry_over(store: Store, side: str, clock: Clock) -> None:
    """Note in the new log what the old one says of jobs that go on: their runs are judged by that."""
    live = [state.value for state in JobState if not state.ended]
    now = clock().timestamp()
    jobs, events, approvals = tables.jobs, tables.events, tables.approvals
    with store.transaction() as connection:
        query = sa.select(jobs).where(jobs.c.state.in_(live)).order_by(jobs.c.number)
        for row in connection.execute(query).all():
            edits = sa.select(events.c.actor).where(events.c.job == row.id, events.c.step == Step.EDIT.value)
            editors = sorted(set(connection.execute(edits).scalars()) - {row.drafter})
            standing = sa.select(approvals).where(
                approvals.c.job == row.id, approvals.c.voided.is_(None), approvals.c.digest == row.digest
            )
            approved = connection.execute(standing.order_by(approvals.c.id)).all()
            notes(connection, of_standing(row, side, editors, approved), now)


def _begin_anew(store: Store, side: str, clock: Clock) -> tuple[str, ...]:
    """Let every accepted job that had not ended begin anew; returns their ids."""
    jobs = Jobs(store, side, clock)
    again: list[str] = []
    with store.transaction() as connection:
        secrets = tables.secrets
        sealed = connection.execute(sa.select(secrets.c.name, secrets.c.purpose)).all()
        for name, purpose in sealed:
            if name.startswith(JOB_SECRETS):
                connection.execute(secrets.delete().where(secrets.c.name == name))
                note_key(connection, False, name, purpose, clock().timestamp())
        # What they had reached lay in the work folder, and is gone.
        connection.execute(tables.job_progress.update().values(reached=0))
    page = jobs.list(states=(JobState.RUNNING, JobState.ACCEPTED), limit=200)
    while True:
        for record in page.jobs:
            if record.state is JobState.RUNNING:
                # Not the job's fault, so it uses up nothing.
                jobs.retry(record.id, record.holder or "", RESTORED, counts=False)
            again.append(record.id)
        if page.following is None:
            return tuple(again)
        page = jobs.list(states=(JobState.RUNNING, JobState.ACCEPTED), limit=200, before=page.following)


def _read_key(path: Path) -> bytes:
    try:
        return path.read_bytes()[:1_024]
    except OSError as error:
        raise UsageError(
            f"The node key {path} cannot be read: {error.strerror}.",
            hint="check the path and its permissions",
            code="unreadable_file",
        ) from None
