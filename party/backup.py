"""A node's backup: one tar archive of what its home must not lose, as it was at one moment; and a home made from it.

In it: node.toml, policy.toml, the store, the ledger's sketches and its key; on request the results and node.key.
Never in it: seeds and keys of jobs (secrets named ``job/*``, the folder ``work``). A job that went on from a restored
seed, over other data or with a partner that had seen more of it, would use one mask for two runs; so whatever had not
ended begins anew after a restore, with a new seed.

    manifest.json     what is in it: name, size and SHA-256 of every file
    manifest.mac      HMAC-SHA256 of those bytes under a key that follows from the node key
    ...               the files, in the manifest's order

Without the node key the archive holds no secret that can be read: those of the store are sealed with it, and the key
of the ledger's sketches is sealed here, in the same way. What the store has in the clear (partners, jobs, people,
times) can be read. The MAC tells a changed archive from a whole one to whoever has the key from elsewhere; where the
key is in the archive itself, anybody who has it can also make another.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import io
import json
import os
import re
import secrets
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from party import tables
from party.budget import Clock, local_clock
from party.credentials import Credentials
from party.home import LEDGER_FOLDER, POLICY_FILE, STORE_FILE
from party.jobs import Jobs
from party.jobstates import JobState
from party.ledger import write_private
from party.node import Node
from party.nodefile import NODE_FILE, load_node, write_node
from party.spool import disk_error
from party.store import Store
from party.vault import KEY_FILE, NodeKey, node_key, open_vault
from party.workroom import RESULTS
from psi.errors import UsageError

FORMAT: Final = "veiljoin-backup"
VERSION: Final = 1
SQLITE, POSTGRESQL = "sqlite", "postgresql"
# Secrets of jobs; see the module's head.
JOB_SECRETS: Final = "job/"
RESTORED: Final = "restored"
_MANIFEST: Final = "manifest.json"
_MAC: Final = "manifest.mac"
_LEDGER_KEY: Final = f"{LEDGER_FOLDER}/key"
_SEALED_KEY: Final = f"{LEDGER_FOLDER}/key.sealed"
_LONGEST_MANIFEST: Final = 64 * 1024 * 1024
_BLOCK: Final = 1024 * 1024
_NONCE_BYTES: Final = 12
_LABEL: Final = b"veiljoin/v1/backup/"
# The only names that a restore writes: no folder above, no hidden file, nothing else of a home.
_PART: Final = r"[A-Za-z0-9_][\w.-]{0,200}"
_NAMES: Final = re.compile(
    rf"{re.escape(NODE_FILE)}|{re.escape(POLICY_FILE)}|{re.escape(STORE_FILE)}|{re.escape(KEY_FILE)}"
    rf"|{LEDGER_FOLDER}/{_PART}|{RESULTS}/{_PART}(/{_PART}){{1,3}}",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Saved:
    """What is in an archive. ``database`` names a store on PostgreSQL, which is not in it."""

    node: str
    role: str
    at: datetime.datetime
    files: int
    size: int
    with_key: bool
    with_results: bool
    database: str | None


@dataclass(frozen=True, slots=True)
class Restored:
    """What was made of an archive; ``jobs`` are the ids of those that had not ended and begin anew."""

    saved: Saved
    jobs: tuple[str, ...]


def save(node: Node, out: Path, *, with_results: bool = False, with_key: bool = False) -> Saved:
    """Write the archive ``out`` (mode 0600) of an open node, which may be running.

    Raises ``UsageError`` if ``out`` is there already or can't be written.
    """
    if out.exists():
        raise UsageError(f"There is a file {out} already.", hint="give each backup a name of its own")
    folder = node.home.folder
    key = node_key(folder)
    with _staging(folder, "backup") as stage:
        _snapshot(node, stage)
        for name in (NODE_FILE, POLICY_FILE):
            if (folder / name).exists():
                _copy(folder / name, stage / name)
        own_key = stage / _LEDGER_KEY
        if own_key.exists():
            write_private(stage / _SEALED_KEY, _seal(key, own_key.read_bytes()))
            own_key.unlink()
        if with_key:
            _copy(folder / KEY_FILE, stage / KEY_FILE)
        if with_results:
            _link_tree(folder / RESULTS, stage / RESULTS)
        at = node.clock().astimezone(datetime.UTC)
        # The key first, so that a restore knows whether the rest is worth reading.
        names = sorted(_names_below(stage), key=lambda name: (name != KEY_FILE, name))
        files = {name: _facts(stage / name) for name in names}
        head = {
            "format": FORMAT,
            "version": VERSION,
            "node": node.file.name,
            "role": node.file.role,
            "at": at.isoformat(timespec="seconds"),
            "store": SQLITE if node.home.store.path is not None else POSTGRESQL,
            "database": None if node.home.store.path is not None else node.home.store.name,
            "files": files,
        }
        manifest = json.dumps(head, ensure_ascii=False).encode()
        mac = hmac.digest(_derive(key, b"manifest"), manifest, "sha256")
        _write_archive(out, stage, manifest, mac, files, int(at.timestamp()))
    return _saved(head)


def restore(
    archive: Path, folder: Path, key_file: Path | None = None, clock: Clock = local_clock
) -> Restored:
    """Make the home ``folder`` from ``archive``; ``key_file`` is the node key where the archive has none.

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
    with _staging(folder.absolute().parent, f"{folder.name}.restore") as stage:
        saved = _unpack(archive, stage, key_file)
        key = node_key(stage)
        if (stage / _SEALED_KEY).exists():
            write_private(stage / _LEDGER_KEY, _unseal(key, (stage / _SEALED_KEY).read_bytes(), archive))
            (stage / _SEALED_KEY).unlink()
        file = load_node(stage)
        if saved.database is None and file.store is not None:
            # A file that lay elsewhere: it lies in the home now.
            (stage / NODE_FILE).unlink()
            write_node(stage, replace(file, store=None))
        own = sa.URL.create("sqlite", database=str(stage / STORE_FILE))
        address = own if saved.database is None or file.store is None else file.store
        with closing(Store(address)) as store:
            # Before anything is changed in a database that may be another node's.
            Credentials(store, open_vault(stage, store, clock), clock).identity()
            again = _begin_anew(store, saved.role, clock)
        try:
            stage.rename(folder.absolute())
            _to_disk(folder.absolute().parent)
        except OSError as error:
            raise disk_error(error, folder) from None
    return Restored(saved, again)


