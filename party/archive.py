"""The archive of a node's backup: its form, its keys, and what may be in it.

    manifest.json     what is in it: name, size and SHA-256 of every file
    manifest.mac      HMAC-SHA256 of those bytes under a key that follows from the node key
    ...               the files, in the manifest's order; node.key comes first where it is one of them

The MAC tells a changed archive from a whole one to whoever has the key from elsewhere; where the key is in the
archive itself, anybody who has it can also make another.
"""

from __future__ import annotations

import datetime
import hmac
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from party.home import LEDGER_FOLDER, POLICY_FILE, STORE_FILE
from party.nodefile import NODE_FILE
from party.spool import disk_error
from party.vault import KEY_FILE, NodeKey
from party.workroom import RESULTS
from psi.errors import UsageError

FORMAT: Final = "veiljoin-backup"
VERSION: Final = 1
SQLITE, POSTGRESQL = "sqlite", "postgresql"
# Secrets of jobs, which no backup may hold and no restore may leave (party.backup).
JOB_SECRETS: Final = "job/"
MANIFEST: Final = "manifest.json"
MAC: Final = "manifest.mac"
LEDGER_KEY: Final = f"{LEDGER_FOLDER}/key"
SEALED_KEY: Final = f"{LEDGER_FOLDER}/key.sealed"
BLOCK: Final = 1024 * 1024
_NONCE_BYTES: Final = 12
_LABEL: Final = b"veiljoin/v1/backup/"
# The only names that a restore writes: no folder above, no hidden file, nothing else of a home.
_PART: Final = r"[A-Za-z0-9_][\w.-]{0,200}"
NAMES: Final = re.compile(
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


def saved_of(head: Mapping[str, Any]) -> Saved:
    """Return what a manifest says. Raises what reading a table that is none raises."""
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


def mac_of(key: NodeKey, manifest: bytes) -> bytes:
    """Return the MAC of a manifest."""
    return hmac.digest(_derive(key, b"manifest"), manifest, "sha256")


def seal(key: NodeKey, content: bytes) -> bytes:
    """Return the ledger's key ``content`` sealed under a key that follows from the node key."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(_derive(key, b"ledger key")).encrypt(nonce, content, LEDGER_KEY.encode())


def unseal(key: NodeKey, sealed: bytes, archive: Path) -> bytes:
    """Return what :func:`seal` sealed. Raises ``UsageError`` if it is not as it was."""
    try:
        cipher = AESGCM(_derive(key, b"ledger key"))
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], LEDGER_KEY.encode())
    except (InvalidTag, ValueError):
        raise damaged(archive, f"its {SEALED_KEY} is not as it was saved") from None


def _derive(key: NodeKey, what: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=None, info=_LABEL + what).derive(key.reveal())


def damaged(archive: Path, why: str) -> UsageError:
    """Return the sentence for an archive that can't be used."""
    return UsageError(
        f"{archive} cannot be restored: {why}.",
        hint="take another backup, or copy this one again",
        code="bad_format",
    )


@contextmanager
def staging(parent: Path, name: str) -> Iterator[Path]:
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


def to_disk(folder: Path) -> None:
    """Make what was made or renamed in ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
