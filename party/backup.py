"""A node's backup: one tar archive of what its home must not lose, as it was at one moment (form: party.archive).

In it: node.toml, policy.toml, the store, the ledger's sketches and its key; on request the results and node.key.
Never in it: seeds and keys of jobs (secrets named ``job/*``, the folder ``work``). A job that went on from a restored
seed, over other data or with a partner that had seen more of it, would use one mask for two runs; so whatever had not
ended begins anew after a restore, with a new seed.

Without the node key the archive holds no secret that can be read: those of the store are sealed with it, and the key
of the ledger's sketches is sealed here, in the same way. What the store has in the clear (partners, jobs, people,
times) can be read.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import os
import secrets
import shutil
import sqlite3
import tarfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from party.archive import (
    BLOCK,
    FORMAT,
    JOB_SECRETS,
    LEDGER_KEY,
    MAC,
    MANIFEST,
    NAMES,
    POSTGRESQL,
    SEALED_KEY,
    SQLITE,
    VERSION,
    Saved,
    mac_of,
    saved_of,
    seal,
    staging,
    to_disk,
)
from party.home import LEDGER_FOLDER, POLICY_FILE, STORE_FILE
from party.ledger import write_private
from party.logged import note_copied
from party.node import Node
from party.nodefile import NODE_FILE
from party.spool import disk_error
from party.vault import KEY_FILE, node_key
from party.workroom import RESULTS
from psi.errors import UsageError


def save(
    node: Node, out: Path, *, with_results: bool = False, with_key: bool = False, actor: str | None = None
) -> Saved:
    """Write the archive ``out`` (mode 0600) of an open node, which may be running; ``actor`` is who asked, if known.

    That a copy was taken is in the node's log, though writing it may fail after that: rather one too many than one
    that nobody knows of. Raises ``UsageError`` if ``out`` is there already or can't be written.
    """
    if out.exists():
        raise UsageError(f"There is a file {out} already.", hint="give each backup a name of its own")
    folder = node.home.folder
    key = node_key(folder)
    with staging(folder, "backup") as stage:
        _snapshot(node, stage, actor)
        for name in (NODE_FILE, POLICY_FILE):
            if (folder / name).exists():
                _copy(folder / name, stage / name)
        own_key = stage / LEDGER_KEY
        if own_key.exists():
            write_private(stage / SEALED_KEY, seal(key, own_key.read_bytes()))
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
        mac = mac_of(key, manifest)
        _write_archive(out, stage, manifest, mac, files, int(at.timestamp()))
    return saved_of(head)


def _snapshot(node: Node, stage: Path, actor: str | None) -> None:
    """Take the store and the ledger's files of one moment into ``stage``."""
    source = node.home.folder / LEDGER_FOLDER
    with node.home.store.transaction() as connection:
        # Who holds the write lock is alone with store and ledger. Files of the ledger are never changed, only made
        # and removed, so that a second name for each is as good as a copy and takes no time.
        path = node.home.store.path
        if path is not None:
            _copy_store(path, stage / STORE_FILE)
        _link_tree(source, stage / LEDGER_FOLDER)
        note_copied(connection, "backed_up", actor, node.clock().timestamp())
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


def _link_tree(source: Path, target: Path) -> None:
    """Give the files below ``source`` a second name below ``target``, or copy them where that can't be."""
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        name = f"{target.name}/{path.relative_to(source).as_posix()}"
        if not path.is_file() or path.is_symlink() or NAMES.fullmatch(name) is None:
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
        shutil.copyfileobj(file, copy, BLOCK)


def _names_below(stage: Path) -> list[str]:
    return [path.relative_to(stage).as_posix() for path in stage.rglob("*") if path.is_file()]


def _facts(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"size": path.stat().st_size, "sha256": digest}


def _write_archive(
    out: Path, stage: Path, manifest: bytes, mac: bytes, files: Mapping[str, Mapping[str, Any]], at: int
) -> None:
    partial = out.with_name(f"{out.name}.{secrets.token_hex(4)}.partial")
    try:
        try:
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                    for name, content in ((MANIFEST, manifest), (MAC, mac)):
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
        to_disk(out.absolute().parent)
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