# -- saving


def _snapshot(node: Node, stage: Path) -> None:
    """Take the store and the ledger's files of one moment into ``stage``."""
    source = node.home.folder / LEDGER_FOLDER
    with node.home.store.transaction():
        # Who holds the write lock is alone with store and ledger. Files of the ledger are never changed, only made
        # and removed, so that a second name for each is as good as a copy and takes no time.
        path = node.home.store.path
        if path is not None:
            _copy_store(path, stage / STORE_FILE)
        _link_tree(source, stage / LEDGER_FOLDER)
    if path is not None:
        _forget_jobs(stage / STORE_FILE)


def _copy_store(path: Path, copy: Path) -> None:
    write_private(copy, b"")
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    except sqlite3.Error as error:
        raise UsageError(
            f"The store {path} cannot be copied ({getattr(error, 'sqlite_errorname', type(error).__name__)}).",
            hint="check the disk, and that the store is no other program's",
            code="unwritable",
        ) from None


def _forget_jobs(copy: Path) -> None:
    """Remove the secrets of jobs from a copied store, and the pages that they were on."""
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(
            "DELETE FROM secrets WHERE substr(name, 1, ?) = ?", (len(JOB_SECRETS), JOB_SECRETS)
        )
        connection.execute("VACUUM")


def _write_archive(
    out: Path, stage: Path, manifest: bytes, mac: bytes, files: Mapping[str, Mapping[str, Any]], at: int
) -> None:
    partial = out.with_name(f"{out.name}.{secrets.token_hex(4)}.partial")
    try:
        try:
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                    for name, content in ((_MANIFEST, manifest), (_MAC, mac)):
                        tar.addfile(_member(name, len(content), at), io.BytesIO(content))
                    for name, facts in files.items():
                        with open(stage / name, "rb") as source:
                            tar.addfile(_member(name, int(facts["size"]), at), source)
                file.flush()
                os.fsync(file.fileno())
            # Not a rename, which would replace what somebody else wrote there meanwhile.
            os.link(partial, out)
        finally:
            partial.unlink(missing_ok=True)
        _to_disk(out.absolute().parent)
    except FileExistsError:
        raise UsageError(
            f"There is a file {out} already.", hint="give each backup a name of its own"
        ) from None
    except OSError as error:
        raise disk_error(error, out.parent) from None


def _member(name: str, size: int, at: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, at, 0o600
    return member


# -- restoring


def _unpack(archive: Path, stage: Path, key_file: Path | None) -> Saved:
    """Write the files of ``archive`` and the node key into ``stage``."""
    try:
        with tarfile.open(archive, "r:") as tar:
            manifest = _small(tar, archive, _MANIFEST, _LONGEST_MANIFEST)
            head = _parse(manifest, archive)
            mac = _small(tar, archive, _MAC, 64)
            files = dict(head["files"])
            if KEY_FILE in files:
                _write_member(tar, archive, stage, KEY_FILE, files.pop(KEY_FILE))
            elif key_file is not None:
                write_private(stage / KEY_FILE, _read_key(key_file))
            _authenticate(archive, stage, manifest, mac)
            for name, facts in files.items():
                _write_member(tar, archive, stage, name, facts)
            if tar.next() is not None:
                raise _damaged(archive, "it holds more than its manifest says")
    except FileNotFoundError:
        raise UsageError(f"{archive} is not there.", hint="check the path", code="missing_file") from None
    except tarfile.TarError:
        raise _damaged(archive, "it is no tar archive, or is cut short") from None
    except OSError as error:
        raise UsageError(
            f"{archive} cannot be restored: {error.strerror or 'it is cut short'}.",
            hint="check the file, its permissions and the disk",
            code="unreadable_file",
        ) from None
    return _saved(head)


def _authenticate(archive: Path, stage: Path, manifest: bytes, mac: bytes) -> None:
    """Raise ``UsageError`` unless the node key is there and made the MAC."""
    if not (stage / KEY_FILE).exists():
        raise UsageError(
            f"{archive} was made without the node key, and no secret in it can be read without that.",
            hint=f"give --key with the {KEY_FILE} that was kept apart",
            code="missing_file",
        )
    own = hmac.digest(_derive(node_key(stage), b"manifest"), manifest, "sha256")
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
        raise _damaged(archive, f"its {name} is not where it should be")
    content = source.read(longest)
    if len(content) != member.size:
        raise _damaged(archive, "it is cut short")
    return content


def _parse(manifest: bytes, archive: Path) -> dict[str, Any]:
    try:
        head = json.loads(manifest)
        known = head["format"] == FORMAT
        version = head["version"]
        whole = (
            all(
                _NAMES.fullmatch(name)
                for name, facts in head["files"].items()
                if isinstance(facts["size"], int) and isinstance(facts["sha256"], str)
            )
            and KEY_FILE not in list(head["files"])[1:]
        )
        _saved(head)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _damaged(archive, "its manifest cannot be read") from None
    if not known or not whole:
        raise _damaged(archive, "it is not a backup of a node")
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
        raise _damaged(archive, f"its {name} is missing or of another size")
    target = stage / name
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while block := source.read(_BLOCK):
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != facts["sha256"]:
        raise _damaged(archive, f"its {name} is not as it was saved")


def _begin_anew(store: Store, side: str, clock: Clock) -> tuple[str, ...]:
    """Let every accepted job that had not ended begin anew; returns their ids."""
    jobs = Jobs(store, side, clock)
    again: list[str] = []
    with store.transaction() as connection:
        names = connection.execute(sa.select(tables.secrets.c.name)).scalars().all()
        doomed = [name for name in names if name.startswith(JOB_SECRETS)]
        if doomed:
            connection.execute(tables.secrets.delete().where(tables.secrets.c.name.in_(doomed)))
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


# -- shared


@contextmanager
def _staging(parent: Path, name: str) -> Iterator[Path]:
    """Give a private folder in ``parent`` that is gone afterwards, unless it was renamed."""
    stage = parent / f".{name}-{secrets.token_hex(4)}"
    try:
        stage.mkdir(mode=0o700)
    except OSError as error:
        raise disk_error(error, parent) from None
    try:
        yield stage
    except OSError as error:
        raise disk_error(error, parent) from None
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _link_tree(source: Path, target: Path) -> None:
    """Give the files below ``source`` a second name below ``target``, or copy them where that can't be."""
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        name = f"{target.name}/{path.relative_to(source).as_posix()}"
        if not path.is_file() or path.is_symlink() or _NAMES.fullmatch(name) is None:
            continue  # a folder
        if name.endswith(".partial"):
            continue  # being written
        copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.link(path, copy)
        except FileNotFoundError:
            continue  # removed meanwhile, so no part of this moment
        except OSError:
            _copy(path, copy)


def _copy(source: Path, target: Path) -> None:
    with (
        open(source, "rb") as file,
        open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as copy,
    ):
        shutil.copyfileobj(file, copy, _BLOCK)


def _names_below(stage: Path) -> list[str]:
    return [path.relative_to(stage).as_posix() for path in stage.rglob("*") if path.is_file()]


def _facts(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"size": path.stat().st_size, "sha256": digest}


def _saved(head: Mapping[str, Any]) -> Saved:
    files = head["files"]
    return Saved(
        node=str(head["node"]),
        role=str(head["role"]),
        at=datetime.datetime.fromisoformat(head["at"]),
        files=len(files),
        size=sum(int(facts["size"]) for facts in files.values()),
        with_key=KEY_FILE in files,
        with_results=any(name.startswith(f"{RESULTS}/") for name in files),
        database=None if head["store"] == SQLITE else str(head["database"]),
    )


def _damaged(archive: Path, why: str) -> UsageError:
    return UsageError(
        f"{archive} cannot be restored: {why}.",
        hint="take another backup, or copy this one again",
        code="bad_format",
    )


def _read_key(path: Path) -> bytes:
    try:
        return path.read_bytes()[:1_024]
    except OSError as error:
        raise UsageError(
            f"The node key {path} cannot be read: {error.strerror}.",
            hint="check the path and its permissions",
            code="unreadable_file",
        ) from None


def _derive(key: NodeKey, what: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=None, info=_LABEL + what).derive(key.reveal())


def _seal(key: NodeKey, content: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(_derive(key, b"ledger key")).encrypt(nonce, content, _LEDGER_KEY.encode())


def _unseal(key: NodeKey, sealed: bytes, archive: Path) -> bytes:
    try:
        cipher = AESGCM(_derive(key, b"ledger key"))
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _LEDGER_KEY.encode())
    except (InvalidTag, ValueError):
        raise _damaged(archive, f"its {_SEALED_KEY} is not as it was saved") from None


def _to_disk(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
